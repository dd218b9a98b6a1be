# SPDX-License-Identifier: Apache-2.0
"""Fills an empty database with a copy of a ledger, from verified parts: a newcomer's way in, and a restore's.

Parts are written as they come, unsynced. Until the last batch the database says of itself that it is not whole, and no
node starts from it; that batch is synced after everything before it, and makes it a ledger. A crash before leaves
something to throw away, a crash after leaves a ledger.

State parts come in any order, entries in theirs, and older blocks, if any, downwards from the checkpoint's once all
entries are there. Memory is bounded by one part, and by a hundred bytes for each part so far.

Source: docs/protocol.md, section 7.
"""

from collections.abc import Sequence
from itertools import islice

from chain.certificate import Certificate
from chain.checkpoint import CertifiedCheckpoint, Checkpoint, ClosingCheckpoint
from chain.codec import encode
from chain.consensus.block import Block
from chain.errors import InvalidProof
from chain.log_tiles import Log, edge_puts
from chain.pb import ledger_pb2 as pb
from chain.snapshot import Children, SnapshotHead, TailPart, remembered_from_ms
from chain.storage import Database
from chain.tree_build import Subtree
from chain.tree_page import NOTHING, SLOTS, Page, Slot
from chain.tree_update import DIGITS, Keys
from chain.types import Height, sha256
from node.store_format import unfinished
from node.store_keys import (
    FORMAT,
    FORMAT_KEY,
    HORIZON_KEY,
    INSTALL_KEY,
    LOG_PREFIX,
    NETWORK_KEY,
    STATE_PREFIX,
    TIP_KEY,
    BlockOutcome,
    Horizon,
    Place,
    body_key,
    numbered,
)

WIPED_KEYS = 20_000
"""Of an unfinished copy, in one batch: some megabytes."""
_EVERY_KEY = (b"", b"\xff" * 64)

__all__ = ["Installer", "unfinished", "wipe"]


class Installer:
    """Makes one copy of a ledger."""

    def __init__(self, database: Database, head: SnapshotHead, closings: Sequence[ClosingCheckpoint]) -> None:
        """Begin; what an unfinished copy left is thrown away.

        Args:
            database: Empty, or with an unfinished copy in it. It stays open, and is the caller's to close.
            head: Verified.
            closings: Verified: of every epoch that closed at the checkpoint's height or below, ascending.

        Raises:
            StorageError: The disk failed.
            InvalidProof: The checkpoint closes its epoch, and is not among the closing checkpoints.
        """
        self._database = database
        self._head = head
        self._closings = {Checkpoint.decode(closing.certified.checkpoint).height: closing for closing in closings}
        self._version = head.checkpoint.height
        if head.checkpoint.closes_epoch and self._version not in self._closings:
            raise InvalidProof("the snapshot's checkpoint closes its epoch, and its list of validators is missing")
        if unfinished(database) is not None:
            wipe(database)
        assert next(iter(database.range(*_EVERY_KEY)), None) is None, "a copy is put into an empty database"
        # Synced: from here on whatever part of the copy survives a crash is known to be a part.
        database.write({INSTALL_KEY: head.checkpoint.encode()})
        database.write(edge_puts(LOG_PREFIX, head.first_leaf, head.left_edge), sync=False)
        self._log = Log(database, LOG_PREFIX, head.first_leaf, head.first_leaf)
        self._keys = Keys(STATE_PREFIX)
        self._slots: dict[bytes, Slot] = {}
        self._pages: dict[bytes, Children] = {}
        self._oldest: Block | None = None
        self._boundary = head.checkpoint.log_size
        """Index of the first entry of the oldest block so far."""

    @property
    def next_leaf(self) -> int:
        """Index of the first entry that is not here yet."""
        return self._log.size

    def add_state(self, part: Subtree | Children) -> None:
        """Store a part of the state, verified with the checkpoint's height as its version; in any order.

        Raises:
            StorageError: The disk failed.
        """
        if isinstance(part, Children):
            self._pages[part.path] = part
            return
        keys, version = self._keys, self._version
        puts = {keys.value(key_hash, version): Keys.pack_value(key, value) for key_hash, key, value in part.values}
        puts.update((keys.page(version, path), raw) for path, raw in part.pages)
        self._database.write(puts, sync=False)
        self._slots[part.path] = part.slot

    def add_tail(self, part: TailPart) -> None:
        """Store entries, verified; each part where the one before ended.

        Raises:
            StorageError: The disk failed.
        """
        assert part.first_leaf == self._log.size, "entries are added in their order"
        append = self._log.append_hashes(part.leaf_hashes)
        puts = dict(append.puts)
        remembered_ms = remembered_from_ms(self._head.checkpoint)
        time_ms = self._head.checkpoint.time_ms
        for leaf_index, raw in enumerate(part.entries, part.first_leaf):
            entry = pb.Entry.FromString(raw)
            transaction_id = sha256(entry.header)
            puts[numbered(b"E", leaf_index)] = raw
            puts[b"T" + transaction_id] = Place(leaf_index, Height(entry.height), entry.position).encode()
            if entry.time_ms >= remembered_ms:
                expires_at_ms = pb.Header.FromString(entry.header).expires_at_ms
                if expires_at_ms >= time_ms:
                    puts[numbered(b"R", expires_at_ms) + transaction_id] = b""
        self._database.write(puts, sync=False)
        self._log.applied(append)

    def add_block(
        self,
        block: Block,
        transactions: Sequence[bytes],
        checkpoint: Checkpoint,
        certified: CertifiedCheckpoint | None = None,
        finalization: Certificate | None = None,
    ) -> None:
        """Store an older block: that below the oldest so far, once all entries are here.

        Args:
            block: The parent of the oldest one so far; the first is the parent of the head's.
            transactions: The block's, in its order.
            checkpoint: As it was computed where this comes from. All of it is checked here but its state root.
            certified: The same with its certificate, if there is one; who signed it is not checked here.
            finalization: Of the block, if there is one; not checked either.

        Raises:
            InvalidProof: It is another block, or other transactions or entries belong to it.
            StorageError: The disk failed.
        """
        above = self._add_newest_block()
        if block.id != above.parent_id or block.height != above.height - 1:
            raise InvalidProof(f"the block of height {block.height} is not the parent of that of {above.height}")
        expected = Checkpoint(
            self._head.checkpoint.network,
            block.epoch,
            block.height,
            block.time_ms,
            block.id,
            self._boundary,
            self._log.root(self._boundary),
            checkpoint.state_root,
            checkpoint.next_validators,
        )
        if checkpoint != expected or (certified is not None and certified.checkpoint != checkpoint.encode()):
            raise InvalidProof(f"the checkpoint of height {block.height} is not that of its block")
        puts = self._block_puts(block, transactions, checkpoint)
        if certified is not None:
            puts[numbered(b"Q", block.height)] = encode(certified.to_pb())
        if finalization is not None:
            puts[numbered(b"F", block.height)] = encode(finalization.to_pb())
        self._database.write(puts, sync=False)
        self._oldest = block

    def finish(self) -> None:
        """All parts are here: make it a ledger, durably.

        Raises:
            InvalidProof: The head's block does not belong to its entries.
            StorageError: The disk failed.
        """
        head, checkpoint = self._head, self._head.checkpoint
        assert self._log.size == checkpoint.log_size, "entries are missing"
        assert self._log.root() == checkpoint.log_root, "parts that were not verified"
        oldest = self._add_newest_block()
        puts = self._state_puts()
        for closing in self._closings.values():
            puts[numbered(b"K", Checkpoint.decode(closing.certified.checkpoint).epoch)] = encode(closing.to_pb())
        puts[numbered(b"Q", checkpoint.height)] = encode(head.certified.to_pb())
        puts |= {
            FORMAT_KEY: FORMAT.to_bytes(4),
            NETWORK_KEY: checkpoint.network,
            HORIZON_KEY: Horizon(oldest.height, head.first_leaf).encode(),
            TIP_KEY: checkpoint.encode(),
        }
        # A synced batch makes durable what stands before it in the same file of LevelDB's log, not what stands in the
        # file before. So first everything is put in tables, which are synced.
        self._database.flush()
        self._database.write(puts, [INSTALL_KEY])

    # ---------------------------------------------------------------- within

    def _add_newest_block(self) -> Block:
        """Store the head's block, once; the oldest block so far."""
        if self._oldest is None:
            head = self._head
            assert self._log.size == head.checkpoint.log_size, "blocks are added when all entries are here"
            self._database.write(self._block_puts(head.block, head.transactions, head.checkpoint), sync=False)
            self._oldest = head.block
        return self._oldest

    def _block_puts(self, block: Block, transactions: Sequence[bytes], checkpoint: Checkpoint) -> dict[bytes, bytes]:
        """A block's records; from then on the boundary stands before its entries."""
        height = block.height
        if tuple(sha256(raw) for raw in transactions) != block.digests:
            raise InvalidProof(f"these are not the transactions of the block of height {height}")
        ids = self._ids_before_boundary(height, len(transactions))
        first_leaf = self._boundary - len(ids)
        puts = {
            numbered(b"B", height): block.raw,
            numbered(b"C", height): checkpoint.encode(),
            b"H" + block.id: height.to_bytes(8),
        }
        closing = self._closings.get(height)
        if closing is not None:
            puts[numbered(b"V", height)] = closing.next
            puts[numbered(b"Q", height)] = encode(closing.certified.to_pb())
        skipped: list[int] = []
        found = 0
        for position, (digest, raw) in enumerate(zip(block.digests, transactions, strict=True)):
            key = body_key(height, position)
            puts[key] = raw
            puts[b"D" + digest] = key[1:]
            # Entries stand in the order of their transactions. Of two envelopes with one header the first is taken:
            # what they say is the same.
            transaction_id = sha256(pb.Transaction.FromString(raw).header)
            if found < len(ids) and ids[found] == transaction_id:
                puts[b"T" + transaction_id] = Place(first_leaf + found, height, position).encode()
                found += 1
            else:
                skipped.append(position)
        if found != len(ids):
            raise InvalidProof(f"the log has entries of height {height} that are of none of its block's transactions")
        puts[numbered(b"O", height)] = BlockOutcome(first_leaf, tuple(skipped)).encode()
        self._boundary = first_leaf
        return puts

    def _ids_before_boundary(self, height: Height, count_max: int) -> list[bytes]:
        """Ids of the transactions of the entries of this height that end at the boundary, in order."""
        start, stop = numbered(b"E", self._head.first_leaf), numbered(b"E", self._boundary)
        ids: list[bytes] = []
        for _, raw in islice(self._database.range(start, stop, reverse=True), count_max):
            entry = pb.Entry.FromString(raw)
            if entry.height != height:
                break
            ids.append(sha256(entry.header))
        ids.reverse()
        return ids

    def _state_puts(self) -> dict[bytes, bytes]:
        """The pages above the parts, and the root."""
        keys, version = self._keys, self._version
        puts: dict[bytes, bytes] = {}

        def slot_of(path: bytes) -> Slot:
            found = self._slots.get(path)
            if found is not None:
                return found
            assert path in self._pages, f"the part of the state at {path.hex()} is missing"
            hashes = self._pages[path].hashes
            slots = [NOTHING if hashes[digit] is None else slot_of(path + DIGITS[digit]) for digit in range(SLOTS)]
            page = Page.of(slots)
            puts[keys.page(version, path)] = page.raw
            return Slot(page.root(), version, None)

        root = slot_of(b"")
        assert root.hash == self._head.checkpoint.state_root, "parts that were not verified"
        puts[keys.root(version)] = root.encode()
        puts[keys.oldest] = version.to_bytes(8)
        return puts


def wipe(database: Database) -> None:
    """Delete everything in a database, a bounded piece at a time.

    Raises:
        StorageError: The disk failed.
    """
    while keys := [key for key, _ in islice(database.range(*_EVERY_KEY), WIPED_KEYS)]:
        # The mark goes last: a crash in between leaves what is still known to be unfinished.
        last = keys == [INSTALL_KEY]
        database.write({}, keys if last else [key for key in keys if key != INSTALL_KEY])
