// Training: episodes one after the other, and what goes together with the reward.

const MEASURES = [["reward", "Reward", (v) => v.toFixed(3)], ["rate", "Success", (v) => percent(v)], ["invalid", "Invalid orders", (v) => percent(v)], ["tokens", "Tokens out", count], ["median", "Median time", duration]];

function trainingSection(view) {
  const rewards = view.rewards.filter((row) => known(row.pearson) || known(row.spearman));
  if (!view.episodes.length && !view.rewards.length) return null;
  const [node, body] = card("training", "Training", "Episodes in their order, and what goes together with the reward.");
  const both = el("div", { style: { display: "grid", gap: "24px", "grid-template-columns": "repeat(auto-fit, minmax(min(100%, 420px), 1fr))" } });
  if (view.episodes.length > 1) both.append(episodes(view.episodes));
  else if (view.episodes.length) both.append(el("div", null, el("h3", null, "Episodes"), empty(`All of it is episode ${view.episodes[0].episode}: there is nothing to compare yet.`)));
  const right = el("div", null, el("h3", { style: { "margin-bottom": "6px" } }, "Together with the reward"));
  if (rewards.length) {
    right.append(table([
      { title: "Measure", head: true, value: (r) => r.measure, show: (r) => [r.measure, el("span.faint", null, ` of ${r.level === "game" ? "a game" : "an interaction"}`)] },
      { title: "n", num: true, value: (r) => r.n, show: (r) => count(r.n) },
      { title: "Pearson", num: true, value: (r) => Math.abs(r.pearson ?? 0), show: (r) => signed(r.pearson), hint: "−1 to 1: how near to a line" },
      { title: "Spearman", num: true, value: (r) => Math.abs(r.spearman ?? 0), show: (r) => signed(r.spearman), hint: "−1 to 1: of the ranks" },
      { title: "", show: (r) => diverging(r.spearman ?? r.pearson) },
    ], rewards, { sort: [3, true] }), el("p.note", null, "A correlation says that two things go together, not that one makes the other."));
  } else right.append(empty("There are too few rewards to compare with, or they are all the same."));
  both.append(right);
  body.append(both);
  return node;
}

const signed = (value) => (known(value) ? `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}` : "–");

/** A bar from the middle: to the left below zero, to the right above. */
function diverging(value, width = 120) {
  const half = width / 2, long = Math.abs(value) * half;
  return svg("svg", { width, height: 12, viewBox: `0 0 ${width} 12`, class: "spark", role: "img", "aria-label": signed(value) },
    svg("rect", { x: 0, y: 2, width, height: 8, fill: css("--sunk") }),
    svg("rect", { x: value < 0 ? half - long : half, y: 2, width: long, height: 8, fill: value < 0 ? css("--bad") : css("--accent") }),
    svg("line", { x1: half, x2: half, y1: 0, y2: 12, stroke: css("--line-strong") }));
}

function episodes(rows) {
  const measures = MEASURES.filter(([name]) => rows.filter((row) => known(row[name])).length > 1);
  const place = el("div"), names = rows.map((row) => String(row.episode));
  let [chosen] = measures[0] ?? [];
  const figure = chart(`Progress over ${rows.length} episodes`, 260, () => {
    const [name, title, show] = measures.find(([key]) => key === chosen);
    return {
      grid: { left: 56, right: 14, top: 14, bottom: 44 },
      xAxis: axis("category", { data: names, name: "Episode", nameLocation: "middle", nameGap: 28, boundaryGap: false }),
      yAxis: axis("value", { scale: true, axisLabel: { formatter: (value) => show(value) } }),
      tooltip: { trigger: "axis", formatter: (points) => {
        const row = rows[points[0].dataIndex];
        return tip(`Episode ${row.episode}`, [[title, known(row[name]) ? show(row[name]) : ""], ["Games", row.games], ["Interactions", count(row.interactions)], ["Cost", money(row.cost)]]);
      } },
      series: [{ type: "line", data: rows.map((row) => row[name]), symbol: rows.length > 60 ? "none" : "circle", symbolSize: 6, connectNulls: true, lineStyle: { color: css("--accent"), width: 2 }, itemStyle: { color: css("--accent") } }],
    };
  });
  if (measures.length) place.append(el("div.head", null, el("div", null, el("h3", null, "Episodes")), el("div.tools", null, segments("Measure", measures, chosen, (name) => {
    chosen = name;
    if (figure.instance) figure.draw();
  }))), figure.node);
  place.append(el("details", null, el("summary", null, "As a table"), table([
    { title: "Episode", head: true, value: (r) => r.episode },
    { title: "Games", num: true, value: (r) => r.games },
    ...measures.map(([name, title, show]) => ({ title, num: true, value: (r) => r[name], show: (r) => (known(r[name]) ? show(r[name]) : "") })),
    { title: "Cost", num: true, value: (r) => r.cost, show: (r) => money(r.cost) },
  ], rows, { tall: rows.length > 12, caption: "Episodes" })));
  return place;
}
