// SPDX-License-Identifier: Apache-2.0
/**
 * Temperatures out of opened fields, and stretches outside of a product's limits: the twin of
 * `traceability.api.shopper.opened` and `traceability.cold_chain`.
 */

import type { Message } from "../verify/src/protobuf.js";
import { signed, type TemperatureLimits } from "./records.js";

const MINUTE_MS = 60_000;

/** Thousandths of a degree Celsius, between two times in milliseconds. */
export interface Reading {
  readonly device: string;
  readonly fromMs: number;
  readonly toMs: number;
  readonly low: number;
  readonly high: number;
}

export interface Excursion {
  readonly fromMs: number;
  readonly toMs: number;
  readonly low: number;
  readonly high: number;
}

type Texts = Readonly<Record<string, string | undefined>>;
interface Element {
  readonly sensorMetadata?: Texts;
  readonly sensorReport: readonly (Texts & Readonly<Record<string, unknown>>)[];
}

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** The readings of one opened element of an event's sensor data. */
export function readingsOf(value: string, eventTimeMs: number): Reading[] {
  const { sensorMetadata = {}, sensorReport } = JSON.parse(value) as Element;
  const at = (text: string | undefined, otherwise: number): number => (text === undefined ? otherwise : Date.parse(text));
  const found: Reading[] = [];
  for (const report of sensorReport) {
    const values = ["value", "minValue", "maxValue", "meanValue"].filter((name) => name in report);
    if (values.length === 0) continue;
    const milli = values.map((name) => Math.round(Number(report[name]) * 1000));
    const moment = at(report["time"], at(sensorMetadata["time"], eventTimeMs));
    const isOwn = report["time"] !== undefined;
    const fromMs = isOwn ? moment : at(sensorMetadata["startTime"], moment);
    const toMs = isOwn ? moment : at(sensorMetadata["endTime"], fromMs);
    const device = report["deviceID"] ?? sensorMetadata["deviceID"] ?? "";
    found.push({ device, fromMs, toMs, low: Math.min(...milli), high: Math.max(...milli) });
  }
  return found;
}

/** As the page lists them. */
export const byTime = (readings: readonly Reading[]): Reading[] =>
  [...readings].sort(
    (a, b) => a.fromMs - b.fromMs || a.toMs - b.toMs || order(a.device, b.device) || a.low - b.low || a.high - b.high,
  );

/** Stretches outside that last longer than the product bears, by device and time. */
export function alerts(readings: readonly Reading[], limits: Message<typeof TemperatureLimits>): Excursion[] {
  const [min, max] = [signed(limits.min_millicelsius), signed(limits.max_millicelsius)];
  const sorted = [...readings].sort(
    (a, b) => order(a.device, b.device) || a.fromMs - b.fromMs || a.toMs - b.toMs || a.low - b.low || a.high - b.high,
  );
  const found: Excursion[] = [];
  let outside: Reading[] = [];
  const end = (toMs: number): void => {
    const first = outside[0];
    if (first !== undefined && toMs - first.fromMs > limits.minutes_max * MINUTE_MS) {
      const [lows, highs] = [outside.map((one) => one.low), outside.map((one) => one.high)];
      found.push({ fromMs: first.fromMs, toMs, low: Math.min(...lows), high: Math.max(...highs) });
    }
    outside = [];
  };
  const last = (): number => Math.max(...outside.map((one) => one.toMs));
  sorted.forEach((reading, index) => {
    if (index > 0 && sorted[index - 1]?.device !== reading.device && outside.length > 0) end(last());
    if (min <= reading.low && reading.high <= max) end(reading.fromMs);
    else outside.push(reading);
  });
  if (outside.length > 0) end(last());
  return found;
}
