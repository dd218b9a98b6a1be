# SPDX-License-Identifier: Apache-2.0
"""Scores of many, from the index: for overviews and figures. What is decided about somebody is decided on a report."""

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from credit.api.base import CreditContext
from credit.api.events import Event
from credit.api.tables import CreditEvent, CreditSubject
from credit.pb import credit_pb2 as pb
from credit.report import STATUS_NAMES, published_days_max
from credit.score import Event as ScoredEvent
from service.errors import PersonErased

ROWS_MAX = 500
"""Subjects of one call: the values of one IN (...), and some hundredths of a second."""


def scored_events(
    context: CreditContext, session: Session, rows: Sequence[CreditSubject]
) -> Mapping[str, list[ScoredEvent]]:
    """What the score takes of each subject's events, by the subject's id; who was erased meanwhile is left out.

    Args:
        context: Which service.
        session: In which the rows were read.
        rows: At most 500 subjects.
    """
    assert len(rows) <= ROWS_MAX, "callers go step by step"
    context.store.people.fetch(session, [row.person_id for row in rows])  # one question instead of one for each
    found: dict[str, list[Event]] = {row.id: [] for row in rows}
    query = select(CreditEvent).where(CreditEvent.subject_id.in_(found), CreditEvent.position.is_not(None))
    for row in session.scalars(query.order_by(CreditEvent.subject_id, CreditEvent.position)):
        try:
            text = context.store.people.open(session, row, CreditEvent.content)
        except PersonErased:
            found.pop(row.subject_id, None)
            continue
        if row.subject_id in found:
            found[row.subject_id].append(Event.decode(text or ""))
    slots = context.index.slots(event.slot for events in found.values() for event in events)
    classes: dict[tuple[int, int], pb.PutClass | None] = {}
    scored: dict[str, list[ScoredEvent]] = {}
    for subject_id, events in found.items():
        scored[subject_id] = []
        for event in events:
            if event.slot not in slots:  # the index is being filled anew
                continue
            named = (event.number, event.version)
            if named not in classes:
                classes[named] = context.index.class_of(*named)
            status = STATUS_NAMES[slots[event.slot].status]
            scored[subject_id].append(_scored(event, classes[named], status))
    return scored


def _scored(event: Event, catalogued: pb.PutClass | None, status: str) -> ScoredEvent:
    content = event.content
    days = 0 if catalogued is None else published_days_max(catalogued, content.severity)
    return ScoredEvent(event.number, content.severity, status, content.document_day, days)  # type: ignore[arg-type]  # one of the names
