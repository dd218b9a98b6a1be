// SPDX-License-Identifier: Apache-2.0
// Consents: made on this device, shown in the key binding of a presentation, checked against what the ledger has.
//
// Source: docs/identity.md, "Consents"; identity/consents.py and identity/consent_showing.py are the same in Python.

import { base64url } from "jose";
import { fromHex, toHex, utf8, type Bytes } from "../verify/src/bytes.js";
import { bytes, decode, encode, schema, text, uint32, uint64, type Field, type Message } from "../verify/src/protobuf.js";
import { commitment, isSame, joined, sha256 } from "./committed.js";
import { attribute, type Registered } from "./registration.js";
import type { Wanted } from "./request.js";

const DOMAIN = "zhixin/identity/consent\0";
const PAIRWISE = "zhixin/pairwise/1\0";
const CONTENT_BYTES_MAX = 8 * 1024;
const RECORD_BYTES_MAX = 1024;
export const DAY_MS = 86_400_000;

const manyTexts = (number: number): Field<string[]> => ({ ...text(number), repeated: true }) as unknown as Field<string[]>;

const CONTENT = schema("identity.ConsentContent", {
  organisation: text(1),
  purpose: uint32(2),
  version: uint32(3),
  attributes: manyTexts(4),
  givenAtMs: uint64(5),
  validToDay: uint32(6),
  subject: bytes(7),
});
const RECORD = schema("identity.ConsentRecord", {
  sinceMs: uint64(1),
  endedAtMs: uint64(2),
  validToDay: uint32(3),
  personAnchor: bytes(4),
  partyAnchor: bytes(5),
});

export type Content = Message<typeof CONTENT>;

/** A consent with its secrets, as it is sent to whoever submits it. */
export interface Draft {
  readonly content: Bytes;
  readonly salt: Bytes;
  readonly personSecret: Bytes;
  readonly partySecret: Bytes;
}

/** How a consent stands by the ledger. */
export type Standing = "counts" | "ended" | "over" | "unknown";

const random = (): Bytes => crypto.getRandomValues(new Uint8Array(32));

/** Draw what a consent needs beside its content. */
export function draft(content: Content): Draft {
  return { content: encode(CONTENT, content), salt: random(), personSecret: random(), partySecret: random() };
}

/** A person's pseudonym at a relying party, hashed: whose consent it is, for that party alone. */
export async function subjectOf(seed: string, party: string): Promise<Bytes> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", new Uint8Array(base64url.decode(seed)), algorithm, false, ["sign"]);
  const named = new Uint8Array(joined(utf8(PAIRWISE), utf8(party)));
  const pseudonym = new Uint8Array(await crypto.subtle.sign("HMAC", key, named));
  return sha256(utf8(base64url.encode(pseudonym)));
}

/** What somebody would consent to who shows these claims. */
export async function contentOf(
  who: Registered,
  wanted: Iterable<Wanted>,
  own: ReadonlySet<string>,
  seed: string,
  days: number,
  nowMs: number,
): Promise<Content> {
  const names = new Set<string>();
  for (const { type, paths } of wanted) for (const [claim = ""] of paths) if (!own.has(claim)) names.add(attribute(type, claim));
  return {
    organisation: who.party,
    purpose: who.purpose,
    version: who.version,
    attributes: [...names].sort(),
    givenAtMs: BigInt(nowMs),
    validToDay: Math.floor(nowMs / DAY_MS) + days,
    subject: await subjectOf(seed, who.party),
  };
}

/** The act that gives a consent; those named end in the same transaction. */
export function giving(made: Draft, ends: readonly string[] = []): Readonly<Record<string, unknown>> {
  return {
    do: "consent.give",
    content: base64url.encode(made.content),
    salt: toHex(made.salt),
    person_secret: toHex(made.personSecret),
    party_secret: toHex(made.partySecret),
    ends,
  };
}

/** The claim of the key binding by which a consent is shown. */
export function shown(made: Pick<Draft, "content" | "salt" | "partySecret">): Readonly<Record<string, string>> {
  return {
    content: base64url.encode(made.content),
    salt: base64url.encode(made.salt),
    party_secret: base64url.encode(made.partySecret),
  };
}

export const decodeContent = (raw: Bytes): Content => decode(CONTENT, raw, CONTENT_BYTES_MAX);
export const consentKey = (hash: Bytes): string => `identity/consent/${toHex(hash)}`;

/** Check that a content opens a commitment; throws where it does not. */
export async function mustOpen(content: Bytes, salt: Bytes, hash: string): Promise<void> {
  const named = fromHex(hash);
  if (named === null || !isSame(await commitment(DOMAIN, salt, content), named)) throw new Error("another consent");
}

/** How a consent stands, by the record that is proven at a time; null: proven absent. */
export function standingOf(record: Bytes | null, atMs: number): { standing: Standing; endedMs: number } {
  if (record === null) return { standing: "unknown", endedMs: 0 };
  const { validToDay, endedAtMs } = decode(RECORD, record, RECORD_BYTES_MAX);
  if (endedAtMs > 0n) return { standing: "ended", endedMs: Number(endedAtMs) };
  const isOver = atMs >= validToDay * DAY_MS;
  return { standing: isOver ? "over" : "counts", endedMs: isOver ? validToDay * DAY_MS : 0 };
}
