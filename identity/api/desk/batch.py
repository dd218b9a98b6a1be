# SPDX-License-Identifier: Apache-2.0
"""Cards for many people from a CSV file: each line checked before the first card is made, gone on with after a kill.

The file names people who are registered already, by name and number; neither is kept. A line is ready, done, or failed
with a reason; what was under way when the process died is found by its card and gone on with. Keys are bound in acts of
many.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from chain.transaction import Operation
from identity.api.desk import batch_problems as kinds
from identity.api.desk import cards, cards_binding, cards_making, stock
from identity.api.desk.base import DeskContext
from identity.api.desk.batch_file import Fault, parse
from identity.api.desk.batch_tables import Batch, BatchRow
from identity.api.desk.cards import Reason
from identity.api.desk.cards_history import Signed, note, sentences, words
from identity.api.desk.cards_life import LIVING, CardState
from identity.api.desk.cards_people import registered
from identity.api.desk.cards_tables import Card as CardRow
from identity.api.desk.looking_up import Reason as Looking
from identity.api.desk.looking_up import note_access
from identity.api.desk.tables import DeskPerson
from identity.cards.card import CardError
from identity.cards.making import Journal, PersonalisedCard
from service.problems import Problem
from service.sign_in.sessions import Officer
from service.store import new_id
from service.store.normal import Normal, normalise

ACT_CARDS_MAX: Final = 40
"""Cards whose keys one act binds: what fits into an act, and what an officer can compare with a list."""
LISTED_MAX: Final = 200


class RowState(StrEnum):
    """How far a line has come."""

    READY = "ready"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a batch has come.

    Attributes:
        faults: How many lines failed for each reason.
    """

    ready: int
    done: int
    failed: int
    faults: Mapping[str, int]

    @property
    def total(self) -> int:
        """Lines of the file."""
        return self.ready + self.done + self.failed


def take(desk: DeskContext, officer: Officer, raw: bytes) -> str:
    """Check a file line by line and keep what is to be done.

    Returns:
        The batch's id.

    Raises:
        Problem: It is no such file.
    """
    lines = list(parse(raw))
    with desk.store.write() as session:
        batch = Batch(
            id=new_id(), organisation=officer.organisation, created_by=officer.staff_id, created_ms=desk.now()
        )
        session.add(batch)
        session.flush()
        for one in lines:
            person_id, fault = (None, one[1]) if len(one) == 2 else _person(desk, session, officer, one[1], one[2])
            row = BatchRow(
                id=new_id(),
                batch_id=batch.id,
                line=one[0],
                state=RowState.READY if fault is None else RowState.FAILED,
                code="" if fault is None else fault,
                person_id=person_id,
            )
            session.add(row)
        desk.record(session, officer, "batch.taken", batch.id)
        return batch.id


def _person(
    desk: DeskContext, session: Session, officer: Officer, name: str, number: str
) -> tuple[str | None, Fault | None]:
    """Whom a line means: somebody registered here of this name and number; nothing tells which of the two differs."""
    people = desk.store.people
    for row_id in people.find(session, DeskPerson.number, number):
        row = session.get(DeskPerson, row_id)
        if row is None or row.organisation != officer.organisation:
            continue
        known = people.open(session, row, DeskPerson.name) or ""
        if normalise(Normal.TEXT, known) != normalise(Normal.TEXT, name):
            continue
        try:
            registered(desk, session, officer.organisation, row.person_id)
        except Problem:
            continue
        note_access(desk, session, officer, row.person_id, Looking.CASE)  # a file is no way around answering for a look
        held = select(CardRow.id).where(CardRow.person_id == row.person_id, CardRow.state.in_(LIVING))
        if session.scalar(held.limit(1)) is not None:
            return row.person_id, Fault.HAS_CARD
        return row.person_id, None
    return None, Fault.UNKNOWN


def run(
    desk: DeskContext,
    officer: Officer,
    batch_id: str,
    personalise: Callable[[Journal, str], PersonalisedCard],
    seconds_max: float = 0.0,
) -> Progress:
    """Make the cards of lines that are ready, one after the other, and go on where an earlier run was killed.

    Args:
        desk: Which desk.
        officer: Who runs it.
        batch_id: Which batch.
        personalise: Makes one card from the blank of a serial number, writing each step down.
        seconds_max: How long to go on; 0: to the end.

    Returns:
        How far it has come.

    Raises:
        Problem: There is no such batch here.
    """
    began = time.monotonic()
    with desk.store.read() as session:
        own(session, officer.organisation, batch_id)
        query = select(BatchRow.id).where(BatchRow.batch_id == batch_id, BatchRow.state == RowState.READY)
        waiting = session.scalars(query.order_by(BatchRow.line)).all()
    for row_id in waiting:
        _make(desk, officer, row_id, personalise)
        if seconds_max and time.monotonic() - began > seconds_max:
            break
    with desk.store.write() as session:
        desk.record(session, officer, "batch.run", batch_id)
    with desk.store.read() as session:
        return progress(session, batch_id)


def _make(
    desk: DeskContext, officer: Officer, row_id: str, personalise: Callable[[Journal, str], PersonalisedCard]
) -> None:
    """Make the card of one line."""
    card_id, serial = _begin(desk, officer, row_id)
    if card_id is None:
        return
    # a crash from here on leaves a row that names its card, and a card that names its blank
    try:
        made = personalise(_Sparing(cards_making.StoredJournal(desk, officer.organisation, card_id)), serial)
    except CardError:
        cards_making.give_up(desk, officer, card_id)
        _end(desk, row_id, Fault.CARD)
        return
    with desk.store.write() as session:
        cards_making.finish_in(desk, session, officer, card_id, made)
        row = session.get(BatchRow, row_id)
        assert row is not None, "rows go with their persons alone"
        row.state = RowState.DONE


class _Sparing:
    """A journal that leaves out what `personalise` finds out by itself: whether a card is locked, or done."""

    def __init__(self, journal: cards_making.StoredJournal) -> None:
        self._journal = journal

    def load(self) -> str:
        """What was written last."""
        return self._journal.load()

    def save(self, text: str) -> None:
        """Write it down, if a crash could not be gone on with otherwise."""
        if '"stage": "locked"' not in text and '"stage": "done"' not in text:
            self._journal.save(text)


def _begin(desk: DeskContext, officer: Officer, row_id: str) -> tuple[str | None, str]:
    """Ask for a card and take a blank for it, or find those that an earlier run took; (None, "") if the line fails."""
    with desk.store.write() as session:
        row = session.scalar(select(BatchRow).where(BatchRow.id == row_id).with_for_update())
        if row is None or row.state != RowState.READY or row.person_id is None:
            return None, ""
        if row.card_id is None:
            if not stock.is_any_left(session):
                row.state, row.code = RowState.FAILED, Fault.NO_BLANK
                return None, ""
            try:
                row.card_id = cards.request_in(desk, session, officer, row.person_id, Reason.FIRST)
            except Problem:
                row.state, row.code = RowState.FAILED, Fault.HAS_CARD
                return None, ""
        card = cards.own(session, officer.organisation, row.card_id, held=True)
        if card.state != CardState.REQUESTED:  # somebody went on with it at the counter
            row.state = RowState.DONE if card.state == CardState.PERSONALISED else RowState.FAILED
            return None, ""
        if card.serial is None:
            card.serial = stock.assign(session, card.id, desk.now())
            note(desk, session, card, "begin", card.state, officer.staff_id)
        return row.card_id, card.serial


def _end(desk: DeskContext, row_id: str, fault: Fault) -> None:
    with desk.store.write() as session:
        row = session.get(BatchRow, row_id)
        if row is not None:
            row.state, row.code = RowState.FAILED, fault


# ---------------------------------------------------------------- what pages show


def own(session: Session, organisation: str, batch_id: str) -> Batch:
    """A batch.

    Raises:
        Problem: There is none of this id at this organisation.
    """
    row = session.scalar(select(Batch).where(Batch.id == batch_id, Batch.organisation == organisation))
    if row is None:
        raise Problem(kinds.UNKNOWN)
    return row


def progress(session: Session, batch_id: str) -> Progress:
    """How far a batch has come."""
    query = select(BatchRow.state, BatchRow.code, func.count()).where(BatchRow.batch_id == batch_id)
    states: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    for state, code, count in session.execute(query.group_by(BatchRow.state, BatchRow.code)).all():
        states[state] += count
        if code:
            faults[code] += count
    return Progress(states[RowState.READY], states[RowState.DONE], states[RowState.FAILED], dict(faults))


def listed(session: Session, organisation: str) -> Sequence[Batch]:
    """Batches, the latest first; at most 200."""
    query = select(Batch).where(Batch.organisation == organisation).order_by(Batch.created_ms.desc())
    return session.scalars(query.limit(LISTED_MAX)).all()


def report(session: Session, batch_id: str) -> Sequence[tuple[BatchRow, CardRow | None]]:
    """Every line with its card, in the file's order."""
    query = select(BatchRow, CardRow).outerjoin(CardRow, CardRow.id == BatchRow.card_id)
    query = query.where(BatchRow.batch_id == batch_id).order_by(BatchRow.line)
    return [(row, card) for row, card in session.execute(query).all()]


# ---------------------------------------------------------------- keys of many cards in one act


async def to_propose(desk: DeskContext, officer: Officer, batch_id: str) -> Signed:
    """The act by which the keys of up to 40 personalised cards are proposed.

    Raises:
        Problem: None of the batch's cards waits for that.
        TransportError: The ledger does not answer.
    """
    operations: list[Operation] = []
    for card, registration in await run_in_threadpool(_personalised, desk, officer, batch_id):
        record = await cards.on_ledger(desk, registration)
        await run_in_threadpool(cards.observe, desk, officer.organisation, card.id, record)
        if record is None or record.HasField("proposal") or _stands(card, record):
            continue
        operations += cards_binding.proposal(card, None, registration, record)[0]
        if len(operations) == ACT_CARDS_MAX:
            break
    return _signed("propose", operations)


async def to_confirm(desk: DeskContext, officer: Officer, batch_id: str) -> Signed:
    """The act by which another officer confirms the keys of up to 40 cards, each exactly as the desk has it.

    Raises:
        Problem: None of the batch's cards waits for that.
        TransportError: The ledger does not answer.
    """
    operations: list[Operation] = []
    for card, registration in await run_in_threadpool(_personalised, desk, officer, batch_id):
        record = await cards.on_ledger(desk, registration)
        await run_in_threadpool(cards.observe, desk, officer.organisation, card.id, record)
        if cards_binding.is_proposed(card, None, record):
            operations += cards_binding.confirmation(card, None, registration, record)[0]
        if len(operations) == ACT_CARDS_MAX:
            break
    return _signed("confirm", operations)


def _stands(card: cards.Opened, record: object) -> bool:
    keys = {key.commitment for key in getattr(record, "keys", ())}
    return any(one in keys for one in card.commitments)


def _signed(what: str, operations: Sequence[Operation]) -> Signed:
    if not operations:
        raise Problem(kinds.NOTHING)
    count = len(operations)
    said = words("batch.act-propose", count=count) if what == "propose" else words("batch.act-confirm", count=count)
    return operations, sentences(said, words("batch.act-list"))


def _personalised(desk: DeskContext, officer: Officer, batch_id: str) -> list[tuple[cards.Opened, bytes]]:
    """Cards of a batch whose keys are to be bound, with their holders' registrations."""
    with desk.store.read() as session:
        own(session, officer.organisation, batch_id)
        query = select(CardRow).join(BatchRow, BatchRow.card_id == CardRow.id)
        query = query.where(BatchRow.batch_id == batch_id, CardRow.state == CardState.PERSONALISED)
        rows = session.scalars(query.order_by(BatchRow.line)).all()
        return [
            (
                cards.read(desk, session, row),
                registered(desk, session, officer.organisation, row.person_id).registration,
            )
            for row in rows
        ]
