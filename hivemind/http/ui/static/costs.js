// What was spent, by day or by whom, and the caps: how far each is used up and when it would be.

import { all, get } from "./api.js";
import { drawCaps, editCap } from "./caps.js";
import { columns } from "./chart.js";
import { empty, h, meter, problem } from "./element.js";
import { count, dollars, percent, short } from "./numbers.js";

const DAY_MS = 86_400_000;
const NAMES = { day: "Day", profile: "Profile", model: "Model", caller: "Caller" };
const SHORT_DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", timeZone: "UTC" });

const place = (id) => document.getElementById(id);
const isoDay = (ms) => new Date(ms).toISOString().slice(0, 10);
const sinceDays = (days) => isoDay(Date.now() - (days - 1) * DAY_MS);

async function drawFigures() {
  const [today, month] = await Promise.all(
    [1, 30].map(async (days) => (await get("/api/v1/costs", { since: sinceDays(days) })).items[0] ?? { cost_micros: 0, turns: 0, input_tokens: 0, output_tokens: 0 }),
  );
  const figure = (value, words) => h("div", { class: "card figure" }, h("strong", {}, value), h("span", {}, words));
  place("figures").replaceChildren(
    figure(dollars(today.cost_micros), "today (UTC)"),
    figure(dollars(month.cost_micros), "in 30 days"),
    figure(count(month.turns), "turns in 30 days"),
    figure(`${short(month.input_tokens)} / ${short(month.output_tokens)}`, "tokens in / out"),
  );
}

async function drawSpending() {
  const group = place("group").value;
  const days = Number(place("days").value);
  try {
    const rows = await all("/api/v1/costs", { group_by: group, since: sinceDays(days) });
    const shown = group === "day" ? wholeDays(rows, days) : ranked(rows, group);
    place("spending").replaceChildren(...(rows.length ? pictureOf(shown, group) : [empty("costs", "Nothing was spent", `No model was asked in the last ${days} days.`)]));
  } catch (error) {
    place("spending").replaceChildren(problem(error));
  }
}

/** Every day of the span, also those on which nothing was spent. */
function wholeDays(rows, days) {
  const known = new Map(rows.map((row) => [row.day, row]));
  return Array.from({ length: days }, (_, index) => {
    const day = isoDay(Date.now() - (days - 1 - index) * DAY_MS);
    return { name: day, short: SHORT_DAY.format(new Date(day)), cost_micros: 0, turns: 0, calls: 0, input_tokens: 0, output_tokens: 0, ...known.get(day) };
  });
}

function ranked(rows, group) {
  const nameOf = (row) => (group === "profile" ? (row.profile_slug ?? row.profile) : row[group]) || "none";
  return rows.map((row) => ({ ...row, name: nameOf(row) })).sort((a, b) => b.cost_micros - a.cost_micros);
}

function pictureOf(rows, group) {
  if (group !== "day") return [tableOf(rows, group)];
  const marks = rows.map((row) => ({ name: row.name, short: row.short, value: row.cost_micros }));
  const spent = rows.filter((row) => row.turns > 0).reverse();
  return [
    columns(marks, { label: "Spending by day. Arrow keys go from day to day.", format: dollars }),
    h("details", {}, h("summary", {}, "The same as a table"), tableOf(spent, group)),
  ];
}

function tableOf(rows, group) {
  const total = rows.reduce((sum, row) => sum + row.cost_micros, 0);
  const body = rows.map((row) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, group === "caller" ? h("span", { class: "mono", title: row.name }, row.name.slice(0, 16)) : row.name),
      h("td", { class: "number" }, dollars(row.cost_micros)),
      h("td", {}, meter(row.cost_micros, total, `${row.name}: ${percent(total ? row.cost_micros / total : 0)} of the whole`)),
      h("td", { class: "number" }, count(row.turns)),
      h("td", { class: "number" }, count(row.input_tokens)),
      h("td", { class: "number" }, count(row.output_tokens)),
    ),
  );
  const head = [NAMES[group], "Cost", "Share", "Turns", "Tokens in", "Tokens out"];
  return h(
    "div",
    { class: "table", tabindex: 0, role: "region", "aria-label": `Spending by ${group}` },
    h("table", {}, h("thead", {}, h("tr", {}, head.map((name, index) => h("th", { scope: "col", class: index && name !== "Share" ? "number" : "" }, name)))), h("tbody", {}, body)),
  );
}

place("group").addEventListener("change", drawSpending);
place("days").addEventListener("change", drawSpending);
place("new-cap")?.addEventListener("click", () => editCap(null, () => drawCaps(place("caps"))));
drawFigures().catch((error) => place("figures").replaceChildren(problem(error)));
drawSpending();
drawCaps(place("caps"));
