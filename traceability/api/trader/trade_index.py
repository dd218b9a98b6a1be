# SPDX-License-Identifier: Apache-2.0
"""What the pages of traders and regulators ask of the chain beside its events: who acts for whom, each recall, counts.

A part of the index of food events, filled from certified blocks like all of it.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import BigInteger, Column, Connection, Integer, MetaData, String, Table, delete, insert, select, update

from chain.types import OPERATIONS_MAX
from client.answers import ProvenBlock
from service.index import Event, decode_event
from traceability.api.trace_index import ITEM_CHARACTERS_MAX
from traceability.participants import AGENTS_MAX
from traceability.pb import traceability_pb2 as pb
from traceability.violations import violation_of

PRINCIPALS_MAX: Final = 500
"""Farms of one cooperative that its page offers: more than any has, and a page that still opens at once."""

metadata = MetaData()

agents_table = Table(
    "food_agent",
    metadata,
    Column("principal", String(13), primary_key=True),
    Column("agent", String(13), primary_key=True, index=True),
)
"""Who may sign in whose name."""

recall_log_table = Table(
    "food_recall_log",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("item", String(ITEM_CHARACTERS_MAX), primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("kind", Integer, nullable=False),
    Column("reason", Integer, nullable=False),
    Column("actor", String(13), nullable=False),
)
"""Each recall, withdrawal and lifting in its order; a lifting has kind 0, a regulator's no actor."""

days_table = Table(
    "food_day",
    metadata,
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("what", String(16), primary_key=True),
    Column("count", BigInteger, nullable=False),
)
"""How many events of a day were recorded, or refused as a violation of some kind; days of the city, from 1970."""

RECORDED: Final = "recorded"
DAY_MS: Final = 86_400_000
ZONE_MS: Final = 8 * 3_600_000
"""The city's clock against UTC."""


class TradeTables:
    """The subscriber that fills these tables."""

    name = "trade"
    version = 1
    metadata = metadata

    def apply(self, connection: Connection, blocks: Sequence[ProvenBlock], events: Sequence[Event]) -> None:  # noqa: ARG002 - the protocol's
        """See `service.index.tables.Subscriber`."""
        _count(connection, events)
        for event in events:
            if event.failure:
                continue
            if event.type == "traceability.SetAgents":
                agents = decode_event(event, pb.SetAgents)
                assert agents is not None, "an operation that took effect decodes"
                _set_agents(connection, agents)
            elif event.type in {"traceability.Recall", "traceability.LiftRecall"}:
                _log_recall(connection, event)


def principals_of(connection: Connection, agent: str) -> list[str]:
    """Participants that named somebody as their agent, by GLN; the ledger itself has the last word."""
    wanted = select(agents_table.c.principal).where(agents_table.c.agent == agent)
    return list(connection.scalars(wanted.order_by(agents_table.c.principal).limit(PRINCIPALS_MAX)))


def day_of(unix_ms: int) -> int:
    """The day of a moment by the city's clock."""
    return (unix_ms + ZONE_MS) // DAY_MS


def _count(connection: Connection, events: Sequence[Event]) -> None:
    """Add the events of some blocks to their days."""
    found: dict[tuple[int, str], int] = {}
    for event in events:
        if event.type != "traceability.RecordEvent":
            continue
        violation = violation_of(event.failure) if event.failure else None
        if event.failure and violation is None:
            continue
        name = (day_of(event.time_ms), RECORDED if violation is None else violation.value)
        found[name] = found.get(name, 0) + 1
    for (day, what), count in sorted(found.items()):
        mine = (days_table.c.day == day) & (days_table.c.what == what)
        changed = connection.execute(update(days_table).where(mine).values(count=days_table.c.count + count))
        if not changed.rowcount:
            connection.execute(insert(days_table), [{"day": day, "what": what, "count": count}])


def _set_agents(connection: Connection, message: pb.SetAgents) -> None:
    """A participant's agents anew."""
    connection.execute(delete(agents_table).where(agents_table.c.principal == message.participant))
    rows = [{"principal": message.participant, "agent": agent} for agent in message.agents[:AGENTS_MAX]]
    if rows:
        connection.execute(insert(agents_table), rows)


def _log_recall(connection: Connection, event: Event) -> None:
    """One row for each item."""
    is_recall = event.type == "traceability.Recall"
    message = decode_event(event, pb.Recall) if is_recall else decode_event(event, pb.LiftRecall)
    assert message is not None, "an operation that took effect decodes"
    shared = {
        "number": event.leaf_index * OPERATIONS_MAX + event.operation_index,
        "at_ms": event.time_ms,
        "kind": message.kind if isinstance(message, pb.Recall) else 0,
        "reason": message.reason if isinstance(message, pb.Recall) else 0,
        "actor": message.actor,
    }
    connection.execute(insert(recall_log_table), [{**shared, "item": item} for item in message.items])
