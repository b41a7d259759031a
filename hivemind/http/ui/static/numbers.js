// Money, tokens and sizes as people read them.

const WHOLE = new Intl.NumberFormat();
const SHORT = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const PART = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 0 });

/** Micro-dollars as dollars: as many digits as say something. */
export function dollars(micros) {
  if (micros === null || micros === undefined) return "–";
  const value = micros / 1_000_000;
  const size = Math.abs(value);
  const digits = size === 0 || size >= 1 ? 2 : size >= 0.01 ? 3 : 6;
  return value.toLocaleString(undefined, { style: "currency", currency: "USD", currencyDisplay: "narrowSymbol", minimumFractionDigits: Math.min(2, digits), maximumFractionDigits: digits });
}

/** "$1.50", "0.25" or "2" as micro-dollars; NaN where it is no amount. */
export function micros(text) {
  return Math.round(Number(text.trim().replace(/^\$/, "")) * 1_000_000);
}

export const count = (value) => (value === null || value === undefined ? "–" : WHOLE.format(value));
export const short = (value) => (value === null || value === undefined ? "–" : SHORT.format(value));
export const percent = (part) => (Number.isFinite(part) ? PART.format(part) : "–");
export const plural = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;
