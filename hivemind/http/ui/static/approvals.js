// The questions of agents: those that wait, asked for again and again, and those that were answered.

import { all, get } from "./api.js";
import { empty, problem } from "./element.js";
import { questionOf } from "./question.js";
import { keep } from "./rows.js";

const EACH_MS = 3_000;
const PAGE = 20;
const place = (id) => document.getElementById(id);
let timer = null;
let answered = PAGE;

async function refresh() {
  clearTimeout(timer);
  try {
    const waiting = await all("/api/v1/approvals", { state: "pending" });
    put(place("waiting"), waiting, empty("approvals", "Nothing waits", "When an agent wants to make a call that its profile lets people decide, it is shown here."));
    place("waiting-count").hidden = waiting.length === 0;
    place("waiting-count").textContent = waiting.length;
    const [approved, denied] = await Promise.all(["approved", "denied"].map((state) => get("/api/v1/approvals", { state, limit: Math.min(100, answered + 1) })));
    const over = [...approved.items, ...denied.items].sort((one, other) => (one.answered_at < other.answered_at ? 1 : -1));
    put(place("answered"), over.slice(0, answered), empty("history", "None yet", "What was answered, by whom and why, stays here."));
    place("more").hidden = over.length <= answered || answered >= 100;
    alive(true);
  } catch (error) {
    alive(false);
    if (document.querySelector(".loading")) place("waiting").replaceChildren(problem(error));
  }
  timer = setTimeout(refresh, EACH_MS);
}

function alive(yes) {
  place("live").className = `state ${yes ? "good" : "wait"}`;
  place("live").textContent = yes ? "live" : "reconnecting";
}

function put(parent, items, none) {
  if (items.length === 0) return parent.querySelector(".empty") ?? parent.replaceChildren(none);
  if (parent.querySelector(".empty, .loading, .note[role=alert]")) parent.replaceChildren();
  return keep(parent, items, { key: (item) => item.id, make: (item) => questionOf(item, refresh) });
}

place("more").addEventListener("click", () => {
  answered += PAGE;
  refresh();
});
refresh();
