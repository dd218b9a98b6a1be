# SPDX-License-Identifier: Apache-2.0
"""Participants, their keys and agents, places, products, tolerances and recalls: who may do what, and each refusal."""

from dataclasses import replace

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from chain.errors import InvalidGenesis, Refused
from tests.rig import Rig, four, genesis, organisation, signer_pb
from tests.trace_rig import (
    BAG,
    CABBAGE,
    FIELD,
    JAR,
    JUICE,
    MICRO,
    REGULATOR,
    SERVICE,
    TRADERS,
    TraceRig,
    crate,
    gln,
    gtin,
    kg,
    lot,
    participant,
    product,
    serial,
    smallholder,
    sscc,
)
from traceability.gs1 import check_digit
from traceability.items import is_checked, kind_of
from traceability.participants import AGENTS_MAX, KEYS_MAX, load_participant
from traceability.pb import traceability_pb2 as pb
from traceability.products import load_place, load_product, load_tolerance
from traceability.recalls import load_recall, recall_keys

FARM = TRADERS["farm"][0]
NEW = gln(50)
ROLES = [pb.ROLE_FARM]


@pytest.fixture
def rig() -> TraceRig:
    return TraceRig()


# ---------------------------------------------------------------- names of things


@pytest.mark.parametrize("digits", ["690123400000", "0", "95211410123", "1234567890123"])
def test_check_digit_on_the_chain_is_that_of_the_library(digits: str) -> None:
    right = check_digit(digits)
    assert [d for d in "0123456789" if is_checked(digits + d)] == [right]


@pytest.mark.parametrize(
    "item",
    [
        "",
        "01/" + CABBAGE,
        lot("x" * 21),
        lot(""),
        lot("a b"),
        lot("é"),
        lot("%41"),
        lot("%2f"),
        lot("L1") + "\n",
        lot("A", CABBAGE[:13] + str((int(CABBAGE[13]) + 1) % 10)),
        "https://id.gs1.org/" + lot(),
        sscc(1)[:-1],
        sscc(1)[:-1] + str((int(sscc(1)[-1]) + 1) % 10),
        "00/" + "９" * 18,
        "8003/" + "0" * 13,
        "8004/69",
    ],
)
def test_text_that_is_not_one_canonical_name_names_nothing(item: str) -> None:
    assert kind_of(item) is None


@pytest.mark.parametrize("item", [lot(), lot("%2F%25'._;=-"), serial(1), sscc(1), crate(1), "8004/6901234truck"])
def test_canonical_name_has_a_kind(item: str) -> None:
    assert kind_of(item) is not None


# ---------------------------------------------------------------- participants


@pytest.mark.parametrize(
    ("circumstance", "signers", "message", "code"),
    [
        ("company", REGULATOR, participant(NEW, ROLES), ""),
        ("company with a commitment", REGULATOR, participant(NEW, ROLES, commitment=bytes(32)), ""),
        ("smallholder", REGULATOR, smallholder(NEW), ""),
        ("by no regulator", "org-a:attest", participant(NEW, ROLES), "traceability.not-regulator"),
        ("by a regulator's other key", "org-f:submit", participant(NEW, ROLES), "traceability.not-regulator"),
        ("by two regulators", [REGULATOR, "org-g:attest"], participant(NEW, ROLES), "traceability.several-regulators"),
        ("no number", REGULATOR, participant("", ROLES), "traceability.invalid-gln"),
        ("wrong check digit", REGULATOR, participant("6901234000010", ROLES), "traceability.invalid-gln"),
        ("no role", REGULATOR, participant(NEW, []), "traceability.invalid-participant"),
        ("roles out of order", REGULATOR, participant(NEW, [3, 1]), "traceability.invalid-participant"),
        ("role unknown", REGULATOR, participant(NEW, [99]), "traceability.invalid-participant"),
        ("no kind", REGULATOR, participant(NEW, ROLES, kind=0), "traceability.invalid-participant"),
        ("company without code", REGULATOR, participant(NEW, ROLES, uscc=""), "traceability.invalid-participant"),
        ("company without name", REGULATOR, participant(NEW, ROLES, name_zh=""), "traceability.invalid-name"),
        ("deceptive name", REGULATOR, participant(NEW, ROLES, name_en="a\u202eb"), "traceability.invalid-name"),
        ("short commitment", REGULATOR, participant(NEW, ROLES, commitment=b"x"), "traceability.invalid-commitment"),
        ("named smallholder", REGULATOR, smallholder(NEW, name_zh="陈伯"), "traceability.names-a-person"),
        ("coded smallholder", REGULATOR, smallholder(NEW, uscc="1"), "traceability.names-a-person"),
        ("bare smallholder", REGULATOR, smallholder(NEW, commitment=b""), "traceability.invalid-commitment"),
        ("other kind", REGULATOR, smallholder(FARM), "traceability.participant-fixed"),
    ],
)
def test_participant_is_recorded_or_refused(
    rig: TraceRig, circumstance: str, signers: str, message: Message, code: str
) -> None:
    assert rig.code(signers, message) == code, circumstance


def test_altered_participant_keeps_its_keys_and_agents(rig: TraceRig) -> None:
    assert rig.signed("farm", pb.SetAgents(participant=FARM, agents=[gln(8)])) == ""
    assert rig.code(REGULATOR, participant(FARM, [pb.ROLE_FARM, pb.ROLE_PROCESSOR], name_zh="新名")) == ""
    found = load_participant(rig.state.get, FARM)
    assert found is not None
    assert (found.agents, found.roles) == ((gln(8),), (pb.ROLE_FARM, pb.ROLE_PROCESSOR))
    assert rig.does("coop", "harvest", lines={lot(): kg(1)}, actor=FARM) == ""


def test_suspended_participant_does_nothing_until_it_is_reinstated(rig: TraceRig) -> None:
    rig.harvested()
    rig.delivered(lot(), 10)
    assert rig.code(REGULATOR, participant(gln(3), [pb.ROLE_MARKET], suspended=True)) == ""
    suspended = "traceability.participant-suspended"
    assert rig.does("market", "sell", lines={lot(): kg(1)}) == suspended
    assert rig.does("farm", "ship", counterparty=gln(3), lines={lot(): kg(1)}) == suspended
    assert rig.does("farm", "ship", counterparty=gln(6), carrier=gln(3), lines={lot(): kg(1)}) == suspended
    assert rig.signed("market", pb.SetAgents(participant=gln(3))) == suspended
    assert rig.code(REGULATOR, participant(gln(3), [pb.ROLE_MARKET])) == ""
    assert rig.does("market", "sell", lines={lot(): kg(1)}) == ""


@pytest.mark.parametrize(
    ("circumstance", "signers", "name", "code"),
    [
        ("by its own key", ["farm", "new"], "new", ""),
        ("by a regulator", [REGULATOR, "new"], "new", ""),
        ("by another participant", ["market", "new"], "new", "traceability.not-regulator"),
        ("by an agent", ["coop", "new"], "new", "traceability.not-regulator"),
        ("without its own signature", ["farm"], "new", "traceability.key-unproven"),
        ("that another has", ["farm", "market"], "market", "traceability.key-used"),
    ],
)
def test_key_is_added_or_refused(rig: TraceRig, circumstance: str, signers: list[str], name: str, code: str) -> None:
    assert rig.signed("farm", pb.SetAgents(participant=FARM, agents=[gln(8)])) == ""
    message = pb.AddTraderKey(participant=FARM, key=signer_pb(name))
    assert rig.code([SERVICE, *signers], message) == code, circumstance


def test_ended_key_signs_nothing_and_never_comes_back(rig: TraceRig) -> None:
    end = pb.EndTraderKey(key=signer_pb("farm"))
    assert rig.signed("market", end) == "traceability.not-regulator"
    assert rig.signed("farm", end) == ""
    assert rig.does("farm", "harvest", lines={lot(): kg(1)}) == "traceability.not-signed-by-actor"
    assert rig.code(REGULATOR, end) == "traceability.unknown-key"
    assert rig.code(REGULATOR, pb.EndTraderKey(key=signer_pb("nobody"))) == "traceability.unknown-key"
    again = pb.AddTraderKey(participant=FARM, key=signer_pb("farm"))
    assert rig.code([REGULATOR, "farm"], again) == "traceability.key-used"


def test_participant_has_a_bounded_number_of_keys_in_use(rig: TraceRig) -> None:
    for index in range(1, KEYS_MAX):
        message = pb.AddTraderKey(participant=FARM, key=signer_pb(f"key {index}"))
        assert rig.signed(["farm", f"key {index}"], message) == ""
    more = pb.AddTraderKey(participant=FARM, key=signer_pb("more"))
    assert rig.signed(["farm", "more"], more) == "traceability.too-many-keys"
    assert rig.signed("farm", pb.EndTraderKey(key=signer_pb("key 1"))) == ""
    assert rig.signed(["farm", "more"], more) == ""


@pytest.mark.parametrize(
    ("circumstance", "signers", "who", "agents", "code"),
    [
        ("one", "farm", FARM, [gln(8)], ""),
        ("none", "farm", FARM, [], ""),
        ("by a regulator", REGULATOR, FARM, [gln(8)], ""),
        ("by another", "coop", FARM, [gln(8)], "traceability.not-regulator"),
        ("out of order", "farm", FARM, sorted([gln(8), gln(3)], reverse=True), "traceability.invalid-agents"),
        ("twice", "farm", FARM, [gln(8), gln(8)], "traceability.invalid-agents"),
        ("itself", "farm", FARM, [FARM], "traceability.invalid-agents"),
        ("too many", "farm", FARM, sorted(gln(n) for n in range(AGENTS_MAX + 1)), "traceability.invalid-agents"),
        ("an unknown one", "farm", FARM, [NEW], "traceability.unknown-participant"),
        ("of an unknown one", REGULATOR, NEW, [], "traceability.unknown-participant"),
    ],
)
def test_agents_are_named_or_refused(
    rig: TraceRig, circumstance: str, signers: str, who: str, agents: list[str], code: str
) -> None:
    assert rig.signed(signers, pb.SetAgents(participant=who, agents=agents)) == code, circumstance


def test_agent_signs_events_until_it_is_suspended_or_no_longer_named(rig: TraceRig) -> None:
    refused = "traceability.not-signed-by-actor"
    assert rig.does("coop", "harvest", lines={lot("A"): kg(1)}, actor=FARM) == refused
    assert rig.signed("farm", pb.SetAgents(participant=FARM, agents=[gln(8)])) == ""
    assert rig.does("coop", "harvest", lines={lot("A"): kg(1)}, actor=FARM) == ""
    assert rig.code(REGULATOR, participant(gln(8), TRADERS["coop"][1], suspended=True)) == ""
    assert rig.does("coop", "harvest", lines={lot("B"): kg(1)}, actor=FARM) == refused
    assert rig.code(REGULATOR, participant(gln(8), TRADERS["coop"][1])) == ""
    assert rig.signed("farm", pb.SetAgents(participant=FARM)) == ""
    assert rig.does("coop", "harvest", lines={lot("B"): kg(1)}, actor=FARM) == refused


# ---------------------------------------------------------------- places and products


def place(**changes: object) -> pb.RecordPlace:
    fields: dict[str, object] = {
        "gln": gln(60), "owner": FARM, "kind": pb.PLACE_KIND_WAREHOUSE, "district": "440604", "name_zh": "冷库",
    }  # fmt: skip
    return pb.RecordPlace(**{**fields, **changes})


@pytest.mark.parametrize(
    ("circumstance", "signers", "message", "code"),
    [
        ("one's own", "farm", place(), ""),
        ("by a regulator", REGULATOR, place(), ""),
        ("by another", "market", place(), "traceability.not-regulator"),
        ("of nobody", REGULATOR, place(owner=NEW), "traceability.unknown-participant"),
        ("no number", "farm", place(gln="1"), "traceability.invalid-gln"),
        ("no kind", "farm", place(kind=0), "traceability.invalid-place"),
        ("district of five digits", "farm", place(district="44060"), "traceability.invalid-place"),
        ("no name", "farm", place(name_zh=""), "traceability.invalid-name"),
        ("taken over", "market", place(gln=FIELD, owner=gln(3)), "traceability.place-of-another"),
        ("given to another by its owner", "farm", place(gln=FIELD, owner=gln(3)), "traceability.place-of-another"),
        ("given to another by a regulator", REGULATOR, place(gln=FIELD, owner=gln(3)), ""),
        ("smallholder's with a name", REGULATOR, place(owner=NEW, name_zh="陈伯菜地"), None),
    ],
)
def test_place_is_recorded_or_refused(
    rig: TraceRig, circumstance: str, signers: str, message: Message, code: str | None
) -> None:
    if code is None:
        assert rig.code(REGULATOR, smallholder(NEW)) == ""
        assert rig.signed(signers, place(owner=NEW, name_zh="")) == ""
        code = "traceability.names-a-person"
    assert rig.signed(signers, message) == code, circumstance


def test_closed_place_is_named_by_no_event_any_more(rig: TraceRig) -> None:
    assert rig.does("farm", "harvest", lines={lot("A"): 1}, place=FIELD) == ""
    assert rig.does("farm", "harvest", lines={lot("B"): 1}, place=gln(61)) == "traceability.unknown-place"
    assert rig.does("farm", "harvest", lines={lot("B"): 1}, place="61") == "traceability.invalid-gln"
    assert rig.signed("farm", place(gln=FIELD, kind=pb.PLACE_KIND_FARM, closed=True)) == ""
    assert rig.does("farm", "harvest", lines={lot("B"): 1}, place=FIELD) == "traceability.place-closed"
    found = load_place(rig.state.get, FIELD)
    assert found is not None
    assert found.closed


KILO, LITRE, PIECE = pb.UNIT_KILOGRAM, pb.UNIT_LITRE, pb.UNIT_PIECE
COLD = pb.TemperatureLimits(min_millicelsius=0, max_millicelsius=4_000, minutes_max=30)


@pytest.mark.parametrize(
    ("circumstance", "signers", "message", "code"),
    [
        ("somebody's", REGULATOR, product(gtin(20), PIECE, 1, "蛋", owner=FARM), ""),
        ("nobody's", REGULATOR, product(gtin(20), PIECE, 1, "蛋", owner=NEW), "traceability.unknown-participant"),
        ("with limits", REGULATOR, product(gtin(20), KILO, MICRO, "鱼", owner=FARM, temperature=COLD), ""),
        ("by its owner", "farm", product(gtin(20), PIECE, 1, "蛋", owner=FARM), "traceability.not-regulator"),
        ("no number", REGULATOR, product("1", PIECE, 1, "蛋"), "traceability.invalid-gtin"),
        ("no name", REGULATOR, product(gtin(20), PIECE, 1, ""), "traceability.invalid-name"),
        ("no unit", REGULATOR, product(gtin(20), 0, 1, "蛋"), "traceability.invalid-product"),
        ("no mass", REGULATOR, product(gtin(20), PIECE, 0, "蛋"), "traceability.invalid-product"),
        ("more than a tonne", REGULATOR, product(gtin(20), PIECE, 10**9 + 1, "蛋"), "traceability.invalid-product"),
        ("light kilogram", REGULATOR, product(gtin(20), KILO, 999_999, "蛋"), "traceability.invalid-product"),
        ("limits that fall", REGULATOR, product(gtin(20), KILO, MICRO, "鱼", temperature=pb.TemperatureLimits()),
         "traceability.invalid-product"),
        ("other mass", REGULATOR, product(BAG, PIECE, 1, "袋"), "traceability.product-fixed"),
        ("other unit", REGULATOR, product(CABBAGE, LITRE, MICRO, "菜"), "traceability.product-fixed"),
        ("other owner", REGULATOR, product(JAR, PIECE, 250_000, "腌菜"), "traceability.product-fixed"),
        ("other name", REGULATOR, product(BAG, PIECE, 500_000, "袋装菜心（新）"), ""),
    ],
)  # fmt: skip
def test_product_is_recorded_or_refused(
    rig: TraceRig, circumstance: str, signers: str, message: Message, code: str
) -> None:
    assert rig.signed(signers, message) == code, circumstance


def test_tolerance_is_a_regulators_and_counts_from_then_on(rig: TraceRig) -> None:
    assert load_tolerance(rig.state.get, KILO) == 20_000
    rig.harvested(100, lot("A"))
    for unit, ppm, code in (
        (KILO, 50_001, "traceability.invalid-tolerance"),
        (0, 1, "traceability.invalid-tolerance"),
        (KILO, 0, ""),
    ):
        assert rig.code(REGULATOR, pb.SetTolerance(unit=pb.Unit.ValueType(unit), parts_per_million=ppm)) == code
    assert rig.signed("farm", pb.SetTolerance(unit=KILO)) == "traceability.not-regulator"
    assert load_tolerance(rig.state.get, KILO) == 0
    rig.harvested(100, lot("B"))
    assert (rig.holding(lot("A"), "farm").slack, rig.holding(lot("B"), "farm").slack) == (kg(2), 0)


# ---------------------------------------------------------------- recalls

RECALL, WITHDRAWAL = pb.RECALL_KIND_RECALL, pb.RECALL_KIND_WITHDRAWAL


def recall(*items: str, actor: str = "", kind: int = RECALL, reason: int = pb.RECALL_REASON_RESIDUES) -> pb.Recall:
    return pb.Recall(
        actor=actor,
        items=items,
        kind=pb.RecallKind.ValueType(kind),
        reason=pb.RecallReason.ValueType(reason),
    )


@pytest.mark.parametrize(
    ("circumstance", "signers", "message", "code"),
    [
        ("by the maker", "farm", recall(lot(), actor=FARM), ""),
        ("by a regulator", REGULATOR, recall(lot(), f"01/{CABBAGE}", sscc(1)), ""),
        ("by an owner of the product", "plant", recall(f"01/{JAR}", actor=gln(5)), ""),
        ("by who has it", "market", recall(lot(), actor=gln(3)), "traceability.not-maker"),
        ("everybody's product by a trader", "farm", recall(f"01/{CABBAGE}", actor=FARM), "traceability.not-maker"),
        ("in another's name", "market", recall(lot(), actor=FARM), "traceability.not-signed-by-actor"),
        ("by nobody", "farm", recall(lot()), "traceability.not-regulator"),
        ("unknown lot", REGULATOR, recall(lot("X")), "traceability.unknown-item"),
        ("unknown product", REGULATOR, recall(f"01/{gtin(30)}"), "traceability.unknown-item"),
        ("unknown object", REGULATOR, recall(serial(1)), "traceability.unknown-item"),
        ("no name", REGULATOR, recall("cabbage"), "traceability.invalid-item"),
        ("nothing", REGULATOR, recall(), "traceability.invalid-recall"),
        ("twice the same", REGULATOR, recall(lot(), lot()), "traceability.invalid-recall"),
        ("too much", REGULATOR, recall(*[lot(str(n)) for n in range(65)]), "traceability.invalid-recall"),
        ("no kind", REGULATOR, recall(lot(), kind=0), "traceability.unknown-recall"),
        ("no reason", REGULATOR, recall(lot(), reason=0), "traceability.unknown-recall"),
    ],
)
def test_recall_is_made_or_refused(
    rig: TraceRig, circumstance: str, signers: str, message: pb.Recall, code: str
) -> None:
    rig.harvested()
    assert rig.does("farm", "pack", parent=sscc(1), lines={lot(): kg(1)}) == ""
    assert rig.signed(signers, message) == code, circumstance


@pytest.mark.parametrize("item", [lot(), f"01/{CABBAGE}"])
def test_recalled_goods_are_not_sold_or_used_and_go_back_or_are_destroyed(rig: TraceRig, item: str) -> None:
    rig.harvested()
    rig.delivered(lot(), 50)
    assert rig.code(REGULATOR, recall(item)) == ""
    assert any(key in rig.state for key in recall_keys(lot()))
    refused = "traceability.recalled"
    assert rig.does("market", "sell", lines={lot(): kg(1)}) == refused
    assert rig.does("market", "transform", lines={lot(): kg(1)}, outputs={serial(1): 0}) == refused
    rig.delivered(lot(), 20, "market", "farm")
    assert rig.does("market", "destroy", lines={lot(): kg(30)}) == ""
    assert rig.code(REGULATOR, pb.LiftRecall(items=[item])) == ""
    assert not any(key in rig.state for key in recall_keys(lot()))
    assert rig.does("farm", "sell", lines={lot(): kg(1)}) == ""


def test_regulators_recall_outranks_the_makers_and_only_a_regulator_lifts_it(rig: TraceRig) -> None:
    rig.harvested()
    own, lift_own = recall(lot(), actor=FARM, kind=WITHDRAWAL), pb.LiftRecall(actor=FARM, items=[lot()])
    assert rig.signed("farm", lift_own) == "traceability.not-recalled"
    assert rig.signed("farm", own) == ""
    assert rig.signed("farm", own) == "traceability.recalled"
    assert rig.signed("farm", lift_own) == ""
    assert rig.signed("farm", own) == ""
    assert rig.code(REGULATOR, recall(lot())) == ""
    found = load_recall(rig.state.get, lot())
    assert found is not None
    assert (found.kind, found.by, found.regulator) == (RECALL, "", "org-f")
    assert rig.code("org-g:attest", recall(lot())) == "traceability.recalled"
    assert rig.signed("farm", lift_own) == "traceability.recall-of-another"
    assert rig.signed("farm", pb.LiftRecall(items=[lot()])) == "traceability.not-regulator"
    assert rig.code("org-g:attest", pb.LiftRecall(items=[])) == "traceability.invalid-recall"
    assert rig.code("org-g:attest", pb.LiftRecall(items=[lot()])) == ""
    assert load_recall(rig.state.get, lot()) is None


# ---------------------------------------------------------------- the module


def test_genesis_with_a_section_for_it_is_refused() -> None:
    with pytest.raises(InvalidGenesis, match="leave this section out"):
        Rig(replace(four(), sections={**four().sections, "traceability": {"x": 1}}))


def test_organisation_without_the_role_regulates_nothing() -> None:
    rig = Rig(genesis([organisation("org-a"), organisation("org-f", roles=("food-regulator",))], [("v0", "org-a")]))
    assert rig.code(REGULATOR, participant(NEW, ROLES)) == ""
    assert rig.code("org-a:attest", participant(NEW, ROLES)) == "traceability.not-regulator"


TEXTS = {
    *("name_zh", "name_en", "uscc", "gln", "gtin", "owner", "participant", "agents", "actor", "items", "item", "place"),
    *("counterparty", "carrier", "parent", "district"),
}


@pytest.mark.parametrize("kind", [*pb.DESCRIPTOR.message_types_by_name], ids=str)
def test_no_operation_has_room_for_unbounded_text(kind: str) -> None:
    if kind.endswith("Record"):
        return
    fields = pb.DESCRIPTOR.message_types_by_name[kind].fields
    assert {f.name for f in fields if f.type == FieldDescriptor.TYPE_STRING} <= TEXTS


def test_record_reads_back_as_it_was_written(rig: TraceRig) -> None:
    found = load_product(rig.state.get, JUICE)
    assert found is not None
    assert (found.unit, found.mass_mg, found.owner) == (LITRE, 1_030_000, "")
    with pytest.raises(Refused):
        recall_keys("cabbage")
