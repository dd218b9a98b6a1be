# SPDX-License-Identifier: Apache-2.0
"""From EPCIS events to operations: what becomes public, what is committed to, what is opened, and what is refused."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.trace_rig import BAG, CABBAGE, FIELD, JUICE, SERVICE, TraceRig, crate, gln, gtin, kg, lot, serial, sscc
from traceability import epcis
from traceability.acts import Act, act_of
from traceability.digital_link import build
from traceability.gs1_codes import CHARACTERS_82
from traceability.items import Kind, kind_of
from traceability.openings import (
    FIELDS_MAX,
    InvalidOpening,
    canonical,
    fields_of,
    open_event,
    open_field,
    salt_of,
    verify_event,
    verify_field,
    verify_id,
)
from traceability.pb import traceability_pb2 as pb
from traceability.products import load_product
from traceability.projection import Projected, Unrecordable, operations_of, project

CONTEXT = ["https://ref.gs1.org/standards/epcis/epcis-context.jsonld", {"fs": "https://ns.foshan.example/"}]
SECRET = bytes(range(32))
STEM = "https://id.gs1.org/"
UNITS = {CABBAGE: pb.UNIT_KILOGRAM, JUICE: pb.UNIT_LITRE, BAG: pb.UNIT_PIECE}


def harvest(**changes: Any) -> dict[str, Any]:
    event = {
        "type": "ObjectEvent",
        "eventID": "urn:uuid:6d1f6f2e-1b1a-4b53-9a27-0d9d5a8c4a11",
        "eventTime": "2023-11-14T22:13:20.500Z",
        "eventTimeZoneOffset": "+08:00",
        "action": "ADD",
        "bizStep": "commissioning",
        "disposition": "active",
        "quantityList": [{"epcClass": STEM + lot(), "quantity": 99.5, "uom": "KGM"}],
        "readPoint": {"id": f"{STEM}414/{FIELD}"},
        "ilmd": {"cbvmda:lotNumber": "L1", "fs:field": "third terrace"},
        "fs:weather": "rain",
    }
    return {name: value for name, value in {**event, **changes}.items() if value is not None}


def shipping(**changes: Any) -> dict[str, Any]:
    return harvest(
        **{
            "action": "OBSERVE",
            "bizStep": "shipping",
            "disposition": "in_transit",
            "ilmd": None,
            "sourceList": [{"type": "possessing_party", "source": f"{STEM}417/{gln(1)}"}],
            "destinationList": [
                {"type": "owning_party", "destination": f"{STEM}417/{gln(6)}"},
                {"type": "possessing_party", "destination": f"{STEM}417/{gln(3)}"},
            ],
            **changes,
        }
    )


def projected(event: dict[str, Any], actor: str = gln(1), **changes: Any) -> Projected:
    epcis.validate({"@context": CONTEXT, **event})
    arguments: dict[str, Any] = {"context": CONTEXT, "actor": actor, "secret": SECRET, "unit_of": UNITS.get}
    return project(event, **{**arguments, **changes})


def public(event: dict[str, Any], actor: str = gln(1), **changes: Any) -> pb.Projection:
    message = projected(event, actor, **changes).message
    assert message is not None
    return message.projection


def test_harvest_becomes_goods_step_time_and_place_and_nothing_else() -> None:
    found = projected(harvest())
    assert found.message is not None
    assert found.message.projection == pb.Projection(
        id=found.id,
        actor=gln(1),
        type=pb.EVENT_TYPE_OBJECT,
        action=pb.ACTION_ADD,
        step=pb.BUSINESS_STEP_COMMISSIONING,
        disposition=pb.DISPOSITION_ACTIVE,
        event_time_ms=1_700_000_000_500,
        offset_minutes=480,
        place=FIELD,
        lines=[pb.Line(item=lot(), quantity=99_500_000)],
    )
    recorded = found.operations[0].raw
    for private in (b"terrace", b"rain", b"6d1f6f2e"):
        assert private not in recorded


def test_projected_operations_execute_on_the_ledger_and_only_once() -> None:
    rig = TraceRig()

    def unit_of(gtin: str) -> pb.Unit.ValueType | None:
        product = load_product(rig.state.get, gtin)
        return None if product is None else product.unit

    operations = operations_of(harvest(), context=CONTEXT, actor=gln(1), secret=SECRET, unit_of=unit_of)
    assert rig.code([SERVICE, "farm"], *operations) == ""
    assert rig.holding(lot(), "farm").quantity == 99_500_000
    assert rig.code([SERVICE, "farm"], *operations) == "traceability.event-known"


@pytest.mark.parametrize(
    ("element", "quantity"),
    [
        ({"quantity": 0.000001, "uom": "KGM"}, 1),
        ({"quantity": 0.1, "uom": "KGM"}, 100_000),
        ({"quantity": 250, "uom": "GRM"}, 250_000),
        ({"quantity": 1.5, "uom": "TNE"}, 1_500_000_000),
        ({"quantity": 1_000_000, "uom": "KGM"}, 10**12),
    ],
)
def test_quantity_becomes_whole_millionths_exactly(element: dict[str, Any], quantity: int) -> None:
    event = harvest(quantityList=[{"epcClass": STEM + lot(), **element}])
    assert [line.quantity for line in public(event).lines] == [quantity]


def test_words_and_identifiers_count_whatever_form_they_have() -> None:
    one = public(harvest())
    other = public(
        harvest(
            bizStep="https://ref.gs1.org/cbv/BizStep-commissioning",
            disposition="cbv:Disp-active",
            quantityList=[{"epcClass": "urn:epc:class:lgtin:6901234.000001.L1", "quantity": 99.5, "uom": "KGM"}],
            readPoint={"id": f"https://farm.example/414/{FIELD}?x=1"},
        )
    )
    assert other == one
    assert public(harvest(bizStep="fs:weeding", readPoint={"id": "geo:23.02,113.12"})).step == 0


def test_lot_that_stands_twice_is_one_line() -> None:
    twice = [{"epcClass": STEM + lot(), "quantity": amount, "uom": "KGM"} for amount in (1, 2)]
    assert [(line.item, line.quantity) for line in public(harvest(quantityList=twice)).lines] == [(lot(), kg(3))]


def test_shipment_and_receipt_name_the_other_side_by_possession_first() -> None:
    sent = public(shipping(), carrier=gln(2))
    assert (sent.counterparty, sent.carrier, act_of(sent)) == (gln(3), gln(2), Act.SHIP)
    receipt = shipping(bizStep="receiving", disposition="mismatch_quantity")
    got = public(receipt, gln(3))
    assert (got.counterparty, got.complete, act_of(got)) == (gln(1), True, Act.RECEIVE)
    assert not public(shipping(bizStep="receiving", disposition="in_progress"), gln(3)).complete


def test_packing_transforming_and_noting_have_their_own_fields() -> None:
    base = {"eventTime": "2023-11-14T22:13:20Z", "eventTimeZoneOffset": "-01:30"}
    packing = {"type": "AggregationEvent", **base, "action": "ADD", "bizStep": "packing", "parentID": STEM + sscc(1)}
    packed = public({**packing, "childEPCs": [STEM + serial(1), STEM + crate(1)]})
    assert (packed.parent, [line.item for line in packed.lines]) == (sscc(1), [serial(1), crate(1)])
    assert (packed.offset_minutes, packed.place) == (-90, "")
    cutting = {"type": "TransformationEvent", **base, "transformationID": "urn:uuid:1", "outputEPCList": []}
    cut = public({**cutting, "inputQuantityList": [{"epcClass": STEM + lot(), "quantity": 2, "uom": "KGM"}]})
    assert (len(cut.process), len(cut.lines), act_of(cut)) == (32, 1, Act.TRANSFORM)
    truck = {"type": "AssociationEvent", **base, "action": "ADD", "parentID": "urn:epc:id:giai:6901234.truck1"}
    noted = public({**truck, "childEPCs": ["urn:epc:id:giai:6901234.sensor1"]})
    assert (act_of(noted), noted.parent, len(noted.lines)) == (Act.NOTE, "", 0)


def test_error_declaration_names_the_event_and_what_corrects_it() -> None:
    ids = {"urn:uuid:6d1f6f2e-1b1a-4b53-9a27-0d9d5a8c4a11": bytes([1]) * 32, "urn:uuid:2": bytes([2]) * 32}
    declaration = {"declarationTime": "2023-11-15T00:00:00Z", "reason": "did_not_occur"}
    event = harvest(errorDeclaration={**declaration, "correctiveEventIDs": ["urn:uuid:2"]})
    found = projected(event, id_of=ids.get)
    assert found.message is None
    assert [operation.type for operation in found.operations] == ["traceability.DeclareError"]
    assert pb.DeclareError.FromString(found.operations[0].body) == pb.DeclareError(
        event=bytes([1]) * 32, reason=pb.ERROR_REASON_DID_NOT_OCCUR, corrected_by=[bytes([2]) * 32]
    )
    with pytest.raises(Unrecordable, match="capture what corrects first"):
        projected(event, id_of={found.event_id: bytes(32)}.get)
    with pytest.raises(Unrecordable, match="was not captured"):
        projected(event)


@pytest.mark.parametrize(
    ("circumstance", "event", "at"),
    [
        ("class without a lot", harvest(quantityList=[{"epcClass": f"{STEM}01/{CABBAGE}"}]), "epcClass"),
        ("lot of an unknown product", harvest(quantityList=[{"epcClass": STEM + lot("A", gtin(9))}]),
         "epcClass"),
        ("lot without a quantity", harvest(quantityList=[{"epcClass": STEM + lot()}]), "/quantityList/0/quantity"),
        ("another unit", harvest(quantityList=[{"epcClass": STEM + lot(), "quantity": 1, "uom": "LTR"}]),
         "/quantityList/0/uom"),
        ("pieces of what is weighed", harvest(quantityList=[{"epcClass": STEM + lot(), "quantity": 1}]),
         "/quantityList/0/uom"),
        ("less than a millionth", harvest(quantityList=[{"epcClass": STEM + lot(), "quantity": 1e-7, "uom": "KGM"}]),
         "/quantityList/0/quantity"),
        ("nothing", harvest(quantityList=[{"epcClass": STEM + lot(), "quantity": 0, "uom": "KGM"}]),
         "/quantityList/0/quantity"),
        ("object of no known kind", harvest(epcList=["urn:uuid:00000000-0000-0000-0000-000000000001"]), "/epcList/0"),
        ("too many goods", harvest(epcList=[STEM + serial(n) for n in range(256)]), ""),
        ("nobody to ship to", shipping(destinationList=None), "/destinationList"),
        ("place as receiver", shipping(destinationList=[{"type": "location", "destination": f"{STEM}414/{FIELD}"}]),
         "/destinationList"),
        ("another's shipment", shipping(sourceList=[{"type": "owning_party", "source": f"{STEM}417/{gln(7)}"}]),
         "/sourceList"),
    ],
)  # fmt: skip
def test_valid_event_that_cannot_be_recorded_is_refused_with_its_field(
    circumstance: str, event: dict[str, Any], at: str
) -> None:
    with pytest.raises(Unrecordable) as caught:
        projected(event)
    assert caught.value.pointer.endswith(at), circumstance
    assert caught.value.code == "traceability.unrecordable"


# ---------------------------------------------------------------- opening


def test_whole_event_and_its_id_are_opened_and_nothing_else_verifies() -> None:
    found = projected(harvest())
    assert found.message is not None
    whole = open_event(found.data, SECRET)
    verify_event(whole, found.message.event_commitment)
    assert json.loads(whole.data)["event"]["fs:weather"] == "rain"
    verify_id(found.event_id, salt_of(SECRET, "id"), found.id)
    for other in (replace(whole, data=whole.data + b" "), replace(whole, salt=bytes(32)), replace(whole, salt=b"")):
        with pytest.raises(InvalidOpening):
            verify_event(other, found.message.event_commitment)
    with pytest.raises(InvalidOpening):
        verify_id("urn:uuid:2", salt_of(SECRET, "id"), found.id)


def test_each_private_field_opens_alone_and_no_change_of_it_verifies() -> None:
    event = harvest()
    message = projected(event).message
    assert message is not None
    fields = [name for name, _ in fields_of(event)]
    assert {"/ilmd/fs:field", "/ilmd/cbvmda:lotNumber", "/fs:weather", "/eventID"} <= {*fields}
    for name in fields:
        verify_field(open_field(event, SECRET, name), message.fields_root)
    opened = open_field(event, SECRET, "/fs:weather")
    assert opened.value == b'"rain"'
    for changed in (
        replace(opened, value=b'"sun"'),
        replace(opened, pointer="/fs:weathe", value=b'r"rain"'),
        replace(opened, salt=salt_of(SECRET, "field /eventID")),
        replace(opened, salt=b""),
        replace(opened, index=opened.index + 1),
        replace(opened, path=opened.path[:-1]),
    ):
        with pytest.raises(InvalidOpening):
            verify_field(changed, message.fields_root)
    with pytest.raises(InvalidOpening, match="no field /nothing"):
        open_field(event, SECRET, "/nothing")


def test_another_secret_gives_another_id_and_other_commitments() -> None:
    one, other = projected(harvest()).message, projected(harvest(), secret=bytes(32)).message
    assert one is not None
    assert other is not None
    assert one.projection.id != other.projection.id
    assert one.event_commitment != other.event_commitment
    assert one.fields_root != other.fields_root


def test_event_with_more_fields_than_are_committed_to_is_refused() -> None:
    event = {f"fs:{number}": number for number in range(FIELDS_MAX + 1)}
    with pytest.raises(InvalidOpening, match="at most 1024"):
        fields_of(event)
    assert canonical({"b": 1.50, "a": "菜"}) == b'{"a":"\\u83dc","b":1.5}'


def test_each_character_that_a_lot_may_have_is_named_alike_in_links_and_on_the_chain() -> None:
    for character in CHARACTERS_82:
        link = build([("01", CABBAGE), ("10", f"a{character}b")], STEM.rstrip("/"))
        element = {"epcClass": link, "quantity": 1, "uom": "KGM"}
        (line,) = public(harvest(quantityList=[element])).lines
        assert kind_of(line.item) is Kind.LOT, character
