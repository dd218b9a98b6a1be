# SPDX-License-Identifier: Apache-2.0
"""BLS signatures agree with the draft, with a second implementation, and refuse what pyblst alone would take."""

import hashlib
import random

import pytest
from py_ecc.bls import G2ProofOfPossession as Reference
from py_ecc.bls.hash_to_curve import hash_to_G2
from py_ecc.bls.point_compression import compress_G2

from chain import bls
from chain.errors import InvalidSignature
from chain.types import Network

NETWORK = Network(b"n" * 32)
IDENTITY_KEY = b"\xc0" + bytes(47)
IDENTITY_SIGNATURE = b"\xc0" + bytes(95)
FIELD = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001


def key_of(number: int) -> bls.SecretKey:
    return bls.SecretKey.derive(number.to_bytes(32, "big"))


def negated(secret: bls.SecretKey) -> bls.SecretKey:
    return bls.SecretKey((ORDER - int.from_bytes(secret.to_bytes(), "big")).to_bytes(32, "big"))


def keys_outside_the_subgroup(count: int) -> list[bytes]:
    """Points of the curve, found by trying x; nearly all of them lie outside the subgroup."""
    found = []
    x = 0
    while len(found) < count:
        x += 1
        square = (x**3 + 4) % FIELD
        if pow(square, (FIELD - 1) // 2, FIELD) == 1:
            found.append((x | 1 << 383).to_bytes(48, "big"))
    return found


def test_signature_of_another_implementation_is_the_same():
    rng = random.Random(5)
    for _ in range(2):
        ikm, message = rng.randbytes(32), rng.randbytes(rng.randrange(100))
        secret = bls.SecretKey.derive(ikm)
        scalar = Reference.KeyGen(ikm)
        assert secret.to_bytes() == scalar.to_bytes(32, "big")
        assert secret.public_key() == Reference.SkToPk(scalar)
        assert secret.sign(message) == Reference.Sign(scalar, message)
        assert Reference.Verify(secret.public_key(), message, secret.sign(message))


def test_aggregate_of_another_implementation_is_the_same():
    secrets = [key_of(i) for i in range(3)]
    signatures = [secret.sign(b"m") for secret in secrets]
    aggregate = bls.aggregate(signatures)
    assert aggregate == Reference.Aggregate(signatures)
    assert Reference.FastAggregateVerify([secret.public_key() for secret in secrets], b"m", aggregate)


def test_derivation_with_key_info_agrees_with_the_other_implementation():
    assert bls.SecretKey.derive(b"\x07" * 40, b"info").to_bytes() == Reference.KeyGen(b"\x07" * 40, b"info").to_bytes(
        32, "big"
    )


def test_hash_to_g2_agrees_with_the_other_implementation():
    for message in (b"", b"abc", b"x" * 2000):
        z1, z2 = compress_G2(hash_to_G2(message, bls.DST, hashlib.sha256))
        assert bls.hash_to_g2(message) == z1.to_bytes(48, "big") + z2.to_bytes(48, "big")


def test_hash_to_g2_agrees_with_rfc_9380_appendix_j_10_1():
    dst = b"QUUX-V01-CS02-with-BLS12381G2_XMD:SHA-256_SSWU_RO_"
    point = bytearray(bls.hash_to_g2(b"", dst))
    point[0] &= 0x1F
    c0 = "0141ebfbdca40eb85b87142e130ab689c673cf60f1a3e98d69335266f30d9b8d4ac44c1038e9dcdd5393faf5c41fb78a"
    c1 = "05cb8437535e20ecffaef7752baddf98034139c38452458baeefab379ba13dff5bf5dd71b72418717047f5b0f37da03d"
    assert point.hex() == c1 + c0


def test_hash_to_g2_with_an_oversized_tag_hashes_the_tag_first():
    tag = b"t" * 256
    assert bls.hash_to_g2(b"m", tag) == bls.hash_to_g2(b"m", hashlib.sha256(b"H2C-OVERSIZE-DST-" + tag).digest())


def test_signature_verifies_for_its_key_and_message_alone():
    secret = key_of(1)
    signature = secret.sign(b"message")
    bls.verify(secret.public_key(), b"message", signature)
    for key, message, wrong in (
        (key_of(2).public_key(), b"message", signature),
        (secret.public_key(), b"messagf", signature),
        (secret.public_key(), b"message", key_of(2).sign(b"message")),
        (secret.public_key(), b"message", negated(secret).sign(b"message")),
    ):
        with pytest.raises(InvalidSignature):
            bls.verify(key, message, wrong)


def test_signature_over_a_long_message_verifies_like_one_over_a_short_one():
    secret, message = key_of(1), b"x" * (bls.HASHED_MESSAGE_BYTES_CACHED_MAX + 1)
    bls.verify(secret.public_key(), message, secret.sign(message))


@pytest.mark.parametrize("key", keys_outside_the_subgroup(5))
def test_key_outside_the_subgroup_is_refused(key):
    with pytest.raises(InvalidSignature, match="not a BLS public key"):
        bls.validate_key(key)


@pytest.mark.parametrize(
    "key",
    [
        IDENTITY_KEY,
        b"\xe0" + bytes(47),
        b"\xc0" + bytes(46) + b"\x01",
        b"\x80" + bytes(47),
        bytes(48),
        b"",
        bytes([0x80 | FIELD >> 376]) + (FIELD & (1 << 376) - 1).to_bytes(47, "big"),
        key_of(1).public_key()[:47],
        key_of(1).public_key() + b"\x00",
        bytes([key_of(1).public_key()[0] & 0x7F]) + key_of(1).public_key()[1:],
        bytes([key_of(1).public_key()[0] | 0x40]) + key_of(1).public_key()[1:],
    ],
    ids=str,
)
def test_key_that_is_the_identity_or_not_canonical_is_refused(key):
    with pytest.raises(InvalidSignature):
        bls.validate_key(key)
    with pytest.raises(InvalidSignature):
        bls.verify(key, b"m", key_of(1).sign(b"m"))
    with pytest.raises(InvalidSignature):
        bls.fast_aggregate_verify([key_of(1).public_key(), key], b"m", key_of(1).sign(b"m"))


@pytest.mark.parametrize("signature", [IDENTITY_SIGNATURE, b"\xe0" + bytes(95), bytes(96), b"", bytes(95), bytes(97)])
def test_signature_that_is_the_identity_or_malformed_is_refused(signature):
    key = key_of(1).public_key()
    with pytest.raises(InvalidSignature):
        bls.verify(key, b"m", signature)
    with pytest.raises(InvalidSignature):
        bls.fast_aggregate_verify([key], b"m", signature)
    with pytest.raises(InvalidSignature):
        bls.aggregate([key_of(1).sign(b"m"), signature])


def test_keys_whose_sum_is_the_identity_are_refused_even_with_the_identity_as_aggregate():
    secret = key_of(1)
    keys = [secret.public_key(), negated(secret).public_key()]
    assert bls.aggregate([secret.sign(b"m"), negated(secret).sign(b"m")]) == IDENTITY_SIGNATURE
    with pytest.raises(InvalidSignature, match="identity is no signature"):
        bls.fast_aggregate_verify(keys, b"m", IDENTITY_SIGNATURE)
    with pytest.raises(InvalidSignature, match="sum of the keys is the identity"):
        bls.fast_aggregate_verify(keys, b"m", secret.sign(b"m"))


def test_aggregate_verifies_for_exactly_its_signers():
    secrets = [key_of(i) for i in range(4)]
    keys = [secret.public_key() for secret in secrets]
    aggregate = bls.aggregate([secret.sign(b"m") for secret in secrets])
    bls.fast_aggregate_verify(keys, b"m", aggregate)
    for wrong in (keys[:3], [*keys, key_of(9).public_key()], [*keys[:3], keys[0]], []):
        with pytest.raises(InvalidSignature):
            bls.fast_aggregate_verify(wrong, b"m", aggregate)


def test_nothing_aggregates_to_no_signature():
    with pytest.raises(InvalidSignature):
        bls.aggregate([])


def test_aggregate_over_distinct_messages_verifies_in_their_places_alone():
    secrets = [key_of(i) for i in range(3)]
    keys, messages = [secret.public_key() for secret in secrets], [b"a", b"b", b"c"]
    aggregate = bls.aggregate([secret.sign(message) for secret, message in zip(secrets, messages, strict=True)])
    bls.aggregate_verify(keys, messages, aggregate)
    for wrong_keys, wrong in ((keys, [b"b", b"a", b"c"]), (keys[:2], messages[:2]), (keys, messages[:2]), ([], [])):
        with pytest.raises(InvalidSignature):
            bls.aggregate_verify(wrong_keys, wrong, aggregate)


def test_possession_proof_holds_for_its_network_organisation_and_key_alone():
    secret = key_of(1)
    proof = secret.prove_possession(NETWORK, "water")
    bls.verify_possession(secret.public_key(), NETWORK, "water", proof)
    for key, network, organisation in (
        (key_of(2).public_key(), NETWORK, "water"),
        (secret.public_key(), Network(b"m" * 32), "water"),
        (secret.public_key(), NETWORK, "roads"),
    ):
        with pytest.raises(InvalidSignature):
            bls.verify_possession(key, network, organisation, proof)


def test_possession_proof_is_no_signature_nor_the_other_way_round():
    secret = key_of(1)
    message = bls.possession_message(NETWORK, "water", secret.public_key())
    with pytest.raises(InvalidSignature):
        bls.verify(secret.public_key(), message, secret.prove_possession(NETWORK, "water"))
    with pytest.raises(InvalidSignature):
        bls.verify_possession(secret.public_key(), NETWORK, "water", secret.sign(message))


def test_rogue_key_cannot_prove_its_possession():
    victim, rogue = key_of(1), key_of(2)
    honest = bls.BlstP1Element.uncompress(victim.public_key())
    key = (bls.BlstP1Element.uncompress(rogue.public_key()) + -honest).compress()
    bls.fast_aggregate_verify([victim.public_key(), key], b"m", rogue.sign(b"m"))  # why proofs are needed
    with pytest.raises(InvalidSignature):
        bls.verify_possession(key, NETWORK, "rogue", rogue.prove_possession(NETWORK, "rogue"))


@pytest.mark.parametrize("raw", [bytes(32), ORDER.to_bytes(32, "big"), b"\xff" * 32, b"\x01" * 31, b"\x01" * 33])
def test_secret_key_out_of_range_is_refused(raw):
    with pytest.raises(InvalidSignature):
        bls.SecretKey(raw)


def test_secret_key_from_too_few_bytes_is_refused():
    with pytest.raises(InvalidSignature):
        bls.SecretKey.derive(b"\x01" * 31)


def test_secret_key_does_not_show_itself():
    secret = key_of(1)
    assert secret.to_bytes().hex() not in repr(secret)
    assert bls.SecretKey(secret.to_bytes()).public_key() == secret.public_key()
