// Schedules as cards: made and changed with a preview, run, paused, and what came of each time.

import { all, del, get, patch, post } from "./api.js";
import { ask, show } from "./dialog.js";
import { empty, h, problem, state } from "./element.js";
import { onSubmit } from "./form.js";
import { full, since } from "./time.js";
import { fail, tell } from "./toast.js";

const PATH = "/api/v1/schedules";
const MAY_ACT = document.body.dataset.role !== "viewer";
const OUTCOMES = { fired: "good", skipped_overlap: "wait", missed: "wait", refused_budget: "bad", refused: "bad" };
const OVERLAPS = { skip: "skip this time", queue: "wait for its turn", replace: "stop the one that runs" };
const CATCH_UPS = { none: "leave them", last: "do the last one", all: "do them all" };
const PREVIEW_WAIT_MS = 250;
const place = document.getElementById("schedules");
let profiles = [];

async function draw() {
  try {
    const schedules = await all(PATH);
    place.replaceChildren(schedules.length ? h("div", { class: "cards" }, schedules.map(cardOf)) : empty("schedules", "No schedule yet", "A schedule gives an agent the same job again and again, also when nobody is there."));
  } catch (error) {
    place.replaceChildren(problem(error));
  }
}

async function act(path, words) {
  try {
    const told = await post(path);
    tell(typeof words === "function" ? words(told) : words);
  } catch (error) {
    fail(error);
  }
  await draw();
}

function cardOf(schedule) {
  const [word, kind] = schedule.failure ? ["failing", "bad"] : schedule.paused ? ["paused", "wait"] : ["on", "good"];
  const at = `${PATH}/${schedule.id}`;
  const button = (words, onclick, more = "") => h("button", { class: `button small ${more}`, type: "button", "aria-label": `${words}: ${schedule.name}`, onclick }, words);
  return h(
    "article",
    { class: "card schedule", "aria-label": schedule.name },
    h("header", {}, h("div", {}, h("h3", {}, schedule.name), h("code", {}, schedule.cron), " ", h("span", { class: "faint" }, schedule.time_zone)), state(word, kind)),
    h("p", { class: "quiet" }, schedule.text),
    h("dl", { class: "facts" }, h("dt", {}, "Next"), h("dd", {}, schedule.paused ? "–" : since(schedule.next_run_at)), h("dt", {}, "Last"), h("dd", {}, since(schedule.last_run_at)), h("dt", {}, "By"), h("dd", {}, nameOf(schedule.profile_id))),
    schedule.failure ? h("p", {}, typeof schedule.failure === "string" ? schedule.failure : (schedule.failure.message ?? "It could not be run.")) : null,
    h(
      "div",
      { class: "buttons" },
      button("History", () => history(schedule)),
      MAY_ACT ? button("Run now", () => act(`${at}/run`, ({ tick }) => (tick.outcome === "fired" ? "It is given to the agent." : `Not now: ${tick.outcome.replace("_", " ")}.`))) : null,
      MAY_ACT ? (schedule.paused ? button("Resume", () => act(`${at}/resume`, "It is on.")) : button("Pause", () => act(`${at}/pause`, "It is paused."))) : null,
      MAY_ACT ? button("Change", () => edit(schedule)) : null,
      MAY_ACT ? button("Remove", () => remove(schedule), "danger") : null,
    ),
  );
}

const nameOf = (id) => profiles.find((profile) => profile.id === id)?.name ?? id.slice(0, 8);

async function remove(schedule) {
  if (!(await ask({ title: `Remove ${schedule.name}?`, text: "What it did stays; nothing new is begun.", action: "Remove", danger: true }))) return;
  try {
    await del(`${PATH}/${schedule.id}`);
  } catch (error) {
    fail(error);
  }
  await draw();
}

async function history(schedule) {
  const close = h("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Close");
  const box = h("div", {}, h("div", { class: "loading" }));
  const dialog = show(`What came of ${schedule.name}`, h("div", {}, box, h("footer", {}, close)), { wide: true });
  try {
    const { items } = await get(`${PATH}/${schedule.id}/ticks`, { limit: 50 });
    const row = (tick) => h("tr", {}, h("td", {}, full(tick.due_at)), h("td", {}, state(tick.outcome.replace("_", " "), OUTCOMES[tick.outcome])), h("td", {}, tick.directive_state ?? "–"), h("td", {}, tick.by_hand ? "by hand" : "by the clock"));
    box.replaceChildren(
      items.length
        ? h("div", { class: "table", tabindex: 0, role: "region", "aria-label": "History" }, h("table", {}, h("thead", {}, h("tr", {}, ["Due", "Outcome", "The work", "Begun"].map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, items.map(row))))
        : h("p", { class: "quiet" }, "No time has come yet."),
    );
  } catch (error) {
    box.replaceChildren(problem(error));
  }
}

function edit(schedule) {
  const field = (name, label, input, hint) => h("div", { class: "field" }, h("label", { for: name }, label), input, hint ? h("p", { class: "hint" }, hint) : null);
  const input = (name, value, more = {}) => h("input", { id: name, name, value: value ?? "", required: true, ...more });
  const choice = (name, options, chosen) => h("select", { id: name, name }, options.map(([value, words]) => h("option", { value, selected: value === chosen }, words)));
  const preview = h("div", { class: "preview", role: "status", "aria-label": "The next times" });
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const form = h(
    "form",
    { class: "form", novalidate: true },
    field("name", "Name", input("name", schedule?.name, { maxlength: 200 })),
    h("div", { class: "row" }, field("cron", "When", input("cron", schedule?.cron ?? "0 8 * * mon-fri", { spellcheck: "false", autocapitalize: "none" }), "Minute, hour, day, month, weekday."), field("time_zone", "Time zone", input("time_zone", schedule?.time_zone ?? zone, { spellcheck: "false" }))),
    preview,
    field("profile", "Who does it", choice("profile", profiles.map((profile) => [profile.slug, profile.name]), profiles.find((profile) => profile.id === schedule?.profile_id)?.slug)),
    field("text", "What is to be done", h("textarea", { id: "text", name: "text", rows: 4, required: true, value: schedule?.text ?? "" })),
    h("div", { class: "row" }, field("overlap", "While the last one runs", choice("overlap", Object.entries(OVERLAPS), schedule?.overlap)), field("catch_up", "Times that were missed", choice("catch_up", Object.entries(CATCH_UPS), schedule?.catch_up))),
    h("footer", {}, h("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Cancel"), h("button", { class: "button primary" }, schedule ? "Save" : "Make the schedule")),
  );
  let timer = null;
  let asked = 0;
  async function look() {
    const mine = (asked += 1);
    const { cron, time_zone } = Object.fromEntries(new FormData(form));
    if (!cron.trim() || !time_zone.trim()) return;
    try {
      const { times } = await post(`${PATH}/preview`, { cron, time_zone, count: 5 });
      if (mine === asked) preview.replaceChildren(h("ol", { class: "times" }, times.map(({ at }) => h("li", {}, new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "short", timeZone: time_zone }).format(new Date(at))))));
    } catch (error) {
      if (mine === asked) preview.replaceChildren(problem(error));
    }
  }
  for (const name of ["cron", "time_zone"]) {
    form.elements[name].addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(look, PREVIEW_WAIT_MS);
    });
  }
  const dialog = show(schedule ? "Change the schedule" : "New schedule", form);
  onSubmit(form, async (values) => {
    if (schedule) await patch(`${PATH}/${schedule.id}`, values);
    else await post(PATH, values);
    dialog.close();
    tell(schedule ? "The schedule is changed." : "The schedule is on.");
    await draw();
  });
  look();
}

document.getElementById("new-schedule")?.addEventListener("click", () => edit(null));
// A viewer may not read profiles: then their ids stand in.
if (MAY_ACT) profiles = await all("/api/v1/agent-profiles").catch(() => []);
draw();
