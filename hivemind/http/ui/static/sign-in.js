// Signing in: with a password, or wherever else this server lets people in.

import { get, post } from "./api.js";
import { problem } from "./element.js";
import { onSubmit } from "./form.js";

const form = document.getElementById("sign-in");

onSubmit(form, async ({ username, password }) => {
  await post("/auth/login", { username, password }, { stay: true });
  location.assign(form.dataset.next);
});

try {
  const { forward_auth: forward } = await get("/auth/state");
  document.getElementById("forward").hidden = !forward;
  document.getElementById("local").hidden = forward;
} catch (error) {
  form.querySelector(".problem-place").replaceChildren(problem(error));
}
