// The list of all interactions (of calls, where there are none): filters, search, and rows of which only those in
// sight exist, so that ten thousand scroll like ten.

const ROW = 58;
const NO_FILTER = { text: "", phase: "", power: "", type: "", model: "", state: "", to: "", trace: "" };
const list = { view: null, base: [], found: [], selected: -1, filter: { ...NO_FILTER }, search: 0, parts: {} };

function interactionsSection(view) {
  const noun = view.totals.interactions ? "Interactions" : "Calls";
  const [node, body, tools] = card("interactions", noun, DATA.kept ? "Choose one to read what was said. Arrow keys move, Enter opens." : "Choose one for everything that is known about it. Arrow keys move, Enter opens.");
  list.view = view;
  list.base = itemsOf(view);
  list.selected = -1;
  list.filter = { ...NO_FILTER };
  const parts = (list.parts = {});
  parts.rows = el("div.rows");
  parts.list = el("div.list", { tabIndex: 0, role: "listbox", "aria-label": noun, onscroll: () => requestAnimationFrame(fillRows), onkeydown: listKey }, parts.rows);
  parts.detail = el("div.detail", { tabIndex: 0, role: "region", "aria-label": "What was said" });
  parts.detail.append(empty(`Choose one of the ${noun.toLowerCase()} on the left.`));
  parts.count = el("output", { "aria-live": "polite" });
  tools.append(parts.count);
  parts.filters = el("div.filters");
  fillFilters();
  body.append(parts.filters, el("div.split", { style: { height: `min(80vh, ${Math.min(860, Math.max(480, list.base.length * ROW + 2))}px)` } }, parts.list, parts.detail));
  if (!DATA.content) body.append(el("p.note", null, "This report was made without what was said."));
  else if (!DATA.kept) body.append(el("p.note", null, "The store has lengths and counts only, not what was said. To keep it from now on, set ", el("code", null, "OTEL_LLM_STORE_CONTENT=full"), "."));
  if (DATA.left_out) body.append(el("p.note", null, `There was too much to hold: of ${count(DATA.left_out)} later ones only lengths are here. A report on one game, or on less time, has room for all of it.`));
  new ResizeObserver(() => requestAnimationFrame(fillRows)).observe(parts.list);
  applyFilter();
  return node;
}

// --- filters ------------------------------------------------------------------------------------

function fillFilters() {
  const { parts, base } = list;
  const present = (column) => [...new Set(base.map((item) => ITEMS[column][item]))].filter((key) => key >= 0);
  const pick = (name, label, options) => {
    if (options.length < 2 && name !== "trace") return null;
    const select = el("select", { "aria-label": label, onchange: () => set({ [name]: select.value }) }, el("option", { value: "" }, label), options.map(([key, text]) => el("option", { value: String(key) }, text)));
    select.value = String(list.filter[name]);
    parts[name] = select;
    return select;
  };
  const set = (some) => {
    Object.assign(list.filter, some);
    applyFilter();
  };
  let waiting = 0;
  parts.text = el("input", { type: "search", placeholder: DATA.kept ? "Search what was said" : "Search", "aria-label": "Search", value: list.filter.text, oninput: () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => set({ text: parts.text.value }), 200);
  } });
  const phaseNames = [...new Set(base.map((item) => phaseOf(item)?.name).filter((name) => name !== undefined))];
  const states = [["failed", "Failed"], ["refused", "With failed calls"], ["repeated", "Repeated attempts"], ["invalid", "With invalid orders"], ["open", "Undecided"]].filter(([key]) => base.some((item) => inState(item, key)));
  const wrote = new Set();
  for (const item of base) if (ITEMS.to[item]) for (const party of ITEMS.to[item]) wrote.add(party);
  append(parts.filters, [
    parts.text,
    pick("phase", "Any phase", phaseNames.map((name) => [name, name])),
    pick("power", "Any power", present("power").sort((a, b) => a - b).map((key) => [key, DATA.powers[key]])),
    pick("type", "Any type", present("type").map((key) => [key, words(DATA.types[key])])),
    pick("model", "Any model", present("model").map((key) => [key, DATA.models[key]])),
    wrote.size ? pick("to", "Wrote to anybody", [...wrote].sort((a, b) => a - b).map((key) => [key, `Wrote to ${DATA.parties[key]}`])) : null,
    DATA.runs ? pick("trace", "Any trace", DATA.runs.map((run) => [DATA.traces.indexOf(run.trace), `${run.name} ${run.trace.slice(0, 8)}`]).filter(([key]) => key >= 0)) : null,
    states.length ? pick("state", "Any outcome", [...states, ["ok", "Succeeded"]]) : null,
    el("button.control", { type: "button", onclick: () => explore({}, { stay: true }) }, "Clear"),
  ]);
}

function inState(item, state) {
  if (state === "failed") return ITEMS.state[item] === FAILED;
  if (state === "ok") return ITEMS.state[item] === OK;
  if (state === "open") return ITEMS.state[item] === OPEN;
  if (state === "refused") return ITEMS.refused[item] > 0;
  if (state === "repeated") return ITEMS.attempt[item] > 1;
  return ITEMS.invalid[item] > 0;
}

function passes(item) {
  const f = list.filter, is = (column, wanted) => wanted === "" || ITEMS[column][item] === Number(wanted);
  return is("power", f.power) && is("type", f.type) && is("model", f.model) && is("trace", f.trace)
    && (f.phase === "" || phaseOf(item)?.name === f.phase)
    && (f.state === "" || inState(item, f.state))
    && (f.to === "" || (ITEMS.to[item] && ITEMS.to[item].includes(Number(f.to))));
}

async function applyFilter() {
  const search = ++list.search, text = list.filter.text.trim().toLowerCase();
  const fitting = list.base.filter(passes);
  if (!text) {
    show(fitting, "");
    return;
  }
  const hits = new Set(fitting.filter((item) => `${itemTitle(item)} ${phaseOf(item)?.name ?? ""} ${ITEMS.said[item] ?? ""} ${ITEMS.id[item]}`.toLowerCase().includes(text)));
  show(fitting.filter((item) => hits.has(item)), "searching …");
  const wanted = new Set(fitting);
  for (const chunk of await allChunks()) {
    const { texts, items } = await unpack(chunk);
    if (search !== list.search) return; // somebody has typed on
    const found = new Set();
    texts.forEach((said, number) => said.toLowerCase().includes(text) && found.add(number));
    items.forEach((detail, i) => {
      if (wanted.has(chunk.first + i) && (textsOf(detail).some((number) => found.has(number)) || wordsOf(detail).includes(text))) hits.add(chunk.first + i);
    });
    show(fitting.filter((item) => hits.has(item)), "searching …");
  }
  show(fitting.filter((item) => hits.has(item)), "");
}

function show(found, more) {
  list.found = found;
  const noun = nounOf(list.view);
  list.parts.count.textContent = `${found.length === list.base.length ? plural(found.length, noun) : `${count(found.length)} of ${plural(list.base.length, noun)}`}${more && ` · ${more}`}`;
  list.parts.rows.style.height = `${found.length * ROW}px`;
  list.parts.list.querySelector(".empty")?.remove();
  if (!found.length && !more) list.parts.list.append(empty(list.base.length ? "Nothing fits these filters." : "There is nothing to list."));
  list.parts.rows.replaceChildren();
  fillRows();
}

/** Show what a figure counted: set filters, and go to the list. */
function explore(filter, { stay = false } = {}) {
  Object.assign(list.filter, NO_FILTER, Object.fromEntries(Object.entries(filter).map(([key, value]) => [key, value === -1 ? "" : String(value)])));
  list.parts.filters.replaceChildren();
  fillFilters();
  list.parts.list.scrollTop = 0;
  applyFilter();
  if (!stay) document.getElementById("interactions").scrollIntoView();
}

// --- rows ---------------------------------------------------------------------------------------

function fillRows() {
  const { rows, list: box } = list.parts;
  if (!rows.isConnected) return;
  const first = Math.max(0, Math.floor(box.scrollTop / ROW) - 4), last = Math.min(list.found.length, first + Math.ceil((box.clientHeight || 600) / ROW) + 9);
  const there = new Map([...rows.children].map((node) => [Number(node.dataset.at), node]));
  for (const [at, node] of there) if (at < first || at >= last) node.remove();
  for (let at = first; at < last; at++) if (!there.has(at)) rows.append(rowOf(at));
  const current = list.found.indexOf(list.selected);
  for (const node of rows.children) node.setAttribute("aria-selected", String(Number(node.dataset.at) === current));
  if (current >= first && current < last) box.setAttribute("aria-activedescendant", `row-${current}`);
  else box.removeAttribute("aria-activedescendant");
}

function rowOf(at) {
  const item = list.found[at], failed = ITEMS.state[item] === FAILED, phase = phaseOf(item), power = ITEMS.power[item];
  const marks = [ITEMS.attempt[item] > 1 && `attempt ${ITEMS.attempt[item]}`, ITEMS.invalid[item] > 0 && `${ITEMS.invalid[item]} invalid`, !failed && ITEMS.refused[item] > 0 && plural(ITEMS.refused[item], "failed call")].filter(Boolean);
  const said = (failed && `${words(nameOf("errors", ITEMS.error[item]) ?? "failed")}${ITEMS.said[item] ? `: ${ITEMS.said[item]}` : ""}`) || ITEMS.said[item] || nameOf("models", ITEMS.model[item]) || "";
  const node = el("div.item", { id: `row-${at}`, role: "option", "aria-setsize": list.found.length, "aria-posinset": at + 1, "aria-selected": "false",
    style: { top: `${at * ROW}px`, "--mark": power >= 0 ? powerColour(power) : modelColour(ITEMS.model[item]) }, onclick: () => openItem(item) },
    el("div.what", null, itemTitle(item), marks.length > 0 && el("span.faint", null, ` · ${marks.join(" · ")}`)),
    el("div.when", null, phase?.name ?? elapsed(ITEMS.start[item])),
    el(`div.said${failed ? ".bad" : ""}`, null, said),
    el("div.took", null, ITEMS.took[item] === null ? "open" : duration(ITEMS.took[item] / 1000)));
  node.dataset.at = at;
  return node;
}

function listKey(event) {
  const page = Math.max(1, Math.floor(list.parts.list.clientHeight / ROW) - 1), current = list.found.indexOf(list.selected);
  const to = { ArrowDown: current + 1, ArrowUp: current - 1, PageDown: current + page, PageUp: current - page, Home: 0, End: list.found.length - 1 }[event.key];
  if (event.key === "Enter" && list.selected >= 0) openItem(list.selected, { focus: true });
  else if (to !== undefined && list.found.length) select(list.found[Math.max(0, Math.min(list.found.length - 1, to))], innerWidth > 760);
  else return;
  event.preventDefault();
}

/** Mark an item, bring its row into sight, and read it where there is room beside the list. */
function select(item, read = true) {
  const before = list.found.indexOf(list.selected);
  list.selected = item;
  const at = list.found.indexOf(item), box = list.parts.list, top = at * ROW, far = Math.abs(at - before) > 2;
  if (top < box.scrollTop || top + ROW > box.scrollTop + box.clientHeight) {
    box.scrollTop = far ? top - (box.clientHeight - ROW) / 2 : top < box.scrollTop ? top : top + ROW - box.clientHeight;
  }
  fillRows();
  if (read) readItem(item);
}

/** Open an item. `reveal`: it was asked for elsewhere, so the list goes to it; `focus`: reading goes on there. */
function openItem(item, { reveal = false, focus = false } = {}) {
  if (list.view.game !== null && ITEMS.game[item] !== list.view.game) choose(ITEMS.game[item]);
  if (!list.found.includes(item)) explore({}, { stay: true });
  select(item);
  if (reveal) document.getElementById("interactions").scrollIntoView();
  openDetail(focus || reveal);
}
