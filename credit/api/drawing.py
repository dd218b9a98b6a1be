# SPDX-License-Identifier: Apache-2.0
"""Draws slots for events: each event's opening is durable before anybody can sign it.

A source asks for events of subjects; what it may not record is refused here with its reason, before the ledger would.
Two batches may draw the same free slot: the ledger takes one, and the other's drafts are removed (`settling`).
"""

import hashlib
import hmac
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from chain.errors import InvalidMessage
from chain.transaction import Operation
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
from credit.api.subjects import State, secrets_of
from credit.api.tables import CreditBatch, CreditEvent, CreditSubject
from credit.keeper import Kept
from credit.pb import credit_pb2 as pb
from credit.report import EVENTS_MAX, Opened
from credit.slots import SEVERITIES, Content
from service.problems import Problem, ProblemKind
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
    """A batch with its events, in the order asked."""

    batch_id: str
    operations: tuple[Operation, ...]
    events: tuple[Event, ...]


def reference_digest(context: CreditContext, source: str, reference: str) -> bytes:
    """What the store keeps of a source's own number."""
    message = f"{source}|{reference}".encode()
    return hmac.digest(context.store.secret("credit/reference"), message, hashlib.sha256)


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
    digests = {reference_digest(context, source, one): one for one in references}
    found: set[str] = set()
    with context.store.read() as session:
        keys = list(digests)
        for at in range(0, len(keys), BATCH_EVENTS_MAX):
            query = select(CreditEvent.reference_digest).where(
                CreditEvent.source == source, CreditEvent.reference_digest.in_(keys[at : at + BATCH_EVENTS_MAX])
            )
            found |= {digests[digest] for digest in session.scalars(query)}
    return found


def draw(context: CreditContext, actor: str, source: str, wanted: Sequence[Wanted], dies_ms: int) -> Drawn:
    """Keep drafts of events, each with its opening; the caller has them signed.

    Args:
        context: Which service.
        actor: Random id of who asks.
        source: Which organisation attests.
        wanted: 1 to 300 events; several of one subject follow each other in its log.
        dies_ms: After which time no transaction with them can execute.

    Raises:
        Problem: One of them may not be recorded; nothing was kept. `errors` says which, by its position.
    """
    assert 1 <= len(wanted) <= BATCH_EVENTS_MAX, "callers bound a batch"
    faults: dict[int, ProblemKind] = {}
    may = allowed(context, source)
    catalogue = may.catalogue
    for i, one in enumerate(wanted):
        kind = check(one, may)
        if kind is not None:
            faults[i] = kind
    references = [one.reference for one in wanted]
    taken = known_references(context, source, references)
    for i, reference in enumerate(references):
        if reference in taken or reference in references[:i]:
            faults.setdefault(i, DUPLICATE)
    if faults:
        raise _refusal(faults)
    batch = CreditBatch(
        id=new_id(),
        source=source,
        state=PREPARED,
        act_id="",
        count=len(wanted),
        created_ms=context.now(),
        dies_ms=dies_ms,
        header=b"",
        transaction=b"",
        code="",
        receipt=b"",
    )
    with context.turn, context.store.write() as session:
        unsigned = (CreditBatch.source == source) & (CreditBatch.state == PREPARED)
        if (session.scalar(select(func.count()).select_from(CreditBatch).where(unsigned)) or 0) >= UNSIGNED_MAX:
            raise Problem(NOT_NOW)
        session.add(batch)
        drawn = _draw(context, session, source, wanted, batch.id, catalogue)
        context.record(session, actor, "credit.events-drawn", batch.id)
        batch_id = batch.id
    return Drawn(batch_id, tuple(one for one, _ in drawn), tuple(event for _, event in drawn))


def _refusal(faults: Mapping[int, ProblemKind]) -> Problem:
    """One problem for all that is wrong with a batch."""
    kinds = set(faults.values())
    kind = kinds.pop() if len(kinds) == 1 else BATCH
    errors = [{"where": f"events/{i}", "what": fault.code} for i, fault in sorted(faults.items())]
    return Problem(kind, members={"errors": errors})


def _draw(
    context: CreditContext,
    session: Session,
    source: str,
    wanted: Sequence[Wanted],
    batch_id: str,
    catalogue: Mapping[int, pb.PutClass],
) -> list[tuple[Operation, Event]]:
    logs = _free_slots(context, session, {one.subject_id for one in wanted})
    _check_flood(context, session, source, wanted, catalogue)
    made: list[tuple[Operation, Event]] = []
    for i, one in enumerate(wanted):
        if one.subject_id not in logs:
            raise _refusal({i: UNKNOWN_SUBJECT})
        log, person_id, length = logs[one.subject_id]
        room = 0 if _is_negative(one.number, catalogue) else NEGATIVES_ROOM
        if length >= EVENTS_MAX - room:
            raise _refusal({i: LOG_FULL})
        draft = log.draft(one.number, catalogue[one.number].version, one.content)
        event = Event.of(draft, one.number)
        logs[one.subject_id] = (_after(log, event), person_id, length + 1)
        row = CreditEvent(
            person_id=person_id,
            subject_id=one.subject_id,
            batch_id=batch_id,
            source=source,
            reference_digest=reference_digest(context, source, one.reference),
            created_ms=context.now(),
        )
        context.store.people.seal(session, row, CreditEvent.content, event.encode())
        made.append((operation(draft.message), event))
    return made


def _after(log: Kept, event: Event) -> Kept:
    """The log whose next event follows this one."""
    return Kept(log.opened, event.opening.next_slot)


def _free_slots(context: CreditContext, session: Session, subject_ids: set[str]) -> dict[str, tuple[Kept, str, int]]:
    """Where each subject's log goes on, with its person and its length."""
    found: dict[str, tuple[Kept, str, int]] = {}
    ids = sorted(subject_ids)
    rows = {row.id: row for row in session.scalars(select(CreditSubject).where(CreditSubject.id.in_(ids)))}
    last = (
        select(CreditEvent)
        .join(CreditSubject, CreditSubject.id == CreditEvent.subject_id)
        .where(CreditEvent.subject_id.in_(ids), CreditEvent.position == CreditSubject.count - 1)
    )
    ends = {row.subject_id: row for row in session.scalars(last)}
    for subject_id, row in rows.items():
        if row.state != State.OPEN:
            raise Problem(LOG_CLOSED)
        begun = secrets_of(context, session, row)
        free = begun.first_slot
        if subject_id in ends:
            text = context.store.people.open(session, ends[subject_id], CreditEvent.content)
            free = Event.decode(text or "").opening.next_slot
        found[subject_id] = (Kept(Opened(begun.first_slot, begun.log_salt), free), row.person_id, row.count)
    return found


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

    Of which class an event is stands under its person's key: only logs that could come to a limit are opened.
    """
    asked = Counter(one.subject_id for one in wanted)
    chosen = (
        (CreditEvent.source == source)
        & CreditEvent.subject_id.in_(sorted(asked))
        & CreditEvent.position.is_not(None)
        & (CreditEvent.created_ms > context.now() - DAY_MS)
    )
    recorded = session.execute(
        select(CreditEvent.subject_id, func.count()).where(chosen).group_by(CreditEvent.subject_id)
    )
    near = [subject_id for subject_id, count in recorded if count + asked[subject_id] > FLOOD_MAX]
    found: Counter[tuple[str, bool]] = Counter()
    for row in session.scalars(select(CreditEvent).where(chosen, CreditEvent.subject_id.in_(near))):
        event = Event.decode(context.store.people.open(session, row, CreditEvent.content) or "")
        found[row.subject_id, _is_negative(event.number, catalogue)] += 1
    return found


def _is_negative(number: int, catalogue: Mapping[int, pb.PutClass]) -> bool:
    """Whether a class is: each of its versions is what the first one was."""
    return catalogue[number].polarity == pb.POLARITY_NEGATIVE
