# SPDX-License-Identifier: Apache-2.0
"""What strangers may occupy at a node: places, bytes on their way, and waits, with a share for each address."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import cast

import grpc
import pytest

from chain.ed25519 import Ed25519Signer
from chain.errors import Refused
from chain.ledger import Ledger
from chain.transaction import Operation, build
from chain.types import Height, Millis, Network, TransactionId, sha256
from client.pb import node_service_pb2 as pb
from client.pb import node_service_pb2_grpc as rpc
from node.admission import Admission
from node.answers import PATHS_BYTES_MAX, Answers, Newest
from node.config import ClientConfig
from node.ledger_service import LedgerService
from node.places import ByteBudget, Full, Places, address_of
from node.receipts import ANSWER_BYTES_MAX
from node.rpc import ClientService
from node.store import LedgerStore
from node.waiters import Waiters

ID = TransactionId(sha256(b"unknown"))
BIG = 1024 * 1024


# ---------------------------------------------------------------- places


def test_one_address_has_a_quarter_of_the_places_and_others_the_rest() -> None:
    places = Places(8, is_exempt=False)
    taken = [places.occupy("10.0.0.1") for _ in range(2)]
    with pytest.raises(Full), places.take("10.0.0.1"):
        pass
    others = [places.occupy(f"10.0.1.{number}") for number in range(6)]
    with pytest.raises(Full):
        places.occupy("10.0.2.1")
    for release in (*taken, *others):
        release()
    with places.take("10.0.0.1"), places.take("10.0.0.1"):
        assert not places.has_room("10.0.0.1")


@pytest.mark.parametrize(("is_exempt", "most"), [(True, 8), (False, 2)])
def test_loopback_has_no_more_than_others_unless_an_operator_says_so(is_exempt: bool, most: int) -> None:
    places = Places(8, is_exempt=is_exempt)
    for _ in range(most):
        places.occupy("127.0.0.1")
    assert not places.has_room("127.0.0.1")


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.1.2.3:4711", "10.1.2.3"),
        ("ipv6:%5B::1%5D:4711", "::1"),
        ("ipv6:[2001:db8:1:2:3:4:5:6]:4711", "2001:db8:1:2::/64"),
        ("ipv6:[::ffff:10.1.2.3]:1", "10.1.2.3"),
        ("unix:", "unix:"),
    ],
)
def test_address_of_a_caller_names_its_machine(peer: str, address: str) -> None:
    assert address_of(peer) == address


async def test_bytes_on_their_way_wait_for_room_of_their_own_address() -> None:
    budget = ByteBudget(400, is_exempt=False)
    order: list[str] = []

    async def write(address: str, name: str, size: int) -> None:
        async with budget.hold(address, size):
            order.append(name)

    release = budget.occupy("a", 100)
    waiting = asyncio.create_task(write("a", "second of a", 50))
    await write("b", "of b", 300)
    assert order == ["of b"]
    release()
    await waiting
    assert order == ["of b", "second of a"]


# ---------------------------------------------------------------- the service


class FakeLedger:
    """Answers at once, with blocks of a size."""

    def __init__(self) -> None:
        self.lookups = 0
        self.block_reads = 0

    async def run(self, work: Callable[..., object], *arguments: object) -> object:
        return work(*arguments)

    def heights(self, ids: Sequence[TransactionId]) -> dict[TransactionId, Height]:
        self.lookups += 1
        return {}

    def find_within(self, _ids: Sequence[TransactionId], _size: int, room: int, _index: int) -> tuple[dict, int]:
        return {}, room

    def inclusions(self, *_: object) -> list[object]:
        return []

    def states(self, keys: Sequence[bytes], _height: Height) -> list[SimpleNamespace]:
        return [SimpleNamespace(value=bytes(64 * 1024), proof=b"") for _ in keys]

    def block_event(self, _height: Height) -> pb.BlockEvent:
        self.block_reads += 1
        return pb.BlockEvent(block=bytes(BIG))


def newest(height: int) -> Newest:
    return cast("Newest", SimpleNamespace(checkpoint=SimpleNamespace(height=height, log_size=1, epoch=1)))


@asynccontextmanager
async def serving(ledger: FakeLedger, config: ClientConfig) -> AsyncIterator[tuple["rpc.NodeAsyncStub", ClientService]]:
    service = ClientService(
        admission=cast("Admission", None),
        ledger=cast("LedgerService", ledger),
        answers=cast("Answers", ledger),
        waiters=Waiters(),
        describe=pb.StatusResponse,
        config=config,
    )
    service.set_newest(newest(1_000))
    server = grpc.aio.server()
    rpc.add_NodeServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield rpc.NodeStub(channel), service
    finally:
        await server.stop(None)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - a call that arrives or ends tells nobody
            await asyncio.sleep(0.01)


async def test_waiting_reads_look_up_once_take_no_reader_s_place_and_are_few_for_one_address() -> None:
    ledger = FakeLedger()
    async with serving(ledger, ClientConfig(waits_max=8, unary_max=4)) as (stub, service):
        request = pb.ReceiptsRequest(transaction_ids=[ID], wait_ms=60_000)
        waiting = [stub.Receipts(request) for _ in range(2)]
        await until(lambda: ledger.lookups == 2)
        with pytest.raises(grpc.aio.AioRpcError, match=r"read\.too-many: "):
            await stub.Receipts(request)
        for height in range(1_001, 1_020):
            service.set_newest(newest(height))
            await asyncio.sleep(0)
        assert ledger.lookups == 2
        assert (await stub.Receipts(pb.ReceiptsRequest(transaction_ids=[ID]))).missing == [ID]
        for call in waiting:
            call.cancel()
        await until(lambda: not service._waits._count)
        answer = await stub.Receipts(pb.ReceiptsRequest(transaction_ids=[ID], wait_ms=50))
        assert answer.missing == [ID]


async def test_answer_that_would_be_too_large_is_refused() -> None:
    async with serving(FakeLedger(), ClientConfig()) as (stub, _):
        keys = [number.to_bytes(2) for number in range(ANSWER_BYTES_MAX // (64 * 1024) + 1)]
        with pytest.raises(grpc.aio.AioRpcError, match=r"receipt\.too-many: "):
            await stub.State(pb.StateRequest(keys=keys))


async def test_blocks_far_above_the_tip_are_refused_and_streams_leave_places_for_submissions() -> None:
    async with serving(FakeLedger(), ClientConfig(blocks_max=4)) as (stub, service):
        with pytest.raises(grpc.aio.AioRpcError, match=r"block\.not-held: "):
            await stub.Blocks(pb.BlocksRequest(from_height=2**63)).read()
        await until(lambda: not service._followers._count)
        first = stub.Blocks(pb.BlocksRequest(from_height=1_500))
        await until(lambda: service._followers._count == 1)
        with pytest.raises(grpc.aio.AioRpcError, match=r"stream\.too-many: "):
            await stub.Blocks(pb.BlocksRequest(from_height=1_500)).read()
        first.cancel()


async def test_blocks_that_nobody_reads_stay_within_the_budget() -> None:
    ledger = FakeLedger()
    async with serving(ledger, ClientConfig(pending_bytes_max=16 * BIG)) as (stub, _):
        streams = [stub.Blocks(pb.BlocksRequest(from_height=1)) for _ in range(12)]
        held = -1
        async with asyncio.timeout(60):
            while held != ledger.block_reads:  # nobody reads, so in the end nothing more is read from the disk
                held = ledger.block_reads
                await asyncio.sleep(0.5)
        assert held >= len(streams), "each was begun"
        for stream in streams[1:]:
            stream.cancel()
        async with asyncio.timeout(60):
            for _ in range(20):
                assert isinstance(await streams[0].read(), pb.BlockEvent)
        streams[0].cancel()


def test_refused_answer_holds_on_to_nothing() -> None:
    """Errors live on in cycles of frames for a while; what they hold must be small."""
    signer = Ed25519Signer(sha256(b"signer"))
    operation = Operation.make("test.Nothing", bytes(100_000))
    raw = build([operation], [signer], Millis(10**6), bytes(16), Network(sha256(b"places"))).raw
    place = SimpleNamespace(leaf_index=0, height=1)
    store = SimpleNamespace(place=lambda _: place, entry=lambda _: b"entry", transaction_at=lambda _: raw)
    answers = Answers(cast("Ledger", None), cast("LedgerStore", store))
    ids = [TransactionId(number.to_bytes(32)) for number in range(9)]
    found, room = answers.find_within(ids[:2], 1, 300_000, 0)
    assert (len(found), room) == (2, 300_000 - 2 * (len(raw) + len(b"entry") + PATHS_BYTES_MAX))
    with pytest.raises(Refused) as refusal:
        answers.find_within(ids, 1, 300_000, 0)
    assert refusal.value.code == "receipt.too-many"
    held = [entry.frame.f_locals.get("found") for entry in refusal.traceback[1:]]
    assert [each for each in held if each is not None] == [{}]


def test_full_is_no_refusal_of_the_ledger() -> None:
    assert not issubclass(Full, Refused)
