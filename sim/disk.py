# SPDX-License-Identifier: Apache-2.0
"""A disk that forgets what was not synced, and fails when it is told to.

Behaves as LevelDB does: batches are atomic, a synced batch makes all before it durable, and a crash keeps some prefix
of the batches since. A failing write may have reached the disk all the same; nobody can know before the restart.
"""

import random
from collections.abc import Iterator, Mapping, Sequence

from chain.memory import MemoryDatabase
from chain.storage import Reader


class DiskFailure(Exception):
    """A write or sync failed; the process that sees this must stop."""


class SimDisk:
    """A `chain.storage.Database` for one simulated node.

    Attributes:
        failing: The next synced write fails.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._current = MemoryDatabase()
        self._undo: list[dict[bytes, bytes | None]] = []
        self.failing = False

    def get(self, key: bytes) -> bytes | None:
        """The value as the running process sees it."""
        return self._current.get(key)

    def range(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Pairs as the running process sees them."""
        return self._current.range(start, stop, reverse=reverse)

    def write(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes] = (), *, sync: bool = True) -> None:
        """Apply a batch, or fail; having failed, the batch may be there or not."""
        if self.failing and sync:
            self.failing = False
            if self._rng.random() < 0.5:
                self._apply(puts, deletes)
                self._undo.clear()
            raise DiskFailure
        self._apply(puts, deletes)
        if sync:
            self._undo.clear()

    def _apply(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes]) -> None:
        self._undo.append({key: self._current.get(key) for key in (*puts, *deletes)})
        self._current.write(puts, deletes)

    def flush(self) -> None:
        """Make everything durable."""
        self._undo.clear()

    def snapshot(self) -> Reader:
        """A copy as of now."""
        return self._current.snapshot()

    def crash(self) -> None:
        """Lose a random suffix of the batches since the last sync."""
        lost = self._rng.randint(0, len(self._undo))
        for before in reversed(self._undo[len(self._undo) - lost :]):
            self._current.write(
                {key: value for key, value in before.items() if value is not None},
                [key for key, value in before.items() if value is None],
            )
        self._undo.clear()
