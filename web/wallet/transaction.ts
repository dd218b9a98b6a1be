// SPDX-License-Identifier: Apache-2.0
// What the holder confirms with what they show: a payment, or an act for a company or against a thing of their own. The
// page has words for each and shows them before the holder's key signs the hash of the request's. What can't be shown
// as it is, or is of an unknown kind, is refused unsigned.
//
// Source: OpenID4VP 1.0, 5.1 and 8.4 (transaction_data), B.3.3.1 (hashes in SD-JWT VC's key binding).

import { base64url } from "jose";
import { digest } from "./sd-jwt.js";
import { Failed, parseFields, type Fields } from "./web.js";

const PAYMENT = "urn:zhixin:payment-confirmation:1";
const ACT = "urn:zhixin:act-confirmation:1";
const ALGORITHM = "sha-256";
const CHARACTERS_MAX = 4_096; // ours have some 400
const AMOUNT = /^(0|[1-9]\d{0,11})\.\d{2}$/;
const CURRENCY = /^[A-Z]{3}$/;
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}]|^\s|\s$|[^\S ]/u; // controls, marks of direction, unseen and wide spaces
const NUMBER = /^[0-9A-Z]{18}$/;
const COMPANY = "company";
const STOPS = ["stop-card", "stop-phone", "stop-seal"] as const;
const ANY = ["type", "credential_ids", "transaction_data_hashes_alg"];
const MEMBERS: Readonly<Record<string, readonly string[]>> = {
  [PAYMENT]: [...ANY, "amount", "currency", "payee", "reference"],
  [ACT]: [...ANY, "act", "subject"],
  [ACT + COMPANY]: [...ANY, "act", "subject", "number", "matter", "amount", "currency"],
};

/** What is confirmed, as it is shown. */
export type Confirmed = Payment | Act;

/** A payment. */
export interface Payment extends Signed {
  readonly kind: "payment";
  readonly amount: string;
  readonly currency: string;
  readonly payee: string;
  readonly reference: string;
}

/** Something that is done by answering. */
export interface Act extends Signed {
  readonly kind: typeof COMPANY | (typeof STOPS)[number];
  /** The company's name; of a card, phone or seal, what is printed on it or shown for it. */
  readonly subject: string;
  /** The company's code. */
  readonly number: string;
  /** What is signed for it. */
  readonly matter: string;
  /** Up to which amount; "": none is named. */
  readonly amount: string;
  readonly currency: string;
}

interface Signed {
  /** Ids of the credential queries that may confirm it. */
  readonly credentials: readonly string[];
  /** The text in the request, which is hashed. */
  readonly encoded: string;
}

/**
 * What a request wants confirmed.
 *
 * @param value - `transaction_data` of the request; undefined where it has none.
 * @param ids - Of its credential queries.
 * @throws Failed where it is of an unknown kind ("unknown-act"), has an unknown member, or can't be shown as it is.
 */
export function readConfirmed(value: unknown, ids: readonly string[]): Confirmed | undefined {
  if (value === undefined) return undefined;
  const encoded: unknown = Array.isArray(value) && value.length === 1 ? value[0] : undefined; // what is shown is one
  if (typeof encoded !== "string" || encoded.length > CHARACTERS_MAX) throw new Failed("malformed");
  const said = decoded(encoded);
  const act = [COMPANY, ...STOPS].find((one) => one === said["act"]) as Act["kind"] | undefined;
  if (said["type"] !== PAYMENT && (said["type"] !== ACT || act === undefined)) throw new Failed("unknown-act");
  const members = MEMBERS[said["type"] + (said["type"] === ACT && act === COMPANY ? COMPANY : "")] ?? [];
  if (Object.keys(said).some((name) => !members.includes(name))) throw new Failed("malformed");
  const algorithms = said["transaction_data_hashes_alg"];
  if (!Array.isArray(algorithms) || !algorithms.includes(ALGORITHM)) throw new Failed("malformed");
  const credentials = said["credential_ids"];
  if (!Array.isArray(credentials) || credentials.length === 0) throw new Failed("malformed");
  if (!credentials.every((id) => typeof id === "string" && ids.includes(id))) throw new Failed("malformed");
  const signed = { credentials: credentials as string[], encoded };
  if (said["type"] === PAYMENT || act === undefined) {
    const reference = said["reference"] === undefined ? "" : word(said, "reference", 64);
    return { kind: "payment", ...sum(said), payee: word(said, "payee", 100), reference, ...signed };
  }
  const subject = word(said, "subject", 200);
  if (act !== COMPANY) return { kind: act, subject, number: "", matter: "", amount: "", currency: "", ...signed };
  const number = word(said, "number", 18);
  if (!NUMBER.test(number)) throw new Failed("malformed");
  const limit = said["amount"] === undefined && said["currency"] === undefined ? { amount: "", currency: "" } : sum(said);
  return { kind: act, subject, number, matter: word(said, "matter", 200), ...limit, ...signed };
}

/** More than nothing, with two decimals. */
function sum(said: Fields): { amount: string; currency: string } {
  const [amount, currency] = [word(said, "amount", 15), word(said, "currency", 3)];
  if (!AMOUNT.test(amount) || !/[1-9]/.test(amount) || !CURRENCY.test(currency)) throw new Failed("malformed");
  return { amount, currency };
}

/**
 * What the holder's key signs of it, beside what it signs anyway.
 *
 * @param confirmed - As it was shown; undefined: nothing is confirmed.
 * @param id - Of the credential query that is answered.
 */
export async function confirmation(confirmed: Confirmed | undefined, id: string): Promise<Readonly<Record<string, unknown>>> {
  if (!confirmed?.credentials.includes(id)) return {};
  return { transaction_data_hashes: [await digest(confirmed.encoded)], transaction_data_hashes_alg: ALGORITHM };
}

function decoded(encoded: string): Fields {
  try {
    return parseFields(new TextDecoder("utf-8", { fatal: true }).decode(base64url.decode(encoded)));
  } catch {
    throw new Failed("malformed");
  }
}

function word(said: Fields, name: string, most: number): string {
  const value = said[name];
  if (typeof value !== "string" || value === "" || [...value].length > most || UNSEEN.test(value)) {
    throw new Failed("malformed");
  }
  return value;
}
