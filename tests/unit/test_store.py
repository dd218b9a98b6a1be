# SPDX-License-Identifier: Apache-2.0
"""The ledger on disk: one batch a block, everything found again after a restart, and refusals that say why."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from chain.application import Execution
from chain.certificate import Certificate
from chain.checkpoint import CertifiedCheckpoint, Checkpoint, ClosingCheckpoint, Validator, ValidatorSet
from chain.consensus.block import Block
from chain.errors import Refused
from chain.log import leaf_hash, root_of, verify_consistency, verify_inclusion
from chain.memory import MemoryDatabase
from chain.pb import ledger_pb2 as pb
from chain.storage import Database
from chain.transaction import SignedTransaction
from chain.tree import StateTree, verify_ics23
from chain.types import BlockId, BlsKey, Digest, Epoch, Height, Millis, Network, TransactionId, View, sha256
from node.errors import StorageError
from node.leveldb import LevelDatabase
from node.store import VERSIONS_KEPT, LedgerStore
from node.store_keys import FORMAT, FORMAT_KEY, TIP_KEY, Place

NETWORK = Network(sha256(b"network"))
GENESIS = [(b"membership/organisation/city", b"founder"), (b"membership/parameters", b"1")]
NEXT_SET = ValidatorSet(Epoch(2), (Validator(BlsKey(bytes(48)), "city"),))
SECOND_MS = 1000


@pytest.fixture(params=["memory", "leveldb"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "memory":
        yield MemoryDatabase()
    else:
        with LevelDatabase(tmp_path / "db") as opened:
            yield opened


def transaction_of(height: int, number: int) -> SignedTransaction:
    raw = b"transaction %d/%d" % (height, number)
    header = b"header of " + raw
    expires = Millis((height + 5 + number) * SECOND_MS)
    return SignedTransaction(raw, Digest(sha256(raw)), TransactionId(sha256(header)), header, expires, (), (), ())


def executed(store: LedgerStore, count: int = 4, skipped: Sequence[int] = (), *, closing: bool = False) -> Execution:
    """What a block on top of the store yields: entries named by number, and three writes."""
    height = Height(store.height + 1)
    transactions = tuple(transaction_of(height, number) for number in range(count))
    newest = store.newest()
    parent = BlockId(NETWORK) if newest is None else newest.block_id
    digests = tuple(transaction.digest for transaction in transactions)
    block = Block.make(Epoch(1), View(height), height, parent, Millis(height * SECOND_MS), digests)
    counted = [t for number, t in enumerate(transactions) if number not in skipped]
    entries = tuple(b"entry of " + transaction.raw for transaction in counted)
    writes = [(b"test/each", b"%d" % height), (b"test/%d" % (height % 7), b"%d" % height)]
    if height % 3 == 0:
        writes.append((b"test/%d" % ((height + 1) % 7), None))
    log, state = store.append_log(entries), store.update_state(sorted(writes), height)
    next_set = NEXT_SET if closing else None
    checkpoint = Checkpoint(
        NETWORK,
        block.epoch,
        height,
        block.time_ms,
        block.id,
        log.size,
        log.root,
        state.root,
        b"" if next_set is None else next_set.digest(),
    )
    return Execution(
        block,
        transactions,
        entries,
        tuple(t.id for t in counted),
        tuple(t.expires_at_ms for t in counted),
        tuple(sorted(writes)),
        checkpoint,
        next_set,
        tuple(transactions[number].digest for number in skipped),
    )


def commit(store: LedgerStore, execution: Execution) -> None:
    store.commit(
        execution, store.append_log(execution.entries), store.update_state(execution.writes, execution.block.height)
    )


def started(database: Database, *, archive: bool = False) -> LedgerStore:
    store = LedgerStore(database, archive=archive)
    if store.network() is None:
        store.initialise(NETWORK, store.update_state(GENESIS, Height(0)))
    return store


def grown(database: Database, blocks: int, count: int = 4, skipped: Sequence[int] = (1,)) -> list[Execution]:
    store = started(database)
    executions = []
    for _ in range(blocks):
        executions.append(executed(store, count, skipped))
        commit(store, executions[-1])
    return executions


def test_empty_database_belongs_to_no_network(database):
    store = LedgerStore(database)
    assert (store.network(), store.newest(), store.executed(), store.height, store.log_size) == (None, None, None, 0, 0)


def test_genesis_state_is_there_before_the_first_block(database):
    started(database)
    store = LedgerStore(database)
    assert store.network() == NETWORK
    assert store.newest() is None
    assert store.read_state(b"membership/parameters") == b"1"
    value, proof = store.prove_state(b"absent", Height(0))
    verify_ics23(proof, StateTree(database, b"S").root(), b"absent", value)


def test_everything_committed_is_found_after_a_restart(database):
    executions = grown(database, 9)
    store = LedgerStore(database)
    newest = executions[-1].checkpoint
    assert store.newest() == newest
    assert store.log_size == 27
    for execution in executions:
        block = execution.block
        assert store.block(block.height) == block
        assert store.height_of(block.id) == block.height
        assert store.checkpoint(block.height) == execution.checkpoint
        assert store.transactions(block.height) == [t.raw for t in execution.transactions]
        assert store.executed_transactions(block.height) == [
            t.raw for number, t in enumerate(execution.transactions) if number != 1
        ]
        assert store.block_entries(block.height) == list(execution.entries)
        for transaction in execution.transactions:
            assert store.transaction(transaction.digest) == transaction.raw
        assert store.place(execution.transactions[1].id) is None
        for number, transaction_id in enumerate(execution.transaction_ids):
            place = store.place(TransactionId(transaction_id))
            assert place == Place((block.height - 1) * 3 + number, block.height, (0, 2, 3)[number])
            assert store.entry(place.leaf_index) == execution.entries[number]
            assert sha256(b"header of " + store.transaction_at(place)) == transaction_id


def test_unknown_things_are_not_found(database):
    grown(database, 2)
    store = LedgerStore(database)
    assert store.block(Height(3)) is None
    assert store.checkpoint(Height(3)) is None
    assert store.outcome(Height(3)) is None
    assert store.transactions(Height(3)) == store.block_entries(Height(3)) == []
    assert store.height_of(BlockId(NETWORK)) is None
    assert store.place(TransactionId(NETWORK)) is None
    assert store.transaction(Digest(NETWORK)) is None
    assert store.entry(6) is None
    assert len(store.entries(4, 100)) == 2


def test_log_proofs_at_any_size_verify(database):
    executions = grown(database, 6)
    store = LedgerStore(database)
    entries = [entry for execution in executions for entry in execution.entries]
    for execution in executions:
        checkpoint = execution.checkpoint
        assert store.log_root(checkpoint.log_size) == checkpoint.log_root == root_of(entries[: checkpoint.log_size])
        for index in range(checkpoint.log_size):
            path = store.prove_inclusion(index, checkpoint.log_size)
            verify_inclusion(leaf_hash(entries[index]), index, checkpoint.log_size, path, checkpoint.log_root)
        path = store.prove_consistency(checkpoint.log_size, store.log_size)
        verify_consistency(
            checkpoint.log_size, store.log_size, path, checkpoint.log_root, store.log_root(store.log_size)
        )


def test_state_proofs_at_any_height_verify(database):
    executions = grown(database, 12)
    store = LedgerStore(database)
    for execution in executions:
        checkpoint = execution.checkpoint
        for key in (b"test/each", b"test/1", b"test/4", b"membership/parameters", b"absent"):
            value, proof = store.prove_state(key, checkpoint.height)
            verify_ics23(proof, checkpoint.state_root, key, value)
        assert store.prove_state(b"test/each", checkpoint.height)[0] == b"%d" % checkpoint.height
    assert store.read_state(b"test/each") == b"12"


def test_block_without_transactions_or_writes_moves_the_tip_alone(database):
    executions = grown(database, 2)
    store = LedgerStore(database)
    execution = executed(store, 0)
    execution = replace(
        execution, writes=(), checkpoint=replace(execution.checkpoint, state_root=executions[-1].checkpoint.state_root)
    )
    commit(store, execution)
    reopened = LedgerStore(database)
    assert reopened.height == 3
    assert reopened.block_entries(Height(3)) == []
    value, proof = reopened.prove_state(b"test/each", Height(3))
    assert value == b"2"
    verify_ics23(proof, execution.checkpoint.state_root, b"test/each", value)


def test_ids_are_remembered_until_their_time_has_passed(database):
    executions = grown(database, 9)
    store = LedgerStore(database)
    expected = {
        (transaction_id, expires)
        for execution in executions
        for transaction_id, expires in zip(execution.transaction_ids, execution.expirations_ms, strict=True)
        if expires >= executions[-1].block.time_ms
    }
    assert set(store.remembered(Millis(0))) == set(store.remembered(executions[-1].block.time_ms)) == expected
    late = Millis(executions[-1].block.time_ms + 5 * SECOND_MS)
    assert set(store.remembered(late)) == {(i, e) for i, e in expected if e >= late} != expected


def test_closing_block_brings_the_next_set_back_after_a_restart(database):
    store = started(database)
    commit(store, executed(store))
    first = LedgerStore(database).executed()
    assert first is not None
    assert (first.checkpoint.height, first.next_set) == (1, None)
    commit(store, executed(store, closing=True))
    second = LedgerStore(database).executed()
    assert second is not None
    assert second.checkpoint.closes_epoch
    assert second.next_set == NEXT_SET


def test_commit_of_another_execution_or_height_is_our_error(database):
    store = started(database)
    execution = executed(store)
    log, state = store.append_log(execution.entries), store.update_state(execution.writes, Height(1))
    with pytest.raises(AssertionError):
        store.commit(execution, store.append_log([b"other"]), state)
    with pytest.raises(AssertionError):
        store.commit(execution, log, store.update_state([(b"test/other", b"1")], Height(1)))
    store.commit(execution, log, state)
    with pytest.raises(AssertionError):
        store.commit(execution, log, state)


class FailingDatabase(MemoryDatabase):
    """A disk whose next write fails; what it was to write may be there or not."""

    def __init__(self, *, persists: bool) -> None:
        super().__init__()
        self.persists = persists
        self.fails = False
        self.batches = 0

    def write(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes] = (), *, sync: bool = True) -> None:
        self.batches += 1
        if self.fails and not self.persists:
            raise StorageError("the disk is full")
        super().write(puts, deletes, sync=sync)
        if self.fails:
            raise StorageError("the disk went away")


@pytest.mark.parametrize("persists", [False, True])
def test_block_whose_write_failed_is_there_whole_or_not_at_all(persists):
    database = FailingDatabase(persists=persists)
    store = started(database)
    commit(store, executed(store))
    execution = executed(store)
    database.batches = 0
    database.fails = True
    before = database.pairs()
    with pytest.raises(StorageError):
        commit(store, execution)
    assert database.batches == 1
    assert store.height == 1
    database.fails = False
    reopened = LedgerStore(database)
    assert reopened.height == (2 if persists else 1)
    if not persists:
        assert database.pairs() == before
        commit(reopened, executed(reopened))
    assert reopened.newest() == execution.checkpoint


def test_old_states_are_pruned_to_the_last_thousand_in_bounded_pieces():
    database = MemoryDatabase()
    executions = grown(database, VERSIONS_KEPT + 20, count=1, skipped=())
    store = LedgerStore(database)
    pieces = []
    while deleted := store.prune_state(keys_max=10):
        pieces.append(deleted)
    assert len(pieces) > 3
    assert max(pieces) < 30
    assert store.oldest_state == 21
    with pytest.raises(Refused, match="pruned"):
        store.prove_state(b"test/each", Height(20))
    reopened = LedgerStore(database)
    for height in (21, VERSIONS_KEPT, VERSIONS_KEPT + 20):
        value, proof = reopened.prove_state(b"test/each", Height(height))
        verify_ics23(proof, executions[height - 1].checkpoint.state_root, b"test/each", value)


def test_archive_keeps_each_state():
    database = MemoryDatabase()
    grown(database, VERSIONS_KEPT + 2, count=0, skipped=())
    store = LedgerStore(database, archive=True)
    assert store.prune_state() == 0
    assert store.prove_state(b"test/each", Height(1))[0] == b"1"


def test_directory_of_a_newer_format_is_refused(database):
    grown(database, 1)
    database.write({FORMAT_KEY: (FORMAT + 1).to_bytes(4)})
    with pytest.raises(StorageError, match=f"format {FORMAT + 1}.*newer program"):
        LedgerStore(database)


@pytest.mark.parametrize("damage", ["tip", "log", "log-gone", "state", "other-tip"])
def test_damaged_ledger_is_refused_at_the_start(damage):
    database = MemoryDatabase()
    executions = grown(database, 3)
    pairs = database.pairs()
    tile = b"L" + bytes(9)
    root = next(key for key in sorted(pairs, reverse=True) if key.startswith(b"Sr"))
    if damage == "tip":
        database.write({TIP_KEY: pairs[TIP_KEY][:-1]})
    elif damage == "log":
        database.write({tile: pairs[tile][:-1] + b"\x00"})
    elif damage == "log-gone":
        database.write({}, [tile])
    elif damage == "state":
        database.write({root: b"\x01" + pairs[root][1:]})
    else:
        database.write({TIP_KEY: executions[1].checkpoint.encode()})
    with pytest.raises(StorageError, match="damaged"):
        LedgerStore(database)


def certified(checkpoint: Checkpoint) -> CertifiedCheckpoint:
    return CertifiedCheckpoint(checkpoint.encode(), b"\x07", bytes(96))


def test_certified_checkpoints_are_found_by_height_and_newest(database):
    executions = grown(database, 6)
    store = LedgerStore(database)
    assert store.proofs.newest_certified() is None
    assert store.proofs.certified_from(Height(1)) is None
    for execution in (executions[1], executions[4]):
        store.proofs.save_certified(certified(execution.checkpoint), execution.checkpoint)
    second, fifth = certified(executions[1].checkpoint), certified(executions[4].checkpoint)
    assert store.proofs.newest_certified() == (5, fifth)
    assert store.proofs.certified_from(Height(1)) == store.proofs.certified_from(Height(2)) == (2, second)
    assert store.proofs.certified_from(Height(3)) == (5, fifth)
    assert store.proofs.certified_from(Height(6)) is None


def test_closing_checkpoints_are_kept_by_epoch_and_count_as_certified(database):
    store = started(database)
    closings = []
    for epoch in (1, 2, 3):
        checkpoint = replace(executed(store, closing=True).checkpoint, epoch=Epoch(epoch), height=Height(epoch * 10))
        closings.append(ClosingCheckpoint(certified(checkpoint), NEXT_SET.encode()))
        store.proofs.save_closing(closings[-1], checkpoint)
    assert store.proofs.closings(Epoch(1), 10) == closings
    assert store.proofs.closings(Epoch(2), 1) == closings[1:2]
    assert store.proofs.closings(Epoch(4), 10) == []
    assert store.proofs.newest_certified() == (30, closings[2].certified)


def test_finality_of_a_range_is_shown_at_its_greatest_height_that_has_proof(database):
    executions = grown(database, 6)
    store = LedgerStore(database)
    assert store.proofs.finality_within(Height(1), Height(6)) is None
    final = Certificate(pb.KIND_FINALIZE, Epoch(1), View(3), executions[2].block.id, b"\x07", bytes(96))
    store.proofs.save_finalization(Height(3), final)
    store.proofs.save_certified(certified(executions[1].checkpoint), executions[1].checkpoint)
    assert store.proofs.finality_within(Height(1), Height(6)) == (3, final)
    assert store.proofs.finality_within(Height(1), Height(2)) == (2, certified(executions[1].checkpoint))
    assert store.proofs.finality_within(Height(4), Height(6)) is None


def test_damaged_proof_is_a_storage_error():
    database = MemoryDatabase()
    store = started(database)
    for kind in (b"Q", b"K", b"F"):
        database.write({kind + (5).to_bytes(8): b"\xff"})
    for read in (
        store.proofs.newest_certified,
        lambda: store.proofs.closings(Epoch(1), 1),
        lambda: store.proofs.finality_within(Height(1), Height(9)),
    ):
        with pytest.raises(StorageError, match="damaged"):
            read()
