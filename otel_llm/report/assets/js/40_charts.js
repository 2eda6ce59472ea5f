// Charts by ECharts. They are made when they come near the window, so that a page with many of them opens at once.
// Tooltips are elements of ours: a string would be taken for HTML (and the page's Trusted Types policy would refuse it).

const charts = new Set();
let nearby = null;

/**
 * Make a chart.
 *
 * label: what it shows, for those who cannot see it.
 * options(): ECharts options, asked for again when the theme changes.
 * setup(instance): called once it is there.
 */
function chart(label, height, options, setup) {
  const node = el("div.chart", { role: "img", "aria-label": label, style: { height: `${height}px` } });
  const made = { node, options, setup, instance: null };
  made.draw = () => {
    if (made.instance === null) {
      made.instance = echarts.init(node, null, { renderer: "canvas" });
      made.instance.setOption(withDefaults(made.options()));
      made.setup?.(made.instance);
    } else {
      made.instance.setOption(withDefaults(made.options()), { notMerge: true });
    }
  };
  node.chartOf = made;
  charts.add(made);
  nearby.observe(node);
  return made;
}

function startCharts() {
  nearby = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting && entry.target.clientWidth) drawNow(entry.target.chartOf);
    }
  }, { rootMargin: "400px" });
}

const sizes = new ResizeObserver((entries) => {
  for (const entry of entries) {
    const made = entry.target.chartOf;
    if (made?.instance && entry.contentRect.width > 0) made.instance.resize();
  }
});

function dropCharts(within) {
  for (const made of [...charts]) {
    if (!within.contains(made.node)) continue;
    nearby.unobserve(made.node);
    sizes.unobserve(made.node);
    made.instance?.dispose();
    charts.delete(made);
  }
}

const drawAll = () => charts.forEach((made) => (made.instance ? made.draw() : null));

/** Draw what is in the window now, before it is shown for the first time. */
function drawInSight() {
  for (const made of charts) if (!made.instance && made.node.clientWidth && made.node.getBoundingClientRect().top < innerHeight) drawNow(made);
}

function drawNow(made) {
  nearby.unobserve(made.node);
  made.draw();
  sizes.observe(made.node);
}

/** Draw also what is far from the window: for printing and for pictures of the whole page. */
function drawEverything() {
  for (const made of charts) if (!made.instance && made.node.clientWidth) drawNow(made);
}
addEventListener("beforeprint", drawEverything);

function withDefaults(options) {
  const text = { color: css("--soft"), fontFamily: css("--font"), fontSize: 12 };
  return {
    animation: false,
    backgroundColor: "transparent",
    textStyle: text,
    ...options,
    tooltip: options.tooltip === null ? undefined : {
      backgroundColor: css("--card"), borderColor: css("--line-strong"), textStyle: { color: css("--ink"), fontSize: 12.5 },
      padding: [8, 11], confine: true, transitionDuration: 0, extraCssText: "box-shadow: 0 4px 16px rgb(0 0 0 / 18%)",
      ...options.tooltip,
    },
  };
}

function axis(kind, options = {}) {
  const base = {
    type: kind,
    axisLine: { lineStyle: { color: css("--line-strong") } },
    axisTick: { show: false },
    axisLabel: { color: css("--soft"), fontSize: 12, hideOverlap: true, ...(kind === "category" ? { width: 72, overflow: "truncate" } : {}) },
    splitLine: { show: kind !== "category", lineStyle: { color: css("--line") } },
    nameTextStyle: { color: css("--faint"), fontSize: 12 },
  };
  return { ...base, ...options, axisLabel: { ...base.axisLabel, ...options.axisLabel }, splitLine: { ...base.splitLine, ...options.splitLine } };
}

/** What a tooltip says: a title and [label, value, colour] rows, as an element. */
function tip(title, rows, foot) {
  const list = el("dl", null, rows.filter((row) => row && row[1] !== "" && known(row[1])).map(([label, value, colour]) => [
    el("dt", null, colour && el("span.dot", { style: { background: colour } }), label), el("dd", null, value)]));
  return el("div.tip", null, el("strong", null, title), list, foot && el("div.soft", null, foot));
}

/** A legend of buttons that switch series on and off. `entries`: [[label, colour, count], ...]. */
function legend(entries, toggle) {
  return el("ul.legend", null, entries.map(([label, colour, number], i) => el("li", null, toggle
    ? el("button", { type: "button", "aria-pressed": "true", onclick: (event) => {
        const button = event.currentTarget, on = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(on));
        toggle(i, on);
      } }, swatch(label, colour), known(number) && el("b", null, count(number)))
    : el("span", null, swatch(label, colour), known(number) && el("b", null, count(number))))));
}
