// The page around its sections: their order, the navigation, the colours. The page gives `render`.

// Nothing here makes markup of strings, and nothing may: the page's policy asks for Trusted Types, and this one lets
// through only the empty string, with which the charting library clears the element it draws in.
globalThis.trustedTypes?.createPolicy("default", { createHTML: (text) => (text === "" ? "" : null) });

const page = document.getElementById("page");

/**
 * Make the page anew.
 *
 * sections: [[id, name in the navigation or null, make() -> node or null], ...]
 * parts: {head: nodes above, picker: beside the navigation, note: at the foot}
 */
function layOut(sections, { head, picker, note }) {
  dropCharts(page);
  const made = sections.map(([id, title, make]) => [id, title, make()]).filter(([, , node]) => node);
  const links = made.filter(([, title]) => title).map(([id, title]) => el("li", null, el("a", { href: `#${id}` }, title)));
  page.replaceChildren();
  append(page, [
    head, el("nav.nav", { "aria-label": "Sections" }, el("ul", null, links), picker),
    el("main.grid", null, made.map(([, , node]) => node)),
    el("footer.foot", null, el("span", null, `otel-llm ${DATA.version}`), el("span", null, `made ${new Date(DATA.made).toLocaleString("en-GB")}`), el("span", null, note), el("span", null, "Charts by Apache ECharts.")),
  ]);
  drawInSight();
  watchSections(links);
  fillRows();
}

/** Mark in the navigation which section is in sight. */
function watchSections(links) {
  const anchors = links.map((link) => link.firstChild), inSight = new Set();
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) entry.isIntersecting ? inSight.add(entry.target.id) : inSight.delete(entry.target.id);
    const now = anchors.find((anchor) => inSight.has(anchor.hash.slice(1)));
    for (const anchor of anchors) anchor === now ? anchor.setAttribute("aria-current", "true") : anchor.removeAttribute("aria-current");
  }, { rootMargin: "-70px 0px -55% 0px" });
  anchors.forEach((anchor) => watcher.observe(document.getElementById(anchor.hash.slice(1))));
}

/** The title of the page; `about`: what stands below it. */
function titleOf(kind, title, about) {
  return el("header.masthead", null, el("div", null, el("p.eyebrow", null, kind), el("h1", null, title), el("div.byline", null, about)),
    el("button.control", { type: "button", title: dark ? "Use light colours" : "Use dark colours", onclick: () => setTheme(!dark) }, dark ? "Light" : "Dark"));
}

function setTheme(toDark) {
  dark = toDark;
  applyTheme();
  const selected = list.selected, filter = { ...list.filter }, at = scrollY;
  render();
  explore(filter, { stay: true });
  if (selected >= 0) select(selected);
  scrollTo(0, at);
}

/** Show the page, and the item that its address asks for (-1: none). `more`: for pictures of the page, and for tests. */
function start(linked, more) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => setTheme(event.matches));
  applyTheme();
  startCharts();
  render();
  if (linked >= 0) openItem(linked, { reveal: true });
  // When this is set, what is in sight is painted, charts too, and the page answers to the keyboard and the mouse.
  requestAnimationFrame(() => setTimeout(() => {
    performance.mark("otel-llm-interactive");
    document.documentElement.dataset.interactive = String(Math.round(performance.now()));
  }));
  globalThis.otelLlmReport = { drawEverything, openItem, explore, data: DATA, ...more };
}
