# SPDX-License-Identifier: Apache-2.0
"""The ledger's disk: a `chain.storage.Database` over LevelDB.

Checksums are verified on each read and `paranoid_checks` makes LevelDB stop at the first damage: a validator that goes
on from damaged data signs what it can't stand for. After `write(..., sync=True)` returned, the batch survives a power
cut; a crash before leaves none of it, or all.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import plyvel

from node.errors import StorageError

WRITE_BUFFER_BYTES = 16 * 1024 * 1024
"""Several full blocks: fewer, larger files at level 0, which are sorted into the next less often."""
CACHE_BYTES = 64 * 1024 * 1024
"""Blocks of recent tree pages and values; the tree holds its upper pages itself."""
FILE_BYTES = 8 * 1024 * 1024
"""Larger than LevelDB's 2 MiB: a ledger of 100 GB is 12,000 files instead of 50,000."""
BLOCK_BYTES = 4 * 1024
"""A read of one tree page or value decodes one of these; larger ones would make random reads slower."""
OPEN_FILES_MAX = 512
"""Half of the usual limit of 1,024 descriptors of a process."""
BLOOM_BITS = 10
"""One read in a hundred for an absent key touches the disk: most look-ups of transaction ids are of absent ones."""

DAMAGED = "restore the directory from a backup, or empty it and let the node fetch the ledger from its peers"


class _Readable(Protocol):
    def get(self, key: bytes, default: bytes | None = None, *, verify_checksums: bool = False) -> bytes | None: ...

    def iterator(
        self,
        *,
        reverse: bool = False,
        start: bytes | None = None,
        stop: bytes | None = None,
        verify_checksums: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]: ...


class LevelReader:
    """Reads of a database or of one moment of it."""

    def __init__(self, readable: _Readable, path: Path, remedy: str = DAMAGED) -> None:
        self._readable = readable
        self._path = path
        self._remedy = remedy

    def get(self, key: bytes) -> bytes | None:
        """The value under a key, or None.

        Raises:
            StorageError: The disk failed, or what it holds is damaged.
        """
        try:
            return self._readable.get(key, verify_checksums=True)
        except plyvel.Error as error:
            raise _failed(self._path, "read", error, self._remedy) from error

    def range(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < stop as they are at the first step, in key order or its reverse.

        Raises:
            StorageError: The disk failed, or what it holds is damaged.
        """
        try:
            if not reverse:
                yield from self._readable.iterator(start=start, stop=stop, verify_checksums=True)
                return
            # A reverse iterator of plyvel with a start leaves out a pair that stands at the start alone; so none here.
            for key, value in self._readable.iterator(stop=stop, reverse=True, verify_checksums=True):
                if key < start:
                    return
                yield key, value
        except plyvel.Error as error:
            raise _failed(self._path, "read", error, self._remedy) from error


class LevelDatabase(LevelReader):
    """A database in a directory of its own, which one process at a time may open."""

    def __init__(self, path: Path, remedy: str = DAMAGED) -> None:
        """Open it; make it if it is not there.

        Args:
            path: Its directory.
            remedy: What an operator is to do should it be damaged.

        Raises:
            StorageError: It can't be opened: in use, damaged, or no place to write.
        """
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_head(path, remedy)
            self._db = plyvel.DB(
                str(path),
                create_if_missing=True,
                paranoid_checks=True,
                write_buffer_size=WRITE_BUFFER_BYTES,
                lru_cache_size=CACHE_BYTES,
                max_file_size=FILE_BYTES,
                block_size=BLOCK_BYTES,
                max_open_files=OPEN_FILES_MAX,
                bloom_filter_bits=BLOOM_BITS,
            )
        except (plyvel.Error, OSError) as error:
            raise _failed(path, "open", error, remedy) from error
        super().__init__(self._db, path, remedy)

    def write(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes] = (), *, sync: bool = True) -> None:
        """Apply all or nothing. With `sync` the batch survives a crash from here on.

        Raises:
            StorageError: The disk failed. Nothing is known of the batch then: stop, and start from what is stored.
        """
        batch = self._db.write_batch(sync=sync)
        for key, value in puts.items():
            batch.put(key, value)
        for key in deletes:
            batch.delete(key)
        try:
            batch.write()
        except plyvel.Error as error:
            raise _failed(self._path, "write", error, self._remedy) from error

    def snapshot(self) -> LevelReader:
        """A view that later writes do not change; it ends when it is dropped."""
        return LevelReader(self._db.snapshot(), self._path, self._remedy)

    def flush(self) -> None:
        """Put everything written so far in tables, which are synced: it survives a crash from here on.

        If the disk fails meanwhile, the next write says so.
        """
        self._db.compact_range(start=b"", stop=b"\x00")

    def compact(self, start: bytes, stop: bytes) -> None:
        """Give back the room of what was deleted in a range of keys; takes seconds to minutes."""
        self._db.compact_range(start=start, stop=stop)

    def close(self) -> None:
        """Release the directory; reads and writes after it are an error of ours."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _check_head(path: Path, remedy: str) -> None:
    """Check that a database with content has the file that leads to it: without it LevelDB starts an empty one there.

    LevelDB makes that file before it writes anything, so a crash never leaves content without it.

    Raises:
        StorageError: It is missing.
    """
    has_content = any(file.suffix in {".ldb", ".sst", ".log"} for file in path.iterdir())
    if has_content and not (path / "CURRENT").exists():
        raise StorageError(f"the database in {path} is damaged; {remedy} (its file CURRENT is missing)")


def _failed(path: Path, act: str, error: Exception, remedy: str) -> StorageError:
    """The error that says what happened and what to do."""
    said = error.args[0] if error.args else error
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(error)
    if "LOCK" in text and ("already held" in text or "temporarily unavailable" in text):
        return StorageError(f"the database in {path} is in use by another process; stop that one first ({text})")
    if isinstance(error, plyvel.CorruptionError) or "orruption" in text or ".ldb: Invalid argument" in text:
        # The last is what LevelDB says of a table that is shorter than its index.
        return StorageError(f"the database in {path} is damaged; {remedy} ({text})")
    return StorageError(f"can't {act} the database in {path}; check the disk's space, health and permissions ({text})")
