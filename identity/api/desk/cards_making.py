# SPDX-License-Identifier: Apache-2.0
"""Making a card: a blank is taken, written down, personalised step by step, and only then called personalised.

What a crash leaves: before `begin` is committed, a blank in stock and nothing else; after it, a row that names the
blank and the journal of what was done to it, from which `identity.cards.personalise` goes on; after `finish`, a card
with its record. So there is no key without a record, and no record of a card that does not have the keys.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from typing import Final

from sqlalchemy.orm import Session

from identity.api.desk import cards_problems as kinds
from identity.api.desk import stock
from identity.api.desk.base import DAY_MS, DeskContext
from identity.api.desk.cards import forget_secrets, keep_keys, own, step
from identity.api.desk.cards_history import note
from identity.api.desk.cards_keys import PURPOSES, BoundKey
from identity.api.desk.cards_life import CardState, CardStep
from identity.api.desk.cards_tables import Card
from identity.cards.making import Journal, PersonalisedCard
from service.problems import Problem
from service.sign_in.sessions import Officer

CARD_DAYS: Final = 5 * 365
"""How long a card is valid: chips and pictures age."""


@dataclass(frozen=True, slots=True)
class Letter:
    """What the PIN letter says, until it has been handed over.

    Attributes:
        pin: Transport PIN; the holder's own takes its place at hand-over.
        puk: Unblocks the PIN.
    """

    pin: str
    puk: str


class StoredJournal:
    """A journal in the card's row, sealed under its holder's key."""

    def __init__(self, desk: DeskContext, organisation: str, card_id: str) -> None:
        self._desk, self._organisation, self._card_id = desk, organisation, card_id

    def load(self) -> str:
        """What was written last."""
        with self._desk.store.read() as session:
            row = own(session, self._organisation, self._card_id)
            return self._desk.store.people.open(session, row, Card.work) or ""

    def save(self, text: str) -> None:
        """Write it down."""
        with self._desk.store.write() as session:
            row = own(session, self._organisation, self._card_id, held=True)
            self._desk.store.people.seal(session, row, Card.work, text)


def begin(desk: DeskContext, officer: Officer, card_id: str, serial: str | None = None) -> str:
    """Take a blank for a card and write that down, before the blank is touched. Beginning again goes on with the same.

    Args:
        desk: Which desk.
        officer: Who makes it.
        card_id: Which card.
        serial: A certain blank; None: the next.

    Returns:
        The blank's serial number.

    Raises:
        Problem: The card is not to be made, another blank was taken for it, or there is none.
    """
    with desk.store.write() as session:
        row = own(session, officer.organisation, card_id, held=True)
        if row.state != CardState.REQUESTED:
            raise Problem(kinds.STEP)
        if row.serial is None:
            row.serial = stock.assign(session, card_id, desk.now(), serial)
            note(desk, session, row, "begin", row.state, officer.staff_id)
            desk.record(session, officer, "card.begun", card_id)
        elif serial not in (None, row.serial):
            raise Problem(kinds.OTHER_BLANK, {"serial": row.serial})
        return row.serial


def finish(desk: DeskContext, officer: Officer, card_id: str, made: PersonalisedCard) -> None:
    """Write down the keys of a card that was personalised.

    Raises:
        Problem: The card was not being made.
    """
    with desk.store.write() as session:
        finish_in(desk, session, officer, card_id, made)


def finish_in(desk: DeskContext, session: Session, officer: Officer, card_id: str, made: PersonalisedCard) -> None:
    """The same within a transaction that writes. Raises as `finish` does."""
    keys = [BoundKey.of(slot, made.public_keys[slot], made.certificates[slot]) for slot in PURPOSES]
    row = own(session, officer.organisation, card_id, held=True)
    step(desk, session, row, CardStep.PERSONALISE, officer)
    assert row.serial is not None, "a card that is being made has its blank"
    stock.issued(session, row.serial, desk.now())
    keep_keys(desk, session, row, made.guid, keys)
    row.expires_ms = _end_of(made.expires)
    desk.store.people.seal(session, row, Card.letter, json.dumps(asdict(Letter(made.pin, made.puk))))
    desk.store.people.seal(session, row, Card.work, None)


def give_up(desk: DeskContext, officer: Officer, card_id: str) -> None:
    """The blank is spoilt: it is to be destroyed, and the card with it; another is to be asked for.

    Raises:
        Problem: Its keys are bound already; then the card is revoked instead.
    """
    with desk.store.write() as session:
        row = own(session, officer.organisation, card_id, held=True)
        step(desk, session, row, CardStep.FAIL, officer)
        if row.serial is not None:
            stock.fail(desk.store, session, officer.staff_id, row.serial, desk.now())
        forget_secrets(desk, session, row)


def make(
    desk: DeskContext,
    officer: Officer,
    card_id: str,
    personalise: Callable[[Journal, str], PersonalisedCard],
    serial: str | None = None,
) -> str:
    """Make a card from its blank, or go on where that broke off; blocks, as cards do.

    Args:
        desk: Which desk.
        officer: Who makes it.
        card_id: Which card.
        personalise: Does it with the blank of a serial number, writing each step down in the journal that it is given.
        serial: A certain blank.

    Returns:
        The blank's serial number.

    Raises:
        Problem: See `begin`.
        CardError: A card or reader did not do what it should; the row waits for another attempt.
    """
    taken = begin(desk, officer, card_id, serial)
    made = personalise(StoredJournal(desk, officer.organisation, card_id), taken)
    finish(desk, officer, card_id, made)
    return taken


def letter_of(desk: DeskContext, organisation: str, card_id: str) -> Letter:
    """What the PIN letter says.

    Raises:
        Problem: It was handed over, and nobody knows it any more.
    """
    with desk.store.read() as session:
        row = own(session, organisation, card_id)
        text = desk.store.people.open(session, row, Card.letter)
    if text is None:
        raise Problem(kinds.LETTER_GONE)
    return Letter(**json.loads(text))


def _end_of(day: date) -> int:
    """The first moment after a day, as Unix time in ms."""
    return (day.toordinal() - date(1970, 1, 1).toordinal() + 1) * DAY_MS
