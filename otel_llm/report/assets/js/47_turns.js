// What was said, turn by turn; long texts are folded.

function turnNodes(turns, texts) {
  const nodes = [], instructions = turns.filter(([role]) => role === "system" || role === "developer");
  if (instructions.length) nodes.push(more("Instructions", ...instructions.map(([role, text]) => turnNode(role, texts[text]))));
  for (const [role, text] of turns) if (role !== "system" && role !== "developer") nodes.push(turnNode(role, texts[text]));
  return nodes;
}

function turnNode(role, text, kind = "") {
  const body = el("div.text", null, text);
  const node = el(`div.turn${kind}`, null, el("div.who", null, role), body);
  if (role === "assistant") node.classList.add("assistant");
  if (text.length > 1400 || text.split("\n", 22).length > 20) {
    body.classList.add("long");
    const button = el("button.plain", { type: "button", "aria-expanded": "false", onclick: () => {
      const long = body.classList.toggle("long");
      button.textContent = long ? `Show all ${count(text.length)} characters` : "Show less";
      button.setAttribute("aria-expanded", String(!long));
    } }, `Show all ${count(text.length)} characters`);
    node.append(button);
  }
  return node;
}

const more = (title, ...content) => el("details", null, el("summary", null, title), ...content);

function pairs(attributes) {
  return el("dl.pairs", null, Object.entries(attributes).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => [
    el("dt.mono", null, key), el("dd", null, typeof value === "string" ? value : JSON.stringify(value))]));
}
