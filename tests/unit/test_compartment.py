# SPDX-License-Identifier: Apache-2.0
"""The private compartment: the holder's two keys open it, each by itself; nobody else does, and other programs can."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.jwk import ECKey, KeySet

from chain import p256
from identity.cards.emulator import EmulatedCard
from identity.cards.objects import Slot
from identity.cards.piv import Piv
from identity.compartment import CONTENT_BYTES_MAX, SEALED_BYTES_MAX, agreeing, keys_of, seal, unseal
from identity.jose import InvalidToken, compressed, jwk_of, thumbprint

CARD, WALLET, OTHER = (ec.derive_private_key(value, ec.SECP256R1()) for value in (31, 32, 33))
CONTENT = "过敏：青霉素".encode()


def public(key: ec.EllipticCurvePrivateKey) -> bytes:
    return p256.compress(key.public_key())


def sealed() -> bytes:
    return seal(CONTENT, public(CARD), public(WALLET))


@pytest.mark.parametrize("key", [CARD, WALLET], ids=["card", "wallet"])
def test_each_of_the_holders_two_keys_opens_it_alone(key: ec.EllipticCurvePrivateKey) -> None:
    made = sealed()
    assert unseal(made, public(key), agreeing(key)) == CONTENT
    assert set(keys_of(made)) == {thumbprint(public(CARD)), thumbprint(public(WALLET))}
    assert CONTENT not in made


def test_card_opens_it_with_its_key_9d_which_never_leaves_it() -> None:
    piv = Piv(EmulatedCard())
    piv.select()
    piv.authenticate_management(bytes.fromhex("010203040506070801020304050607080102030405060708"))
    held = compressed(piv.generate(Slot.KEY_MANAGEMENT))
    piv.verify_pin("123456")
    made = seal(CONTENT, held, public(WALLET))
    assert unseal(made, held, lambda other: piv.agree(Slot.KEY_MANAGEMENT, other)) == CONTENT


def test_third_key_opens_nothing_though_it_says_to_be_one_of_the_two() -> None:
    with pytest.raises(InvalidToken, match="other keys"):
        unseal(sealed(), public(OTHER), agreeing(OTHER))
    with pytest.raises(InvalidToken, match="altered, or another key"):
        unseal(sealed(), public(CARD), agreeing(OTHER))


def test_another_program_opens_it_and_its_ones_are_opened_here() -> None:
    keys = KeySet([ECKey.import_key(key, {"kid": thumbprint(public(key))}) for key in (CARD, WALLET)])
    opened = jwe.decrypt_json(json.loads(sealed()), keys, algorithms=["ECDH-ES+A256KW", "A256GCM"])
    assert opened.plaintext == CONTENT, "it unwraps for each recipient"
    theirs = jwe.GeneralJSONEncryption({"enc": "A256GCM"}, CONTENT)
    for key in (CARD, WALLET):
        theirs.add_recipient(
            {"alg": "ECDH-ES+A256KW", "kid": thumbprint(public(key))}, ECKey.import_key(jwk_of(public(key)))
        )
    made = json.dumps(jwe.encrypt_json(theirs, None, algorithms=["ECDH-ES+A256KW", "A256GCM"])).encode()
    for key in (CARD, WALLET):
        assert unseal(made, public(key), agreeing(key)) == CONTENT


def changed(**changes: Any) -> bytes:
    return json.dumps({**json.loads(sealed()), **changes}).encode()


def recipients(*, first: dict[str, Any] | None = None, count: int = 2) -> list[Any]:
    found = json.loads(sealed())["recipients"]
    found[0]["header"] |= first or {}
    return (found * 2)[:count]


@pytest.mark.parametrize(
    "made",
    [
        b"",
        b"[]",
        b"{}",
        changed(aad="x"),
        changed(iv="AAAA"),
        changed(tag="AAAA"),
        changed(ciphertext=7),
        changed(protected="e30"),
        changed(recipients=[]),
        changed(recipients=recipients(count=1)),
        changed(recipients=recipients(count=3)),
        changed(recipients=[recipients()[1]] * 2),
        changed(recipients=recipients(first={"alg": "ECDH-ES"})),
        changed(recipients=recipients(first={"alg": "dir"})),
        changed(recipients=recipients(first={"apu": "AAAA"})),
        changed(recipients=recipients(first={"epk": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}})),
        b" " * (SEALED_BYTES_MAX + 1),
    ],
)
def test_anything_else_is_no_compartment(made: bytes) -> None:
    with pytest.raises(InvalidToken):
        unseal(made, public(CARD), agreeing(CARD))


@settings(max_examples=60)
@given(position=st.integers(0, 10_000), mask=st.integers(1, 255))
def test_altered_byte_gives_nothing_or_the_same_content(position: int, mask: int) -> None:
    made = bytearray(sealed())
    made[position % len(made)] ^= mask
    try:
        found = unseal(bytes(made), public(WALLET), agreeing(WALLET))
    except InvalidToken:
        return
    assert found == CONTENT


@settings(max_examples=60)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_compartment_or_an_invalid_token(raw: bytes) -> None:
    with pytest.raises(InvalidToken):
        keys_of(raw)


def test_largest_content_fits_and_two_seals_have_nothing_in_common() -> None:
    content = b"x" * CONTENT_BYTES_MAX
    first, second = (json.loads(seal(content, public(CARD), public(WALLET))) for _ in range(2))
    assert len(json.dumps(first)) <= SEALED_BYTES_MAX
    assert first["iv"] != second["iv"]
    assert first["ciphertext"] != second["ciphertext"]
    for one, other in zip(first["recipients"], second["recipients"], strict=True):
        assert one["encrypted_key"] != other["encrypted_key"]
        assert one["header"]["epk"] != other["header"]["epk"]
