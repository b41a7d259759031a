// Keys for programs: made and shown once, rotated with an overlap, revoked.

import { all, del, post } from "./api.js";
import { ask, show } from "./dialog.js";
import { empty, h, icon, problem, state } from "./element.js";
import { onSubmit } from "./form.js";
import { keep } from "./rows.js";
import { since } from "./time.js";
import { fail, tell } from "./toast.js";

const PATH = "/api/v1/api-keys";
const DAY_MS = 86_400_000;
const rows = document.getElementById("rows");

async function draw() {
  try {
    const keys = await all(PATH);
    keep(rows, keys, { key: (key) => key.id, make: rowOf });
    document.getElementById("nothing").replaceChildren(...(keys.length ? [] : [empty("keys", "No key yet", "A program shows a key as X-API-Key, or as a bearer token.")]));
  } catch (error) {
    document.getElementById("problem").replaceChildren(problem(error));
  }
}

function standing(key) {
  if (key.revoked_at) return state("revoked", "bad");
  if (key.expires_at && new Date(key.expires_at) <= new Date()) return state("over", "wait");
  return state("counts", "good");
}

function rowOf(key) {
  const button = (words, onclick, kind = "") => h("button", { class: `button small ${kind}`, type: "button", "aria-label": `${words}: ${key.name}`, onclick }, words);
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, key.name, h("span", { class: "faint mono" }, `hm-…${key.hint}`)),
    h("td", {}, key.role),
    h("td", {}, standing(key)),
    h("td", {}, key.used_at ? since(key.used_at) : h("span", { class: "faint" }, "never")),
    h("td", {}, key.expires_at ? since(key.expires_at) : h("span", { class: "faint" }, "never")),
    h("td", {}, key.made_by),
    h("td", {}, key.revoked_at ? null : h("div", { class: "buttons" }, button("Rotate", () => rotate(key)), button("Revoke", () => revoke(key), "danger"))),
  );
}

function reveal(name, text) {
  const shown = h("input", { id: "secret", readonly: true, value: text, "aria-label": "The key" });
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      tell("Copied.");
    } catch {
      shown.select();
    }
  };
  const dialog = show(
    `The key “${name}”`,
    h(
      "div",
      {},
      h("p", { class: "quiet" }, "Copy it now: it is not shown again."),
      h("div", { class: "secret" }, shown, h("button", { class: "button", type: "button", onclick: copy }, icon("copy"), "Copy")),
      h("footer", {}, h("button", { class: "button primary", type: "button", onclick: () => dialog.close() }, "I have it")),
    ),
  );
  shown.select();
}

async function rotate(key) {
  if (!(await ask({ title: `Rotate “${key.name}”?`, text: "A new key is made. The present one counts for another day, so that programs can be given the new one.", action: "Rotate" }))) return;
  try {
    const made = await post(`${PATH}/${key.id}/rotate`);
    await draw();
    reveal(made.api_key.name, made.key);
  } catch (error) {
    fail(error);
  }
}

async function revoke(key) {
  if (!(await ask({ title: `Revoke “${key.name}”?`, text: "Programs that show it are refused from now on.", action: "Revoke", danger: true }))) return;
  try {
    await del(`${PATH}/${key.id}`);
    tell("It does not count any more.");
  } catch (error) {
    fail(error);
  }
  await draw();
}

document.getElementById("new-key").addEventListener("click", () => {
  const choice = (name, label, options) => h("div", { class: "field" }, h("label", { for: name }, label), h("select", { id: name, name }, options.map(([value, words]) => h("option", { value }, words))));
  const form = h(
    "form",
    { class: "form", novalidate: true },
    h("div", { class: "field" }, h("label", { for: "name" }, "Name"), h("input", { id: "name", name: "name", required: true, maxlength: 100, autocomplete: "off" }), h("p", { class: "hint" }, "What uses it: the audit log names it.")),
    h("div", { class: "row" }, choice("role", "Role", [["operator", "operator"], ["viewer", "viewer"], ["admin", "admin"]]), choice("expires_at", "Ends", [["90", "in 90 days"], ["30", "in 30 days"], ["365", "in a year"], ["", "never"]])),
    h("footer", {}, h("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Cancel"), h("button", { class: "button primary" }, "Make the key")),
  );
  const dialog = show("New key", form);
  onSubmit(form, async ({ name, role, expires_at: days }) => {
    const made = await post(PATH, { name, role, expires_at: days ? new Date(Date.now() + Number(days) * DAY_MS).toISOString() : null });
    dialog.close();
    await draw();
    reveal(made.api_key.name, made.key);
  });
});
draw();
