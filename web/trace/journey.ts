// SPDX-License-Identifier: Apache-2.0
/**
 * What a journey's proof shows, once its receipt is verified: that each event is the one that state keeps, that none is
 * left out, that goods passed from hand to hand, and which recalls are in force.
 *
 * Everything is concluded from proven bytes and the item that was scanned. What the server says beside them (ids of
 * events that it does not show, opened fields) is held to proven hashes.
 */

import { type Bytes, equal, fromHex, join, sha256, toHex, utf8 } from "../verify/src/bytes.js";
import { leafHash, verifyInclusion } from "../verify/src/log.js";
import type { Inclusion, State } from "../verify/src/proven.js";
import { LedgerError } from "../verify/src/errors.js";
import { actOf, decode, type Event, EventRecord, gtinOf, kindOf, LotRecord, ObjectRecord, Projection, RecordEvent } from "./records.js";
import type { Opened, Proven } from "./telling.js";
import { keyText } from "./words.js";

/** Which step of the proof strip a fault belongs to. */
export type Part = "events" | "whole" | "shown";

/** The proof does not show what it has to. `isOpen`: nothing is wrong, but this much could not be checked. */
export class Fault extends Error {
  constructor(
    readonly part: Part,
    /** Key of the words. */
    readonly key: string,
    readonly isOpen = false,
  ) {
    super(key);
  }
}

/** What the server sends. */
export interface Bundle {
  readonly format: string;
  readonly item: string;
  /** Base64. */
  readonly receipt: string;
  /** Whether the page tells the whole way. */
  readonly complete: boolean;
  /** Of each item, the ids of all events that name it, in the order of the log. */
  readonly ids: Readonly<Record<string, readonly string[]>>;
  readonly openings: readonly {
    readonly event: string;
    readonly pointer: string;
    readonly value: string;
    readonly salt: string;
    readonly index: number;
    readonly count: number;
    readonly path: readonly string[];
  }[];
}

export type States = ReadonlyMap<string, Bytes | null>;

export const statesOf = (states: readonly State[]): States => new Map(states.map(({ key, value }) => [keyText(key), value]));

/** The events, each held to its record in state. */
export function eventsOf(inclusions: readonly Inclusion[], states: States): Event[] {
  return inclusions.map(({ type, body }) => {
    if (type !== "traceability.RecordEvent") throw new Fault("events", "script.trace.refused-event");
    const message = decode(RecordEvent, body);
    const projection = decode(Projection, message.projection);
    const id = toHex(projection.id);
    const raw = states.get(`traceability/event/${id}`);
    if (raw === undefined || raw === null) throw new Fault("events", "script.trace.refused-event");
    const record = decode(EventRecord, raw);
    if (!equal(record.projection, sha256(message.projection))) throw new Fault("events", "script.trace.refused-event");
    return { id, act: actOf(projection), projection, record, fieldsRoot: message.fields_root };
  });
}

/** The item, and all that it was made of or holds, as far as the events tell. */
export function goodsOf(item: string, events: readonly Event[]): string[] {
  const goods = new Set([item]);
  for (let before = 0; before !== goods.size; ) {
    before = goods.size;
    for (const { act, projection, record } of events) {
      if (act !== "transform" || record.declared_ms !== 0n) continue;
      const { outputs, actor, process } = projection;
      if (!outputs.some((line) => goods.has(line.item))) continue;
      for (const one of events) {
        const isPart = process.length > 0 && one.projection.actor === actor && equal(one.projection.process, process);
        if (one.projection === projection || isPart) for (const line of one.projection.lines) goods.add(line.item);
      }
    }
    for (const one of [...goods]) if (kindOf(one) === "container") for (const inside of contents(one, events)) goods.add(inside);
  }
  return [item, ...[...goods].filter((one) => one !== item).sort()];
}

/** What is in a container after these events; of an empty one, all that was. */
function contents(container: string, events: readonly Event[]): string[] {
  const inside = new Map<string, bigint>();
  const ever = new Set<string>();
  for (const { act, projection, record } of events) {
    if (projection.parent !== container || record.declared_ms !== 0n) continue;
    if (act === "unpack" && projection.lines.length === 0) inside.clear();
    for (const { item, quantity } of projection.lines) {
      const before = inside.get(item) ?? 0n;
      if (act === "pack") {
        inside.set(item, before + quantity);
        ever.add(item);
      } else if (act === "unpack" && before <= quantity) inside.delete(item);
      else if (act === "unpack") inside.set(item, before - quantity);
    }
  }
  return [...(inside.size > 0 ? inside.keys() : ever)];
}

/**
 * Check that the events of each item are all that the ledger counts, as far as ids tell.
 *
 * @returns How many of the item's own events are not shown.
 */
export function checkWhole({ item, ids, complete }: Bundle, goods: readonly string[], events: readonly Event[], states: States): number {
  const shown = new Set(events.map(({ id }) => id));
  let hidden = 0;
  for (const one of goods) {
    const listed = ids[one];
    const raw = states.get(`traceability/${kindOf(one) === "lot" ? "lot" : "object"}/${one}`);
    if (raw === undefined && !complete) throw new Fault("whole", "script.trace.open-long", true);
    if (raw === undefined || raw === null) throw new Fault("whole", "script.trace.refused-left-out");
    if (listed === undefined) throw new Fault("whole", "script.trace.open-long", true);
    const record = kindOf(one) === "lot" ? decode(LotRecord, raw) : decode(ObjectRecord, raw);
    let history: Bytes = new Uint8Array(32);
    for (const id of listed) history = sha256(join(history, bytesOf(id)));
    if (record.events !== BigInt(listed.length) || !equal(history, record.history)) {
      throw new Fault("whole", "script.trace.refused-left-out");
    }
    const [first] = listed; // where goods come from is never among what is merely counted
    if (complete && first !== undefined && !shown.has(first)) throw new Fault("whole", "script.trace.refused-left-out");
    const known = new Set(listed);
    for (const { id, projection } of events) {
      const names = [...projection.lines, ...projection.outputs].some((line) => line.item === one) || projection.parent === one;
      if (names && !known.has(id)) throw new Fault("whole", "script.trace.refused-left-out");
    }
    if (one !== item) continue;
    hidden = listed.filter((id) => !shown.has(id)).length;
    if (kindOf(item) === "serial" && complete && hidden > 0) throw new Fault("whole", "script.trace.refused-left-out");
  }
  if (!complete) throw new Fault("whole", "script.trace.open-long", true);
  return hidden;
}

/** Check that whoever ships, packs, uses or sells goods had them from somebody whom the page shows. */
export function checkLinks(items: ReadonlySet<string>, events: readonly Event[]): void {
  const held = new Set<string>();
  const sent = new Set<string>();
  const packed = new Map<string, Set<string>>();
  const isOpen = events.some(({ record }) => record.declared_ms !== 0n);
  for (const { act, projection, record } of events) {
    const { actor, counterparty, parent, outputs } = projection;
    const lines = projection.lines.map((line) => line.item).filter((item) => items.has(item));
    const has = (item: string): boolean => held.has(`${item} ${actor}`);
    const take = (item: string): void => void held.add(`${item} ${actor}`);
    const need = (isThere: boolean): void => {
      if (!isThere) throw new Fault("whole", "script.trace.refused-link", isOpen);
    };
    if (act === "declare") lines.forEach(take);
    else if (act === "transform") {
      lines.forEach((item) => need(has(item)));
      outputs.forEach((line) => take(line.item));
    } else if (act === "pack") {
      const inside = packed.get(parent) ?? new Set();
      lines.forEach((item) => (need(has(item)), inside.add(item)));
      packed.set(parent, inside);
      take(parent);
    } else if (act === "unpack") {
      need(has(parent));
      (projection.lines.length > 0 ? lines : [...(packed.get(parent) ?? [])]).forEach(take);
    } else if (act === "ship") lines.forEach((item) => (need(has(item)), sent.add(`${item} ${actor} ${counterparty}`)));
    else if (act === "receive") {
      const over = new Set(record.discrepancies.filter((one) => one.over !== 0n).map((one) => one.item));
      lines.forEach((item) => (need(over.has(item) || sent.has(`${item} ${counterparty} ${actor}`)), take(item)));
    } else if (act === "sell" || act === "remove") lines.forEach((item) => need(has(item)));
  }
}

/** Recalls in force of any of the goods, or of their products; each key has to be proven. */
export function recallsOf({ complete }: Bundle, goods: readonly string[], states: States): { goods: string; raw: Bytes }[] {
  const found: { goods: string; raw: Bytes }[] = [];
  for (const one of goods) {
    const names = kindOf(one) === "container" ? [one] : [one, `01/${gtinOf(one)}`];
    for (const name of names) {
      const raw = states.get(`traceability/recall/${name}`);
      if (raw === undefined && !complete) throw new Fault("whole", "script.trace.open-long", true);
      if (raw === undefined) throw new Fault("whole", "script.trace.refused-left-out");
      if (raw !== null) found.push({ goods: one, raw });
    }
  }
  return found;
}

const FIELD = utf8("zhixin/traceability/field\u0000");

/** Check each opened field against its event's commitment. */
export function openedOf({ openings }: Bundle, events: readonly Event[]): Opened[] {
  const byId = new Map(events.map((event) => [event.id, event]));
  return openings.map(({ event, pointer, value, salt, index, count, path }) => {
    const where = utf8(pointer);
    const size = new Uint8Array([where.length >>> 24, where.length >>> 16, where.length >>> 8, where.length]);
    const leaf = leafHash(sha256(join(FIELD, bytesOf(salt), size, where, utf8(value))));
    const found = byId.get(event);
    try {
      if (found === undefined) throw new TypeError("no such event");
      verifyInclusion(leaf, BigInt(index), BigInt(count), path.map(bytesOf), found.fieldsRoot);
    } catch (error) {
      if (error instanceof LedgerError || error instanceof TypeError || error instanceof RangeError) {
        throw new Fault("shown", "script.trace.refused-field");
      }
      throw error;
    }
    return { event, pointer, value };
  });
}

function bytesOf(digits: string): Bytes {
  const found = fromHex(digits);
  if (found === null || found.length !== 32) throw new Fault("whole", "script.trace.refused-left-out");
  return found;
}

/** All that the page is to be written from. */
export function provenOf(
  bundle: Bundle,
  goods: readonly string[],
  events: readonly Event[],
  openings: readonly Opened[],
  recalls: Proven["recalls"],
  hidden: number,
): Proven {
  const items = new Set(goods);
  for (const { projection } of events) if (projection.parent !== "") items.add(projection.parent);
  return { item: bundle.item, goods, items, events, openings, recalls, hidden };
}
