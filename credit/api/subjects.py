# SPDX-License-Identifier: Apache-2.0
"""Subjects and the beginning of their logs: one for each number, and on the ledger one for each living registration.

A subject's row with its log's secrets is durable before `OpenLog` goes anywhere; whether the log was opened, the index
says. A crash between leaves a row in the state `opening`, which `open_waiting` goes on with.
"""

import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, cast

from sqlalchemy import Table, bindparam, select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from chain.errors import Refused
from chain.transaction import build
from chain.types import SALT_BYTES, Millis
from client.signing import LIFETIME_MS
from credit.api.base import CreditContext, load_subject, operation
from credit.api.events import Event
from credit.api.problems import SECOND_LOG, UNKNOWN_SUBJECT
from credit.api.tables import CreditEvent, CreditSubject
from credit.pb import credit_pb2 as pb
from credit.slots import SALT_BYTES as SLOT_SALT_BYTES
from credit.slots import SLOT_BYTES, log_commitment
from service.problems import Problem
from service.store.audit import SYSTEM

NUMBER_CHARACTERS_MAX: Final = 40
NAME_CHARACTERS_MAX: Final = 120
OPENING_MAX: Final = 50
"""Logs that one round of upkeep goes on with."""
_SUBJECTS: Final = cast("Table", CreditSubject.__table__).c
_EVENTS: Final = cast("Table", CreditEvent.__table__).c
_ENDS: Final = (
    select(_SUBJECTS.id, _SUBJECTS.person_id, _SUBJECTS.state, _SUBJECTS.count, _SUBJECTS.secrets)
    .where(_SUBJECTS.id.in_(bindparam("part", expanding=True)))
    .order_by(_SUBJECTS.id)
)
_ENDS_HELD: Final = _ENDS.with_for_update()
_LAST: Final = (
    select(_EVENTS.subject_id, _EVENTS.id, _EVENTS.content)
    .join_from(CreditSubject.__table__, CreditEvent.__table__, _SUBJECTS.id == _EVENTS.subject_id)
    .where(_EVENTS.subject_id.in_(bindparam("part", expanding=True)), _EVENTS.position == _SUBJECTS.count - 1)
)
"""The last event of each log."""


class Kind(StrEnum):
    """What a subject is."""

    PERSON = "person"
    COMPANY = "company"


class State(StrEnum):
    """Where a subject's log stands."""

    OPENING = "opening"
    OPEN = "open"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Secrets:
    """What begins a log; sealed.

    Attributes:
        key: The holder's public key, 33 bytes; b"": none is bound yet.
    """

    first_slot: bytes = field(repr=False)
    log_salt: bytes = field(repr=False)
    key: bytes = b""

    @property
    def log(self) -> bytes:
        """The log's commitment on the chain."""
        return log_commitment(self.first_slot, self.log_salt)

    def encode(self) -> str:
        """As it is sealed."""
        return json.dumps([self.first_slot.hex(), self.log_salt.hex(), self.key.hex()])

    @classmethod
    def decode(cls, text: str) -> "Secrets":
        """What `encode` wrote."""
        return cls(*(bytes.fromhex(part) for part in json.loads(text)))


def secrets_of(context: CreditContext, session: Session, row: CreditSubject) -> Secrets:
    """A subject's secrets."""
    return Secrets.decode(context.store.people.open(session, row, CreditSubject.secrets) or "")


def name_of(context: CreditContext, session: Session, row: CreditSubject) -> str:
    """What a subject is called."""
    return context.store.people.open(session, row, CreditSubject.name) or ""


def masked_name(context: CreditContext, session: Session, row: CreditSubject) -> str:
    """What an act calls a subject: acts are an officer's, and outlive the erasure of whom they are about."""
    name = name_of(context, session, row)
    return name if row.kind == Kind.COMPANY else name[:1] + "＊" * min(2, max(0, len(name) - 1))


@dataclass(frozen=True, slots=True)
class End:
    """Where a subject's log goes on.

    Attributes:
        person_id: Under whose key it is sealed.
        state: See `State`.
        count: How many events it has.
        free: The slot after its last event.
    """

    person_id: str
    state: str
    count: int
    free: bytes = field(repr=False)


def ends(
    context: CreditContext, session: Session, subject_ids: Iterable[str], *, hold: bool = False, seals: bool = False
) -> dict[str, End]:
    """Where some subjects' logs go on, in three questions for all of them.

    Args:
        context: Which service.
        session: A transaction.
        subject_ids: Whose; those that are nobody's are left out. At most one batch's.
        hold: Whether their rows are held until the transaction ends.
        seals: Whether something of theirs is about to be sealed, for which their persons are held.
    """
    part = {"part": sorted(set(subject_ids))}
    rows = session.execute(_ENDS_HELD if hold else _ENDS, part).all()
    people = context.store.people
    people.fetch(session, [row.person_id for row in rows], hold=seals)
    events = {subject_id: (row_id, sealed) for subject_id, row_id, sealed in session.execute(_LAST, part)}
    found: dict[str, End] = {}
    for subject_id, person_id, state, count, begins in rows:
        if subject_id in events:
            row_id, sealed = events[subject_id]
            text = people.opened(session, CreditEvent.content, row_id, person_id, sealed)
            free = Event.decode(text or "").opening.next_slot
        else:
            text = people.opened(session, CreditSubject.secrets, subject_id, person_id, begins)
            free = Secrets.decode(text or "").first_slot
        found[subject_id] = End(person_id, state, count, free)
    return found


def find_subject(context: CreditContext, session: Session, number: str) -> CreditSubject:
    """The subject with a number, as people write it.

    Raises:
        Problem: There is none whose log is open.
    """
    for row_id in context.store.people.find(session, CreditSubject.number, number):
        row = session.get(CreditSubject, row_id)
        if row is not None and row.state == State.OPEN:
            return row
    raise Problem(UNKNOWN_SUBJECT)


def look_up(context: CreditContext, session: Session, organisation: str, number: str) -> CreditSubject:
    """The subject with a number, for an organisation's officer or system.

    Raises:
        Problem: There is none whose log is open, or the organisation asked in vain too often today.
    """
    context.misses.check(organisation, context.now())
    try:
        return find_subject(context, session, number)
    except Problem:
        context.misses.add(organisation)
        raise


def add_subject(context: CreditContext, actor: str, kind: Kind, number: str, name: str) -> str:
    """Keep a subject with the secrets of a new log; nothing is on the ledger yet.

    Args:
        context: Which service.
        actor: Random id of who asks.
        kind: Natural or legal person.
        number: Of the identity document, or the company's code.
        name: As pages show it.

    Returns:
        The subject's id, for `send_open`.

    Raises:
        Problem: Somebody with this number has a log.
    """
    people = context.store.people
    # one at a time per number: whoever comes second waits for the first's audit row and finds the number
    with context.store.write() as session:
        row = CreditSubject(
            person_id=people.add(session), kind=kind, state=State.OPENING, count=0, created_ms=context.now()
        )
        context.record(session, actor, "credit.log-opened", row.id)
        others = (session.get(CreditSubject, other) for other in people.find(session, CreditSubject.number, number))
        if any(other is not None and other.state != State.REFUSED for other in others):
            raise Problem(SECOND_LOG)
        people.seal(session, row, CreditSubject.number, number)
        people.seal(session, row, CreditSubject.name, name)
        made = Secrets(secrets.token_bytes(SLOT_BYTES), secrets.token_bytes(SLOT_SALT_BYTES))
        people.seal(session, row, CreditSubject.secrets, made.encode())
    return row.id


async def send_open(context: CreditContext, subject_id: str) -> str:
    """Open a subject's log on the ledger.

    Returns:
        The code of the rule that refused, or "".

    Raises:
        TransportError: Nothing is known yet; `open_waiting` goes on with it.
        Problem: No key of the registrar is set up.
    """
    log = await run_in_threadpool(_log_to_open, context, subject_id)
    if log is not None:
        expires = Millis(context.now() + LIFETIME_MS)
        operations = [operation(pb.OpenLog(log=log))]
        signed = build(operations, [context.own_key], expires, secrets.token_bytes(SALT_BYTES), context.ledger.network)
        try:
            proven = await context.ledger.submit_one(signed)
        except Refused as refused:
            return await run_in_threadpool(_settle, context, subject_id, refused.code)
        # a crash here leaves the state `opening`; the index has the log then
        if proven.failed is not None and proven.failed.code != "credit.log-used":
            return await run_in_threadpool(_settle, context, subject_id, proven.failed.code)
    return await run_in_threadpool(_settle, context, subject_id, "")


async def open_waiting(context: CreditContext) -> int:
    """Go on with logs whose opening broke off; how many there were.

    Raises:
        TransportError: The ledger does not answer.
    """
    found = await run_in_threadpool(_waiting, context)
    for subject_id in found:
        await send_open(context, subject_id)
    return len(found)


def _waiting(context: CreditContext) -> Sequence[str]:
    with context.store.read() as session:
        waiting = select(CreditSubject.id).where(CreditSubject.state == State.OPENING).limit(OPENING_MAX)
        return session.scalars(waiting).all()


def _log_to_open(context: CreditContext, subject_id: str) -> bytes | None:
    """The log of a subject; None: it was opened already."""
    with context.store.read() as session:
        log = secrets_of(context, session, load_subject(session, subject_id)).log
    return None if context.index.has_log(log) else log


def _settle(context: CreditContext, subject_id: str, code: str) -> str:
    with context.store.write() as session:
        row = load_subject(session, subject_id, hold=True)
        if row.state == State.OPENING:
            row.state = State.REFUSED if code else State.OPEN
            context.record(session, SYSTEM, "credit.log-refused" if code else "credit.log-open", row.id)
    return code
