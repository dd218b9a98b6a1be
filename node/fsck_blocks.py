# SPDX-License-Identifier: Apache-2.0
"""Checks the stored blocks with all that hangs on them: bodies, outcomes, entries, the log's tiles, ids, checkpoints.

One walk from the oldest block to the newest beside ordered scans of the tables by height. What the tables by hash must
hold is handed to `node.fsck_ids`, the entries to `node.fsck_log`.
"""

import contextlib
from collections.abc import Iterator

from chain.checkpoint import Checkpoint, ValidatorSet
from chain.codec import decode
from chain.consensus.block import Block
from chain.errors import InvalidMessage
from chain.log import leaf_hash
from chain.log_tiles import TILE_WIDTH
from chain.pb import ledger_pb2 as pb
from chain.storage import Reader
from chain.transaction import Header
from chain.types import HASH_BYTES, TRANSACTION_BYTES_MAX, TRANSACTION_LIFETIME_MS_MAX, BlockId, Height, Network, sha256
from node.fsck_findings import Cursor, Findings, Progress, Span
from node.fsck_ids import ENTRY_BYTES_MAX, IdsCheck
from node.fsck_log import Leaf, LogCheck
from node.store_keys import HORIZON_KEY, TIP_KEY, BlockOutcome, Place, body_key, numbered

_PLACE_BYTES = 20


class BlocksCheck:
    """One check of the blocks.

    With `exact`, each record by hash is looked at; else only whether all of them are right together.

    Attributes:
        closings: Of each epoch that a stored block closed: its height, and the set that it names if that is stored.
    """

    def __init__(
        self, reader: Reader, findings: Findings, network: Network, span: Span, progress: Progress, *, exact: bool
    ) -> None:
        self._reader = reader
        self._findings = findings
        self._network = network
        self._span = span
        self._progress = progress
        self._blocks = self._cursor(b"B", "a block")
        self._outcomes = self._cursor(b"O", "the outcome of a block")
        self._checkpoints = self._cursor(b"C", "the checkpoint of a block")
        self._sets = self._cursor(b"V", "the next epoch's validators")
        self._bodies = Cursor(findings, reader, body_key(span.first_block, 0), b"Y", "a transaction")
        self._entries = Cursor(findings, reader, numbered(b"E", span.first_leaf), b"F", "an entry")
        self._roots = _state_roots(reader)
        self._state_root: tuple[int, bytes] | None = None
        self._next_root = next(self._roots, None)
        self._exact = exact
        self._ids = IdsCheck(reader, findings, span, progress, exact=exact)
        self._log = LogCheck(reader, findings, span.first_leaf)
        self._parent: Block | None = None
        self.closings: dict[int, tuple[int, ValidatorSet | None]] = {}

    @property
    def must_be_exact(self) -> bool:
        """Whether a look at each record by hash would find something."""
        return self._ids.differs

    def run(self) -> None:
        """Check all blocks, then what is left over."""
        span = self._span
        self._check_earlier_entries()
        for height in range(span.first_block, span.tip.height + 1):
            if height % 500 == 0:
                self._progress("blocks", height, span.tip.height)
            self._check_block(height)
        for cursor in (self._blocks, self._outcomes, self._checkpoints, self._sets, self._bodies, self._entries):
            cursor.finish()
        self._log.finish()
        self._ids.finish()

    def _cursor(self, kind: bytes, name: str) -> Cursor:
        start, stop = numbered(kind, self._span.first_block), bytes((kind[0] + 1,))
        return Cursor(self._findings, self._reader, start, stop, name)

    # ---------------------------------------------------------------- one block

    def _check_block(self, height: int) -> None:
        checkpoint = self._read_checkpoint(height)
        block = self._read_block(height)
        outcome = self._read_outcome(height)
        if block is not None:
            self._check_place(block, checkpoint)
            self._parent = block
        else:
            self._parent = None
        skipped = frozenset(() if outcome is None else outcome.skipped)
        count = self._count_entries(height, None if outcome is None else block, skipped, checkpoint)
        if outcome is not None and outcome.first_leaf != self._log.size:
            self._findings.wrong(
                numbered(b"O", height), f"its first entry is {outcome.first_leaf}; there are {self._log.size} so far"
            )
        transactions = self._check_bodies(height, block, skipped)
        self._check_entries(height, count, [] if outcome is None else transactions, checkpoint)
        self._check_sets(height, checkpoint)
        self._check_state_root(height, checkpoint)

    def _read_checkpoint(self, height: int) -> Checkpoint | None:
        key = numbered(b"C", height)
        raw = self._checkpoints.take(key)
        if raw is None:
            return None
        try:
            checkpoint = Checkpoint.decode(raw)
        except InvalidMessage as error:
            self._findings.wrong(key, f"is no checkpoint: {error.reason}")
            return None
        if checkpoint.network != self._network or checkpoint.height != height:
            self._findings.wrong(key, "is a checkpoint of another height or network")
            return None
        if height == self._span.tip.height and checkpoint != self._span.tip:
            self._findings.wrong(TIP_KEY, f"is not the checkpoint that is stored for height {height}")
        return checkpoint

    def _read_block(self, height: int) -> Block | None:
        key = numbered(b"B", height)
        raw = self._blocks.take(key)
        if raw is None:
            return None
        try:
            return Block.decode(raw)
        except InvalidMessage as error:
            self._findings.wrong(key, f"is no block: {error.reason}")
            return None

    def _read_outcome(self, height: int) -> BlockOutcome | None:
        key = numbered(b"O", height)
        raw = self._outcomes.take(key)
        if raw is None:
            return None
        if len(raw) < 8 or len(raw) % 4:
            self._findings.wrong(key, "is no outcome of a block")
            return None
        outcome = BlockOutcome.decode(raw)
        if list(outcome.skipped) != sorted(set(outcome.skipped)):
            self._findings.wrong(key, "names the transactions without an entry in another order, or one twice")
        return outcome

    def _check_place(self, block: Block, checkpoint: Checkpoint | None) -> None:
        """Compare a block with its height, its parent, its checkpoint and the record of its id."""
        height = self._span.first_block if self._parent is None else self._parent.height + 1
        key = numbered(b"B", block.height if self._parent is None else height)
        if checkpoint is not None:
            ends = (checkpoint.block_id, checkpoint.height, checkpoint.epoch, checkpoint.time_ms)
            if ends != (block.id, block.height, block.epoch, block.time_ms):
                self._findings.wrong(
                    numbered(b"B", checkpoint.height), "is not the block that the checkpoint of its height names"
                )
                return
        if self._parent is not None and (block.parent_id, block.height) != (self._parent.id, height):
            self._findings.wrong(key, f"is not a child of the block at height {self._parent.height}")
        if block.height == 1 and block.parent_id != BlockId(self._network):
            self._findings.wrong(key, "the first block is not a child of the network's genesis")
        self._check_block_id(block)

    def _check_block_id(self, block: Block) -> None:
        if not self._exact:
            self._ids.expect(b"H" + block.id, block.height.to_bytes(8))
            return
        found = self._reader.get(b"H" + block.id)
        if found is None:
            self._findings.missing(b"H" + block.id, f"the id of the block at height {block.height} is not stored")
            return
        self._ids.counts[b"H"] += 1
        if found != block.height.to_bytes(8):
            self._findings.wrong(b"H" + block.id, f"does not say that the block stands at height {block.height}")

    def _count_entries(
        self, height: int, block: Block | None, skipped: frozenset[int], checkpoint: Checkpoint | None
    ) -> int:
        """How many entries a block has, from whatever is there."""
        listed = None if block is None else len(block.digests) - len(skipped)
        certified = None if checkpoint is None else checkpoint.log_size - self._log.size
        if listed is not None and certified is not None and listed != certified:
            self._findings.wrong(
                numbered(b"O", height),
                f"leaves {listed} transactions with an entry; the checkpoints say that the block has {certified}",
            )
        return max(0, certified if certified is not None else listed or 0)

    def _check_bodies(self, height: int, block: Block | None, skipped: frozenset[int]) -> list[tuple[int, bytes]]:
        """Compare a block's transactions with their digests; those with an entry, with their positions."""
        executed: list[tuple[int, bytes]] = []
        if block is None:
            return executed
        for position, digest in enumerate(block.digests):
            key = body_key(height, position)
            raw = self._bodies.take(key)
            if raw is not None and sha256(raw) != digest:
                self._findings.wrong(key, "does not have the digest that its block lists")
            if position not in skipped:
                executed.append((position, raw or b""))
            if not self._exact:
                self._ids.expect(b"D" + digest, key[1:])
                continue
            place = self._reader.get(b"D" + digest)
            if place is None:
                self._findings.missing(b"D" + digest, f"the digest of transaction {position} of block {height}")
            elif place == key[1:]:
                self._ids.counts[b"D"] += 1
            elif not key[1:] < place < body_key(self._span.tip.height + 1, 0)[1:]:
                self._findings.wrong(b"D" + digest, f"does not name block {height} or a later one that lists it too")
                self._ids.counts[b"D"] += 1
        return executed

    # ---------------------------------------------------------------- entries and the log

    def _check_earlier_entries(self) -> None:
        """Entries before the oldest block: held for the ids of their transactions, which may not come again."""
        span = self._span
        last = span.tip if span.first_block > span.tip.height else None
        stop = self._first_leaf_of_blocks() if last is None else last.log_size
        if stop < self._log.size:
            self._findings.wrong(HORIZON_KEY, f"the oldest entry held is not {self._log.size}: a block has {stop}")
        while self._log.size < min(stop, span.tip.log_size):
            leaves: list[Leaf] = []
            for index in range(self._log.size, min(self._log.size + TILE_WIDTH, stop)):
                leaf, entry = self._read_entry(index)
                leaves.append(leaf)
                if entry is not None:
                    self._check_id(index, entry, None)
            self._log.append(leaves, last if leaves[-1].index + 1 == stop else None, span.tip.height)

    def _first_leaf_of_blocks(self) -> int:
        """Index of the oldest block's first entry: by its checkpoint and its size, else by its outcome."""
        height = self._span.first_block
        block, outcome, checkpoint = (self._reader.get(numbered(kind, height)) for kind in (b"B", b"O", b"C"))
        if height == 1 or outcome is None:
            return self._log.size
        first_leaf = int.from_bytes(outcome[:8])
        if block is not None and checkpoint is not None:
            with contextlib.suppress(InvalidMessage):
                listed = len(Block.decode(block).digests) - len(BlockOutcome.decode(outcome).skipped)
                first_leaf = Checkpoint.decode(checkpoint).log_size - listed
        return first_leaf

    def _check_entries(
        self, height: int, count: int, transactions: list[tuple[int, bytes]], checkpoint: Checkpoint | None
    ) -> None:
        """Compare a block's entries with its transactions, and the log with its checkpoint."""
        leaves: list[Leaf] = []
        for position in range(count):
            index = self._log.size + position
            leaf, entry = self._read_entry(index)
            leaves.append(leaf)
            if entry is None:
                continue
            if (entry.height, entry.position) != (height, position):
                self._findings.wrong(numbered(b"E", index), f"is not entry {position} of block {height}")
                continue
            if position >= len(transactions):
                continue
            place, raw = transactions[position]
            self._check_id(index, entry, place)
            if raw and not _has_header(raw, entry.header):
                # Entry and transaction are each checked against their own hash, so this is the record that is wrong.
                self._findings.wrong(numbered(b"O", height), f"gives transaction {place} the entry of another one")
        self._log.append(leaves, checkpoint, height)

    def _read_entry(self, index: int) -> tuple[Leaf, pb.Entry | None]:
        key = numbered(b"E", index)
        raw = self._entries.take(key)
        if raw is None:
            return Leaf(index, None), None
        try:
            return Leaf(index, leaf_hash(raw)), decode(pb.Entry, raw, ENTRY_BYTES_MAX)
        except InvalidMessage as error:
            self._findings.wrong(key, f"is no entry: {error.reason}")
            return Leaf(index, leaf_hash(raw)), None

    def _check_id(self, index: int, entry: pb.Entry, position: int | None) -> None:
        """Compare the records of a transaction's id with its entry."""
        transaction_id = sha256(entry.header)
        key = b"T" + transaction_id
        expected = Place(index, Height(entry.height), position or 0).encode()
        raw = self._reader.get(key) if self._exact else None
        if not self._exact:
            self._ids.expect(key, expected[:16] if position is None else expected)
        elif raw is None:
            self._findings.missing(key, f"the id of the transaction of entry {index} is not stored")
        else:
            self._ids.counts[b"T"] += 1
            place = Place.decode(raw)
            if (
                len(raw) != _PLACE_BYTES
                or (place.leaf_index, place.height) != (index, entry.height)
                or position not in {None, place.position}
            ):
                self._findings.wrong(key, f"does not say where the transaction of entry {index} stands")
        if entry.time_ms + TRANSACTION_LIFETIME_MS_MAX < self._span.tip.time_ms:
            return
        try:
            expires_at_ms = Header.decode(entry.header).expires_at_ms
        except InvalidMessage as error:
            self._findings.wrong(numbered(b"E", index), f"its header is none: {error.reason}")
            return
        if expires_at_ms >= self._span.tip.time_ms:
            self._check_remembered(numbered(b"R", expires_at_ms) + transaction_id, index)

    def _check_remembered(self, key: bytes, index: int) -> None:
        if not self._exact:
            self._ids.expect(key, b"")
            return
        found = self._reader.get(key)
        if found is None:
            self._findings.missing(key, f"the transaction of entry {index} could be executed again")
            return
        self._ids.counts[b"R"] += 1
        if found:
            self._findings.wrong(key, "holds a value")

    # ---------------------------------------------------------------- validators and state

    def _check_sets(self, height: int, checkpoint: Checkpoint | None) -> None:
        """Compare the next epoch's set with the checkpoint that names it."""
        if checkpoint is None or not checkpoint.closes_epoch:
            return
        key = numbered(b"V", height)
        raw = self._sets.take(key)
        validators = None
        if raw is not None and sha256(raw) != checkpoint.next_validators:
            self._findings.wrong(key, "is not the set that the checkpoint of its height names")
        elif raw is not None:
            validators = ValidatorSet.decode(raw)
        self.closings[checkpoint.epoch] = (height, validators)

    def _check_state_root(self, height: int, checkpoint: Checkpoint | None) -> None:
        """Compare a checkpoint's state root with the newest root stored up to its height, if that is held."""
        while self._next_root is not None and self._next_root[0] <= height:
            self._state_root, self._next_root = self._next_root, next(self._roots, None)
        if checkpoint is None or self._state_root is None:
            return
        version, root = self._state_root
        if root != checkpoint.state_root and version == height:
            self._findings.wrong(b"Sr" + height.to_bytes(8), "is not the state root of the checkpoint of its height")
        elif root != checkpoint.state_root:
            self._findings.missing(
                b"Sr" + height.to_bytes(8), f"the root of the state at height {height} is not stored"
            )


def _state_roots(reader: Reader) -> Iterator[tuple[int, bytes]]:
    """The versions of the state that are held, ascending, with their roots."""
    for key, raw in reader.range(b"Sr", b"Ss"):
        yield int.from_bytes(key[2:]), raw[:HASH_BYTES]


def _has_header(raw: bytes, header: bytes) -> bool:
    """Whether a transaction has this header."""
    try:
        return decode(pb.Transaction, raw, TRANSACTION_BYTES_MAX).header == header
    except InvalidMessage:
        return True  # its digest is wrong, which is named already
