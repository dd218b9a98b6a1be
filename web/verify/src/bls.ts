// SPDX-License-Identifier: Apache-2.0
/**
 * BLS signatures of validators: ciphersuite BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_, keys in G1, signatures in G2.
 *
 * The curve is @noble/curves'; what makes a signature scheme of it stands here: keys and signatures have their one
 * encoding and lie in their subgroup, and identity keys, signatures and aggregates are refused. Aggregates over one
 * message are sound only for keys whose possession was proven.
 *
 * Source: draft-irtf-cfrg-bls-signature-06, sections 2 and 3.3; RFC 9380 for hashing to the curve.
 */

import { bls12_381 } from "@noble/curves/bls12-381.js";
import { type Bytes, join, joinAll, sha256, toHex, utf8 } from "./bytes.js";
import { invalidSignature } from "./errors.js";
import type { Work } from "./steps.js";

export const PUBLIC_KEY_BYTES = 48;
export const SIGNATURE_BYTES = 96;
/** Decoding a key costs 3 ms; a network has at most 64 validators an epoch, and a verifier meets few epochs. */
export const KEYS_CACHED_MAX = 1024;

const DST = "BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_";
const POSSESSION_DST = "BLS_POP_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_";
const COMPRESSED = 0x80;
const INFINITY = 0x40;
/** Of the factors of a batch: a wrong one passes with a chance of 2^-128. */
const FACTOR_BYTES = 16;

const G1 = bls12_381.G1.Point;
const G2 = bls12_381.G2.Point;
const { Fp12 } = bls12_381.fields;

type KeyPoint = typeof G1.BASE;
type SignaturePoint = typeof G2.BASE;

/** A key, what it signed, and the signature. */
export interface Claim {
  readonly publicKey: Bytes;
  readonly message: Bytes;
  readonly signature: Bytes;
}

const keys = new Map<string, KeyPoint>();

/**
 * Check that these bytes are a public key: canonical, on the curve, in the subgroup, not the identity.
 *
 * @throws LedgerError - `signature.invalid`: they are not.
 */
export function validateKey(publicKey: Bytes): void {
  keyOf(publicKey);
}

/**
 * Check one signature.
 *
 * @throws LedgerError - `signature.invalid`: key or signature malformed or the identity; or it does not verify.
 */
export function* verify({ publicKey, message, signature }: Claim): Work<void> {
  yield* verifyPoint(keyOf(publicKey), message, signatureOf(signature), DST);
}

/**
 * Check an aggregate of several keys' signatures over one message. Each key's possession must have been proven.
 *
 * @throws LedgerError - `signature.invalid`: no key; a key, the sum of the keys, or the aggregate malformed or the
 * identity; or it does not verify.
 */
export function* fastAggregateVerify(publicKeys: readonly Bytes[], message: Bytes, signature: Bytes): Work<void> {
  if (publicKeys.length === 0) throw invalidSignature("an aggregate signature needs at least one key");
  const point = signatureOf(signature);
  let total = G1.ZERO;
  for (const publicKey of publicKeys) {
    yield;
    total = total.add(keyOf(publicKey));
  }
  if (total.is0()) throw invalidSignature("the sum of the keys is the identity");
  yield* verifyPoint(total, message, point, DST);
}

/**
 * Check possession proofs, all at once.
 *
 * Each equation e(generator, signature) = e(key, H(message)) is raised to a factor of its own, drawn from all of them
 * by hashing, and the product of all is checked: one final exponentiation instead of one for each.
 *
 * @returns The index of a claim that does not hold, or null if all do.
 * @throws LedgerError - `signature.invalid`: a key or signature is malformed or the identity.
 */
export function* findFalsePossession(claims: readonly Claim[]): Work<number | null> {
  const hashes = claims.map(({ publicKey, message, signature }) => sha256(join(publicKey, signature, sha256(message))));
  const seed = sha256(joinAll(hashes));
  const equations: Equation[] = [];
  let total = G2.ZERO;
  for (const [i, claim] of claims.entries()) {
    yield;
    const signature = signatureOf(claim.signature);
    yield;
    const hashed = bls12_381.longSignatures.hash(claim.message, POSSESSION_DST);
    yield;
    const factor = BigInt(`0x${toHex(sha256(join(seed, Uint8Array.of(i))).subarray(0, FACTOR_BYTES))}`) | 1n;
    total = total.add(signature.multiplyUnsafe(factor));
    yield;
    equations.push([keyOf(claim.publicKey).multiplyUnsafe(factor), hashed]);
  }
  if (!total.is0() && (yield* isProductOne([[G1.BASE.negate(), total], ...equations]))) return null;
  for (const [i, { publicKey, message, signature }] of claims.entries()) {
    const hashed = bls12_381.longSignatures.hash(message, POSSESSION_DST);
    if (!(yield* isProductOne([[G1.BASE.negate(), signatureOf(signature)], [keyOf(publicKey), hashed]]))) return i;
  }
  return null;
}

/** What an organisation signs to prove that it holds the secret of a key, for one network. */
export const possessionMessage = (network: Bytes, organisation: string, publicKey: Bytes): Bytes =>
  join(utf8("zhixin/1/possession\0"), network, utf8(`${organisation}\0`), publicKey);

/** The pairing of two points. */
type Equation = [KeyPoint, SignaturePoint];

function* verifyPoint(key: KeyPoint, message: Bytes, signature: SignaturePoint, tag: string): Work<void> {
  yield;
  const hashed = bls12_381.longSignatures.hash(message, tag);
  if (!(yield* isProductOne([[G1.BASE.negate(), signature], [key, hashed]]))) {
    throw invalidSignature("the BLS signature does not verify");
  }
}

/** Whether the product of these pairings is one; the points are none of them the identity. */
function* isProductOne(pairs: readonly Equation[]): Work<boolean> {
  const lines: Parameters<typeof bls12_381.millerLoopBatch>[0] = [];
  for (const [key, point] of pairs) {
    yield;
    const { x, y } = key.toAffine();
    lines.push([bls12_381.utils.calcPairingPrecomputes(point), x, y]);
  }
  yield;
  const product = bls12_381.millerLoopBatch(lines);
  yield;
  return Fp12.eql(Fp12.finalExponentiate(product), Fp12.ONE);
}

/** Decode and validate a public key, or remember it. */
function keyOf(publicKey: Bytes): KeyPoint {
  const name = toHex(publicKey);
  const known = keys.get(name);
  if (known !== undefined) return known;
  checkEncoding(publicKey, PUBLIC_KEY_BYTES, "public key");
  let point: KeyPoint;
  try {
    point = G1.fromBytes(publicKey);
    point.assertValidity();
  } catch {
    throw invalidSignature("not a BLS public key");
  }
  if (point.is0()) throw invalidSignature("the identity is no public key");
  keys.set(name, point);
  if (keys.size > KEYS_CACHED_MAX) keys.delete(keys.keys().next().value as string);
  return point;
}

/** Decode and validate a signature. */
function signatureOf(signature: Bytes): SignaturePoint {
  checkEncoding(signature, SIGNATURE_BYTES, "signature");
  let point: SignaturePoint;
  try {
    point = G2.fromBytes(signature);
    point.assertValidity();
  } catch {
    throw invalidSignature("not a BLS signature");
  }
  if (point.is0()) throw invalidSignature("the identity is no signature");
  return point;
}

/** Check length and flags: the library also reads points that are not compressed, and the identity. */
function checkEncoding(data: Bytes, size: number, what: string): void {
  const first = data[0] ?? 0;
  if (data.length !== size || (first & COMPRESSED) === 0) throw invalidSignature(`not a BLS ${what}`);
  if ((first & INFINITY) !== 0) throw invalidSignature(`the identity is no ${what}`);
}
