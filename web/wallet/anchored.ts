// SPDX-License-Identifier: Apache-2.0
// Whether a program may be taken: its digest is the newest that an organisation anchored, as a receipt proves.
//
// Source: membership/anchors.py; docs/membership.md.

import { sha256, toHex, utf8, type Bytes } from "../verify/src/bytes.js";
import { bytes, decode, schema, uint64 } from "../verify/src/protobuf.js";
import type { VerifierService } from "../verify/src/service.js";
import { run } from "../verify/src/steps.js";
import { Refused, type Announced } from "./manifest.js";

const WEB_BUNDLE = 3; // AnchorKind
const STREAM = toHex(sha256(utf8("zhixin/wallet")).subarray(0, 16));
const ORGANISATION = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/;
const RECORD_BYTES_MAX = 1024;
const AGE_MS_MAX = 10 * 60_000; // so that nobody shows what was withdrawn since
const RECORD = schema("membership.AnchorRecord", { digest: bytes(1), size: uint64(2), sinceMs: uint64(3) });

export interface Anchored {
  readonly organisation: string;
  /** When the ledger recorded it. */
  readonly sinceMs: number;
  /** What the verifier knows now. */
  readonly anchor: string;
}

/**
 * Prove who anchored an announced program.
 *
 * @param verifier - Of this network.
 * @param announced - With the receipt.
 * @param digest - Of its manifest.
 * @param now - Whose program is kept, and since when; undefined: none is.
 * @param nowMs - Unix time.
 * @throws Refused
 */
export function anchored(
  verifier: VerifierService,
  { organisation, receipt }: Announced,
  digest: string,
  now: Omit<Anchored, "anchor"> | undefined,
  nowMs: number,
): Anchored {
  if (!ORGANISATION.test(organisation) || receipt === "") throw new Refused("unanchored");
  if (now !== undefined && organisation !== now.organisation) throw new Refused("another");
  const key = toHex(utf8(`membership/anchor/${organisation}/${WEB_BUNDLE}/${STREAM}`));
  let record: { readonly digest: Uint8Array; readonly sinceMs: bigint };
  let anchor: string;
  try {
    const options = { stateAgeMsMax: AGE_MS_MAX, nowMs };
    const answer = run(verifier.answer({ method: "verifyReceipt", receipt: bytesOf(receipt), options }));
    const states = answer.content !== null && "states" in answer.content ? answer.content.states : [];
    const value = states.find((one) => toHex(one.key) === key)?.value ?? null;
    if (value === null) throw new Refused("unanchored");
    record = decode(RECORD, value, RECORD_BYTES_MAX);
    anchor = answer.anchor;
  } catch {
    throw new Refused("unanchored");
  }
  if (toHex(record.digest) !== digest) throw new Refused("unanchored");
  if (now !== undefined && record.sinceMs < BigInt(now.sinceMs)) throw new Refused("older");
  return { organisation, sinceMs: Number(record.sinceMs), anchor };
}

const bytesOf = (base64: string): Bytes => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
