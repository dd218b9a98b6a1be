// SPDX-License-Identifier: Apache-2.0
// Who saw a person's data: a report of their list of accesses, checked on this device, complete or refused.
//
// It proves that nothing recorded in the list is left out, who wrote each entry and when; not that whoever looked
// recorded it. Source: docs/identity.md, "Accesses"; identity/access.py is the same in Python.

import { compare, equal, join, sha256, toHex, utf8, type Bytes } from "../verify/src/bytes.js";
import type { PageVerifier } from "../verify/src/client.js";
import { LedgerError } from "../verify/src/errors.js";
import { bytes, decode, enumeration, many, schema, text, uint32, uint64, type Message } from "../verify/src/protobuf.js";
import { manyTexts } from "./registration.js";

const REPORT_BYTES_MAX = 16 * 1024 * 1024;
const RECORD_BYTES_MAX = 64 * 1024;
const CONTENT_BYTES_MAX = 8 * 1024;
const ENTRIES_MAX = 4096; // of one list
const ATTRIBUTES_MAX = 64;
const NAME_BYTES_MAX = 64;
const PURPOSE_MAX = 65_535;
const SLOT_BYTES = 32;
const LOOK_UP = 1; // AccessKind; the two others are answers
const KINDS = 3;
const REASONS = 7; // LookUpReason
const CONTENT = utf8("zhixin/identity/access-content\0");
const LINK = utf8("zhixin/identity/access-link\0");
const CITY_COUNT = toHex(utf8("identity/sealed-count/city"));

const OPENING = schema("identity.AccessOpening", {
  content: bytes(1),
  contentSalt: bytes(2),
  nextSlot: bytes(3),
  nextSalt: bytes(4),
});
const REPORT = schema("identity.AccessReport", { receipt: bytes(1), openings: many(2, OPENING) });
const RECORD = schema("identity.AccessRecord", { writer: bytes(1), timeMs: uint64(2), content: bytes(3), next: bytes(4) });
const COUNTS = schema("identity.SealCounts", { sealed: uint64(1), joined: uint64(2) });
const ACCESS_CONTENT = schema("identity.AccessContent", {
  kind: enumeration(1),
  organisation: text(2),
  atMs: uint64(3),
  reason: enumeration(4),
  purpose: uint32(5),
  attributes: manyTexts(6),
  evidence: bytes(7),
  thirdParty: uint32(8),
});

/** What was seen, as the writer says. */
export type Content = Message<typeof ACCESS_CONTENT>;

/** One access, proven. */
export interface Access {
  readonly slot: Bytes;
  /** SHA-256 of the id of the organisation that wrote it. */
  readonly writer: Bytes;
  /** When it was written, Unix time in ms; `content.atMs` is when the writer says that it happened. */
  readonly recordedMs: bigint;
  /** null: erased, never told, or nothing that can be read. */
  readonly content: Content | null;
}

export interface Accesses {
  /** All that is recorded in the list, in order. */
  readonly accesses: readonly Access[];
  /** Where the next entry will stand. */
  readonly freeSlot: Bytes;
  /** How many entries the law keeps sealed in the whole city. */
  readonly sealed: bigint;
  /** Of the proof, Unix time in ms. */
  readonly atMs: number;
}

/**
 * Verify that a report tells all that is recorded in a list, and nothing else.
 *
 * @param report - Bytes of `AccessReport`.
 * @param firstSlot - 32 bytes, as the person's credential says (`access_slot`), or the free slot of an earlier report.
 * @param verifier - Of this network.
 * @param nowMs - Unix time.
 * @param ageMsMax - The oldest checkpoint that is accepted.
 * @throws LedgerError - It does not prove what it claims, something is left out, added or altered, or it is too old.
 */
export async function verifyAccesses(
  report: Bytes,
  firstSlot: Bytes,
  verifier: Pick<PageVerifier, "verifyReceipt">,
  nowMs: number,
  ageMsMax: number,
): Promise<Accesses> {
  const message = decode(REPORT, report, REPORT_BYTES_MAX);
  if (message.openings.length > ENTRIES_MAX) throw invalid(`a report has at most ${ENTRIES_MAX} entries`);
  const proven = await verifier.verifyReceipt(message.receipt, { stateAgeMsMax: ageMsMax, nowMs });
  if (proven.inclusions.length > 0 || proven.failures.length > 0) throw invalid("a report's receipt proves states only");
  const states = new Map(proven.states.map(({ key, value }) => [toHex(key), value]));
  const used = new Set<string>();
  const valueOf = (key: string): Bytes | null => {
    const value = states.get(key);
    if (value === undefined) throw invalid("the report's receipt lacks a state that the list leads to");
    used.add(key);
    return value;
  };
  const accesses: Access[] = [];
  let slot = firstSlot;
  for (const [i, opening] of message.openings.entries()) {
    const key = keyOf(slot);
    if (used.has(key)) throw invalid(`entry ${i} stands in the report already`);
    const value = valueOf(key);
    if (value === null) throw invalid(`entry ${i} stands in a slot that is free`);
    accesses.push(opened(i, slot, decode(RECORD, value, RECORD_BYTES_MAX), opening));
    slot = opening.nextSlot;
  }
  if (valueOf(keyOf(slot)) !== null) {
    throw invalid("the list goes on where the report ends: something is left out", "identity.report-incomplete");
  }
  const count = valueOf(CITY_COUNT);
  if (used.size !== states.size) throw invalid("the report's receipt proves more than the report needs");
  const sealed = count === null ? 0n : decode(COUNTS, count, RECORD_BYTES_MAX).sealed;
  return { accesses, freeSlot: slot, sealed, atMs: proven.timeMs };
}

/** One opening against what stands in its slot. */
function opened(i: number, slot: Bytes, record: Message<typeof RECORD>, opening: Message<typeof OPENING>): Access {
  const { content, contentSalt, nextSlot, nextSalt } = opening;
  if (nextSlot.length !== SLOT_BYTES || nextSalt.length !== SLOT_BYTES) {
    throw invalid(`entry ${i}: a slot and a salt have ${SLOT_BYTES} bytes each`);
  }
  if (!equal(sha256(join(LINK, nextSalt, nextSlot)), record.next)) {
    throw invalid(`entry ${i}: the next slot is not what the chain commits to`, "identity.report-altered");
  }
  const known = { slot, writer: record.writer, recordedMs: record.timeMs };
  if (content.length === 0 && contentSalt.length === 0) return { ...known, content: null };
  if (contentSalt.length !== SLOT_BYTES) throw invalid(`entry ${i}: a salt has ${SLOT_BYTES} bytes`);
  if (!equal(sha256(join(CONTENT, contentSalt, content)), record.content)) {
    throw invalid(`entry ${i}: its content is not what the chain commits to`, "identity.report-altered");
  }
  return { ...known, content: contentOf(content) };
}

/** What an entry says; null: nothing that a service of this city writes. */
function contentOf(raw: Bytes): Content | null {
  let content: Content;
  try {
    content = decode(ACCESS_CONTENT, raw, CONTENT_BYTES_MAX);
  } catch (error) {
    if (error instanceof LedgerError) return null;
    throw error;
  }
  const { kind, organisation, atMs, reason, purpose, attributes, evidence, thirdParty } = content;
  const isLookUp = kind === LOOK_UP;
  const isFitting = isLookUp
    ? reason >= 1 && reason <= REASONS && purpose === 0
    : kind > LOOK_UP && kind <= KINDS && reason === 0 && purpose >= 1 && purpose <= PURPOSE_MAX;
  const isBounded =
    isName(organisation) &&
    atMs > 0n &&
    attributes.length <= ATTRIBUTES_MAX &&
    attributes.every((name, i) => isName(name) && (i === 0 || compare(utf8(attributes[i - 1] as string), utf8(name)) < 0)) &&
    (evidence.length === 0 || evidence.length === SLOT_BYTES) &&
    thirdParty <= 1;
  return isFitting && isBounded ? content : null;
}

const isName = (name: string): boolean => name !== "" && utf8(name).length <= NAME_BYTES_MAX;

const keyOf = (slot: Bytes): string => toHex(utf8(`identity/access/${toHex(slot)}`));

const invalid = (reason: string, code = "receipt.invalid"): LedgerError => new LedgerError(code, reason);
