# SPDX-License-Identifier: Apache-2.0
"""ECDSA over P-256 with SHA-256, as cards, phones and kiosks sign: 33-byte compressed keys, 64-byte r || s.

Both s and its negative verify: cards emit either, and refusing one would refuse half of their signatures. That
somebody may flip it does no harm here: a transaction's id covers its header alone, so both envelopes are one
transaction, and blocks name envelopes by a digest that covers the signature.

Source: FIPS 186-5, 6.4; SEC 1, 2.3.3 (compressed points); docs/protocol.md, section 2.
"""

from functools import lru_cache

from cryptography.exceptions import InvalidSignature as BadSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from chain.errors import InvalidSignature
from chain.signing import Scheme, Signer

PUBLIC_KEY_BYTES = 33
SIGNATURE_BYTES = 64
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
KEYS_CACHED_MAX = 4096
"""Decompressing a key costs about as much as a signature; an organisation's desks reuse theirs."""

_SCALAR_BYTES = 32
_COMPRESSED = (2, 3)


class P256Signer:
    """Signs with a P-256 key in memory; nonces follow RFC 6979."""

    __slots__ = ("_private_key", "_signer")

    def __init__(self, private_key: EllipticCurvePrivateKey) -> None:
        """Take a private key of the curve P-256.

        Raises:
            InvalidSignature: A key of another curve.
        """
        if not isinstance(private_key.curve, SECP256R1):
            raise InvalidSignature(f"a key of {private_key.curve.name} cannot sign as P-256")
        self._private_key = private_key
        self._signer = Signer(Scheme.P256, compress(private_key.public_key()))

    @property
    def signer(self) -> Signer:
        """What the header names: scheme and public key."""
        return self._signer

    def sign(self, message: bytes) -> bytes:
        """Sign; 64 bytes r || s."""
        return raw_signature(self._private_key.sign(message, ECDSA(SHA256(), deterministic_signing=True)))

    def __repr__(self) -> str:
        return f"P256Signer({self._signer.public_key.hex()})"


def compress(public_key: EllipticCurvePublicKey) -> bytes:
    """A public key's 33 bytes."""
    return public_key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


def raw_signature(der: bytes) -> bytes:
    """Turn a DER signature, as cards and browsers give it, into 64 bytes r || s.

    Raises:
        InvalidSignature: Not a DER signature of this curve.
    """
    try:
        r, s = decode_dss_signature(der)
    except ValueError:
        raise InvalidSignature("not an ECDSA signature in DER") from None
    if not (0 < r < ORDER and 0 < s < ORDER):
        raise InvalidSignature("r or s is out of the range of P-256")
    return r.to_bytes(_SCALAR_BYTES, "big") + s.to_bytes(_SCALAR_BYTES, "big")


def verify(public_key: bytes, message: bytes, signature: bytes) -> None:
    """Check one signature.

    Raises:
        InvalidSignature: Wrong lengths, no point of the curve, r or s out of range, or it does not verify.
    """
    key = _decompress(public_key)
    if len(signature) != SIGNATURE_BYTES:
        raise InvalidSignature(f"a P-256 signature has {SIGNATURE_BYTES} bytes, not {len(signature)}")
    r = int.from_bytes(signature[:_SCALAR_BYTES], "big")
    s = int.from_bytes(signature[_SCALAR_BYTES:], "big")
    if not (0 < r < ORDER and 0 < s < ORDER):
        raise InvalidSignature("r or s is out of the range of P-256")
    try:
        key.verify(encode_dss_signature(r, s), message, ECDSA(SHA256()))
    except BadSignature:
        raise InvalidSignature("the P-256 signature does not verify") from None


@lru_cache(maxsize=KEYS_CACHED_MAX)
def _decompress(public_key: bytes) -> EllipticCurvePublicKey:
    """Decode and validate a compressed key."""
    if len(public_key) != PUBLIC_KEY_BYTES or public_key[0] not in _COMPRESSED:
        raise InvalidSignature("a P-256 public key has 33 bytes, the first of them 2 or 3")
    try:
        return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), public_key)
    except ValueError:
        raise InvalidSignature("the P-256 public key is no point of the curve") from None
