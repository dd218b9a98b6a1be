# SPDX-License-Identifier: Apache-2.0
"""Pruning of blocks: what goes, what stays provable, what is refused, and what a crash in between leaves.

Source of the rules: docs/protocol.md, sections 4 and 7.
"""

from collections.abc import Mapping, Sequence

import pytest

from chain import receipt
from chain.certificate import BlsScheme
from chain.checkpoint import Checkpoint
from chain.errors import Refused
from chain.light_client import TrustAnchor, advance
from chain.log import leaf_hash, verify_consistency, verify_inclusion
from chain.log_tiles import Log, tiles_between
from chain.memory import MemoryDatabase
from chain.receipt import Verifier
from chain.types import TRANSACTION_LIFETIME_MS_MAX, Epoch, Height, Millis
from node import store as store_module
from node.copies import Copies
from node.errors import StorageError
from node.store import LedgerStore
from node.store_keys import HORIZON_KEY, Horizon, numbered
from tests.certified_ledger import CertifiedLedger

KEPT = 20
BLOCK_MS = 30_000
"""Ten blocks of this are as long as a transaction lives."""


@pytest.fixture(autouse=True)
def few_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node keeps a thousand blocks at least; here so few that a test makes them in a second."""
    monkeypatch.setattr(store_module, "BLOCKS_KEPT_MIN", KEPT)


@pytest.fixture(scope="module")
def grown() -> tuple[dict[bytes, bytes], CertifiedLedger]:
    """Sixty blocks, the thirtieth of which closes its epoch; and who made them."""
    made = CertifiedLedger(MemoryDatabase(), block_ms=BLOCK_MS)
    made.grow(29)
    made.append(*made.replace_validator("roads", 2))
    made.grow(30, first=30)
    return made.database.pairs(), made


@pytest.fixture
def database(grown: tuple[dict[bytes, bytes], CertifiedLedger]) -> MemoryDatabase:
    return MemoryDatabase(grown[0])


def pruned(database: MemoryDatabase, kept: int = KEPT, keys_max: int = 20_000) -> LedgerStore:
    store = LedgerStore(database, blocks_kept=kept)
    while store.prune_blocks(keys_max):
        pass
    return store


def refused_as(code: str) -> "pytest.RaisesExc[Refused]":
    return pytest.raises(Refused, check=lambda error: error.code == code)


def heights_of(database: MemoryDatabase, kind: bytes) -> set[int]:
    return {int.from_bytes(key[1:9]) for key in database.pairs() if key[:1] == kind}


def test_pruned_ledger_keeps_as_many_blocks_as_configured_and_nothing_of_older_ones(database) -> None:
    whole = LedgerStore(MemoryDatabase(database.pairs()))
    store = pruned(database)
    assert (store.height, store.oldest_block) == (60, 41)
    for kind in (b"B", b"C", b"O", b"Q", b"F", b"X"):
        assert min(heights_of(database, kind)) == 41, kind
    kept = [digest for height in range(41, 61) for digest in whole.block(Height(height)).digests]
    assert {key[1:] for key in database.pairs() if key[:1] == b"D"} == set(kept)
    assert min(heights_of(database, b"E")) == store.first_leaf
    assert len([key for key in database.pairs() if key[:1] == b"T"]) == store.log_size - store.first_leaf
    for height in range(41, 61):
        assert store.transactions(Height(height)) == whole.transactions(Height(height))
        assert store.block_entries(Height(height)) == whole.block_entries(Height(height))


def test_entry_of_a_pruned_block_is_refused_by_a_code_of_its_own(database) -> None:
    store = pruned(database)
    with refused_as("log.pruned"):
        store.prove_inclusion(store.first_leaf - 1, store.log_size)
    with refused_as("log.pruned"):
        store.prove_consistency(store.first_leaf - 1, store.log_size)
    with refused_as("log.pruned"):
        store.log_root(store.first_leaf - 1)
    with refused_as("block.pruned"):
        store.check_held(Height(40))
    with refused_as("block.pruned"):
        Copies(database).block(Height(40))
    with refused_as("log.pruned"):
        Copies(database).tail(Height(60), store.first_leaf - 1)
    assert store.block(Height(40)) is None


def test_kept_entries_are_provable_at_every_size_after_pruning(database) -> None:
    whole = LedgerStore(MemoryDatabase(database.pairs()))
    store = pruned(database)
    assert store.first_leaf > 0
    for size in range(store.first_leaf, store.log_size + 1):
        root = whole.log_root(size)
        assert store.log_root(size) == root
        for index in range(store.first_leaf, size):
            verify_inclusion(leaf_hash(whole.entry(index)), index, size, store.prove_inclusion(index, size), root)
        path = store.prove_consistency(size, store.log_size)
        verify_consistency(size, store.log_size, path, root, store.log_root(store.log_size))


def test_receipt_of_a_kept_entry_verifies_after_pruning(database, grown) -> None:
    made = grown[1]
    store = pruned(database)
    execution = made.executions[45]
    outcome = store.outcome(execution.block.height)
    path = store.prove_inclusion(outcome.first_leaf, store.log_size)
    inclusion = receipt.make_inclusion(execution.transactions[0], 0, execution.entries[0], outcome.first_leaf, path)
    raw = receipt.make([inclusion], (), made.certificates[60], store.proofs.closings(Epoch(1), 9))
    verified = Verifier(made.genesis).verify(raw)
    assert verified.inclusions[0].transaction_id == execution.transaction_ids[0]


def test_light_client_goes_from_genesis_to_the_newest_epoch_by_a_pruned_ledger(database, grown) -> None:
    store = pruned(database)
    assert store.oldest_block > 30
    anchor = advance(TrustAnchor.from_genesis(grown[1].genesis), store.proofs.closings(Epoch(1), 9), BlsScheme())
    assert anchor.epoch == 2


def test_blocks_younger_than_a_transaction_lives_stay_whatever_is_configured(
    database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "BLOCKS_KEPT_MIN", 2)
    store = pruned(database, kept=2)
    newest = store.newest()
    oldest = store.checkpoint(store.oldest_block)
    assert oldest.time_ms == newest.time_ms - TRANSACTION_LIFETIME_MS_MAX
    for transaction_id, _ in store.remembered(newest.time_ms):
        assert store.transaction_at(store.place(transaction_id))


def test_copy_can_begin_at_the_newest_checkpoint_after_pruning(database) -> None:
    pruned(database)
    copies = Copies(database)
    assert copies.offers()[0].height == 60
    assert copies.head(Height(60))


def test_last_old_entry_stays_where_nothing_has_happened_since(grown) -> None:
    made = CertifiedLedger(MemoryDatabase(grown[0]), block_ms=BLOCK_MS)
    for _ in range(40):
        made.append(certified=False)
    made.append(certified=True)
    store = pruned(made.database)
    assert (store.oldest_block, store.first_leaf) == (82, store.log_size - 1)
    assert Copies(made.database).is_offered(made.store.height)


def test_pinned_copy_holds_back_what_it_needs_until_it_is_unpinned(database) -> None:
    store = LedgerStore(database, blocks_kept=KEPT)
    store.pin(Height(35))
    assert store.pins == [35]
    while store.prune():
        pass
    assert store.oldest_block == 25  # ten blocks are as long as a transaction lives
    assert Copies(database).is_offered(Height(35))
    store.unpin(Height(35))
    while store.prune():
        pass
    assert (store.pins, store.oldest_block) == ([], 41)
    assert not Copies(database).is_offered(Height(35))
    with refused_as("state.pruned"):
        store.pin(Height(35))


def test_pinned_state_outlives_the_versions_that_stay_otherwise(database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "VERSIONS_KEPT", 5)
    store = LedgerStore(database)
    store.pin(Height(20))
    while store.prune():
        pass
    assert store.oldest_state == 20
    store.unpin(Height(20))
    while store.prune():
        pass
    assert store.oldest_state == 56


def test_pieces_are_bounded_and_each_leaves_a_ledger_that_opens(database) -> None:
    store = LedgerStore(database, blocks_kept=KEPT)
    pieces = []
    while deleted := store.prune_blocks(keys_max=40):
        pieces.append(deleted)
        reopened = LedgerStore(MemoryDatabase(database.pairs()), blocks_kept=KEPT)
        assert (reopened.oldest_block, reopened.first_leaf) == (store.oldest_block, store.first_leaf)
        assert reopened.block(reopened.oldest_block)
        assert reopened.entry(reopened.first_leaf)
    assert len(pieces) > 10
    assert max(pieces) < 70
    assert store.oldest_block == 41


class FailingDatabase(MemoryDatabase):
    """A disk whose next write fails."""

    fails = False

    def write(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes] = (), *, sync: bool = True) -> None:
        if self.fails:
            raise StorageError("the disk is full")
        super().write(puts, deletes, sync=sync)


def test_piece_whose_write_failed_is_done_again(grown) -> None:
    database = FailingDatabase(grown[0])
    store = LedgerStore(database, blocks_kept=KEPT)
    database.fails = True
    with pytest.raises(StorageError):
        store.prune_blocks()
    assert (store.oldest_block, store.first_leaf) == (1, 0)
    database.fails = False
    assert pruned(database).oldest_block == 41


def test_horizon_is_in_the_batch_that_deletes_what_lies_before_it(grown) -> None:
    batches: list[tuple[dict[bytes, bytes], list[bytes]]] = []

    class Watched(MemoryDatabase):
        def write(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes] = (), *, sync: bool = True) -> None:
            batches.append((dict(puts), list(deletes)))
            super().write(puts, deletes, sync=sync)

    pruned(Watched(grown[0]), keys_max=100)
    assert len(batches) > 5
    for puts, deletes in batches:
        horizon = Horizon.decode(puts[HORIZON_KEY])
        assert all(key < numbered(b"B", horizon.oldest_block) for key in deletes if key[:1] == b"B")
        assert all(key < numbered(b"E", horizon.first_leaf) for key in deletes if key[:1] == b"E")


def test_pruned_ledger_goes_on_as_an_unpruned_one_does(database, grown) -> None:
    whole = CertifiedLedger(MemoryDatabase(grown[0]), block_ms=BLOCK_MS)
    pruned(database)
    cut = CertifiedLedger(database, block_ms=BLOCK_MS)
    for one in (whole, cut):
        one.grow(12, first=90)
    assert cut.checkpoint == whole.checkpoint


def test_ledger_that_keeps_all_blocks_prunes_none(database) -> None:
    assert LedgerStore(database).prune_blocks() == 0


def test_compaction_is_asked_for_after_many_deletions_and_then_counts_anew(
    database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "COMPACTED_KEYS_MIN", 100)
    store = LedgerStore(database, blocks_kept=KEPT)
    assert store.take_compactable() == []
    while store.prune():
        pass
    ranges = store.take_compactable()
    assert (numbered(b"B", 1), numbered(b"B", 41)) in ranges
    assert (numbered(b"E", 0), numbered(b"E", store.first_leaf)) in ranges
    assert all(start <= stop for start, stop in ranges)
    assert store.take_compactable() == []


@pytest.mark.parametrize("size", [1, 255, 256, 257, 511, 600])
def test_log_without_its_first_tiles_proves_what_is_left(size: int) -> None:
    database = MemoryDatabase()
    log = Log(database, b"L", 0)
    append = log.append([b"%d" % number for number in range(700)])
    database.write(append.puts)
    log.applied(append)
    path_of = {leaf: log.prove_inclusion(leaf, 700) for leaf in range(size, 700)}
    ranges = {leaf: log.prove_range(leaf, 700 - leaf, 700) for leaf in range(size, 700, 7)}
    edge, root = log.left_edge(size), log.root(size)
    for key in tiles_between(b"L", 0, size):
        assert database.get(key) is not None
        database.write({}, [key])
    cut = Log(database, b"L", 700, size)
    assert (cut.left_edge(size), cut.root(size), cut.first_leaf) == (edge, root, size)
    assert {leaf: cut.prove_inclusion(leaf, 700) for leaf in range(size, 700)} == path_of
    assert {leaf: cut.prove_range(leaf, 700 - leaf, 700) for leaf in range(size, 700, 7)} == ranges
    with refused_as("log.pruned"):
        cut.prove_range(size - 1, 3, 700)


def test_pin_of_a_height_that_is_not_executed_is_refused(database) -> None:
    with refused_as("state.pruned"):
        LedgerStore(database).pin(Height(61))


def test_checkpoint_at_which_a_copy_begins_is_still_certified_after_pruning(database) -> None:
    store = pruned(database)
    assert store.proofs.certified_from(Height(41))[0] == 41
    assert Checkpoint.decode(store.proofs.newest_certified()[1].checkpoint).time_ms > Millis(0)
