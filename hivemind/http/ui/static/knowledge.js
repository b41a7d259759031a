// The documents of the installation: added by pasting or from a file, searched, shown, removed.

import { all, del, get, post } from "./api.js";
import { ask, show } from "./dialog.js";
import { empty, h, problem } from "./element.js";
import { onSubmit } from "./form.js";
import { count, plural } from "./numbers.js";
import { since } from "./time.js";
import { fail, tell } from "./toast.js";

const PATH = "/api/v1/knowledge";
const place = document.getElementById("documents");
const found = document.getElementById("found");
const search = document.getElementById("search");

async function draw() {
  try {
    const documents = await all(PATH);
    place.replaceChildren(documents.length ? tableOf(documents) : empty("knowledge", "Nothing to search yet", "Add a document: agents whose profile has the tool search it, and cite it."));
  } catch (error) {
    place.replaceChildren(problem(error));
  }
}

function tableOf(documents) {
  const row = (one) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, one.title, one.source ? h("span", { class: "faint" }, one.source) : null),
      h("td", {}, h("span", { class: "tag" }, one.collection)),
      h("td", { class: "number" }, count(one.chars)),
      h("td", { class: "number" }, count(one.passages)),
      h("td", {}, since(one.updated_at)),
      h("td", {}, h("div", { class: "buttons" }, h("button", { class: "button small", type: "button", "aria-label": `Read ${one.title}`, onclick: () => read(one) }, "Read"), h("button", { class: "button small danger", type: "button", "aria-label": `Remove ${one.title}`, onclick: () => remove(one) }, "Remove"))),
    );
  const head = [["Title"], ["Collection"], ["Characters", "number"], ["Passages", "number"], ["Changed"]];
  return h(
    "div",
    { class: "table", tabindex: 0, role: "region", "aria-label": "Documents" },
    h("table", {}, h("thead", {}, h("tr", {}, head.map(([name, kind]) => h("th", { scope: "col", class: kind }, name)), h("th", { scope: "col" }, h("span", { class: "unseen" }, "What can be done")))), h("tbody", {}, documents.map(row))),
  );
}

async function read({ id, title }) {
  try {
    const { document: whole } = await get(`${PATH}/${id}`);
    const dialog = show(title, h("div", {}, h("pre", { tabindex: 0, "aria-label": "Text" }, whole.text), h("footer", {}, h("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Close"))), { wide: true });
  } catch (error) {
    fail(error);
  }
}

async function remove({ id, title }) {
  if (!(await ask({ title: `Remove “${title}”?`, text: "Agents do not find it any more.", action: "Remove", danger: true }))) return;
  try {
    await del(`${PATH}/${id}`);
    tell("It is removed.");
  } catch (error) {
    fail(error);
  }
  await draw();
}

/** A text whose words that begin like one of the question's are marked. */
function marked(text, query) {
  const words = query.toLowerCase().match(/[\p{L}\p{N}]{3,}/gu) ?? [];
  const stems = words.map((word) => word.replace(/(?<=.{3})(ing|ed|en|er|es|e|s)$/u, ""));
  return text.split(/([\p{L}\p{N}]+)/u).map((piece) => (stems.some((stem) => piece.toLowerCase().startsWith(stem)) ? h("mark", {}, piece) : piece));
}

onSubmit(search, async ({ query }) => {
  const { items } = await get(`${PATH}/search`, { query });
  const one = (passage) => h("article", { class: "card passage", "aria-label": passage.title }, h("h3", {}, passage.title), h("p", {}, marked(passage.text, query)));
  found.replaceChildren(h("h2", {}, items.length ? `${plural(items.length, "passage")} found` : "Nothing found"), ...items.map(one));
});

document.getElementById("add").addEventListener("click", () => {
  const field = (name, label, control, hint) => h("div", { class: "field" }, h("label", { for: name }, label), control, hint ? h("p", { class: "hint" }, hint) : null);
  const text = h("textarea", { id: "text", name: "text", rows: 9, required: true });
  const title = h("input", { id: "title", name: "title", required: true, maxlength: 300 });
  const file = h("input", {
    id: "file",
    type: "file",
    accept: ".txt,.md,.markdown,.csv,.json,text/*",
    onchange: async () => {
      const [chosen] = file.files;
      if (!chosen) return;
      text.value = await chosen.text();
      title.value ||= chosen.name.replace(/\.\w+$/, "");
    },
  });
  const form = h(
    "form",
    { class: "form", novalidate: true },
    field("file", "From a file, if you like", file, "A file of text or Markdown."),
    field("title", "Title", title),
    field("text", "Text", text),
    h(
      "div",
      { class: "row" },
      field("collection", "Collection", h("input", { id: "collection", name: "collection", value: "default", required: true, spellcheck: "false", autocapitalize: "none" }), "Profiles may be held to some."),
      field("language", "Language", h("select", { id: "language", name: "language" }, ["english", "german", "french", "spanish", "italian", "dutch", "portuguese", "simple"].map((name) => h("option", { value: name }, name)))),
    ),
    field("source", "Where it is from, if you like", h("input", { id: "source", name: "source", maxlength: 2000, placeholder: "https://…" })),
    h("footer", {}, h("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Cancel"), h("button", { class: "button primary" }, "Add it")),
  );
  const dialog = show("Add a document", form, { wide: true });
  onSubmit(form, async ({ source, ...values }) => {
    await post(PATH, source ? { ...values, source } : values);
    dialog.close();
    tell("It can be found now.");
    await draw();
  });
});
draw();
