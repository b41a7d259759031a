// The audit log: filters kept in the address, pages by cursor, one row whole, and the export as a file.

import { errorOf, get, headersOf } from "./api.js";
import { show } from "./dialog.js";
import { empty, h, problem, state } from "./element.js";
import { onSubmit } from "./form.js";
import { full, since } from "./time.js";
import { fail, tell } from "./toast.js";

const PATH = "/api/v1/agent-chat/audit";
const SHOWN_CHARS = 140;
const form = document.getElementById("filters");
const rows = document.getElementById("rows");
const more = document.getElementById("more");
const nothing = document.getElementById("nothing");
let cursor = null;
let asked = 0;

/** The filter as the API takes it: times with their zone, nothing that is empty. */
function filter() {
  const fields = Object.fromEntries([...new FormData(form)].filter(([, value]) => value.trim() !== ""));
  for (const name of ["since", "until"]) if (fields[name]) fields[name] = new Date(fields[name]).toISOString();
  return fields;
}

async function load(anew) {
  const mine = (asked += 1);
  const page = await get(PATH, { ...filter(), limit: 50, cursor: anew ? null : cursor });
  if (mine !== asked) return;
  if (anew) rows.replaceChildren();
  rows.append(...page.items.map(rowOf));
  cursor = page.next_cursor;
  more.hidden = !cursor;
  nothing.replaceChildren(...(rows.children.length ? [] : [empty("audit", "Nothing fits", "No row of the log fits these filters.")]));
}

function rowOf(entry) {
  const said = entry.erased_at ? "erased" : (entry.text ?? summary(entry.detail));
  const found = entry.detail?.findings?.length;
  return h(
    "tr",
    {},
    h("td", { class: "number" }, String(entry.seq)),
    h("td", {}, since(entry.at)),
    h("td", {}, h("button", { class: "open", type: "button", onclick: () => open(entry), "aria-label": `${entry.action}, row ${entry.seq}` }, entry.action)),
    h("td", {}, entry.profile ?? h("span", { class: "faint" }, "–")),
    h("td", {}, entry.caller ? h("span", { class: "mono", title: entry.caller }, entry.caller.slice(0, 16)) : h("span", { class: "faint" }, "–")),
    h("td", { class: "said" }, found ? [state(`${found} found`, entry.action.endsWith(":refused") ? "bad" : "wait"), " "] : null, said.length > SHOWN_CHARS ? `${said.slice(0, SHOWN_CHARS)}…` : said),
  );
}

function summary(detail) {
  const told = Object.entries(detail ?? {}).filter(([, value]) => value !== null && typeof value !== "object");
  return told.map(([name, value]) => `${name}: ${value}`).join(", ");
}

function open(entry) {
  const fact = (name, value) => (value ? [h("dt", {}, name), h("dd", { class: /agent|turn|caller/i.test(name) ? "mono" : "" }, String(value))] : []);
  const close = h("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Close");
  const dialog = show(
    `Row ${entry.seq}`,
    h(
      "div",
      {},
      h("dl", { class: "facts" }, fact("Action", entry.action), fact("At", full(entry.at)), fact("Profile", entry.profile), fact("Agent", entry.agent_id), fact("Turn", entry.turn_id), fact("Caller", entry.caller), fact("Erased", entry.erased_at && full(entry.erased_at))),
      entry.text ? h("pre", {}, entry.text) : null,
      h("pre", { tabindex: 0, "aria-label": "Details" }, JSON.stringify(entry.detail, null, 2)),
      h("footer", {}, close),
    ),
    { wide: true },
  );
}

async function download() {
  const query = new URLSearchParams(filter());
  const response = await fetch(`${PATH}?${query}`, { headers: headersOf("GET", { accept: "application/x-ndjson" }) });
  if (!response.ok) throw await errorOf(response);
  const address = URL.createObjectURL(await response.blob());
  const link = h("a", { href: address, download: `audit-${new Date().toISOString().slice(0, 10)}.ndjson` });
  link.click();
  URL.revokeObjectURL(address);
  tell(query.size ? "The rows that fit are exported. Only the whole log can be verified as a chain." : "The whole log is exported: hivemind audit verify checks its chain.");
}

/** How far the log is sealed and signed; what proves it is the command line, for whoever trusts this server least. */
async function drawChain() {
  const { chain } = await get(`${PATH}/chain`);
  const place = document.getElementById("chain");
  const signed = chain.signed_seq === null ? ["No head is signed yet."] : [`Signed up to row ${chain.signed_seq}, `, since(chain.signed_at), "."];
  place.querySelector("span").replaceChildren(`The chain goes to row ${chain.sealed_seq}. `, ...signed, " ", h("code", {}, "hivemind audit verify"), " proves that nothing in it was changed.");
  place.hidden = false;
}

onSubmit(form, async () => {
  const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
  history.replaceState(null, "", query.size ? `?${query}` : location.pathname);
  await load(true);
});
form.addEventListener("reset", () => setTimeout(() => form.requestSubmit()));
more.addEventListener("click", () => load(false).catch(fail));
document.getElementById("export").addEventListener("click", () => download().catch(fail));

for (const [name, value] of new URLSearchParams(location.search)) if (form.elements[name]) form.elements[name].value = value;
drawChain().catch(fail);
load(true).catch((error) => nothing.replaceChildren(problem(error)));
