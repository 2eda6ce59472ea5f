// A long list, and beside it what is chosen of it: search, the keyboard, and rows of which only those in sight exist,
// so that ten thousand scroll like ten. What is listed is the page's own: it gives `fillFilters`, `applyFilter`,
// `explore`, `rowOf` and `openItem`; 48_detail.js shows what is chosen.

const ROW = 58;
const list = { found: [], selected: -1, filter: {}, search: 0, parts: {} };

/** Put the list into a card. `about`: what is beside it; `height` of both; `leftOut`: said where there was no room. */
function layList([, body, tools], { noun, about, height, leftOut }) {
  list.selected = -1;
  const parts = (list.parts = {});
  parts.rows = el("div.rows");
  parts.list = el("div.list", { tabIndex: 0, role: "listbox", "aria-label": noun, onscroll: () => requestAnimationFrame(fillRows), onkeydown: listKey }, parts.rows);
  parts.detail = el("div.detail", { tabIndex: 0, role: "region", "aria-label": about }, empty(`Choose one of the ${noun.toLowerCase()} on the left.`));
  parts.count = el("output", { "aria-live": "polite" });
  tools.append(parts.count);
  parts.filters = el("div.filters");
  fillFilters();
  body.append(parts.filters, el("div.split", { style: { height } }, parts.list, parts.detail));
  if (!DATA.content) body.append(el("p.note", null, "This report was made without what was said."));
  else if (!DATA.kept) body.append(el("p.note", null, "The store has lengths and counts only, not what was said. To keep it from now on, set ", el("code", null, "OTEL_LLM_STORE_CONTENT=full"), "."));
  if (DATA.left_out) body.append(el("p.note", null, `There was too much to hold: ${leftOut}`));
  new ResizeObserver(() => requestAnimationFrame(fillRows)).observe(parts.list);
  applyFilter();
}

/** Where to type what is searched; `set` takes it when typing pauses. */
function searchBox(placeholder, set) {
  let waiting = 0;
  const box = el("input", { type: "search", placeholder, "aria-label": "Search", value: list.filter.text, oninput: () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => set({ text: box.value }), 200);
  } });
  return box;
}

/** Make the filters anew after they were set from elsewhere, and list what fits. */
function refilter() {
  list.parts.filters.replaceChildren();
  fillFilters();
  list.parts.list.scrollTop = 0;
  applyFilter();
}

/**
 * List what of `fitting` has the text that is searched: what its row says at once, then what its details say.
 *
 * show(found, more): lists them; named(item): whether its row has the text;
 * itemAt(place): which item has the details at a place; has(detail, texts): whether these do, by the numbers of texts that do.
 */
async function searchIn(fitting, text, { show, named, itemAt, has }) {
  const search = list.search, hits = new Set(fitting.filter(named)), wanted = new Set(fitting);
  const showHits = (more) => show(fitting.filter((item) => hits.has(item)), more);
  showHits("searching …");
  for (const chunk of await allChunks()) {
    const { texts, items } = await unpack(chunk);
    if (search !== list.search) return; // somebody has typed on
    const found = new Set();
    texts.forEach((said, number) => said.toLowerCase().includes(text) && found.add(number));
    items.forEach((detail, i) => {
      const item = itemAt(chunk.first + i);
      if (wanted.has(item) && has(detail, found)) hits.add(item);
    });
    showHits("searching …");
  }
  showHits("");
}

/** List what was found of `all`; `more` is said behind the count. */
function showFound(found, all, noun, more) {
  list.found = found;
  list.parts.count.textContent = `${found.length === all ? plural(found.length, noun) : `${count(found.length)} of ${plural(all, noun)}`}${more && ` · ${more}`}`;
  list.parts.rows.style.height = `${found.length * ROW}px`;
  list.parts.list.querySelector(".empty")?.remove();
  if (!found.length && !more) list.parts.list.append(empty(all ? "Nothing fits these filters." : "There is nothing to list."));
  list.parts.rows.replaceChildren();
  fillRows();
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

/** A row of two lines: `what` and `when`, below them `said` (`bad`: in red) and `took`; `mark` is the colour at its edge. */
function rowNode(at, { mark, what, when, said, bad, took }) {
  const item = list.found[at];
  const node = el("div.item", { id: `row-${at}`, role: "option", "aria-setsize": list.found.length, "aria-posinset": at + 1, "aria-selected": "false",
    style: { top: `${at * ROW}px`, "--mark": mark }, onclick: () => openItem(item) },
    el("div.what", null, what), el("div.when", null, when), el(`div.said${bad ? ".bad" : ""}`, null, said), el("div.took", null, took));
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
