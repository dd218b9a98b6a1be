// SPDX-License-Identifier: Apache-2.0
/**
 * Presence and absence proofs of state keys: ICS-23 `CommitmentProof` for `SmtSpec`, in the exact shapes of this
 * ledger.
 *
 * Directions are pinned to the bits of the hashed key: so a proof shows where its leaf lies, and two leaves with
 * nothing between them show that a key is absent. Nothing is compared in the order of raw keys, which would prove
 * "absence" of present ones.
 *
 * Source: docs/protocol.md, section 4; ICS-23, `SmtSpec`.
 */

import { type Bytes, compare, equal, HASH_BYTES, join, sha256 } from "./bytes.js";
import { invalidProof, LedgerError } from "./errors.js";
import { CommitmentProof, type ExistenceMessage, type NonExistenceMessage } from "./messages.js";
import { nodeHash } from "./log.js";
import { decode } from "./protobuf.js";

export const STATE_KEY_BYTES_MAX = 512;
export const STATE_VALUE_BYTES_MAX = 64 * 1024;
export const DEPTH_MAX = 256;
/** Two neighbours of the largest key and value, at the greatest depth. */
export const PROOF_BYTES_MAX = 2 * (STATE_KEY_BYTES_MAX + STATE_VALUE_BYTES_MAX + DEPTH_MAX * 48 + 256);

/** The hash of a subtree without leaves. */
const EMPTY_SUBTREE: Bytes = new Uint8Array(HASH_BYTES);
const LEAF_PREFIX = Uint8Array.of(0);
const INNER_PREFIX = 1;
const SHA256 = 1;
const NO_PREFIX = 0;

/** One level: whether the node is a right child, and its sibling's hash. */
interface Level {
  readonly isRight: boolean;
  readonly sibling: Bytes;
}

/**
 * Check that a key has a value, or none, in the state with this root.
 *
 * @param proofBytes - A `CommitmentProof`.
 * @param root - A state root that the caller trusts.
 * @param key - The state key, not empty.
 * @param value - Its value, not empty; null where the proof is to show that the key is absent.
 * @throws LedgerError - `proof.invalid`: it does not show that.
 */
export function verifyIcs23(proofBytes: Bytes, root: Bytes, key: Bytes, value: Bytes | null): void {
  if (key.length === 0 || value?.length === 0) throw invalidProof("state keys and values are not empty");
  const { exist, nonexist } = decodeProof(proofBytes);
  if (value === null) {
    if (nonexist === undefined) throw invalidProof("not a proof of absence");
    verifyAbsence(nonexist, root, key);
    return;
  }
  if (exist === undefined) throw invalidProof("not a proof of presence");
  if (!equal(exist.key, key) || !equal(exist.value, value)) {
    throw invalidProof("the proof is about another key or value");
  }
  verifyPresence(exist, root);
}

function decodeProof(proofBytes: Bytes): ReturnType<typeof decode<(typeof CommitmentProof)["fields"]>> {
  try {
    return decode(CommitmentProof, proofBytes, PROOF_BYTES_MAX);
  } catch (error) {
    if (error instanceof LedgerError) throw invalidProof(error.reason);
    throw error;
  }
}

/** Check one leaf's way to the root; its levels from the root downwards. */
function verifyPresence(proof: ExistenceMessage, root: Bytes): Level[] {
  if (proof.key.length === 0 || proof.value.length === 0) throw invalidProof("state keys and values are not empty");
  const leaf = proof.leaf;
  if (
    leaf === undefined ||
    leaf.hash !== SHA256 ||
    leaf.prehash_key !== SHA256 ||
    leaf.prehash_value !== SHA256 ||
    leaf.length !== NO_PREFIX ||
    !equal(leaf.prefix, LEAF_PREFIX)
  ) {
    throw invalidProof("the leaf is not hashed as this tree hashes its leaves");
  }
  if (proof.path.length > DEPTH_MAX) throw invalidProof(`the path is deeper than ${DEPTH_MAX}`);
  const keyHash = sha256(proof.key);
  let node = sha256(join(LEAF_PREFIX, keyHash, sha256(proof.value)));
  const levels: Level[] = [];
  proof.path.forEach((op, i) => {
    const level = levelOf(op);
    if (level.isRight !== isBitSet(keyHash, proof.path.length - 1 - i)) {
      throw invalidProof("the path does not follow the bits of the hashed key");
    }
    node = level.isRight ? nodeHash(level.sibling, node) : nodeHash(node, level.sibling);
    levels.push(level);
  });
  if (!equal(node, root)) throw invalidProof("the proof does not lead to the state root");
  return levels.reverse();
}

function levelOf(op: ExistenceMessage["path"][number]): Level {
  const { hash, prefix, suffix } = op;
  if (hash === SHA256 && prefix[0] === INNER_PREFIX) {
    if (prefix.length === 1 && suffix.length === HASH_BYTES) return { isRight: false, sibling: suffix };
    if (prefix.length === 1 + HASH_BYTES && suffix.length === 0) return { isRight: true, sibling: prefix.subarray(1) };
  }
  throw invalidProof("an inner node is not hashed as this tree hashes them");
}

/** Check that nothing lies between two leaves, or beyond the outermost one, where the key's leaf would be. */
function verifyAbsence(proof: NonExistenceMessage, root: Bytes, key: Bytes): void {
  const keyHash = sha256(key);
  if (!equal(proof.key, keyHash)) throw invalidProof("the proof is about the absence of another key");
  let left: Level[] | null = null;
  let right: Level[] | null = null;
  if (proof.left !== undefined) {
    if (compare(sha256(proof.left.key), keyHash) >= 0) {
      throw invalidProof("the left neighbour does not lie left of the key");
    }
    left = verifyPresence(proof.left, root);
  }
  if (proof.right !== undefined) {
    if (compare(keyHash, sha256(proof.right.key)) >= 0) {
      throw invalidProof("the right neighbour does not lie right of the key");
    }
    right = verifyPresence(proof.right, root);
  }
  if (left !== null && right !== null) {
    const fork = forkOf(left, right);
    left = left.slice(fork + 1);
    right = right.slice(fork + 1);
  } else if (left === null && right === null) {
    throw invalidProof("a proof of absence has at least one neighbour");
  }
  if (left?.some(({ isRight, sibling }) => !isRight && !equal(sibling, EMPTY_SUBTREE))) {
    throw invalidProof("there are leaves right of the left neighbour");
  }
  if (right?.some(({ isRight, sibling }) => isRight && !equal(sibling, EMPTY_SUBTREE))) {
    throw invalidProof("there are leaves left of the right neighbour");
  }
}

/** The depth at which the ways to two leaves part, left to left and right to right; above it they are the same. */
function forkOf(left: readonly Level[], right: readonly Level[]): number {
  for (let depth = 0; depth < Math.min(left.length, right.length); depth++) {
    const [a, b] = [left[depth] as Level, right[depth] as Level];
    if (a.isRight === b.isRight && equal(a.sibling, b.sibling)) continue;
    if (!a.isRight && b.isRight) return depth;
    break;
  }
  throw invalidProof("the neighbours are not leaves of one tree");
}

/** Whether the way to a hashed key turns right at this depth. */
const isBitSet = (keyHash: Bytes, depth: number): boolean =>
  (((keyHash[depth >> 3] as number) >> (7 - (depth & 7))) & 1) === 1;
