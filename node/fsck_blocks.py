# SPDX-License-Identifier: Apache-2.0
"""Checks the stored blocks with all that hangs on them: bodies, outcomes, entries, the log's tiles, ids, checkpoints.

One walk from the oldest block to the newest beside ordered scans of the tables by height; tables by hash are read
record by record and counted, so that what nothing refers to shows as a difference in number. The log is built anew from
the entries and compared with each checkpoint's root and with the stored tiles.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chain.checkpoint import Checkpoint, ValidatorSet
from chain.codec import decode
from chain.consensus.block import Block
from chain.errors import InvalidMessage
from chain.log import leaf_hash
from chain.log_tiles import TILE_BITS, TILE_WIDTH, Log
from chain.pb import ledger_pb2 as pb
from chain.storage import Reader
from chain.transaction import HEADER_BYTES_MAX, Header
from chain.types import HASH_BYTES, TRANSACTION_BYTES_MAX, TRANSACTION_LIFETIME_MS_MAX, BlockId, Network, sha256
from node.fsck_findings import Cursor, Findings, Progress, count_of
from node.store_keys import HORIZON_KEY, LOG_PREFIX, TIP_KEY, BlockOutcome, Place, body_key, numbered

_END = (1 << 64) - 1
_PLACE_BYTES = 20
ENTRY_BYTES_MAX = HEADER_BYTES_MAX + 1024
"""A header and what an entry adds to it: numbers and a failure's code."""
_TILE_ROW_BYTES = TILE_WIDTH * HASH_BYTES


@dataclass(frozen=True, slots=True)
class Span:
    """What part of the ledger's past a database holds.

    Attributes:
        first_block: The oldest block held.
        first_leaf: The oldest entry held.
        tip: The newest block's checkpoint.
    """

    first_block: int
    first_leaf: int
    tip: Checkpoint


@dataclass(slots=True)
class _Leaf:
    """An entry on its way into the log.

    Attributes:
        hash: None where the entry is missing.
    """

    index: int
    hash: bytes | None


class BlocksCheck:
    """One check of the blocks.

    Attributes:
        closings: Of each epoch that a stored block closed: its height, and the set that it names if that is stored.
    """

    def __init__(self, reader: Reader, findings: Findings, network: Network, span: Span, progress: Progress) -> None:
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
        self._counts = {b"H": 0, b"D": 0, b"T": 0, b"R": 0}
        self._leaf = span.first_leaf
        self._log: Log | None = None
        self._edge: Sequence[list[list[bytes]]] = ()
        self._tile: tuple[int, bytes] = (-1, b"")
        self._parent: Block | None = None
        self.closings: dict[int, tuple[int, ValidatorSet | None]] = {}

    def run(self) -> None:
        """Check all blocks, then what is left over."""
        span = self._span
        try:
            self._log = Log(self._reader, LOG_PREFIX, span.first_leaf)
        except AssertionError:
            self._findings.missing(LOG_PREFIX, "the log's tiles left of the oldest entry are not all stored")
        self._check_earlier_entries()
        for height in range(span.first_block, span.tip.height + 1):
            if height % 500 == 0:
                self._progress("blocks", height, span.tip.height)
            self._check_block(height)
        for cursor in (self._blocks, self._outcomes, self._checkpoints, self._sets, self._bodies, self._entries):
            cursor.finish()
        self._check_tiles()
        self._check_surplus()

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
        if outcome is not None and outcome.first_leaf != self._leaf:
            self._findings.wrong(
                numbered(b"O", height), f"its first entry is {outcome.first_leaf}; the entries so far are {self._leaf}"
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
        found = self._reader.get(b"H" + block.id)
        if found is None:
            self._findings.missing(b"H" + block.id, f"the id of the block at height {block.height} is not stored")
            return
        self._counts[b"H"] += 1
        if found != block.height.to_bytes(8):
            self._findings.wrong(b"H" + block.id, f"does not say that the block stands at height {block.height}")

    def _count_entries(
        self, height: int, block: Block | None, skipped: frozenset[int], checkpoint: Checkpoint | None
    ) -> int:
        """How many entries a block has, from whatever is there."""
        listed = None if block is None else len(block.digests) - len(skipped)
        certified = None if checkpoint is None else checkpoint.log_size - self._leaf
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
            place = self._reader.get(b"D" + digest)
            if place is None:
                self._findings.missing(b"D" + digest, f"the digest of transaction {position} of block {height}")
            elif place == key[1:]:
                self._counts[b"D"] += 1
            elif not key[1:] < place < body_key(self._span.tip.height + 1, 0)[1:]:
                self._findings.wrong(b"D" + digest, f"does not name block {height} or a later one that lists it too")
                self._counts[b"D"] += 1
            if position not in skipped:
                executed.append((position, raw or b""))
        return executed

    # ---------------------------------------------------------------- entries and the log

    def _check_earlier_entries(self) -> None:
        """Entries before the oldest block: held for the ids of their transactions, which may not come again."""
        span = self._span
        last = span.tip if span.first_block > span.tip.height else None
        stop = self._first_leaf_of_blocks() if last is None else last.log_size
        if stop < self._leaf:
            self._findings.wrong(HORIZON_KEY, f"the oldest entry held is not {self._leaf}: the oldest block has {stop}")
        while self._leaf < min(stop, span.tip.log_size):
            leaves: list[_Leaf] = []
            for index in range(self._leaf, min(self._leaf + TILE_WIDTH, stop)):
                leaf, entry = self._read_entry(index)
                leaves.append(leaf)
                if entry is not None:
                    self._check_id(index, entry, None)
            self._append(leaves, last if leaves[-1].index + 1 == stop else None, span.tip.height)

    def _first_leaf_of_blocks(self) -> int:
        """Index of the oldest block's first entry: by its checkpoint and its size, else by its outcome."""
        height = self._span.first_block
        block, outcome, checkpoint = (self._reader.get(numbered(kind, height)) for kind in (b"B", b"O", b"C"))
        if height == 1 or outcome is None:
            return self._leaf
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
        leaves: list[_Leaf] = []
        for position in range(count):
            index = self._leaf + position
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
        self._append(leaves, checkpoint, height)

    def _read_entry(self, index: int) -> tuple[_Leaf, pb.Entry | None]:
        key = numbered(b"E", index)
        raw = self._entries.take(key)
        if raw is None:
            return _Leaf(index, None), None
        try:
            return _Leaf(index, leaf_hash(raw)), decode(pb.Entry, raw, ENTRY_BYTES_MAX)
        except InvalidMessage as error:
            self._findings.wrong(key, f"is no entry: {error.reason}")
            return _Leaf(index, leaf_hash(raw)), None

    def _check_id(self, index: int, entry: pb.Entry, position: int | None) -> None:
        """Compare the records of a transaction's id with its entry."""
        transaction_id = sha256(entry.header)
        key = b"T" + transaction_id
        raw = self._reader.get(key)
        if raw is None:
            self._findings.missing(key, f"the id of the transaction of entry {index} is not stored")
        else:
            self._counts[b"T"] += 1
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
        found = self._reader.get(key)
        if found is None:
            self._findings.missing(key, f"the transaction of entry {index} could be executed again")
            return
        self._counts[b"R"] += 1
        if found:
            self._findings.wrong(key, "holds a value")

    def _append(self, leaves: list[_Leaf], checkpoint: Checkpoint | None, height: int) -> None:
        """Append a block's leaves to the log and compare its root; where it differs, the tiles say which entry did."""
        before, self._leaf = self._leaf, self._leaf + len(leaves)
        if self._log is None:
            return
        stored = [self._stored_hash(leaf.index) for leaf in leaves]
        computed = [leaf.hash or tile or bytes(HASH_BYTES) for leaf, tile in zip(leaves, stored, strict=True)]
        append = self._log.append_hashes(computed)
        if checkpoint is not None and append.root != checkpoint.log_root:
            append = self._log.append_hashes([tile or own for tile, own in zip(stored, computed, strict=True)])
            if append.root != checkpoint.log_root or append.size != checkpoint.log_size:
                self._findings.wrong(
                    numbered(b"C", height), f"its log root is not that of the {before + len(leaves)} entries stored"
                )
                self._log = None  # every later root would differ too
                return
            for leaf, tile in zip(leaves, stored, strict=True):
                if leaf.hash not in {None, tile}:
                    self._findings.wrong(numbered(b"E", leaf.index), "does not have the hash that the log has for it")
        for key, value in append.puts.items():
            if len(value) == _TILE_ROW_BYTES:
                self._check_tile(key, value)
        self._log.applied(append)
        self._edge = append.edge

    def _stored_hash(self, index: int) -> bytes | None:
        """What the stored tile has for a leaf."""
        tile, column = divmod(index, TILE_WIDTH)
        if self._tile[0] != tile:
            self._tile = (tile, self._reader.get(_tile_key(0, tile)) or b"")
        found = self._tile[1][column * HASH_BYTES : (column + 1) * HASH_BYTES]
        return found if len(found) == HASH_BYTES else None

    def _check_tile(self, key: bytes, value: bytes) -> None:
        stored = self._reader.get(key)
        if stored is None:
            self._findings.missing(key, "a tile of the log is not stored")
        elif stored != value:
            self._findings.wrong(key, "a tile of the log does not hold the hashes of its entries")

    def _check_tiles(self) -> None:
        """Compare the tiles at the log's right edge, and name those that it does not have."""
        if self._log is not None:
            for level, rows in enumerate(self._edge):
                if rows[0]:
                    tile = (self._leaf >> level * TILE_BITS) >> TILE_BITS
                    self._check_tile(_tile_key(level, tile), b"".join(rows[0]))
        for key, _ in self._reader.range(LOG_PREFIX, bytes((LOG_PREFIX[0] + 1,))):
            tile, width = int.from_bytes(key[2:]), self._leaf >> key[1] * TILE_BITS if len(key) == 10 else 0
            if tile * TILE_WIDTH >= width:
                self._findings.surplus(key, f"a tile that a log of {self._leaf} entries does not have")

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

    # ---------------------------------------------------------------- what is too much

    def _check_surplus(self) -> None:
        """Records by hash that no block or entry refers to; those of deleted blocks wait for their deletion."""
        self._progress("ids", 0, 4)
        for done, kind in enumerate((b"H", b"D", b"T", b"R")):
            start, stop = kind, bytes((kind[0] + 1,))
            if kind == b"R":
                start = numbered(b"R", self._span.tip.time_ms)
            if count_of(self._reader, start, stop) > self._counts[kind]:
                for key, raw in self._reader.range(start, stop):
                    if not self._is_wanted(kind, key, raw):
                        self._findings.surplus(key, "no block or entry has it")
            self._progress("ids", done + 1, 4)

    def _is_wanted(self, kind: bytes, key: bytes, raw: bytes) -> bool:
        """Whether a record by hash is one that a block or entry has, or that is still to be deleted."""
        height = int.from_bytes(raw[:8])
        if kind == b"H":
            block = self._reader.get(numbered(b"B", height))
            return height < self._span.first_block or (block is not None and sha256(block) == key[1:])
        if kind == b"D":
            body = self._reader.get(b"X" + raw)
            return height < self._span.first_block or (body is not None and sha256(body) == key[1:])
        if kind == b"R":
            found = self._reader.get(b"T" + key[9:])
            return found is not None and self._has_entry(int.from_bytes(found[:8]), key[9:], int.from_bytes(key[1:9]))
        return height < self._span.first_leaf or self._has_entry(height, key[1:], None)

    def _has_entry(self, index: int, transaction_id: bytes, expires_at_ms: int | None) -> bool:
        """Whether the entry with this index is that transaction's."""
        raw = self._reader.get(numbered(b"E", index))
        if raw is None:
            return index < self._span.first_leaf
        try:
            header = decode(pb.Entry, raw, ENTRY_BYTES_MAX).header
            expires = Header.decode(header).expires_at_ms
        except InvalidMessage:
            return True  # the entry is named already
        return sha256(header) == transaction_id and expires_at_ms in {None, expires}


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


def _tile_key(level: int, tile: int) -> bytes:
    return LOG_PREFIX + level.to_bytes(1) + tile.to_bytes(8)
