# SPDX-License-Identifier: Apache-2.0
"""Subscriptions: what a receiver gets, when, how often; and where webhooks never go."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from capture_rig import CaptureRig, code, ended, link
from store_rig import Rig

from client.errors import TransportError
from service.store.engine import close_engine
from tests.trace_rig import TRADERS
from traceability.api import clients
from traceability.api.queries import Queries
from traceability.api.query_store import QueryStore
from traceability.api.schedules import read_schedule
from traceability.api.subscriber import OWNER_AT_ONCE, Subscriber
from traceability.api.subscriptions import (
    BACK_OFF_MS,
    BACK_OFF_MS_MAX,
    SUBSCRIPTIONS_MAX,
    Asked,
    Subscription,
    Subscriptions,
)
from traceability.api.webhooks import Webhooks, check_url, is_allowed, signature_of
from traceability.epcis_json import InvalidDocument

FARM = TRADERS["farm"][0]
TOKEN = "a-token-of-length-24-ok!"
WANTED = {"dest": "https://receiver.example/new", "signatureToken": TOKEN, "stream": True}


@dataclass
class Receiver:
    """Notes what it gets, and answers as it is told."""

    statuses: list[int] = field(default_factory=list)
    got: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)

    async def send(self, url: str, body: bytes, headers: dict[str, str]) -> int:
        assert url == WANTED["dest"]
        self.got.append((body, headers))
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 0:
            raise TransportError("nobody there")
        return status

    def events(self) -> list[list[str]]:
        """Ids of the events of each document."""
        documents = [json.loads(body) for body, _ in self.got]
        lists = [one["epcisBody"]["queryResults"]["resultsBody"]["eventList"] for one in documents]
        return [[event["eventID"] for event in events] for events in lists]


class Subscribed:
    """A farm whose declarations a receiver wants, and a clock."""

    def __init__(self, capture: CaptureRig, **changes: Any) -> None:
        self.capture = capture
        self.now_ms = 1_800_000_000_000
        self.receiver = Receiver()
        context = capture.context()
        self.queries = Queries(capture.store, self.now)
        self.queries.add(FARM, "mine", {"EQ_bizStep": ["commissioning"]})
        self.subscriptions = Subscriptions(capture.store, self.now)
        self.store = QueryStore(context)
        asked = Asked(str(WANTED["dest"]), TOKEN, None, report_if_empty=False, initial="")
        self.asked = Asked(**{**{name: getattr(asked, name) for name in Asked.__slots__}, **changes})
        self.id = self.subscriptions.add(FARM, "mine", self.asked, self.store.newest(None))
        self.restart()

    def now(self) -> int:
        return self.now_ms

    def restart(self) -> None:
        """As after a crash: nothing but the store remembers."""
        self.worker = Subscriber(self.subscriptions, self.queries, self.store, self.receiver, self.now)

    async def turn(self, after_ms: int = 0) -> None:
        self.now_ms += after_ms
        await self.worker.turn()


@pytest.fixture
def capture(sqlite_rig: Rig) -> Iterator[CaptureRig]:
    made = CaptureRig(sqlite_rig)
    yield made
    close_engine(made.engine)


@pytest.fixture(autouse=True)
def no_round_but_the_tests_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What services do by themselves each second would send to receivers that are none, and put off the next try."""

    class NothingDue(Subscriptions):
        def due(self, but: Collection[str] = ()) -> list[Subscription]:
            return []

    monkeypatch.setattr("traceability.api.part.Subscriptions", NothingDue)


async def harvest(capture: CaptureRig, *names: str) -> list[str]:
    """Capture declarations; their ids."""
    events = [capture.event(quantityList=[{"epcClass": link(name), "quantity": 1, "uom": "KGM"}]) for name in names]
    async with capture.caller() as caller:
        answer = await caller.post("/epcis/capture", json=capture.document(*events))
        assert (await ended(caller, answer.headers["location"]))["success"]
    return [event["eventID"] for event in events]


async def test_receiver_gets_new_events_once_in_order_and_signed(capture: CaptureRig) -> None:
    await harvest(capture, "before")
    one = Subscribed(capture)
    await one.turn()
    assert one.receiver.got == []
    first = await harvest(capture, "A", "B")
    await one.turn()
    second = await harvest(capture, "C")
    await one.turn()
    await one.turn()
    assert one.receiver.events() == [first, second]
    body, headers = one.receiver.got[0]
    time_ms = headers["GS1-Signature"].partition("t=")[2].partition(",")[0]
    expected = hmac.digest(TOKEN.encode(), f"{one.id}.{time_ms}.".encode() + body, hashlib.sha256).hex()
    assert headers["GS1-Signature"] == f"t={time_ms},v1={expected}"
    assert json.loads(body)["epcisBody"]["queryResults"]["subscriptionID"] == one.id


async def test_event_that_is_on_the_ledger_and_not_kept_yet_waits_until_it_goes_out_whole(capture: CaptureRig) -> None:
    one = Subscribed(capture)
    event = capture.event()
    capture.ledger.fate = lambda _transaction: "silent"
    async with capture.caller() as caller:
        answer = await caller.post("/epcis/capture", json=capture.document(event))
        while not capture.ledger.recorded():  # noqa: ASYNC110 - the ledger of this rig has no event for it
            await asyncio.sleep(0.01)
    await one.turn()
    assert one.receiver.got == []
    capture.ledger.fate = lambda _transaction: ""
    async with capture.caller() as caller:
        assert (await ended(caller, answer.headers["location"]))["success"]
    await one.turn()
    assert one.receiver.events() == [[event["eventID"]]]


@pytest.mark.parametrize("status", [0, 201, 302, 404, 500])
async def test_place_moves_only_after_200_and_waits_grow(capture: CaptureRig, status: int) -> None:
    one = Subscribed(capture)
    first = await harvest(capture, "A")
    one.receiver.statuses = [status, status]
    await one.turn()
    await one.turn()
    assert len(one.receiver.got) == 1  # not before its time
    await one.turn(BACK_OFF_MS * 5 // 4)
    await one.turn(BACK_OFF_MS * 5 // 4)
    assert len(one.receiver.got) == 2
    second = await harvest(capture, "B")
    one.restart()
    await one.turn(BACK_OFF_MS_MAX)
    await one.turn()
    assert one.receiver.events() == [first, first, first + second]


async def test_crash_before_the_acknowledgement_is_stored_sends_the_same_again(
    capture: CaptureRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Subscribed(capture)
    first = await harvest(capture, "A")

    class Killed(BaseException):
        pass

    def dies(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(one.subscriptions, "acknowledged", dies)
        with pytest.raises(Killed):
            await one.turn()
    one.restart()
    await one.turn()
    assert one.receiver.events() == [first, first]


async def test_more_than_one_document_holds_comes_in_several(
    capture: CaptureRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("traceability.api.subscriber.EVENTS_MAX", 2)
    one = Subscribed(capture)
    ids = await harvest(capture, "A", "B", "C", "D", "E")
    for _ in range(4):
        await one.turn()
    assert one.receiver.events() == [ids[:2], ids[2:4], ids[4:]]


async def test_scheduled_receiver_gets_what_gathered_and_an_empty_document_if_it_asked(capture: CaptureRig) -> None:
    one = Subscribed(capture, schedule={"minute": "0"}, report_if_empty=True)
    ids = await harvest(capture, "A")
    await one.turn()
    assert one.receiver.got == []
    await one.turn(3_600_000)
    await one.turn(60_000)
    await one.turn(3_600_000)
    assert one.receiver.events() == [ids, []]


async def test_trader_whose_receivers_hang_delays_nobody_elses_news(capture: CaptureRig) -> None:
    one, shop = Subscribed(capture), TRADERS["shop"][0]
    clients.add(capture.store, shop, one.now_ms)
    one.queries.add(shop, "theirs", {"EQ_bizStep": ["commissioning"]})
    slow = Asked("https://slow.example/", TOKEN, read_every_second(), report_if_empty=True, initial="")
    for _ in range(SUBSCRIPTIONS_MAX):
        one.subscriptions.add(shop, "theirs", slow, one.store.newest(None))
    took, asked = asyncio.Event(), 0

    class Receivers(Receiver):
        async def send(self, url: str, body: bytes, headers: dict[str, str]) -> int:
            nonlocal asked
            if url == slow.dest:
                asked += 1
                await asyncio.Event().wait()
            took.set()
            return await super().send(url, body, headers)

    one.receiver = Receivers()
    one.restart()
    one.now_ms += 2_000  # all of theirs are due
    first = await harvest(capture, "A")
    await one.worker.begin()
    async with asyncio.timeout(20):
        await took.wait()
        second = await harvest(capture, "B")
        while len(one.receiver.got) < 2:
            one.now_ms += 1_000
            await one.worker.begin()  # the next round, one after the other, though theirs hang
    assert one.receiver.events() == [first, second]
    assert asked == OWNER_AT_ONCE, "of theirs a few are waited for, and no more"
    await one.worker.stop()


def read_every_second() -> dict[str, str]:
    return {"second": "[0-59]"}


async def test_owner_whose_keys_have_ended_is_sent_nothing(capture: CaptureRig) -> None:
    one = Subscribed(capture)
    await harvest(capture, "A")
    for row in clients.listed(capture.store):
        clients.end(capture.store, row.id, 5)
    await one.turn()
    assert one.receiver.got == []


async def test_subscription_is_made_listed_and_ended_by_its_owner_and_shows_no_token(capture: CaptureRig) -> None:
    async with capture.caller() as farm:
        await farm.post("/epcis/queries", json={"name": "q", "query": {}})
        made = await farm.post("/epcis/queries/q/subscriptions", json=WANTED)
        assert made.status_code == 201
        listed = (await farm.get("/epcis/queries/q/subscriptions")).json()
        assert [one["dest"] for one in listed] == [WANTED["dest"]]
        assert TOKEN not in str(listed)
        key = {"authorization": f"Bearer {capture.keys['market']}"}
        for theirs in (
            await farm.get(made.headers["location"], headers=key),
            await farm.delete(made.headers["location"], headers=key),
        ):
            assert (theirs.status_code, code(theirs)) == (404, "food.no-resource")
        assert (await farm.get(made.headers["location"])).json()["stream"] is True
        assert (await farm.delete(made.headers["location"])).status_code == 204
        assert (await farm.get(made.headers["location"])).status_code == 404
        unknown = await farm.post("/epcis/queries/none/subscriptions", json=WANTED)
        assert code(unknown) == "food.no-resource"


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"dest": "http://receiver.example/"}, "/dest"),
        ({"dest": "https://name:secret@receiver.example/"}, "/dest"),
        ({"dest": "ftp://receiver.example/"}, "/dest"),
        ({"dest": None}, "/dest"),
        ({"dest": "https:///nowhere"}, "/dest"),
        ({"signatureToken": "short"}, "/signatureToken"),
        ({"schedule": {"minute": "0"}}, "/schedule"),
        ({"stream": False}, "/schedule"),
        ({"stream": False, "schedule": {"minute": "61"}}, "/schedule/minute"),
        ({"stream": False, "schedule": {"dayOfMonth": "31", "month": "2"}}, "/schedule"),
        ({"initialRecordTime": "yesterday"}, "/GE_recordTime"),
        ({"reportIfEmpty": "yes"}, "/reportIfEmpty"),
        ({"query": "x"}, "/query"),
    ],
)
async def test_wrong_subscription_is_refused_with_the_field(
    capture: CaptureRig, change: dict[str, object], where: str
) -> None:
    async with capture.caller() as farm:
        await farm.post("/epcis/queries", json={"name": "q", "query": {}})
        answer = await farm.post("/epcis/queries/q/subscriptions", json={**WANTED, **change})
    assert (answer.status_code, code(answer)) == (400, "food.subscription")
    assert where in [one["where"] for one in answer.json()["errors"]]


# ------------------------------------------------------------ addresses


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "ff02::1",
        "nonsense",
        "fec0::1",
        "::7f00:1",
        "64:ff9b:1::7f00:1",
    ],
)
def test_address_that_is_not_public_is_not_sent_to(address: str) -> None:
    assert not is_allowed(address, [])


def test_public_addresses_and_allowed_networks_are_sent_to() -> None:
    assert is_allowed("93.184.215.14", [])
    assert is_allowed("2606:4700::1111", [])
    assert is_allowed("10.1.2.3", ["10.1.0.0/16"])
    assert is_allowed("::ffff:10.1.2.3", ["10.1.0.0/16"])
    assert not is_allowed("10.2.2.3", ["10.1.0.0/16"])


async def test_name_that_leads_into_ones_own_network_is_not_sent_to() -> None:
    async with receiving([]) as (port, got):
        for host in ("localhost", "127.0.0.1", "[::1]"):
            with pytest.raises((TransportError, InvalidDocument)):
                await Webhooks([]).send(f"https://{host}:{port}/", b"{}", {})
        assert got == []


async def test_allowed_receiver_gets_body_and_signature_and_a_redirect_is_not_followed() -> None:
    async with receiving([302, 200]) as (port, got):
        hooks = Webhooks(["127.0.0.0/8"])
        url = f"http://127.0.0.1:{port}/new?x=1"
        headers = {"GS1-Signature": signature_of(b"t", "s", 1, b"{}")}
        assert [await hooks.send(url, b"{}", headers), await hooks.send(url, b"{}", headers)] == [302, 200]
        assert len(got) == 2
        assert got[0].startswith(b"POST /new?x=1 HTTP/1.1")
        assert f"Host: 127.0.0.1:{port}".encode() in got[0]
        assert got[0].endswith(b"\r\n\r\n{}")


@asynccontextmanager
async def receiving(statuses: list[int]) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that answers with these, and where it leads to elsewhere."""
    got: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        got.append(head + await reader.readexactly(length))
        writer.write(b"HTTP/1.1 %d X\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n" % statuses.pop(0))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], got
    finally:
        server.close()
        await server.wait_closed()


def test_address_of_a_subscriber_is_https_unless_the_operator_allows_private_ones() -> None:
    with pytest.raises(InvalidDocument):
        check_url("http://receiver.example/", [])
    assert check_url("http://receiver.example/", ["10.0.0.0/8"])


# ------------------------------------------------------------ schedules


@pytest.mark.parametrize(
    ("fields", "after", "expected"),
    [
        ({}, "2026-11-22T12:00:00", "2026-11-22T12:01:00"),
        ({"second": "30"}, "2026-11-22T12:00:30", "2026-11-22T12:01:30"),
        ({"minute": "0", "hour": "6"}, "2026-11-22T12:00:00", "2026-11-23T06:00:00"),
        ({"minute": "0", "hour": "6", "dayOfWeek": "1"}, "2026-11-22T12:00:00", "2026-11-23T06:00:00"),
        ({"minute": "0", "hour": "0", "dayOfMonth": "29", "month": "2"}, "2026-11-22T12:00:00", "2028-02-29T00:00:00"),
        ({"minute": "10,[20-22]"}, "2026-11-22T12:20:30", "2026-11-22T12:21:00"),
        ({"minute": 59, "hour": "23", "second": "59"}, "2026-12-31T23:59:58", "2026-12-31T23:59:59"),
        ({"minute": "59", "hour": "23", "second": "59"}, "2026-12-31T23:59:59", "2027-01-01T23:59:59"),
    ],
)
def test_schedule_names_the_next_moment(fields: dict[str, object], after: str, expected: str) -> None:
    def ms(text: str) -> int:
        return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000

    assert read_schedule(fields).next_after(ms(after)) == ms(expected)


@pytest.mark.parametrize(
    "fields",
    [{"minute": "60"}, {"hour": "-1"}, {"hour": "5-3"}, {"minute": ""}, {"minute": True}, {"year": "1"}, {"hour": []}],
)
def test_schedule_that_is_none_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidDocument):
        read_schedule(fields)
