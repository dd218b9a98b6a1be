# SPDX-License-Identifier: Apache-2.0
"""Subscriptions over WebSocket, through a real server: what a listener gets, who is refused, and what ends it."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
import uvicorn
from capture_rig import ORIGIN, CaptureRig, link
from store_rig import Rig
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from service import serve
from service.rates import caller_of
from service.settings import parse_settings
from service.store.engine import close_engine
from tests.trace_rig import TRADERS
from traceability.api import clients, sockets
from traceability.api.part import epcis_part
from traceability.api.queries import Queries

FARM = TRADERS["farm"][0]
FEED = "/epcis/queries/mine/events"


@pytest.fixture
def capture(sqlite_rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Iterator[CaptureRig]:
    monkeypatch.setattr(sockets, "LOOK_S", 0.02)
    made = CaptureRig(sqlite_rig, settings=parse_settings("[limits]\naddress_burst = 10000", {}))
    Queries(made.store, lambda: 1).add(FARM, "mine", {"EQ_bizStep": ["commissioning"]})
    yield made
    close_engine(made.engine)


@dataclass
class Served:
    """A server on a port of this machine."""

    capture: CaptureRig
    config: uvicorn.Config
    port: int

    def listen(self, path: str, *, who: str = "farm", **headers: str) -> connect:
        key = self.capture.keys.get(who, who)
        sent = {"Authorization": f"Bearer {key}", **{name.replace("_", "-"): value for name, value in headers.items()}}
        # by name for the host that the service knows, by address for where it is
        return connect(
            f"ws://food.example.org{path}",
            host="127.0.0.1",
            port=self.port,
            additional_headers={name: value for name, value in sent.items() if value},
            proxy=None,
        )

    def held(self) -> int:
        """Connections that the server counts."""
        admission = self.config.http.admission  # type: ignore[union-attr]
        return admission._held[caller_of("127.0.0.1")]

    async def until_held(self, count: int) -> None:
        """Until the server has noticed who is gone."""
        async with asyncio.timeout(60):
            while self.held() != count:  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0.02)


@asynccontextmanager
async def served(capture: CaptureRig, now: Callable[[], int] | None = None) -> AsyncIterator[Served]:
    context = capture.context()
    context = context if now is None else replace(context, now=now)
    app = capture.service(epcis_part(context, sign=capture.sign))
    config = serve._config(app, capture.settings)
    server = serve._Server(config)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        async with app.router.lifespan_context(app):
            task = asyncio.create_task(server.serve(sockets=[bound]))
            while not server.started:  # noqa: ASYNC110 - the server has no event for it
                await asyncio.sleep(0.01)
            try:
                yield Served(capture, config, bound.getsockname()[1])
            finally:
                server.should_exit = True
                await task


async def harvest(capture: CaptureRig, *names: str) -> list[str]:
    """Record declarations; their ids."""
    events = [capture.event(quantityList=[{"epcClass": link(name), "quantity": 1, "uom": "KGM"}]) for name in names]
    async with capture.caller() as caller:
        for event in events:
            answer = await caller.post("/epcis/events", json={"@context": capture.document()["@context"], **event})
            assert answer.status_code == 201, answer.text
    return [event["eventID"] for event in events]


async def ids(feed: ClientConnection) -> list[str]:
    """Ids of the events of the next document."""
    document: dict[str, Any] = json.loads(await asyncio.wait_for(feed.recv(), 60))
    assert document["epcisBody"]["queryResults"]["queryName"] == "mine"
    return [event["eventID"] for event in document["epcisBody"]["queryResults"]["resultsBody"]["eventList"]]


async def closed(feed: ClientConnection) -> int:
    """The code with which the server ends it."""
    with pytest.raises(ConnectionClosed) as caught:
        await asyncio.wait_for(feed.recv(), 60)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code


async def refusal(opening: connect) -> tuple[int, str]:
    """Status and code of a refused handshake."""
    with pytest.raises(InvalidStatus) as caught:
        async with opening:
            pass
    answer = caught.value.response
    assert answer.headers["content-type"] == "application/problem+json"
    document = json.loads(answer.body or b"{}")
    return answer.status_code, document["code"]


async def test_listener_gets_new_events_as_they_are_recorded_and_nothing_before(capture: CaptureRig) -> None:
    before = await harvest(capture, "before")
    async with served(capture) as site:
        async with site.listen(f"{FEED}?stream=true") as feed:
            assert feed.response is not None
            assert feed.response.headers["gs1-epcis-version"] == "2.0.0"
            first = await harvest(capture, "A")
            assert await ids(feed) == first
            second = await harvest(capture, "B")
            assert await ids(feed) == second
        async with site.listen(f"{FEED}?stream=true&initialRecordTime=2020-01-01T00:00:00Z") as feed:
            assert await ids(feed) == before + first + second


async def test_scheduled_listener_hears_at_its_times_also_of_nothing_if_it_wants_to(capture: CaptureRig) -> None:
    now_ms = [1_800_000_000_000]
    async with (
        served(capture, lambda: now_ms[0]) as site,
        site.listen(f"{FEED}?second=30&reportIfEmpty=true") as feed,
        site.listen(f"{FEED}?second=30") as quiet,
    ):
        now_ms[0] += 60_000
        assert await ids(feed) == []
        events = await harvest(capture, "A")
        now_ms[0] += 60_000
        assert await ids(feed) == events
        assert await ids(quiet) == events


async def test_silent_listener_stays_where_a_silent_request_would_not(
    capture: CaptureRig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serve, "IDLE_SECONDS", 1)
    async with served(capture) as site, site.listen(f"{FEED}?stream=true") as feed:
        await asyncio.sleep(1.2)
        events = await harvest(capture, "A")
        assert await ids(feed) == events
    assert [one.message for one in caplog.records if one.levelname == "ERROR"] == []


async def test_end_of_a_connection_gives_its_place_back(capture: CaptureRig) -> None:
    async with served(capture) as site:
        for _ in range(2):
            async with site.listen(f"{FEED}?stream=true"):
                await site.until_held(1)
        assert (await refusal(site.listen(FEED, who="zxf_nobody")))[0] == 401
        await site.until_held(0)


async def test_handshakes_that_are_refused_say_why(capture: CaptureRig) -> None:
    async with served(capture) as site:
        streamed = f"{FEED}?stream=true"
        assert await refusal(site.listen(streamed, who="")) == (401, "food.bearer")
        assert await refusal(site.listen(streamed, who="zxf_nobody")) == (401, "food.bearer")
        assert await refusal(site.listen(streamed, Origin="https://evil.example")) == (403, "request.cross-site")
        assert await refusal(site.listen(streamed, Sec_Fetch_Site="cross-site")) == (403, "request.cross-site")
        assert await refusal(site.listen(streamed, who="market")) == (404, "food.no-resource")
        assert await refusal(site.listen(streamed, GS1_EPCIS_Version="1.2")) == (406, "food.not-acceptable")
        for wrong in (
            "",
            "?stream=maybe",
            "?stream=true&minute=5",
            "?minute=99",
            "?stream=true&stream=true",
            "?dest=x",
        ):
            assert await refusal(site.listen(FEED + wrong)) == (400, "food.subscription"), wrong
        with pytest.raises(InvalidStatus) as caught:
            async with site.listen("/epcis/events?stream=true"):
                pass
        assert caught.value.response.status_code == 403  # no part takes a WebSocket there


async def test_foreign_host_and_too_many_connections_are_refused(
    capture: CaptureRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "OWNER_SOCKETS_MAX", 1)
    made: list[sockets.Sockets] = []

    def noted(*arguments: Any) -> sockets.Sockets:
        made.append(sockets.Sockets(*arguments))
        return made[-1]

    monkeypatch.setattr("traceability.api.part.Sockets", noted)
    async with served(capture) as site:
        foreign = connect(f"ws://127.0.0.1:{site.port}{FEED}?stream=true", proxy=None)
        assert await refusal(foreign) == (421, "request.host")
        async with site.listen(f"{FEED}?stream=true"):
            assert await refusal(site.listen(f"{FEED}?stream=true")) == (429, "food.too-many-sockets")
        async with asyncio.timeout(60):
            while any(one._open for one in made):  # noqa: ASYNC110 - who has gone is noticed a little later
                await asyncio.sleep(0.02)
        async with site.listen(f"{FEED}?stream=true", Origin=ORIGIN):  # a program that says where it comes from
            pass


async def test_listener_that_speaks_or_says_too_much_is_closed(capture: CaptureRig) -> None:
    async with served(capture) as site:
        async with site.listen(f"{FEED}?stream=true") as feed:
            await feed.send("hello")
            assert await closed(feed) == sockets.UNSUPPORTED
        async with site.listen(f"{FEED}?stream=true") as feed:
            await feed.send("x" * 5_000)
            assert await closed(feed) == 1009


async def test_connection_ends_with_its_key_and_with_its_query(
    capture: CaptureRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "KEY_LOOK_S", 0.0)
    async with served(capture) as site:
        async with site.listen(f"{FEED}?stream=true") as feed:
            (row,) = [one for one in clients.listed(capture.store) if one.gln == FARM]
            clients.end(capture.store, row.id, 2)
            assert await closed(feed) == sockets.POLICY
        _, capture.keys["farm"] = clients.add(capture.store, FARM, 3)
        async with site.listen(f"{FEED}?stream=true") as feed:
            Queries(capture.store, lambda: 1).remove(FARM, "mine")
            await harvest(capture, "C")
            assert await closed(feed) == sockets.NORMAL
