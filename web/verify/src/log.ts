// SPDX-License-Identifier: Apache-2.0
/**
 * Inclusion proofs of the append-only log.
 *
 * Source: RFC 9162, section 2.1.3.2.
 */

import { type Bytes, equal, HASH_BYTES, join, sha256 } from "./bytes.js";
import { invalidProof } from "./errors.js";

/** More leaves than a verifier believes in; bounds the work that a claimed size can ask for. */
export const LOG_SIZE_MAX = 1n << 48n;

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

/** The hash of a leaf: SHA-256(0x00 || entry). */
export const leafHash = (entry: Bytes): Bytes => sha256(join(LEAF, entry));

/** The hash of an inner node: SHA-256(0x01 || left || right). */
export const nodeHash = (left: Bytes, right: Bytes): Bytes => sha256(join(NODE, left, right));

/**
 * Check that a leaf stands at this index of the log with this root.
 *
 * @param leaf - SHA-256 of 0x00 || entry; 32 bytes.
 * @param index - Position of the leaf, 0-based.
 * @param size - Number of leaves under the root.
 * @param path - Sibling hashes from the leaf upwards, 32 bytes each.
 * @param root - A root that the caller trusts.
 * @throws LedgerError - `proof.invalid`: it does not, or the arguments are out of range.
 */
export function verifyInclusion(leaf: Bytes, index: bigint, size: bigint, path: readonly Bytes[], root: Bytes): void {
  if (index < 0n || index >= size || size > LOG_SIZE_MAX) {
    throw invalidProof(`leaf ${index} is not in a log of ${size} entries`);
  }
  if (path.some((hash) => hash.length !== HASH_BYTES)) throw invalidProof("a hash of the proof does not have 32 bytes");
  let position = index;
  let last = size - 1n;
  let node = leaf;
  for (const sibling of path) {
    if (last === 0n) {
      throw invalidProof(`the path has ${path.length} hashes, more than a log of ${size} entries is deep`);
    }
    if (position & 1n || position === last) {
      node = nodeHash(sibling, node);
      while (!(position & 1n) && position) {
        position >>= 1n;
        last >>= 1n;
      }
    } else {
      node = nodeHash(node, sibling);
    }
    position >>= 1n;
    last >>= 1n;
  }
  if (last !== 0n) throw invalidProof(`the path has ${path.length} hashes, too few for leaf ${index} of ${size}`);
  if (!equal(node, root)) {
    throw invalidProof(`the path of leaf ${index} does not lead to the root of the log at size ${size}`);
  }
}
