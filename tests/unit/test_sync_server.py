# SPDX-License-Identifier: Apache-2.0
"""What peers are given: to whom, how much at once, which states stay for them, and that the event loop goes on."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator

import grpc
import pytest

from chain.checkpoint import Checkpoint
from chain.errors import Refused
from chain.light_client import TrustAnchor
from chain.memory import MemoryDatabase
from chain.pb import ledger_pb2
from chain.types import BlsKey, Height, Millis, Network
from node.copies import Copies
from node.errors import StorageError
from node.ledger_service import LedgerService
from node.metrics import Metrics
from node.pb import sync_service_pb2 as pb
from node.snapshots import OFFERED, PROGRESS_MS_MAX, TAKEN_TIMES, Snapshots
from node.store import PINS_MAX
from node.sync_server import WAITING_MAX, SyncService
from node.transport import Peer
from tests.certified_ledger import CertifiedLedger

KEPT_MS = 100_000


class Aborted(Exception):
    """The call ended with a status."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(f"{code.name} {details}")
        self.code = code
        self.details = details


class Call:
    """A call's context: who calls."""

    def __init__(self, name: str) -> None:
        self._name = name

    def auth_context(self) -> dict[str, list[bytes]]:
        return {"x509_pem_cert": [self._name.encode()]}

    async def abort(self, code: grpc.StatusCode, details: str) -> None:
        raise Aborted(code, details)


class FakeNode:
    """Pins every certificate but the stranger's."""

    network = Network(b"n" * 32)

    def sender_of(self, pem: bytes) -> BlsKey | None:
        return None if pem == b"stranger" else BlsKey(pem)

    def members(self) -> tuple[Peer, ...]:
        return (Peer(BlsKey(b"k"), "water", "127.0.0.1:7", b"der"),)


class Rig:
    """A service over a small ledger."""

    def __init__(self) -> None:
        self.ledger = CertifiedLedger(MemoryDatabase())
        self.ledger.grow(3)
        self.failures: list[BaseException] = []
        self.snapshots = Snapshots(1_000, KEPT_MS)
        self.snapshots.certified(Height(3), Millis(0))
        self.service = SyncService(
            FakeNode(),
            database=self.ledger.database,
            snapshots=self.snapshots,
            fatal=self.failures.append,
            now=lambda: Millis(0),
            metrics=Metrics(),
        )


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.service.stop()


async def aborted(work: Awaitable[object]) -> Aborted:
    with pytest.raises(Aborted) as caught:
        await work
    return caught.value


async def test_peer_is_told_what_there_is(rig: Rig) -> None:
    offers = await rig.service.Offers(pb.OffersRequest(), Call("a"))
    assert (offers.network, offers.executed_height, offers.oldest_block) == (FakeNode.network, 3, 1)
    assert list(offers.heights) == [3]
    assert offers.log_size == rig.ledger.checkpoint.log_size
    assert [member.address for member in offers.members] == ["127.0.0.1:7"]
    head = await rig.service.Head(pb.HeadRequest(height=3), Call("a"))
    certified = ledger_pb2.SnapshotHead.FromString(head.head).certified
    assert Checkpoint.decode(certified.checkpoint) == rig.ledger.checkpoint
    state = await rig.service.State(pb.StateRequest(height=3), Call("a"))
    assert state.part == Copies(rig.ledger.database).state(Height(3), b"")
    tail = await rig.service.Tail(pb.TailRequest(height=3, from_leaf=1), Call("a"))
    assert tail.part == Copies(rig.ledger.database).tail(Height(3), 1)
    assert not (await rig.service.Closings(pb.ClosingsRequest(from_epoch=1), Call("a"))).closings
    assert TrustAnchor.from_genesis(rig.ledger.genesis).epoch == 1


@pytest.mark.parametrize(
    "ask",
    [
        lambda service, call: service.Offers(pb.OffersRequest(), call),
        lambda service, call: service.Closings(pb.ClosingsRequest(), call),
        lambda service, call: service.Head(pb.HeadRequest(height=3), call),
        lambda service, call: service.Tail(pb.TailRequest(height=3), call),
        lambda service, call: service.State(pb.StateRequest(height=3), call),
    ],
)
async def test_stranger_is_given_nothing(rig: Rig, ask: Callable[[SyncService, Call], Awaitable[object]]) -> None:
    assert (await aborted(ask(rig.service, Call("stranger")))).code is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (pb.StateRequest(height=9), "state.no-such-height"),
        (pb.StateRequest(height=2**64 - 1), "state.no-such-height"),
        (pb.StateRequest(height=3, path=b"\x10"), "state.no-such-path"),
        (pb.StateRequest(height=3, path=bytes(70)), "state.no-such-path"),
        (pb.TailRequest(height=3, from_leaf=2**64 - 1), "log.no-such-size"),
        (pb.HeadRequest(height=0), "state.no-such-height"),
        (pb.HeadRequest(height=2**64 - 1), "state.no-such-height"),
    ],
)
async def test_what_is_not_there_is_refused_with_a_code_and_ends_nothing(
    rig: Rig, request_: pb.StateRequest | pb.TailRequest | pb.HeadRequest, code: str
) -> None:
    method = {pb.StateRequest: rig.service.State, pb.TailRequest: rig.service.Tail, pb.HeadRequest: rig.service.Head}
    ended = await aborted(method[type(request_)](request_, Call("a")))
    assert ended.code is grpc.StatusCode.FAILED_PRECONDITION
    assert ended.details.startswith(f"{code}: ")
    assert not rig.failures


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - a thread makes it so
        await asyncio.sleep(0.001)


class Slow:
    """Work that waits until it may end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.may_end = threading.Event()
        self.under_way = 0

        def state(_copies: Copies, _height: Height, _path: bytes) -> bytes:
            self.under_way += 1
            self.may_end.wait(20)
            return b"part"

        monkeypatch.setattr(Copies, "state", state)


async def test_second_request_of_a_peer_is_refused_while_its_first_is_served_even_if_it_hung_up(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(monkeypatch)
    first = asyncio.ensure_future(rig.service.State(pb.StateRequest(height=3), Call("a")))
    await until(lambda: slow.under_way > 0)
    assert (await aborted(rig.service.Offers(pb.OffersRequest(), Call("a")))).code is (
        grpc.StatusCode.RESOURCE_EXHAUSTED
    )
    first.cancel()
    await asyncio.sleep(0.01)
    for _ in range(50):
        await aborted(rig.service.State(pb.StateRequest(height=3), Call("a")))
    slow.may_end.set()
    await until(lambda: not rig.service._busy)
    assert slow.under_way == 1, "what a peer asked for while it was busy was not done later either"
    await rig.service.Offers(pb.OffersRequest(), Call("a"))


async def test_so_many_peers_wait_and_no_more_and_the_event_loop_goes_on(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(monkeypatch)
    waiting = [
        asyncio.ensure_future(rig.service.State(pb.StateRequest(height=3), Call(f"peer {number}")))
        for number in range(WAITING_MAX)
    ]
    began = time.perf_counter()
    await until(lambda: slow.under_way > 0)
    assert (await aborted(rig.service.Offers(pb.OffersRequest(), Call("late")))).code is (
        grpc.StatusCode.RESOURCE_EXHAUSTED
    )
    assert time.perf_counter() - began < 5, "nothing of this waits for the work"
    slow.may_end.set()
    assert {answer.part for answer in await asyncio.gather(*waiting)} == {b"part"}
    assert await rig.service.Offers(pb.OffersRequest(), Call("late"))


async def test_damaged_disk_ends_the_node(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def state(_copies: Copies, _height: Height, _path: bytes) -> bytes:
        raise StorageError("damaged")

    monkeypatch.setattr(Copies, "state", state)
    with pytest.raises(StorageError):
        await rig.service.State(pb.StateRequest(height=3), Call("a"))
    await asyncio.sleep(0)
    assert [str(error) for error in rig.failures] == ["damaged"]


async def test_view_serves_several_requests_and_a_newer_height_opens_a_newer_one(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    snapshot = rig.ledger.database.snapshot
    monkeypatch.setattr(rig.ledger.database, "snapshot", lambda: opened.append(1) or snapshot())
    for _ in range(3):
        await rig.service.State(pb.StateRequest(height=3), Call("a"))
    assert len(opened) == 1
    rig.ledger.grow(1, first=50)
    await rig.service.State(pb.StateRequest(height=4), Call("a"))
    assert len(opened) == 2
    monkeypatch.setattr("node.sync_server.VIEW_SECONDS_MAX", 0.0)
    rig.service.upkeep()
    await rig.service.State(pb.StateRequest(height=4), Call("a"))
    assert len(opened) == 3


async def test_refusal_of_a_pruned_state_reaches_the_peer_as_such(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def state(_copies: Copies, _height: Height, _path: bytes) -> bytes:
        raise Refused("state at height 3 is pruned", "state.pruned")

    monkeypatch.setattr(Copies, "state", state)
    ended = await aborted(rig.service.State(pb.StateRequest(height=3), Call("a")))
    assert ended.details == "state.pruned: state at height 3 is pruned"


# ---------------------------------------------------------------- which states stay


def at(ms: int) -> Millis:
    return Millis(ms)


def test_first_certified_state_is_offered_and_the_next_ones_so_many_blocks_apart() -> None:
    snapshots = Snapshots(100, KEPT_MS)
    assert (snapshots.offered(), snapshots.heights()) == ((), ())
    for height in range(7, 420):
        snapshots.certified(Height(height), at(height))
    assert snapshots.offered() == (307, 407)
    assert snapshots.heights() == (307, 407)
    assert len(snapshots.offered()) == OFFERED


def test_state_that_nobody_takes_is_let_go_after_its_time_and_a_new_one_is_offered_at_once() -> None:
    snapshots = Snapshots(100, KEPT_MS)
    snapshots.certified(Height(5), at(0))
    snapshots.expire(at(KEPT_MS - 1))
    assert snapshots.heights() == (5,)
    snapshots.certified(Height(9), at(KEPT_MS))
    assert snapshots.offered() == (9,), "a slow network has something to offer at any time"


def test_state_that_is_taken_stays_while_its_taker_goes_on_and_not_beyond_the_limit() -> None:
    snapshots = Snapshots(100, KEPT_MS)
    snapshots.certified(Height(5), at(0))
    now = 0
    while now < TAKEN_TIMES * KEPT_MS:
        snapshots.expire(at(now))
        assert snapshots.heights() == (5,), now
        snapshots.asked(Height(5), at(now))
        now += PROGRESS_MS_MAX - 1
    snapshots.expire(at(TAKEN_TIMES * KEPT_MS))
    assert snapshots.heights() == ()


def test_state_whose_taker_has_gone_is_let_go() -> None:
    snapshots = Snapshots(100, KEPT_MS)
    snapshots.certified(Height(5), at(0))
    snapshots.asked(Height(5), at(KEPT_MS - 1))
    snapshots.expire(at(KEPT_MS + PROGRESS_MS_MAX - 2))
    assert snapshots.heights() == (5,)
    snapshots.expire(at(KEPT_MS + PROGRESS_MS_MAX - 1))
    assert snapshots.heights() == ()


def test_older_snapshot_that_is_taken_outlives_two_newer_ones() -> None:
    snapshots = Snapshots(10, KEPT_MS)
    for height in (1, 11, 21, 31, 41):
        snapshots.asked(Height(1), at(height))
        snapshots.certified(Height(height), at(height))
    assert snapshots.heights()[0] == 1
    assert snapshots.count <= PINS_MAX


def test_states_that_peers_ask_for_at_will_are_bounded_and_never_offered() -> None:
    snapshots = Snapshots(10, KEPT_MS)
    snapshots.certified(Height(100), at(0))
    for height in range(1, 90):
        snapshots.asked(Height(height), at(1))
    assert snapshots.count == PINS_MAX
    assert snapshots.offered() == (100,)
    snapshots.certified(Height(110), at(2))
    assert snapshots.offered() == (100, 110), "what peers ask for keeps no snapshot from being taken"
    snapshots.expire(at(1 + PROGRESS_MS_MAX))
    assert snapshots.count == 2


async def test_states_that_are_wanted_are_pinned_before_anything_is_pruned_and_let_go_after() -> None:
    ledger = CertifiedLedger(MemoryDatabase())
    ledger.grow(5)
    wanted: list[tuple[Height, ...]] = [(Height(3), Height(5))]
    failures: list[BaseException] = []
    service = LedgerService(ledger.ledger, ledger.store, failures.append)
    service.keep(lambda: wanted[-1])
    pruned_with: list[list[Height]] = []
    prune = ledger.store.prune
    ledger.store.prune = lambda keys_max: (pruned_with.append(ledger.store.pins), prune(keys_max))[1]
    twin = CertifiedLedger(MemoryDatabase())
    twin.grow(7)
    for execution in twin.executions[5:]:
        await service.execute(execution.block, execution.transactions)
        wanted.append((Height(5), Height(99)))
    service.stop()
    assert pruned_with == [[3, 5], [5]], "one that can't be kept is passed over"
    assert not failures
