// How many questions wait for a person, as a number beside the page's name in the navigation.

import { all } from "./api.js";
import { h } from "./element.js";

const EACH_MS = 10_000;
const link = document.querySelector('[data-nav="approvals"]');
let timer = null;

async function count() {
  clearTimeout(timer);
  if (!document.hidden) {
    try {
      show((await all("/api/v1/approvals", { state: "pending" }, 100)).length);
    } catch {
      // The page itself says that the server is away; the last number stays.
    }
  }
  timer = setTimeout(count, EACH_MS);
}

function show(number) {
  let badge = link.querySelector(".count");
  if (number === 0) return badge?.remove();
  if (!badge) link.append((badge = h("span", { class: "count" })));
  badge.textContent = number > 99 ? "99+" : String(number);
  badge.setAttribute("aria-label", `${number} waiting`);
  badge.setAttribute("role", "img");
  return undefined;
}

document.addEventListener("hm-approvals", count);
if (link) count();
