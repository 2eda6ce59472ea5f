// The list of all interactions (of calls, where there are none): what is in it, its filters and its rows.

const NO_FILTER = { text: "", phase: "", power: "", type: "", model: "", state: "", to: "", trace: "" };

function interactionsSection(view) {
  const noun = view.totals.interactions ? "Interactions" : "Calls";
  const made = card("interactions", noun, DATA.kept ? "Choose one to read what was said. Arrow keys move, Enter opens." : "Choose one for everything that is known about it. Arrow keys move, Enter opens.");
  list.view = view;
  list.base = itemsOf(view);
  list.filter = { ...NO_FILTER };
  layList(made, {
    noun, about: "What was said", height: `min(80vh, ${Math.min(860, Math.max(480, list.base.length * ROW + 2))}px)`,
    leftOut: `of ${count(DATA.left_out)} later ones only lengths are here. A report on one game, or on less time, has room for all of it.`,
  });
  return made[0];
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
  parts.text = searchBox(DATA.kept ? "Search what was said" : "Search", set);
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

function applyFilter() {
  list.search++;
  const text = list.filter.text.trim().toLowerCase(), fitting = list.base.filter(passes);
  const show = (found, more) => showFound(found, list.base.length, nounOf(list.view), more);
  if (!text) show(fitting, "");
  else searchIn(fitting, text, {
    show,
    named: (item) => `${itemTitle(item)} ${phaseOf(item)?.name ?? ""} ${ITEMS.said[item] ?? ""} ${ITEMS.id[item]}`.toLowerCase().includes(text),
    itemAt: (place) => place,
    has: (detail, found) => textsOf(detail).some((number) => found.has(number)) || wordsOf(detail).includes(text),
  });
}

/** Show what a figure counted: set filters, and go to the list. */
function explore(filter, { stay = false } = {}) {
  Object.assign(list.filter, NO_FILTER, Object.fromEntries(Object.entries(filter).map(([key, value]) => [key, value === -1 ? "" : String(value)])));
  refilter();
  if (!stay) document.getElementById("interactions").scrollIntoView();
}

// --- rows ---------------------------------------------------------------------------------------

function rowOf(at) {
  const item = list.found[at], failed = ITEMS.state[item] === FAILED, phase = phaseOf(item), power = ITEMS.power[item];
  const marks = [ITEMS.attempt[item] > 1 && `attempt ${ITEMS.attempt[item]}`, ITEMS.invalid[item] > 0 && `${ITEMS.invalid[item]} invalid`, !failed && ITEMS.refused[item] > 0 && plural(ITEMS.refused[item], "failed call")].filter(Boolean);
  const said = (failed && `${words(nameOf("errors", ITEMS.error[item]) ?? "failed")}${ITEMS.said[item] ? `: ${ITEMS.said[item]}` : ""}`) || ITEMS.said[item] || nameOf("models", ITEMS.model[item]) || "";
  return rowNode(at, {
    mark: power >= 0 ? powerColour(power) : modelColour(ITEMS.model[item]), what: [itemTitle(item), marks.length > 0 && el("span.faint", null, ` · ${marks.join(" · ")}`)],
    when: phase?.name ?? elapsed(ITEMS.start[item]), said, bad: failed, took: ITEMS.took[item] === null ? "open" : duration(ITEMS.took[item] / 1000),
  });
}

/** Open an item. `reveal`: it was asked for elsewhere, so the list goes to it; `focus`: reading goes on there. */
function openItem(item, { reveal = false, focus = false } = {}) {
  if (list.view.game !== null && ITEMS.game[item] !== list.view.game) choose(ITEMS.game[item]);
  if (!list.found.includes(item)) explore({}, { stay: true });
  select(item);
  if (reveal) document.getElementById("interactions").scrollIntoView();
  openDetail(focus || reveal);
}
