# SPDX-License-Identifier: Apache-2.0
"""A link to somebody's log after the first, which whoever opens the log hands out: it takes two approvers.

    open --(another approver hands the link out)--> answered;  open --(declined, or a day later)--> declined

Whoever has such a link becomes that person here. The person sees that one was asked for, beside what they ask
themselves, and that it was handed out, beside who looked; and is told of both where they are told of anything.
"""

from sqlalchemy import select

from credit.api.base import CreditContext, load_subject
from credit.api.problems import NOT_NOW
from credit.api.requests import (
    ANSWERED,
    DECLINED,
    LINK,
    LINK_MS,
    LIVING,
    OPEN,
    add_request,
    close,
    load_request,
    read_request,
)
from credit.api.subjects import find_subject
from credit.api.tables import CreditRequest
from credit.api.telling import LINK_ASKED, LINK_GIVEN, tell_subject
from service.problems import Problem
from service.sign_in import kinds
from service.sign_in.sessions import Officer


def ask_link(context: CreditContext, officer: Officer, number: str) -> str:
    """Ask for a link for somebody's device; also where the first one was never used, for something may be recorded.

    Args:
        context: Which service.
        officer: An approver of a registrar.
        number: Of the person or company.

    Returns:
        The id of the request that another approver answers.

    Raises:
        Problem: Nobody has this number, or a link for them was asked for within a day.
    """
    now_ms = context.now()
    with context.store.write() as session:
        subject = find_subject(context, session, number)
        waits = CreditRequest.state.in_(LIVING) & (CreditRequest.kind == LINK)
        for row in session.scalars(select(CreditRequest).where(waits, CreditRequest.subject_id == subject.id)):
            if row.opened_ms > now_ms - LINK_MS:
                raise Problem(NOT_NOW)
            close(context, session, row, DECLINED, {})
        content = {"by": officer.person_id, "answer": "", "outcome": ""}
        request = add_request(context, session, subject.id, LINK, officer.organisation, "", OPEN, content)
        context.record(session, officer.person_id, "credit.key-link-asked", request.id)
        if subject.key_digest is not None:
            tell_subject(context, session, LINK_ASKED, subject.id)
        return request.id


def confirm_link(context: CreditContext, officer: Officer, request_id: str) -> str:
    """Let a link be handed out that another approver asked for.

    Returns:
        Whose it is: the subject's id.

    Raises:
        Problem: No such request waits, it is a day old, or this officer asked for it.
    """
    with context.store.write() as session:
        row = load_request(session, officer.organisation, request_id, hold=True)
        if row.kind != LINK or row.state not in LIVING or row.opened_ms <= context.now() - LINK_MS:
            raise Problem(NOT_NOW)
        if read_request(context, session, row).words["by"] == officer.person_id:
            raise Problem(kinds.SAME_PERSON)
        close(context, session, row, ANSWERED, {"outcome": "handed-out"})
        context.record(session, officer.person_id, "credit.key-link-confirmed", row.id)
        if load_subject(session, row.subject_id).key_digest is not None:  # else whoever makes the link tells
            tell_subject(context, session, LINK_GIVEN, row.subject_id)
        return row.subject_id
