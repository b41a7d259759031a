// Asks the JSON API with the visitor's session. Every failure is an ApiError that says what to do next.

export class ApiError extends Error {
  constructor(status, told) {
    super(told.message ?? "The request failed");
    this.status = status;
    this.code = told.code ?? "request_failed";
    this.remedy = told.remedy ?? null;
    this.retryAfterSeconds = told.retry_after_seconds ?? null;
    this.fields = told.fields ?? [];
  }
}

const UNREACHABLE = { code: "unreachable", message: "The server cannot be reached", remedy: "see whether it runs, then try again" };

let token = document.querySelector('meta[name="csrf-token"]')?.content ?? null;

/** Whoever signs in on this page tells the token of the session. */
export function useToken(fresh) {
  token = fresh;
}

/** The headers that a request needs. */
export function headersOf(method, more = {}) {
  const headers = { accept: "application/json", ...more };
  if (token !== null && method !== "GET") headers["x-csrf-token"] = token;
  return headers;
}

/** The error that a response is. */
export async function errorOf(response) {
  let told = {};
  try {
    told = (await response.json()).error ?? {};
  } catch {
    // A proxy answered, in its own words.
  }
  return new ApiError(response.status, { message: `The server answered with status ${response.status}`, ...told });
}

/** One request; what it answers, parsed. Options: body, query, headers, signal, stay (do not go to sign in). */
export async function call(method, path, { body, query, headers, signal, stay = false } = {}) {
  const fields = Object.entries(query ?? {}).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const address = fields.length ? `${path}?${new URLSearchParams(fields)}` : path;
  const sent = headersOf(method, headers);
  if (body !== undefined) sent["content-type"] = "application/json";
  let response;
  try {
    response = await fetch(address, { method, headers: sent, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, UNREACHABLE);
  }
  if (response.status === 401 && !stay) goSignIn();
  if (!response.ok) throw await errorOf(response);
  if (response.status === 204) return null;
  return response.headers.get("content-type")?.includes("json") ? response.json() : response.text();
}

export const get = (path, query, options) => call("GET", path, { query, ...options });
export const post = (path, body = {}, options) => call("POST", path, { body, ...options });
export const put = (path, body, options) => call("PUT", path, { body, ...options });
export const patch = (path, body, options) => call("PATCH", path, { body, ...options });
export const del = (path, options) => call("DELETE", path, options);

/** Every item of a list that comes in pages; stops after `most`. */
export async function all(path, query = {}, most = 1000) {
  const items = [];
  let cursor;
  do {
    const page = await get(path, { limit: 100, ...query, cursor });
    items.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor && items.length < most);
  return items;
}

/** The session is over: sign in, and come back here. */
export function goSignIn() {
  location.assign(`/sign-in?${new URLSearchParams({ next: location.pathname + location.search })}`);
}
