// Sections, tables and small drawings that are plain HTML: sharp at any size, and readable without eyes.

/** A card with a title, an optional line under it and optional tools. Returns [card, body, tools]. */
function card(id, title, line, size = "") {
  const tools = el("div.tools"), body = el("div");
  const heading = el("h2", { id: `${id}-title` }, title);
  const node = el(`section.card${size && `.${size}`}`, { id, "aria-labelledby": `${id}-title` },
    el("div.head", null, el("div", null, heading, line && el("p", null, line)), tools), body);
  return [node, body, tools];
}

const empty = (...said) => el("p.empty", null, ...said);

/** A row of buttons of which one is pressed. `choices`: [[key, label], ...]. */
function segments(label, choices, chosen, choose) {
  const buttons = choices.map(([key, text]) => el("button", { type: "button", "aria-pressed": String(key === chosen), onclick: () => {
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(choices[i][0] === key)));
    choose(key);
  } }, text));
  return el("div.segments", { role: "group", "aria-label": label }, buttons);
}

/**
 * A table that sorts by its columns.
 *
 * columns: {title, value(row) -> number|text to sort by, show(row) -> node|text, num: right-aligned, head: row header}
 * options: {sort: [column, descending], tall: scrolls by itself, caption, onrow(row): what choosing a row does}
 */
function table(columns, rows, options = {}) {
  const body = el("tbody");
  const heads = columns.map((column, i) => {
    const head = el(column.num ? "th.num" : "th", { scope: "col", title: column.hint || null });
    if (column.value && rows.length > 1) head.append(el("button", { type: "button", onclick: () => sort(i) }, column.title));
    else head.append(el("span", null, column.title));
    return head;
  });
  let sorted = options.sort || [-1, true];
  function fill() {
    const [by, down] = sorted;
    const order = rows.slice();
    if (by >= 0) {
      const value = columns[by].value;
      order.sort((a, b) => compare(value(a), value(b), down));
      heads.forEach((head, i) => (i === by ? head.setAttribute("aria-sort", down ? "descending" : "ascending") : head.removeAttribute("aria-sort")));
    }
    body.replaceChildren(...order.map((row) => {
      const cells = columns.map((column) => {
        const content = column.show ? column.show(row) : column.value(row);
        // A row that can be chosen can be chosen with the keyboard, too: by its head.
        if (column.head) return el("th", { scope: "row" }, options.onrow ? el("button.row", { type: "button" }, content) : content);
        return el(`td${column.num ? ".num" : ""}${column.text ? ".text" : ""}`, null, content);
      });
      return el(options.onrow ? "tr.link" : "tr", options.onrow ? { onclick: () => options.onrow(row) } : null, cells);
    }));
  }
  function sort(by) {
    sorted = [by, sorted[0] === by ? !sorted[1] : Boolean(columns[by].num)];
    fill();
  }
  fill();
  const made = el("table", null, options.caption && el("caption.hidden", null, options.caption), el("thead", null, el("tr", null, heads)), body);
  return el(`div.scroll${options.tall ? ".tall" : ""}`, options.tall ? { tabIndex: 0, role: "region", "aria-label": options.caption || "table" } : null, made);
}

function compare(a, b, down) {
  if (!known(a) || !known(b)) return known(a) ? -1 : known(b) ? 1 : 0; // what nobody knows comes last
  const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  return down ? -order : order;
}

/** A bar of parts: [[share of the whole bar, colour, title], ...]. */
function bar(parts) {
  return el("div.bar", { title: parts.map((part) => part[2]).filter(Boolean).join(" · ") || null },
    parts.filter((part) => part[0] > 0).map(([share, colour]) => el("i", { style: { width: `${Math.min(100, share * 100)}%`, background: colour } })));
}

/** A histogram over logarithmic bins, with a mark at the median. `edges` has one value more than `bins`. */
function histogram(bins, edges, median, colour, width = 260, height = 26) {
  const most = Math.max(1, ...bins), step = width / bins.length;
  const place = (value) => {
    const from = Math.log(edges[0]), to = Math.log(edges[edges.length - 1]);
    return Math.max(0, Math.min(width, ((Math.log(Math.max(value, edges[0])) - from) / (to - from)) * width));
  };
  const bars = bins.map((n, i) => {
    const tall = n ? Math.max(1.5, (n / most) * (height - 2)) : 0;
    const rect = svg("rect", { x: i * step + 0.5, y: height - tall, width: Math.max(0.5, step - 1), height: tall, fill: colour, opacity: 0.75 });
    if (n) rect.append(svg("title", null, `${duration(edges[i])} – ${duration(edges[i + 1])}: ${count(n)}`));
    return rect;
  });
  const mark = known(median) ? svg("line", { x1: place(median), x2: place(median), y1: 0, y2: height, stroke: css("--ink"), "stroke-width": 1.5 }) : null;
  const base = svg("line", { x1: 0, x2: width, y1: height - 0.5, y2: height - 0.5, stroke: css("--line-strong"), "stroke-width": 1 });
  const made = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, class: "spark", role: "img", "aria-label": `distribution, median ${duration(median)}` });
  append(made, [bars, base, mark]);
  return made;
}
