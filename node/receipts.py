# SPDX-License-Identifier: Apache-2.0
"""Receipts by id, for whoever asks: collected within a bound on their bytes, and put together off the event loop.

Who waits for a receipt costs one entry among the waiters: it is told when it can be given, and looks nothing up.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from chain import receipt
from chain.errors import LedgerError, Refused
from chain.pb import ledger_pb2
from chain.types import HASH_BYTES, Epoch, Height, Millis, TransactionId
from client.pb import node_service_pb2 as pb
from node.answers import Answers, Newest
from node.ledger_service import LedgerService
from node.places import Full
from node.waiters import GENESIS_HEIGHT, Sink, Waiters

READ_COUNT_MAX = 512
"""Keys or ids in one read."""
PIECE_COUNT_MAX = 32
"""Proofs made at one go in the ledger's thread: a few milliseconds, between which blocks execute."""
ANSWER_BYTES_MAX = 8 * 1024 * 1024
"""Of transactions, entries and values in one answer; with paths and closing checkpoints it still fits a message."""
INLINE_OPERATIONS_MAX = 16_384
"""Operations in one bundle, as `chain.receipt` bounds it."""
WAIT_MS_MAX = 60_000
_NEVER = Millis(2**63 - 1)
"""A waiting read ends by its own time, not with the transaction's expiry."""

_EVERYTHING = 2**63
"""A log size that no log reaches."""

T = TypeVar("T")


class Receipts:
    """Answers `Receipts` and `State`."""

    def __init__(
        self,
        *,
        ledger: LedgerService,
        answers: Answers,
        waiters: Waiters,
        newest: Callable[[], Newest | None],
        waiters_max: int,
    ) -> None:
        self._ledger = ledger
        self._answers = answers
        self._waiters = waiters
        self._newest = newest
        self._waiters_max = waiters_max

    async def wait(self, ids: Sequence[TransactionId], wait_ms: int) -> None:
        """Return once each of these has a certified entry, or time is up.

        Raises:
            Full: Too many transactions are waited for already.
        """
        if self._waiters.count + len(ids) > self._waiters_max:
            raise Full
        changed = asyncio.Event()
        sink = self._waiters.open(changed.set)
        left = set(ids)
        try:
            async with asyncio.timeout(min(wait_ms, WAIT_MS_MAX) / 1000):
                self._waiters.wait(sink, [(found, _NEVER) for found in ids])
                left -= await self._look(sink, ids)
                while left:
                    newest = self._newest()
                    if newest is not None:
                        done = sink.take(newest.checkpoint.height, len(ids))
                        left -= {executed.transaction.id for executed in done}
                    if left:
                        await changed.wait()
                        changed.clear()
        except TimeoutError:
            pass
        finally:
            self._waiters.close(sink)

    async def _look(self, sink: Sink, ids: Sequence[TransactionId]) -> set[TransactionId]:
        """Those that are certified already; the waiter is given those that were executed before it waited."""
        newest = self._newest()
        certified = GENESIS_HEIGHT if newest is None else newest.checkpoint.height
        heights: dict[TransactionId, Height] = {}
        for part in pieces(ids):
            heights |= await self._ledger.run(self._answers.heights, part)
        for part in pieces([found for found, height in heights.items() if height > certified]):
            for executed in (await self._ledger.run(self._answers.find, part, _EVERYTHING)).values():
                if executed.transaction.id in sink.waiting:
                    self._waiters.found(sink, executed)
        return {found for found, height in heights.items() if height <= certified}

    async def make(self, request: pb.ReceiptsRequest, ids: Sequence[TransactionId]) -> pb.ReceiptsResponse:
        """A bundle of what is certified by now.

        Raises:
            Refused: It would be too large, or a transaction has no such operation.
        """
        newest = self._newest()
        if newest is None:
            return pb.ReceiptsResponse(missing=ids)
        index = None if request.all_operations else request.operation_index
        log_size = newest.checkpoint.log_size
        proofs: list[ledger_pb2.Inclusion] = []
        missing: list[TransactionId] = []
        room = ANSWER_BYTES_MAX
        for part in pieces(ids):
            found, room = await self._ledger.run(self._answers.find_within, part, log_size, room, index)
            missing += [transaction_id for transaction_id in part if transaction_id not in found]
            executed = list(found.values())
            count = len(proofs) + sum(len(each.transaction.operations) for each in executed)
            if request.all_operations and count > INLINE_OPERATIONS_MAX:
                executed.clear()
                found.clear()
                proofs.clear()  # the error outlives this call, and this frame with it
                raise Refused(f"ask for at most {INLINE_OPERATIONS_MAX} operations at once", "receipt.too-many")
            proofs += await self._ledger.run(self._answers.inclusions, executed, log_size, index)
        if not proofs:
            return pb.ReceiptsResponse(missing=missing)
        closings = await self._ledger.run(self._answers.closings, Epoch(request.from_epoch), newest.checkpoint.epoch)
        made = await asyncio.to_thread(receipt.make, proofs, (), newest.certified, closings)
        return pb.ReceiptsResponse(receipt=made, missing=missing)

    async def states(self, request: pb.StateRequest) -> pb.StateResponse:
        """State keys with proof of presence or absence.

        Raises:
            LedgerError: A key has no possible length, the height is not held, or the answer would be too large.
        """
        keys = list(dict.fromkeys(request.keys))
        check_count(len(keys))
        newest = self._newest()
        if newest is None:
            raise Refused("nothing is certified yet", "state.nothing-certified")
        if request.height:
            newest = await self._ledger.run(self._answers.certified_at, Height(request.height))
        proofs: list[ledger_pb2.StateProof] = []
        room = ANSWER_BYTES_MAX
        for part in pieces(keys):
            made = await self._ledger.run(self._answers.states, part, newest.checkpoint.height)
            room -= sum(len(proof.value) + len(proof.proof) for proof in made)
            if room < 0:
                made.clear()
                proofs.clear()  # the error outlives this call, and this frame with it
                raise Refused("these states are too large for one answer; ask for fewer", "receipt.too-many")
            proofs += made
        closings = await self._ledger.run(self._answers.closings, Epoch(request.from_epoch), newest.checkpoint.epoch)
        return pb.StateResponse(receipt=await asyncio.to_thread(receipt.make, (), proofs, newest.certified, closings))


def ids_of(request: pb.ReceiptsRequest) -> list[TransactionId]:
    """What is asked for, each once.

    Raises:
        LedgerError: None, too many, or one that is no id.
    """
    ids = list(dict.fromkeys(TransactionId(found) for found in request.transaction_ids))
    check_count(len(ids))
    if any(len(found) != HASH_BYTES for found in ids):
        raise LedgerError("a transaction id has 32 bytes", "receipt.invalid-id")
    return ids


def check_count(count: int) -> None:
    """Check how many items are asked for.

    Raises:
        LedgerError: None, or too many.
    """
    if not 1 <= count <= READ_COUNT_MAX:
        raise LedgerError(f"ask for 1 to {READ_COUNT_MAX} at once, not {count}", "read.too-many-keys")


def pieces(items: Sequence[T]) -> list[Sequence[T]]:
    """Cut into what is done at one go."""
    return [items[start : start + PIECE_COUNT_MAX] for start in range(0, len(items), PIECE_COUNT_MAX)]
