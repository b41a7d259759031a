// One actor: what it does, how it ended last, which policy holds for it, and what one can do to it.

import { get, patch, post } from "./api.js";
import { ask, show } from "./dialog.js";
import { h, icon } from "./element.js";
import { onSubmit } from "./form.js";
import { count, plural } from "./numbers.js";
import { keep } from "./rows.js";
import { duration, since } from "./time.js";
import { fail, tell } from "./toast.js";

const ADMIN = document.body.dataset.role === "admin";
const DEEDS = {
  restart: { label: "Restart", icon: "refresh-cw", text: "It ends now, with all below it, and starts anew. What is in its mailbox stays; the message in hand is lost. Turns go on from their last step." },
  suspend: { label: "Suspend", icon: "pause", text: "It takes no more messages until it is resumed. Its mailbox fills, and callers wait or are refused." },
  resume: { label: "Resume", icon: "play", text: "It takes messages again, beginning with those that wait." },
  stop: { label: "Stop", icon: "power", text: "It ends, with all below it, and is not started again until the server or the one above it starts anew.", danger: true },
};
const DONE = { restart: "restarted", suspend: "suspended", resume: "resumed", stop: "stopped" };
let policies = { address: null, at: 0, shown: null };

/** Draw an actor into a place, where it may be drawn already. */
export function drawActor(place, node, word, changed) {
  const actor = { ...node, children: node.children.length + node.omitted };
  if (place.firstElementChild?.className === "loading") place.replaceChildren();
  if (policies.address !== node.address && ADMIN) loadPolicy(place, node, word, changed);
  const policy = policies.address === node.address ? policies.shown : null;
  const parts = [
    { key: "head", address: actor.address, kind: actor.kind, state: actor.state },
    { key: "deeds", address: actor.address, state: actor.state },
    { key: "facts", actor },
    ...(policy ? [{ key: "policy", address: actor.address, policy }] : []),
  ];
  const makers = { head: () => headOf(actor, word), deeds: () => deedsOf(actor, changed), facts: () => factsOf(actor), policy: () => policyOf(actor, policy, () => loadPolicy(place, node, word, changed)) };
  keep(place, parts, { key: (part) => part.key, make: (part) => makers[part.key]() });
}

const headOf = (actor, word) => h("div", {}, h("h2", { class: "mono" }, actor.address), h("p", { class: "buttons" }, word, h("span", { class: "faint" }, actor.kind)));

function deedsOf(actor, changed) {
  const shown = actor.state === "suspended" ? ["resume", "restart", "stop"] : ["restart", "suspend", "stop"];
  if (actor.address === "/" || actor.address === "/edge") return h("p", { class: "faint" }, "It answers this very page: restart the server instead.");
  return h("div", { class: "buttons" }, shown.map((deed) => h("button", { class: `button small ${DEEDS[deed].danger ? "danger" : ""}`, onclick: () => act(actor, deed, changed) }, icon(DEEDS[deed].icon), DEEDS[deed].label)));
}

async function act(actor, deed, changed) {
  const { label, text, danger } = DEEDS[deed];
  const yes = await ask({ title: `${label} ${actor.address}?`, text, action: label, danger, reason: "optional" });
  if (!yes) return;
  try {
    await post(`/api/v1/actors${actor.address}/${deed}`, { reason: yes.reason ?? "" });
    tell(`${actor.address} is ${DONE[deed]}.`);
  } catch (error) {
    fail(error);
  }
  changed();
}

function factsOf(actor) {
  const { mailbox, in_hand: hand, last_exit: exit } = actor;
  const rows = [
    ["Since", since(actor.since)],
    ["Mailbox", mailbox.limit ? `${count(mailbox.length)} of ${count(mailbox.limit)}, most ${count(mailbox.high_water)}` : count(mailbox.length)],
    ["Handled", count(actor.handled)],
    actor.dropped ? ["Dropped", count(actor.dropped)] : null,
    ["In hand", hand ? `${hand.message}, for ${duration(hand.age_seconds)}` : "nothing"],
    ["Restarts", `${count(actor.restarts)}, ${count(actor.restarts_in_window)} in the window`],
    ["Last exit", exit ? h("span", {}, exit.error ?? exit.reason, " ", since(exit.at)) : "none"],
    actor.children ? ["Below it", plural(actor.children, "actor")] : null,
    ...Object.entries(actor.facts).map(([name, value]) => [name.replaceAll("_", " "), typeof value === "object" ? JSON.stringify(value) : String(value)]),
  ];
  return h("dl", { class: "facts" }, rows.filter(Boolean).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

async function loadPolicy(place, node, word, changed) {
  policies = { address: node.address, shown: null };
  try {
    const told = await get("/api/v1/supervision", { address: node.address });
    if (policies.address !== node.address) return;
    policies.shown = told.actor.policy;
    drawActor(place, node, word, changed);
  } catch (error) {
    fail(error);
  }
}

function policyOf(actor, policy, reload) {
  const rows = Object.entries(policy).map(([key, { value, source }]) => h("div", {}, h("span", {}, key), h("code", {}, JSON.stringify(value)), h("span", { class: "source" }, `from ${source}`)));
  return h("section", {}, h("h3", {}, "Policy"), h("div", { class: "policy" }, rows), h("p", {}, h("button", { class: "button small", onclick: () => tune(actor, policy, reload) }, icon("wrench"), "Change the policy")));
}

function tune(actor, policy, reload) {
  const field = (id, label, input, hint = null) => h("div", { class: "field" }, h("label", { for: id }, label), input, hint ? h("p", { class: "hint" }, hint) : null);
  const form = h(
    "form",
    { class: "form", novalidate: true },
    h("div", { class: "row" }, field("section", "For", h("select", { id: "section", name: "section" }, h("option", { value: actor.address }, `this actor: ${actor.address}`), h("option", { value: actor.kind }, `every actor of the kind ${actor.kind}`)))),
    h("div", { class: "row" }, field("key", "Key", h("input", { id: "key", name: "key", required: true, list: "keys", autocomplete: "off" })), field("value", "Value", h("input", { id: "value", name: "value", autocomplete: "off" }), "Left empty: as before any change.")),
    h("datalist", { id: "keys" }, Object.keys(policy).map((key) => h("option", { value: key }))),
    h("footer", {}, h("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Cancel"), h("button", { class: "button primary" }, "Change it")),
  );
  const dialog = show("Change the policy", h("div", {}, h("p", { class: "quiet" }, "It holds at once, until the server starts again or reads its settings anew."), form));
  onSubmit(form, async ({ section, key, value }) => {
    await patch("/api/v1/supervision", { [section]: { [key.trim()]: valueOf(value.trim()) } });
    dialog.close();
    tell("The policy is changed.");
    reload();
  });
}

function valueOf(text) {
  if (text === "") return null;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
