// The list of agents, newest first: by state and profile from the server, by text among those that are shown.

import { get, post } from "./api.js";
import { show } from "./dialog.js";
import { empty, h, problem } from "./element.js";
import { onSubmit } from "./form.js";
import { STATES, lifeOf } from "./life.js";
import { keep } from "./rows.js";
import { since } from "./time.js";

const EACH_MS = 4_000;
const PAGE = 50;
const MOST = 500;
const place = (id) => document.getElementById(id);
let timer = null;
let wanted = PAGE;
let items = [];
let asked = 0;

async function refresh() {
  clearTimeout(timer);
  const mine = ++asked;
  try {
    const query = { state: place("state").value, profile: place("profile").value };
    const found = [];
    let cursor;
    do {
      const page = await get("/api/v1/agents", { ...query, limit: Math.min(100, wanted - found.length), cursor });
      found.push(...page.items);
      cursor = page.next_cursor;
    } while (cursor && found.length < wanted);
    if (mine !== asked) return;
    items = found;
    place("more").hidden = !cursor || wanted >= MOST;
    know(items.map((agent) => agent.profile));
    draw();
  } catch (error) {
    if (mine === asked && items.length === 0) place("list").replaceChildren(problem(error));
  }
  if (mine === asked) timer = setTimeout(refresh, EACH_MS);
}

function draw() {
  const text = place("text").value.trim().toLowerCase();
  const shown = items.filter((agent) => `${agent.id} ${agent.profile} ${agent.note ?? ""} ${agent.failure ?? ""}`.toLowerCase().includes(text));
  if (shown.length === 0) {
    const none = text || place("state").value || place("profile").value ? ["None of these", "No agent fits what you look for."] : ["No agent yet", "An agent is made for each conversation, and for each directive that you give."];
    place("list").replaceChildren(empty("agents", ...none));
    return;
  }
  if (!place("list").querySelector("tbody")) {
    const head = ["Agent", "State", "Profile", "Note", "Changed", "Made"];
    place("list").replaceChildren(
      h("div", { class: "table", tabindex: 0, role: "region", "aria-label": "Agents" }, h("table", {}, h("thead", {}, h("tr", {}, head.map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}))),
    );
  }
  keep(place("list").querySelector("tbody"), shown, { key: (agent) => agent.id, make: rowOf });
}

function rowOf(agent) {
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, h("a", { class: "mono", href: `/agents/${agent.id}`, title: agent.id }, `…${agent.id.slice(-8)}`)),
    h("td", {}, lifeOf(agent.state)),
    h("td", {}, agent.profile, agent.external ? h("span", { class: "tag outside" }, "outside") : null),
    h("td", { class: "wrap" }, agent.failure ?? agent.note ?? h("span", { class: "faint" }, "–")),
    h("td", {}, since(agent.updated_at)),
    h("td", {}, since(agent.created_at)),
  );
}

/** Profiles that agents have can be chosen. */
function know(slugs) {
  const known = new Set([...place("profile").options].map((option) => option.value));
  for (const slug of new Set(slugs)) if (!known.has(slug)) place("profile").append(h("option", { value: slug }, slug));
}

async function spawn() {
  const profiles = (await get("/api/v1/agent-profiles", { limit: 200 })).items;
  const form = h(
    "form",
    { class: "form", novalidate: true },
    h("div", { class: "field" }, h("label", { for: "for-profile" }, "Profile"), h("select", { id: "for-profile", name: "profile" }, profiles.map((profile) => h("option", { value: profile.slug }, profile.name)))),
    h("div", { class: "field" }, h("label", { for: "directive" }, "Directive"), h("textarea", { id: "directive", name: "directive", rows: 4 }), h("p", { class: "hint" }, "What it is to do. Left empty: it waits for a message.")),
    h("footer", {}, h("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Cancel"), h("button", { class: "button primary" }, "Make it")),
  );
  const dialog = show("New agent", form);
  onSubmit(form, async ({ profile, directive }) => {
    const made = await post("/api/v1/agents", { profile, ...(directive.trim() ? { directive: directive.trim() } : {}) });
    location.assign(`/agents/${made.agent.id}`);
  });
}

for (const name of Object.keys(STATES)) place("state").append(h("option", { value: name }, name.replaceAll("_", " ")));
const query = new URLSearchParams(location.search);
place("state").value = query.get("state") ?? "";
if (query.get("profile")) {
  know([query.get("profile")]);
  place("profile").value = query.get("profile");
}
place("text").addEventListener("input", draw);
for (const id of ["state", "profile"])
  place(id).addEventListener("change", () => {
    wanted = PAGE;
    refresh();
  });
place("more").addEventListener("click", () => {
  wanted += PAGE;
  refresh();
});
place("new-agent")?.addEventListener("click", spawn);
refresh();
