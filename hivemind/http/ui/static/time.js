// Times and durations as people say them. A <time> made here stays right while the page is open.

import { h } from "./element.js";

const EACH_MS = 10_000;
const STEPS = [
  [60, 1, "s"],
  [3600, 60, "min"],
  [86_400, 3600, "h"],
  [Infinity, 86_400, "d"],
];
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** 0.42 → "420 ms", 75 → "1 min", 7260 → "2 h". */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const [, unit, name] = STEPS.find(([limit]) => seconds < limit);
  return `${Math.round(seconds / unit)} ${name}`;
}

/** How long ago, or in how long. */
export function ago(iso, now = Date.now()) {
  const seconds = (now - new Date(iso).getTime()) / 1000;
  if (Math.abs(seconds) < 5) return "now";
  return seconds > 0 ? `${duration(Math.round(seconds))} ago` : `in ${duration(Math.round(-seconds))}`;
}

export const full = (iso) => FULL.format(new Date(iso));
export const clock = (iso) => CLOCK.format(new Date(iso));
export const day = (iso) => DAY.format(new Date(iso));

/** "3 min ago", with the whole date on hover, kept right. */
export function since(iso) {
  if (!iso) return h("span", { class: "faint" }, "–");
  return h("time", { datetime: iso, title: full(iso), dataset: { ago: "" } }, ago(iso));
}

setInterval(() => {
  for (const element of document.querySelectorAll("time[data-ago]")) {
    const text = ago(element.dateTime);
    if (element.textContent !== text) element.textContent = text;
  }
}, EACH_MS);
