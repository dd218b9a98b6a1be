# SPDX-License-Identifier: Apache-2.0
"""A request under an Idempotency-Key is carried out once, whatever its sender and the network do."""

import asyncio
import json

import pytest
from fastapi import APIRouter
from http_rig import ADDRESS, BROWSER, Counter, MemoryReplays, caller, code, service
from starlette.responses import HTMLResponse
from store_rig import Rig

from client.errors import TransportError
from service.app import Part
from service.errors import StorageError
from service.idempotency import Place, State
from service.problems import Problem
from service.sign_in.kinds import NEEDED

KEY = {"idempotency-key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}


async def test_request_sent_again_is_answered_with_the_first_answer_and_not_carried_out(rig: Rig) -> None:
    counter, store = Counter(), rig.open(rig.settings())
    app = service(counter, secret=store.secret("http/desk"), replays=store.replays())
    async with caller(app, KEY) as web:
        first = await web.post("/orders", json={"amount": 5})
        again = await web.post("/orders", json={"amount": 5})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["content-type"] == "application/json"
    assert first.headers["x-request-id"] != again.headers["x-request-id"]
    assert counter.done == [5]


async def test_idempotency_replay_with_another_body_path_or_query_is_refused() -> None:
    counter = Counter()
    async with caller(service(counter, replays=MemoryReplays()), KEY) as web:
        await web.post("/orders", json={"amount": 5})
        for path, amount in (("/orders", 6), ("/large", 5), ("/orders?x=1", 5)):
            answer = await web.post(path, json={"amount": amount})
            assert (code(answer), answer.status_code) == ("idempotency.reused", 422)
    assert counter.done == [5]


async def test_key_of_one_caller_tells_another_nothing() -> None:
    counter, session = Counter(), ADDRESS.cookie_name("session")
    app = service(counter, replays=MemoryReplays())
    bodies = []
    for name in ("one", "two"):
        async with caller(app, {**KEY, **BROWSER, "cookie": f"{session}={name}"}) as web:
            answer = await web.post("/orders", json={"amount": 5})
            bodies.append(answer.json()["id"])
            assert "idempotency-replayed" not in answer.headers
    assert bodies[0] != bodies[1]
    assert counter.done == [5, 5]


async def test_two_requests_under_one_key_at_once_are_carried_out_once(rig: Rig) -> None:
    counter, store = Counter(), rig.open(rig.settings())
    app = service(counter, replays=store.replays())
    async with caller(app, KEY) as web:
        answers = await asyncio.gather(*(web.post("/orders", json={"amount": 5}) for _ in range(6)))
    assert counter.done == [5]
    statuses = sorted(answer.status_code for answer in answers)
    assert set(statuses) <= {201, 409}
    assert 201 in statuses
    assert {code(answer) for answer in answers if answer.status_code == 409} <= {"idempotency.in-progress"}


@pytest.mark.parametrize("key", ["short", "x" * 129, "with blanks in the middle", "ünï-cödé-ünï-cödé-ünï"])
async def test_key_of_a_wrong_form_is_refused(key: str) -> None:
    counter = Counter()
    async with caller(service(counter, replays=MemoryReplays())) as web:
        answer = await web.post("/orders", json={"amount": 5}, headers={b"idempotency-key": key.encode()})
        assert code(answer) == "idempotency.key-invalid"
    async with caller(service(counter), KEY) as web:
        assert code(await web.post("/orders", json={"amount": 5})) == "idempotency.unsupported"
    assert counter.done == []


async def test_request_that_failed_halfway_is_not_carried_out_again() -> None:
    counter = Counter()
    async with caller(service(counter, replays=MemoryReplays()), KEY) as web:
        assert code(await web.post("/broken", json={"amount": 5})) == "service.failed"
        answer = await web.post("/broken", json={"amount": 5})
        assert (code(answer), answer.status_code) == ("idempotency.unknown", 409)
    assert counter.done == [5]


async def test_answer_too_large_to_keep_is_not_made_again() -> None:
    counter, replays = Counter(), MemoryReplays()
    async with caller(service(counter, replays=replays), KEY) as web:
        assert (await web.post("/large", json={"amount": 5})).status_code == 200
        answer = await web.post("/large", json={"amount": 5})
        assert (code(answer), answer.status_code) == ("idempotency.done", 409)
    assert counter.done == [5]
    assert [place.answer for place in replays.places.values()] == [b""]


@pytest.mark.usefixtures("still_rates")
async def test_refusal_that_carried_nothing_out_frees_the_key() -> None:
    counter, replays = Counter(), MemoryReplays()
    app = service(counter, "[limits]\naddress_burst = 1\naddress_per_second = 1", replays=replays)
    async with caller(app, KEY) as web:
        await web.get("/plain")
        assert code(await web.post("/orders", json={"amount": 5})) == "request.rate"
        assert replays.places == {}


async def test_stranger_with_a_new_key_each_time_fills_the_store_with_neither_refusals_nor_pages() -> None:
    router, replays = APIRouter(), MemoryReplays()

    @router.post("/private", include_in_schema=False)
    async def private() -> None:
        raise Problem(NEEDED)

    @router.post("/page", include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse("x" * 60_000)

    app = service(Counter(), parts=[Part("open", [router])], replays=replays)
    async with caller(app, {"accept": "text/html", "authorization": "Bearer made-up"}) as web:
        for i in range(4):
            for path, status in (("/private", 401), ("/nothing", 404), ("/health", 405), ("/page", 200)):
                answer = await web.post(path, json={}, headers={"idempotency-key": f"{path[1:]}-0123456789-{i}"})
                assert (path, answer.status_code) == (path, status)
    assert [len(place.answer) for place in replays.places.values()] == [0] * 4, "that something was done, and no page"


@pytest.mark.parametrize("error", [TransportError("no answer in time", "transport.timeout"), StorageError("down")])
async def test_request_whose_answer_got_lost_after_it_acted_is_not_carried_out_again(error: Exception) -> None:
    counter, router = Counter(), APIRouter()

    @router.post("/submit", include_in_schema=False)
    async def submit() -> None:
        counter.done.append(1)  # the transaction is with a node
        raise error  # which does not answer

    app = service(counter, parts=[Part("submitting", [router])], replays=MemoryReplays())
    async with caller(app, KEY) as web:
        assert (await web.post("/submit")).status_code == 503
        assert code(await web.post("/submit")) == "idempotency.unknown"
    assert counter.done == [1]


async def test_key_used_again_after_its_day_never_seals_two_answers_alike() -> None:
    counter, replays, kept = Counter(), MemoryReplays(), list[bytes]()
    app = service(counter, replays=replays, secret=b"s" * 32)
    async with caller(app, KEY) as web:
        for _ in range(2):
            await web.post("/orders", json={"amount": 5})
            kept += [place.answer for place in replays.places.values()]
            replays.places.clear()  # its day is over
    assert kept[0][:12] != kept[1][:12]
    assert len(kept[0]) == len(kept[1])


async def test_kept_answer_is_sealed_and_opens_for_who_has_the_key_alone() -> None:
    counter, replays = Counter(), MemoryReplays()
    app = service(counter, replays=replays, secret=b"s" * 32)
    async with caller(app, KEY) as web:
        answer = await web.post("/orders", json={"amount": 5})
        (name, place), *_ = replays.places.items()
        assert place.state is State.DONE
        assert json.loads(answer.text)["id"].encode() not in place.answer
        assert KEY["idempotency-key"].encode() not in name + place.answer
        replays.places[name] = type(place)(
            place.state, place.request, place.answer[:-1] + bytes([place.answer[-1] ^ 1])
        )
        assert code(await web.post("/orders", json={"amount": 5})) == "idempotency.done"


async def test_store_that_does_not_answer_lets_nothing_be_carried_out() -> None:
    class Down(MemoryReplays):
        def begin(self, key: bytes, request: bytes) -> Place:
            raise StorageError("down")

    counter = Counter()
    async with caller(service(counter, replays=Down()), KEY) as web:
        answer = await web.post("/orders", json={"amount": 5})
    assert (code(answer), answer.status_code) == ("service.store", 503)
    assert counter.done == []
