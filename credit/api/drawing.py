# SPDX-License-Identifier: Apache-2.0
"""Draws slots for events: each event's opening is durable before anybody can sign it.

A source asks for events of subjects; what it may not record is refused here with its reason, before the ledger would.
Two batches may draw the same free slot: the ledger takes one, and the other's drafts are removed (`settling`).
"""

import hashlib
import hmac
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final, cast

from sqlalchemy import Table, bindparam, case, func, insert, select
from sqlalchemy.orm import Session

from chain.errors import InvalidMessage
from chain.transaction import Operation, SignedTransaction
from credit.api.base import DAY_MS, CreditContext, operation
from credit.api.events import Event
from credit.api.problems import (
    BATCH,
    CLASS,
    DATES,
    DUPLICATE,
    FLOOD,
    LOG_CLOSED,
    LOG_FULL,
    NOT_NOW,
    RIGHTS,
    SEVERITY,
    UNKNOWN_SUBJECT,
)
from credit.api.subjects import State, ends
from credit.api.tables import CreditBatch, CreditEvent
from credit.keeper import DRAWN_BYTES, Draft, draft_at
from credit.pb import credit_pb2 as pb
from credit.report import EVENTS_MAX
from credit.slots import SEVERITIES, Content
from service.problems import Problem, ProblemKind
from service.store.engine import execute_many
from service.store.models import new_id

BATCH_EVENTS_MAX: Final = 300
"""Under one signature: some 60 KB of a transaction, which may have 256."""
FLOOD_MAX: Final = 20
"""Negative events of one source about one subject in a day: more than an honest inspection finds, too few to bury
somebody before they object."""
OTHERS_MAX: Final = 100
"""Other events of one source about one subject in a day: a company's whole backlog comes in over days, and who would
fill a log needs weeks."""
NEGATIVES_ROOM: Final = 1_024
"""Places of a log that negative events alone take: nobody is praised until nothing else can be said of them."""
UNSIGNED_MAX: Final = 400
"""Batches of one source that wait for a signature: twenty files' worth; the store looks after each until its end."""
REFERENCE_CHARACTERS_MAX: Final = 64

_TABLE: Final = cast("Table", CreditEvent.__table__)
_EVENTS: Final = _TABLE.c

_NEW_EVENTS: Final = insert(_TABLE)
_TAKEN: Final = select(_EVENTS.reference_digest).where(
    _EVENTS.source == bindparam("source"), _EVENTS.reference_digest.in_(bindparam("part", expanding=True))
)

PREPARED, SIGNED, DONE, REFUSED, EXPIRED = "prepared", "signed", "done", "refused", "expired"
"""States of a batch."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An event that a source asks for.

    Attributes:
        subject_id: Whose.
        number: Its class.
        content: What happened.
        reference: The source's own number of it; it records none twice.
    """

    subject_id: str
    number: int
    content: Content
    reference: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """A batch.

    Attributes:
        operations: By slot, an order that says nothing: the chain shows it.
        events: In the order asked.
        transaction: What `make` made of the operations; None: an act will carry them.
    """

    batch_id: str
    operations: tuple[Operation, ...]
    events: tuple[Event, ...]
    transaction: SignedTransaction | None


def reference_digests(context: CreditContext, source: str, references: Sequence[str]) -> list[bytes]:
    """What the store keeps of a source's own numbers."""
    key = context.store.secret("credit/reference")
    return [hmac.digest(key, f"{source}|{reference}".encode(), hashlib.sha256) for reference in references]


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a source may record now.

    Attributes:
        catalogue: The present version of each class.
        rights: Classes that the source may attest.
        today: In days since 1970-01-01.
    """

    catalogue: Mapping[int, pb.PutClass]
    rights: frozenset[int]
    today: int


def allowed(context: CreditContext, source: str) -> Allowed:
    """What a source may record now, as the index has it."""
    return Allowed(context.index.catalogue(), context.index.rights(source), context.today)


def check(wanted: Wanted, may: Allowed) -> ProblemKind | None:
    """Why a source may not record this event, as far as the event itself says; None: it may."""
    catalogued = may.catalogue.get(wanted.number)
    if catalogued is None or catalogued.retired:
        return CLASS
    if wanted.number not in may.rights:
        return RIGHTS
    content = wanted.content
    try:
        content.encode()
    except InvalidMessage:
        return DATES
    if content.document_day > may.today or (content.due_day and content.due_day < content.occurred_day):
        return DATES
    is_pledge = catalogued.kind == pb.KIND_PLEDGE
    if bool(content.due_day) != is_pledge:
        return DATES
    most = SEVERITIES[max(0, catalogued.severity - 1)]
    if SEVERITIES.index(content.severity) > SEVERITIES.index(most) or (most != "none") == (content.severity == "none"):
        return SEVERITY
    return None


def known_references(context: CreditContext, source: str, references: Sequence[str]) -> set[str]:
    """Those of some references under which this source has recorded an event, or is about to."""
    digests = dict(zip(reference_digests(context, source, references), references, strict=True))
    with context.store.read() as session:
        return {digests[digest] for digest in _taken(session, source, list(digests))}


def _taken(session: Session, source: str, digests: Sequence[bytes]) -> set[bytes]:
    """Those of some references' digests that stand in the store."""
    found: set[bytes] = set()
    for at in range(0, len(digests), BATCH_EVENTS_MAX):
        found.update(session.scalars(_TAKEN, {"source": source, "part": digests[at : at + BATCH_EVENTS_MAX]}))
    return found


def draw(
    context: CreditContext,
    actor: str,
    source: str,
    wanted: Sequence[Wanted],
    dies_ms: int,
    make: Callable[[Sequence[Operation]], SignedTransaction] | None = None,
) -> Drawn:
    """Keep drafts of events, each with its opening; the caller has them signed.

    Args:
        context: Which service.
        actor: Random id of who asks.
        source: Which organisation attests.
        wanted: 1 to 300 events; several of one subject follow each other in its log.
        dies_ms: After which time no transaction with them can execute.
        make: Makes the transaction that is kept with the batch, before anybody signs it; None: there is none yet.

    Raises:
        Problem: One of them may not be recorded; nothing was kept. `errors` says which, by its position.
    """
    assert 1 <= len(wanted) <= BATCH_EVENTS_MAX, "callers bound a batch"
    may = allowed(context, source)
    faults = {i: kind for i, kind in enumerate(check(one, may) for one in wanted) if kind is not None}
    digests = reference_digests(context, source, [one.reference for one in wanted])
    with context.turn, context.store.write() as session:
        taken = _taken(session, source, digests)
        for i, digest in enumerate(digests):
            if digest in taken:
                faults.setdefault(i, DUPLICATE)
            taken.add(digest)
        if faults:
            raise _refusal(faults)
        # by state, for the reason that `_recorded_today` gives
        own = select(func.sum(case((CreditBatch.source == source, 1), else_=0)))
        if (session.scalar(own.where(CreditBatch.state == PREPARED)) or 0) >= UNSIGNED_MAX:
            raise Problem(NOT_NOW)
        batch_id = new_id()
        made = _draw(context, session, source, wanted, digests, batch_id, may.catalogue)
        # neighbours in a transaction must not be one person's: slots are random, and so is their order
        drafts = sorted((draft for _, _, draft in made), key=lambda draft: draft.message.slot)
        operations = [operation(draft.message) for draft in drafts]
        transaction = None if make is None else make(operations)
        session.add(
            CreditBatch(
                id=batch_id,
                source=source,
                state=PREPARED,
                act_id="",
                count=len(wanted),
                created_ms=context.now(),
                dies_ms=dies_ms,
                header=b"" if transaction is None else transaction.header,
                transaction=b"" if transaction is None else transaction.raw,
                code="",
                receipt=b"",
            )
        )
        context.record(session, actor, "credit.events-drawn", batch_id)
    context.drafts.keep(batch_id, {row_id: event for row_id, event, _ in made}, transaction)
    return Drawn(batch_id, tuple(operations), tuple(event for _, event, _ in made), transaction)


def _refusal(faults: Mapping[int, ProblemKind]) -> Problem:
    """One problem for all that is wrong with a batch."""
    kinds = set(faults.values())
    kind = kinds.pop() if len(kinds) == 1 else BATCH
    errors = [{"where": f"events/{i}", "what": fault.code} for i, fault in sorted(faults.items())]
    return Problem(kind, members={"errors": errors})


@dataclass(slots=True)
class _Log:
    """Where a log goes on while a batch is drawn."""

    free: bytes
    person_id: str
    length: int
    is_open: bool


def _draw(
    context: CreditContext,
    session: Session,
    source: str,
    wanted: Sequence[Wanted],
    digests: Sequence[bytes],
    batch_id: str,
    catalogue: Mapping[int, pb.PutClass],
) -> list[tuple[str, Event, Draft]]:
    """Keep each event's opening; ids of rows, what they hold, and what goes to the ledger, in the order asked."""
    logs = {
        subject_id: _Log(end.free, end.person_id, end.count, end.state == State.OPEN)
        for subject_id, end in ends(context, session, [one.subject_id for one in wanted], seals=True).items()
    }
    _check_flood(context, session, source, wanted, catalogue)
    random = BytesIO(secrets.token_bytes(DRAWN_BYTES * len(wanted)))  # asked for once
    made: list[tuple[str, Event, Draft]] = []
    rows: list[dict[str, Any]] = []
    now_ms = context.now()
    for i, one in enumerate(wanted):
        log = logs.get(one.subject_id)
        if log is None:
            raise _refusal({i: UNKNOWN_SUBJECT})
        if not log.is_open:
            raise Problem(LOG_CLOSED)
        room = 0 if _is_negative(one.number, catalogue) else NEGATIVES_ROOM
        if log.length >= EVENTS_MAX - room:
            raise _refusal({i: LOG_FULL})
        draft = draft_at(log.free, one.number, catalogue[one.number].version, one.content, random.read)
        event = Event.of(draft, one.number)
        log.free, log.length = event.opening.next_slot, log.length + 1
        row_id = new_id()
        sealed = context.store.people.sealed(session, CreditEvent.content, row_id, log.person_id, event.encode())
        rows.append(
            {
                "id": row_id,
                "person_id": log.person_id,
                "subject_id": one.subject_id,
                "batch_id": batch_id,
                "source": source,
                "position": None,
                "reference_digest": digests[i],
                "created_ms": now_ms,
                "content": sealed,
            }
        )
        made.append((row_id, event, draft))
    execute_many(session.connection(), _NEW_EVENTS, rows)  # a row at a time costs as much as sealing it
    return made


def _check_flood(
    context: CreditContext,
    session: Session,
    source: str,
    wanted: Sequence[Wanted],
    catalogue: Mapping[int, pb.PutClass],
) -> None:
    """Bound what one source says about one subject in a day, negative and other events apart.

    What was recorded counts, not what was merely drawn: all drafts of a log begin at the same free slot, so that of
    several batches no more than one is recorded, and the next is counted after it.

    Raises:
        Problem: It would be more.
    """
    counts = _recorded_today(context, session, source, wanted, catalogue)
    for i, one in enumerate(wanted):
        is_negative = _is_negative(one.number, catalogue)
        counts[one.subject_id, is_negative] += 1
        if counts[one.subject_id, is_negative] > (FLOOD_MAX if is_negative else OTHERS_MAX):
            raise _refusal({i: FLOOD})


def _recorded_today(
    context: CreditContext,
    session: Session,
    source: str,
    wanted: Sequence[Wanted],
    catalogue: Mapping[int, pb.PutClass],
) -> Counter[tuple[str, bool]]:
    """How many events a source recorded within a day, by subject and whether they are negative.

    Of which class an event is stands under its person's key: only logs that could come to a limit are opened, and
    those of whom nothing negative is said come to the wider one alone.
    """
    asked = Counter(one.subject_id for one in wanted)
    accused = {one.subject_id for one in wanted if _is_negative(one.number, catalogue)}
    # by subject, never by source: SQLite would go through all that the source ever recorded
    recent = _EVENTS.position.is_not(None) & (_EVENTS.created_ms > context.now() - DAY_MS)
    own = func.sum(case((_EVENTS.source == source, 1), else_=0))
    counted = select(_EVENTS.subject_id, own).where(_EVENTS.subject_id.in_(sorted(asked)), recent)
    recorded = session.execute(counted.group_by(_EVENTS.subject_id))
    near = [one for one, count in recorded if count + asked[one] > (FLOOD_MAX if one in accused else OTHERS_MAX)]
    found: Counter[tuple[str, bool]] = Counter()
    if near:
        chosen = select(_EVENTS.source, _EVENTS.subject_id, _EVENTS.id, _EVENTS.person_id, _EVENTS.content)
        for of, subject_id, *sealed in session.execute(chosen.where(_EVENTS.subject_id.in_(near), recent)):
            if of == source:
                event = Event.decode(context.store.people.opened(session, CreditEvent.content, *sealed) or "")
                found[subject_id, _is_negative(event.number, catalogue)] += 1
    return found


def _is_negative(number: int, catalogue: Mapping[int, pb.PutClass]) -> bool:
    """Whether a class is: each of its versions is what the first one was."""
    return catalogue[number].polarity == pb.POLARITY_NEGATIVE
