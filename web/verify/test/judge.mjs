// SPDX-License-Identifier: Apache-2.0
// Answers questions of the differential test, one JSON line each from standard input to standard output.
//
//   {"genesis": text}                           -> {"code", "network"}
//   {"receipt": hex, "genesis": text}           -> {"code", "content"}; the genesis file is taken as checked
//   {"text": hex}                               -> {"code", "receipt"}

import { createHash } from "node:crypto";
import { createInterface } from "node:readline";

import { decodeAny, fromHex, LedgerError, loadGenesis, toHex, verifyReceipt } from "../dist/index.js";
import { contentOf } from "./content.mjs";

const anchors = new Map();

function anchorOf(text) {
  if (!anchors.has(text)) {
    const network = Uint8Array.from(createHash("sha256").update(text).digest());
    anchors.set(text, loadGenesis(new TextEncoder().encode(text), { network }).anchor);
  }
  return anchors.get(text);
}

function answer(question) {
  if ("receipt" in question) {
    return { content: contentOf(verifyReceipt(fromHex(question.receipt), anchorOf(question.genesis))) };
  }
  if ("text" in question) return { receipt: toHex(decodeAny(fromHex(question.text)).receipt) };
  return { network: toHex(loadGenesis(new TextEncoder().encode(question.genesis)).network) };
}

for await (const line of createInterface({ input: process.stdin })) {
  let said;
  try {
    said = { code: null, ...answer(JSON.parse(line)) };
  } catch (error) {
    if (!(error instanceof LedgerError)) throw error;
    said = { code: error.code };
  }
  process.stdout.write(`${JSON.stringify(said)}\n`);
}
