# SPDX-License-Identifier: Apache-2.0
"""Puts evidence on the chain: a transaction of the node's own organisation that shows two contradicting signatures."""

import secrets

from cryptography.hazmat.primitives.asymmetric import ec

from chain.codec import encode
from chain.ed25519 import Ed25519Signer
from chain.p256 import P256Signer
from chain.signing import TransactionSigner
from chain.transaction import Operation, SignedTransaction, build
from chain.types import SALT_BYTES, TRANSACTION_LIFETIME_MS_MAX, Millis, Network
from membership.pb import membership_pb2 as pb
from node.keys import Algorithm, KeyPair

LIFETIME_MS = TRANSACTION_LIFETIME_MS_MAX // 2
"""Half of what is allowed: the clocks of others may lag."""


def signer_of(key: KeyPair) -> TransactionSigner:
    """What signs transactions with an organisation's key."""
    if key.algorithm is Algorithm.ED25519:
        return Ed25519Signer(key.secret)
    assert key.algorithm is Algorithm.P256, "an organisation's key is Ed25519 or P-256"
    return P256Signer(ec.derive_private_key(int.from_bytes(key.secret), ec.SECP256R1()))


def evidence_transaction(evidence: bytes, key: KeyPair, network: Network, now_ms: Millis) -> SignedTransaction:
    """A signed `membership.ReportEvidence`.

    Args:
        evidence: Bytes of `zhixin.chain.Evidence`.
        key: Of an organisation that the network knows.
        network: For which it is signed.
        now_ms: Its expiry is counted from here.
    """
    operation = Operation.make("membership.ReportEvidence", encode(pb.ReportEvidence(evidence=evidence)))
    salt = secrets.token_bytes(SALT_BYTES)
    return build([operation], [signer_of(key)], Millis(now_ms + LIFETIME_MS), salt, network)
