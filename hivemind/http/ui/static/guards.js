// A text explained by the guards: what fires where, the decision, and what would change it; and the rules.

import { all, post } from "./api.js";
import { h, meter, problem, state } from "./element.js";
import { onSubmit } from "./form.js";
import { plural } from "./numbers.js";

const DECISIONS = {
  refuse: ["Refused", "bad", "The message does not reach the model."],
  scrub: ["Scrubbed", "wait", "The model sees it without what was found."],
  pass: ["Passed", "good", "The model sees it as it is."],
};
const SEVERITIES = { low: "", medium: "wait", high: "bad", critical: "bad" };
const FIRST = 25;
const form = document.getElementById("ask");
const answer = document.getElementById("answer");
const list = document.getElementById("rules");
const find = document.getElementById("find");
const showAll = document.getElementById("all-rules");
let rules = [];

onSubmit(form, async ({ text, threshold }) => {
  const why = await post("/api/v1/guards/explain", { text, threshold: Number(threshold) });
  const [word, kind, sentence] = DECISIONS[why.decision];
  const parts = [
    h("div", { class: "decision" }, h("strong", {}, word), state(why.decision, kind), h("span", { class: "quiet" }, sentence)),
    scale(why, kind),
    part("As a message", marked(text, why.reasons), reasons(why.reasons)),
    why.decision !== "refuse" && why.scrubbed !== text ? part("What the model would see", h("div", { class: "marked-text" }, why.scrubbed)) : null,
    part("As a reply", marked(text, why.leaks), reasons(why.leaks), why.released !== text ? [h("h3", {}, "What a person would see"), h("div", { class: "marked-text" }, why.released)] : null),
    why.changes.length ? part("What would change it", h("ul", { class: "changes" }, why.changes.map((change) => h("li", {}, change)))) : null,
  ];
  answer.replaceChildren(...parts.filter((one) => one !== null));
});

function part(title, ...content) {
  return h("div", { class: "form" }, h("div", {}, h("h3", {}, title), ...content.slice(0, 1)), ...content.slice(1));
}

function scale(why, kind) {
  const mark = h("i", { title: `Threshold ${why.threshold}`, style: { left: `${Math.min(1, why.threshold) * 100}%` } });
  return h("div", { class: "scale" }, meter(why.score, 1, `Score ${why.score.toFixed(3)}`, kind), mark, h("p", {}, h("span", {}, `score ${why.score.toFixed(3)}`), h("span", {}, `threshold ${why.threshold}`)));
}

/** The text with what fired marked; offsets are code points, and marks do not overlap. */
function marked(text, found) {
  if (!found.length) return h("p", { class: "quiet" }, "No rule fires.");
  const points = [...text];
  const pieces = [];
  let at = 0;
  for (const one of [...found].sort((a, b) => a.start - b.start || b.end - a.end)) {
    const start = Math.max(at, one.start);
    if (one.end <= start) continue;
    pieces.push(points.slice(at, start).join(""), h("mark", { class: one.severity, title: `${one.rule} (${one.severity})` }, points.slice(start, one.end).join("")));
    at = one.end;
  }
  pieces.push(points.slice(at).join(""));
  return h("div", { class: "marked-text" }, pieces);
}

function reasons(found) {
  if (!found.length) return null;
  const one = (reason) =>
    h("li", {}, state(reason.severity, SEVERITIES[reason.severity] ?? ""), h("code", {}, reason.rule), h("span", { class: "quiet" }, `${reason.category} · ${reason.type}${reason.weight ? ` · weighs ${reason.weight}` : ""}`), reason.reading && reason.reading !== reason.value ? h("span", { class: "faint" }, `read as “${reason.reading}”`) : null);
  return h("ul", { class: "reasons" }, found.map(one));
}

function drawRules(most) {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = rules.filter(({ haystack }) => words.every((word) => haystack.includes(word)));
  document.getElementById("rules-count").textContent = plural(fits.length, "rule");
  list.replaceChildren(...(fits.length ? fits.slice(0, most).map(({ rule }) => ruleOf(rule)) : [h("p", { class: "quiet" }, "No rule fits.")]));
  showAll.hidden = fits.length <= most;
}

function ruleOf(rule) {
  const examples = (title, texts) => (texts.length ? h("div", {}, h("strong", {}, title), h("ul", {}, texts.map((text) => h("li", {}, text)))) : null);
  return h(
    "details",
    {},
    h("summary", {}, h("code", {}, rule.id), state(rule.severity, SEVERITIES[rule.severity] ?? ""), h("span", { class: "faint" }, `${rule.category} · ${rule.type} · version ${rule.version}${rule.language ? ` · ${rule.language}` : ""}`)),
    h("div", { class: "body" }, h("pre", {}, rule.pattern), examples("Fires on", rule.examples), examples("Does not fire on", rule.counterexamples)),
  );
}

find.addEventListener("input", () => drawRules(FIRST));
showAll.addEventListener("click", () => drawRules(Infinity));
try {
  const found = await all("/api/v1/guards/rules", { limit: 500 }, 5000);
  rules = found.map((rule) => ({ rule, haystack: JSON.stringify(rule).toLowerCase() }));
  drawRules(FIRST);
} catch (error) {
  list.replaceChildren(problem(error));
}
