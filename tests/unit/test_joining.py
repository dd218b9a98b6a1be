# SPDX-License-Identifier: Apache-2.0
"""A newcomer takes a ledger from peers in the same process, some of which lie, stall, forget or die."""

import asyncio
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chain.checkpoint import CertifiedCheckpoint, ClosingCheckpoint
from chain.errors import InvalidMessage, Refused
from chain.ledger import Ledger
from chain.memory import MemoryDatabase
from chain.pb import ledger_pb2
from chain.snapshot import Children, SnapshotHead
from chain.tree_build import Subtree
from chain.types import BlsKey, Epoch, Height, Network, sha256
from node import copies as copies_module
from node.config import Config, Home, StorageConfig, SyncConfig
from node.copies import Copies
from node.disk import Disk, open_disk
from node.errors import TransportError
from node.exchange import declare_ready, finish_exchange, new_ledger
from node.install import Installer
from node.joining import Joiner
from node.leveldb import LevelDatabase
from node.modules import ledger_modules
from node.newcomer import ATTEMPTS_MAX, LedgerReady, Need, Newcomer, Own, needed
from node.sources import Sources
from node.store import LedgerStore
from node.sync_client import Offers
from node.syncing import Installation
from node.transport import Peer
from sim.instant_ledger import secret_of
from tests.certified_ledger import BODIES, CertifiedLedger

BLOCKS = 40
BLOCK_MS = 20_000
"""So that the entries of the last five minutes are fewer than all."""
ITEMS_MAX = 12
"""Leaves or entries in a part, so few that there are many parts."""
OWN_CERTIFICATE = b"own"


@pytest.fixture(scope="module")
def ledger() -> CertifiedLedger:
    """Forty blocks in two epochs."""
    made = CertifiedLedger(MemoryDatabase(), block_ms=BLOCK_MS)
    made.grow(BLOCKS // 2)
    made.append(*made.replace_validator("roads", 2))
    made.grow(BLOCKS // 2, first=1_000)
    return made


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies_module, "PART_ITEMS_MAX", ITEMS_MAX)


class Giver:
    """A peer with a ledger. `spoil` changes its answers, `asked` counts them."""

    def __init__(self, name: str, ledger: CertifiedLedger, *, heights: tuple[int, ...] | None = None) -> None:
        self.name = name
        self.copies = Copies(ledger.database.snapshot())
        self.network: bytes = ledger.genesis.network
        self.height = ledger.store.height
        self.heights = (self.height,) if heights is None else heights
        self.spoil: dict[str, Callable[[bytes], bytes]] = {}
        self.asked = 0
        self.closed = False
        self.members: tuple[tuple[str, bytes], ...] = ()

    async def offers(self) -> Offers:
        heights = tuple(Height(height) for height in self.heights)
        return Offers(self.network, Height(self.height), 10, Height(1), heights, self.members)

    async def closings(self, from_epoch: Epoch) -> tuple[ClosingCheckpoint, ...]:
        return tuple(self.copies.closings(from_epoch, 16))

    async def head(self, height: Height) -> bytes:
        return self._answer("head", self.copies.head(height))

    async def tail(self, height: Height, from_leaf: int) -> bytes:
        await asyncio.sleep(0)
        return self._answer("tail", self.copies.tail(height, from_leaf))

    async def state(self, height: Height, path: bytes) -> bytes:
        await asyncio.sleep(0)
        return self._answer("state", self.copies.state(height, path))

    async def close(self) -> None:
        self.closed = True

    def _answer(self, kind: str, raw: bytes) -> bytes:
        self.asked += 1
        return self.spoil.get(kind, lambda good: good)(raw)


class Newcomers:
    """Joins with given peers into a folder."""

    def __init__(self, ledger: CertifiedLedger, folder: Path) -> None:
        self.ledger = ledger
        self.home = Home(folder)

    def sources(self, *givers: Giver) -> Sources:
        by_name = {giver.name: giver for giver in givers}
        made = Sources(self.ledger.genesis.network, lambda peer: by_name[peer.address], OWN_CERTIFICATE)
        made.admit(peer_of(giver.name) for giver in givers)
        return made

    def begin(self, head: SnapshotHead, closings: list[ClosingCheckpoint]) -> Installation:
        return Installation(new_ledger(self.home), head, closings)

    def joiner(self, sources: Sources, above: int = 0) -> Joiner:
        return Joiner(
            genesis=self.ledger.genesis,
            sources=sources,
            above=Height(above),
            install=self.begin,
            pause_seconds=0.001,
            retry_seconds=0.001,
        )

    def join(self, *givers: Giver, attempts: int = 2) -> SnapshotHead | None:
        return asyncio.run(self.joiner(self.sources(*givers)).run(attempts))

    def taken(self) -> LevelDatabase:
        return LevelDatabase(self.home.root / "data" / "ledger.new")


def peer_of(name: str) -> Peer:
    return Peer(BlsKey(name.encode()), name, name, name.encode())


@pytest.fixture
def newcomers(ledger: CertifiedLedger, tmp_path: Path) -> Newcomers:
    return Newcomers(ledger, tmp_path)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, object]]]:
    """What the log says."""
    lines: list[dict[str, object]] = []

    class Log:
        def __getattr__(self, level: str) -> Callable[..., None]:
            return lambda event, **fields: lines.append({"event": event, **fields})

    for module in ("joining", "pulling", "sources", "newcomer"):
        monkeypatch.setattr(f"node.{module}.log", Log())
    return lines


def dropped(log: list[dict[str, object]]) -> dict[str, str]:
    return {str(line["peer"]): str(line["reason"]) for line in log if line["event"] == "sync.peer-dropped"}


# ---------------------------------------------------------------- what a newcomer has then


def test_newcomer_has_the_same_ledger_and_executes_the_next_block_to_the_same_checkpoint(tmp_path: Path) -> None:
    origin = CertifiedLedger(MemoryDatabase(), block_ms=BLOCK_MS)
    origin.grow(BLOCKS)
    repeated = origin.attest(77_777)
    origin.append(repeated)
    newcomers = Newcomers(origin, tmp_path)
    givers = [Giver(name, origin) for name in "abc"]
    head = newcomers.join(*givers)
    assert head is not None
    assert head.checkpoint == origin.checkpoint
    assert head.first_leaf > 0, "only the entries of the last minutes are taken"
    assert all(giver.asked > 2 for giver in givers), "the parts come of all peers"
    with newcomers.taken() as database:
        store = LedgerStore(database)
        joined = Ledger(store, origin.genesis, *ledger_modules())
        assert joined.tip() == origin.ledger.tip()
        assert (store.oldest_block, store.first_leaf) == (head.checkpoint.height, head.first_leaf)
        assert joined.is_executed(repeated.id), "a transaction that has not expired is remembered"
        execution = origin.append(repeated, origin.attest(88_888), origin.revoke(3))
        again = joined.execute(execution.block, execution.transactions)
        assert (again.checkpoint, again.skipped) == (execution.checkpoint, (repeated.digest,))


def test_newcomer_crosses_epochs_and_knows_the_closing_checkpoints(newcomers: Newcomers) -> None:
    head = newcomers.join(Giver("a", newcomers.ledger))
    assert head is not None
    assert head.checkpoint.epoch == 2
    with newcomers.taken() as database:
        assert len(LedgerStore(database).proofs.closings(Epoch(1), 16)) == 1


def test_snapshot_at_a_closing_checkpoint_starts_in_the_next_epoch(newcomers: Newcomers) -> None:
    closing = BLOCKS // 2 + 1
    giver = Giver("a", newcomers.ledger, heights=(closing,))
    head = newcomers.join(giver)
    assert head is not None
    assert head.checkpoint.closes_epoch
    with newcomers.taken() as database:
        ledger = Ledger(LedgerStore(database), newcomers.ledger.genesis, *ledger_modules())
        assert (ledger.tip().height, ledger.validators.epoch) == (closing, 2)


def test_peers_that_a_peer_names_are_asked_too(newcomers: Newcomers) -> None:
    first, second = Giver("a", newcomers.ledger), Giver("b", newcomers.ledger)
    strange = ("unix:/run/x:1", "b", "", ":7", "b:70000", "x" * 300 + ":7")
    first.members = (("b:7", b"b"), *((address, address.encode()) for address in strange))
    known = {"a": first, "b:7": second}
    sources = Sources(newcomers.ledger.genesis.network, lambda peer: known[peer.address], OWN_CERTIFICATE)
    sources.admit([peer_of("a")])
    assert asyncio.run(newcomers.joiner(sources).run(1)) is not None
    assert second.asked


# ---------------------------------------------------------------- peers that are wrong


def flip(raw: bytes) -> bytes:
    return raw[:-1] + bytes((raw[-1] ^ 1,))


def without_last_leaf(raw: bytes) -> bytes:
    part = ledger_pb2.StatePart.FromString(raw)
    if part.WhichOneof("part") == "leaves":
        del part.leaves.keys[-1], part.leaves.values[-1]
    else:
        part.page.slots[part.page.slots.index(next(filter(None, part.page.slots)))] = b""
    return part.SerializeToString()


def other_value(raw: bytes) -> bytes:
    part = ledger_pb2.StatePart.FromString(raw)
    if part.WhichOneof("part") == "page":
        return flip(raw)
    part.leaves.values[0] += b"x"
    return part.SerializeToString()


def later_entries(raw: bytes) -> bytes:
    part = ledger_pb2.TailPart.FromString(raw)
    part.first_leaf += 1
    return part.SerializeToString()


def fewer_entries(raw: bytes) -> bytes:
    part = ledger_pb2.TailPart.FromString(raw)
    del part.entries[-1]
    return part.SerializeToString()


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        ("state", flip),
        ("state", without_last_leaf),
        ("state", other_value),
        ("state", lambda _: b""),
        ("state", lambda raw: raw + b"\x00"),
        ("tail", flip),
        ("tail", later_entries),
        ("tail", fewer_entries),
        ("head", flip),
        ("head", lambda _: b""),
    ],
)
def test_bad_part_is_dropped_with_its_peer_by_name_and_the_others_give_the_rest(
    newcomers: Newcomers, log: list[dict[str, object]], kind: str, spoil: Callable[[bytes], bytes]
) -> None:
    liar, honest = Giver("liar", newcomers.ledger), Giver("honest", newcomers.ledger)
    liar.spoil[kind] = spoil
    head = newcomers.join(liar, honest)
    assert head is not None
    assert list(dropped(log)) == ["liar"]
    with newcomers.taken() as database:
        assert LedgerStore(database).newest() == newcomers.ledger.checkpoint


def test_bad_part_in_the_midst_costs_one_part_and_its_peer(newcomers: Newcomers, log: list[dict[str, object]]) -> None:
    liar, honest = Giver("liar", newcomers.ledger), Giver("honest", newcomers.ledger)
    answers = iter(range(1_000))
    liar.spoil["state"] = lambda raw: raw if next(answers) < 3 else flip(raw)
    joiner = newcomers.joiner(newcomers.sources(liar, honest))
    assert asyncio.run(joiner.run(1)) is not None
    assert joiner.progress.refused == 1
    assert joiner.progress.share == pytest.approx(1)
    assert list(dropped(log)) == ["liar"]


def test_forged_closing_checkpoint_is_refused_with_its_peer(newcomers: Newcomers, log: list[dict[str, object]]) -> None:
    liar, honest = Giver("liar", newcomers.ledger), Giver("honest", newcomers.ledger)
    (true,) = newcomers.ledger.store.proofs.closings(Epoch(1), 1)
    forged = ClosingCheckpoint(
        CertifiedCheckpoint(true.certified.checkpoint, true.certified.bitmap, bytes(96)), true.next
    )

    async def closings(_: Epoch) -> tuple[ClosingCheckpoint, ...]:
        return (forged,)

    liar.closings = closings  # type: ignore[method-assign]
    assert newcomers.join(liar, honest) is not None
    assert "closing checkpoints" in dropped(log)["liar"]


def test_peer_of_another_network_is_not_taken_from(newcomers: Newcomers, log: list[dict[str, object]]) -> None:
    stranger = Giver("stranger", newcomers.ledger)
    stranger.network = sha256(b"another")
    assert newcomers.join(stranger, attempts=1) is None
    assert "network" in dropped(log)["stranger"]
    assert not stranger.asked


def test_ledger_of_another_genesis_is_refused_though_its_peer_claims_ours(
    newcomers: Newcomers, log: list[dict[str, object]]
) -> None:
    other = CertifiedLedger(MemoryDatabase(), block_ms=BLOCK_MS)
    other.genesis = type(other.genesis)(
        Network(sha256(b"foreign")),
        other.genesis.name,
        other.genesis.time_ms,
        other.genesis.validators,
        other.genesis.founders,
        other.genesis.sections,
    )
    other.database = MemoryDatabase()
    other.open()
    other.grow(BLOCKS)
    foreign = Giver("foreign", other)
    foreign.network = newcomers.ledger.genesis.network
    assert newcomers.join(foreign, attempts=1) is None
    assert dropped(log)["foreign"].startswith("head: ")
    assert not (newcomers.home.root / "data").exists(), "nothing is stored before the head is believed"


def test_peers_that_all_lie_leave_nothing_and_each_is_named(newcomers: Newcomers, log: list[dict[str, object]]) -> None:
    liars = [Giver(name, newcomers.ledger) for name in ("one", "two", "three")]
    for liar in liars:
        liar.spoil["state"] = flip
    assert newcomers.join(*liars, attempts=2) is None
    assert set(dropped(log)) == {"one", "two", "three"}
    assert any(line["event"] == "sync.peers-forgiven" for line in log), "nobody else is left to ask"
    assert not finish_exchange(newcomers.home)
    assert not newcomers.home.ledger.exists()


def test_offer_of_what_is_not_there_is_passed_over(newcomers: Newcomers) -> None:
    liar, honest = Giver("liar", newcomers.ledger, heights=(10**9,)), Giver("honest", newcomers.ledger)
    head = newcomers.join(liar, honest)
    assert head is not None
    assert head.checkpoint == newcomers.ledger.checkpoint


def test_snapshot_below_what_is_executed_already_is_of_no_use(newcomers: Newcomers) -> None:
    giver = Giver("a", newcomers.ledger)
    sources = newcomers.sources(giver)
    assert asyncio.run(newcomers.joiner(sources, above=newcomers.ledger.store.height).run(1)) is None


# ---------------------------------------------------------------- peers that fail


def test_peer_that_stalls_gives_its_parts_up_to_the_others(newcomers: Newcomers) -> None:
    stalled, honest = Giver("stalled", newcomers.ledger), Giver("honest", newcomers.ledger)

    def stall(_: bytes) -> bytes:
        raise TransportError("no answer within 10 s")

    stalled.spoil["state"] = stalled.spoil["tail"] = stall
    assert newcomers.join(stalled, honest) is not None
    assert stalled.asked <= 4, "after three failures it is left alone"


def test_peer_that_dies_midway_does_not_end_the_joining(newcomers: Newcomers) -> None:
    dying, honest = Giver("dying", newcomers.ledger), Giver("honest", newcomers.ledger)

    def die(raw: bytes) -> bytes:
        if dying.asked > 4:
            raise TransportError("unavailable")
        return raw

    dying.spoil["state"] = die
    joiner = newcomers.joiner(newcomers.sources(dying, honest))
    assert asyncio.run(joiner.run(1)) is not None, "one attempt suffices"


def test_snapshot_that_vanishes_midway_is_given_up_for_a_newer_one(tmp_path: Path) -> None:
    origin = CertifiedLedger(MemoryDatabase(), block_ms=BLOCK_MS)
    origin.grow(BLOCKS)
    newcomers = Newcomers(origin, tmp_path)
    giver = Giver("a", origin)
    old = giver.height

    def vanish(raw: bytes) -> bytes:
        if giver.height == old and giver.asked > 3:
            origin.grow(3, first=5_000)
            giver.copies = Copies(origin.database.snapshot())
            giver.height = origin.store.height
            giver.heights = (giver.height,)
            raise Refused("state at this height is pruned", "state.pruned")
        return raw

    giver.spoil["state"] = vanish
    head = newcomers.join(giver, attempts=2)
    assert head is not None
    assert head.checkpoint.height == old + 3
    with newcomers.taken() as database:
        assert LedgerStore(database).newest() == origin.checkpoint


def test_peer_without_the_checkpoint_helps_with_the_state(newcomers: Newcomers) -> None:
    whole, other = Giver("whole", newcomers.ledger), Giver("other", newcomers.ledger, heights=())
    other.spoil["tail"] = lambda _: pytest.fail("it was not asked for entries: it does not offer this snapshot")
    assert newcomers.join(whole, other) is not None
    assert other.asked


# ---------------------------------------------------------------- a crash at any moment


def open_home(home: Home, ledger: CertifiedLedger, key: BlsKey | None = None) -> Disk:
    return open_disk(home, ledger.genesis.network, key, archive=False)


def test_newcomer_killed_midway_starts_with_its_old_ledger_and_joins_anew(newcomers: Newcomers) -> None:
    giver = Giver("a", newcomers.ledger)

    def die(raw: bytes) -> bytes:
        if giver.asked > 5:
            raise KeyboardInterrupt  # as good as SIGKILL: nothing is closed in order
        return raw

    giver.spoil["state"] = die
    with pytest.raises(KeyboardInterrupt):
        newcomers.join(giver)
    beside = newcomers.home.root / "data" / "ledger.new"
    assert beside.exists()
    disk = open_home(newcomers.home, newcomers.ledger)
    assert (disk.store.height, disk.exchanged) == (0, False)
    assert not beside.exists()
    disk.close()
    assert newcomers.join(Giver("b", newcomers.ledger)) is not None
    declare_ready(newcomers.home)
    disk = open_home(newcomers.home, newcomers.ledger)
    assert (disk.store.height, disk.exchanged) == (newcomers.ledger.store.height, True)
    disk.close()


async def test_newcomer_stopped_midway_closes_its_database_only_when_no_thread_is_at_work_on_it(
    newcomers: Newcomers, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work, may_end = threading.Event(), threading.Event()
    ended: list[str] = []
    add_state = Installer.add_state

    def slow(installer: Installer, part: Subtree | Children) -> None:
        at_work.set()
        may_end.wait(20)
        add_state(installer, part)
        ended.append("stored")

    close = LevelDatabase.close
    monkeypatch.setattr(Installer, "add_state", slow)
    monkeypatch.setattr(LevelDatabase, "close", lambda database: (ended.append("closed"), close(database)))
    joining = asyncio.create_task(newcomers.joiner(newcomers.sources(Giver("a", newcomers.ledger))).run(1))
    await asyncio.to_thread(at_work.wait, 20)
    joining.cancel()
    await asyncio.sleep(0.05)
    assert not ended
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await joining
    assert ended == ["stored", "closed"]


@pytest.mark.parametrize("done", range(5))
def test_exchange_of_ledgers_cut_off_after_any_step_is_finished_by_the_next_start(
    newcomers: Newcomers, done: int
) -> None:
    home = newcomers.home
    open_home(home, newcomers.ledger).close()
    assert newcomers.join(Giver("a", newcomers.ledger)) is not None
    data = home.ledger.parent
    steps: list[Callable[[], object]] = [
        lambda: (data / "ledger.new").rename(data / "ledger.ready"),
        lambda: home.ledger.rename(data / "ledger.old"),
        lambda: (data / "ledger.ready").rename(home.ledger),
        lambda: shutil.rmtree(data / "ledger.old"),
    ]
    for step in steps[:done]:
        step()
    disk = open_home(home, newcomers.ledger)
    assert disk.store.height == (newcomers.ledger.store.height if done else 0)
    assert sorted(path.name for path in data.iterdir() if path.name.startswith("ledger")) == ["ledger"]
    disk.close()


# ---------------------------------------------------------------- who may vote then


class FakeNode:
    """A node that stands at a height."""

    def __init__(self, own: Own = Own(Height(0), 0)) -> None:  # noqa: B008 - frozen
        self.own = own
        self.paused: list[bool] = []

    def reach(self) -> Own:
        return self.own

    def sync_peers(self) -> tuple[Peer, ...]:
        return ()

    def pause_ranges(self, *, paused: bool) -> None:
        self.paused.append(paused)


def watch(newcomers: Newcomers, disk: Disk, key: BlsKey | None, *givers: Giver) -> FakeNode:
    """Run a newcomer over a home until it has a ledger."""
    node = FakeNode()
    newcomer = Newcomer(
        node,
        home=newcomers.home,
        config=Config(sync=SyncConfig(behind_blocks=1)),
        genesis=newcomers.ledger.genesis,
        sources=lambda: newcomers.sources(*givers),
        install=newcomers.begin,
        key=key,
        durable=disk.durable,
        journal=disk.journal,
    )
    with pytest.raises(LedgerReady):
        asyncio.run(asyncio.wait_for(newcomer.watch(), 30))
    disk.close()
    return node


def test_validator_that_never_voted_joins_with_all_closing_checkpoints_in_its_journal_and_may_vote(
    newcomers: Newcomers,
) -> None:
    key = secret_of("roads 3").public_key()
    giver = Giver("a", newcomers.ledger)
    node = watch(newcomers, open_home(newcomers.home, newcomers.ledger, key), key, giver)
    assert node.paused[0], "it asks for no blocks meanwhile"
    assert giver.closed
    disk = open_home(newcomers.home, newcomers.ledger, key)
    assert disk.exchanged
    assert (disk.durable.lost, disk.durable.muted) == (False, None)
    assert list(disk.durable.closings) == [1]
    disk.close()


def test_validator_whose_whole_data_was_lost_is_known_by_its_signatures_and_never_votes_again(
    newcomers: Newcomers,
) -> None:
    key = secret_of(BODIES[0]).public_key()
    watch(newcomers, open_home(newcomers.home, newcomers.ledger, key), key, Giver("a", newcomers.ledger))
    disk = open_home(newcomers.home, newcomers.ledger, key)
    assert disk.durable.muted == key
    disk.close()


def test_journal_lost_before_joining_mutes_its_key_for_good(newcomers: Newcomers) -> None:
    key = secret_of("roads 3").public_key()
    open_home(newcomers.home, newcomers.ledger, key).close()
    shutil.rmtree(newcomers.home.journal)
    disk = open_home(newcomers.home, newcomers.ledger, key)
    assert disk.durable.lost
    disk.close()  # a crash before the core has said anything
    disk = open_home(newcomers.home, newcomers.ledger, key)
    assert disk.durable.muted == key
    watch(newcomers, disk, key, Giver("a", newcomers.ledger))
    disk = open_home(newcomers.home, newcomers.ledger, key)
    assert disk.durable.muted == key
    disk.close()


def test_ledger_that_appears_beside_no_journal_counts_as_a_lost_one(newcomers: Newcomers) -> None:
    assert newcomers.join(Giver("a", newcomers.ledger)) is not None
    declare_ready(newcomers.home)
    disk = open_home(newcomers.home, newcomers.ledger, secret_of("roads 3").public_key())
    assert disk.durable.lost
    disk.close()


# ---------------------------------------------------------------- when a snapshot is needed


def look_until(newcomer: Newcomer, holds: Callable[[], bool]) -> None:
    """Let it look for as long as something does not hold."""

    async def look() -> None:
        watching = asyncio.create_task(newcomer.watch())
        async with asyncio.timeout(60):
            while not holds() and not watching.done():  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.005)
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching

    asyncio.run(look())


def offer(height: int, *, oldest: int = 1, heights: tuple[int, ...] = (), log_size: int = 0) -> Offers:
    return Offers(bytes(32), Height(height), log_size, Height(oldest), tuple(map(Height, heights)), ())


@pytest.mark.parametrize(
    ("own", "offers", "stuck", "need"),
    [
        (0, [], False, Need.BLOCKS),
        (0, [offer(0)], False, Need.BLOCKS),
        (0, [offer(999, heights=(900,))], False, Need.BLOCKS),
        (0, [offer(1_000, heights=(900,))], False, Need.SNAPSHOT_IS_FASTER),
        (0, [offer(1_000)], False, Need.BLOCKS),
        (0, [offer(20, heights=(10,), log_size=50_000)], False, Need.SNAPSHOT_IS_FASTER),
        (0, [offer(20, oldest=2)], False, Need.SNAPSHOT_ONLY),
        (7, [offer(10**6, heights=(10**6,))], False, Need.BLOCKS),
        (7, [offer(10**6, oldest=8, heights=(10**6,))], False, Need.BLOCKS),
        (7, [offer(10**6, oldest=9, heights=(10**6,))], False, Need.SNAPSHOT_ONLY),
        (7, [offer(10**6, oldest=9), offer(10**6)], False, Need.BLOCKS),
        (7, [offer(10**6, oldest=9), offer(5)], False, Need.SNAPSHOT_ONLY),
        (7, [offer(10**6)], True, Need.SNAPSHOT_ONLY),
        (7, [offer(7)], True, Need.BLOCKS),
    ],
)
def test_node_needs_a_snapshot_when_its_ledger_is_empty_or_no_peer_has_its_next_block(
    own: int,
    offers: list[Offers],
    stuck: bool,
    need: Need,
) -> None:
    assert needed(Own(Height(own), 0), offers, Config(), is_stuck=stuck) is need


def test_node_that_is_promised_a_snapshot_that_nobody_has_goes_on_by_blocks(
    newcomers: Newcomers, log: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.joining.RETRY_SECONDS", 0.0)
    monkeypatch.setattr("node.newcomer.FIRST_SECONDS", 0.01)
    liar = Giver("liar", newcomers.ledger, heights=(10**9,))
    liar.height = 10**9
    node = FakeNode()
    newcomer = Newcomer(
        node,
        home=newcomers.home,
        config=Config(),
        genesis=newcomers.ledger.genesis,
        sources=lambda: newcomers.sources(liar),
        install=newcomers.begin,
        key=None,
        durable=None,  # type: ignore[arg-type]
        journal=MemoryDatabase(),
    )

    look_until(newcomer, lambda: len(node.paused) >= 4)
    assert node.paused[:4] == [True, True, False, False], "asked once, and not again"
    assert [line["event"] for line in log].count("sync.failed") == ATTEMPTS_MAX
    assert "sync.given-up" in [line["event"] for line in log]


def test_node_with_an_empty_ledger_asks_for_no_blocks_before_any_peer_has_said_what_it_has(
    newcomers: Newcomers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.newcomer.FIRST_SECONDS", 0.01)
    giver = Giver("a", newcomers.ledger)
    asked: list[int] = []

    async def offers() -> Offers:
        asked.append(len(node.paused))
        if len(asked) < 4:
            raise TransportError("it does not know this node's certificate yet")
        return Offers(newcomers.ledger.genesis.network, Height(0), 0, Height(1), (), ())

    giver.offers = offers  # type: ignore[method-assign]
    node = FakeNode()
    newcomer = Newcomer(
        node,
        home=newcomers.home,
        config=Config(),
        genesis=newcomers.ledger.genesis,
        sources=lambda: newcomers.sources(giver),
        install=newcomers.begin,
        key=None,
        durable=None,  # type: ignore[arg-type]
        journal=MemoryDatabase(),
    )

    look_until(newcomer, lambda: len(asked) >= 4 and len(node.paused) >= 2)
    assert asked[:4] == [1, 1, 1, 1]
    assert node.paused[:2] == [True, False]


@pytest.mark.parametrize(
    "config", [Config(sync=SyncConfig(enabled=False)), Config(storage=StorageConfig(archive=True))]
)
def test_node_that_may_not_take_a_snapshot_says_what_to_do(
    newcomers: Newcomers, log: list[dict[str, object]], config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.newcomer.FIRST_SECONDS", 3_600.0)  # it looks once
    giver = Giver("a", newcomers.ledger)

    async def offers() -> Offers:
        return offer(50, oldest=40, heights=(45,))

    giver.offers = offers  # type: ignore[method-assign]
    giver.network = bytes(32)
    node = FakeNode()
    sources = Sources(Network(bytes(32)), lambda _: giver, OWN_CERTIFICATE)
    sources.admit([peer_of("a")])
    newcomer = Newcomer(
        node,
        home=newcomers.home,
        config=config,
        genesis=newcomers.ledger.genesis,
        sources=lambda: sources,
        install=newcomers.begin,
        key=None,
        durable=None,  # type: ignore[arg-type]
        journal=MemoryDatabase(),
    )

    look_until(newcomer, lambda: len(node.paused) >= 2)
    assert node.paused == [False, False]
    (line,) = [line for line in log if line["event"] == "sync.not-allowed"]
    assert "sync.peers" in str(line["reason"])
    (line,) = [line for line in log if line["event"] == "sync.behind"]
    assert (line["height"], line["peers_hold_blocks_from"]) == (0, 40)


def test_any_bytes_in_place_of_closings_are_the_peers_fault(newcomers: Newcomers) -> None:
    liar, honest = Giver("liar", newcomers.ledger), Giver("honest", newcomers.ledger)

    async def closings(_: Epoch) -> tuple[ClosingCheckpoint, ...]:
        raise InvalidMessage("not canonical")

    liar.closings = closings  # type: ignore[method-assign]
    sources = newcomers.sources(liar, honest)
    assert asyncio.run(newcomers.joiner(sources).run(1)) is not None
    assert [source.name for source in sources.active] == ["honest"]
