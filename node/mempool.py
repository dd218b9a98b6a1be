# SPDX-License-Identifier: Apache-2.0
"""Transactions that wait to be ordered: bounded, fair between organisations, kept until they have an entry or expire.

Pure logic; time is an argument. What stands in a block that is under way is *claimed*: it stays here, since the block
may turn out void, but no longer counts as something to order.

Invariant: a transaction leaves only by `settle` (it has an entry), `expire`, or never having been admitted.
Source: docs/protocol.md, section 2.
"""

import heapq
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from chain.errors import Refused
from chain.transaction import SignedTransaction
from chain.types import BlockId, Digest, Millis, TransactionId
from node.config import MempoolConfig

OVERHEAD_BYTES = 2_048
"""What the decoded form of a small transaction weighs beyond its bytes."""
CLAIM_MS = 1_000
"""A claim that nobody ends lapses: twice the delay bound that views assume at first."""


class Busy(Refused):
    """Admission has no room now; the same transaction may be welcome later.

    Attributes:
        retry_after_ms: When to try again.
    """

    default_code = "mempool.full"

    def __init__(self, reason: str, code: str, retry_after_ms: int) -> None:
        super().__init__(reason, code)
        self.retry_after_ms = retry_after_ms


@dataclass(slots=True)
class _Waiting:
    """One transaction with what is known about it here."""

    transaction: SignedTransaction
    organisation: str
    size_bytes: int
    arrived_ms: int
    claimed_by: BlockId | None = None


@dataclass(slots=True)
class _Queue:
    """One organisation's transactions in order of arrival."""

    items: OrderedDict[Digest, _Waiting]
    size_bytes: int = 0


class Mempool:
    """The pool of one node."""

    def __init__(self, config: MempoolConfig) -> None:
        self._config = config
        self._by_digest: dict[Digest, _Waiting] = {}
        self._by_id: dict[TransactionId, Digest] = {}
        self._quiet: OrderedDict[Digest, int] = OrderedDict()
        self._queues: OrderedDict[str, _Queue] = OrderedDict()
        self._expiries: list[tuple[int, Digest]] = []
        self._claims: OrderedDict[BlockId, tuple[int, tuple[Digest, ...]]] = OrderedDict()
        self._size_bytes = 0
        self._claimed = 0

    @property
    def count(self) -> int:
        """How many transactions it holds."""
        return len(self._by_digest)

    @property
    def size_bytes(self) -> int:
        """What they weigh, overhead included."""
        return self._size_bytes

    @property
    def unclaimed(self) -> int:
        """How many of them are in no block under way: what there is to order."""
        return len(self._by_digest) - self._claimed

    def get(self, digest: Digest) -> SignedTransaction | None:
        """A transaction by the digest of its bytes."""
        waiting = self._by_digest.get(digest)
        return None if waiting is None else waiting.transaction

    def holds(self, digest: Digest) -> bool:
        """Whether exactly these bytes are here."""
        return digest in self._by_digest

    def holds_id(self, transaction_id: TransactionId) -> bool:
        """Whether an envelope with this header is here."""
        return transaction_id in self._by_id

    def add(self, transaction: SignedTransaction, organisation: str, now_ms: Millis) -> None:
        """Take in a transaction whose signatures are verified.

        Args:
            transaction: What to keep.
            organisation: Whose quota and share it counts against.
            now_ms: Orders advertisements.

        Raises:
            Refused: Here already (`transaction.pending`).
            Busy: The pool, or this organisation's share of it, is full.
        """
        if transaction.id in self._by_id:
            raise Refused("this transaction waits already", "transaction.pending")
        size_bytes = len(transaction.raw) + OVERHEAD_BYTES
        self._make_sure_of_room(organisation, size_bytes)
        self._insert(_Waiting(transaction, organisation, size_bytes, now_ms))

    def readmit(self, transactions: Iterable[tuple[SignedTransaction, str]], now_ms: Millis) -> None:
        """Put back what a void block or a restart leaves unexecuted; limits do not apply, it was admitted before."""
        for transaction, organisation in transactions:
            if transaction.id not in self._by_id and transaction.expires_at_ms >= now_ms:
                size_bytes = len(transaction.raw) + OVERHEAD_BYTES
                self._insert(_Waiting(transaction, organisation, size_bytes, now_ms))

    def settle(self, transaction_ids: Iterable[TransactionId]) -> None:
        """These have an entry now."""
        for transaction_id in transaction_ids:
            digest = self._by_id.get(transaction_id)
            if digest is not None:
                self._remove(digest)

    def expire(self, time_ms: Millis) -> int:
        """Drop what no block of this time or later can hold; how many that were."""
        dropped = 0
        while self._expiries and self._expiries[0][0] < time_ms:
            _, digest = heapq.heappop(self._expiries)
            if digest in self._by_digest:
                self._remove(digest)
                dropped += 1
        return dropped

    def claim(self, block_id: BlockId, digests: Iterable[Digest], now_ms: Millis) -> None:
        """A block under way lists these: not to order until `release`, or until the claim lapses.

        Claim again to prolong it.
        """
        if block_id in self._claims:
            self._claims[block_id] = (now_ms + CLAIM_MS, self._claims[block_id][1])
            return
        mine = []
        for digest in digests:
            waiting = self._by_digest.get(digest)
            if waiting is not None:
                if waiting.claimed_by is None:
                    self._claimed += 1
                waiting.claimed_by = block_id
                mine.append(digest)
        if mine:
            self._claims[block_id] = (now_ms + CLAIM_MS, tuple(mine))

    def release(self, block_id: BlockId) -> None:
        """A block came to nothing, or is executed; what it alone claimed and is still here is to order again."""
        _, digests = self._claims.pop(block_id, (0, ()))
        for digest in digests:
            waiting = self._by_digest.get(digest)
            if waiting is not None and waiting.claimed_by == block_id:
                waiting.claimed_by = None
                self._claimed -= 1

    def release_lapsed(self, now_ms: Millis) -> None:
        """End the claims of blocks of which nothing was heard any more."""
        for block_id in [block_id for block_id, (until_ms, _) in self._claims.items() if until_ms < now_ms]:
            self.release(block_id)

    def candidates(
        self, time_ms: Millis, exclude: Collection[Digest], in_debt: Collection[str] = ()
    ) -> Iterator[SignedTransaction]:
        """What a block of this time may hold: one of each organisation in turn, each's oldest first.

        Organisations that have used more than their quota wait until they have paid it off.
        The organisation that comes first moves on with each call. The pool must not change while this iterates.
        """
        if not self._queues:
            return
        self._queues.move_to_end(next(iter(self._queues)))
        turns = [iter(queue.items.values()) for name, queue in self._queues.items() if name not in in_debt]
        while turns:
            still = []
            for items in turns:
                for waiting in items:
                    transaction = waiting.transaction
                    if transaction.expires_at_ms >= time_ms and transaction.digest not in exclude:
                        still.append(items)
                        yield transaction
                        break
            turns = still

    def overdue(self, now_ms: Millis) -> list[Digest]:
        """Digests of what waits unclaimed for longer than it should, since peers may have missed it; each in turn."""
        limit_ms = now_ms - self._config.advertise_after_ms
        found: list[Digest] = []
        while self._quiet and len(found) < self._config.advertise_count_max:
            digest, since_ms = next(iter(self._quiet.items()))
            if since_ms > limit_ms:
                break
            self._quiet[digest] = now_ms
            self._quiet.move_to_end(digest)
            if self._by_digest[digest].claimed_by is None:
                found.append(digest)
        return found

    def _make_sure_of_room(self, organisation: str, size_bytes: int) -> None:
        config = self._config
        if len(self._by_digest) >= config.count_max or self._size_bytes + size_bytes > config.bytes_max:
            raise Busy("the mempool is full", "mempool.full", config.retry_after_ms)
        queue = self._queues.get(organisation)
        if queue is None:
            return
        share = config.organisation_share_percent
        if (
            len(queue.items) >= config.count_max * share // 100
            or queue.size_bytes + size_bytes > config.bytes_max * share // 100
        ):
            raise Busy(
                f"{organisation} has its share of the mempool in use",
                "mempool.organisation-full",
                config.retry_after_ms,
            )

    def _insert(self, waiting: _Waiting) -> None:
        transaction = waiting.transaction
        digest = transaction.digest
        queue = self._queues.setdefault(waiting.organisation, _Queue(OrderedDict()))
        queue.items[digest] = waiting
        queue.size_bytes += waiting.size_bytes
        self._size_bytes += waiting.size_bytes
        self._by_digest[digest] = waiting
        self._quiet[digest] = waiting.arrived_ms
        self._by_id[transaction.id] = digest
        heapq.heappush(self._expiries, (transaction.expires_at_ms, digest))
        if len(self._expiries) > 2 * len(self._by_digest) + 1024:
            self._expiries = [(item.transaction.expires_at_ms, key) for key, item in self._by_digest.items()]
            heapq.heapify(self._expiries)

    def _remove(self, digest: Digest) -> None:
        waiting = self._by_digest.pop(digest)
        del self._quiet[digest]
        del self._by_id[waiting.transaction.id]
        if waiting.claimed_by is not None:
            self._claimed -= 1
        queue = self._queues[waiting.organisation]
        del queue.items[digest]
        queue.size_bytes -= waiting.size_bytes
        self._size_bytes -= waiting.size_bytes
        if not queue.items:
            del self._queues[waiting.organisation]
