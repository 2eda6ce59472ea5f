// The head of the page: what this is, how it ended, the key figures, and a line for each power or game.

const STATUS = { failed: "bad", killed: "bad", running: "warn", unfinished: "warn", unknown: "", completed: "good", ended: "good" };

function masthead(view) {
  const game = view.game === null ? null : DATA.games[view.game];
  const about = [];
  if (game && game.id !== "") {
    const ended = game.outcome ? `${game.status}: ${game.outcome}` : game.status;
    about.push(el(`span.pill${STATUS[game.status] && `.${STATUS[game.status]}`}`, null, ended));
    if (game.winners.length) about.push(el("span", null, game.winners.length > 1 ? "Winners\u00a0 " : "Winner\u00a0 ", game.winners.map(powerName)));
    if (known(game.episode)) about.push(el("span", null, `Episode ${game.episode}`));
    if (known(game.reward)) about.push(el("span", null, `Reward ${game.reward.toFixed(3)}`));
  }
  if (game) about.push(el("span", null, `${clock(game.start, false)}, ${duration((game.end - game.start) / 1000)}`));
  else {
    const ends = DATA.games.map((g) => g.end), starts = DATA.games.map((g) => g.start);
    if (starts.length) about.push(el("span", null, `${clock(least(starts), false)} to ${clock(greatest(ends), false)}`));
  }
  if (DATA.filters.since || DATA.filters.until) about.push(el("span.pill", null, rangeText()));
  const kind = DATA.kind === "calls" || (game && game.id === "") ? "Report on model calls" : game ? "Game report" : "Report on games";
  const title = game && DATA.kind === "games" ? (game.name && game.id !== "" && game.name !== game.id ? `${game.name} · ${game.id}` : gameName(view.game)) : DATA.title;
  return [
    titleOf(kind, title, about),
    game?.error && el("p.problem", null, `The game failed (${game.error})${game.message ? `: ${game.message}` : ""}`),
    DATA.problems.map((problem) => el("p.problem.warn", null, `Part of the store could not be read: ${problem}`)),
    keyFigures(view),
  ];
}

const least = (values) => values.reduce((a, b) => Math.min(a, b), Infinity);
const greatest = (values) => values.reduce((a, b) => Math.max(a, b), -Infinity);

// Games of one kind go by their ids; the page's title says what they are.
const SAME_NAME = new Set(DATA.games.filter((game) => game.id !== "").map((game) => game.name)).size === 1;

function gameName(index) {
  const game = DATA.games[index];
  if (game.id === "") return "Outside any game";
  return game.name && game.name !== game.id && !SAME_NAME ? `${game.name} · ${game.id}` : game.id;
}

function rangeText() {
  const say = (ms) => clock(ms - DATA.t0, false);
  const { since, until } = DATA.filters;
  return since && until ? `${say(since)} to ${say(until)}` : since ? `since ${say(since)}` : `until ${say(until)}`;
}

function keyFigures(view) {
  const t = view.totals, game = view.game === null ? null : DATA.games[view.game];
  const judged = t.valid + t.invalid;
  const figures = [];
  const add = (name, value, small, wrong) => figures.push(el("div.figure", null, el("dt", null, name), el("dd", null, value, small && el(`small${wrong ? ".bad" : ""}`, null, small))));
  if (t.interactions) {
    add("Interactions", count(t.interactions), t.failed ? `${count(t.failed)} failed${t.swallowed ? `, ${count(t.swallowed)} unnoticed` : ""}` : "none failed", t.failed);
    add("Success rate", known(t.success) ? percent(t.success) : "–", t.open ? `${count(t.open)} undecided` : "of interactions");
  }
  const refused = t.refused ? `${count(t.refused)} failed${t.limited ? `, ${count(t.limited)} rate limited` : ""}` : "none failed";
  add("Model calls", count(t.calls), refused, t.refused);
  add("Tokens", known(t.given) || known(t.got) ? compact((t.given || 0) + (t.got || 0)) : "–", known(t.given) ? `${compact(t.given)} in, ${compact(t.got || 0)} out` : "not reported");
  add("Cost", known(t.cost) ? money(t.cost) : "–", known(t.cost) ? "US dollars, list prices" : "no prices known");
  if (judged) add("Invalid orders", percent(t.invalid / judged), `${count(t.invalid)} of ${count(judged)}`);
  if (t.messages) add("Messages", count(t.messages), "between powers");
  if (game && t.phases) add("Phases", count(t.phases), `${duration((game.end - game.start) / 1000 / t.phases)} each on average`);
  return el("dl.figures", null, figures);
}

// --- a line a power -----------------------------------------------------------------------------

function powersSection(view) {
  if (!view.powers.length) return null;
  const [node, body] = card("powers", "Powers", "Who played, on which model, and how it went.");
  const digits = moneyDigits(view.powers.map((row) => row.cost));
  const has = (test) => view.powers.some(test);
  const columns = [
    { title: "Power", head: true, value: (r) => powerOf(r.power), show: (r) => [powerName(r.power), r.winner > 0 && el("span.pill", { style: { "margin-left": "8px" } }, DATA.kind === "game" || view.game !== null ? "winner" : `won ${r.winner}`)] },
    has((r) => r.models.length) && { title: "Model", value: (r) => r.models.map((m) => DATA.models[m]).join(", ") },
    has((r) => r.centers) && { title: "Centres", num: true, value: (r) => r.centers?.[1], show: (r) => r.centers && [el("b", null, r.centers[1]), el("span.faint", null, change(r.centers[1] - r.centers[0]))] },
    { title: "Interactions", num: true, value: (r) => r.interactions, show: (r) => count(r.interactions) },
    { title: "Failed", num: true, value: (r) => r.failed, show: (r) => (r.failed ? el("span.bad", null, count(r.failed)) : el("span.faint", null, "0")) },
    has((r) => r.valid + r.invalid) && { title: "Invalid orders", num: true, value: (r) => r.invalid / (r.valid + r.invalid), show: (r) => (r.valid + r.invalid ? percent(r.invalid / (r.valid + r.invalid)) : "") },
    has((r) => r.sent) && { title: "Messages", num: true, value: (r) => r.sent, show: (r) => count(r.sent) },
    { title: "Median time", num: true, value: (r) => r.median, show: (r) => duration(r.median), hint: "of an interaction" },
    { title: "Tokens in", num: true, value: (r) => r.given, show: (r) => compact(r.given) },
    { title: "Tokens out", num: true, value: (r) => r.got, show: (r) => compact(r.got) },
    has((r) => known(r.cost)) && { title: "Cost", num: true, value: (r) => r.cost, show: (r) => money(r.cost, digits) },
  ].filter(Boolean);
  body.append(table(columns, view.powers, { onrow: (r) => explore({ power: r.power }) }));
  return node;
}

const change = (by) => (by > 0 ? ` +${by}` : by < 0 ? ` −${-by}` : " ±0");

// --- a line a game ------------------------------------------------------------------------------

function gamesSection(view) {
  if (view.game !== null || DATA.games.length < 2) return null;
  const [node, body] = card("games", "Games", "Choose one to see it alone.");
  const rows = DATA.games.map((game, index) => ({ ...game, index }));
  const digits = moneyDigits(rows.map((row) => row.cost));
  const has = (test) => rows.some(test);
  const columns = [
    { title: "Game", head: true, value: (r) => gameName(r.index), show: (r) => (viewOf(r.index) ? el("button.plain", { type: "button", onclick: (event) => { event.stopPropagation(); choose(r.index); } }, gameName(r.index)) : gameName(r.index)) },
    { title: "Ended", value: (r) => r.status, show: (r) => (r.id === "" ? "" : el(`span.pill${STATUS[r.status] && `.${STATUS[r.status]}`}`, null, r.outcome ? `${r.status}: ${r.outcome}` : r.status)) },
    has((r) => r.winners.length) && { title: "Winner", value: (r) => r.winners.map(powerOf).join(", "), show: (r) => r.winners.map(powerName) },
    has((r) => known(r.episode)) && { title: "Episode", num: true, value: (r) => r.episode },
    has((r) => known(r.reward)) && { title: "Reward", num: true, value: (r) => r.reward, show: (r) => (known(r.reward) ? r.reward.toFixed(3) : "") },
    { title: "Phases", num: true, value: (r) => r.phases.length, show: (r) => count(r.phases.length) },
    { title: "Interactions", num: true, value: (r) => r.interactions, show: (r) => count(r.interactions) },
    { title: "Failed", num: true, value: (r) => r.failed, show: (r) => (r.failed ? el("span.bad", null, count(r.failed)) : el("span.faint", null, "0")) },
    { title: "Calls", num: true, value: (r) => r.calls, show: (r) => count(r.calls) },
    { title: "Duration", num: true, value: (r) => r.end - r.start, show: (r) => duration((r.end - r.start) / 1000) },
    has((r) => known(r.cost)) && { title: "Cost", num: true, value: (r) => r.cost, show: (r) => money(r.cost, digits) },
  ].filter(Boolean);
  body.append(table(columns, rows, { tall: rows.length > 12, caption: "Games" }));
  if (DATA.games.length > DATA.views.length - 1) body.append(el("p.note", null, `The latest ${DATA.views.length - 1} games can be seen alone; figures of all of them together are over all ${count(DATA.games.length)}.`));
  return node;
}

// --- traces, where there is no game -------------------------------------------------------------

function tracesSection() {
  if (!DATA.runs) return null;
  const [node, body] = card("traces", "Traces", "What the calls were part of. Choose one to list its calls.");
  if (!DATA.runs.length) {
    body.append(empty("There are no traces."));
    return node;
  }
  const digits = moneyDigits(DATA.runs.map((row) => row.cost));
  body.append(table([
    { title: "Trace", head: true, value: (r) => r.name, show: (r) => el("button.plain", { type: "button", onclick: () => explore({ trace: DATA.traces.indexOf(r.trace) }) }, r.name) },
    { title: "Id", value: (r) => r.trace, show: (r) => el("span.mono.faint", null, r.trace.slice(0, 8)) },
    { title: "Began", value: (r) => r.start, show: (r) => clock(r.start - DATA.t0) },
    { title: "Service", value: (r) => r.services.join(", ") },
    { title: "Models", text: true, value: (r) => r.models.join(", ") },
    { title: "Spans", num: true, value: (r) => r.spans, show: (r) => count(r.spans) },
    { title: "Errors", num: true, value: (r) => r.errors, show: (r) => (r.errors ? el("span.bad", null, count(r.errors)) : el("span.faint", null, "0")) },
    { title: "Tokens in", num: true, value: (r) => r.given, show: (r) => compact(r.given) },
    { title: "Tokens out", num: true, value: (r) => r.got, show: (r) => compact(r.got) },
    { title: "Cost", num: true, value: (r) => r.cost, show: (r) => money(r.cost, digits) },
    { title: "Duration", num: true, value: (r) => r.took, show: (r) => duration(r.took) },
  ], DATA.runs, { tall: DATA.runs.length > 12, caption: "Traces" }));
  return node;
}
