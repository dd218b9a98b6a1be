# SPDX-License-Identifier: Apache-2.0
"""Capture jobs: accepted in one transaction with all of their events, and looked at by whoever sent them.

Once a document is accepted, its events with their secrets outlive any crash; `capture_steps` moves them on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock
from typing import Final

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from service.store import Store, new_id
from traceability.api.capture_document import Offered
from traceability.api.kept import Owner, Whole, find_owner, load_owner, make_owner, new_secret, unpack
from traceability.api.tables import FoodCapture, FoodCaptureItem

JOBS_MAX: Final = 10_000
"""Jobs of one participant that are not done; more wait with the sender."""
FAULTS_SHOWN_MAX: Final = 1_000
"""Errors that one look at a job lists."""
FAULT_CHARACTERS_MAX: Final = 4_000
"""Of the errors of one event."""
DUPLICATE: Final = "capture.duplicate"
INVALID: Final = "capture.invalid"
UNRECORDABLE: Final = "capture.unrecordable"
ROLLED_BACK: Final = "capture.rolled-back"


class State(StrEnum):
    """Where an event of a job is."""

    WAITING = "waiting"
    SENT = "sent"
    RECORDED = "recorded"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an event was not recorded.

    Attributes:
        position: Of the event in its document, 0-based.
        code: Of the ledger's rule, or "capture.…".
        detail: With the field, where one is at fault.
    """

    position: int
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Job:
    """A job as its owner sees it.

    Attributes:
        success: False: something was refused. While it runs, True means that nothing has been so far.
        recorded: How many events are on the ledger; of a document that is rolled back, none.
        finished_ms: 0 while it runs.
    """

    id: str
    number: int
    is_rollback: bool
    is_running: bool
    success: bool
    events: int
    recorded: int
    created_ms: int
    finished_ms: int
    faults: tuple[Fault, ...] = ()


class TooManyJobs(Exception):
    """A participant has too many jobs that are not done."""


class Jobs:
    """The jobs of one store.

    Args:
        store: The private store.
        now: Unix time in ms.

    Attributes:
        turn: Held by whoever writes: SQLite lets its writers in as chance has it, and one may wait for too long.
    """

    def __init__(self, store: Store, now: Callable[[], int]) -> None:
        self.store = store
        self.turn = Lock()
        self._now = now

    def accept(self, gln: str, offered: Sequence[Offered], *, is_rollback: bool) -> Job:
        """Take a document on: once this returns, its events outlive any crash.

        Args:
            gln: Whose events they are.
            offered: At most 2,000.
            is_rollback: All or none.

        Raises:
            TooManyJobs: Later.
        """
        job = new_id()
        owner = self._owner(gln)
        items = [_item(owner, job, position, one) for position, one in enumerate(offered)]  # sealed before others wait
        with self.turn, self.store.write() as session:
            open_jobs = select(FoodCapture.number).where(
                FoodCapture.owner_id == owner.id, FoodCapture.is_running.is_(True)
            )
            if len(session.scalars(open_jobs.limit(JOBS_MAX)).all()) >= JOBS_MAX:
                raise TooManyJobs
            row = FoodCapture(
                id=job,
                owner_id=owner.id,
                is_rollback=is_rollback,
                is_running=True,
                is_success=all(not one.problems for one in offered),
                events=len(offered),
                created_ms=self._now(),
            )
            session.add(row)
            session.flush()
            if items:
                session.execute(insert(FoodCaptureItem), [{"capture": row.number, **item} for item in items])
            return _job(row, 0)

    def _owner(self, gln: str) -> Owner:
        """A participant's key; made at its first capture."""
        with self.store.read() as session:
            found = find_owner(self.store, session, gln)
        if found is not None:
            return found
        with self.turn, self.store.write() as session:
            return make_owner(self.store, session, gln)

    # ------------------------------------------------------------ looking

    def find(self, gln: str, job_id: str) -> Job | None:
        """A participant's job with its errors; None: it has none of that id."""
        with self.store.read() as session:
            row = session.scalar(select(FoodCapture).where(FoodCapture.id == job_id))
            owner = None if row is None else load_owner(self.store, session, row.owner_id)
            if row is None or owner is None or owner.gln != gln:
                return None
            items = session.scalars(
                select(FoodCaptureItem)
                .where(FoodCaptureItem.capture == row.number, FoodCaptureItem.state == State.REFUSED)
                .order_by(FoodCaptureItem.position)
                .limit(FAULTS_SHOWN_MAX)
            ).all()
            faults = tuple(fault_of(owner, job_id, item) for item in items)
            return _job(row, _recorded(session, [row.number]).get(row.number, 0), faults)

    def page(self, gln: str, before: int, size: int) -> list[Job]:
        """A participant's jobs, the newest first.

        Args:
            gln: Whose.
            before: Only jobs of smaller number; 0: from the newest on.
            size: At most so many.
        """
        with self.store.read() as session:
            owner = find_owner(self.store, session, gln)
            if owner is None:
                return []
            query = select(FoodCapture).where(FoodCapture.owner_id == owner.id)
            if before:
                query = query.where(FoodCapture.number < before)
            rows = session.scalars(query.order_by(FoodCapture.number.desc()).limit(size)).all()
            recorded = _recorded(session, [row.number for row in rows])
            return [_job(row, recorded.get(row.number, 0)) for row in rows]

    def running(self) -> list[tuple[str, int]]:
        """Of each owner with work, the oldest job that is not done: the owner's id and the job's number."""
        with self.store.read() as session:
            rows = session.execute(
                select(FoodCapture.owner_id, FoodCapture.number)
                .where(FoodCapture.is_running.is_(True))
                .order_by(FoodCapture.number)
                .limit(JOBS_MAX)
            ).all()
        first: dict[str, int] = {}
        for owner, number in rows:
            first.setdefault(owner, number)
        return list(first.items())


def fault_of(owner: Owner, job: str, item: FoodCaptureItem) -> Fault:
    """Why an event of a job was refused."""
    raw = b"" if item.fault is None else owner.unseal(item.fault, "fault", job, item.position)
    return Fault(item.position, item.code, raw.decode())


def sealed_fault(owner: Owner, job: str, position: int, detail: str) -> bytes:
    """What is kept of it."""
    return owner.seal(detail[:FAULT_CHARACTERS_MAX].encode(), "fault", job, position)


def whole_of(owner: Owner, job: str, item: FoodCaptureItem) -> Whole:
    """An event that waits."""
    assert item.content is not None, "what waits has its content"
    return unpack(owner.unseal(item.content, "item", job, item.position))


def _item(owner: Owner, job: str, position: int, offered: Offered) -> dict[str, object]:
    """An event's row, but for the job's number."""
    row: dict[str, object] = {"position": position, "operation": None}
    if offered.problems:
        fault = sealed_fault(owner, job, position, "; ".join(str(problem) for problem in offered.problems))
        return row | {"state": State.REFUSED, "content": None, "code": INVALID, "fault": fault}
    content = owner.seal(new_secret() + offered.data, "item", job, position)
    return row | {"state": State.WAITING, "content": content, "code": "", "fault": None}


def _recorded(session: Session, numbers: Sequence[int]) -> Mapping[int, int]:
    """How many events of each job are on the ledger."""
    rows = session.execute(
        select(FoodCaptureItem.capture, func.count())
        .where(FoodCaptureItem.capture.in_(numbers), FoodCaptureItem.state == State.RECORDED)
        .group_by(FoodCaptureItem.capture)
    )
    return {row[0]: row[1] for row in rows}


def _job(row: FoodCapture, recorded: int, faults: tuple[Fault, ...] = ()) -> Job:
    return Job(
        row.id,
        row.number,
        row.is_rollback,
        row.is_running,
        row.is_success,
        row.events,
        recorded,
        row.created_ms,
        row.finished_ms or 0,
        faults,
    )
