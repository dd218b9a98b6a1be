# SPDX-License-Identifier: Apache-2.0
"""Acts on statutory lists: a supervisor enters somebody for an event, another one ends it; entries follow their acts.

prepared --(the entry's act is done)--> listed --(an exit's act is done)--> ended
prepared --(nobody signs)--> gone
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from credit.api.answering import ACT_MS, Signing, class_name
from credit.api.base import CreditContext, date_of, day_of, load_subject, operation
from credit.api.events import Event
from credit.api.listings import (
    ENDED,
    LISTED,
    PREPARED,
    Content,
    Document,
    Exit,
    commitment,
    committed,
    entries_of,
    hold_of,
    signed_exit,
)
from credit.api.measures import REASONS, measures_for
from credit.api.page_tables import CreditListing
from credit.api.problems import LISTING, MEASURE, NOT_NOW, UNKNOWN_REQUEST
from credit.api.requests import event_of
from credit.api.reviews import entered_by
from credit.api.subjects import Kind, masked_name
from credit.api.tables import CreditEvent
from credit.api.telling import LISTED as TOLD_LISTED
from credit.api.telling import UNLISTED, tell_subject
from credit.pb import credit_pb2 as pb
from credit.report import published_days_max
from service.language import LANGUAGES, Language, translate
from service.problems import Problem
from service.sign_in import kinds
from service.sign_in.acts import State as ActState
from service.sign_in.tables import PreparedAct
from service.store.audit import SYSTEM

FOLLOWED_MAX: Final = 500
EXITS_MAX: Final = 8
"""Exits that officers prepared for one entry and did not sign."""
EVENTS_SHOWN_MAX: Final = 200
_ID_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Ground:
    """An event for which somebody may be entered."""

    event_id: str
    number: int
    document: date
    until: date
    source: str


def grounds_of(context: CreditContext, subject_id: str, source: str) -> list[Ground]:
    """Events of a subject for which they may be entered, newest first.

    Args:
        context: Which service.
        subject_id: Whom.
        source: Only what this organisation attested; "": what anybody did, for the authority.
    """
    wanted = (CreditEvent.subject_id == subject_id) & CreditEvent.position.is_not(None)
    query = select(CreditEvent).where(wanted & (CreditEvent.source == source) if source else wanted)
    found: list[Ground] = []
    with context.store.read() as session:
        taken = {one.content.event_id for one in entries_of(context, session, subject_id) if one.row.state != ENDED}
        for row in session.scalars(query.order_by(CreditEvent.position.desc()).limit(EVENTS_SHOWN_MAX)):
            event = Event.decode(context.store.people.open(session, row, CreditEvent.content) or "")
            until = _until(context, event)
            if until is None or row.id in taken or hold_of(context, event, until) != "holds":
                continue
            day = date_of(event.content.document_day)
            found.append(Ground(row.id, event.number, day, date_of(until), row.source))
    return found


def _until(context: CreditContext, event: Event) -> int | None:
    """When an event's publication ends; None: it is no ground for an entry."""
    present, named = context.index.catalogue().get(event.number), context.index.class_of(event.number, event.version)
    if present is None or named is None or pb.EFFECT_BURDEN not in present.effects:
        return None
    if event.content.severity != "serious":
        return None
    return event.content.document_day + published_days_max(named, event.content.severity)


def enter(
    signing: Signing, subject_id: str, event_id: str, document: Document, measures: Sequence[str], *, source: str
) -> str:
    """Have an officer enter a subject on the statutory list that an event's class stands on; the act's id.

    Args:
        signing: Who.
        subject_id: Whom.
        event_id: One of `grounds_of`.
        document: The entry's.
        measures: At least one, each such as may rest on this subject.
        source: As in `grounds_of`.

    Raises:
        Problem: The event is no ground, it is the ground of an entry already, or a document or measure does not fit.
    """
    context, officer = signing.context, signing.officer
    ground = next((one for one in grounds_of(context, subject_id, source) if one.event_id == event_id), None)
    if ground is None:
        raise Problem(LISTING)
    document.check(day_of(ground.document), context.today)
    with context.store.write() as session:
        subject = load_subject(session, subject_id, hold=True)
        event = event_of(context, session, subject_id, event_id)[1]
        is_company = subject.kind == Kind.COMPANY
        if not measures or not set(measures) <= measures_for(is_company=is_company).keys():
            raise Problem(MEASURE)
        if any(
            one.content.event_id == event_id and one.row.state != ENDED
            for one in entries_of(context, session, subject_id)
        ):
            raise Problem(NOT_NOW)
        content = Content(
            event_id=event_id,
            number=event.number,
            version=event.version,
            document=document,
            measures=tuple(sorted(set(measures))),
            decision=secrets.token_hex(_ID_BYTES),
            salt=secrets.token_hex(_ID_BYTES),
        )
        row = CreditListing(
            person_id=subject.person_id,
            subject_id=subject_id,
            organisation=officer.organisation,
            state=PREPARED,
            is_public=is_company,
            until_day=day_of(ground.until),
            made_ms=context.now(),
            listed_ms=0,
            ended_ms=0,
        )
        context.store.people.seal(session, row, CreditListing.content, content.encode())
        context.record(session, officer.person_id, "credit.listing-prepared", row.id)
        session.flush()
        raw = committed(row.id, event.slot, content, row.until_day)
        listing_id, name = row.id, masked_name(context, session, subject)
    message = pb.Decide(
        id=bytes.fromhex(content.decision), outcome=pb.OUTCOME_BURDEN, commitment=commitment(content, raw)
    )
    setattr(message, "class", content.number)
    # a crash here leaves a draft that nobody can sign: it goes when its time is over
    act_id = signing.prepare([operation(message)], _entry_words(context, content, name))
    with context.store.write() as session:
        held = session.get(CreditListing, listing_id, with_for_update=True)
        assert held is not None, "it was just made"
        context.store.people.seal(session, held, CreditListing.content, replace(content, act=act_id).encode())
    return act_id


def _entry_words(context: CreditContext, content: Content, name: str) -> dict[Language, list[str]]:
    catalogued = context.index.catalogue().get(content.number)
    known = {**measures_for(is_company=True), **measures_for(is_company=False)}
    return {
        language: [
            translate(
                language,
                "credit-list.act-enter",
                name=name,
                what=class_name(catalogued, language),
                document=content.document.number,
                day=date_of(content.document.day).isoformat(),
            ),
            *(
                translate(
                    language,
                    "credit-list.act-measure",
                    what=translate(language, known[one].key),
                    basis=known[one].basis,
                )
                for one in content.measures
            ),
        ]
        for language in LANGUAGES
    }


# ---------------------------------------------------------------- ending


def end(signing: Signing, listing_id: str, found: Exit) -> str:
    """Have another officer end an entry; the act's id.

    Raises:
        Problem: There is no such entry of this organisation that stands, the officer entered it, or the document or
            reason does not fit.
    """
    context, officer = signing.context, signing.officer
    with context.store.read() as session:
        row = _own(session, officer.organisation, listing_id)
        content = Content.decode(context.store.people.open(session, row, CreditListing.content) or "")
        if row.state != LISTED or len(content.exits) >= EXITS_MAX:
            raise Problem(NOT_NOW)
        if entered_by(context, session, row) == officer.person_id:
            raise Problem(kinds.SAME_PERSON)
        name = masked_name(context, session, load_subject(session, row.subject_id))
    if found.reason not in REASONS:
        raise Problem(LISTING)
    found.document.check(content.document.day, context.today)
    decision = bytes.fromhex(content.decision)
    number = context.index.next_review(decision)
    message = pb.Review(id=decision, outcome=pb.OUTCOME_UNSPECIFIED, number=number)
    words = {
        language: [
            translate(
                language,
                "credit-list.act-end",
                name=name,
                document=found.document.number,
                day=date_of(found.document.day).isoformat(),
                reason=translate(language, REASONS[found.reason]),
            )
        ]
        for language in LANGUAGES
    }
    act_id = signing.prepare([operation(message)], words)
    with context.store.write() as session:
        row = _own(session, officer.organisation, listing_id, hold=True)
        content = Content.decode(context.store.people.open(session, row, CreditListing.content) or "")
        content = replace(content, exits={**content.exits, act_id: found})
        context.store.people.seal(session, row, CreditListing.content, content.encode())
        context.record(session, officer.person_id, "credit.exit-prepared", row.id)
    return act_id


def _own(session: Session, organisation: str, listing_id: str, *, hold: bool = False) -> CreditListing:
    row = session.get(CreditListing, listing_id, with_for_update=hold)
    if row is None or row.organisation != organisation:
        raise Problem(UNKNOWN_REQUEST)
    return row


def follow_listings(context: CreditContext) -> int:
    """Let entries follow the acts that enter and end them; how many moved."""
    query = select(CreditListing.id).where(CreditListing.state.in_((PREPARED, LISTED)))
    with context.store.read() as session:
        ids = session.scalars(query.order_by(CreditListing.made_ms.desc()).limit(FOLLOWED_MAX)).all()
    return sum(_follow(context, one) for one in ids)


def _follow(context: CreditContext, listing_id: str) -> bool:
    with context.store.read() as session:
        row = session.get(CreditListing, listing_id)
        if row is None or _moved(context, session, row) is None:
            return False
    with context.store.write() as session:
        row = session.get(CreditListing, listing_id, with_for_update=True)
        state = None if row is None else _moved(context, session, row)
        if row is None or state is None:
            return False
        if state == "":
            context.store.people.remove(session, row)
        else:
            row.state = state
            row.listed_ms, row.ended_ms = (context.now(), 0) if state == LISTED else (row.listed_ms, context.now())
            tell_subject(context, session, TOLD_LISTED if state == LISTED else UNLISTED, row.subject_id)
        context.record(session, SYSTEM, f"credit.listing-{state or 'gone'}", listing_id)
    return True


def _moved(context: CreditContext, session: Session, row: CreditListing) -> str | None:
    """The state that follows; "": nobody can sign it any more; None: nothing follows."""
    content = Content.decode(context.store.people.open(session, row, CreditListing.content) or "")
    if row.state == PREPARED:
        act = session.get(PreparedAct, content.act) if content.act else None
        if act is not None and act.state == ActState.DONE:
            return LISTED
        is_signed = act is not None and act.state == ActState.SIGNED  # what became of it is not known yet
        is_refused = act is not None and act.state == ActState.REFUSED
        return "" if is_refused or (not is_signed and row.made_ms + ACT_MS < context.now()) else None
    return ENDED if row.state == LISTED and signed_exit(session, content) is not None else None
