# SPDX-License-Identifier: Apache-2.0
"""Traces forward and back, drills and temperatures: what is reached, through what, and what is not."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.trace_rig import BAG, CUT, TRADERS, TraceRig, crate, kg, lot, serial, sscc
from traceability import graph
from traceability.acts import Act
from traceability.cold_chain import Excursion, excursions, readings_of
from traceability.drill import drill
from traceability.graph import Trace, trace_back, trace_forward
from traceability.pb import traceability_pb2 as pb
from traceability.trace_store import EventsInMemory, TraceEvent, trace_event

FARM, MARKET, SHOP, PLANT = (TRADERS[name][0] for name in ("farm", "market", "shop", "plant"))


class Tale:
    """Events that the rules accepted, a minute apart, by a short name each."""

    def __init__(self) -> None:
        self.rig = TraceRig()
        self.events: list[TraceEvent] = []
        self.names: dict[bytes, str] = {}

    def tell(self, name: str, who: str, kind: str, **fields: object) -> None:
        message = self.rig.event(who, kind, **fields)
        contents = []
        if kind == "unpack" and not message.projection.lines:
            inside = self.rig.contents(message.projection.parent)
            contents = [(content.item, content.quantity) for content in inside]
        assert self.rig.signed(who, message) == "", name
        self.events.append(trace_event(message.projection, len(self.events), unpacked=contents))
        self.names[message.projection.id] = name

    def named(self, trace: Trace) -> list[str]:
        return [self.names[event.id] for event in trace.events]

    @property
    def store(self) -> EventsInMemory:
        return EventsInMemory(self.events)


@pytest.fixture
def tale() -> Tale:
    """Lot A goes on a pallet with lot B to the market and is cut there with B; lot C shares the pallet's later trip."""
    t = Tale()
    for name in ("A", "B", "C"):
        t.tell(f"harvest {name}", "farm", "harvest", lines={lot(name): kg(100)})
    t.tell("pack A", "farm", "pack", parent=sscc(1), lines={lot("A"): kg(40)})
    t.tell("pack B", "farm", "pack", parent=sscc(1), lines={lot("B"): kg(40)})
    t.tell("ship pallet", "farm", "ship", counterparty=MARKET, lines={sscc(1): 0})
    t.tell("receive pallet", "market", "receive", counterparty=FARM, lines={sscc(1): 0})
    t.tell("unpack A", "market", "unpack", parent=sscc(1), lines={lot("A"): kg(40)})
    t.tell("look at pallet", "market", "inspect", lines={sscc(1): 0})
    t.tell("unpack B", "market", "unpack", parent=sscc(1))
    t.tell("cut", "market", "transform", lines={lot("A"): kg(10), lot("B"): kg(10)}, outputs={lot("M", CUT): kg(19)})
    t.tell("bag", "market", "transform", lines={lot("M", CUT): kg(2)}, outputs={serial(1): 0, serial(2): 0})
    t.tell("sell bag", "market", "sell", lines={serial(1): 0})
    t.tell("sell A at the farm", "farm", "sell", lines={lot("A"): kg(5)})
    t.tell("pack C", "market", "pack", parent=crate(1), lines={lot("B"): kg(1)})
    t.tell("ship crate", "market", "ship", counterparty=SHOP, lines={crate(1): 0})
    return t


def test_forward_follows_goods_through_containers_and_cuts_and_nothing_else(tale: Tale) -> None:
    found = trace_forward(tale.store, [lot("A")])
    assert tale.named(found) == [
        "harvest A", "pack A", "ship pallet", "receive pallet", "unpack A", "cut", "bag", "sell bag",
        "sell A at the farm",
    ]  # fmt: skip
    assert {*found.goods} == {lot("A"), lot("M", CUT), serial(1), serial(2)}
    assert found.containers == (sscc(1),)


def test_forward_from_an_event_leaves_out_what_was_before(tale: Tale) -> None:
    cut = next(event for event in tale.events if tale.names[event.id] == "cut")
    found = trace_forward(tale.store, [lot("A")], since=cut.number)
    assert tale.named(found) == ["cut", "bag", "sell bag", "sell A at the farm"]


def test_back_finds_the_way_by_which_a_bag_came(tale: Tale) -> None:
    found = trace_back(tale.store, serial(1), holder=MARKET)
    assert tale.named(found) == [
        "harvest A", "harvest B", "pack A", "pack B", "ship pallet", "receive pallet", "unpack A", "look at pallet",
        "unpack B", "cut", "bag",
    ]  # fmt: skip
    assert {*found.goods} == {serial(1), lot("M", CUT), lot("A"), lot("B")}


def test_back_of_one_holders_part_leaves_out_what_went_elsewhere() -> None:
    t = Tale()
    t.tell("harvest", "farm", "harvest", lines={lot(): kg(100)})
    t.tell("test", "lab", "inspect", lines={lot(): 0})
    for whom in ("market", "shop"):
        t.tell(f"ship to {whom}", "farm", "ship", counterparty=TRADERS[whom][0], lines={lot(): kg(50)})
        t.tell(f"received by {whom}", whom, "receive", counterparty=FARM, lines={lot(): kg(50)})
    t.tell("on to plant", "market", "ship", counterparty=PLANT, lines={lot(): kg(50)})
    t.tell("received by plant", "plant", "receive", counterparty=MARKET, lines={lot(): kg(50)})
    t.tell("sold by shop", "shop", "sell", lines={lot(): kg(1)})
    assert t.named(trace_back(t.store, lot(), holder=PLANT)) == [
        "harvest", "test", "ship to market", "received by market", "on to plant", "received by plant",
    ]  # fmt: skip
    assert t.named(trace_back(t.store, lot(), holder=SHOP)) == ["harvest", "test", "ship to shop", "received by shop"]
    assert len(t.named(trace_back(t.store, lot()))) == 8


def test_crate_used_again_carries_only_what_is_in_it_then() -> None:
    t = Tale()
    for name in ("A", "B"):
        t.tell(f"harvest {name}", "farm", "harvest", lines={lot(name): kg(100)})
        t.tell(f"pack {name}", "farm", "pack", parent=crate(1), lines={lot(name): kg(10)})
        t.tell(f"crate on pallet {name}", "farm", "pack", parent=sscc(1), lines={crate(1): 0})
        t.tell(f"move {name}", "farm", "inspect", lines={sscc(1): 0})
        t.tell(f"crate off {name}", "farm", "unpack", parent=sscc(1))
        t.tell(f"unpack {name}", "farm", "unpack", parent=crate(1), lines={lot(name): kg(4)})
        t.tell(f"unpack rest {name}", "farm", "unpack", parent=crate(1), lines={lot(name): kg(6)})
    own = ["harvest", "pack", "crate on pallet", "move", "crate off", "unpack", "unpack rest"]
    for name in ("A", "B"):
        assert t.named(trace_forward(t.store, [lot(name)])) == [f"{one} {name}" for one in own]
        assert t.named(trace_back(t.store, lot(name))) == [f"{one} {name}" for one in own]
    assert {*trace_forward(t.store, [sscc(1)]).goods} == {sscc(1), crate(1), lot("A"), lot("B")}


def test_parts_of_one_transformation_are_joined_in_time() -> None:
    t = Tale()
    process = bytes([7]) * 32
    for name in ("A", "B"):
        t.tell(f"harvest {name}", "coop", "harvest", lines={lot(name): kg(100)})
    t.tell("in A", "coop", "transform", lines={lot("A"): kg(10)}, process=process)
    t.tell("out 1", "coop", "transform", outputs={lot("M1", CUT): kg(5)}, process=process)
    t.tell("in B", "coop", "transform", lines={lot("B"): kg(10)}, process=process)
    t.tell("out 2", "coop", "transform", outputs={lot("M2", CUT): kg(5)}, process=process)
    assert {*trace_forward(t.store, [lot("A")]).goods} == {lot("A"), lot("M1", CUT), lot("M2", CUT)}
    assert {*trace_forward(t.store, [lot("B")]).goods} == {lot("B"), lot("M2", CUT)}
    assert {*trace_back(t.store, lot("M1", CUT)).goods} == {lot("M1", CUT), lot("A")}
    assert {*trace_back(t.store, lot("M2", CUT)).goods} == {lot("M2", CUT), lot("A"), lot("B")}


def test_event_declared_in_error_is_shown_and_nothing_flows_through_it() -> None:
    events = [
        TraceEvent(b"1", 1, 0, Act.DECLARE, FARM, lines=((lot("A"), 1),)),
        TraceEvent(b"2", 2, 0, Act.TRANSFORM, FARM, lines=((lot("A"), 1),), outputs=((lot("B"), 1),), in_error=True),
    ]
    found = trace_forward(EventsInMemory(events), [lot("A")])
    assert [event.id for event in found.events] == [b"1", b"2"]
    assert {*found.goods} == {lot("A")}


def test_times_that_authors_state_hide_nothing() -> None:
    """What was cut from the lot is dated before the harvest, sold before that, and shipped before it was packed."""
    events = [
        TraceEvent(b"1", 1, 900, Act.DECLARE, FARM, lines=((lot("A"), 9),)),
        TraceEvent(b"2", 2, 800, Act.TRANSFORM, FARM, lines=((lot("A"), 9),), outputs=((lot("B"), 9),)),
        TraceEvent(b"3", 3, 950, Act.PACK, FARM, lines=((lot("B"), 9),), parent=crate(1)),
        TraceEvent(b"4", 4, 100, Act.SHIP, FARM, lines=((crate(1), 0),), counterparty=MARKET),
        TraceEvent(b"5", 5, 90, Act.RECEIVE, MARKET, lines=((crate(1), 0),), counterparty=FARM),
        TraceEvent(b"6", 6, 80, Act.UNPACK, MARKET, lines=((lot("B"), 9),), parent=crate(1)),
        TraceEvent(b"7", 7, 1, Act.SELL, MARKET, lines=((lot("B"), 9),)),
    ]
    store = EventsInMemory(reversed(events))
    assert [*trace_forward(store, [lot("A")]).events] == events
    assert [*trace_back(store, lot("B"), holder=MARKET).events] == events[:6]


def test_trace_beyond_its_bound_says_that_it_is_incomplete(monkeypatch: pytest.MonkeyPatch, tale: Tale) -> None:
    monkeypatch.setattr(graph, "EVENTS_MAX", 3)
    found = trace_forward(tale.store, [lot("A")])
    assert (len(found.events), found.is_complete) == (3, False)


class Counting:
    """A store that counts questions."""

    def __init__(self, store: EventsInMemory) -> None:
        self.store = store
        self.questions = 0

    def touching(self, items: Sequence[str]) -> Mapping[str, Sequence[TraceEvent]]:
        self.questions += 1
        return self.store.touching(items)


def test_trace_asks_one_question_a_generation_not_one_an_item() -> None:
    events = [TraceEvent(b"0", 0, 0, Act.DECLARE, FARM, lines=((lot("G0-0"), 1),))]
    for generation in range(1, 5):
        outputs = tuple((lot(f"G{generation}-{n}"), 1) for n in range(50))
        above = lot(f"G{generation - 1}-0")
        events.append(TraceEvent(b"%d" % generation, generation, 0, Act.TRANSFORM, FARM, ((above, 1),), outputs))
    store = Counting(EventsInMemory(events))
    assert len(trace_forward(store, [lot("G0-0")]).goods) == 201
    assert store.questions == 5


# ---------------------------------------------------------------- drills


def test_drill_says_where_everything_is_and_whom_to_tell(tale: Tale) -> None:
    found = drill(tale.store, [lot("A")])
    goods = {one.item: one for one in found.goods}
    a = goods[lot("A")]
    assert (a.entered, a.sold, a.used, a.at_hand) == (kg(100), kg(5), kg(10), {FARM: kg(55), MARKET: kg(30)})
    assert (goods[serial(1)].sold, goods[serial(1)].at_hand) == (10**6, {})
    assert goods[serial(2)].at_hand == {MARKET: 10**6}
    assert goods[lot("M", CUT)].at_hand == {MARKET: kg(17)}
    assert found.participants == tuple(sorted((FARM, MARKET)))
    b = {one.item: one for one in drill(tale.store, [lot("B")]).goods}[lot("B")]
    assert (b.at_hand, b.on_the_way) == ({FARM: kg(60), MARKET: kg(29)}, {(MARKET, SHOP): kg(1)})


def test_drill_agrees_with_the_ledgers_own_books(tale: Tale) -> None:
    for item in (lot("A"), lot("B"), lot("M", CUT)):
        (account,) = [one for one in drill(tale.store, [item]).goods if one.item == item]
        inside = [c.quantity for unit in (sscc(1), crate(1)) for c in tale.rig.contents(unit) if c.item == item]
        held = sum(tale.rig.holding(item, who).quantity for who in ("farm", "market"))
        assert sum(account.at_hand.values()) + sum(account.on_the_way.values()) == held + sum(inside)
        assert tale.rig.lot_record(item).left == account.sold + account.used + account.removed


def test_drill_follows_returns_losses_and_destruction() -> None:
    t = Tale()
    t.tell("harvest", "farm", "harvest", lines={lot(): kg(100)})
    t.tell("ship", "farm", "ship", counterparty=MARKET, lines={lot(): kg(50)})
    t.tell("take back", "farm", "cancel", counterparty=MARKET, lines={lot(): kg(20)})
    t.tell("receive", "market", "receive", counterparty=FARM, lines={lot(): kg(25)})
    t.tell("destroy", "market", "destroy", lines={lot(): kg(10)})
    (account,) = drill(t.store, [lot()]).goods
    assert (account.removed, account.at_hand) == (kg(10), {FARM: kg(70), MARKET: kg(15)})
    assert account.on_the_way == {(FARM, MARKET): kg(5)}


def test_container_that_is_said_to_hold_itself_ends_no_drill_in_a_loop() -> None:
    events = [
        TraceEvent(b"1", 1, 0, Act.PACK, FARM, lines=((crate(1), 0), (lot("A"), 5)), parent=crate(1)),
        TraceEvent(b"2", 2, 0, Act.SHIP, FARM, lines=((crate(1), 0),), counterparty=MARKET),
    ]
    assert drill(EventsInMemory(events), [lot("A"), crate(1)]).participants


# ---------------------------------------------------------------- temperatures

LIMITS = pb.TemperatureLimits(min_millicelsius=0, max_millicelsius=4_000, minutes_max=30)
START = 1_775_347_200_000


def warm(*minutes_and_values: tuple[int, float], device: str = "urn:d:1") -> dict[str, Any]:
    reports = [
        {
            "type": "Temperature",
            "value": value,
            "uom": "CEL",
            "time": f"2026-04-05T{minute // 60:02}:{minute % 60:02}:00Z",
        }
        for minute, value in minutes_and_values
    ]
    return {"eventTime": "2026-04-05T00:00:00Z", "sensorElementList": [
        {"sensorMetadata": {"deviceID": device}, "sensorReport": reports}]}  # fmt: skip


@pytest.mark.parametrize(
    ("series", "stretches"),
    [
        ([(0, 2), (10, 4), (20, 0)], []),
        ([(0, 2), (10, 4.001), (40, 3)], [(10, 40, False, False)]),
        ([(0, 2), (10, 5), (41, 3)], [(10, 41, True, False)]),
        ([(0, 5), (20, 6), (60, 7)], [(0, 60, True, True)]),
        ([(0, 5)], [(0, 0, False, True)]),
        ([(0, -0.5), (90, 2), (100, 9), (110, 2)], [(0, 90, True, False), (100, 110, False, False)]),
        ([(90, 2), (0, 5), (40, 5)], [(0, 90, True, False)]),
    ],
)
def test_stretches_outside_of_the_limits_alert_when_they_last(
    series: list[tuple[int, float]], stretches: list[tuple[int, int, bool, bool]]
) -> None:
    found = excursions(readings_of(warm(*series)), LIMITS)
    assert [
        ((e.from_ms - START) // 60_000, (e.to_ms - START) // 60_000, e.is_alert, e.is_open) for e in found
    ] == stretches


def test_each_device_has_its_own_stretch() -> None:
    readings = readings_of(warm((0, 9), (60, 9))) + readings_of(warm((30, 2), device="urn:d:2"))
    assert excursions(readings, LIMITS) == [
        Excursion("urn:d:1", START, START + 3_600_000, 9_000, 9_000, is_alert=True, is_open=True)
    ]


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        ({"type": "Temperature", "minValue": 1, "maxValue": 6.5, "uom": "CEL"}, [(1_000, 6_500)]),
        ({"type": "gs1:Temperature", "value": 41, "uom": "FAH"}, [(5_000, 5_000)]),
        ({"type": "https://gs1.org/voc/Temperature", "value": 277.15, "uom": "KEL"}, [(4_000, 4_000)]),
        ({"type": "Temperature", "value": 4}, [(4_000, 4_000)]),
        ({"type": "RelativeHumidity", "value": 80, "uom": "A93"}, []),
        ({"type": "Temperature", "exception": "ERROR_CONDITION"}, []),
        ({"type": "Temperature", "value": 4, "uom": "A97"}, []),
    ],
)
def test_temperature_is_read_in_each_unit_and_form(report: dict[str, Any], expected: list[tuple[int, int]]) -> None:
    metadata = {"startTime": "2026-04-05T00:00:00Z", "endTime": "2026-04-05T01:00:00Z"}
    event = {"eventTime": "2026-04-05T02:00:00Z", "sensorElementList": [
        {"sensorMetadata": metadata, "sensorReport": [report]}]}  # fmt: skip
    found = readings_of(event)
    assert [(one.low, one.high) for one in found] == expected
    assert all((one.from_ms, one.to_ms) == (START, START + 3_600_000) for one in found)


def test_bag_of_the_rig_is_a_product_by_the_piece() -> None:
    assert serial(1).startswith(f"01/{BAG}/21/")
