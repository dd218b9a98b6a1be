# SPDX-License-Identifier: Apache-2.0
"""Pulls all parts of one snapshot: a worker for each peer asks, one place checks and stores.

A part that does not verify names its peer, which is asked no more; a peer that dies or stalls leaves its part to the
others. Which parts there are shows as pages arrive: each names what stands below it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import structlog

from chain.errors import InvalidMessage, InvalidProof, LedgerError, Refused
from chain.snapshot import Children, SnapshotHead, TailPart, verify_part, verify_tail
from chain.tree_build import Subtree
from chain.types import Height
from node.errors import TransportError
from node.sources import Sources
from node.sync_client import Source

UNCHECKED_MAX = 8
"""Parts that have arrived and wait for their check, 1 MiB each: bounds memory, and keeps the checking busy."""
FAILURES_MAX = 3
"""In a row; a peer that failed so often is left alone until the next attempt."""
PAUSE_SECONDS = 1.0
"""Between a peer's failure and the next request to it."""
PROGRESS_SECONDS = 5.0

log = structlog.get_logger(__name__)


class JoinFailed(Exception):
    """No snapshot could be taken whole from the peers that are there; another attempt may."""


class Installation(Protocol):
    """Fills an empty database from verified parts; called from one thread at a time."""

    def add_state(self, part: Subtree | Children) -> None:
        """Store what stands at a place of the state."""
        ...

    def add_tail(self, part: TailPart) -> None:
        """Store entries; they come in order."""
        ...

    def finish(self) -> None:
        """All parts are there: make it a ledger, durably, and close it."""
        ...

    def abandon(self) -> None:
        """Close it as it is: worth nothing."""
        ...


@dataclass(slots=True)
class Progress:
    """How far it is.

    Attributes:
        height: Of the snapshot; 0 before one is chosen.
        share: Of the state's places that are done, 0 to 1.
        entries: Of those that a joiner needs, so many are here.
        entries_wanted: All of those.
        refused: Parts that did not verify.
        is_done: The ledger is ready.
    """

    height: Height = field(default=Height(0))
    share: float = 0.0
    keys: int = 0
    entries: int = 0
    entries_wanted: int = 0
    parts: int = 0
    received_bytes: int = 0
    refused: int = 0
    peers: int = 0
    is_done: bool = False


@dataclass(frozen=True, slots=True)
class _StateJob:
    path: bytes
    expected: bytes


@dataclass(frozen=True, slots=True)
class _TailJob:
    from_leaf: int


_Job: TypeAlias = _StateJob | _TailJob


@dataclass(frozen=True, slots=True, order=True)
class _Arrived:
    """A part that waits for its check, or None: a worker has ended."""

    order: tuple[bool, int]
    content: tuple[Source, _Job, bytes] | None = field(compare=False)


_Found: TypeAlias = Subtree | Children | TailPart


class Pull:
    """All parts of one snapshot: asked for by a worker per peer, checked and stored one after another."""

    def __init__(
        self, head: SnapshotHead, sources: Sources, installation: Installation, progress: Progress, pause_seconds: float
    ) -> None:
        self._checkpoint = head.checkpoint
        self._sources = sources
        self._installation = installation
        self._progress = progress
        self._pause_seconds = pause_seconds
        self._jobs: list[_Job] = [_StateJob(b"", head.checkpoint.state_root)]
        if head.first_leaf < head.checkpoint.log_size:
            self._jobs.append(_TailJob(head.first_leaf))
        self._unfinished = len(self._jobs)
        self._more = asyncio.Condition()
        self._arrived: asyncio.PriorityQueue[_Arrived] = asyncio.PriorityQueue(UNCHECKED_MAX)
        self._count = 0
        self._whole: set[Source] = set()
        self._workers = 0

    async def run(self, sources: Mapping[Source, bool]) -> None:
        """Take them all.

        Args:
            sources: Whom to ask, and whether it offers this snapshot: others have the state at least.

        Raises:
            JoinFailed: Nobody is left who has them.
            StorageError: One can't be stored.
        """
        self._whole = {source for source, is_whole in sources.items() if is_whole}
        self._workers = len(sources)
        workers = [asyncio.create_task(self._work(source), name=f"sync {source.name}") for source in sources]
        reporter = asyncio.create_task(self._report(), name="sync report")
        try:
            await self._check_all()
        finally:
            for task in (*workers, reporter):
                task.cancel()
            ended = await asyncio.gather(*workers, reporter, return_exceptions=True)
        for outcome in ended:
            if isinstance(outcome, Exception):
                raise outcome

    # ------------------------------------------------------------ asking

    async def _work(self, source: Source) -> None:
        """Ask one peer for one part after another until it fails for good."""
        self._progress.peers += 1
        try:
            await self._work_until_it_fails(source)
        finally:
            self._progress.peers -= 1
        self._whole.discard(source)
        await self._put(None)

    async def _work_until_it_fails(self, source: Source) -> None:
        failures = 0
        while source in self._sources.active:
            job = await self._take(source)
            if source not in self._sources.active:
                await self._give_back(job)
                return
            try:
                raw = await self._ask(source, job)
            except TransportError as error:
                await self._give_back(job)
                failures += 1
                log.info("sync.peer-failed", peer=source.name, reason=str(error), times=failures)
                if failures == FAILURES_MAX:
                    return
                await asyncio.sleep(self._pause_seconds * failures)
            except Refused as error:
                await self._give_back(job)
                log.info("sync.peer-declined", peer=source.name, code=error.code, reason=error.reason)
                return
            except LedgerError as error:
                await self._give_back(job)
                self._sources.drop(source, error.reason)
            else:
                failures = 0
                await self._put((source, job, raw))

    async def _put(self, content: tuple[Source, _Job, bytes] | None) -> None:
        # Entries first: each part of them is asked for only when the one before is checked.
        is_tail = content is not None and isinstance(content[1], _TailJob)
        self._count += 1
        await self._arrived.put(_Arrived((not is_tail, self._count), content))

    async def _ask(self, source: Source, job: _Job) -> bytes:
        if isinstance(job, _TailJob):
            return await source.tail(self._checkpoint.height, job.from_leaf)
        return await source.state(self._checkpoint.height, job.path)

    async def _take(self, source: Source) -> _Job:
        def find() -> _Job | None:
            is_whole = source in self._whole
            return next((job for job in reversed(self._jobs) if is_whole or isinstance(job, _StateJob)), None)

        async with self._more:
            await self._more.wait_for(find)
            job = find()
            assert job is not None
            self._jobs.remove(job)
            return job

    async def _give_back(self, *jobs: _Job) -> None:
        async with self._more:
            self._jobs.extend(jobs)
            self._more.notify_all()

    # ------------------------------------------------------------ checking and storing

    @property
    def _is_tail_done(self) -> bool:
        return self._progress.entries == self._progress.entries_wanted

    async def _check_all(self) -> None:
        while self._unfinished:
            arrived = (await self._arrived.get()).content
            if arrived is None:
                self._workers -= 1
                if not self._workers or not (self._whole or self._is_tail_done):
                    raise JoinFailed(f"no peer is left that offers the snapshot at height {self._checkpoint.height}")
                continue
            source, job, raw = arrived
            self._progress.received_bytes += len(raw)
            if source not in self._sources.active:
                await self._give_back(job)  # it has sent something wrong since; somebody else has this too
                continue
            try:
                found = await asyncio.to_thread(self._check, job, raw)
            except (InvalidMessage, InvalidProof) as error:
                self._progress.refused += 1
                self._sources.drop(source, f"a part of the snapshot: {error.reason}")
                await self._give_back(job)
            else:
                await self._finish(found)

    def _check(self, job: _Job, raw: bytes) -> _Found:
        """Verify a part and store it; in a thread."""
        if isinstance(job, _TailJob):
            tail = verify_tail(raw, job.from_leaf, self._checkpoint)
            self._installation.add_tail(tail)
            return tail
        part = verify_part(raw, job.path, job.expected, self._checkpoint.height)
        self._installation.add_state(part)
        return part

    async def _finish(self, found: _Found) -> None:
        """A part is stored: count it, and go on with what stands below or after it."""
        progress = self._progress
        progress.parts += 1
        self._unfinished -= 1
        more: list[_Job] = []
        if isinstance(found, TailPart):
            progress.entries += len(found.entries)
            if found.next_leaf < self._checkpoint.log_size:
                more = [_TailJob(found.next_leaf)]
        elif isinstance(found, Children):
            below = found.below()
            progress.share += (16 - len(below)) / 16 ** (len(found.path) + 1)
            more = [_StateJob(path, expected) for path, expected in below]
        else:
            progress.share += 16.0 ** -len(found.path)
            progress.keys += len(found.values)
        self._unfinished += len(more)
        await self._give_back(*more)

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            progress = self._progress
            log.info(
                "sync.progress",
                height=progress.height,
                state_percent=round(100 * progress.share, 1),
                keys=progress.keys,
                entries=progress.entries,
                entries_wanted=progress.entries_wanted,
                received_bytes=progress.received_bytes,
                peers=progress.peers,
            )
