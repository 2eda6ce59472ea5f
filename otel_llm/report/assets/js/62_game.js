// What happened on the board and between the powers: centres, letters, kinds of interactions, invalid orders.

/** Is this what belongs to no game? */
const outside = (view) => view.game !== null && DATA.games[view.game].id === "";

function centresSection(view) {
  if (view.game === null || outside(view)) return null;
  const phases = DATA.games[view.game].phases.filter((phase) => phase.centers.length);
  const [node, body, tools] = card("centres", "Centres over time", "Supply centres of each power when a phase ended.", "wide");
  if (!phases.length) {
    body.append(empty("No supply centres were recorded in this game."));
    return node;
  }
  const players = DATA.games[view.game].players.filter((p) => phases.some((phase) => phase.centers.some(([q]) => q === p)));
  const powers = players.length ? players : [...new Set(phases.flatMap((phase) => phase.centers.map(([p]) => p)))];
  const series = powers.map((power) => phases.map((phase) => phase.centers.find(([p]) => p === power)?.[1] ?? null));
  let mode = "lines";
  const top = greatest(series.flat().filter(known)) + 1, height = 330, frame = { top: 12, bottom: 34 };
  // Powers with as many centres would lie on each other: each is drawn a little beside its number.
  const aside = powers.map((_, i) => (i - (powers.length - 1) / 2) * Math.min(0.09, 0.6 / powers.length));
  const pixel = (height - frame.top - frame.bottom) / top;
  const labels = spread(series.map((values, i) => ((lastKnown(values) || 0) + aside[i]) * pixel), 15);
  const names = phases.map((phase) => phase.name);
  const figure = chart(`Supply centres of ${powers.length} powers over ${phases.length} phases`, height, () => {
    const narrow = innerWidth < 600, lines = mode === "lines";
    return {
      grid: { left: 30, right: lines ? (narrow ? 56 : 96) : 10, ...frame },
      xAxis: axis("category", { data: names, axisLabel: { interval: "auto", rotate: narrow ? 45 : 0 } }),
      yAxis: axis("value", lines ? { min: 0, max: top, interval: Math.ceil(top / 8) } : { minInterval: 1 }),
      tooltip: { trigger: "axis", axisPointer: { type: lines ? "line" : "shadow" }, formatter: (points) => tip(names[points[0].dataIndex], points.map((point) => [point.seriesName, series[point.seriesIndex][point.dataIndex], powerColour(powers[point.seriesIndex])]).sort((a, b) => b[1] - a[1])) },
      series: powers.map((power, i) => (lines
        ? { type: "line", name: DATA.powers[power], data: series[i].map((value) => (known(value) ? value + aside[i] : null)), step: "middle", symbol: "none", connectNulls: true, lineStyle: { width: 2.5, color: powerColour(power) }, itemStyle: { color: powerColour(power) },
            endLabel: { show: true, formatter: `${narrow ? DATA.powers[power].slice(0, 3) : DATA.powers[power].slice(0, 12)} ${lastKnown(series[i])}`, color: powerColour(power), fontWeight: 600, fontSize: 12, offset: [0, -labels[i]] }, emphasis: { focus: "series" } }
        : { type: "bar", name: DATA.powers[power], stack: "all", data: series[i], itemStyle: { color: powerColour(power), borderColor: css("--card"), borderWidth: 1 }, barCategoryGap: "18%",
            label: { show: phases.length <= 24, color: css("--card"), fontSize: 11, formatter: (point) => (point.value > 0 ? String(point.value) : "") } })),
    };
  });
  tools.append(segments("Form", [["lines", "Lines"], ["share", "Shares"]], mode, (chosen) => {
    mode = chosen;
    if (figure.instance) figure.draw();
  }));
  body.append(figure.node);
  body.append(el("details", null, el("summary", null, "As a table"), table([
    { title: "Phase", head: true, value: (r) => r.name },
    ...powers.map((power) => ({ title: DATA.powers[power], num: true, value: (r) => r.centers.find(([p]) => p === power)?.[1] })),
  ], phases, { tall: phases.length > 12, caption: "Supply centres by phase" })));
  return node;
}

/** How far each label must move up so that any two are `apart` from each other, given where they would be. */
function spread(places, apart) {
  const order = places.map((_, i) => i).sort((a, b) => places[a] - places[b]), at = places.slice();
  for (let round = 0; round < 40; round++) {
    for (let k = 1; k < order.length; k++) {
      const missing = apart - (at[order[k]] - at[order[k - 1]]);
      if (missing > 0.01) {
        at[order[k]] += missing / 2;
        at[order[k - 1]] -= missing / 2;
      }
    }
  }
  const under = Math.max(0, apart / 2 - 14 - least(at)); // none below the axis
  return at.map((place, i) => place + under - places[i]);
}

const lastKnown = (values) => values.filter(known).at(-1) ?? "";

// --- who wrote to whom --------------------------------------------------------------------------

function lettersSection(view) {
  const { from, to, n } = view.letters;
  if (outside(view) && !from.length) return null;
  const [node, body] = card("letters", "Who wrote to whom", "Messages by sender (rows) and recipient (columns). Choose a number to read them.", view.game === null || outside(view) ? "" : "narrow");
  if (!from.length) {
    body.append(empty("No messages between powers were recorded. Programs record them with ", el("code", null, "interaction.message(…)"), "."));
    return node;
  }
  const most = greatest(n.flat()), sums = n.map((row) => row.reduce((a, b) => a + b, 0));
  const short = (party) => (DATA.parties[party].length > 9 ? `${DATA.parties[party].slice(0, 3)}` : DATA.parties[party].slice(0, 3));
  const columnSums = to.map((_, j) => n.reduce((sum, row) => sum + row[j], 0));
  const head = el("tr", null, el("td"), to.map((party) => el("th", { scope: "col", title: DATA.parties[party] }, party === 0 ? "All" : short(party))), el("th", { scope: "col" }, "Sum"));
  const rows = from.map((sender, i) => el("tr", null,
    el("th", { scope: "row" }, powerName(DATA.powers.indexOf(DATA.parties[sender])).childNodes.length ? partyName(sender) : null),
    to.map((party, j) => el("td", null, n[i][j]
      ? el("button", { type: "button", title: `${DATA.parties[sender]} to ${DATA.parties[party]}: ${plural(n[i][j], "message")}, ${count(view.letters.characters[i][j])} characters`,
          style: { background: `rgb(${css("--heat")} / ${(0.1 + 0.5 * (n[i][j] / most)).toFixed(3)})` }, onclick: () => explore({ power: DATA.powers.indexOf(DATA.parties[sender]), to: party }) }, count(n[i][j]))
      : el("span", null, DATA.parties[sender] === DATA.parties[party] ? "" : "·"))),
    el("td.sum", null, el("span", null, count(sums[i])))));
  const foot = el("tr", null, el("th", { scope: "row" }, "Sum"), columnSums.map((sum) => el("td.sum", null, el("span", null, count(sum)))), el("td.sum", null, el("span", null, count(sums.reduce((a, b) => a + b, 0)))));
  body.append(el("div.scroll", null, el("table.matrix", null, el("thead", null, head), el("tbody", null, rows, foot))));
  return node;
}

function partyName(party) {
  const power = DATA.powers.indexOf(DATA.parties[party]);
  return power < 0 ? DATA.parties[party] : powerName(power);
}

// --- kinds of interactions by phase -------------------------------------------------------------

function patternsSection(view) {
  const { phases, types, counts } = view.patterns;
  if (!types.length) return null;
  const costs = view.costs;
  const [node, body] = card("patterns", "Interactions by phase", "What the powers did in each phase.", costs ? "half" : "");
  const names = phases.map((name) => name ?? "outside");
  const hidden = new Set();
  const figure = chart(`Interactions by type in ${names.length} phases`, 280, () => ({
    grid: { left: 40, right: 10, top: 10, bottom: 34 },
    xAxis: axis("category", { data: names, axisLabel: { rotate: innerWidth < 600 ? 45 : 0 } }),
    yAxis: axis("value", { minInterval: 1 }),
    tooltip: { trigger: "axis", axisPointer: { type: "shadow" }, formatter: (points) => tip(names[points[0].dataIndex], points.filter((p) => p.value).map((p) => [p.seriesName, count(p.value), p.color])) },
    series: types.map((type, i) => ({ type: "bar", name: words(DATA.types[type] ?? "?"), stack: "all", data: hidden.has(i) ? [] : counts[i], itemStyle: { color: typeColour(type) }, barCategoryGap: "22%", barMaxWidth: 40 })),
  }));
  body.append(legend(types.map((type, i) => [words(DATA.types[type] ?? "?"), typeColour(type), counts[i].reduce((a, b) => a + b, 0)]), (i, on) => {
    if (on) hidden.delete(i);
    else hidden.add(i);
    if (figure.instance) figure.draw();
  }), figure.node);
  return node;
}

function costsSection(view) {
  const costs = view.costs;
  if (!costs || view.game === null) return null;
  const phases = DATA.games[view.game].phases;
  const [node, body] = card("costs", "Cost as the game went on", "Sum over the phases so far, by power.", "half");
  const names = phases.map((phase) => phase.name);
  const order = costs.powers.map((_, i) => i).sort((a, b) => costs.powers[b] - costs.powers[a]); // the first on top
  const powers = order.map((i) => costs.powers[i]);
  const sums = order.map((i) => costs.usd[i]).map((row) => { let sum = 0; return row.map((usd) => (sum += usd)); });
  const figure = chart(`Cost by power over ${phases.length} phases`, 280, () => ({
    grid: { left: 52, right: 14, top: 10, bottom: 34 },
    xAxis: axis("category", { data: names, boundaryGap: false, axisLabel: { rotate: innerWidth < 600 ? 45 : 0 } }),
    yAxis: axis("value", { axisLabel: { formatter: (value) => `$${Number(value.toPrecision(3))}` } }),
    tooltip: { trigger: "axis", formatter: (points) => tip(names[points[0].dataIndex], [...points].reverse().map((p) => [p.seriesName, money(p.value, 4), p.color]), `${money(points.reduce((sum, p) => sum + p.value, 0))} in all`) },
    series: powers.map((power, i) => ({ type: "line", name: powerOf(power) ?? "no power", stack: "all", symbol: "none", lineStyle: { width: 0 }, itemStyle: { color: powerColour(power) }, areaStyle: { color: powerColour(power), opacity: 0.85 }, data: sums[i] })),
  }));
  body.append(legend([...powers].reverse().map((power) => [powerOf(power) ?? "no power", powerColour(power)])), figure.node);
  return node;
}

// --- orders -------------------------------------------------------------------------------------

function ordersSection(view) {
  if (outside(view)) return null;
  const judged = view.powers.filter((row) => row.valid + row.invalid > 0);
  const [node, body] = card("orders", "Invalid orders", "Orders that the program could not use.", "half");
  if (!judged.length) {
    body.append(empty("No orders were judged in this range."));
    return node;
  }
  const most = greatest(judged.map((r) => r.invalid / (r.valid + r.invalid)));
  body.append(table([
    { title: "Power", head: true, value: (r) => powerOf(r.power), show: (r) => powerName(r.power) },
    { title: "Valid", num: true, value: (r) => r.valid, show: (r) => count(r.valid) },
    { title: "Invalid", num: true, value: (r) => r.invalid, show: (r) => count(r.invalid) },
    { title: "Share", num: true, value: (r) => r.invalid / (r.valid + r.invalid), show: (r) => percent(r.invalid / (r.valid + r.invalid)) },
    { title: "", show: (r) => bar([[most ? r.invalid / (r.valid + r.invalid) / most : 0, powerColour(r.power), percent(r.invalid / (r.valid + r.invalid))]]) },
  ], judged, { sort: [3, true], onrow: (r) => explore({ power: r.power, state: "invalid" }) }));
  if (view.orders.length) {
    body.append(el("h3", { style: { margin: "16px 0 6px" } }, "Most frequent"), table([
      { title: "Order", head: true, value: (r) => r.order, show: (r) => (r.item < 0 ? el("span.mono", null, r.order) : el("button.plain.mono", { type: "button", onclick: () => openItem(r.item, { reveal: true }) }, r.order)) },
      { title: "Times", num: true, value: (r) => r.n, show: (r) => count(r.n) },
      { title: "By", value: (r) => r.powers.map(powerOf).join(", "), show: (r) => r.powers.map(powerName) },
    ], view.orders.slice(0, 100), { tall: view.orders.length > 8, caption: "Invalid orders" }));
  } else body.append(el("p.note", null, "The program counted them but did not name them."));
  return node;
}
