// SPDX-License-Identifier: Apache-2.0
/**
 * What the journey page has to say, written again from what was proven: the twin of
 * `traceability.api.shopper.telling`. Blanks do not count, so only words are compared.
 */

import type { Bytes } from "../verify/src/bytes.js";
import { alerts, byTime, type Reading, readingsOf } from "./cold.js";
import { decode, type Event, kindOf, RecallRecord } from "./records.js";
import type { Wording } from "./words.js";

const GOODS_SHOWN_MAX = 4;
const STOPS_MAX = 6;
const READINGS_SHOWN_MAX = 200;
const ORIGINS_MAX = 3;
const LATE_MS = 6 * 3_600_000;
const CERTIFICATE_CHARACTERS_MAX = 200;
const [CONFORMANT, NON_CONFORMANT] = [5, 22];

const KINDS: Readonly<Record<number, string>> = { 1: "script.trace.recall-withdrawal", 2: "script.trace.recall-recall" };
const REASONS: Readonly<Record<number, string>> = {
  1: "script.trace.reason-contamination",
  2: "script.trace.reason-residues",
  3: "script.trace.reason-pathogen",
  4: "script.trace.reason-cold-chain",
  5: "script.trace.reason-labelling",
  6: "script.trace.reason-foreign-body",
  7: "script.trace.reason-precaution",
};

/** A field of an event that was opened and verified. */
export interface Opened {
  readonly event: string;
  readonly pointer: string;
  readonly value: string;
}

/** All that a page is written from. */
export interface Proven {
  readonly item: string;
  /** The item first, the others sorted. */
  readonly goods: readonly string[];
  /** Goods and containers of the journey. */
  readonly items: ReadonlySet<string>;
  readonly events: readonly Event[];
  readonly openings: readonly Opened[];
  /** Recalls in force, by the name of what is recalled. */
  readonly recalls: readonly { readonly goods: string; readonly raw: Bytes }[];
  /** Events of the item that the page does not show. */
  readonly hidden: number;
}

/** The words of each part of the page, by its name, without blanks. */
export function expected(words: Wording, proven: Proven): Map<string, string> {
  const readings = readingsIn(proven);
  const limits = kindOf(proven.item) === "container" ? undefined : words.product(proven.item).temperature;
  const outside = limits === undefined ? [] : alerts(readings, limits);
  const alertWords = outside.map((one) =>
    words.text("script.trace.alert", {
      moment: words.moment(one.fromMs),
      minutes: Math.floor((one.toMs - one.fromMs) / 60_000),
      low: words.degrees(one.low),
      high: words.degrees(one.high),
    }),
  );
  const parts = new Map<string, string[]>([
    ["name", [words.name(proven.item), words.identity(proven.item)]],
    ["facts", facts(words, proven, readings, alertWords.length > 0)],
    ["recall", recallWords(words, proven)],
    ["route", stops(proven).map((place) => words.place(place))],
    ["alerts", alertWords],
    ["readings", readings.slice(0, READINGS_SHOWN_MAX).flatMap((one) => reading(words, one))],
    ["papers", papers(proven)],
    ["hidden", proven.hidden === 0 ? [] : [words.text("script.trace.hidden", { count: proven.hidden })]],
  ]);
  for (const event of proven.events) parts.set(event.id, eventWords(words, event, proven));
  return new Map([...parts].map(([name, texts]) => [name, blankless(texts.join(""))]));
}

export const blankless = (text: string): string => text.replace(/\s+/g, "");

/** What is in force against an item, or what it was made of. */
export function recallWords(words: Wording, { item, recalls }: Proven): string[] {
  const found = recalls.map(({ goods, raw }) => {
    const record = decode(RecallRecord, raw);
    return [
      words.text(KINDS[record.kind] ?? "script.trace.recall-recall"),
      goods === item ? "" : `${words.name(goods)} ${words.identity(goods)}`,
      words.text(REASONS[record.reason] ?? "script.trace.reason-precaution"),
      record.by === "" ? words.text("script.trace.regulator") : words.party(record.by),
      words.day(Number(record.since_ms)),
    ]
      .filter((part) => part !== "")
      .join(" · ");
  });
  return [...new Set(found)];
}

function facts(words: Wording, { events }: Proven, readings: readonly Reading[], isAlert: boolean): string[] {
  const first = events.filter(({ act }) => act === "declare");
  const origins = [...new Set(first.map(({ projection }) => words.place(projection.place)))].filter((place) => place !== "");
  const found = [words.text("script.trace.origin"), origins.slice(0, ORIGINS_MAX).join(" / ") || words.text("script.trace.unknown")];
  if (first.length > 0) {
    const since = Math.min(...first.map(({ projection }) => Number(projection.event_time_ms)));
    found.push(words.text("script.trace.since"), words.day(since));
  }
  found.push(words.text("script.trace.checks"), checks(words, events), words.text("script.trace.temperature"));
  if (readings.length === 0) return [...found, words.text("script.trace.not-recorded")];
  const low = words.degrees(Math.min(...readings.map((one) => one.low)));
  const high = words.degrees(Math.max(...readings.map((one) => one.high)));
  return [...found, words.text(isAlert ? "script.trace.range-alert" : "script.trace.range", { low, high })];
}

function checks(words: Wording, events: readonly Event[]): string {
  const counted = events.filter(({ act, record }) => act === "observe" && record.declared_ms === 0n);
  const count = (disposition: number): number =>
    counted.filter(({ projection }) => projection.disposition === disposition).length;
  const [passed, failed] = [count(CONFORMANT), count(NON_CONFORMANT)];
  if (failed > 0) return words.text("script.trace.checks-failed", { failed, passed });
  return passed > 0 ? words.text("script.trace.checks-passed", { count: passed }) : words.text("script.trace.checks-none");
}

function eventWords(words: Wording, { act, projection, record }: Event, { item, items }: Proven): string[] {
  const timeMs = Number(projection.event_time_ms);
  const recordedMs = Number(record.recorded_ms);
  const found = [
    words.act(act, projection),
    words.result(projection),
    words.moment(timeMs),
    words.party(projection.actor),
    words.place(projection.place),
  ];
  const party = projection.counterparty === "" ? "" : words.party(projection.counterparty);
  if (act === "ship" || act === "cancel") found.push(words.text("script.trace.to", { party }));
  if (act === "receive") found.push(words.text("script.trace.from", { party }));
  if (projection.carrier !== "") found.push(words.text("script.trace.by", { party: words.party(projection.carrier) }));
  const named = [...projection.outputs, ...projection.lines]
    .filter((line) => items.has(line.item))
    .map((line) => words.goods(line.item, line.quantity, item))
    .filter((text) => text !== "");
  found.push(...named.slice(0, GOODS_SHOWN_MAX));
  if (named.length > GOODS_SHOWN_MAX) found.push(words.text("script.trace.more", { count: named.length - GOODS_SHOWN_MAX }));
  const { parent } = projection;
  if (parent !== "" && parent !== item) found.push(words.name(parent), words.identity(parent));
  if (record.declared_ms !== 0n) found.push(words.text("script.trace.in-error", { day: words.day(Number(record.declared_ms)) }));
  const own = record.discrepancies.filter((one) => items.has(one.item));
  if (own.some((one) => one.over !== 0n)) found.push(words.text("script.trace.over"));
  if (own.some((one) => one.short !== 0n)) found.push(words.text("script.trace.short"));
  if (recordedMs - timeMs > LATE_MS) found.push(words.text("script.trace.recorded", { moment: words.moment(recordedMs) }));
  return found;
}

function stops({ events }: Proven): string[] {
  const places: string[] = [];
  for (const { projection, record } of events) {
    const { place } = projection;
    if (place !== "" && record.declared_ms === 0n && places[places.length - 1] !== place) places.push(place);
  }
  return places.length <= STOPS_MAX ? places : [...places.slice(0, STOPS_MAX / 2), ...places.slice(-STOPS_MAX / 2)];
}

function readingsIn({ events, openings }: Proven): Reading[] {
  const times = new Map(
    events.filter(({ record }) => record.declared_ms === 0n).map(({ id, projection }) => [id, Number(projection.event_time_ms)]),
  );
  const found: Reading[] = [];
  for (const { event, pointer, value } of openings) {
    const timeMs = times.get(event);
    if (timeMs !== undefined && pointer.startsWith("/sensorElementList/")) found.push(...readingsOf(value, timeMs));
  }
  return byTime(found);
}

function reading(words: Wording, one: Reading): string[] {
  const high = one.low === one.high ? "" : `–${words.degrees(one.high)}`;
  return [words.moment(one.fromMs), `${words.degrees(one.low)}${high} °C`];
}

function papers({ openings }: Proven): string[] {
  const found: string[] = [];
  for (const { pointer, value } of openings) {
    if (pointer !== "/certificationInfo") continue;
    const parsed: unknown = JSON.parse(value);
    for (const one of Array.isArray(parsed) ? (parsed as unknown[]) : [parsed]) {
      if (typeof one === "string") found.push([...one].slice(0, CERTIFICATE_CHARACTERS_MAX).join(""));
    }
  }
  return [...new Set(found)];
}
