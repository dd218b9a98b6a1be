// SPDX-License-Identifier: Apache-2.0
/**
 * What a receipt's proofs prove, once their checkpoint is certified: operations in the log, and state keys.
 *
 * Source: docs/protocol.md, sections 4 and 6.
 */

import { type Bytes, compare, HASH_BYTES, sha256, utf8 } from "./bytes.js";
import type { Checkpoint } from "./checkpoint.js";
import { invalidMessage, invalidReceipt, LedgerError } from "./errors.js";
import { verifyIcs23 } from "./ics23.js";
import { leafHash, verifyInclusion } from "./log.js";
import * as messages from "./messages.js";
import type { InclusionMessage, StateProofMessage } from "./messages.js";
import { decode, type Message } from "./protobuf.js";
import { short, step, type Work } from "./steps.js";

/** In one bundle, of each kind; each takes up to 2 ms to check. */
export const PROOFS_MAX = 16_384;
export const ENTRY_BYTES_MAX = 8192;
export const FAILURE_CODE_BYTES_MAX = 128;
export const TRANSACTION_BYTES_MAX = 256 * 1024;
export const TRANSACTION_LIFETIME_MS_MAX = 300_000n;
export const BLOCK_TRANSACTIONS_MAX = 20_000;
export const HEADER_BYTES_MAX = 4096;
export const OPERATIONS_MAX = 1024;
export const SIGNERS_MAX = 64;
export const SALT_BYTES = 16;
export const OPERATION_TYPE_BYTES_MAX = 128;

/** Ed25519, P-256, WebAuthn ES256. */
const PUBLIC_KEY_BYTES: Readonly<Record<number, number>> = { 1: 32, 2: 33, 3: 33 };
const ASCII = /^[\u0000-\u007f]*$/;

/** A signer as the header names it. */
export interface Signer {
  /** 1: Ed25519, 2: ECDSA P-256, 3: WebAuthn ES256. */
  readonly scheme: number;
  readonly publicKey: Bytes;
}

/** An operation's place in the log. */
export interface Inclusion {
  /** The registered message type, e.g. "identity.Attest". */
  readonly type: string;
  /** That message's bytes, as its author made them. */
  readonly body: Bytes;
  /** The operation's place in its transaction, 0-based. */
  readonly operationIndex: number;
  readonly operationCount: number;
  /** SHA-256 of the transaction's header. */
  readonly transactionId: Bytes;
  readonly expiresAtMs: number;
  /** Who signed the transaction. */
  readonly signers: readonly Signer[];
  /** Of its block. */
  readonly height: number;
  /** Of its transaction's entry in the block, 0-based. */
  readonly position: number;
  /** The block's time. */
  readonly timeMs: number;
  /** Of the entry in the log since genesis, 0-based. */
  readonly leafIndex: number;
}

/** An operation of a transaction that was refused: nothing of it took effect. */
export interface Failure extends Inclusion {
  /** Which rule refused it, e.g. "identity.not-registrar". */
  readonly code: string;
  /** Index of the operation that the rule refused; the others of the transaction fell with it. */
  readonly failedOperation: number;
}

/** A state key as it stood after the checkpoint's block; a value of null: absent. */
export interface State {
  readonly key: Bytes;
  readonly value: Bytes | null;
}

interface Header {
  readonly raw: Bytes;
  readonly expiresAtMs: bigint;
  readonly signers: readonly Signer[];
  readonly operationsRoot: Bytes;
  readonly operationCount: number;
}

type Entry = Message<typeof messages.Entry>;

/**
 * Check each operation's way to the log root.
 *
 * @returns Those that took effect, and those that did not.
 * @throws LedgerError - One does not prove what it claims, or they are too many, out of order or repeated.
 */
export function* verifyInclusions(
  inclusions: readonly InclusionMessage[],
  checkpoint: Checkpoint,
): Work<{ inclusions: Inclusion[]; failures: Failure[] }> {
  if (inclusions.length > PROOFS_MAX) {
    throw invalidReceipt(`the receipt shows ${inclusions.length} operations; at most ${PROOFS_MAX}`);
  }
  const verified: { inclusions: Inclusion[]; failures: Failure[] } = { inclusions: [], failures: [] };
  for (const [index, inclusion] of inclusions.entries()) {
    const work = verifyOne(inclusion, inclusions[index - 1], checkpoint, index);
    const outcome = yield* within(`inclusions[${index}]`, work);
    if ("failedOperation" in outcome) verified.failures.push(outcome);
    else verified.inclusions.push(outcome);
  }
  return verified;
}

/**
 * Check each state key's way to the state root.
 *
 * @throws LedgerError - One does not prove what it claims, or they are too many, out of order or repeated.
 */
export function* verifyStates(states: readonly StateProofMessage[], checkpoint: Checkpoint): Work<State[]> {
  if (states.length > PROOFS_MAX) {
    throw invalidReceipt(`the receipt shows ${states.length} states; at most ${PROOFS_MAX}`);
  }
  const verified: State[] = [];
  for (const [index, { key, value: shown, proof }] of states.entries()) {
    const before = states[index - 1];
    const value = shown.length === 0 ? null : shown;
    const digest = value === null ? "" : short(sha256(value));
    const inputs = { key: short(sha256(key)), value: digest, root: short(checkpoint.stateRoot) };
    const check = value === null ? "absence" : "presence";
    yield* within(
      `states[${index}]`,
      step(check, { part: "state", index }, inputs, () => {
        if (before !== undefined && compare(key, before.key) <= 0) {
          throw invalidReceipt("it is out of order, or stands twice");
        }
        verifyIcs23(proof, checkpoint.stateRoot, key, value);
      }),
    );
    verified.push({ key, value });
  }
  return verified;
}

/** A number that JavaScript holds exactly; no honest ledger comes near 2^53. */
export function safe(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw invalidMessage("a number beyond 2^53");
  return Number(value);
}

/** Name the proof in which something is wrong. */
function* within<T>(where: string, work: Work<T>): Work<T> {
  try {
    return yield* work;
  } catch (error) {
    if (error instanceof LedgerError) throw invalidReceipt(`${where}: ${error.reason}`, error.code);
    throw error;
  }
}

const isBefore = (a: InclusionMessage, b: InclusionMessage): boolean =>
  a.leaf_index < b.leaf_index || (a.leaf_index === b.leaf_index && a.operation_index < b.operation_index);

/** Check one operation: it stands in its transaction, the transaction's entry in the log. */
function* verifyOne(
  inclusion: InclusionMessage,
  before: InclusionMessage | undefined,
  checkpoint: Checkpoint,
  index: number,
): Work<Inclusion | Failure> {
  const place = { part: "inclusion", index } as const;
  const sizes = { operation: inclusion.operation.length, entry: inclusion.entry.length };
  const { operation, entry, header } = yield* step("decode", place, sizes, () => {
    if (before !== undefined && !isBefore(before, inclusion)) {
      throw invalidReceipt("it is out of order, or stands twice");
    }
    const decoded = decodeOperation(inclusion.operation);
    const entry = decode(messages.Entry, inclusion.entry, ENTRY_BYTES_MAX);
    return { operation: decoded, entry, header: decodeHeader(entry.header) };
  });
  const leaf = leafHash(inclusion.operation);
  const inTransaction = {
    type: operation.type,
    operation: inclusion.operation_index,
    operations: header.operationCount,
    leaf: short(leaf),
    root: short(header.operationsRoot),
  };
  yield* step("operation", place, inTransaction, () => {
    const [index, count] = [BigInt(inclusion.operation_index), BigInt(header.operationCount)];
    verifyInclusion(leaf, index, count, inclusion.operation_path, header.operationsRoot);
  });
  const entryLeaf = leafHash(inclusion.entry);
  const inLog = {
    index: String(inclusion.leaf_index),
    size: String(checkpoint.logSize),
    hashes: inclusion.path.length,
    leaf: short(entryLeaf),
    root: short(checkpoint.logRoot),
  };
  yield* step("entry", place, inLog, () => {
    verifyInclusion(entryLeaf, inclusion.leaf_index, checkpoint.logSize, inclusion.path, checkpoint.logRoot);
  });
  const { failure } = entry;
  const result = { height: String(entry.height), result: failure === undefined ? "success" : failure.code };
  return yield* step("result", place, result, () => {
    checkEntry(entry, header, checkpoint);
    const included: Inclusion = {
      ...operation,
      operationIndex: inclusion.operation_index,
      operationCount: header.operationCount,
      transactionId: sha256(header.raw),
      expiresAtMs: safe(header.expiresAtMs),
      signers: header.signers,
      height: safe(entry.height),
      position: entry.position,
      timeMs: safe(entry.time_ms),
      leafIndex: safe(inclusion.leaf_index),
    };
    return failure === undefined ? included : { ...included, code: failure.code, failedOperation: failure.operation };
  });
}

/** Read an operation: its registered type and its body. */
function decodeOperation(raw: Bytes): { type: string; body: Bytes } {
  const { type, body } = decode(messages.Operation, raw, TRANSACTION_BYTES_MAX);
  if (type.length < 1 || type.length > OPERATION_TYPE_BYTES_MAX || !ASCII.test(type)) {
    throw invalidMessage(`an operation's type has 1 to ${OPERATION_TYPE_BYTES_MAX} ASCII characters`);
  }
  return { type, body };
}

/** Read a transaction's header. */
function decodeHeader(raw: Bytes): Header {
  const message = decode(messages.Header, raw, HEADER_BYTES_MAX);
  const { salt, operation_count: count, operations_root } = message;
  if (message.expires_at_ms === 0n) throw invalidMessage("the transaction has no expiry");
  if (salt.length !== SALT_BYTES) throw invalidMessage(`the salt has ${salt.length} bytes, not ${SALT_BYTES}`);
  if (operations_root.length !== HASH_BYTES) throw invalidMessage("the operations' root does not have 32 bytes");
  if (count < 1 || count > OPERATIONS_MAX) throw invalidMessage(`a transaction has 1 to ${OPERATIONS_MAX} operations`);
  if (message.signers.length < 1 || message.signers.length > SIGNERS_MAX) {
    throw invalidMessage(`a transaction has 1 to ${SIGNERS_MAX} signers`);
  }
  const signers = message.signers.map(({ scheme, public_key }) => {
    const size = PUBLIC_KEY_BYTES[scheme];
    if (size === undefined) throw invalidMessage(`unknown signature scheme ${scheme}`);
    if (public_key.length !== size) {
      throw invalidMessage(`a public key of scheme ${scheme} has ${public_key.length} bytes`);
    }
    return { scheme, publicKey: public_key };
  });
  signers.forEach((signer, i) => {
    const before = signers[i - 1];
    if (before === undefined || before.scheme < signer.scheme) return;
    if (before.scheme > signer.scheme || compare(before.publicKey, signer.publicKey) >= 0) {
      throw invalidMessage("signers are not sorted by scheme and key, or one stands twice");
    }
  });
  return { raw, expiresAtMs: message.expires_at_ms, signers, operationsRoot: operations_root, operationCount: count };
}

/** Check that an entry says what validators can have written below this checkpoint. */
function checkEntry(entry: Entry, header: Header, checkpoint: Checkpoint): void {
  const { height, time_ms: time, failure } = entry;
  if (height < 1n || height > checkpoint.height || entry.position >= BLOCK_TRANSACTIONS_MAX) {
    throw invalidMessage(`an entry of height ${height} under a checkpoint of height ${checkpoint.height}`);
  }
  if (height === checkpoint.height ? time !== checkpoint.timeMs : time > checkpoint.timeMs) {
    throw invalidMessage("the entry's time does not fit the checkpoint's");
  }
  if (header.expiresAtMs < time || header.expiresAtMs > time + TRANSACTION_LIFETIME_MS_MAX) {
    throw invalidMessage("the entry is of a transaction that could not execute at its time");
  }
  if (failure === undefined) {
    if (entry.success === undefined) throw invalidMessage("the entry has no result");
    return;
  }
  const size = utf8(failure.code).length;
  if (size < 1 || size > FAILURE_CODE_BYTES_MAX || failure.operation >= header.operationCount) {
    throw invalidMessage("the entry's failure has no code, or names an operation that is not there");
  }
}
