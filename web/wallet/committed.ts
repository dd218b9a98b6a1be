// SPDX-License-Identifier: Apache-2.0
// Salted commitments, recomputed on this device: whoever opens one shows what the ledger has in its place.
//
// Source: identity/commitments.py, identity/person_data.py.

import { toHex, utf8, type Bytes } from "../verify/src/bytes.js";

const SALT_BYTES = 32;

export async function sha256(data: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new Uint8Array(data)));
}

export function joined(...parts: readonly Uint8Array[]): Bytes {
  const whole = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** SHA-256 of domain, salt and value. */
export async function commitment(domain: string, salt: Bytes, value: Bytes): Promise<Bytes> {
  if (salt.length !== SALT_BYTES) throw new Error("a salt has 32 bytes");
  return sha256(joined(utf8(domain), salt, value));
}

/** Whether two are the same. */
export const isSame = (one: Bytes, other: Bytes): boolean => toHex(one) === toHex(other);

/** The one encoding of a person's data that is committed to: names in their order, NFC, no white space. */
export function canonicalData(data: Readonly<Record<string, string>>): Bytes {
  const names = Object.keys(data).sort(); // ASCII names alone, so units are code points
  return utf8(JSON.stringify(Object.fromEntries(names.map((name) => [name, (data[name] ?? "").normalize("NFC")]))));
}
