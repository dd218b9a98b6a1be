# SPDX-License-Identifier: Apache-2.0
"""What personalisation needs, in memory; and a card that is pulled out at one command."""

from datetime import date
from typing import Literal

from identity.cards.card import CardRemoved
from identity.cards.emulator import EmulatedCard
from identity.cards.making import MasterKey, PersonalisedCard
from identity.cards.personalise import personalise
from tests.cards.authority_rig import NOW_S, Keys

EXPIRES = date(2031, 11, 21)
MASTER = bytes(range(32))


def master() -> MasterKey:
    return MasterKey(MASTER)


class PulledPlugError(Exception):
    """The machine lost its power."""


class Notes:
    """A journal in memory; may lose the power before or after one of its writes."""

    def __init__(self) -> None:
        self.text = ""
        self.saves = 0
        self.dies_at: tuple[int, Literal["before", "after"]] | None = None

    def load(self) -> str:
        return self.text

    def save(self, text: str) -> None:
        at, self.saves = self.saves, self.saves + 1
        if self.dies_at == (at, "before"):
            raise PulledPlugError
        self.text = text
        if self.dies_at == (at, "after"):
            raise PulledPlugError


class Pulled:
    """A card that is pulled out before or after it carried out one of its commands."""

    def __init__(self, card: EmulatedCard, at: int | None = None, when: Literal["before", "after"] = "before") -> None:
        self.card, self.at, self.when = card, at, when
        self.count = 0

    @property
    def atr(self) -> bytes:
        return self.card.atr

    def transmit(self, apdu: bytes) -> bytes:
        at, self.count = self.count, self.count + 1
        if at == self.at and self.when == "before":
            raise CardRemoved
        response = self.card.transmit(apdu)
        if at == self.at:
            raise CardRemoved
        return response

    def reset(self) -> None:
        self.card.reset()

    def close(self) -> None:
        self.card.close()


def make(card: EmulatedCard | Pulled, keys: Keys, journal: Notes | None = None) -> PersonalisedCard:
    notes = journal if journal is not None else Notes()
    return personalise(card, keys.authority, master(), notes, now_s=NOW_S + 3600, expires=EXPIRES)
