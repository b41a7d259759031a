// What every page has around it: the theme, signing out, the number of questions that wait.

import { post } from "./api.js";
import { fail, tell } from "./toast.js";
import "./waiting.js";

const THEMES = ["system", "light", "dark"];
const root = document.documentElement;

document.getElementById("theme")?.addEventListener("click", () => {
  const now = root.dataset.theme ?? "system";
  const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
  if (next === "system") delete root.dataset.theme;
  else root.dataset.theme = next;
  try {
    if (next === "system") localStorage.removeItem("hm-theme");
    else localStorage.setItem("hm-theme", next);
  } catch {
    // Storage is off: it holds for this page.
  }
  tell(`Theme: ${next === "system" ? "as the system has it" : next}`);
});

document.getElementById("sign-out")?.addEventListener("click", async () => {
  try {
    const { continue_at: onward } = await post("/auth/logout");
    // At the identity provider one is still signed in: it asks whether to end that too.
    location.assign(onward ?? "/sign-in");
  } catch (error) {
    fail(error);
  }
});
