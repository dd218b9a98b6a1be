// SPDX-License-Identifier: Apache-2.0
// The texts that scripts say. The page carries them in a JSON data block, in its own language; see service/pages.py.

type Entry = string | { one: string; other: string };
type Values = Readonly<Record<string, string | number>>;

let entries: Readonly<Record<string, Entry>> | undefined;

function catalogue(): Readonly<Record<string, Entry>> {
  entries ??= JSON.parse(document.getElementById("messages")?.textContent ?? "{}") as Record<string, Entry>;
  return entries;
}

/** A number with its digits in groups of three, as service/wording.py writes it. */
export function number(value: number, digits = 0): string {
  const [whole = "", fraction] = Math.abs(value).toFixed(digits).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, "\u202f");
  const sign = value < 0 && Number(value.toFixed(digits)) !== 0 ? "\u2212" : "";
  return sign + grouped + (fraction === undefined ? "" : `.${fraction}`);
}

/**
 * The text under a key with its places filled in; plain text. A number is a quantity and is grouped; `count` chooses
 * between one and many. A key that the page does not carry is our own mistake: the tests find it.
 */
export function text(key: string, values: Values = {}): string {
  const entry = catalogue()[key];
  if (entry === undefined) throw new Error(`the page carries no message "${key}"`);
  const form = typeof entry === "string" ? entry : values["count"] === 1 ? entry.one : entry.other;
  return form.replace(/\{(\w+)\}/g, (place, name: string) => {
    const value = values[name];
    return value === undefined ? place : typeof value === "number" ? number(value) : value;
  });
}
