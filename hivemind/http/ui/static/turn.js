// One turn of a public conversation over a WebSocket: sends the message, hears the answer, and when the connection
// is lost goes on from the last (epoch, seq). A message has a key, so sending it twice asks once.

import { ApiError } from "./api.js";

const FIRST_WAIT_MS = 400;
const LONGEST_WAIT_MS = 8_000;
const PATIENCE = 8;
const PING_MS = 25_000;

/**
 * A turn of `chat` (of chats.js), whose `pending` is { key, message, turn }.
 * on: { accepted(data), text(whole), state("connecting" | "answering" | "waiting" | "lost"), reply(data), failed(ApiError) }
 */
export class Turn {
  constructor(chat, on) {
    this.chat = chat;
    this.on = on;
    this.place = { epoch: -1, seq: -1 };
    this.text = "";
    this.over = false;
    this.tries = 0;
    this.connect();
  }

  /** Ask the agent to end its answer. */
  stop() {
    this.stopping = true;
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type: "interrupt" }));
  }

  /** Stop listening; the turn itself goes on. */
  leave() {
    this.over = true;
    clearTimeout(this.timer);
    clearInterval(this.pinging);
    this.socket?.close();
  }

  connect() {
    this.on.state(this.tries ? "lost" : "connecting");
    const address = new URL(`/api/v1/public/agents/chat/${encodeURIComponent(this.chat.slug)}/ws`, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = (this.socket = new WebSocket(address));
    socket.addEventListener("open", () => {
      socket.send(JSON.stringify(this.opening()));
      if (this.stopping) this.stop();
      this.pinging = setInterval(() => socket.send('{"type":"ping"}'), PING_MS);
    });
    socket.addEventListener("message", (event) => this.hear(JSON.parse(event.data)));
    socket.addEventListener("close", () => this.lost());
  }

  opening() {
    const { conversation, token, pending } = this.chat;
    const known = conversation ? { conversation_id: conversation, conversation_token: token } : {};
    if (pending.turn) return { type: "resume", ...known, turn_id: pending.turn, ...this.place };
    return { type: "message", ...known, message: pending.message, idempotency_key: pending.key };
  }

  hear(frame) {
    if (this.over || frame.type === "pong") return;
    this.tries = 0;
    if (frame.seq !== undefined) this.place = { epoch: frame.epoch, seq: frame.seq };
    if (frame.type === "accepted") this.on.accepted(frame);
    else if (frame.type === "delta") this.say(this.text + frame.text);
    else if (frame.type === "waiting") this.on.state("waiting");
    else if (frame.type === "reset") this.say("");
    else if (frame.type === "reply") this.end(() => this.on.reply(frame));
    else if (frame.type === "error") this.end(() => this.on.failed(new ApiError(0, frame.error)));
  }

  say(text) {
    this.text = text;
    this.on.state("answering");
    this.on.text(text);
  }

  lost() {
    clearInterval(this.pinging);
    if (this.over) return;
    this.tries += 1;
    if (this.tries > PATIENCE) {
      const told = { code: "unreachable", message: "The connection to the server is lost", remedy: "the answer is not: reload this page when the server is back" };
      this.end(() => this.on.failed(new ApiError(0, told)));
      return;
    }
    this.on.state("lost");
    this.timer = setTimeout(() => this.connect(), Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (this.tries - 1)) * (0.8 + Math.random() * 0.4));
  }

  end(told) {
    this.leave();
    told();
  }
}
