// SPDX-License-Identifier: Apache-2.0
// Who looked at my data: the list that my credential names, fetched from the registrar and verified on this device. It is
// complete or refused: nothing recorded in it up to its checkpoint is left out.
//
// Source: docs/identity.md, "Accesses"; identity/access.py verifies the same in Python.

import { base64url } from "jose";
import { toHex, utf8, type Bytes } from "../verify/src/bytes.js";
import type { PageVerifier } from "../verify/src/client.js";
import { bytes, decode, enumeration, many, schema, text, uint32, uint64, type Field } from "../verify/src/protobuf.js";
import { nonceOf } from "./receive.js";
import { present, type Held, type Json } from "./sd-jwt.js";
import { Failed, address, ask, parseFields, textOf } from "./web.js";

const REPORT_BYTES_MAX = 16 * 1024 * 1024;
const CONTENT_BYTES_MAX = 8 * 1024;
const RECORD_BYTES_MAX = 1024;
const HASH_BYTES = 32;
const AGE_MS_MAX = 10 * 60_000;
const CITY = "identity/sealed-count/city";
const [CONTENT, LINK] = ["zhixin/identity/access-content\0", "zhixin/identity/access-link\0"];

const manyTexts = (number: number): Field<string[]> => ({ ...text(number), repeated: true }) as unknown as Field<string[]>;

const OPENING = schema("identity.AccessOpening", {
  content: bytes(1),
  contentSalt: bytes(2),
  nextSlot: bytes(3),
  nextSalt: bytes(4),
});
const REPORT = schema("identity.AccessReport", { receipt: bytes(1), openings: many(2, OPENING) });
const RECORD = schema("identity.AccessRecord", { writer: bytes(1), timeMs: uint64(2), content: bytes(3), next: bytes(4) });
const COUNTS = schema("identity.SealCounts", { sealed: uint64(1), joined: uint64(2) });
const TOLD = schema("identity.AccessContent", {
  kind: enumeration(1),
  organisation: text(2),
  atMs: uint64(3),
  reason: enumeration(4),
  purpose: uint32(5),
  attributes: manyTexts(6),
  evidence: bytes(7),
  thirdParty: uint32(8),
});

/** One access, proven. */
export interface Access {
  readonly recordedMs: number;
  /** What it says; undefined: its content was erased, or never told. That somebody looked is proven all the same. */
  readonly told:
    | {
        readonly kind: number;
        readonly organisation: string;
        readonly atMs: number;
        readonly reason: number;
        readonly purpose: number;
        readonly attributes: readonly string[];
        readonly thirdParty: boolean;
      }
    | undefined;
}

/** A whole list. */
export interface Accesses {
  readonly accesses: readonly Access[];
  /** Of its checkpoint, Unix time in ms. */
  readonly atMs: number;
  /** How many entries are sealed in the whole city; whether one is mine, nobody can tell from it. */
  readonly sealed: number;
}

const GRADE = /:credit-grade:/; // of credit's issuer, which keeps no lists: it names the registrar's for verifiers alone

/** Where the list begins that a credential's own issuer keeps of its holder; undefined: it keeps none. */
export function listOf(type: string, claims: Readonly<Record<string, Json>>): string | undefined {
  const slot = claims["access_slot"];
  return typeof slot === "string" && !GRADE.test(type) ? slot : undefined;
}

/**
 * Ask the registrar for the list that a credential names.
 *
 * @param held - A copy of the credential.
 * @param key - That copy's.
 * @param issuer - Who issued it.
 * @param nowMs - Unix time.
 * @throws Failed
 */
export async function fetchReport(held: Held, key: CryptoKey, issuer: string, nowMs: number): Promise<Bytes> {
  const metadata = await ask(new URL("/.well-known/openid-credential-issuer", address(issuer)));
  if (metadata.status !== 200) throw new Failed("refused");
  const described = parseFields(metadata.text);
  const endpoint = address(textOf(described, "access_report_endpoint"));
  if (endpoint.origin !== new URL(issuer).origin) throw new Failed("untrusted");
  const nonce = await nonceOf(textOf(described, "nonce_endpoint"));
  const presentation = await present(held, [["access_slot"]], key, issuer, nonce, Math.floor(nowMs / 1000));
  const answer = await ask(endpoint, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ presentation, nonce }),
  });
  if (answer.status !== 200) throw new Failed(answer.status === 503 ? "offline" : "refused");
  return base64url.decode(textOf(parseFields(answer.text), "report")) as Bytes;
}

/**
 * Verify that a report tells all that is recorded in a list, and nothing else.
 *
 * @param report - Bytes of `AccessReport`.
 * @param firstSlot - The claim `access_slot`.
 * @param verifier - Of this network.
 * @param nowMs - Unix time.
 * @throws Failed; "unproven": something is left out, added or altered, or the proof does not hold.
 */
export async function verifyReport(
  report: Bytes,
  firstSlot: string,
  verifier: PageVerifier,
  nowMs: number,
): Promise<Accesses> {
  try {
    const { receipt, openings } = decode(REPORT, report, REPORT_BYTES_MAX);
    const proven = await verifier.verifyReceipt(receipt, { stateAgeMsMax: AGE_MS_MAX, nowMs });
    if (proven.inclusions.length + proven.failures.length > 0) throw new Error("it proves more than states");
    const states = new Map(proven.states.map(({ key, value }) => [toHex(key), value]));
    const used = new Set<string>();
    const value = (key: string): Bytes | null => {
      const name = toHex(utf8(key));
      const found = states.get(name);
      if (found === undefined || used.has(name)) throw new Error("a state is missing, or is led to twice");
      used.add(name);
      return found;
    };
    let slot = base64url.decode(firstSlot) as Bytes;
    const accesses: Access[] = [];
    for (const opening of openings) {
      const raw = value(`identity/access/${toHex(slot)}`);
      if (raw === null) throw new Error("an entry stands in a free slot");
      const record = decode(RECORD, raw, RECORD_BYTES_MAX);
      await mustBe(LINK, opening.nextSalt, opening.nextSlot, record.next);
      accesses.push({ recordedMs: Number(record.timeMs), told: await opened(opening.content, opening.contentSalt, record.content) });
      slot = opening.nextSlot;
    }
    if (value(`identity/access/${toHex(slot)}`) !== null) throw new Error("something is left out");
    const counts = value(CITY);
    if (used.size !== states.size) throw new Error("it proves more than it needs");
    const sealed = counts === null ? 0 : Number(decode(COUNTS, counts, RECORD_BYTES_MAX).sealed);
    return { accesses, atMs: proven.timeMs, sealed };
  } catch {
    throw new Failed("unproven");
  }
}

/** Check that a salted commitment opens to a value; throws where it does not. */
async function mustBe(domain: string, salt: Bytes, value: Bytes, commitment: Bytes): Promise<void> {
  if (salt.length !== HASH_BYTES) throw new Error("a salt has 32 bytes");
  const name = utf8(domain);
  const whole = new Uint8Array(name.length + salt.length + value.length);
  whole.set(name);
  whole.set(salt, name.length);
  whole.set(value, name.length + salt.length);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", whole));
  if (toHex(digest) !== toHex(commitment)) throw new Error("it is not what the chain commits to");
}

async function opened(content: Bytes, salt: Bytes, commitment: Bytes): Promise<Access["told"]> {
  if (content.length === 0 && salt.length === 0) return undefined;
  await mustBe(CONTENT, salt, content, commitment);
  try {
    const told = decode(TOLD, content, CONTENT_BYTES_MAX);
    return { ...told, atMs: Number(told.atMs), thirdParty: told.thirdParty !== 0 };
  } catch {
    return undefined; // whoever wrote it committed to nothing that can be read
  }
}
