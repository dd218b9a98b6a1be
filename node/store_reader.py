# SPDX-License-Identifier: Apache-2.0
"""The ledger's records as they lie on disk, read from any consistent view: a database, or one moment of it.

Nothing here writes, and nothing proves; `node.store` grows a ledger, `node.copies` gives of it, and both read by this.
"""

from collections.abc import Iterator

from chain.checkpoint import Checkpoint
from chain.codec import decode
from chain.consensus.block import Block
from chain.errors import InvalidMessage, Refused
from chain.pb import ledger_pb2 as pb
from chain.proven import ENTRY_BYTES_MAX
from chain.snapshot import remembered_from_ms
from chain.storage import Reader
from chain.types import BlockId, Digest, Height, Millis, Network, TransactionId
from node.errors import StorageError
from node.store_keys import (
    EVERYTHING,
    FORMAT_KEY,
    HORIZON_KEY,
    NETWORK_KEY,
    TIP_KEY,
    BlockOutcome,
    Horizon,
    Place,
    body_key,
    numbered,
)


class Records:
    """What is stored of one network's ledger."""

    def __init__(self, reader: Reader) -> None:
        """Read from here; the view may move on as long as each single answer is consistent."""
        self._reader = reader

    def format(self) -> int | None:
        """Of the table of keys; None before the first write."""
        found = self._reader.get(FORMAT_KEY)
        return None if found is None else int.from_bytes(found)

    def network(self) -> Network | None:
        """Whose ledger this is; None before `initialise`."""
        found = self._reader.get(NETWORK_KEY)
        return None if found is None else Network(found)

    def tip(self) -> Checkpoint | None:
        """The checkpoint of the newest committed block; None before the first.

        Raises:
            StorageError: The record is damaged.
        """
        raw = self._reader.get(TIP_KEY)
        return None if raw is None else decode_checkpoint(raw)

    def horizon(self) -> Horizon:
        """How far back it reaches."""
        raw = self._reader.get(HORIZON_KEY)
        return EVERYTHING if raw is None else Horizon.decode(raw)

    def check_held(self, height: Height) -> None:
        """Check that a block of the past is still held.

        Raises:
            Refused: It is pruned, or was never here: this node began later.
        """
        oldest = self.horizon().oldest_block
        if 0 < height < oldest:
            raise Refused(f"block {height} is pruned here; the oldest held is {oldest}. Ask an archive", "block.pruned")

    def remembered(self, time_ms: Millis) -> Iterator[tuple[TransactionId, Millis]]:
        """Ids of transactions that have an entry, with their expiries, that expire from this time on."""
        for key, _ in self._reader.range(numbered(b"R", time_ms), b"S"):
            yield TransactionId(key[9:]), Millis(int.from_bytes(key[1:9]))

    def block(self, height: Height) -> Block | None:
        """The executed block at this height.

        Raises:
            StorageError: The record is damaged.
        """
        raw = self._reader.get(numbered(b"B", height))
        try:
            return None if raw is None else Block.decode(raw)
        except InvalidMessage as error:
            raise damaged(error.reason) from error

    def height_of(self, block_id: BlockId) -> Height | None:
        """At which height a block was executed."""
        raw = self._reader.get(b"H" + block_id)
        return None if raw is None else Height(int.from_bytes(raw))

    def checkpoint(self, height: Height) -> Checkpoint | None:
        """The checkpoint of an executed block as this node computed it.

        Raises:
            StorageError: The record is damaged.
        """
        raw = self._reader.get(numbered(b"C", height))
        return None if raw is None else decode_checkpoint(raw)

    def outcome(self, height: Height) -> BlockOutcome | None:
        """Which entries an executed block yielded."""
        raw = self._reader.get(numbered(b"O", height))
        return None if raw is None else BlockOutcome.decode(raw)

    def transactions(self, height: Height) -> list[bytes]:
        """All transactions of an executed block, in its order."""
        return [raw for _, raw in self._reader.range(body_key(height, 0), body_key(height + 1, 0))]

    def executed_transactions(self, height: Height) -> list[bytes]:
        """Those that have an entry, in the order of their entries."""
        outcome = self.outcome(height)
        skipped = () if outcome is None else outcome.skipped
        return [raw for position, raw in enumerate(self.transactions(height)) if position not in skipped]

    def transaction(self, digest: Digest) -> bytes | None:
        """A transaction that an executed block lists, by digest."""
        raw = self._reader.get(b"D" + digest)
        return None if raw is None else self._reader.get(b"X" + raw)

    def transaction_at(self, place: Place) -> bytes:
        """A transaction with an entry, by its place.

        Raises:
            Refused: The block that holds it is pruned, or was never here.
        """
        self.check_held(place.height)
        raw = self._reader.get(body_key(place.height, place.position))
        assert raw is not None, f"transaction {place} is not stored"
        return raw

    def place(self, transaction_id: TransactionId) -> Place | None:
        """Where a transaction's entry stands; None if it has none."""
        raw = self._reader.get(b"T" + transaction_id)
        return None if raw is None else Place.decode(raw)

    def entry(self, leaf_index: int) -> bytes | None:
        """A log entry."""
        return self._reader.get(numbered(b"E", leaf_index))

    def entries(self, first_leaf: int, count: int) -> list[bytes]:
        """Log entries in order; fewer where the log ends."""
        stop = numbered(b"E", first_leaf + count)
        return [raw for _, raw in self._reader.range(numbered(b"E", first_leaf), stop)]

    def tail_from(self, checkpoint: Checkpoint, first_leaf: int) -> int | None:
        """The newest entry whose transaction has surely expired at a checkpoint; 0 if there is none.

        Entries' times rise with their indices, so a bisection finds it.

        Args:
            checkpoint: Of an executed block.
            first_leaf: Index of the first entry that is held.

        Returns:
            None if that entry is pruned.

        Raises:
            StorageError: An entry is missing or damaged.
        """
        from_ms = remembered_from_ms(checkpoint)
        low, high = first_leaf, checkpoint.log_size
        while low < high:
            middle = (low + high) // 2
            entry = self.entry(middle)
            if entry is None:
                raise damaged(f"entry {middle} is missing")
            if _time_of(entry) < from_ms:
                low = middle + 1
            else:
                high = middle
        if low == first_leaf:
            return 0 if low == 0 else None
        return low - 1

    def block_entries(self, height: Height) -> list[bytes]:
        """The entries of an executed block, in order."""
        outcome, checkpoint = self.outcome(height), self.checkpoint(height)
        if outcome is None or checkpoint is None:
            return []
        return self.entries(outcome.first_leaf, checkpoint.log_size - outcome.first_leaf)


def _time_of(entry: bytes) -> int:
    try:
        return decode(pb.Entry, entry, ENTRY_BYTES_MAX).time_ms
    except InvalidMessage as error:
        raise damaged(error.reason) from error


def decode_checkpoint(raw: bytes) -> Checkpoint:
    """Our own record of a checkpoint.

    Raises:
        StorageError: It is damaged.
    """
    try:
        return Checkpoint.decode(raw)
    except InvalidMessage as error:
        raise damaged(error.reason) from error


def damaged(what: str) -> StorageError:
    """The error that says so, and what to do."""
    return StorageError(f"the database is damaged; restore it from a backup or fetch the ledger anew ({what})")
