// A training run: what its document means, which step is picked, and the head of the page.

const STEPS = DATA.steps, ROLLOUTS = DATA.rollouts, RUN = DATA.run;
const TRUNCATED = 1, UNSCORED = 2, NOT_FINITE = 4, EVALUATION = 8, UNCONSUMED = 16, NO_SPREAD = 32, BROKEN = 64; // ROLLOUTS.flags
const STATUS = { failed: "bad", killed: "bad", running: "warn", unknown: "", ended: "good" };

/** Rows of the steps that count: of one that was done again after a resume, the last attempt's. */
const ROWS = [...Array(STEPS.rows).keys()].filter((row) => STEPS.current[row]).sort((a, b) => STEPS.number[a] - STEPS.number[b]);
const REDONE = [...Array(STEPS.rows).keys()].filter((row) => !STEPS.current[row]);
const NUMBERS = ROWS.map((row) => String(STEPS.number[row]));
const PLACE = new Map(ROWS.map((row, place) => [STEPS.number[row], place]));

let picked = ROWS.length ? ROWS[ROWS.length - 1] : -1;

const over = (column) => ROWS.map((row) => column[row]);
const stepName = (row) => (row < 0 ? "outside any step" : `step ${STEPS.number[row]}${RUN.attempts.length > 1 ? `, attempt ${STEPS.attempt[row] + 1}` : ""}`);

/** A number of training in four figures, as the command line writes it. */
function figure(value) {
  if (!known(value)) return "";
  if (typeof value === "string") return value;
  const size = Math.abs(value);
  if (size && (size < 1e-4 || size >= 1e6)) return value.toExponential(2).replace(/\.?0*e\+?/, "e");
  return String(Number(value.toPrecision(4)));
}
const signedFigure = (value) => (known(value) ? `${value < 0 ? "−" : value > 0 ? "+" : ""}${figure(Math.abs(value))}` : "");

const PART_COLOURS = {
  generation: ["#2b6cb0", "#6fb1f5"], weight_sync: ["#0f7f83", "#4fcdd0"], logprobs: ["#8d63c6", "#c2a1f2"], rewards: ["#b87a00", "#efbb55"],
  advantages: ["#97266d", "#ec82c4"], loss: ["#c05621", "#f29a66"], backward: ["#b83232", "#ff8b85"], optimizer: ["#2f855a", "#5fcf94"],
  checkpoint: ["#6b5b00", "#d4c04a"], data: ["#7a4a21", "#d3a377"], evaluation: ["#5a3fb0", "#ab97fb"], sampling: ["#5d8a3a", "#b3d98c"], other: ["#7b8794", "#a3afbb"],
};
function partColour(part) {
  return shade(PART_COLOURS[part] ?? PALETTE[Math.max(0, DATA.times.parts.indexOf(part)) % PALETTE.length]);
}
const componentColour = (number) => shade(TYPE_COLOURS[(number + 1) % TYPE_COLOURS.length]);

// --- the head -----------------------------------------------------------------------------------

function masthead() {
  const about = [el(`span.pill${STATUS[RUN.state] && `.${STATUS[RUN.state]}`}`, null, RUN.state)];
  for (const word of [RUN.algorithm, RUN.system, RUN.model]) if (word) about.push(el("span", null, word));
  about.push(el("span", null, `${clock(RUN.start, false)}, ${duration((RUN.end - RUN.start) / 1000)}`));
  if (RUN.attempts.length > 1) about.push(el("span", null, plural(RUN.attempts.length, "attempt")));
  const failed = RUN.attempts.filter((one) => one.error);
  return [
    titleOf("Training report", DATA.title, about),
    failed.map((one) => el("p.problem", null, `${RUN.attempts.length > 1 ? `Attempt ${one.number + 1}` : "The run"} failed (${one.error})${one.message ? `: ${one.message}` : ""}`)),
    DATA.problems.map((problem) => el("p.problem.warn", null, `Part of the store could not be read: ${problem}`)),
    keyFigures(),
  ];
}

function keyFigures() {
  const figures = [];
  const add = (name, value, small, wrong) => figures.push(el("div.figure", null, el("dt", null, name), el("dd", null, value, small && el(`small${wrong ? ".bad" : ""}`, null, small))));
  const rewards = rewardCurve().filter(known), sum = (column) => over(column).reduce((a, b) => a + (b ?? 0), 0);
  add("Steps", count(ROWS.length), RUN.attempts.length > 1 ? `${count(REDONE.length)} done again` : ROWS.length ? `${NUMBERS[0]}${ROWS.length > 1 ? ` – ${NUMBERS[NUMBERS.length - 1]}` : ""}` : "");
  const tenth = Math.max(1, Math.round(rewards.length / 10)), mean = (some) => some.reduce((a, b) => a + b, 0) / some.length;
  if (rewards.length) add("Reward", figure(mean(rewards.slice(-tenth))), rewards.length > 1 ? `from ${figure(mean(rewards.slice(0, tenth)))}; first and last tenth` : "mean");
  const unscored = sum(STEPS.unscored);
  add("Rollouts", compact(ROLLOUTS.n), unscored ? `${count(unscored)} without a reward` : "all with a reward", unscored);
  const groups = sum(STEPS.groups), flat = sum(STEPS.flat);
  if (groups) add("Groups without spread", percent(flat / groups), `${count(flat)} of ${count(groups)}`);
  const took = over(STEPS.took).filter(known).sort((a, b) => a - b);
  if (took.length) add("A step", duration(took[Math.floor(took.length / 2)]), took.length > 1 && `median; ${duration(took[took.length - 1])} at most`);
  if (RUN.world) add("Ranks", count(RUN.world), [...new Set(RUN.attempts.flatMap((one) => one.hosts))].length > 1 ? plural([...new Set(RUN.attempts.flatMap((one) => one.hosts))].length, "host") : RUN.attempts[RUN.attempts.length - 1].hosts[0] ?? "");
  const wrong = DATA.trouble.filter((one) => BAD_KINDS.has(one.kind)).reduce((a, b) => a + b.n, 0);
  add("Problems", count(wrong), wrong ? "see below" : "none", wrong);
  return el("dl.figures", null, figures);
}

/** Mean rewards: of the rollouts, else what the trainer told. */
function rewardCurve() {
  const own = over(STEPS.reward_mean);
  if (own.some(known)) return own;
  const told = DATA.curves.find((curve) => curve.name === DATA.roles.reward);
  return told ? over(told.values) : own;
}
