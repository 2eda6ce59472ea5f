// The timeline: a row for each power (for each game where there are several, for each model where there are no
// powers), a bar for each interaction, and the phases above. Dragging moves it, Ctrl and the wheel zoom, a click opens.

function timelineSection(view) {
  const several = view.game === null && DATA.games.filter((g) => g.phases.length).length > 1;
  const all = several ? [] : itemsOf(view);
  const lines = several
    ? "Games and their phases over time. Choose a game to see what happened in it."
    : "Each bar is one interaction. Drag to move, zoom with Ctrl and the wheel or the slider below, click a bar to read it.";
  const [node, body, tools] = card("timeline", "Timeline", lines.replace("interaction", nounOf(view)));
  const made = several ? gamesTimeline() : itemsTimeline(view, all);
  if (!made) {
    body.append(empty("Nothing happened in this range of time."));
    return node;
  }
  const { options, rows, begin, end, phases, legendOf, onclick, colouring } = made;
  const long = end - begin;
  let shown = [0, long], by = colouring[0]?.[0], off = new Set();
  const narrow = innerWidth < 600;
  const height = Math.min(760, rows.length * (rows.length > 12 ? 26 : 42) + (phases.length ? 26 : 0) + 84);
  const figure = chart(`Timeline of ${rows.length} rows from ${clock(begin)} to ${clock(end)}`, height, () => options({ shown, by, off, narrow }), (instance) => {
    instance.on("datazoom", () => {
      const zoom = instance.getOption().dataZoom[0], before = tickOf(shown);
      shown = [zoom.startValue, zoom.endValue];
      if (tickOf(shown) !== before) instance.setOption({ xAxis: { interval: tickOf(shown) } });
    });
    instance.on("click", (event) => onclick?.(event, zoomTo));
  });
  function zoomTo(from, to) {
    const [a, b] = [Math.max(0, from), Math.min(long, to)];
    figure.instance?.dispatchAction({ type: "dataZoom", dataZoomIndex: 0, startValue: a, endValue: b });
  }
  function scale(factor) {
    const middle = (shown[0] + shown[1]) / 2, half = ((shown[1] - shown[0]) / 2) * factor;
    zoomTo(middle - half, middle + half);
  }
  const redraw = () => figure.instance && figure.draw();
  if (phases.length > 1 && !several) {
    const jump = el("select", { "aria-label": "Go to a phase", onchange: () => (jump.value === "" ? zoomTo(0, long) : zoomTo(...phases[Number(jump.value)].range)) },
      el("option", { value: "" }, "Whole game"), phases.map((phase, i) => el("option", { value: String(i) }, phase.name)));
    const step = (by) => {
      const next = Math.max(0, Math.min(phases.length - 1, (jump.value === "" ? (by > 0 ? -1 : phases.length) : Number(jump.value)) + by));
      jump.value = String(next);
      zoomTo(...phases[next].range);
    };
    tools.append(el("button.control", { type: "button", "aria-label": "Phase before", onclick: () => step(-1) }, "‹"), jump,
      el("button.control", { type: "button", "aria-label": "Next phase", onclick: () => step(1) }, "›"));
  }
  tools.append(el("button.control", { type: "button", "aria-label": "Zoom in", onclick: () => scale(0.5) }, "+"),
    el("button.control", { type: "button", "aria-label": "Zoom out", onclick: () => scale(2) }, "−"));
  const key = el("div");
  const fillKey = () => key.replaceChildren(legend(legendOf(by), (i, on) => {
    const entry = legendOf(by)[i][3];
    if (on) off.delete(entry);
    else off.add(entry);
    redraw();
  }));
  if (colouring.length > 1) tools.prepend(segments("Colour by", colouring, by, (chosen) => {
    by = chosen;
    off = new Set();
    fillKey();
    redraw();
  }));
  if (legendOf) fillKey();
  body.append(key, figure.node);
  return node;
}

/** The distance of ticks, in ms, with which a range of time has about eight: 5 s, 30 s, 10 minutes, 2 hours … */
function tickOf([from, to]) {
  const wanted = (to - from) / (innerWidth < 600 ? 4 : 9);
  const steps = [10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 144e5, 216e5, 432e5, 864e5];
  return steps.find((step) => step >= wanted) ?? Math.ceil(wanted / 864e5) * 864e5;
}

function itemsTimeline(view, items) {
  if (!items.length) return null;
  const byPower = items.some((item) => ITEMS.power[item] >= 0);
  const column = byPower ? ITEMS.power : ITEMS.model;
  const label = (key) => (key < 0 ? "other" : byPower ? DATA.powers[key] : DATA.models[key]);
  const present = new Set(items.map((item) => column[item]));
  const players = byPower && view.game !== null ? DATA.games[view.game].players : [];
  const keys = [...players.filter((p) => present.has(p)), ...[...present].filter((k) => k >= 0 && !players.includes(k)).sort((a, b) => a - b), ...(present.has(-1) ? [-1] : [])];
  const begin = least(items.map((item) => ITEMS.start[item]));
  const end = Math.max(begin + 1, greatest(items.map((item) => ITEMS.start[item] + (ITEMS.took[item] ?? 0))));
  const phases = view.game === null ? [] : DATA.games[view.game].phases.map((phase, index) => {
    const from = phase.start - begin, until = (phase.end ?? Math.max(phase.start, end)) - begin, edge = (until - from) * 0.02;
    return { ...phase, index, from, until, range: [from - edge, until + edge] };
  });
  const lanes = packLanes(items, keys.map((key) => items.filter((item) => column[item] === key)));
  const top = phases.length ? 1 : 0;
  const rows = keys.map(label);
  const data = items.map((item) => [ITEMS.start[item] - begin, ITEMS.start[item] - begin + (ITEMS.took[item] ?? 0), keys.indexOf(column[item]) + top, lanes.lane[item], lanes.count[keys.indexOf(column[item])], item]);
  data.sort((a, b) => (ITEMS.state[a[5]] === FAILED) - (ITEMS.state[b[5]] === FAILED)); // failures on top
  const groups = { type: ITEMS.type, model: ITEMS.model };
  const keyOf = { type: (item) => ITEMS.type[item], model: (item) => ITEMS.model[item], outcome: (item) => ITEMS.state[item] };
  const colourOf = {
    type: (item) => typeColour(ITEMS.type[item]), model: (item) => modelColour(ITEMS.model[item]),
    outcome: (item) => [css("--accent"), css("--bad"), css("--faint")][ITEMS.state[item]],
  };
  const legendOf = (by) => {
    const counts = new Map();
    for (const item of items) counts.set(keyOf[by](item), (counts.get(keyOf[by](item)) || 0) + 1);
    const entries = [...counts].sort((a, b) => b[1] - a[1]);
    if (by === "outcome") return entries.map(([key, n]) => [["succeeded", "failed", "undecided"][key], [css("--accent"), css("--bad"), css("--faint")][key], n, key]);
    return entries.map(([key, n]) => [key < 0 ? "other" : by === "type" ? words(DATA.types[key]) : DATA.models[key], by === "type" ? typeColour(key) : modelColour(key), n, key]);
  };
  const options = ({ shown, by, off, narrow }) => timelineOptions({
    rows: phases.length ? ["", ...rows] : rows, narrow, shown, begin, end, phases, off: (entry) => off.has(keyOf[by](entry[5])),
    data, colour: (entry) => colourOf[by](entry[5]), failed: (entry) => ITEMS.state[entry[5]] === FAILED && by !== "outcome",
    text: (entry) => words(DATA.types[ITEMS.type[entry[5]]] ?? ""), tooltip: (entry) => itemTip(entry[5]),
    rowColour: (name) => (byPower ? powerColour(DATA.powers.indexOf(name)) : null),
  });
  const onclick = (event, zoomTo) => {
    if (event.seriesId === "items") openItem(event.value[5], { reveal: true });
    else if (event.seriesId === "phases") zoomTo(...phases[event.value[5]].range);
  };
  const colouring = [["type", "Type"], ["model", "Model"], ["outcome", "Outcome"]].filter(([key]) => key === "outcome" || new Set(items.map((i) => groups[key][i])).size > 1);
  return { options, rows, begin, end, phases, legendOf, onclick, colouring };
}

function gamesTimeline() {
  const games = DATA.games.map((game, index) => ({ ...game, index })).filter((game) => game.phases.length).slice(-60);
  const begin = least(games.map((g) => g.start)), end = Math.max(begin + 1, greatest(games.map((g) => g.end)));
  const rows = games.map((game) => gameName(game.index));
  const data = games.flatMap((game, row) => game.phases.map((phase, i) => [phase.start - begin, (phase.end ?? game.end) - begin, row, 0, 1, game.index, i]));
  const types = [...new Set(games.flatMap((g) => g.phases.map((p) => p.type)))];
  const options = ({ shown, off, narrow }) => timelineOptions({
    rows, narrow, shown, begin, end, phases: [], data, off: (entry) => off.has(DATA.games[entry[5]].phases[entry[6]].type),
    colour: (entry) => typeColour(types.indexOf(DATA.games[entry[5]].phases[entry[6]].type) + 3),
    failed: (entry) => DATA.games[entry[5]].phases[entry[6]].error !== null,
    text: (entry) => DATA.games[entry[5]].phases[entry[6]].name,
    tooltip: (entry) => phaseTip(DATA.games[entry[5]].phases[entry[6]], gameName(entry[5])), rowColour: () => null,
  });
  const legendOf = () => types.map((type, i) => [words(type), typeColour(i + 3), null, type]);
  const onclick = (event) => viewOf(event.value[5]) && choose(event.value[5]);
  return { options, rows, begin, end, phases: [], legendOf, onclick, colouring: [["phase", "Phase"]] };
}

/** Put bars that overlap in one row into lanes; at most `most` of them, after which they lie on each other. */
function packLanes(items, rows, most = 4) {
  const lane = {}, number = [];
  for (const row of rows) {
    const free = [];
    for (const item of row) {
      let place = free.findIndex((until) => until <= ITEMS.start[item]);
      if (place < 0) place = free.length < most ? free.length : free.indexOf(least(free));
      free[place] = ITEMS.start[item] + (ITEMS.took[item] ?? 0);
      lane[item] = place;
    }
    number.push(Math.max(1, free.length));
  }
  return { lane, count: number };
}

function timelineOptions({ rows, narrow, shown, begin, end, phases, data, colour, failed, off, text, tooltip, rowColour }) {
  const bad = css("--bad"), ink = css("--ink"), cardColour = css("--card"), stripe = css("--stripe");
  const left = narrow ? 48 : Math.min(190, Math.max(76, greatest(rows.map((row) => row.length)) * 7.4 + 22));
  const cut = narrow ? 3 : 26;
  const clip = (x, from, to) => Math.max(from, Math.min(to, x));
  // Seen from far, many bars fall on one pixel: of each row's lane only the first is drawn there, and the first failure.
  let taken = new Map();
  function bar(params, api) {
    const entry = data[params.dataIndex];
    if (params.dataIndexInside === 0) taken = new Map();
    if (off(entry)) return null;
    const area = params.coordSys, from = api.coord([entry[0], entry[2]]), to = api.coord([entry[1], entry[2]]);
    const bad_ = failed(entry), band = api.size([0, 1])[1], room = band * 0.78, tall = Math.max(3, room / entry[4] - (entry[4] > 1 ? 1 : 0));
    const x0 = clip(from[0], area.x, area.x + area.width), x1 = clip(to[0], area.x, area.x + area.width);
    if (to[0] < area.x || from[0] > area.x + area.width) return null;
    const wide = Math.max(bad_ ? (data.length > 3000 ? 1.5 : 2.5) : 1, x1 - x0 - (x1 - x0 > 4 ? 1 : 0));
    if (wide < 3) {
      const place = entry[2] * 10 + entry[3] + (bad_ ? 0.5 : 0), last = taken.get(place);
      if (last !== undefined && x0 - last < 1.5) return null;
      taken.set(place, x0);
    }
    const shape = { x: x0, y: from[1] - room / 2 + (room / entry[4]) * entry[3], width: wide, height: tall, r: wide > 6 ? 2 : 0 };
    const node = { type: "rect", shape, style: { fill: bad_ ? bad : colour(entry) }, emphasis: { style: { stroke: ink, lineWidth: 1.5 } } };
    const said = wide > 44 && tall > 12 ? text(entry) : "";
    if (said) {
      node.textContent = { style: { text: said, fill: cardColour, font: `500 11px ${css("--font")}`, overflow: "truncate", width: wide - 8, ellipsis: "…" } };
      node.textConfig = { position: "insideLeft", distance: 4 };
    }
    return node;
  }
  function phaseBar(params, api) {
    const phase = phases[params.dataIndex], area = params.coordSys;
    const from = api.coord([phase.from, 0]), to = api.coord([phase.until, 0]);
    if (to[0] < area.x || from[0] > area.x + area.width) return null;
    const x0 = clip(from[0], area.x, area.x + area.width), x1 = clip(to[0], area.x, area.x + area.width), wide = Math.max(1, x1 - x0);
    const band = api.size([0, 1])[1];
    const children = [
      { type: "rect", silent: true, shape: { x: x0, y: area.y, width: wide, height: area.height }, style: { fill: params.dataIndex % 2 ? stripe : "transparent" } },
      { type: "rect", shape: { x: x0, y: area.y + 1, width: Math.max(1, wide - 1), height: band * 0.62, r: wide > 8 ? 3 : 0 }, style: { fill: phase.error ? bad : css("--line") } },
    ];
    if (wide > 46) children[1].textContent = { style: { text: phase.name, fill: phase.error ? cardColour : css("--soft"), font: `600 11px ${css("--font")}`, overflow: "truncate", width: wide - 8 } };
    if (wide > 46) children[1].textConfig = { position: "inside" };
    return { type: "group", children };
  }
  return {
    grid: { left, right: narrow ? 8 : 14, top: 6, bottom: 58 },
    xAxis: axis("value", {
      min: 0, max: end - begin, interval: tickOf(shown), splitLine: { show: true },
      axisLabel: { formatter: (value) => elapsed(value, tickOf(shown)), showMinLabel: true, showMaxLabel: false },
    }),
    yAxis: axis("category", {
      data: rows, inverse: true, axisLine: { show: false }, splitLine: { show: false },
      axisLabel: { interval: 0, hideOverlap: false, overflow: "none", color: css("--ink"), fontSize: rows.length > 30 ? 10 : 12,
        formatter: (name) => (name.length > cut ? (narrow ? name.slice(0, 3) : `${name.slice(0, cut - 1)}…`) : name) },
    }),
    tooltip: { trigger: "item", formatter: (event) => (event.seriesId === "phases" ? phaseTip(phases[event.dataIndex]) : tooltip(data[event.dataIndex])) },
    dataZoom: [
      { type: "slider", xAxisIndex: 0, filterMode: "none", startValue: shown[0], endValue: shown[1], bottom: 8, height: 20, showDataShadow: false, brushSelect: false,
        borderColor: css("--line"), fillerColor: css("--accent-soft"), handleStyle: { color: css("--card"), borderColor: css("--accent") },
        moveHandleStyle: { color: css("--line-strong") }, textStyle: { color: css("--soft") }, labelFormatter: (value) => elapsed(value) },
      { type: "inside", xAxisIndex: 0, filterMode: "none", zoomOnMouseWheel: "ctrl", moveOnMouseWheel: false, moveOnMouseMove: true, preventDefaultMouseMove: false },
    ],
    series: [
      phases.length && { id: "phases", type: "custom", renderItem: phaseBar, encode: { x: [0, 1], y: 2 }, data: phases.map((p, i) => [p.from, p.until, 0, 0, 1, i]), clip: true, z: 1 },
      { id: "items", type: "custom", renderItem: bar, encode: { x: [0, 1], y: 2 }, data, clip: true, z: 2, progressive: 0 },
    ].filter(Boolean),
  };
}

function itemTip(item) {
  const phase = phaseOf(item), failed = ITEMS.state[item] === FAILED;
  return tip(itemTitle(item), [
    ["Phase", phase?.name], ["Model", nameOf("models", ITEMS.model[item])],
    ["Took", ITEMS.took[item] === null ? "has not ended" : duration(ITEMS.took[item] / 1000)],
    ["Attempt", ITEMS.attempt[item] > 1 ? ITEMS.attempt[item] : null],
    ["Calls", ITEMS.calls[item] === 1 ? null : ITEMS.calls[item]], ["Calls that failed", ITEMS.refused[item] || null],
    ["Tokens", known(ITEMS.got[item]) ? `${count(ITEMS.given[item] || 0)} in, ${count(ITEMS.got[item])} out` : null],
    ["Cost", money(ITEMS.cost[item])], ["Invalid orders", ITEMS.invalid[item] || null],
    ["Failed", failed ? nameOf("errors", ITEMS.error[item]) ?? "yes" : null, css("--bad")],
  ], ITEMS.said[item]);
}

function phaseTip(phase, title) {
  const held = phase.centers.slice().sort((a, b) => b[1] - a[1]);
  return tip(title ? `${title} · ${phase.name}` : phase.name, [
    ["Took", phase.end === null ? "has not ended" : duration((phase.end - phase.start) / 1000)], ["Interactions", count(phase.n)],
    ["Failed", phase.failed || null], ["Cost", money(phase.cost)], ["Error", phase.error],
    ...held.map(([power, n]) => [DATA.powers[power], n, powerColour(power)]),
  ]);
}
