# SPDX-License-Identifier: Apache-2.0
"""The driver's contract with the core: effects in their order, durable before said, nothing after a failed write."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from chain.checkpoint import Checkpoint
from chain.consensus import events
from chain.consensus.block import Block
from chain.consensus.journal import Muted, StoredBlock, body_key
from chain.consensus.messages import Moved, decode_message
from chain.ed25519 import Ed25519Signer
from chain.executor import digests_by_module
from chain.memory import MemoryDatabase
from chain.transaction import Operation, SignedTransaction, build
from chain.types import BlockId, BlsKey, Epoch, Height, Millis, Network, View, sha256
from node.bodies import BodyStore
from node.config import Home, MempoolConfig
from node.driver import Driver, Halted, _describe
from node.errors import StorageError
from node.exits import NodeExit
from node.gather import Gatherer
from node.logs import Limiter
from node.mail import PEER_BYTES_MAX, PEER_MESSAGES_MAX, Mail
from node.mempool import Mempool
from node.metrics import Metrics
from node.process import _end

NOW = Millis(1_000_000)
PEER = BlsKey(b"p" * 48)
OTHER = BlsKey(b"o" * 48)


class Core:
    """Answers each event with the effects that a test laid out."""

    epoch, view, certified_height = Epoch(1), View(1), Height(0)

    def __init__(self, *steps: Sequence[events.Effect]) -> None:
        self.steps = list(steps)
        self.seen: list[events.Event] = []

    def start(self, _now: Millis) -> list[events.Effect]:
        return list(self.steps.pop(0)) if self.steps else []

    def step(self, event: events.Event, _now: Millis) -> list[events.Effect]:
        self.seen.append(event)
        return list(self.steps.pop(0)) if self.steps else []


class Journal(MemoryDatabase):
    """Notes what is written, and fails when told."""

    def __init__(self, trace: list[object]) -> None:
        super().__init__()
        self.trace, self.fails = trace, False

    def write(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes] = (), *, sync: bool = True) -> None:
        if self.fails:
            raise StorageError("the disk is full")
        super().write(puts, deletes, sync=sync)
        self.trace.append(("write", sorted(puts), sync))


class Wire:
    """Stands for transport, admission, gate and ledger."""

    connected = frozenset({PEER, OTHER})

    def __init__(self, trace: list[object]) -> None:
        self.trace = trace

    def send(self, to: BlsKey, message: bytes, *_: object) -> None:
        self.trace.append(("send", to, decode_message(message)))

    def advertise(self, digests: object) -> None:
        self.trace.append(("advertise", digests))

    def is_checking(self, _digest: object) -> bool:
        return False

    def hurry(self, digests: object) -> None:
        pass

    async def admit(self, transactions: Sequence[SignedTransaction], *_: object, **__: object) -> list[str]:
        return ["organisation" for _ in transactions]

    def in_debt(self, _now_ms: Millis) -> frozenset[str]:
        return frozenset()

    async def propose(self, candidates: Sequence[SignedTransaction], _time_ms: Millis) -> list[bytes]:
        return [candidate.digest for candidate in candidates]

    def validate(self, transactions: object) -> None:
        pass


class Bench:
    """A driver over fakes."""

    def __init__(self, *steps: Sequence[events.Effect]) -> None:
        self.trace: list[object] = []
        self.core, self.journal, wire = Core(*steps), Journal(self.trace), Wire(self.trace)
        self.mempool, self.bodies, metrics = Mempool(MempoolConfig()), BodyStore(), Metrics()
        fake: Any = wire
        core: Any = self.core
        gatherer = Gatherer(
            mempool=self.mempool, bodies=self.bodies, admission=fake, transport=fake, metrics=metrics, retry_ms=50
        )
        self.driver = Driver(
            validator=core,
            journal=self.journal,
            ledger=fake,
            gate=fake,
            mempool=self.mempool,
            bodies=self.bodies,
            gatherer=gatherer,
            transport=fake,
            listener=fake,
            metrics=metrics,
            limiter=Limiter(1_000, lambda: NOW),
            tip_time_ms=Millis(0),
            now=lambda: NOW,
        )

    async def run_until(self, done: Callable[[], bool]) -> None:
        """Run the driver until something holds, at most half a minute."""

        async def watch() -> None:
            async with asyncio.timeout(30):
                while not done():  # noqa: ASYNC110 - what is waited for has no event
                    await asyncio.sleep(0.001)
            raise _Done

        try:
            async with asyncio.TaskGroup() as tasks:
                self.driver.start(tasks)
                tasks.create_task(watch())
        except* _Done:
            pass
        finally:
            self.driver.stop()


class _Done(Exception):
    pass


def transaction(salt: int) -> SignedTransaction:
    signer = Ed25519Signer(sha256(b"driver"))
    operation = Operation.make("test.Nothing", b"")
    return build([operation], [signer], Millis(NOW + 60_000), salt.to_bytes(16), Network(sha256(b"driver")))


def block(*transactions: SignedTransaction) -> Block:
    digests = tuple(each.digest for each in transactions)
    return Block.make(Epoch(1), View(1), Height(1), BlockId(sha256(b"parent")), NOW, digests)


def moved(epoch: int) -> Moved:
    return Moved(Epoch(epoch))


async def test_record_is_durable_before_anything_of_its_step_is_sent() -> None:
    record = Muted(BlsKey(bytes(48)))
    bench = Bench([events.Persist((record,)), events.Send(PEER, moved(1)), events.Broadcast((PEER, OTHER), moved(2))])
    await bench.run_until(lambda: len(bench.trace) == 4)
    assert bench.trace == [
        ("write", [record.key], True),
        ("send", PEER, moved(1)),
        ("send", PEER, moved(2)),
        ("send", OTHER, moved(2)),
    ]


async def test_nothing_follows_a_write_that_failed() -> None:
    bench = Bench(
        [], [events.Persist((Muted(BlsKey(bytes(48))),)), events.Send(PEER, moved(1))], [events.Send(PEER, moved(2))]
    )
    bench.journal.fails = True
    bench.driver.post(events.Wake())
    bench.driver.post(events.Wake())
    with pytest.raises(ExceptionGroup) as ended:
        await bench.run_until(lambda: False)
    assert ended.group_contains(StorageError)
    assert bench.trace == []


async def test_block_is_stored_in_one_batch_with_those_of_its_bodies_that_are_not_on_disk() -> None:
    old, new = transaction(1), transaction(2)
    stored = block(old, new)
    bench = Bench([], [events.Persist((StoredBlock(stored),))])
    bench.bodies.load(old)
    bench.mempool.add(new, "organisation", NOW)
    bench.driver.post(events.Wake())
    await bench.run_until(lambda: bool(bench.trace))
    assert bench.trace == [("write", sorted([StoredBlock(stored).key, body_key(new.digest)]), True)]
    assert bench.journal.get(body_key(new.digest)) == new.raw
    assert bench.mempool.holds(new.digest), "it leaves the pool with an entry or by expiry alone"


async def test_payload_leaves_out_what_ancestors_list() -> None:
    listed, free = transaction(1), transaction(2)
    asked = events.RequestPayload(Epoch(1), View(7), NOW, (block(listed),))
    bench = Bench([], [asked])
    for each in (listed, free):
        bench.mempool.add(each, "organisation", NOW)
    bench.driver.post(events.Wake())
    expected = events.PayloadOffered(Epoch(1), View(7), (free.digest,))
    await bench.run_until(lambda: expected in bench.core.seen)


async def test_bodies_are_pulled_from_one_peer_after_another_until_they_are_here() -> None:
    late = transaction(1)
    wanted = block(late)
    bench = Bench([], [events.RequestBodies(wanted, (PEER, OTHER))])
    bench.driver.post(events.Wake())

    def asked_twice_then_arrives() -> bool:
        senders = [entry[1] for entry in bench.trace if isinstance(entry, tuple) and entry[0] == "send"]
        if len(senders) >= 2 and not bench.mempool.count:
            assert senders[:2] == [PEER, OTHER]
            bench.mempool.add(late, "organisation", NOW)
            bench.driver.mempool_changed()
        return events.BodiesHeld(wanted.id) in bench.core.seen

    await bench.run_until(asked_twice_then_arrives)
    assert bench.mempool.unclaimed == 0, "a block under way lists it"


async def test_transactions_of_a_void_block_wait_again() -> None:
    given_back = transaction(1)
    void = block(given_back)
    bench = Bench([], [events.Void(void)])
    bench.bodies.take(void, [given_back])
    bench.driver.post(events.Wake())
    await bench.run_until(lambda: bench.mempool.holds(given_back.digest))
    assert bench.mempool.unclaimed == 1


async def test_halt_ends_the_driver_with_its_reason() -> None:
    bench = Bench([events.Halt("others certified another checkpoint"), events.Send(PEER, moved(1))])
    with pytest.raises(ExceptionGroup) as ended:
        await bench.run_until(lambda: False)
    assert ended.group_contains(Halted, match="another checkpoint")
    assert bench.trace == []


def test_halted_node_leaves_what_its_newest_blocks_yielded(tmp_path) -> None:
    """Section 4: a node that diverges "dumps per-module digests of the block, and says so"."""
    checkpoint = Checkpoint(
        Network(bytes(32)), Epoch(1), Height(7), Millis(1), BlockId(bytes(32)), 3, b"l" * 32, b"s" * 32, b""
    )
    writes = ((b"identity/a", b"1"), (b"membership/b", None))
    error = Halted("block 7 executed here to another checkpoint", [_describe(checkpoint, writes)])
    home = Home(tmp_path)
    assert _end(ExceptionGroup("ended", [error]), home) == NodeExit.HALTED
    (dump,) = home.dumps.iterdir()
    report = json.loads(dump.read_text())
    assert report["reason"] == "block 7 executed here to another checkpoint"
    (block_,) = report["blocks"]
    assert block_["height"] == 7
    assert block_["state_root"] == (b"s" * 32).hex()
    expected = {name: digest.hex() for name, digest in digests_by_module(writes)}
    assert block_["writes_by_module"] == expected
    assert set(expected) == {"identity", "membership"}


async def test_core_is_told_of_pending_transactions_on_each_change() -> None:
    bench, waiting = Bench(), transaction(1)

    def told() -> list[bool]:
        return [event.pending for event in bench.core.seen if isinstance(event, events.PendingChanged)]

    def script() -> bool:
        if not bench.mempool.count and not told():
            bench.mempool.add(waiting, "organisation", NOW)
            bench.driver.mempool_changed()
        elif told() == [True] and bench.mempool.count:
            bench.mempool.settle([waiting.id])
            bench.driver.mempool_changed()
        return told() == [True, False]

    await bench.run_until(script)


# ---------------------------------------------------------------- what waits for the core


async def test_flood_of_one_peer_starves_neither_another_peer_nor_the_node_itself() -> None:
    bench = Bench()
    moved = Moved(Epoch(2))
    for _ in range(50):
        bench.driver.post(events.Received(PEER, moved))
    bench.driver.post(events.Received(OTHER, moved))
    bench.driver.post(events.Wake())
    await bench.run_until(lambda: len(bench.core.seen) >= 52)
    assert bench.core.seen[0] == events.Wake()
    assert [event.sender for event in bench.core.seen[1:4] if isinstance(event, events.Received)] == [PEER, OTHER, PEER]


def test_peer_has_a_bounded_queue_of_its_own() -> None:
    mail = Mail()
    message = events.Received(PEER, Moved(Epoch(2)))
    assert all(mail.put(message) for _ in range(PEER_MESSAGES_MAX))
    assert not mail.put(message)
    assert mail.put(events.Received(OTHER, Moved(Epoch(2))), PEER_BYTES_MAX * 2), "a single message always fits"
    assert not mail.put(events.Received(OTHER, Moved(Epoch(2))), 1)
    assert mail.put(events.Wake())
    assert mail.is_busy(OTHER, 10)
    taken = 0
    while mail:
        mail.take()
        taken += 1
    assert taken == PEER_MESSAGES_MAX + 2
    assert not mail.is_busy(PEER, 0)
