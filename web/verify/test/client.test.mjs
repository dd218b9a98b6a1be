// SPDX-License-Identifier: Apache-2.0
// What a page sees when the worker that verifies for it fails, as one does that runs out of memory.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { openVerifier } from "../dist/client.js";

/** A worker that answers its start, and fails at the first receipt. */
class FailingWorker {
  constructor() {
    setTimeout(() => this.onmessage({ data: { ready: true } }));
  }

  postMessage({ id, request }) {
    if (request.method === "start") {
      setTimeout(() => this.onmessage({ data: { id, answer: { anchor: "{}", content: null } } }));
    } else setTimeout(() => this.onerror({}));
  }

  terminate() {}
}

afterEach(() => {
  delete globalThis.Worker;
});

test("a verifier whose worker failed refuses what was asked and all that is asked later", { timeout: 5_000 }, async () => {
  globalThis.Worker = FailingWorker;
  const verifier = await openVerifier({ scriptUrl: "verifier.js" });
  await assert.rejects(verifier.verifyReceipt("ZX1:"), /open another/);
  await assert.rejects(verifier.verifyReceipt("ZX1:"), /open another/);
});
