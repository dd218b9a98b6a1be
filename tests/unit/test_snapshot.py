# SPDX-License-Identifier: Apache-2.0
"""Copies of a ledger: what an honest node gives is taken and makes the same ledger; whatever else is refused.

Source of the rules: docs/protocol.md, section 7.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from chain.application import Application
from chain.certificate import BlsScheme
from chain.checkpoint import Checkpoint, ClosingCheckpoint
from chain.codec import encode
from chain.errors import InvalidCertificate, InvalidMessage, InvalidProof, LedgerError, Refused
from chain.ledger import Ledger
from chain.light_client import TrustAnchor, advance
from chain.log import fold, leaf_hash, root_of_hashes, verify_range
from chain.log_tiles import Log
from chain.memory import MemoryDatabase
from chain.pb import ledger_pb2 as pb
from chain.snapshot import (
    PART_BYTES,
    Children,
    SnapshotHead,
    encode_leaves,
    encode_page,
    leaf_slot,
    verify_head,
    verify_part,
    verify_tail,
)
from chain.tree import StateTree
from chain.tree_build import Subtree, build_pages
from chain.tree_walk import TreeWalk
from chain.types import Epoch, Height, sha256
from node import copies as copies_module
from node.copies import Copies
from node.errors import StorageError
from node.install import Installer, unfinished
from node.modules import ledger_modules
from node.store import LedgerStore
from node.store_keys import INSTALL_KEY, numbered
from tests.certified_ledger import CertifiedLedger

BLOCKS = 40
CLOSES = 24


@dataclass(frozen=True)
class Source:
    """A ledger to copy, and what a newcomer believes of its network."""

    made: CertifiedLedger
    copies: Copies
    anchor: TrustAnchor

    @property
    def newest(self) -> Checkpoint:
        return self.made.checkpoint

    def closings(self, height: int) -> list[ClosingCheckpoint]:
        found = self.copies.closings(Epoch(1), 100)
        return [one for one in found if Checkpoint.decode(one.certified.checkpoint).height <= height]

    def head(self, height: int, *, whole: bool = False) -> SnapshotHead:
        epoch = self.made.store.checkpoint(Height(height)).epoch
        return verify_head(self.copies.head(Height(height), whole=whole), self.anchor.at(epoch), BlsScheme())

    def check_head(self, raw: bytes) -> SnapshotHead:
        return verify_head(raw, self.anchor, BlsScheme())

    def parts(self, checkpoint: Checkpoint) -> Iterator[Subtree | Children]:
        ahead = [(b"", checkpoint.state_root)]
        while ahead:
            path, expected = ahead.pop(0)
            part = verify_part(self.copies.state(checkpoint.height, path), path, expected, checkpoint.height)
            if isinstance(part, Children):
                ahead += part.below()
            yield part

    def fill(self, installer: Installer, head: SnapshotHead) -> None:
        for part in self.parts(head.checkpoint):
            installer.add_state(part)
        while installer.next_leaf < head.checkpoint.log_size:
            raw = self.copies.tail(head.checkpoint.height, installer.next_leaf)
            installer.add_tail(verify_tail(raw, installer.next_leaf, head.checkpoint))

    def copy(self, height: int, database: MemoryDatabase, *, whole: bool = False) -> LedgerStore:
        head = self.head(height, whole=whole)
        installer = Installer(database, head, self.closings(height))
        self.fill(installer, head)
        if whole:
            for older in range(height - 1, 0, -1):
                self.add_block(installer, older)
        installer.finish()
        return LedgerStore(database)

    def add_block(self, installer: Installer, height: int) -> None:
        store = self.made.store
        found = store.proofs.finality_within(Height(height), Height(height))
        installer.add_block(
            store.block(Height(height)),
            store.transactions(Height(height)),
            store.checkpoint(Height(height)),
            self.made.certificates[height],
            found[1] if found is not None and hasattr(found[1], "view") else None,
        )


@pytest.fixture(scope="module")
def source() -> Source:
    """Forty blocks, 20 s each: fifteen of them are as long as a transaction lives."""
    made = CertifiedLedger(MemoryDatabase(), block_ms=20_000)
    made.grow(CLOSES - 1)
    made.append(*made.replace_validator("roads", 2))
    made.grow(BLOCKS - CLOSES, first=CLOSES)
    copies = Copies(made.database.snapshot())
    anchor = advance(TrustAnchor.from_genesis(made.genesis), copies.closings(Epoch(1), 9), BlsScheme())
    return Source(made, copies, anchor)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """So small that even this ledger's state has pages, and its entries several parts."""
    monkeypatch.setattr(copies_module, "PART_BYTES", 700)


# ---------------------------------------------------------------- the whole way


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("height", [10, CLOSES, CLOSES + 1, BLOCKS])
def test_ledger_copied_at_any_checkpoint_goes_on_to_the_same_roots(source: Source, height: int) -> None:
    store = source.copy(height, MemoryDatabase())
    assert store.newest() == source.made.executions[height - 1].checkpoint
    registry, authority = ledger_modules()
    ledger = Ledger(store, source.made.genesis, registry, authority)
    for execution in source.made.executions[height:]:
        assert ledger.execute(execution.block, execution.transactions) == execution
        ledger.commit(execution)
    assert store.newest() == source.newest


def test_copy_says_where_it_begins_and_refuses_what_lies_before(source: Source) -> None:
    store = source.copy(BLOCKS, MemoryDatabase())
    assert store.oldest_block == BLOCKS
    assert 0 < store.first_leaf < store.outcome(Height(BLOCKS)).first_leaf
    for call in (
        lambda: store.check_held(Height(BLOCKS - 1)),
        lambda: store.transaction_at(store.place(source.made.executions[BLOCKS - 2].transaction_ids[0])),
        lambda: store.prove_inclusion(store.first_leaf - 1, store.log_size),
        lambda: store.prove_state(b"any", Height(BLOCKS - 1)),
    ):
        with pytest.raises(Refused) as caught:
            call()
        assert caught.value.code.endswith(".pruned")


def test_copy_has_the_newest_block_with_all_that_belongs_to_it(source: Source) -> None:
    store, whole = source.copy(CLOSES, MemoryDatabase()), source.made.store
    height = Height(CLOSES)
    assert store.block(height) == whole.block(height)
    assert store.transactions(height) == whole.transactions(height)
    assert store.outcome(height) == whole.outcome(height)
    assert store.block_entries(height) == whole.block_entries(height)
    for transaction_id in source.made.executions[CLOSES - 1].transaction_ids:
        assert store.place(transaction_id) == whole.place(transaction_id)
    executed = store.executed()
    assert executed.next_set == source.made.executions[CLOSES - 1].next_set
    assert store.proofs.newest_certified()[0] == CLOSES
    assert [c.next for c in store.proofs.closings(Epoch(1), 9)] == [executed.next_set.encode()]


def test_copy_remembers_every_id_that_has_not_expired(source: Source) -> None:
    for height in (CLOSES, BLOCKS):
        checkpoint = source.made.store.checkpoint(Height(height))
        expected = {
            (transaction_id, expires_at_ms)
            for execution in source.made.executions[:height]
            for transaction_id, expires_at_ms in zip(execution.transaction_ids, execution.expirations_ms, strict=True)
            if expires_at_ms >= checkpoint.time_ms
        }
        assert set(source.copy(height, MemoryDatabase()).remembered(0)) == expected != set()


@pytest.mark.usefixtures("small_parts")
def test_whole_copy_has_every_record_of_the_original_but_past_states(source: Source) -> None:
    database = MemoryDatabase()
    source.copy(BLOCKS, database, whole=True)
    kept, copied = source.made.database.pairs(), database.pairs()
    del kept[numbered(b"F", BLOCKS)]  # its checkpoint's certificate shows as much

    def without_state(pairs: dict[bytes, bytes]) -> dict[bytes, bytes]:
        return {key: value for key, value in pairs.items() if key[:1] not in {b"S", b"R"}}

    assert without_state(copied) == without_state(kept)


def test_copy_of_a_copy_is_the_same(source: Source) -> None:
    database = MemoryDatabase()
    source.copy(BLOCKS, database)
    again = MemoryDatabase()
    Source(source.made, Copies(database), source.anchor).copy(BLOCKS, again)
    assert again.pairs() == database.pairs()


# ---------------------------------------------------------------- heads


def changed_heads(source: Source) -> Iterator[tuple[str, bytes]]:
    raw = source.copies.head(Height(BLOCKS))
    other = pb.SnapshotHead.FromString(source.copies.head(Height(BLOCKS - 1)))

    def changed(change: Callable[[pb.SnapshotHead], object]) -> bytes:
        message = pb.SnapshotHead.FromString(raw)
        change(message)
        return encode(message)

    message = pb.SnapshotHead.FromString(raw)
    assert message.first_leaf
    assert len(message.consistency) > 1
    yield "other-block", changed(lambda m: setattr(m, "block", other.block))
    yield "no-block", changed(lambda m: m.ClearField("block"))
    yield "transaction-dropped", changed(lambda m: m.transactions.pop())
    yield "transactions-swapped", changed(lambda m: m.transactions.extend([m.transactions.pop(0)]))
    yield "transaction-doubled", changed(lambda m: m.transactions.append(m.transactions[0]))
    yield "first-leaf-later", changed(lambda m: setattr(m, "first_leaf", m.first_leaf + 1))
    yield "first-leaf-none", changed(lambda m: m.ClearField("first_leaf"))
    yield "edge-dropped", changed(lambda m: m.left_edge.pop())
    yield "edge-empty", changed(lambda m: m.ClearField("left_edge"))
    yield "path-dropped", changed(lambda m: m.consistency.pop())
    yield "path-swapped", changed(lambda m: m.consistency.append(m.consistency.pop(0)))
    yield "path-doubled", changed(lambda m: m.consistency.append(m.consistency[0]))
    yield "path-endless", changed(lambda m: m.consistency.extend([bytes(32)] * 200))
    yield "no-witness", changed(lambda m: m.ClearField("witness"))
    yield "other-witness", changed(lambda m: setattr(m, "witness", other.witness + b"\x00"))
    yield "witness-path-dropped", changed(lambda m: m.witness_path.pop())
    yield "certificate-of-another", changed(lambda m: m.certified.CopyFrom(other.certified))
    yield "no-certificate", changed(lambda m: m.ClearField("certified"))
    yield "unknown-field", raw + b"\xf8\x01\x01"
    for place in range(0, len(raw), 41):
        yield f"byte-{place}", raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]


def test_head_with_any_element_altered_dropped_swapped_or_doubled_is_refused(source: Source) -> None:
    names = []
    for name, raw in changed_heads(source):
        with pytest.raises(LedgerError):
            source.check_head(raw)
        names.append(name)
    assert len(names) > 40


def test_head_whose_entries_begin_too_late_is_refused(source: Source) -> None:
    # All of it is true, but an id that has not expired would not be remembered.
    log = Log(source.made.database, b"L", source.newest.log_size)
    message = pb.SnapshotHead.FromString(source.copies.head(Height(BLOCKS)))
    late = message.first_leaf + 1
    message.first_leaf = late
    message.witness = source.made.store.entry(late)
    for field, values in (
        ("left_edge", log.left_edge(late)),
        ("consistency", log.prove_consistency(late, log.size)),
        ("witness_path", log.prove_inclusion(late, log.size)),
    ):
        message.ClearField(field)
        getattr(message, field).extend(values)
    with pytest.raises(InvalidProof, match="too late"):
        source.check_head(encode(message))


def test_head_certified_by_validators_of_another_network_is_refused(source: Source) -> None:
    stranger = TrustAnchor.from_genesis(source.made.genesis)
    with pytest.raises(InvalidCertificate):
        verify_head(source.copies.head(Height(BLOCKS)), stranger, BlsScheme())


# ---------------------------------------------------------------- state


def tree_of(count: int, seed: int = 1) -> tuple[MemoryDatabase, StateTree]:
    rng = random.Random(seed)
    database = MemoryDatabase()
    tree = StateTree(database, b"S")
    pairs = [(b"key %d" % number, rng.randbytes(rng.randrange(1, 40))) for number in range(count)]
    for version, start in enumerate(range(0, count, 37), 1):
        update = tree.update(pairs[start : start + 37], version)
        database.write(update.puts)
        tree.applied(update)
    return database, tree


@pytest.mark.parametrize("count", [1, 2, 3, 17, 300, 1500])
def test_pages_built_from_all_leaves_are_those_that_updates_made(count: int) -> None:
    database, tree = tree_of(count)
    walk = TreeWalk(database, b"S", 1 << 40)
    leaves = walk.leaves(walk.root, b"", count)
    assert len(leaves) == count
    hashed = [
        (key_hash, sha256(b"\x00" + key_hash + sha256(walk.value((key_hash, version))[1])))
        for key_hash, version in leaves
    ]
    slot, pages = build_pages([key for key, _ in hashed], [leaf for _, leaf in hashed], b"", 9)
    assert slot.hash == tree.root()
    fresh = MemoryDatabase()
    once = StateTree(fresh, b"S").update([walk.value(leaf) for leaf in leaves], 9)
    assert slot == once.root_slot
    assert {b"Sn" + (9).to_bytes(8) + path: raw for path, raw in pages} == {
        key: raw for key, raw in once.puts.items() if key.startswith(b"Sn")
    }


def test_walk_at_a_past_version_finds_what_stood_there() -> None:
    database, tree = tree_of(400)
    gone = tree.update([(b"key %d" % number, None) for number in range(0, 400, 3)], 99)
    database.write(gone.puts)
    tree.applied(gone)
    for version in (1, 5, 11, 99):
        walk = TreeWalk(database, b"S", version)
        leaves = walk.leaves(walk.root, b"", 1000)
        pairs = dict(walk.values(leaves))
        assert [sha256(key) for key in pairs] == [key_hash for key_hash, _ in leaves] == sorted(map(sha256, pairs))
        numbers = range(min(version * 37, 400))
        expected = {b"key %d" % number for number in numbers if version < 99 or number % 3}
        assert set(pairs) == expected
        assert all(tree.get(key, version) == value for key, value in pairs.items())


def state_parts(source: Source) -> tuple[bytes, bytes, bytes]:
    """The page at the root, a part of leaves below it, and the path of that."""
    checkpoint = source.newest
    page = source.copies.state(checkpoint.height, b"")
    children = verify_part(page, b"", checkpoint.state_root, checkpoint.height)
    assert isinstance(children, Children)
    for path, expected in children.below():
        raw = source.copies.state(checkpoint.height, path)
        part = verify_part(raw, path, expected, checkpoint.height)
        if isinstance(part, Subtree) and len(part.values) > 2:
            return page, raw, path
    raise AssertionError("no part with several leaves")


@pytest.mark.usefixtures("small_parts")
def test_part_of_leaves_with_anything_altered_is_refused(source: Source) -> None:
    page, raw, path = state_parts(source)
    height = Height(BLOCKS)
    expected = dict(verify_part(page, b"", source.newest.state_root, height).below())
    original = pb.StatePart.FromString(raw).leaves

    def refused(keys: list[bytes], values: list[bytes], at: bytes = path) -> None:
        part = encode(pb.StatePart(leaves=pb.StateLeaves(keys=keys, values=values)))
        with pytest.raises((InvalidProof, InvalidMessage)):
            verify_part(part, at, expected[at], height)

    keys, values = list(original.keys), list(original.values)
    refused(keys[1:], values[1:])
    refused(keys[:-1], values[:-1])
    refused(keys, values[:-1])
    refused([keys[1], keys[0], *keys[2:]], [values[1], values[0], *values[2:]])
    refused([keys[0], *keys], [values[0], *values])
    refused(keys, [values[1], values[0], *values[2:]] if values[0] != values[1] else [b"x", *values[1:]])
    refused(keys, [*values[:-1], values[-1] + b"\x00"])
    refused([keys[0] + b"\x00", *keys[1:]], values)
    refused(keys, [b"", *values[1:]])
    refused([], [])
    refused(keys, values, next(one for one in expected if one != path))
    for place in range(0, len(raw), 7):
        with pytest.raises((InvalidProof, InvalidMessage)):
            verify_part(raw[:place] + bytes([raw[place] ^ 4]) + raw[place + 1 :], path, expected[path], height)


@pytest.mark.usefixtures("small_parts")
def test_page_with_anything_altered_is_refused(source: Source) -> None:
    page, _, _ = state_parts(source)
    root, height = source.newest.state_root, Height(BLOCKS)
    slots = list(pb.StatePart.FromString(page).page.slots)
    used = [place for place, slot in enumerate(slots) if slot]
    assert len(used) > 2

    def refused(changed: list[bytes]) -> None:
        with pytest.raises((InvalidProof, InvalidMessage)):
            verify_part(encode_page(changed), b"", root, height)

    for place in used:
        refused([b"" if at == place else slot for at, slot in enumerate(slots)])
        refused([bytes(32) if at == place else slot for at, slot in enumerate(slots)])
        refused([slot[:-1] + b"\x00\x01" if at == place else slot for at, slot in enumerate(slots)])
    swapped = list(slots)
    swapped[used[0]], swapped[used[1]] = slots[used[1]], slots[used[0]]
    refused(swapped)
    refused(slots[:-1])
    refused([*slots, b""])
    refused([b""] * 16)


def test_lone_leaf_shown_at_a_neighbouring_place_is_refused() -> None:
    """The hash of a page does not depend on which of two places a lone leaf stands in: its hashed key says."""
    found = sorted((sha256(b"%d" % number), b"%d" % number) for number in range(40))
    first = next(pair for pair in found if pair[0][0] >> 4 in {0, 4, 8, 12})
    digit = first[0][0] >> 4
    other = next(pair for pair in found if pair[0][0] >> 5 != digit >> 1)
    database = MemoryDatabase()
    tree = StateTree(database, b"S")
    update = tree.update([(first[1], b"value"), (other[1], b"value")], 1)
    slots = [b""] * 16
    slots[digit] = leaf_slot(first[0], b"value")
    slots[other[0][0] >> 4] = leaf_slot(other[0], b"value")
    assert isinstance(verify_part(encode_page(slots), b"", update.root, Height(1)), Children)
    slots[digit], slots[digit + 1] = b"", slots[digit]
    with pytest.raises(InvalidProof, match="does not belong"):
        verify_part(encode_page(slots), b"", update.root, Height(1))


def test_page_that_shows_something_where_nothing_stands_is_refused() -> None:
    """Beside a page the hash of nothing leads to the right hash: who believes it asks all peers for nothing."""
    found = sorted((sha256(b"%d" % number), b"%d" % number) for number in range(100))
    below = [key for key_hash, key in found if key_hash[0] >> 4 == 2][:2]
    other = next(pair for pair in found if pair[0][0] >> 4 == 8)
    database = MemoryDatabase()
    tree = StateTree(database, b"S")
    update = tree.update([(key, b"value") for key in (*below, other[1])], 1)
    database.write(update.puts)
    slots = [b""] * 16
    slots[2] = TreeWalk(database, b"S", 1).slot(b"\x02").hash
    slots[8] = leaf_slot(other[0], b"value")
    assert isinstance(verify_part(encode_page(slots), b"", update.root, Height(1)), Children)
    slots[3] = bytes(32)
    with pytest.raises(InvalidProof, match="hash of nothing"):
        verify_part(encode_page(slots), b"", update.root, Height(1))


def test_parts_are_bounded_in_bytes_and_none_is_larger_than_a_value() -> None:
    database = MemoryDatabase()
    tree = StateTree(database, b"S")
    large = [(b"%d" % number, bytes([number + 1]) * 65_536) for number in range(40)]
    database.write(tree.update(large, 1).puts)
    walk = TreeWalk(database, b"S", 1)
    assert copies_module._within(walk, walk.leaves(walk.root, b"", 100)) is None
    assert sum(len(value) for _, value in large) > PART_BYTES
    leaf = walk.leaves(walk.root, b"", 100)[:1]
    assert len(copies_module._within(walk, leaf)) == 1


def test_place_where_nothing_stands_is_refused(source: Source) -> None:
    for path in (bytes(60), b"\x10", bytes(65)):
        with pytest.raises(Refused) as caught:
            source.copies.state(Height(BLOCKS), path)
        assert caught.value.code == "state.no-such-path"


@pytest.mark.parametrize("seed", range(30))
def test_any_bytes_are_refused_as_a_part(source: Source, seed: int) -> None:
    rng = random.Random(seed)
    honest = (
        source.copies.state(Height(BLOCKS), b""),
        source.copies.tail(Height(BLOCKS), source.head(BLOCKS).first_leaf),
        source.copies.head(Height(BLOCKS)),
    )
    raw = rng.choice([rng.randbytes(rng.randrange(200)), rng.choice(honest)[: rng.randrange(400)]])
    for verify in (
        lambda: verify_part(raw, b"", source.newest.state_root, Height(BLOCKS)),
        lambda: verify_tail(raw, source.head(BLOCKS).first_leaf, source.newest),
        lambda: source.check_head(raw),
    ):
        with pytest.raises(LedgerError):
            verify()


def test_leaves_beyond_what_a_part_may_hold_are_refused() -> None:
    pairs = [(b"%d" % number, b"v") for number in range(16_385)]
    pairs.sort(key=lambda pair: sha256(pair[0]))
    with pytest.raises(InvalidMessage):
        verify_part(encode_leaves(pairs), b"", bytes(32), Height(1))


# ---------------------------------------------------------------- entries


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 300])
def test_range_proof_of_every_range_verifies_and_fits_no_other(size: int) -> None:
    hashes = [leaf_hash(b"%d" % number) for number in range(size)]
    database = MemoryDatabase()
    log = Log(database, b"L", 0)
    append = log.append_hashes(hashes)
    database.write(append.puts)
    log.applied(append)
    root = root_of_hashes(hashes)
    assert fold(hashes) == root
    rng = random.Random(size)
    ranges = [(first, count) for first in range(size) for count in range(1, size - first + 1)]
    for first, count in rng.sample(ranges, min(len(ranges), 60)):
        leaves, path = hashes[first : first + count], log.prove_range(first, count, size)
        verify_range(leaves, first, size, path, root)
        assert path == _naive_path(hashes, first, first + count, 0, size)
        for wrong in (
            lambda leaves=leaves, path=path, first=first: verify_range(leaves, first, size, [*path, bytes(32)], root),
            lambda leaves=leaves, path=path, first=first: verify_range(leaves[:-1], first, size, path, root),
            lambda leaves=leaves, path=path, first=first: verify_range([*leaves, bytes(32)], first, size, path, root),
            lambda leaves=leaves, path=path, first=first: verify_range(leaves, first + 1, size, path, root),
            lambda leaves=leaves, path=path, first=first: verify_range(leaves, first, size, path, bytes(32)),
            lambda leaves=leaves, path=path, first=first: verify_range(
                [bytes(32), *leaves[1:]], first, size, path, root
            ),
        ):
            with pytest.raises(InvalidProof):
                wrong()
        if path:
            with pytest.raises(InvalidProof):
                verify_range(leaves, first, size, path[1:], root)


def _naive_path(hashes: list[bytes], first: int, stop: int, begin: int, end: int) -> list[bytes]:
    if begin >= stop or end <= first:
        return [root_of_hashes(hashes[begin:end])]
    if first <= begin and end <= stop:
        return []
    middle = begin + (1 << ((end - begin - 1).bit_length() - 1))
    return [*_naive_path(hashes, first, stop, begin, middle), *_naive_path(hashes, first, stop, middle, end)]


@pytest.mark.usefixtures("small_parts")
def test_part_of_entries_with_anything_altered_is_refused(source: Source) -> None:
    head = source.head(BLOCKS)
    raw = source.copies.tail(Height(BLOCKS), head.first_leaf)
    message = pb.TailPart.FromString(raw)
    assert len(message.entries) > 2

    def refused(change: Callable[[pb.TailPart], object]) -> None:
        changed = pb.TailPart.FromString(raw)
        change(changed)
        with pytest.raises((InvalidProof, InvalidMessage)):
            verify_tail(encode(changed), head.first_leaf, head.checkpoint)

    refused(lambda m: m.entries.pop())
    refused(lambda m: m.entries.pop(0))
    refused(lambda m: m.entries.append(m.entries[0]))
    refused(lambda m: m.entries.append(m.entries.pop(0)))
    refused(lambda m: m.path.pop())
    refused(lambda m: m.path.append(bytes(32)))
    refused(lambda m: m.ClearField("entries"))
    refused(lambda m: setattr(m, "first_leaf", m.first_leaf + 1))
    for place in range(0, len(raw), 13):
        with pytest.raises((InvalidProof, InvalidMessage)):
            verify_tail(raw[:place] + bytes([raw[place] ^ 2]) + raw[place + 1 :], head.first_leaf, head.checkpoint)
    with pytest.raises(Refused):
        source.copies.tail(Height(BLOCKS), source.newest.log_size)


# ---------------------------------------------------------------- installing


class Snapping(MemoryDatabase):
    """Remembers what is on disk after each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.after: list[dict[bytes, bytes]] = []

    def write(self, puts, deletes=(), *, sync=True) -> None:
        super().write(puts, deletes, sync=sync)
        self.after.append(self.pairs())


@pytest.mark.usefixtures("small_parts")
def test_copy_cut_off_after_any_batch_is_known_as_unfinished_and_begun_anew(source: Source) -> None:
    database = Snapping()
    source.copy(BLOCKS, database)
    *before, last = database.after
    assert len(before) > 10
    for pairs in before[:: len(before) // 8]:
        left = MemoryDatabase(pairs)
        assert unfinished(left) == source.newest
        with pytest.raises(StorageError, match="never finished"):
            LedgerStore(left)
        assert source.copy(BLOCKS, left).newest() == source.newest
        assert left.pairs() == last
    assert unfinished(MemoryDatabase(last)) is None
    assert INSTALL_KEY not in last


def test_copy_is_put_into_an_empty_database_only(source: Source) -> None:
    with pytest.raises(AssertionError, match="empty"):
        Installer(source.made.database, source.head(BLOCKS), source.closings(BLOCKS))


def test_copy_at_a_closing_checkpoint_needs_the_list_that_it_names(source: Source) -> None:
    with pytest.raises(InvalidProof, match="list of validators"):
        Installer(MemoryDatabase(), source.head(CLOSES), [])


def test_copy_with_parts_missing_is_not_finished(source: Source) -> None:
    head = source.head(BLOCKS)
    installer = Installer(MemoryDatabase(), head, source.closings(BLOCKS))
    with pytest.raises(AssertionError, match="entries are missing"):
        installer.finish()


def test_older_block_that_does_not_belong_there_is_refused(source: Source) -> None:
    store = source.made.store
    head = source.head(BLOCKS, whole=True)
    installer = Installer(MemoryDatabase(), head, source.closings(BLOCKS))
    source.fill(installer, head)
    below, lower = Height(BLOCKS - 1), Height(BLOCKS - 2)
    good = (store.block(below), store.transactions(below), store.checkpoint(below))
    for block, transactions, checkpoint in (
        (store.block(lower), store.transactions(lower), store.checkpoint(lower)),
        (good[0], good[1][:-1], good[2]),
        (good[0], [*good[1][1:], good[1][0]], good[2]),
        (good[0], good[1], store.checkpoint(lower)),
    ):
        with pytest.raises(InvalidProof):
            installer.add_block(block, transactions, checkpoint)
    with pytest.raises(InvalidProof):
        installer.add_block(*good, source.made.certificates[lower])
    installer.add_block(*good, source.made.certificates[below])
    installer.finish()


# ---------------------------------------------------------------- through the application's interface


def newcomer(source: Source, database: MemoryDatabase) -> Ledger:
    registry, authority = ledger_modules()
    return Ledger(LedgerStore(database), source.made.genesis, registry, authority)


def apply_all(giver: Application, taker: Application, source: Source, snapshot: Checkpoint) -> int:
    """Load every part from one and apply it to the other; how many there were."""
    head = source.check_head(giver.load_head(snapshot.height))
    ahead = list(taker.offer_snapshot(head, source.closings(snapshot.height)))
    count = 0
    while ahead:
        place = ahead.pop(0)
        ahead += taker.apply_part(place, giver.load_part(snapshot.height, place))
        count += 1
    return count


@pytest.mark.usefixtures("small_parts")
def test_application_that_applies_every_part_of_a_snapshot_goes_on_from_its_tip(source: Source) -> None:
    database = MemoryDatabase()
    taker = newcomer(source, database)
    snapshot = source.made.ledger.list_snapshots()[3]
    assert apply_all(source.made.ledger, taker, source, snapshot) > 10
    assert (taker.tip().height, taker.tip().block_id) == (snapshot.height, snapshot.block_id)
    again = newcomer(source, database)
    for ledger in (taker, again):
        execution = source.made.executions[snapshot.height]
        assert ledger.execute(execution.block, execution.transactions) == execution
    assert again.query(b"membership/organisation/roads").value


def test_application_refuses_a_wrong_part_and_takes_the_right_one_afterwards(source: Source) -> None:
    taker = newcomer(source, MemoryDatabase())
    snapshot = source.made.ledger.list_snapshots()[0]
    state, tail = taker.offer_snapshot(source.head(snapshot.height), source.closings(snapshot.height))
    right = source.made.ledger.load_part(snapshot.height, state)
    with pytest.raises(InvalidProof):
        taker.apply_part(state, source.made.ledger.load_part(Height(20), state))
    taker.apply_part(state, right)
    with pytest.raises(InvalidMessage):
        taker.apply_part(tail, right)
    taker.apply_part(tail, source.made.ledger.load_part(snapshot.height, tail))
    assert taker.tip().height == snapshot.height


def test_application_that_has_executed_blocks_becomes_no_copy(source: Source) -> None:
    with pytest.raises(Refused):
        source.made.ledger.offer_snapshot(source.head(BLOCKS), source.closings(BLOCKS))


# ---------------------------------------------------------------- what is offered


def test_newest_certified_checkpoints_are_offered_newest_first(source: Source) -> None:
    heights = [checkpoint.height for checkpoint in source.copies.offers()]
    assert heights == list(range(BLOCKS, BLOCKS - 16, -1))
    assert source.copies.is_offered(Height(5))
    assert not source.copies.is_offered(Height(BLOCKS + 1))


def test_copy_at_a_height_without_a_certificate_is_refused(source: Source) -> None:
    database = MemoryDatabase(source.made.database.pairs())
    database.write({}, [numbered(b"Q", BLOCKS)])
    copies = Copies(database)
    assert copies.offers()[0].height == BLOCKS - 1
    with pytest.raises(Refused) as caught:
        copies.head(Height(BLOCKS))
    assert caught.value.code == "state.no-such-height"


@pytest.mark.parametrize("kind", [b"E", b"L", b"Sn", b"Sv", b"B", b"Q"])
def test_damage_of_the_source_is_a_storage_error_or_a_refusal_never_a_wrong_part(source: Source, kind: bytes) -> None:
    pairs = source.made.database.pairs()
    for key in [key for key in pairs if key.startswith(kind)]:
        del pairs[key]
    with pytest.raises((StorageError, Refused)):
        _give(MemoryDatabase(pairs))


def _give(database: MemoryDatabase) -> None:
    copies = Copies(database)
    copies.head(Height(BLOCKS))
    copies.state(Height(BLOCKS), b"")
