// A question that an agent put to people: the exact call, what happens at the deadline, and the answer.

import { post } from "./api.js";
import { h, icon, state } from "./element.js";
import { since } from "./time.js";
import { fail, tell } from "./toast.js";

const MAY = document.body.dataset.role !== "viewer";
const KINDS = { pending: "wait", approved: "good", denied: "bad" };
const DEADLINE = { approve: "it is approved", deny: "it is denied" };

/** Who answered, as people say it. */
export const answerer = (by) => by?.replace(/^operator:/, "") ?? "the deadline";

/** One question as a card; `done` is called when it was answered here. */
export function questionOf(asked, done) {
  const pending = asked.state === "pending";
  const why =
    asked.kind === "doubt"
      ? h("p", { class: "note wait" }, icon("warning"), h("span", {}, "The server stopped while this call was being made, and cannot tell whether it was carried out. Approving makes it again."))
      : null;
  return h(
    "article",
    { class: `card question ${asked.state}`, "aria-label": `${asked.tool}, ${asked.state}` },
    h("header", {}, h("h3", {}, h("span", { class: "mono" }, asked.tool)), state(pending ? "waiting" : asked.state, KINDS[asked.state])),
    asked.profile ? h("p", { class: "faint" }, "asked by ", h("a", { href: `/agents/${asked.agent_id}` }, asked.profile), " ", since(asked.asked_at)) : null,
    h("pre", { tabindex: 0, "aria-label": `Arguments of ${asked.tool}` }, JSON.stringify(asked.arguments, null, 2)),
    why,
    pending ? h("p", { class: "quiet" }, icon("clock"), " Decided ", since(asked.deadline_at), `: then ${DEADLINE[asked.on_deadline] ?? asked.on_deadline}.`) : endOf(asked),
    pending && MAY ? answering(asked, done) : null,
  );
}

function endOf(asked) {
  return h("p", { class: "quiet" }, `${asked.state} by ${answerer(asked.answered_by)} `, since(asked.answered_at), asked.reason ? `: ${asked.reason}` : "");
}

function answering(asked, done) {
  const note = h("input", { id: `note-${asked.id}`, maxlength: 1000, autocomplete: "off" });
  const answer = async (event, verb, said) => {
    const button = event.currentTarget;
    button.setAttribute("aria-busy", "true");
    try {
      await post(`/api/v1/approvals/${asked.id}/${verb}`, note.value.trim() ? { reason: note.value.trim() } : {});
      tell(said);
    } catch (error) {
      fail(error);
    }
    button.removeAttribute("aria-busy");
    document.dispatchEvent(new Event("hm-approvals"));
    done();
  };
  return h(
    "div",
    { class: "answering" },
    h("div", { class: "field" }, h("label", { for: note.id }, "Note (optional)"), note),
    h("div", { class: "buttons" }, h("button", { class: "button danger", onclick: (event) => answer(event, "deny", `${asked.tool} is denied.`) }, icon("x"), "Deny"), h("button", { class: "button primary", onclick: (event) => answer(event, "approve", `${asked.tool} is approved.`) }, icon("check"), "Approve")),
  );
}
