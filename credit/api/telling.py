# SPDX-License-Identifier: Apache-2.0
"""Telling people and organisations what happened, by mail, message or webhook: `service.notices` delivers it.

No notice names anybody, or says what was recorded: it says that there is something to read, and where one signs in is
known. A notice is put in the transaction that does what it is about, so that one is not without the other; where many
are told at once, that transaction writes down whom, and `credit.api.ends` tells them a few at a time.

An organisation is told where its supervisor wrote down; a person where the desk that registered them in this store was
told, and where they wrote down themselves.
"""

import json
import re
import secrets
from collections.abc import Collection, Sequence
from typing import Final, cast

from sqlalchemy import Table, insert, select
from sqlalchemy.orm import Session

from credit.api.base import DAY_MS, MINUTE_MS, CreditContext, load_subject
from credit.api.page_tables import CreditContact, CreditToTell
from credit.api.problems import CONTACT
from credit.api.registered import person_of
from credit.api.tables import CreditRequest, CreditSubject
from identity.api.desk.details import Details
from identity.api.desk.tables import DeskPerson
from service.notices import NoticeKind, add_kind, put
from service.notices.smtp import is_address
from service.problems import Problem
from service.store.engine import execute_many

CHANNELS_MAX: Final = 2
"""A telephone number and a mail address."""
CONTACT_CHARACTERS_MAX: Final = 600
"""Of both, with what stands between them."""
_PHONE: Final = re.compile(r"1[3-9][0-9]{9}|\+[1-9][0-9]{6,14}", re.ASCII)
_TO_TELL: Final = cast("Table", CreditToTell.__table__)

RECORDED: Final = add_kind(
    NoticeKind(
        "credit-recorded",
        "credit-told.recorded",
        "credit-told.recorded-text",
        is_urgent=False,
        every_ms=10 * MINUTE_MS,
    )
)
"""To whom something was recorded that counts against them: how it is repaired comes with it (两书同达)."""
REPORT_CHANGED: Final = add_kind(
    NoticeKind(
        "credit-report-changed",
        "credit-told.report-changed",
        "credit-told.report-changed-text",
        is_urgent=False,
        every_ms=10 * MINUTE_MS,
    )
)
"""To an organisation: something in a report that it was given is no longer so."""
ANSWER_DUE: Final = add_kind(
    NoticeKind(
        "credit-answer-due",
        "credit-told.answer-due",
        "credit-told.answer-due-text",
        is_urgent=False,
        every_ms=10 * MINUTE_MS,
    )
)
"""To an organisation: its clock for an answer has begun."""
ANSWER_LATE: Final = add_kind(
    NoticeKind("credit-answer-late", "credit-told.answer-late", "credit-told.answer-late-text", every_ms=DAY_MS)
)
"""To an organisation: its clock has run out."""
ANSWERED: Final = add_kind(NoticeKind("credit-answered", "credit-told.answered", "credit-told.answered-text"))
ESCALATED: Final = add_kind(NoticeKind("credit-escalated", "credit-told.escalated", "credit-told.escalated-text"))
LISTED: Final = add_kind(NoticeKind("credit-listed", "credit-told.listed", "credit-told.listed-text"))
LINK_FIRST: Final = add_kind(NoticeKind("credit-link-first", "credit-told.link-first", "credit-told.link-first-text"))
"""To whom a log was opened for: one officer hands its first link out."""
LINK_ASKED: Final = add_kind(NoticeKind("credit-link-asked", "credit-told.link", "credit-told.link-asked-text"))
LINK_GIVEN: Final = add_kind(NoticeKind("credit-link-given", "credit-told.link", "credit-told.link-given-text"))
"""To whoever holds the key that such a link exchanges."""
UNLISTED: Final = add_kind(NoticeKind("credit-unlisted", "credit-told.unlisted", "credit-told.unlisted-text"))
PUBLICATION_OVER: Final = add_kind(
    NoticeKind(
        "credit-publication-over",
        "credit-told.publication-over",
        "credit-told.publication-over-text",
        is_urgent=False,
        every_ms=DAY_MS,
    )
)


def set_channels(context: CreditContext, actor: str, owner: str, channels: Sequence[str]) -> None:
    """Write down where somebody is told; none: nowhere.

    Args:
        context: Which service.
        actor: Random id of who asks.
        owner: A subject's id, or an organisation's.
        channels: Telephone numbers and mail addresses.

    Raises:
        Problem: One of them is neither, or there are too many.
    """
    wanted = sorted({one.strip() for one in channels if one.strip()})
    if len(wanted) > CHANNELS_MAX or not all(_PHONE.fullmatch(one) or is_address(one) for one in wanted):
        raise Problem(CONTACT)
    people = context.store.people
    with context.store.write() as session:
        row = session.scalar(select(CreditContact).where(CreditContact.owner == owner).with_for_update())
        if row is None:
            subject = session.get(CreditSubject, owner)
            row = CreditContact(person_id=people.add(session) if subject is None else subject.person_id, owner=owner)
            session.add(row)
        people.seal(session, row, CreditContact.channels, json.dumps(wanted))
        context.record(session, actor, "credit.contact-set", row.id)


def channels_of(context: CreditContext, owner: str) -> list[str]:
    """Where somebody wrote down that they are told; for themselves alone."""
    with context.store.read() as session:
        return _own(context, session, owner)[1]


def tell_organisation(context: CreditContext, session: Session, kind: NoticeKind, organisation: str) -> int:
    """Tell an organisation; how many notices wait because of it."""
    row, channels = _own(context, session, organisation)
    if row is None or not channels:
        return 0
    return put(context.store, session, kind, row.person_id, channels, context.now())


def tell_subject(context: CreditContext, session: Session, kind: NoticeKind, subject_id: str) -> int:
    """Tell a person or company; how many notices wait because of it."""
    subject = load_subject(session, subject_id)
    channels = {*_own(context, session, subject_id)[1], *_registered(context, session, subject)}
    if not channels:
        return 0
    return put(context.store, session, kind, subject.person_id, channels, context.now())


def owe_recorded(context: CreditContext, session: Session, subject_ids: Collection[str]) -> None:
    """Write down that something was recorded of these that counts against them: `ends.tell_recorded` tells them.

    It costs two statements however many they are, since whoever takes events in holds the turn to write. Where nobody
    at all can be told, nothing is written.
    """
    if not subject_ids or not _is_anybody_told(session):
        return
    now = f"{context.now():012x}"  # ids in the order of their time: nobody waits behind whoever came later
    rows = [{"id": now + secrets.token_hex(10), "subject_id": one} for one in sorted(subject_ids)]
    execute_many(session.connection(), insert(_TO_TELL), rows)


def _is_anybody_told(session: Session) -> bool:
    return any(session.scalar(select(table.id).limit(1)) is not None for table in (DeskPerson, CreditContact))


def tell_of_request(context: CreditContext, session: Session, row: CreditRequest) -> None:
    """Tell who has to know where a request stands since just now; one that is on its way to the ledger, nobody.

    Of a link for another device `relinking` tells; what is asked of the authority is not its source's to answer.
    """
    if row.kind == "link" or (row.kind == "appeal" and row.state in {"open", "escalated"}):
        return
    if row.state == "open":
        tell_organisation(context, session, ANSWER_DUE, row.organisation)
    elif row.state == "escalated":
        tell_organisation(context, session, ANSWER_LATE, row.organisation)
        tell_subject(context, session, ESCALATED, row.subject_id)
    elif row.state in {"answered", "declined"}:
        tell_subject(context, session, ANSWERED, row.subject_id)


def _own(context: CreditContext, session: Session, owner: str) -> tuple[CreditContact | None, list[str]]:
    row = session.scalar(select(CreditContact).where(CreditContact.owner == owner))
    text = None if row is None else context.store.people.open(session, row, CreditContact.channels)
    return row, [] if text is None else list(json.loads(text))


def _registered(context: CreditContext, session: Session, subject: CreditSubject) -> tuple[str, ...]:
    """Channels that officers confirmed, of somebody whom the desk registered in this store."""
    person_id = person_of(context, session, subject)
    row = session.scalar(select(DeskPerson).where(DeskPerson.person_id == person_id))
    text = None if row is None else context.store.people.open(session, row, DeskPerson.details)
    return Details.decode(text).channels if text else ()
