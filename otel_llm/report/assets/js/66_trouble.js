// What went wrong: failures that nobody noticed first, then those that somebody did, refused calls, repetitions.

function troubleSection(view) {
  const [node, body] = card("trouble", "Errors", "Failures that the program went on from without a word are marked unnoticed.");
  const { failures, refusals, repetitions, oddities } = view;
  if (!failures.length && !refusals.length && !repetitions.n && !oddities.length) {
    body.append(empty("Nothing failed, nothing was attempted twice, and no input was odd."));
    return node;
  }
  const read = (item, text) => (item < 0 ? text || "" : el("button.plain", { type: "button", onclick: (event) => { event.stopPropagation(); openItem(item, { reveal: true }); } }, text || "read it"));
  const part = (title, ...content) => body.append(el("h3", { style: { margin: "18px 0 6px" } }, title), ...content);
  if (view.totals.interactions) {
    if (failures.length) part("Interactions that failed", table([
      { title: "Failure", head: true, value: (r) => r.error, show: (r) => words(r.error) },
      { title: "Type", value: (r) => nameOf("types", r.type), show: (r) => keyName("type", r.type) },
      { title: "Times", num: true, value: (r) => r.n, show: (r) => count(r.n) },
      { title: "Unnoticed", num: true, value: (r) => r.swallowed, show: (r) => (r.swallowed ? el("span.pill.bad", null, count(r.swallowed)) : el("span.faint", null, "0")) },
      { title: "Powers", value: (r) => r.powers.map((p) => powerOf(p) ?? "").join(", "), show: (r) => (r.powers.length > 3 ? plural(r.powers.length, "power") : r.powers.map(powerName)) },
      { title: "The last one's words", text: true, value: (r) => r.message, show: (r) => read(r.item, r.message) },
    ], failures, { tall: failures.length > 10, caption: "Failed interactions" }));
    else part("Interactions that failed", empty("No interaction failed."));
  }
  if (refusals.length) part("Model calls that failed", table([
    { title: "Failure", head: true, value: (r) => r.error, show: (r) => words(r.error) },
    { title: "Model", value: (r) => nameOf("models", r.model), show: (r) => keyName("model", r.model) },
    { title: "Status", num: true, value: (r) => r.codes[0], show: (r) => r.codes.join(", ") },
    { title: "Times", num: true, value: (r) => r.n, show: (r) => count(r.n) },
    view.totals.interactions > 0 && { title: "Never answered", num: true, value: (r) => r.unanswered, show: (r) => (r.unanswered ? el("span.bad", null, count(r.unanswered)) : el("span.faint", null, "0")), hint: "Interactions in which no call succeeded" },
    { title: "Time lost", num: true, value: (r) => r.wasted, show: (r) => duration(r.wasted), hint: "What they took, and what their answers asked to wait" },
    { title: "The last one's words", text: true, value: (r) => r.message, show: (r) => read(r.item, r.message) },
  ].filter(Boolean), refusals, { tall: refusals.length > 10, caption: "Failed model calls" }));
  else part("Model calls that failed", empty("No model call failed."));
  if (repetitions.n) {
    part("Attempted more than once", table([
      { title: "What", head: true, value: (r) => nameOf("types", r.type), show: (r) => keyName("type", r.type) },
      { title: "Power", value: (r) => powerOf(r.power), show: (r) => powerName(r.power) },
      { title: "Phase", value: (r) => r.phase },
      { title: "Attempts", num: true, value: (r) => r.attempts },
      { title: "In the end", value: (r) => String(r.ok), show: (r) => (r.ok === null ? el("span.faint", null, "undecided") : r.ok ? el("span.good", null, "succeeded") : el("span.bad", null, "failed")) },
      { title: "Time lost", num: true, value: (r) => r.lost, show: (r) => duration(r.lost), hint: "From the first attempt to the last" },
      { title: "Why", text: true, value: (r) => Object.keys(r.errors).join(", "), show: (r) => read(r.item, Object.entries(r.errors).map(([e, n]) => (n > 1 ? `${words(e)} ×${n}` : words(e))).join(", ")) },
    ], repetitions.rows, { sort: [5, true], tall: repetitions.rows.length > 10, caption: "Repeated attempts" }));
    if (repetitions.n > repetitions.rows.length) body.append(el("p.note", null, `The ${repetitions.rows.length} that lost most time, of ${count(repetitions.n)}.`));
  }
  if (oddities.length) part("Odd input", table([
    { title: "What", head: true, value: (r) => r.kind },
    { title: "Which", text: true, value: (r) => r.what },
    { title: "Times", num: true, value: (r) => r.n, show: (r) => count(r.n) },
    { title: "Seen first in trace", value: (r) => r.trace, show: (r) => el("span.mono", null, r.trace.slice(0, 16)) },
  ], oddities, { tall: oddities.length > 10, caption: "Odd input" }));
  return node;
}
