# SPDX-License-Identifier: Apache-2.0
"""Capture over REST: jobs of both behaviours, single events, who may, and crashes at every place."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from capture_rig import CaptureRig, code, ended, link
from sqlalchemy import delete, select
from store_rig import Rig

from chain.errors import Refused
from chain.transaction import SignedTransaction
from service.store.engine import close_engine
from tests.trace_rig import TRADERS
from traceability.api import clients
from traceability.api.capture_document import ROLLBACK_EVENTS_MAX, read_document
from traceability.api.capture_jobs import Jobs
from traceability.api.capture_steps import Steps
from traceability.api.kept import find_events, find_owner, load_events
from traceability.api.tables import FoodCaptured, FoodCaptureItem, FoodOwner
from traceability.api.trace_index import records_table
from traceability.openings import open_event, verify_event
from traceability.pb import traceability_pb2 as pb

FARM = TRADERS["farm"][0]


@pytest.fixture
def capture(sqlite_rig: Rig) -> Iterator[CaptureRig]:
    """A service of its own."""
    made = CaptureRig(sqlite_rig)
    yield made
    close_engine(made.engine)


@pytest.fixture
def capture_on_each(rig: Rig) -> Iterator[CaptureRig]:
    """A service on a database of each kind."""
    made = CaptureRig(rig)
    yield made
    close_engine(made.engine)


def quantity(lot: str) -> dict[str, Any]:
    return {"epcClass": link(lot), "quantity": 1, "uom": "KGM"}


async def done(caller: httpx.AsyncClient, answer: httpx.Response) -> dict[str, Any]:
    """The job, once it has ended."""
    assert (answer.status_code, answer.content) == (202, b""), answer.text
    return await ended(caller, answer.headers["location"])


async def send(caller: httpx.AsyncClient, document: object, behaviour: str = "rollback") -> httpx.Response:
    return await caller.post("/epcis/capture", json=document, headers={"gs1-capture-error-behaviour": behaviour})


@pytest.mark.parametrize("behaviour", ["rollback", "proceed"])
async def test_document_is_recorded_and_its_events_open_against_the_ledger(
    capture_on_each: CaptureRig, behaviour: str
) -> None:
    events = [capture_on_each.event(), capture_on_each.move("shipping", "farm", "market", 40)]
    async with capture_on_each.caller() as caller:
        job = await done(caller, await send(caller, capture_on_each.document(*events), behaviour))
    assert (job["success"], job["errors"], job["zhixin:recorded"]) == (True, [], 2)
    assert job["captureErrorBehaviour"] == behaviour
    assert capture_on_each.ledger.recorded() == 2
    with capture_on_each.store.read() as session:
        owner = find_owner(capture_on_each.store, session, FARM)
        assert owner is not None
        ids = find_events(session, owner, [event["eventID"] for event in events])
        kept = load_events(session, owner, ids.values())
        rows = session.scalars(select(FoodCaptureItem)).all()
        assert all(row.content is None for row in rows)
    operations = capture_on_each.ledger.submitted[0].operations
    for event, operation in zip(events, operations, strict=True):
        whole = kept[ids[event["eventID"]]]
        assert whole.event == event
        verify_event(open_event(whole.data, whole.secret), pb.RecordEvent.FromString(operation.body).event_commitment)


async def test_rollback_with_one_event_that_a_rule_refuses_records_none(capture: CaptureRig) -> None:
    events = [
        capture.event(),
        capture.move("shipping", "farm", "market", 400),
        capture.move("shipping", "farm", "market", 1),
    ]
    async with capture.caller() as caller:
        job = await done(caller, await send(caller, capture.document(*events)))
    assert (job["success"], job["zhixin:recorded"], capture.ledger.recorded()) == (False, 0, 0)
    assert [(one["instance"], one["title"]) for one in job["errors"]] == [
        ("#/epcisBody/eventList/0", "capture.rolled-back"),
        ("#/epcisBody/eventList/1", "traceability.exceeds-balance"),
        ("#/epcisBody/eventList/2", "capture.rolled-back"),
    ]


async def test_proceed_with_bad_events_among_hundreds_records_exactly_the_others(capture_on_each: CaptureRig) -> None:
    events = [
        capture_on_each.event(quantityList=[{"epcClass": link(f"L{n}"), "quantity": 1, "uom": "KGM"}])
        for n in range(220)
    ]
    events[7]["bizStep"] = "growing"  # no word of the standard
    events[11]["quantityList"][0]["uom"] = "LTR"  # not the product's unit
    events[205] = capture_on_each.move("shipping", "farm", "market", 5, link("unheard-of"))  # a rule of the ledger
    events[219] = dict(events[218])  # twice
    async with capture_on_each.caller() as caller:
        job = await done(caller, await send(caller, capture_on_each.document(*events), "proceed"))
    assert [(one["instance"], one["title"]) for one in job["errors"]] == [
        ("#/epcisBody/eventList/7", "capture.invalid"),
        ("#/epcisBody/eventList/11", "capture.unrecordable"),
        ("#/epcisBody/eventList/205", "traceability.unknown-item"),
        ("#/epcisBody/eventList/219", "capture.duplicate"),
    ]
    assert "bizStep" in job["errors"][0]["detail"]
    assert "/quantityList/0/uom" in job["errors"][1]["detail"]
    assert (job["success"], job["zhixin:recorded"], capture_on_each.ledger.recorded()) == (False, 216, 216)


async def test_rollback_of_an_invalid_document_is_refused_at_once_with_field_and_reason(capture: CaptureRig) -> None:
    bad = capture.event(quantityList=[{"epcClass": link(), "quantity": -1, "uom": "KGM"}])
    async with capture.caller() as caller:
        answer = await send(caller, capture.document(capture.event(), bad))
    assert (answer.status_code, code(answer)) == (400, "food.invalid-document")
    assert answer.json()["type"] == "epcisException:ValidationException"
    assert answer.json()["errors"][0]["where"] == "/epcisBody/eventList/1/quantityList/0/quantity"
    assert answer.headers["gs1-epcis-version"] == "2.0.0"


async def test_more_events_than_fit_one_transaction_are_refused_before_anything_is_stored(capture: CaptureRig) -> None:
    many = [capture.event(eventID=None) for _ in range(ROLLBACK_EVENTS_MAX + 1)]
    wide = [capture.event(quantityList=[quantity(f"A{n}-{m}") for m in range(100)]) for n in range(30)]
    async with capture.caller() as caller:
        for document in (capture.document(*many), capture.document(*wide)):
            answer = await send(caller, document)
            assert (answer.status_code, code(answer)) == (413, "food.capture-limit")
            assert answer.headers["gs1-epcis-capture-limit"] == str(ROLLBACK_EVENTS_MAX)
        jobs = (await caller.get("/epcis/capture")).json()
    assert jobs == []


async def test_single_event_is_answered_once_it_is_certified_and_only_once(capture: CaptureRig) -> None:
    event = capture.event()
    async with capture.caller() as caller:
        first = await caller.post("/epcis/events", json={**event, "@context": capture.document()["@context"]})
        again = await caller.post("/epcis/events", json={**event, "@context": capture.document()["@context"]})
        beyond = capture.move("shipping", "farm", "market", 400) | {"@context": capture.document()["@context"]}
        refused = await caller.post("/epcis/events", json=beyond)
    assert (first.status_code, first.headers["location"]) == (
        201,
        f"/epcis/events/{event['eventID'].replace(':', '%3A')}",
    )
    assert (again.status_code, code(again)) == (409, "food.known-event")
    assert (refused.status_code, refused.json()["ledger_code"]) == (422, "traceability.exceeds-balance")
    assert capture.ledger.recorded() == 1


async def test_error_declaration_of_a_captured_event_stands_beside_it_and_another_is_a_duplicate(
    capture: CaptureRig,
) -> None:
    event = capture.event()
    wrong = {**event, "errorDeclaration": {"declarationTime": event["eventTime"], "reason": "did_not_occur"}}
    async with capture.caller() as caller:
        await done(caller, await send(caller, capture.document(event)))
        job = await done(caller, await send(caller, capture.document(wrong)))
        assert job["success"]
        again = await done(caller, await send(caller, capture.document(wrong)))
        assert again["errors"][0]["title"] == "capture.duplicate"
        other = {**capture.event(), "errorDeclaration": wrong["errorDeclaration"]}
        unknown = await done(caller, await send(caller, capture.document(other)))
        assert "/eventID" in unknown["errors"][0]["detail"]
    with capture.store.read() as session:
        assert sorted(row.is_declaration for row in session.scalars(select(FoodCaptured))) == [False, True]


async def test_nobody_captures_without_a_participants_key_or_looks_at_anothers_jobs(capture: CaptureRig) -> None:
    document = capture.document(capture.event())
    async with capture.caller("nobody") as caller:
        assert (await send(caller, document)).status_code == 401
        assert code(await send(caller, document)) == "food.bearer"
        forged = await caller.get("/epcis/capture", headers={"authorization": "Bearer zxf_" + "a" * 43})
        assert forged.status_code == 401
    async with capture.caller("regulator") as caller:
        assert code(await send(caller, document)) == "food.not-yours"
    async with capture.caller() as caller:
        answer = await send(caller, document)
        await done(caller, answer)
        key = {"authorization": f"Bearer {capture.keys['market']}"}
        theirs = await caller.get(answer.headers["location"], headers=key)
        assert (theirs.status_code, code(theirs)) == (404, "food.no-resource")
    listed = clients.listed(capture.store)
    assert clients.end(capture.store, listed[0].id, 2)
    assert not clients.end(capture.store, listed[0].id, 3)
    async with capture.caller("farm") as caller:
        assert (await caller.get("/epcis/capture")).status_code == 401


async def test_jobs_are_paged_newest_first_and_a_token_serves_its_owner_alone(capture: CaptureRig) -> None:
    async with capture.caller() as caller:
        made = []
        for number in range(5):
            event = capture.event(quantityList=[quantity(f"P{number}")])
            job = await done(caller, await send(caller, capture.document(event)))
            made.append(job["captureID"])
        address, seen = "/epcis/capture?perPage=2", []
        while address:
            page = await caller.get(address)
            seen += [job["captureID"] for job in page.json()]
            address = page.links.get("next", {}).get("url", "")
            if address and len(seen) == 2:
                key = {"authorization": f"Bearer {capture.keys['market']}"}
                assert code(await caller.get(address, headers=key)) == "food.page-token"
                assert code(await caller.get(address + "x")) == "food.page-token"
    assert seen == made[::-1]


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("gs1-epcis-version", "1.2"),
        ("gs1-epcis-min", "2.1"),
        ("gs1-epcis-max", "1.2.0"),
        ("gs1-epc-format", "Always_EPC_URN"),
        ("accept", "application/xml"),
    ],
)
async def test_what_is_not_spoken_here_is_not_acceptable(capture: CaptureRig, header: str, value: str) -> None:
    async with capture.caller() as caller:
        answer = await caller.get("/epcis/capture", headers={header: value})
    assert (answer.status_code, code(answer)) == (406, "food.not-acceptable")


async def test_xml_is_no_media_type_and_options_name_the_limits(capture: CaptureRig) -> None:
    async with capture.caller() as caller:
        answer = await caller.post("/epcis/capture", content=b"<x/>", headers={"content-type": "application/xml"})
        assert (answer.status_code, code(answer)) == (415, "food.media-type")
        options = await caller.options("/epcis/capture")
    assert options.headers["allow"] == "GET, POST, OPTIONS"
    assert options.headers["gs1-epcis-capture-file-size-limit"] == "4194304"


# ------------------------------------------------------------ crashes and lost answers


def steps_of(capture: CaptureRig) -> tuple[Jobs, Steps]:
    """The machinery without its worker, as a process that was killed and started again has it."""
    context = capture.context()
    jobs = Jobs(capture.store, context.now)
    return jobs, Steps(jobs, context.now, capture.sign)


def unit_of(_gtin: str) -> pb.Unit.ValueType:
    return pb.UNIT_KILOGRAM


@pytest.mark.parametrize("crash_at", ["stored", "sent", "executed", "settled"])
@pytest.mark.parametrize("is_rollback", [True, False])
async def test_job_killed_at_any_place_goes_on_and_records_each_event_once(
    capture_on_each: CaptureRig, crash_at: str, is_rollback: bool
) -> None:
    events = [capture_on_each.event(), capture_on_each.move("shipping", "farm", "market", 10)]
    jobs, steps = steps_of(capture_on_each)
    raw = json.dumps(capture_on_each.document(*events)).encode()
    job = jobs.accept(FARM, read_document(raw, is_rollback=is_rollback), is_rollback=is_rollback)
    step = steps.next(job.number, unit_of) if crash_at != "stored" else None
    if crash_at in ("executed", "settled"):
        assert step is not None
        await capture_on_each.ledger.submit_one(step.transaction)
    if crash_at == "settled":
        steps.recorded(job.number)
    async with capture_on_each.caller() as caller:
        found = await ended(caller, f"/epcis/capture/{job.id}")
    assert (found["success"], found["zhixin:recorded"], capture_on_each.ledger.recorded()) == (True, 2, 2)
    assert len({one.id for one in capture_on_each.ledger.submitted}) == 1


async def test_product_that_an_index_behind_the_ledger_does_not_have_yet_is_waited_for(
    capture: CaptureRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("traceability.api.capture_runner.RETRY_S", 0.01)
    with capture.engine.begin() as connection:
        connection.execute(delete(records_table))
    asked: list[bool] = []

    def catches_up() -> bool:
        asked.append(len(asked) == 2)
        if asked[-1]:
            capture.tell_products()
        return asked[-1]

    monkeypatch.setattr(capture.held, "caught_up", catches_up)
    async with capture.caller() as caller:
        job = await done(caller, await send(caller, capture.document(capture.event())))
    assert (job["success"], capture.ledger.recorded()) == (True, 1), job
    assert asked == [False, False, True]


async def test_product_that_is_on_no_ledger_is_refused_once_the_index_has_caught_up(capture: CaptureRig) -> None:
    goods = {"epcClass": "https://id.gs1.org/01/09506000134352/10/A1", "quantity": 5, "uom": "KGM"}
    new = capture.event(quantityList=[goods])
    async with capture.caller() as caller:
        job = await done(caller, await send(caller, capture.document(new)))
    assert job["success"] is False
    assert "is not recorded" in json.dumps(job)


@pytest.mark.parametrize("fate", ["lost", "silent"])
async def test_lost_answer_is_asked_for_again_with_the_same_transaction(
    capture: CaptureRig, fate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("traceability.api.capture_runner.RETRY_S", 0.01)
    capture.ledger.fate = lambda _transaction: fate if len(capture.ledger.submitted) < 3 else ""
    async with capture.caller() as caller:
        job = await done(caller, await send(caller, capture.document(capture.event())))
    assert (job["success"], capture.ledger.recorded()) == (True, 1)
    assert len(capture.ledger.submitted) == 3
    assert len({one.id for one in capture.ledger.submitted}) == 1


async def test_expired_transaction_is_signed_anew_and_its_events_keep_their_ids(capture: CaptureRig) -> None:
    def expires_once(_transaction: SignedTransaction) -> str:
        if len(capture.ledger.submitted) == 1:
            raise Refused("its time ran out", "transaction.expired")
        return ""

    capture.ledger.fate = expires_once
    async with capture.caller() as caller:
        job = await done(caller, await send(caller, capture.document(capture.event())))
    assert job["success"]
    first, second = capture.ledger.submitted
    assert first.id != second.id
    assert [one.raw for one in first.operations] == [one.raw for one in second.operations]


async def test_refused_transaction_ends_the_job_with_the_nodes_code(capture: CaptureRig) -> None:
    def refuses(_transaction: SignedTransaction) -> str:
        raise Refused("this network knows none of its signers", "transaction.unknown-signer")

    capture.ledger.fate = refuses
    async with capture.caller() as caller:
        job = await done(caller, await send(caller, capture.document(capture.event())))
    assert [one["title"] for one in job["errors"]] == ["transaction.unknown-signer"]


async def test_erased_owner_leaves_no_event_and_no_job(capture_on_each: CaptureRig) -> None:
    async with capture_on_each.caller() as caller:
        await done(caller, await send(caller, capture_on_each.document(capture_on_each.event())))
        with capture_on_each.store.read() as session:
            person = session.scalars(select(FoodCaptured)).one().owner_id
            row = session.get(FoodOwner, person)
            assert row is not None
        capture_on_each.store.erase(row.person_id)
        with capture_on_each.store.read() as session:
            assert session.scalars(select(FoodCaptured)).all() == []
            assert session.scalars(select(FoodCaptureItem)).all() == []
        assert (await caller.get("/epcis/capture")).json() == []
