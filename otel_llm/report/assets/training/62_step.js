// Where the time goes, over all steps and on each rank of the one that is picked; and what that step's rollouts are.

function timeSection() {
  const { parts, mean } = DATA.times;
  const [node, body] = card("time", "Time", "What a step's seconds went into: the mean over its ranks. Choose a step to see each rank.");
  if (!parts.length) {
    body.append(empty("No parts of steps were recorded."));
    return node;
  }
  const off = new Set(), few = ROWS.length <= 120;
  const made = chart("Time split of the steps", 260, () => ({
    ...overSteps([...parts.flatMap((part, i) => (off.has(i) ? [] : [{
      name: part, stack: "time", data: over(mean[i]).map((v) => v ?? 0), type: few ? "bar" : "line", symbol: "none", silent: true, emphasis: { disabled: true },
      itemStyle: { color: partColour(part) }, ...(few ? { barCategoryGap: "12%" } : { lineStyle: { width: 0 }, areaStyle: { color: partColour(part), opacity: 0.9 }, sampling: ROWS.length > LONG ? "average" : undefined }),
    }])), ...pickedMark()], { gap: few, legendOf: (place) => [...parts.map((part, i) => !off.has(i) && [words(part), duration(mean[i][ROWS[place]]), partColour(part)]), ["Whole step", duration(STEPS.took[ROWS[place]])]] }),
    yAxis: axis("value", { axisLabel: { formatter: duration } }),
  }), pickable);
  marking.time = made;
  body.append(legend(parts.map((part) => [words(part), partColour(part)]), (i, on) => {
    on ? off.delete(i) : off.add(i);
    if (made.instance) made.draw();
  }), made.node);
  return node;
}

// --- the step that is picked --------------------------------------------------------------------

const stepParts = {};
let looking = 0;

function stepSection() {
  if (picked < 0) return null;
  const [node, body, tools] = card("step", "Step", " ");
  stepParts.title = node.querySelector("h2");
  stepParts.line = node.querySelector(".head p");
  stepParts.body = body;
  const move = (by) => {
    const all = [...Array(STEPS.rows).keys()], at = all.indexOf(picked) + by;
    if (at >= 0 && at < all.length) pick(all[at]);
  };
  stepParts.select = el("input", { type: "search", size: 7, inputMode: "numeric", "aria-label": "Go to step", placeholder: "Go to …", onchange: (event) => {
    const place = PLACE.get(Number(event.target.value));
    if (place !== undefined) pick(ROWS[place]);
    event.target.value = "";
  } });
  stepParts.attempt = el("span");
  append(tools, [stepParts.attempt, stepParts.select,
    el("button.control", { type: "button", "aria-label": "The step before", onclick: () => move(-1) }, "←"),
    el("button.control", { type: "button", "aria-label": "The next step", onclick: () => move(1) }, "→")]);
  fillStep();
  return node;
}

/** Choose a step: its section and the list of rollouts show it. */
function pick(row, reveal = false) {
  picked = row;
  fillStep();
  markPicked();
  if (list.filter.step !== "") explore({ ...list.filter, step: row, group: "" }, { stay: true });
  if (reveal) document.getElementById("step").scrollIntoView();
}

async function fillStep() {
  const row = picked, mine = ++looking, first = STEPS.first[row], last = first + STEPS.n[row];
  stepParts.title.textContent = `Step ${STEPS.number[row]}`;
  const said = [STEPS.took[row] !== null ? `took ${duration(STEPS.took[row])}` : "has not ended", known(STEPS.epoch[row]) && `epoch ${figure(STEPS.epoch[row])}`, plural(STEPS.n[row], "rollout"),
    known(STEPS.reward_mean[row]) && `reward ${figure(STEPS.reward_mean[row])} ± ${figure(STEPS.reward_std[row])}`, STEPS.flat[row] > 0 && `${STEPS.flat[row]} of ${STEPS.groups[row]} groups without spread`,
    STEPS.trace[row] && `trace ${STEPS.trace[row].slice(0, 16)}`].filter(Boolean);
  stepParts.line.textContent = said.join(" · ");
  const again = [...Array(STEPS.rows).keys()].filter((one) => STEPS.number[one] === STEPS.number[row]);
  stepParts.attempt.replaceChildren(...(again.length > 1 ? [segments("Attempt", again.map((one) => [one, `Attempt ${STEPS.attempt[one] + 1}`]), row, (one) => pick(one))] : []));
  const { detail } = await detailOf(row);
  if (mine !== looking) return;
  const samples = [...Array(last - first).keys()].map((i) => first + i);
  stepParts.body.replaceChildren(...[rankTable(detail.about), extremes(samples), groupTable(samples, detail.about.groups)].filter(Boolean));
  document.documentElement.dataset.step = String(STEPS.number[row]);
}

function rankTable(step) {
  const whole = Math.max(1e-9, ...step.ranks.map((rank) => Math.max(rank.took ?? 0, Object.values(rank.times ?? {}).reduce((a, b) => a + b, 0))));
  const box = el("div");
  const shown = [...new Set(step.ranks.flatMap((rank) => Object.keys(rank.times ?? {})))];
  if (shown.length) box.append(legend(shown.map((part) => [words(part), partColour(part)])));
  const has = (test) => step.ranks.some(test);
  box.append(table([
    { title: "Rank", head: true, value: (r) => r.rank, show: (r) => [`rank ${r.rank}`, r.died && el("span.pill.bad", { style: { "margin-left": "8px" } }, "died"), r.open && !r.died && el("span.pill.warn", { style: { "margin-left": "8px" } }, "open")] },
    has((r) => r.host || r.device) && { title: "Where", value: (r) => `${r.host ?? ""} ${r.device ?? ""}`, show: (r) => [r.host && longName(r.host), " ", r.device && el("span.soft", null, r.device)] },
    { title: "Took", num: true, value: (r) => r.took, show: (r) => duration(r.took) },
    { title: "Went into", show: (r) => rankBar(r, whole) },
    { title: "Losses", num: true, value: (r) => r.losses?.length ?? 0, show: (r) => count(r.losses?.length ?? 0) },
    { title: "Learned from", num: true, value: (r) => learned(r), show: (r) => (learned(r) ? count(learned(r)) : "") },
  ].filter(Boolean), step.ranks, { tall: step.ranks.length > 10, caption: "Ranks of the step" }));
  for (const number of step.missing ?? []) box.append(el("p.problem", null, `Nothing is known of rank ${number}.`));
  for (const rank of step.ranks) {
    if (rank.error) box.append(el("p.problem", null, `rank ${rank.rank}: ${[rank.error, rank.message].filter(Boolean).join(": ")}`));
    for (const [name, error, message] of rank.failed ?? []) box.append(el("p.problem", null, `rank ${rank.rank}, ${name}: ${[error, message].filter(Boolean).join(": ")}`));
    if (rank.died) box.append(el("p.problem", null, `rank ${rank.rank} did not come back${rank.unfinished ? ` from ${rank.unfinished[rank.unfinished.length - 1]}` : ""}: its process is gone and its span never ended.`));
  }
  return box;
}

/** A name that is cut where there is no room for it. */
const longName = (name) => el("span.name", { title: name }, name);

const learned = (rank) => (rank.losses ?? []).reduce((sum, loss) => sum + loss[3], 0);

function rankBar(rank, whole) {
  const times = Object.entries(rank.times ?? {}), sum = times.reduce((a, [, took]) => a + took, 0);
  const made = bar(times.map(([part, took]) => [took / whole, partColour(part), `${words(part)} ${duration(took)}`]));
  if (known(rank.took) && rank.took > sum * 1.001) made.title += ` · the rest ${duration(rank.took - sum)}`;
  made.classList.add("ranks");
  return made;
}

function extremes(samples) {
  const scored = samples.filter((one) => known(ROLLOUTS.reward[one]) && !(ROLLOUTS.flags[one] & EVALUATION));
  if (!scored.length) return el("p.note", null, samples.length ? "None of its rollouts has a reward." : "No rollouts of it were recorded.");
  const by = (value) => scored.slice().sort((a, b) => value(b) - value(a)).slice(0, 5);
  const column = (title, hint, found, figureOf) => el("div", null, el("h3", { title: hint }, title), el("ol.picks", null, found.map((one) => el("li", null,
    el("button.plain", { type: "button", title: ROLLOUTS.name[one], onclick: () => openItem(one, { reveal: true }) }, ROLLOUTS.name[one]), el("span.num", null, figureOf(one))))));
  return el("div.three", null,
    column("Best", "the highest rewards", by((one) => ROLLOUTS.reward[one]), (one) => figure(ROLLOUTS.reward[one])),
    column("Worst", "the lowest rewards", by((one) => -ROLLOUTS.reward[one]), (one) => figure(ROLLOUTS.reward[one])),
    column("Most surprising", "how far the reward lies from the mean of the others in its group, in standard deviations of the step's rewards", by((one) => Math.abs(ROLLOUTS.surprise[one] ?? 0)), (one) => `${figure(ROLLOUTS.reward[one])}, ${signedFigure(ROLLOUTS.surprise[one])} σ`));
}

function groupTable(samples, names) {
  const groups = new Map();
  for (const one of samples) if (ROLLOUTS.group[one] >= 0 && !(ROLLOUTS.flags[one] & EVALUATION)) groups.set(ROLLOUTS.group[one], [...(groups.get(ROLLOUTS.group[one]) ?? []), one]);
  if (!groups.size) return null;
  const rewards = samples.map((one) => ROLLOUTS.reward[one]).filter(known), low = least(rewards), high = greatest(rewards);
  const rows = [...groups].map(([group, members]) => {
    const values = members.map((one) => ROLLOUTS.reward[one]).filter(known), mean = values.reduce((a, b) => a + b, 0) / values.length;
    return { group, members, mean: values.length ? mean : null, std: values.length ? Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length) : null, flat: members.some((one) => ROLLOUTS.flags[one] & NO_SPREAD) };
  });
  return el("div", { style: { "margin-top": "16px" } }, el("h3", null, "Groups: a mark for each reward"), table([
    { title: "Group", head: true, value: (r) => r.group, show: (r) => [longName(names[r.group] ?? `group ${r.group + 1}`), r.flat && el("span.pill.warn", { style: { "margin-left": "8px" } }, "no spread")] },
    { title: "Rewards", show: (r) => strip(r.members.map((one) => ROLLOUTS.reward[one]), low, high) },
    { title: "Mean", num: true, value: (r) => r.mean, show: (r) => figure(r.mean) },
    { title: "Spread", num: true, value: (r) => r.std, show: (r) => figure(r.flat ? 0 : r.std) },
    { title: "Samples", num: true, value: (r) => r.members.length },
  ], rows, { tall: rows.length > 10, caption: "Groups of the step", onrow: (r) => explore({ step: picked, group: r.group }) }));
}

const least = (values) => values.reduce((a, b) => Math.min(a, b), Infinity);
const greatest = (values) => values.reduce((a, b) => Math.max(a, b), -Infinity);

/** Rewards as marks on one line. */
function strip(values, low, high, width = 300) {
  const found = values.filter(known), span = high - low || 1;
  const made = svg("svg", { width, height: 16, viewBox: `0 0 ${width} 16`, class: "spark", role: "img", "aria-label": `rewards ${found.map(figure).join(", ")}` }, svg("line", { x1: 0, x2: width, y1: 8, y2: 8, stroke: css("--line-strong") }));
  for (const value of found) made.append(svg("circle", { cx: 6 + ((value - low) / span) * (width - 12), cy: 8, r: 4.5, fill: css("--accent"), "fill-opacity": 0.45, stroke: css("--accent") }));
  return made;
}
