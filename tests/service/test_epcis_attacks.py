# SPDX-License-Identifier: Apache-2.0
"""EPCIS over REST under bad input: published invalid files, broken JSON, mutated documents, odd addresses.

Each is refused with a field and a reason, or taken; nothing ends in a fault of the service, and nothing is recorded.
"""

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from capture_rig import CONTEXT, CaptureRig, code
from store_rig import Rig
from test_openapi import METHODS, operations, references

from chain.types import TRANSACTION_BYTES_MAX
from service.store.engine import close_engine
from tests.trace_rig import CABBAGE
from traceability.api.capture_document import BODY_BYTES_MAX, size_max_of
from traceability.api.part import epcis_part
from traceability.pb import traceability_pb2 as pb
from traceability.projection import operations_of

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "epcis"
CAPTURES = sorted((VECTORS / "Capture" / "Invalid").glob("*.json"))
QUERIES = sorted((VECTORS / "Query" / "Queries" / "Invalid").glob("*.json"))
SEED = 20261122
MUTATIONS = 150


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CaptureRig]:
    stores = Rig(tmp_path_factory.mktemp("attacks"), None)
    made = CaptureRig(stores)
    yield made
    close_engine(made.engine)
    stores.close()


async def test_every_published_invalid_capture_is_refused_with_field_and_reason(capture: CaptureRig) -> None:
    assert len(CAPTURES) >= 10
    before = len(capture.ledger.submitted)  # tests of one file come in any order
    async with capture.caller() as caller:
        for path in CAPTURES:
            raw = path.read_bytes()
            is_document = json.loads(raw).get("type") == "EPCISDocument"
            answer = await caller.post(
                "/epcis/capture" if is_document else "/epcis/events",
                content=raw,
                headers={"content-type": "application/ld+json"},
            )
            assert (answer.status_code, code(answer)) == (400, "food.invalid-document"), path.name
            faults = answer.json()["errors"]
            assert faults, path.name
            assert all(fault["where"].startswith("/") and len(fault["what"]) > 8 for fault in faults), path.name
    assert len(capture.ledger.submitted) == before


async def test_every_published_invalid_query_is_refused_with_parameter_and_reason(capture: CaptureRig) -> None:
    assert QUERIES
    async with capture.caller() as caller:
        for path in QUERIES:
            document = json.loads(path.read_bytes())
            document = document if "query" in document else {"name": "x", "query": document}
            answer = await caller.post("/epcis/queries", json=document)
            assert (answer.status_code, code(answer)) == (400, "food.query"), path.name
            assert all(fault["where"].startswith("/") for fault in answer.json()["errors"]), path.name
        assert (await caller.get("/epcis/queries")).json() == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not valid JSON"),
        (b"[" * 100_000, "nested deeper"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "nested deeper"),
        (b'{"type":"EPCISDocument","type":"EPCISDocument"}', "stands twice"),
        (b'{"type":"\\ud800"}', "surrogate"),
        (b'{"type":"\xff"}', "surrogate or is not UTF-8"),
        (b'{"n":' + b"9" * 5000 + b"}", "characters"),
        (b'{"n":1e400}', "too large"),
        (b'{"n":NaN}', "is no number"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        (b"null", "EPCISDocument"),
        (b'"EPCISDocument"', "EPCISDocument"),
    ],
)
async def test_text_on_which_readers_disagree_is_refused(capture: CaptureRig, body: bytes, reason: str) -> None:
    async with capture.caller() as caller:
        answer = await caller.post("/epcis/capture", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, code(answer)) == (400, "food.invalid-document")
    assert reason in answer.json()["errors"][0]["what"]


async def test_body_beyond_its_limit_is_refused_before_it_is_read(capture: CaptureRig) -> None:
    async with capture.caller() as caller:
        headers = {"content-type": "application/json", "content-length": str(BODY_BYTES_MAX + 1)}
        answer = await caller.post("/epcis/capture", content=b"{", headers=headers)
    assert answer.status_code == 413


async def test_mutated_documents_are_taken_or_refused_and_never_fail_the_service(capture: CaptureRig) -> None:
    draw = random.Random(SEED)
    base = capture.document(
        capture.event(ilmd={"ex:a": {"ex:b": [1, 2.5, "x"]}}),
        capture.move("shipping", "farm", "market", 5),
        capture.event(sensorElementList=[{"sensorReport": [{"type": "Temperature", "value": 1, "uom": "CEL"}]}]),
    )
    seen: set[int] = set()
    async with capture.caller() as caller:
        for number in range(MUTATIONS):
            document = copy.deepcopy(base)
            for _ in range(draw.randrange(1, 4)):
                _mutate(document, draw)
            behaviour = {"gs1-capture-error-behaviour": draw.choice(["rollback", "proceed"])}
            answer = await caller.post("/epcis/capture", json=document, headers=behaviour)
            assert answer.status_code in {202, 400, 413}, (number, answer.text)
            seen.add(answer.status_code)
        jobs = (await caller.get("/epcis/capture?perPage=100")).json()
        assert all(job["captureErrorBehaviour"] in {"rollback", "proceed"} for job in jobs)
    assert {202, 400} <= seen


def _mutate(document: dict[str, Any], draw: random.Random) -> None:
    """Change one value somewhere."""
    place: Any = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = draw.choice(keys)
        if isinstance(place[key], dict | list) and draw.random() < 0.8:
            place = place[key]
            continue
        odd: list[Any] = [None, "", "x" * 300, -1, 10**30, 1e-300, True, [], {}, [[]], "𠮷\u0000", {"@id": "x"}]
        odd += ["urn:epc:id:sgtin:1.2.3", "https://id.gs1.org/01/00000000000000", "2026-13-99T99:99:99Z"]
        if draw.random() < 0.3 and isinstance(place, dict):
            place[draw.choice(["@context", "type", "ex:" + "y" * 50, "errorDeclaration", "eventID"])] = draw.choice(odd)
        else:
            place[key] = draw.choice(odd)
        return


@pytest.mark.parametrize(
    "address",
    [
        "events/%2e%2e",
        "events/..%2f..%2fetc",
        "epcs/%00/events",
        "epcs/%5c/events",
        "epcs/%zz/events",
        "queries/..",
        "queries/a%2fb",
        "capture/not-an-id",
        "events?MATCH_epc=",
        "events?GE_eventTime=%F0%9F%98%80",
        "events?" + "&".join(f"EQ_ex:{n}=1" for n in range(100)),
        "events?perPage=0",
        "events?perPage=101",
        "events?nextPageToken=AAAA",
        "events?EQ_INNER_ILMD_ex:a=1&EXISTS_ex:b=true&LT_ex:c=2026-01-01T00:00:00Z",
        "events?GE_value_CEL=1|2|x",
        "bizSteps/" + quote("x" * 900) + "/events",
        "nextPageToken/" + "a" * 600,
        "dispositions//events",
    ],
)
async def test_odd_addresses_are_answered_or_refused(capture: CaptureRig, address: str) -> None:
    async with capture.caller() as caller:
        answer = await caller.get(f"/epcis/{address}")
    assert answer.status_code in {200, 400, 401, 404, 405, 414, 422}, answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("lines", [1, 7, 256])
def test_announced_size_of_an_event_is_never_below_its_operation(lines: int) -> None:
    lot = "Z" * 20
    event = {
        "type": "TransformationEvent",
        "eventTime": "2026-11-01T00:00:00.000+08:00",
        "eventTimeZoneOffset": "-14:00",
        "bizStep": "sensor_reporting",
        "disposition": "sellable_not_accessible",
        "transformationID": "urn:x:" + "y" * 500,
        "readPoint": {"id": "https://id.gs1.org/414/6901234001013"},
        "inputQuantityList": [
            {"epcClass": f"https://id.gs1.org/01/{CABBAGE}/10/{lot[:17]}{n:03}", "quantity": 999_999, "uom": "KGM"}
            for n in range(lines)
        ],
    }
    (operation,) = operations_of(
        event, context=CONTEXT, actor="6901234000016", secret=bytes(32), unit_of=lambda _: pb.UNIT_KILOGRAM
    )
    assert len(operation.raw) <= size_max_of(event) < TRANSACTION_BYTES_MAX


async def test_description_of_the_interface_is_whole(capture: CaptureRig) -> None:
    app = capture.service(epcis_part(capture.context()))
    described = app.openapi()
    found = list(operations(described))
    ids = [operation["operationId"] for _, _, operation in found]
    assert len(set(ids)) == len(ids)
    assert {path for path, _, _ in found} >= {
        "/epcis/capture",
        "/epcis/capture/{capture_id}",
        "/epcis/events",
        "/epcis/events/{event_id}",
        "/epcis/epcs/{member}/events",
        "/epcis/queries/{name}/subscriptions",
    }
    for path, method, operation in found:
        assert method in METHODS
        assert operation["summary"].strip(), path
        assert operation["tags"], path
        assert "default" in operation["responses"], path
    used = set(references(described))
    assert all(name.rpartition("/")[2] in described["components"]["schemas"] for name in used)
