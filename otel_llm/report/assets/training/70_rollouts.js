// The list of rollouts: of one step or of all, the best, worst or most surprising first; only rows in sight exist.

const ROW = 58;
const NO_FILTER = { step: "", text: "", flag: "", group: "", sort: "best" };
const list = { found: [], selected: -1, filter: { ...NO_FILTER }, search: 0, parts: {} };
const FLAGS = [[NO_SPREAD, "In a group without spread"], [TRUNCATED, "Cut off"], [UNSCORED, "Without a reward"], [NOT_FINITE, "Reward not finite"], [UNCONSUMED, "Never learned from"], [EVALUATION, "Of an evaluation"], [BROKEN, "Failed"]];
const SORTS = [["best", "Best"], ["worst", "Worst"], ["surprise", "Surprising"], ["order", "In order"]];

function rolloutsSection() {
  const [node, body, tools] = card("rollouts", "Rollouts", "Surprise is how far a reward lies from the mean of the others in its group, in standard deviations (σ) of the step's rewards.");
  list.selected = -1;
  list.filter = { ...NO_FILTER, step: picked < 0 ? "" : picked };
  const parts = (list.parts = {});
  parts.rows = el("div.rows");
  parts.list = el("div.list", { tabIndex: 0, role: "listbox", "aria-label": "Rollouts", onscroll: () => requestAnimationFrame(fillRows), onkeydown: listKey }, parts.rows);
  parts.detail = el("div.detail", { tabIndex: 0, role: "region", "aria-label": "The rollout" }, empty("Choose one of the rollouts on the left."));
  parts.count = el("output", { "aria-live": "polite" });
  tools.append(parts.count);
  parts.filters = el("div.filters");
  fillFilters();
  body.append(parts.filters, el("div.split", { style: { height: "min(80vh, 800px)" } }, parts.list, parts.detail));
  if (!DATA.content) body.append(el("p.note", null, "This report was made without what was said."));
  else if (!DATA.kept) body.append(el("p.note", null, "The store has lengths and counts only, not what was said. To keep it from now on, set ", el("code", null, "OTEL_LLM_STORE_CONTENT=full"), "."));
  if (DATA.left_out) body.append(el("p.note", null, `There was too much to hold: of ${count(DATA.left_out)} rollouts only the figures are here. The best, worst and most surprising of every step were taken first.`));
  new ResizeObserver(() => requestAnimationFrame(fillRows)).observe(parts.list);
  applyFilter();
  return node;
}

// --- filters ------------------------------------------------------------------------------------

function fillFilters() {
  const { parts } = list, f = list.filter;
  const set = (some) => {
    Object.assign(f, some);
    list.parts.list.scrollTop = 0;
    applyFilter();
  };
  let waiting = 0;
  parts.text = el("input", { type: "search", placeholder: DATA.kept ? "Search what was said" : "Search ids", "aria-label": "Search", value: f.text, oninput: () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => set({ text: parts.text.value }), 200);
  } });
  const anywhere = ROLLOUTS.flags.reduce((a, b) => a | b, 0);
  parts.flag = el("select", { "aria-label": "Which", onchange: () => set({ flag: parts.flag.value }) }, el("option", { value: "" }, "Any rollout"), FLAGS.filter(([flag]) => anywhere & flag).map(([flag, title]) => el("option", { value: String(flag) }, title)));
  parts.flag.value = String(f.flag);
  append(parts.filters, [
    segments("Steps", [["one", picked < 0 ? "One step" : `Step ${STEPS.number[f.step === "" ? picked : f.step] ?? ""}`], ["all", "All steps"]], f.step === "" ? "all" : "one", (which) => explore({ ...f, step: which === "all" ? "" : picked, group: "" }, { stay: true })),
    segments("Order", SORTS, f.sort, (sort) => set({ sort })),
    parts.text, parts.flag,
    f.group !== "" && el("button.control", { type: "button", onclick: () => explore({ ...f, group: "" }, { stay: true }) }, `Group ${Number(f.group) + 1} ✕`),
  ]);
}

function passes(one) {
  const f = list.filter;
  return (f.step === "" || ROLLOUTS.row[one] === Number(f.step)) && (f.flag === "" || ROLLOUTS.flags[one] & Number(f.flag)) && (f.group === "" || ROLLOUTS.group[one] === Number(f.group));
}

const KEYS = { best: (one) => -(ROLLOUTS.reward[one] ?? -Infinity), worst: (one) => ROLLOUTS.reward[one] ?? Infinity, surprise: (one) => -Math.abs(ROLLOUTS.surprise[one] ?? 0), order: (one) => one };

function sorted(found) {
  const key = KEYS[list.filter.sort] ?? KEYS.order;
  return found.map((one) => [key(one), one]).sort((a, b) => a[0] - b[0] || a[1] - b[1]).map((pair) => pair[1]);
}

async function applyFilter() {
  const search = ++list.search, text = list.filter.text.trim().toLowerCase();
  const fitting = [];
  const [from, to] = list.filter.step === "" ? [0, ROLLOUTS.n] : [STEPS.first[list.filter.step], STEPS.first[list.filter.step] + STEPS.n[list.filter.step]];
  for (let one = from; one < to; one++) if (passes(one)) fitting.push(one);
  const base = sorted(fitting);
  if (!text) {
    show(base, "");
    return;
  }
  const hits = new Set(base.filter((one) => ROLLOUTS.name[one].toLowerCase().includes(text)));
  show(base.filter((one) => hits.has(one)), "searching …");
  const wanted = new Set(base);
  for (const chunk of await allChunks()) {
    const { texts, items } = await unpack(chunk);
    if (search !== list.search) return; // somebody has typed on
    const found = new Set();
    texts.forEach((said, number) => said.toLowerCase().includes(text) && found.add(number));
    items.forEach((detail, i) => {
      const one = chunk.first + i - STEPS.rows;
      if (wanted.has(one) && (detail.said.some(([, number]) => found.has(number)) || detail.about.trace === text || detail.about.span === text)) hits.add(one);
    });
  }
  show(base.filter((one) => hits.has(one)), "");
}

function show(found, more) {
  list.found = found;
  const all = list.filter.step === "" ? ROLLOUTS.n : STEPS.n[list.filter.step];
  list.parts.count.textContent = `${found.length === all ? plural(found.length, "rollout") : `${count(found.length)} of ${plural(all, "rollout")}`}${more && ` · ${more}`}`;
  list.parts.rows.style.height = `${found.length * ROW}px`;
  list.parts.list.querySelector(".empty")?.remove();
  if (!found.length && !more) list.parts.list.append(empty(all ? "Nothing fits these filters." : "There is nothing to list."));
  list.parts.rows.replaceChildren();
  fillRows();
}

/** Show what a figure counted: set filters, and go to the list. */
function explore(filter, { stay = false } = {}) {
  Object.assign(list.filter, NO_FILTER, { sort: list.filter.sort }, filter);
  list.parts.filters.replaceChildren();
  fillFilters();
  list.parts.list.scrollTop = 0;
  applyFilter();
  if (!stay) document.getElementById("rollouts").scrollIntoView();
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
  const one = list.found[at], flags = ROLLOUTS.flags[one], advantage = ROLLOUTS.advantage[one];
  const marks = FLAGS.filter(([flag]) => flags & flag).map(([, title]) => title.toLowerCase());
  const parts = DATA.components.map((name, i) => known(ROLLOUTS.components[i][one]) && `${name} ${figure(ROLLOUTS.components[i][one])}`).filter(Boolean).join(" · ");
  const mark = !known(advantage) || advantage === 0 ? "--line-strong" : advantage > 0 ? "--good" : "--bad";
  const node = el("div.item", { id: `row-${at}`, role: "option", "aria-setsize": list.found.length, "aria-posinset": at + 1, "aria-selected": "false", style: { top: `${at * ROW}px`, "--mark": css(mark) }, onclick: () => openItem(one) },
    el("div.what", null, `${known(ROLLOUTS.reward[one]) ? figure(ROLLOUTS.reward[one]) : "no reward"}`, el("span.faint", null, ` · ${ROLLOUTS.name[one]}${list.filter.step === "" && ROLLOUTS.row[one] >= 0 ? ` · step ${STEPS.number[ROLLOUTS.row[one]]}` : ""}${marks.length ? ` · ${marks.join(" · ")}` : ""}`)),
    el("div.when", null, known(advantage) ? `advantage ${signedFigure(advantage)}` : `rank ${ROLLOUTS.rank[one]}`),
    el("div.said", null, parts || "no components"),
    el("div.took", null, known(ROLLOUTS.surprise[one]) ? `${signedFigure(ROLLOUTS.surprise[one])} σ` : ""));
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

/** Mark a rollout, bring its row into sight, and read it where there is room beside the list. */
function select(one, read = true) {
  const before = list.found.indexOf(list.selected);
  list.selected = one;
  const at = list.found.indexOf(one), box = list.parts.list, top = at * ROW, far = Math.abs(at - before) > 2;
  if (top < box.scrollTop || top + ROW > box.scrollTop + box.clientHeight) {
    box.scrollTop = far ? top - (box.clientHeight - ROW) / 2 : top < box.scrollTop ? top : top + ROW - box.clientHeight;
  }
  fillRows();
  if (read) readItem(one);
}

/** Open a rollout. `reveal`: it was asked for elsewhere, so the list goes to it; `focus`: reading goes on there. */
function openItem(one, { reveal = false, focus = false } = {}) {
  if (!list.found.includes(one)) {
    const row = ROLLOUTS.row[one];
    if (row >= 0 && row !== picked) {
      picked = row;
      fillStep();
    }
    explore({ step: row < 0 ? "" : row }, { stay: true });
  }
  select(one);
  if (reveal) document.getElementById("rollouts").scrollIntoView();
  openDetail(focus || reveal);
}
