# SPDX-License-Identifier: Apache-2.0
"""The PIV client: against the emulated card, and against cards that answer nonsense."""

import contextlib
import hashlib
from datetime import date

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDH, SECP256R1, EllipticCurvePublicKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from chain.errors import InvalidSignature
from chain.p256 import verify
from identity.cards.card import (
    CardError,
    CardRefused,
    InvalidPin,
    InvalidResponse,
    NotAuthenticated,
    PinBlocked,
    PukBlocked,
    Unsupported,
    WrongManagementKey,
    WrongPin,
)
from identity.cards.emulator import EmulatedCard
from identity.cards.objects import FACTORY_MANAGEMENT_KEY, FACTORY_PIN, FACTORY_PUK, Container, Slot
from identity.cards.piv import Piv

GUID = bytes(range(16))
DIGEST = hashlib.sha256(b"message").digest()


class Scripted:
    """A card that gives the answers it was told to, whatever is asked; then the last one for ever."""

    atr = b"\x3b\x00"

    def __init__(self, *answers: str) -> None:
        self.answers = [bytes.fromhex(answer) for answer in answers]
        self.asked: list[bytes] = []

    def transmit(self, apdu: bytes) -> bytes:
        self.asked.append(apdu)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def reset(self) -> None:
        self.asked.append(b"reset")

    def close(self) -> None:
        pass


@pytest.fixture
def piv() -> Piv:
    client = Piv(EmulatedCard())
    client.select()
    return client


@pytest.fixture
def managed(piv: Piv) -> Piv:
    piv.authenticate_management(FACTORY_MANAGEMENT_KEY)
    return piv


def compressed(point: bytes) -> bytes:
    key = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point)
    return key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


@pytest.mark.parametrize("slot", [Slot.AUTHENTICATE, Slot.SIGN, Slot.CARD])
def test_signature_of_each_signing_slot_verifies_under_the_key_made_there(managed: Piv, slot: Slot) -> None:
    public_key = managed.generate(slot)
    managed.verify_pin(FACTORY_PIN)
    signature = managed.sign(slot, DIGEST)
    verify(compressed(public_key), b"message", signature)
    with pytest.raises(InvalidSignature):
        verify(compressed(public_key), b"massage", signature)


def test_signing_slot_wants_the_pin_directly_before_each_signature(managed: Piv) -> None:
    managed.generate(Slot.SIGN)
    managed.verify_pin(FACTORY_PIN)
    managed.sign(Slot.SIGN, DIGEST)
    with pytest.raises(NotAuthenticated):
        managed.sign(Slot.SIGN, DIGEST)
    managed.verify_pin(FACTORY_PIN)
    managed.guid()
    with pytest.raises(NotAuthenticated):
        managed.sign(Slot.SIGN, DIGEST)


def test_authentication_slot_wants_the_pin_once(managed: Piv) -> None:
    managed.generate(Slot.AUTHENTICATE)
    with pytest.raises(NotAuthenticated):
        managed.sign(Slot.AUTHENTICATE, DIGEST)
    managed.verify_pin(FACTORY_PIN)
    managed.sign(Slot.AUTHENTICATE, DIGEST)
    managed.sign(Slot.AUTHENTICATE, DIGEST)
    managed.log_out()
    with pytest.raises(NotAuthenticated):
        managed.sign(Slot.AUTHENTICATE, DIGEST)


def test_card_slot_signs_without_pin(managed: Piv) -> None:
    managed.generate(Slot.CARD)
    assert len(managed.sign(Slot.CARD, DIGEST)) == 64


def test_key_agreement_gives_both_sides_the_same_secret(managed: Piv) -> None:
    public_key = managed.generate(Slot.KEY_MANAGEMENT)
    other = generate_private_key(SECP256R1())
    point = other.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    with pytest.raises(NotAuthenticated):
        managed.agree(Slot.KEY_MANAGEMENT, point)
    managed.verify_pin(FACTORY_PIN)
    expected = other.exchange(ECDH(), EllipticCurvePublicKey.from_encoded_point(SECP256R1(), public_key))
    assert managed.agree(Slot.KEY_MANAGEMENT, point) == expected


@pytest.mark.parametrize("point", [b"", bytes(65), b"\x04" + b"\x01" * 64, b"\x02" + bytes(32)])
def test_key_agreement_with_something_that_is_no_key_is_refused_before_the_card_sees_it(piv: Piv, point: bytes) -> None:
    with pytest.raises(InvalidSignature, match="other side"):
        piv.agree(Slot.KEY_MANAGEMENT, point)


def test_key_agreement_with_a_point_off_the_curve_is_refused_by_the_card(managed: Piv) -> None:
    managed.generate(Slot.KEY_MANAGEMENT)
    managed.verify_pin(FACTORY_PIN)
    body = bytes.fromhex("7C4582008541") + b"\x04" + b"\x01" * 64
    assert managed.card.transmit(bytes.fromhex("0087119D") + bytes([len(body)]) + body + b"\0") == b"\x6a\x80"


def test_slot_without_a_key_is_named(piv: Piv) -> None:
    piv.verify_pin(FACTORY_PIN)
    with pytest.raises(Unsupported, match="slot 9A"):
        piv.sign(Slot.AUTHENTICATE, DIGEST)


def test_identifier_and_certificates_are_read_back(managed: Piv) -> None:
    assert managed.guid() is None
    managed.put_chuid(GUID, date(2036, 1, 31), emulated=True)
    certificate = bytes(range(256)) * 4
    for slot in Slot:
        assert managed.certificate(slot) is None
        managed.put_certificate(slot, certificate + bytes([slot]))
    assert managed.guid() == GUID
    assert [managed.certificate(slot) for slot in Slot] == [certificate + bytes([slot]) for slot in Slot]
    managed.write(Container.CHUID, b"")
    assert managed.guid() is None


def test_discovery_says_that_the_cards_own_pin_serves(piv: Piv) -> None:
    assert piv.read(Container.DISCOVERY) == bytes.fromhex("4F0BA0000003080000100001005F2F024000")


def test_blank_card_lets_nobody_write_without_its_management_key(piv: Piv) -> None:
    with pytest.raises(NotAuthenticated):
        piv.put_certificate(Slot.SIGN, b"der")
    with pytest.raises(NotAuthenticated):
        piv.generate(Slot.SIGN)
    with pytest.raises(NotAuthenticated):
        piv.set_management_key(bytes(32))


@pytest.mark.parametrize("size", [24, 32])
def test_management_key_replaced_is_the_only_one_that_serves(managed: Piv, size: int) -> None:
    new = bytes(range(size))
    managed.set_management_key(new)
    managed.card.reset()
    managed.authenticate_management(new)
    managed.card.reset()
    with pytest.raises(WrongManagementKey):
        managed.authenticate_management(FACTORY_MANAGEMENT_KEY)
    with pytest.raises(NotAuthenticated):
        managed.generate(Slot.SIGN)


def test_management_key_of_another_algorithm_is_refused(piv: Piv) -> None:
    with pytest.raises(Unsupported, match="16 bytes"):
        piv.authenticate_management(bytes(16))


def test_card_that_accepts_any_management_key_is_not_trusted() -> None:
    card = Scripted("7C128010" + "00" * 16 + "9000", "7C128210" + "11" * 16 + "9000")
    with pytest.raises(WrongManagementKey, match="not to be trusted"):
        Piv(card).authenticate_management(FACTORY_MANAGEMENT_KEY)


def test_pin_wrong_says_how_many_tries_are_left_and_then_blocks(piv: Piv) -> None:
    assert piv.pin_tries_left() == 3
    for left in (2, 1, 0):
        with pytest.raises(WrongPin) as caught:
            piv.verify_pin("000000")
        assert caught.value.tries_left == left
    assert piv.pin_tries_left() == 0
    with pytest.raises(PinBlocked):
        piv.verify_pin(FACTORY_PIN)
    with pytest.raises(PinBlocked):
        piv.change_pin(FACTORY_PIN, "222333")
    piv.reset_pin(FACTORY_PUK, "222333")
    piv.verify_pin("222333")
    assert piv.pin_tries_left() is None


def test_puk_wrong_says_how_many_tries_are_left_and_then_blocks(piv: Piv) -> None:
    for left in (2, 1, 0):
        with pytest.raises(WrongPin, match="wrong PUK") as caught:
            piv.reset_pin("00000000", "222333")
        assert caught.value.tries_left == left
    with pytest.raises(PukBlocked):
        piv.reset_pin(FACTORY_PUK, "222333")
    with pytest.raises(PukBlocked):
        piv.change_puk(FACTORY_PUK, "87654321")


def test_pin_and_puk_changed_are_the_only_ones_that_serve(piv: Piv) -> None:
    piv.change_pin(FACTORY_PIN, "24681357")
    piv.change_puk(FACTORY_PUK, "13572468")
    with pytest.raises(WrongPin):
        piv.verify_pin(FACTORY_PIN)
    with pytest.raises(WrongPin):
        piv.change_puk(FACTORY_PUK, "11112222")
    piv.verify_pin("24681357")
    piv.reset_pin("13572468", "998877")
    piv.verify_pin("998877")


@pytest.mark.parametrize("pin", ["", "12345", "123456789", "12345a", "１２３４５６", "123 456"])
def test_pin_that_no_card_takes_costs_no_try(piv: Piv, pin: str) -> None:
    with pytest.raises(InvalidPin):
        piv.verify_pin(pin)
    with pytest.raises(InvalidPin):
        piv.change_pin(FACTORY_PIN, pin)
    assert piv.pin_tries_left() == 3


def test_card_without_the_application_is_named() -> None:
    with pytest.raises(Unsupported, match="no PIV card"):
        Piv(Scripted("6A82")).select()


def test_card_that_cannot_log_out_is_reset() -> None:
    card = Scripted("6D00")
    Piv(card).log_out()
    assert card.asked[-1] == b"reset"


def test_card_that_names_another_length_is_asked_again() -> None:
    card = Scripted("6C04", "5302AABB9000")
    assert Piv(card).read(Container.CHUID) == bytes.fromhex("AABB")
    assert card.asked[1][-1] == 4


@pytest.mark.parametrize("answer", ["00" * 256 + "6100", "6100"])
def test_card_that_answers_for_ever_is_stopped(answer: str) -> None:
    card = Scripted(answer)
    with pytest.raises(InvalidResponse, match="keeps on answering"):
        Piv(card).read(Container.CHUID)
    assert len(card.asked) < 20


@pytest.mark.parametrize("word", ["6F00", "6581"])
def test_card_that_refuses_for_another_reason_is_quoted(word: str) -> None:
    with pytest.raises(CardRefused, match=word):
        Piv(Scripted(word)).read(Container.CHUID)


@given(st.lists(st.binary(max_size=80), min_size=1, max_size=4))
def test_whatever_a_card_answers_only_card_errors_come_out(answers: list[bytes]) -> None:
    for ask in (
        Piv.select,
        Piv.guid,
        Piv.pin_tries_left,
        lambda piv: piv.verify_pin("123456"),
        lambda piv: piv.generate(Slot.SIGN),
        lambda piv: piv.sign(Slot.SIGN, DIGEST),
        lambda piv: piv.certificate(Slot.SIGN),
        lambda piv: piv.authenticate_management(FACTORY_MANAGEMENT_KEY),
    ):
        with contextlib.suppress(CardError):
            ask(Piv(Scripted(*(answer.hex() for answer in answers))))
