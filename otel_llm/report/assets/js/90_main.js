// Putting the page together: one view (a game, or all of them) at a time.

const SECTIONS = [
  ["timeline", "Timeline", timelineSection], ["games", "Games", gamesSection], ["traces", "Traces", tracesSection], ["powers", "Powers", powersSection],
  ["centres", "Centres", centresSection], ["letters", "Messages", lettersSection], ["patterns", "Phases", patternsSection], ["costs", null, costsSection],
  ["latency", "Time", latencySection], ["spending", "Cost", spendingSection], ["models", "Models", modelsSection],
  ["success", "Success", successSection], ["orders", "Orders", ordersSection], ["trouble", "Errors", troubleSection],
  ["training", "Training", trainingSection], ["interactions", (view) => (view.totals.interactions ? "Interactions" : "Calls"), interactionsSection],
];

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
  const picker = DATA.views.length > 1 && el("select", { "aria-label": "Game", onchange: (event) => choose(event.target.value === "" ? null : Number(event.target.value)) },
    el("option", { value: "" }, "All together"), DATA.views.filter((view) => view.game !== null).map((view) => el("option", { value: String(view.game) }, gameName(view.game))));
  if (picker) picker.value = current.game === null ? "" : String(current.game);
  const sections = SECTIONS.map(([id, title, make]) => [id, typeof title === "function" ? title(current) : title, () => make(current)]);
  layOut(sections, { head: masthead(current), picker, note: "Times are local; durations are seconds unless they say otherwise." });
}

const asked = /^#i-([0-9a-f]{16})$/.exec(location.hash);
start(asked ? ITEMS.id?.indexOf(asked[1]) ?? -1 : -1, { choose });
