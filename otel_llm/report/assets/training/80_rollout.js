// One rollout: what it was worth and why, beside what, what was said in it, and the way to the losses that used it.

const linkOf = (one) => `#r-${one}`;
const placeOf = (one) => STEPS.rows + one;

function detailNodes(one, { about, said }, texts) {
  const flags = ROLLOUTS.flags[one], row = ROLLOUTS.row[one];
  const pills = FLAGS.filter(([flag]) => flags & flag).map(([flag, title]) => el(`span.pill.${flag & (UNSCORED | NOT_FINITE | BROKEN) ? "bad" : "warn"}`, null, title.toLowerCase()));
  const head = detailHead(one, el("span", null, ROLLOUTS.name[one]), pills);
  const facts = factList([
    ["Reward", known(about.reward) ? figure(about.reward) : "none"], ["Advantage", signedFigure(ROLLOUTS.advantage[one])],
    ["Surprise", known(ROLLOUTS.surprise[one]) && `${signedFigure(ROLLOUTS.surprise[one])} σ`], ["Step", row >= 0 && STEPS.number[row]], ["Rank", ROLLOUTS.rank[one]],
    ["Tokens", known(ROLLOUTS.tokens[one]) && `${known(about.given) ? `${count(about.given)} in, ` : ""}${count(ROLLOUTS.tokens[one])} out`], ["Turns", about.turns],
    ["Took", known(about.took) ? duration(about.took) : "has not ended"], ["Weights of", known(about.policy) ? `step ${about.policy}${about.version ? ` (${about.version})` : ""}` : about.version], ["Staleness", about.stale],
  ]);
  const nodes = [head, facts];
  if (about.error) nodes.push(el("p.problem", null, [about.error, about.message].filter(Boolean).join("\n")));
  const told = (about.problems ?? []).filter((word) => word !== "no_spread" && word !== "reward_missing");
  if (told.length) nodes.push(el("p.problem.warn", null, told.map(words).join(", ")));
  if (about.rewards) nodes.push(rewardTable(about.rewards));
  nodes.push(...beside(one, about));
  nodes.push(el("h3", null, "What was said"));
  if (said.length) nodes.push(turnNodes(said, texts));
  else nodes.push(el("p.note", null, DATA.content ? "It is not in this report." : "The report was made without it."));
  if (about.task) nodes.push(more("The task's data", turnNode("task", about.task, ".code")));
  if (about.tokens) nodes.push(more(`${plural(about.tokens.length, "token")}: ids, logarithms of probabilities, ratios`, table([
    { title: "Place", num: true, value: (r) => r[3] }, { title: "Id", num: true, value: (r) => r[0] }, { title: "Logprob", num: true, value: (r) => r[1], show: (r) => figure(r[1]) }, { title: "Ratio, new to old", num: true, value: (r) => r[2], show: (r) => figure(r[2]) },
  ], about.tokens.map((token, i) => [...token, i]), { tall: true, caption: "Tokens" })));
  nodes.push(...pathNodes(one, about));
  return nodes.flat();
}

function rewardTable(rewards) {
  return el("div", null, el("h3", null, "Reward"), table([
    { title: "Component", head: true, value: (r) => r[0] },
    { title: "Score", num: true, value: (r) => r[1], show: (r) => figure(r[1]) },
    rewards.some((r) => known(r[2])) && { title: "Weight", num: true, value: (r) => r[2], show: (r) => figure(r[2]) },
    rewards.some((r) => r[3]) && { title: "Why", text: true, value: (r) => r[3], show: (r) => el("span.soft", null, r[3] ?? "") },
  ].filter(Boolean), rewards, { caption: "Components of the reward" }));
}

/** The others of its group, to go to with a click. */
function beside(one, about) {
  const row = ROLLOUTS.row[one], group = ROLLOUTS.group[one];
  if (row < 0 || group < 0) return [];
  const evaluated = ROLLOUTS.flags[one] & EVALUATION, members = [];
  for (let other = STEPS.first[row]; other < STEPS.first[row] + STEPS.n[row]; other++) if (ROLLOUTS.group[other] === group && (ROLLOUTS.flags[other] & EVALUATION) === evaluated) members.push(other);
  return [el("h3", null, `Its group${about.group ? `, ${about.group}` : ""}: rewards of ${plural(members.length, "sample")}`), el("div.siblings", null, members.map((other) => el("button.control", {
    type: "button", "aria-pressed": String(other === one), title: ROLLOUTS.name[other], onclick: () => openItem(other) }, known(ROLLOUTS.reward[other]) ? figure(ROLLOUTS.reward[other]) : "–")))];
}

function pathNodes(one, about) {
  const nodes = [el("h3", null, "Its way to the loss")], row = ROLLOUTS.row[one];
  const way = [el("li", null, "generated", row >= 0 && ` in ${stepName(row)}`, ` on rank ${ROLLOUTS.rank[one]}`, known(about.policy) && ` with the weights of step ${about.policy}`, known(about.stale) && about.stale > 0 && `, ${plural(about.stale, "step")} stale`)];
  way.push(el("li", null, known(about.reward) ? `scored ${figure(about.reward)}` : "not scored", known(ROLLOUTS.advantage[one]) ? `, advantage ${signedFigure(ROLLOUTS.advantage[one])}` : ""));
  for (const [kind, step, attempt, rank, micro, iteration, loss, n, trace, span, update] of about.consumers ?? []) {
    const place = PLACE.get(step), to = [...Array(STEPS.rows).keys()].find((one_) => STEPS.number[one_] === step && STEPS.attempt[one_] === attempt) ?? ROWS[place];
    way.push(el("li", null, "learned from in ", el("button.plain", { type: "button", onclick: () => to !== undefined && pick(to, true) }, `step ${step}`), `: ${words(kind)} on rank ${rank}`,
      known(micro) && `, micro-batch ${micro}`, known(update) && `, update ${count(update)}`, known(iteration) && iteration > 0 && `, iteration ${iteration}`, n > 1 ? `, together with ${count(n - 1)} more` : ", alone", known(loss) && `, loss ${figure(loss)}`,
      el("span.faint.mono", null, ` trace ${trace.slice(0, 8)} span ${span}`)));
  }
  if (!about.consumers) way.push(el("li", null, ROLLOUTS.flags[one] & EVALUATION ? "of an evaluation: nothing learns from it" : "no loss says that it learned from it"));
  nodes.push(el("ol.way", null, way), el("p.note", null, "Trace ", el("code", null, about.trace), " span ", el("code", null, about.span)));
  return nodes;
}
