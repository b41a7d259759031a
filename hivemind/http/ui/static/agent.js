// One agent: its state and what one does to it, the turn as it streams, and every turn step by step.

import { get, post } from "./api.js";
import { ask } from "./dialog.js";
import { h, icon, problem } from "./element.js";
import { onSubmit } from "./form.js";
import { lifeOf, possible } from "./life.js";
import { follow } from "./live.js";
import { count, dollars } from "./numbers.js";
import { keep } from "./rows.js";
import { since } from "./time.js";
import { fail, tell } from "./toast.js";
import { turnOf } from "./turns.js";

const ID = location.pathname.split("/").pop();
const PATH = `/api/v1/agents/${ID}`;
const MAY = document.body.dataset.role !== "viewer";
const EACH_MS = 3_000;
const DEEDS = {
  interrupt: ["Interrupt", "stop", "The turn that runs ends here. The agent stays, and takes the next message."],
  pause: ["Pause", "pause", "It ends its present step and then does nothing until it is resumed. Nothing is lost."],
  resume: ["Resume", "play", "It goes on with what was unfinished."],
  stop: ["Stop", "power", "What is unfinished ends without an answer, and messages are refused. It can be resumed."],
  kill: ["Kill", "kill", "It ends at once, in the middle of whatever it does. A killed agent is never resumed."],
};
const DONE = { interrupt: "interrupted", pause: "paused", resume: "resumed", stop: "stopped", kill: "killed" };

const place = (id) => document.getElementById(id);
let timer = null;
let pages = 1;
let running = null;
let unfollow = null;

async function refresh() {
  clearTimeout(timer);
  try {
    const turns = [];
    let agent;
    let cursor;
    for (let page = 0; page < pages && (page === 0 || cursor); page += 1) {
      const told = await get(PATH, { limit: 20, cursor });
      agent ??= told.agent;
      turns.push(...told.items);
      cursor = told.next_cursor;
    }
    place("more").hidden = !cursor;
    place("trouble").replaceChildren();
    drawAgent(agent);
    drawTurns(turns);
    listen(agent, turns);
  } catch (error) {
    place("trouble").replaceChildren(problem(error));
    if (error.status === 404) return place("turns").replaceChildren();
  }
  timer = setTimeout(refresh, EACH_MS);
  return undefined;
}

function drawAgent(agent) {
  place("life").replaceChildren(lifeOf(agent.state));
  const rows = [
    ["Profile", agent.profile],
    ["Made", since(agent.created_at)],
    ["Changed", since(agent.updated_at)],
    ["Cost", dollars(Number(agent.usage.cost_micros))],
    ["Tokens", `${count(Number(agent.usage.input_tokens))} in, ${count(Number(agent.usage.output_tokens))} out`],
    agent.note ? ["Note", agent.note] : null,
    agent.failure ? ["Failure", agent.failure] : null,
    agent.external ? ["Run by", "a daemon outside"] : null,
    agent.parent_id ? ["Made by", link(agent.parent_id)] : null,
    agent.children.length ? ["Made these", h("span", {}, agent.children.flatMap((child) => [link(child.id), " "]))] : null,
    agent.live ? ["Actor", h("a", { href: `/actors#${encodeURIComponent(`/agents/${ID}`)}` }, `${agent.live.actor}, ${count(agent.live.restarts)} restarts`)] : ["Actor", "none now: the next message starts it"],
  ];
  const items = rows.filter(Boolean).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]);
  place("facts").replaceChildren(h("dl", { class: "facts" }, items));
  const deeds = MAY ? possible(agent.state) : [];
  place("deeds-card").hidden = deeds.length === 0;
  keep(place("deeds"), deeds, { key: (deed) => deed, make: (deed) => h("button", { class: `button small ${deed === "kill" || deed === "stop" ? "danger" : ""}`, onclick: () => act(deed) }, icon(DEEDS[deed][1]), DEEDS[deed][0]) });
}

const link = (id) => h("a", { class: "mono", href: `/agents/${id}` }, `…${id.slice(-8)}`);

function drawTurns(turns) {
  if (turns.length === 0) return place("turns").replaceChildren(h("p", { class: "quiet" }, "It has done nothing yet."));
  if (place("turns").querySelector(".loading, .quiet")?.parentElement === place("turns")) place("turns").replaceChildren();
  return keep(place("turns"), turns, { key: (turn) => turn.id, make: (turn) => turnOf(turn, ID, refresh) });
}

/** Follow the turn that is under way, once. */
function listen(agent, turns) {
  const turn = agent.external || !MAY ? null : (turns.find((one) => one.state === "admitted")?.id ?? null);
  if (turn === running) return;
  running = turn;
  unfollow?.();
  unfollow = null;
  const text = place("live").querySelector(".text");
  text.textContent = "";
  place("live").hidden = true;
  if (turn === null) return;
  unfollow = follow(`${PATH}/events`, {
    onEvent(name, data) {
      if (name === "reset") text.textContent = "";
      if (name === "delta") {
        place("live").hidden = false;
        text.textContent += data.text;
      }
      if (name === "reply" || name === "error") unfollow?.();
      if (name !== "delta") refresh();
    },
  });
}

async function act(deed) {
  const [label, , text] = DEEDS[deed];
  const yes = await ask({ title: `${label} this agent?`, text, action: label, danger: deed === "kill" || deed === "stop", reason: "optional" });
  if (!yes) return;
  try {
    await post(`${PATH}/${deed}`, yes.reason ? { reason: yes.reason } : {});
    tell(`The agent is ${DONE[deed]}.`);
  } catch (error) {
    fail(error);
  }
  refresh();
}

if (MAY)
  onSubmit(place("say"), async ({ message }) => {
    const answer = post(`${PATH}/messages`, { message }, { headers: { "idempotency-key": crypto.randomUUID?.() ?? String(Math.random()) } });
    setTimeout(refresh, 200);
    await answer;
    place("say").reset();
    refresh();
  });
place("more").addEventListener("click", () => {
  pages += 1;
  refresh();
});
place("agent-id").textContent = ID;
refresh();
