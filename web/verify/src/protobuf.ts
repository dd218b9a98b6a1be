// SPDX-License-Identifier: Apache-2.0
/**
 * A reader of protobuf messages that accepts one encoding of each: ascending fields, defaults omitted, minimal varints,
 * nothing unknown, at any depth. It accepts exactly the bytes that equal their re-encoding after unknown fields are
 * discarded.
 *
 * Invariant: `encode(schema, decode(schema, data))` is `data`, or `decode` throws `message.invalid`, for any bytes.
 * Source: docs/protocol.md, section 1; protobuf's encoding specification.
 */

import { type Bytes, EMPTY, fromUtf8, joinAll, utf8 } from "./bytes.js";
import { invalidMessage } from "./errors.js";

const VARINT = 0;
const LENGTH_DELIMITED = 2;
const VARINT_BYTES_MAX = 10;
const UINT32_MAX = 0xffffffffn;
const UINT64_BITS = 64n;

type Kind = "uint32" | "uint64" | "enum" | "bytes" | "string";

/** One field: `T` is what a decoded message holds in it. */
export interface Field<T> {
  readonly number: number;
  readonly kind: Kind | Schema<Fields>;
  readonly repeated: boolean;
  /** Fields that exclude one another share a name. */
  readonly oneof: string | null;
  /** Never set: carries the type. */
  readonly holds?: T;
}

export type Fields = Readonly<Record<string, Field<unknown>>>;

/** A message kind: its name and its fields in ascending order. */
export interface Schema<F extends Fields> {
  readonly name: string;
  readonly fields: F;
  /** The fields with their names, in ascending order. */
  readonly entries: readonly (readonly [string, Field<unknown>])[];
}

export type Message<S> =
  S extends Schema<infer F> ? { -readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never } : never;

const field = <T>(
  number: number,
  kind: Kind | Schema<Fields>,
  repeated = false,
  oneof: string | null = null,
): Field<T> => ({
  number,
  kind,
  repeated,
  oneof,
});

export const uint32 = (number: number): Field<number> => field(number, "uint32");
export const uint64 = (number: number): Field<bigint> => field(number, "uint64");
/** An open enumeration: any number that 32 bits hold. */
export const enumeration = (number: number): Field<number> => field(number, "enum");
export const bytes = (number: number): Field<Bytes> => field(number, "bytes");
export const text = (number: number): Field<string> => field(number, "string");
export const manyBytes = (number: number): Field<Bytes[]> => field(number, "bytes", true);
export const one = <F extends Fields>(
  number: number,
  kind: Schema<F>,
  oneof: string | null = null,
): Field<Message<Schema<F>> | undefined> => field(number, kind, false, oneof);
export const many = <F extends Fields>(number: number, kind: Schema<F>): Field<Message<Schema<F>>[]> =>
  field(number, kind, true);

export const schema = <F extends Fields>(name: string, fields: F): Schema<F> => ({
  name,
  fields,
  entries: Object.entries(fields),
});

/**
 * Decode bytes that somebody sent.
 *
 * @param kind - The message's schema.
 * @param data - At most sizeMax bytes.
 * @param sizeMax - The bound that this message's place sets.
 * @throws LedgerError - `message.invalid`: too long, no such message, or not its own canonical encoding.
 */
export function decode<F extends Fields>(kind: Schema<F>, data: Bytes, sizeMax: number): Message<Schema<F>> {
  if (data.length > sizeMax) {
    throw invalidMessage(`${kind.name} has ${data.length} bytes; at most ${sizeMax} are allowed`);
  }
  return new Reader(data, kind.name).message(kind, 0, data.length) as Message<Schema<F>>;
}

/** The one encoding of a message. */
export function encode<F extends Fields>(kind: Schema<F>, message: Message<Schema<F>>): Bytes {
  const parts: Bytes[] = [];
  for (const [name, { number, kind: of, repeated }] of kind.entries) {
    const value = (message as Record<string, unknown>)[name];
    for (const item of repeated ? (value as unknown[]) : [value]) {
      const content = contentOf(of, item);
      if (content === null || (content.length === 0 && !repeated && typeof of === "string")) continue;
      const wireType = isVarint(of) ? VARINT : LENGTH_DELIMITED;
      parts.push(varint(BigInt(number * 8 + wireType)));
      if (wireType === LENGTH_DELIMITED) parts.push(varint(BigInt(content.length)));
      parts.push(content);
    }
  }
  return joinAll(parts);
}

const isVarint = (kind: Kind | Schema<Fields>): boolean => kind === "uint32" || kind === "uint64" || kind === "enum";

/** The bytes of one value, without tag and length; null for a message that is not there. */
function contentOf(kind: Kind | Schema<Fields>, value: unknown): Bytes | null {
  if (kind === "bytes") return value as Bytes;
  if (kind === "string") return utf8(value as string);
  if (typeof kind !== "string") return value === undefined ? null : encode(kind, value as Message<Schema<Fields>>);
  const number = BigInt(value as number | bigint);
  return number === 0n ? EMPTY : varint(BigInt.asUintN(64, number));
}

function varint(value: bigint): Bytes {
  const groups = [];
  for (; value > 0x7fn; value >>= 7n) groups.push(Number(value & 0x7fn) | 0x80);
  groups.push(Number(value));
  return Uint8Array.from(groups);
}

class Reader {
  private at = 0;

  constructor(
    private readonly data: Bytes,
    private readonly name: string,
  ) {}

  /** The message that stands between two places. */
  message(kind: Schema<Fields>, start: number, stop: number): Record<string, unknown> {
    const fields = kind.entries;
    const message: Record<string, unknown> = {};
    for (const [name, { kind: of, repeated }] of fields) message[name] = repeated ? [] : defaultOf(of);
    const decided = new Set<string>();
    let next = 0;
    let seen = false;
    this.at = start;
    while (this.at < stop) {
      const tag = this.varint(stop);
      while (next < fields.length && BigInt((fields[next] as (typeof fields)[number])[1].number) < tag >> 3n) {
        next += 1;
        seen = false;
      }
      const entry = fields[next];
      if (entry === undefined) throw this.refusal("an unknown field");
      const [name, { number, kind: of, repeated, oneof }] = entry;
      const wireType = isVarint(of) ? VARINT : LENGTH_DELIMITED;
      if (tag !== BigInt(number * 8 + wireType)) throw this.refusal("an unknown field, or fields out of order");
      if (seen && !repeated) throw this.refusal(`${name} stands twice`);
      seen = true;
      if (oneof !== null) {
        if (decided.has(oneof)) throw this.refusal(`${oneof} stands twice`);
        decided.add(oneof);
      }
      const value = wireType === VARINT ? this.number(of, stop) : this.content(of, stop, repeated);
      if (repeated) (message[name] as unknown[]).push(value);
      else message[name] = value;
    }
    return message;
  }

  private number(kind: Kind | Schema<Fields>, stop: number): number | bigint {
    const value = this.varint(stop);
    if (value === 0n) throw this.refusal("a default is written out");
    if (kind === "uint64") return value;
    if (kind === "uint32") {
      if (value > UINT32_MAX) throw this.refusal("a number beyond 32 bits");
      return Number(value);
    }
    const signed = BigInt.asIntN(32, value);
    if (BigInt.asUintN(64, signed) !== value) throw this.refusal("an enumeration beyond 32 bits");
    return Number(signed);
  }

  private content(kind: Kind | Schema<Fields>, stop: number, repeated: boolean): unknown {
    const size = this.varint(stop);
    if (size > BigInt(stop - this.at)) throw this.refusal("a field longer than its message");
    const start = this.at;
    const end = start + Number(size);
    if (typeof kind !== "string") {
      const inner = this.message(kind, start, end);
      this.at = end;
      return inner;
    }
    if (size === 0n && !repeated) throw this.refusal("a default is written out");
    this.at = end;
    const content = this.data.subarray(start, end);
    if (kind === "bytes") return content;
    try {
      return fromUtf8(content);
    } catch {
      throw this.refusal("a text is not UTF-8");
    }
  }

  /** A minimal varint of at most 64 bits. */
  private varint(stop: number): bigint {
    const first = this.data[this.at] as number;
    if (this.at < stop && first < 0x80) {
      this.at += 1;
      return BigInt(first);
    }
    let value = 0n;
    for (let place = 0; place < VARINT_BYTES_MAX && this.at < stop; place++) {
      const byte = this.data[this.at] as number;
      this.at += 1;
      value |= BigInt(byte & 0x7f) << BigInt(7 * place);
      if (byte < 0x80) {
        if (byte === 0 || value >> UINT64_BITS !== 0n) throw this.refusal("a number is written too long");
        return value;
      }
    }
    throw this.refusal("a number does not end");
  }

  private refusal(what: string): Error {
    return invalidMessage(`${this.name} is not in its canonical encoding: ${what}`);
  }
}

function defaultOf(kind: Kind | Schema<Fields>): unknown {
  if (typeof kind !== "string") return undefined;
  if (kind === "uint64") return 0n;
  if (kind === "bytes") return EMPTY;
  return kind === "string" ? "" : 0;
}
