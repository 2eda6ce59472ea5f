// Putting the page together: one view (a game, or all of them) at a time.

// Nothing here makes markup of strings, and nothing may: the page's policy asks for Trusted Types, and this one lets
// through only the empty string, with which the charting library clears the element it draws in.
globalThis.trustedTypes?.createPolicy("default", { createHTML: (text) => (text === "" ? "" : null) });

const SECTIONS = [
  ["timeline", "Timeline", timelineSection], ["games", "Games", gamesSection], ["traces", "Traces", tracesSection], ["powers", "Powers", powersSection],
  ["centres", "Centres", centresSection], ["letters", "Messages", lettersSection], ["patterns", "Phases", patternsSection], ["costs", null, costsSection],
  ["latency", "Time", latencySection], ["spending", "Cost", spendingSection], ["models", "Models", modelsSection],
  ["success", "Success", successSection], ["orders", "Orders", ordersSection], ["trouble", "Errors", troubleSection],
  ["training", "Training", trainingSection], ["interactions", (view) => (view.totals.interactions ? "Interactions" : "Calls"), interactionsSection],
];

const page = document.getElementById("page");
let current = DATA.views[0];

const viewOf = (game) => DATA.views.find((view) => view.game === game);

function choose(game) {
  const view = viewOf(game);
  if (!view) return;
  current = view;
  render();
  scrollTo(0, 0);
}

function render() {
  dropCharts(page);
  const made = SECTIONS.map(([id, title, make]) => [id, title, make(current)]).filter(([, , node]) => node);
  const links = made.filter(([, title]) => title).map(([id, title]) => el("li", null, el("a", { href: `#${id}` }, typeof title === "function" ? title(current) : title)));
  const picker = DATA.views.length > 1 && el("select", { "aria-label": "Game", onchange: (event) => choose(event.target.value === "" ? null : Number(event.target.value)) },
    el("option", { value: "" }, "All together"), DATA.views.filter((view) => view.game !== null).map((view) => el("option", { value: String(view.game) }, gameName(view.game))));
  if (picker) picker.value = current.game === null ? "" : String(current.game);
  page.replaceChildren();
  append(page, [
    masthead(current), el("nav.nav", { "aria-label": "Sections" }, el("ul", null, links), picker),
    el("main.grid", null, made.map(([, , node]) => node)),
    el("footer.foot", null, el("span", null, `otel-llm ${DATA.version}`), el("span", null, `made ${new Date(DATA.made).toLocaleString("en-GB")}`), el("span", null, "Times are local; durations are seconds unless they say otherwise."), el("span", null, "Charts by Apache ECharts.")),
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

function setTheme(toDark) {
  dark = toDark;
  applyTheme();
  const selected = list.selected, filter = { ...list.filter }, at = scrollY;
  render();
  explore(Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== "")), { stay: true });
  if (selected >= 0) select(selected);
  scrollTo(0, at);
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => setTheme(event.matches));
applyTheme();
startCharts();
render();

const asked = /^#i-([0-9a-f]{16})$/.exec(location.hash);
const linked = asked ? ITEMS.id?.indexOf(asked[1]) ?? -1 : -1;
if (linked >= 0) openItem(linked, { reveal: true });

// When this is set, what is in sight is painted, charts too, and the page answers to the keyboard and the mouse.
requestAnimationFrame(() => setTimeout(() => {
  performance.mark("otel-llm-interactive");
  document.documentElement.dataset.interactive = String(Math.round(performance.now()));
}));

// For pictures of the whole page, and for tests.
globalThis.otelLlmReport = { drawEverything, openItem, explore, choose, data: DATA };
