// The talk of one conversation: its messages, the field to write in, and the turn that is under way. The chat page
// and the widget are made of it.

import { h, icon, problem } from "./element.js";
import { markdown, write } from "./markdown.js";
import { dollars, short } from "./numbers.js";
import { Turn } from "./turn.js";

const NEAR_PX = 120;

export class Talk {
  /** elements: { log, form, field, send, stop, status, latest }; store: Chats; onChange(chat) after each change. */
  constructor(elements, store, { onChange = () => {}, name = "the agent" } = {}) {
    Object.assign(this, elements);
    this.store = store;
    this.onChange = onChange;
    this.name = name;
    this.turn = null;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.say(this.field.value);
    });
    this.field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.say(this.field.value);
      }
    });
    this.field.addEventListener("input", () => this.ready());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.turn && !document.querySelector("dialog[open], :popover-open")) this.turn.stop();
    });
    this.stop.addEventListener("click", () => {
      this.turn?.stop();
      this.field.focus();
    });
    this.latest.addEventListener("click", () => this.toEnd());
    this.log.addEventListener("scroll", () => (this.latest.hidden = this.isNearEnd()));
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.drawing) this.draw();
    });
    // What is typed before there is anybody to take it would be lost.
    this.field.disabled = false;
  }

  /** Show a conversation, and follow its turn if one is under way. */
  open(chat) {
    this.turn?.leave();
    this.turn = null;
    this.chat = chat;
    this.log.replaceChildren(...chat.messages.map((message) => this.element(message)));
    if (chat.pending) this.follow();
    else this.settle();
    this.toEnd();
  }

  /** Another tab may have begun or ended a turn of this conversation. */
  changedElsewhere() {
    const now = this.store.get(this.chat.id);
    if (!now) return;
    const begun = now.pending && now.pending.key !== this.chat.pending?.key && now.pending.turn;
    const ended = !now.pending && !this.turn && now.messages.length !== this.chat.messages.length;
    if (begun || ended) this.open(now);
  }

  say(text) {
    const message = text.trim();
    if (!message || this.turn) return;
    this.field.value = "";
    this.chat.title ||= message.slice(0, 80);
    this.add({ from: "me", text: message, at: new Date().toISOString() });
    this.chat.pending = { key: crypto.randomUUID(), message, turn: null };
    this.keep();
    this.follow();
    this.toEnd();
  }

  /** Say the last message again, after it was refused. */
  again() {
    const last = this.chat.messages.findLast((message) => message.from === "me");
    this.chat.messages = this.chat.messages.filter((message) => message !== last && message.from !== "refusal");
    this.log.replaceChildren(...this.chat.messages.map((message) => this.element(message)));
    this.say(last.text);
  }

  follow() {
    const { chat } = this;
    const body = h("div", { class: "prose" });
    const waiting = h("div", { class: "waiting", "aria-hidden": "true" }, h("i"), h("i"), h("i"));
    const element = h("article", { class: "said them", "aria-busy": "true", "aria-label": `${this.name} answers` }, waiting, body);
    this.log.append(element);
    this.begun = performance.now();
    const lose = () => {
      element.remove();
      chat.pending = null;
      this.turn = null;
    };
    this.turn = new Turn(chat, {
      accepted: (data) => {
        chat.conversation = data.conversation_id;
        chat.token = data.conversation_token;
        chat.pending.turn = data.turn_id;
        this.keep();
      },
      text: (text) => {
        waiting.hidden = text !== "";
        this.drawing = { body, text };
        if (!document.hidden && !this.frame) this.frame = requestAnimationFrame(() => this.draw());
      },
      state: (state) => {
        this.status.textContent = { connecting: "", answering: "", waiting: "A person has to decide first. The answer comes then, here or when you return.", lost: "Connection lost: trying again. The answer goes on meanwhile." }[state];
      },
      reply: (data) => {
        const near = this.isNearEnd();
        lose();
        chat.conversation = data.conversation_id;
        chat.token = data.conversation_token;
        this.add({ from: "them", text: data.reply, usage: data.usage, turn: data.turn_id, at: new Date().toISOString() });
        this.settle();
        this.keep();
        if (near) this.toEnd();
      },
      failed: (error) => {
        const said = this.turn?.text ?? "";
        lose();
        if (said) this.add({ from: "them", text: said, cut: true, at: new Date().toISOString() });
        if (error.code !== "interrupted") this.add({ from: "refusal", ...refusalOf(error) });
        else if (!said) this.add({ from: "them", text: "", cut: true, at: new Date().toISOString() });
        this.settle();
        this.keep();
        this.toEnd();
      },
    });
    this.settle();
  }

  draw() {
    this.frame = null;
    const near = this.isNearEnd();
    write(this.drawing.body, this.drawing.text);
    if (near) this.toEnd();
  }

  settle() {
    const busy = this.turn !== null;
    this.send.hidden = busy;
    this.stop.hidden = !busy;
    if (!busy) this.status.textContent = "";
    this.ready();
  }

  ready() {
    this.send.disabled = this.field.value.trim() === "";
  }

  add(message) {
    this.chat.messages.push(message);
    this.log.append(this.element(message));
  }

  keep() {
    this.store.put(this.chat);
    this.onChange(this.chat);
  }

  element(message) {
    if (message.from === "me") return h("article", { class: "said me", "aria-label": "You said" }, h("p", {}, message.text));
    if (message.from === "refusal") return this.refusal(message);
    const foot = h("footer", {}, copyButton(message.text), message.cut ? h("span", { class: "faint" }, "Stopped") : null, usage(message.usage));
    return h("article", { class: "said them", "aria-label": `${this.name} said` }, markdown(message.text), foot);
  }

  refusal(message) {
    const note = problem(message);
    const again = h("button", { class: "button small", type: "button", onclick: () => this.again() }, icon("rotate-ccw"), "Try again");
    if (message.mayAgain) note.lastChild.append(h("div", { class: "buttons" }, again));
    return h("article", { class: "said refusal" }, note);
  }

  isNearEnd() {
    return this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < NEAR_PX;
  }

  toEnd() {
    this.log.scrollTop = this.log.scrollHeight;
    this.latest.hidden = true;
  }
}

// What a person is told, and whether the same message can be taken later. A refusal for what was said stays one.
const KIND_WORDS = {
  guard_refused: ["That message was not passed on", "say it in other words; text that tries to steer the agent's rules is held back"],
  rate_limited: ["That was a little fast", null],
  budget_exceeded: ["The budget for this is used up", "ask whoever runs this server, or come back when the next period begins"],
  switched_off: ["The agents are switched off for the moment", "come back a little later"],
};
const FOR_GOOD = new Set(["guard_refused", "input_too_long", "not_found", "conversation_ended"]);

function refusalOf(error) {
  const [message, remedy] = KIND_WORDS[error.code] ?? [error.message, null];
  const wait = error.retryAfterSeconds ? `try again in ${error.retryAfterSeconds} s` : null;
  return { message, remedy: wait ?? remedy ?? error.remedy, code: error.code, mayAgain: !FOR_GOOD.has(error.code) };
}

function usage(told) {
  if (!told) return null;
  const words = `${short(told.input_tokens)} tokens in, ${short(told.output_tokens)} out · ${told.cost_micros ? dollars(told.cost_micros) : "free"}`;
  return h("span", { class: "faint usage" }, words);
}

function copyButton(text) {
  const button = h("button", { class: "button bare small square", type: "button", "aria-label": "Copy the answer", title: "Copy" }, icon("copy"));
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    button.replaceChildren(icon("check"));
    setTimeout(() => button.replaceChildren(icon("copy")), 2_000);
  });
  return button;
}
