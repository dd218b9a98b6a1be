# SPDX-License-Identifier: Apache-2.0
"""Follows a stored history without executing it: what hashes and links alone prove, and the indexes that follow.

The entries are those of the block's own transactions, the log grows by them to each checkpoint's root, and a quorum's
certificate over a later checkpoint vouches for the whole of it. What only execution can tell (which transactions
failed, what state became) is vouched for by the certificates of the very height.

Used where no state is held to execute from, and for backups, which store no index that can be made anew.
"""

from collections.abc import Sequence

from chain.checkpoint import Checkpoint, ValidatorSet
from chain.codec import decode
from chain.errors import InvalidMessage
from chain.log_tiles import Log
from chain.pb import ledger_pb2 as pb
from chain.proven import ENTRY_BYTES_MAX
from chain.storage import Reader
from chain.transaction import SignedTransaction
from chain.types import Epoch, Network
from node.audit_faults import compare, fail, fail_missing
from node.audit_proofs import check_certified, check_finalization
from node.audit_read import StoredBlock, decode_checkpoint
from node.store_keys import LOG_PREFIX, BlockOutcome, Place, body_key, numbered


def entries_between(reader: Reader, first_leaf: int, stop_leaf: int) -> list[bytes]:
    """The entries from one leaf up to another, which is not among them.

    Raises:
        Damaged: One is missing.
    """
    found: list[bytes] = []
    for key, raw in reader.range(numbered(b"E", first_leaf), numbered(b"E", stop_leaf)):
        if key != numbered(b"E", first_leaf + len(found)):
            break
        found.append(raw)
    if first_leaf + len(found) < stop_leaf:
        fail_missing(numbered(b"E", first_leaf + len(found)))
    return found


class History:
    """A history up to some block, ready for the next."""

    def __init__(self, network: Network, tiles: Reader, log_size: int) -> None:
        """Begin.

        Args:
            network: Whose history it is.
            tiles: Holds the tiles at the edge of the log before the first block.
            log_size: Of that log.
        """
        self._network = network
        self._log = Log(tiles, LOG_PREFIX, log_size)
        self._epoch: Epoch | None = None

    @property
    def log_size(self) -> int:
        """Entries so far."""
        return self._log.size

    def append(self, entries: Sequence[bytes]) -> dict[bytes, bytes]:
        """Add entries whose blocks are not held; what to store of the log's tiles."""
        log = self._log.append(entries)
        self._log.applied(log)
        return log.puts

    def step(self, stored: StoredBlock, entries_of: Reader) -> tuple[Checkpoint, dict[bytes, bytes]]:
        """Check one block's records.

        Args:
            stored: The block after the one before, its bodies checked.
            entries_of: Where its entries are stored.

        Returns:
            Its checkpoint, and the records that follow from the block's own: ids, places, log tiles.

        Raises:
            Damaged: At the first record that is missing or wrong.
        """
        height, block = stored.height, stored.block
        first_leaf = self._log.size
        counted = self._check_outcome(stored, first_leaf)
        entries = entries_between(entries_of, first_leaf, first_leaf + len(counted))
        self._check_entries(stored, counted, entries, first_leaf)
        log = self._log.append(entries)
        checkpoint = self._check_checkpoint(stored, log.size, log.root)
        self._log.applied(log)
        certified, finalization = stored.get(b"Q"), stored.get(b"F")
        if certified is not None:
            check_certified(height, certified, checkpoint.encode())
        if finalization is not None:
            check_finalization(height, finalization, block)
        derived = dict(log.puts)
        derived[b"H" + block.id] = height.to_bytes(8)
        for position, transaction in enumerate(stored.transactions):
            derived[b"D" + transaction.digest] = body_key(height, position)[1:]
        for leaf_index, position in enumerate(counted, first_leaf):
            place = Place(leaf_index, block.height, position)
            derived[b"T" + stored.transactions[position].id] = place.encode()
        return checkpoint, derived

    def _check_outcome(self, stored: StoredBlock, first_leaf: int) -> list[int]:
        """Positions of the transactions that have an entry."""
        key = numbered(b"O", stored.height)
        raw = stored.get(b"O")
        if raw is None:
            fail_missing(key)
        found = BlockOutcome.decode(raw)
        compare(key, BlockOutcome(first_leaf, found.skipped).encode(), raw)
        positions = range(len(stored.transactions))
        if sorted({*found.skipped}) != list(found.skipped) or any(p not in positions for p in found.skipped):
            fail(key, "the positions without an entry are not ascending positions of the block")
        return [position for position in positions if position not in found.skipped]

    def _check_entries(
        self, stored: StoredBlock, counted: Sequence[int], entries: Sequence[bytes], first_leaf: int
    ) -> None:
        for number, (position, raw) in enumerate(zip(counted, entries, strict=True)):
            transaction: SignedTransaction = stored.transactions[position]
            key = numbered(b"E", first_leaf + number)
            try:
                entry = decode(pb.Entry, raw, ENTRY_BYTES_MAX)
            except InvalidMessage as error:
                fail(key, error.reason)
            named = (entry.height, entry.position, entry.time_ms, entry.header)
            if named != (stored.height, number, stored.block.time_ms, transaction.header):
                fail(key, f"the entry is not that of the transaction at position {position} of block {stored.height}")

    def _check_checkpoint(self, stored: StoredBlock, log_size: int, log_root: bytes) -> Checkpoint:
        block, key = stored.block, numbered(b"C", stored.height)
        raw = stored.get(b"C")
        assert raw is not None, "the block was read with its checkpoint"
        found = decode_checkpoint(key, raw)
        expected = Checkpoint(
            self._network,
            block.epoch,
            block.height,
            block.time_ms,
            block.id,
            log_size,
            log_root,
            found.state_root,
            found.next_validators,
        )
        if found.block_id == block.id and (found.log_size, found.log_root) != (log_size, log_root):
            fail(key, "the entries up to here do not make up the log of the checkpoint")
        compare(key, expected.encode(), raw)
        if self._epoch is not None and block.epoch != self._epoch:
            fail(numbered(b"B", stored.height), f"the block says that its epoch is {block.epoch}; it is {self._epoch}")
        self._epoch = Epoch(block.epoch + 1) if found.closes_epoch else block.epoch
        self._check_next(stored, found)
        return found

    def _check_next(self, stored: StoredBlock, checkpoint: Checkpoint) -> None:
        key = numbered(b"V", stored.height)
        raw = stored.get(b"V")
        if not checkpoint.closes_epoch:
            if raw is not None:
                compare(key, None, raw)
            return
        if raw is None:
            fail_missing(key)
        try:
            following = ValidatorSet.decode(raw)
        except InvalidMessage as error:
            fail(key, error.reason)
        if following.digest() != checkpoint.next_validators or following.epoch != checkpoint.epoch + 1:
            fail(key, "the set is not the one that the closing checkpoint names")
