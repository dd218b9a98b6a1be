// SPDX-License-Identifier: Apache-2.0
/**
 * Checkpoints and validator sets, and the quorum's certificate over a checkpoint.
 *
 * Source: docs/protocol.md, sections 1, 4 and 5.
 */

import { type Bytes, equal, HASH_BYTES, join, sha256, toHex, utf8 } from "./bytes.js";
import * as bls from "./bls.js";
import { invalidCertificate, invalidMessage, LedgerError } from "./errors.js";
import * as messages from "./messages.js";
import type { CertifiedMessage } from "./messages.js";
import { decode } from "./protobuf.js";
import { type Place, short, step, type Work } from "./steps.js";

export const CHECKPOINT_BYTES_MAX = 512;
export const ORGANISATION_BYTES_MAX = 64;
/** Bound of bitmaps and lists. */
export const VALIDATORS_MAX = 64;
export const VALIDATOR_SET_BYTES_MAX = VALIDATORS_MAX * (48 + ORGANISATION_BYTES_MAX + 16) + 16;

/** Each takes 100 bytes; a client rarely meets more under one page. */
const CERTIFICATES_REMEMBERED_MAX = 256;

/** One member of a set. */
export interface Validator {
  /** 48 bytes. */
  readonly blsKey: Bytes;
  readonly organisation: string;
}

/** Who votes in one epoch, in the order of certificates' bitmaps. */
export interface ValidatorSet {
  readonly epoch: bigint;
  readonly validators: readonly Validator[];
}

/** The ledger after one block. */
export interface Checkpoint {
  /** What validators sign. */
  readonly raw: Bytes;
  readonly network: Bytes;
  readonly epoch: bigint;
  readonly height: bigint;
  readonly timeMs: bigint;
  readonly blockId: Bytes;
  readonly logSize: bigint;
  readonly logRoot: Bytes;
  readonly stateRoot: Bytes;
  /** SHA-256 of the next validator set; empty unless the epoch closes here. */
  readonly nextValidators: Bytes;
}

/** How many votes of n validators make a certificate: n - f, where f = (n - 1) // 3 may be Byzantine. */
export const quorumOf = (n: number): number => n - Math.floor((n - 1) / 3);

export const closesEpoch = (checkpoint: Checkpoint): boolean => checkpoint.nextValidators.length > 0;

/**
 * Read a set that somebody sent.
 *
 * @throws LedgerError - `message.invalid`: not canonical, empty, too large, or a key twice or of the wrong length.
 */
export function decodeValidatorSet(raw: Bytes): ValidatorSet {
  const { epoch, validators } = decode(messages.ValidatorSet, raw, VALIDATOR_SET_BYTES_MAX);
  const distinct = new Set(validators.map(({ bls_key }) => toHex(bls_key)));
  if (validators.length < 1 || validators.length > VALIDATORS_MAX || distinct.size !== validators.length) {
    throw invalidMessage(`a validator set has 1 to ${VALIDATORS_MAX} members, each once`);
  }
  if (validators.some(({ bls_key }) => bls_key.length !== bls.PUBLIC_KEY_BYTES)) {
    throw invalidMessage("a BLS public key has 48 bytes");
  }
  return { epoch, validators: validators.map(({ bls_key, organisation }) => ({ blsKey: bls_key, organisation })) };
}

/**
 * Read a checkpoint that somebody sent.
 *
 * @throws LedgerError - `message.invalid`: not canonical, or a hash of the wrong length.
 */
export function decodeCheckpoint(raw: Bytes): Checkpoint {
  const message = decode(messages.Checkpoint, raw, CHECKPOINT_BYTES_MAX);
  const { network, block_id, log_root, state_root, next_validators } = message;
  if (
    [network, block_id, log_root, state_root].some((hash) => hash.length !== HASH_BYTES) ||
    (next_validators.length !== 0 && next_validators.length !== HASH_BYTES)
  ) {
    throw invalidMessage("a hash in the checkpoint does not have 32 bytes");
  }
  return {
    raw,
    network,
    epoch: message.epoch,
    height: message.height,
    timeMs: message.time_ms,
    blockId: block_id,
    logSize: message.log_size,
    logRoot: log_root,
    stateRoot: state_root,
    nextValidators: next_validators,
  };
}

/**
 * Check that a quorum of a set signed this checkpoint, and read it.
 *
 * @throws LedgerError - `message.invalid`: the checkpoint's bytes are not canonical; `certificate.invalid`: another
 * network or epoch, a malformed bitmap, no quorum, or the aggregate does not verify.
 */
export function* verifyCheckpoint(
  certified: CertifiedMessage,
  set: ValidatorSet,
  network: Bytes,
  place: Place,
): Work<Checkpoint> {
  const networks = { found: "", expected: short(network) };
  const checkpoint = yield* step("network", place, networks, () => {
    const decoded = decodeCheckpoint(certified.checkpoint);
    networks.found = short(decoded.network);
    if (!equal(decoded.network, network)) throw invalidCertificate("the checkpoint is of another network");
    return decoded;
  });
  yield* step("epoch", place, { found: String(checkpoint.epoch), expected: String(set.epoch) }, () => {
    if (checkpoint.epoch !== set.epoch) {
      throw invalidCertificate(`a checkpoint of epoch ${checkpoint.epoch} against the set of ${set.epoch}`);
    }
  });
  const { validators } = set;
  const quorum = quorumOf(validators.length);
  const { bitmap } = certified;
  const inputs = { bitmap: short(bitmap), signers: countOf(bitmap), validators: validators.length, quorum };
  const members = yield* step("quorum", place, inputs, () => {
    const found = decodeBitmap(bitmap, validators.length);
    if (found.length < quorum) {
      throw invalidCertificate(`${found.length} of ${validators.length} validators signed; a quorum is ${quorum}`);
    }
    return found;
  });
  const keys = members.map((member) => (validators[member] as Validator).blsKey);
  const message = join(utf8("zhixin/1/checkpoint\0"), network, certified.checkpoint);
  const digest = short(sha256(certified.checkpoint));
  const signed = { checkpoint: digest, aggregate: short(certified.aggregate), keys: keys.length };
  yield* step("signature", place, signed, () => verifyAggregate(keys, message, certified.aggregate));
  return checkpoint;
}

const verified = new Set<string>();

/** Check an aggregate, unless this very one has been checked. */
function* verifyAggregate(keys: readonly Bytes[], message: Bytes, aggregate: Bytes): Work<void> {
  const count = Uint8Array.of(keys.length);
  const name = toHex(sha256(join(count, ...keys, sha256(message), aggregate)));
  if (!verified.delete(name)) {
    try {
      yield* bls.fastAggregateVerify(keys, message, aggregate);
    } catch (error) {
      if (error instanceof LedgerError) throw invalidCertificate(error.reason);
      throw error;
    }
  }
  verified.add(name);
  if (verified.size > CERTIFICATES_REMEMBERED_MAX) verified.delete(verified.keys().next().value as string);
}

/**
 * The members, ascending and 0-based, whose bits are set: bit i % 8, least significant first, of byte i // 8.
 *
 * @throws LedgerError - `certificate.invalid`: not exactly ceil(n/8) bytes, or a padding bit is set.
 */
function decodeBitmap(bitmap: Bytes, n: number): number[] {
  const size = Math.ceil(n / 8);
  if (bitmap.length !== size) {
    throw invalidCertificate(`the bitmap has ${bitmap.length} bytes where ${n} validators need ${size}`);
  }
  const members: number[] = [];
  for (let member = 0; member < 8 * size; member++) {
    if ((((bitmap[member >> 3] as number) >> (member & 7)) & 1) === 0) continue;
    if (member >= n) throw invalidCertificate(`the bitmap names a validator beyond the ${n} of the set`);
    members.push(member);
  }
  return members;
}

/** How many bits are set, for showing. */
function countOf(bitmap: Bytes): number {
  let count = 0;
  for (const byte of bitmap) for (let bits = byte; bits > 0; bits >>= 1) count += bits & 1;
  return count;
}
