# SPDX-License-Identifier: Apache-2.0
"""The index of credit: slots and how they came to be what they are, catalogue, sources, scorecards, reviews.

Filled from certified blocks like every index, and rebuilt at any time. It knows no person: which slot is whose, the
private store alone can tell. A report is proven from state, not from here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from google.protobuf.message import Message
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from chain.codec import encode
from chain.types import HASH_BYTES
from client.answers import ProvenBlock
from credit.catalogue import class_number
from credit.pb import credit_pb2 as pb
from service.index import Event, decode_event
from service.store.engine import execute_many

BLOCKS_KEPT: Final = 20_000
"""Ids of the newest blocks, for draws that wait for one: five hours of an idle network."""
CHUNK: Final = 500
"""Values of one IN (...): below what any database refuses."""

metadata = MetaData()
M = TypeVar("M", bound=Message)

slots_table = Table(
    "credit_slot",
    metadata,
    Column("slot", LargeBinary(HASH_BYTES), primary_key=True),
    Column("number", Integer, nullable=False),
    Column("class_version", Integer, nullable=False),
    Column("status", Integer, nullable=False),
    Column("before", Integer, nullable=False),
    Column("content", LargeBinary(HASH_BYTES), nullable=False),
    Column("next", LargeBinary(HASH_BYTES), nullable=False),
    Column("objection", LargeBinary(HASH_BYTES), nullable=False),
    Column("recorded_ms", BigInteger, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    Column("steps", Integer, nullable=False),
    Column("upheld", Boolean, nullable=False),
    sqlite_with_rowid=False,
)
steps_table = Table(
    "credit_slot_step",
    metadata,
    Column("slot", LargeBinary(HASH_BYTES), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("status", Integer, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("height", BigInteger, nullable=False),
    Column("transaction_id", LargeBinary(HASH_BYTES), nullable=False),
    sqlite_with_rowid=False,
)
logs_table = Table(
    "credit_log",
    metadata,
    Column("log", LargeBinary(HASH_BYTES), primary_key=True),
    Column("closed", Boolean, nullable=False),
)
classes_table = Table(
    "credit_class",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
)
sources_table = Table(
    "credit_source",
    metadata,
    Column("organisation", String(64), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
scorecards_table = Table(
    "credit_scorecard",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("document", LargeBinary, nullable=False),
)
decisions_table = Table(
    "credit_decision",
    metadata,
    Column("decision", LargeBinary(HASH_BYTES), primary_key=True),
    Column("outcome", Integer, nullable=False),
    Column("reviews", Integer, nullable=False),
)
blocks_table = Table(
    "credit_block",
    metadata,
    Column("height", BigInteger, primary_key=True, autoincrement=False),
    Column("block_id", LargeBinary(HASH_BYTES), nullable=False),
)


_NEW_SLOTS: Final = insert(slots_table)
_NEW_STEPS: Final = insert(steps_table)
_STANDING: Final = select(slots_table.c.slot, slots_table.c.number, slots_table.c.content).where(
    slots_table.c.slot.in_(bindparam("part", expanding=True))
)


class SlotSubscriber:
    """Fills the tables from certified blocks."""

    name = "credit"
    version = 3
    metadata = metadata

    def apply(self, connection: Connection, blocks: Sequence[ProvenBlock], events: Sequence[Event]) -> None:
        """Take in what these blocks did; a transaction that a rule refused did nothing."""
        recorded = _Recorded(connection)
        for event in events:
            if event.failure or not event.type.startswith("credit."):
                continue
            kind = event.type.removeprefix("credit.")
            if kind == "RecordEvent":
                recorded.add(event)
                continue
            recorded.write()
            match kind:
                case "AnswerEvent" | "Object":
                    _change(connection, event)
                case "OpenLog":
                    connection.execute(insert(logs_table).values(log=_decoded(event, pb.OpenLog).log, closed=False))
                case "CloseLog":
                    log = _decoded(event, pb.CloseLog).log
                    connection.execute(update(logs_table).where(logs_table.c.log == log).values(closed=True))
                case "Decide":
                    decided = _decoded(event, pb.Decide)
                    row = {"decision": decided.id, "outcome": decided.outcome, "reviews": 0}
                    connection.execute(insert(decisions_table).values(**row))
                case "Review":
                    review = _decoded(event, pb.Review)
                    held = update(decisions_table).where(decisions_table.c.decision == review.id)
                    connection.execute(held.values(outcome=review.outcome, reviews=review.number))
                case "PutClass" | "GrantSource" | "PutScorecard":
                    _publish(connection, event)
        recorded.write()
        if blocks:
            rows = [{"height": block.block.height, "block_id": block.block.id} for block in blocks]
            connection.execute(insert(blocks_table), rows)
            below = blocks[-1].block.height - BLOCKS_KEPT
            connection.execute(delete(blocks_table).where(blocks_table.c.height <= below))


class _Recorded:
    """New events, written together: most of what blocks bring."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._kinds: dict[tuple[int, int], bool] = {}
        self._slots: list[dict[str, Any]] = []
        self._steps: list[dict[str, Any]] = []

    def add(self, event: Event) -> None:
        message = pb.RecordEvent.FromString(event.body)  # it took effect: the rules have decoded it
        number, version = class_number(message), message.class_version
        status = pb.EVENT_STATUS_OPEN if self._is_pledge(number, version) else pb.EVENT_STATUS_ACTIVE
        self._slots.append(
            {
                "slot": message.slot,
                "number": number,
                "class_version": version,
                "status": status,
                "before": 0,
                "content": message.content,
                "next": message.next,
                "objection": message.objection,
                "recorded_ms": event.time_ms,
                "changed_ms": event.time_ms,
                "steps": 1,
                "upheld": False,
            }
        )
        self._steps.append(_step(event, message.slot, 0, status))

    def write(self) -> None:
        if self._slots:
            execute_many(self._connection, _NEW_SLOTS, self._slots)
            execute_many(self._connection, _NEW_STEPS, self._steps)
            self._slots, self._steps = [], []

    def _is_pledge(self, number: int, version: int) -> bool:
        if (number, version) not in self._kinds:
            table = classes_table.c
            query = select(table.body).where((table.number == number) & (table.version == version))
            body = self._connection.scalar(query)
            assert body is not None, "no event names a version that was never put"
            self._kinds[number, version] = pb.PutClass.FromString(body).kind == pb.KIND_PLEDGE
        return self._kinds[number, version]


@dataclass(frozen=True, slots=True)
class Slot:
    """What stands in a slot.

    Attributes:
        before: While disputed: the status that the source may uphold; else 0.
        content: The commitment that counts now.
        upheld: Whether its source upheld it and has said nothing new since: nobody objects to it.
    """

    slot: bytes
    number: int
    class_version: int
    status: int
    before: int
    content: bytes
    next: bytes
    objection: bytes
    recorded_ms: int
    changed_ms: int
    upheld: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One change of a slot, with the transaction that made it."""

    status: int
    at_ms: int
    height: int
    transaction_id: bytes


class SlotIndex:
    """Answers from the index.

    Args:
        engine: Its database.
    """

    def __init__(self, engine: Engine) -> None:
        # who reads takes no writer's turn, or each look would wait for the indexer and for every other look
        self._engine = engine.execution_options(zhixin_writes=False)

    def slots(self, wanted: Iterable[bytes]) -> dict[bytes, Slot]:
        """Those of some slots that are taken."""
        keys = list(wanted)
        found: dict[bytes, Slot] = {}
        columns = [column for column in slots_table.columns if column.name != "steps"]
        with self._engine.connect() as connection:
            for at in range(0, len(keys), CHUNK):
                query = select(*columns).where(slots_table.c.slot.in_(keys[at : at + CHUNK]))
                found |= {row.slot: Slot(*row) for row in connection.execute(query)}
        return found

    def standing(self, wanted: Iterable[bytes]) -> dict[bytes, tuple[int, bytes]]:
        """The class and the content that counts of those of some slots that are taken."""
        keys = list(wanted)
        found: dict[bytes, tuple[int, bytes]] = {}
        with self._engine.connect() as connection:
            for at in range(0, len(keys), CHUNK):
                rows = connection.execute(_STANDING, {"part": keys[at : at + CHUNK]})
                found |= {slot: (number, content) for slot, number, content in rows}
        return found

    def steps(self, slot: bytes) -> list[Step]:
        """How a slot came to what it is, oldest first."""
        table = steps_table.c
        query = select(table.status, table.at_ms, table.height, table.transaction_id)
        with self._engine.connect() as connection:
            return [Step(*row) for row in connection.execute(query.where(table.slot == slot).order_by(table.number))]

    def has_log(self, log: bytes) -> bool:
        """Whether a log was opened."""
        with self._engine.connect() as connection:
            return connection.scalar(select(logs_table.c.log).where(logs_table.c.log == log)) is not None

    def next_review(self, decision: bytes) -> int:
        """Which review of a decision would be the next, from 1 on: what `Review` has to name."""
        table = decisions_table.c
        with self._engine.connect() as connection:
            return (connection.scalar(select(table.reviews).where(table.decision == decision)) or 0) + 1

    def catalogue(self) -> dict[int, pb.PutClass]:
        """The present version of each class, by number."""
        with self._engine.connect() as connection:
            query = select(classes_table).order_by(classes_table.c.number, classes_table.c.version)
            return {row.number: pb.PutClass.FromString(row.body) for row in connection.execute(query)}

    def class_of(self, number: int, version: int) -> pb.PutClass | None:
        """One version of a class."""
        table = classes_table.c
        query = select(table.body).where((table.number == number) & (table.version == version))
        with self._engine.connect() as connection:
            body = connection.scalar(query)
        return None if body is None else pb.PutClass.FromString(body)

    def rights(self, organisation: str) -> frozenset[int]:
        """Which classes an organisation may attest."""
        query = select(sources_table.c.body).where(sources_table.c.organisation == organisation)
        with self._engine.connect() as connection:
            body = connection.scalar(query)
        return frozenset(() if body is None else pb.GrantSource.FromString(body).classes)

    def sources(self) -> dict[str, tuple[int, ...]]:
        """Each organisation that attests, with its classes."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(sources_table).order_by(sources_table.c.organisation))
            return {row.organisation: tuple(pb.GrantSource.FromString(row.body).classes) for row in rows}

    def block_id(self, height: int) -> bytes | None:
        """Id of a block; None: it is not certified yet, or one of long ago."""
        with self._engine.connect() as connection:
            return connection.scalar(select(blocks_table.c.block_id).where(blocks_table.c.height == height))

    def scorecard(self, number: int) -> tuple[int, bytes] | None:
        """The newest version of a scorecard and its document; None: there is none."""
        table = scorecards_table.c
        query = select(table.version, table.document).where(table.number == number).order_by(table.version.desc())
        with self._engine.connect() as connection:
            row = connection.execute(query.limit(1)).one_or_none()
        return None if row is None else (row.version, row.document)


def _change(connection: Connection, event: Event) -> None:
    """An objection or an answer, as the rules write it."""
    is_objection = event.type == "credit.Object"
    message = _decoded(event, pb.Object) if is_objection else _decoded(event, pb.AnswerEvent)
    row = connection.execute(select(slots_table).where(slots_table.c.slot == message.slot)).one_or_none()
    if row is None:  # recorded before the block with which this index begins
        return
    values: dict[str, Any] = {"changed_ms": event.time_ms, "steps": row.steps + 1}
    if isinstance(message, pb.Object):
        status = pb.EVENT_STATUS_DISPUTED
        values |= {"before": row.status, "objection": message.next_objection, "upheld": False}
    else:
        status = message.status
        is_upheld = row.status == pb.EVENT_STATUS_DISPUTED and status == row.before and not message.content
        values |= {"before": 0, "upheld": is_upheld}
        if message.content:
            values["content"] = message.content
    connection.execute(update(slots_table).where(slots_table.c.slot == message.slot).values(status=status, **values))
    connection.execute(insert(steps_table).values(**_step(event, message.slot, row.steps, status)))


def _step(event: Event, slot: bytes, number: int, status: int) -> dict[str, Any]:
    return {
        "slot": slot,
        "number": number,
        "status": status,
        "at_ms": event.time_ms,
        "height": event.height,
        "transaction_id": event.transaction_id,
    }


def _publish(connection: Connection, event: Event) -> None:
    """The authority's word: a class, a source's rights, a scorecard."""
    if event.type == "credit.PutClass":
        put = _decoded(event, pb.PutClass)
        row = {"number": class_number(put), "version": put.version, "body": encode(put)}
        connection.execute(insert(classes_table).values(**row))
    elif event.type == "credit.GrantSource":
        grant = _decoded(event, pb.GrantSource)
        connection.execute(delete(sources_table).where(sources_table.c.organisation == grant.organisation))
        if grant.classes:
            connection.execute(insert(sources_table).values(organisation=grant.organisation, body=encode(grant)))
    else:
        card = _decoded(event, pb.PutScorecard)
        row = {"number": card.scorecard, "version": card.version, "document": card.document}
        connection.execute(insert(scorecards_table).values(**row))


def _decoded(event: Event, kind: type[M]) -> M:
    message = decode_event(event, kind)
    assert message is not None, "an operation that took effect decodes"
    return message
