# SPDX-License-Identifier: Apache-2.0
"""Tells many people, a few at a time: of what was recorded of them, and of publications that ended by themselves.

Each transaction puts at most `TOLD_AT_ONCE` people's notices into the outbox and says in the same breath how far it is.
So whoever else writes waits for milliseconds, a process killed anywhere goes on where it was, and of two processes on
one store one finds that the other was faster: each end and each record is told once.

Ends of publication are found by a pass over all logs, once a day. It covers every day since the last pass, so that a
service that stood still for some days catches up with one pass.
"""

from collections.abc import Sequence
from typing import Final

import structlog
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from credit.api.base import CreditContext
from credit.api.page_tables import CreditPass, CreditToTell
from credit.api.standings import scored_events
from credit.api.subjects import State
from credit.api.tables import CreditSubject
from credit.api.telling import PUBLICATION_OVER, RECORDED, tell_subject
from credit.score import Event as ScoredEvent
from service.errors import PersonErased
from service.notices import NoticeKind
from service.problems import Problem
from service.store.engine import insert_new

log = structlog.get_logger(__name__)

TOLD_AT_ONCE: Final = 5
"""People of one transaction: eight milliseconds each on a slow machine, so that nobody waits for a turn for 50 ms."""
STEP: Final = 100
"""People of one look for what ended; other work goes between."""
CATCH_UP_DAYS_MAX: Final = 92
"""How far back ends are told of: the shortest publication; what ended before that, people have long seen."""
ENDS: Final = "ends"
_COUNTED: Final = frozenset({"active", "corrected", "disputed"})
"""In force: what was repaired, expired or withdrawn ended before."""


def tell_recorded(context: CreditContext) -> bool:
    """Tell the next people of whom something was recorded that counts against them.

    Returns:
        Whether there was anybody; more may wait.
    """
    with context.store.write() as session:
        rows = session.scalars(
            select(CreditToTell).order_by(CreditToTell.id).limit(TOLD_AT_ONCE).with_for_update(skip_locked=True)
        ).all()
        _tell(context, session, RECORDED, sorted({row.subject_id for row in rows}))
        session.execute(delete(CreditToTell).where(CreditToTell.id.in_([row.id for row in rows])))
        return bool(rows)


def are_recorded_waiting(context: CreditContext) -> bool:
    """Whether `tell_recorded` has somebody to tell: a look that takes no turn to write."""
    with context.store.read() as session:
        return session.scalar(select(CreditToTell.id).limit(1)) is not None


def tell_of_ends(context: CreditContext) -> bool:
    """Tell the next people of whose events' publication ended by itself since the last pass.

    Returns:
        Whether the pass goes on at once; False: everybody was told up to today, or the index is not whole yet.
    """
    state = _under_way(context)
    if state is None:
        return False
    with context.store.read() as session:
        wanted = (CreditSubject.state == State.OPEN) & (CreditSubject.id > state.after)
        rows = session.scalars(select(CreditSubject).where(wanted).order_by(CreditSubject.id).limit(STEP)).all()
        found = scored_events(context, session, rows)
        if any(len(found[row.id]) < row.count for row in rows if row.id in found):
            log.info("credit.ends-wait")  # the index is being filled anew: nobody is passed over for that
            return False
        first = max(state.done_day, state.day - CATCH_UP_DAYS_MAX) + 1
        over = sorted(one for one, events in found.items() if any(_ended(e, first, state.day) for e in events))
    after = state.after
    for start in range(0, len(over), TOLD_AT_ONCE):
        people = over[start : start + TOLD_AT_ONCE]
        if not _move(context, state, after, people[-1], people):
            return True
        after = people[-1]
    return _move(context, state, after, rows[-1].id if len(rows) == STEP else "", ()) and len(rows) == STEP


def _under_way(context: CreditContext) -> CreditPass | None:
    """The pass that is under way, begun where one is due; None: none is."""
    today = context.today
    with context.store.read() as session:
        row = session.get(CreditPass, ENDS)
        if row is not None and row.day == row.done_day >= today:
            return None
    with context.store.write() as session:
        insert_new(session, CreditPass(name=ENDS, done_day=today - 1, day=today - 1, after=""))
        row = session.get_one(CreditPass, ENDS, with_for_update=True)
        if row.day == row.done_day < today:
            row.day, row.after = today, ""
        session.flush()
        session.expunge(row)
    return row if row.day > row.done_day else None


def _move(context: CreditContext, state: CreditPass, after: str, to: str, people: Sequence[str]) -> bool:
    """Tell some people and say that the pass is so far; False: another process was faster, and nobody was told here.

    Args:
        context: Which service.
        state: The pass, as it was when it was looked at.
        after: How far it was told since.
        to: How far it is then; "": at its end.
        people: Who is told.
    """
    with context.store.write() as session:
        row = session.get_one(CreditPass, ENDS, with_for_update=True)
        if (row.done_day, row.day, row.after) != (state.done_day, state.day, after):
            return False
        _tell(context, session, PUBLICATION_OVER, people)
        row.after = to
        if not to:
            row.done_day = row.day
        return True


def _tell(context: CreditContext, session: Session, kind: NoticeKind, subject_ids: Sequence[str]) -> None:
    for subject_id in subject_ids:
        try:
            tell_subject(context, session, kind, subject_id)
        except (PersonErased, Problem):  # erased meanwhile
            continue


def _ended(event: ScoredEvent, first_day: int, last_day: int) -> bool:
    """Whether an event's publication was over from one of these days on."""
    over = event.document_day + event.published_days_max + 1
    return event.found != "none" and event.status in _COUNTED and first_day <= over <= last_day
