// Time, tokens and money by model, power and type; how often things worked; models side by side.

const BY = { model: "Model", type: "Type", power: "Power", phase_type: "Kind of phase" };

function keyName(by, key) {
  if (by === "power") return powerName(key);
  if (by === "type") return key < 0 ? el("span.faint", null, "no type") : swatch(words(DATA.types[key]), typeColour(key));
  if (by === "model") return key < 0 ? el("span.faint", null, "unknown") : swatch(DATA.models[key], modelColour(key));
  return key === null ? el("span.faint", null, "outside any phase") : words(key);
}
const keyText = (by, key) => (by === "phase_type" ? key ?? "" : key < 0 ? "" : DATA[`${by}s`][key]);
const keyColour = (by, key) => (by === "power" ? powerColour(key) : by === "type" ? typeColour(key) : modelColour(key));
const drill = (by) => (by === "phase_type" ? undefined : (row) => explore({ [by]: row.key }));

function tabbed(tools, body, choices, fill) {
  const usable = choices.filter(([by, rows]) => rows.length && (by === choices[0][0] || rows.some((row) => row.key !== -1 && row.key !== null)));
  if (!usable.length) return false;
  const place = el("div");
  const show = (by) => place.replaceChildren(fill(by, usable.find(([name]) => name === by)[1]));
  if (usable.length > 1) tools.append(segments("By", usable.map(([by]) => [by, BY[by]]), usable[0][0], show));
  body.append(place);
  show(usable[0][0]);
  return true;
}

// --- latency ------------------------------------------------------------------------------------

function latencySection(view) {
  const { edges } = view.latency;
  const [node, body, tools] = card("latency", "How long answers took", "Of model calls that did not fail; by type and power of whole interactions. The line in each distribution marks its median.");
  const made = tabbed(tools, body, ["model", "type", "power"].map((by) => [by, view.latency[by]]), (by, rows) => {
    const wide = innerWidth < 600 ? 180 : 340;
    return table([
      { title: BY[by], head: true, value: (r) => keyText(by, r.key), show: (r) => keyName(by, r.key) },
      { title: "n", num: true, value: (r) => r.n, show: (r) => count(r.n) },
      { title: "Median", num: true, value: (r) => r.p50, show: (r) => el("b", null, duration(r.p50)) },
      { title: "90%", num: true, value: (r) => r.p90, show: (r) => duration(r.p90), hint: "Nine of ten took at most this long" },
      { title: "99%", num: true, value: (r) => r.p99, show: (r) => duration(r.p99), hint: "99 of a hundred took at most this long" },
      { title: "Longest", num: true, value: (r) => r.max, show: (r) => duration(r.max) },
      by === "model" && rows.some((r) => known(r.first)) && { title: "First token", num: true, value: (r) => r.first, show: (r) => duration(r.first), hint: "Median time to the first piece of a streamed answer" },
      { title: scaleOf(edges, wide), show: (r) => histogram(r.bins, edges, r.p50, keyColour(by, r.key), wide) },
    ].filter(Boolean), rows, { sort: [2, true], onrow: drill(by) });
  });
  if (!made) body.append(empty("Nothing has ended yet, so nothing is known about time."));
  return node;
}

/** The labels of the histograms' common axis: 0.1 s, 1 s, 10 s, 1 m 40 s … */
function scaleOf(edges, width) {
  if (!edges.length) return "";
  const low = Math.log10(edges[0]), high = Math.log10(edges.at(-1)), made = svg("svg", { width, height: 15, viewBox: `0 0 ${width} 15`, class: "spark", role: "presentation" });
  const ticks = [];
  for (let power = Math.floor(low); power <= high; power += 1) for (const step of high - low < 1.6 ? [1, 2, 5] : [1]) ticks.push(step * 10 ** power);
  for (const tick of ticks) {
    const x = ((Math.log10(tick) - low) / (high - low)) * width;
    if (x < -1 || x > width + 1) continue;
    const anchor = x < 24 ? "start" : x > width - 24 ? "end" : "middle";
    made.append(svg("text", { x: Math.max(0, Math.min(width, x)), y: 12, "text-anchor": anchor, fill: css("--faint"), "font-size": 11, "font-weight": 400 }, tick >= 1 ? `${tick >= 1000 ? `${tick / 1000}k` : tick} s` : `${Math.round(tick * 1e3)} ms`));
  }
  return made;
}

// --- tokens and cost ----------------------------------------------------------------------------

function spendingSection(view) {
  const [node, body, tools] = card("spending", "Tokens and cost", "Each attempt counts. Prices are list prices; models without a known price have none.");
  const made = tabbed(tools, body, ["model", "power", "type"].map((by) => [by, view.spending[by]]), (by, rows) => {
    const digits = moneyDigits(rows.map((r) => r.cost));
    const sum = (name) => rows.reduce((all, r) => all + (r[name] || 0), 0);
    const priced = rows.some((r) => known(r.cost)), most = greatest(rows.map((r) => (priced ? r.cost : (r.given || 0) + (r.got || 0)) || 0));
    const total = priced ? sum("cost") : sum("given") + sum("got");
    const size = (r) => (priced ? r.cost : (r.given || 0) + (r.got || 0));
    return table([
      { title: BY[by], head: true, value: (r) => keyText(by, r.key), show: (r) => keyName(by, r.key) },
      { title: "Calls", num: true, value: (r) => r.calls, show: (r) => count(r.calls) },
      { title: "Failed", num: true, value: (r) => r.refused, show: (r) => (r.refused ? el("span.bad", null, count(r.refused)) : el("span.faint", null, "0")) },
      { title: "Tokens in", num: true, value: (r) => r.given, show: (r) => count(r.given) },
      rows.some((r) => r.cached) && { title: "From cache", num: true, value: (r) => r.cached, show: (r) => count(r.cached) },
      { title: "Tokens out", num: true, value: (r) => r.got, show: (r) => count(r.got) },
      priced && { title: "Cost", num: true, value: (r) => r.cost, show: (r) => (known(r.cost) ? [el("b", null, money(r.cost, digits)), r.unpriced > 0 && el("span.faint", { title: `${r.unpriced} calls have no known price` }, " +?")] : el("span.faint", null, "no price")) },
      priced && { title: "A call", num: true, value: (r) => r.cost / r.calls, show: (r) => (known(r.cost) ? money(r.cost / r.calls, 5) : "") },
      { title: priced ? "Share of cost" : "Share of tokens", num: true, value: size, show: (r) => (known(size(r)) && total ? percent(size(r) / total, 0) : "") },
      { title: "", show: (r) => bar([[most ? (size(r) || 0) / most : 0, keyColour(by, r.key), ""]]) },
    ].filter(Boolean), rows, { sort: [rows.some((r) => r.cached) ? (priced ? 6 : 5) : priced ? 5 : 4, true], onrow: drill(by) });
  });
  if (!made) body.append(empty("No model was called."));
  return node;
}

// --- success ------------------------------------------------------------------------------------

function successSection(view) {
  if (!view.totals.interactions) return null;
  const [node, body, tools] = card("success", "What worked", "Interactions that succeeded among those that are decided.", outside(view) ? "" : "half");
  const made = tabbed(tools, body, ["type", "model", "power", "phase_type"].map((by) => [by, view.success[by]]), (by, rows) => table([
    { title: BY[by], head: true, value: (r) => keyText(by, r.key), show: (r) => keyName(by, r.key) },
    { title: "n", num: true, value: (r) => r.n, show: (r) => count(r.n) },
    { title: "Failed", num: true, value: (r) => r.failed, show: (r) => (r.failed ? el("span.bad", { title: Object.entries(r.errors).map(([e, n]) => `${e}: ${n}`).join(", ") }, count(r.failed)) : el("span.faint", null, "0")) },
    { title: "Rate", num: true, value: (r) => r.rate, show: (r) => (known(r.rate) ? percent(r.rate) : "–") },
    { title: "", show: (r) => bar([[r.n ? r.ok / r.n : 0, css("--good"), `${count(r.ok)} succeeded`], [r.n ? r.failed / r.n : 0, css("--bad"), `${count(r.failed)} failed`]]) },
  ], rows, { sort: [3, false], onrow: drill(by) }));
  if (!made) body.append(empty("There are no interactions."));
  return node;
}

// --- models side by side ------------------------------------------------------------------------

function modelsSection(view) {
  const rows = view.models.filter((r) => r.model >= 0);
  if (rows.length < 2) return null;
  const [node, body] = card("models", "Models side by side", "By the interactions in which they were asked; means are of one interaction.");
  const has = (test) => rows.some(test);
  body.append(table([
    { title: "Model", head: true, value: (r) => DATA.models[r.model], show: (r) => keyName("model", r.model) },
    { title: "Interactions", num: true, value: (r) => r.interactions, show: (r) => count(r.interactions) },
    { title: "Success", num: true, value: (r) => r.rate, show: (r) => percent(r.rate) },
    has((r) => known(r.invalid)) && { title: "Invalid orders", num: true, value: (r) => r.invalid, show: (r) => percent(r.invalid) },
    { title: "Median time", num: true, value: (r) => r.latency?.p50, show: (r) => duration(r.latency?.p50) },
    { title: "90% time", num: true, value: (r) => r.latency?.p90, show: (r) => duration(r.latency?.p90) },
    { title: "Tokens out", num: true, value: (r) => r.tokens, show: (r) => count(r.tokens), hint: "mean of an interaction" },
    { title: "Answer", num: true, value: (r) => r.length, show: (r) => (known(r.length) ? `${count(r.length)} ch` : ""), hint: "mean characters of an answer" },
    has((r) => known(r.each)) && { title: "Cost each", num: true, value: (r) => r.each, show: (r) => money(r.each, 5), hint: "of an interaction" },
    has((r) => known(r.reward)) && { title: "Reward", num: true, value: (r) => r.reward, show: (r) => (known(r.reward) ? r.reward.toFixed(3) : "") },
    has((r) => r.games > 1) && { title: "Games", num: true, value: (r) => r.games, show: (r) => count(r.games) },
    has((r) => r.wins) && { title: "Won", num: true, value: (r) => r.wins, show: (r) => count(r.wins) },
  ].filter(Boolean), rows, { sort: [1, true], onrow: (r) => explore({ model: r.model }) }));
  return node;
}
