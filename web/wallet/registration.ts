// SPDX-License-Identifier: Apache-2.0
// Whether whoever asks may ask: their registration as the ledger has it, proven by a receipt on this device.
//
// The request carries the receipt; nothing else that it says about its sender is believed or shown.
// Source: docs/identity.md, "Relying parties"; identity/relying.py is the same in Python.

import { toHex, utf8, type Bytes } from "../verify/src/bytes.js";
import { decode, enumeration, many, manyBytes, one, schema, text, uint32, uint64, type Field } from "../verify/src/protobuf.js";
import { registrationIn } from "./carried.js";
import type { Proof } from "./opening.js";
import type { Asked, Wanted } from "./request.js";
import { Failed } from "./web.js";

const VALUE_BYTES_MAX = 64 * 1024;
const ACTIVE = 2; // PersonStatus
const ORGANISATION_ACTIVE = 1;

const manyTexts = (number: number): Field<string[]> => ({ ...text(number), repeated: true }) as unknown as Field<string[]>;

const PURPOSE = schema("identity.RelyingPurpose", {
  number: uint32(1),
  nameZh: text(2),
  nameEn: text(3),
  legalBasis: text(4),
  attributes: manyTexts(5),
  statusAgeSMax: uint32(6),
  needsConsent: uint32(7),
  emergency: uint32(8),
  perSecondMax: uint32(9),
});
const TERMS = schema("identity.RelyingTerms", {
  purposes: many(1, PURPOSE),
  keys: manyBytes(2),
  validFromMs: uint64(3),
  validToMs: uint64(4),
});
const RECORD = schema("identity.RelyingPartyRecord", {
  registrar: text(1),
  status: enumeration(2),
  sinceMs: uint64(3),
  version: uint32(4),
  terms: one(5, TERMS),
  reason: enumeration(6),
});
const ORGANISATION = schema("membership.OrganisationRecord", {
  id: text(1),
  nameZh: text(2),
  nameEn: text(3),
  roles: manyTexts(4),
  status: enumeration(5),
  quota: uint32(6),
});

/** Who asks and why, as the ledger proves it. */
export interface Registered {
  readonly party: string;
  /** Of its registered terms. */
  readonly version: number;
  readonly nameZh: string;
  readonly nameEn: string;
  readonly purpose: number;
  readonly purposeZh: string;
  readonly purposeEn: string;
  readonly basis: string;
  /** Claims that may be asked for: "natural-person/birthdate". */
  readonly attributes: ReadonlySet<string>;
  /** Whether the purpose counts with the holder's consent on the ledger alone. */
  readonly needsConsent: boolean;
  /** Of the proof, Unix time in ms. */
  readonly atMs: number;
}

/**
 * Prove who asks.
 *
 * @param asked - The request; its key must be one of those that the registration names.
 * @param prove - Proves a receipt of this network, at most ten minutes old.
 * @param nowMs - Unix time.
 * @throws Failed; "untrusted": the request carries no proof, or one that does not hold.
 */
export async function registered(
  asked: Asked,
  prove: (receipt: string) => Promise<Proof>,
  nowMs: number,
): Promise<Registered> {
  const { party, purpose: number, receipt } = registrationIn(asked.info);
  if (typeof number !== "number") throw new Failed("malformed");
  let states: ReadonlyMap<string, Bytes | null>;
  let atMs: number;
  try {
    const proven = await prove(receipt);
    states = new Map(proven.states.map(({ key, value }) => [toHex(key), value]));
    atMs = proven.timeMs;
  } catch (error) {
    if (error instanceof Failed) throw error; // the verifier does not start
    throw new Failed("untrusted", "the registration is not proven");
  }
  const record = valueOf(states, `identity/relying-party/${party}`, (value) => decode(RECORD, value, VALUE_BYTES_MAX));
  const organisation = valueOf(states, `membership/organisation/${party}`, (value) =>
    decode(ORGANISATION, value, VALUE_BYTES_MAX),
  );
  const terms = record.terms;
  if (record.status !== ACTIVE || organisation.status !== ORGANISATION_ACTIVE || terms === undefined) {
    throw new Failed("untrusted", "the registration does not count");
  }
  if (BigInt(nowMs) < terms.validFromMs || BigInt(nowMs) >= terms.validToMs) throw new Failed("untrusted", "not valid now");
  const key = toHex(await compressed(asked.publicKey));
  if (!terms.keys.some((one) => toHex(one) === key)) throw new Failed("untrusted", "another key signed");
  const purpose = terms.purposes.find((one) => one.number === number);
  if (purpose === undefined) throw new Failed("untrusted", "no such purpose");
  return {
    party,
    version: record.version,
    nameZh: organisation.nameZh || organisation.nameEn || party,
    nameEn: organisation.nameEn || organisation.nameZh || party,
    purpose: number,
    purposeZh: purpose.nameZh || purpose.nameEn,
    purposeEn: purpose.nameEn || purpose.nameZh,
    basis: purpose.legalBasis,
    attributes: new Set(purpose.attributes),
    needsConsent: purpose.needsConsent !== 0,
    atMs,
  };
}

interface Names {
  readonly zh: string;
  readonly en: string;
}

/** What an organisation is called, by its record; its id where there is none. */
export function namesOf(record: Bytes | null, id: string): Names {
  if (record === null) return { zh: id, en: id };
  const { nameZh, nameEn } = decode(ORGANISATION, record, VALUE_BYTES_MAX);
  return { zh: nameZh || nameEn || id, en: nameEn || nameZh || id };
}

/** What a purpose is called, by its relying party's record; its number where the record has it no longer. */
export function purposeOf(record: Bytes | null, number: number): Names {
  const purposes = record === null ? [] : (decode(RECORD, record, VALUE_BYTES_MAX).terms?.purposes ?? []);
  const found = purposes.find((each) => each.number === number);
  const name = String(number);
  return { zh: found?.nameZh || found?.nameEn || name, en: found?.nameEn || found?.nameZh || name };
}

/** How registrations name a claim of a type of credential. */
export function attribute(type: string, claim: string): string {
  return `${type.split(":").slice(-2)[0] ?? ""}/${claim}`;
}

/** Claims that are wanted and that the registration does not allow; of the verifier's own, `own` says which they are. */
export function beyond(who: Registered, wanted: Iterable<Wanted>, own: ReadonlySet<string>): string[] {
  const found: string[] = [];
  for (const { type, paths } of wanted) {
    for (const [claim = ""] of paths) {
      const name = attribute(type, claim);
      if (!who.attributes.has(name) && !own.has(claim)) found.push(name);
    }
  }
  return found;
}

function valueOf<Type>(states: ReadonlyMap<string, Bytes | null>, key: string, read: (value: Bytes) => Type): Type {
  const value = states.get(toHex(utf8(key)));
  if (value === undefined || value === null) throw new Failed("untrusted", `nothing is proven of ${key}`);
  try {
    return read(value);
  } catch {
    throw new Failed("untrusted", `${key} can't be read`);
  }
}

/** A P-256 key in 33 bytes. */
async function compressed(key: CryptoKey): Promise<Uint8Array> {
  const raw = new Uint8Array(await crypto.subtle.exportKey("raw", key)); // 04, x, y
  const short = raw.slice(0, 33);
  short[0] = 2 + ((raw[64] ?? 0) & 1);
  return short;
}

