// One interaction: what is known of it, what was ordered, written and said. Its details come out of a packed chunk.

const textsOf = (detail) => [...(detail.own ?? []).map((turn) => turn[1]), ...(detail.letters ?? []).map((letter) => letter.text), ...(detail.calls ?? []).flatMap((call) => (call.said ?? []).map((turn) => turn[1]))];
const wordsOf = (detail) => [detail.message, detail.outcome, ...(detail.orders ?? []), ...(detail.calls ?? []).flatMap((call) => [call.error, call.message, call.model]), detail.trace].join(" ").toLowerCase();

const linkOf = (item) => `#i-${ITEMS.id[item]}`;
const placeOf = (item) => item;

function detailNodes(item, detail, texts) {
  const phase = phaseOf(item), power = ITEMS.power[item], failed = ITEMS.state[item] === FAILED;
  const head = detailHead(item, power >= 0 ? powerName(power) : null, el("span", null, words(nameOf("types", ITEMS.type[item]) ?? "call")),
    failed ? el("span.pill.bad", null, "failed") : ITEMS.state[item] === OPEN ? el("span.pill.warn", null, "undecided") : null,
    ITEMS.attempt[item] > 1 && el("span.pill.warn", null, `attempt ${ITEMS.attempt[item]}`));
  const facts = factList([
    ["Phase", phase?.name], DATA.games.length > 1 && ["Game", gameName(ITEMS.game[item])], ["Model", nameOf("models", ITEMS.model[item])],
    ["Began", clock(ITEMS.start[item])], ["Took", ITEMS.took[item] === null ? "has not ended" : duration(ITEMS.took[item] / 1000)],
    ["Answer took", detail.response_time && duration(detail.response_time)],
    ["Tokens", known(ITEMS.given[item]) || known(ITEMS.got[item]) ? `${count(ITEMS.given[item] ?? 0)} in, ${count(ITEMS.got[item] ?? 0)} out` : null], ["Cost", money(ITEMS.cost[item])],
    ["Centres", detail.centers], ["Units", detail.units], ["Reward", detail.reward], ["Episode", detail.episode], ["Step", detail.step],
  ]);
  const nodes = [head, facts];
  if (failed) nodes.push(el("p.problem", null, [...new Set([words(detail.error ?? nameOf("errors", ITEMS.error[item]) ?? "failed"), detail.outcome, detail.message])].filter(Boolean).join("\n")));
  else if (detail.outcome) nodes.push(el("p.note", null, `The program says: ${detail.outcome}`));
  if (detail.orders) {
    const invalid = new Set(detail.invalid ?? []);
    nodes.push(el("h3", null, `Orders${detail.invalid ? ` (${invalid.size} invalid)` : ""}`), el("ul.orders", null, detail.orders.map((order) => el(`li${invalid.has(order) ? ".bad" : ""}`, invalid.has(order) ? { title: "invalid" } : null, order, invalid.has(order) && el("span.hidden", null, " (invalid)")))));
  } else if (detail.invalid) nodes.push(el("h3", null, "Invalid orders"), el("ul.orders", null, detail.invalid.map((order) => el("li.bad", null, order))));
  if (detail.letters) nodes.push(el("h3", null, "Messages it sent"), detail.letters.map((letter) => letterNode(letter, texts)));
  if (detail.own) nodes.push(el("div.call", null, el("header", null, el("b", null, "Prompt and answer")), turnNodes(detail.own, texts)));
  for (const [i, call] of (detail.calls ?? []).entries()) nodes.push(callNode(call, i, detail.calls.length, texts, failed && call.error === detail.error && call.message === detail.message));
  if (!detail.calls && !detail.own) nodes.push(el("p.note", null, "No model call was recorded in it."));
  if (detail.results) nodes.push(more("Results of the orders", turnNode("results", String(detail.results), ".code")));
  if (detail.attributes) nodes.push(more("All attributes", pairs(detail.attributes)));
  nodes.push(el("p.note", null, "Trace ", el("code", null, detail.trace)));
  return nodes.flat();
}

function callNode(call, index, number, texts, told) {
  const facts = [
    number > 1 && `${index + 1} of ${number}`, known(call.took) ? duration(call.took) : "has not ended", known(call.first) && `first token ${duration(call.first)}`,
    known(call.given) && `${count(call.given)} in`, known(call.cached) && call.cached > 0 && `${count(call.cached)} of them from a cache`, known(call.got) && `${count(call.got)} out`,
    known(call.thought) && call.thought > 0 && `${count(call.thought)} of them thinking`, known(call.cost) && money(call.cost), call.finish && `ended by ${call.finish.join(", ")}`, call.attempt && `attempt ${call.attempt}`,
  ].filter(Boolean);
  const problem = call.error && !(told && number === 1) && el("p.problem", null, [`${words(call.error)}${call.code ? ` (status ${call.code})` : ""}${call.wait ? `, asked to wait ${duration(call.wait)}` : ""}`, call.message].filter(Boolean).join("\n"));
  const said = call.said?.length
    ? turnNodes(call.said, texts)
    : known(call.input_length) || known(call.output_length) ? el("p.note", null, `${count(call.input_length ?? 0)} characters were sent, ${count(call.output_length ?? 0)} came back; what they said was not kept.`) : null;
  return el("div.call", null, el("header", null, el("b", null, call.model ?? call.name), facts.map((fact) => el("span", null, fact))), problem, said);
}

function letterNode(letter, texts) {
  const from = DATA.powers.indexOf(letter.from), to = letter.to ?? [];
  const text = letter.text === undefined ? el("span.faint", null, `${known(letter.length) ? plural(letter.length, "character") : "a message"}, not kept`) : texts[letter.text];
  return el("div.turn.letter", { style: { "--mark": powerColour(from) } },
    el("div.who", null, `${letter.from ?? "?"} to ${to.length ? to.join(", ") : "everybody"}${letter.private === undefined && to.length ? ", public" : ""}`), el("div.text", null, text));
}
