# SPDX-License-Identifier: Apache-2.0
"""BLS signatures of validators: ciphersuite BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_, keys in G1, signatures in G2.

pyblst offers the curve; what makes a signature scheme of it stands here: keys and signatures are checked to lie in
their subgroup, and identity keys, signatures and aggregates are refused (the library accepts them). Aggregates over
one message are sound only for keys whose possession was proven: `verify_possession` before a key joins a set.

Invariant: `verify*` returns None for what the ciphersuite accepts and raises `InvalidSignature` for any other bytes.
Source: draft-irtf-cfrg-bls-signature-06, sections 2 and 3.3; RFC 9380 for hashing to the curve.
"""

import hmac
from collections.abc import Sequence
from functools import lru_cache
from itertools import starmap
from typing import NewType

from pyblst import BlstP1Element, BlstP2Element, final_verify, miller_loop

from chain.codec import signed_bytes
from chain.errors import InvalidSignature
from chain.types import BlsKey, Network, sha256

PUBLIC_KEY_BYTES = 48
SIGNATURE_BYTES = 96
SECRET_KEY_BYTES = 32
IKM_BYTES_MIN = 32
DST = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
POSSESSION_DST = b"BLS_POP_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
DST_BYTES_MAX = 255
"""RFC 9380, 5.3.3: a longer one is hashed first."""
KEYS_CACHED_MAX = 1024
"""Decoding a key costs 0.13 ms; a network has at most 64 validators an epoch, and a verifier meets few epochs."""
HASHES_CACHED_MAX = 64
"""Hashing to G2 costs 0.4 ms; votes on one block are over the same message."""
HASHED_MESSAGE_BYTES_CACHED_MAX = 1024
"""What validators sign is shorter; anything longer is hashed anew, so that the cache stays small."""

_ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
_KEYGEN_SALT = b"BLS-SIG-KEYGEN-SALT-"
_KEYGEN_BYTES = 48
_GENERATOR = BlstP1Element.uncompress(
    bytes.fromhex("97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb")
)
_G1_IDENTITY_BYTES = BlstP1Element().compress()
_G2_IDENTITY_BYTES = BlstP2Element().compress()

Possession = NewType("Possession", bytes)
"""A signature that proves to hold the secret of a BLS key; 96 bytes."""


class SecretKey:
    """A validator's secret. It signs, and never shows itself in a repr.

    The arithmetic is blst's; the integer stands in Python's memory, so a key that must not leave hardware belongs in a
    remote signer.
    """

    __slots__ = ("_public_key", "_scalar")

    def __init__(self, raw: bytes) -> None:
        """Take a secret as `to_bytes` gave it.

        Raises:
            InvalidSignature: Not 32 bytes, zero, or not below the group's order.
        """
        scalar = int.from_bytes(raw, "big")
        if len(raw) != SECRET_KEY_BYTES or not 0 < scalar < _ORDER:
            raise InvalidSignature("a BLS secret key is 32 bytes, above zero and below the group's order")
        self._scalar = scalar
        self._public_key = BlsKey(_GENERATOR.scalar_mul(scalar).compress())

    @classmethod
    def derive(cls, ikm: bytes, key_info: bytes = b"") -> "SecretKey":
        """Derive a secret from at least 32 secret random bytes; the same bytes give the same key.

        Raises:
            InvalidSignature: Fewer than 32 bytes.

        Source: draft-irtf-cfrg-bls-signature-06, 2.3 (KeyGen).
        """
        if len(ikm) < IKM_BYTES_MIN:
            raise InvalidSignature(f"a BLS key is derived from at least {IKM_BYTES_MIN} random bytes, not {len(ikm)}")
        salt = _KEYGEN_SALT
        scalar = 0
        while scalar == 0:
            salt = sha256(salt)
            extracted = hmac.digest(salt, ikm + b"\x00", "sha256")
            first = hmac.digest(extracted, key_info + _KEYGEN_BYTES.to_bytes(2, "big") + b"\x01", "sha256")
            second = hmac.digest(extracted, first + key_info + _KEYGEN_BYTES.to_bytes(2, "big") + b"\x02", "sha256")
            scalar = int.from_bytes((first + second)[:_KEYGEN_BYTES], "big") % _ORDER
        return cls(scalar.to_bytes(SECRET_KEY_BYTES, "big"))

    def to_bytes(self) -> bytes:
        """The secret, for an encrypted key file."""
        return self._scalar.to_bytes(SECRET_KEY_BYTES, "big")

    def public_key(self) -> BlsKey:
        """The key that others verify with; 48 bytes."""
        return self._public_key

    def sign(self, message: bytes) -> bytes:
        """Sign; 96 bytes, the same for the same message."""
        return _hash_to_g2(message, DST).scalar_mul(self._scalar).compress()

    def prove_possession(self, network: Network, organisation: str) -> Possession:
        """Prove to hold this secret, to one network and for one organisation."""
        message = possession_message(network, organisation, self._public_key)
        return Possession(_hash_to_g2(message, POSSESSION_DST).scalar_mul(self._scalar).compress())

    def __repr__(self) -> str:
        return f"SecretKey(public_key={self._public_key.hex()})"


def hash_to_g2(message: bytes, dst: bytes = DST) -> bytes:
    """Hash a message to a point of G2; its compressed encoding, 96 bytes.

    Args:
        message: Any bytes.
        dst: Domain separation tag, at least one byte.

    Source: RFC 9380, suite BLS12381G2_XMD:SHA-256_SSWU_RO_.
    """
    return _hash_to_g2(message, dst).compress()


def possession_message(network: Network, organisation: str, public_key: bytes) -> bytes:
    """What a possession proof signs, under a domain tag of its own."""
    return signed_bytes("possession", network, organisation.encode() + b"\x00" + public_key)


def validate_key(public_key: bytes) -> None:
    """Check that these bytes are a public key: canonical, on the curve, in the subgroup, not the identity.

    Raises:
        InvalidSignature: They are not.
    """
    _key(public_key)


def verify(public_key: bytes, message: bytes, signature: bytes) -> None:
    """Check one signature.

    Raises:
        InvalidSignature: Key or signature malformed, outside its subgroup or the identity; or it does not verify.
    """
    _verify(_key(public_key), message, _signature(signature), DST)


def fast_aggregate_verify(public_keys: Sequence[bytes], message: bytes, signature: bytes) -> None:
    """Check an aggregate of several keys' signatures over one message. Each key's possession must have been proven.

    Raises:
        InvalidSignature: No key; a key, the sum of the keys, or the aggregate malformed or the identity; or it does
            not verify.
    """
    if not public_keys:
        raise InvalidSignature("an aggregate signature needs at least one key")
    point = _signature(signature)
    total = _key(public_keys[0])
    for public_key in public_keys[1:]:
        total = total + _key(public_key)
    if total.compress() == _G1_IDENTITY_BYTES:
        raise InvalidSignature("the sum of the keys is the identity")
    _verify(total, message, point, DST)


def aggregate_verify(public_keys: Sequence[bytes], messages: Sequence[bytes], signature: bytes) -> None:
    """Check an aggregate in which each key signed its own message. Each key's possession must have been proven.

    Raises:
        InvalidSignature: No key, not one message for each, something malformed or the identity; or it does not verify.
    """
    if not public_keys or len(public_keys) != len(messages):
        raise InvalidSignature("an aggregate signature needs at least one key and one message for each")
    point = _signature(signature)
    keys = [_key(public_key) for public_key in public_keys]
    hashes = [_hash_to_g2(message, DST) for message in messages]
    loops = list(starmap(miller_loop, zip(keys, hashes, strict=True)))
    product = loops[0]
    for loop in loops[1:]:
        product = product * loop
    if not final_verify(miller_loop(_GENERATOR, point), product):
        raise InvalidSignature("the aggregate signature does not verify")


def aggregate(signatures: Sequence[bytes]) -> bytes:
    """Add signatures up to one of 96 bytes. Whether any of them is right shows only on verifying.

    Raises:
        InvalidSignature: None given, or one is malformed, outside the subgroup or the identity.
    """
    if not signatures:
        raise InvalidSignature("nothing to aggregate")
    total = _signature(signatures[0])
    for signature in signatures[1:]:
        total = total + _signature(signature)
    return total.compress()


def verify_possession(public_key: bytes, network: Network, organisation: str, proof: bytes) -> None:
    """Check that an organisation holds the secret of a key, for one network.

    Raises:
        InvalidSignature: Key or proof malformed or the identity; or it does not verify.
    """
    message = possession_message(network, organisation, public_key)
    _verify(_key(public_key), message, _signature(proof), POSSESSION_DST)


@lru_cache(maxsize=KEYS_CACHED_MAX)
def _key(public_key: bytes) -> BlstP1Element:
    """Decode and validate a public key."""
    try:
        point = BlstP1Element.uncompress(public_key)
    except ValueError as error:
        raise InvalidSignature(f"not a BLS public key: {error}") from None
    if public_key == _G1_IDENTITY_BYTES:
        raise InvalidSignature("the identity is no public key")
    return point


def _signature(signature: bytes) -> BlstP2Element:
    """Decode and validate a signature."""
    try:
        point = BlstP2Element.uncompress(signature)
    except ValueError as error:
        raise InvalidSignature(f"not a BLS signature: {error}") from None
    if signature == _G2_IDENTITY_BYTES:
        raise InvalidSignature("the identity is no signature")
    return point


def _verify(key: BlstP1Element, message: bytes, signature: BlstP2Element, dst: bytes) -> None:
    """Check e(generator, signature) = e(key, H(message))."""
    if not final_verify(miller_loop(_GENERATOR, signature), miller_loop(key, _hash_to_g2(message, dst))):
        raise InvalidSignature("the BLS signature does not verify")


def _hash_to_g2(message: bytes, dst: bytes) -> BlstP2Element:
    """Hash to the curve, remembering what was hashed lately."""
    if len(message) <= HASHED_MESSAGE_BYTES_CACHED_MAX:
        return _hash_cached(message, dst)
    return _hash(message, dst)


def _hash(message: bytes, dst: bytes) -> BlstP2Element:
    """RFC 9380's hash_to_curve."""
    assert dst, "a domain separation tag has at least one byte"
    if len(dst) > DST_BYTES_MAX:
        dst = sha256(b"H2C-OVERSIZE-DST-" + dst)
    return BlstP2Element.hash_to_group(message, dst)


_hash_cached = lru_cache(maxsize=HASHES_CACHED_MAX)(_hash)
