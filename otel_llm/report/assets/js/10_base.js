// The report's own scripts are these files, joined in the order of their numbers into one function: they share its
// scope. Everything in the data was written by models and programs that nobody vouches for, so there is one rule:
// data becomes text (`textContent`, `setAttribute` of harmless attributes) and never markup, a URL or a style sheet.

const DATA = JSON.parse(document.getElementById("report-data").textContent);
const ITEMS = DATA.items;
const OK = 0, FAILED = 1, OPEN = 2; // ITEMS.state
const SVG = "http://www.w3.org/2000/svg";

/** Make an element: `el("p.soft", {title: "x"}, "text", child, ...)`. Strings become text nodes. */
function el(kind, properties, ...children) {
  const [tag, ...classes] = kind.split(".");
  const node = document.createElement(tag || "div");
  if (classes.length) node.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "style") for (const [name, setting] of Object.entries(value)) node.style.setProperty(name, setting);
    else if (key in node && typeof node[key] !== "object" && key !== "list") node[key] = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  append(node, children);
  return node;
}

function append(node, children) {
  for (const child of children.flat(3)) {
    if (child === null || child === undefined || child === false || child === "") continue;
    node.append(child instanceof Node ? child : String(child));
  }
}

function svg(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
  append(node, children);
  return node;
}

// --- numbers as people read them: the rules of the command line ---------------------------------

const known = (value) => value !== null && value !== undefined && !Number.isNaN(value);

function count(value) {
  if (!known(value)) return "";
  return Math.abs(value) >= 1e7 ? `${(value / 1e6).toLocaleString("en", { maximumFractionDigits: 1 })}M` : Math.round(value).toLocaleString("en");
}

function compact(value) {
  if (!known(value)) return "";
  const size = Math.abs(value);
  if (size >= 1e7) return `${(value / 1e6).toFixed(1)}M`;
  if (size >= 1e6) return `${(value / 1e6).toFixed(2)}M`;
  return size >= 1e4 ? `${(value / 1e3).toFixed(size >= 1e5 ? 0 : 1)}k` : count(value);
}

/** Seconds in about three figures. */
function duration(seconds) {
  if (!known(seconds)) return "";
  if (seconds < 0) return `-${duration(-seconds)}`;
  if (seconds === 0) return "0 s";
  if (seconds < 0.9995) return seconds < 0.00095 ? "<1 ms" : `${Math.round(seconds * 1e3)} ms`;
  if (seconds < 99.95) return `${seconds.toFixed(seconds < 9.995 ? 2 : 1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} m ${String(whole % 60).padStart(2, "0")} s`;
  return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")} m`;
}

/** A position on a time axis: `0:00`, `12:30`, `1:02:03`, with fractions where the axis is short. */
function elapsed(ms, step = 1000) {
  const digits = step < 1000 ? (step < 100 ? 2 : 1) : 0;
  const sign = ms < 0 ? "-" : "", all = Math.round((Math.abs(ms) / 1000) * 10 ** digits) / 10 ** digits;
  const hours = Math.floor(all / 3600), minutes = Math.floor((all % 3600) / 60);
  const rest = (all % 60).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  return sign + (hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`);
}

function money(usd, digits) {
  if (!known(usd)) return "";
  if (digits !== undefined) return `$${usd.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
  if (usd === 0) return "$0";
  const size = Math.abs(usd);
  if (size >= 0.995) return `$${usd.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
  return size >= 0.00095 ? `$${usd.toFixed(4)}` : size >= 1e-6 ? `$${usd.toFixed(6)}` : "<$0.000001";
}

/** Digits after the point with which a column of amounts lines up and still tells them apart. */
function moneyDigits(values) {
  const most = Math.max(0, ...values.filter(known).map(Math.abs));
  return most >= 10 ? 2 : most >= 0.1 ? 3 : most >= 0.01 ? 4 : 6;
}

function percent(share, digits = 1) {
  if (!known(share)) return "";
  const value = share * 100;
  if (value > 0 && value < 10 ** -digits / 2) return `<${(10 ** -digits).toFixed(digits)}%`;
  if (value < 100 && value > 100 - 10 ** -digits / 2) return `>${(100 - 10 ** -digits).toFixed(digits)}%`;
  return `${value.toFixed(value === 0 || value === 100 ? 0 : digits)}%`;
}

/** What an item is called: a view without interactions lists calls. */
const nounOf = (view) => (view.totals.interactions ? "interaction" : "call");

const plural = (number, noun, many = `${noun}s`) => `${count(number)} ${number === 1 ? noun : many}`;
const words = (name) => String(name).replaceAll("_", " ");

function clock(ms, seconds = true) {
  const time = new Date(DATA.t0 + ms);
  return time.toLocaleString("en-GB", { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", ...(seconds ? { second: "2-digit" } : {}) });
}

// --- what an item is ----------------------------------------------------------------------------

const nameOf = (list, index) => (index === null || index < 0 ? null : DATA[list][index]);
const powerOf = (index) => nameOf("powers", index);
const phaseOf = (item) => (ITEMS.phase[item] < 0 ? null : DATA.games[ITEMS.game[item]].phases[ITEMS.phase[item]]);

function itemTitle(item) {
  const power = powerOf(ITEMS.power[item]), type = words(nameOf("types", ITEMS.type[item]) ?? "call");
  return power === null ? `${type}${ITEMS.model[item] < 0 ? "" : ` · ${DATA.models[ITEMS.model[item]]}`}` : `${power} · ${type}`;
}

/** The items of a view: of one game, or all of them. */
function itemsOf(view) {
  const all = [];
  for (let item = 0; item < ITEMS.n; item++) if (view.game === null || ITEMS.game[item] === view.game) all.push(item);
  return all;
}
