// SPDX-License-Identifier: Apache-2.0
// A report that its holder hands to a reader as one file: made and signed here, read and verified here, offline.
//
// Source: docs/credit.md, "Shown to a reader"; credit/showing.py verifies the same in Python.

import { ed25519 } from "@noble/curves/ed25519.js";
import { p256 } from "@noble/curves/nist.js";
import { equal, fromHex, fromUtf8, join, toHex, utf8, type Bytes } from "../verify/src/bytes.js";
import type { Kept, Verified } from "../verify/src/client.js";
import { bytes, decode, encode, enumeration, manyBytes, one, schema, text, uint32, uint64, type Message } from "../verify/src/protobuf.js";
import { parse } from "../verify/src/strict_json.js";
import { ReportRefused, States, type ProvenReport } from "./report.js";

const FORMAT = "zhixin-credit-report/1";
const REPORT_BYTES_MAX = 16 * 1024 * 1024;
export const FILE_BYTES_MAX = 2 * REPORT_BYTES_MAX;
const RECORD_BYTES_MAX = 8 * 1024;
const STATEMENT_BYTES_MAX = 1024;
const NAME_CHARACTERS_MAX = 120;
const [SHOWN_DOMAIN, STATEMENT_DOMAIN] = ["zhixin/1/credit-report\0", "zhixin/1/credit-holder\0"];
const [ED25519, P256] = [1, 2]; // numbers of schemes
const KEY_BYTES: Readonly<Record<string, number>> = { [ED25519]: 32, [P256]: 33 };
const ACTIVE = 1;
const FIELDS = ["format", "shown", "signature", "signer", "standing", "statement"] as const;

const SIGNER = schema("chain.Signer", { scheme: enumeration(1), publicKey: bytes(2) });
const SHOWN = schema("credit.ShownReport", {
  report: bytes(1),
  audience: text(2),
  nonce: bytes(3),
  atMs: uint64(4),
  holder: one(5, SIGNER),
  signature: bytes(6),
  purpose: text(7),
});
const KEY = schema("membership.KeyRecord", {
  organisation: text(1),
  purposes: bytes(2), // packed numbers, of which nothing is needed here
  validFromMs: uint64(3),
  validToMs: uint64(4),
  revokedAtMs: uint64(5),
});
const ORGANISATION = schema("membership.OrganisationRecord", {
  id: text(1),
  nameZh: text(2),
  nameEn: text(3),
  roles: manyBytes(4),
  status: enumeration(5),
  quotaOperationsS: uint32(6),
});

/** A file, read; nothing of it is proven yet but that the holder's key signed it. */
export interface ShownFile {
  readonly report: Bytes;
  readonly audience: string;
  readonly purpose: string;
  readonly atMs: number;
  readonly holder: Bytes;
  readonly statement: Bytes;
  /** Scheme and public key, as the ledger names them. */
  readonly signer: readonly [number, Bytes];
  readonly signature: Bytes;
  readonly standing: Bytes;
}

/** Whose report a file is, by the word of the registrar that keeps the log. */
export interface Whose {
  readonly name: string;
  readonly kind: "person" | "company";
  readonly registrar: string;
  readonly registrarZh: string;
  readonly registrarEn: string;
}

const base64 = (words: string): Bytes => Uint8Array.from(atob(words), (character) => character.charCodeAt(0));

/** Bytes as base64, in pieces: an argument list has its bounds. */
export function toBase64(data: Bytes): string {
  const pieces = [];
  for (let at = 0; at < data.length; at += 0x8000) pieces.push(String.fromCharCode(...data.subarray(at, at + 0x8000)));
  return btoa(pieces.join(""));
}

/**
 * Make the file that a holder hands out.
 *
 * @param sign - The holder's key over these bytes, with SHA-256: r and s.
 * @param service - What the registrar's service adds: `statement`, `signer`, `signature`, `standing`.
 */
export async function makeFile(
  shown: { report: Bytes; audience: string; purpose: string; nonce: Bytes; atMs: number; holder: Bytes },
  network: Bytes,
  sign: (message: Bytes) => Promise<Bytes>,
  service: Readonly<Record<string, string>>,
): Promise<string> {
  const message: Message<typeof SHOWN> = {
    ...shown,
    atMs: BigInt(shown.atMs),
    holder: { scheme: P256, publicKey: shown.holder },
    signature: new Uint8Array(0),
  };
  const signature = await sign(join(utf8(SHOWN_DOMAIN), network, encode(SHOWN, message)));
  const { statement, signer, signature: word, standing } = service;
  const signed = toBase64(encode(SHOWN, { ...message, signature }));
  return JSON.stringify({ format: FORMAT, shown: signed, signature: word, signer, standing, statement });
}

/**
 * Read a file, and check the holder's signature over all that they gave.
 *
 * @throws ReportRefused - "report": it is none; "holder": another key signed it, or it was changed since.
 */
export function readFile(raw: Bytes, network: Bytes): ShownFile {
  try {
    const found = parse(raw, FILE_BYTES_MAX, 1);
    if (!(found instanceof Map) || [...found.keys()].sort().join() !== FIELDS.join()) throw new Error("other fields");
    const part = (name: (typeof FIELDS)[number]): string => {
      const value = found.get(name);
      if (typeof value !== "string") throw new Error("no text");
      return value;
    };
    if (part("format") !== FORMAT) throw new Error("another format");
    const message = decode(SHOWN, base64(part("shown")), REPORT_BYTES_MAX + 1024);
    const [scheme = "", digits = ""] = part("signer").split("/");
    const signer = [Number(scheme), hex(digits, KEY_BYTES[scheme] ?? 0)] as const;
    const { holder, report, audience, purpose } = message;
    if (holder?.scheme !== P256) throw new ReportRefused("holder");
    const unsigned = encode(SHOWN, { ...message, signature: new Uint8Array(0) });
    if (!isSigned(P256, holder.publicKey, join(utf8(SHOWN_DOMAIN), network, unsigned), message.signature)) {
      throw new ReportRefused("holder");
    }
    return {
      report,
      audience,
      purpose,
      atMs: Number(message.atMs),
      holder: holder.publicKey,
      statement: base64(part("statement")),
      signer,
      signature: hex(part("signature"), 64),
      standing: base64(part("standing")),
    };
  } catch (error) {
    throw error instanceof ReportRefused ? error : new ReportRefused("report");
  }
}

/**
 * Check whose report it is, once the report and the second receipt are proven.
 *
 * @param standing - What the verifier says of `file.standing`.
 * @throws ReportRefused - "registrar": who says whose log it is does not keep it, or says it of another.
 */
export function checkWhose(file: ShownFile, proven: ProvenReport, standing: Kept<Verified>, network: Bytes): Whose {
  const [scheme, publicKey] = file.signer;
  const whose = statementOf(file.statement);
  const message = join(utf8(STATEMENT_DOMAIN), network, file.statement);
  const isSame = whose.log === proven.log && whose.holder === toHex(file.holder);
  if (!isSame || !isSigned(scheme, publicKey, message, file.signature)) throw new ReportRefused("registrar");
  const states = new States(standing);
  const rawKey = states.value(`membership/key/${scheme}/${toHex(publicKey)}`);
  const rawOrganisation = states.value(`membership/organisation/${proven.registrar}`);
  if (rawKey === null || rawOrganisation === null || !states.isUsedUp) throw new ReportRefused("registrar");
  try {
    const key = decode(KEY, rawKey, RECORD_BYTES_MAX);
    const now = BigInt(standing.timeMs);
    const isUsable =
      key.revokedAtMs === 0n && key.validFromMs <= now && (key.validToMs === 0n || now < key.validToMs);
    const organisation = decode(ORGANISATION, rawOrganisation, RECORD_BYTES_MAX);
    if (!isUsable || key.organisation !== proven.registrar || organisation.status !== ACTIVE) throw new Error("over");
    const { nameZh: registrarZh, nameEn: registrarEn } = organisation;
    return { name: whose.name, kind: whose.kind, registrar: proven.registrar, registrarZh, registrarEn };
  } catch {
    throw new ReportRefused("registrar");
  }
}

function statementOf(raw: Bytes): { log: string; holder: string; name: string; kind: "person" | "company" } {
  try {
    if (raw.length > STATEMENT_BYTES_MAX) throw new Error("too long");
    const { holder, kind, log, name } = JSON.parse(fromUtf8(raw)) as Record<string, unknown>;
    if (typeof holder !== "string" || typeof log !== "string" || typeof name !== "string") throw new Error("no text");
    if (name === "" || [...name].length > NAME_CHARACTERS_MAX) throw new Error("no name");
    if (kind !== "person" && kind !== "company") throw new Error("no kind");
    hex(log, 32);
    hex(holder, 33);
    if (!equal(utf8(JSON.stringify({ holder, kind, log, name })), raw)) throw new Error("another encoding");
    return { log, holder, name, kind };
  } catch {
    throw new ReportRefused("registrar");
  }
}

/** Whether a key signed, by the rules that the ledger has for its kind. */
function isSigned(scheme: number, key: Bytes, message: Bytes, signature: Bytes): boolean {
  try {
    if (scheme === ED25519) return ed25519.verify(signature, message, key, { zip215: false });
    return scheme === P256 && p256.verify(signature, message, key, { lowS: false });
  } catch {
    return false; // no point of the curve, or no signature
  }
}

function hex(digits: string, size: number): Bytes {
  const found = fromHex(digits);
  if (size === 0 || found?.length !== size || toHex(found) !== digits) throw new Error(`not ${size} bytes in hex`);
  return found;
}
