# SPDX-License-Identifier: Apache-2.0
"""Gives back the disk's room of what was pruned, in a thread of its own and at a bounded pace.

LevelDB keeps what is deleted until it merges tables, which it may not do for long where nothing new is written.
A merge reads and writes what lies around; so ranges are merged one by one, with a rest after each.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

REST_SHARE = 3.0
"""How long the thread rests after a range, as a share of the time that this took: the disk is the ledger's first."""
RANGES_MAX = 64
"""That wait: some turns' worth. More come later again, for what was deleted stays deleted."""


class Compactor:
    """Compacts ranges of keys one after another."""

    def __init__(self, compact: Callable[[bytes, bytes], None]) -> None:
        """Start a thread that waits.

        Args:
            compact: Gives back the room of a range of keys; may be called while others read and write.
        """
        self._compact = compact
        self._waiting: deque[tuple[bytes, bytes]] = deque()
        self._wanted = threading.Condition()
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="compaction", daemon=True)
        self._thread.start()

    def add(self, ranges: Sequence[tuple[bytes, bytes]]) -> None:
        """Compact these, too, unless too many wait; from any thread."""
        with self._wanted:
            if len(self._waiting) + len(ranges) <= RANGES_MAX:
                self._waiting.extend(ranges)
                self._wanted.notify()

    def stop(self) -> None:
        """Wait for the range that is under way, do nothing more; before the database is closed."""
        self._is_stopping.set()
        with self._wanted:
            self._waiting.clear()
            self._wanted.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wanted:
                self._wanted.wait_for(lambda: self._waiting or self._is_stopping.is_set())
                if self._is_stopping.is_set():
                    return
                start, stop = self._waiting.popleft()
            began = time.monotonic()
            self._compact(start, stop)
            self._is_stopping.wait(REST_SHARE * (time.monotonic() - began))
