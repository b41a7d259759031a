// The caps as cards, and the form that makes or changes one.

import { all, del, get, patch, post } from "./api.js";
import { ask, show } from "./dialog.js";
import { empty, h, icon, meter, problem, state } from "./element.js";
import { onSubmit } from "./form.js";
import { dollars, micros, percent } from "./numbers.js";
import { since } from "./time.js";
import { fail, tell } from "./toast.js";

const ROLE = document.body.dataset.role;
const SCOPES = { install: "The whole server", profile: "One profile", agent: "One agent", schedule: "One schedule", caller: "One caller" };
const PERIODS = { turn: "a turn", day: "a day", month: "a month" };
const ON_SOFT = { warn: "warn", cheaper: "use the cheaper model", ask: "wait for a person" };

/** Draw all caps into a place. */
export async function drawCaps(place) {
  try {
    const caps = await all("/api/v1/caps");
    const again = () => drawCaps(place);
    const none = empty("costs", "No cap yet", "A cap stops a turn before it begins, when its money is used up. Without one, only the model's own account ends spending.");
    place.replaceChildren(caps.length ? h("div", { class: "cards" }, caps.map((cap) => cardOf(cap, again))) : none);
  } catch (error) {
    place.replaceChildren(problem(error));
  }
}

function titleOf(cap) {
  if (cap.scope === "install") return SCOPES.install;
  const who = cap.subject === "*" ? `each ${cap.scope}` : `${cap.scope} ${cap.name ?? cap.subject.slice(0, 16)}`;
  return who[0].toUpperCase() + who.slice(1);
}

function cardOf(cap, again) {
  const window = cap.window;
  const used = window ? window.spent_micros + window.reserved_micros : 0;
  const share = window?.share ?? 0;
  const [word, kind] = share >= 1 ? ["used up", "bad"] : window?.soft_reached ? ["soft share reached", "wait"] : ["within", "good"];
  const title = `${titleOf(cap)}, ${PERIODS[cap.period]}`;
  const bar = h(
    "div",
    { class: "marked" },
    meter(used, cap.limit_micros, `${title}: ${percent(share)} used`, kind),
    cap.soft_share ? h("span", { class: "soft-mark", title: `Soft share: ${percent(cap.soft_share)}`, style: { left: `${cap.soft_share * 100}%` } }) : null,
  );
  return h(
    "article",
    { class: "card cap", "aria-label": title },
    h("header", {}, h("div", {}, h("h3", {}, titleOf(cap)), h("span", { class: "faint" }, `${dollars(cap.limit_micros)} ${PERIODS[cap.period]}`)), cap.period === "turn" ? null : state(word, kind)),
    cap.period === "turn" ? null : bar,
    cap.period === "turn" ? null : h("div", { class: "amounts" }, h("span", {}, `${dollars(used)} used`), h("span", { class: "quiet" }, percent(share))),
    h("p", { class: "faint" }, cap.soft_share ? `From ${percent(cap.soft_share)} on: ${ON_SOFT[cap.on_soft]}. ` : "", forecastOf(window)),
    ROLE === "admin" || window?.soft_reached ? h("div", { class: "buttons" }, deedsOf(cap, title, again)) : null,
  );
}

function forecastOf(window) {
  if (!window) return "";
  if (window.share >= 1) return h("span", {}, "It begins anew ", since(window.ends_at), ".");
  if (window.runs_out_at) return h("span", {}, "At this rate it runs out ", since(window.runs_out_at), ".");
  return h("span", {}, "At this rate it lasts until it begins anew, ", since(window.ends_at), ".");
}

function deedsOf(cap, title, again) {
  const button = (name, label, onclick, kind = "") => h("button", { class: `button small ${kind}`, onclick, "aria-label": `${label}: ${title}` }, icon(name), label);
  const acknowledgeable = ROLE !== "viewer" && cap.window?.soft_reached && !cap.window.acknowledged_until && cap.on_soft === "ask" && cap.subject !== "*";
  return [
    acknowledgeable ? button("check", "Let it go on", () => acknowledge(cap, again)) : null,
    ROLE === "admin" ? button("pencil", "Change", () => editCap(cap, again)) : null,
    ROLE === "admin" ? button("trash", "Remove", () => remove(cap, title, again), "danger") : null,
  ];
}

async function acknowledge(cap, again) {
  try {
    await post(`/api/v1/caps/${cap.id}/acknowledge`);
    tell("It goes on until the cap begins anew.");
  } catch (error) {
    fail(error);
  }
  again();
}

async function remove(cap, title, again) {
  const text = "What was spent stays written down. From now on nothing is stopped by this cap.";
  if (!(await ask({ title: `Remove the cap: ${title}?`, text, action: "Remove", danger: true }))) return;
  try {
    await del(`/api/v1/caps/${cap.id}`);
    tell("The cap is removed.");
  } catch (error) {
    fail(error);
  }
  again();
}

/** The form of a cap, new or known. */
export async function editCap(cap, done) {
  const profiles = cap || ROLE !== "admin" ? [] : (await get("/api/v1/agent-profiles", { limit: 200 }).catch(() => ({ items: [] }))).items;
  const options = (names) => Object.entries(names).map(([value, name]) => h("option", { value }, name));
  const field = (id, label, input, hint = null) => h("div", { class: "field" }, h("label", { for: id }, label), input, hint ? h("p", { class: "hint" }, hint) : null);
  const subject = h("div", {});
  const scope = h("select", { id: "scope", name: "scope" }, options(SCOPES));
  const fits = () => subject.replaceChildren(...(scope.value === "install" ? [] : [field("subject", "Which", subjectOf(scope.value, profiles))]));
  scope.addEventListener("change", fits);
  const form = h(
    "form",
    { class: "form", novalidate: true },
    cap ? null : h("div", { class: "row" }, field("scope", "For", scope), subject),
    h(
      "div",
      { class: "row" },
      field("limit_micros", "At most (US dollars)", h("input", { id: "limit_micros", name: "limit_micros", inputmode: "decimal", required: true, value: cap ? String(cap.limit_micros / 1e6) : "" })),
      cap ? null : field("period", "In", h("select", { id: "period", name: "period" }, h("option", { value: "day" }, "a day (UTC)"), h("option", { value: "month" }, "a month (UTC)"), h("option", { value: "turn" }, "one turn"))),
    ),
    h(
      "div",
      { class: "row" },
      field("soft_share", "Soft share (%)", h("input", { id: "soft_share", name: "soft_share", inputmode: "numeric", value: cap?.soft_share ? String(Math.round(cap.soft_share * 100)) : "" }), "Left empty: none."),
      field("on_soft", "When it is reached", h("select", { id: "on_soft", name: "on_soft" }, Object.entries(ON_SOFT).map(([value, name]) => h("option", { value, selected: value === cap?.on_soft }, name)))),
    ),
    h("footer", {}, h("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Cancel"), h("button", { class: "button primary" }, cap ? "Save" : "Make the cap")),
  );
  fits();
  const dialog = show(cap ? "Change the cap" : "New cap", form);
  onSubmit(form, async (values) => {
    const body = { limit_micros: amount(values.limit_micros, "limit_micros"), on_soft: values.on_soft };
    body.soft_share = values.soft_share.trim() ? amount(values.soft_share.replace("%", ""), "soft_share") / 1e8 : null;
    if (cap) await patch(`/api/v1/caps/${cap.id}`, body);
    else await post("/api/v1/caps", { ...body, scope: values.scope, subject: values.subject ?? "", period: values.period });
    dialog.close();
    tell(cap ? "The cap is changed." : "The cap is made.");
    done();
  });
}

function subjectOf(scope, profiles) {
  if (scope !== "profile") return h("input", { id: "subject", name: "subject", value: "*", required: true });
  return h("select", { id: "subject", name: "subject" }, h("option", { value: "*" }, "each by itself"), profiles.map((profile) => h("option", { value: profile.id }, profile.name)));
}

function amount(text, field) {
  const value = micros(text);
  if (Number.isFinite(value)) return value;
  throw Object.assign(new Error("This is not a number"), { fields: [{ field, problem: "is not a number" }] });
}
