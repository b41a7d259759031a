// The living tree: rows for those actors that are not folded away, kept right by the stream of state changes.

import { drawActor } from "./actor.js";
import { get } from "./api.js";
import { h, icon, meter, problem, state } from "./element.js";
import { follow } from "./live.js";
import { plural } from "./numbers.js";
import { keep } from "./rows.js";

const KINDS = { up: "good", starting: "busy", stopping: "busy", waiting: "wait", suspended: "wait", failed: "bad", down: "" };
const FOLDED_FROM = 20;
// Mailboxes fill without a change of state: they are asked for now and then, and soon after each change.
const EACH_MS = 5_000;
const SOON_MS = 250;

const place = (id) => document.getElementById(id);
const folds = new Map();
const flashes = new Set();
let tree = null;
let chosen = decodeURIComponent(location.hash.slice(1)) || null;
let timer = null;
let busy = false;
let again = false;

/** A state of an actor by colour and word. */
export const stateOf = (word) => state(word, KINDS[word] ?? "");

async function refresh() {
  clearTimeout(timer);
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  try {
    const before = new Map(tree ? [...every(tree)].map((node) => [node.address, node.restarts]) : []);
    tree = (await get("/api/v1/actors")).tree;
    for (const node of every(tree)) if (before.has(node.address) && node.restarts > before.get(node.address)) flashes.add(node.address);
    draw();
  } catch (error) {
    if (tree === null) place("tree").replaceChildren(problem(error));
  }
  busy = false;
  timer = setTimeout(refresh, again ? SOON_MS : EACH_MS);
  again = false;
}

function soon() {
  if (busy) again = true;
  else {
    clearTimeout(timer);
    timer = setTimeout(refresh, SOON_MS);
  }
}

function* every(node) {
  yield node;
  for (const child of node.children) yield* every(child);
}

const troubled = (node) => node.state === "failed" || node.state === "suspended" || node.restarts_in_window > 0;

function rowsOf() {
  const text = place("filter").value.trim().toLowerCase();
  const trouble = place("troubled").checked;
  const sought = text !== "" || trouble;
  const fits = (node) => (!trouble || troubled(node)) && `${node.address} ${node.kind}`.toLowerCase().includes(text);
  const rows = [];
  function walk(node, depth) {
    const at = rows.length;
    const open = sought || (folds.get(node.address) ?? node.children.length + node.omitted <= FOLDED_FROM);
    rows.push({ node, depth, open });
    let found = !sought || fits(node);
    if (open) for (const child of node.children) if (walk(child, depth + 1)) found = true;
    if (!found) rows.length = at;
    else if (open && node.omitted) rows.push({ more: node.omitted, node, depth });
    return found;
  }
  walk(tree, 0);
  return rows;
}

function draw() {
  const rows = rowsOf();
  if (place("tree").querySelector(".loading, .note")) place("tree").replaceChildren();
  keep(place("tree"), rows.map(shownOf), { key: (row) => row.key, make: rowOf });
  const count = [...every(tree)].reduce((sum, node) => sum + 1 + node.omitted, 0);
  place("counted").textContent = plural(count, "actor");
  for (const element of place("tree").children) {
    element.classList.toggle("chosen", element.dataset.key === chosen);
    if (flashes.has(element.dataset.key)) flash(element);
  }
  flashes.clear();
  const node = [...every(tree)].find(({ address }) => address === chosen) ?? tree;
  drawActor(place("detail"), node, stateOf(node.state), soon);
}

/** What a row shows of an actor: it is made anew only when this changes. */
function shownOf({ node, depth, open, more }) {
  if (more) return { key: `${node.address} more`, more, depth };
  const { address, kind, state: word, restarts, mailbox } = node;
  return { key: address, kind, word, restarts, length: mailbox.length, limit: mailbox.limit, depth, open, below: node.children.length + node.omitted };
}

function rowOf(row) {
  if (row.more) return h("div", { class: "more faint", style: { "--depth": row.depth } }, `and ${plural(row.more, "more actor")}, not shown`);
  const name = row.key === "/" ? "server" : row.key.slice(row.key.lastIndexOf("/") + 1);
  const fold = () => {
    folds.set(row.key, !row.open);
    draw();
    [...place("tree").children].find(({ dataset }) => dataset.key === row.key)?.querySelector(".fold")?.focus();
  };
  return h(
    "div",
    { class: "actor", style: { "--depth": row.depth } },
    row.below ? h("button", { class: "button bare small square fold", "aria-expanded": String(row.open), "aria-label": `Below ${row.key}`, onclick: fold }, icon("chevron-right")) : h("span"),
    h("button", { class: "name", onclick: () => choose(row.key) }, name, h("span", { class: "kind" }, row.kind), row.below && !row.open ? h("span", { class: "kind" }, plural(row.below, "actor")) : null),
    h("span", { class: "signs" }, row.restarts ? h("span", { class: "tag restarts" }, plural(row.restarts, "restart")) : null, stateOf(row.word)),
    row.limit ? h("span", { class: "box" }, h("span", {}, `${row.length} of ${row.limit}`), meter(row.length, row.limit, `Mailbox of ${row.key}`, row.length > 0.8 * row.limit ? "bad" : "")) : h("span", { class: "box" }),
  );
}

function choose(address) {
  chosen = address;
  history.replaceState(null, "", `#${encodeURIComponent(address)}`);
  draw();
  if (matchMedia("(max-width: 70rem)").matches) place("detail").scrollIntoView();
}

function flash(element) {
  element.classList.remove("flash");
  element.getBoundingClientRect();
  element.classList.add("flash");
}

function changed(name, change) {
  if (name !== "state") return soon();
  const node = tree && [...every(tree)].find(({ address }) => address === change.address);
  if (node) {
    node.state = change.state;
    if (change.state === "failed" || change.state === "starting") flashes.add(node.address);
    requestAnimationFrame(draw);
  }
  return soon();
}

for (const id of ["filter", "troubled"]) place(id).addEventListener("input", () => tree && draw());
follow("/api/v1/actors/events", {
  onEvent: changed,
  onState: (word) => {
    place("live").className = `state ${word === "live" ? "good" : "wait"}`;
    place("live").textContent = word === "live" ? "live" : "reconnecting";
  },
});
refresh();
