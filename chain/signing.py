# SPDX-License-Identifier: Apache-2.0
"""Who signs a transaction: schemes, public keys, and what a signer must offer.

Values and one protocol; each scheme's rules stand in its own module.  Source: docs/protocol.md, section 2.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol


class Scheme(IntEnum):
    """How a signer signs; the numbers are those of the wire."""

    ED25519 = 1
    P256 = 2
    WEBAUTHN_ES256 = 3

    __hash__ = int.__hash__  # Enum's own is a Python function, and each transaction hashes its schemes


PUBLIC_KEY_BYTES = {Scheme.ED25519: 32, Scheme.P256: 33, Scheme.WEBAUTHN_ES256: 33}


@dataclass(frozen=True, slots=True, order=True)
class Signer:
    """A signer as the header names it; headers sort signers by (scheme, public key)."""

    scheme: Scheme
    public_key: bytes


class TransactionSigner(Protocol):
    """Something that signs for one key: a key in memory, a card, a phone, a remote signer."""

    @property
    def signer(self) -> Signer:
        """What the header names: scheme and public key."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Sign what `chain.codec.signed_bytes` gave, in the scheme's wire format."""
        ...
