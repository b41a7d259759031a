// The accounts of people: made, given a role, kept out, and their sessions ended.

import { all, del, get, patch, post } from "./api.js";
import { ask, show } from "./dialog.js";
import { h, problem, state } from "./element.js";
import { onSubmit } from "./form.js";
import { keep } from "./rows.js";
import { since } from "./time.js";
import { fail, tell } from "./toast.js";

const PATH = "/api/v1/users";
const ROLES = ["viewer", "operator", "admin"];
const rows = document.getElementById("rows");

async function draw() {
  try {
    keep(rows, await all(PATH), { key: (user) => user.id, make: rowOf });
  } catch (error) {
    document.getElementById("problem").replaceChildren(problem(error));
  }
}

async function change(user, body, words) {
  try {
    await patch(`${PATH}/${user.id}`, body);
    tell(words);
  } catch (error) {
    fail(error);
  }
  rows.querySelector(`[data-key="${user.id}"]`)?.remove();
  await draw();
}

function rowOf(user) {
  const role = h("select", { "aria-label": `Role of ${user.username}`, onchange: () => change(user, { role: role.value }, `${user.username} is ${role.value} now, and signs in anew.`) }, ROLES.map((name) => h("option", { value: name, selected: name === user.role }, name)));
  const button = (words, onclick, kind = "") => h("button", { class: `button small ${kind}`, type: "button", "aria-label": `${words}: ${user.username}`, onclick }, words);
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, user.username, user.email ? h("span", { class: "faint" }, user.email) : null, user.issuer ? h("span", { class: "faint", title: `${user.subject} at ${user.issuer}` }, `signs in at ${placeOf(user.issuer)}`) : null),
    h("td", {}, role, user.issuer ? h("span", { class: "faint" }, user.bound ? "given here" : "by their groups") : null),
    h("td", {}, user.disabled_at ? state("disabled", "bad") : state("active", "good")),
    h("td", {}, since(user.signed_in_at)),
    h("td", {}, since(user.created_at)),
    h(
      "td",
      {},
      h(
        "div",
        { class: "buttons" },
        button("Sessions", () => sessions(user)),
        user.issuer ? null : button("Password", () => password(user)),
        user.bound ? button("By groups", () => change(user, { bound: false }, `The groups of ${user.username} say the role, from the next sign-in on.`)) : null,
        user.disabled_at ? button("Enable", () => change(user, { disabled: false }, `${user.username} may sign in again.`)) : button("Disable", () => disable(user), "danger"),
      ),
    ),
  );
}

/** The name of an identity provider that fits into a table. */
function placeOf(issuer) {
  return URL.canParse(issuer) ? new URL(issuer).host : issuer;
}

async function disable(user) {
  const text = "Their sessions end now, and they cannot sign in. What they did stays in the audit log.";
  if (await ask({ title: `Disable ${user.username}?`, text, action: "Disable", danger: true })) await change(user, { disabled: true }, `${user.username} is kept out.`);
}

async function sessions(user) {
  const list = h("ul", { class: "sessions" });
  const dialog = show(`Sessions of ${user.username}`, h("div", {}, list, h("footer", {}, h("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Close"))));
  const load = async () => {
    const { items } = await get(`${PATH}/${user.id}/sessions`);
    list.replaceChildren(...(items.length ? items.map(itemOf) : [h("li", {}, "Nobody is signed in with this account.")]));
  };
  const itemOf = (session) =>
    h("li", {}, h("div", {}, session.user_agent ?? "an unknown browser", h("div", { class: "faint" }, "seen ", since(session.seen_at), ", ends ", since(session.expires_at))), h("button", { class: "button small danger", type: "button", onclick: () => end(session) }, "End"));
  const end = async (session) => {
    try {
      await del(`${PATH}/${user.id}/sessions/${session.id}`);
      await load();
    } catch (error) {
      fail(error);
    }
  };
  await load().catch(fail);
}

function field(name, label, attributes, hint) {
  return h("div", { class: "field" }, h("label", { for: name }, label), h("input", { id: name, name, ...attributes }), hint ? h("p", { class: "hint" }, hint) : null);
}

function password(user) {
  const form = h("form", { class: "form", novalidate: true }, field("password", "New password", { type: "password", autocomplete: "new-password", required: true }, "Their sessions end. Four words that do not belong together are good."), h("footer", {}, h("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Cancel"), h("button", { class: "button primary" }, "Set it")));
  const dialog = show(`Password of ${user.username}`, form);
  onSubmit(form, async (values) => {
    await patch(`${PATH}/${user.id}`, values);
    dialog.close();
    tell(`${user.username} has a new password.`);
  });
}

document.getElementById("new-user").addEventListener("click", () => {
  const form = h(
    "form",
    { class: "form", novalidate: true },
    field("username", "Name", { required: true, autocomplete: "off", autocapitalize: "none", spellcheck: "false" }),
    field("email", "E-mail, if you like", { type: "email", autocomplete: "off" }),
    field("password", "Password", { type: "password", autocomplete: "new-password", required: true }, "Tell it to them; they can change it."),
    h("div", { class: "field" }, h("label", { for: "role" }, "Role"), h("select", { id: "role", name: "role" }, ROLES.map((name) => h("option", { value: name }, name)))),
    h("footer", {}, h("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Cancel"), h("button", { class: "button primary" }, "Make the account")),
  );
  const dialog = show("New user", form);
  onSubmit(form, async ({ email, ...values }) => {
    await post(PATH, email ? { ...values, email } : values);
    dialog.close();
    tell(`${values.username} may sign in.`);
    await draw();
  });
});
draw();
