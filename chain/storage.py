# SPDX-License-Identifier: Apache-2.0
"""What the ledger asks of a key-value store; `node` gives it LevelDB, the simulator a disk that fails.

Keys and values are bytes, keys are ordered as bytes.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol


class Reader(Protocol):
    """A consistent view to read from."""

    def get(self, key: bytes) -> bytes | None:
        """The value under a key, or None."""
        ...

    def range(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < stop, in key order or its reverse."""
        ...


class Database(Reader, Protocol):
    """A store with atomic batches."""

    def write(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes] = (), *, sync: bool = True) -> None:
        """Apply all or nothing. With `sync` the batch survives a crash from here on.

        A key may stand in `puts` or in `deletes`, not in both.
        """
        ...

    def flush(self) -> None:
        """Everything written so far, synced or not, survives a crash from here on."""
        ...

    def snapshot(self) -> Reader:
        """A view that later writes do not change."""
        ...
