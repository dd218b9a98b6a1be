# SPDX-License-Identifier: Apache-2.0
"""Cards of persons: asked for, made, bound on the ledger, given, stopped and ended; each step in the history.

A key counts by what stands on the ledger, so `observe` brings a card's row to what the ledger says: the row is never
ahead of it. What is done to a card itself is written down before it is begun and when it is done; see `cards_making`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from identity.api.desk import cards_problems as kinds
from identity.api.desk import stock
from identity.api.desk.base import DeskContext
from identity.api.desk.cards_history import NOBODY, keep_receipts, note
from identity.api.desk.cards_keys import BoundKey
from identity.api.desk.cards_life import (
    BOUND_KEYS,
    COUNTS,
    LIVING,
    CardState,
    CardStep,
    StepRefused,
    after,
)
from identity.api.desk.cards_people import Registered, registered
from identity.api.desk.cards_tables import Card
from identity.api.desk.tables import DeskPerson
from identity.pb import identity_pb2 as pb
from identity.registrations import load_person, person_key
from service.problems import Problem
from service.sign_in.sessions import Officer
from service.store import Act, new_id
from service.store.audit import SYSTEM

LISTED_MAX: Final = 200
"""Cards of one state that a page lists."""


class Reason(StrEnum):
    """Why a card is asked for."""

    FIRST = "first"
    LOST = "lost"
    DAMAGED = "damaged"
    NAME_CHANGED = "name-changed"
    EXPIRING = "expiring"


@dataclass(frozen=True, slots=True)
class Opened:
    """A card as a page shows it, with what is sealed."""

    id: str
    person_id: str
    state: CardState
    reason: Reason
    serial: str | None
    replaces: str | None
    requested_ms: int
    since_ms: int
    expires_ms: int | None
    ending_ms: int | None
    guid: str | None
    keys: Sequence[BoundKey]

    @property
    def is_ending(self) -> bool:
        """Whether its holder has the card that replaces it: what is left is to end its keys."""
        return self.ending_ms is not None

    @property
    def commitments(self) -> list[bytes]:
        """Of all keys that are bound."""
        return [key.commitment for key in self.keys]


def request(desk: DeskContext, officer: Officer, person_id: str, reason: Reason, replaces: str | None = None) -> str:
    """Ask for a card for somebody registered; a second one only in the place of the first.

    Returns:
        The card's id.

    Raises:
        Problem: The person is not registered here, has a card that this one does not replace, or lost one whose keys
            still count: that one is stopped first.
    """
    with desk.store.write() as session:
        return request_in(desk, session, officer, person_id, reason, replaces)


def request_in(
    desk: DeskContext,
    session: Session,
    officer: Officer,
    person_id: str,
    reason: Reason,
    replaces: str | None = None,
) -> str:
    """The same within a transaction that writes. Raises as `request` does."""
    registered(desk, session, officer.organisation, person_id, held=True)
    held = session.scalars(select(Card).where(Card.person_id == person_id).with_for_update()).all()
    living = {row.id for row in held if row.state in LIVING and row.ending_ms is None}
    known = {row.id for row in held if row.state in BOUND_KEYS}
    if replaces is not None and replaces not in known:
        raise Problem(kinds.UNKNOWN_CARD)
    if living - {replaces} or (replaces is None) != (reason is Reason.FIRST):
        raise Problem(kinds.HAS_CARD)
    if reason is Reason.LOST and any(row.id == replaces and row.state in COUNTS for row in held):
        raise Problem(kinds.STOP_FIRST)
    row = Card(
        id=new_id(),
        person_id=person_id,
        state=CardState.REQUESTED,
        reason=reason,
        replaces=replaces,
        requested_by=officer.staff_id,
        requested_ms=desk.now(),
        since_ms=desk.now(),
    )
    session.add(row)
    session.flush()
    note(desk, session, row, "request", row.state, officer.staff_id)
    desk.record(session, officer, "card.requested", row.id)
    return row.id


def own(session: Session, organisation: str, card_id: str, *, held: bool = False) -> Card:
    """A card's row.

    Raises:
        Problem: There is none of this id at this organisation.
    """
    query = _of(organisation).where(Card.id == card_id)
    row = session.scalar(query.with_for_update(of=Card) if held else query)
    if row is None:
        raise Problem(kinds.UNKNOWN_CARD)
    return row


def opened(desk: DeskContext, session: Session, organisation: str, card_id: str) -> Opened:
    """A card with what is sealed. Who shows it has called `looking_up.require_reason` for its person.

    Raises:
        Problem: There is none of this id at this organisation.
    """
    return read(desk, session, own(session, organisation, card_id))


def opened_with_holder(desk: DeskContext, organisation: str, card_id: str) -> tuple[Opened, Registered]:
    """A card and its registered holder, in a transaction of their own.

    Raises:
        Problem: There is none of this id at this organisation, or its holder is not registered, or no longer.
    """
    with desk.store.read() as session:
        card = opened(desk, session, organisation, card_id)
        return card, registered(desk, session, organisation, card.person_id)


def read(desk: DeskContext, session: Session, row: Card) -> Opened:
    """A card's row, opened."""
    people = desk.store.people
    keys = json.loads(people.open(session, row, Card.keys) or "[]")
    return Opened(
        row.id,
        row.person_id,
        CardState(row.state),
        Reason(row.reason),
        row.serial,
        row.replaces,
        row.requested_ms,
        row.since_ms,
        row.expires_ms,
        row.ending_ms,
        people.open(session, row, Card.guid),
        [BoundKey(**key) for key in keys],
    )


def keep_keys(desk: DeskContext, session: Session, row: Card, guid: bytes, keys: Sequence[BoundKey]) -> None:
    """Write down the keys that were made on a card, before anybody can rely on them."""
    desk.store.people.seal(session, row, Card.guid, guid.hex())
    desk.store.people.seal(session, row, Card.keys, json.dumps([asdict(key) for key in keys]))


def find_by_guid(desk: DeskContext, session: Session, organisation: str, guid: bytes) -> Card | None:
    """The card in a reader, by what it says of itself."""
    rows = desk.store.people.find(session, Card.guid, guid.hex())
    return session.scalar(_of(organisation).where(Card.id.in_(rows)))


def of_person(session: Session, person_id: str) -> Sequence[Card]:
    """Somebody's cards, the latest first."""
    query = select(Card).where(Card.person_id == person_id).order_by(Card.requested_ms.desc(), Card.id)
    return session.scalars(query.limit(LISTED_MAX)).all()


def in_state(session: Session, organisation: str, *states: CardState) -> Sequence[Card]:
    """Cards that wait in one of these states, the longest waiting first."""
    query = _of(organisation).where(Card.state.in_(states)).order_by(Card.since_ms, Card.id)
    return session.scalars(query.limit(LISTED_MAX)).all()


def waiting(session: Session, organisation: str) -> int:
    """How many cards wait for somebody at the desk."""
    states = (CardState.REQUESTED, CardState.PERSONALISED, CardState.BOUND, CardState.PRINTED)
    found = _of(organisation).where(Card.state.in_(states)).with_only_columns(func.count())
    return session.scalar(found) or 0


def step(
    desk: DeskContext,
    session: Session,
    row: Card,
    what: CardStep,
    officer: Officer | None,
    *,
    receipt: bytes | None = None,
) -> CardState:
    """Take a step in a card's life and write it down, in the transaction of what it tells about.

    Args:
        desk: Which desk.
        session: A transaction that writes and holds the row.
        row: The card.
        what: The step.
        officer: Who takes it; None: the ledger says that it was taken.
        receipt: Proves it, if the service itself sent it to the ledger.

    Raises:
        Problem: The step does not follow the card's state.
    """
    before = CardState(row.state)
    try:
        state = after(before, what, None if row.suspended_from is None else CardState(row.suspended_from))
    except StepRefused:
        raise Problem(kinds.STEP) from None
    row.suspended_from = before if what is CardStep.SUSPEND else None
    if state not in BOUND_KEYS:
        row.ending_ms = None
    row.state, row.since_ms = state, desk.now()
    note(desk, session, row, what, state, NOBODY if officer is None else officer.staff_id, receipt=receipt)
    desk.store.record(session, Act(SYSTEM if officer is None else officer.person_id, f"card.{what}", row.id))
    return state


def cancel(desk: DeskContext, officer: Officer, card_id: str) -> None:
    """Nobody wants the card any more; a blank that was touched is spoilt, one that was not goes back.

    Raises:
        Problem: Its keys are bound already, or may be: the proposal is to be withdrawn first.
    """
    with desk.store.write() as session:
        row = own(session, officer.organisation, card_id, held=True)
        was = CardState(row.state)
        step(desk, session, row, CardStep.CANCEL, officer)
        if row.serial is not None:
            if was is CardState.REQUESTED and row.work is None:
                stock.put_back(session, row.serial, desk.now())
                row.serial = None
            else:
                stock.fail(desk.store, session, officer.staff_id, row.serial, desk.now())
        forget_secrets(desk, session, row)


def destroy(desk: DeskContext, officer: Officer, card_id: str) -> None:
    """A card whose keys are over is spoilt: it goes among those that two people destroy.

    Raises:
        Problem: A key of it may still count.
    """
    with desk.store.write() as session:
        row = own(session, officer.organisation, card_id, held=True)
        step(desk, session, row, CardStep.DESTROY, officer)
        if row.serial is not None:
            stock.fail(desk.store, session, officer.staff_id, row.serial, desk.now())


def forget_secrets(desk: DeskContext, session: Session, row: Card) -> None:
    """What the PIN letter says, and how far the making had come, is kept no longer than needed."""
    desk.store.people.seal(session, row, Card.letter, None)
    desk.store.people.seal(session, row, Card.work, None)


# ---------------------------------------------------------------- what the ledger says


async def on_ledger(desk: DeskContext, registration: bytes) -> pb.PersonRecord | None:
    """What the ledger says of a registration, proven.

    Raises:
        TransportError: No node gives an answer that verifies and is fresh.
    """
    proven = await desk.ledger.read([person_key(registration)])
    return load_person(proven.values.get, registration)


def observe(desk: DeskContext, organisation: str, card_id: str, record: pb.PersonRecord | None) -> CardState:
    """Bring a card's row to what the ledger says of its keys.

    Returns:
        The state that it is in now.
    """
    with desk.store.write() as session:
        row = own(session, organisation, card_id, held=True)
        return observe_in(desk, session, row, record)


def observe_in(desk: DeskContext, session: Session, row: Card, record: pb.PersonRecord | None) -> CardState:
    """The same within a transaction that writes and holds the row."""
    keep_receipts(desk, session, row)
    mine = read(desk, session, row).commitments
    suspended = {key.commitment: key.suspended for key in record.keys} if record is not None else {}
    here = [suspended[one] for one in mine if one in suspended]
    state = CardState(row.state)
    if mine and state is CardState.PERSONALISED and len(here) == len(mine):
        state = step(desk, session, row, CardStep.BIND, None)
        _end_replaced(desk, session, row, suspended)
    if state in BOUND_KEYS and not here:
        by_another = select(Card.id).where(Card.replaces == row.id, Card.state.in_(BOUND_KEYS))
        is_replaced = row.ending_ms is not None or session.scalar(by_another) is not None
        return step(desk, session, row, CardStep.REPLACE if is_replaced else CardStep.REVOKE, None)
    if state in COUNTS and here and all(here):
        return step(desk, session, row, CardStep.SUSPEND, None)
    if state is CardState.SUSPENDED and here and not any(here):
        return step(desk, session, row, CardStep.REINSTATE, None)
    return state


def expire_due(desk: DeskContext, session: Session, organisation: str) -> int:
    """Cards whose last day is over expire; their keys are to be ended by an officer.

    Returns:
        How many.
    """
    query = _of(organisation).where(Card.expires_ms <= desk.now(), Card.state.in_(COUNTS | {CardState.SUSPENDED}))
    rows = session.scalars(query.limit(LISTED_MAX).with_for_update(of=Card)).all()
    for row in rows:
        step(desk, session, row, CardStep.EXPIRE, None)
    return len(rows)


def _end_replaced(desk: DeskContext, session: Session, row: Card, standing: Mapping[bytes, bool]) -> None:
    """The card that this one replaces is over once the ledger has none of its keys."""
    if row.replaces is None:
        return
    old = session.scalar(select(Card).where(Card.id == row.replaces).with_for_update())
    if old is None or old.state not in BOUND_KEYS:
        return
    if not any(one in standing for one in read(desk, session, old).commitments):
        step(desk, session, old, CardStep.REPLACE, None)


def _of(organisation: str) -> Select[Card]:
    """Cards of an organisation's persons."""
    mine = DeskPerson.person_id == Card.person_id
    return select(Card).join(DeskPerson, mine).where(DeskPerson.organisation == organisation)
