# SPDX-License-Identifier: Apache-2.0
"""What this process drew just now, kept at hand until it is settled: so it need not be read and opened once more.

Only a shortcut: the store has all of it, and whatever is not found here is read there.
"""

from collections.abc import Mapping
from threading import Lock
from typing import Final

from chain.transaction import SignedTransaction
from credit.api.events import Event

DRAFTS_MAX: Final = 64
"""Batches at hand: a megabyte each, and more than are signed at one moment."""


class Drafts:
    """Batches that wait for their signature or their receipt, by id; the oldest go first. For many threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: dict[str, tuple[Mapping[str, Event], SignedTransaction | None]] = {}

    def keep(self, batch_id: str, events: Mapping[str, Event], transaction: SignedTransaction | None) -> None:
        """Keep a batch at hand, once it is durable.

        Args:
            batch_id: Its id.
            events: By the id of the row that holds each.
            transaction: What the store keeps of it.
        """
        with self._lock:
            while len(self._kept) >= DRAFTS_MAX:
                del self._kept[next(iter(self._kept))]
            self._kept[batch_id] = (events, transaction)

    def events(self, batch_id: str) -> Mapping[str, Event] | None:
        """A batch's events by their rows; None: not at hand."""
        found = self._kept.get(batch_id)
        return None if found is None else found[0]

    def transaction(self, batch_id: str) -> SignedTransaction | None:
        """A batch's transaction before its source signed it; None: not at hand."""
        found = self._kept.get(batch_id)
        return None if found is None else found[1]

    def forget(self, batch_id: str) -> None:
        """Let go of a batch that came to its end."""
        with self._lock:
            self._kept.pop(batch_id, None)
