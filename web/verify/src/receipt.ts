// SPDX-License-Identifier: Apache-2.0
/**
 * Receipts: what the ledger recorded, with the proof that anyone checks alone, offline, against a trust anchor.
 *
 * A receipt is a bundle of proofs under one certified checkpoint: operations in the log, state keys with their value or
 * absence. It is verified as a whole or refused; whatever it carries is used, so nothing unproven rides along.
 *
 * Source: docs/protocol.md, sections 4 to 6.
 */

import type { Bytes } from "./bytes.js";
import { type Checkpoint, decodeCheckpoint } from "./checkpoint.js";
import { invalidCertificate, invalidReceipt } from "./errors.js";
import { advanceSteps, check, CLOSINGS_MAX, decodeClosings, remember, TrustAnchor } from "./light_client.js";
import * as messages from "./messages.js";
import type { ClosingMessage, ReceiptMessage } from "./messages.js";
import { decode } from "./protobuf.js";
import { type Failure, type Inclusion, safe, type State, verifyInclusions, verifyStates } from "./proven.js";
import { decodeAny, RECEIPT_BYTES_MAX, type ReceiptInput } from "./receipt_text.js";
import { type Observer, run, step, type Work } from "./steps.js";

/** A checkpoint that far ahead of the verifier's clock says that the clock is wrong, and no age can be told. */
export const CLOCK_SKEW_MS_MAX = 60_000n;

const RECEIPT = { part: "receipt", index: 0 } as const;
const CHECKPOINT = { part: "checkpoint", index: 0 } as const;

export interface VerifyOptions {
  /** Refuse states under a checkpoint older than this; needs `nowMs`. */
  readonly stateAgeMsMax?: number;
  /** The verifier's clock, in milliseconds since 1970, UTC. */
  readonly nowMs?: number;
  /**
   * Accept a receipt of an epoch that the anchor knows to be over. Such a one rests on keys that may have been stolen
   * since; better have it proven anew.
   */
  readonly olderEpochs?: boolean;
}

export interface ObservedOptions extends VerifyOptions {
  /** Told of each check as it is made. */
  readonly onStep?: Observer;
}

/** What a receipt proves. */
export interface Verified {
  /** The checkpoint's time: what is shown was so then. */
  readonly timeMs: number;
  readonly epoch: number;
  readonly height: number;
  /** How many entries the log had. */
  readonly logSize: number;
  /** Operations that took effect, in log order. */
  readonly inclusions: readonly Inclusion[];
  /** Operations that did not: their inclusion proves that they were refused, and nothing else. */
  readonly failures: readonly Failure[];
  /** Sorted by key. */
  readonly states: readonly State[];
  /** What the verifier knows now; keep it for the next receipt. */
  readonly anchor: TrustAnchor;
}

/** What a state receipt proves: that a key had this value, or none (null), at this time. */
export interface VerifiedState extends State {
  readonly timeMs: number;
  readonly epoch: number;
  readonly height: number;
  readonly anchor: TrustAnchor;
}

/**
 * Verify one receipt against what is known.
 *
 * @param receipt - Its protobuf bytes, its JSON, or its compact text, as text or as a file's bytes.
 * @param anchor - Of a genesis, or a kept one.
 * @returns What it proves, and the anchor to keep.
 * @throws LedgerError - It does not prove what it claims, is too old or of a past epoch (`receipt.*`, `proof.*`); part of
 * it is not canonical (`message.invalid`); a checkpoint is not certified or contradicts what is known
 * (`certificate.*`).
 */
export const verifyReceipt = (receipt: ReceiptInput, anchor: TrustAnchor, options: ObservedOptions = {}): Verified =>
  run(receiptSteps(receipt, anchor, options), options.onStep);

/** The same for a bundle: 1 to N proofs under one certificate, which is checked once for all of them. */
export const verifyBundle = verifyReceipt;

/**
 * Verify a receipt that must prove exactly one state key, and nothing else.
 *
 * @param receipt - As for `verifyReceipt`.
 * @param anchor - Of a genesis, or a kept one.
 * @throws LedgerError - As `verifyReceipt`; also `receipt.invalid` for a receipt of anything else.
 */
export const verifyStateReceipt = (
  receipt: ReceiptInput,
  anchor: TrustAnchor,
  options: ObservedOptions = {},
): VerifiedState => run(stateReceiptSteps(receipt, anchor, options), options.onStep);

/**
 * Follow closing checkpoints into later epochs.
 *
 * @param anchor - What is believed now.
 * @param closings - Bytes of `Closings`, as a node answers: from the anchor's epoch on, ascending, without gaps.
 * @returns The anchor in the epoch after the last one.
 * @throws LedgerError - A step is not certified by the set before it, skips, goes back, or contradicts the anchor.
 */
export const advance = (anchor: TrustAnchor, closings: Bytes, onStep?: Observer): TrustAnchor =>
  run(advanceSteps(anchor, decodeClosings(closings)), onStep);

/** `verifyReceipt` as a computation that can pause. */
export function* receiptSteps(input: ReceiptInput, trusted: TrustAnchor, options: VerifyOptions = {}): Work<Verified> {
  const { stateAgeMsMax, nowMs } = options;
  if (stateAgeMsMax !== undefined && nowMs === undefined) throw new TypeError("a maximum age needs the time: nowMs");
  const message = yield* step("decode", RECEIPT, { bytes: input.length }, () =>
    decode(messages.Receipt, decodeAny(input).receipt, RECEIPT_BYTES_MAX),
  );
  return yield* messageSteps(message, trusted, options);
}

/** The same for protobuf bytes alone; a page that reads no other encoding is smaller for it. */
export function* binaryReceiptSteps(receipt: Bytes, trusted: TrustAnchor, olderEpochs: boolean): Work<Verified> {
  const message = yield* step("decode", RECEIPT, { bytes: receipt.length }, () =>
    decode(messages.Receipt, receipt, RECEIPT_BYTES_MAX),
  );
  return yield* messageSteps(message, trusted, { olderEpochs });
}

function* messageSteps(message: ReceiptMessage, trusted: TrustAnchor, options: VerifyOptions): Work<Verified> {
  const { stateAgeMsMax, nowMs } = options;
  const newest = yield* follow(trusted, message.epochs);
  const epochs = { found: "", known: String(newest.epoch) };
  const { certified, epoch, believed } = yield* step("sequence", CHECKPOINT, epochs, () => {
    if (message.checkpoint === undefined) throw invalidReceipt("the receipt has no checkpoint");
    const decoded = decodeCheckpoint(message.checkpoint.checkpoint);
    epochs.found = String(decoded.epoch);
    checkEpoch(decoded.epoch, message.epochs, newest, options.olderEpochs === true);
    return { certified: message.checkpoint, epoch: decoded.epoch, believed: newest.at(decoded.epoch) };
  });
  const checkpoint = yield* check(believed, certified, CHECKPOINT);
  yield* checkAge(message, checkpoint, stateAgeMsMax, nowMs);
  const { inclusions, failures } = yield* verifyInclusions(message.inclusions, checkpoint);
  const states = yield* verifyStates(message.states, checkpoint);
  const counts = { operations: inclusions.length, refused: failures.length, states: states.length };
  return yield* step("content", RECEIPT, counts, () => {
    if (message.inclusions.length + message.states.length === 0) throw invalidReceipt("the receipt proves nothing");
    return {
      timeMs: safe(checkpoint.timeMs),
      epoch: safe(epoch),
      height: safe(checkpoint.height),
      logSize: safe(checkpoint.logSize),
      inclusions,
      failures,
      states,
      anchor: epoch === newest.epoch ? remember(newest, checkpoint) : newest,
    };
  });
}

/** `verifyStateReceipt` as a computation that can pause. */
export function* stateReceiptSteps(
  input: ReceiptInput,
  anchor: TrustAnchor,
  options: VerifyOptions = {},
): Work<VerifiedState> {
  const verified = yield* receiptSteps(input, anchor, options);
  const { timeMs, epoch, height, inclusions, failures, states } = verified;
  return yield* step("content", RECEIPT, { states: states.length }, () => {
    const [state, ...others] = states;
    if (state === undefined || others.length + inclusions.length + failures.length > 0) {
      throw invalidReceipt("the receipt is not that of one state key");
    }
    return { ...state, timeMs, epoch, height, anchor: verified.anchor };
  });
}

/** The anchor after a receipt's closing checkpoints; those of known epochs must be the known ones. */
function* follow(trusted: TrustAnchor, closings: readonly ClosingMessage[]): Work<TrustAnchor> {
  let anchor = trusted;
  let before: bigint | null = null;
  for (const [index, closing] of closings.entries()) {
    const place = { part: "closing", index } as const;
    const epochs = { found: "", known: String(anchor.epoch) };
    const { epoch, believed } = yield* step("sequence", place, epochs, () => {
      if (closings.length > CLOSINGS_MAX) {
        throw invalidReceipt(`the receipt has ${closings.length} closing checkpoints; at most ${CLOSINGS_MAX}`);
      }
      const found = epochOf(closing);
      epochs.found = String(found);
      if (before !== null && found !== before + 1n) {
        throw invalidCertificate(`a closing checkpoint of epoch ${found} after one of epoch ${before}`);
      }
      return { epoch: found, believed: anchor.at(found) };
    });
    const advanced: TrustAnchor = yield* advanceSteps(believed, [closing], place);
    if (epoch === anchor.epoch) anchor = advanced;
    before = epoch;
  }
  return anchor;
}

/** Check that a checkpoint's epoch is the one that its closing checkpoints lead to, and not over. */
function checkEpoch(epoch: bigint, closings: readonly ClosingMessage[], anchor: TrustAnchor, mayBeOver: boolean): void {
  const last = closings[closings.length - 1];
  if (last !== undefined && epochOf(last) + 1n !== epoch) {
    throw invalidReceipt("the receipt's closing checkpoints do not lead to the epoch of its checkpoint");
  }
  if (epoch < anchor.epoch && !mayBeOver) {
    throw invalidReceipt(
      `the receipt is of epoch ${epoch}, and the network is known to be in epoch ${anchor.epoch}; have it proven anew`,
      "receipt.older-epoch",
    );
  }
}

const epochOf = (closing: ClosingMessage): bigint =>
  decodeCheckpoint(closing.certified?.checkpoint ?? new Uint8Array(0)).epoch;

/** Check that states are fresh enough for the caller. */
function* checkAge(message: ReceiptMessage, checkpoint: Checkpoint, ageMsMax?: number, nowMs?: number): Work<void> {
  if (ageMsMax === undefined || nowMs === undefined || message.states.length === 0) return;
  const ageMs = BigInt(Math.floor(nowMs)) - checkpoint.timeMs;
  yield* step("age", CHECKPOINT, { ageMs: String(ageMs), ageMsMax }, () => {
    if (ageMs > BigInt(Math.floor(ageMsMax))) {
      throw invalidReceipt(`the state is ${ageMs} ms old; at most ${ageMsMax} were asked for`, "receipt.too-old");
    }
    if (ageMs < -CLOCK_SKEW_MS_MAX) {
      throw invalidReceipt(`the checkpoint is ${-ageMs} ms ahead of this clock; set the clock right`, "receipt.clock");
    }
  });
}
