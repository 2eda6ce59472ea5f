// Putting the page of a training run together.

// Nothing here makes markup of strings, and nothing may: the page's policy asks for Trusted Types, and this one lets
// through only the empty string, with which the charting library clears the element it draws in.
globalThis.trustedTypes?.createPolicy("default", { createHTML: (text) => (text === "" ? "" : null) });

const SECTIONS = [
  ["reward", "Reward", rewardSection], ["curves", "Curves", curvesSection], ["numbers", null, numbersSection], ["time", "Time", timeSection],
  ["step", "Step", stepSection], ["rollouts", "Rollouts", rolloutsSection], ["groups", "Groups", groupsSection], ["trouble", "Problems", troubleSection],
  ["settings", "Settings", settingsSection],
];

const page = document.getElementById("page");

function render() {
  dropCharts(page);
  const made = SECTIONS.map(([id, title, make]) => [id, title, make()]).filter(([, , node]) => node);
  const links = made.filter(([, title]) => title).map(([id, title]) => el("li", null, el("a", { href: `#${id}` }, title)));
  page.replaceChildren();
  append(page, [
    masthead(), el("nav.nav", { "aria-label": "Sections" }, el("ul", null, links)),
    el("main.grid", null, made.map(([, , node]) => node)),
    el("footer.foot", null, el("span", null, `otel-llm ${DATA.version}`), el("span", null, `made ${new Date(DATA.made).toLocaleString("en-GB")}`), el("span", null, "Times are local."), el("span", null, "Charts by Apache ECharts.")),
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
  explore(filter, { stay: true });
  if (selected >= 0) select(selected);
  scrollTo(0, at);
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => setTheme(event.matches));
applyTheme();
startCharts();
render();

const asked = /^#r-([0-9]{1,9})$/.exec(location.hash);
if (asked && Number(asked[1]) < ROLLOUTS.n) openItem(Number(asked[1]), { reveal: true });

// When this is set, what is in sight is painted, charts too, and the page answers to the keyboard and the mouse.
requestAnimationFrame(() => setTimeout(() => {
  performance.mark("otel-llm-interactive");
  document.documentElement.dataset.interactive = String(Math.round(performance.now()));
}));

// For pictures of the whole page, and for tests.
globalThis.otelLlmReport = { drawEverything, openItem, explore, pick, data: DATA };
