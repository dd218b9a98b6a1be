// SPDX-License-Identifier: Apache-2.0
/**
 * Names, quantities and places as the journey page words them, from proven records alone: the twin of
 * `traceability.api.shopper.words`.
 */

import { type Bytes, utf8, toHex } from "../verify/src/bytes.js";
import type { Fields, Message, Schema } from "../verify/src/protobuf.js";
import { type Act, decode, gtinOf, kindOf, ParticipantRecord, type ProjectionMessage, RecordPlace, RecordProduct } from "./records.js";

/** The page's catalogue, in its language; texts for one and for many where they differ. */
export type Catalogue = Readonly<Record<string, string | { readonly one: string; readonly other: string }>>;
type Values = Readonly<Record<string, string | number>>;

const DAY_SHIFT_MS = 8 * 3_600_000; // China's zone, which has no summer time
const [FARM, SMALLHOLDER] = [1, 2];
/** Not by the browser's own words: to load them takes longer than to check an event. */
const MONTH_NAMES = "January February March April May June July August September October November December".split(" ");
const MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec";

const STEPS: Readonly<Record<number, string>> = {
  2: "script.trace.step-arriving",
  10: "script.trace.step-departing",
  17: "script.trace.step-inspecting",
  20: "script.trace.step-loading",
  31: "script.trace.step-sampling",
  32: "script.trace.step-sensor-reporting",
  36: "script.trace.step-stocking",
  37: "script.trace.step-storing",
  38: "script.trace.step-transporting",
  39: "script.trace.step-unloading",
};
const ACTS: Readonly<Record<Act, string>> = {
  declare: "script.trace.act-declare",
  transform: "script.trace.act-transform",
  pack: "script.trace.act-pack",
  unpack: "script.trace.act-unpack",
  ship: "script.trace.act-ship",
  cancel: "script.trace.act-cancel",
  receive: "script.trace.act-receive",
  sell: "script.trace.act-sell",
  remove: "script.trace.act-remove",
  observe: "script.trace.act-observe",
  note: "script.trace.act-observe",
};
const RESULTS: Readonly<Record<number, string>> = {
  5: "script.trace.result-passed",
  13: "script.trace.result-damaged",
  22: "script.trace.result-failed",
};
const UNITS: Readonly<Record<number, string>> = {
  1: "script.trace.unit-kilogram",
  2: "script.trace.unit-litre",
  3: "script.trace.unit-piece",
};

export const grouped = (value: number | bigint): string => String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");

export class Wording {
  constructor(
    private readonly language: string,
    private readonly catalogue: Catalogue,
    private readonly districts: Readonly<Record<string, string>>,
    /** By the key as text. */
    private readonly states: ReadonlyMap<string, Bytes | null>,
    /** Of the checkpoint: moments of its year go without it. */
    private readonly nowMs: number,
  ) {}

  text(key: string, values: Values = {}): string {
    const entry = this.catalogue[key] ?? "";
    const form = typeof entry === "string" ? entry : values["count"] === 1 ? entry.one : entry.other;
    return form.replace(/\{(\w+)\}/g, (place, name: string) => {
      const value = values[name];
      return value === undefined ? place : typeof value === "number" ? grouped(value) : value;
    });
  }

  act(act: Act, { place, step }: ProjectionMessage): string {
    if (act === "declare" && this.placeRecord(place).kind === FARM) return this.text("script.trace.act-harvest");
    return this.text(act === "observe" || act === "note" ? (STEPS[step] ?? ACTS[act]) : ACTS[act]);
  }

  result({ disposition }: ProjectionMessage): string {
    const key = RESULTS[disposition];
    return key === undefined ? "" : this.text(key);
  }

  day(timeMs: number): string {
    const at = new Date(timeMs + DAY_SHIFT_MS);
    if (this.language === "zh-CN") return `${at.getUTCFullYear()}年${at.getUTCMonth() + 1}月${at.getUTCDate()}日`;
    return `${at.getUTCDate()} ${MONTH_NAMES[at.getUTCMonth()]} ${at.getUTCFullYear()}`;
  }

  moment(timeMs: number): string {
    const at = new Date(timeMs + DAY_SHIFT_MS);
    const [year, month, day] = [at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate()];
    const isFar = year !== new Date(this.nowMs + DAY_SHIFT_MS).getUTCFullYear();
    const time = at.toISOString().slice(11, 16);
    if (this.language === "zh-CN") return `${isFar ? `${year}年` : ""}${month + 1}月${day}日 ${time}`;
    return `${day} ${MONTHS.slice(3 * month, 3 * month + 3)}${isFar ? ` ${year}` : ""} ${time}`;
  }

  party(gln: string): string {
    const raw = this.states.get(`traceability/participant/${gln}`);
    if (raw === null || raw === undefined) return gln;
    const record = decode(ParticipantRecord, raw);
    if (record.kind === SMALLHOLDER) return this.text("script.trace.smallholder");
    return this.either(record) || gln;
  }

  placeRecord = (gln: string): Message<typeof RecordPlace> => this.record(RecordPlace, `traceability/place/${gln}`);

  place(gln: string): string {
    const record = this.placeRecord(gln);
    const district = record.district === "" ? "" : (this.districts[record.district] ?? record.district);
    const name = this.either(record);
    const words = this.language === "zh-CN" ? [district, name] : [name, district];
    return words.filter((word) => word !== "").join(this.language === "zh-CN" ? " " : ", ");
  }

  product = (item: string): Message<typeof RecordProduct> =>
    this.record(RecordProduct, `traceability/product/${gtinOf(item)}`);

  name(item: string): string {
    if (kindOf(item) === "container") return this.text("script.trace.container");
    return this.either(this.product(item)) || gtinOf(item);
  }

  identity(item: string): string {
    const code = item.slice(item.lastIndexOf("/") + 1);
    const kind = kindOf(item);
    const key = kind === "lot" ? "script.trace.batch" : kind === "serial" ? "script.trace.serial" : "script.trace.number";
    return this.text(key, { code });
  }

  goods(item: string, quantity: bigint, own: string): string {
    const amount = quantity === 0n ? "" : this.quantity(item, quantity);
    return item === own ? amount : [this.name(item), this.identity(item), amount].filter((word) => word !== "").join(" ");
  }

  quantity(item: string, quantity: bigint): string {
    const thousandths = (quantity + 500n) / 1000n;
    const rest = thousandths % 1000n;
    const fraction = rest === 0n ? "" : `.${String(rest).padStart(3, "0")}`.replace(/0+$/, "");
    const unit = UNITS[this.product(item).unit] ?? "script.trace.unit-piece";
    return `${grouped(thousandths / 1000n)}${fraction} ${this.text(unit)}`;
  }

  degrees(milli: number): string {
    const tenths = Math.floor((milli + 50) / 100);
    const size = Math.abs(tenths);
    return `${tenths < 0 ? "-" : ""}${Math.floor(size / 10)}.${size % 10}`;
  }

  private either({ name_zh, name_en }: { readonly name_zh: string; readonly name_en: string }): string {
    return this.language === "zh-CN" ? name_zh || name_en : name_en || name_zh;
  }

  /** A record; an empty one where there is none. */
  private record<F extends Fields>(kind: Schema<F>, key: string): Message<Schema<F>> {
    return decode(kind, this.states.get(key) ?? new Uint8Array(0));
  }
}

export const keyText = (key: Bytes): string => String.fromCharCode(...key);
export const keyOf = (text: string): Bytes => utf8(text);
export const hex = toHex;
