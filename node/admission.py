# SPDX-License-Identifier: Apache-2.0
"""The way into the mempool: bounded, signatures checked in worker threads by the batch, then checked against state.

Clients' and peers' transactions take the same way. A batch goes to a worker as soon as one is idle and holds whatever
waits by then, so that light load is not delayed and heavy load is cheap. Signatures never hold up the event loop;
libsodium releases the interpreter while it works.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from chain.errors import LedgerError, Refused
from chain.transaction import SignedTransaction, decode, verify_signatures
from chain.types import TRANSACTION_BYTES_MAX, Digest, Millis, Network, sha256
from node.config import AdmissionConfig
from node.mempool import Busy, Mempool

LINGER_SECONDS = 0.008
"""A batch that follows another within this time waits for company: handing over costs as much as three checks."""
QUEUE_RETRY_AFTER_MS = 500
"""The queue holds two seconds of checking; a quarter of it is free by then."""
BUSY_BYTES_PER_BATCH_MAX = 4 * 1024 * 1024
"""A batch of large transactions ends here: one block's worth."""

Outcome: TypeAlias = SignedTransaction | LedgerError


class Gate(Protocol):
    """What state says about transactions whose signatures are right."""

    async def admit(
        self, transactions: Sequence[SignedTransaction], now_ms: Millis, *, from_client: bool
    ) -> list[str | LedgerError]:
        """For each, in order: the organisation that it counts against, or why it is refused.

        An organisation's quota is refused as `Busy`, and to clients only: a peer has asked for it already.
        """
        ...


@dataclass(slots=True)
class _Request:
    """Some transactions that arrived together, with their outcomes so far."""

    outcomes: list[Outcome | None]
    left: int
    done: asyncio.Future[list[Outcome]]
    admit: bool
    from_client: bool


_Job: TypeAlias = tuple[_Request, int, bytes, Digest]
"""One transaction: its request, its place there, its bytes and their digest."""


@dataclass(slots=True)
class _Lane:
    """Transactions that wait for a worker."""

    jobs: deque[_Job] = field(default_factory=deque)
    size_bytes: int = 0


class Admission:
    """Admits transactions to one node's mempool.

    Args:
        network: For which signatures must be made.
        gate: The checks against state.
        mempool: Takes what is admitted.
        gossip: Sends clients' admitted transactions to every peer, once.
        changed: Called after each batch that added to the mempool.
        now: The clock.
        config: Limits.
    """

    def __init__(
        self,
        network: Network,
        gate: Gate,
        mempool: Mempool,
        *,
        gossip: Callable[[Sequence[bytes]], None],
        changed: Callable[[], None],
        now: Callable[[], Millis],
        config: AdmissionConfig,
    ) -> None:
        self._network = network
        self._gate = gate
        self._mempool = mempool
        self._gossip = gossip
        self._changed = changed
        self._now = now
        self._config = config
        self._urgent = _Lane()
        self._normal = _Lane()
        self._wanted = asyncio.Event()
        self._pool = ThreadPoolExecutor(config.workers, thread_name_prefix="verify")
        self._tasks: list[asyncio.Task[None]] = []
        self._last_batch_s = 0.0
        self._checking: set[Digest] = set()
        self.verified = 0
        self.refused = 0

    def start(self) -> None:
        """Start the workers."""
        self._tasks = [asyncio.create_task(self._work(), name="admission") for _ in range(self._config.workers)]

    async def stop(self) -> None:
        """Stop the workers; who waits gets no answer."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def waiting(self) -> int:
        """Transactions that wait for a worker."""
        return len(self._urgent.jobs) + len(self._normal.jobs)

    def is_checking(self, digest: Digest) -> bool:
        """Whether a transaction is here and waits for its signature check."""
        return digest in self._checking

    def hurry(self, digests: Collection[Digest]) -> None:
        """A vote waits for these: check those of them that wait before all others."""
        wanted = self._checking.intersection(digests)
        if not wanted or not self._normal.jobs:
            return
        kept: deque[_Job] = deque()
        for job in self._normal.jobs:
            if job[3] in wanted:
                self._urgent.jobs.append(job)
                self._urgent.size_bytes += len(job[2])
                self._normal.size_bytes -= len(job[2])
            else:
                kept.append(job)
        self._normal.jobs = kept

    async def submit(self, raws: Sequence[bytes], *, from_client: bool) -> list[Outcome]:
        """Take transactions from a client, or gossip from a peer.

        Returns:
            For each, in order: the transaction, now in the mempool, or why not.
        """
        return await self._enqueue(self._normal, raws, admit=True, from_client=from_client)

    async def verify(self, raws: Sequence[bytes]) -> list[Outcome]:
        """Decode and check signatures alone, ahead of all others: a vote waits for these."""
        return await self._enqueue(self._urgent, raws, admit=False, from_client=False)

    async def _enqueue(self, lane: _Lane, raws: Sequence[bytes], *, admit: bool, from_client: bool) -> list[Outcome]:
        outcomes: list[Outcome | None] = [None] * len(raws)
        done: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        request = _Request(outcomes, 0, done, admit, from_client)
        for index, raw in enumerate(raws):
            digest = Digest(sha256(raw))
            outcomes[index] = problem = self._refuse_early(lane, raw, digest, admit=admit)
            if problem is None:
                lane.jobs.append((request, index, raw, digest))
                lane.size_bytes += len(raw)
                request.left += 1
                if admit:
                    self._checking.add(digest)
        if request.left == 0:
            return [outcome for outcome in outcomes if outcome is not None]
        self._wanted.set()
        return await done

    def _refuse_early(self, lane: _Lane, raw: bytes, digest: Digest, *, admit: bool) -> LedgerError | None:
        """What can be said without decoding."""
        if len(raw) > TRANSACTION_BYTES_MAX:
            return Refused(f"a transaction has at most {TRANSACTION_BYTES_MAX} bytes", "transaction.too-large")
        if not admit:
            return None
        config = self._config
        if len(lane.jobs) >= config.queue_count_max or lane.size_bytes + len(raw) > config.queue_bytes_max:
            return Busy("too many transactions wait for their signature check", "admission.busy", QUEUE_RETRY_AFTER_MS)
        if self._mempool.holds(digest) or (digest in self._checking):
            return Refused("this transaction waits already", "transaction.pending")
        return None

    async def _work(self) -> None:
        """Serve batches for as long as the node runs."""
        loop = asyncio.get_running_loop()
        while True:
            while not self.waiting:
                self._wanted.clear()
                await self._wanted.wait()
            early_s = self._last_batch_s + LINGER_SECONDS - loop.time()
            if early_s > 0 and self.waiting < self._config.batch_max and not self._urgent.jobs:
                await asyncio.sleep(early_s)
                if not self.waiting:
                    continue
            self._last_batch_s = loop.time()
            jobs = self._take()
            raws = [raw for _, _, raw, _ in jobs]
            outcomes = await loop.run_in_executor(self._pool, _verify, raws, self._network)
            self.verified += len(jobs)
            await self._finish(jobs, outcomes)

    def _take(self) -> list[_Job]:
        """The next batch: all that waits, up to the bounds, urgent first."""
        batch: list[_Job] = []
        room = BUSY_BYTES_PER_BATCH_MAX
        for lane in (self._urgent, self._normal):
            while lane.jobs and len(batch) < self._config.batch_max and room > 0:
                job = lane.jobs.popleft()
                size_bytes = len(job[2])
                lane.size_bytes -= size_bytes
                room -= size_bytes
                batch.append(job)
        return batch

    async def _finish(self, jobs: Sequence[_Job], outcomes: list[Outcome]) -> None:
        """Admit what is right, pass it on, and answer whose request is complete."""
        fresh: list[bytes] = []
        added = False
        for from_client in (True, False):
            sound = [
                (index, outcome)
                for index, ((request, _, _, _), outcome) in enumerate(zip(jobs, outcomes, strict=True))
                if request.admit and request.from_client is from_client and isinstance(outcome, SignedTransaction)
            ]
            if not sound:
                continue
            now_ms = self._now()
            verdicts = await self._gate.admit([item for _, item in sound], now_ms, from_client=from_client)
            for (index, transaction), verdict in zip(sound, verdicts, strict=True):
                problem = self._add(transaction, verdict, now_ms)
                if problem is not None:
                    outcomes[index] = problem
                    continue
                added = True
                if from_client:
                    fresh.append(transaction.raw)
        if fresh:
            self._gossip(fresh)
        if added:
            self._changed()
        for (request, index, _, digest), outcome in zip(jobs, outcomes, strict=True):
            self._checking.discard(digest)
            if isinstance(outcome, LedgerError):
                self.refused += 1
            request.outcomes[index] = outcome
            request.left -= 1
            if request.left == 0 and not request.done.done():
                request.done.set_result([item for item in request.outcomes if item is not None])

    def _add(self, transaction: SignedTransaction, verdict: str | LedgerError, now_ms: Millis) -> LedgerError | None:
        """Put one into the mempool; what is wrong, or None."""
        if isinstance(verdict, LedgerError):
            return verdict
        try:
            self._mempool.add(transaction, verdict, now_ms)
        except Refused as error:
            return error
        return None


def _verify(raws: Sequence[bytes], network: Network) -> list[Outcome]:
    """Decode and verify; runs in a worker thread."""
    outcomes: list[Outcome] = []
    for raw in raws:
        try:
            transaction = decode(raw)
            verify_signatures(transaction, network)
        except LedgerError as error:
            outcomes.append(error)
        else:
            outcomes.append(transaction)
    return outcomes
