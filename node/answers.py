# SPDX-License-Identifier: Apache-2.0
"""What a node proves to clients: receipts, states, checkpoints and blocks, all under certified checkpoints.

Each function is a piece of work for the ledger's thread, small enough not to keep a block waiting. Nothing here is
believed by whoever asks; it verifies.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from chain import receipt
from chain.checkpoint import CertifiedCheckpoint, Checkpoint, ClosingCheckpoint
from chain.codec import encode
from chain.errors import Refused
from chain.ledger import Ledger
from chain.log import leaf_hash
from chain.pb import ledger_pb2
from chain.transaction import decode
from chain.types import STATE_KEY_BYTES_MAX, Epoch, Height, TransactionId
from client.pb import node_service_pb2 as pb
from node.store import LedgerStore
from node.waiters import Executed

CLOSINGS_MAX = receipt.CLOSINGS_MAX
"""Closing checkpoints in one answer; who is further behind asks again."""
INCLUSIONS_BYTES_MAX = 4 * 1024 * 1024
"""Of operations in one bundle."""
PATHS_BYTES_MAX = (40 + 10) * 32
"""Of an inclusion in a log of 2^40 entries, of a transaction with 1,024 operations."""


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest checkpoint that is both certified and executed here."""

    certified: CertifiedCheckpoint
    checkpoint: Checkpoint


def newest_of(store: LedgerStore) -> Newest | None:
    """The newest certified checkpoint of an executed block, from disk."""
    if store.height == 0:
        return None
    found = store.proofs.finality_within(Height(1), store.height)
    if found is None or not isinstance(found[1], CertifiedCheckpoint):
        return None
    return Newest(found[1], Checkpoint.decode(found[1].checkpoint))


class Answers:
    """Builds answers from the ledger and its store; every method runs in the ledger's thread."""

    def __init__(self, ledger: Ledger, store: LedgerStore) -> None:
        self._ledger = ledger
        self._store = store

    def find(self, ids: Sequence[TransactionId], log_size: int) -> dict[TransactionId, Executed]:
        """Transactions that have an entry among the first so many of the log."""
        found: dict[TransactionId, Executed] = {}
        for transaction_id in ids:
            place = self._store.place(transaction_id)
            if place is None or place.leaf_index >= log_size:
                continue
            entry = self._store.entry(place.leaf_index)
            assert entry is not None, "an id's entry is stored with it"
            transaction = decode(self._store.transaction_at(place))
            found[transaction_id] = Executed(transaction, entry, place.leaf_index, place.height)
        return found

    def heights(self, ids: Sequence[TransactionId]) -> dict[TransactionId, Height]:
        """In which blocks these have their entries, as far as they have any."""
        places = {transaction_id: self._store.place(transaction_id) for transaction_id in ids}
        return {transaction_id: place.height for transaction_id, place in places.items() if place is not None}

    def find_within(
        self, ids: Sequence[TransactionId], log_size: int, room: int, operation_index: int | None
    ) -> tuple[dict[TransactionId, Executed], int]:
        """What `find` finds, one after another while the answer stays within its bytes, and what is left of them.

        Raises:
            Refused: They are too large together.
        """
        found: dict[TransactionId, Executed] = {}
        for transaction_id in ids:
            for executed in self.find([transaction_id], log_size).values():
                shown = len(executed.transaction.operations) if operation_index is None else 1
                room -= len(executed.transaction.raw) + shown * (len(executed.entry) + PATHS_BYTES_MAX)
                if room < 0:
                    found.clear()  # the error outlives this call, and this frame with it
                    raise Refused("these receipts are too large for one answer; ask for fewer", "receipt.too-many")
                found[transaction_id] = executed
        return found, room

    def inclusions(
        self, executed: Iterable[Executed], log_size: int, operation_index: int | None
    ) -> list[ledger_pb2.Inclusion]:
        """Proofs of one operation of each transaction, or of all of them if the index is None."""
        proofs: list[ledger_pb2.Inclusion] = []
        for item in executed:
            path = self._store.prove_inclusion(item.leaf_index, log_size)
            count = len(item.transaction.operations)
            if operation_index is not None and operation_index >= count:
                raise Refused(f"a transaction has only {count} operations", "receipt.no-such-operation")
            if operation_index is None:
                proofs += receipt.make_inclusions(item.transaction, item.entry, item.leaf_index, path)
            else:
                proofs.append(
                    receipt.make_inclusion(item.transaction, operation_index, item.entry, item.leaf_index, path)
                )
        return proofs

    def bundles(self, executed: Sequence[Executed], newest: Newest, from_epoch: Epoch) -> list[bytes]:
        """Receipts of the first operation of each, in as few bundles as their size allows."""
        closings = self.closings(from_epoch, newest.checkpoint.epoch)
        return [
            receipt.make(self.inclusions(part, newest.checkpoint.log_size, 0), (), newest.certified, closings)
            for part in _parts(executed)
        ]

    def states(self, keys: Sequence[bytes], height: Height) -> list[ledger_pb2.StateProof]:
        """Proofs of state keys as they were after a block.

        Raises:
            Refused: A key has no possible length, or the height is no longer held.
        """
        proofs = []
        for key in keys:
            if not 1 <= len(key) <= STATE_KEY_BYTES_MAX:
                raise Refused(f"a state key has 1 to {STATE_KEY_BYTES_MAX} bytes", "state.invalid-key")
            answer = self._ledger.query(key, height)
            proofs.append(receipt.make_state_proof(key, answer.value, answer.proof))
        return proofs

    def certified_at(self, height: Height) -> Newest:
        """The certified checkpoint of exactly this height.

        Raises:
            Refused: There is none.
        """
        self._store.check_held(height)
        found = self._store.proofs.certified_from(height)
        if found is None or found[0] != height or height > self._store.height:
            raise Refused(f"there is no certified checkpoint of height {height}", "state.no-such-height")
        return Newest(found[1], Checkpoint.decode(found[1].checkpoint))

    def closings(self, from_epoch: Epoch, to_epoch: Epoch) -> Sequence[ClosingCheckpoint]:
        """The checkpoints that lead from one epoch to another.

        Raises:
            Refused: Too many for one answer.
        """
        count = to_epoch - max(from_epoch, 1)
        if count > CLOSINGS_MAX:
            raise Refused("ask for the closing checkpoints first", "checkpoints.too-far-behind")
        return self._store.proofs.closings(Epoch(max(from_epoch, 1)), count) if count > 0 else ()

    def checkpoints(self, from_epoch: Epoch, newest: Newest | None) -> pb.CheckpointsResponse:
        """The way from an epoch to now, as far as fits one answer."""
        closings = self._store.proofs.closings(Epoch(max(from_epoch, 1)), CLOSINGS_MAX)
        return pb.CheckpointsResponse(
            newest=b"" if newest is None else encode(newest.certified.to_pb()),
            closings=[encode(closing.to_pb()) for closing in closings],
        )

    def consistency(self, size1: int, size2: int, log_size: int) -> list[bytes]:
        """That the log of size2 begins with that of size1.

        Raises:
            Refused: The sizes are out of order, or above what is certified.
        """
        if not 0 <= size1 <= size2 <= log_size:
            raise Refused(f"sizes must rise and be at most {log_size}", "log.no-such-size")
        return self._store.prove_consistency(size1, size2)

    def edge(self, height: Height, newest: Newest | None) -> pb.EdgeResponse:
        """Where the log ends at the first certified checkpoint from a height on; 0: the newest.

        Raises:
            Refused: Nothing is certified there yet, or the log's end there is no longer held.
        """
        found = None if newest is None else newest.certified
        if height and found is not None:
            later = self._store.proofs.certified_from(height)
            found = None if later is None or later[0] > self._store.height else later[1]
        if found is None:
            raise Refused(f"nothing is certified at height {height} or above", "state.no-such-height")
        size = Checkpoint.decode(found.checkpoint).log_size
        answer = pb.EdgeResponse(checkpoint=encode(found.to_pb()))
        if size:
            entry = self._store.entry(size - 1)
            if entry is None:
                raise Refused(f"entry {size - 1} is not held here", "block.not-held")
            answer.leaf_hash = leaf_hash(entry)
            answer.path.extend(self._store.prove_inclusion(size - 1, size))
        return answer

    def block_event(self, height: Height) -> pb.BlockEvent | None:
        """A certified block with its transactions and entries; None while it is not certified."""
        certified = self._store.proofs.certified_from(height)
        if certified is None or certified[0] > self._store.height:
            return None
        block, outcome = self._store.block(height), self._store.outcome(height)
        if block is None or outcome is None:
            self._store.check_held(height)
            raise Refused(f"block {height} is not held here", "block.not-held")
        return pb.BlockEvent(
            block=block.raw,
            transactions=self._store.executed_transactions(height),
            entries=self._store.block_entries(height),
            first_leaf=outcome.first_leaf,
            checkpoint=encode(certified[1].to_pb()),
        )


def _parts(executed: Sequence[Executed]) -> Iterator[list[Executed]]:
    """Cut into pieces whose receipts fit one message."""
    part: list[Executed] = []
    size_bytes = 0
    for item in executed:
        size = len(item.transaction.operations[0].raw) + 2 * len(item.entry) + 32 * 40
        if part and size_bytes + size > INCLUSIONS_BYTES_MAX:
            yield part
            part, size_bytes = [], 0
        part.append(item)
        size_bytes += size
    if part:
        yield part
