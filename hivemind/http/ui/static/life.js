// The states of an agent, and what one can do to it in each.

import { state } from "./element.js";

export const STATES = { idle: "good", running: "busy", waiting_approval: "wait", done: "good", paused: "wait", failed: "bad", stopped: "", killed: "bad", erased: "" };

const ACTIVE = ["idle", "running", "waiting_approval", "done"];
const DEEDS = {
  interrupt: ["running", "waiting_approval"],
  pause: ACTIVE,
  resume: ["paused", "failed", "stopped"],
  stop: [...ACTIVE, "paused", "failed"],
  kill: [...ACTIVE, "paused", "failed", "stopped"],
};

/** A state of an agent by colour and word. */
export const lifeOf = (word) => state(word.replaceAll("_", " "), STATES[word] ?? "");

/** What may be done to an agent in a state. */
export const possible = (word) => Object.keys(DEEDS).filter((deed) => DEEDS[deed].includes(word));
