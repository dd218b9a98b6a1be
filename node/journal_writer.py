# SPDX-License-Identifier: Apache-2.0
"""Writes the vote journal: one synced batch at a time, from the event loop where that is quick, else from a thread.

After `write` returned the batch survives a crash. If it raises, nothing may be said that rests on it.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from chain.storage import Database
from node.metrics import Metrics

INLINE_SYNC_SECONDS_MAX = 0.002
"""A disk that syncs faster than this is written to from the event loop: handing over to a thread costs as much."""
INLINE_BYTES_MAX = 512 * 1024
"""About 1,500 small transactions, 3 ms; larger batches would hold up the votes of others."""
SMALL_BYTES_MAX = 16 * 1024
"""Batches up to this size tell how long a sync takes, apart from what it writes."""


class JournalWriter:
    """The one writer of a node's journal."""

    def __init__(self, database: Database, metrics: Metrics) -> None:
        self._database = database
        self._metrics = metrics
        self._sync_seconds = 0.0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="journal")

    async def write(self, puts: Mapping[bytes, bytes]) -> None:
        """Store a batch, synced.

        Raises:
            StorageError: The disk failed; stop.
        """
        size_bytes = sum(map(len, puts.values()))
        began = time.perf_counter()
        if size_bytes <= INLINE_BYTES_MAX and self._sync_seconds < INLINE_SYNC_SECONDS_MAX:
            self._database.write(puts)
        else:
            await asyncio.get_running_loop().run_in_executor(self._pool, self._database.write, puts)
        took = time.perf_counter() - began
        if size_bytes <= SMALL_BYTES_MAX:
            self._sync_seconds += (took - self._sync_seconds) / 8
        self._metrics.persist_seconds.observe(took)

    def delete(self, keys: Sequence[bytes]) -> None:
        """Delete what is not needed any more, unsynced: a crash leaves it for the next time.

        Raises:
            StorageError: The disk failed; stop.
        """
        self._database.write({}, keys, sync=False)

    def stop(self) -> None:
        """Wait for a write that is under way."""
        self._pool.shutdown(wait=True)
