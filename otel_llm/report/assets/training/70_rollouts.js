// The list of rollouts: of one step or of all, the best, worst or most surprising first.

const NO_FILTER = { step: "", text: "", flag: "", group: "", sort: "best" };
const FLAGS = [[NO_SPREAD, "In a group without spread"], [TRUNCATED, "Cut off"], [UNSCORED, "Without a reward"], [NOT_FINITE, "Reward not finite"], [UNCONSUMED, "Never learned from"], [EVALUATION, "Of an evaluation"], [BROKEN, "Failed"]];
const SORTS = [["best", "Best"], ["worst", "Worst"], ["surprise", "Surprising"], ["order", "In order"]];

function rolloutsSection() {
  const made = card("rollouts", "Rollouts", "Surprise is how far a reward lies from the mean of the others in its group, in standard deviations (σ) of the step's rewards.");
  list.filter = { ...NO_FILTER, step: picked < 0 ? "" : picked };
  layList(made, {
    noun: "Rollouts", about: "The rollout", height: "min(80vh, 800px)",
    leftOut: `of ${count(DATA.left_out)} rollouts only the figures are here. The best, worst and most surprising of every step were taken first.`,
  });
  return made[0];
}

// --- filters ------------------------------------------------------------------------------------

function fillFilters() {
  const { parts } = list, f = list.filter;
  const set = (some) => {
    Object.assign(f, some);
    list.parts.list.scrollTop = 0;
    applyFilter();
  };
  parts.text = searchBox(DATA.kept ? "Search what was said" : "Search ids", set);
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

function applyFilter() {
  list.search++;
  const text = list.filter.text.trim().toLowerCase(), step = list.filter.step, fitting = [];
  const [from, to] = step === "" ? [0, ROLLOUTS.n] : [STEPS.first[step], STEPS.first[step] + STEPS.n[step]];
  for (let one = from; one < to; one++) if (passes(one)) fitting.push(one);
  const show = (found, more) => showFound(found, to - from, "rollout", more);
  if (!text) show(sorted(fitting), "");
  else searchIn(sorted(fitting), text, {
    show,
    named: (one) => ROLLOUTS.name[one].toLowerCase().includes(text),
    itemAt: (place) => place - STEPS.rows,
    has: (detail, found) => detail.said.some(([, number]) => found.has(number)) || detail.about.trace === text || detail.about.span === text,
  });
}

/** Show what a figure counted: set filters, and go to the list. */
function explore(filter, { stay = false } = {}) {
  Object.assign(list.filter, NO_FILTER, { sort: list.filter.sort }, filter);
  refilter();
  if (!stay) document.getElementById("rollouts").scrollIntoView();
}

// --- rows ---------------------------------------------------------------------------------------

function rowOf(at) {
  const one = list.found[at], flags = ROLLOUTS.flags[one], advantage = ROLLOUTS.advantage[one];
  const marks = FLAGS.filter(([flag]) => flags & flag).map(([, title]) => title.toLowerCase());
  const parts = DATA.components.map((name, i) => known(ROLLOUTS.components[i][one]) && `${name} ${figure(ROLLOUTS.components[i][one])}`).filter(Boolean).join(" · ");
  const mark = !known(advantage) || advantage === 0 ? "--line-strong" : advantage > 0 ? "--good" : "--bad";
  return rowNode(at, {
    mark: css(mark), what: [known(ROLLOUTS.reward[one]) ? figure(ROLLOUTS.reward[one]) : "no reward", el("span.faint", null, ` · ${ROLLOUTS.name[one]}${list.filter.step === "" && ROLLOUTS.row[one] >= 0 ? ` · step ${STEPS.number[ROLLOUTS.row[one]]}` : ""}${marks.length ? ` · ${marks.join(" · ")}` : ""}`)],
    when: known(advantage) ? `advantage ${signedFigure(advantage)}` : `rank ${ROLLOUTS.rank[one]}`, said: parts || "no components", took: known(ROLLOUTS.surprise[one]) ? `${signedFigure(ROLLOUTS.surprise[one])} σ` : "",
  });
}

/** Open a rollout. `reveal`: it was asked for elsewhere, so the list goes to it; `focus`: reading goes on there. */
function openItem(one, { reveal = false, focus = false } = {}) {
  if (!list.found.includes(one)) {
    const row = ROLLOUTS.row[one];
    if (row >= 0 && row !== picked) {
      picked = row;
      fillStep();
      markPicked();
    }
    explore({ step: row < 0 ? "" : row }, { stay: true });
  }
  select(one);
  if (reveal) document.getElementById("rollouts").scrollIntoView();
  openDetail(focus || reveal);
}
