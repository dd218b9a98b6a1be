// SPDX-License-Identifier: Apache-2.0
/** Byte strings: comparing, joining, hexadecimal digits, strict UTF-8, and the ledger's only hash. */

import { sha256 as hash } from "@noble/hashes/sha2.js";

export type Bytes = Uint8Array;

export const HASH_BYTES = 32;
export const EMPTY: Bytes = new Uint8Array(0);

const NOT_HEX = /[^0-9a-f]/;

/** SHA-256; 32 bytes. */
export const sha256 = (data: Bytes): Bytes => hash(data);

/** Byte strings after one another. */
export const join = (...parts: readonly Bytes[]): Bytes => joinAll(parts);

/** The same for any number of them: a call takes only so many arguments. */
export function joinAll(parts: readonly Bytes[]): Bytes {
  let size = 0;
  for (const part of parts) size += part.length;
  const joined = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** Order of byte strings: below zero, zero or above zero. */
export function compare(a: Bytes, b: Bytes): number {
  const size = Math.min(a.length, b.length);
  for (let i = 0; i < size; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

export const equal = (a: Bytes, b: Bytes): boolean => compare(a, b) === 0;

/** Lower-case hexadecimal digits, two a byte. */
export function toHex(data: Bytes): string {
  let digits = "";
  for (const byte of data) digits += (byte < 16 ? "0" : "") + byte.toString(16);
  return digits;
}

/** Bytes from lower-case hexadecimal digits, or null if the text is anything else. */
export function fromHex(digits: string): Bytes | null {
  if (digits.length % 2 !== 0 || NOT_HEX.test(digits)) return null;
  const data = new Uint8Array(digits.length / 2);
  for (let i = 0; i < data.length; i++) data[i] = parseInt(digits.slice(2 * i, 2 * i + 2), 16);
  return data;
}

/** UTF-8 of a text. */
export const utf8 = (text: string): Bytes => new TextEncoder().encode(text);

/**
 * Text from UTF-8, a byte order mark kept as the character that it is.
 *
 * @throws TypeError - The bytes are not UTF-8.
 */
export const fromUtf8 = (data: Bytes): string =>
  new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
