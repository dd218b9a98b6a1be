# SPDX-License-Identifier: Apache-2.0
"""The real node as a process whose disk and clock do what a plan says: `python -m tests.crash.faulty HOME [--plan P]`.

The product knows nothing of this: plyvel's `DB`, `os.fsync`, `os.replace`, `os.rename` and the node's clock are
exchanged before it starts. `--synced FILE` keeps, per line, a LevelDB log file and the size up to which it is synced,
so that whoever kills the process can take from it what a power cut would. `--clock FILE` holds the clock's offset,
which may change while the node runs. With `--versions-kept N` pruning begins after N blocks instead of a thousand;
with `--blocks-kept N` blocks are pruned, too, in pieces of a few, and tables merged after tens of deletions.
"""

import argparse
import ctypes
import functools
import mmap
import os
import random
import signal
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

import plyvel

from chain.types import Millis
from node import config, ledger_service, process, store
from node import node as node_module
from tests.crash.names import COMPACTION, MARK_FILE, MARK_FOLDER, RENAMES, names_of
from tests.crash.plans import FAILURES, Act, Plan

_OFFSET = struct.Struct("<q")
PIECE_KEYS_MAX = 40
"""Deletions of one batch where blocks are pruned: two or three blocks with a few transactions each."""
COMPACTED_KEYS_MIN = 100
"""Deletions between two times that tables are merged there: every few blocks, instead of once in minutes."""
FLUSHED = b"\x00"
"""Where the range ends with which the node has its database write tables; it merges none."""
MERGE_SECONDS_MAX = 0.002
"""A process that is to die while tables are merged dies within this time: about what merging a small range takes."""


class Faults:
    """The plan of this process, and what it has written so far."""

    def __init__(self, plans: list[Plan], synced: Path | None) -> None:
        self._plans = plans
        self._counts: dict[str, int] = {}
        self._note = None if synced is None else os.open(synced, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        # What an earlier life synced lies in its log files until the databases are opened, and is as safe as ever.
        self.sizes = {} if synced is None else load_synced(synced)
        self.folders: list[Path] = []

    def due(self, names: frozenset[str]) -> Plan | None:
        """Count a write; the plan that is due at it."""
        for name in names:
            self._counts[name] = self._counts.get(name, 0) + 1
        for plan in self._plans:
            if plan.name in names and self._counts[plan.name] == plan.nth:
                return plan
        return None

    def synced(self, folder: Path, before: Path) -> None:
        """A database's log files are on disk as long as they are now: that of before the write, and the newest.

        They differ where the write began a new one, or where another thread had tables written since.
        """
        for log, size in {before: _size(before), **dict([newest_log(folder)])}.items():
            if size is not None:
                self.sizes[log] = size
                if self._note is not None:
                    os.write(self._note, f"{log}\t{size}\n".encode())

    def cut_power(self, seed: str) -> NoReturn:
        """Lose what is not synced, and die."""
        sys.setswitchinterval(1_000)  # no other thread goes on between the cuts and the death
        lose_unsynced(self.folders, self.sizes, random.Random(seed))
        die()


def die() -> NoReturn:
    """SIGKILL oneself; nothing runs after it."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a killed process runs on")


def load_synced(path: Path) -> dict[Path, int]:
    """Up to which size each log file is synced, of those that are still there; a line that a death cut is left out."""
    sizes = {}
    for line in path.read_text().splitlines(keepends=True) if path.exists() else ():
        log, _, size = line.partition("\t")
        if size.endswith("\n"):
            sizes[Path(log)] = int(size)
    return {log: size for log, size in sizes.items() if log.exists()}


def newest_log(folder: Path) -> tuple[Path, int]:
    """The log file that a database writes to, and its size now.

    Another thread may have the database begin a new one and delete this one between two looks: then it is looked again.
    """
    while True:
        log = folder / max((entry.name for entry in os.scandir(folder) if entry.name.endswith(".log")), default="none")
        size = _size(log)
        if size is not None:
            return log, size


def _size(log: Path) -> int | None:
    """None: it is deleted."""
    try:
        return log.stat().st_size
    except FileNotFoundError:
        return None


def lose_unsynced(folders: list[Path], sizes: Mapping[Path, int], random_bytes: random.Random) -> None:
    """Cut each log file of these databases between what is synced and its end; half of the times at what is synced."""
    cuts: list[tuple[bytes, int]] = []
    for folder in folders:
        for log in folder.glob("*.log"):
            end = _size(log)
            if end is None:
                continue  # the database's own thread, which nothing holds up, has written its tables and deleted it
            kept = min(sizes.get(log, 0), end)
            cuts.append((os.fsencode(log), kept if random_bytes.random() < 0.5 else random_bytes.randint(kept, end)))
    # Calls that keep the interpreter's lock: a thread that appends to a log after its cut would leave a hole in it.
    truncate = ctypes.PyDLL(None).truncate
    for log_name, size in cuts:
        truncate(log_name, ctypes.c_long(size))


class FaultyBatch:
    """A batch of plyvel's that knows its keys."""

    def __init__(self, database: "FaultyDB", *, sync: bool) -> None:
        self._database = database
        self._batch = database.real.write_batch(sync=sync)
        self._sync = sync
        self._puts: list[bytes] = []
        self._deletes: list[bytes] = []

    def put(self, key: bytes, value: bytes) -> None:
        self._puts.append(key)
        self._batch.put(key, value)

    def delete(self, key: bytes) -> None:
        self._deletes.append(key)
        self._batch.delete(key)

    def write(self) -> None:
        """Write as the plan wants it."""
        folder, faults = self._database.folder, self._database.faults
        if self._database.failed is not None:
            raise _failure(folder, self._database.failed)
        plan = faults.due(names_of(folder.name, self._puts, self._deletes))
        act = None if plan is None else plan.act
        if act is Act.KILL_BEFORE:
            die()
        if act is Act.FAIL:
            assert plan is not None
            raise _failure(folder, plan)
        before, size = newest_log(folder)
        self._batch.write()
        if self._sync:
            faults.synced(folder, before)
        if plan is None:
            return
        if act is Act.TEAR:
            log, end = newest_log(folder)
            start = size if log == before else 0
            os.truncate(log, random.Random(plan.detail).randrange(start, end))
        if act is Act.CUT_POWER:
            faults.cut_power(plan.detail)
        if act is Act.FAIL_PERSISTED:
            raise _failure(folder, plan)
        die()


class FaultyDB:
    """plyvel's database, but for its batches."""

    def __init__(self, faults: Faults, kind: type[plyvel.DB], name: str, **options: object) -> None:
        self.faults = faults
        self.folder = Path(name)
        self.failed: Plan | None = None
        self.real = kind(name, **options)  # type: ignore[arg-type]  # passed on as they are
        faults.folders.append(self.folder)

    def __getattr__(self, name: str) -> object:
        return getattr(self.real, name)

    def write_batch(self, *, sync: bool = False) -> FaultyBatch:
        return FaultyBatch(self, sync=sync)

    def compact_range(self, *, start: bytes, stop: bytes) -> None:
        """Merge tables as the plan wants it; LevelDB keeps a failure of this to itself until the next write."""
        plan = self.faults.due(frozenset({COMPACTION})) if stop != FLUSHED else None
        act = None if plan is None else plan.act
        if act is Act.KILL_BEFORE:
            die()
        if act is Act.TEAR:
            assert plan is not None
            threading.Timer(random.Random(plan.detail).uniform(0, MERGE_SECONDS_MAX), die).start()
        if act is not Act.FAIL:
            self.real.compact_range(start=start, stop=stop)
        if act is Act.CUT_POWER:
            assert plan is not None
            self.faults.cut_power(plan.detail)
        if act in FAILURES:
            self.failed = plan
        if act is Act.KILL_AFTER:
            die()

    def put(self, *_: object, **__: object) -> NoReturn:
        raise AssertionError("the node writes in batches; a write outside of one would go past the plan")

    delete = put


def _failure(folder: Path, plan: Plan) -> Exception:
    """What plyvel raises when LevelDB's write fails."""
    return plyvel.IOError(f"IO error: {newest_log(folder)}: {os.strerror(plan.errno())}".encode())


def _watch_files(faults: Faults, data: Path) -> None:
    """Exchange the calls by which the node makes its own files durable, and puts them in their places."""
    fsync = os.fsync

    def act(name: str, real: functools.partial[None]) -> None:
        plan = faults.due(frozenset({name}))
        if plan is not None and plan.act is Act.KILL_BEFORE:
            die()
        if plan is not None and plan.act is Act.FAIL:
            raise OSError(plan.errno(), os.strerror(plan.errno()))
        real()
        if plan is not None and plan.act is Act.FAIL_PERSISTED:
            raise OSError(plan.errno(), os.strerror(plan.errno()))
        if plan is not None:
            die()

    def watched_fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        real = functools.partial(fsync, descriptor)
        if path == data:
            act(MARK_FOLDER, real)
        elif path.name.startswith("journal.") and path.parent == data:
            act(MARK_FILE, real)
        else:
            real()

    def watched(rename: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
        def watched_rename(source: Path, target: Path) -> None:
            real = functools.partial(rename, source, target)
            name = RENAMES.get(Path(target).name) if Path(target).parent.resolve() == data else None
            if name is None:
                real()
            else:
                act(name, real)

        return watched_rename

    os.fsync = watched_fsync  # type: ignore[assignment]  # one argument is all that is given
    os.replace, os.rename = watched(os.replace), watched(os.rename)  # type: ignore[assignment]  # likewise


def _clock(path: Path) -> functools.partial[node_module.Node]:
    """The node under a clock that is off by what a file says at each moment."""
    with path.open("r+b") as file:
        offset = mmap.mmap(file.fileno(), _OFFSET.size)

    def now() -> Millis:
        return Millis(node_module.wall_clock_ms() + _OFFSET.unpack_from(offset)[0])

    return functools.partial(node_module.Node, now=now)


def set_clock(path: Path, offset_ms: int) -> None:
    """Move the clock of the process that was started with this file, at once."""
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.write(_OFFSET.pack(offset_ms))


def main(arguments: list[str]) -> int:
    """Run the node; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.faulty")
    parser.add_argument("home", type=Path)
    parser.add_argument("--plan", type=Plan.parse, action="append", default=[])
    parser.add_argument("--synced", type=Path)
    parser.add_argument("--clock", type=Path)
    parser.add_argument("--versions-kept", type=int, default=store.VERSIONS_KEPT)
    parser.add_argument("--blocks-kept", type=int, default=0)
    options = parser.parse_args(arguments)
    faults = Faults(options.plan, options.synced)
    plyvel.DB = functools.partial(FaultyDB, faults, plyvel.DB)  # type: ignore[misc,assignment]  # the point of this module
    _watch_files(faults, (options.home / "data").resolve())
    store.VERSIONS_KEPT = options.versions_kept
    if options.blocks_kept:
        store.BLOCKS_KEPT_MIN = config.BLOCKS_KEPT_MIN = options.blocks_kept
        ledger_service.PRUNED_KEYS_MAX, store.COMPACTED_KEYS_MIN = PIECE_KEYS_MAX, COMPACTED_KEYS_MIN
        os.environ["ZHIXIN_STORAGE_BLOCKS_KEPT"] = str(options.blocks_kept)
    if options.clock is not None:
        process.Node = _clock(options.clock)  # type: ignore[attr-defined,assignment]  # likewise
    return process.run(options.home)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
