// SPDX-License-Identifier: Apache-2.0
// The data space: what a registrar tells of its holder, checked here.
//
// Source: docs/my-data.md; identity/api/space.

import { base64url } from "jose";
import { fromHex, toHex, utf8, type Bytes } from "../verify/src/bytes.js";
import type { PageVerifier } from "../verify/src/client.js";
import { bytes, decode, enumeration, many, manyBytes, one, schema, uint32, uint64 } from "../verify/src/protobuf.js";
import { canonicalData, commitment, isSame, sha256 } from "./committed.js";
import { consentKey, decodeContent, mustOpen, standingOf, type Content, type Standing } from "./consents.js";
import { namesOf, purposeOf } from "./registration.js";
import type { Held } from "./sd-jwt.js";
import { Failed, fields, textOf, type Fields } from "./web.js";

const DATA = "zhixin/identity/data\0";
const RECORD_BYTES_MAX = 64 * 1024;
const AGE_MS_MAX = 10 * 60_000;
const CITY = "identity/sealed-count/city";

const NEW_KEY = schema("identity.NewKey", { purpose: enumeration(1), commitment: bytes(2) });
const CHANGE = schema("identity.Change", {
  commitment: bytes(1),
  assuranceLevel: enumeration(2),
  proofingMethod: enumeration(3),
  binds: many(4, NEW_KEY),
  ends: manyBytes(5),
});
const PROPOSAL = schema("identity.Proposal", { change: one(1, CHANGE), officer: bytes(2), sinceMs: uint64(3) });
const CONTROL_KEY = schema("identity.ControlKey", { purpose: enumeration(1), commitment: bytes(2), suspended: uint32(3) });
const PERSON = schema("identity.PersonRecord", {
  registrar: bytes(1),
  status: enumeration(2),
  sinceMs: uint64(3),
  commitment: bytes(4),
  assuranceLevel: enumeration(5),
  proofingMethod: enumeration(6),
  keys: many(7, CONTROL_KEY),
  recoveredUntilMs: uint64(8),
  proposal: one(9, PROPOSAL),
});
const COUNTS = schema("identity.SealCounts", { sealed: uint64(1), joined: uint64(2) });

/** A way of signing in, as the ledger has it. */
export interface Way {
  readonly key: string;
  readonly purpose: number;
  readonly isLocked: boolean;
}

/** The registration, opened: everything here was compared with what the ledger proves. */
export interface Person {
  readonly registrar: { readonly zh: string; readonly en: string };
  readonly status: number;
  readonly level: number;
  readonly method: number;
  readonly sinceMs: number;
  /** Undefined: nothing was confirmed yet, or the registrar's service does not open it. */
  readonly data: Readonly<Record<string, string>> | undefined;
  readonly ways: readonly Way[];
  readonly hasProposal: boolean;
  readonly recoveredUntilMs: number;
}

/** A step that an officer took, with its receipt; `provenMs` is when the ledger recorded it. */
export interface Step {
  readonly kind: string;
  readonly step: string;
  readonly atMs: number;
  readonly provenMs: number | undefined;
}

export interface Consent {
  readonly id: string;
  readonly content: Content;
  readonly raw: Bytes;
  readonly salt: Bytes;
  readonly partySecret: Bytes;
  readonly standing: Standing;
  readonly endedMs: number;
  readonly party: { readonly zh: string; readonly en: string };
  readonly purpose: { readonly zh: string; readonly en: string };
}

export interface Asking {
  readonly id: string;
  readonly reference: string;
  readonly kind: string;
  readonly state: string;
  readonly madeMs: number;
  readonly changedMs: number;
  readonly text: string;
  readonly answer: string;
}

/** All that the registrar tells, checked. */
export interface Space {
  readonly atMs: number;
  readonly sealed: number;
  readonly person: Person | undefined;
  readonly steps: readonly Step[];
  readonly notices: number;
  readonly pictures: readonly string[];
  readonly hasCompartment: boolean;
  readonly records: readonly string[];
  readonly copies: number;
  readonly codes: number;
  readonly consents: readonly Consent[];
  readonly requests: readonly Asking[];
}

type States = ReadonlyMap<string, Bytes | null>;

/**
 * Check what an overview says against its receipt.
 *
 * @param told - What the registrar's service answered.
 * @param verifier - Of this network.
 * @param nowMs - Unix time.
 * @throws Failed; "unproven": something does not open what the ledger has, or the proof does not hold.
 */
export async function verifyOverview(told: Fields, verifier: PageVerifier, nowMs: number): Promise<Space> {
  try {
    const receipt = base64url.decode(textOf(told, "receipt")) as Bytes;
    const proven = await verifier.verifyReceipt(receipt, { stateAgeMsMax: AGE_MS_MAX, nowMs });
    const states: States = new Map(proven.states.map(({ key, value }) => [toHex(key), value]));
    const person = told["person"] === null ? undefined : fields(told["person"]);
    const city = stateOf(states, CITY);
    const credentials = fields(told["credentials"]);
    return {
      atMs: proven.timeMs,
      sealed: city === null ? 0 : Number(decode(COUNTS, city, RECORD_BYTES_MAX).sealed),
      person: person === undefined ? undefined : await personOf(person, states),
      steps: person === undefined ? [] : await stepsOf(person, verifier),
      notices: person === undefined ? 0 : list(person, "notices").length,
      pictures: person === undefined ? [] : list(person, "pictures").map(String),
      hasCompartment: person?.["compartment"] === true,
      records: list(told, "records").map(String),
      copies: Number(credentials["copies"]),
      codes: Number(credentials["codes"]),
      consents: await Promise.all(list(told, "consents").map((each) => consentOf(fields(each), states, proven.timeMs))),
      requests: list(told, "requests").map((each) => requestOf(fields(each))),
    };
  } catch {
    throw new Failed("unproven");
  }
}

function stateOf(states: States, key: string): Bytes | null {
  const found = states.get(toHex(utf8(key)));
  if (found === undefined) throw new Error(`nothing is proven of ${key}`);
  return found;
}

function list(from: Fields, name: string): readonly unknown[] {
  const found = from[name];
  if (!Array.isArray(found)) throw new Failed("malformed");
  return found;
}

function hex(from: Fields, name: string): Bytes {
  const found = fromHex(textOf(from, name));
  if (found === null) throw new Failed("malformed");
  return found;
}

/** The registration's record belongs to the registrar named, and the data open its commitment. */
async function personOf(told: Fields, states: States): Promise<Person> {
  const registrar = textOf(told, "registrar");
  const raw = stateOf(states, `identity/person/${textOf(told, "registration")}`);
  if (raw === null) throw new Error("no such registration");
  const record = decode(PERSON, raw, RECORD_BYTES_MAX);
  if (!isSame(record.registrar, await sha256(utf8(registrar)))) throw new Error("another registrar's");
  let data: Record<string, string> | undefined;
  if (told["data"] !== null) {
    data = Object.fromEntries(Object.entries(fields(told["data"])).map(([name, value]) => [name, String(value)]));
    const opened = await commitment(DATA, hex(told, "salt"), canonicalData(data));
    if (!isSame(opened, record.commitment)) throw new Error("the data are not what was confirmed");
  }
  return {
    registrar: namesOf(stateOf(states, `membership/organisation/${registrar}`), registrar),
    status: record.status,
    level: record.assuranceLevel,
    method: record.proofingMethod,
    sinceMs: Number(record.sinceMs),
    data,
    ways: record.keys.map(({ commitment: key, purpose, suspended }) => ({ key: toHex(key), purpose, isLocked: suspended !== 0 })),
    hasProposal: record.proposal !== undefined,
    recoveredUntilMs: Number(record.recoveredUntilMs),
  };
}

const STEPS_MAX = 50; // of all cases together: each takes a verification

async function stepsOf(person: Fields, verifier: PageVerifier): Promise<Step[]> {
  const found: Step[] = [];
  for (const each of list(person, "cases").map(fields)) {
    for (const step of list(each, "steps").map(fields)) {
      const receipt = step["receipt"];
      const provenMs =
        typeof receipt === "string" && receipt !== "" && found.length < STEPS_MAX ? await recordedMs(receipt, verifier) : undefined;
      found.push({ kind: textOf(each, "kind"), step: textOf(step, "step"), atMs: Number(step["at_ms"]), provenMs });
    }
  }
  return found.sort((a, b) => b.atMs - a.atMs);
}

/** When the ledger recorded what a receipt shows; undefined: it shows nothing. */
async function recordedMs(receipt: string, verifier: PageVerifier): Promise<number | undefined> {
  try {
    const raw = Uint8Array.from(atob(receipt), (character) => character.charCodeAt(0));
    const proven = await verifier.verifyReceipt(raw);
    return proven.inclusions[0]?.timeMs;
  } catch {
    return undefined;
  }
}

async function consentOf(told: Fields, states: States, atMs: number): Promise<Consent> {
  const [raw, salt] = [base64url.decode(textOf(told, "content")) as Bytes, base64url.decode(textOf(told, "salt")) as Bytes];
  const hash = hex(told, "commitment");
  await mustOpen(raw, salt, toHex(hash));
  const content = decodeContent(raw);
  const party = content.organisation;
  return {
    id: textOf(told, "id"),
    content,
    raw,
    salt,
    partySecret: base64url.decode(textOf(told, "party_secret")) as Bytes,
    ...standingOf(stateOf(states, consentKey(hash)), atMs),
    party: namesOf(stateOf(states, `membership/organisation/${party}`), party),
    purpose: purposeOf(stateOf(states, `identity/relying-party/${party}`), content.purpose),
  };
}

function requestOf(told: Fields): Asking {
  return {
    id: textOf(told, "id"),
    reference: textOf(told, "reference"),
    kind: textOf(told, "kind"),
    state: textOf(told, "state"),
    madeMs: Number(told["made_ms"]),
    changedMs: Number(told["changed_ms"]),
    text: textOf(told, "text"),
    answer: String(told["answer"] ?? ""),
  };
}

/** Places in status lists of credentials that this device holds: they stay when all others are ended. Grades have none. */
export function placesOf(held: readonly Held[]): { uri: string; idx: number }[] {
  return held.flatMap(({ payload }) => {
    if (payload["status"] === undefined) return [];
    const place = fields(fields(payload["status"])["status_list"]);
    return [{ uri: textOf(place, "uri"), idx: Number(place["idx"]) }];
  });
}

