// Questions that stand over the page, with the browser's own <dialog>: focus stays inside, Escape says no.

import { h } from "./element.js";

/**
 * Ask before something is done: await ask({ title, text, action: "Stop", danger: true, reason: "optional" | "required" })
 * Gives { reason } where the person says yes, null otherwise.
 */
export function ask({ title, text, detail = null, action, danger = false, reason = null }) {
  const field = reason && h("textarea", { id: "ask-reason", name: "reason", rows: 2, maxlength: 1000, required: reason === "required" });
  const form = h(
    "form",
    { method: "dialog" },
    h("h2", { id: "ask-title" }, title),
    text ? h("p", { class: "quiet" }, text) : null,
    detail,
    field &&
      h("div", { class: "form" }, h("div", { class: "field" }, h("label", { for: "ask-reason" }, reason === "required" ? "Reason" : "Reason (goes into the audit log)"), field)),
    h(
      "footer",
      {},
      h("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Cancel"),
      h("button", { class: `button primary ${danger ? "danger" : ""}`, value: "yes" }, action),
    ),
  );
  const dialog = h("dialog", { "aria-labelledby": "ask-title" }, form);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes" ? { reason: field?.value.trim() || null } : null);
    });
    open(dialog);
  });
}

/** Show content in a dialog with a title; gives the dialog, whose close() ends it. */
export function show(title, content, { wide = false } = {}) {
  const dialog = h("dialog", { class: wide ? "wide" : "", "aria-label": title }, h("h2", {}, title), content);
  dialog.addEventListener("close", () => dialog.remove());
  open(dialog);
  return dialog;
}

function open(dialog) {
  document.body.append(dialog);
  dialog.showModal();
}
