# SPDX-License-Identifier: Apache-2.0
"""Queries over REST: who sees what, each kind of parameter, pages, collections, named queries, and what is refused."""

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx
import pytest
from capture_rig import CONTEXT, CaptureRig, code, ended, link, party
from store_rig import Rig

from service.store.engine import close_engine
from tests.trace_rig import CABBAGE, CUT, FIELD, TRADERS, serial, sscc
from traceability import epcis

PALLET = f"https://id.gs1.org/{sscc(1)}"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CaptureRig]:
    """A farm and a market with a small history, which no test changes."""
    stores = Rig(tmp_path_factory.mktemp("queries"), None)
    capture = CaptureRig(stores)
    asyncio.run(tell(capture))
    yield capture
    close_engine(capture.engine)
    stores.close()


async def tell(capture: CaptureRig) -> None:
    """Capture the history, each step once the one before stands."""
    async with capture.caller() as caller:
        for who, events in _history(capture):
            key = {"authorization": f"Bearer {capture.keys[who]}"}
            answer = await caller.post("/epcis/capture", json=capture.document(*events), headers=key)
            assert answer.status_code == 202, answer.text
            job = await ended(caller, answer.headers["location"], key)
            assert job["success"], job


async def test_store_and_index_on_each_database_answer_alike(rig: Rig) -> None:
    capture = CaptureRig(rig)
    await tell(capture)
    async with capture.caller("farm") as farm:
        for asked, expected in OWN:
            assert set(steps(events_of(await farm.get(f"/epcis/events?{asked}")))) == expected, asked
        for order in ("eventTime", "recordTime"):
            await pages_are_complete(farm, f"orderBy={order}&orderDirection=ASC", 4)
    close_engine(capture.engine)


def _history(capture: CaptureRig) -> list[tuple[str, list[dict[str, Any]]]]:
    harvest = capture.event(
        readPoint={"id": f"https://id.gs1.org/414/{FIELD}"},
        disposition="active",
        ilmd={"ex:variety": "四九", "ex:sprayed": {"ex:with": "nothing"}},
        **{"ex:crew": 4},
    )
    packed = capture.event(
        type="AggregationEvent",
        bizStep="packing",
        quantityList=None,
        parentID=PALLET,
        childQuantityList=[{"epcClass": link(), "quantity": 60, "uom": "KGM"}],
    )
    shipped = capture.event(
        action="OBSERVE",
        bizStep="shipping",
        disposition="in_transit",
        quantityList=None,
        epcList=[PALLET],
        bizTransactionList=[{"type": "po", "bizTransaction": "urn:ex:po:7"}],
        sourceList=[party("sourceList", "farm")],
        destinationList=[party("destinationList", "market")],
    )
    received = capture.move("receiving", "market", "farm", 1) | {"epcList": [PALLET]}
    del received["quantityList"]
    unpacked = capture.event(
        type="AggregationEvent", action="DELETE", bizStep="unpacking", quantityList=None, parentID=PALLET
    )
    cut = capture.event(
        type="TransformationEvent",
        action=None,
        quantityList=None,
        inputQuantityList=[{"epcClass": link(), "quantity": 50, "uom": "KGM"}],
        outputQuantityList=[{"epcClass": link("M1", CUT), "quantity": 45, "uom": "KGM"}],
    )
    measured = capture.event(
        action="OBSERVE",
        bizStep="sensor_reporting",
        quantityList=[{"epcClass": link("M1", CUT), "quantity": 45, "uom": "KGM"}],
        sensorElementList=[
            {
                "sensorMetadata": {"time": "2026-11-01T00:00:00Z", "deviceID": "urn:ex:thermometer"},
                "sensorReport": [{"type": "Temperature", "value": 3.5, "uom": "CEL", "exception": "ALARM_CONDITION"}],
            }
        ],
    )
    return [
        ("farm", [harvest]),
        ("farm", [packed, shipped]),
        ("market", [received]),
        ("market", [unpacked, cut]),
        ("market", [measured]),
    ]


def events_of(answer: httpx.Response) -> list[dict[str, Any]]:
    """The events of an answer, which is a valid query document."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["gs1-epcis-version"] == "2.0.0"
    document = answer.json()
    assert epcis.problems(document) == []
    found: list[dict[str, Any]] = document["epcisBody"]["queryResults"]["resultsBody"]["eventList"]
    return found


def steps(events: list[dict[str, Any]]) -> list[str]:
    return [event.get("bizStep", event["type"]) for event in events]


async def test_participant_sees_its_own_events_whole_and_of_others_the_public_part(told: CaptureRig) -> None:
    async with told.caller("farm") as farm:
        found = events_of(await farm.get("/epcis/events?orderBy=eventTime&orderDirection=ASC"))
    assert sorted(steps(found)) == ["commissioning", "packing", "receiving", "shipping"]
    by_step = {event["bizStep"]: event for event in found}
    assert by_step["commissioning"]["ilmd"]["ex:variety"] == "四九"
    assert by_step["commissioning"]["@context"] == CONTEXT
    assert by_step["receiving"]["sourceList"][0]["source"].endswith(TRADERS["farm"][0])
    assert "eventID" not in by_step["receiving"]
    assert by_step["shipping"]["eventID"].startswith("urn:uuid:")
    assert all("recordTime" in event for event in found)


async def test_stranger_names_goods_and_sees_no_private_field(told: CaptureRig) -> None:
    async with told.caller("nobody") as nobody:
        refused = await nobody.get("/epcis/events")
        assert (refused.status_code, code(refused)) == (401, "food.goods-needed")
        every = await nobody.get("/epcis/events?MATCH_epc=urn:epc:idpat:sscc:*.*")
        assert (every.status_code, code(every)) == (401, "food.goods-needed")  # a pattern names no goods
        found = events_of(await nobody.get(f"/epcis/epcs/{quote(link(), safe='')}/events"))
        assert "四九" not in str(found)
        assert "urn:ex:po:7" not in str(found)
        assert all("quantity" not in element for one in found for element in one.get("quantityList", ()))
        assert not any({"sourceList", "destinationList", "zhixin:carrier"} & set(one) for one in found)
        tested = await nobody.get(f"/epcis/events?MATCH_anyEPC={link()}&GE_quantity=0")
        assert events_of(tested) == []  # what is not shown is no oracle either
        assert {"commissioning", "packing"} <= set(steps(found))
        short = events_of(await nobody.get(f"/epcis/epcs/{quote(f'01/{CABBAGE}/10/L1', safe='')}/events"))
        assert short == found
        product = events_of(await nobody.get(f"/epcis/events?MATCH_anyEPCClass=https://id.gs1.org/01/{CABBAGE}"))
        assert {str(event) for event in product} <= {str(event) for event in found}
        assert events_of(await nobody.get(f"/epcis/events?MATCH_epc=https://id.gs1.org/{serial('nobody')}")) == []


async def test_regulator_sees_the_public_part_of_everything(told: CaptureRig) -> None:
    async with told.caller("regulator") as regulator:
        found = events_of(await regulator.get("/epcis/events"))
    assert len(found) == 7
    assert "四九" not in str(found)


OWN = [
    ("EQ_bizStep=shipping|packing", {"shipping", "packing"}),
    ("EQ_bizStep=https://ref.gs1.org/cbv/BizStep-shipping", {"shipping"}),
    ("EQ_disposition=active", {"commissioning"}),
    ("EQ_action=OBSERVE", {"shipping", "receiving"}),
    ("eventType=AggregationEvent", {"packing"}),
    (f"EQ_readPoint=https://id.gs1.org/414/{FIELD}", {"commissioning"}),
    (f"WD_readPoint=https://id.gs1.org/414/{FIELD}", {"commissioning"}),
    (f"MATCH_epc={PALLET}", {"shipping", "receiving"}),
    (f"MATCH_parentID={PALLET}", {"packing", "unpacking"}),
    (f"MATCH_epc=urn:epc:idpat:sscc:{PALLET[-17:-10]}.*", {"shipping", "receiving"}),
    ("MATCH_epc=urn:epc:idpat:sscc:0614141.*", set()),
    (f"MATCH_epcClass=urn:epc:idpat:sgtin:{CABBAGE[1:8]}.{CABBAGE[0]}{CABBAGE[8:13]}.*", {"commissioning", "packing"}),
    (f"MATCH_anyEPC={PALLET}", {"packing", "shipping", "receiving", "unpacking"}),
    (f"MATCH_epcClass={link()}", {"commissioning", "packing"}),
    ("EQ_bizTransaction_po=urn:ex:po:7", {"shipping"}),
    (f"EQ_destination_possessing_party=https://id.gs1.org/417/{TRADERS['market'][0]}", {"shipping", "receiving"}),
    ("GE_quantity=100", {"commissioning"}),
    ("LT_quantity_KGM=100", {"packing"}),
    ("EQ_ex:crew=4", {"commissioning"}),
    ("GT_ex:crew=4", set()),
    ("EQ_ILMD_ex:variety=四九", {"commissioning"}),
    ("EQ_INNER_ILMD_ex:with=nothing", {"commissioning"}),
    ("EXISTS_ilmd=true", {"commissioning"}),
    ("EXISTS_errorDeclaration=true", set()),
    ("GE_eventTime=2099-01-01T00:00:00Z", set()),
    ("LT_recordTime=2099-01-01T00:00:00Z", {"commissioning", "packing", "shipping", "receiving"}),
    ("LT_eventTime=2020-01-01T00:00:00Z", set()),
]


@pytest.mark.parametrize(("asked", "expected"), OWN)
async def test_each_parameter_chooses_exactly_its_events(told: CaptureRig, asked: str, expected: set[str]) -> None:
    async with told.caller("farm") as farm:
        assert set(steps(events_of(await farm.get(f"/epcis/events?{asked}")))) == expected


@pytest.mark.parametrize(
    "asked",
    [
        "EQ_type=Temperature",
        "EQ_exception=ALARM_CONDITION",
        "EQ_deviceID=urn:ex:thermometer",
        "GT_value_CEL=3",
        "GE_value=3.5",
        "GE_startTime=2026-11-01T00:00:00Z&LT_endTime=2026-11-02T00:00:00Z",
        "EXISTS_sensorElementList=true",
    ],
)
async def test_sensor_parameters_find_the_reading_and_not_another(told: CaptureRig, asked: str) -> None:
    async with told.caller("market") as market:
        assert steps(events_of(await market.get(f"/epcis/events?{asked}"))) == ["sensor_reporting"]
        for other in ("EQ_type=Mass", "GT_value_CEL=3.5", "GT_value_FAH=3", "EQ_deviceID=urn:ex:other"):
            assert events_of(await market.get(f"/epcis/events?{other}")) == []


async def test_transformation_is_found_by_what_went_in_and_what_came_out(told: CaptureRig) -> None:
    async with told.caller("market") as market:
        for asked in (f"MATCH_inputEPCClass={link()}", f"MATCH_outputEPCClass={link('M1', CUT)}"):
            found = events_of(await market.get(f"/epcis/events?{asked}"))
            assert [event["type"] for event in found] == ["TransformationEvent"]


@pytest.mark.parametrize("order", ["eventTime", "recordTime"])
@pytest.mark.parametrize("direction", ["ASC", "DESC"])
async def test_pages_show_each_event_once_in_order(told: CaptureRig, order: str, direction: str) -> None:
    async with told.caller("regulator") as regulator:
        whole = await pages_are_complete(regulator, f"orderBy={order}&orderDirection={direction}", 7)
    times = [event[order] for event in whole]
    assert times == sorted(times, reverse=direction == "DESC")


async def pages_are_complete(caller: httpx.AsyncClient, asked: str, count: int) -> list[dict[str, Any]]:
    """Pages of two make up the whole answer."""
    whole = events_of(await caller.get(f"/epcis/events?{asked}"))
    address, seen = f"/epcis/events?{asked}&perPage=2", []
    while address:
        answer = await caller.get(address)
        seen += events_of(answer)
        address = answer.links.get("next", {}).get("url", "")
        assert not address or answer.headers["gs1-next-page-token-expires"]
    assert seen == whole
    assert len(seen) == count
    return whole


async def test_answer_that_looks_through_too_much_leads_on_and_is_complete(
    told: CaptureRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("traceability.api.query_store.SCAN_MAX", 1)
    async with told.caller("farm") as farm:
        address, seen, pages = "/epcis/events?EQ_ex:crew=4", [], 0
        while address:
            answer = await farm.get(address)
            seen += events_of(answer)
            pages += 1
            address = answer.links.get("next", {}).get("url", "")
    assert (steps(seen), pages) == (["commissioning"], 5)


async def test_counts_limit_or_refuse(told: CaptureRig) -> None:
    async with told.caller("farm") as farm:
        first = events_of(await farm.get("/epcis/events?eventCountLimit=2&orderDirection=ASC"))
        assert steps(first) == ["commissioning", "packing"]
        assert len(events_of(await farm.get("/epcis/events?maxEventCount=4"))) == 4
        refused = await farm.get("/epcis/events?maxEventCount=3")
    assert (refused.status_code, code(refused)) == (413, "food.query-too-large")
    assert refused.json()["type"] == "epcisException:QueryTooLargeException"


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        ("EQ_bizStep=growing", "/EQ_bizStep/0"),
        ("nonsense=1", "/nonsense"),
        ("GE_eventTime=yesterday", "/GE_eventTime"),
        ("orderBy=price", "/orderBy"),
        ("eventCountLimit=0", "/eventCountLimit"),
        ("eventCountLimit=5000", "/eventCountLimit"),
        ("maxEventCount=1&eventCountLimit=1", "/maxEventCount"),
        ("GE_quantity=many", "/GE_quantity/0"),
        ("EQATTR_colour=red", "/EQATTR_colour"),
        ("EQ_action=ADD&EQ_action=DELETE", "/EQ_action"),
    ],
)
async def test_wrong_parameter_is_refused_with_its_name(told: CaptureRig, asked: str, where: str) -> None:
    async with told.caller("farm") as farm:
        answer = await farm.get(f"/epcis/events?{asked}")
    assert (answer.status_code, code(answer)) == (400, "food.query")
    assert answer.json()["type"] == "epcisException:QueryParameterException"
    assert where in [one["where"] for one in answer.json()["errors"]]


async def test_event_is_found_by_its_id_by_its_owner_alone(told: CaptureRig) -> None:
    address = f"/epcis/events/{quote(f'urn:uuid:{UUID(int=1)}', safe='')}"
    async with told.caller("farm") as farm:
        assert steps(events_of(await farm.get(address))) == ["commissioning"]
        key = {"authorization": f"Bearer {told.keys['market']}"}
        theirs = await farm.get(address, headers=key)
        assert (theirs.status_code, code(theirs)) == (404, "food.no-resource")
        assert (await farm.get("/epcis/events/urn%3Auuid%3Anone")).status_code == 404


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("bizSteps/shipping/events", {"shipping"}),
        (f"bizSteps/{quote('https://ref.gs1.org/cbv/BizStep-shipping', safe='')}/events", {"shipping"}),
        ("eventTypes/AggregationEvent/events", {"packing"}),
        ("dispositions/active/events", {"commissioning"}),
        (f"readPoints/{quote(f'https://id.gs1.org/414/{FIELD}', safe='')}/events", {"commissioning"}),
        (f"bizLocations/{quote(f'https://id.gs1.org/414/{FIELD}', safe='')}/events", set()),
    ],
)
async def test_collections_answer_as_their_parameter_does(told: CaptureRig, address: str, expected: set[str]) -> None:
    async with told.caller("farm") as farm:
        assert set(steps(events_of(await farm.get(f"/epcis/{address}")))) == expected
        assert (await farm.get(f"/epcis/{address.removesuffix('/events')}")).json() == ["events"]
        listed = (await farm.get("/epcis")).json()
        assert address.partition("/")[0] in listed


async def test_named_query_is_kept_asked_and_deleted_by_its_owner(told: CaptureRig) -> None:
    async with told.caller("farm") as farm:
        made = await farm.post("/epcis/queries", json={"name": "out", "query": {"EQ_bizStep": ["shipping"]}})
        assert (made.status_code, made.headers["location"]) == (201, "/epcis/queries/out")
        again = await farm.post("/epcis/queries", json={"name": "out", "query": {}})
        assert (again.status_code, code(again)) == (409, "food.name-taken")
        found = await farm.get("/epcis/queries/out/events")
        assert steps(events_of(found)) == ["shipping"]
        assert found.json()["epcisBody"]["queryResults"]["queryName"] == "out"
        assert code(await farm.get("/epcis/queries/out/events?EQ_action=ADD")) == "food.query"
        assert (await farm.get("/epcis/queries")).json() == [{"name": "out", "query": {"EQ_bizStep": ["shipping"]}}]
        key = {"authorization": f"Bearer {told.keys['market']}"}
        assert (await farm.get("/epcis/queries/out", headers=key)).status_code == 404
        assert (await farm.delete("/epcis/queries/out", headers=key)).status_code == 404
        assert (await farm.delete("/epcis/queries/out")).status_code == 204
        assert (await farm.get("/epcis/queries/out")).status_code == 404


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"name": "x", "query": {"EQ_bizStep": ["growing"]}}, "/EQ_bizStep/0"),
        ({"name": "a/b", "query": {}}, "/name"),
        ({"name": "x"}, "/query"),
        ([], "/name"),
    ],
)
async def test_query_that_is_none_is_not_named(told: CaptureRig, body: object, where: str) -> None:
    async with told.caller("farm") as farm:
        answer = await farm.post("/epcis/queries", json=body)
    assert (answer.status_code, code(answer)) == (400, "food.query")
    assert answer.json()["errors"][0]["where"] == where
