// SPDX-License-Identifier: Apache-2.0
// A credential as its holder reads it: what it says, and what must be shown to show one claim of it.
//
// The signature is the issuer's promise to whoever is shown it; a holder checks that the credential is whole, is bound
// to a key of this device, and says what it is said to say.  Source: RFC 9901 (SD-JWT), 4, 7.1, 7.3; SD-JWT VC draft-24.

import { base64url, SignJWT } from "jose";

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };
export type Path = readonly string[];

/** A credential, read. */
export interface Held {
  /** The issuer's JWT, without disclosures. */
  readonly jwt: string;
  /** Disclosures in the issuer's order, encoded. */
  readonly disclosures: readonly string[];
  readonly payload: Readonly<Record<string, Json>>;
  /** Everything that it says, all disclosed. */
  readonly claims: Readonly<Record<string, Json>>;
  /** Below each claim's path, as JSON: the disclosures that show it and all within it. */
  readonly needed: ReadonlyMap<string, ReadonlySet<string>>;
}

export class Unreadable extends Error {}

const TOKEN_CHARACTERS_MAX = 64 * 1024; // as verifiers take it
const DEPTH_MAX = 8;
const OWN = new Set(["_sd", "_sd_alg", "..."]);
const NO_CLAIMS = new Set(["iss", "iat", "nbf", "exp", "cnf", "vct", "vct#integrity", "status", "_sd_alg"]);

const utf8 = new TextDecoder("utf-8", { fatal: true });
const bytesOf = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);

/** SHA-256 of text, base64url: how SD-JWT names a disclosure and binds a key. */
export async function digest(text: string): Promise<string> {
  return base64url.encode(new Uint8Array(await crypto.subtle.digest("SHA-256", bytesOf(text))));
}

export function isObject(value: unknown): value is { readonly [name: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parse(encoded: string): Json {
  return JSON.parse(utf8.decode(base64url.decode(encoded))) as Json;
}

/**
 * Read a credential.
 *
 * @param token - As it was issued: JWT and disclosures, each followed by `~`.
 * @throws Unreadable where it is no SD-JWT VC, or a disclosure belongs to nothing in it.
 */
export async function read(token: string): Promise<Held> {
  const parts = token.split("~");
  const [jwt = "", ...disclosures] = parts;
  if (token.length > TOKEN_CHARACTERS_MAX || disclosures.pop() !== "") throw new Unreadable("no SD-JWT as issued");
  const byDigest = new Map<string, string>();
  for (const one of disclosures) byDigest.set(await digest(one), one);
  if (byDigest.size !== disclosures.length) throw new Unreadable("a disclosure stands twice");
  try {
    const payload = parse(jwt.split(".")[1] ?? "");
    if (!isObject(payload) || typeof payload["vct"] !== "string") throw new Unreadable("no credential");
    if ((payload["_sd_alg"] ?? "sha-256") !== "sha-256") throw new Unreadable("digests of another kind");
    const needed = new Map<string, Set<string>>();
    const used = new Set<string>();
    const claims = reveal(payload, [], [], { byDigest, needed, used }, 0) as Record<string, Json>;
    if (used.size !== byDigest.size) throw new Unreadable("a disclosure belongs to nothing");
    return { jwt, disclosures, payload, claims, needed };
  } catch (error) {
    throw error instanceof Unreadable ? error : new Unreadable("it can't be read");
  }
}

interface Reading {
  readonly byDigest: ReadonlyMap<string, string>;
  readonly needed: Map<string, Set<string>>;
  readonly used: Set<string>;
}

function take(hash: Json, reading: Reading): readonly [string, readonly Json[]] | undefined {
  const encoded = typeof hash === "string" ? reading.byDigest.get(hash) : undefined;
  if (encoded === undefined) return undefined; // a decoy, or kept back by whoever passed it on
  if (reading.used.has(encoded)) throw new Unreadable("a digest stands twice");
  reading.used.add(encoded);
  const content = parse(encoded);
  if (!Array.isArray(content)) throw new Unreadable("a disclosure is a list");
  return [encoded, content];
}

function note(path: Path, above: readonly string[], reading: Reading): void {
  for (let length = 1; length <= path.length; length += 1) {
    const key = JSON.stringify(path.slice(0, length));
    const set = reading.needed.get(key) ?? new Set<string>();
    reading.needed.set(key, set);
    for (const one of above) set.add(one);
  }
}

/** The value with all disclosures in their places; on the way, what each path needs. */
function reveal(value: Json, path: Path, above: readonly string[], reading: Reading, depth: number): Json {
  if (depth > DEPTH_MAX) throw new Unreadable("nested too deep");
  if (Array.isArray(value)) {
    return value.flatMap((item: Json) => {
      if (!isObject(item) || !("..." in item)) return [reveal(item, path, above, reading, depth + 1)];
      const found = take(item["..."] ?? null, reading);
      if (found === undefined) return [];
      const [encoded, content] = found;
      if (content.length !== 2) throw new Unreadable("a disclosure of an element has two parts");
      note(path, [...above, encoded], reading);
      return [reveal(content[1] ?? null, path, [...above, encoded], reading, depth + 1)];
    });
  }
  if (!isObject(value)) return value;
  const whole: Record<string, Json> = {};
  for (const [name, inner] of Object.entries(value)) {
    if (OWN.has(name)) continue;
    note([...path, name], above, reading);
    whole[name] = reveal(inner, [...path, name], above, reading, depth + 1);
  }
  const hashes = value["_sd"] ?? [];
  for (const hash of Array.isArray(hashes) ? hashes : []) {
    const found = take(hash, reading);
    if (found === undefined) continue;
    const [encoded, content] = found;
    const name = content[1];
    if (content.length !== 3 || typeof name !== "string" || OWN.has(name) || name in whole) {
      throw new Unreadable("a disclosure of a claim has three parts and a name of its own");
    }
    const inner = [...above, encoded];
    note([...path, name], inner, reading);
    whole[name] = reveal(content[2] ?? null, [...path, name], inner, reading, depth + 1);
  }
  return whole;
}

/** What a credential says of its holder: without what is there for machines. */
export function told(held: Held): [string, Json][] {
  return Object.entries(held.claims).filter(([name]) => !NO_CLAIMS.has(name));
}

/** Whether somebody who is shown the credential sees this claim whatever the holder chooses. */
export function isAlwaysShown(held: Held, path: Path): boolean {
  return held.needed.get(JSON.stringify(path))?.size === 0;
}

/**
 * Show some claims of a credential to somebody, once.
 *
 * @param held - The credential.
 * @param paths - Claims that are shown with all within them; one that it does not have is an error.
 * @param key - The holder's private key.
 * @param audience - Who asks, as they are named in their request.
 * @param nonce - Theirs.
 * @param nowS - Unix time in s.
 * @param more - Further claims of the key binding, which the holder signs with it.
 */
export async function present(
  held: Held,
  paths: readonly Path[],
  key: CryptoKey,
  audience: string,
  nonce: string,
  nowS: number,
  more: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  const shown = new Set<string>();
  for (const path of paths) {
    const needed = held.needed.get(JSON.stringify(path));
    if (needed === undefined) throw new Unreadable(`the credential has no ${path.join(".")}`);
    for (const one of needed) shown.add(one);
  }
  const kept = held.disclosures.filter((one) => shown.has(one));
  const bare = [held.jwt, ...kept, ""].join("~");
  const binding = new SignJWT({ ...more, nonce, sd_hash: await digest(bare) })
    .setProtectedHeader({ alg: "ES256", typ: "kb+jwt" })
    .setAudience(audience)
    .setIssuedAt(nowS);
  return bare + (await binding.sign(key));
}
