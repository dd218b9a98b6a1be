# SPDX-License-Identifier: Apache-2.0
"""Entries of traders as EPCIS events: each step valid and recorded as meant, each wrong field named."""

from dataclasses import replace

import pytest

from tests.trace_rig import BAG, CABBAGE, FIELD, TRADERS, crate, lot, serial, sscc
from traceability import epcis
from traceability.acts import Act, act_of
from traceability.api.trader.balance import balance_of, kilograms
from traceability.api.trader.steps import (
    CONTEXT,
    SHAPES,
    Entry,
    Line,
    Output,
    Step,
    Wrong,
    event_of,
    item_of,
    micro_of,
    party_of,
)
from traceability.pb import traceability_pb2 as pb
from traceability.projection import project

FARM, CARRIER, MARKET, LAB = (TRADERS[name][0] for name in ("farm", "carrier", "market", "lab"))
NOW_MS = 1_795_320_000_000
UNITS = {CABBAGE: pb.UNIT_KILOGRAM, BAG: pb.UNIT_PIECE}
LINE = Line(lot(), "12.5")
ENTRIES = {
    Step.HARVEST: Entry(Step.HARVEST, FARM, NOW_MS, (Line("", "12.5"),), FIELD, product=CABBAGE, lot="L1"),
    Step.PACK: Entry(Step.PACK, FARM, NOW_MS, (LINE,), container=crate(1)),
    Step.UNPACK: Entry(Step.UNPACK, FARM, NOW_MS, (), container=sscc(1)),
    Step.SHIP: Entry(Step.SHIP, FARM, NOW_MS, (LINE, Line(sscc(1))), partner=MARKET, carrier=CARRIER),
    Step.CARRY: Entry(Step.CARRY, CARRIER, NOW_MS, (LINE,), celsius="-18.5"),
    Step.RECEIVE: Entry(Step.RECEIVE, MARKET, NOW_MS, (LINE,), partner=FARM),
    Step.SELL: Entry(Step.SELL, MARKET, NOW_MS, (Line(serial(1)),)),
    Step.DESTROY: Entry(Step.DESTROY, MARKET, NOW_MS, (LINE,)),
    Step.TEST: Entry(Step.TEST, LAB, NOW_MS, (LINE,), passed=False),
    Step.MAKE: Entry(
        Step.MAKE, MARKET, NOW_MS, (LINE, Line(serial(1))), outputs=(Output(CABBAGE, "P1", "11.5"), Output())
    ),
}
ACTS = {
    Step.HARVEST: Act.DECLARE,
    Step.PACK: Act.PACK,
    Step.UNPACK: Act.UNPACK,
    Step.SHIP: Act.SHIP,
    Step.CARRY: Act.OBSERVE,
    Step.RECEIVE: Act.RECEIVE,
    Step.SELL: Act.SELL,
    Step.DESTROY: Act.REMOVE,
    Step.TEST: Act.OBSERVE,
    Step.MAKE: Act.TRANSFORM,
}


def faults(entry: Entry) -> dict[str, Wrong]:
    return event_of(entry, UNITS.get, NOW_MS)[1].found


def projected(entry: Entry) -> pb.Projection:
    event, found = event_of(entry, UNITS.get, NOW_MS)
    assert found.found == {}
    epcis.validate({"@context": CONTEXT, **event})
    made = project(
        event, context=CONTEXT, actor=entry.actor, secret=bytes(32), unit_of=UNITS.get, carrier=entry.carrier
    )
    assert made.message is not None
    return made.message.projection


@pytest.mark.parametrize("step", list(SHAPES))
def test_each_step_is_a_valid_event_that_does_what_it_says(step: Step):
    found = projected(ENTRIES[step])
    assert act_of(found) is ACTS[step]
    assert (found.actor, found.event_time_ms, found.offset_minutes) == (ENTRIES[step].actor, NOW_MS, 480)


def test_harvest_makes_its_lot_at_its_place():
    found = projected(ENTRIES[Step.HARVEST])
    assert [(line.item, line.quantity) for line in found.lines] == [(lot(), 12_500_000)]
    assert found.place == FIELD


def test_processing_names_what_goes_in_and_what_comes_out():
    found = projected(ENTRIES[Step.MAKE])
    assert [(line.item, line.quantity) for line in found.lines] == [(serial(1), 0), (lot(), 12_500_000)]
    assert [(line.item, line.quantity) for line in found.outputs] == [(f"01/{CABBAGE}/10/P1", 11_500_000)]


@pytest.mark.parametrize(
    ("made", "more", "possible", "lost"),
    [
        (10**6, False, True, "12"),
        (13 * 10**6, False, True, "0"),
        (13_650_000, True, True, "0"),
        (13_650_001, True, False, "0"),
    ],
)
def test_balance_counts_pieces_by_their_mass_and_leaves_room_for_tolerance(
    made: int, more: bool, possible: bool, lost: str
):
    products = {
        CABBAGE: pb.RecordProduct(gtin=CABBAGE, unit=pb.UNIT_KILOGRAM, mass_mg=10**6),
        BAG: pb.RecordProduct(gtin=BAG, unit=pb.UNIT_PIECE, mass_mg=500_000),
    }
    projection = projected(ENTRIES[Step.MAKE])
    projection.outputs[0].quantity = made
    found = balance_of(projection, products)
    assert found is not None
    assert (found.used_ng, found.is_more, found.is_possible) == (13 * 10**12, more, possible)
    assert kilograms(found.lost_ng) == lost
    assert balance_of(projection, {CABBAGE: products[CABBAGE]}) is None


def test_shipment_names_both_sides_and_its_carrier():
    found = projected(ENTRIES[Step.SHIP])
    assert (found.counterparty, found.carrier) == (MARKET, CARRIER)


def test_receipt_that_is_final_says_so_and_a_failed_test_does():
    assert projected(replace(ENTRIES[Step.RECEIVE], complete=True)).complete
    assert not projected(ENTRIES[Step.RECEIVE]).complete
    assert projected(ENTRIES[Step.TEST]).disposition == pb.DISPOSITION_NON_CONFORMANT


@pytest.mark.parametrize(
    ("step", "changes", "field", "wrong"),
    [
        (Step.SELL, {"lines": (Line("nonsense"),)}, "item-0", Wrong.ITEM),
        (Step.SELL, {"lines": ()}, "item-0", Wrong.NO_LINES),
        (Step.SELL, {"lines": (LINE, LINE)}, "item-1", Wrong.TWICE),
        (Step.SELL, {"lines": (Line(lot(), "0"),)}, "quantity-0", Wrong.QUANTITY),
        (Step.SELL, {"lines": (Line(lot("L1", "06901234009996"), "1"),)}, "item-0", Wrong.PRODUCT),
        (Step.SHIP, {"partner": ""}, "partner", Wrong.PARTNER),
        (Step.SHIP, {"partner": FARM}, "partner", Wrong.PARTNER),
        (Step.SHIP, {"carrier": "123"}, "carrier", Wrong.CARRIER),
        (Step.PACK, {"container": lot()}, "container", Wrong.CONTAINER),
        (Step.HARVEST, {"product": "06901234000023"}, "product", Wrong.PRODUCT),
        (Step.HARVEST, {"lot": "a/b"}, "lot", Wrong.LOT),
        (Step.HARVEST, {"lot": "x" * 21}, "lot", Wrong.LOT),
        (Step.MAKE, {"outputs": ()}, "out-quantity-0", Wrong.NO_OUTPUTS),
        (Step.MAKE, {"outputs": (Output(CABBAGE),)}, "out-quantity-0", Wrong.NO_OUTPUTS),
        (Step.MAKE, {"outputs": (Output(CABBAGE, "P 1", "1"),)}, "out-lot-0", Wrong.LOT),
        (Step.MAKE, {"outputs": (Output("06901234009996", "P1", "1"),)}, "out-product-0", Wrong.PRODUCT),
        (Step.MAKE, {"outputs": (Output(CABBAGE, "P1", "-1"),)}, "out-quantity-0", Wrong.QUANTITY),
        (Step.MAKE, {"outputs": (Output(CABBAGE, "P1", "1"), Output(CABBAGE, "P1", "2"))}, "out-lot-1", Wrong.TWICE),
        (Step.MAKE, {"lines": ()}, "item-0", Wrong.NO_LINES),
        (Step.CARRY, {"celsius": "warm"}, "celsius", Wrong.CELSIUS),
        (Step.CARRY, {"celsius": "NaN"}, "celsius", Wrong.CELSIUS),
        (Step.CARRY, {"celsius": "9e9"}, "celsius", Wrong.CELSIUS),
        (Step.SELL, {"at_ms": NOW_MS + 600_000}, "at", Wrong.TIME),
        (Step.SELL, {"at_ms": -(10**15)}, "at", Wrong.TIME),
        (Step.SELL, {"at_ms": 10**18}, "at", Wrong.TIME),
    ],
)
def test_wrong_field_is_named(step: Step, changes: dict[str, object], field: str, wrong: Wrong):
    assert faults(replace(ENTRIES[step], **changes))[field] is wrong  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize(
    ("text", "micro"),
    [
        ("1", 1_000_000),
        ("0.000001", 1),
        ("12,5", 12_500_000),
        (" 3 ", 3_000_000),
        ("0.0000001", 0),
        ("-1", 0),
        ("", 0),
        ("1e3", 1_000_000_000),
        ("NaN", 0),
        ("Infinity", 0),
        ("1000001", 0),
        ("9" * 21, 0),
        ("=1+1", 0),
    ],
)
def test_quantity_is_read_in_whole_millionths_or_not_at_all(text: str, micro: int):
    assert micro_of(text) == micro


@pytest.mark.parametrize(
    ("text", "item"),
    [
        (lot(), lot()),
        (f"https://shop.example/{lot()}?17=270101", lot()),
        (sscc(1).removeprefix("00/"), sscc(1)),
        (crate(1), crate(1)),
        ("https://shop.example/", ""),
        ("javascript:alert(1)", ""),
        ("x" * 401, ""),
        ("", ""),
    ],
)
def test_goods_are_read_from_links_paths_and_numbers(text: str, item: str):
    assert item_of(text) == item


@pytest.mark.parametrize(
    ("text", "gln"),
    [
        (MARKET, MARKET),
        (f"https://id.gs1.org/417/{MARKET}", MARKET),
        (f"https://shop.example/414/{MARKET}", MARKET),
        ("6901234000017", ""),
        ("", ""),
        (lot(), ""),
    ],
)
def test_parties_are_read_from_numbers_and_links(text: str, gln: str):
    assert party_of(text) == gln
