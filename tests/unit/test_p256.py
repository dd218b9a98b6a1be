# SPDX-License-Identifier: Apache-2.0
"""P-256 takes raw signatures and compressed keys, and nothing else."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from chain import p256
from chain.errors import InvalidSignature
from chain.p256 import ORDER, P256Signer
from chain.signing import Scheme

# RFC 6979, A.2.5: key, and the signature of "sample" with SHA-256
PRIVATE = ec.derive_private_key(0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721, ec.SECP256R1())
R = 0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716
S = 0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8
SIGNATURE = R.to_bytes(32, "big") + S.to_bytes(32, "big")
KEY = p256.compress(PRIVATE.public_key())


def pair(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def test_signer_signs_as_rfc_6979_says():
    signer = P256Signer(PRIVATE)
    assert signer.signer.scheme is Scheme.P256
    assert signer.signer.public_key == KEY
    assert signer.sign(b"sample") == SIGNATURE
    p256.verify(KEY, b"sample", SIGNATURE)


def test_both_signs_of_s_verify():
    p256.verify(KEY, b"sample", pair(R, ORDER - S))


@pytest.mark.parametrize(
    "signature",
    [
        pair(0, S),
        pair(R, 0),
        pair(ORDER, S),
        pair(R, ORDER),
        pair(R, 1),
        pair(S, R),
        bytes(64),
        b"\xff" * 64,
        SIGNATURE[:63],
        SIGNATURE + b"\x00",
        encode_dss_signature(R, S),
        b"",
    ],
)
def test_signature_out_of_range_or_malformed_is_refused(signature):
    with pytest.raises(InvalidSignature):
        p256.verify(KEY, b"sample", signature)


@pytest.mark.parametrize(("r", "s"), [(0, S), (R, 0), (ORDER, S), (R, ORDER)])
def test_range_of_r_and_s_is_ours_to_check(r, s):
    with pytest.raises(InvalidSignature, match="out of the range"):
        p256.verify(KEY, b"sample", pair(r, s))


def test_signature_for_another_message_or_key_is_refused():
    other = P256Signer(ec.derive_private_key(7, ec.SECP256R1())).signer.public_key
    with pytest.raises(InvalidSignature):
        p256.verify(KEY, b"samplf", SIGNATURE)
    with pytest.raises(InvalidSignature):
        p256.verify(other, b"sample", SIGNATURE)


@pytest.mark.parametrize(
    "key",
    [
        b"",
        KEY[:32],
        KEY + b"\x00",
        b"\x04" + KEY[1:],
        b"\x00" + bytes(32),
        b"\x02" + b"\xff" * 32,
        b"\x02" + (5).to_bytes(32, "big")[:31] + b"\x04",
        PRIVATE.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
    ],
)
def test_key_that_is_no_compressed_point_is_refused(key):
    with pytest.raises(InvalidSignature, match="public key"):
        p256.verify(key, b"sample", SIGNATURE)


def test_der_signature_of_a_card_becomes_a_raw_one():
    assert p256.raw_signature(encode_dss_signature(R, S)) == SIGNATURE
    for der in (
        b"",
        SIGNATURE,
        encode_dss_signature(0, S),
        encode_dss_signature(R, ORDER),
        bytes.fromhex("30060201ff020101"),
    ):
        with pytest.raises(InvalidSignature):
            p256.raw_signature(der)


def test_signer_of_another_curve_is_refused():
    with pytest.raises(InvalidSignature):
        P256Signer(ec.derive_private_key(7, ec.SECP384R1()))
