# SPDX-License-Identifier: Apache-2.0
"""Events on the chain: what each act does to goods, who may do it, and each refusal."""

import pytest

from chain.errors import Refused
from chain.types import sha256
from tests.rig import BLOCK_MS, START_MS
from tests.trace_rig import (
    BAG,
    CABBAGE,
    CUT,
    FIELD,
    JAR,
    JUICE,
    REGULATOR,
    SERVICE,
    TRADERS,
    TraceRig,
    crate,
    gln,
    gtin,
    kg,
    lot,
    product,
    serial,
    sscc,
)
from traceability.acts import Act, act_of
from traceability.events import LINES_MAX, QUANTITY_MAX, load_event, projection_hash
from traceability.goods import FIRST_HISTORY, next_history
from traceability.pb import traceability_pb2 as pb
from traceability.portions import NOTHING, Portion

FARM, MARKET, SHOP, PLANT = gln(1), gln(3), gln(6), gln(5)


@pytest.fixture
def rig() -> TraceRig:
    return TraceRig()


# ---------------------------------------------------------------- portions


@pytest.mark.parametrize(
    ("start", "quantity", "moved", "rest"),
    [
        (Portion(100, 2), 50, Portion(50, 1), Portion(50, 1)),
        (Portion(100, 2), 49, Portion(49, 0), Portion(51, 2)),
        (Portion(100, 2), 100, Portion(100, 2), NOTHING),
        (Portion(100, 2), 101, Portion(101, 1), NOTHING),
        (Portion(100, 2), 102, Portion(102, 0), NOTHING),
        (Portion(0, 2), 1, Portion(1, 1), NOTHING),
    ],
)
def test_portion_divides_exactly(start: Portion, quantity: int, moved: Portion, rest: Portion) -> None:
    assert start.taken(quantity) == (moved, rest)
    assert moved.joined(rest).most == start.most
    assert start.sold(quantity).most == start.most - quantity


@pytest.mark.parametrize(("start", "quantity"), [(Portion(100, 2), 103), (NOTHING, 1)])
def test_portion_gives_no_more_than_there_is(start: Portion, quantity: int) -> None:
    for way in (start.taken, start.sold):
        with pytest.raises(Refused, match="is more than"):
            way(quantity)


# ---------------------------------------------------------------- what an event does


@pytest.mark.parametrize(
    ("kind", "action", "step", "act"),
    [
        (1, 1, pb.BUSINESS_STEP_SHIPPING, Act.DECLARE),
        (1, 3, pb.BUSINESS_STEP_RETAIL_SELLING, Act.SELL),
        (1, 2, pb.BUSINESS_STEP_RETAIL_SELLING, Act.SELL),
        (1, 3, pb.BUSINESS_STEP_STORING, Act.REMOVE),
        (1, 2, pb.BUSINESS_STEP_DESTROYING, Act.REMOVE),
        (1, 2, pb.BUSINESS_STEP_DECOMMISSIONING, Act.REMOVE),
        (1, 2, pb.BUSINESS_STEP_STORING, Act.OBSERVE),
        (1, 2, 0, Act.OBSERVE),
        (2, 2, pb.BUSINESS_STEP_SHIPPING, Act.OBSERVE),
        (3, 1, pb.BUSINESS_STEP_SHIPPING, Act.OBSERVE),
        (4, 0, 0, Act.TRANSFORM),
        (5, 1, 0, Act.NOTE),
        (1, 0, 0, None),
        (4, 1, 0, None),
        (0, 1, 0, None),
        (9, 1, 0, None),
        (1, 9, 0, None),
    ],
)
def test_act_follows_from_type_action_and_step(kind: int, action: int, step: int, act: Act | None) -> None:
    projection = pb.Projection(
        type=pb.EventType.ValueType(kind),
        action=pb.Action.ValueType(action),
        step=pb.BusinessStep.ValueType(step),
        lines=[pb.Line(item=lot())],
    )
    if act is None:
        with pytest.raises(Refused):
            act_of(projection)
    else:
        assert act_of(projection) is act


def test_event_without_goods_is_a_note(rig: TraceRig) -> None:
    assert rig.does("farm", "inspect", place=FIELD) == ""
    assert rig.does("farm", "associate") == ""


@pytest.mark.parametrize(
    ("circumstance", "kind", "fields", "code"),
    [
        ("no id", "harvest", {"id": b""}, "traceability.invalid-event-id"),
        ("type and action apart", "harvest", {"action": 0}, "traceability.unknown-act"),
        ("unknown step", "harvest", {"step": 99}, "traceability.unknown-word"),
        ("unknown disposition", "harvest", {"disposition": 99}, "traceability.unknown-word"),
        ("no time", "harvest", {"event_time_ms": 0}, "traceability.event-time"),
        ("future", "harvest", {"event_time_ms": START_MS * 2}, "traceability.event-time"),
        ("no time zone", "harvest", {"offset_minutes": 841}, "traceability.event-time"),
        ("nowhere's time zone", "harvest", {"offset_minutes": -841}, "traceability.event-time"),
        ("unknown place", "harvest", {"place": gln(99)}, "traceability.unknown-place"),
        ("counterparty of a harvest", "harvest", {"counterparty": MARKET}, "traceability.misplaced-field"),
        ("carrier of a harvest", "harvest", {"carrier": gln(2)}, "traceability.misplaced-field"),
        ("parent of a harvest", "harvest", {"parent": sscc(1)}, "traceability.misplaced-field"),
        ("outputs of a harvest", "harvest", {"outputs": {lot("B"): 1}}, "traceability.misplaced-field"),
        ("process of a harvest", "harvest", {"process": bytes(32)}, "traceability.misplaced-field"),
        ("complete harvest", "harvest", {"complete": True}, "traceability.misplaced-field"),
        ("short process", "transform", {"process": b"x"}, "traceability.misplaced-field"),
        ("shipment to nobody", "ship", {}, "traceability.misplaced-field"),
        ("packing into nothing", "pack", {}, "traceability.misplaced-field"),
        ("goods of a note", "associate", {}, "traceability.misplaced-field"),
        ("no goods", "harvest", {"lines": {}}, "traceability.empty-event"),
        ("no outputs", "transform", {}, "traceability.empty-event"),
        ("no such name", "harvest", {"lines": {"01/1": 1}}, "traceability.invalid-item"),
        ("lot without quantity", "harvest", {"lines": {lot("B"): 0}}, "traceability.invalid-quantity"),
        ("object with quantity", "harvest", {"lines": {serial(1): 1}}, "traceability.invalid-quantity"),
        ("huge quantity", "harvest", {"lines": {lot("B"): QUANTITY_MAX + 1}}, "traceability.invalid-quantity"),
        ("too many lines", "harvest", {"lines": dict.fromkeys(map(serial, range(LINES_MAX + 1)), 0)},
         "traceability.too-many-lines"),
        ("unknown product", "harvest", {"lines": {lot("B", gtin(9)): 1}}, "traceability.unknown-product"),
        ("another's product", "harvest", {"lines": {serial(1, JAR): 0}}, "traceability.product-of-another"),
        ("serial of what is weighed", "harvest", {"lines": {serial(1, CABBAGE): 0}}, "traceability.not-pieces"),
        ("unknown actor", "harvest", {"actor": gln(90)}, "traceability.unknown-participant"),
        ("another's name", "harvest", {"actor": MARKET}, "traceability.not-signed-by-actor"),
    ],
)  # fmt: skip
def test_event_out_of_form_is_refused(
    rig: TraceRig, circumstance: str, kind: str, fields: dict[str, object], code: str
) -> None:
    rig.harvested()
    fields = {"lines": {lot(): kg(1)}, **fields}
    assert rig.does("farm", kind, **fields) == code, circumstance


def test_event_with_one_item_twice_is_refused(rig: TraceRig) -> None:
    message = rig.event("farm", "harvest", lines={lot(): 1})
    message.projection.lines.append(pb.Line(item=lot(), quantity=1))
    assert rig.signed("farm", message) == "traceability.repeated-item"


@pytest.mark.parametrize("fields", [{"event_commitment": b""}, {"fields_root": b"x"}])
def test_commitment_of_another_length_is_refused(rig: TraceRig, fields: dict[str, bytes]) -> None:
    message = rig.event("farm", "harvest", lines={lot(): 1})
    for name, value in fields.items():
        setattr(message, name, value)
    assert rig.signed("farm", message) == "traceability.invalid-commitment"


def test_event_leaves_its_hash_and_is_recorded_once(rig: TraceRig) -> None:
    message = rig.event("farm", "harvest", lines={lot(): kg(1)})
    assert rig.code(SERVICE, message) == "traceability.not-signed-by-actor"
    assert rig.signed("farm", message) == ""
    assert load_event(rig.state.get, message.projection.id) == pb.EventRecord(
        projection=projection_hash(message.projection), actor=FARM, recorded_ms=rig.time_ms - BLOCK_MS
    )
    assert rig.signed("farm", message) == "traceability.event-known"


def test_history_of_an_item_names_all_its_events_in_order(rig: TraceRig) -> None:
    expected = FIRST_HISTORY
    for kind, fields in (
        ("harvest", {"lines": {lot(): kg(2)}}),
        ("ship", {"lines": {lot(): kg(1)}, "counterparty": MARKET}),
        ("inspect", {"lines": {lot(): 0}}),
        ("pack", {"lines": {lot(): kg(1)}, "parent": sscc(1)}),
    ):
        message = rig.event("farm", kind, **fields)
        assert rig.signed("farm", message) == ""
        expected = next_history(expected, message.projection.id)
    assert rig.does("market", "destroy", lines={lot(): kg(1)}) == "traceability.not-held"
    assert (rig.lot_record(lot()).history, rig.lot_record(lot()).events) == (expected, 4)
    assert rig.object_record(sscc(1)).history == next_history(FIRST_HISTORY, message.projection.id)


def test_writes_of_an_event_are_those_that_the_documentation_states(rig: TraceRig) -> None:
    def writes(who: str, kind: str, **fields: object) -> int:
        return len(rig.run(rig.sign([SERVICE, who], rig.event(who, kind, **fields))).writes)

    one, two = {lot(): kg(10)}, {lot(): kg(10), lot("B"): kg(10)}
    assert writes("farm", "harvest", lines=two) == 1 + 2 * 2
    assert writes("farm", "ship", counterparty=MARKET, lines=one) == 1 + 3
    assert writes("farm", "ship", counterparty=MARKET, carrier=gln(2), lines={lot("B"): kg(10)}) == 1 + 4
    assert writes("market", "receive", counterparty=FARM, lines=two) == 1 + 2 * 3
    assert writes("market", "pack", parent=sscc(1), lines=one) == 1 + 2 + 2
    assert writes("market", "ship", counterparty=SHOP, lines={sscc(1): 0}) == 1 + 1
    assert writes("shop", "receive", counterparty=MARKET, lines={sscc(1): 0}) == 1 + 1
    assert writes("shop", "unpack", parent=sscc(1)) == 1 + 2 + 2
    assert writes("shop", "transform", lines=one, outputs={serial(1): 0, serial(2): 0}) == 1 + 2 + 2
    assert writes("shop", "sell", lines={serial(1): 0}) == 1 + 1
    assert writes("lab", "inspect", lines={lot(): 0, serial(2): 0}) == 1 + 1 + 1
    assert writes("farm", "associate") == 1


# ---------------------------------------------------------------- declaring and selling


@pytest.mark.parametrize(
    ("who", "kind", "item", "code"),
    [
        ("farm", "harvest", lot("N"), ""),
        ("market", "harvest", lot("N"), "traceability.wrong-role"),
        ("plant", "harvest", serial(1, JAR), "traceability.wrong-role"),
        ("carrier", "harvest", sscc(9), ""),
        ("farm-2", "harvest", lot(), "traceability.lot-of-another"),
        ("carrier", "sell", lot(), "traceability.wrong-role"),
        ("farm", "sell", lot(), ""),
        ("farm-2", "sell", lot(), "traceability.not-held"),
        ("farm", "sell", lot("X"), "traceability.unknown-item"),
        ("farm", "destroy", serial(7), "traceability.unknown-item"),
        ("farm", "destroy", lot(), ""),
    ],
)
def test_role_and_custody_decide_who_declares_and_sells(
    rig: TraceRig, who: str, kind: str, item: str, code: str
) -> None:
    rig.harvested()
    assert rig.does(who, kind, lines={item: kg(1) if "/10/" in item else 0}) == code


def test_lot_of_100_kg_gives_102_and_no_gram_more(rig: TraceRig) -> None:
    rig.harvested(100)
    for amount, code in (
        (110, "traceability.exceeds-balance"),
        (90, ""),
        (11.9, ""),
        (0.2, "traceability.exceeds-balance"),
    ):
        assert rig.does("farm", "sell", lines={lot(): kg(amount)}) == code
    assert rig.does("farm", "sell", lines={lot(): kg(0.1)}) == ""
    assert rig.does("farm", "sell", lines={lot(): 1}) == "traceability.not-held"
    record = rig.lot_record(lot())
    assert (record.entered, record.granted, record.left) == (kg(100), kg(2), kg(102))


def test_lot_that_is_harvested_in_two_events_adds_up_to_a_bound(rig: TraceRig) -> None:
    rig.harvested(30)
    rig.harvested(70)
    assert rig.holding(lot(), "farm") == Portion(kg(100), kg(2))
    record = rig.lot_record(lot())
    record.entered = 10**15
    rig.state[b"traceability/lot/" + lot().encode()] = record.SerializeToString(deterministic=True)
    assert rig.does("farm", "harvest", lines={lot(): 1}) == "traceability.too-much"


# ---------------------------------------------------------------- custody


def test_only_the_holder_ships_and_only_the_receiver_receives(rig: TraceRig) -> None:
    rig.harvested(100)
    assert rig.does("market", "ship", counterparty=SHOP, lines={lot(): kg(1)}) == "traceability.not-held"
    for whom, code in (
        (FARM, "traceability.same-party"),
        (gln(90), "traceability.unknown-participant"),
        (MARKET, ""),
    ):
        assert rig.does("farm", "ship", counterparty=whom, lines={lot(): kg(60)}) == code
    assert rig.does("market", "sell", lines={lot(): kg(1)}) == "traceability.not-held"
    assert rig.does("shop", "receive", counterparty=FARM, lines={lot(): kg(60)}) == ""
    assert rig.holding(lot(), "shop") == NOTHING
    assert rig.does("market", "receive", counterparty=FARM, lines={lot(): kg(60)}) == ""
    assert rig.holding(lot(), "market") == Portion(kg(60), kg(1.2))
    assert rig.transit(lot(), "farm", "market") == NOTHING
    assert not any(key.startswith(b"traceability/transit/") for key in rig.state)


@pytest.mark.parametrize(
    ("claimed", "complete", "held", "over", "short", "left_over"),
    [
        (60, False, Portion(kg(60), kg(1.2)), 0, 0, NOTHING),
        (61, False, Portion(kg(61), kg(0.2)), 0, 0, NOTHING),
        (70, False, Portion(kg(61.2), 0), kg(8.8), 0, NOTHING),
        (50, False, Portion(kg(50), kg(1)), 0, 0, Portion(kg(10), kg(0.2))),
        (50, True, Portion(kg(50), kg(1)), 0, kg(10), NOTHING),
    ],
)
def test_receipt_matches_its_shipment_or_is_a_discrepancy(
    rig: TraceRig, claimed: float, complete: bool, held: Portion, over: int, short: int, left_over: Portion
) -> None:
    rig.harvested(100)
    assert rig.does("farm", "ship", counterparty=MARKET, lines={lot(): kg(60)}) == ""
    message = rig.event("market", "receive", counterparty=FARM, lines={lot(): kg(claimed)}, complete=complete)
    assert rig.signed("market", message) == ""
    assert (rig.holding(lot(), "market"), rig.transit(lot(), "farm", "market")) == (held, left_over)
    record = load_event(rig.state.get, message.projection.id)
    assert record is not None
    expected = [pb.Discrepancy(item=lot(), over=over, short=short)] if over or short else []
    assert [*record.discrepancies] == expected
    assert rig.lot_record(lot()).left == short


def test_receipt_of_what_was_never_shipped_credits_nothing(rig: TraceRig) -> None:
    rig.harvested(100)
    assert rig.does("farm", "pack", parent=sscc(1), lines={lot(): kg(1)}) == ""
    lines = {lot(): kg(5), lot("ghost"): kg(1), sscc(1): 0, sscc(2): 0}
    message = rig.event("market", "receive", counterparty=FARM, lines=lines)
    assert rig.signed("market", message) == ""
    record = load_event(rig.state.get, message.projection.id)
    assert record is not None
    assert {one.item: one.over for one in record.discrepancies} == {
        lot(): kg(5), lot("ghost"): kg(1), sscc(1): 1, sscc(2): 1,
    }  # fmt: skip
    assert rig.does("market", "sell", lines={lot(): 1}) == "traceability.not-held"
    assert rig.object_record(sscc(1)).holder == FARM


def test_shipper_takes_back_what_is_on_its_way_and_nobody_else(rig: TraceRig) -> None:
    rig.harvested(100)
    assert rig.does("farm", "pack", parent=sscc(1), lines={lot(): kg(40)}) == ""
    assert rig.does("farm", "ship", counterparty=MARKET, lines={lot(): kg(60), sscc(1): 0}) == ""
    for item, quantity in ((lot(), kg(1)), (sscc(1), 0)):
        refused = "traceability.not-in-transit"
        assert rig.does("market", "cancel", counterparty=FARM, lines={item: quantity}) == refused
        assert rig.does("farm", "cancel", counterparty=SHOP, lines={item: quantity}) == refused
    assert rig.does("farm", "cancel", counterparty=MARKET, lines={lot(): kg(62)}) == "traceability.exceeds-balance"
    assert rig.does("farm", "cancel", counterparty=MARKET, lines={lot(): kg(60), sscc(1): 0}) == ""
    assert rig.holding(lot(), "farm").quantity == kg(60)
    assert rig.does("farm", "unpack", parent=sscc(1)) == ""
    assert rig.holding(lot(), "farm") == Portion(kg(100), kg(2))
    assert rig.does("market", "receive", counterparty=FARM, lines={sscc(1): 0}) == ""
    assert rig.object_record(sscc(1)).holder == FARM


def test_object_is_sold_once_and_its_name_is_used_once(rig: TraceRig) -> None:
    rig.harvested(100)
    rig.delivered(lot(), 10)
    bags = {serial(n): 0 for n in range(3)}
    assert rig.does("market", "transform", lines={lot(): kg(2)}, outputs=bags) == ""
    assert rig.does("market", "transform", lines={lot(): kg(1)}, outputs={serial(1): 0}) == "traceability.item-known"
    assert rig.does("market", "sell", lines={serial(1): 0}) == ""
    assert rig.does("market", "sell", lines={serial(1): 0}) == "traceability.item-ended"
    assert rig.does("market", "ship", counterparty=SHOP, lines={serial(1): 0}) == "traceability.item-ended"
    rig.delivered(serial(2), 0, "market", "shop")
    assert rig.does("market", "sell", lines={serial(2): 0}) == "traceability.not-held"
    assert rig.does("shop", "sell", lines={serial(2): 0}) == ""


@pytest.mark.parametrize(
    ("who", "code"),
    [("farm", ""), ("market", ""), ("carrier", ""), ("lab", ""), ("shop", "traceability.not-related")],
)
def test_goods_are_observed_by_whom_they_concern(rig: TraceRig, who: str, code: str) -> None:
    rig.harvested(100)
    assert rig.does("farm", "pack", parent=sscc(1), lines={lot(): kg(40)}) == ""
    assert rig.does("farm", "ship", counterparty=MARKET, carrier=gln(2), lines={sscc(1): 0}) == ""
    assert rig.does(who, "inspect", lines={sscc(1): 0}) == code
    assert rig.does(who, "look", parent=sscc(1)) == code
    assert rig.does("farm", "ship", counterparty=MARKET, carrier=gln(2), lines={lot(): kg(60)}) == ""
    assert rig.does("market", "receive", counterparty=FARM, lines={lot(): kg(60)}) == ""
    assert rig.does(who, "inspect", lines={lot(): 0}) == code


def test_what_is_not_there_is_not_observed(rig: TraceRig) -> None:
    for item in (lot("X"), serial(1)):
        assert rig.does("lab", "inspect", lines={item: 0}) == "traceability.unknown-item"


# ---------------------------------------------------------------- containers


@pytest.fixture
def stocked(rig: TraceRig) -> TraceRig:
    """The farm has 90 kg at hand, 10 kg on pallet 1, and four bags."""
    rig.harvested(102)
    assert rig.does("farm", "transform", lines={lot(): kg(2)}, outputs={serial(n): 0 for n in range(4)}) == ""
    assert rig.does("farm", "pack", parent=sscc(1), lines={lot(): kg(10), serial(0): 0}) == ""
    return rig


@pytest.mark.parametrize(
    ("circumstance", "who", "kind", "fields", "code"),
    [
        ("child in two parents", "farm", "pack", {"parent": sscc(2), "lines": {serial(0): 0}}, "contained"),
        ("child shipped alone", "farm", "ship", {"counterparty": MARKET, "lines": {serial(0): 0}}, "contained"),
        ("child sold in its box", "farm", "sell", {"lines": {serial(0): 0}}, "contained"),
        ("more than at hand", "farm", "pack", {"parent": sscc(1), "lines": {lot(): kg(93)}}, "exceeds-balance"),
        ("by another", "market", "pack", {"parent": sscc(1), "lines": {serial(1): 0}}, "not-held"),
        ("into itself", "farm", "pack", {"parent": sscc(1), "lines": {sscc(1): 0}}, "contained"),
        ("into a lot", "farm", "pack", {"parent": lot(), "lines": {serial(1): 0}}, "not-goods"),
        ("into an unknown serial", "farm", "pack", {"parent": serial(77), "lines": {serial(1): 0}}, "unknown-item"),
        ("more of a lot", "farm", "pack", {"parent": sscc(1), "lines": {lot(): kg(5)}}, ""),
        ("unpacked by another", "market", "unpack", {"parent": sscc(1)}, "not-held"),
        ("unpacked of what is not in", "farm", "unpack", {"parent": sscc(1), "lines": {serial(1): 0}}, "not-contained"),
        ("unpacked of too much", "farm", "unpack", {"parent": sscc(1), "lines": {lot(): kg(11)}}, "exceeds-balance"),
        ("unpacked of a part", "farm", "unpack", {"parent": sscc(1), "lines": {lot(): kg(4)}}, ""),
        ("destroyed while full", "farm", "destroy", {"lines": {sscc(1): 0}}, "not-empty"),
        ("used as an input", "farm", "transform", {"lines": {sscc(1): 0}, "outputs": {lot("B"): 1}}, "not-goods"),
        ("made as an output", "farm", "transform", {"lines": {lot(): 1}, "outputs": {sscc(5): 0}}, "not-goods"),
        ("declared anew", "farm", "harvest", {"lines": {sscc(1): 0}}, "item-known"),
    ],
)
def test_container_is_packed_and_unpacked_or_refused(
    stocked: TraceRig, circumstance: str, who: str, kind: str, fields: dict[str, object], code: str
) -> None:
    assert stocked.does(who, kind, **fields) == (f"traceability.{code}" if code else ""), circumstance


def test_goods_move_with_their_container_and_are_at_hand_once_unpacked(stocked: TraceRig) -> None:
    assert stocked.does("farm", "pack", parent=crate(1), lines={serial(1): 0}) == ""
    assert stocked.does("farm", "pack", parent=sscc(1), lines={crate(1): 0, lot(): kg(5)}) == ""
    stocked.delivered(sscc(1), 0)
    assert stocked.does("market", "sell", lines={serial(0): 0}) == "traceability.contained"
    assert stocked.does("market", "inspect", lines={serial(1): 0}) == ""
    assert stocked.does("farm", "inspect", lines={serial(1): 0}) == "traceability.not-related"
    assert stocked.does("market", "unpack", parent=sscc(1), lines={lot(): kg(4), serial(0): 0}) == ""
    assert stocked.holding(lot(), "market").quantity == kg(4)
    assert stocked.does("market", "sell", lines={serial(0): 0}) == ""
    assert stocked.does("market", "unpack", parent=sscc(1)) == ""
    assert stocked.holding(lot(), "market") == Portion(kg(15), kg(0.3))
    assert not stocked.contents(sscc(1))
    assert (stocked.object_record(sscc(1)).lines, stocked.object_record(sscc(1)).height) == (0, 0)
    assert stocked.does("market", "unpack", parent=crate(1)) == ""
    assert stocked.object_record(serial(1)).holder == MARKET
    assert stocked.does("shop", "pack", parent=crate(1), lines={lot(): 1}) == "traceability.not-held"
    assert stocked.does("farm", "pack", parent=crate(1), lines={serial(2): 0}) == "", "an empty crate is lent out"
    assert stocked.does("farm", "pack", parent=sscc(1), lines={serial(3): 0}) == "traceability.not-held"
    assert stocked.does("market", "destroy", lines={sscc(1): 0}) == ""
    assert stocked.does("market", "pack", parent=sscc(1), lines={lot(): 1}) == "traceability.item-ended"


def test_containers_nest_to_a_bound_and_hold_a_bounded_number_of_lines(rig: TraceRig) -> None:
    rig.harvested()
    assert rig.does("farm", "pack", parent=sscc(0), lines={lot(): 1}) == ""
    codes = [rig.does("farm", "pack", parent=sscc(n + 1), lines={sscc(n): 0}) for n in range(9)]
    assert codes == [""] * 8 + ["traceability.too-deep"]
    many, more = ({sscc(100 + n): 0 for n in places} for places in (range(100), range(100, 129)))
    for units in (many, more):
        assert rig.does("farm", "harvest", lines=units) == ""
    assert rig.does("farm", "pack", parent=sscc(99), lines=many) == ""
    assert rig.does("farm", "pack", parent=sscc(99), lines=more) == "traceability.too-many-contents"


# ---------------------------------------------------------------- transformations


@pytest.mark.parametrize(
    ("circumstance", "who", "lines", "outputs", "code"),
    [
        ("as much as went in", "plant", {lot(): kg(50)}, {lot("C", CUT): kg(50)}, ""),
        ("with the tolerance", "plant", {lot(): kg(50)}, {lot("C", CUT): kg(51)}, ""),
        ("more", "plant", {lot(): kg(50)}, {lot("C", CUT): kg(51) + 1}, "exceeds-input"),
        (
            "more by two outputs",
            "plant",
            {lot(): kg(50)},
            {lot("C", CUT): kg(30), lot("D", CUT): kg(22)},
            "exceeds-input",
        ),
        ("more than is there", "plant", {lot(): kg(103)}, {lot("C", CUT): 1}, "exceeds-balance"),
        ("pieces by their mass", "plant", {lot(): kg(50)}, {serial(n, JAR): 0 for n in range(200)}, ""),
        ("a piece too many", "plant", {lot(): kg(50)}, {serial(n, JAR): 0 for n in range(205)}, "exceeds-input"),
        ("lot of pieces", "plant", {lot(): kg(50)}, {lot("J", JAR): 204 * 10**6}, ""),
        ("litres by their mass", "plant", {lot(): kg(103)}, {lot("J", JUICE): kg(100)}, "exceeds-balance"),
        ("litres", "plant", {lot(): kg(51.5)}, {lot("J", JUICE): kg(51)}, ""),
        ("too many litres", "plant", {lot(): kg(51.5)}, {lot("J", JUICE): kg(51.0001)}, "exceeds-input"),
        ("by a carrier", "carrier", {lot(): kg(1)}, {lot("C", CUT): 1}, "wrong-role"),
        ("serial of litres", "plant", {lot(): kg(1)}, {serial(1, JUICE): 0}, "not-pieces"),
        ("nothing in", "plant", {}, {lot("C", CUT): 1}, "empty-event"),
        ("unknown input", "plant", {lot("X"): kg(1)}, {lot("C", CUT): 1}, "unknown-item"),
        ("input of an unknown product", "plant", {lot("X", gtin(9)): 1}, {lot("C", CUT): 1}, "unknown-product"),
    ],
)
def test_transformation_conserves_mass_or_is_refused(
    rig: TraceRig, circumstance: str, who: str, lines: dict[str, int], outputs: dict[str, int], code: str
) -> None:
    rig.harvested(100)
    rig.delivered(lot(), 100, whom="plant")
    assert rig.does(who, "transform", lines=lines, outputs=outputs) == (f"traceability.{code}" if code else "")


def test_another_participants_product_is_not_made(rig: TraceRig) -> None:
    rig.harvested()
    jar = {serial(1, JAR): 0}
    assert rig.does("farm", "transform", lines={lot(): kg(1)}, outputs=jar) == "traceability.product-of-another"


def test_tolerance_goes_on_in_proportion_and_never_grows(rig: TraceRig) -> None:
    rig.harvested(100)
    rig.delivered(lot(), 100, whom="plant")
    outputs = {lot("C", CUT): kg(20), lot("D", CUT): kg(20)}
    assert rig.does("plant", "transform", lines={lot(): kg(100)}, outputs=outputs) == ""
    for name in ("C", "D"):
        assert rig.holding(lot(name, CUT), "plant") == Portion(kg(20), kg(0.4)), "as much as its own would have"
    assert rig.does("plant", "transform", lines={lot("C", CUT): kg(20)}, outputs={lot("J", BAG): 40 * 10**6}) == ""
    assert rig.holding(lot("J", BAG), "plant") == Portion(40 * 10**6, 0), "pieces have none"


def test_transformation_in_parts_draws_on_what_went_in_before(rig: TraceRig) -> None:
    rig.harvested(100)
    rig.delivered(lot(), 100, whom="plant")
    process = sha256(b"xform 1")
    jars = {lot("J", JAR): 400 * 10**6}
    assert rig.does("plant", "transform", outputs=jars, process=process) == "traceability.exceeds-input"
    assert rig.does("plant", "transform", lines={lot(): kg(60)}, process=process) == ""
    assert rig.does("plant", "transform", lines={lot(): kg(40)}, process=process) == ""
    assert rig.does("market", "transform", outputs={serial(1): 0}, process=process) == "traceability.exceeds-input"
    assert rig.does("plant", "transform", outputs=jars, process=process) == ""
    assert (
        rig.does("plant", "transform", outputs={lot("K", JAR): 8 * 10**6}, process=process)
        == "traceability.exceeds-input"
    )
    assert not any(key.startswith(b"traceability/process/") for key in rig.state), "all of it came out"


def test_transformation_beyond_all_measure_is_refused(rig: TraceRig) -> None:
    heavy = gtin(40)
    assert rig.code(REGULATOR, product(heavy, pb.UNIT_PIECE, 10**9, "整船")) == ""
    process = sha256(b"xform 2")
    lots = {lot(f"H{n}", heavy): QUANTITY_MAX for n in range(11)}
    assert rig.does("coop", "harvest", lines=lots) == ""
    assert rig.does("coop", "transform", lines=lots, process=process) == "traceability.too-much"


# ---------------------------------------------------------------- errors declared


@pytest.mark.parametrize(
    ("circumstance", "signers", "fields", "code"),
    [
        ("by its actor", "farm", {}, ""),
        ("by a regulator", REGULATOR, {}, ""),
        ("with corrections", "farm", {"corrected_by": [bytes(32)] * 8}, ""),
        ("by another", "market", {}, "traceability.not-regulator"),
        ("of no event", "farm", {"event": bytes(32)}, "traceability.unknown-event"),
        ("without a reason", "farm", {"reason": 0}, "traceability.unknown-reason"),
        ("too many corrections", "farm", {"corrected_by": [bytes(32)] * 9}, "traceability.invalid-event-id"),
        ("no id", "farm", {"corrected_by": [b"x"]}, "traceability.invalid-event-id"),
    ],
)
def test_error_is_declared_beside_its_event_or_refused(
    rig: TraceRig, circumstance: str, signers: str, fields: dict[str, object], code: str
) -> None:
    message = rig.event("farm", "harvest", lines={lot(): kg(1)})
    assert rig.signed("farm", message) == ""
    base: dict[str, object] = {"event": message.projection.id, "reason": pb.ERROR_REASON_INCORRECT_DATA}
    declaration = pb.DeclareError(**{**base, **fields})
    assert rig.signed(signers, declaration) == code, circumstance
    if code:
        return
    record = load_event(rig.state.get, message.projection.id)
    assert record is not None
    assert (record.projection, record.declared_ms) == (projection_hash(message.projection), rig.time_ms - BLOCK_MS)
    assert rig.holding(lot(), "farm").quantity == kg(1), "quantities change by events alone"
    assert rig.signed(signers, declaration) == "traceability.event-declared"


def test_traders_of_the_rig_have_the_roles_that_these_tests_take_for_granted() -> None:
    assert {name for name, (_, roles) in TRADERS.items() if pb.ROLE_FARM in roles} == {"farm", "farm-2", "coop"}
