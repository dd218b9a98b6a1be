// SPDX-License-Identifier: Apache-2.0
// Codes for where nobody is online: one-time tokens fetched ahead, signed once more by this device when they are shown.
//
// Source: docs/credentials.md, "Offline codes"; identity/offline_qr.py verifies them. RFC 9052, 4.2 and 4.4; RFC 8392;
// RFC 8949, 4.2.3 (length-first order of keys); RFC 9285 (Base45).

import { base64url } from "jose";
import { newKey, nonceOf, prove } from "./receive.js";
import { present, type Held, type Path } from "./sd-jwt.js";
import type { Token } from "./store.js";
import { Failed, address, ask, parseFields, textOf } from "./web.js";

const PREFIX = "IMI1:";
const BATCH = 5; // one of each kind a day, for most of their three days
const SHOWN_S = 300; // as long as verifiers take a code at most
const SHOWN_TYPE = "application/imi-shown+cwt";
const [ALG, TYP, ES256] = [1, 16, -7];
const [EXP, IAT, INNER] = [4, 6, -65_538];
const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";

type Bytes = Uint8Array<ArrayBuffer>;

/** What codes can be fetched for, with the claims that each shows. */
export const KINDS: Readonly<Record<Token["kind"], readonly Path[]>> = {
  age: [["age_over_18"]],
  name: [["family_name"], ["given_name"], ["age_over_18"]],
};

/**
 * Fetch tokens for codes.
 *
 * @param held - A copy of the credential that they speak of.
 * @param key - That copy's.
 * @param issuer - Who issued it.
 * @param card - The wallet's id of the credential.
 * @param kind - What they show.
 * @param nowMs - Unix time.
 * @throws Failed
 */
export async function fetchTokens(
  held: Held,
  key: CryptoKey,
  issuer: string,
  card: string,
  kind: Token["kind"],
  nowMs: number,
): Promise<Token[]> {
  const metadata = await ask(new URL("/.well-known/openid-credential-issuer", address(issuer)));
  if (metadata.status !== 200) throw new Failed("refused");
  const described = parseFields(metadata.text);
  const endpoint = address(textOf(described, "offline_code_endpoint"));
  if (endpoint.origin !== new URL(issuer).origin) throw new Failed("untrusted");
  const nonce = await nonceOf(textOf(described, "nonce_endpoint"));
  const keys = await Promise.all(Array.from({ length: BATCH }, newKey));
  const proofs = await Promise.all(keys.map((one) => prove(one, issuer, nonce, nowMs)));
  const presentation = await present(held, KINDS[kind], key, issuer, nonce, Math.floor(nowMs / 1000));
  const answer = await ask(endpoint, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ presentation, proofs: { jwt: proofs } }),
  });
  if (answer.status !== 200) throw new Failed(answer.status === 503 ? "offline" : "refused");
  const told = parseFields(answer.text);
  const [tokens, seconds] = [told["tokens"], told["expires_in"]];
  if (!Array.isArray(tokens) || tokens.length !== keys.length || typeof seconds !== "number") throw new Failed("malformed");
  return tokens.map((one: unknown, i) => {
    const own = keys[i];
    if (typeof one !== "string" || own === undefined) throw new Failed("malformed");
    const expiresS = Math.floor(nowMs / 1000) + seconds;
    return { id: crypto.randomUUID(), card, kind, token: base64url.decode(one) as Bytes, key: own.privateKey, expiresS };
  });
}

/**
 * The text of a code; it counts for five minutes.
 *
 * @param token - One that is never shown again.
 * @param nowS - Unix time in s.
 */
export async function show(token: Token, nowS: number): Promise<string> {
  const protectedHeader = map([
    [ALG, integer(ES256)],
    [TYP, text(SHOWN_TYPE)],
  ]);
  const payload = map([
    [EXP, integer(nowS + SHOWN_S)],
    [IAT, integer(nowS)],
    [INNER, bytes(token.token)],
  ]);
  const signed = list([text("Signature1"), bytes(protectedHeader), bytes(new Uint8Array()), bytes(payload)]);
  const algorithm = { name: "ECDSA", hash: "SHA-256" };
  const signature = new Uint8Array(await crypto.subtle.sign(algorithm, token.key, signed));
  const whole = join([Uint8Array.of(0xd2), list([bytes(protectedHeader), map([]), bytes(payload), bytes(signature)])]);
  return PREFIX + base45(await deflate(whole));
}

async function deflate(data: Bytes): Promise<Bytes> {
  const packed = new Blob([data]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(packed).arrayBuffer());
}

function base45(data: Bytes): string {
  let told = "";
  const add = (value: number, characters: number): void => {
    for (let rest = value, i = 0; i < characters; i += 1, rest = Math.floor(rest / 45)) told += ALPHABET[rest % 45] ?? "";
  };
  for (let i = 0; i < data.length; i += 2) {
    const second = data[i + 1];
    if (second === undefined) add(data[i] ?? 0, 2);
    else add((data[i] ?? 0) * 256 + second, 3);
  }
  return told;
}

// ---------------------------------------------------------------- CBOR, in its one canonical form

function join(parts: readonly Uint8Array[]): Bytes {
  const whole = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** The head of a value: its kind and a number below 2^53. */
function head(kind: number, value: number): Bytes {
  if (value < 24) return Uint8Array.of(kind * 32 + value);
  const [extra, size] = value < 0x100 ? [24, 1] : value < 0x10000 ? [25, 2] : value < 0x1_0000_0000 ? [26, 4] : [27, 8];
  const told = new Uint8Array(1 + size);
  told[0] = kind * 32 + extra;
  for (let rest = value, i = size; i > 0; i -= 1, rest = Math.floor(rest / 256)) told[i] = rest % 256;
  return told;
}

const integer = (value: number): Bytes => (value < 0 ? head(1, -1 - value) : head(0, value));
const bytes = (value: Uint8Array): Bytes => join([head(2, value.length), value]);
const text = (value: string): Bytes => {
  const encoded = new TextEncoder().encode(value);
  return join([head(3, encoded.length), encoded]);
};
const list = (items: readonly Bytes[]): Bytes => join([head(4, items.length), ...items]);
/** Entries in the order of their keys as they are written: shorter first. */
const map = (entries: readonly (readonly [number, Bytes])[]): Bytes =>
  join([head(5, entries.length), ...entries.flatMap(([key, value]) => [integer(key), value])]);
