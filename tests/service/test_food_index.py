# SPDX-License-Identifier: Apache-2.0
"""The index of food events: filled by what was recorded and refused, and searched like the events in memory."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf.message import Message
from sqlalchemy import Column, Connection, Engine, func, insert, select
from store_rig import Rig

from chain.types import Height, Millis, TransactionId
from service.index import Event
from service.store.engine import close_engine, make_engine
from tests.rig import operation
from tests.trace_rig import (
    CABBAGE,
    CUT,
    FIELD,
    REGULATOR,
    TRADERS,
    TraceRig,
    crate,
    kg,
    lot,
    participant,
    product,
    serial,
    sscc,
)
from traceability.api.context import TraceContext
from traceability.api.trace_index import FoodTables, contents_table, metadata, recalls_table, refusals_table
from traceability.api.trace_records import Records, describe
from traceability.api.trace_search import IndexedEvents
from traceability.drill import drill
from traceability.graph import trace_back, trace_forward
from traceability.pb import traceability_pb2 as pb
from traceability.trace_store import EventsInMemory, TraceEvent, trace_event

FARM, MARKET = TRADERS["farm"][0], TRADERS["market"][0]


class Indexed:
    """Events that the rules executed, in the index and in memory."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.rig = TraceRig()
        self.events: list[TraceEvent] = []
        self.pending: list[Event] = []
        self.leaves = 0

    def told(self, who: str, kind: str, **fields: object) -> pb.RecordEvent:
        message = self.rig.event(who, kind, **fields)
        contents = []
        if kind == "unpack" and not message.projection.lines:
            inside = self.rig.contents(message.projection.parent)
            contents = [(content.item, content.quantity) for content in inside]
        if self.send([who], message) == "":
            self.events.append(trace_event(message.projection, (self.leaves - 1) * 1024, unpacked=contents))
        return message

    def send(self, signers: list[str], message: Message) -> str:
        code = self.rig.signed(signers, message)
        made = operation(message)
        self.pending.append(
            Event(
                made.type,
                made.body,
                Height(self.rig.height),
                Millis(self.rig.time_ms),
                self.leaves,
                0,
                TransactionId(self.leaves.to_bytes(32)),
                (),
                code,
            )
        )
        self.leaves += 1
        return code

    def flush(self) -> None:
        FoodTables().apply(self.connection, [], self.pending)
        self.pending = []


@pytest.fixture
def engine(rig: Rig) -> Iterator[Engine]:
    """An empty database of each kind."""
    made = make_engine(rig.settings())
    metadata.create_all(made)
    yield made
    close_engine(made)


@pytest.fixture
def indexed(engine: Engine) -> Iterator[Indexed]:
    with engine.begin() as connection:
        yield Indexed(connection)


def test_page_reads_the_index_while_the_indexer_writes(engine: Engine) -> None:
    read = TraceContext.reading
    context: Any = SimpleNamespace(index=SimpleNamespace(engine=engine))
    with engine.begin() as indexer:
        indexer.execute(insert(refusals_table).values(**{c.name: _any(c) for c in refusals_table.columns}))
        with read(context) as page, read(context) as another:
            assert page.scalar(select(func.count()).select_from(refusals_table)) == 0
            assert another.scalar(select(func.count()).select_from(refusals_table)) == 0


def _any(column: Column[Any]) -> object:
    """A value of a column's type."""
    kind = column.type.python_type
    return None if column.nullable else kind()


def journey(one: Indexed, *, flushing: bool) -> None:
    """A pallet with two lots to a market that cuts one of them, and a crate on it."""
    steps: list[tuple[str, str, dict[str, object]]] = [
        ("farm", "harvest", {"lines": {lot("A"): kg(100), lot("B"): kg(100)}}),
        ("farm", "pack", {"parent": crate(1), "lines": {lot("A"): kg(10)}}),
        ("farm", "pack", {"parent": sscc(1), "lines": {crate(1): 0, lot("B"): kg(40)}}),
        ("farm", "ship", {"counterparty": MARKET, "lines": {sscc(1): 0}}),
        ("market", "receive", {"counterparty": FARM, "lines": {sscc(1): 0}}),
        ("market", "unpack", {"parent": sscc(1), "lines": {lot("B"): kg(30)}}),
        ("market", "unpack", {"parent": sscc(1)}),
        ("market", "unpack", {"parent": crate(1)}),
        ("market", "transform", {"lines": {lot("A"): kg(10)}, "process": bytes([1]) * 32}),
        ("market", "transform", {"outputs": {lot("M", CUT): kg(9)}, "process": bytes([1]) * 32}),
        ("market", "sell", {"lines": {lot("M", CUT): kg(1)}}),
    ]
    for who, kind, fields in steps:
        one.told(who, kind, **fields)
        if flushing:
            one.flush()
    one.flush()
    assert len(one.events) == len(steps)


@pytest.mark.parametrize("flushing", [True, False])
def test_index_gives_the_same_traces_as_memory_however_blocks_come(indexed: Indexed, flushing: bool) -> None:
    journey(indexed, flushing=flushing)
    memory = EventsInMemory(indexed.events)
    for item in (lot("A"), lot("B"), lot("M", CUT), crate(1), sscc(1), serial(1)):
        assert IndexedEvents(indexed.connection).touching([item]) == memory.touching([item])
        store = IndexedEvents(indexed.connection)
        assert trace_forward(store, [item]) == trace_forward(memory, [item])
        assert trace_back(store, item, holder=MARKET) == trace_back(memory, item, holder=MARKET)
        assert drill(IndexedEvents(indexed.connection), [item]) == drill(memory, [item])
    assert {*trace_forward(memory, [lot("A")]).goods} == {lot("A"), lot("M", CUT)}
    assert indexed.connection.execute(select(contents_table)).all() == [], "all was unpacked"


def test_refused_attempts_are_listed_with_what_they_tried(indexed: Indexed) -> None:
    indexed.told("farm", "harvest", lines={lot(): kg(100)})
    indexed.told("farm", "sell", lines={lot(): kg(110)})
    indexed.told("market", "sell", lines={lot(): kg(1)})
    indexed.told("carrier", "sell", lines={lot(): kg(1)})
    indexed.flush()
    columns = refusals_table.c
    rows = indexed.connection.execute(
        select(columns.code, columns.violation, columns.actor).order_by(columns.number)
    ).all()
    assert rows == [
        ("traceability.exceeds-balance", "mass-balance", FARM),
        ("traceability.not-held", "custody", MARKET),
        ("traceability.wrong-role", "", TRADERS["carrier"][0]),
    ]
    assert len(IndexedEvents(indexed.connection).touching([lot()])[lot()]) == 1


def test_declared_error_stops_the_flow_and_the_event_stays(indexed: Indexed) -> None:
    indexed.told("coop", "harvest", lines={lot(): kg(10)})
    cut = indexed.told("coop", "transform", lines={lot(): kg(5)}, outputs={lot("M", CUT): kg(5)})
    indexed.flush()
    assert lot("M", CUT) in trace_forward(IndexedEvents(indexed.connection), [lot()]).goods
    wrong = pb.DeclareError(event=cut.projection.id, reason=pb.ERROR_REASON_DID_NOT_OCCUR)
    assert indexed.send(["coop"], wrong) == ""
    indexed.flush()
    found = trace_forward(IndexedEvents(indexed.connection), [lot()])
    assert (len(found.events), {*found.goods}) == (2, {lot()})


def test_recalls_in_force_are_listed_until_they_are_lifted(indexed: Indexed) -> None:
    indexed.told("farm", "harvest", lines={lot(): kg(10)})
    recall = pb.Recall(items=[lot()], kind=pb.RECALL_KIND_RECALL, reason=pb.RECALL_REASON_RESIDUES)
    own = pb.Recall(actor=FARM, items=[lot()], kind=pb.RECALL_KIND_WITHDRAWAL, reason=pb.RECALL_REASON_PRECAUTION)
    columns = recalls_table.c
    for signer, message, expected in (
        ("farm", own, [(lot(), FARM)]),
        (REGULATOR, recall, [(lot(), "")]),
        ("farm", pb.LiftRecall(actor=FARM, items=[lot()]), [(lot(), "")]),
        (REGULATOR, pb.LiftRecall(items=[lot()]), []),
    ):
        indexed.send([signer], message)
        indexed.flush()
        assert [*indexed.connection.execute(select(columns.item, columns.actor))] == expected


def test_item_that_nobody_named_touches_nothing(indexed: Indexed) -> None:
    assert IndexedEvents(indexed.connection).touching([lot("X")]) == {}


def test_names_of_parties_places_and_goods_are_those_recorded_last(indexed: Indexed) -> None:
    first, second = (product(CABBAGE, pb.UNIT_KILOGRAM, 1_000_000, name) for name in ("菜", "菜心"))
    place = pb.RecordPlace(gln=FIELD, owner=FARM, kind=pb.PLACE_KIND_FARM, district="440604", name_zh="菜地")
    for message in (participant(FARM, [pb.ROLE_FARM], name_zh="农场"), place, first, second):
        assert indexed.send([REGULATOR], message) == ""
    indexed.told("farm", "harvest", lines={lot(): kg(1)})
    indexed.flush()
    records = Records(indexed.connection)
    found = (records.participant(FARM), records.place(FIELD), records.product(CABBAGE))
    assert [one and one.name_zh for one in found] == ["农场", "菜地", "菜心"]
    assert records.unit_of(CABBAGE) == pb.UNIT_KILOGRAM
    assert records.unit_of(CUT) is None
    assert describe(indexed.connection, lot()) == "菜心 L1"
    assert describe(indexed.connection, f"01/{CABBAGE}") == "菜心"
    assert describe(indexed.connection, lot("L2")) is None
    assert describe(indexed.connection, f"01/{CUT}") is None
