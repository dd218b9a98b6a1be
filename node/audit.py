# SPDX-License-Identifier: Apache-2.0
"""Executes a stored history again from its raw blocks and compares every record that it yields, byte for byte.

Nothing of what is stored is believed but genesis: block links, digests, every signature and every certificate are
checked, and the real `chain.ledger.Ledger` over a scratch database says what entries, outcomes, checkpoints, log tiles,
ids and state must be. What can't be executed, because the state before it is not held, is said.

Signatures are checked in processes of their own a few pieces ahead of execution; memory holds those pieces, one block
and the caches of one ledger.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass

from chain.application import Execution
from chain.checkpoint import Checkpoint, ValidatorSet
from chain.errors import Refused
from chain.genesis import Genesis
from chain.ledger import Ledger
from chain.storage import Database, Reader
from chain.types import BlockId, Millis
from node.audit_faults import Damaged, Fault, compare, fail, fail_missing
from node.audit_history import History
from node.audit_log import edge_at, places_before
from node.audit_marks import check_edges, check_marks
from node.audit_proofs import Epochs, certified_bytes, check_certified, check_finalization
from node.audit_read import StoredBlock, stored_blocks
from node.audit_scope import Scope, ScopeError, find_scope
from node.audit_scratch import Scratch, Span, compare_tables, copy_state, is_copied, seed
from node.audit_work import SignedRecord, Workers, Wrong, check_piece, pieces_of
from node.modules import ledger_modules
from node.store import LedgerStore
from node.store_keys import BlockOutcome, numbered

CHUNK_TRANSACTIONS = 1_024
"""A chunk of blocks ends with the block that reaches this: enough pieces for some processes."""
CHUNK_BYTES = 4 * 1024 * 1024
"""Likewise: bounds what a chunk takes beside one block."""
CHUNK_BLOCKS = 64
"""Likewise, where blocks are empty: what counts then are certificates, 2 ms each."""
CHUNKS_AHEAD = 4
"""Read and handed to workers while one is executed; 40 MB at most, with full blocks."""
PRUNE_EVERY = 256
"""Blocks between two prunings of the scratch while it holds states that the stored ledger has forgotten."""
REPORT_EVERY_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an audit has come.

    Attributes:
        blocks: How many were compared.
        blocks_total: How many there are in the range.
        transactions: How many were executed so far.
    """

    blocks: int
    blocks_total: int
    transactions: int


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What an audit found.

    Attributes:
        scope: Which blocks were meant, and where execution began; None if the records that say so are damaged.
        followed: How many blocks before the first one executed were checked by what needs no execution.
        blocks: How many were executed and compared.
        certificates: How many of quorums' certificates were checked.
        records: How many records were compared beside those of single blocks.
        certified_height: The newest certified height among the blocks.
        seconds: How long it took.
        fault: The first record that is wrong; None if there is none.
    """

    scope: Scope | None
    followed: int
    blocks: int
    transactions: int
    entries: int
    certificates: int
    records: int
    certified_height: int
    seconds: float
    fault: Fault | None


def audit(
    reader: Reader,
    genesis: Genesis,
    scratch: Database,
    workers: Workers,
    *,
    first: int | None = None,
    last: int | None = None,
    progress: Callable[[Progress], None] = lambda _progress: None,
) -> AuditReport:
    """Check a stored ledger from its oldest block, or a range of its heights.

    Args:
        reader: One moment of the ledger's database.
        genesis: Of the network.
        scratch: Empty; may be thrown away after.
        workers: Who checks signatures.
        first: The first block to execute; the oldest possible if None.
        last: The last block; the newest if None.
        progress: Is told a few times a second.

    Returns:
        What was found; the first damage ends the audit.

    Raises:
        ScopeError: The range can't be audited; the reason says from where it can.
        ConfigError: The ledger is another network's, or of another format.
        StorageError: Something can't be read or written.
    """
    began = time.monotonic()
    run = _Audit(reader, genesis, Scratch(scratch), workers, progress)
    scope: Scope | None = None
    fault: Fault | None = None
    try:
        scope = find_scope(reader, genesis, first, last)
        run.run(scope)
    except Damaged as damage:
        fault = damage.fault
    return AuditReport(
        scope,
        run.followed,
        run.blocks,
        run.transactions,
        run.entries,
        run.certificates,
        run.records,
        run.certified_height,
        time.monotonic() - began,
        fault,
    )


class _Chunk:
    """Some blocks, with the checks of their signatures under way."""

    def __init__(self) -> None:
        self.blocks: list[StoredBlock] = []
        self.checks: list[Future[Wrong | None]] = []
        self.damage: Damaged | None = None

    def wrong(self) -> Wrong | None:
        """The first bad signature, once all checks are done."""
        return min((found for check in self.checks if (found := check.result()) is not None), default=None)


class _Audit:
    def __init__(
        self,
        reader: Reader,
        genesis: Genesis,
        scratch: Scratch,
        workers: Workers,
        progress: Callable[[Progress], None],
    ) -> None:
        self._reader = reader
        self._genesis = genesis
        self._scratch = scratch
        self._workers = workers
        self._progress = progress
        self._reported = 0.0
        self.blocks = self.transactions = self.entries = self.certificates = self.records = self.certified_height = 0
        self.followed = 0
        self._above, self._size_before = -1, 0

    def run(self, scope: Scope) -> None:
        """Everything, in order; ends with `Damaged` at the first fault."""
        epochs = Epochs(self._reader, self._genesis)
        if scope.base is not None:
            self._check_base(scope.base, epochs)
            self._follow(scope, epochs)
            seed(self._scratch, self._reader, scope.base, scope.first_leaf)
        ledger = self._open()
        if scope.base is not None and ledger.validators != epochs.sets.get(ledger.validators.epoch):
            fail_missing(numbered(b"K", ledger.validators.epoch - 1))
        parent_id = BlockId(self._genesis.network) if scope.base is None else scope.base.block_id
        time_ms = self._genesis.time_ms if scope.base is None else scope.base.time_ms
        for block in self._checked(scope.first, scope.last, parent_id, time_ms, epochs):
            self._execute(ledger, block, scope, epochs)
            if block.height == scope.forgotten and is_copied(self._reader, block.height):
                copy_state(self._scratch, self._reader, block.height, self._state_root)
                ledger = self._open()
        if scope.base is not None and not self.certified_height:
            raise ScopeError(
                f"no checkpoint from height {scope.base.height} to {scope.last} is certified, so nothing vouches for "
                "the state that the range begins with; choose one that ends later or begins earlier"
            )
        self._finish(scope, epochs)

    def _open(self) -> Ledger:
        """The ledger over the scratch as it is now."""
        registry, authority = ledger_modules()
        ledger = Ledger(LedgerStore(self._scratch, archive=True), self._genesis, registry, authority)
        self._scratch.take()
        return ledger

    def _check_base(self, base: Checkpoint, epochs: Epochs) -> None:
        """Check the certificate of the checkpoint that execution begins after, if there is one of its very height.

        If there is none, the first certified checkpoint after it vouches for it: another state yields another root.
        """
        key = numbered(b"Q", base.height)
        raw = self._reader.get(key)
        if raw is None:
            return
        record = SignedRecord(base.height, key, raw, epochs.validators(key, base.epoch).encode())
        wrong = check_piece(self._genesis.network, [record])
        if wrong is None:  # then it is the other record that is wrong, if they differ
            compare(numbered(b"C", base.height), certified_bytes(base.height, raw), base.encode())
        check_certified(base.height, raw, base.encode())
        if wrong is not None:
            fail(key, wrong.reason)
        self.certificates, self.certified_height = 1, base.height

    def _follow(self, scope: Scope, epochs: Epochs) -> None:
        """Check the blocks for whose execution no state is held, by all that needs none."""
        first, base = scope.follow_from, scope.base
        assert base is not None
        self._above, self._size_before = base.height, base.log_size
        if first is None:
            return
        key = numbered(b"O", first)
        outcome = self._reader.get(key)
        if outcome is None:
            fail_missing(key)
        self._above, self._size_before = first - 1, BlockOutcome.decode(outcome).first_leaf
        # The first block's checkpoint proves this edge, once its entries are added.
        self._scratch.write(edge_at(self._reader, self._size_before))
        self._scratch.write(dict(places_before(self._reader, base, scope.first_leaf, self._size_before)))
        history = History(self._genesis.network, self._scratch, self._size_before)
        for block in self._checked(first, base.height, None, Millis(0), epochs):
            _, derived = history.step(block, self._reader)
            self._scratch.write(derived)
            self.followed += 1
            self._report(scope)

    # ------------------------------------------------------------ reading ahead

    def _checked(
        self, first: int, last: int, parent_id: BlockId | None, time_ms: Millis, epochs: Epochs
    ) -> Iterator[StoredBlock]:
        """Blocks in order, each once the signatures of all before it are checked."""
        for chunk in self._chunks(first, last, parent_id, time_ms, epochs):
            wrong = chunk.wrong()
            for block in chunk.blocks:
                if wrong is not None and wrong.height < block.height:
                    break
                yield block
            if wrong is not None:
                fail(wrong.key, wrong.reason)
            if chunk.damage is not None:
                raise chunk.damage

    def _chunks(
        self, first: int, last: int, parent_id: BlockId | None, time_ms: Millis, epochs: Epochs
    ) -> Iterator[_Chunk]:
        """Chunks in order, some ahead; a fault met on reading comes after the blocks before it."""
        ahead: deque[_Chunk] = deque()
        for chunk in self._read(stored_blocks(self._reader, first, last, parent_id, time_ms), epochs):
            ahead.append(chunk)
            if len(ahead) > CHUNKS_AHEAD:
                yield ahead.popleft()
        yield from ahead

    def _read(self, blocks: Iterator[StoredBlock], epochs: Epochs) -> Iterator[_Chunk]:
        chunk, transactions, size_bytes = _Chunk(), 0, 0
        while True:
            try:
                block = next(blocks, None)
                if block is not None:
                    self._hand_over(chunk, block, epochs)
            except Damaged as damage:
                chunk.damage = damage
                block = None
            if block is None:
                yield chunk
                return
            chunk.blocks.append(block)
            transactions += len(block.transactions)
            size_bytes += sum(len(transaction.raw) for transaction in block.transactions)
            if transactions >= CHUNK_TRANSACTIONS or size_bytes >= CHUNK_BYTES or len(chunk.blocks) >= CHUNK_BLOCKS:
                yield chunk
                chunk, transactions, size_bytes = _Chunk(), 0, 0

    def _hand_over(self, chunk: _Chunk, block: StoredBlock, epochs: Epochs) -> None:
        """Let the workers check a block's signatures and certificates."""
        height = block.height
        records = [
            SignedRecord(height, key, value, b"") for key, value in sorted(block.records.items()) if key[:1] == b"X"
        ]
        for kind in (b"F", b"Q"):
            raw = block.get(kind)
            if raw is not None:
                key = numbered(kind, height)
                validators = epochs.validators(key, block.block.epoch).encode()
                records.append(SignedRecord(height, key, raw, validators))
                self.certificates += 1
        for piece in pieces_of(records):
            chunk.checks.append(self._workers.submit(self._genesis.network, piece))

    # ------------------------------------------------------------ executing

    def _execute(self, ledger: Ledger, stored: StoredBlock, scope: Scope, epochs: Epochs) -> None:
        """Execute one block and compare what it yields with what is stored."""
        block = stored.block
        key = numbered(b"B", block.height)
        if block.epoch != ledger.validators.epoch:
            fail(key, f"the block says that its epoch is {block.epoch}; it is {ledger.validators.epoch}")
        try:
            ledger.validate(stored.transactions)
        except Refused as refusal:
            fail(key, refusal.reason)
        size_before = self._log_size(ledger, scope)
        execution = ledger.execute(block, stored.transactions)
        ledger.commit(execution)
        self._compare(stored, execution, size_before)
        if execution.next_set is not None:
            self._check_closing(execution.checkpoint, execution.next_set, epochs, scope)
        if scope.forgotten >= block.height and (block.height == scope.forgotten or not block.height % PRUNE_EVERY):
            self._scratch.prune(block.height)
        self._size, self._state_root = execution.checkpoint.log_size, execution.checkpoint.state_root
        self.blocks += 1
        self.transactions += len(stored.transactions)
        self.entries += len(execution.entries)
        self._report(scope)

    def _report(self, scope: Scope) -> None:
        now = time.monotonic()
        done = self.followed + self.blocks
        total = scope.last - (scope.first if scope.follow_from is None else scope.follow_from) + 1
        if now - self._reported >= REPORT_EVERY_SECONDS or done == total:
            self._reported = now
            self._progress(Progress(done, total, self.transactions))

    def _log_size(self, ledger: Ledger, scope: Scope) -> int:
        """Entries before the next block."""
        if self.blocks:
            return self._size
        assert ledger.tip().height == scope.first - 1
        return 0 if scope.base is None else scope.base.log_size

    def _compare(self, stored: StoredBlock, execution: Execution, size_before: int) -> None:
        """Compare the block's own records, entries first: they show a difference most closely."""
        computed = self._scratch.take()
        size = execution.checkpoint.log_size
        found = dict(self._reader.range(numbered(b"E", size_before), numbered(b"E", size)))
        for kind in b"EOVC":
            chosen = {key: value for key, value in computed.items() if key[0] == kind}
            rows = found if kind == ord("E") else {k: v for k, v in stored.records.items() if k[0] == kind}
            for key in sorted(chosen.keys() | rows.keys()):
                compare(key, chosen.get(key), rows.get(key))
        certified, finalization = stored.get(b"Q"), stored.get(b"F")
        if certified is not None:
            check_certified(stored.height, certified, execution.checkpoint.encode())
            self.certified_height = stored.height
        if finalization is not None:
            check_finalization(stored.height, finalization, stored.block)

    def _check_closing(self, checkpoint: Checkpoint, next_set: ValidatorSet, epochs: Epochs, scope: Scope) -> None:
        """Check that the closing checkpoint leads to the set that execution names."""
        key = numbered(b"K", checkpoint.epoch)
        closed = epochs.closed.get(checkpoint.epoch)
        if closed is None:
            if checkpoint.height < scope.tip.height:
                fail_missing(key)
        elif closed != checkpoint or epochs.sets[next_set.epoch] != next_set:
            fail(key, "a quorum closed the epoch with another checkpoint than execution yields")

    # ------------------------------------------------------------ the end

    def _finish(self, scope: Scope, epochs: Epochs) -> None:
        """Compare what does not lie in the order of blocks, and look for what should not be there."""
        base = scope.base
        span = Span(
            above=self._above,
            has_older_ids=scope.follow_from is not None,
            log_size=self._size_before,
            last=scope.last,
            is_tip=scope.is_tip,
            state_above=-1 if base is None or base.height == scope.forgotten else base.height,
            has_state=scope.forgotten <= scope.last,
        )
        self.records = compare_tables(self._scratch, self._reader, span)
        if scope.is_tip:
            check_marks(self._reader, self._genesis, scope)
            check_edges(self._reader, scope, epochs)
