// The settings in force with their sources, and what of the supervision policy was changed since the start.

import { get, patch } from "./api.js";
import { empty, h, icon, problem } from "./element.js";
import { fail, tell } from "./toast.js";

const sections = document.getElementById("sections");
const find = document.getElementById("find");
const changed = document.getElementById("changed");
let settings = [];

const spelled = (value) => (value === null ? "unset" : typeof value === "string" ? value : JSON.stringify(value));

function rowOf(setting) {
  const own = setting.source !== "default";
  return h(
    "div",
    { class: `setting ${own ? "changed" : ""}` },
    h("dt", {}, setting.path.split(".").at(-1), h("span", { class: "source" }, own ? `from ${setting.source}` : `default; set ${setting.variable}`)),
    h("dd", {}, setting.value === null ? h("span", { class: "faint" }, "unset") : h("code", {}, spelled(setting.value)), setting.doc ? h("p", { class: "about" }, setting.doc) : null),
  );
}

function draw() {
  const words = find.value.trim().toLowerCase().split(/\s+/);
  const fits = (setting) => (!changed.checked || setting.source !== "default") && words.every((word) => `${setting.path} ${setting.variable} ${setting.doc}`.toLowerCase().includes(word));
  const shown = grouped(settings.filter(fits));
  sections.replaceChildren(
    ...[...shown].map(([name, members]) => h("section", { class: "card", "aria-label": name }, h("header", {}, h("h2", {}, name)), h("dl", {}, members.map(rowOf)))),
    ...(shown.size ? [] : [empty("settings", "No setting fits", changed.checked ? "Everything is at its default, or named otherwise." : "Try another word.")]),
  );
}

const sectionOf = (setting) => setting.path.split(".").slice(0, -1).join(".") || "top level";

function grouped(items) {
  const groups = new Map();
  for (const item of items) groups.set(sectionOf(item), [...(groups.get(sectionOf(item)) ?? []), item]);
  return groups;
}

function changeOf(section, key, value) {
  const undo = async () => {
    try {
      await patch("/api/v1/supervision", { [section]: { [key]: null } });
      tell(`${section}: ${key} is as the settings say again.`);
      await drawPolicy();
    } catch (error) {
      fail(error);
    }
  };
  return h(
    "div",
    { class: "setting changed" },
    h("dt", {}, `${section}: ${key}`, h("span", { class: "source" }, "changed while it runs")),
    h("dd", {}, h("code", {}, JSON.stringify(value)), " ", h("button", { class: "button small", type: "button", "aria-label": `Take back ${section} ${key}`, onclick: undo }, icon("rotate-ccw"), "Take back")),
  );
}

async function drawPolicy() {
  const { changes } = await get("/api/v1/supervision");
  const rows = Object.entries(changes).flatMap(([section, values]) => Object.entries(values).map(([key, value]) => changeOf(section, key, value)));
  const words = "How actors are restarted can be changed while the server runs: open an actor, then “Change the policy”. It holds until the next start.";
  document.getElementById("policy").replaceChildren(
    h("section", { class: "card", "aria-label": "Supervision policy" }, h("header", {}, h("h2", {}, "Supervision policy, changed since the start"), h("a", { class: "button small", href: "/actors" }, "Open the actors")), rows.length ? h("dl", {}, rows) : h("p", { class: "quiet" }, words)),
  );
}

find.addEventListener("input", draw);
changed.addEventListener("change", draw);
try {
  ({ settings } = await get("/api/v1/settings"));
  draw();
  await drawPolicy();
} catch (error) {
  sections.replaceChildren();
  document.getElementById("problem").replaceChildren(problem(error));
}
