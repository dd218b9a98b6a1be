# SPDX-License-Identifier: Apache-2.0
"""The ids of executed transactions, kept until no block can hold them any more.

What is forgotten is outside of every later block's time window, so forgetting early or late changes no outcome.
Bounded by what blocks of 5 minutes can hold.  Source: docs/protocol.md, section 2.
"""

from collections.abc import Iterable

from chain.types import TransactionId

_BUCKET_MS = 1000
"""Ids are dropped by the second of their expiry, whole seconds at once."""


class Remembered:
    """A set of transaction ids with their expiries."""

    __slots__ = ("_by_second", "_ids")

    def __init__(self, pairs: Iterable[tuple[TransactionId, int]] = ()) -> None:
        self._ids: dict[TransactionId, int] = {}
        self._by_second: dict[int, list[TransactionId]] = {}
        for transaction_id, expires_at_ms in pairs:
            self.add(transaction_id, expires_at_ms)

    def __contains__(self, transaction_id: TransactionId) -> bool:
        return transaction_id in self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, transaction_id: TransactionId, expires_at_ms: int) -> None:
        """Remember an id until its transaction has expired."""
        if transaction_id not in self._ids:
            self._ids[transaction_id] = expires_at_ms
            self._by_second.setdefault(expires_at_ms // _BUCKET_MS, []).append(transaction_id)

    def forget_before(self, time_ms: int) -> None:
        """Forget whole seconds of ids that expired before this time."""
        last = time_ms // _BUCKET_MS
        for second in [second for second in self._by_second if second < last]:
            for transaction_id in self._by_second.pop(second):
                del self._ids[transaction_id]
