# SPDX-License-Identifier: Apache-2.0
"""A capture job moved on a step at a time: the next transaction is chosen, signed and stored; then its outcome.

What is durable: before anything is sent, the signed transaction; with its outcome, the events that it recorded. A
crash anywhere leaves a step to repeat, and repeating one records nothing twice: the same transaction executes once, and
an event that is signed anew keeps its secret and so its id on the chain, which the ledger takes once. Work is prepared
while others write; what it rests on is looked at again in the transaction that stores it.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Table, Update, bindparam, delete, insert, select, update
from sqlalchemy.orm import Session

from chain.transaction import Operation, SignedTransaction, decode
from chain.types import TRANSACTION_BYTES_MAX
from traceability.api.capture_jobs import (
    DUPLICATE,
    ROLLED_BACK,
    UNRECORDABLE,
    Jobs,
    State,
    sealed_fault,
    whole_of,
)
from traceability.api.carriers import carrier_of
from traceability.api.kept import Owner, find_events, kept_row, load_owner
from traceability.api.tables import CODE_CHARACTERS, FoodCapture, FoodCaptured, FoodCaptureItem, FoodSubmission
from traceability.openings import id_commitment
from traceability.projection import Projected, UnitOf, Unrecordable, event_id_of, project

BATCH_EVENTS_MAX: Final = 200
"""Events of one transaction under "proceed": one that is refused costs the others another one."""
BYTES_SPARE: Final = 4_096
"""Of a transaction, for header and signatures."""
KNOWN: Final = "traceability.event-known"
"""The ledger has an event of this id. Ids come from secrets of this store, so it is the one that was sent."""
WHOLE: Final = -1
"""In place of an operation's index: the transaction itself was refused."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a job waits for: the outcome of a transaction that is signed and stored."""

    capture: int
    transaction: SignedTransaction


Sign = Callable[[Sequence[Operation], str], SignedTransaction]
"""Signs operations in a participant's name, by GLN."""


@dataclass(slots=True)
class _Plan:
    """The next events of a job.

    Attributes:
        positions: Of those in the transaction, in its order.
        names: Ids on the chain of events in the transaction, by EPCIS id.
        declared: EPCIS ids of those in it that are declared in error.
        known: Ids of events captured before, by EPCIS id; of events, and of declarations.
        faults: Those that cannot be recorded: code and detail by position.
    """

    positions: list[int] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    size_bytes: int = 0
    names: dict[str, bytes] = field(default_factory=dict)
    declared: set[str] = field(default_factory=set)
    faults: dict[int, tuple[str, str]] = field(default_factory=dict)
    known: dict[bool, Mapping[str, bytes]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Opened:
    """An event that waits, as it was sent."""

    secret: bytes
    event: dict[str, Any]
    context: object
    event_id: str
    is_declaration: bool


class Steps:
    """Moves the jobs of one store on.

    Args:
        jobs: The store's, whose turns of writing are kept.
        now: Unix time in ms.
        sign: Signs in participants' names.
    """

    def __init__(self, jobs: Jobs, now: Callable[[], int], sign: Sign) -> None:
        self._store = jobs.store
        self._turn = jobs.turn
        self._now = now
        self._sign = sign

    def next(self, number: int, unit_of: UnitOf) -> Step | None:
        """The transaction that a job waits for, or its next one, signed and stored; None: the job is done.

        Args:
            number: The job's.
            unit_of: Looks products up.
        """
        while True:
            with self._store.read() as session:
                row = session.get(FoodCapture, number)
                if row is None or not row.is_running:
                    return None
                submission = session.get(FoodSubmission, number)
                if submission is not None:
                    return Step(number, decode(submission.raw))
                owner = load_owner(self._store, session, row.owner_id)
                assert owner is not None, "a job goes with its owner"
                plan = _plan(session, owner, row, unit_of)
            if row.is_rollback and plan.faults:
                plan.faults |= dict.fromkeys(plan.positions, (ROLLED_BACK, ""))
                plan.positions, plan.operations = [], []
            transaction = self._sign(plan.operations, owner.gln) if plan.operations else None
            if self._store_plan(number, owner, plan, transaction) and transaction is not None:
                return Step(number, transaction)

    def recorded(self, number: int) -> None:
        """The transaction that a job waited for took effect."""
        self._settle(number, lambda _item: None)

    def refused(self, number: int, operation: int, code: str, detail: str = "") -> None:
        """It failed at one of its events, or was refused as a whole.

        Args:
            number: The job's.
            operation: Which of its operations; WHOLE: the transaction itself.
            code: Why.
            detail: For people; may be empty.
        """
        with self._store.read() as session:
            row = session.get(FoodCapture, number)
            is_rollback = row is not None and row.is_rollback

        def fate(item: FoodCaptureItem) -> tuple[State, str, str] | None:
            if code == KNOWN and (is_rollback or item.operation == operation):
                return None
            if operation in (WHOLE, item.operation):
                return (State.REFUSED, code, detail)
            return (State.REFUSED, ROLLED_BACK, "") if is_rollback else (State.WAITING, "", "")

        self._settle(number, fate)

    def expired(self, number: int) -> None:
        """It is known that it executes never more: its events are signed anew, with the same secrets."""
        self._settle(number, lambda _item: (State.WAITING, "", ""))

    def _store_plan(self, number: int, owner: Owner, plan: _Plan, transaction: SignedTransaction | None) -> bool:
        """Store a step before anything is sent; False: another process stored one meanwhile."""
        with self._turn, self._store.write() as session:
            row = session.get(FoodCapture, number, with_for_update=True)
            if row is None or not row.is_running or session.get(FoodSubmission, number) is not None:
                return False
            if plan.faults:
                row.is_success = False
                refused = [_refusal(owner, row.id, at, code, why) for at, (code, why) in plan.faults.items()]
                _change(session, number, refused)
            if transaction is None:
                self._finish_if_idle(session, row)
                return True
            sent = [_row(at, State.SENT, operation=index) for index, at in enumerate(plan.positions)]
            _move(session, number, sent)
            session.add(FoodSubmission(capture=number, raw=transaction.raw))
            return True

    def _settle(self, number: int, fate: Callable[[FoodCaptureItem], tuple[State, str, str] | None]) -> None:
        """Store a transaction's outcome, once.

        Args:
            number: The job's.
            fate: What becomes of each event that was sent; None: it is recorded.
        """
        with self._store.read() as session:
            row = session.get(FoodCapture, number)
            if row is None or session.get(FoodSubmission, number) is None:
                return
            owner = load_owner(self._store, session, row.owner_id)
            assert owner is not None, "a job goes with its owner"
            kept, moved, changed = self._outcome(session, owner, row, fate)
        with self._turn, self._store.write() as session:
            row = session.get(FoodCapture, number, with_for_update=True)
            if row is None or session.get(FoodSubmission, number) is None:
                return  # another process stored it
            if kept:
                session.execute(insert(FoodCaptured), kept)
            if any(one["new_state"] is State.REFUSED for one in changed):
                row.is_success = False
            _move(session, number, moved)
            _change(session, number, changed)
            session.execute(delete(FoodSubmission).where(FoodSubmission.capture == number))
            self._finish_if_idle(session, row)

    def _outcome(
        self,
        session: Session,
        owner: Owner,
        row: FoodCapture,
        fate: Callable[[FoodCaptureItem], tuple[State, str, str] | None],
    ) -> tuple[list[dict[str, object]], list[dict[str, object]], list[dict[str, object]]]:
        """Rows of events to keep, events that wait again, and events whose content goes."""
        query = select(FoodCaptureItem).where(
            FoodCaptureItem.capture == row.number, FoodCaptureItem.state == State.SENT
        )
        kept: list[dict[str, object]] = []
        moved: list[dict[str, object]] = []
        changed: list[dict[str, object]] = []
        ids: dict[str, bytes] = {}
        for item in session.scalars(query.order_by(FoodCaptureItem.position)).all():
            found = fate(item)
            if found is None:
                kept.append(self._kept(session, owner, row, item, ids))
                changed.append(_row(item.position, State.RECORDED, code="", fault=None))
            elif found[0] is State.REFUSED:
                changed.append(_refusal(owner, row.id, item.position, found[1], found[2]))
            else:
                moved.append(_row(item.position, State.WAITING, operation=None))
        return kept, moved, changed

    def _kept(
        self, session: Session, owner: Owner, row: FoodCapture, item: FoodCaptureItem, ids: dict[str, bytes]
    ) -> dict[str, object]:
        """The row of an event that is on the ledger. `ids` are those of the same transaction, by EPCIS id."""
        whole = whole_of(owner, row.id, item)
        event, context = whole.opened()
        event_id = event_id_of(event, context)
        is_declaration = "errorDeclaration" in event
        chain_id = id_commitment(event_id, whole.secret)
        if is_declaration:
            chain_id = ids.get(event_id) or find_events(session, owner, [event_id])[event_id]
        else:
            ids[event_id] = chain_id
        return kept_row(owner, event_id, chain_id, whole, self._now(), is_declaration=is_declaration)

    def _finish_if_idle(self, session: Session, row: FoodCapture) -> None:
        """The job is done when nothing waits."""
        session.flush()
        waiting = select(FoodCaptureItem.position).where(
            FoodCaptureItem.capture == row.number, FoodCaptureItem.state == State.WAITING
        )
        if session.scalars(waiting.limit(1)).first() is None:
            row.is_running, row.finished_ms = False, self._now()


def _plan(session: Session, owner: Owner, row: FoodCapture, unit_of: UnitOf) -> _Plan:
    """The next events of a job, projected, as many as go into one transaction."""
    plan = _Plan()
    limit = row.events if row.is_rollback else BATCH_EVENTS_MAX
    items = session.scalars(
        select(FoodCaptureItem)
        .where(FoodCaptureItem.capture == row.number, FoodCaptureItem.state == State.WAITING)
        .order_by(FoodCaptureItem.position)
        .limit(limit)
    ).all()
    waiting = [_opened(owner, row.id, item) for item in items]
    for is_declaration in (False, True):
        names = [one.event_id for one in waiting if one.is_declaration is is_declaration]
        plan.known[is_declaration] = find_events(session, owner, names, is_declaration=is_declaration)
    for item, one in zip(items, waiting, strict=True):
        projected = _projected(session, owner, item.position, one, plan, unit_of)
        if projected is None:
            continue
        (operation,) = projected.operations
        size_bytes = plan.size_bytes + len(operation.raw)
        if plan.operations and size_bytes > TRANSACTION_BYTES_MAX - BYTES_SPARE:
            assert not row.is_rollback, "what is accepted to be rolled back fits one transaction"
            break
        plan.size_bytes = size_bytes
        plan.positions.append(item.position)
        plan.operations.append(operation)
        if projected.message is None:
            plan.declared.add(projected.event_id)
        else:
            plan.names[projected.event_id] = projected.id
    return plan


def _opened(owner: Owner, job: str, item: FoodCaptureItem) -> _Opened:
    """An event that waits."""
    whole = whole_of(owner, job, item)
    event, context = whole.opened()
    return _Opened(whole.secret, event, context, event_id_of(event, context), "errorDeclaration" in event)


def _projected(
    session: Session, owner: Owner, position: int, one: _Opened, plan: _Plan, unit_of: UnitOf
) -> Projected | None:
    """What is recorded of an event; None: nothing, and the plan says why."""

    def id_of(event_id: str) -> bytes | None:
        found = plan.names.get(event_id) or plan.known[False].get(event_id)
        return found or find_events(session, owner, [event_id]).get(event_id)

    name = one.event_id
    taken: Container[str] = plan.declared if one.is_declaration else plan.names
    if name in taken or name in plan.known[one.is_declaration]:
        reason = f"{name} was captured before; what corrects it is an error declaration, and then another event"
        plan.faults[position] = (DUPLICATE, reason)
        return None
    try:
        return project(
            one.event,
            context=one.context,
            actor=owner.gln,
            secret=one.secret,
            unit_of=unit_of,
            id_of=id_of,
            carrier=carrier_of(one.event),
        )
    except Unrecordable as error:
        plan.faults[position] = (UNRECORDABLE, str(error))
        return None


def _row(position: int, state: State, **values: object) -> dict[str, object]:
    return {"at": position, "new_state": state} | {f"new_{name}": value for name, value in values.items()}


def _refusal(owner: Owner, job: str, position: int, code: str, detail: str) -> dict[str, object]:
    """An event is not recorded: its content goes, its error stays."""
    fault = sealed_fault(owner, job, position, detail)
    return _row(position, State.REFUSED, code=code[:CODE_CHARACTERS], fault=fault)


def _move(session: Session, number: int, rows: list[dict[str, object]]) -> None:
    """Events that were sent, or wait again."""
    if rows:
        changes = _at_place(number).values(state=bindparam("new_state"), operation=bindparam("new_operation"))
        session.connection().execute(changes, rows)


def _change(session: Session, number: int, rows: list[dict[str, object]]) -> None:
    """Events that are settled."""
    if rows:
        changes = _at_place(number).values(
            content=None, state=bindparam("new_state"), code=bindparam("new_code"), fault=bindparam("new_fault")
        )
        session.connection().execute(changes, rows)


def _at_place(number: int) -> Update:
    """An update of events of a job by their positions."""
    table = FoodCaptureItem.__table__
    assert isinstance(table, Table), "a mapped table is one"
    return update(table).where(table.c.capture == number, table.c.position == bindparam("at"))
