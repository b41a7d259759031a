// Sends a form: busy while it runs, and what the server does not like is said at the field it is about.

import { h, problem } from "./element.js";

/**
 * onSubmit(form, async (values) => {…}): runs with the fields' texts when the form is sent. What it throws is
 * shown: at the fields that it names, the rest in the form's `.problem-place`.
 */
export function onSubmit(form, send) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = event.submitter ?? form.querySelector("button:not([type=button])");
    clear(form);
    const missing = [...form.elements].filter((field) => field.willValidate && !field.validity.valid);
    if (missing.length) {
      for (const field of missing) say(field, field.validationMessage);
      missing[0].focus();
      return;
    }
    if (button.getAttribute("aria-busy") === "true") return;
    button.setAttribute("aria-busy", "true");
    try {
      await send(Object.fromEntries(new FormData(form)));
    } catch (error) {
      explain(form, error);
    } finally {
      button.removeAttribute("aria-busy");
    }
  });
}

/** Show an error where it belongs. */
export function explain(form, error) {
  const placed = (error.fields ?? []).filter(({ field, problem: text }) => {
    const element = form.elements[field.split(".")[0]];
    if (!(element instanceof HTMLElement)) return false;
    say(element, text);
    return true;
  });
  if (placed.length) form.querySelector("[aria-invalid]")?.focus();
  if (placed.length < (error.fields?.length || 1)) place(form).replaceChildren(problem(error));
}

/** Take back what was said. */
export function clear(form) {
  place(form).replaceChildren();
  for (const element of form.querySelectorAll("[aria-invalid]")) element.removeAttribute("aria-invalid");
  for (const element of form.querySelectorAll(".field .problem")) element.remove();
}

function say(field, text) {
  field.setAttribute("aria-invalid", "true");
  const id = `${field.id || field.name}-problem`;
  document.getElementById(id)?.remove();
  const words = new Set((field.getAttribute("aria-describedby") ?? "").split(" ").filter(Boolean)).add(id);
  field.setAttribute("aria-describedby", [...words].join(" "));
  (field.closest(".field") ?? field.parentElement).append(h("p", { class: "problem", id }, text));
}

function place(form) {
  let found = form.querySelector(".problem-place");
  if (!found) form.prepend((found = h("div", { class: "problem-place" })));
  return found;
}
