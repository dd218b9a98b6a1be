# SPDX-License-Identifier: Apache-2.0
"""The stock of blank cards: no card leaves it but onto a named card, and two people agree on what is there.

    awaited --two people count--> in stock, missing
    in stock -> assigned -> issued
    whatever is spoilt -> failed --one asks, another watches--> destroyed

A count is blind: whoever counts second does not see the first figure. Where both agree, their figure stands, also
against the delivery note; what is missing then is named by its serial numbers, so that none of it can turn up in use.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from identity.api.desk import cards_problems as kinds
from identity.api.desk.cards_tables import SERIAL_CHARACTERS_MAX, Blank, Delivery, StockCount
from service.problems import Problem
from service.store import Act, Store, new_id

DELIVERY_CARDS_MAX: Final = 5_000
"""Some boxes; each card is a row, written in one transaction that takes a second."""
REFERENCE_CHARACTERS_MAX: Final = 64
LISTED_MAX: Final = 200
"""Rows that a page of the stock shows."""

_SERIAL = re.compile(r"[A-Z0-9][A-Z0-9-]*?([0-9]{1,12})", re.ASCII)


class BlankState(StrEnum):
    """Where a blank card is."""

    AWAITED = "awaited"
    """Delivered, not counted."""
    IN_STOCK = "in-stock"
    ASSIGNED = "assigned"
    """Named for a card that is being made."""
    ISSUED = "issued"
    FAILED = "failed"
    """Spoilt; to be destroyed."""
    MISSING = "missing"
    DESTROYED = "destroyed"


class CountState(StrEnum):
    """How far a count has come."""

    OPEN = "open"
    AGREED = "agreed"
    DIFFERS = "differs"
    """The two figures differ from each other: it is counted anew."""
    SHORT = "short"
    """Both agree on fewer cards than there should be: the missing ones are to be named."""


_AFTER: Final[Mapping[BlankState, frozenset[BlankState]]] = {
    BlankState.AWAITED: frozenset({BlankState.IN_STOCK, BlankState.MISSING}),
    BlankState.IN_STOCK: frozenset({BlankState.ASSIGNED, BlankState.MISSING, BlankState.FAILED}),
    BlankState.ASSIGNED: frozenset({BlankState.IN_STOCK, BlankState.ISSUED, BlankState.FAILED}),
    BlankState.ISSUED: frozenset({BlankState.FAILED}),
    BlankState.FAILED: frozenset({BlankState.DESTROYED}),
    BlankState.MISSING: frozenset({BlankState.FAILED}),  # one that turns up is never used
    BlankState.DESTROYED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Figures:
    """How many blank cards are where."""

    by_state: Mapping[BlankState, int]

    def of(self, state: BlankState) -> int:
        """How many are in one state."""
        return self.by_state.get(state, 0)


def serials_of(first: str, count: int) -> list[str]:
    """The serial numbers of a box, from its first: the figures at its end count up and keep their width.

    Raises:
        Problem: It has no figures at its end, or they would grow wider.
    """
    match = _SERIAL.fullmatch(first)
    if match is None or len(first) > SERIAL_CHARACTERS_MAX:
        raise Problem(kinds.SERIAL)
    head, figures = first[: match.start(1)], match[1]
    if len(str(int(figures) + count - 1)) > len(figures):
        raise Problem(kinds.SERIAL)
    return [f"{head}{int(figures) + i:0{len(figures)}d}" for i in range(count)]


def receive(store: Store, session: Session, actor: str, reference: str, first: str, count: int, now_ms: int) -> str:
    """Take in a box: its cards are awaited until two people have counted them.

    Args:
        store: Of the session.
        session: A transaction that writes.
        actor: Random id of who receives it.
        reference: What the delivery note is called.
        first: Serial number of the first card; the others follow.
        count: How many the delivery note says; 1 to 5,000.
        now_ms: Unix time.

    Returns:
        Id of the count that is to be done.

    Raises:
        Problem: A serial number is not as it must be, or known already.
    """
    if not 1 <= count <= DELIVERY_CARDS_MAX or not 1 <= len(reference.strip()) <= REFERENCE_CHARACTERS_MAX:
        raise Problem(kinds.FIGURE, {"max": DELIVERY_CARDS_MAX})
    serials = serials_of(first, count)
    if session.scalar(select(func.count()).select_from(Blank).where(Blank.serial.in_(serials))):
        raise Problem(kinds.SERIAL_TAKEN)
    delivery = Delivery(
        id=new_id(),
        reference=reference.strip(),
        first_serial=first,
        announced=count,
        received_by=actor,
        received_ms=now_ms,
    )
    session.add(delivery)
    session.flush()
    session.add_all(
        Blank(serial=serial, delivery_id=delivery.id, state=BlankState.AWAITED, since_ms=now_ms) for serial in serials
    )
    store.record(session, Act(actor, "stock.received", delivery.id))
    return _open(session, delivery.id, count, now_ms)


def open_count(store: Store, session: Session, actor: str, now_ms: int) -> str:
    """Begin a count of all blank cards in stock; one at a time.

    Returns:
        Its id.
    """
    running = session.scalar(
        select(StockCount).where(StockCount.delivery_id.is_(None), StockCount.state == CountState.OPEN)
    )
    if running is not None:
        return running.id
    count_id = _open(session, None, figures(session).of(BlankState.IN_STOCK), now_ms)
    store.record(session, Act(actor, "stock.count-opened", count_id))
    return count_id


def enter_figure(store: Store, session: Session, actor: str, count_id: str, figure: int, now_ms: int) -> CountState:
    """Enter what one of the two counted.

    Returns:
        Where the count stands then.

    Raises:
        Problem: There is no such count, it is over, the same person counted already, or the figure is none.
    """
    row = session.scalar(select(StockCount).where(StockCount.id == count_id).with_for_update())
    if row is None:
        raise Problem(kinds.UNKNOWN_BLANK)
    if row.state != CountState.OPEN:
        raise Problem(kinds.COUNT_OVER)
    if not 0 <= figure <= row.expected:  # what is too many belongs to no delivery, and is received by itself
        raise Problem(kinds.FIGURE, {"max": row.expected})
    if row.first_by is None:
        row.first_by, row.first_figure = actor, figure
        store.record(session, Act(actor, "stock.counted-first", count_id))
        return CountState.OPEN
    if row.first_by == actor:
        raise Problem(kinds.SECOND_PERSON)
    row.second_by, row.second_figure, row.settled_ms = actor, figure, now_ms
    store.record(session, Act(actor, "stock.counted-second", count_id))
    if figure != row.first_figure:
        row.state = CountState.DIFFERS
        again = _open(session, row.delivery_id, row.expected, now_ms)
        store.record(session, Act(actor, "stock.count-differs", again))
    elif figure < row.expected:
        row.state = CountState.SHORT
    else:
        _agree(session, row, now_ms)
    session.flush()
    return CountState(row.state)


def name_missing(
    store: Store, session: Session, actor: str, count_id: str, serials: Sequence[str], now_ms: int
) -> None:
    """Name the cards that a count found missing; the others are there.

    Raises:
        Problem: The count is not short, or the numbers are not exactly as many of its cards as are missing.
    """
    row = session.scalar(select(StockCount).where(StockCount.id == count_id).with_for_update())
    if row is None or row.state != CountState.SHORT or row.second_figure is None:
        raise Problem(kinds.COUNT_OVER)
    missing = sorted(set(serials))
    wanted = BlankState.AWAITED if row.delivery_id else BlankState.IN_STOCK
    query = select(Blank).where(Blank.serial.in_(missing), Blank.state == wanted)
    if row.delivery_id:
        query = query.where(Blank.delivery_id == row.delivery_id)
    found = session.scalars(query).all()
    if len(missing) != row.expected - row.second_figure or len(found) != len(missing):
        raise Problem(kinds.MISSING_LIST, {"count": row.expected - row.second_figure})
    for blank in found:
        blank.state, blank.since_ms = BlankState.MISSING, now_ms
    session.flush()
    store.record(session, Act(actor, "stock.missing-named", count_id))
    _agree(session, row, now_ms)


def assign(session: Session, card_id: str, now_ms: int, serial: str | None = None) -> str:
    """Take a blank card out of the stock for a card that is to be made.

    Args:
        session: A transaction that writes.
        card_id: Which card.
        now_ms: Unix time.
        serial: A certain one, as read from the reader; None: the one that has lain longest.

    Raises:
        Problem: There is none left, or that one is not in stock.
    """
    if serial is not None:
        blank = _held(session, serial)
        _move(blank, BlankState.ASSIGNED, now_ms)
    else:
        query = select(Blank).where(Blank.state == BlankState.IN_STOCK).order_by(Blank.since_ms, Blank.serial).limit(1)
        found = session.scalar(query.with_for_update(skip_locked=True))
        if found is None:
            raise Problem(kinds.NO_BLANK)
        blank = found
        _move(blank, BlankState.ASSIGNED, now_ms)
    blank.card_id = card_id
    session.flush()
    return blank.serial


def put_back(session: Session, serial: str, now_ms: int) -> None:
    """A card that was assigned and never touched goes back into the stock.

    Raises:
        Problem: It is not assigned.
    """
    blank = _held(session, serial)
    _move(blank, BlankState.IN_STOCK, now_ms)
    blank.card_id = None


def issued(session: Session, serial: str, now_ms: int) -> None:
    """An assigned card is somebody's now.

    Raises:
        Problem: It is not assigned.
    """
    _move(_held(session, serial), BlankState.ISSUED, now_ms)


def fail(store: Store, session: Session, actor: str, serial: str, now_ms: int) -> None:
    """A card is spoilt, came back, or turned up: it is to be destroyed.

    Raises:
        Problem: There is no such card, or it is destroyed already.
    """
    blank = _held(session, serial)
    if blank.state == BlankState.FAILED:
        return
    _move(blank, BlankState.FAILED, now_ms)
    store.record(session, Act(actor, "stock.spoilt", "-"))


def ask_destroying(store: Store, session: Session, actor: str, serial: str) -> None:
    """Ask for a spoilt card to be destroyed, under another person's eyes.

    Raises:
        Problem: It is not spoilt.
    """
    blank = _held(session, serial)
    if blank.state != BlankState.FAILED:
        raise Problem(kinds.BLANK_STATE)
    blank.destroy_asked_by = actor
    store.record(session, Act(actor, "stock.destroying-asked", "-"))


def destroy(store: Store, session: Session, actor: str, serial: str, now_ms: int) -> None:
    """Confirm that a card was destroyed, as the second person.

    Raises:
        Problem: Nobody asked for it, or it was the same person.
    """
    blank = _held(session, serial)
    if blank.destroy_asked_by is None:
        raise Problem(kinds.BLANK_STATE)
    if blank.destroy_asked_by == actor:
        raise Problem(kinds.SECOND_PERSON)
    _move(blank, BlankState.DESTROYED, now_ms)
    store.record(session, Act(actor, "stock.destroyed", "-"))


def figures(session: Session) -> Figures:
    """How many blank cards are where."""
    rows = session.execute(select(Blank.state, func.count()).group_by(Blank.state)).all()
    return Figures({BlankState(state): count for state, count in rows})


def is_any_left(session: Session) -> bool:
    """Whether a blank card is in stock."""
    return session.scalar(select(Blank.serial).where(Blank.state == BlankState.IN_STOCK).limit(1)) is not None


def listed(session: Session, state: BlankState) -> Sequence[Blank]:
    """Cards in one state, the latest first; at most 200."""
    query = select(Blank).where(Blank.state == state).order_by(Blank.since_ms.desc(), Blank.serial)
    return session.scalars(query.limit(LISTED_MAX)).all()


def counts(session: Session) -> Sequence[tuple[StockCount, Delivery | None]]:
    """Counts with their deliveries, the latest first; at most 200."""
    query = select(StockCount, Delivery).outerjoin(Delivery, StockCount.delivery_id == Delivery.id)
    query = query.order_by(StockCount.opened_ms.desc(), StockCount.id).limit(LISTED_MAX)
    return [(row, delivery) for row, delivery in session.execute(query).all()]


def _open(session: Session, delivery_id: str | None, expected: int, now_ms: int) -> str:
    row = StockCount(id=new_id(), delivery_id=delivery_id, state=CountState.OPEN, expected=expected, opened_ms=now_ms)
    session.add(row)
    session.flush()
    return row.id


def _agree(session: Session, row: StockCount, now_ms: int) -> None:
    """Both figures stand: what was awaited is in stock."""
    row.state, row.settled_ms = CountState.AGREED, now_ms
    if row.delivery_id is None:
        return
    awaited = (Blank.delivery_id == row.delivery_id) & (Blank.state == BlankState.AWAITED)
    session.execute(update(Blank).where(awaited).values(state=BlankState.IN_STOCK, since_ms=now_ms))


def _held(session: Session, serial: str) -> Blank:
    """A blank card's row, held until the transaction ends.

    Raises:
        Problem: There is none of this number.
    """
    blank = session.scalar(select(Blank).where(Blank.serial == serial).with_for_update())
    if blank is None:
        raise Problem(kinds.UNKNOWN_BLANK)
    return blank


def _move(blank: Blank, to: BlankState, now_ms: int) -> None:
    """Change a card's state, if it follows the present one.

    Raises:
        Problem: It does not.
    """
    if to not in _AFTER[BlankState(blank.state)]:
        raise Problem(kinds.BLANK_STATE)
    blank.state, blank.since_ms = to, now_ms
