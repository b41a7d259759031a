// The conversations of this browser: each with its token, which is what lets one go on with it, and what was said.
// They are in localStorage, apart for each account; other tabs are told of each change.

const MAX_CHATS = 60;
const MAX_MESSAGES = 300;

export class Chats {
  /** `owner` keeps accounts apart that share a browser. */
  constructor(owner) {
    this.key = `hm-chats:${owner}`;
    this.kept = null;
    this.listeners = [];
    addEventListener("storage", (event) => {
      if (event.key !== this.key) return;
      this.kept = null;
      for (const listener of this.listeners) listener();
    });
  }

  /** Call when another tab has changed something. */
  onChange(listener) {
    this.listeners.push(listener);
  }

  /** Newest first. */
  all() {
    if (this.kept === null) {
      try {
        this.kept = JSON.parse(localStorage.getItem(this.key) ?? "[]");
      } catch {
        this.kept = [];
      }
    }
    return this.kept;
  }

  get(id) {
    return this.all().find((chat) => chat.id === id) ?? null;
  }

  /** A conversation that has not begun; it is kept from the first message on. */
  fresh(slug) {
    return { id: crypto.randomUUID(), slug, title: "", at: new Date().toISOString(), conversation: null, token: null, messages: [], pending: null };
  }

  put(chat) {
    chat.at = new Date().toISOString();
    chat.messages = chat.messages.slice(-MAX_MESSAGES);
    this.kept = [chat, ...this.all().filter((other) => other.id !== chat.id)].slice(0, MAX_CHATS);
    this.save();
  }

  forget(id) {
    this.kept = this.all().filter((chat) => chat.id !== id);
    this.save();
  }

  save() {
    try {
      localStorage.setItem(this.key, JSON.stringify(this.kept));
    } catch {
      // Full, or switched off: this tab still has them.
      this.kept = this.kept.slice(0, Math.max(1, this.kept.length - 5));
    }
  }
}
