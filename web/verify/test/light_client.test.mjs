// SPDX-License-Identifier: Apache-2.0
// Following a network over epochs, keeping what is known, and the calls around a receipt.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import {
  advance,
  fromHex,
  LedgerError,
  loadGenesis,
  receiptSteps,
  runInSlices,
  toHex,
  TrustAnchor,
  verifyBundle,
  verifyReceipt,
  verifyStateReceipt,
} from "../dist/index.js";
import * as messages from "../dist/messages.js";
import { decode, encode } from "../dist/protobuf.js";
import { VerifierService } from "../dist/service.js";
import { run } from "../dist/steps.js";

const FOLDER = new URL("../../../tests/vectors/receipts/", import.meta.url);
const CASES = JSON.parse(readFileSync(new URL("cases.json", FOLDER)));
const GENESIS = readFileSync(new URL("genesis.json", FOLDER));
const OTHER = readFileSync(new URL("other-genesis.json", FOLDER));
const { anchor: ANCHOR, network: NETWORK } = loadGenesis(GENESIS);

const receiptOf = (name) => fromHex(CASES.find((one) => one.name === name).receipt);
const THIRD = receiptOf("epoch 3 with a single validator, from genesis");
const { epochs: STEPS } = decode(messages.Receipt, THIRD, THIRD.length);
const closings = (...steps) => encode(messages.Closings, { closings: steps });
const refuses = (code, work) => assert.throws(work, (error) => error instanceof LedgerError && error.code === code);

test("closing checkpoints lead from genesis to the newest epoch, at once or one by one", () => {
  const atOnce = advance(ANCHOR, closings(...STEPS));
  assert.equal(atOnce.epoch, 3n);
  assert.deepEqual(atOnce.validators.validators.map(({ organisation }) => organisation), ["parks"]);
  assert.equal(String(advance(advance(ANCHOR, closings(STEPS[0])), closings(STEPS[1]))), String(atOnce));
  assert.equal(String(advance(ANCHOR, closings())), String(ANCHOR));
});

test("a step that is skipped, repeated or swapped is refused, and leaves the anchor as it was", () => {
  const before = String(ANCHOR);
  for (const wrong of [[STEPS[1]], [STEPS[0], STEPS[0]], [STEPS[1], STEPS[0]]]) {
    refuses("certificate.invalid", () => advance(ANCHOR, closings(...wrong)));
  }
  assert.equal(String(ANCHOR), before);
});

test("an anchor that was written down is the same one when it is read", () => {
  const { anchor } = verifyReceipt(THIRD, ANCHOR);
  assert.equal(String(TrustAnchor.parse(String(anchor))), String(anchor));
  refuses("receipt.older-epoch", () => verifyReceipt(receiptOf("one operation"), TrustAnchor.parse(String(anchor))));
});

test("a kept anchor whose parts do not fit one another is refused", () => {
  const whole = JSON.parse(String(verifyReceipt(THIRD, ANCHOR).anchor));
  for (const change of [
    (kept) => kept.epochs.splice(1, 1),
    (kept) => kept.epochs.reverse(),
    (kept) => (kept.epochs[1].validators = kept.epochs[0].validators),
    (kept) => (kept.epochs[2].closing = ""),
    (kept) => (kept.network = "00".repeat(32)),
    (kept) => (kept.newest = kept.epochs[1].closing),
    (kept) => (kept.format = "zhixin-anchor/2"),
    (kept) => (kept.epochs = []),
  ]) {
    const kept = structuredClone(whole);
    change(kept);
    assert.throws(() => TrustAnchor.parse(JSON.stringify(kept)), LedgerError, String(change));
  }
});

test("a genesis file of another network than the one asked for is refused", () => {
  refuses("genesis.invalid", () => loadGenesis(OTHER, { network: NETWORK }));
  assert.equal(toHex(loadGenesis(GENESIS, { network: NETWORK }).network), toHex(NETWORK));
});

test("a receipt with a foreign genesis is refused", () => {
  refuses("certificate.invalid", () => verifyReceipt(receiptOf("one operation"), loadGenesis(OTHER).anchor));
});

test("a state receipt proves one key, and another receipt is none", () => {
  const absent = verifyStateReceipt(receiptOf("a state key that is absent"), ANCHOR);
  assert.equal(new TextDecoder().decode(absent.key), "status/water/00000001");
  assert.equal(absent.value, null);
  assert.ok(verifyStateReceipt(receiptOf("a state key that is present"), ANCHOR).value.length > 0);
  for (const name of ["one operation", "an operation and the absence of its revocation"]) {
    refuses("receipt.invalid", () => verifyStateReceipt(receiptOf(name), ANCHOR));
  }
});

test("a bundle shows its operations, failures and states", () => {
  const bundle = verifyBundle(receiptOf("operations, a failure, presence and absence in one bundle"), ANCHOR);
  assert.deepEqual([bundle.inclusions.length, bundle.failures.length, bundle.states.length], [4, 1, 3]);
});

test("a maximum age without the time now is the caller's error", () => {
  assert.throws(() => verifyReceipt(receiptOf("one operation"), ANCHOR, { stateAgeMsMax: 1 }), TypeError);
});

/** The same work, and how often it has offered to pause. */
function countingPauses(steps) {
  let pauses = 0;
  function* counting() {
    for (;;) {
      const next = steps.next();
      if (next.done) return next.value;
      pauses += 1;
      yield next.value;
    }
  }
  return { work: counting(), pauses: () => pauses };
}

test("work in slices gives the page its turns and the same answer", async () => {
  let turns = 0;
  let isRunning = true;
  const tick = () => {
    turns += 1;
    if (isRunning) setImmediate(tick);
  };
  setImmediate(tick);
  // Another quorum's signature: one that no test before this has left in memory.
  const receipt = receiptOf("signed by another quorum");
  const counted = countingPauses(receiptSteps(receipt, ANCHOR));
  const verified = await runInSlices(counted.work, undefined, 0); // pause wherever it may, however fast the machine
  isRunning = false;
  assert.ok(counted.pauses() > 10, `it may pause at ${counted.pauses()} places`);
  assert.ok(turns >= counted.pauses() - 1, `${turns} turns at ${counted.pauses()} places`);
  assert.deepEqual(verified, verifyReceipt(receipt, ANCHOR));
});

test("a service remembers what it has seen, and a refused request changes nothing", () => {
  const service = new VerifierService();
  const ask = (request) => run(service.answer(request));
  const verify = (receipt) => ask({ method: "verifyReceipt", receipt, options: {} });
  assert.throws(() => verify(THIRD), TypeError);
  assert.throws(() => ask({ method: "start" }), TypeError);
  ask({ method: "start", genesis: GENESIS, network: NETWORK });
  const { anchor } = verify(receiptOf("epoch 2, from genesis"));
  refuses("receipt.older-epoch", () => verify(receiptOf("one operation")));
  refuses("certificate.contradiction", () => verify(receiptOf("another closing checkpoint than the one seen")));
  assert.equal(ask({ method: "advance", closings: closings() }).anchor, anchor);
  refuses("genesis.invalid", () => ask({ method: "start", anchor, genesis: OTHER }));
  refuses("genesis.invalid", () => ask({ method: "start", anchor, network: new Uint8Array(32) }));
  assert.equal(ask({ method: "start", anchor, genesis: GENESIS }).anchor, anchor);
});
