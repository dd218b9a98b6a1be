# SPDX-License-Identifier: Apache-2.0
"""The index of food events: which events name which goods, what was refused, and what is recalled.

Filled from certified blocks like every index, and rebuilt at any time. An event's row keeps its public projection as it
stands in the log; a search decodes what it meets. Refusals are the regulator's list: the ledger recorded each attempt.
Recalls here are a hint for lists; whether something is recalled, a page proves from state. Participants, places and
products are kept as they were last recorded, for their names; `trace_records` reads them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from chain.codec import encode
from chain.types import HASH_BYTES, OPERATIONS_MAX
from client.answers import ProvenBlock
from service.index import Event, decode_event
from traceability.acts import Act, act_of
from traceability.pb import traceability_pb2 as pb
from traceability.trace_store import process_item
from traceability.violations import violation_of

ITEM_CHARACTERS_MAX: Final = 100
"""A process with its actor and 32 bytes in hex is the longest name: 86."""
CHUNK: Final = 500
"""Values of one IN (...): below what any database refuses."""

metadata = MetaData()

items_table = Table(
    "food_item",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("item", String(ITEM_CHARACTERS_MAX), nullable=False, unique=True),
)
"""Numbers for what events name: goods, containers, and transformations in parts."""

events_table = Table(
    "food_event",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("id", LargeBinary(HASH_BYTES), nullable=False, unique=True),
    Column("time_ms", BigInteger, nullable=False),
    Column("recorded_ms", BigInteger, nullable=False),
    Column("act", Integer, nullable=False),
    Column("actor", String(13), nullable=False),
    Column("place", String(13), nullable=False),
    Column("counterparty", String(13), nullable=False),
    Column("carrier", String(13), nullable=False),
    Column("type", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("disposition", Integer, nullable=False),
    Column("transaction_id", LargeBinary(HASH_BYTES), nullable=False),
    Column("projection", LargeBinary, nullable=False),
    Column("unpacked", LargeBinary, nullable=False),
    Column("declared_ms", BigInteger, nullable=False),
    Index("food_event_by_actor", "actor", "time_ms"),
    Index("food_event_by_place", "place", "time_ms"),
    Index("food_event_in_time", "time_ms", "number"),
    Index("food_event_by_step", "step", "time_ms", "number"),
    Index("food_event_by_disposition", "disposition", "time_ms", "number"),
)
"""`number`: its place in the log times 1,024, plus that in its transaction. `time_ms`: the event's own,
`recorded_ms` its block's. `unpacked`: a projection whose lines are what came out, where the event names none."""

touches_table = Table(
    "food_touch",
    metadata,
    Column("item", BigInteger, primary_key=True, autoincrement=False),
    Column("event", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)
"""Which events list an item, in the order of recording."""

parties_table = Table(
    "food_party",
    metadata,
    Column("party", String(13), primary_key=True),
    Column("event", BigInteger, primary_key=True, autoincrement=False),
    Column("time_ms", BigInteger, nullable=False),
    Index("food_party_in_time", "party", "time_ms", "event"),
    sqlite_with_rowid=False,
)
"""Whose events they are: of the actor, of the other party of a shipment or receipt, and of a shipment's carrier."""

contents_table = Table(
    "food_content",
    metadata,
    Column("container", BigInteger, primary_key=True, autoincrement=False),
    Column("item", BigInteger, primary_key=True, autoincrement=False),
    Column("quantity", BigInteger, nullable=False),
)
"""What is in a container just now."""

refusals_table = Table(
    "food_refusal",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("recorded_ms", BigInteger, nullable=False),
    Column("code", String(64), nullable=False),
    Column("violation", String(16), nullable=False, index=True),
    Column("actor", String(13), nullable=False, index=True),
    Column("projection", LargeBinary, nullable=False),
)
"""Events of transactions that a rule refused; `violation` is empty for faults of form or of rights."""

recalls_table = Table(
    "food_recall",
    metadata,
    Column("item", String(ITEM_CHARACTERS_MAX), primary_key=True),
    Column("kind", Integer, nullable=False),
    Column("reason", Integer, nullable=False),
    Column("actor", String(13), nullable=False),
    Column("since_ms", BigInteger, nullable=False),
)
"""Recalls in force; `actor` is empty for a regulator's."""

records_table = Table(
    "food_record",
    metadata,
    Column("kind", String(12), primary_key=True),
    Column("number", String(14), primary_key=True),
    Column("changed_ms", BigInteger, nullable=False),
    Column("record", LargeBinary, nullable=False),
)
"""Participants and places by GLN, products by GTIN: the message that recorded each last."""

_ACTS: Final = {act: number for number, act in enumerate(Act, 1)}


class Recorded(NamedTuple):
    """An event as the log has it.

    Attributes:
        number: Of its row.
        time_ms: Its block's.
        transaction_id: For whoever asks nodes for its receipt; the operation's index is `number` modulo 1,024.
    """

    number: int
    time_ms: int
    projection: pb.Projection
    transaction_id: bytes


@dataclass(slots=True)
class Rows:
    """What some events add, gathered before anything is written."""

    events: list[dict[str, Any]] = field(default_factory=list)
    touches: list[tuple[str, int]] = field(default_factory=list)
    parties: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[dict[str, Any]] = field(default_factory=list)
    contents: dict[str, dict[str, int]] = field(default_factory=dict)


class FoodTables:
    """The subscriber that fills these tables."""

    name = "food"
    version = 3
    metadata = metadata

    def apply(self, connection: Connection, blocks: Sequence[ProvenBlock], events: Sequence[Event]) -> None:  # noqa: ARG002 - the protocol's
        """See `service.index.tables.Subscriber`."""
        recorded: list[Recorded] = []
        rows = Rows()
        later: list[tuple[int, _Later]] = []
        for event in events:
            number = event.leaf_index * OPERATIONS_MAX + event.operation_index
            if event.type == "traceability.RecordEvent":
                message = decode_event(event, pb.RecordEvent)
                if message is not None and event.failure:
                    rows.refusals.append(_refusal(number, event, message.projection))
                elif message is not None:
                    recorded.append(Recorded(number, event.time_ms, message.projection, event.transaction_id))
            elif not event.failure and event.type in _LATER:
                found = decode_event(event, _LATER[event.type])
                assert found is not None, "an operation that took effect decodes"
                later.append((event.time_ms, found))
        add_events(connection, recorded, rows)
        for time_ms, change in later:
            _change(connection, time_ms, change)


_Later = pb.DeclareError | pb.Recall | pb.LiftRecall | pb.RecordParticipant | pb.RecordPlace | pb.RecordProduct
_LATER: Final[dict[str, type[_Later]]] = {
    f"traceability.{kind.DESCRIPTOR.name}": kind
    for kind in (pb.DeclareError, pb.Recall, pb.LiftRecall, pb.RecordParticipant, pb.RecordPlace, pb.RecordProduct)
}


def add_events(connection: Connection, recorded: Sequence[Recorded], rows: Rows | None = None) -> None:
    """Write the rows of recorded events.

    Args:
        connection: In a transaction of the caller's.
        recorded: In the order of recording.
        rows: With refusals to write as well.
    """
    rows = Rows() if rows is None else rows
    containers = [one.projection.parent for one in recorded if one.projection.parent]
    rows.contents = _load_contents(connection, containers)
    for one in recorded:
        _gather(rows, one)
    names = {item for item, _ in rows.touches} | {item for inside in rows.contents.values() for item in inside}
    numbers = _number_items(connection, sorted(names | {*rows.contents}))
    _insert(connection, events_table, rows.events)
    _insert(
        connection,
        touches_table,
        [{"item": numbers[item], "event": number} for item, number in rows.touches],
    )
    _insert(connection, parties_table, rows.parties)
    _insert(connection, refusals_table, rows.refusals)
    for some in chunks(sorted(rows.contents)):
        connection.execute(delete(contents_table).where(contents_table.c.container.in_([numbers[c] for c in some])))
    inside = [
        {"container": numbers[container], "item": numbers[item], "quantity": quantity}
        for container, held in rows.contents.items()
        for item, quantity in held.items()
    ]
    _insert(connection, contents_table, inside)


def _gather(rows: Rows, recorded: Recorded) -> None:
    """One event's rows."""
    number, projection = recorded.number, recorded.projection
    act = act_of(projection)
    came_out = _pack(rows, act, projection)
    names = [line.item for line in (*projection.lines, *projection.outputs, *came_out.lines)]
    names += [projection.parent] if projection.parent else []
    names += [process_item(projection.actor, projection.process)] if projection.process else []
    rows.touches += [(item, number) for item in dict.fromkeys(names)]
    parties = dict.fromkeys((projection.actor, projection.counterparty, projection.carrier))
    rows.parties += [
        {"party": party, "event": number, "time_ms": projection.event_time_ms} for party in parties if party
    ]
    rows.events.append(
        {
            "number": number,
            "id": projection.id,
            "time_ms": projection.event_time_ms,
            "recorded_ms": recorded.time_ms,
            "act": _ACTS[act],
            "actor": projection.actor,
            "place": projection.place,
            "counterparty": projection.counterparty,
            "carrier": projection.carrier,
            "type": projection.type,
            "step": projection.step,
            "disposition": projection.disposition,
            "transaction_id": recorded.transaction_id,
            "projection": encode(projection),
            "unpacked": encode(came_out),
            "declared_ms": 0,
        }
    )


def _pack(rows: Rows, act: Act, projection: pb.Projection) -> pb.Projection:
    """Keep a container's contents; what came out of it where the event names nothing."""
    came_out = pb.Projection()
    if act not in (Act.PACK, Act.UNPACK):
        return came_out
    inside = rows.contents.setdefault(projection.parent, {})
    if act is Act.PACK:
        for line in projection.lines:
            inside[line.item] = inside.get(line.item, 0) + line.quantity
        return came_out
    if not projection.lines:
        came_out.lines.extend(pb.Line(item=item, quantity=quantity) for item, quantity in inside.items())
        inside.clear()
    for line in projection.lines:
        left = inside.get(line.item, 0) - line.quantity
        if left > 0:
            inside[line.item] = left
        else:
            inside.pop(line.item, None)
    return came_out


def _refusal(number: int, event: Event, projection: pb.Projection) -> dict[str, Any]:
    """A refused event's row."""
    violation = violation_of(event.failure)
    return {
        "number": number,
        "recorded_ms": event.time_ms,
        "code": event.failure[:64],
        "violation": "" if violation is None else violation.value,
        "actor": projection.actor[:13],
        "projection": encode(projection),
    }


def _change(connection: Connection, time_ms: int, message: _Later) -> None:
    """What an operation changes of rows that are there."""
    if isinstance(message, pb.RecordParticipant | pb.RecordPlace | pb.RecordProduct):
        kind = message.DESCRIPTOR.name.removeprefix("Record").lower()
        number = message.gtin if isinstance(message, pb.RecordProduct) else message.gln
        mine = (records_table.c.kind == kind) & (records_table.c.number == number)
        connection.execute(delete(records_table).where(mine))
        _insert(
            connection,
            records_table,
            [{"kind": kind, "number": number, "changed_ms": time_ms, "record": encode(message)}],
        )
        return
    if isinstance(message, pb.DeclareError):
        row = update(events_table).where(events_table.c.id == bindparam("event")).values(declared_ms=time_ms)
        connection.execute(row, {"event": message.event})
        return
    connection.execute(delete(recalls_table).where(recalls_table.c.item.in_(list(message.items))))
    if isinstance(message, pb.Recall):
        shared = {"kind": message.kind, "reason": message.reason, "actor": message.actor, "since_ms": time_ms}
        _insert(connection, recalls_table, [{"item": item, **shared} for item in message.items])


def _load_contents(connection: Connection, containers: Iterable[str]) -> dict[str, dict[str, int]]:
    """What is in some containers, as of the rows so far."""
    found: dict[str, dict[str, int]] = {container: {} for container in containers}
    container, item = items_table.alias(), items_table.alias()
    for some in chunks(sorted(found)):
        rows = connection.execute(
            select(container.c.item, item.c.item, contents_table.c.quantity)
            .join(container, container.c.number == contents_table.c.container)
            .join(item, item.c.number == contents_table.c.item)
            .where(container.c.item.in_(some))
        )
        for name, inside, quantity in rows:
            found[name][inside] = quantity
    return found


def _number_items(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """The numbers of items, new ones for those that are new."""
    numbers = numbers_of(connection, names)
    new = [name for name in names if name not in numbers]
    if new:
        last = connection.execute(select(func.max(items_table.c.number))).scalar() or 0
        rows = [{"number": number, "item": item} for number, item in enumerate(new, last + 1)]
        _insert(connection, items_table, rows)
        numbers.update((item, number) for number, item in enumerate(new, last + 1))
    return numbers


def numbers_of(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """The numbers of items that are known."""
    found: dict[str, int] = {}
    for some in chunks(names):
        rows = connection.execute(select(items_table.c.item, items_table.c.number).where(items_table.c.item.in_(some)))
        found.update((item, number) for item, number in rows)
    return found


def chunks(names: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """In parts that fit one question."""
    for start in range(0, len(names), CHUNK):
        yield names[start : start + CHUNK]


def _insert(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)
