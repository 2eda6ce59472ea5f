// Colours. A power has one colour throughout; types and models have theirs. Each is a pair, for light and for dark
// ground, with a contrast of at least 3:1 against the card it is drawn on.

const POWER_COLOURS = {
  AUSTRIA: ["#c4314b", "#ff7d8f"], ENGLAND: ["#2c47a8", "#8da2ff"], FRANCE: ["#2589bd", "#62c3ee"],
  GERMANY: ["#56606b", "#aab4be"], ITALY: ["#23844f", "#53c585"], RUSSIA: ["#8d4bb0", "#cf97ec"],
  TURKEY: ["#a87400", "#e6bb45"],
};
const PALETTE = [
  ["#2b6cb0", "#6fb1f5"], ["#c05621", "#f29a66"], ["#2f855a", "#5fcf94"], ["#97266d", "#ec82c4"], ["#6b5b00", "#d4c04a"],
  ["#5a3fb0", "#ab97fb"], ["#0f7f83", "#4fcdd0"], ["#b83232", "#ff8b85"], ["#556270", "#a9b6c3"], ["#7a4a21", "#d3a377"],
];
const TYPE_COLOURS = [
  ["#7b8794", "#a3afbb"], ["#12908a", "#45c9bd"], ["#8d63c6", "#c2a1f2"], ["#3b74c9", "#7daef8"], ["#b87a00", "#efbb55"],
  ["#c2588f", "#f08fc2"], ["#5d8a3a", "#9fce74"], ["#2f88ab", "#63c0e3"], ["#9a6b3f", "#d9ae80"], ["#6a62c9", "#a7a0f7"],
];

let dark = matchMedia("(prefers-color-scheme: dark)").matches;
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const shade = (pair) => pair[dark ? 1 : 0];

function powerColour(index) {
  if (index === null || index < 0) return css("--faint");
  const fixed = POWER_COLOURS[String(DATA.powers[index]).toUpperCase()];
  return shade(fixed ?? PALETTE[index % PALETTE.length]);
}
const typeColour = (index) => (index < 0 ? css("--faint") : shade(TYPE_COLOURS[index % TYPE_COLOURS.length]));
const modelColour = (index) => (index < 0 ? css("--faint") : shade(PALETTE[index % PALETTE.length]));

/** A name with the colour that stands for it. */
function swatch(text, colour) {
  return el("span.name", { title: text }, el("span.dot", { style: { background: colour } }), el("span", null, text));
}
const powerName = (index) => (index === null || index < 0 ? el("span.faint", null, "no power") : swatch(DATA.powers[index], powerColour(index)));

function applyTheme() {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}
