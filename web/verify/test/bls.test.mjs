// SPDX-License-Identifier: Apache-2.0
// Published edge cases of BLS signatures, and the batch check of possession proofs.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import * as bls from "../dist/bls.js";
import { sha256, utf8 } from "../dist/bytes.js";
import { fromHex, LedgerError, run } from "../dist/index.js";
import { canonical, parse } from "../dist/strict_json.js";

const VECTORS = new URL("../../../tests/vectors/wycheproof/bls_sig_g2_pop_verify_test.json", import.meta.url);
const CASES = JSON.parse(readFileSync(VECTORS)).testGroups.flatMap(({ publicKey, tests }) =>
  tests.map((one) => ({ ...one, publicKey: fromHex(publicKey.pk) })),
);
const GENESIS = JSON.parse(readFileSync(new URL("../../../tests/vectors/receipts/genesis.json", import.meta.url)));

function judge(work) {
  try {
    run(work);
    return "valid";
  } catch (error) {
    if (!(error instanceof LedgerError)) throw error;
    assert.equal(error.code, "signature.invalid");
    return "invalid";
  }
}

test("all vectors are here", () => assert.equal(CASES.length, 26));

for (const { tcId, comment, publicKey, msg, sig, result } of CASES) {
  test(`signature ${tcId}: ${comment}`, () => {
    const claim = { publicKey, message: fromHex(msg), signature: fromHex(sig) };
    assert.equal(judge(bls.verify(claim)), result);
    assert.equal(judge(bls.fastAggregateVerify([publicKey], claim.message, claim.signature)), result);
  });
}

test("keys whose sum is the identity are refused, with the identity as aggregate too", () => {
  const key = fromHex(GENESIS.validators[0].bls_key);
  const negative = Uint8Array.from(key);
  negative[0] ^= 0x20; // the sign of y
  const identity = Uint8Array.of(0xc0, ...new Uint8Array(95));
  const signature = fromHex(GENESIS.validators[0].possession);
  for (const aggregate of [identity, signature]) {
    assert.equal(judge(bls.fastAggregateVerify([key, negative], new Uint8Array(1), aggregate)), "invalid");
  }
});

test("points that are not compressed are refused", () => {
  const key = fromHex(GENESIS.validators[0].bls_key);
  key[0] &= 0x7f;
  assert.throws(() => bls.validateKey(key), LedgerError);
});

function claimsOfGenesis() {
  const emptied = { ...GENESIS, validators: GENESIS.validators.map((one) => ({ ...one, possession: "" })) };
  const digest = sha256(canonical(parse(utf8(JSON.stringify(emptied)), 1 << 20, 16)));
  return GENESIS.validators.map(({ bls_key, organisation, possession }) => {
    const publicKey = fromHex(bls_key);
    const message = bls.possessionMessage(digest, organisation, publicKey);
    return { publicKey, message, signature: fromHex(possession) };
  });
}

test("possession proofs that hold are found to, all at once", () => {
  assert.equal(run(bls.findFalsePossession(claimsOfGenesis())), null);
});

test("two exchanged proofs are found, though the sum of all is as it was", () => {
  const claims = claimsOfGenesis();
  [claims[1].signature, claims[3].signature] = [claims[3].signature, claims[1].signature];
  assert.equal(run(bls.findFalsePossession(claims)), 1);
});

test("a signature under the tag of votes is no possession proof", () => {
  const { publicKey, msg, sig } = CASES.find(({ result }) => result === "valid");
  const claim = { publicKey, message: fromHex(msg), signature: fromHex(sig) };
  assert.equal(run(bls.findFalsePossession([claim])), 0);
});
