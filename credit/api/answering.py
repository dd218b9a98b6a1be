# SPDX-License-Identifier: Apache-2.0
"""Acts that officers sign: events, answers to objections, repairs, pledges kept or broken, benefits decided.

Each keeps what the store will need in the transaction that prepares it, before anybody signs. Whoever attested an event
does not answer the objection to it.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from chain.errors import InvalidMessage
from chain.transaction import Operation
from chain.types import sha256
from credit.api.base import MINUTE_MS, CreditContext, date_of, operation
from credit.api.drawing import Wanted, allowed, check, draw
from credit.api.events import Event
from credit.api.problems import CORRECTION, DATES, NOT_NOW, SEVERITY
from credit.api.reading import BENEFITS
from credit.api.requests import (
    APPEAL,
    BENEFIT,
    DISPUTE,
    ESCALATED,
    LIVING,
    REPAIR,
    WORDS_CHARACTERS_MAX,
    event_of,
    follow_requests,
    load_request,
    note_answer,
    read_request,
    standing,
)
from credit.api.settling import keep_correction, settle
from credit.api.tables import CreditBatch, CreditEvent, CreditRequest
from credit.pb import credit_pb2 as pb
from credit.slots import SALT_BYTES, SEVERITIES, Content
from service.language import LANGUAGES, Language, translate
from service.problems import Problem
from service.sign_in import kinds
from service.sign_in.acts import EXPIRY_MS, PREPARED_MS, Acts
from service.sign_in.office import Office
from service.sign_in.roles import Duty, take_duty
from service.sign_in.sessions import Officer
from service.sign_in.tables import DutyDone

ACT_EVENTS_MAX: Final = 120
"""Events of one act: what is sealed of it has at most 48 KiB."""
SENTENCES_SHOWN: Final = 18
"""Events that an act says one by one; then it says how many more."""
ACT_MS: Final = PREPARED_MS + EXPIRY_MS + MINUTE_MS
"""After that no act that was prepared can execute any more."""
_ID_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Signing:
    """Who signs, and where."""

    context: CreditContext
    office: Office
    acts: Acts
    officer: Officer

    def prepare(self, operations: Sequence[Operation], words: Mapping[Language, Sequence[str]]) -> str:
        """Have the officer sign; the act's id."""
        return self.acts.prepare(self.office, self.officer, operations, words)


def class_name(catalogued: pb.PutClass | None, language: Language) -> str:
    """What a class is called."""
    if catalogued is None:
        return "-"
    return (
        (catalogued.name_en or catalogued.name_zh) if language == "en" else (catalogued.name_zh or catalogued.name_en)
    )


# ---------------------------------------------------------------- attesting


def attest(signing: Signing, wanted: Sequence[Wanted], names: Sequence[str], request_id: str = "") -> str:
    """Have an officer attest events with their own signature.

    Args:
        signing: Who.
        wanted: At most 120 events.
        names: Of whom, as the act says it; one for each.
        request_id: The pledge's request that this records; "": none.

    Returns:
        The act's id.

    Raises:
        Problem: An event may not be recorded.
    """
    context, officer = signing.context, signing.officer
    assert len(wanted) <= ACT_EVENTS_MAX, "callers bound an act"
    dies_ms = context.now() + ACT_MS
    settle(context)  # what was just signed is where these follow on
    drawn = draw(context, officer.person_id, officer.organisation, wanted, dies_ms)
    catalogue = context.index.catalogue()
    words = {language: _attested(language, wanted, names, catalogue) for language in LANGUAGES}
    # a crash here leaves drafts that nobody can sign: they go when their time is over
    act_id = signing.prepare(drawn.operations, words)
    with context.store.write() as session:
        batch = session.get(CreditBatch, drawn.batch_id)
        assert batch is not None, "it was just drawn"
        batch.act_id = act_id
        for event_id in session.scalars(select(CreditEvent.id).where(CreditEvent.batch_id == batch.id)):
            take_duty(session, event_id, Duty.ENROL, officer.person_id)
        if request_id:
            row = load_request(session, officer.organisation, request_id, hold=True)
            note_answer(context, session, row, act_id, {})
    return act_id


def _attested(
    language: Language, wanted: Sequence[Wanted], names: Sequence[str], catalogue: Mapping[int, pb.PutClass]
) -> list[str]:
    lines = [
        translate(
            language,
            "credit-page.act-attest",
            name=name,
            what=class_name(catalogue.get(one.number), language),
            severity=translate(language, SEVERITY_KEYS[one.content.severity]),
            day=date_of(one.content.document_day).isoformat(),
        )
        for one, name in list(zip(wanted, names, strict=True))[:SENTENCES_SHOWN]
    ]
    if len(wanted) > SENTENCES_SHOWN:
        lines.append(translate(language, "credit-page.act-more", count=len(wanted) - SENTENCES_SHOWN))
    return lines


SEVERITY_KEYS: Final = {
    "none": "credit-page.severity-none",
    "minor": "credit-page.severity-minor",
    "general": "credit-page.severity-general",
    "serious": "credit-page.severity-serious",
}


# ---------------------------------------------------------------- answering


def answer_dispute(signing: Signing, request_id: str, verdict: str, content: Content | None, answer: str) -> str:
    """Have an officer answer an objection: uphold, correct or withdraw the event.

    Args:
        signing: Who; not whoever attested the event.
        request_id: The dispute.
        verdict: "uphold", "correct" or "withdraw".
        content: What the event says from now on, where it is corrected.
        answer: To whoever objected.

    Returns:
        The act's id.

    Raises:
        Problem: It was answered, the verdict does not fit, or the officer attested the event.
    """
    context = signing.context
    with context.store.read() as session:
        row, asked, event = _living(signing, session, request_id, DISPUTE)
    slot = standing(context, event)
    if slot.status != pb.EVENT_STATUS_DISPUTED:
        raise Problem(NOT_NOW)
    after = event
    match verdict:
        case "uphold":
            message = pb.AnswerEvent(slot=event.slot, status=pb.EventStatus.ValueType(slot.before))
        case "withdraw":
            message = pb.AnswerEvent(slot=event.slot, status=pb.EVENT_STATUS_WITHDRAWN)
        case "correct" if content is not None and slot.before in (pb.EVENT_STATUS_ACTIVE, pb.EVENT_STATUS_CORRECTED):
            after = _corrected(context, asked, event, content)
            message = pb.AnswerEvent(slot=event.slot, status=pb.EVENT_STATUS_CORRECTED, content=after.commitment)
        case _:
            raise Problem(CORRECTION)
    keys = {
        "uphold": "credit-page.act-uphold",
        "withdraw": "credit-page.act-withdraw",
        "correct": "credit-page.act-correct",
    }
    return _sign_answer(signing, row.id, event, after, message, keys[verdict], answer)


def answer_repair(signing: Signing, request_id: str, answer: str) -> str:
    """Have an officer repair an event whose duty is fulfilled; the act's id.

    Raises:
        Problem: It was answered already.
    """
    with signing.context.store.read() as session:
        row, _, event = _living(signing, session, request_id, REPAIR)
    standing(signing.context, event)
    message = pb.AnswerEvent(slot=event.slot, status=pb.EVENT_STATUS_REPAIRED)
    return _sign_answer(signing, row.id, event, event, message, "credit-page.act-repair", answer)


def check_pledge(signing: Signing, event_id: str, *, kept: bool) -> str:
    """Have an officer say that a pledge was kept or broken; the act's id.

    Raises:
        Problem: It is no open pledge of this organisation.
    """
    context, officer = signing.context, signing.officer
    with context.store.read() as session:
        row, event = event_of(context, session, "", event_id)
    if row.source != officer.organisation or standing(context, event).status != pb.EVENT_STATUS_OPEN:
        raise Problem(NOT_NOW)
    status = pb.EVENT_STATUS_KEPT if kept else pb.EVENT_STATUS_BROKEN
    operations = [operation(pb.AnswerEvent(slot=event.slot, status=status))]
    key = "credit-page.act-kept" if kept else "credit-page.act-broken"
    return signing.prepare(operations, _words(context, key, event))


def withdraw_event(signing: Signing, request_id: str, answer: str) -> str:
    """Have the authority withdraw an event whose source did not answer in time or upheld it; the act's id.

    Raises:
        Problem: The dispute was not escalated, and no further objection waits.
    """
    context = signing.context
    with context.store.read() as session:
        row = session.get(CreditRequest, request_id)
        is_late = row is not None and row.kind == DISPUTE and row.state == ESCALATED
        if row is None or not (is_late or (row.kind == APPEAL and row.state in LIVING)):
            raise Problem(NOT_NOW)
        event = event_of(context, session, row.subject_id, row.event_id)[1]
    standing(context, event)
    message = pb.AnswerEvent(slot=event.slot, status=pb.EVENT_STATUS_WITHDRAWN)
    return _sign_answer(signing, row.id, event, event, message, "credit-page.act-withdraw", answer)


def decide_benefit(signing: Signing, request_id: str, *, grant: bool, why: str) -> str:
    """Have an officer grant or refuse a benefit; the act's id. What was decided and why is committed.

    Raises:
        Problem: It was decided, a refusal without a reason, or too many acts about it wait for a signature.
    """
    context = signing.context
    if not grant and not why.strip():
        raise Problem(NOT_NOW)
    follow_requests(context, request_id)  # what was just signed is what holds
    salt = secrets.token_bytes(_ID_BYTES)
    with context.store.write() as session:
        row = load_request(session, signing.officer.organisation, request_id, hold=True)
        if row.kind != BENEFIT or row.state not in LIVING:
            raise Problem(NOT_NOW)
        words = read_request(context, session, row).words
        if not words["decision"]:
            # one id for the request, whoever prepares what: the ledger takes one decision of it and refuses a second
            words["decision"] = secrets.token_bytes(_ID_BYTES).hex()
            context.store.people.seal(session, row, CreditRequest.content, json.dumps(words))
        message = pb.Decide(
            id=bytes.fromhex(words["decision"]),
            outcome=pb.OUTCOME_BENEFIT_GRANTED if grant else pb.OUTCOME_BENEFIT_REFUSED,
            benefit=BENEFITS[words["purpose"]],
            commitment=sha256(salt + f"{row.id}|{words['purpose']}|{words['grade']}|{why}".encode()),
        )
    key = "credit-page.act-grant" if grant else "credit-page.act-refuse"
    said = {language: [translate(language, key, grade=words["grade"])] for language in LANGUAGES}
    act_id = signing.prepare([operation(message)], said)
    # a crash here leaves an act that its officer was not shown, and whose reason is nowhere
    with context.store.write() as session:
        row = load_request(session, signing.officer.organisation, request_id, hold=True)
        note_answer(context, session, row, act_id, {"why": why, "granted": grant, "salt": salt.hex()})
    return act_id


def _living(signing: Signing, session: Session, request_id: str, kind: str) -> tuple[CreditRequest, CreditEvent, Event]:
    """A request that waits for the officer's organisation, with its event."""
    row = load_request(session, signing.officer.organisation, request_id)
    if row.state not in LIVING or row.kind != kind:
        raise Problem(NOT_NOW)
    return row, *event_of(signing.context, session, row.subject_id, row.event_id)


def _corrected(context: CreditContext, row: CreditEvent, event: Event, content: Content) -> Event:
    """The event with other content.

    Raises:
        Problem: Its dates or severity are not as they must be, or it says what it said.
    """
    catalogued = context.index.class_of(event.number, event.version)
    try:
        encoded = content.encode()
    except InvalidMessage:
        raise Problem(DATES) from None
    if catalogued is None or SEVERITIES.index(content.severity) > max(0, catalogued.severity - 1):
        raise Problem(SEVERITY)
    kind = check(Wanted(row.subject_id, event.number, content, "-"), allowed(context, row.source))
    if kind in (DATES, SEVERITY):
        raise Problem(kind)
    if encoded == event.opening.content:
        raise Problem(CORRECTION)
    return event.with_content(encoded, secrets.token_bytes(SALT_BYTES))


def _sign_answer(
    signing: Signing, request_id: str, event: Event, after: Event, message: pb.AnswerEvent, key: str, answer: str
) -> str:
    context, officer = signing.context, signing.officer
    if not answer.strip():
        raise Problem(CORRECTION)
    with context.store.write() as session:
        row = session.get(CreditRequest, request_id, with_for_update=True)
        assert row is not None, "it was just read"
        _check_not_own(session, row.event_id, officer)
        if after is not event:
            own = session.get(CreditEvent, row.event_id)
            assert own is not None, "an event goes with its person, and so does the request"
            keep_correction(context, session, own, after, context.now() + ACT_MS)
    act_id = signing.prepare([operation(message)], _words(context, key, after))
    with context.store.write() as session:
        row = session.get(CreditRequest, request_id, with_for_update=True)
        if row is not None:
            note_answer(context, session, row, act_id, {"answer": answer[:WORDS_CHARACTERS_MAX]})
    return act_id


def _check_not_own(session: Session, event_id: str, officer: Officer) -> None:
    """Check that an officer did not attest an event themselves.

    Raises:
        Problem: They did.
    """
    own = (DutyDone.subject == event_id) & (DutyDone.duty == Duty.ENROL) & (DutyDone.person_id == officer.person_id)
    if session.scalar(select(DutyDone.subject).where(own)) is not None:
        raise Problem(kinds.SAME_PERSON)


def _words(context: CreditContext, key: str, event: Event) -> dict[Language, list[str]]:
    catalogued = context.index.class_of(event.number, event.version)
    return {
        language: [
            translate(
                language,
                key,
                what=class_name(catalogued, language),
                severity=translate(language, SEVERITY_KEYS[event.content.severity]),
                day=date_of(event.content.document_day).isoformat(),
            )
        ]
        for language in LANGUAGES
    }
