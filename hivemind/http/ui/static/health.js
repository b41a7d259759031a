// System health: each check as it stands, a strip of what was found every five minutes, and what changed.

import { all, errorOf, headersOf } from "./api.js";
import { empty, h, problem, s, state } from "./element.js";
import { day, full, since } from "./time.js";

const EACH_MS = 30_000;
const DAY_MS = 86_400_000;
// A row holds for its five minutes, and a little: after that nobody looked.
const HOLDS_MS = 7 * 60_000;
const MOST_ROWS = 5_000;
const WORDS = { database: "Database", provider: "Model", disk: "Disk", budgets: "Money", kill_switch: "Kill switch" };
const KINDS = { ok: ["well", "good"], degraded: ["degraded", "wait"], down: ["down", "bad"] };
const checks = document.getElementById("checks");
const strips = document.getElementById("strips");
const changes = document.getElementById("changes");
const days = document.getElementById("days");
let timer = null;

const named = (name) => WORDS[name] ?? name;

/** A server that is down answers too, with status 503. */
async function now() {
  const response = await fetch("/api/v1/health", { headers: headersOf("GET") });
  if (!response.ok && response.status !== 503) throw await errorOf(response);
  return response.json();
}

function cardOf([name, check]) {
  return h(
    "article",
    { class: "card", "aria-label": named(name) },
    h("header", {}, h("h3", {}, named(name)), state(...KINDS[check.status])),
    check.message ? h("p", {}, check.message) : null,
    check.remedy ? h("p", { class: "remedy" }, `Next: ${check.remedy}`) : null,
  );
}

/** Runs of one status, oldest first: [{ status, from, until, message }]. */
function runsOf(name, rows) {
  const runs = [];
  for (const row of rows) {
    const check = row.checks[name];
    if (!check) continue;
    const at = new Date(row.at).getTime();
    const last = runs.at(-1);
    if (last && last.status === check.status && last.message === check.message && at <= last.until) last.until = at + HOLDS_MS;
    else {
      if (last) last.until = Math.min(last.until, at);
      runs.push({ name, status: check.status, message: check.message, remedy: check.remedy, from: at, until: at + HOLDS_MS });
    }
  }
  return runs;
}

function stripOf(name, runs, from, until) {
  const place = (moment) => (100 * (Math.min(until, Math.max(from, moment)) - from)) / (until - from);
  const rects = runs.map((run) => {
    const words = `${named(name)} ${KINDS[run.status][0]} from ${full(run.from)}${run.message && run.status !== "ok" ? `: ${run.message}` : ""}`;
    return s("rect", { class: run.status, x: place(run.from), y: 0, width: Math.max(0.15, place(run.until) - place(run.from)), height: 10 }, s("title", {}, words));
  });
  const well = runs.filter((run) => run.status === "ok").reduce((sum, run) => sum + Math.min(until, run.until) - run.from, 0);
  const seen = runs.reduce((sum, run) => sum + Math.min(until, run.until) - run.from, 0);
  const share = seen > 0 ? `well for ${Math.floor((1000 * well) / seen) / 10} % of the time that was looked at` : "nobody looked";
  return h("div", { class: "strip" }, h("span", {}, named(name)), s("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", role: "img", "aria-label": `${named(name)}: ${share}` }, rects));
}

function changeOf(run) {
  return h(
    "tr",
    {},
    h("td", {}, since(new Date(run.from).toISOString())),
    h("th", { scope: "row" }, named(run.name)),
    h("td", {}, state(...KINDS[run.status])),
    h("td", {}, run.message ?? "", run.remedy ? h("div", { class: "faint" }, `Next: ${run.remedy}`) : null),
  );
}

async function draw() {
  clearTimeout(timer);
  const until = Date.now();
  const from = until - Number(days.value) * DAY_MS;
  try {
    const [report, newest] = await Promise.all([now(), all("/api/v1/health/history", { since: new Date(from).toISOString(), limit: 500 }, MOST_ROWS)]);
    document.getElementById("problem").replaceChildren();
    checks.replaceChildren(...Object.entries(report.checks).map(cardOf));
    const rows = newest.sort((a, b) => new Date(a.at) - new Date(b.at));
    const runs = Object.keys(report.checks).map((name) => [name, runsOf(name, rows)]);
    const times = [from, (from + until) / 2, until].map((moment) => h("span", {}, moment === until ? "now" : day(moment)));
    strips.replaceChildren(...runs.map(([name, found]) => stripOf(name, found, from, until)), h("div", { class: "times", "aria-hidden": "true" }, times));
    const turned = runs.flatMap(([, found]) => found.filter((run, index) => run.status !== (found[index - 1]?.status ?? "ok"))).sort((a, b) => b.from - a.from);
    changes.replaceChildren(turned.length ? tableOf(turned) : empty("health", "Nothing changed", "Every check was well whenever it was looked at."));
  } catch (error) {
    document.getElementById("problem").replaceChildren(problem(error));
  }
  timer = setTimeout(draw, EACH_MS);
}

function tableOf(turned) {
  return h(
    "div",
    { class: "table", tabindex: 0, role: "region", "aria-label": "Changes" },
    h("table", {}, h("thead", {}, h("tr", {}, ["When", "What", "State", "Why"].map((word) => h("th", { scope: "col" }, word)))), h("tbody", {}, turned.map(changeOf))),
  );
}

days.addEventListener("change", draw);
document.getElementById("again").addEventListener("click", draw);
draw();
