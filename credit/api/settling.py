# SPDX-License-Identifier: Apache-2.0
"""Brings the private store in step with the ledger: no event without its opening, no opening without its event.

What was drawn counts once the index, which holds certified blocks alone, shows exactly it in its slot; what can no
longer come to be is removed. This is the only way in which an event enters a log here, after a crash as at any other
time: a process killed anywhere goes on with the next round, and each event is taken in once.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from credit.api.base import CreditContext, load_subject
from credit.api.drawing import DONE, EXPIRED, PREPARED, REFUSED, SIGNED
from credit.api.events import Event
from credit.api.slot_index import Slot
from credit.api.subjects import secrets_of
from credit.api.tables import CreditBatch, CreditChange, CreditEvent
from identity.commitments import anchor_of
from service.sign_in.acts import State
from service.sign_in.tables import PreparedAct
from service.store.audit import SYSTEM

BATCHES_MAX: Final = 10_000
"""That one round looks at, oldest first: as many as 25 sources may leave unsigned; each takes a millisecond."""
CHANGES_MAX: Final = 200
"""That one round looks at; the next goes on."""
CORRECTION, OBJECTION = "correction", "objection"


def settle(context: CreditContext, batch_id: str = "") -> int:
    """Take in what the ledger has taken, and let go of what it never will.

    Args:
        context: Which service.
        batch_id: Only this batch; "": all that wait, and all changes.

    Returns:
        How many batches and changes came to an end.
    """
    chosen: ColumnElement[bool] = CreditBatch.state.in_((PREPARED, SIGNED))
    if batch_id:
        chosen &= CreditBatch.id == batch_id
    ended, more = 0, True
    while more:  # a batch may wait for another one's events in the same log
        with context.store.read() as session:
            waiting = session.scalars(
                select(CreditBatch.id).where(chosen).order_by(CreditBatch.created_ms).limit(BATCHES_MAX)
            )
            ids = list(waiting)
        ends = sum(_settle_batch(context, one) for one in ids)
        ended, more = ended + ends, ends > 0 and len(ids) > 1
    return ended if batch_id else ended + settle_changes(context)


def _settle_batch(context: CreditContext, batch_id: str) -> bool:
    """Settle one batch; whether it came to an end."""
    indexed_ms = context.ledger.indexed_ms  # before the slots are read: what is not there by then was not executed
    drafts = select(CreditEvent).where(CreditEvent.batch_id == batch_id, CreditEvent.position.is_(None))
    with context.store.read() as session:
        batch = session.get(CreditBatch, batch_id)
        is_over = batch is None or batch.dies_ms < indexed_ms or _is_refused(session, batch)
        first = session.scalar(drafts.order_by(CreditEvent.id).limit(1))
        slot = None if first is None else _event(context, session, first).slot
        # a transaction does all or nothing: one of its slots tells of all
        if slot is not None and not is_over and not context.index.slots([slot]):
            return False
        events = {row.id: _event(context, session, row) for row in session.scalars(drafts)}
    found = context.index.slots(event.slot for event in events.values())
    with context.turn, context.store.write() as session:
        batch = session.get(CreditBatch, batch_id, with_for_update=True)
        if batch is None or batch.state not in {PREPARED, SIGNED}:
            return False
        by_subject: dict[str, list[CreditEvent]] = {}
        for row in session.scalars(drafts.order_by(CreditEvent.subject_id).with_for_update()):
            by_subject.setdefault(row.subject_id, []).append(row)
        left = sum(
            _settle_subject(context, session, subject_id, own, events, found, is_over=is_over)
            for subject_id, own in by_subject.items()
        )
        if left:
            return False
        taken = session.scalar(select(CreditEvent.id).where(CreditEvent.batch_id == batch_id).limit(1))
        batch.state = DONE if taken is not None else REFUSED if batch.code else EXPIRED
        context.record(session, SYSTEM, f"credit.batch-{batch.state}", batch.id)
    return True


def _is_refused(session: Session, batch: CreditBatch) -> bool:
    """Whether a batch's transaction was executed and did nothing, which a receipt proves.

    What nodes merely refused may still come into a block until its time is over: its openings are kept until then.
    """
    if batch.code and batch.receipt:
        return True
    act = session.get(PreparedAct, batch.act_id) if batch.act_id else None
    return act is not None and act.state == State.REFUSED and act.receipt is not None


def _settle_subject(
    context: CreditContext,
    session: Session,
    subject_id: str,
    drafts: Sequence[CreditEvent],
    events: Mapping[str, Event],
    found: Mapping[bytes, Slot],
    *,
    is_over: bool,
) -> int:
    """Settle one subject's drafts in a batch; how many are left to wait."""
    subject = load_subject(session, subject_id, hold=True)
    waiting = {events[row.id].slot: row for row in drafts}
    free = _free_slot(context, session, subject_id, subject.count)
    if free == b"":
        free = secrets_of(context, session, subject).first_slot
    while (row := waiting.get(free)) is not None:
        event, there = events[row.id], found.get(free)
        if there is None or (there.content, there.number) != (event.commitment, event.number):
            break
        row.position = subject.count
        subject.count += 1
        free = event.opening.next_slot
        del waiting[event.slot]
    left = 0
    for slot, row in waiting.items():
        there = found.get(slot)
        is_own = there is not None and there.content == events[row.id].commitment
        if is_own:  # it follows on another batch's event, which comes first
            left += 1
        elif is_over or there is not None:
            context.store.people.remove(session, row)
        else:
            left += 1
    session.flush()
    return left


def _free_slot(context: CreditContext, session: Session, subject_id: str, count: int) -> bytes:
    """The slot after the last event; b"": there is no event."""
    if count == 0:
        return b""
    last = select(CreditEvent).where(CreditEvent.subject_id == subject_id, CreditEvent.position == count - 1)
    return _event(context, session, session.scalars(last).one()).opening.next_slot


# ---------------------------------------------------------------- corrections and objections


def keep_correction(context: CreditContext, session: Session, row: CreditEvent, after: Event, dies_ms: int) -> None:
    """Keep what opens an event once a correction stands, before anybody signs it."""
    _keep(context, session, row, CORRECTION, [after.opening.content.hex(), after.opening.content_salt.hex()], dies_ms)


def keep_objection(context: CreditContext, session: Session, row: CreditEvent, following: bytes, dies_ms: int) -> None:
    """Keep what objects to an event the next time, before it is objected to."""
    _keep(context, session, row, OBJECTION, [following.hex()], dies_ms)


def _keep(
    context: CreditContext, session: Session, row: CreditEvent, kind: str, parts: list[str], dies_ms: int
) -> None:
    change = CreditChange(person_id=row.person_id, event_id=row.id, kind=kind, dies_ms=dies_ms)
    context.store.people.seal(session, change, CreditChange.content, json.dumps(parts))


def settle_changes(context: CreditContext, event_id: str = "") -> int:
    """Take in corrections and objections that stand on the ledger; how many came to an end.

    Args:
        context: Which service.
        event_id: Only this event's; "": all that wait.
    """
    indexed_ms = context.ledger.indexed_ms
    with context.store.read() as session:
        query = select(CreditChange.id, CreditChange.event_id).order_by(CreditChange.dies_ms).limit(CHANGES_MAX)
        waiting = session.execute(query.where(CreditChange.event_id == event_id) if event_id else query).all()
    return sum(_settle_change(context, change, event, indexed_ms) for change, event in waiting)


def _settle_change(context: CreditContext, change_id: str, event_id: str, indexed_ms: int) -> bool:
    with context.store.read() as session:
        row = session.get(CreditEvent, event_id)
        slot = None if row is None else _event(context, session, row).slot
    there = None if slot is None else context.index.slots([slot]).get(slot)
    with context.store.write() as session:
        change = session.get(CreditChange, change_id, with_for_update=True)
        row = session.get(CreditEvent, event_id, with_for_update=True)
        if change is None or row is None:
            return False
        event = _event(context, session, row)
        parts = [bytes.fromhex(part) for part in json.loads(_opened(context, session, change))]
        after = event.with_content(*parts) if change.kind == CORRECTION else replace(event, objection=parts[0])
        stands = there is not None and (
            there.content == after.commitment
            if change.kind == CORRECTION
            else there.objection == anchor_of(after.objection)
        )
        if stands:
            context.store.people.seal(session, row, CreditEvent.content, after.encode())
        if stands or change.dies_ms < indexed_ms:
            context.store.people.remove(session, change)
            return True
    return False


def _opened(context: CreditContext, session: Session, change: CreditChange) -> str:
    return context.store.people.open(session, change, CreditChange.content) or "[]"


def _event(context: CreditContext, session: Session, row: CreditEvent) -> Event:
    return Event.decode(context.store.people.open(session, row, CreditEvent.content) or "")
