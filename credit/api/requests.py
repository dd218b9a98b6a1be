# SPDX-License-Identifier: Apache-2.0
"""What people ask of organisations: to look at an event again, to repair it, to check a pledge; with clocks.

    sending --(the ledger has the objection)--> open --(the source's answer stands)--> answered
    open --(nobody answered in time)--> escalated --(an answer)--> answered;  open --(declined)--> declined

A request moves on when the index shows what it waits for, whoever brought that about; there is no other way.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from chain.errors import Refused
from chain.transaction import build
from chain.types import SALT_BYTES, Millis
from client.signing import LIFETIME_MS
from credit.api.answers import ANSWERS, answered, keep_answer
from credit.api.base import DAY_MS, CreditContext, date_of, day_of, load_subject, operation
from credit.api.drawing import DONE, allowed, check
from credit.api.drawing import Wanted as WantedEvent
from credit.api.events import Event
from credit.api.problems import CLASS, CONDITIONS, DISPUTED, FINAL, NOT_NOW, UNKNOWN_EVENT, UNKNOWN_REQUEST, UPHELD
from credit.api.reading import owe_notices
from credit.api.settling import keep_objection, settle_changes
from credit.api.slot_index import Slot
from credit.api.tables import CreditBatch, CreditEvent, CreditRequest
from credit.api.telling import tell_of_request
from credit.events import FINAL as FINAL_STATUSES
from credit.keeper import OBJECTION_BYTES
from credit.pb import credit_pb2 as pb
from credit.repair import Repair, repair_of
from credit.report import STATUS_NAMES
from credit.slots import Content
from identity.commitments import anchor_of
from service.problems import Problem
from service.store.audit import SYSTEM

DISPUTE, REPAIR, PLEDGE, BENEFIT, REVIEW = "dispute", "repair", "pledge", "benefit", "review"
APPEAL: Final = "appeal"  # to the authority (`appeals`), in no organisation's list
LINK: Final = "link"  # an officer's, for another device of the subject's (`relinking`)
LINK_MS: Final = DAY_MS  # until then it is handed out: the holder stands at the desk, or comes back the next day
KINDS: Final = (DISPUTE, REPAIR, PLEDGE, BENEFIT, REVIEW, LINK)
SENDING, OPEN, ESCALATED = "sending", "open", "escalated"
ANSWERED, DECLINED, FAILED = "answered", "declined", "failed"
LIVING: Final = (OPEN, ESCALATED)
ANSWER_WORKING_DAYS: Final = 10
"""An organisation's clock; what the network's members agree on, for the texts at hand leave the number open."""
WORDS_CHARACTERS_MAX: Final = 1_000
OPEN_MAX: Final = 50
"""Requests of one subject that wait at once: a person with more needs somebody to talk to. Benefits have as many places
of their own: those that nobody decides keep nobody from objecting."""
FOLLOWED_MAX: Final = 500
"""Requests that one round looks at."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as pages show it.

    Attributes:
        words: What whoever asked wrote, and the rest of its content by name.
    """

    row: CreditRequest
    words: dict[str, Any]

    @property
    def due(self) -> date:
        """Until when it is to be answered."""
        return date_of(self.row.due_day)


def read_request(context: CreditContext, session: Session, row: CreditRequest) -> Asked:
    """A request with its content."""
    return Asked(row, json.loads(context.store.people.open(session, row, CreditRequest.content) or "{}"))


def requests_of(context: CreditContext, subject_id: str) -> list[Asked]:
    """A subject's requests, newest first."""
    query = select(CreditRequest).where(CreditRequest.subject_id == subject_id)
    with context.store.read() as session:
        rows = session.scalars(query.order_by(CreditRequest.opened_ms.desc()).limit(OPEN_MAX * 4))
        return [read_request(context, session, row) for row in rows]


def waiting_for(context: CreditContext, organisation: str, kinds: Sequence[str]) -> list[Asked]:
    """Requests that an organisation has to answer, those due first first."""
    wanted = (CreditRequest.organisation == organisation) & CreditRequest.state.in_(LIVING)
    query = select(CreditRequest).where(wanted, CreditRequest.kind.in_(kinds))
    with context.store.read() as session:
        rows = session.scalars(query.order_by(CreditRequest.due_day, CreditRequest.opened_ms).limit(FOLLOWED_MAX))
        return [read_request(context, session, row) for row in rows]


def load_request(session: Session, organisation: str, request_id: str, *, hold: bool = False) -> CreditRequest:
    """A request that an organisation has to answer.

    Raises:
        Problem: It has none of this id.
    """
    row = session.get(CreditRequest, request_id, with_for_update=hold)
    if row is None or row.organisation != organisation:
        raise Problem(UNKNOWN_REQUEST)
    return row


def event_of(context: CreditContext, session: Session, subject_id: str, event_id: str) -> tuple[CreditEvent, Event]:
    """An event of a subject's log.

    Raises:
        Problem: There is none of this id that the ledger has taken.
    """
    row = session.get(CreditEvent, event_id)
    if row is None or row.position is None or (subject_id and row.subject_id != subject_id):
        raise Problem(UNKNOWN_EVENT)
    return row, Event.decode(context.store.people.open(session, row, CreditEvent.content) or "")


def standing(context: CreditContext, event: Event) -> Slot:
    """What the index says of an event.

    Raises:
        Problem: It is final.
    """
    found = context.index.slots([event.slot]).get(event.slot)
    if found is None:
        raise Problem(UNKNOWN_EVENT)
    if found.status in FINAL_STATUSES:
        raise Problem(FINAL)
    return found


def check_place(session: Session, subject_id: str, kind: str, event_id: str = "") -> None:
    """Check that one more request of a subject may wait; the caller holds the subject's row.

    Raises:
        Problem: Too many of this subject wait, or one of the same kind about the same event does.
    """
    beside = CreditRequest.kind == BENEFIT if kind == BENEFIT else CreditRequest.kind != BENEFIT
    living = CreditRequest.state.in_((SENDING, *LIVING)) & (CreditRequest.subject_id == subject_id)
    query = select(CreditRequest.kind, CreditRequest.event_id).where(living, beside)
    waiting = session.execute(query).all()
    is_asked = any(event_id and tuple(row) == (kind, event_id) for row in waiting)
    if len(waiting) >= OPEN_MAX or is_asked:
        raise Problem(NOT_NOW)


def add_request(
    context: CreditContext,
    session: Session,
    subject_id: str,
    kind: str,
    organisation: str,
    event_id: str,
    state: str,
    content: dict[str, Any],
) -> CreditRequest:
    """Keep a request; its clock begins.

    Raises:
        Problem: Too many of this subject wait, or one of the same kind about the same event does.
    """
    subject = load_subject(session, subject_id, hold=True)
    check_place(session, subject_id, kind, event_id)
    due = context.calendar.after(date_of(context.today), ANSWER_WORKING_DAYS)
    row = CreditRequest(
        person_id=subject.person_id,
        kind=kind,
        subject_id=subject_id,
        event_id=event_id,
        organisation=organisation,
        state=state,
        opened_ms=context.now(),
        due_day=day_of(due),
        closed_ms=0,
        act_id="",
    )
    context.store.people.seal(session, row, CreditRequest.content, json.dumps(content))
    context.record(session, subject.person_id, f"credit.{kind}-asked", row.id)
    tell_of_request(context, session, row)
    return row


# ---------------------------------------------------------------- what people ask


async def dispute(context: CreditContext, subject_id: str, event_id: str, words: str) -> str:
    """Object to an event: it counts for nothing until its source has answered.

    Returns:
        The request's id.

    Raises:
        Problem: No such event, it is final, disputed already or upheld.
        Refused: The ledger refuses the objection.
        TransportError: The ledger does not answer; what it took is found out later.
    """
    request_id, message = await run_in_threadpool(_keep_dispute, context, subject_id, event_id, words)
    expires, salt = Millis(context.now() + LIFETIME_MS), secrets.token_bytes(SALT_BYTES)
    signed = build([operation(message)], [context.own_key], expires, salt, context.ledger.network)
    proven = await context.ledger.submit_one(signed)
    # a crash here leaves `sending`, and the next objection's secret: both follow the index
    await context.ledger.follow(proven.inclusion.height)
    await run_in_threadpool(settle_changes, context, event_id)
    await run_in_threadpool(follow_requests, context, request_id)
    if proven.failed is not None:
        raise Refused("the ledger refuses the objection", proven.failed.code)
    return request_id


def _keep_dispute(context: CreditContext, subject_id: str, event_id: str, words: str) -> tuple[str, pb.Object]:
    following = secrets.token_bytes(OBJECTION_BYTES)
    with context.store.write() as session:
        row, event = event_of(context, session, subject_id, event_id)
        slot = standing(context, event)
        if slot.upheld or slot.status == pb.EVENT_STATUS_DISPUTED:
            raise Problem(UPHELD if slot.upheld else DISPUTED)
        content = {"words": words[:WORDS_CHARACTERS_MAX], "answer": "", "outcome": ""}
        request = add_request(context, session, subject_id, DISPUTE, row.source, event_id, SENDING, content)
        keep_objection(context, session, row, following, context.now() + 2 * LIFETIME_MS)
        message = pb.Object(slot=event.slot, proof=event.objection, next_objection=anchor_of(following))
        return request.id, message


def repair_standing(context: CreditContext, content: Content, fulfilled: date | None, pledged: date | None) -> Repair:
    """Where a negative event stands on its way out, today."""
    assert content.severity in {"minor", "general", "serious"}, "callers ask of negative events alone"
    document, today = date_of(content.document_day), date_of(context.today)
    return repair_of(content.severity, document, today, fulfilled=fulfilled, pledged=pledged)  # type: ignore[arg-type]  # one of three


def ask_repair(
    context: CreditContext, subject_id: str, event_id: str, fulfilled: date, words: str, *, pledges: bool
) -> str:
    """Ask an event's source to repair it.

    Raises:
        Problem: The conditions are not fulfilled yet, or the event is final, disputed or not negative.
    """
    with context.store.write() as session:
        row, event = event_of(context, session, subject_id, event_id)
        if standing(context, event).status == pb.EVENT_STATUS_DISPUTED:
            raise Problem(DISPUTED)
        if event.content.severity == "none":
            raise Problem(CONDITIONS)
        pledged = date_of(context.today) if pledges else None
        if not repair_standing(context, event.content, fulfilled, pledged).may_be_asked_for:
            raise Problem(CONDITIONS)
        content = {
            "words": words[:WORDS_CHARACTERS_MAX],
            "fulfilled": fulfilled.isoformat(),
            "pledged": "" if pledged is None else pledged.isoformat(),
            "answer": "",
            "outcome": "",
        }
        return add_request(context, session, subject_id, REPAIR, row.source, event_id, OPEN, content).id


def ask_pledge(context: CreditContext, subject_id: str, number: int, organisation: str, due: date, words: str) -> str:
    """Make a pledge that an organisation will check; it stands once the organisation has recorded it.

    Raises:
        Problem: The class is no pledge, the organisation does not check such, or the day is past.
    """
    catalogue = context.index.catalogue()
    catalogued = catalogue.get(number)
    if catalogued is None or catalogued.kind != pb.KIND_PLEDGE:
        raise Problem(CLASS)
    wanted = WantedEvent(subject_id, number, Content("none", context.today, context.today, max(0, day_of(due))), "-")
    kind = check(wanted, allowed(context, organisation))
    if kind is not None:
        raise Problem(kind)
    content = {
        "words": words[:WORDS_CHARACTERS_MAX],
        "class": number,
        "due": due.isoformat(),
        "answer": "",
        "outcome": "",
    }
    with context.store.write() as session:
        return add_request(context, session, subject_id, PLEDGE, organisation, "", OPEN, content).id


# ---------------------------------------------------------------- what becomes of it


def decline(context: CreditContext, actor: str, organisation: str, request_id: str, answer: str) -> None:
    """Decline a repair or a pledge, saying why. Whatever else is asked has an answer of its own.

    Raises:
        Problem: It has no such request that waits.
    """
    with context.store.write() as session:
        row = load_request(session, organisation, request_id, hold=True)
        if row.state not in LIVING or row.kind in {DISPUTE, BENEFIT, REVIEW, APPEAL} or not answer.strip():
            raise Problem(NOT_NOW)
        close(context, session, row, DECLINED, {"answer": answer[:WORDS_CHARACTERS_MAX]})
        context.record(session, actor, f"credit.{row.kind}-declined", row.id)
        tell_of_request(context, session, row)


def follow_requests(context: CreditContext, request_id: str = "") -> int:
    """Let requests follow what the ledger shows; how many moved.

    Args:
        context: Which service.
        request_id: Only this one; "": all that wait.
    """
    # a benefit waits for an officer's act alone: one without an act has nothing to follow, and takes nobody's turn
    moves = (CreditRequest.kind != BENEFIT) | (CreditRequest.act_id != "")
    query = select(CreditRequest.id).where(CreditRequest.state.in_((SENDING, *LIVING)), moves)
    query = query.where(CreditRequest.id == request_id) if request_id else query
    with context.store.read() as session:
        ids = session.scalars(query.order_by(CreditRequest.due_day).limit(FOLLOWED_MAX)).all()
    return sum(_follow(context, one) for one in ids)


def _follow(context: CreditContext, request_id: str) -> bool:
    indexed_ms = context.ledger.indexed_ms
    with context.store.read() as session:
        row = session.get(CreditRequest, request_id)
        if row is None:
            return False
        event = event_of(context, session, row.subject_id, row.event_id)[1] if row.event_id else None
    slot = None if event is None else context.index.slots([event.slot]).get(event.slot)
    with context.store.write() as session:
        row = session.get(CreditRequest, request_id, with_for_update=True)
        if row is None or row.state not in {SENDING, *LIVING}:
            return False
        state, outcome = _next(context, session, row, slot, indexed_ms)
        if state == row.state:
            return False
        if state in LIVING:
            row.state = state
        else:
            found = answered(session, read_request(context, session, row).words, is_on_ledger=True)
            row.act_id, said = found or (row.act_id, {})
            close(context, session, row, state, {**said, "outcome": outcome})
        context.record(session, SYSTEM, f"credit.{row.kind}-{state}", row.id)
        tell_of_request(context, session, row)
        subject_id, event_id = row.subject_id, row.event_id
    if slot is not None:
        owe_notices(context, subject_id, {slot.slot: slot}, {slot.slot: event_id})
    return True


def _next(
    context: CreditContext, session: Session, row: CreditRequest, slot: Slot | None, indexed_ms: int
) -> tuple[str, str]:
    """The state that follows, with its outcome."""
    if row.kind == LINK:
        return (row.state if row.opened_ms > context.now() - LINK_MS else DECLINED), ""
    if row.kind == PLEDGE:
        batch = session.scalar(select(CreditBatch).where(CreditBatch.act_id == row.act_id)) if row.act_id else None
        if batch is not None and batch.state == DONE:
            return ANSWERED, "recorded"
    elif row.kind == BENEFIT:
        if answered(session, read_request(context, session, row).words) is not None:
            return ANSWERED, "decided"
    elif slot is not None:
        is_disputed = slot.status == pb.EVENT_STATUS_DISPUTED
        if row.state == SENDING:
            if is_disputed:
                return OPEN, ""
            if slot.changed_ms < row.opened_ms:
                return (FAILED, "") if indexed_ms > row.opened_ms + 2 * LIFETIME_MS else (SENDING, "")
        is_over = not is_disputed if row.kind == DISPUTE else slot.status in FINAL_STATUSES
        is_over |= row.kind == APPEAL and not slot.upheld
        if is_over:
            return ANSWERED, STATUS_NAMES[slot.status]
    if row.state == OPEN and row.due_day and row.due_day < context.today:
        return ESCALATED, ""
    return row.state, ""


def close(context: CreditContext, session: Session, row: CreditRequest, state: str, more: dict[str, Any]) -> None:
    """End a request, and keep what became of it; answers that were prepared and did not hold are forgotten."""
    content = read_request(context, session, row).words | more
    content.pop(ANSWERS, None)
    row.state, row.closed_ms = state, context.now()
    context.store.people.seal(session, row, CreditRequest.content, json.dumps(content))


def note_answer(
    context: CreditContext, session: Session, row: CreditRequest, act_id: str, said: dict[str, Any]
) -> None:
    """Keep what an officer says of a request under the act that they are about to sign.

    Raises:
        Problem: It was answered meanwhile, or too many answers wait for a signature.
    """
    if row.state not in LIVING:
        raise Problem(NOT_NOW)
    content = read_request(context, session, row).words
    keep_answer(context, session, content, act_id, said)
    row.act_id = act_id
    context.store.people.seal(session, row, CreditRequest.content, json.dumps(content))
