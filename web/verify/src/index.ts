// SPDX-License-Identifier: Apache-2.0
/**
 * Checks Zhixin receipts, bundles, state proofs and closing checkpoints against a network's genesis: alone, offline.
 *
 * Synchronous functions for Node.js and workers; for pages `@zhixin/verify/client`, which never freezes one.
 */

import "./old_browsers.js";

export { type Bytes, fromHex, toHex } from "./bytes.js";
export type { Validator, ValidatorSet } from "./checkpoint.js";
export { LedgerError } from "./errors.js";
export { type Genesis, type GenesisOptions, genesisSteps, loadGenesis } from "./genesis.js";
export { TrustAnchor } from "./light_client.js";
export type { Failure, Inclusion, Signer, State } from "./proven.js";
export {
  advance,
  type ObservedOptions,
  receiptSteps,
  stateReceiptSteps,
  type Verified,
  type VerifiedState,
  type VerifyOptions,
  verifyBundle,
  verifyReceipt,
  verifyStateReceipt,
} from "./receipt.js";
export { decodeAny, type Encoding, type ReceiptInput } from "./receipt_text.js";
export { type Check, type Observer, run, runInSlices, type Step, type Work } from "./steps.js";
