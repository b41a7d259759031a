// Makes elements. Text is text: nothing here ever reads markup.

/**
 * h("button", { class: "button", onclick: press, dataset: { id: 3 }, style: { width: "40%" } }, "Press", icon("play"))
 * null, undefined and false are left out, among attributes and children.
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "style") for (const [property, set] of Object.entries(value)) element.style.setProperty(property, set);
    else if (name === "value" || name === "checked" || name === "selected") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";
const SPRITE = new URL("icons.svg", import.meta.url).pathname;

/** An element of SVG, for charts: s("rect", { x: 1, y: 2 }). */
export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A symbol of icons.svg. */
export function icon(name) {
  return s("svg", { class: "icon", "aria-hidden": "true" }, s("use", { href: `${SPRITE}#${name}` }));
}

/** A state by colour and word; kind: good, busy, wait, bad, or nothing. */
export function state(word, kind = "") {
  return h("span", { class: `state ${kind}` }, word);
}

/** A bar that shows a part of a whole. */
export function meter(value, max, label, kind = "") {
  const part = max > 0 ? Math.min(1, Math.max(0, value / max)) : 0;
  return h(
    "div",
    { class: `meter ${kind}`, role: "meter", "aria-label": label, "aria-valuenow": value, "aria-valuemin": 0, "aria-valuemax": max },
    h("span", { style: { width: `${part * 100}%` } }),
  );
}

/** What stands where there is nothing yet. */
export function empty(picture, title, sentence, ...more) {
  return h("div", { class: "empty" }, icon(picture), h("h3", {}, title), h("p", {}, sentence), ...more);
}

/** What went wrong, as a note within the page. */
export function problem(error) {
  return h(
    "div",
    { class: "note bad", role: "alert" },
    icon("alert"),
    h("div", {}, h("strong", {}, error.message), error.remedy ? h("div", { class: "remedy" }, `Next: ${error.remedy}`) : null),
  );
}
