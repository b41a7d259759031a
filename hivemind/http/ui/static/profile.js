// One profile: every field, its tools, and a small talk with it beside them.

import { get, patch, post } from "./api.js";
import { ask } from "./dialog.js";
import { h, icon, problem } from "./element.js";
import { onSubmit } from "./form.js";
import { markdown } from "./markdown.js";
import { fail, tell } from "./toast.js";

const slug = document.getElementById("profile").dataset.slug;
const path = `/api/v1/agent-profiles/${slug}`;
const form = document.getElementById("edit");
const toolList = document.getElementById("tool-list");
const archive = document.getElementById("archive");
const log = document.getElementById("log");
const fields = [...form.querySelectorAll("[data-kind]")];
let profile = null;
let said = [];

const READ = {
  text: (field) => field.value,
  number: (field) => numeric(field, Number(field.value)),
  flag: (field) => field.checked,
  nullable: (field) => (field.value.trim() ? numeric(field, Number(field.value)) : null),
  "nullable-text": (field) => field.value.trim() || null,
  "nullable-money": (field) => (field.value.trim() ? Math.round(numeric(field, Number(field.value.replace(/^\s*\$/, ""))) * 1e6) : null),
};

function numeric(field, value) {
  if (Number.isFinite(value)) return value;
  throw wrong(field.name, "is not a number");
}

function wrong(field, words) {
  return Object.assign(new Error(words), { fields: [{ field, problem: words }] });
}

function fill(told) {
  profile = told;
  document.getElementById("title").textContent = profile.name;
  for (const field of fields) {
    const value = profile[field.name];
    if (field.dataset.kind === "flag") field.checked = value;
    else field.value = value === null ? "" : field.dataset.kind === "nullable-money" ? String(value / 1e6) : String(value);
  }
  toolList.replaceChildren(...Object.entries(profile.tools).map(([name, options]) => toolOf(name, options)));
  if (archive) {
    archive.hidden = false;
    archive.textContent = profile.archived_at ? "Restore" : "Archive";
  }
}

function toolOf(name = "", { policy = "ask", ...options } = {}) {
  const row = h(
    "div",
    { class: "tool" },
    h("input", { "aria-label": "Tool", value: name, spellcheck: "false", autocapitalize: "none" }),
    h("select", { "aria-label": "Policy" }, ["allow", "ask", "deny"].map((word) => h("option", { value: word, selected: word === policy }, word))),
    h("button", { class: "button bare square", type: "button", "aria-label": `Remove ${name || "the tool"}`, onclick: () => row.remove() }, icon("trash")),
    h("textarea", { "aria-label": "Options", rows: 2, spellcheck: "false", value: Object.keys(options).length ? JSON.stringify(options) : "" }),
  );
  return row;
}

function tools() {
  return Object.fromEntries(
    [...toolList.children].map((row) => {
      const [name, policy, , options] = row.children;
      let parsed = {};
      try {
        if (options.value.trim()) parsed = JSON.parse(options.value);
      } catch {
        throw wrong("tools", `${name.value}: the options are not an object of JSON`);
      }
      return [name.value.trim(), { ...parsed, policy: policy.value }];
    }),
  );
}

onSubmit(form, async () => {
  const body = { tools: tools(), updated_at: profile.updated_at };
  for (const field of fields) body[field.name] = READ[field.dataset.kind](field);
  fill((await patch(path, body)).profile);
  tell("Saved. New messages are answered by it as it is now.");
});

document.getElementById("add-tool").addEventListener("click", () => {
  const row = toolOf();
  toolList.append(row);
  row.firstElementChild.focus();
});

archive?.addEventListener("click", async () => {
  const away = !profile.archived_at;
  if (away && !(await ask({ title: `Archive ${profile.name}?`, text: "It takes no messages any more. What was said stays, and it can be restored.", action: "Archive", danger: true }))) return;
  try {
    fill((await post(`${path}/${away ? "archive" : "restore"}`)).profile);
    tell(away ? "It is archived." : "It takes messages again.");
  } catch (error) {
    fail(error);
  }
});

onSubmit(document.getElementById("trial"), async ({ message }) => {
  const mine = { role: "user", content: message };
  log.append(h("div", { class: "me" }, message));
  document.getElementById("message").value = "";
  try {
    const answer = await post("/v1/chat/completions", { model: slug, messages: [...said, mine] });
    const reply = answer.choices[0].message.content ?? "";
    said.push(mine, { role: "assistant", content: reply });
    log.append(h("div", { class: "prose them" }, markdown(reply)));
  } catch (error) {
    log.append(problem(error));
  }
  log.scrollTop = log.scrollHeight;
});

document.getElementById("afresh").addEventListener("click", () => {
  said = [];
  log.replaceChildren();
});

try {
  fill((await get(path)).profile);
} catch (error) {
  form.replaceChildren(problem(error));
}
