// What is chosen of the list, beside it; on a narrow window it covers the page. The page gives `linkOf`, `placeOf` and
// `detailNodes`.

let reading = 0;

async function readItem(item) {
  const mine = ++reading, box = list.parts.detail;
  try {
    history.replaceState(null, "", linkOf(item)); // a link to it; some places do not allow it
  } catch { /* then there is none */ }
  const { detail, texts } = await detailOf(placeOf(item));
  if (mine !== reading) return;
  box.replaceChildren(...detailNodes(item, detail, texts));
  box.scrollTop = 0;
  box.dataset.item = String(item);
}

/** Its head: a title, and the way to its neighbours and back. */
function detailHead(item, ...title) {
  const step = (by) => {
    const at = list.found.indexOf(item) + by;
    if (at >= 0 && at < list.found.length) select(list.found[at]);
  };
  return el("div.head", null,
    el("div.title", null, title),
    el("div.tools", null,
      el("button.control", { type: "button", "aria-label": "The one before", onclick: () => step(-1) }, "↑"),
      el("button.control", { type: "button", "aria-label": "The next one", onclick: () => step(1) }, "↓"),
      el("button.control.close", { type: "button", onclick: closeDetail }, "Close")));
}

/** Names and values; what is not known is left out. `facts`: [[name, value], ...]. */
function factList(facts) {
  const there = facts.filter((fact) => fact && known(fact[1]) && fact[1] !== "" && fact[1] !== false);
  return el("dl.facts", null, there.map(([name, value]) => el("div", null, el("dt", null, name), el("dd", null, String(value)))));
}

function openDetail(focus) {
  const box = list.parts.detail;
  if (getComputedStyle(box).display === "none" || box.classList.contains("open")) {
    box.classList.add("open");
    document.body.style.overflow = "hidden";
    box.focus();
  } else if (focus) box.focus({ preventScroll: true });
}

function closeDetail() {
  list.parts.detail.classList.remove("open");
  document.body.style.overflow = "";
  list.parts.list.focus({ preventScroll: true });
}

addEventListener("keydown", (event) => {
  if (event.key === "Escape" && list.parts.detail?.contains(document.activeElement)) closeDetail();
});
