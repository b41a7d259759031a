// Markdown to elements. Text only ever becomes text nodes: there is no way from what a model says to markup.
//
// Knows headings, lists, quotes, tables, fenced code, emphasis, links to http, https and mailto. Pictures become
// links, HTML stays as it is written. Work is bounded: a text of any shape takes time in proportion to its length.

import { h, icon } from "./element.js";

const MAX_DEPTH = 6;
// An emphasis or a link that does not end within this is none.
const REACH = 2_000;
const LINK = /^(https?:\/\/|mailto:)/i;
const BARE = /^https?:\/\/[^\s<>"'`]*[^\s<>"'`.,;:!?)\]}*_~]/i;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const RULE = /^ {0,3}([-*_])( *\1){2,} *$/;
const DIVIDER = /^ {0,3}\|?[ :]*-[-: |]*$/;

/** Make the element's children those of the Markdown; blocks whose text is the same stay as they are. */
export function write(element, text) {
  const blocks = split(text.replaceAll("\r\n", "\n").split("\n"));
  const had = element.blocks ?? [];
  blocks.forEach((block, index) => {
    const source = block.kind + block.lines.join("\n");
    if (had[index]?.source === source) return;
    const node = blockElement(block, 0);
    if (had[index]) had[index].node.replaceWith(node);
    else element.append(node);
    had[index] = { source, node };
  });
  for (const { node } of had.splice(blocks.length)) node.remove();
  element.blocks = had;
}

/** The Markdown as an element. */
export function markdown(text) {
  const element = h("div", { class: "prose" });
  write(element, text);
  return element;
}

// -- blocks

function split(lines) {
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    const start = at;
    if (!line.trim()) {
      at += 1;
      continue;
    }
    const fence = /^ {0,3}(`{3,}|~{3,})\s*([\w+#.-]*)/.exec(line);
    if (fence) {
      const close = new RegExp(`^ {0,3}${fence[1][0]}{${fence[1].length},} *$`);
      at += 1;
      while (at < lines.length && !close.test(lines[at])) at += 1;
      blocks.push({ kind: "code", language: fence[2], lines: lines.slice(start + 1, at) });
      at += 1;
    } else if (/^ {0,3}#{1,6}\s/.test(line)) {
      blocks.push({ kind: "heading", lines: [line] });
      at += 1;
    } else if (RULE.test(line)) {
      blocks.push({ kind: "rule", lines: [line] });
      at += 1;
    } else if (/^ {0,3}>/.test(line)) {
      while (at < lines.length && /^ {0,3}>/.test(lines[at])) at += 1;
      blocks.push({ kind: "quote", lines: lines.slice(start, at) });
    } else if (ITEM.test(line)) {
      at = endOfList(lines, at);
      blocks.push({ kind: "list", lines: lines.slice(start, at) });
    } else if (line.includes("|") && at + 1 < lines.length && DIVIDER.test(lines[at + 1]) && lines[at + 1].includes("|")) {
      at += 2;
      while (at < lines.length && lines[at].includes("|")) at += 1;
      blocks.push({ kind: "table", lines: lines.slice(start, at) });
    } else {
      at += 1;
      while (at < lines.length && lines[at].trim() && !begins(lines[at])) at += 1;
      blocks.push({ kind: "paragraph", lines: lines.slice(start, at) });
    }
  }
  return blocks;
}

function begins(line) {
  return /^ {0,3}(#{1,6}\s|>|`{3,}|~{3,})/.test(line) || ITEM.test(line) || RULE.test(line);
}

function endOfList(lines, at) {
  const base = indent(lines[at]);
  const numbered = /\d/.test(ITEM.exec(lines[at])[2]);
  at += 1;
  while (at < lines.length) {
    const line = lines[at];
    if (!line.trim()) {
      const next = lines[at + 1] ?? "";
      if (!next.trim() || (indent(next) <= base && !ITEM.test(next))) return at;
    } else {
      const item = ITEM.exec(line);
      if (item && indent(line) <= base && /\d/.test(item[2]) !== numbered) return at;
      if (!item && indent(line) <= base && begins(line)) return at;
    }
    at += 1;
  }
  return at;
}

function blockElement(block, depth) {
  const { kind, lines } = block;
  if (kind === "code") return codeElement(lines.join("\n"), block.language);
  if (kind === "rule") return h("hr");
  if (kind === "heading") {
    const [, marks, text] = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/.exec(lines[0]) ?? [null, "#", lines[0]];
    return h(`h${Math.min(6, marks.length + 2)}`, {}, ...inline(text));
  }
  if (kind === "quote") return h("blockquote", {}, ...within(lines.map((line) => line.replace(/^ {0,3}> ?/, "")), depth));
  if (kind === "list") return listElement(lines, depth);
  if (kind === "table") return tableElement(lines);
  return h("p", {}, ...inline(lines.map((line) => line.trimStart()).join("\n")));
}

function within(lines, depth) {
  if (depth >= MAX_DEPTH) return [lines.join("\n")];
  return split(lines).map((block) => blockElement(block, depth + 1));
}

function listElement(lines, depth) {
  const base = indent(lines[0]);
  const first = ITEM.exec(lines[0])[2];
  const items = [];
  for (const line of lines) {
    const item = ITEM.exec(line);
    if (item && indent(line) <= base) items.push({ width: line.length - item[3].length, lines: [item[3]] });
    else items.at(-1).lines.push(line.slice(Math.min(indent(line), items.at(-1).width)));
  }
  const start = Number.parseInt(first, 10);
  const made = items.map(({ lines: own }) => {
    const inner = within(own, depth);
    // A single paragraph is the item itself: a list of short lines is not spread out.
    if (inner[0] instanceof Element && inner[0].tagName === "P" && !own.some((line) => !line.trim())) inner.splice(0, 1, ...inner[0].childNodes);
    return h("li", {}, ...inner);
  });
  return Number.isNaN(start) ? h("ul", {}, ...made) : h("ol", { start: start === 1 ? null : start }, ...made);
}

function tableElement(lines) {
  const [head, , ...body] = lines.map(cells);
  const sides = cells(lines[1]).map((cell) => (/^:.*:$/.test(cell) ? "center" : cell.endsWith(":") ? "end" : null));
  const row = (tag, texts) => h("tr", {}, ...head.map((_, index) => h(tag, { style: sides[index] ? { "text-align": sides[index] } : {} }, ...inline(texts[index] ?? ""))));
  return h("div", { class: "table" }, h("table", {}, h("thead", {}, row("th", head)), h("tbody", {}, ...body.map((texts) => row("td", texts)))));
}

function cells(line) {
  return line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function codeElement(text, language) {
  const copy = h("button", { class: "button bare small", type: "button" }, icon("copy"), "Copy");
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    copy.replaceChildren(icon("check"), "Copied");
    setTimeout(() => copy.replaceChildren(icon("copy"), "Copy"), 2_000);
  });
  return h("figure", { class: "code" }, h("figcaption", {}, h("span", {}, language || "text"), copy), h("pre", { tabindex: 0 }, h("code", {}, text)));
}

function indent(line) {
  return /^\s*/.exec(line)[0].replaceAll("\t", "    ").length;
}

// -- inside a block

const SPECIAL = /[\\`*_~[!\nhH<]/g;

function inline(text, depth = 0, linked = false) {
  const out = [];
  let plain = "";
  let at = 0;
  const flush = () => {
    if (plain) out.push(plain);
    plain = "";
  };
  while (at < text.length) {
    SPECIAL.lastIndex = at;
    const found = SPECIAL.exec(text);
    if (!found) break;
    plain += text.slice(at, found.index);
    at = found.index;
    const piece = depth < MAX_DEPTH ? special(text, at, depth, linked) : null;
    if (piece) {
      flush();
      out.push(piece.node);
      at = piece.end;
    } else if (text[at] === "\\" && /[\\`*_{}[\]()#+\-.!|~<>]/.test(text[at + 1] ?? "")) {
      plain += text[at + 1];
      at += 2;
    } else {
      plain += text[at];
      at += 1;
    }
  }
  plain += text.slice(at);
  flush();
  return out;
}

function special(text, at, depth, linked) {
  const mark = text[at];
  if (mark === "\n") return /( {2,}|\\)$/.test(text.slice(Math.max(0, at - 3), at)) ? { node: h("br"), end: at + 1 } : { node: "\n", end: at + 1 };
  if (mark === "`") return codeSpan(text, at);
  if (mark === "*" || mark === "_" || mark === "~") return emphasis(text, at, mark, depth, linked);
  if (linked) return null;
  if (mark === "[" || (mark === "!" && text[at + 1] === "[")) return link(text, at, depth);
  if (mark === "<") {
    const found = /^<((?:https?:\/\/|mailto:)[^\s<>]+)>/i.exec(text.slice(at, at + REACH));
    return found && { node: anchor(found[1], [found[1]]), end: at + found[0].length };
  }
  if ((mark === "h" || mark === "H") && !/\w/.test(text[at - 1] ?? "")) {
    const found = BARE.exec(text.slice(at, at + REACH));
    return found && { node: anchor(found[0], [found[0]]), end: at + found[0].length };
  }
  return null;
}

function codeSpan(text, at) {
  const ticks = /^`+/.exec(text.slice(at, at + REACH))[0];
  const near = text.slice(at + ticks.length, at + ticks.length + REACH);
  let close = near.indexOf(ticks);
  while (close !== -1 && (near[close + ticks.length] === "`" || near[close - 1] === "`")) {
    while (near[close] === "`") close += 1;
    close = near.indexOf(ticks, close);
  }
  if (close === -1) return { node: ticks, end: at + ticks.length };
  const inside = near.slice(0, close).replaceAll("\n", " ");
  return { node: h("code", {}, /^ .+ $/.test(inside) ? inside.slice(1, -1) : inside), end: at + 2 * ticks.length + close };
}

function emphasis(text, at, mark, depth, linked) {
  const run = text.slice(at, at + 3).startsWith(mark.repeat(3)) && mark !== "~" ? 3 : text[at + 1] === mark ? 2 : 1;
  if (mark === "~" && run !== 2) return null;
  if (mark === "_" && /\w/.test(text[at - 1] ?? "")) return null;
  const from = at + run;
  if (/\s/.test(text[from] ?? " ")) return null;
  const close = mark.repeat(run);
  const limit = Math.min(text.length, from + REACH);
  for (let end = text.indexOf(close, from + 1); end !== -1 && end < limit; end = text.indexOf(close, end + 1)) {
    const after = text[end + run];
    if (/\s/.test(text[end - 1]) || text[end - 1] === "\\" || after === mark) continue;
    if (run === 1 && text[end - 1] === mark) continue;
    if (mark === "_" && /\w/.test(after ?? "")) continue;
    const inner = inline(text.slice(from, end), depth + 1, linked);
    const node = run === 3 ? h("strong", {}, h("em", {}, ...inner)) : h(mark === "~" ? "del" : run === 2 ? "strong" : "em", {}, ...inner);
    return { node, end: end + run };
  }
  return null;
}

function link(text, at, depth) {
  const picture = text[at] === "!";
  const from = at + (picture ? 2 : 1);
  const near = text.slice(from, from + REACH);
  const found = /^((?:[^[\]\\]|\\.|\[[^[\]]*\])*)\]\(\s*<?([^\s<>()]*(?:\([^\s<>()]*\)[^\s<>()]*)*)>?(?:\s+["'][^"']*["'])?\s*\)/.exec(near);
  if (!found) return null;
  const [whole, label, address] = found;
  const inner = picture ? [label || address] : inline(label, depth + 1, true);
  return { node: LINK.test(address) ? anchor(address, inner) : h("span", {}, ...inner), end: from + whole.length };
}

function anchor(address, inner) {
  let url;
  try {
    url = new URL(address);
  } catch {
    return h("span", {}, ...inner);
  }
  if (!["http:", "https:", "mailto:"].includes(url.protocol)) return h("span", {}, ...inner);
  return h("a", { href: url.href, target: "_blank", rel: "noopener noreferrer nofollow", title: url.href }, ...inner);
}
