# SPDX-License-Identifier: Apache-2.0
"""Who waits for which transaction's receipt: told once its entry stands under a certified checkpoint.

Pure bookkeeping. One stream's share of the waiters is bounded, and so are all of them together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from chain.application import Execution
from chain.checkpoint import Checkpoint
from chain.transaction import SignedTransaction
from chain.types import Height, Millis, TransactionId

GENESIS_HEIGHT = Height(0)


@dataclass(frozen=True, slots=True)
class Executed:
    """A transaction with its entry."""

    transaction: SignedTransaction
    entry: bytes
    leaf_index: int
    height: Height


@dataclass(slots=True)
class Sink:
    """One stream that waits.

    Attributes:
        notify: Called when something is certified for it.
        waiting: Transactions without an entry so far, with their expiries.
        executed: Those with an entry, in order of execution; not all of them certified yet.
    """

    notify: Callable[[], None]
    waiting: dict[TransactionId, Millis] = field(default_factory=dict)
    executed: list[Executed] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many receipts it still waits for."""
        return len(self.waiting) + len(self.executed)

    def take(self, up_to: Height, count_max: int) -> list[Executed]:
        """Remove and return what was executed up to a height, oldest first, so many at most."""
        ready = 0
        while ready < min(count_max, len(self.executed)) and self.executed[ready].height <= up_to:
            ready += 1
        taken, self.executed = self.executed[:ready], self.executed[ready:]
        return taken


class Waiters:
    """All streams that wait on one node."""

    def __init__(self) -> None:
        self._by_id: dict[TransactionId, list[Sink]] = {}
        self._sinks: dict[int, Sink] = {}
        self._certified_height = GENESIS_HEIGHT

    @property
    def count(self) -> int:
        """Transactions whose execution is waited for."""
        return len(self._by_id)

    def open(self, notify: Callable[[], None]) -> Sink:
        """A new stream."""
        sink = Sink(notify)
        self._sinks[id(sink)] = sink
        return sink

    def close(self, sink: Sink) -> None:
        """A stream has ended."""
        self._sinks.pop(id(sink), None)
        for transaction_id in list(sink.waiting):
            self._leave(sink, transaction_id)

    def wait(self, sink: Sink, transactions: Sequence[tuple[TransactionId, Millis]]) -> None:
        """These are under way, and this stream wants their receipts."""
        for transaction_id, expires_at_ms in transactions:
            if transaction_id not in sink.waiting:
                sink.waiting[transaction_id] = expires_at_ms
                self._by_id.setdefault(transaction_id, []).append(sink)

    def found(self, sink: Sink, executed: Executed) -> None:
        """A transaction that this stream asks for has had its entry for some time."""
        if executed.transaction.id in sink.waiting:
            self._leave(sink, executed.transaction.id)
        sink.executed.append(executed)
        self._tell(sink)

    def executed(self, execution: Execution) -> None:
        """A block is executed."""
        if not self._by_id:
            return
        first_leaf = execution.checkpoint.log_size - len(execution.entries)
        skipped = frozenset(execution.skipped)
        done = [transaction for transaction in execution.transactions if transaction.digest not in skipped]
        for position, (transaction, entry) in enumerate(zip(done, execution.entries, strict=True)):
            for sink in self._by_id.pop(transaction.id, ()):
                sink.waiting.pop(transaction.id, None)
                sink.executed.append(Executed(transaction, entry, first_leaf + position, execution.checkpoint.height))

    def certified(self, checkpoint: Checkpoint) -> None:
        """Receipts up to this checkpoint can be given."""
        self._certified_height = max(self._certified_height, checkpoint.height)
        for sink in list(self._sinks.values()):
            self._tell(sink)

    def expire(self, time_ms: Millis) -> None:
        """No block of this time or later holds what expired before: nobody waits for it any more."""
        for sink in self._sinks.values():
            gone = [found for found, expires_at_ms in sink.waiting.items() if expires_at_ms < time_ms]
            for transaction_id in gone:
                self._leave(sink, transaction_id)
            if gone:
                sink.notify()

    def _tell(self, sink: Sink) -> None:
        if sink.executed and sink.executed[0].height <= self._certified_height:
            sink.notify()

    def _leave(self, sink: Sink, transaction_id: TransactionId) -> None:
        sink.waiting.pop(transaction_id, None)
        sinks = self._by_id.get(transaction_id)
        if sinks is not None:
            sinks[:] = [other for other in sinks if other is not sink]
            if not sinks:
                del self._by_id[transaction_id]
