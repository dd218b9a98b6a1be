# SPDX-License-Identifier: Apache-2.0
"""Keys of a card that speak for its holder: what the desk keeps of them, and what stands on the ledger for them."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from chain.signing import Scheme, Signer
from identity.cards.objects import Slot
from identity.commitments import SALT_BYTES, control_commitment
from identity.pb import identity_pb2 as pb

PURPOSES: Final[Mapping[Slot, pb.ControlPurpose.ValueType]] = {
    Slot.AUTHENTICATE: pb.CONTROL_PURPOSE_AUTHENTICATE,
    Slot.SIGN: pb.CONTROL_PURPOSE_SIGN,
}
"""Keys of a card that are bound on the ledger; the other two speak for the card, not for the holder."""


@dataclass(frozen=True, slots=True)
class BoundKey:
    """One key of a card that speaks for its holder.

    Attributes:
        slot: Where on the card.
        public_key: Compressed, 33 bytes in hex.
        salt: Of the commitment; 32 bytes in hex.
        certificate: DER in hex.
    """

    slot: int
    public_key: str
    salt: str
    certificate: str

    @classmethod
    def of(cls, slot: Slot, public_key: bytes, certificate: bytes) -> "BoundKey":
        """With a salt of its own.

        Args:
            slot: Where on the card.
            public_key: Uncompressed, as the card gave it; 65 bytes.
            certificate: DER.
        """
        point = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), public_key)
        compressed = point.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        return cls(slot, compressed.hex(), secrets.token_hex(SALT_BYTES), certificate.hex())

    @property
    def purpose(self) -> pb.ControlPurpose.ValueType:
        """What it is bound for."""
        return PURPOSES[Slot(self.slot)]

    @property
    def commitment(self) -> bytes:
        """What stands on the ledger in the key's place; 32 bytes."""
        signer = Signer(Scheme.P256, bytes.fromhex(self.public_key))
        return control_commitment(self.purpose, signer, bytes.fromhex(self.salt))
