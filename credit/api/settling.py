# SPDX-License-Identifier: Apache-2.0
"""Brings the private store in step with the ledger: no event without its opening, no opening without its event.

What was drawn counts once the index, which holds certified blocks alone, shows exactly it in its slot; what can no
longer come to be is removed. This is the only way in which an event enters a log here, after a crash as at any other
time: a process killed anywhere goes on with the next round, and each event is taken in once.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, cast

from sqlalchemy import ColumnElement, Table, bindparam, select, update
from sqlalchemy.orm import Session

from credit.api.base import CreditContext
from credit.api.drawing import DONE, EXPIRED, PREPARED, REFUSED, SIGNED
from credit.api.events import Event
from credit.api.subjects import ends
from credit.api.tables import CreditBatch, CreditChange, CreditEvent, CreditSubject
from credit.api.telling import owe_recorded
from credit.slots import SEVERITIES
from identity.commitments import anchor_of
from service.sign_in.acts import State
from service.sign_in.tables import PreparedAct
from service.store.audit import SYSTEM
from service.store.engine import execute_many

BATCHES_MAX: Final = 10_000
"""That one round looks at, oldest first: as many as 25 sources may leave unsigned; each takes a millisecond."""
CHANGES_MAX: Final = 200
"""That one round looks at; the next goes on."""
CODE_CHARACTERS: Final = 64
CORRECTION, OBJECTION = "correction", "objection"
_EVENT_TABLE: Final = cast("Table", CreditEvent.__table__)
_SUBJECT_TABLE: Final = cast("Table", CreditSubject.__table__)
_EVENTS: Final = _EVENT_TABLE.c
_PLACE: Final = update(_EVENT_TABLE).where(_EVENTS.id == bindparam("row")).values(position=bindparam("place"))
_COUNT: Final = update(_SUBJECT_TABLE).where(_SUBJECT_TABLE.c.id == bindparam("row")).values(count=bindparam("length"))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the ledger answered about a batch.

    Attributes:
        code: Of the rule that refused it, or ""; without a receipt, some nodes' refusal, which proves nothing.
        receipt: That it was executed; b"": nothing proves it.
    """

    code: str
    receipt: bytes


def settle(context: CreditContext, batch_id: str = "", outcome: Outcome | None = None) -> int:
    """Take in what the ledger has taken, and let go of what it never will.

    Args:
        context: Which service.
        batch_id: Only this batch; "": all that wait, and all changes.
        outcome: What the ledger answered about this batch, to be kept with it.

    Returns:
        How many batches and changes came to an end.
    """
    if batch_id:
        return int(_settle_batch(context, batch_id, outcome))
    chosen = CreditBatch.state.in_((PREPARED, SIGNED))
    ended, more = 0, True
    while more:  # a batch may wait for another one's events in the same log
        with context.store.read() as session:
            waiting = session.scalars(
                select(CreditBatch.id).where(chosen).order_by(CreditBatch.created_ms).limit(BATCHES_MAX)
            )
            ids = list(waiting)
        ends_now = sum(_settle_batch(context, one, None) for one in ids)
        ended, more = ended + ends_now, ends_now > 0 and len(ids) > 1
    return ended + settle_changes(context)


def _settle_batch(context: CreditContext, batch_id: str, outcome: Outcome | None) -> bool:
    """Settle one batch; whether it came to an end."""
    indexed_ms = context.ledger.indexed_ms  # before the slots are read: what is not there by then was not executed
    events = context.drafts.events(batch_id)
    if outcome is None and _is_waiting(context, batch_id, events, indexed_ms):
        return False
    events = _drafted(context, batch_id) if events is None else events
    found = context.index.standing(event.slot for event in events.values())
    with context.turn, context.store.write() as session:
        batch = session.get(CreditBatch, batch_id, with_for_update=True)
        if batch is None:
            return False
        if outcome is not None:
            batch.code, batch.receipt = outcome.code[:CODE_CHARACTERS], outcome.receipt
        is_over = batch.dies_ms < indexed_ms or _is_refused(session, batch, outcome)
        if batch.state not in {PREPARED, SIGNED} or (events and not found and not is_over):
            return False
        if _settle_drafts(context, session, batch_id, events, found, is_over=is_over):
            return False
        taken = session.scalar(select(_EVENTS.id).where(_EVENTS.batch_id == batch_id).limit(1))
        batch.state = DONE if taken is not None else REFUSED if batch.code else EXPIRED
        context.record(session, SYSTEM, f"credit.batch-{batch.state}", batch.id)
    context.drafts.forget(batch_id)
    return True


def _is_waiting(context: CreditContext, batch_id: str, events: Mapping[str, Event] | None, indexed_ms: int) -> bool:
    """Whether nothing can be said of a batch yet: it is not on the ledger, and may still come there."""
    with context.store.read() as session:
        batch = session.get(CreditBatch, batch_id)
        if batch is None or batch.dies_ms < indexed_ms or _is_refused(session, batch, None):
            return False
        if events is None:
            first = session.scalar(select(CreditEvent).where(_draft_of(batch_id)).order_by(CreditEvent.id).limit(1))
            slots = [] if first is None else [_event(context, session, first).slot]
        else:
            slots = [event.slot for event in events.values()][:1]
    # a transaction does all or nothing: one of its slots tells of all
    return bool(slots) and not context.index.standing(slots)


def _drafted(context: CreditContext, batch_id: str) -> dict[str, Event]:
    """A batch's events without a place, by their rows, from the store."""
    with context.store.read() as session:
        rows = session.scalars(select(CreditEvent).where(_draft_of(batch_id))).all()
        context.store.people.fetch(session, [row.person_id for row in rows])
        return {row.id: _event(context, session, row) for row in rows}


def _draft_of(batch_id: str) -> ColumnElement[bool]:
    return (CreditEvent.batch_id == batch_id) & CreditEvent.position.is_(None)


def _is_refused(session: Session, batch: CreditBatch, outcome: Outcome | None) -> bool:
    """Whether a batch's transaction was executed and did nothing, which a receipt proves.

    What nodes merely *refused* may still come into a block until its time is over: its openings are kept until then.
    """
    known = Outcome(batch.code, batch.receipt) if outcome is None else outcome
    if known.code and known.receipt:
        return True
    act = session.get(PreparedAct, batch.act_id) if batch.act_id else None
    return act is not None and act.state == State.REFUSED and act.receipt is not None


def _settle_drafts(
    context: CreditContext,
    session: Session,
    batch_id: str,
    events: Mapping[str, Event],
    found: Mapping[bytes, tuple[int, bytes]],
    *,
    is_over: bool,
) -> int:
    """Give a batch's events their places and remove what will have none; how many are left to wait."""
    drafts = select(_EVENTS.id, _EVENTS.subject_id).where(_EVENTS.batch_id == batch_id, _EVENTS.position.is_(None))
    by_subject: dict[str, list[str]] = {}
    for row_id, subject_id in session.execute(drafts):
        if row_id in events:
            by_subject.setdefault(subject_id, []).append(row_id)
    logs = ends(context, session, by_subject, hold=True)
    placed: list[dict[str, object]] = []
    counts: list[dict[str, object]] = []
    against: set[str] = set()
    left = 0
    for subject_id, row_ids in by_subject.items():
        free, count = logs[subject_id].free, logs[subject_id].count
        waiting = {events[row_id].slot: row_id for row_id in row_ids}
        while free in waiting and _stands(events[waiting[free]], found.get(free)):
            row_id = waiting.pop(free)
            placed.append({"row": row_id, "place": count})
            if events[row_id].content.severity != SEVERITIES[0]:
                against.add(subject_id)
            count += 1
            free = events[row_id].opening.next_slot
        if count != logs[subject_id].count:
            counts.append({"row": subject_id, "length": count})
        for slot, row_id in waiting.items():
            # what stands and has no place yet follows on another batch's event, which comes first
            if not _stands(events[row_id], found.get(slot)) and (is_over or slot in found):
                gone = session.get(CreditEvent, row_id)
                assert gone is not None, "it was just read"
                context.store.people.remove(session, gone)
            else:
                left += 1
    connection = session.connection()
    execute_many(connection, _PLACE, placed)
    execute_many(connection, _COUNT, counts)
    owe_recorded(context, session, against)
    return left


def _stands(event: Event, there: tuple[int, bytes] | None) -> bool:
    """Whether the ledger holds exactly this event: its class and its content."""
    return there == (event.number, event.commitment)


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
