# SPDX-License-Identifier: Apache-2.0
"""Ed25519 follows libsodium's strict rules; the published edge cases stand in tests/vectors/test_wycheproof.py."""

import pytest

from chain import ed25519
from chain.ed25519 import Ed25519Signer
from chain.errors import InvalidSignature
from chain.signing import Scheme, Signer

# RFC 8032, 7.1, test 2
SEED = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
PUBLIC_KEY = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)
ORDER = (1 << 252) + 27742317777372353535851937790883648493
SMALL_ORDER_KEYS = [
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
]


def test_signer_signs_as_rfc_8032_says():
    signer = Ed25519Signer(SEED)
    assert signer.signer == Signer(Scheme.ED25519, PUBLIC_KEY)
    assert signer.sign(b"\x72") == SIGNATURE
    ed25519.verify(PUBLIC_KEY, b"\x72", SIGNATURE)


def test_signature_for_another_message_key_or_length_is_refused():
    other = Ed25519Signer(bytes(32)).signer.public_key
    for key, message, signature in (
        (PUBLIC_KEY, b"\x73", SIGNATURE),
        (other, b"\x72", SIGNATURE),
        (PUBLIC_KEY, b"", SIGNATURE + b"\x72"),
        (PUBLIC_KEY, b"\x72" + SIGNATURE[63:], SIGNATURE[:63]),
        (PUBLIC_KEY[:31], b"\x72", SIGNATURE),
        (PUBLIC_KEY + b"\x00", b"\x72", SIGNATURE),
    ):
        with pytest.raises(InvalidSignature):
            ed25519.verify(key, message, signature)


def test_signature_with_the_order_added_to_its_scalar_is_refused():
    scalar = int.from_bytes(SIGNATURE[32:], "little") + ORDER
    with pytest.raises(InvalidSignature):
        ed25519.verify(PUBLIC_KEY, b"\x72", SIGNATURE[:32] + scalar.to_bytes(32, "little"))


@pytest.mark.parametrize("key", SMALL_ORDER_KEYS)
def test_key_of_small_order_is_refused(key):
    for signature in (key + bytes(32), b"\x01" + bytes(63)):
        with pytest.raises(InvalidSignature):
            ed25519.verify(key, b"m", signature)


def test_seed_of_a_wrong_length_is_refused_and_a_signer_shows_its_public_key_alone():
    with pytest.raises(InvalidSignature):
        Ed25519Signer(SEED[:31])
    assert SEED.hex() not in repr(Ed25519Signer(SEED))
