// SPDX-License-Identifier: Apache-2.0
// The credit score in the browser: the same pure function as `credit/score.py`, the same bytes for the same input.
//
// Integers only, all far below 2^53. Whoever sees a score computes it anew with this and compares the text.
// Source: docs/credit.md.

import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";

/** What the score takes from one event; see `credit.score.Event`. */
export interface CreditEvent {
  readonly number: number;
  readonly found: string;
  readonly status: string;
  readonly documentDay: number;
  readonly publishedDaysMax: number;
}

interface ClassRule {
  readonly class: number;
  readonly decay: readonly (readonly [number, number])[];
  readonly dimension: number;
  readonly points: Readonly<Record<string, number>>;
}

interface Scorecard {
  readonly base: number;
  readonly classes: readonly ClassRule[];
  readonly dimensions: readonly { readonly max: number; readonly min: number; readonly number: number }[];
  readonly grades: readonly (readonly [string, number])[];
  readonly max: number;
  readonly min: number;
  readonly open_pledges_max: number;
}

const FOUND = ["broken", "general", "kept", "minor", "none", "open", "serious"];
const STATUSES = ["active", "broken", "corrected", "disputed", "expired", "kept", "open", "repaired", "withdrawn"];
const COUNTING = new Set(["active", "corrected", "open", "kept", "broken"]);
const PLEDGED = new Set(["open", "kept", "broken"]);
const LOST_MAX = 4;
const NEXT_MAX = 3;
const EVENTS_MAX = 100_000;
const DAY_MAX = 2 ** 31 - 1;
const DAYS_MAX = 36_525;
const EVENT_BYTES = 12;

interface Counted {
  readonly event: CreditEvent;
  readonly rule: ClassRule;
  readonly found: string;
}

/** Points of all events on one day, kept as events change. */
class Sums {
  readonly #dimensions: Map<number, number>;
  #open = 0;

  constructor(readonly scorecard: Scorecard) {
    this.#dimensions = new Map(scorecard.dimensions.map((dimension) => [dimension.number, 0]));
  }

  add(counted: Counted, points: number): void {
    if (counted.found === "open") this.#open += points;
    else this.#dimensions.set(counted.rule.dimension, (this.#dimensions.get(counted.rule.dimension) ?? 0) + points);
  }

  get pledged(): number {
    return Math.min(this.#open, this.scorecard.open_pledges_max);
  }

  dimensions(): [number, number][] {
    return this.scorecard.dimensions.map(({ number, min, max }) => [
      number,
      Math.max(min, Math.min(this.#dimensions.get(number) ?? 0, max)),
    ]);
  }

  total(): number {
    const sum = this.dimensions().reduce((total, [, points]) => total + points, this.scorecard.base + this.pledged);
    return Math.max(this.scorecard.min, Math.min(sum, this.scorecard.max));
  }
}

/**
 * Compute a score.
 *
 * @param events - In the order of their log.
 * @param document - The scorecard's bytes, as a verified report proves them.
 * @param asOf - The day it is for, in days since 1970-01-01.
 * @returns Canonical JSON, byte for byte what `credit.score.score(...).raw` is.
 * @throws RangeError - A field of an event is out of its bounds.
 */
export function score(events: readonly CreditEvent[], document: Uint8Array, asOf: number): string {
  const scorecard = JSON.parse(new TextDecoder().decode(document)) as Scorecard;
  const digest = eventsDigest(events);
  if (!isWithin(asOf, 0, DAY_MAX)) throw new RangeError(`as_of: a day from 0 to ${DAY_MAX}`);
  const rules = new Map(scorecard.classes.map((rule) => [rule.class, rule]));
  const sums = new Sums(scorecard);
  const lost = new Map<number, number>();
  const counted: Counted[] = [];
  const now: number[] = [];
  const changes: [number, number][] = [];
  for (const event of events) {
    const rule = rules.get(event.number);
    if (rule === undefined || !COUNTING.has(event.status)) continue;
    const one = { event, rule, found: PLEDGED.has(event.status) ? event.status : event.found };
    const [points, until] = worth(one, asOf);
    sums.add(one, points);
    if (points < 0) lost.set(event.number, (lost.get(event.number) ?? 0) - points);
    if (until !== null) changes.push([until, counted.length]);
    counted.push(one);
    now.push(points);
  }
  const points = sums.total();
  const dimensions = sums.dimensions();
  const pledged = sums.pledged;
  const next = ahead(sums, counted, now, changes, points);
  const worst = [...lost].sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, LOST_MAX);
  return JSON.stringify({
    as_of: asOf,
    dimensions,
    events: bytesToHex(digest),
    frozen: events.filter((event) => event.status === "disputed").length,
    grade: grade(scorecard, points),
    lost: worst,
    next,
    pledged,
    points,
    scorecard: bytesToHex(sha256(document)),
  });
}

function isWithin(value: number, least: number, most: number): boolean {
  return Number.isInteger(value) && least <= value && value <= most;
}

/** SHA-256 over the events in order, 12 bytes each. */
function eventsDigest(events: readonly CreditEvent[]): Uint8Array {
  if (events.length > EVENTS_MAX) throw new RangeError(`at most ${EVENTS_MAX} events are scored together`);
  const raw = new DataView(new ArrayBuffer(events.length * EVENT_BYTES));
  events.forEach((event, i) => {
    const found = FOUND.indexOf(event.found);
    const status = STATUSES.indexOf(event.status);
    const isKnown = found >= 0 && status >= 0 && isWithin(event.number, 1, 65_535);
    if (!isKnown || !isWithin(event.documentDay, 0, DAY_MAX) || !isWithin(event.publishedDaysMax, 0, DAYS_MAX)) {
      throw new RangeError(`events[${i}]: a field is out of its bounds`);
    }
    const at = i * EVENT_BYTES;
    raw.setUint16(at, event.number);
    raw.setUint8(at + 2, found);
    raw.setUint8(at + 3, status);
    raw.setUint32(at + 4, event.documentDay);
    raw.setUint32(at + 8, event.publishedDaysMax);
  });
  return sha256(new Uint8Array(raw.buffer));
}

/** What an event counts for on a day, and from which day on that may be otherwise; null: never. */
function worth({ event, rule, found }: Counted, day: number): [number, number | null] {
  const full = rule.points[found] ?? 0; // `found` is one of FOUND, so no name of a prototype
  if (full === 0) return [0, null];
  const age = day - event.documentDay;
  if (age < 0) return [0, event.documentDay];
  const ends = event.publishedDaysMax > 0 ? event.publishedDaysMax + 1 : Infinity;
  if (age >= ends) return [0, null];
  let percent = 0;
  let until = ends;
  for (const [days, share] of rule.decay) {
    if (days > age) {
      until = Math.min(days, ends);
      break;
    }
    percent = share;
  }
  const points = Math.floor((Math.abs(full) * percent) / 100);
  return [full > 0 || points === 0 ? points : -points, until === Infinity ? null : event.documentDay + until];
}

/** The next days on which the points change by themselves. Leaves `sums` as of the last of them. */
function ahead(
  sums: Sums,
  counted: readonly Counted[],
  now: number[],
  changes: [number, number][],
  points: number,
): [number, number, string][] {
  const found: [number, number, string][] = [];
  let pending = [...changes].sort((a, b) => a[0] - b[0]);
  let total = points;
  while (pending.length > 0 && found.length < NEXT_MAX) {
    const day = pending[0]?.[0] ?? 0;
    const due = pending.filter((change) => change[0] === day);
    pending = pending.slice(due.length);
    const later: [number, number][] = [];
    for (const [, i] of due) {
      const one = counted[i];
      if (one === undefined) throw new RangeError("a change names an event that is not there");
      const [value, until] = worth(one, day);
      sums.add(one, value - (now[i] ?? 0));
      now[i] = value;
      if (until !== null) later.push([until, i]);
    }
    if (later.length > 0) pending = [...pending, ...later].sort((a, b) => a[0] - b[0]);
    if (sums.total() !== total) {
      total = sums.total();
      found.push([day, total, grade(sums.scorecard, total)]);
    }
  }
  return found;
}

/** The best grade that these points give. */
function grade(scorecard: Scorecard, points: number): string {
  const found = scorecard.grades.find(([, least]) => points >= least);
  if (found === undefined) throw new RangeError("a scorecard's grades reach down to its least points");
  return found[0];
}
