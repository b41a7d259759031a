// Short messages at the edge of the page, read out by screen readers.

import { h, icon } from "./element.js";

const SHOWN_MS = 6_000;
const ERROR_SHOWN_MS = 12_000;

/** Say that something was done. */
export function tell(text) {
  show("", SHOWN_MS, h("div", {}, text));
}

/** Say that something failed, and what to do about it. */
export function fail(error) {
  const remedy = error.remedy ? h("div", { class: "remedy" }, `Next: ${error.remedy}`) : null;
  show("bad", ERROR_SHOWN_MS, h("div", {}, h("strong", {}, error.message), remedy));
}

function show(kind, forMs, content) {
  const close = h("button", { class: "button bare small square", "aria-label": "Dismiss", onclick: () => toast.remove() }, icon("x"));
  const toast = h("div", { class: `toast ${kind}` }, content, close);
  document.getElementById("toasts").append(toast);
  let timer = setTimeout(() => toast.remove(), forMs);
  toast.addEventListener("pointerenter", () => clearTimeout(timer));
  toast.addEventListener("pointerleave", () => (timer = setTimeout(() => toast.remove(), forMs)));
}
