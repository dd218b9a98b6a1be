# SPDX-License-Identifier: Apache-2.0
"""What a ledger gives to those who copy it: offers, heads, state, entries, blocks, closing checkpoints.

Over any consistent view (one moment of a LevelDB, one in memory, another process's): peers' joining, backups and
comparisons read by this. Each answer is bounded, and whoever gets it verifies it by `chain.snapshot`.

Not for the event loop: an answer takes up to some tenths of a second. One thread at a time.
"""

from collections.abc import Sequence
from itertools import islice

from chain.checkpoint import CertifiedCheckpoint, Checkpoint, ClosingCheckpoint
from chain.codec import encode
from chain.errors import InvalidMessage, Refused
from chain.log_tiles import Log
from chain.pb import ledger_pb2 as pb
from chain.snapshot import (
    PART_BYTES,
    PART_ITEMS_MAX,
    encode_head,
    encode_leaves,
    encode_page,
    encode_tail,
    leaf_slot,
)
from chain.storage import Reader
from chain.tree_page import Slot
from chain.tree_walk import Leaf, TreeWalk
from chain.types import Epoch, Height
from node.store_keys import LOG_PREFIX, STATE_PREFIX, numbered
from node.store_proofs import ProofReader
from node.store_reader import Records, damaged

OFFERS_MAX = 16
"""Newest ones of what can be had: a joiner wants one."""
WALKS_MAX = 2
"""Trees at different heights that are held at once, some 6 MB each."""


class Copies:
    """One moment of a ledger, to copy from.

    Attributes:
        records: The same moment's records.
        proofs: What quorums signed of it.
    """

    def __init__(self, reader: Reader) -> None:
        """Look at a ledger.

        Args:
            reader: A view that does not change.

        Raises:
            StorageError: It is damaged.
        """
        self._reader = reader
        self.records = Records(reader)
        self.proofs = ProofReader(reader)
        self._tip = self.records.tip()
        self._horizon = self.records.horizon()
        size = 0 if self._tip is None else self._tip.log_size
        try:
            self._log = Log(reader, LOG_PREFIX, size, self._horizon.first_leaf)
        except AssertionError as error:  # a tile was there when the block was committed: the disk has lost it
            raise damaged(str(error)) from error
        self._walks: dict[Height, TreeWalk] = {}

    # ---------------------------------------------------------------- what there is

    @property
    def tip(self) -> Checkpoint | None:
        """The newest block's checkpoint, certified or not; None before the first."""
        return self._tip

    @property
    def oldest_block(self) -> Height:
        """The lowest height whose block can be had."""
        return self._horizon.oldest_block

    @property
    def first_leaf(self) -> int:
        """Index of the first entry that can be had."""
        return self._horizon.first_leaf

    def offers(self, count_max: int = OFFERS_MAX) -> list[Checkpoint]:
        """The newest certified checkpoints that a copy can begin at, the newest first."""
        return [checkpoint for checkpoint in islice(self._certified(), count_max) if self._is_offered(checkpoint)]

    def is_offered(self, height: Height) -> bool:
        """Whether a copy can begin at this height: it is certified, and state, block and entries are all here."""
        found = self.proofs.certified_up_to(height)
        return found is not None and found[0] == height and self._is_offered(_decode(found[1]))

    def closings(self, from_epoch: Epoch, count_max: int) -> Sequence[ClosingCheckpoint]:
        """The checkpoints that closed this epoch and later ones, ascending, so many at most."""
        return self.proofs.closings(from_epoch, count_max)

    # ---------------------------------------------------------------- parts of a copy

    def head(self, height: Height, *, whole: bool = False) -> bytes:
        """Where the copy of this height begins: bytes of SnapshotHead, see `chain.snapshot.verify_head`.

        Args:
            height: Of a certified checkpoint.
            whole: With all entries that are here; else with those alone whose transactions may not have expired.

        Raises:
            Refused: No copy can begin there.
            StorageError: The database is damaged.
        """
        certified, checkpoint = self._certified_at(height)
        block = self.records.block(height)
        if block is None or height < self._horizon.oldest_block:
            raise Refused(f"block {height} is pruned here; take a newer snapshot", "block.pruned")
        first_leaf = self._horizon.first_leaf if whole else self._tail_from(checkpoint)
        if first_leaf is None:
            raise Refused("the entries that a copy at this height needs are pruned", "log.pruned")
        size = checkpoint.log_size
        try:
            witness = (self._entry(first_leaf), self._log.prove_inclusion(first_leaf, size)) if first_leaf else None
            left_edge = self._log.left_edge(first_leaf)
            consistency = self._log.prove_consistency(first_leaf, size)
        except AssertionError as error:  # a tile is missing that was there when the block was committed
            raise damaged(str(error)) from error
        transactions = self.records.transactions(height)
        return encode_head(certified, block.raw, transactions, first_leaf, left_edge, consistency, witness)

    def state(self, height: Height, path: bytes) -> bytes:
        """What stands at a place of the state: bytes of StatePart, see `chain.snapshot.verify_part`.

        Args:
            height: Of any block whose state is held.
            path: A byte per hexadecimal digit; empty for all of it.

        Raises:
            Refused: The state of that height is not held, or nothing stands at that path.
            StorageError: The database is damaged.
        """
        walk = self._walk(height)
        try:
            slot = walk.slot(path)
            leaves = walk.leaves(slot, path, PART_ITEMS_MAX)
            if leaves == []:
                raise Refused("nothing stands at this path of the state", "state.no-such-path")
            pairs = None if leaves is None else _within(walk, leaves)
            if pairs is not None:
                return encode_leaves(pairs)
            slots = [b""] * 16
            page = walk.page(slot, path)
            for digit, _, _ in page.below():
                slots[digit] = _shown(walk, page.slot(digit))
        except AssertionError as error:
            raise damaged(str(error)) from error
        return encode_page(slots)

    def tail(self, height: Height, first_leaf: int) -> bytes:
        """Entries from one on, as many as fit: bytes of TailPart, see `chain.snapshot.verify_tail`.

        Args:
            height: Of a certified checkpoint.
            first_leaf: Index of the first entry.

        Raises:
            Refused: The entry is pruned here, or none of the checkpoint's log.
            StorageError: The database is damaged.
        """
        _, checkpoint = self._certified_at(height)
        size = checkpoint.log_size
        if not 0 <= first_leaf < size:
            raise Refused(f"there is no entry {first_leaf} in a log of {size}", "log.no-such-size")
        if first_leaf < self._horizon.first_leaf:
            raise Refused(
                f"entry {first_leaf} is pruned here; the first held is {self._horizon.first_leaf}", "log.pruned"
            )
        entries: list[bytes] = []
        room = PART_BYTES
        stop = min(size, first_leaf + PART_ITEMS_MAX)
        for _, raw in self._reader.range(numbered(b"E", first_leaf), numbered(b"E", stop)):
            room -= len(raw)
            if entries and room < 0:
                break
            entries.append(raw)
        if not entries:
            raise damaged(f"entry {first_leaf} is missing")
        try:
            path = self._log.prove_range(first_leaf, len(entries), size)
        except AssertionError as error:  # a tile is missing that was there when the block was committed
            raise damaged(str(error)) from error
        return encode_tail(first_leaf, entries, path)

    def block(self, height: Height) -> bytes:
        """An executed block with all of its transactions: bytes of BlockWithBodies.

        Raises:
            Refused: It is pruned here, or not executed yet.
            StorageError: The database is damaged.
        """
        if height < self._horizon.oldest_block:
            raise Refused(
                f"block {height} is pruned here; the oldest held is {self._horizon.oldest_block}", "block.pruned"
            )
        block = self.records.block(height)
        if block is None:
            raise Refused(f"block {height} is not executed here", "block.not-held")
        return encode(pb.BlockWithBodies(block=block.raw, transactions=self.records.transactions(height)))

    # ---------------------------------------------------------------- within

    def _certified(self) -> list[Checkpoint]:
        """Certified checkpoints of executed blocks, the newest first."""
        if self._tip is None:
            return []
        found: list[Checkpoint] = []
        height = self._tip.height
        while len(found) < OFFERS_MAX and (proof := self.proofs.certified_up_to(height)) is not None:
            found.append(_decode(proof[1]))
            height = Height(proof[0] - 1)
        return found

    def _certified_at(self, height: Height) -> tuple[CertifiedCheckpoint, Checkpoint]:
        found = self.proofs.certified_up_to(height)
        if found is None or found[0] != height or self._tip is None or height > self._tip.height:
            raise Refused(f"there is no certified checkpoint of height {height} here", "state.no-such-height")
        return found[1], _decode(found[1])

    def _is_offered(self, checkpoint: Checkpoint) -> bool:
        if self._tip is None or not self._horizon.oldest_block <= checkpoint.height <= self._tip.height:
            return False
        if self._tail_from(checkpoint) is None:
            return False
        try:
            self._walk(checkpoint.height)
        except Refused:
            return False
        return True

    def _tail_from(self, checkpoint: Checkpoint) -> int | None:
        return self.records.tail_from(checkpoint, self._horizon.first_leaf)

    def _entry(self, leaf_index: int) -> bytes:
        raw = self.records.entry(leaf_index)
        if raw is None:
            raise damaged(f"entry {leaf_index} is missing")
        return raw

    def _walk(self, height: Height) -> TreeWalk:
        walk = self._walks.pop(height, None)
        if walk is None:
            if self._tip is None or not 0 <= height <= self._tip.height:
                raise Refused(f"height {height} is not executed here", "state.no-such-height")
            walk = TreeWalk(self._reader, STATE_PREFIX, height)
            while len(self._walks) >= WALKS_MAX:
                del self._walks[next(iter(self._walks))]
        self._walks[height] = walk  # at the end: the first is the one used longest ago
        return walk


def _within(walk: TreeWalk, leaves: list[Leaf]) -> list[tuple[bytes, bytes]] | None:
    """Keys and values of leaves; None if there are several and they are too large for one part."""
    pairs: list[tuple[bytes, bytes]] = []
    room = PART_BYTES
    for key, value in walk.values(leaves):
        room -= len(key) + len(value)
        if room < 0 and len(leaves) > 1:
            return None
        pairs.append((key, value))
    return pairs


def _shown(walk: TreeWalk, slot: Slot) -> bytes:
    """A slot as a part shows it."""
    if slot.key_hash is None:
        return slot.hash
    return leaf_slot(slot.key_hash, walk.value((slot.key_hash, slot.version))[1])


def _decode(certified: CertifiedCheckpoint) -> Checkpoint:
    try:
        return Checkpoint.decode(certified.checkpoint)
    except InvalidMessage as error:
        raise damaged(error.reason) from error
