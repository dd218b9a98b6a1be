# SPDX-License-Identifier: Apache-2.0
"""The desk's cards in a reader of a real pcscd: made, pulled out and put back, handed over."""

from dataclasses import replace

import pytest
from desk_cards_rig import OWN_PIN, CardsRig
from store_rig import Rig

from identity.api.desk import cards
from identity.api.desk.cards import Reason
from identity.api.desk.cards_handover import hand_over
from identity.api.desk.cards_life import CardState
from identity.api.desk.cards_workshop import Counter, PcscReaders
from identity.cards.card import CardError, CardRemoved, NoCard
from identity.cards.emulator import EmulatedCard
from identity.cards.piv import Piv
from tests.cards.reader_rig import READER, Reader, shared_reader


class PulledOut(EmulatedCard):
    """A card that is pulled out once, at its n-th command."""

    left = 0

    def transmit(self, apdu: bytes) -> bytes:
        self.left -= 1
        if self.left == 0:
            self.remove()
        return super().transmit(apdu)


@pytest.fixture
def reader() -> Reader:
    return shared_reader()


@pytest.fixture
def desk(sqlite_rig: Rig) -> CardsRig:
    made = CardsRig(sqlite_rig)
    made.stock()
    made.shop = replace(made.shop, counter=Counter([PcscReaders()]))
    return made


def test_card_is_made_in_the_reader_and_handed_over_there(desk: CardsRig, reader: Reader) -> None:
    card_id, chip = cards.request(desk.desk, desk.clerk, desk.person(), Reason.FIRST), EmulatedCard()
    with reader.inserted(chip):
        desk.shop.make(desk.desk, desk.clerk, card_id, READER)
    desk.bind(card_id)
    desk.print(card_id)
    with reader.inserted(chip), desk.shop.counter.card(READER, "") as card:
        hand_over(desk.desk, desk.clerk, card_id, Piv(card), desk.pin(card_id), OWN_PIN)
    assert desk.card(card_id).state is CardState.ACTIVE


@pytest.mark.parametrize("command", [4, 12, 20])
def test_card_pulled_out_of_the_reader_is_gone_on_with_when_it_is_put_back(
    desk: CardsRig, reader: Reader, command: int
) -> None:
    card_id, chip = cards.request(desk.desk, desk.clerk, desk.person(), Reason.FIRST), PulledOut()
    chip.left = command
    with reader.inserted(chip), pytest.raises(CardRemoved):
        desk.shop.make(desk.desk, desk.clerk, card_id, READER)
    assert desk.card(card_id).state is CardState.REQUESTED
    chip.insert()
    with reader.inserted(chip):
        desk.shop.make(desk.desk, desk.clerk, card_id, READER)
    assert desk.card(card_id).state is CardState.PERSONALISED


def test_another_blank_in_the_reader_is_not_made_into_the_card_that_was_begun(desk: CardsRig, reader: Reader) -> None:
    card_id, chip = cards.request(desk.desk, desk.clerk, desk.person(), Reason.FIRST), PulledOut()
    chip.left = 40
    with reader.inserted(chip), pytest.raises(CardError):
        desk.shop.make(desk.desk, desk.clerk, card_id, READER)
    with reader.inserted(EmulatedCard()), pytest.raises(CardError):
        desk.shop.make(desk.desk, desk.clerk, card_id, READER)
    assert desk.card(card_id).state is CardState.REQUESTED


def test_empty_and_unknown_readers_are_told(desk: CardsRig, reader: Reader) -> None:
    assert READER in desk.shop.counter.names()
    for name in (READER, "another"):
        with pytest.raises(NoCard), desk.shop.counter.card(name, ""):
            raise AssertionError("there is no card")
