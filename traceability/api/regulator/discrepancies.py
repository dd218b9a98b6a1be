# SPDX-License-Identifier: Apache-2.0
"""Receipts that did not match what was on its way: computed by the rules, kept in state, gathered here.

What differs stands in the event's record on the ledger and not in the log, so each receipt is looked up there, once,
with proof. The rows can be dropped at any time and are gathered anew.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from chain.errors import LedgerError
from client.errors import TransportError
from service.errors import StorageError
from service.rounds import Round
from service.tables import Order
from traceability.api.regulator.ground import FoodOffice
from traceability.api.regulator.tables import FoodDiscrepancy, FoodReceiptsRead
from traceability.api.trace_index import events_table
from traceability.api.trader.standing import read_state
from traceability.events import event_key, load_event
from traceability.pb import traceability_pb2 as pb

log = structlog.get_logger(__name__)

READ_AT_ONCE: Final = 256
"""Receipts of one question to a node."""
ROUNDS_MAX: Final = 4
"""Questions of one page, which does not wait for more; the service goes on by itself."""
DISCREPANCIES: Final = "discrepancies"
"""What goes on by itself, by the name that readiness has for it."""
AGAIN_S: Final = 10.0
"""How soon new receipts are looked up when nobody opens a page."""


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """A receipt's line that did not match; see `pb.Discrepancy`."""

    event: bytes
    item: str
    recorded_ms: int
    receiver: str
    shipper: str
    over: int
    short: int


@dataclass(frozen=True, slots=True)
class _Receipt:
    number: int
    event: bytes
    recorded_ms: int
    receiver: str
    shipper: str


async def gather(office: FoodOffice) -> bool:
    """Look up receipts that are new since the last time.

    Returns:
        Whether all of them were; False: there are more, for the next time.

    Raises:
        TransportError: The ledger does not answer.
    """
    for _ in range(ROUNDS_MAX):
        receipts = await run_in_threadpool(_unread, office)
        if not receipts:
            return True
        state = await read_state(office.reads, [event_key(one.event) for one in receipts])
        found = []
        for one in receipts:
            record = load_event(state.get, one.event)
            found += [(one, differs) for differs in ([] if record is None else record.discrepancies)]
        await run_in_threadpool(_keep, office, receipts, found)
    return False


def following(office: Callable[[], FoodOffice]) -> Round:
    """Looks receipts up; a ledger that is away holds it up and ends nothing.

    Args:
        office: Of the service, once it runs.
    """

    async def once() -> float:
        return AGAIN_S if await gather(office()) else 0

    return Round("discrepancies", once, AGAIN_S, (TransportError, LedgerError, StorageError, SQLAlchemyError))


def listed(office: FoodOffice, order: Order | None, *, limit: int) -> tuple[Sequence[Discrepancy], int]:
    """Discrepancies, the newest first, and how many there are; blocks."""
    with office.context.store.read() as session:
        total = session.scalar(select(func.count()).select_from(FoodDiscrepancy)) or 0
        rising = order is not None and order.key == "time" and not order.descending
        column = FoodDiscrepancy.number
        query = select(FoodDiscrepancy).order_by(column if rising else column.desc(), FoodDiscrepancy.item)
        rows = session.scalars(query.limit(limit).offset(0 if order is None else order.offset))
        return [
            Discrepancy(row.event, row.item, row.recorded_ms, row.receiver, row.shipper, row.over, row.short)
            for row in rows
        ], total


def _unread(office: FoodOffice) -> list[_Receipt]:
    """The next receipts that were not looked up yet."""
    with office.context.store.read() as session:
        mark = session.get(FoodReceiptsRead, 1)
        after = -1 if mark is None else mark.number
    table = events_table.c
    wanted = (
        select(table.number, table.id, table.recorded_ms, table.actor, table.counterparty)
        .where(table.number > after, table.step == pb.BUSINESS_STEP_RECEIVING)
        .order_by(table.number)
        .limit(READ_AT_ONCE)
    )
    with office.context.reading() as connection:
        return [_Receipt(*row) for row in connection.execute(wanted)]


def _keep(office: FoodOffice, receipts: Sequence[_Receipt], found: Sequence[tuple[_Receipt, pb.Discrepancy]]) -> None:
    """Write discrepancies and how far it has come, in one transaction; what stands there already stays."""
    with office.context.store.write() as session:
        for receipt, differs in found:
            session.merge(
                FoodDiscrepancy(
                    event=receipt.event,
                    item=differs.item,
                    number=receipt.number,
                    recorded_ms=receipt.recorded_ms,
                    receiver=receipt.receiver,
                    shipper=receipt.shipper,
                    over=differs.over,
                    short=differs.short,
                )
            )
        session.merge(FoodReceiptsRead(id=1, number=receipts[-1].number))
