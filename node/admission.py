# SPDX-License-Identifier: Apache-2.0
"""The way into the mempool: bounded, signatures checked in worker threads by the batch, then checked against state.

Clients' and peers' transactions take the same way. A batch goes to a worker as soon as one is idle and holds whatever
waits by then, so that light load is not delayed and heavy load is cheap. Signatures never hold up the event loop;
libsodium releases the interpreter while it works.

Who is a stranger to the network costs no signature check: the ledger is asked first whether it knows any signer, and
that one's signature is checked before the others. All bounds count signatures, and streams and peers have their turns.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Container, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from google.protobuf.message import DecodeError

from chain.errors import LedgerError, Refused
from chain.pb import ledger_pb2
from chain.signing import Signer
from chain.transaction import SignedTransaction, decode, verify_signatures
from chain.types import SIGNERS_MAX, TRANSACTION_BYTES_MAX, Digest, Millis, Network, sha256
from node.config import AdmissionConfig
from node.lanes import Entry, Lane
from node.mempool import Busy, Mempool

LINGER_SECONDS = 0.008
"""A batch that follows another within this time waits for company: handing over costs as much as three checks."""
QUEUE_RETRY_AFTER_MS = 500
"""The queue holds two seconds of checking; a quarter of it is free by then."""
BUSY_BYTES_PER_BATCH_MAX = 4 * 1024 * 1024
"""A batch of large transactions ends here: one block's worth."""
SIGNERS_ASKED_MAX = 512
"""Signers that the ledger is asked about at one go: some milliseconds, between which blocks execute."""
SIGNERS_KNOWN_MAX = 16_384
"""Signers that are remembered as known, so that the ledger is not asked about each transaction."""
UNKNOWN_SIGNER = "transaction.unknown-signer"

Outcome: TypeAlias = SignedTransaction | LedgerError


class Gate(Protocol):
    """What state says about transactions."""

    async def find_known(self, transactions: Sequence[SignedTransaction], now_ms: Millis) -> list[int | None]:
        """For each, in order: the place of a signer that the network knows, or None; signatures may be wrong."""
        ...

    async def admit(
        self, transactions: Sequence[SignedTransaction], now_ms: Millis, *, from_client: bool
    ) -> list[str | LedgerError]:
        """For each, in order, its signatures being right: the organisation that it counts against, or why not.

        An organisation that has used up its quota is refused as `Busy`, to clients only: what comes by way of a peer
        is charged all the same, and proposers leave out whoever is `in_debt`.
        """
        ...

    def in_debt(self, now_ms: Millis) -> frozenset[str]:
        """Organisations that have used more than their quota."""
        ...


@dataclass(slots=True)
class _Request:
    """Some transactions that arrived together, with their outcomes so far."""

    outcomes: list[Outcome | None]
    left: int
    done: asyncio.Future[list[Outcome]]
    admit: bool
    from_client: bool


@dataclass(slots=True)
class _Job:
    """One transaction on its way.

    Attributes:
        index: Its place in its request.
        transaction: Decoded, from the first time in a worker on.
        known: The place of a signer that the network knows, once that is found out.
    """

    request: _Request
    index: int
    raw: bytes
    digest: Digest
    transaction: SignedTransaction | None = None
    known: int | None = None


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
        self._urgent: Lane[_Job] = Lane(config.queue_count_max, config.queue_bytes_max)
        self._normal: Lane[_Job] = Lane(config.queue_count_max, config.queue_bytes_max)
        self._known: OrderedDict[Signer, None] = OrderedDict()
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
        return self._urgent.count + self._normal.count

    def is_checking(self, digest: Digest) -> bool:
        """Whether a transaction is here and waits for its signature check."""
        return digest in self._checking

    def holds(self, digest: Digest) -> bool:
        """Whether a transaction is in the mempool: admitted, and without an entry so far."""
        return self._mempool.holds(digest)

    def hurry(self, digests: Collection[Digest]) -> None:
        """A vote waits for these: check those of them that wait before all others."""
        wanted = self._checking.intersection(digests)
        if wanted:
            for entry in self._normal.extract(lambda job: job.digest in wanted):
                self._urgent.add(entry)

    async def submit(self, raws: Sequence[bytes], *, from_client: bool, source: Hashable = None) -> list[Outcome]:
        """Take transactions from a client, or gossip from a peer.

        Args:
            raws: Their bytes.
            from_client: Whether quotas refuse them, and whether to pass them on.
            source: Whose share of the queue they take: a stream, or a peer.

        Returns:
            For each, in order: the transaction, now in the mempool, or why not.
        """
        return await self._enqueue(self._normal, raws, source, admit=True, from_client=from_client)

    async def verify(self, raws: Sequence[bytes]) -> list[Outcome]:
        """Decode and check signatures alone, ahead of all others: a vote waits for these."""
        return await self._enqueue(self._urgent, raws, None, admit=False, from_client=False)

    async def _enqueue(
        self, lane: Lane[_Job], raws: Sequence[bytes], source: Hashable, *, admit: bool, from_client: bool
    ) -> list[Outcome]:
        outcomes: list[Outcome | None] = [None] * len(raws)
        done: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        request = _Request(outcomes, 0, done, admit, from_client)
        for index, raw in enumerate(raws):
            digest = Digest(sha256(raw))
            weight = _weight(raw)
            outcomes[index] = problem = self._refuse_early(raw, digest, admit=admit)
            if problem is None and admit and not lane.has_room(source, weight, len(raw)):
                outcomes[index] = problem = Busy(
                    "too many transactions wait for their signature check", "admission.busy", QUEUE_RETRY_AFTER_MS
                )
            if problem is None:
                lane.add(Entry(_Job(request, index, raw, digest), source, weight, len(raw)))
                request.left += 1
                if admit:
                    self._checking.add(digest)
        if request.left == 0:
            return [outcome for outcome in outcomes if outcome is not None]
        self._wanted.set()
        return await done

    def _refuse_early(self, raw: bytes, digest: Digest, *, admit: bool) -> LedgerError | None:
        """What can be said without decoding."""
        if len(raw) > TRANSACTION_BYTES_MAX:
            return Refused(f"a transaction has at most {TRANSACTION_BYTES_MAX} bytes", "transaction.too-large")
        if admit and (self._mempool.holds(digest) or digest in self._checking):
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
            if early_s > 0 and self.waiting < self._config.batch_max and not self._urgent.count:
                await asyncio.sleep(early_s)
                if not self.waiting:
                    continue
            self._last_batch_s = loop.time()
            lane = self._urgent if self._urgent.count else self._normal
            entries = lane.take(self._config.batch_max, BUSY_BYTES_PER_BATCH_MAX)
            jobs = [entry.item for entry in entries]
            outcomes = await loop.run_in_executor(self._pool, _check, jobs, self._network, self._known)
            checked = [(job, outcome) for job, outcome in zip(jobs, outcomes, strict=True) if outcome is not None]
            self.verified += len(checked)
            unscreened = [entry for entry, outcome in zip(entries, outcomes, strict=True) if outcome is None]
            checked += await self._screen(lane, unscreened)
            await self._finish([job for job, _ in checked], [outcome for _, outcome in checked])

    async def _screen(self, lane: Lane[_Job], entries: Sequence[Entry[_Job]]) -> list[tuple[_Job, Outcome]]:
        """Ask the ledger about signers that nobody here has met: strangers, refused; the others come next."""
        strangers: list[tuple[_Job, Outcome]] = []
        friends: list[Entry[_Job]] = []
        for part in _parts(entries):
            decoded = [entry.item.transaction for entry in part]
            transactions = [transaction for transaction in decoded if transaction is not None]
            places = await self._gate.find_known(transactions, self._now())
            for entry, transaction, place in zip(part, transactions, places, strict=True):
                if place is None:
                    refusal = Refused("no signer of the transaction is known to the network", UNKNOWN_SIGNER)
                    strangers.append((entry.item, refusal))
                    continue
                entry.item.known = place
                self._meet(transaction.signers[place])
                friends.append(entry)
        for entry in reversed(friends):
            lane.add(entry, at_front=True)
        return strangers

    def _meet(self, signer: Signer) -> None:
        """Remember a signer as known; the ledger has the last word all the same."""
        self._known[signer] = None
        if len(self._known) > SIGNERS_KNOWN_MAX:
            self._known.popitem(last=False)

    async def _finish(self, jobs: Sequence[_Job], outcomes: list[Outcome]) -> None:
        """Admit what is right, pass it on, and answer whose request is complete."""
        fresh: list[bytes] = []
        added = False
        for from_client in (True, False):
            sound = [
                (index, outcome)
                for index, (job, outcome) in enumerate(zip(jobs, outcomes, strict=True))
                if job.request.admit
                and job.request.from_client is from_client
                and isinstance(outcome, SignedTransaction)
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
        for job, outcome in zip(jobs, outcomes, strict=True):
            self._answer(job, outcome)

    def _answer(self, job: _Job, outcome: Outcome) -> None:
        """This one is settled; its request is, if it was the last."""
        self._checking.discard(job.digest)
        request = job.request
        if isinstance(outcome, LedgerError):
            self.refused += 1
            if outcome.code == UNKNOWN_SIGNER and job.transaction is not None:
                for signer in job.transaction.signers:  # one of them was known, and is not any more
                    self._known.pop(signer, None)
        request.outcomes[job.index] = outcome
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


def _weight(raw: bytes) -> int:
    """How many signatures these bytes hold; what can't be read costs no check."""
    try:
        return min(max(1, len(ledger_pb2.Transaction.FromString(raw).signatures)), SIGNERS_MAX)
    except DecodeError:
        return 1


def _parts(entries: Sequence[Entry[_Job]]) -> list[list[Entry[_Job]]]:
    """Cut so that the ledger is never asked about too many signers at once."""
    parts: list[list[Entry[_Job]]] = []
    weight = SIGNERS_ASKED_MAX
    for entry in entries:
        weight += entry.weight
        if weight > SIGNERS_ASKED_MAX:
            parts.append([])
            weight = entry.weight
        parts[-1].append(entry)
    return parts


def _check(jobs: Sequence[_Job], network: Network, known: Container[Signer]) -> list[Outcome | None]:
    """Decode, and verify those with a known signer, that one first; None for the others. Runs in a worker thread."""
    outcomes: list[Outcome | None] = []
    for job in jobs:
        try:
            if job.transaction is None:
                job.transaction = decode(job.raw)
            transaction = job.transaction
            if job.request.admit and job.known is None:
                places = (place for place, signer in enumerate(transaction.signers) if signer in known)
                job.known = next(places, None)
                if job.known is None:
                    outcomes.append(None)
                    continue
            _verify(transaction, job.known or 0, network)
        except LedgerError as error:
            outcomes.append(error)
        else:
            outcomes.append(transaction)
    return outcomes


def _verify(transaction: SignedTransaction, first: int, network: Network) -> None:
    """Check all signatures, one before the others: whoever names a member without its consent costs one check.

    Raises:
        InvalidSignature: One is wrong.
    """
    if len(transaction.signers) > 1:
        signer, signature = transaction.signers[first], transaction.signatures[first]
        verify_signatures(replace(transaction, signers=(signer,), signatures=(signature,)), network)
    verify_signatures(transaction, network)
