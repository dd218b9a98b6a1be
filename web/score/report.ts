// SPDX-License-Identifier: Apache-2.0
// A credit report in the browser: a whole log, verified on this device. It is complete or refused: nothing recorded in
// it up to its checkpoint is left out.
//
// Source: docs/credit.md, "The report"; credit/report.py verifies the same in Python.

import { equal, fromUtf8, join, sha256, toHex, utf8, type Bytes } from "../verify/src/bytes.js";
import type { Kept, Verified } from "../verify/src/client.js";
import { bytes, decode, enumeration, many, schema, text, uint32, type Message } from "../verify/src/protobuf.js";
import type { CreditEvent } from "./score.js";

const REPORT_BYTES_MAX = 16 * 1024 * 1024;
const RECORD_BYTES_MAX = 8 * 1024;
const EVENTS_MAX = 4096; // places of a log
const HASH_BYTES = 32;
const CONTENT_BYTES = 45;
const DAY_MS = 86_400_000;
const [LOG, LINK, CONTENT] = ["zhixin/credit/log\0", "zhixin/credit/link\0", "zhixin/credit/content\0"];
const SEVERITIES = ["none", "minor", "general", "serious"] as const;
const DAYS_MAX = [0, 92, 366, 1096] as const; // of publication, by severity
/** By number, as credit.proto has them. */
const STATUSES = ["", "active", "disputed", "corrected", "repaired", "expired", "withdrawn", "open", "kept", "broken"];

const OPENING = schema("credit.Opening", {
  content: bytes(1),
  contentSalt: bytes(2),
  nextSlot: bytes(3),
  nextSalt: bytes(4),
});
const REPORT = schema("credit.Report", {
  receipt: bytes(1),
  logSalt: bytes(2),
  firstSlot: bytes(3),
  openings: many(4, OPENING),
  scorecard: uint32(5),
  scorecardVersion: uint32(6),
});
const LOG_RECORD = schema("credit.LogRecord", { registrar: text(1), closed: uint32(2) });
const RECORD = schema("credit.EventRecord", {
  class: uint32(1),
  classVersion: uint32(2),
  source: text(3),
  registrar: text(4),
  status: enumeration(5),
  content: bytes(6),
  next: bytes(7),
  objection: bytes(8),
  corrections: uint32(9),
  before: enumeration(10),
  upheld: uint32(11),
});
const CLASS = schema("credit.PutClass", {
  class: uint32(1),
  version: uint32(2),
  kind: enumeration(3),
  polarity: enumeration(4),
  severity: enumeration(5),
  dimension: uint32(6),
  nameZh: text(7),
  nameEn: text(8),
  legalBasis: text(9),
  publicationDaysMin: uint32(10),
  publicationDaysMax: uint32(11),
  effects: bytes(12), // packed numbers, of which nothing is needed here
  retired: uint32(13),
});

export type Report = Message<typeof REPORT>;
type Opening = Message<typeof OPENING>;

/** Which part of the check failed. */
export class ReportRefused extends Error {
  constructor(readonly step: "report" | "events" | "complete" | "holder" | "registrar") {
    super(step);
  }
}

/** One event, proven. */
export interface ProvenEvent {
  /** In hex. */
  readonly slot: string;
  readonly source: string;
  readonly status: string;
  readonly nameZh: string;
  readonly nameEn: string;
  /** What it was found to be; null: withheld, as its dates are. */
  readonly severity: string | null;
  /** What the score takes; null: withheld. */
  readonly event: CreditEvent | null;
}

/** What a report proves of its log. */
export interface ProvenReport {
  /** Its commitment, in hex. */
  readonly log: string;
  /** Who keeps it. */
  readonly registrar: string;
  readonly events: readonly ProvenEvent[];
  readonly scorecard: Bytes;
  /** The checkpoint's day, in days since 1970-01-01. */
  readonly asOf: number;
  readonly timeMs: number;
}

/**
 * Read a report; nothing of it is proven yet.
 *
 * @throws ReportRefused - "report": these bytes are none.
 */
export function decodeReport(raw: Bytes): Report {
  try {
    const report = decode(REPORT, raw, REPORT_BYTES_MAX);
    if (report.openings.length > EVENTS_MAX) throw new Error("too many events");
    return report;
  } catch {
    throw new ReportRefused("report");
  }
}

/**
 * Check a report against what its receipt proves.
 *
 * @param report - As `decodeReport` read it.
 * @param proven - What the verifier says of `report.receipt`.
 * @param allowWithheld - Whether an event may keep back what it says beyond class, source and status.
 * @throws ReportRefused - "events": one is not what the ledger holds; "complete": something is left out, or added.
 */
export function openReport(report: Report, proven: Kept<Verified>, allowWithheld = false): ProvenReport {
  const states = new States(proven);
  if (report.logSalt.length !== HASH_BYTES || report.firstSlot.length !== HASH_BYTES) throw new ReportRefused("report");
  const log = sha256(join(utf8(LOG), report.logSalt, report.firstSlot));
  const rawLog = states.value(`credit/log/${toHex(log)}`);
  if (rawLog === null) throw new ReportRefused("complete");
  const events: ProvenEvent[] = [];
  let slot = report.firstSlot;
  for (const opening of report.openings) {
    events.push(openEvent(states, slot, opening, allowWithheld));
    slot = opening.nextSlot;
  }
  if (states.value(slotKey(slot)) !== null) throw new ReportRefused("complete");
  const scorecard = states.value(`credit/scorecard/${report.scorecard}/${report.scorecardVersion}`);
  if (scorecard === null || !states.isUsedUp) throw new ReportRefused("complete");
  const { registrar } = read(LOG_RECORD, rawLog);
  const asOf = Math.floor(proven.timeMs / DAY_MS);
  return { log: toHex(log), registrar, events, scorecard, asOf, timeMs: proven.timeMs };
}

/** States of a receipt; slots are asked for once each, and none may be left over. */
export class States {
  readonly #values: Map<string, Bytes | null>;
  readonly #used = new Set<string>();

  constructor(proven: Kept<Verified>) {
    if (proven.inclusions.length + proven.failures.length > 0) throw new ReportRefused("complete");
    this.#values = new Map(proven.states.map(({ key, value }) => [fromUtf8(key), value]));
  }

  value(key: string): Bytes | null {
    const found = this.#values.get(key);
    if (found === undefined) throw new ReportRefused("complete");
    this.#used.add(key);
    return found;
  }

  isUsed(key: string): boolean {
    return this.#used.has(key);
  }

  get isUsedUp(): boolean {
    return this.#used.size === this.#values.size;
  }
}

const slotKey = (slot: Bytes): string => `credit/slot/${toHex(slot)}`;

function openEvent(states: States, slot: Bytes, opening: Opening, allowWithheld: boolean): ProvenEvent {
  const key = slotKey(slot);
  if (states.isUsed(key)) throw new ReportRefused("complete");
  const raw = states.value(key);
  if (raw === null) throw new ReportRefused("events");
  const record = read(RECORD, raw);
  const classRaw = states.value(`credit/class/${record.class}/${record.classVersion}`);
  if (classRaw === null) throw new ReportRefused("events");
  const catalogued = read(CLASS, classRaw);
  mustBe(LINK, opening.nextSalt, opening.nextSlot, HASH_BYTES, record.next);
  const status = STATUSES[record.status];
  if (!status) throw new ReportRefused("events");
  const { source } = record;
  const told = { slot: toHex(slot), source, status, nameZh: catalogued.nameZh, nameEn: catalogued.nameEn };
  if (allowWithheld && opening.content.length + opening.contentSalt.length === 0) {
    return { ...told, severity: null, event: null };
  }
  mustBe(CONTENT, opening.contentSalt, opening.content, CONTENT_BYTES, record.content);
  const content = new DataView(opening.content.buffer, opening.content.byteOffset, CONTENT_BYTES);
  const found = content.getUint8(0);
  const [severity, longest] = [SEVERITIES[found], DAYS_MAX[found]];
  if (severity === undefined || longest === undefined || found > Math.max(0, catalogued.severity - 1)) {
    throw new ReportRefused("events");
  }
  const publishedDaysMax = found === 0 ? catalogued.publicationDaysMax : Math.min(catalogued.publicationDaysMax, longest);
  const event = { number: record.class, found: severity, status, documentDay: content.getUint32(5), publishedDaysMax };
  return { ...told, severity, event };
}

function read<S extends typeof LOG_RECORD | typeof RECORD | typeof CLASS>(kind: S, raw: Bytes): Message<S> {
  try {
    return decode(kind as never, raw, RECORD_BYTES_MAX) as Message<S>;
  } catch {
    throw new ReportRefused("events");
  }
}

/** Check that a salted commitment opens to a value. */
function mustBe(domain: string, salt: Bytes, value: Bytes, size: number, commitment: Bytes): void {
  if (salt.length !== HASH_BYTES || value.length !== size) throw new ReportRefused("events");
  if (!equal(sha256(join(utf8(domain), salt, value)), commitment)) throw new ReportRefused("events");
}
