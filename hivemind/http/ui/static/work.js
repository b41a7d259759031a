// Directives and tasks as boards, a column for each state; read anew while the page is open.

import { get, patch, post } from "./api.js";
import { ask, show } from "./dialog.js";
import { h, problem, state } from "./element.js";
import { onSubmit } from "./form.js";
import { markdown } from "./markdown.js";
import { keep } from "./rows.js";
import { since } from "./time.js";
import { fail, tell } from "./toast.js";

const MAY_ACT = document.body.dataset.role !== "viewer";
const EACH_MS = 3_000;
const MOST = 50;
const DIRECTIVES = { queued: ["Waiting", "wait"], running: ["Running", "busy"], done: ["Done", "good"], failed: ["Failed", "bad"], cancelled: ["Cancelled", ""] };
const TASKS = { open: ["Open", "wait"], doing: ["Being done", "busy"], done: ["Done", "good"], dropped: ["Dropped", ""] };
const boards = { directives: lanes("directives", DIRECTIVES), tasks: lanes("tasks", TASKS) };
let profiles = [];

function lanes(id, states) {
  const board = document.getElementById(id);
  return Object.entries(states).map(([name, [title, kind]]) => {
    const jobs = h("div", { class: "part" });
    const none = h("p", { class: "quiet" }, "None.");
    board.append(h("section", { class: "lane", "aria-label": title }, h("header", {}, state(title, kind)), none, jobs));
    return { name, jobs, none };
  });
}

async function draw() {
  try {
    await Promise.all([fill("directives", directiveOf), fill("tasks", taskOf)]);
    document.getElementById("problem").replaceChildren();
  } catch (error) {
    document.getElementById("problem").replaceChildren(problem(error));
  }
}

async function fill(kind, make) {
  await Promise.all(
    boards[kind].map(async ({ name, jobs, none }) => {
      const { items } = await get(`/api/v1/${kind}`, { state: name, limit: MOST });
      keep(jobs, items, { key: (item) => item.id, make });
      none.hidden = items.length > 0;
    }),
  );
}

const nameOf = (id) => (id ? (profiles.find((profile) => profile.id === id)?.name ?? id.slice(0, 8)) : "nobody yet");

function button(words, about, onclick, kind = "") {
  return h("button", { class: `button small ${kind}`, type: "button", "aria-label": `${words}: ${about}`, onclick }, words);
}

async function act(doing, words) {
  try {
    await doing();
    tell(words);
  } catch (error) {
    fail(error);
  }
  await draw();
}

function directiveOf(directive) {
  const about = directive.text.slice(0, 60);
  const waits = directive.state === "queued" || directive.state === "running";
  const again = () => act(() => post("/api/v1/directives", { profile: profiles.find((profile) => profile.id === directive.profile_id)?.slug ?? "", text: directive.text }), "It is tried once more.");
  const cancel = async () => {
    if (await ask({ title: "Cancel this directive?", text: about, action: "Cancel it", danger: true })) await act(() => post(`/api/v1/directives/${directive.id}/cancel`), "It is cancelled.");
  };
  return h(
    "article",
    { class: "job", "aria-label": about },
    h("p", {}, directive.text),
    directive.failure ? h("p", { class: "bad" }, directive.failure.message) : null,
    h("span", { class: "faint" }, nameOf(directive.profile_id), " · ", since(directive.ended_at ?? directive.started_at ?? directive.created_at)),
    h(
      "div",
      { class: "buttons" },
      directive.result || directive.failure ? button("Result", about, () => result(directive)) : null,
      MAY_ACT && waits ? button("Cancel", about, cancel, "danger") : null,
      MAY_ACT && (directive.state === "failed" || directive.state === "cancelled") ? button("Again", about, again) : null,
    ),
  );
}

function result(directive) {
  const close = h("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Close");
  const dialog = show(
    directive.result ? "Result" : "What went wrong",
    h("div", {}, h("p", { class: "quiet" }, directive.text), directive.result ? h("div", { class: "prose", tabindex: 0 }, markdown(directive.result)) : h("pre", { tabindex: 0 }, `${directive.failure.code}: ${directive.failure.message}`), h("footer", {}, close)),
    { wide: true },
  );
}

function taskOf(task) {
  const set = (to, words) => act(() => patch(`/api/v1/tasks/${task.id}`, { state: to }), words);
  const over = task.state === "done" || task.state === "dropped";
  return h(
    "article",
    { class: "job", "aria-label": task.title },
    h("strong", {}, task.title),
    task.text ? h("p", { class: "quiet" }, task.text) : null,
    h("span", { class: "faint" }, nameOf(task.profile_id), " · ", since(task.updated_at), task.source === "local" ? "" : ` · ${task.source}`),
    MAY_ACT
      ? h(
          "div",
          { class: "buttons" },
          over ? null : button("Have it done", task.title, () => give(task)),
          over ? button("Reopen", task.title, () => set("open", "It is open again.")) : button("Done", task.title, () => set("done", "It is done.")),
          over ? null : button("Drop", task.title, () => set("dropped", "It is dropped."), "danger"),
        )
      : null,
  );
}

const field = (name, label, control) => h("div", { class: "field" }, h("label", { for: name }, label), control);
const whoSelect = (none, chosen = null) => h("select", { id: "profile", name: "profile" }, none ? h("option", { value: "" }, none) : null, profiles.map((profile) => h("option", { value: profile.slug, selected: profile.id === chosen }, profile.name)));

function form(title, action, content, send, words) {
  const made = h("form", { class: "form", novalidate: true }, content, h("footer", {}, h("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Cancel"), h("button", { class: "button primary" }, action)));
  const dialog = show(title, made);
  onSubmit(made, async (values) => {
    await send(values);
    dialog.close();
    tell(words);
    await draw();
  });
}

function give(task) {
  form("Have it done", "Give it", field("profile", "Who does it", whoSelect(null, task.profile_id)), (values) => post(`/api/v1/tasks/${task.id}/run`, values), "It is given to the agent.");
}

document.getElementById("new-directive")?.addEventListener("click", () => {
  const content = [field("profile", "Who does it", whoSelect(null)), field("text", "What is to be done", h("textarea", { id: "text", name: "text", rows: 5, required: true }))];
  form("New directive", "Give it", content, (values) => post("/api/v1/directives", values), "It is given to the agent.");
});

document.getElementById("new-task")?.addEventListener("click", () => {
  const content = [field("title", "Title", h("input", { id: "title", name: "title", required: true, maxlength: 500 })), field("text", "More about it", h("textarea", { id: "text", name: "text", rows: 4 })), field("profile", "Who is to do it", whoSelect("nobody yet"))];
  form("New task", "Make the task", content, ({ profile, ...values }) => post("/api/v1/tasks", profile ? { ...values, profile } : values), "The task is on the board.");
});

// A viewer may not read profiles: then their ids stand in.
if (MAY_ACT) profiles = (await get("/api/v1/agent-profiles", { limit: 200 }).catch(() => ({ items: [] }))).items;
await draw();
setInterval(() => {
  if (!document.hidden) draw();
}, EACH_MS);
