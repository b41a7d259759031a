// The chat page: which agent, which conversation, and the list of those that this browser remembers.

import { Chats } from "./chats.js";
import { ask } from "./dialog.js";
import { h, icon } from "./element.js";
import { keep } from "./rows.js";
import { Talk } from "./talk.js";
import { since } from "./time.js";

const by = (id) => document.getElementById(id);
const room = by("room");
const names = new Map([...document.querySelectorAll("#agents [data-slug]")].map((choice) => [choice.dataset.slug, choice.dataset.name]));
const chats = new Chats(room.dataset.owner);
const talk = new Talk(
  { log: by("log"), form: by("say"), field: by("message"), send: by("send"), stop: by("stop"), status: by("status"), latest: by("latest") },
  chats,
  { onChange: shown },
);

function open(chat) {
  talk.name = names.get(chat.slug) ?? chat.slug;
  talk.open(chat);
  shown(chat);
  if (matchMedia("(pointer: fine)").matches) talk.field.focus();
}

function shown(chat) {
  const begun = chat.messages.length > 0;
  room.dataset.begun = begun;
  by("welcome").hidden = begun;
  by("with").textContent = talk.name;
  by("topic").textContent = chat.title || "New chat";
  talk.field.placeholder = `Message ${talk.name}`;
  for (const choice of document.querySelectorAll("#agents [data-slug]")) choice.setAttribute("aria-pressed", choice.dataset.slug === chat.slug);
  const wanted = begun ? `#${chat.id}` : `${location.pathname}${location.search}`;
  if (begun ? location.hash !== wanted : location.hash) history.replaceState(null, "", wanted);
  list();
}

function list() {
  keep(by("chat-list"), chats.all(), {
    key: (chat) => chat.id,
    make: (chat) => {
      const link = h(
        "button",
        { class: "chat-link", type: "button", onclick: () => pick(chat.id) },
        h("strong", {}, chat.title || "New chat"),
        h("span", { class: "faint" }, names.get(chat.slug) ?? chat.slug, " · ", since(chat.at)),
      );
      const forget = h("button", { class: "button bare small square", type: "button", "aria-label": `Forget “${chat.title}”`, title: "Forget", onclick: () => drop(chat) }, icon("trash"));
      return h("li", { "aria-current": chat.id === talk.chat.id ? "true" : null }, link, forget);
    },
  });
  for (const item of by("chat-list").children) {
    if (item.dataset.key === talk.chat.id) item.setAttribute("aria-current", "true");
    else item.removeAttribute("aria-current");
  }
  by("no-chats").hidden = chats.all().length > 0;
}

function pick(id) {
  const chat = chats.get(id);
  if (chat) open(chat);
  by("chats").hidePopover?.();
}

async function drop(chat) {
  const text = "This browser forgets it. What the server keeps of it stays until its retention ends or an operator erases it.";
  if (!(await ask({ title: "Forget this chat?", text, action: "Forget", danger: true }))) return;
  chats.forget(chat.id);
  if (chat.id === talk.chat.id) open(chats.fresh(chat.slug));
  else list();
}

const usual = () => {
  const asked = new URLSearchParams(location.search).get("agent");
  return names.has(asked) ? asked : (names.keys().next().value ?? "");
};

for (const button of document.querySelectorAll("[data-new-chat]")) {
  button.addEventListener("click", () => {
    by("chats").hidePopover?.();
    open(chats.fresh(names.has(talk.chat.slug) ? talk.chat.slug : usual()));
  });
}
for (const choice of document.querySelectorAll("#agents [data-slug]")) {
  choice.addEventListener("click", () => open(chats.fresh(choice.dataset.slug)));
}
addEventListener("hashchange", () => {
  const chat = chats.get(location.hash.slice(1));
  if (chat && chat.id !== talk.chat.id) open(chat);
});
chats.onChange(() => {
  talk.changedElsewhere();
  list();
});

open(chats.get(location.hash.slice(1)) ?? chats.fresh(usual()));
