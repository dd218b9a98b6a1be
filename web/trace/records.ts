// SPDX-License-Identifier: Apache-2.0
/**
 * The records of food events, field by field, and what an event does to goods.
 *
 * Source: proto/traceability/pb/traceability.proto; `traceability.acts`. A bool is read as a number, a signed one as its
 * zigzag, packed enumerations as bytes.
 */

import type { Bytes } from "../verify/src/bytes.js";
import {
  bytes,
  decode as decodeMessage,
  enumeration,
  type Fields,
  many,
  manyBytes,
  type Message,
  one,
  type Schema,
  schema,
  text,
  uint32,
  uint64,
} from "../verify/src/protobuf.js";

/** Of a transaction, which bounds each message in it; records are smaller. */
const RECORD_BYTES_MAX = 256 * 1024;

export const decode = <F extends Fields>(kind: Schema<F>, data: Bytes): Message<Schema<F>> =>
  decodeMessage(kind, data, RECORD_BYTES_MAX);

export const Line = schema("Line", { item: text(1), quantity: uint64(2) });
export const RecordEvent = schema("RecordEvent", { projection: bytes(1), event_commitment: bytes(2), fields_root: bytes(3) });
export const Projection = schema("Projection", {
  id: bytes(1),
  actor: text(2),
  type: enumeration(3),
  action: enumeration(4),
  step: enumeration(5),
  disposition: enumeration(6),
  event_time_ms: uint64(7),
  offset_minutes: uint32(8),
  place: text(9),
  counterparty: text(10),
  carrier: text(11),
  parent: text(12),
  lines: many(13, Line),
  outputs: many(14, Line),
  process: bytes(15),
  complete: uint32(16),
});
export const Discrepancy = schema("Discrepancy", { item: text(1), over: uint64(2), short: uint64(3) });
export const EventRecord = schema("EventRecord", {
  projection: bytes(1),
  actor: text(2),
  recorded_ms: uint64(3),
  discrepancies: many(4, Discrepancy),
  declared_ms: uint64(5),
  reason: enumeration(6),
  corrected_by: manyBytes(7),
});
export const LotRecord = schema("LotRecord", {
  creator: text(1),
  entered: uint64(2),
  granted: uint64(3),
  left: uint64(4),
  events: uint64(5),
  history: bytes(6),
  since_ms: uint64(7),
});
export const ObjectRecord = schema("ObjectRecord", {
  creator: text(1),
  holder: text(2),
  to: text(3),
  carriers: manyBytes(4),
  parent: text(5),
  lines: uint32(6),
  height: uint32(7),
  ended: uint32(8),
  events: uint64(9),
  history: bytes(10),
  since_ms: uint64(11),
});
export const RecallRecord = schema("RecallRecord", {
  kind: enumeration(1),
  reason: enumeration(2),
  by: text(3),
  regulator: text(4),
  since_ms: uint64(5),
});
export const ParticipantRecord = schema("ParticipantRecord", {
  kind: enumeration(1),
  roles: bytes(2),
  name_zh: text(3),
  name_en: text(4),
  uscc: text(5),
  commitment: bytes(6),
  suspended: uint32(7),
  agents: manyBytes(8),
  keys: uint32(9),
  regulator: text(10),
});
export const RecordPlace = schema("RecordPlace", {
  gln: text(1),
  owner: text(2),
  kind: enumeration(3),
  district: text(4),
  name_zh: text(5),
  name_en: text(6),
  closed: uint32(7),
});
export const TemperatureLimits = schema("TemperatureLimits", {
  min_millicelsius: uint32(1),
  max_millicelsius: uint32(2),
  minutes_max: uint32(3),
});
export const RecordProduct = schema("RecordProduct", {
  gtin: text(1),
  owner: text(2),
  unit: enumeration(3),
  mass_mg: uint64(4),
  name_zh: text(5),
  name_en: text(6),
  temperature: one(7, TemperatureLimits),
});
export const AnchorRecord = schema("AnchorRecord", { digest: bytes(1), size: uint64(2), since_ms: uint64(3) });

export type ProjectionMessage = Message<typeof Projection>;

/** A signed number from its zigzag. */
export const signed = (zigzag: number): number => (zigzag >>> 1) ^ -(zigzag & 1);

export type Act =
  | "declare"
  | "transform"
  | "pack"
  | "unpack"
  | "ship"
  | "cancel"
  | "receive"
  | "sell"
  | "remove"
  | "observe"
  | "note";

const [OBJECT, AGGREGATION, TRANSACTION, TRANSFORMATION] = [1, 2, 3, 4];
const [ADD, OBSERVE, DELETE] = [1, 2, 3];
const OBSERVED: Readonly<Record<number, Act>> = { 33: "ship", 41: "cancel", 24: "receive", 30: "sell", 11: "remove", 9: "remove" };

/** What an event does; of one that the ledger let pass. */
export function actOf({ type, action, step, lines }: ProjectionMessage): Act {
  if (type === TRANSFORMATION) return "transform";
  if (type === AGGREGATION) return action === ADD ? "pack" : action === DELETE ? "unpack" : "observe";
  if (type === TRANSACTION) return lines.length > 0 ? "observe" : "note";
  if (type !== OBJECT) return "note";
  if (action === ADD) return "declare";
  if (action === DELETE) return step === 30 ? "sell" : "remove";
  if (action !== OBSERVE || lines.length === 0) return "note";
  return OBSERVED[step] ?? "observe";
}

export type Kind = "lot" | "serial" | "container";

export const kindOf = (item: string): Kind =>
  item.startsWith("01/") ? (item.slice(17, 21) === "/10/" ? "lot" : "serial") : "container";
export const gtinOf = (item: string): string => item.slice(3, 17);

/** An event that was proven, with what state says of it. */
export interface Event {
  readonly id: string;
  readonly act: Act;
  readonly projection: ProjectionMessage;
  readonly record: Message<typeof EventRecord>;
  readonly fieldsRoot: Bytes;
}
