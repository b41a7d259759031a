// Columns and bars as SVG: arrow keys go from one to the next, and each says what it is.

import { h, s } from "./element.js";

const HEIGHT = 220;
const LEFT = 56;
const BOTTOM = 26;
const TOP = 12;
const WIDEST_COLUMN = 46;
const LABEL_WIDTH = 64;

/**
 * columns([{ name: "24 Nov", value: 1200 }], { label: "Spending by day", format: dollars }): drawn anew when its
 * place gets another width, so that its words keep their size.
 */
export function columns(items, { label, format }) {
  const box = h("div", { class: "chart" });
  let drawn = 0;
  new ResizeObserver(([entry]) => {
    const width = Math.round(entry.contentRect.width);
    if (width === drawn || width === 0) return;
    drawn = width;
    box.replaceChildren(drawColumns(items, width, label, format));
  }).observe(box);
  return box;
}

function drawColumns(items, width, label, format) {
  const top = scaleEnd(Math.max(0, ...items.map((item) => item.value)));
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
  const each = (width - LEFT) / Math.max(1, items.length);
  const thick = Math.max(2, Math.min(WIDEST_COLUMN, each * 0.68));
  const every = Math.max(1, Math.ceil((LABEL_WIDTH * items.length) / (width - LEFT)));
  const lines = [0, 0.5, 1].map((part) => [
    s("line", { class: "grid", x1: LEFT, x2: width, y1: y(top * part), y2: y(top * part) }),
    s("text", { x: LEFT - 8, y: y(top * part) + 4, "text-anchor": "end" }, format(top * part)),
  ]);
  const marks = items.map((item, index) => {
    const middle = LEFT + each * (index + 0.5);
    const height = Math.max(item.value > 0 ? 2 : 0, y(0) - y(item.value));
    const words = `${item.name}: ${format(item.value)}`;
    return s(
      "g",
      { class: "mark", role: "img", "aria-label": words, tabindex: index === items.length - 1 ? 0 : -1 },
      s("title", {}, words),
      s("rect", { class: "hit", x: middle - each / 2, y: TOP, width: each, height: y(0) - TOP }),
      s("rect", { class: "bar", x: middle - thick / 2, y: y(0) - height, width: thick, height, rx: Math.min(4, thick / 4) }),
      (items.length - 1 - index) % every === 0 ? s("text", { x: middle, y: HEIGHT - 6, "text-anchor": "middle" }, item.short ?? item.name) : null,
    );
  });
  const drawing = s("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "group", "aria-label": label }, lines.flat(), marks);
  drawing.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    const from = marks.indexOf(event.target.closest(".mark"));
    if (step === undefined || from < 0) return;
    event.preventDefault();
    const next = Math.min(marks.length - 1, Math.max(0, from + step));
    marks[from].setAttribute("tabindex", "-1");
    marks[next].setAttribute("tabindex", "0");
    marks[next].focus();
  });
  return drawing;
}

/** The end of a scale: few digits, and its half has not many more. */
export function scaleEnd(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 3, 4, 5, 6, 8, 10].find((step) => step * power >= value) * power;
}
