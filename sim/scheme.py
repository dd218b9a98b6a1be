# SPDX-License-Identifier: Apache-2.0
"""A signature scheme that costs a hash: thousands of simulated networks run with it, some with the real one.

Anybody could forge these signatures, so a simulated Byzantine validator signs only with keys that are its own. All
else behaves like BLS: lengths, aggregation in any order, an aggregate that only exactly its signers' keys verify.
"""

from collections.abc import Sequence

from chain.bls import PUBLIC_KEY_BYTES, SIGNATURE_BYTES
from chain.errors import InvalidSignature
from chain.types import BlsKey, sha256


class FakeSecretKey:
    """Signs under `FakeScheme`; like `chain.bls.SecretKey`, of which the consensus core needs no more."""

    __slots__ = ("_public_key",)

    def __init__(self, seed: bytes) -> None:
        self._public_key = BlsKey(sha256(b"fake key" + seed).ljust(PUBLIC_KEY_BYTES, b"\x00"))

    def public_key(self) -> BlsKey:
        """The key that others verify with; 48 bytes."""
        return self._public_key

    def sign(self, message: bytes) -> bytes:
        """Sign; 96 bytes, the same for the same message."""
        return _signature(self._public_key, message)


class FakeScheme:
    """Checks what `FakeSecretKey` signs."""

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> None:
        """Check one signature."""
        if signature != _signature(public_key, message):
            raise InvalidSignature("the fake signature does not verify")

    def fast_aggregate_verify(self, public_keys: Sequence[bytes], message: bytes, signature: bytes) -> None:
        """Check an aggregate over one message."""
        if not public_keys or signature != self.aggregate([_signature(key, message) for key in public_keys]):
            raise InvalidSignature("the fake aggregate does not verify")

    def aggregate(self, signatures: Sequence[bytes]) -> bytes:
        """Add signatures up, bit by bit without carry."""
        if not signatures or any(len(signature) != SIGNATURE_BYTES for signature in signatures):
            raise InvalidSignature("nothing to aggregate, or a signature of a wrong length")
        total = 0
        for signature in signatures:
            total ^= int.from_bytes(signature, "big")
        return total.to_bytes(SIGNATURE_BYTES, "big")


def _signature(public_key: bytes, message: bytes) -> bytes:
    return sha256(public_key + message).ljust(SIGNATURE_BYTES, b"\x01")
