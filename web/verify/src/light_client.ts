// SPDX-License-Identifier: Apache-2.0
/**
 * Follows a network from its genesis by closing checkpoints alone, and refuses what contradicts what it has seen.
 *
 * A `TrustAnchor` is a value: each step returns a new one, and a refused step leaves the old one as it was. Starting
 * from genesis assumes that no past set ever lost a quorum of its keys; so keep the newest anchor (`toString`,
 * `parse`).
 *
 * Source: docs/protocol.md, sections 5 and 6.
 */

import { type Bytes, EMPTY, equal, fromHex, HASH_BYTES, sha256, toHex, utf8 } from "./bytes.js";
import {
  type Checkpoint,
  closesEpoch,
  decodeCheckpoint,
  decodeValidatorSet,
  type ValidatorSet,
  verifyCheckpoint,
} from "./checkpoint.js";
import { invalidCertificate, invalidMessage } from "./errors.js";
import * as messages from "./messages.js";
import type { CertifiedMessage, ClosingMessage } from "./messages.js";
import { decode, encode } from "./protobuf.js";
import { type Place, short, step, type Work } from "./steps.js";
import { parse as parseJson } from "./strict_json.js";

export const ANCHOR_FORMAT = "zhixin-anchor/1";
/** Far more epochs than a network has in ten years; an epoch takes up to 17 KB of text. */
export const ANCHOR_BYTES_MAX = 32 * 1024 * 1024;
/** What one answer of a node carries; each takes 60 ms to check here. */
export const CLOSINGS_MAX = 1024;
const CLOSINGS_BYTES_MAX = CLOSINGS_MAX * 16 * 1024;
const ANCHOR_DEPTH_MAX = 4;

const NOTHING: CertifiedMessage = { checkpoint: EMPTY, bitmap: EMPTY, aggregate: EMPTY };

/** An epoch that a client knows: who votes in it, and what came before. */
export interface EpochStart {
  readonly validators: ValidatorSet;
  /** The checkpoint that closed the epoch before and names this set; null at genesis. */
  readonly closing: Checkpoint | null;
  /** The closing checkpoint's time, or that of genesis. */
  readonly timeMs: bigint;
}

/** What a client believes of a network. */
export class TrustAnchor {
  constructor(
    /** SHA-256 of the genesis file. */
    readonly network: Bytes,
    /** Consecutive ones, the newest last; at least one. */
    readonly epochs: readonly EpochStart[],
    /** The newest checkpoint seen of the newest epoch, if any. */
    readonly newest: Checkpoint | null = null,
  ) {}

  /** The newest epoch that the client knows. */
  get epoch(): bigint {
    return this.last.validators.epoch;
  }

  /** The set of that epoch. */
  get validators(): ValidatorSet {
    return this.last.validators;
  }

  /** The newest epoch's start. */
  get last(): EpochStart {
    return this.epochs[this.epochs.length - 1] as EpochStart;
  }

  /**
   * What the client knows of an epoch; of a past one, its closing checkpoint is the newest.
   *
   * @throws LedgerError - `certificate.unknown-epoch`: it does not know that epoch.
   */
  at(epoch: bigint): TrustAnchor {
    const first = (this.epochs[0] as EpochStart).validators.epoch;
    if (epoch < first || epoch > this.epoch) {
      throw invalidCertificate(
        `epoch ${epoch} is unknown; known are ${first} to ${this.epoch}. Ask a node for the closing checkpoints from ` +
          `epoch ${this.epoch} on`,
        "certificate.unknown-epoch",
      );
    }
    if (epoch === this.epoch) return this;
    const known = Number(epoch - first) + 1;
    return new TrustAnchor(this.network, this.epochs.slice(0, known), (this.epochs[known] as EpochStart).closing);
  }

  /** Text for localStorage or a file, with what is public only; keep it where nobody else can write. */
  toString(): string {
    return JSON.stringify({
      format: ANCHOR_FORMAT,
      network: toHex(this.network),
      epochs: this.epochs.map(({ validators, closing, timeMs }) => ({
        validators: toHex(encodeSet(validators)),
        closing: closing === null ? "" : toHex(closing.raw),
        time_ms: Number(timeMs),
      })),
      newest: this.newest === null ? "" : toHex(this.newest.raw),
    });
  }

  /**
   * Read what `toString` wrote. It was verified then, and is believed now: only whether its parts fit is checked.
   *
   * @param text - As it was kept.
   * @throws LedgerError - `message.invalid` or `certificate.invalid`: damaged, or not an anchor; start from genesis.
   */
  static parse(text: string): TrustAnchor {
    const document = membersOf(parseJson(utf8(text), ANCHOR_BYTES_MAX, ANCHOR_DEPTH_MAX));
    if (document.get("format") !== ANCHOR_FORMAT) throw damaged();
    const network = hexOf(document.get("network"));
    const kept = document.get("epochs");
    if (!Array.isArray(kept) || kept.length === 0 || network.length !== HASH_BYTES) throw damaged();
    const epochs = kept.map((item): EpochStart => {
      const start = membersOf(item);
      const timeMs = start.get("time_ms");
      const closing = hexOf(start.get("closing"));
      if (typeof timeMs !== "bigint") throw damaged();
      return {
        validators: decodeValidatorSet(hexOf(start.get("validators"))),
        closing: closing.length === 0 ? null : decodeCheckpoint(closing),
        timeMs,
      };
    });
    const newestBytes = hexOf(document.get("newest"));
    const newest = newestBytes.length === 0 ? null : decodeCheckpoint(newestBytes);
    const anchor = new TrustAnchor(network, epochs, newest);
    checkKept(anchor);
    return anchor;
  }
}

/**
 * Follow closing checkpoints into later epochs.
 *
 * @param anchor - What is believed now.
 * @param closings - Of the anchor's newest epoch and those after it, ascending, without gaps.
 * @returns The anchor in the epoch after the last closing checkpoint.
 * @throws LedgerError - A step skips an epoch, goes back in height, time or log size, has no quorum of the set
 * that the step before named, closes nothing, carries another set than it names, or contradicts the newest checkpoint
 * seen.
 */
export function* advanceSteps(
  anchor: TrustAnchor,
  closings: readonly ClosingMessage[],
  place: Place = { part: "closing", index: 0 },
): Work<TrustAnchor> {
  let current = anchor;
  for (const [i, closing] of closings.entries()) {
    const here = { ...place, index: place.index + i };
    const checkpoint = yield* check(current, closing.certified ?? NOTHING, here);
    const named = { expected: short(checkpoint.nextValidators), found: short(sha256(closing.next)) };
    const validators = yield* step("next-validators", here, named, () => {
      if (!closesEpoch(checkpoint)) {
        throw invalidCertificate(`the checkpoint at height ${checkpoint.height} does not close its epoch`);
      }
      const set = decodeValidatorSet(closing.next);
      checkNamed(checkpoint, set, closing.next);
      return set;
    });
    const start = { validators, closing: checkpoint, timeMs: checkpoint.timeMs };
    current = new TrustAnchor(current.network, [...current.epochs, start]);
  }
  return current;
}

/** Read an answer of a node with closing checkpoints: bytes of `Closings`. */
export const decodeClosings = (raw: Bytes): ClosingMessage[] =>
  decode(messages.Closings, raw, CLOSINGS_BYTES_MAX).closings;

/**
 * Verify a checkpoint of the anchor's newest epoch, of any height in it.
 *
 * @throws LedgerError - It is not canonical, of another network or epoch, without a quorum, or contradicts the anchor.
 */
export function* check(anchor: TrustAnchor, certified: CertifiedMessage, place: Place): Work<Checkpoint> {
  const start = anchor.last;
  const checkpoint = yield* verifyCheckpoint(certified, start.validators, anchor.network, place);
  const { newest } = anchor;
  const inputs = { height: String(checkpoint.height), newest: newest === null ? "" : String(newest.height) };
  yield* step("history", place, inputs, () => {
    if (start.closing !== null) checkOrder(start.closing, checkpoint);
    else if (checkpoint.height < 1n || checkpoint.timeMs < start.timeMs) {
      throw invalidCertificate("the checkpoint is older than genesis");
    }
    if (newest === null) return;
    if (checkpoint.height < newest.height) checkOrder(checkpoint, newest);
    else if (checkpoint.height > newest.height) checkOrder(newest, checkpoint);
    else if (!equal(checkpoint.raw, newest.raw)) {
      throw invalidCertificate(
        `another checkpoint was seen at height ${newest.height}: a quorum of validators signed both`,
        "certificate.contradiction",
      );
    }
  });
  return checkpoint;
}

/** Keep a checkpoint that `check` returned for this anchor, if it is the newest. */
export function remember(anchor: TrustAnchor, checkpoint: Checkpoint): TrustAnchor {
  if (anchor.newest !== null && checkpoint.height <= anchor.newest.height) return anchor;
  return new TrustAnchor(anchor.network, anchor.epochs, checkpoint);
}

/** Check that one checkpoint can follow another, which may close the epoch before. */
function checkOrder(earlier: Checkpoint, later: Checkpoint): void {
  if (later.height <= earlier.height) {
    throw invalidCertificate(
      `a checkpoint of epoch ${later.epoch} at height ${later.height}, ` +
        `though one of epoch ${earlier.epoch} stands at ${earlier.height}`,
      "certificate.contradiction",
    );
  }
  if (later.timeMs < earlier.timeMs || later.logSize < earlier.logSize) {
    throw invalidCertificate(
      `time or log size goes back between heights ${earlier.height} and ${later.height}`,
      "certificate.contradiction",
    );
  }
  if (closesEpoch(earlier) && later.epoch === earlier.epoch) {
    throw invalidCertificate(
      `a checkpoint at height ${later.height} of epoch ${later.epoch}, which closed at ${earlier.height}`,
      "certificate.contradiction",
    );
  }
}

/** Check that a closing checkpoint names this set. */
function checkNamed(closing: Checkpoint, validators: ValidatorSet, raw: Bytes): void {
  if (validators.epoch !== closing.epoch + 1n) {
    throw invalidCertificate(`a set of epoch ${validators.epoch} after epoch ${closing.epoch}`);
  }
  if (!equal(sha256(raw), closing.nextValidators)) {
    throw invalidCertificate("the validator set is not the one that the closing checkpoint names");
  }
}

/** Check that the parts of a kept anchor fit one another. */
function checkKept({ network, epochs, newest }: TrustAnchor): void {
  epochs.forEach(({ validators, closing, timeMs }, i) => {
    if (i > 0 && closing === null) throw damaged();
    if (closing === null) return;
    checkNamed(closing, validators, encodeSet(validators));
    const before = epochs[i - 1];
    if (!equal(closing.network, network) || closing.timeMs !== timeMs) throw damaged();
    if (before !== undefined && before.validators.epoch !== closing.epoch) throw damaged();
  });
  const { epoch } = (epochs[epochs.length - 1] as EpochStart).validators;
  if (newest !== null && (!equal(newest.network, network) || newest.epoch !== epoch)) throw damaged();
}

const encodeSet = ({ epoch, validators }: ValidatorSet): Bytes =>
  encode(messages.ValidatorSet, {
    epoch,
    validators: validators.map(({ blsKey, organisation }) => ({ bls_key: blsKey, organisation })),
  });

const damaged = (): Error => invalidMessage("the kept anchor is damaged; start again from the genesis file");

function membersOf(value: unknown): Map<string, unknown> {
  if (!(value instanceof Map)) throw damaged();
  return value as Map<string, unknown>;
}

function hexOf(value: unknown): Bytes {
  const data = typeof value === "string" ? fromHex(value) : null;
  if (data === null) throw damaged();
  return data;
}
