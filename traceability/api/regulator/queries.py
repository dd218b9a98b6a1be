# SPDX-License-Identifier: Apache-2.0
"""What the regulator's lists ask of the index: counts of days, refused attempts, recalls, and goods by a name.

Each blocks: ask from a worker thread. Recalls here are the index's; a page about one item reads the ledger itself.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, func, select

from service.tables import Order
from traceability.api.trace_index import events_table, items_table, recalls_table, records_table, refusals_table
from traceability.api.trader.steps import item_of, party_of
from traceability.api.trader.trade_index import RECORDED, day_of, days_table, recall_log_table
from traceability.items import is_gln, is_product
from traceability.pb import traceability_pb2 as pb
from traceability.violations import Violation

DAYS: Final = 14
"""A fortnight on the dashboard: two market weeks side by side."""
FOUND_MAX: Final = 100
"""Outcomes of one search; a reader narrows it."""
QUERY_CHARACTERS_MAX: Final = 400
HISTORY_MAX: Final = 200

_NAME = re.compile(r"[A-Za-z0-9._-]{2,20}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Days:
    """Counts of the last days, the oldest first.

    Attributes:
        days: By the city's clock, counted from 1970.
        counts: For what was recorded and each kind of violation, one number for each day.
    """

    days: Sequence[int]
    counts: Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Refused:
    """An attempt that a rule refused; it stands in the log."""

    number: int
    recorded_ms: int
    code: str
    violation: str
    projection: pb.Projection


@dataclass(frozen=True, slots=True)
class Recalled:
    """A recall in force, or a line of their history; kind 0 is a lifting."""

    item: str
    kind: int
    reason: int
    actor: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to.

    Attributes:
        items: Goods and containers.
        parties: GLNs of participants.
    """

    items: Sequence[str] = ()
    parties: Sequence[str] = ()


def days_of(connection: Connection, now_ms: int) -> Days:
    """The last fortnight in numbers."""
    last = day_of(now_ms)
    days = range(last - DAYS + 1, last + 1)
    table = days_table.c
    rows = connection.execute(select(table.day, table.what, table.count).where(table.day >= days[0], table.day <= last))
    found = {(day, what): int(count) for day, what, count in rows}
    names = (RECORDED, *(violation.value for violation in Violation))
    return Days(list(days), {name: [found.get((day, name), 0) for day in days] for name in names})


def totals_of(connection: Connection) -> Mapping[str, int]:
    """All that was ever recorded, and refused by kind."""
    rows = connection.execute(select(days_table.c.what, func.sum(days_table.c.count)).group_by(days_table.c.what))
    return {what: int(total) for what, total in rows}


def violations_of(
    connection: Connection, kind: str, order: Order | None, *, limit: int
) -> tuple[Sequence[Refused], int]:
    """Refused attempts, the newest first unless the order says otherwise, and how many there are.

    Args:
        connection: Of the index.
        kind: Of violation; empty: any.
        order: What the page asks for; None: all up to the limit.
        limit: At most so many.
    """
    table = refusals_table.c
    wanted = (table.violation == kind) if kind else (table.violation != "")
    total = int(connection.scalar(select(func.count()).select_from(refusals_table).where(wanted)) or 0)
    query = select(table.number, table.recorded_ms, table.code, table.violation, table.projection).where(wanted)
    rising = order is not None and order.key == "time" and not order.descending
    query = query.order_by(table.number if rising else table.number.desc())
    query = query.limit(limit).offset(0 if order is None else order.offset)
    rows = connection.execute(query)
    return [Refused(n, at, code, what, pb.Projection.FromString(raw)) for n, at, code, what, raw in rows], total


def recalls_of(connection: Connection) -> Sequence[Recalled]:
    """Recalls in force, the newest first."""
    table = recalls_table.c
    query = select(table.item, table.kind, table.reason, table.actor, table.since_ms)
    rows = connection.execute(query.order_by(table.since_ms.desc(), table.item).limit(HISTORY_MAX))
    return [Recalled(*row) for row in rows]


def recall_count(connection: Connection) -> int:
    """How many are in force."""
    return int(connection.scalar(select(func.count()).select_from(recalls_table)) or 0)


def recall_history(connection: Connection, item: str = "") -> Sequence[Recalled]:
    """Recalls, withdrawals and liftings, the newest first.

    Args:
        connection: Of the index.
        item: Only its own; empty: all.
    """
    table = recall_log_table.c
    query = select(table.item, table.kind, table.reason, table.actor, table.at_ms)
    if item:
        query = query.where(table.item == item)
    rows = connection.execute(query.order_by(table.number.desc(), table.item).limit(HISTORY_MAX))
    return [Recalled(*row) for row in rows]


def search(connection: Connection, asked: str) -> Found:
    """Goods and participants by a code, a number, a name, or the beginning of a lot's or serial's name.

    Args:
        connection: Of the index.
        asked: As it was typed or scanned; bounded by the caller.
    """
    asked = asked.strip()[:QUERY_CHARACTERS_MAX]
    if not asked:
        return Found()
    item = item_of(asked)
    if item:
        return Found(items=[item])
    if is_product(asked) or is_product(f"01/{asked}"):
        return Found(items=[asked if is_product(asked) else f"01/{asked}"])
    party = party_of(asked)
    if party:
        return Found(parties=[party])
    items: Sequence[str] = ()
    if _NAME.fullmatch(asked) is not None:
        table = items_table.c
        begins = asked.replace("_", r"\_")
        wanted = table.item.like(f"01/%/10/{begins}%", escape="\\") | table.item.like(f"01/%/21/{begins}%", escape="\\")
        items = connection.scalars(select(table.item).where(wanted).order_by(table.item).limit(FOUND_MAX)).all()
    return Found(items, _named(connection, asked))


def _named(connection: Connection, asked: str) -> Sequence[str]:
    """Participants with a word in their name; there are thousands, so each is looked at."""
    table = records_table.c
    found: list[str] = []
    for number, raw in connection.execute(select(table.number, table.record).where(table.kind == "participant")):
        record = pb.RecordParticipant.FromString(raw)
        if asked.casefold() in f"{record.name_zh} {record.name_en}".casefold():
            found.append(number)
        if len(found) >= FOUND_MAX:
            break
    return found


def events_of(connection: Connection, gln: str, *, limit: int) -> Sequence[tuple[int, pb.Projection]]:
    """A participant's newest events, with the time of their blocks."""
    if not is_gln(gln):
        return []
    table = events_table.c
    query = select(table.recorded_ms, table.projection).where((table.actor == gln) | (table.counterparty == gln))
    rows = connection.execute(query.order_by(table.number.desc()).limit(limit))
    return [(at, pb.Projection.FromString(raw)) for at, raw in rows]
