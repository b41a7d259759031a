// The profiles as cards, and the dialog that makes one.

import { all, post } from "./api.js";
import { show } from "./dialog.js";
import { empty, h, problem, state } from "./element.js";
import { onSubmit } from "./form.js";
import { plural } from "./numbers.js";

const TIERS = { 1: ["public", "good"], 2: ["inside", ""], 3: ["inside, trusted", ""] };
const place = document.getElementById("profiles");
const archived = document.getElementById("archived");

async function draw() {
  try {
    const profiles = await all("/api/v1/agent-profiles", { archived: archived.checked });
    place.replaceChildren(profiles.length ? h("div", { class: "cards" }, profiles.map(cardOf)) : empty("profiles", "No profile yet", "A profile says who an agent is. Make the first one."));
  } catch (error) {
    place.replaceChildren(problem(error));
  }
}

function cardOf(profile) {
  const [word, kind] = profile.archived_at ? ["archived", "wait"] : TIERS[profile.tier];
  const tools = Object.keys(profile.tools).length;
  return h(
    "a",
    { class: "card profile", href: `/profiles/${profile.slug}` },
    h("header", {}, h("div", {}, h("h3", {}, profile.name), h("span", { class: "faint mono" }, profile.slug)), state(word, kind)),
    h("p", {}, profile.prompt),
    h("div", { class: "tags" }, h("span", { class: "tag" }, profile.model ?? "the server's model"), h("span", { class: "tag" }, tools ? plural(tools, "tool") : "no tools")),
  );
}

document.getElementById("new-profile")?.addEventListener("click", () => {
  const field = (name, label, input, hint) => h("div", { class: "field" }, h("label", { for: name }, label), input, hint ? h("p", { class: "hint" }, hint) : null);
  const form = h(
    "form",
    { class: "form", novalidate: true },
    field("name", "Name", h("input", { id: "name", name: "name", required: true, maxlength: 200 })),
    field("slug", "Slug", h("input", { id: "slug", name: "slug", required: true, maxlength: 64, spellcheck: "false", autocapitalize: "none" }), "In addresses and settings: small letters, digits and hyphens. It stays."),
    field("prompt", "Prompt", h("textarea", { id: "prompt", name: "prompt", rows: 5, required: true }), "What the model is told before every conversation."),
    h("footer", {}, h("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Cancel"), h("button", { class: "button primary" }, "Make the profile")),
  );
  const dialog = show("New profile", form);
  onSubmit(form, async (values) => {
    await post("/api/v1/agent-profiles", values);
    location.assign(`/profiles/${values.slug}`);
  });
});
archived.addEventListener("change", draw);
draw();
