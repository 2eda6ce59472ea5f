// Groups with nothing to learn from, what went wrong, and the run's settings.

const BAD_KINDS = new Set(["rank died", "ended early", "failed", "not finite", "rank missing", "reward missing", "link without rollout"]);

function groupsSection() {
  if (!over(STEPS.groups).some((n) => n > 0)) return null;
  const [node, body] = card("groups", "Groups without spread", "All samples of such a group have the same reward: their advantages are nought, and they teach nothing.", "half");
  if (!DATA.flat.n) {
    body.append(empty("Every group has some."));
    return node;
  }
  body.append(table([
    { title: "Group", head: true, value: (r) => r[1], show: (r) => longName(r[1]) },
    { title: "Step", num: true, value: (r) => STEPS.number[r[0]], show: (r) => STEPS.number[r[0]] },
    { title: "All have", num: true, value: (r) => r[2], show: (r) => figure(r[2]) },
    { title: "Samples", num: true, value: (r) => r[3] },
  ], DATA.flat.rows, { tall: true, caption: "Groups without spread, the latest first", onrow: (r) => openFlat(r) }));
  if (DATA.flat.n > DATA.flat.rows.length) body.append(el("p.note", null, `The latest ${count(DATA.flat.rows.length)} of ${count(DATA.flat.n)}.`));
  return node;
}

/** Show the members of a group without spread, which goes by its name and its step. */
async function openFlat([row, name]) {
  for (let one = STEPS.first[row]; one < STEPS.first[row] + STEPS.n[row]; one++) {
    if (!(ROLLOUTS.flags[one] & NO_SPREAD)) continue;
    const { detail } = await detailOf(STEPS.rows + one);
    if (detail.about.group?.slice(0, 300) !== name) continue;
    pick(row);
    explore({ step: row, group: ROLLOUTS.group[one] });
    select(one);
    return;
  }
}

function troubleSection() {
  const [node, body] = card("trouble", "Problems", null, over(STEPS.groups).some((n) => n > 0) ? "half" : "");
  if (!DATA.trouble.length) {
    body.append(empty("Nothing went wrong."));
    return node;
  }
  body.append(table([
    { title: "What", head: true, value: (r) => r.kind, show: (r) => el(`span.${BAD_KINDS.has(r.kind) ? "bad" : "warn"}`, null, r.kind) },
    { title: "", text: true, value: (r) => r.what },
    { title: "Times", num: true, value: (r) => r.n, show: (r) => count(r.n) },
    { title: "Steps", num: true, value: (r) => r.first, show: (r) => (known(r.first) ? (r.first === r.last ? r.first : `${r.first} – ${r.last}`) : "") },
  ], DATA.trouble, { tall: true, caption: "Problems", onrow: (r) => known(r.first) && PLACE.has(r.first) && pick(ROWS[PLACE.get(r.first)], true) }));
  return node;
}

function settingsSection() {
  if (!RUN.config.length && RUN.attempts.length < 2) return null;
  const [node, body] = card("settings", "Settings", null);
  if (RUN.attempts.length > 1) body.append(table([
    { title: "Attempt", head: true, value: (r) => r.number, show: (r) => r.number + 1 },
    { title: "State", value: (r) => r.state, show: (r) => el(`span.pill${STATUS[r.state] && `.${STATUS[r.state]}`}`, null, r.state) },
    { title: "Began", value: (r) => r.start, show: (r) => clock(r.start) },
    { title: "Steps", num: true, value: (r) => r.first, show: (r) => (known(r.first) ? `${r.first} – ${r.last}` : "none") },
    { title: "Ranks", num: true, value: (r) => r.world },
    { title: "Hosts", value: (r) => r.hosts.join(", ") },
  ], RUN.attempts, { caption: "Attempts" }));
  if (RUN.config.length) body.append(more(plural(RUN.config.length, "setting"), pairs(Object.fromEntries(RUN.config))));
  return node;
}
