// Numbers over steps: the reward with its components, what trainers log, any other number. A click picks the step.

const LONG = 5000; // from so many steps on, lines are thinned as they are drawn

/**
 * What all charts over steps share.
 *
 * format: how values are written; share: they are shares of a whole, so the axis goes from nought to all of it;
 * labels: about how many steps are named; gap: the axis has room beside its first and last step, as bars need;
 * legendOf(place): rows of the tooltip; more: ECharts options on top.
 */
function overSteps(series, { left = 56, bottom = 26, right = 12, top = 12, share = false, format = share ? (value) => percent(value, 0) : figure, labels = 10, gap = false, legendOf, ...more } = {}) {
  const range = share ? { min: 0, max: 1, interval: 0.25 } : rangeOfOne(series);
  return {
    grid: { left, right, top, bottom },
    xAxis: axis("category", { data: NUMBERS, boundaryGap: gap, axisLabel: { interval: (place) => isNamed(place, labels), width: 60 } }),
    yAxis: axis("value", { scale: true, splitNumber: 4, axisLabel: { formatter: format }, ...range }),
    dataZoom: [{ type: "inside", zoomOnMouseWheel: "ctrl", moveOnMouseMove: false, moveOnMouseWheel: false, start: zoomed[0], end: zoomed[1] }],
    tooltip: { trigger: "axis", axisPointer: { type: "line", lineStyle: { color: css("--faint") } }, formatter: (points) => {
      const place = points[0]?.dataIndex ?? 0;
      return tip(`Step ${NUMBERS[place]}`, legendOf(place));
    } },
    series,
    ...more,
  };
}

/** Whether an axis names a step: the first one past each round number, so that there are at most so many. */
function isNamed(place, labels) {
  const number = Number(NUMBERS[place]), span = (NUMBERS[NUMBERS.length - 1] - NUMBERS[0]) * ((zoomed[1] - zoomed[0]) / 100);
  const least_ = Math.max(1, span / labels), ten = 10 ** Math.floor(Math.log10(least_));
  const each = [1, 2, 5, 10].map((times) => times * ten).find((one) => one >= least_ - 1e-9);
  return place === 0 ? number % each < each / 2 : Math.floor(number / each) > Math.floor(NUMBERS[place - 1] / each);
}

/** The axis of values that are all the same: nought, the value and twice the value, which it then names. */
function rangeOfOne(series) {
  let only = null;
  for (const one of series) {
    if (one.stack) return {};
    for (const value of one.data) {
      if (!known(value)) continue;
      if (only !== null && value !== only) return {};
      only = value;
    }
  }
  return only ? { min: Math.min(0, 2 * only), max: Math.max(0, 2 * only), interval: Math.abs(only) } : {};
}

const zoomed = [0, 100];
const allSteps = el("button.control.hidden", { type: "button", onclick: () => {
  for (const made of charts) if (made.instance?.group === "steps") {
    made.instance.dispatchAction({ type: "dataZoom", start: 0, end: 100 });
    break; // the others go along
  }
} }, "Show all steps");

/** Charts in which a line marks the step that is picked. */
const marking = {};
const markPicked = () => Object.values(marking).forEach((made) => made.instance && made.draw());

function pickedMark() {
  const place = picked < 0 ? undefined : PLACE.get(STEPS.number[picked]);
  if (place === undefined || NUMBERS.length < 2) return [];
  return [{ type: "line", data: [], silent: true, markLine: { symbol: "none", silent: true, animation: false, label: { show: false }, lineStyle: { color: css("--soft"), width: 1, type: "solid" }, data: [{ xAxis: place }] } }];
}

function pickable(instance) {
  instance.group = "steps";
  echarts.connect("steps");
  instance.on("datazoom", () => {
    const { start, end } = instance.getOption().dataZoom[0];
    zoomed[0] = start;
    zoomed[1] = end;
    allSteps.classList.toggle("hidden", start <= 0 && end >= 100);
  });
  instance.getZr().on("click", (event) => {
    const at = [event.offsetX, event.offsetY];
    if (!instance.containPixel({ gridIndex: 0 }, at)) return;
    const place = instance.convertFromPixel({ gridIndex: 0 }, at)[0];
    if (ROWS[place] !== undefined) pick(ROWS[place], true);
  });
}

function line(name, data, colour, { width = 1.6, opacity = 1, type = "solid", z = 3 } = {}) {
  return { name, type: "line", data, showSymbol: data.filter(known).length < 40, symbol: "circle", symbolSize: 4, connectNulls: false, z,
    sampling: data.length > LONG ? "lttb" : undefined, lineStyle: { color: colour, width, opacity, type }, itemStyle: { color: colour, opacity }, emphasis: { disabled: true }, silent: true };
}

/** The area between two lines. */
function band(low, high, colour, opacity = 0.16) {
  const base = { type: "line", symbol: "none", silent: true, lineStyle: { opacity: 0 }, emphasis: { disabled: true }, z: 1, stackStrategy: "all" };
  return [
    { ...base, stack: "band", data: low, areaStyle: { opacity: 0 } },
    { ...base, stack: "band", data: high.map((value, i) => (known(value) && known(low[i]) ? value - low[i] : null)), areaStyle: { color: colour, opacity } },
  ];
}

const MANY = 80; // steps from which a smoothed line is drawn over the raw one
const reachOf = (values) => Math.max(1, Math.round(values.length / 80));

/** A moving mean over about a fortieth of the run; what is not known is left out of it. */
function smooth(values) {
  const reach = reachOf(values);
  return values.map((_, i) => {
    const near = values.slice(Math.max(0, i - reach), i + reach + 1).filter(known);
    return near.length ? near.reduce((a, b) => a + b, 0) / near.length : null;
  });
}

/** The area between two lines, smoothed where these are. */
const smoothBand = (low, high, colour) => (low.length < MANY ? band(low, high, colour) : band(smooth(low), smooth(high), colour));

function withSmooth(name, values, colour) {
  return values.length < MANY ? [line(name, values, colour, { width: 2 })] : [line(name, values, colour, { width: 1, opacity: 0.35, z: 2 }), line(name, smooth(values), colour, { width: 2 })];
}

/** Red ticks where a number was NaN or infinite. */
function oddMarks(odd) {
  const places = odd.map(([row, word]) => [PLACE.get(STEPS.number[row]), word, row]).filter(([place, , row]) => place !== undefined && STEPS.current[row]);
  if (!places.length) return [];
  return [{ type: "line", data: [], silent: true, markLine: { symbol: "none", silent: true, animation: false, label: { show: places.length < 6, formatter: (mark) => mark.name, color: css("--bad"), position: "insideEndTop" },
    lineStyle: { color: css("--bad"), width: 1.5, type: "solid" }, data: places.map(([place, word]) => ({ name: word, xAxis: place })) } }];
}

/** Lines where an attempt began again. */
function resumeMarks(named = false) {
  const places = RUN.attempts.slice(1).map((one) => PLACE.get(one.first)).filter((place) => place !== undefined);
  if (!places.length) return [];
  return [{ type: "line", data: [], silent: true, markLine: { symbol: "none", silent: true, animation: false, label: { show: named, formatter: "resumed", color: css("--faint"), position: "end", distance: 2 },
    lineStyle: { color: css("--line-strong"), type: "dashed" }, data: places.map((place) => ({ xAxis: place })) } }];
}

// --- reward -------------------------------------------------------------------------------------

function rewardSection() {
  const rewards = rewardCurve(), own = over(STEPS.reward_mean).some(known);
  const thin = rewards.length < MANY ? "" : ` Thin lines are single steps, thick ones and areas means over ${2 * reachOf(rewards) + 1} steps.`;
  const [node, body, tools] = card("reward", "Reward", `Choose a step to look at it below. Ctrl and the wheel zoom; all curves go along.${thin}`);
  tools.append(allSteps);
  if (!rewards.some(known)) {
    body.append(empty("No rewards were recorded."));
    return node;
  }
  const low = over(STEPS.reward_p10), high = over(STEPS.reward_p90), components = DATA.components;
  const redone = () => {
    if (!REDONE.length) return [];
    const values = NUMBERS.map(() => null);
    for (const row of REDONE) if (PLACE.has(STEPS.number[row])) values[PLACE.get(STEPS.number[row])] = STEPS.reward_mean[row];
    return [line("earlier attempt", values, css("--faint"), { type: "dashed", width: 1.5, z: 2 })];
  };
  const main = chart("Mean reward of each step", 300, () => overSteps([
    ...(own ? smoothBand(low, high, css("--accent")) : []), ...withSmooth("mean", rewards, css("--accent")), ...redone(), ...resumeMarks(true), ...pickedMark(),
  ], { top: 20, legendOf: (place) => [["Mean", figure(rewards[place]), css("--accent")], own && ["Spread", figure(STEPS.reward_std[ROWS[place]])], own && ["From", figure(STEPS.reward_min[ROWS[place]])], own && ["To", figure(STEPS.reward_max[ROWS[place]])], ["Rollouts", count(STEPS.n[ROWS[place]])]] }), pickable);
  marking.reward = main;
  const left = el("div", null, el("h3", null, own ? "Mean of the rollouts, and where eight of ten lie" : "As the trainer told it"), main.node);
  const grid = el("div.pair", null, left);
  if (components.length) {
    const off = new Set();
    const parts = chart("Mean of each reward component", 272, () => overSteps(
      components.flatMap((name, i) => (off.has(i) ? [] : withSmooth(name, over(STEPS.components[i]), componentColour(i)))),
      { legendOf: (place) => components.map((name, i) => !off.has(i) && [name, figure(STEPS.components[i][ROWS[place]]), componentColour(i)]) }), pickable);
    grid.append(el("div", null, el("h3", null, "Components, before their weights"), legend(components.map((name, i) => [name, componentColour(i)]), (i, on) => {
      on ? off.delete(i) : off.add(i);
      if (parts.instance) parts.draw();
    }), parts.node));
  }
  body.append(grid);
  return node;
}

// --- what trainers log --------------------------------------------------------------------------

const SMALL = [["kl", "KL divergence"], ["entropy", "Entropy"], ["loss", "Loss"], ["grad_norm", "Gradient norm"], ["learning_rate", "Learning rate"]];

function curvesSection() {
  const plots = [];
  const lengths = over(STEPS.tokens_mean);
  for (const [role, title] of SMALL) {
    const curve = DATA.curves.find((one) => one.name === DATA.roles[role]);
    if (curve) plots.push(small(title, curve.name === role ? null : curve.name, curve));
  }
  if (lengths.some(known)) plots.splice(2, 0, smallOf("Length", "tokens of an answer; where eight of ten lie", () => [...smoothBand(over(STEPS.tokens_p10), over(STEPS.tokens_p90), css("--accent")), ...withSmooth("mean", lengths, css("--accent"))], (place) => [["Mean", figure(lengths[place])], ["Longest", count(STEPS.tokens_max[ROWS[place]])], ["Shortest", count(STEPS.tokens_min[ROWS[place]])]]));
  else {
    const told = DATA.curves.find((one) => one.name === DATA.roles.length);
    if (told) plots.splice(2, 0, small("Length", told.name, told));
  }
  const cut = over(STEPS.truncated);
  if (cut.some((share) => share > 0)) plots.push(smallOf("Cut off", "share of the answers", () => withSmooth("cut off", cut, css("--warn")), (place) => [["Cut off", percent(cut[place])]], { share: true }));
  const std = over(STEPS.reward_std);
  if (std.some(known)) plots.push(smallOf("Spread of the reward", "standard deviation in a step", () => withSmooth("spread", std, css("--accent")), (place) => [["Spread", figure(std[place])]]));
  const share = over(STEPS.flat).map((n, i) => (STEPS.groups[ROWS[i]] ? n / STEPS.groups[ROWS[i]] : null));
  if (share.some((value) => value > 0)) plots.push(smallOf("Groups without spread", "share of the step's groups", () => withSmooth("without spread", share, css("--warn")), (place) => [["Without spread", percent(share[place])], ["Groups", count(STEPS.groups[ROWS[place]])]], { share: true }));
  if (!plots.length) return null;
  const [node, body] = card("curves", "Curves", "Lines of several ranks where these differ; red where a number was not finite.");
  body.append(el("div.small", null, plots));
  return node;
}

function smallOf(title, line_, series, legendOf, options) {
  const made = chart(title, 158, () => overSteps([...series(), ...resumeMarks()], { legendOf, left: 50, labels: 6, ...options }), pickable);
  return el("figure", null, el("figcaption", null, el("b", null, title), line_ && el("span.faint", null, " ", line_)), made.node);
}

function small(title, name, curve) {
  return smallOf(title, [name, ...ranksOf(curve)], () => seriesOf(curve), (place) => rowsOf(curve, place));
}

const rankColour = (i) => shade(PALETTE[i % PALETTE.length]);

/** Which line is which rank's. */
const ranksOf = (curve) => (curve.ranks ?? []).map(([rank], i) => el("span.rank", null, el("span.dot", { style: { background: rankColour(i) } }), `rank ${rank}`));

function seriesOf(curve) {
  const odd = oddMarks(curve.odd);
  if (curve.ranks) return [...curve.ranks.map(([rank, values], i) => line(`rank ${rank}`, over(values), rankColour(i))), ...odd];
  if (curve.low) return [...smoothBand(over(curve.low), over(curve.high), css("--accent")), ...withSmooth(curve.name, over(curve.values), css("--accent")), ...odd];
  return [...withSmooth(curve.name, over(curve.values), css("--accent")), ...odd];
}

function rowsOf(curve, place) {
  const row = ROWS[place], odd = curve.odd.find(([at]) => at === row);
  if (curve.ranks) return [...curve.ranks.map(([rank, values], i) => [`Rank ${rank}`, figure(values[row]), rankColour(i)]), odd && ["Not finite", odd[1]]];
  return [[curve.name, odd ? odd[1] : figure(curve.values[row])], curve.low && ["Lowest rank", figure(curve.low[row])], curve.low && ["Highest rank", figure(curve.high[row])]];
}

function numbersSection() {
  if (!DATA.curves.length) return null;
  const [node, body, tools] = card("numbers", "Any number", "Everything that the trainer logged, under its own names.");
  const shown = new Set(Object.values(DATA.roles));
  const varies = (curve) => new Set(curve.values.filter(known)).size > 1;
  let chosen = (DATA.curves.find((curve) => !shown.has(curve.name) && varies(curve)) ?? DATA.curves[0]).name;
  const current = () => DATA.curves.find((curve) => curve.name === chosen);
  const made = chart("A number over steps", 220, () => overSteps([...seriesOf(current()), ...resumeMarks()], { legendOf: (place) => rowsOf(current(), place) }), pickable);
  const select = el("select", { "aria-label": "Number", onchange: () => {
    chosen = select.value;
    if (made.instance) made.draw();
  } }, DATA.curves.map((curve) => el("option", { value: curve.name }, curve.name)));
  select.value = chosen;
  tools.append(select);
  body.append(made.node);
  if (DATA.curves_left_out) body.append(el("p.note", null, `${count(DATA.curves_left_out)} more numbers had no room.`));
  return node;
}
