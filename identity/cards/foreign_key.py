# SPDX-License-Identifier: Apache-2.0
"""A key that is elsewhere (in a file, in a PKCS#11 token), in the form that builders of X.509 structures call.

Source: cryptography's documentation of custom private keys for X.509.
"""

from typing import NoReturn

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    SECP256R1,
    EllipticCurve,
    EllipticCurvePrivateKey,
    EllipticCurvePrivateNumbers,
    EllipticCurvePublicKey,
    EllipticCurveSignatureAlgorithm,
)
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    KeySerializationEncryption,
    PrivateFormat,
)
from cryptography.utils import Buffer

from chain.types import sha256
from identity.jose import KeySigner


class ForeignKey(EllipticCurvePrivateKey):
    """A key elsewhere (file, PKCS#11 token) in the form that the X.509 builders call. It signs, and nothing else."""

    def __init__(self, signer: KeySigner) -> None:
        self._signer = signer

    @property
    def curve(self) -> EllipticCurve:
        """P-256."""
        return SECP256R1()

    @property
    def key_size(self) -> int:
        """In bits."""
        return 256

    def public_key(self) -> EllipticCurvePublicKey:
        """The public half."""
        return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), self._signer.public_key)

    def sign(self, data: Buffer, signature_algorithm: EllipticCurveSignatureAlgorithm) -> bytes:  # noqa: ARG002 - SHA-256
        """Sign; DER, as certificates have it."""
        raw = self._signer.sign(sha256(bytes(data)))
        return encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))

    def exchange(self, algorithm: ECDH, peer_public_key: EllipticCurvePublicKey) -> bytes:
        """Not this key's affair."""
        self._never(algorithm, peer_public_key)

    def private_numbers(self) -> EllipticCurvePrivateNumbers:
        """They stay where they are."""
        self._never()

    def private_bytes(
        self,
        encoding: Encoding,
        format: PrivateFormat,  # noqa: A002 - the library's name
        encryption_algorithm: KeySerializationEncryption,
    ) -> bytes:
        """They stay where they are."""
        self._never(encoding, format, encryption_algorithm)

    def __copy__(self) -> "ForeignKey":
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> "ForeignKey":
        return self

    def _never(self, *_: object) -> NoReturn:
        raise AssertionError("a foreign key signs, and nothing else")
