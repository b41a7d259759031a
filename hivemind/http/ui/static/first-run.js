// The first account, and where things are.

import { post } from "./api.js";
import { onSubmit } from "./form.js";

onSubmit(document.getElementById("first-run"), async ({ username, password, email }) => {
  await post("/auth/register", email ? { username, password, email } : { username, password }, { stay: true });
  const made = document.getElementById("made");
  document.getElementById("make").hidden = true;
  made.hidden = false;
  made.focus();
});
