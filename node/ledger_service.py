# SPDX-License-Identifier: Apache-2.0
"""The ledger in a thread of its own: execution, admission's questions, proposals and proofs, one after another.

The ledger and its store are guarded against nothing, so one thread alone touches them. Blocks execute ahead of reads
in the sense that a read is a small piece of work: it never holds the thread for longer than some milliseconds.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from chain.application import Execution
from chain.certificate import Certificate
from chain.checkpoint import CertifiedCheckpoint, Checkpoint, ClosingCheckpoint
from chain.consensus.block import Block
from chain.consensus.messages import BlockWithBodies, Range
from chain.errors import LedgerError, Refused
from chain.ledger import Ledger
from chain.transaction import SignedTransaction
from chain.types import BLOCK_BYTES_MAX, BLOCK_TRANSACTIONS_MAX, Digest, Height, Millis
from membership import quota
from membership.state import Organisation
from node.compaction import Compactor
from node.errors import StorageError
from node.mempool import Busy
from node.store import LedgerStore

PRUNED_KEYS_MAX = 2_000
"""Of old states, after each block: some milliseconds, and far more than a block makes obsolete."""
QUOTAS_MAX = 10_000
"""Organisations whose quota is remembered; a city has hundreds."""

DEBT_S_MAX = 60
"""Seconds of its quota that an organisation can owe: long enough to stop a flood, short enough to forget it."""

P = ParamSpec("P")
T = TypeVar("T")


class LedgerService:
    """What the node asks of its ledger."""

    def __init__(
        self,
        ledger: Ledger,
        store: LedgerStore,
        fatal: Callable[[BaseException], None],
        compact: Callable[[bytes, bytes], None] | None = None,
    ) -> None:
        """Take both over.

        Args:
            ledger: Over the store.
            store: The ledger's.
            fatal: Hears of errors after which the node must stop.
            compact: Gives back the room of a range of keys of the store's database; None where nobody needs it.
        """
        self._ledger = ledger
        self._store = store
        self._fatal = fatal
        self._compactor = None if compact is None else Compactor(compact)
        self._wanted_heights: Callable[[], Sequence[Height]] = tuple
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._buckets: dict[str, tuple[quota.Bucket, int]] = {}

    async def run(self, work: Callable[P, T], *args: P.args, **keywords: P.kwargs) -> T:
        """Do a piece of work in the ledger's thread."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, lambda: work(*args, **keywords))
        except (StorageError, AssertionError) as error:
            self._fatal(error)
            raise

    def stop(self) -> None:
        """Wait for what is under way, do nothing more."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._compactor is not None:
            self._compactor.stop()

    # ------------------------------------------------------------ for the driver

    async def execute(self, block: Block, transactions: Sequence[SignedTransaction]) -> Execution:
        """Execute a final block and commit it."""
        return await self.run(self._execute, block, transactions)

    def _execute(self, block: Block, transactions: Sequence[SignedTransaction]) -> Execution:
        execution = self._ledger.execute(block, transactions)
        self._ledger.commit(execution)
        self._pin_wanted()
        self._store.prune(PRUNED_KEYS_MAX)
        if self._compactor is not None:
            self._compactor.add(self._store.take_compactable())
        return execution

    def keep(self, wanted_heights: Callable[[], Sequence[Height]]) -> None:
        """From now on keep what copies at these heights need; asked in the ledger's thread, after each block."""
        self._wanted_heights = wanted_heights

    def _pin_wanted(self) -> None:
        wanted = self._wanted_heights()
        for height in self._store.pins:
            if height not in wanted:
                self._store.unpin(height)
        for height in wanted:
            # One that a peer asked for just as it was pruned can't be kept any more; it learns so when it goes on.
            with contextlib.suppress(Refused):
                self._store.pin(height)

    async def certify(self, certified: CertifiedCheckpoint, checkpoint: Checkpoint) -> None:
        """Store a checkpoint's certificate."""
        await self.run(self._store.proofs.save_certified, certified, checkpoint)

    async def close_epoch(self, closing: ClosingCheckpoint) -> None:
        """Store a closing checkpoint, for newcomers and clients."""
        checkpoint = Checkpoint.decode(closing.certified.checkpoint)
        await self.run(self._store.proofs.save_closing, closing, checkpoint)

    async def propose(self, candidates: Sequence[SignedTransaction], time_ms: Millis) -> list[Digest]:
        """Choose what a block of this time holds."""
        return await self.run(self._propose, candidates, time_ms)

    def _propose(self, candidates: Sequence[SignedTransaction], time_ms: Millis) -> list[Digest]:
        return self._ledger.propose(candidates, time_ms, bytes_max=BLOCK_BYTES_MAX, count_max=BLOCK_TRANSACTIONS_MAX)

    def validate(self, transactions: Sequence[SignedTransaction]) -> None:
        """Check a proposed block's limits; needs no state, hence no thread.

        Raises:
            Refused: A limit is broken.
        """
        self._ledger.validate(transactions)

    # ------------------------------------------------------------ for admission

    async def find_known(self, transactions: Sequence[SignedTransaction], now_ms: Millis) -> list[int | None]:
        """For each: the place of a signer that the network knows, or None. Nobody has checked its signature yet."""
        return await self.run(self._find_known, transactions, now_ms)

    def _find_known(self, transactions: Sequence[SignedTransaction], now_ms: Millis) -> list[int | None]:
        return [
            next(
                (
                    place
                    for place, signer in enumerate(transaction.signers)
                    if quota.charged_organisation(self._ledger.read, (signer,), now_ms) is not None
                ),
                None,
            )
            for transaction in transactions
        ]

    async def admit(
        self, transactions: Sequence[SignedTransaction], now_ms: Millis, *, from_client: bool
    ) -> list[str | LedgerError]:
        """For each: the organisation that it counts against, or why it is refused."""
        return await self.run(self._admit_all, transactions, now_ms, from_client=from_client)

    def _admit_all(
        self, transactions: Sequence[SignedTransaction], now_ms: Millis, *, from_client: bool
    ) -> list[str | LedgerError]:
        verdicts: list[str | LedgerError] = []
        for transaction in transactions:
            try:
                verdicts.append(self._admit(transaction, now_ms, from_client=from_client))
            except Refused as error:
                verdicts.append(error)
        return verdicts

    def _admit(self, transaction: SignedTransaction, now_ms: Millis, *, from_client: bool) -> str:
        self._ledger.check(transaction, now_ms)
        organisation = quota.charged_organisation(self._ledger.read, transaction.signers, now_ms)
        if organisation is None:
            raise Refused("no signer of the transaction is known to the network", "transaction.unknown-signer")
        self._charge(organisation, transaction, now_ms, from_client=from_client)
        return organisation.id

    def _charge(
        self, organisation: Organisation, transaction: SignedTransaction, now_ms: Millis, *, from_client: bool
    ) -> None:
        rate = quota.rate_of(self._ledger.read, organisation)
        bucket = self._buckets[organisation.id][0] if organisation.id in self._buckets else quota.full(rate, now_ms)
        weight = quota.weight(transaction.operations)
        taken = quota.take(bucket, weight, rate, now_ms)
        if isinstance(taken, quota.Delayed):
            if from_client:
                raise Busy(f"{organisation.id} has used up its quota", "admission.quota", taken.retry_after_ms)
            taken = quota.Granted(_owe(bucket, weight, rate, now_ms))
        if len(self._buckets) >= QUOTAS_MAX:
            self._buckets.clear()
        self._buckets[organisation.id] = (taken.bucket, rate)

    def in_debt(self, now_ms: Millis) -> frozenset[str]:
        """Organisations that have used more than their quota, by way of other nodes. Safe to call from any thread."""
        return frozenset(
            name for name, (bucket, rate) in list(self._buckets.items()) if _level(bucket, rate, now_ms) < 0
        )

    # ------------------------------------------------------------ for peers

    async def bodies(self, digests: Sequence[Digest], bytes_max: int) -> list[bytes]:
        """Transactions of executed blocks, as far as they are here and fit."""
        return await self.run(self._bodies, digests, bytes_max)

    def _bodies(self, digests: Sequence[Digest], bytes_max: int) -> list[bytes]:
        found: list[bytes] = []
        room = bytes_max
        for digest in digests:
            raw = self._store.transaction(digest)
            if raw is not None:
                room -= len(raw)
                if room < 0:
                    break
                found.append(raw)
        return found

    async def blocks(self, first: Height, count_max: int, bytes_max: int) -> Range | None:
        """Executed blocks from a height on that end with one that is proven final, within the bounds; or None."""
        return await self.run(self._blocks, first, count_max, bytes_max)

    def _blocks(self, first: Height, count_max: int, bytes_max: int) -> Range | None:
        blocks: list[BlockWithBodies] = []
        room = bytes_max
        height = first
        while len(blocks) < count_max and height <= self._store.height:
            block = self._store.block(height)
            if block is None or (blocks and block.epoch != blocks[0].block.epoch):
                break
            bodies = tuple(self._store.transactions(height))
            room -= len(block.raw) + sum(map(len, bodies))
            if room < 0 and blocks and (room < -BLOCK_BYTES_MAX or self._proof(first, Height(height - 1)) is not None):
                break
            blocks.append(BlockWithBodies(block, bodies))
            height = Height(height + 1)
        found = self._proof(first, Height(height - 1)) if blocks else None
        if found is None:
            return None
        last, proof = found
        return Range(tuple(blocks[: last - first + 1]), proof)

    def _proof(self, first: Height, last: Height) -> tuple[Height, Certificate | CertifiedCheckpoint] | None:
        return self._store.proofs.finality_within(first, last)


def _level(bucket: quota.Bucket, rate: int, now_ms: Millis) -> int:
    """What a bucket holds by now, in thousandths of an operation; never more than when it is full."""
    return min(quota.full(rate, now_ms).level_milli, bucket.level_milli + max(0, now_ms - bucket.time_ms) * rate)


def _owe(bucket: quota.Bucket, weight: int, rate: int, now_ms: Millis) -> quota.Bucket:
    """Take more out of a bucket than it holds."""
    level = max(_level(bucket, rate, now_ms) - weight * 1000, -DEBT_S_MAX * rate * 1000)
    return quota.Bucket(level, Millis(max(now_ms, bucket.time_ms)))
