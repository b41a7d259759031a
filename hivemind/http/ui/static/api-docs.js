// The contract: each operation is shown from openapi.json when it is opened, and can be tried at once.

import { get, headersOf } from "./api.js";
import { h, problem, state } from "./element.js";

const find = document.getElementById("find");
const found = document.getElementById("found");
const key = document.getElementById("key");
const operations = [...document.querySelectorAll(".operation")];
const DEEPEST = 6;
let contract = null;

for (const operation of operations) {
  operation.addEventListener("toggle", () => operation.open && show(operation));
}
find.addEventListener("input", () => {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const operation of operations) {
    const text = operation.querySelector("summary").textContent.toLowerCase();
    operation.hidden = !words.every((word) => text.includes(word));
    count += operation.hidden ? 0 : 1;
  }
  for (const group of document.querySelectorAll(".group")) group.hidden = !group.querySelector(".operation:not([hidden])");
  found.textContent = `${count} operations`;
});

async function show(operation) {
  const body = operation.querySelector(".body");
  if (body.childElementCount) return;
  try {
    contract ??= get("/api/v1/openapi.json");
    const { method, path } = operation.dataset;
    const told = (await contract).paths[path][method === "WS" ? "get" : method.toLowerCase()];
    body.replaceChildren(...parts(told, method, path, await contract));
  } catch (error) {
    contract = null;
    body.replaceChildren(problem(error));
  }
}

function parts(told, method, path, whole) {
  const body = told.requestBody?.content["application/json"];
  const made = [];
  if (told.description) made.push(h("p", {}, told.description));
  if (told.parameters) made.push(part("Parameters", parameters(told.parameters, whole)));
  if (body) made.push(part(told.requestBody.required ? "Body" : "Body, if any", shape(body.schema, whole)));
  for (const [side, schema] of Object.entries(told["x-frames"] ?? {})) made.push(part(`Frames from the ${side}`, shape(schema, whole)));
  made.push(part("Answers", answers(told.responses, whole)));
  if (method !== "WS") made.push(tryIt(told, method, path, body, whole));
  return made;
}

function part(title, ...content) {
  return h("div", {}, h("h3", {}, title), ...content);
}

function parameters(list, whole) {
  const rows = list.map((one) =>
    h("tr", {}, h("td", {}, h("code", {}, one.name)), h("td", { class: "quiet" }, one.in), h("td", {}, words(one.schema, whole)), h("td", {}, one.description ?? "")),
  );
  return table(["Name", "In", "Kind", "What"], rows);
}

function answers(responses, whole) {
  const rows = Object.entries(responses).map(([status, one]) => {
    const contents = Object.entries(one.content ?? {}).filter(() => !one["x-codes"] || Number(status) < 400);
    return h(
      "tr",
      {},
      h("td", {}, state(status, Number(status) < 300 ? "good" : Number(status) < 500 ? "wait" : "bad")),
      h("td", {}, h("div", {}, one.description), ...contents.map(([media, { schema }]) => h("div", {}, h("span", { class: "faint" }, media), shape(schema, whole)))),
    );
  });
  return table(["Status", "What comes"], rows);
}

function table(heads, rows) {
  return h("div", { class: "table", tabindex: "0" }, h("table", {}, h("thead", {}, h("tr", {}, heads.map((one) => h("th", { scope: "col" }, one)))), h("tbody", {}, rows)));
}

function resolved(schema, whole) {
  return schema.$ref ? whole.components.schemas[schema.$ref.split("/").pop()] : schema;
}

/** The kind of a value in a few words. */
function words(schema, whole) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" or ");
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return choices.map((one) => words(one, whole)).join(" or ");
  if (schema.type === "array") return `list of ${words(schema.items ?? {}, whole)}`;
  const kind = Array.isArray(schema.type) ? schema.type.join(" or ") : schema.type ?? "anything";
  const bounds = [
    schema.format,
    schema.minLength !== undefined || schema.maxLength !== undefined ? `${schema.minLength ?? 0} to ${schema.maxLength ?? "any"} characters` : null,
    schema.minimum !== undefined || schema.maximum !== undefined ? `${schema.minimum ?? "any"} to ${schema.maximum ?? "any"}` : null,
    schema.exclusiveMinimum !== undefined ? `more than ${schema.exclusiveMinimum}` : null,
    schema.pattern ? `as ${schema.pattern}` : null,
    schema.contentMediaType ?? null,
  ].filter(Boolean);
  return bounds.length ? `${kind} (${bounds.join(", ")})` : kind;
}

/** The fields of an object, those of objects within it folded away. */
function shape(schema, whole, depth = 0) {
  const inner = resolved(schema, whole);
  const choices = (inner.oneOf ?? inner.anyOf)?.filter((one) => one.type !== "null");
  if (choices) {
    const open = choices.filter((one) => hasFields(one, whole));
    if (open.length === 1 && choices.length === 1) return shape(open[0], whole, depth);
    if (open.length && depth < DEEPEST) return h("ul", { class: "shape" }, choices.map((one) => h("li", {}, field(one, whole, depth))));
    return h("span", {}, words(inner, whole));
  }
  if (inner.items) return shape(inner.items, whole, depth);
  if (inner.contentSchema) return shape(inner.contentSchema, whole, depth);
  if (!inner.properties) return h("span", {}, words(inner, whole));
  const required = new Set(inner.required ?? []);
  return h(
    "ul",
    { class: "shape" },
    Object.entries(inner.properties).map(([name, one]) =>
      h("li", {}, h("code", {}, name), required.has(name) ? null : h("span", { class: "faint" }, " optional"), " ", field(one, whole, depth)),
    ),
  );
}

function hasFields(schema, whole) {
  const inner = resolved(schema, whole);
  return Boolean(inner.properties) || (inner.items && hasFields(inner.items, whole)) || (inner.anyOf ?? inner.oneOf ?? []).some((one) => hasFields(one, whole)) || Boolean(inner.contentSchema?.properties);
}

function field(schema, whole, depth) {
  const said = h("span", { class: "quiet" }, words(schema, whole));
  if (!hasFields(schema, whole) || depth >= DEEPEST) return said;
  const details = h("details", {}, h("summary", {}, said));
  details.addEventListener("toggle", () => details.childElementCount === 1 && details.append(shape(schema, whole, depth + 1)));
  return details;
}

/** A value that a schema takes, for a first try. */
function sample(schema, whole) {
  const inner = resolved(schema, whole);
  if (inner.default !== undefined) return inner.default;
  if (inner.const !== undefined) return inner.const;
  if (inner.enum) return inner.enum[0];
  const choices = inner.anyOf ?? inner.oneOf;
  if (choices) return sample(choices[0], whole);
  if (inner.properties) return Object.fromEntries((inner.required ?? []).map((name) => [name, sample(inner.properties[name], whole)]));
  return { string: "", integer: inner.minimum ?? 1, number: inner.minimum ?? 1, boolean: false, array: [], object: {} }[inner.type] ?? null;
}

function tryIt(told, method, path, body, whole) {
  const inputs = (told.parameters ?? []).map((one) => {
    const input = h("input", { name: one.name, required: one.required, autocomplete: "off", spellcheck: "false" });
    return { one, input, field: h("div", { class: "field" }, h("label", {}, h("span", { class: "label" }, one.name), input)) };
  });
  const text = body ? h("textarea", { rows: "6", spellcheck: "false", "aria-label": "Body" }) : null;
  if (text) text.value = JSON.stringify(body.example ?? sample(body.schema, whole), null, 2);
  const output = h("div", { "aria-live": "polite" });
  const button = h("button", { class: "button primary" }, "Send");
  const form = h("form", { class: "try" }, inputs.length ? h("div", { class: "form" }, h("div", { class: "row" }, inputs.map(({ field }) => field))) : null, text, h("div", { class: "buttons" }, button), output);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.setAttribute("aria-busy", "true");
    try {
      output.replaceChildren(...(await send(method, path, inputs, text)));
    } catch (error) {
      output.replaceChildren(problem(error));
    } finally {
      button.removeAttribute("aria-busy");
    }
  });
  return part("Try it", form);
}

async function send(method, path, inputs, text) {
  const query = new URLSearchParams();
  const headers = key.value ? { accept: "application/json", "x-api-key": key.value } : headersOf(method);
  let address = path;
  for (const { one, input } of inputs) {
    if (one.in === "path") address = address.replace(`{${one.name}}`, one.name === "address" ? input.value.replace(/^\//, "") : encodeURIComponent(input.value));
    else if (input.value && one.in === "query") query.set(one.name, input.value);
    else if (input.value) headers[one.name] = input.value;
  }
  if (query.size) address += `?${query}`;
  if (text?.value.trim()) headers["content-type"] = "application/json";
  const begun = performance.now();
  const stop = new AbortController();
  const response = await fetch(address, { method, headers, signal: stop.signal, credentials: key.value ? "omit" : "same-origin", body: text?.value.trim() ? text.value : undefined });
  const streams = response.headers.get("content-type")?.includes("event-stream");
  const answer = h("pre", { tabindex: "0", "aria-label": "The answer" });
  if (streams) follow(response, answer, stop);
  else answer.textContent = pretty(await response.text());
  const took = `${Math.round(performance.now() - begun)} ms`;
  const kind = response.ok ? "good" : response.status < 500 ? "wait" : "bad";
  const head = h("div", { class: "buttons" }, state(String(response.status), kind), h("span", { class: "faint" }, streams ? "the first 50 events" : took));
  return [head, response.status === 204 ? h("p", { class: "quiet" }, "Nothing to say.") : answer, h("details", {}, h("summary", {}, "The same with curl"), h("pre", { tabindex: "0" }, curl(method, address, text)))];
}

async function follow(response, answer, stop) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let count = 0; count < 50; ) {
    const { value, done } = await reader.read();
    if (done) return;
    answer.textContent += value;
    count += value.split("\n\n").length - 1;
  }
  stop.abort();
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function curl(method, address, text) {
  const lines = [`curl -X ${method} '${location.origin}${address}'`, `-H 'X-API-Key: hm-…'`];
  if (text?.value.trim()) lines.push("-H 'Content-Type: application/json'", `-d '${text.value.replaceAll("'", String.raw`'\''`)}'`);
  return lines.join(" \\\n  ");
}
