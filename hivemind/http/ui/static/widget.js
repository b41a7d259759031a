// The chat in a frame on another site's page: one agent, and the last conversation of this browser with it.

import { Chats } from "./chats.js";
import { Talk } from "./talk.js";

const by = (id) => document.getElementById(id);
const { slug, name } = document.body.dataset;
const chats = new Chats(`widget:${slug}`);
const talk = new Talk(
  { log: by("log"), form: by("say"), field: by("message"), send: by("send"), stop: by("stop"), status: by("status"), latest: by("latest") },
  chats,
  { name, onChange: shown },
);
talk.field.placeholder = `Message ${name}`;

function shown(chat) {
  by("welcome").hidden = chat.messages.length > 0;
}

function open(chat) {
  talk.open(chat);
  shown(chat);
  talk.field.focus();
}

const framed = window.parent !== window;
const close = () => window.parent.postMessage("hivemind:close", "*");
by("close").hidden = !framed;
by("close").addEventListener("click", close);
by("again").addEventListener("click", () => open(chats.fresh(slug)));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && framed && !talk.turn) close();
});
chats.onChange(() => talk.changedElsewhere());

open(chats.all()[0] ?? chats.fresh(slug));
