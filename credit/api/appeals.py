# SPDX-License-Identifier: Apache-2.0
"""Further objections: whoever an event is about turns to the credit authority once its source has upheld it.

    open --(the authority withdrew the event, or its source says something new)--> answered
    open --(the authority let it stand)--> declined

Nothing is frozen meanwhile: the event counts as its source says, and the ledger takes no other objection to it
(`credit.upheld`). One for each time that it was upheld.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from credit.api.base import CreditContext
from credit.api.problems import NOT_NOW, UNKNOWN_REQUEST
from credit.api.requests import (
    APPEAL,
    DECLINED,
    LIVING,
    OPEN,
    WORDS_CHARACTERS_MAX,
    add_request,
    close,
    event_of,
    standing,
)
from credit.api.slot_index import Slot
from credit.api.tables import CreditRequest
from credit.api.telling import tell_of_request
from service.problems import Problem


def ask_appeal(context: CreditContext, subject_id: str, event_id: str, words: str) -> str:
    """Ask the authority to look at an event that its source upheld; its clock begins.

    Returns:
        The request's id.

    Raises:
        Problem: No such event, it is final, was not upheld, or the authority was asked since it was.
    """
    with context.store.write() as session:
        row, event = event_of(context, session, subject_id, event_id)
        slot = standing(context, event)
        content = {"words": words[:WORDS_CHARACTERS_MAX], "answer": "", "outcome": ""}
        request = add_request(context, session, subject_id, APPEAL, row.source, event_id, OPEN, content)
        # the subject's row is held since: of two at once, the second finds the first
        if not words.strip() or not may_appeal(session, slot, event_id, beside=request.id):
            raise Problem(NOT_NOW)
        return request.id


def may_appeal(session: Session, slot: Slot, event_id: str, *, beside: str = "") -> bool:
    """Whether the authority may be asked about an event: it stands upheld, and nobody has asked since.

    Args:
        session: Of the store.
        slot: What the index says of the event.
        event_id: Of the event.
        beside: A request that does not count.
    """
    asked = (CreditRequest.event_id == event_id) & (CreditRequest.kind == APPEAL) & (CreditRequest.id != beside)
    since = select(CreditRequest.id).where(asked, CreditRequest.opened_ms >= slot.changed_ms)
    return slot.upheld and session.scalar(since.limit(1)) is None


def dismiss(context: CreditContext, actor: str, request_id: str, answer: str) -> None:
    """Have the authority let an event stand, saying why.

    Raises:
        Problem: There is no such further objection that waits, or no reason.
    """
    with context.store.write() as session:
        row = session.get(CreditRequest, request_id, with_for_update=True)
        if row is None or row.kind != APPEAL:
            raise Problem(UNKNOWN_REQUEST)
        if row.state not in LIVING or not answer.strip():
            raise Problem(NOT_NOW)
        close(context, session, row, DECLINED, {"answer": answer[:WORDS_CHARACTERS_MAX]})
        context.record(session, actor, "credit.appeal-declined", row.id)
        tell_of_request(context, session, row)
