// Puts the chosen theme on the page before it is painted. A classic script, as modules run too late for that.
{
  let chosen = null;
  try {
    chosen = localStorage.getItem("hm-theme");
  } catch {
    // Storage is off: the system's theme it is.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
