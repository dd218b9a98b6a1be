# SPDX-License-Identifier: Apache-2.0
"""A card is made whole or clearly void, wherever it is pulled out and wherever the power goes."""

import json
import time
from contextlib import suppress
from dataclasses import replace
from datetime import date
from typing import Literal

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from chain.errors import InvalidMessage
from identity.cards.authority import InvalidCardCertificate, load_certificate
from identity.cards.card import CardRemoved, PukBlocked, WrongManagementKey, WrongPin
from identity.cards.emulated_state import TRIES, CardState
from identity.cards.emulator import EmulatedCard
from identity.cards.making import JOURNAL_CHARACTERS_MAX, MasterKey, PersonalisedCard, Stage, Work, management_key
from identity.cards.objects import FACTORY_MANAGEMENT_KEY, FACTORY_PIN, FACTORY_PUK, Slot
from identity.cards.personalise import CardVoid, KeyNotHeld, OtherCard, VoidedCard, personalise, prove_slot, void, wipe
from identity.cards.piv import Piv
from tests.cards.authority_rig import NOW_S, Keys, new_authority
from tests.cards.making_rig import EXPIRES, Notes, Pulled, PulledPlugError, make, master

When = Literal["before", "after"]


@pytest.fixture(scope="module")
def keys() -> Keys:
    return new_authority()


def public_key(card: EmulatedCard, slot: Slot) -> bytes:
    key = card.state.keys[slot].public_key()
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def assert_whole(card: EmulatedCard, made: PersonalisedCard) -> None:
    """The card has what its record says, and nothing of the factory's."""
    card.reset()
    piv = Piv(card)
    piv.select()
    assert piv.guid() == made.guid
    for slot in Slot:
        assert public_key(card, slot) == made.public_keys[slot]
        certificate = load_certificate(made.certificates[slot]).public_key()
        assert certificate.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint) == made.public_keys[slot]
        assert piv.certificate(slot) == made.certificates[slot]
        assert prove_slot(piv, slot, made.public_keys[slot], made.pin)
    assert (card.state.pin_tries, card.state.puk_tries) == (TRIES, TRIES)
    piv.authenticate_management(management_key(master(), made.guid))
    with pytest.raises(WrongManagementKey):
        piv.authenticate_management(FACTORY_MANAGEMENT_KEY)
    with pytest.raises(WrongPin):
        piv.verify_pin(FACTORY_PIN)
    with pytest.raises(WrongPin):
        piv.reset_pin(FACTORY_PUK, "222333")
    piv.reset_pin(made.puk, made.pin)


def assert_blank(card: EmulatedCard, old_keys: dict[Slot, bytes]) -> None:
    """The card is as from the factory, but for keys that nobody knows."""
    blank = CardState()
    state = card.state
    assert (state.pin, state.puk, state.management_key) == (blank.pin, blank.puk, blank.management_key)
    assert (state.pin_tries, state.puk_tries, state.objects) == (TRIES, TRIES, {})
    assert not {public_key(card, slot) for slot in Slot} & set(old_keys.values())


COMMANDS_MAX = 70
"""Of one personalisation; a few less, as certificates' signatures and serial numbers fall out. A constant, since the
names of the tests may not differ from one worker to the next."""
WIPE_COMMANDS_MAX = 20
NEAR_THE_END = 50
"""A command after the keys were certified."""


def is_interrupted(card: EmulatedCard, at: int, when: When, keys: Keys, journal: Notes) -> bool:
    """Personalise a card that is pulled out at one command; False where it was made with fewer commands."""
    pulled = Pulled(card, at, when)
    try:
        make(pulled, keys, journal)
    except CardRemoved:
        return True
    assert 60 < pulled.count <= at
    return False


def test_card_made_from_a_blank_one_is_whole(keys: Keys) -> None:
    card, journal = EmulatedCard(), Notes()
    made = make(card, keys, journal)
    assert_whole(card, made)
    assert made.emulated
    assert len(set(made.serials)) == 4
    assert journal.saves == 4


def test_pulling_at_each_command_covers_all_commands(keys: Keys) -> None:
    for _ in range(20):
        counted, journal = Pulled(EmulatedCard()), Notes()
        make(counted, keys, journal)
        assert counted.count <= COMMANDS_MAX
        wiped = Pulled(counted.card)
        void(wiped, master(), journal)
        assert wiped.count <= WIPE_COMMANDS_MAX


def test_two_cards_share_no_guid_key_pin_or_management_key(keys: Keys) -> None:
    first, second = EmulatedCard(), EmulatedCard()
    one, two = make(first, keys), make(second, keys)
    assert one.guid != two.guid
    assert not set(one.public_keys.values()) & set(two.public_keys.values())
    assert (one.pin, one.puk) != (two.pin, two.puk)
    assert first.state.management_key != second.state.management_key


def test_guid_is_a_random_uuid(keys: Keys) -> None:
    guid = make(EmulatedCard(), keys).guid
    assert (guid[6] >> 4, guid[8] >> 6) == (4, 2)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", range(COMMANDS_MAX))
def test_card_pulled_out_at_any_command_is_made_whole_by_calling_again(keys: Keys, at: int, when: When) -> None:
    card, journal = EmulatedCard(), Notes()
    is_interrupted(card, at, when, keys, journal)
    card.remove()
    card.insert()
    if not journal.text and card.state != CardState():
        pytest.fail("the card was written to before its journal was")
    assert_whole(card, make(card, keys, journal))


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", range(COMMANDS_MAX))
def test_card_pulled_out_at_any_command_can_be_voided_and_is_blank_then(keys: Keys, at: int, when: When) -> None:
    card, journal = EmulatedCard(), Notes()
    is_interrupted(card, at, when, keys, journal)
    if not journal.text:
        assert card.state == CardState(), "nothing was begun"
        return
    known = Work.decode(journal.text, master()).card
    left = {slot: public_key(card, slot) for slot in card.state.keys}
    gone = void(card, master(), journal)
    assert gone == VoidedCard(known.guid, known.serials, reusable=True)
    assert_blank(card, left)
    with pytest.raises(CardVoid):
        make(card, keys, journal)
    assert_whole(card, make(card, keys))


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", range(4))
def test_power_lost_at_any_write_of_the_journal_leaves_a_card_that_is_made_whole(
    keys: Keys, at: int, when: When
) -> None:
    card, journal = EmulatedCard(), Notes()
    journal.dies_at = (at, when)
    with pytest.raises(PulledPlugError):
        make(card, keys, journal)
    assert_whole(card, make(card, keys, journal))


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", range(WIPE_COMMANDS_MAX))
def test_card_pulled_out_while_it_is_wiped_is_blank_after_calling_again(keys: Keys, at: int, when: When) -> None:
    card, journal = EmulatedCard(), Notes()
    made = make(card, keys, journal)
    with suppress(CardRemoved):
        void(Pulled(card, at, when), master(), journal)
    assert Work.decode(journal.text, master()).stage is Stage.VOID
    assert void(card, master(), journal).reusable
    assert_blank(card, dict(made.public_keys))


def test_card_voided_without_the_card_names_what_is_to_be_revoked(keys: Keys) -> None:
    card, journal = EmulatedCard(), Notes()
    made = make(card, keys, journal)
    assert void(None, master(), journal) == VoidedCard(made.guid, made.serials, reusable=False)
    with pytest.raises(CardVoid):
        make(card, keys, journal)


def test_card_whose_holder_changed_the_puk_loses_its_keys_and_is_not_reusable(keys: Keys) -> None:
    card = EmulatedCard()
    made = make(card, keys)
    Piv(card).change_puk(made.puk, "11223344")
    assert not wipe(card, master(), made)
    assert not {public_key(card, slot) for slot in Slot} & set(made.public_keys.values())
    assert all(Piv(card).certificate(slot) is None for slot in Slot)


def test_puk_worn_out_by_pulling_is_said_and_the_card_can_be_voided(keys: Keys) -> None:
    card, journal = EmulatedCard(), Notes()
    with pytest.raises(CardRemoved):
        make(Pulled(card, NEAR_THE_END), keys, journal)
    work = Work.decode(journal.text, master())
    work.stage = Stage.BEGUN
    journal.text = work.encode(master())
    card.state.puk_tries = 0
    with pytest.raises(PukBlocked):
        make(card, keys, journal)
    assert not void(card, master(), journal).reusable


def test_another_card_in_its_place_is_refused_and_not_touched(keys: Keys) -> None:
    card, other, journal = EmulatedCard(), EmulatedCard(), Notes()
    with pytest.raises(CardRemoved):
        make(Pulled(card, NEAR_THE_END), keys, journal)
    with pytest.raises(OtherCard, match="a blank one is in the reader"):
        make(other, keys, journal)
    assert other.state == CardState()
    theirs = make(other, keys)
    before = other.save()
    with pytest.raises(OtherCard, match=theirs.guid.hex()):
        make(other, keys, journal)
    with pytest.raises(OtherCard):
        void(other, master(), journal)
    assert other.save() == before


def test_card_that_claims_anothers_guid_is_refused(keys: Keys) -> None:
    card, journal = EmulatedCard(), Notes()
    with pytest.raises(CardRemoved):
        make(Pulled(card, NEAR_THE_END), keys, journal)
    liar = EmulatedCard(replace(CardState(), objects=dict(card.state.objects)))
    with pytest.raises(OtherCard, match="does not hold its key"):
        make(liar, keys, journal)


def test_card_that_is_somebodys_is_refused_before_anything_is_written_down(keys: Keys) -> None:
    card, journal = EmulatedCard(), Notes()
    make(card, keys)
    with pytest.raises(OtherCard, match="not blank: it is card"):
        make(card, keys, journal)
    card.state.objects.clear()
    with pytest.raises(OtherCard, match="not the factory's"):
        make(card, keys, journal)
    assert journal.text == ""


def test_card_that_does_not_hold_the_key_that_it_names_gets_no_certificate(keys: Keys) -> None:
    class Swapping(Pulled):
        """Answers with a public key of somebody else's."""

        def transmit(self, apdu: bytes) -> bytes:
            response = super().transmit(apdu)
            if apdu[1:4] == bytes([0x47, 0, Slot.SIGN]):
                self.card.transmit(apdu)
            return response

    card, journal = EmulatedCard(), Notes()
    with pytest.raises(KeyNotHeld, match="slot 9C"):
        make(Swapping(card), keys, journal)
    assert Work.decode(journal.text, master()).card.certificates == {}


def test_card_that_forgets_a_certificate_is_not_done(keys: Keys) -> None:
    class Forgetful(Pulled):
        def transmit(self, apdu: bytes) -> bytes:
            response = super().transmit(apdu)
            self.card.state.objects.pop(0x5FC10A, None)
            return response

    card, journal = EmulatedCard(), Notes()
    with pytest.raises(KeyNotHeld, match="does not give back the certificate of slot 9C"):
        make(Forgetful(card), keys, journal)
    work = Work.decode(journal.text, master())
    assert work.stage is Stage.CERTIFIED
    assert void(card, master(), journal).serials == work.card.serials


def test_authority_that_refuses_does_so_before_the_card_is_touched() -> None:
    card, journal = EmulatedCard(), Notes()
    with pytest.raises(InvalidCardCertificate, match="no emulated cards"):
        make(card, new_authority(allows_emulated=False), journal)
    with pytest.raises(InvalidCardCertificate, match="holds from"):
        personalise(card, new_authority().authority, master(), journal, now_s=NOW_S, expires=date(2060, 1, 1))
    assert (card.state, journal.text) == (CardState(), "")


def test_card_done_is_given_back_from_the_journal_alone(keys: Keys) -> None:
    card, journal = EmulatedCard(), Notes()
    made = make(card, keys, journal)
    card.remove()
    assert make(card, keys, journal) == made


def test_nothing_secret_stands_in_the_journal_or_in_a_cards_words(keys: Keys) -> None:
    card, journal = EmulatedCard(), Notes()
    made = make(card, keys, journal)
    for secret in (made.pin, made.puk, made.pin.encode().hex(), made.puk.encode().hex()):
        assert secret not in journal.text
        assert secret not in repr(made)
        assert secret not in repr(card.state)
    assert card.state.management_key.hex() not in journal.text


def test_stages_are_told_in_order(keys: Keys) -> None:
    told: list[Stage] = []
    personalise(EmulatedCard(), keys.authority, master(), Notes(), now_s=NOW_S, expires=EXPIRES, reached=told.append)
    assert told == [Stage.BEGUN, Stage.LOCKED, Stage.CERTIFIED, Stage.DONE]


def test_certificates_begin_with_the_day_and_end_with_the_card(keys: Keys) -> None:
    certificate = load_certificate(make(EmulatedCard(), keys).certificates[Slot.SIGN])
    assert f"{certificate.not_valid_before_utc:%H:%M:%S}" == "00:00:00"
    assert f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S}" == "2031-11-21 23:59:59"


@pytest.mark.parametrize(
    "damage",
    [
        {"format": "zhixin-card-work/2"},
        {"guid": "00"},
        {"guid": "zz"},
        {"stage": "finished"},
        {"letter": "00"},
        {"stage": "done"},
        {"emulated": False},
        {"public_keys": {}},
        {"expires": "2031-13-01"},
        {"certificates": {"99": "00"}},
        {"certificates": []},
    ],
)
def test_journal_that_was_damaged_is_refused(keys: Keys, damage: dict[str, object]) -> None:
    journal = Notes()
    with pytest.raises(CardRemoved):
        make(Pulled(EmulatedCard(), NEAR_THE_END), keys, journal)
    journal.text = json.dumps(json.loads(journal.text) | damage)
    with pytest.raises(InvalidMessage):
        make(EmulatedCard(), keys, journal)


def test_journal_of_another_master_is_refused(keys: Keys) -> None:
    journal = Notes()
    make(EmulatedCard(), keys, journal)
    with pytest.raises(InvalidMessage, match="another master key"):
        Work.decode(journal.text, MasterKey(bytes(32)))


@given(st.text(max_size=60))
def test_any_text_is_no_journal(text: str) -> None:
    with pytest.raises(InvalidMessage):
        Work.decode(text, master())


def test_journal_beyond_the_bound_is_refused() -> None:
    with pytest.raises(InvalidMessage, match="at most"):
        Work.decode(" " * (JOURNAL_CHARACTERS_MAX + 1), master())


def test_management_key_depends_on_master_and_guid_alone() -> None:
    assert management_key(master(), bytes(16)) == management_key(master(), bytes(16))
    others = {management_key(master(), bytes(16)), management_key(master(), b"\x01" * 16)}
    assert len(others | {management_key(MasterKey(bytes(32)), bytes(16))}) == 3
    assert {len(key) for key in others} == {32}


def test_twenty_cards_a_second_are_made(keys: Keys) -> None:
    """About 70 on a busy machine; processor time, since others may be at work on it."""
    started = time.process_time()
    for _ in range(10):
        make(EmulatedCard(), keys)
    assert time.process_time() - started < 0.5
