// SPDX-License-Identifier: Apache-2.0
/**
 * Receipts as text: JSON, and the compact form of QR codes. Nothing is verified here.
 *
 * The protobuf bytes are what gets verified; each text stands for exactly one such byte string. The compact form is
 * `ZX1:` and the Base45 of the raw deflate of those bytes.
 *
 * Source: docs/protocol.md, section 6; RFC 9285; RFC 1951.
 */

import * as base45 from "./base45.js";
import { type Bytes, fromHex, utf8 } from "./bytes.js";
import { invalidMessage } from "./errors.js";
import { inflate } from "./inflate.js";
import * as messages from "./messages.js";
import type { CertifiedMessage, ClosingMessage, InclusionMessage, StateProofMessage } from "./messages.js";
import { encode } from "./protobuf.js";
import { type Json, type JsonObject, parse } from "./strict_json.js";

/** A full answer of a node: 512 transactions, 4 MiB of operations, and their paths. */
export const RECEIPT_BYTES_MAX = 16 * 1024 * 1024;
export const FORMAT = "zhixin-receipt/1";
export const COMPACT_PREFIX = "ZX1:";
/** Of the inflated receipt: a QR code holds 3 KB, a text message somewhat more. */
export const COMPACT_BYTES_MAX = 64 * 1024;
export const COMPACT_CHARACTERS_MAX = 3 * COMPACT_BYTES_MAX;
export const JSON_BYTES_MAX = 3 * RECEIPT_BYTES_MAX;

const DEPTH_MAX = 8;
const UINT32_MAX = 0xffffffffn;
const OPENING_BRACE = 0x7b;
const LINE_ENDS = [0x0a, 0x0d];
const ASCII_MAX = 0x7f;

export type Encoding = "protobuf" | "json" | "compact";

/** What a receipt may be given as: bytes of any encoding, or text. */
export type ReceiptInput = Bytes | string;

/**
 * Read a receipt in any of its encodings, as a file or a scanner gives it.
 *
 * A text begins with its first byte, which no protobuf receipt begins with; a line end after it does no harm.
 *
 * @throws LedgerError - `message.invalid`: its encoding is broken.
 */
export function decodeAny(input: ReceiptInput): { receipt: Bytes; encoding: Encoding } {
  const data = typeof input === "string" ? utf8(input) : input;
  if (data[0] === OPENING_BRACE) return { receipt: fromJson(data), encoding: "json" };
  const prefix = utf8(COMPACT_PREFIX);
  if (prefix.every((byte, i) => data[i] === byte)) {
    return { receipt: fromCompact(data), encoding: "compact" };
  }
  return { receipt: data, encoding: "protobuf" };
}

/** Read a receipt from compact text, whose prefix is there; its protobuf bytes. */
function fromCompact(data: Bytes): Bytes {
  let size = data.length;
  while (LINE_ENDS.includes(data[size - 1] as number)) size -= 1;
  if (size > COMPACT_CHARACTERS_MAX) {
    throw invalidMessage(`a compact receipt has at most ${COMPACT_CHARACTERS_MAX} characters, not ${size}`);
  }
  const characters = data.subarray(COMPACT_PREFIX.length, size);
  if (characters.some((byte) => byte > ASCII_MAX)) throw invalidMessage("a compact receipt is ASCII text");
  const text = Array.from(characters, (byte) => String.fromCharCode(byte)).join("");
  return inflate(base45.decode(text), COMPACT_BYTES_MAX);
}

/**
 * Read a receipt from JSON; its protobuf bytes.
 *
 * @param data - UTF-8.
 * @throws LedgerError - Not JSON, another format, a member missing, unknown or of a wrong kind.
 */
function fromJson(data: Bytes): Bytes {
  const receipt = members(
    parse(data, JSON_BYTES_MAX, DEPTH_MAX),
    ["format", "inclusions", "states", "checkpoint", "epochs"],
    "the receipt",
  );
  if (receipt.get("format") !== FORMAT) throw invalidMessage(`format: expected "${FORMAT}"`);
  return encode(messages.Receipt, {
    inclusions: items(receipt, "inclusions").map((item, i) => inclusionOf(item, `inclusions[${i}]`)),
    states: items(receipt, "states").map((item, i) => stateOf(item, `states[${i}]`)),
    checkpoint: certifiedOf(receipt.get("checkpoint"), "checkpoint"),
    epochs: items(receipt, "epochs").map((item, i) => closingOf(item, `epochs[${i}]`)),
  });
}

function inclusionOf(value: Json, where: string): InclusionMessage {
  const names = ["operation", "operation_index", "operation_path", "entry", "leaf_index", "path"];
  const inclusion = members(value, names, where);
  return {
    operation: bytesOf(inclusion.get("operation"), `${where}.operation`),
    operation_index: Number(numberOf(inclusion.get("operation_index"), `${where}.operation_index`, UINT32_MAX)),
    operation_path: items(inclusion, "operation_path").map((item) => bytesOf(item, `${where}.operation_path`)),
    entry: bytesOf(inclusion.get("entry"), `${where}.entry`),
    leaf_index: numberOf(inclusion.get("leaf_index"), `${where}.leaf_index`, BigInt(Number.MAX_SAFE_INTEGER)),
    path: items(inclusion, "path").map((item) => bytesOf(item, `${where}.path`)),
  };
}

function stateOf(value: Json, where: string): StateProofMessage {
  const state = members(value, ["key", "value", "proof"], where);
  return {
    key: bytesOf(state.get("key"), `${where}.key`),
    value: bytesOf(state.get("value"), `${where}.value`),
    proof: bytesOf(state.get("proof"), `${where}.proof`),
  };
}

function certifiedOf(value: Json | undefined, where: string): CertifiedMessage {
  const certified = members(value, ["checkpoint", "bitmap", "aggregate"], where);
  return {
    checkpoint: bytesOf(certified.get("checkpoint"), `${where}.checkpoint`),
    bitmap: bytesOf(certified.get("bitmap"), `${where}.bitmap`),
    aggregate: bytesOf(certified.get("aggregate"), `${where}.aggregate`),
  };
}

function closingOf(value: Json, where: string): ClosingMessage {
  const closing = members(value, ["certified", "next"], where);
  return {
    certified: certifiedOf(closing.get("certified"), `${where}.certified`),
    next: bytesOf(closing.get("next"), `${where}.next`),
  };
}

/** An object with these members and no others. */
function members(value: Json | undefined, names: readonly string[], where: string): JsonObject {
  if (!(value instanceof Map) || value.size !== names.length || !names.every((name) => value.has(name))) {
    throw invalidMessage(`${where} must be an object with the members ${names.join(", ")} alone`);
  }
  return value;
}

function items(object: JsonObject, name: string): Json[] {
  const value = object.get(name);
  if (!Array.isArray(value)) throw invalidMessage(`${name} must be a list`);
  return value;
}

function bytesOf(value: Json | undefined, where: string): Bytes {
  const data = typeof value === "string" ? fromHex(value) : null;
  if (data === null) throw invalidMessage(`${where} must be lower-case hexadecimal digits, two a byte`);
  return data;
}

function numberOf(value: Json | undefined, where: string, largest: bigint): bigint {
  if (typeof value !== "bigint" || value < 0n || value > largest) {
    throw invalidMessage(`${where} must be a whole number from 0 to ${largest}`);
  }
  return value;
}
