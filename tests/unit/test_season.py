# SPDX-License-Identifier: Apache-2.0
"""The generated season: the same from one seed, valid, accepted by the rules but where it is planted to be wrong."""

import hashlib
import json
from collections import Counter
from itertools import islice, pairwise

import pytest

from chain.types import sha256
from tests.rig import BLOCK_MS, START_MS, Rig, genesis, organisation, signer_pb
from traceability import epcis, season
from traceability.cold_chain import excursions, readings_of
from traceability.drill import drill
from traceability.events import load_event
from traceability.graph import trace_back
from traceability.pb import traceability_pb2 as pb
from traceability.projection import project
from traceability.season import CONTEXT, Planted, Season
from traceability.season_people import BAG, GOODS, participants, party, place, places, products
from traceability.trace_store import EventsInMemory, TraceEvent, trace_event

UNITS = {product.gtin: product.unit for product in products()}
SPOT_CHECKS = 25


def digest_of(one: Season, count: int) -> str:
    total = hashlib.sha256()
    for told in islice(one.stream(), count):
        total.update(json.dumps(told.event, ensure_ascii=False).encode() + told.actor.encode())
    return total.hexdigest()


def test_season_is_the_same_from_the_same_seed_and_another_from_another() -> None:
    assert digest_of(Season(1_000), 400) == digest_of(Season(1_000), 400)
    assert digest_of(Season(1_000), 400) != digest_of(Season(1_000, seed=2), 400)


def test_season_has_as_many_events_as_asked_for_in_order_of_time_and_valid() -> None:
    told = list(Season(1_000).stream())
    assert len(told) == 1_000
    assert all(first.time_ms <= second.time_ms for first, second in pairwise(told))
    assert len({one.event["eventID"] for one in told if one.planted is not Planted.ERROR}) == sum(
        one.planted is not Planted.ERROR for one in told
    )
    for one in told:
        epcis.validate(Season(1_000).document(one.event))


@pytest.mark.parametrize("events", [999, 1_000_001])
def test_season_of_another_size_is_refused(events: int) -> None:
    with pytest.raises(ValueError, match="1000 to 1000000"):
        Season(events)


def test_large_season_streams_without_being_made_first() -> None:
    telling = Season(1_000_000).stream()
    assert [next(telling).event["type"] for _ in range(3)]


class SeasonOnTheLedger:
    """A season executed by the rules, with what a service would keep of it."""

    def __init__(self, events: int, seed: int) -> None:
        self.season = Season(events, seed)
        names = [organisation("org-a"), organisation("org-f", roles=("food-regulator",)), organisation("org-t")]
        self.rig = Rig(genesis(names, [("v0", "org-a")]))
        self.outcomes: list[tuple[season.SeasonEvent, str]] = []
        self.events: list[TraceEvent] = []
        self.discrepancies: Counter[Planted | None] = Counter()
        self.ids: dict[str, bytes] = {}
        records = [*participants(), *places(), *products()]
        keys = [pb.AddTraderKey(participant=one.gln, key=signer_pb(one.gln)) for one in participants()]
        rig = self.rig
        for start in range(0, len(records), 500):
            assert rig.code("org-f:attest", *records[start : start + 500]) == ""
        for start in range(0, len(keys), 50):
            some = keys[start : start + 50]
            assert rig.code(["org-f:attest", *[one.participant for one in some]], *some) == ""
        rig.height = (next(self.season.stream()).time_ms + 200 * 86_400_000 - START_MS) // BLOCK_MS
        for told in self.season.stream():
            self.record(told)

    def record(self, told: season.SeasonEvent) -> None:
        event = told.event
        found = project(
            event,
            context=CONTEXT,
            actor=told.actor,
            secret=sha256(event["eventID"].encode()),
            unit_of=UNITS.get,
            id_of=self.ids.get,
            carrier=told.carrier,
        )
        code = self.rig.code(["org-t:submit", told.actor], *found.operations)
        self.outcomes.append((told, code))
        if code or found.message is None:
            return
        self.ids[found.event_id] = found.id
        self.events.append(trace_event(found.message.projection, len(self.events)))
        record = load_event(self.rig.state.get, found.id)
        assert record is not None
        self.discrepancies[told.planted] += bool(record.discrepancies)


@pytest.fixture(scope="module")
def recorded() -> SeasonOnTheLedger:
    return SeasonOnTheLedger(3_000, 7)


def test_rules_accept_the_season_but_for_what_is_planted(recorded: SeasonOnTheLedger) -> None:
    refused = {Planted.OVERSOLD, Planted.NOT_HELD}
    for told, code in recorded.outcomes:
        expected = told.planted.value if told.planted in refused and told.planted is not None else ""
        assert code == expected, told
    for planted, count in recorded.discrepancies.items():
        assert bool(count) is (planted in (Planted.SHORT, Planted.OVER)), planted


def test_each_kind_of_fault_is_planted_somewhere(recorded: SeasonOnTheLedger) -> None:
    seen = Counter(told.planted for told, _ in recorded.outcomes)
    assert {*seen} == {None, *Planted}
    assert seen[None] > 0.95 * len(recorded.outcomes)


def test_warm_truck_raises_an_alert_and_no_other_does(recorded: SeasonOnTheLedger) -> None:
    limits = {product.gtin: product.temperature for product in products()}
    for told, _ in recorded.outcomes:
        if told.event.get("bizStep") != "transporting" or "quantityList" not in told.event:
            continue
        gtin = told.event["quantityList"][0]["epcClass"].split("/")[4]
        found = excursions(readings_of(told.event, context=CONTEXT), limits[gtin])
        assert any(one.is_alert for one in found) is (told.planted is Planted.WARM)


def test_contaminated_lot_is_found_late_and_has_reached_plants_and_markets(recorded: SeasonOnTheLedger) -> None:
    item = recorded.season.contaminated
    outcome = drill(EventsInMemory(recorded.events), [item])
    (source,) = [one for one in outcome.goods if one.item == item]
    assert source.entered == recorded_entered(recorded, item)
    assert len(outcome.participants) > 4
    assert {party("market", n) for n in range(50)} & {*outcome.participants}
    assert {*outcome.places} <= {place(who) for who in outcome.participants}
    tested = [t for t, _ in recorded.outcomes if t.event.get("disposition") == "non_conformant"]
    assert [item in json.dumps(one.event) for one in tested] == [True]


def recorded_entered(recorded: SeasonOnTheLedger, item: str) -> int:
    raw = recorded.rig.state[b"traceability/lot/" + item.encode()]
    return pb.LotRecord.FromString(raw).entered


def test_what_a_market_sold_is_traced_back_to_a_field(recorded: SeasonOnTheLedger) -> None:
    store = EventsInMemory(recorded.events)
    sold = [event for event in recorded.events if BAG.gtin in event.items[0] and event.outputs == ()]
    assert sold
    for event in sold[:SPOT_CHECKS]:
        found = trace_back(store, event.items[0], holder=event.actor)
        farms = {party("farm", n) for n in range(200)}
        assert {one.actor for one in found.events} & farms


def test_people_of_the_season_have_numbers_of_their_own_and_no_persons_names() -> None:
    numbers = [one.gln for one in participants()] + [one.gln for one in places()]
    assert len(numbers) == len({*numbers})
    assert all(not one.name_zh for one in participants() if one.kind == pb.PARTICIPANT_KIND_SMALLHOLDER)
    assert len({goods.gtin for goods in GOODS}) == len(GOODS)
