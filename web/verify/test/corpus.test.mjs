// SPDX-License-Identifier: Apache-2.0
// The shared corpus of receipts: the same verdict, code and content as the Python implementation's for each case.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { decodeAny, fromHex, LedgerError, loadGenesis, TrustAnchor, verifyReceipt } from "../dist/index.js";
import { contentOf } from "./content.mjs";

const FOLDER = new URL("../../../tests/vectors/receipts/", import.meta.url);
const CASES = JSON.parse(readFileSync(new URL("cases.json", FOLDER)));
const TEXTS = JSON.parse(readFileSync(new URL("texts.json", FOLDER)));
const ANCHORS = new Map(
  ["genesis.json", "other-genesis.json"].map((name) => [name, loadGenesis(readFileSync(new URL(name, FOLDER))).anchor]),
);

/** What the verifier answers to a case: a code and no content, or no code and the content. */
function judge(one) {
  let anchor = ANCHORS.get(one.genesis);
  for (const kept of one.kept) anchor = verifyReceipt(fromHex(kept), anchor, { olderEpochs: true }).anchor;
  // What was kept survives being written down.
  anchor = TrustAnchor.parse(String(anchor));
  const steps = [];
  const options = { olderEpochs: one.older_epochs, onStep: (step) => steps.push(step) };
  if (one.state_age_ms_max !== null) Object.assign(options, { stateAgeMsMax: one.state_age_ms_max, nowMs: one.now_ms });
  try {
    const content = contentOf(verifyReceipt(fromHex(one.receipt), anchor, options));
    assert.ok(steps.every(({ outcome }) => outcome === "passed"));
    return { code: null, content };
  } catch (error) {
    if (!(error instanceof LedgerError)) throw error;
    // What is refused ends with the one step that was refused.
    const refused = steps.filter(({ outcome }) => outcome === "refused");
    assert.deepEqual(refused, steps.slice(-1));
    return { code: refused[0].code, content: null };
  }
}

test("the corpus has good and bad receipts", () => {
  assert.ok(CASES.filter(({ code }) => code === null).length >= 20);
  assert.ok(CASES.filter(({ code }) => code !== null).length >= 80);
});

for (const one of CASES) {
  test(`receipt: ${one.name}`, () => {
    assert.deepEqual(judge(one), { code: one.code, content: one.content });
  });
}

for (const { name, text, receipt } of TEXTS) {
  test(`text: ${name}`, () => {
    if (receipt === null) {
      assert.throws(() => decodeAny(text), (error) => error instanceof LedgerError && error.code === "message.invalid");
    } else {
      assert.deepEqual(decodeAny(text).receipt, fromHex(receipt));
      assert.deepEqual(decodeAny(new TextEncoder().encode(text)).receipt, fromHex(receipt));
    }
  });
}

/** The differential test against Python alters every byte; here it is one of seven, since most cost a pairing. */
const STRIDE = 7;

for (const [offset, one] of CASES.filter(({ every_byte }) => every_byte).entries()) {
  test(`no byte can be changed: ${one.name}`, () => {
    const receipt = fromHex(one.receipt);
    const anchor = ANCHORS.get(one.genesis);
    for (let i = offset % STRIDE; i < receipt.length; i += STRIDE) {
      const altered = Uint8Array.from(receipt);
      altered[i] ^= 1 << i % 8;
      assert.throws(() => verifyReceipt(altered, anchor), LedgerError, `byte ${i}`);
    }
  });
}
