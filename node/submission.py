# SPDX-License-Identifier: Apache-2.0
"""One Submit stream: requests in, admissions in their order, receipts in bundles as checkpoints are certified.

A caller that does not read its answers is read no further; so is one that waits for too many receipts already.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterable, Awaitable, Callable, Sequence

from chain.errors import LedgerError
from chain.transaction import SignedTransaction, decode
from chain.types import Epoch, Millis, TransactionId
from client.pb import node_service_pb2 as pb
from node.admission import Admission, Outcome
from node.answers import Answers, Newest
from node.config import ClientConfig
from node.ledger_service import LedgerService
from node.mempool import Busy
from node.waiters import Waiters

SUBMITTED_COUNT_MAX = 512
"""Transactions in one request."""
SUBMITTED_BYTES_MAX = 4 * 1024 * 1024
RECEIPTS_PER_PIECE_MAX = 512
"""Proofs made at one go in the ledger's thread, 15 ms; as a rule all that one checkpoint brings a stream."""
FULL_RETRY_SECONDS = 0.25
"""Room that other streams make is noticed after so long; one's own at once."""

PENDING = "transaction.pending"
REPEATED = "transaction.repeated"

Write = Callable[[pb.SubmitResponse], Awaitable[None]]


class SubmitStream:
    """Serves one stream."""

    def __init__(
        self,
        *,
        admission: Admission,
        ledger: LedgerService,
        answers: Answers,
        waiters: Waiters,
        newest: Callable[[], Newest | None],
        config: ClientConfig,
    ) -> None:
        self._admission = admission
        self._ledger = ledger
        self._answers = answers
        self._waiters = waiters
        self._newest = newest
        self._config = config
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._sink = waiters.open(self._changed.set)
        self._requests: asyncio.Queue[asyncio.Task[pb.SubmitResponse]] = asyncio.Queue(config.stream_inflight_max)
        self._from_epoch = Epoch(0)
        self._ended = False

    async def serve(self, requests: AsyncIterable[pb.SubmitRequest], write: Write) -> None:
        """Run until the caller has ended its side and has all its answers.

        Raises:
            LedgerError: A request breaks a bound.
        """
        reader = asyncio.create_task(self._read(requests))
        try:
            while True:
                self._changed.clear()
                if reader.done():
                    reader.result()
                    if self._requests.empty() and not self._sink.count:
                        return
                while not self._requests.empty():
                    await write(await self._requests.get_nowait())
                await self._push(write)
                await self._changed.wait()
        finally:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError, LedgerError):
                await reader
            while not self._requests.empty():
                self._requests.get_nowait().cancel()
            self._waiters.close(self._sink)

    async def _read(self, requests: AsyncIterable[pb.SubmitRequest]) -> None:
        try:
            async for request in requests:
                count = len(request.transactions)
                if count > SUBMITTED_COUNT_MAX or sum(map(len, request.transactions)) > SUBMITTED_BYTES_MAX:
                    raise LedgerError(
                        f"a request has at most {SUBMITTED_COUNT_MAX} transactions and {SUBMITTED_BYTES_MAX} bytes",
                        "submit.too-large",
                    )
                while request.receipts and self._is_full(count):
                    self._room.clear()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._room.wait(), FULL_RETRY_SECONDS)
                self._from_epoch = Epoch(request.from_epoch)
                await self._requests.put(asyncio.create_task(self._admit(request)))
                self._changed.set()
        finally:
            self._changed.set()

    def _is_full(self, count: int) -> bool:
        """Whether so many more would be too many waiters; a stream that waits for nothing is never full."""
        if not self._sink.count:
            return False
        return (
            self._sink.count + count > self._config.stream_waiters_max
            or self._waiters.count + count > self._config.waiters_max
        )

    async def _admit(self, request: pb.SubmitRequest) -> pb.SubmitResponse:
        raws = list(request.transactions)
        outcomes = await self._admission.submit(raws, from_client=True, source=id(self))
        if request.receipts:
            await self._register(raws, outcomes)
        self._changed.set()
        admissions = [_admission_of(raw, outcome) for raw, outcome in zip(raws, outcomes, strict=True)]
        return pb.SubmitResponse(admissions=pb.Admissions(admissions=admissions))

    async def _register(self, raws: Sequence[bytes], outcomes: Sequence[Outcome]) -> None:
        """Wait for what was admitted or is known; what has its entry already is found at once."""
        waiting: list[tuple[TransactionId, Millis]] = []
        known: list[TransactionId] = []
        for raw, outcome in zip(raws, outcomes, strict=True):
            if isinstance(outcome, SignedTransaction):
                waiting.append((outcome.id, outcome.expires_at_ms))
                if not self._admission.holds(outcome.digest):
                    known.append(outcome.id)
            elif outcome.code in {PENDING, REPEATED}:
                facts = _facts(raw)
                if facts is not None:
                    waiting.append(facts)
                    known.append(facts[0])
        self._waiters.wait(self._sink, waiting)
        # An entry may have been made between admission and this line, also of what was checked first of a request whose
        # last is checked only now; then nobody would tell.
        if known:
            found = await self._ledger.run(self._answers.find, known, 2**63)
            for executed in found.values():
                if executed.transaction.id in self._sink.waiting:
                    self._waiters.found(self._sink, executed)

    async def _push(self, write: Write) -> None:
        """Send what is certified by now, one bundle per checkpoint as a rule."""
        while (newest := self._newest()) is not None:
            ready = self._sink.take(newest.checkpoint.height, RECEIPTS_PER_PIECE_MAX)
            if not ready:
                return
            for bundle in await self._ledger.run(self._answers.bundles, ready, newest, self._from_epoch):
                await write(pb.SubmitResponse(receipt=bundle))
            self._room.set()


def _admission_of(raw: bytes, outcome: Outcome) -> pb.Admission:
    if isinstance(outcome, SignedTransaction):
        return pb.Admission(transaction_id=outcome.id)
    facts = _facts(raw) if outcome.code in {PENDING, REPEATED} else None
    return pb.Admission(
        transaction_id=b"" if facts is None else facts[0],
        code=outcome.code,
        reason=outcome.reason,
        retry_after_ms=outcome.retry_after_ms if isinstance(outcome, Busy) else 0,
    )


def _facts(raw: bytes) -> tuple[TransactionId, Millis] | None:
    """Id and expiry of a transaction; None of bytes that came twice before anyone had read them, and are none."""
    try:
        transaction = decode(raw)
    except LedgerError:
        return None
    return transaction.id, transaction.expires_at_ms
