// SPDX-License-Identifier: Apache-2.0
/**
 * JSON that means the same to every reader: no member twice, no float, no lone surrogate, bounded size and depth.
 *
 * The platform's parser lets the last of two equal members win and rounds large numbers, so it can't be used here.
 *
 * Source: RFC 8259; RFC 7493 (I-JSON), section 2.
 */

import { type Bytes, compare, fromUtf8, join, joinAll, utf8 } from "./bytes.js";
import { invalidMessage } from "./errors.js";

export type Json = null | boolean | bigint | string | Json[] | JsonObject;
export type JsonObject = Map<string, Json>;

/** As many as 64 bits take, with a sign. */
const INTEGER_CHARACTERS_MAX = 20;

const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/y;
const LONE_SURROGATE = /[\ud800-\udbff](?![\udc00-\udfff])|(?:[^\ud800-\udbff]|^)[\udc00-\udfff]/;
const WORDS = new Map<string, Json>([
  ["true", true],
  ["false", false],
  ["null", null],
]);

/**
 * Parse one JSON text.
 *
 * @param data - UTF-8, without byte order mark.
 * @param sizeMax - In bytes.
 * @param depthMax - How many brackets may be open at once.
 * @throws LedgerError - `message.invalid`: not JSON, or outside of what this module lets through.
 */
export function parse(data: Bytes, sizeMax: number, depthMax: number): Json {
  if (data.length > sizeMax) {
    throw invalidMessage(`the JSON text has ${data.length} bytes; at most ${sizeMax} are allowed`);
  }
  let text: string;
  try {
    text = fromUtf8(data);
  } catch {
    throw invalidMessage("not valid JSON: it is not UTF-8");
  }
  return new Parser(text, depthMax).whole();
}

/** One text for each value: members sorted by code points, no white space, UTF-8. */
export function canonical(value: Json): Bytes {
  if (Array.isArray(value)) return listed("[", value.map(canonical), "]");
  if (value instanceof Map) {
    const members = [...value].map(([name, member]) => [utf8(name), name, member] as const);
    // The order of UTF-8 bytes is that of code points; that of JavaScript's strings is not.
    members.sort((a, b) => compare(a[0], b[0]));
    const written = members.map(([, name, member]) => join(utf8(`${JSON.stringify(name)}:`), canonical(member)));
    return listed("{", written, "}");
  }
  return utf8(typeof value === "string" ? JSON.stringify(value) : String(value));
}

function listed(open: string, items: readonly Bytes[], close: string): Bytes {
  const comma = utf8(",");
  return joinAll([utf8(open), ...items.flatMap((item, i) => (i === 0 ? [item] : [comma, item])), utf8(close)]);
}

class Parser {
  private at = 0;

  constructor(
    private readonly text: string,
    private readonly depthMax: number,
  ) {}

  whole(): Json {
    const value = this.value(0);
    if (this.at < this.text.length) throw this.refusal("something follows it");
    return value;
  }

  /** A value with the white space around it. */
  private value(depth: number): Json {
    this.match(SPACE);
    const value = this.bare(depth);
    this.match(SPACE);
    return value;
  }

  private bare(depth: number): Json {
    const first = this.text[this.at];
    if (first === "{") return this.object(depth + 1);
    if (first === "[") return this.list(depth + 1);
    if (first === '"') return this.string();
    for (const [word, value] of WORDS) {
      if (this.text.startsWith(word, this.at)) {
        this.at += word.length;
        return value;
      }
    }
    return this.number();
  }

  private object(depth: number): JsonObject {
    this.open(depth);
    const members: JsonObject = new Map();
    for (let isFirst = true; !this.closes("}", isFirst); isFirst = false) {
      this.match(SPACE);
      const name = this.string();
      this.match(SPACE);
      this.take(":");
      if (members.has(name)) throw this.refusal("a member stands twice in one object");
      members.set(name, this.value(depth));
    }
    return members;
  }

  private list(depth: number): Json[] {
    this.open(depth);
    const items: Json[] = [];
    for (let isFirst = true; !this.closes("]", isFirst); isFirst = false) items.push(this.value(depth));
    return items;
  }

  private open(depth: number): void {
    if (depth > this.depthMax) throw this.refusal(`nested deeper than ${this.depthMax}`);
    this.at += 1;
    this.match(SPACE);
  }

  /** Whether a list or object ends here; if not, the comma before the next item is taken. */
  private closes(bracket: string, isFirst: boolean): boolean {
    if (this.text[this.at] === bracket) {
      this.at += 1;
      return true;
    }
    if (!isFirst) this.take(",");
    return false;
  }

  private string(): string {
    const start = this.at;
    this.take('"');
    for (; this.text[this.at] !== '"'; this.at++) {
      if (this.text[this.at] === "\\") this.at += 1;
      if (this.at >= this.text.length) throw this.refusal("a string does not end");
    }
    this.at += 1;
    let value: string;
    try {
      value = JSON.parse(this.text.slice(start, this.at)) as string;
    } catch {
      throw this.refusal("a string with an unknown escape or a control character");
    }
    if (LONE_SURROGATE.test(value)) throw this.refusal("a lone surrogate");
    return value;
  }

  private number(): bigint {
    NUMBER.lastIndex = this.at;
    const match = NUMBER.exec(this.text);
    if (match === null) throw this.refusal("a value was expected");
    const [written, fraction, exponent] = match;
    if (fraction !== undefined || exponent !== undefined) throw this.refusal(`${written} is not an integer`);
    if (written.length > INTEGER_CHARACTERS_MAX) throw this.refusal(`a number of ${written.length} digits`);
    this.at += written.length;
    return BigInt(written);
  }

  private take(character: string): void {
    if (this.text[this.at] !== character) throw this.refusal(`"${character}" was expected`);
    this.at += 1;
  }

  private match(pattern: RegExp): string | null {
    pattern.lastIndex = this.at;
    const match = pattern.exec(this.text);
    if (match === null) return null;
    this.at += match[0].length;
    return match[0];
  }

  private refusal(what: string): Error {
    return invalidMessage(`not valid JSON: ${what}, at character ${this.at}`);
  }
}
