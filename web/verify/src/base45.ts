// SPDX-License-Identifier: Apache-2.0
/**
 * Base45: bytes from the 45 characters of a QR code's alphanumeric mode. Each byte string has exactly one text.
 *
 * Source: RFC 9285.
 */

import type { Bytes } from "./bytes.js";
import { invalidMessage } from "./errors.js";

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";
const BASE = 45;

/**
 * Read Base45.
 *
 * @throws LedgerError - A character outside of the alphabet, a length that no bytes have, or a group above its range.
 */
export function decode(text: string): Bytes {
  if (text.length % 3 === 1) throw invalidMessage(`no bytes have a Base45 text of ${text.length} characters`);
  const values: number[] = [];
  for (const character of text) {
    const value = ALPHABET.indexOf(character);
    if (value < 0) throw invalidMessage(`${JSON.stringify(character)} is no character of Base45`);
    values.push(value);
  }
  const data: number[] = [];
  for (let i = 0; i < values.length; i += 3) {
    const [first, second, third] = values.slice(i, i + 3) as [number, number, number?];
    const group = first + second * BASE + (third ?? 0) * BASE * BASE;
    if (group > (third === undefined ? 0xff : 0xffff)) {
      throw invalidMessage(`the Base45 group at character ${i} is out of range`);
    }
    if (third !== undefined) data.push(group >> 8);
    data.push(group & 0xff);
  }
  return Uint8Array.from(data);
}
