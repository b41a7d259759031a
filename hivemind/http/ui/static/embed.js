// Puts a chat on a page of another site:
//   <script src="https://hivemind.example.com/widget.js" data-agent="hello" async></script>
// Draws one button in a shadow root of its own; the chat is a frame, made when it is first opened. Needs nothing of
// the page and changes nothing else on it. Its content security policy has to allow the server in script-src and
// frame-src.
(() => {
  const script = document.currentScript;
  const agent = script?.dataset.agent;
  if (!agent) {
    console.error("hivemind: the script needs data-agent, the slug of a profile");
    return;
  }
  const server = new URL(script.src).origin;
  const label = script.dataset.label ?? "Chat with us";
  const side = script.dataset.side === "left" ? "left" : "right";

  const host = document.createElement("div");
  const root = host.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`
    :host { all: initial; position: fixed; inset: auto auto 20px auto; ${side}: 20px; z-index: 2147483000; color-scheme: light dark; }
    button { display: grid; place-items: center; width: 56px; height: 56px; margin-left: ${side === "right" ? "auto" : "0"}; padding: 0; border: 0; border-radius: 50%; background: #f3ac1c; color: #231803; box-shadow: 0 4px 18px #0004; cursor: pointer; transition: transform .15s; }
    button:hover { transform: scale(1.05); }
    button:focus-visible { outline: 3px solid light-dark(#221d14, #fff); outline-offset: 3px; }
    svg { width: 26px; height: 26px; fill: none; stroke: currentColor; stroke-width: 2; stroke-linecap: round; stroke-linejoin: round; }
    iframe { position: absolute; bottom: 70px; ${side}: 0; width: min(390px, calc(100vw - 40px)); height: min(620px, calc(100dvh - 110px)); border: 1px solid #8883; border-radius: 18px; background: light-dark(#faf6ee, #14120e); box-shadow: 0 12px 48px #0005; }
    iframe[hidden] { display: none; }
    @media (max-width: 480px) { iframe { position: fixed; inset: 0; width: 100vw; height: 100dvh; border: 0; border-radius: 0; } :host(.open) button { display: none; } }
    @media (prefers-reduced-motion: reduce) { button { transition: none; } }
  `);
  root.adoptedStyleSheets = [sheet];

  const SVG = "http://www.w3.org/2000/svg";
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("viewBox", "0 0 24 24");
  picture.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  picture.append(path);
  const button = document.createElement("button");
  button.append(picture);

  let frame = null;
  const show = (open) => {
    if (open && frame === null) {
      frame = document.createElement("iframe");
      frame.src = `${server}/widget/${encodeURIComponent(agent)}`;
      frame.title = label;
      frame.allow = "clipboard-write";
      root.prepend(frame);
    }
    if (frame) frame.hidden = !open;
    host.classList.toggle("open", open);
    button.setAttribute("aria-expanded", open);
    button.setAttribute("aria-label", open ? "Close the chat" : label);
    button.title = open ? "Close the chat" : label;
    path.setAttribute("d", open ? "M18 6 6 18M6 6l12 12" : "M2.992 16.342a2 2 0 0 1 .094 1.167l-1.065 3.29a1 1 0 0 0 1.236 1.168l3.413-.998a2 2 0 0 1 1.099.092 10 10 0 1 0-4.777-4.719");
    if (open) frame.focus();
  };
  button.addEventListener("click", () => show(button.getAttribute("aria-expanded") !== "true"));
  addEventListener("message", (event) => {
    if (event.origin !== server || event.source !== frame?.contentWindow || event.data !== "hivemind:close") return;
    show(false);
    button.focus();
  });
  root.append(button);
  show(false);
  const place = () => document.body.append(host);
  if (document.body) place();
  else addEventListener("DOMContentLoaded", place);
})();
