// SPDX-License-Identifier: Apache-2.0
/**
 * What can be wrong with something that a verifier was given.
 *
 * Every error carries a stable `code` for programs, the same that the Python implementation gives, and a reason for
 * people. An error of ours or of the caller's program is a `TypeError` or another built-in one, never this one.
 */

/** Somebody gave something that the rules refuse. */
export class LedgerError extends Error {
  /** Stable, e.g. "receipt.older-epoch"; message catalogues key on it. */
  readonly code: string;

  constructor(code: string, reason: string) {
    super(reason);
    this.name = "LedgerError";
    this.code = code;
  }

  /** One English sentence saying what is wrong and where. */
  get reason(): string {
    return this.message;
  }
}

/** Bytes that do not decode, are not canonical, or break a bound. */
export const invalidMessage = (reason: string): LedgerError => new LedgerError("message.invalid", reason);

/** A Merkle proof that does not prove what it claims. */
export const invalidProof = (reason: string): LedgerError => new LedgerError("proof.invalid", reason);

/** A signature, key or aggregate that does not verify. */
export const invalidSignature = (reason: string): LedgerError => new LedgerError("signature.invalid", reason);

/** A certificate without a quorum of the right validators over the right bytes. */
export const invalidCertificate = (reason: string, code = "certificate.invalid"): LedgerError =>
  new LedgerError(code, reason);

/** A receipt that does not verify against the trust anchor given. */
export const invalidReceipt = (reason: string, code = "receipt.invalid"): LedgerError => new LedgerError(code, reason);

/** A genesis file that no network can start from. */
export const invalidGenesis = (reason: string): LedgerError => new LedgerError("genesis.invalid", reason);
