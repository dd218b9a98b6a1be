// SPDX-License-Identifier: Apache-2.0
/**
 * The messages that a receipt is made of, field by field.
 *
 * Source: proto/chain/pb/ledger.proto and ics23.proto. A field of type bytes that is said to hold a message holds that
 * message's bytes as its author made them: they are hashed as they stand.
 */

import { bytes, enumeration, many, manyBytes, type Message, one, schema, text, uint32, uint64 } from "./protobuf.js";

export const Signer = schema("Signer", { scheme: enumeration(1), public_key: bytes(2) });
export const Operation = schema("Operation", { type: text(1), body: bytes(2) });
export const Header = schema("Header", {
  expires_at_ms: uint64(1),
  salt: bytes(2),
  signers: many(3, Signer),
  operations_root: bytes(4),
  operation_count: uint32(5),
});

export const Success = schema("Success", {});
export const Failure = schema("Failure", { code: text(1), operation: uint32(2) });
export const Entry = schema("Entry", {
  height: uint64(1),
  position: uint32(2),
  time_ms: uint64(3),
  header: bytes(4),
  success: one(5, Success, "result"),
  failure: one(6, Failure, "result"),
});

export const Validator = schema("Validator", { bls_key: bytes(1), organisation: text(2) });
export const ValidatorSet = schema("ValidatorSet", { epoch: uint64(1), validators: many(2, Validator) });
export const Checkpoint = schema("Checkpoint", {
  network: bytes(1),
  epoch: uint64(2),
  height: uint64(3),
  time_ms: uint64(4),
  block_id: bytes(5),
  log_size: uint64(6),
  log_root: bytes(7),
  state_root: bytes(8),
  next_validators: bytes(9),
});
export const CertifiedCheckpoint = schema("CertifiedCheckpoint", {
  checkpoint: bytes(1),
  bitmap: bytes(2),
  aggregate: bytes(3),
});
export const ClosingCheckpoint = schema("ClosingCheckpoint", {
  certified: one(1, CertifiedCheckpoint),
  next: bytes(2),
});
export const Closings = schema("Closings", { closings: many(1, ClosingCheckpoint) });

export const Inclusion = schema("Inclusion", {
  operation: bytes(1),
  operation_index: uint32(2),
  operation_path: manyBytes(3),
  entry: bytes(4),
  leaf_index: uint64(5),
  path: manyBytes(6),
});
export const StateProof = schema("StateProof", { key: bytes(1), value: bytes(2), proof: bytes(3) });
export const Receipt = schema("Receipt", {
  inclusions: many(1, Inclusion),
  states: many(2, StateProof),
  checkpoint: one(3, CertifiedCheckpoint),
  epochs: many(4, ClosingCheckpoint),
});

export const LeafOp = schema("LeafOp", {
  hash: enumeration(1),
  prehash_key: enumeration(2),
  prehash_value: enumeration(3),
  length: enumeration(4),
  prefix: bytes(5),
});
export const InnerOp = schema("InnerOp", { hash: enumeration(1), prefix: bytes(2), suffix: bytes(3) });
export const ExistenceProof = schema("ExistenceProof", {
  key: bytes(1),
  value: bytes(2),
  leaf: one(3, LeafOp),
  path: many(4, InnerOp),
});
export const NonExistenceProof = schema("NonExistenceProof", {
  key: bytes(1),
  left: one(2, ExistenceProof),
  right: one(3, ExistenceProof),
});
export const CommitmentProof = schema("CommitmentProof", {
  exist: one(1, ExistenceProof, "proof"),
  nonexist: one(2, NonExistenceProof, "proof"),
});

export type CertifiedMessage = Message<typeof CertifiedCheckpoint>;
export type ClosingMessage = Message<typeof ClosingCheckpoint>;
export type InclusionMessage = Message<typeof Inclusion>;
export type StateProofMessage = Message<typeof StateProof>;
export type ReceiptMessage = Message<typeof Receipt>;
export type ExistenceMessage = Message<typeof ExistenceProof>;
export type NonExistenceMessage = Message<typeof NonExistenceProof>;
