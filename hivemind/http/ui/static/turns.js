// One turn of an agent as a timeline: what was asked, each step with its calls and verdicts, the end.

import { h, icon, state } from "./element.js";
import { count, dollars } from "./numbers.js";
import { answerer, questionOf } from "./question.js";
import { clock, duration, since } from "./time.js";

const TURNS = { admitted: ["under way", "busy"], answered: ["answered", "good"], failed: ["failed", "bad"], interrupted: ["interrupted", "wait"] };
const CALLS = { done: "good", failed: "bad", denied: "bad", unknown: "bad", started: "busy", approved: "busy", waiting: "wait" };

/** A turn; `changed` is called when something of it was decided here. */
export function turnOf(turn, agentId, changed) {
  const [word, kind] = TURNS[turn.state] ?? [turn.state.replaceAll("_", " "), ""];
  return h(
    "article",
    { class: "card turn", "aria-label": `Turn, ${word}` },
    h("header", {}, h("h3", {}, since(turn.admitted_at)), state(turn.parked && turn.state === "admitted" ? "waits for a person" : word, turn.parked ? "wait" : kind)),
    h("div", { class: "about" }, h("span", {}, turn.model ?? ""), usageOf(turn.usage), turn.attempts > 1 ? h("span", {}, `attempt ${count(turn.attempts)}`) : null, h("span", {}, `for ${turn.caller}`)),
    turn.message ? h("p", { class: "text asked" }, turn.message) : null,
    verdict("Guards, coming in", turn.verdicts.input),
    turn.steps.length ? h("ol", {}, turn.steps.map((step) => stepOf(step, agentId, turn, changed))) : null,
    turn.reply && turn.reply !== turn.steps.at(-1)?.text ? h("p", { class: "text" }, turn.reply) : null,
    turn.error ? h("div", { class: "note bad" }, icon("alert"), h("div", {}, h("strong", {}, turn.error.code), h("div", {}, turn.error.message))) : null,
    verdict("Guards, going out", turn.verdicts.output),
    turn.state === "admitted" ? null : again(turn),
  );
}

/** How to run it again, from its recording: no model is asked and no tool is called. */
function again(turn) {
  return h(
    "details",
    {},
    h("summary", {}, "Run it again"),
    h("pre", { tabindex: 0, "aria-label": "Run it again" }, `hivemind replay ${turn.id}\nhivemind replay ${turn.id} --fork 1 --model another`),
    h("p", { class: "faint" }, "The first runs it from its recording, without the network. The second asks another model from the first call on, and shows what differs. A trace of the turn has this id too."),
  );
}

function usageOf(usage) {
  return usage ? h("span", {}, `${dollars(usage.cost_micros)}, ${count(usage.input_tokens)} tokens in, ${count(usage.output_tokens)} out`) : null;
}

function stepOf(step, agentId, turn, changed) {
  const took = step.ended_at ? (new Date(step.ended_at) - new Date(step.began_at)) / 1000 : null;
  return h(
    "li",
    {},
    h("div", { class: "about" }, h("strong", {}, `Step ${step.step}`), h("span", {}, clock(step.began_at)), took === null ? null : h("span", {}, duration(took)), h("span", {}, step.model), usageOf(step.usage)),
    step.text ? h("p", { class: "text" }, step.text) : null,
    verdict("Guards", step.verdict),
    step.calls.map((call) => callOf(call, agentId, turn, changed)),
  );
}

function callOf(call, agentId, turn, changed) {
  const pending = turn.state === "admitted" ? call.approvals.filter((one) => one.state === "pending") : [];
  const answered = call.approvals.filter((one) => one.state !== "pending");
  if (pending.length) return h("div", {}, pending.map((one) => questionOf({ ...one, tool: call.tool, arguments: call.arguments, agent_id: agentId }, changed)));
  const result = call.outcome === null ? null : typeof call.outcome === "string" ? call.outcome : JSON.stringify(call.outcome, null, 2);
  return h(
    "div",
    { class: "call" },
    h("header", {}, h("strong", { class: "mono" }, call.tool), state(call.state.replaceAll("_", " "), CALLS[call.state] ?? "")),
    h("pre", { tabindex: 0, "aria-label": `Arguments of ${call.tool}` }, JSON.stringify(call.arguments, null, 2)),
    answered.map((one) => h("p", { class: "quiet" }, `${one.state} by ${answerer(one.answered_by)} `, since(one.answered_at), one.reason ? `: ${one.reason}` : "")),
    result ? h("details", { open: true }, h("summary", {}, "Result"), h("pre", { tabindex: 0, "aria-label": `Result of ${call.tool}` }, result)) : null,
    verdict("Guards", call.verdict),
  );
}

function verdict(title, found) {
  if (!found || Object.keys(found).length === 0) return null;
  return h("details", {}, h("summary", {}, title), h("pre", { tabindex: 0, "aria-label": title }, JSON.stringify(found, null, 2)));
}
