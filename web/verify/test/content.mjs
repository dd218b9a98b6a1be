// SPDX-License-Identifier: Apache-2.0
// What a receipt proves, in the form of the shared corpus (tests/vectors/receipts/README.md).

import { toHex } from "../dist/index.js";

const inclusion = (one) => ({
  type: one.type,
  body: toHex(one.body),
  operation_index: one.operationIndex,
  operation_count: one.operationCount,
  transaction_id: toHex(one.transactionId),
  expires_at_ms: one.expiresAtMs,
  signers: one.signers.map(({ scheme, publicKey }) => ({ scheme, public_key: toHex(publicKey) })),
  height: one.height,
  position: one.position,
  time_ms: one.timeMs,
  leaf_index: one.leafIndex,
});

export const contentOf = (verified) => ({
  epoch: verified.epoch,
  height: verified.height,
  time_ms: verified.timeMs,
  inclusions: verified.inclusions.map(inclusion),
  failures: verified.failures.map((one) => ({ ...inclusion(one), code: one.code, failed_operation: one.failedOperation })),
  states: verified.states.map(({ key, value }) => ({ key: toHex(key), value: value === null ? null : toHex(value) })),
});
