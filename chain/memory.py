# SPDX-License-Identifier: Apache-2.0
"""A key-value store in memory: tests run on it, and the simulator builds its failing disk on it.

Keys stand in one sorted list beside a dict; a write copies neither, a snapshot copies both.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence

_INSORT_MAX = 64
"""Up to this many new keys are inserted one by one; beyond it sorting once is faster."""


class MemoryDatabase:
    """A `chain.storage.Database` that forgets everything when it goes."""

    def __init__(self, pairs: Mapping[bytes, bytes] | None = None) -> None:
        self._pairs: dict[bytes, bytes] = dict(pairs or {})
        self._keys: list[bytes] = sorted(self._pairs)

    def get(self, key: bytes) -> bytes | None:
        """The value under a key, or None."""
        return self._pairs.get(key)

    def range(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < stop as they are now, in key order or its reverse."""
        keys = self._keys[bisect_left(self._keys, start) : bisect_left(self._keys, stop)]
        if reverse:
            keys.reverse()
        return iter([(key, self._pairs[key]) for key in keys])

    def write(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes] = (), *, sync: bool = True) -> None:
        """Apply all or nothing; memory is always in sync."""
        del sync
        gone = {key: None for key in deletes if key in self._pairs}
        if len(gone) > _INSORT_MAX:
            self._keys = [key for key in self._keys if key not in gone]
        else:
            for key in gone:
                del self._keys[bisect_left(self._keys, key)]
        for key in gone:
            del self._pairs[key]
        new = [key for key in puts if key not in self._pairs]
        self._pairs.update(puts)
        if len(new) > _INSORT_MAX:
            self._keys.extend(new)
            self._keys.sort()
        else:
            for key in new:
                insort(self._keys, key)

    def flush(self) -> None:
        """Memory is always in sync."""

    def snapshot(self) -> "MemoryDatabase":
        """A copy."""
        return MemoryDatabase(self._pairs)

    def pairs(self) -> dict[bytes, bytes]:
        """Everything in it, as a copy."""
        return dict(self._pairs)
