// Follows a server-sent event stream for as long as the page lives: again after each end, and from where it was.

import { errorOf, goSignIn, headersOf } from "./api.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
// The server sends a comment every 15 s; a stream that is silent for longer is dead.
const SILENCE_MS = 40_000;

/**
 * follow("/api/v1/actors/events", { onEvent(name, data, id) {…}, onState("live" | "waiting" | "over", error) {…} })
 * Returns a function that ends it. A hidden page is not followed; it is again when it is shown.
 */
export function follow(path, { onEvent, onState = () => {}, headers = {} }) {
  let lastId = null;
  let wait = FIRST_WAIT_MS;
  let controller = null;
  let timer = null;
  let over = false;

  async function run() {
    controller = new AbortController();
    const mine = controller;
    let failure = null;
    try {
      const sent = headersOf("GET", { ...headers, accept: "text/event-stream" });
      if (lastId !== null) sent["last-event-id"] = lastId;
      const response = await fetch(path, { headers: sent, signal: mine.signal });
      if (response.status === 401) return goSignIn();
      if (!response.ok) throw await errorOf(response);
      onState("live", null);
      for await (const event of events(response.body, mine)) {
        wait = FIRST_WAIT_MS;
        if (event.id) lastId = event.id;
        onEvent(event.name, event.data, event.id);
      }
    } catch (error) {
      failure = error;
    }
    if (over || mine.signal.reason === "hidden") return undefined;
    onState("waiting", failure);
    timer = setTimeout(run, wait * (0.7 + Math.random() * 0.6));
    wait = Math.min(LONGEST_WAIT_MS, wait * 2);
    return undefined;
  }

  function onVisibility() {
    clearTimeout(timer);
    if (document.hidden) controller?.abort("hidden");
    else if (!over) run();
  }

  document.addEventListener("visibilitychange", onVisibility);
  if (!document.hidden) run();
  return () => {
    over = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", onVisibility);
    controller?.abort("over");
    onState("over", null);
  };
}

/** The events of a body that is still arriving. */
export async function* events(body, controller = null) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const silent = controller && setTimeout(() => controller.abort("silent"), SILENCE_MS);
    const { done, value } = await reader.read().finally(() => clearTimeout(silent));
    if (done) return;
    text += value;
    const pieces = text.split("\n\n");
    text = pieces.pop();
    for (const piece of pieces) {
      const event = parse(piece);
      if (event !== null) yield event;
    }
  }
}

function parse(piece) {
  let name = "message";
  let id = null;
  const data = [];
  for (const line of piece.split("\n")) {
    if (line.startsWith("event: ")) name = line.slice(7);
    else if (line.startsWith("id: ")) id = line.slice(4);
    else if (line.startsWith("data: ")) data.push(line.slice(6));
  }
  return data.length ? { name, id, data: JSON.parse(data.join("\n")) } : null;
}
