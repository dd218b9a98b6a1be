// SPDX-License-Identifier: Apache-2.0
// What the wallet's page says: types, claims and their values, accesses and faults, in the reader's words.

import type { Access } from "../wallet/accesses.js";
import { isObject, type Json, type Path } from "../wallet/sd-jwt.js";
import type { Card } from "../wallet/store.js";
import type { Fault } from "../wallet/web.js";
import { element } from "./elements.js";
import { text } from "./messages.js";

/** Claims that a verifier asks for itself: where the person's record of accesses begins, and of what pseudonyms are made. */
export const OWN = new Set(["access_slot", "pairwise_seed"]);
const CODED = new Set(["assurance_level", "proofing"]);

interface Label {
  readonly name: string;
  readonly claims: Readonly<Record<string, string>>;
}

export const isChinese = document.documentElement.lang.startsWith("zh");
export const types = JSON.parse(document.getElementById("types")?.textContent ?? "{}") as Readonly<Record<string, Label>>;

/** What a type and its claims are called; a wallet may hold types that it has no words for. */
export const typeName = (type: string): string => types[type]?.name ?? type;
export const claimName = (type: string, path: Path): string => types[type]?.claims[path.join(".")] ?? path.join(" / ");

export function valueOf(claims: Readonly<Record<string, Json>>, path: Path): Json {
  let value: Json = claims;
  for (const name of path) value = isObject(value) ? (value[name] ?? null) : null;
  return value;
}

/** Codes that stand in credentials, in words. */
const CODES: ReadonlyMap<Json, () => string> = new Map<Json, () => string>([
  ["low", () => text("script.wallet.level-low")],
  ["substantial", () => text("script.wallet.level-substantial")],
  ["high", () => text("script.wallet.level-high")],
  ["document-chip", () => text("script.wallet.method-chip")],
  ["document-inspected", () => text("script.wallet.method-inspected")],
  ["vouched", () => text("script.wallet.method-vouched")],
]);

/** The parts of an object in the order of its type, without what is there for machines. */
function partsOf(type: string, path: Path, value: { readonly [name: string]: Json }): Json[] {
  const order = Object.keys(types[type]?.claims ?? {});
  const place = (name: string): number => order.indexOf([...path, name].join("."));
  return Object.keys(value)
    .filter((name) => name !== "officer_role")
    .sort((a, b) => place(a) - place(b))
    .map((name) => value[name] ?? null);
}

/** A claim's value as its holder reads it. */
export function shownValue(type: string, path: Path, value: Json): string {
  const coded = CODES.get(value);
  if (coded !== undefined && CODED.has(path[0] ?? "")) return coded();
  if (value === true) return text("script.wallet.yes");
  if (value === false) return text("script.wallet.no");
  const parts = Array.isArray(value) ? (value as readonly Json[]) : isObject(value) ? partsOf(type, path, value) : undefined;
  if (parts !== undefined) return parts.map((one) => shownValue(type, path, one)).join(isChinese ? "，" : ", ");
  return String(value);
}

const MONTHS = "January February March April May June July August September October November December".split(" ");
const two = (part: number): string => String(part).padStart(2, "0");

/** A day, as the services' pages write it; without Intl, whose first date takes a slow phone a fifth of a second. */
export function day(ms: number): string {
  const at = new Date(ms);
  if (isChinese) return `${at.getFullYear()}年${at.getMonth() + 1}月${at.getDate()}日`;
  return `${at.getDate()} ${MONTHS[at.getMonth()]} ${at.getFullYear()}`;
}

export function moment(ms: number): string {
  const at = new Date(ms);
  return `${day(ms)}${isChinese ? "" : ","} ${two(at.getHours())}:${two(at.getMinutes())}`;
}

export const FAULTS: Readonly<Record<Fault, readonly [string, string]>> = {
  address: ["script.wallet.no-address", "script.wallet.no-address-about"],
  offline: ["script.wallet.offline", "script.wallet.offline-about"],
  refused: ["script.wallet.refused", "script.wallet.refused-about"],
  malformed: ["script.wallet.malformed", "script.wallet.malformed-about"],
  expired: ["script.wallet.expired", "script.wallet.expired-about"],
  untrusted: ["script.wallet.untrusted", "script.wallet.untrusted-about"],
  digits: ["script.wallet.refused", "script.wallet.digits-about"],
  forged: ["script.wallet.forged", "script.wallet.forged-about"],
  unproven: ["script.wallet.unproven", "script.wallet.unproven-about"],
  used: ["script.wallet.lacking", "script.wallet.lacking-about"],
  "unknown-act": ["script.wallet.unknown-act", "script.wallet.unknown-act-about"],
  "no-program": ["script.space.no-program", "script.space.no-program-about"],
  unpaired: ["script.space.unpaired", "script.space.unpaired-about"],
  "no-card": ["script.space.no-card", "script.space.no-card-about"],
  unsigned: ["script.space.unsigned", "script.space.unsigned-about"],
};

/** Why an office looked, in words; AccessReason of the ledger's messages. */
const REASONS: readonly (() => string)[] = [
  () => "",
  () => text("script.wallet.reason-counter"),
  () => text("script.wallet.reason-telephone"),
  () => text("script.wallet.reason-case"),
  () => text("script.wallet.reason-correction"),
  () => text("script.wallet.reason-complaint"),
  () => text("script.wallet.reason-audit"),
  () => text("script.wallet.reason-investigation"),
];
const LOOK_UP = 1;

/** What is read as registrations name it ("natural-person/birthdate", "credit-tender/report"), in words. */
export function attributeName(name: string): string {
  const [kind = "", claim = ""] = name.split("/");
  if (/^credit/.test(kind) && claim === "report") return text("script.wallet.credit-report");
  if (/^credit/.test(kind) && claim === "grade") return text("script.wallet.credit-grade");
  const type = Object.keys(types).find((one) => one.includes(`:${kind}:`));
  return type === undefined ? name : claimName(type, [claim]);
}

export function accessRow({ recordedMs, told }: Access): HTMLElement {
  if (told === undefined) {
    const when = element("span", { class: "small muted" }, moment(recordedMs));
    return element("li", {}, element("b", {}, text("script.wallet.untold")), when);
  }
  const why =
    told.kind === LOOK_UP
      ? text("script.wallet.looked-up", { reason: (REASONS[told.reason] ?? (() => ""))() })
      : text(told.kind === LOOK_UP + 1 ? "script.wallet.answered" : "script.wallet.answered-emergency", { purpose: String(told.purpose) });
  const what = told.thirdParty
    ? text("script.wallet.third-party")
    : told.attributes.map(attributeName).join(isChinese ? "、" : ", ");
  return element(
    "li",
    {},
    element("b", {}, told.organisation),
    element("span", { class: "small muted" }, moment(told.atMs)),
    element("span", {}, why),
    element("span", { class: "small muted" }, what),
  );
}

export function pair(name: string, value: string | HTMLElement): HTMLElement {
  return element("div", {}, element("dt", {}, name), element("dd", {}, value));
}

/** What tells one credential from another of its type: names, or a grade. */
export function titleOf(card: Card): string {
  const claims = JSON.parse(card.claims) as Record<string, Json>;
  const names = ["family_name", "given_name", "legal_name", "principal", "grade_at_least"].map((name) => claims[name]).filter(isText);
  return names.join(names.every((name) => HAN.test(name)) ? "" : " ");
}

const HAN = /^[\u3400-\u9fff\u{20000}-\u{3ffff}]+$/u;
const isText = (value: Json | undefined): value is string => typeof value === "string";
