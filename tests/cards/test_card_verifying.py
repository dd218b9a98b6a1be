# SPDX-License-Identifier: Apache-2.0
"""Whom a verifier believes: cards that hold their keys under certificates that hold; and nobody else, with a reason."""

from dataclasses import replace
from datetime import date

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from identity.cards.authority import InvalidCardCertificate
from identity.cards.card import WrongPin
from identity.cards.emulator import EmulatedCard
from identity.cards.making import PersonalisedCard
from identity.cards.objects import CERTIFICATES, Chuid, Container, Slot, certificate_object
from identity.cards.piv import Piv
from identity.cards.statuses import Ending, Reason, StatusTable
from identity.cards.verifying import Chain, load_chain, load_revocation_list, verify_card
from tests.cards.authority_rig import DAY_S, NOW_S, Keys, new_authority
from tests.cards.making_rig import make

LATER_S = NOW_S + 3600


@pytest.fixture(scope="module")
def keys() -> Keys:
    return new_authority()


@pytest.fixture
def card() -> EmulatedCard:
    return EmulatedCard()


@pytest.fixture
def made(card: EmulatedCard, keys: Keys) -> PersonalisedCard:
    return make(card, keys)


def chain_of(keys: Keys) -> Chain:
    return load_chain(keys.chain_pem)


def test_card_that_was_personalised_holds(card: EmulatedCard, made: PersonalisedCard, keys: Keys) -> None:
    without = verify_card(Piv(card), chain_of(keys), LATER_S)
    assert (without.chuid.guid, without.emulated, without.proven) == (made.guid, True, [Slot.CARD])
    assert verify_card(Piv(card), chain_of(keys), LATER_S, pin=made.pin).proven == list(Slot)
    assert Piv(card).pin_tries_left() == 3, "the PIN does not stay verified"


def test_card_with_a_wrong_pin_says_so(card: EmulatedCard, made: PersonalisedCard, keys: Keys) -> None:
    with pytest.raises(WrongPin):
        verify_card(Piv(card), chain_of(keys), LATER_S, pin="000000")


def test_blank_card_is_not_believed(card: EmulatedCard, keys: Keys) -> None:
    with pytest.raises(InvalidCardCertificate, match="blank"):
        verify_card(Piv(card), chain_of(keys), LATER_S)


def test_copy_of_everything_readable_is_not_believed(card: EmulatedCard, made: PersonalisedCard, keys: Keys) -> None:
    copied = {slot: generate_private_key(SECP256R1()) for slot in Slot}
    copy = EmulatedCard(replace(card.state, keys=copied))
    with pytest.raises(InvalidCardCertificate, match="slot 9E: it is a copy"):
        verify_card(Piv(copy), chain_of(keys), LATER_S)
    copy.state.keys[Slot.CARD] = card.state.keys[Slot.CARD]
    with pytest.raises(InvalidCardCertificate, match="slot 9A: it is a copy"):
        verify_card(Piv(copy), chain_of(keys), LATER_S, pin=made.pin)


def test_card_of_another_authority_is_not_believed(card: EmulatedCard, made: PersonalisedCard) -> None:
    with pytest.raises(InvalidCardCertificate, match="not from this authority"):
        verify_card(Piv(card), chain_of(new_authority()), LATER_S)


@pytest.mark.parametrize("slot", Slot)
def test_card_without_one_certificate_is_not_believed(
    card: EmulatedCard, made: PersonalisedCard, keys: Keys, slot: Slot
) -> None:
    del card.state.objects[CERTIFICATES[slot]]
    with pytest.raises(InvalidCardCertificate, match=f"no certificate in slot {slot:02X}"):
        verify_card(Piv(card), chain_of(keys), LATER_S)


def test_certificate_in_another_slot_than_its_own_is_not_believed(
    card: EmulatedCard, made: PersonalisedCard, keys: Keys
) -> None:
    card.state.objects[Container.SIGNATURE] = certificate_object(made.certificates[Slot.AUTHENTICATE])
    with pytest.raises(InvalidCardCertificate, match="slot 9C is for something else"):
        verify_card(Piv(card), chain_of(keys), LATER_S)


def test_card_with_anothers_guid_is_not_believed(card: EmulatedCard, made: PersonalisedCard, keys: Keys) -> None:
    card.state.objects[Container.CHUID] = Chuid(bytes(16), date(2031, 1, 1), emulated=False).encode()
    with pytest.raises(InvalidCardCertificate, match="not the one that its certificate in slot 9E names"):
        verify_card(Piv(card), chain_of(keys), LATER_S)


def test_card_that_mixes_real_and_emulated_certificates_is_not_believed(
    card: EmulatedCard, made: PersonalisedCard, keys: Keys
) -> None:
    real = keys.authority.certify(
        Slot.SIGN, made.public_keys[Slot.SIGN], made.guid, NOW_S, NOW_S + DAY_S, emulated=False
    )
    card.state.objects[Container.SIGNATURE] = certificate_object(real)
    with pytest.raises(InvalidCardCertificate, match="some do not"):
        verify_card(Piv(card), chain_of(keys), LATER_S)


@pytest.mark.parametrize("days", [-1, 6 * 365, 11 * 365, 21 * 365])
def test_card_before_or_after_its_time_is_not_believed(
    card: EmulatedCard, made: PersonalisedCard, keys: Keys, days: int
) -> None:
    with pytest.raises(InvalidCardCertificate, match="holds from"):
        verify_card(Piv(card), chain_of(keys), NOW_S + days * DAY_S)


@pytest.mark.parametrize("reason", Reason)
def test_card_that_was_suspended_or_revoked_is_not_believed(
    card: EmulatedCard, made: PersonalisedCard, keys: Keys, reason: Reason
) -> None:
    table = StatusTable(5, NOW_S, dict.fromkeys(made.serials, Ending(reason, NOW_S)))
    listed = load_revocation_list(keys.authority.revocation_list(table), chain_of(keys), NOW_S + 60)
    with pytest.raises(InvalidCardCertificate, match="suspended or revoked"):
        verify_card(Piv(card), chain_of(keys), NOW_S + 60, revoked=listed)
    others = StatusTable(5, NOW_S, {1: Ending(reason, NOW_S)})
    listed = load_revocation_list(keys.authority.revocation_list(others), chain_of(keys), NOW_S + 60)
    verify_card(Piv(card), chain_of(keys), NOW_S + 60, revoked=listed)


def test_list_that_is_old_early_or_anothers_is_refused(keys: Keys) -> None:
    raw = keys.authority.revocation_list(StatusTable(5, NOW_S, {}))
    for now_s in (NOW_S - 1, NOW_S + 3601):
        with pytest.raises(InvalidCardCertificate, match="get a new one"):
            load_revocation_list(raw, chain_of(keys), now_s)
    with pytest.raises(InvalidCardCertificate, match="not from this authority"):
        load_revocation_list(raw, chain_of(new_authority()), NOW_S)
    pem = x509.load_der_x509_crl(raw).public_bytes(Encoding.PEM)
    assert load_revocation_list(pem, chain_of(keys), NOW_S).issuer == keys.issuing.subject


@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_are_no_list(raw: bytes, as_pem: bool) -> None:
    with pytest.raises(InvalidCardCertificate):
        load_revocation_list(b"-----BEGIN X509 CRL-----\n" * as_pem + raw, CHAIN, NOW_S)


CHAIN = chain_of(new_authority())


def test_chain_of_something_else_is_refused(keys: Keys) -> None:
    issuing, root = (each.public_bytes(Encoding.PEM) for each in (keys.issuing, keys.root))
    for pem in (b"", root, issuing + root + root, b"x" * 70_000):
        with pytest.raises(InvalidCardCertificate, match="two certificates"):
            load_chain(pem)
    with pytest.raises(InvalidCardCertificate):
        load_chain(root + issuing)
    with pytest.raises(InvalidCardCertificate, match="not from this authority"):
        load_chain(issuing + new_authority().root.public_bytes(Encoding.PEM))
