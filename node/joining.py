# SPDX-License-Identifier: Apache-2.0
"""Takes a ledger as it was at a certified checkpoint from several peers at once, and verifies every part of it.

From genesis the closing checkpoints lead to the set that certified the snapshot; its checkpoint names the roots of
state and log; each part is checked against those alone. So a bad part names its peer, which is asked no more; a peer
that dies or stalls leaves its part to the others; and when nobody has the snapshot any more, a newer one is begun.

What is filled lies beside the node's ledger and takes its place only when it is complete: a crash at any moment leaves
a home that starts again, with the old ledger or with the new one. Source: docs/protocol.md, section 7.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import structlog

from chain.certificate import BlsScheme, SignatureScheme
from chain.checkpoint import CertifiedCheckpoint, Checkpoint, ClosingCheckpoint
from chain.codec import decode
from chain.errors import InvalidCertificate, InvalidMessage, InvalidProof, LedgerError, Refused
from chain.genesis import Genesis
from chain.light_client import TrustAnchor, advance
from chain.pb import ledger_pb2
from chain.snapshot import HEAD_BYTES_MAX, Children, SnapshotHead, TailPart, verify_head, verify_part, verify_tail
from chain.tree_build import Subtree
from chain.types import Height
from node.errors import TransportError
from node.sources import Sources
from node.sync_client import Offers, Source

UNCHECKED_MAX = 8
"""Parts that have arrived and wait for their check, 1 MiB each: bounds memory, and keeps the checking busy."""
FAILURES_MAX = 3
"""In a row; a peer that failed so often is left alone until the next attempt."""
PAUSE_SECONDS = 1.0
"""Between a peer's failure and the next request to it."""
RETRY_SECONDS = 3.0
"""Between two attempts: a peer that restarts is back by then."""
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


NewInstallation: TypeAlias = Callable[[SnapshotHead, Sequence[ClosingCheckpoint]], Installation]


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


class Joiner:
    """Takes one ledger.

    Attributes:
        progress: Of the attempt that is under way.
        anchor: What the closing checkpoints that peers showed prove.
    """

    def __init__(
        self,
        *,
        genesis: Genesis,
        sources: Sources,
        above: Height,
        install: NewInstallation,
        scheme: SignatureScheme | None = None,
        pause_seconds: float = PAUSE_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        """Nothing is asked yet.

        Args:
            genesis: Of the network; all trust begins there.
            sources: Whom to ask.
            above: Snapshots at this height or below are of no use.
            install: Makes an empty database to fill.
            scheme: Of the validators' signatures; BLS if None.
            pause_seconds: See `PAUSE_SECONDS`.
            retry_seconds: See `RETRY_SECONDS`.
        """
        self._sources = sources
        self._above = above
        self._install = install
        self._scheme = scheme or BlsScheme()
        self._pause_seconds = pause_seconds
        self._retry_seconds = retry_seconds
        self._closings: list[ClosingCheckpoint] = []
        self.anchor = TrustAnchor.from_genesis(genesis)
        self.progress = Progress()

    @property
    def closing_certificates(self) -> tuple[CertifiedCheckpoint, ...]:
        """Of the epochs that have closed, verified."""
        return tuple(closing.certified for closing in self._closings)

    async def run(self, attempts_max: int | None = None) -> SnapshotHead | None:
        """Try until a ledger is ready; where it began, or None if so many attempts have failed.

        Raises:
            StorageError: It can't be stored.
        """
        attempts = 0
        while attempts_max is None or attempts < attempts_max:
            attempts += 1
            try:
                return await self.attempt()
            except JoinFailed as error:
                log.warning("sync.failed", reason=str(error), again_in_seconds=self._retry_seconds)
            self._sources.forgive()
            await asyncio.sleep(self._retry_seconds)
        return None

    async def attempt(self) -> SnapshotHead:
        """Take the newest snapshot that the peers have now; where it began.

        Raises:
            JoinFailed: It could not be taken whole.
            StorageError: It can't be stored.
        """
        self.progress = Progress()
        began = time.monotonic()
        offers = await self._sources.offers()
        await self._follow_closings([source for source, _ in offers])
        source, head = await self._choose(offers)
        helpers = {
            helper: head.checkpoint.height in offer.heights
            for helper, offer in offers
            if offer.executed_height >= head.checkpoint.height
        }
        closings = [
            closing
            for closing, start in zip(self._closings, self.anchor.epochs[1:], strict=True)
            if start.closing is not None and start.closing.height <= head.checkpoint.height
        ]
        progress = self.progress
        progress.height = head.checkpoint.height
        progress.entries_wanted = head.checkpoint.log_size - head.first_leaf
        log.info(
            "sync.began",
            height=progress.height,
            epoch=head.checkpoint.epoch,
            entries=progress.entries_wanted,
            peers=[source.name for source in helpers],
        )
        installation = await asyncio.to_thread(self._install, head, closings)
        try:
            await _Pull(head, self._sources, installation, progress, self._pause_seconds).run(helpers)
            await asyncio.to_thread(installation.finish)
        except InvalidProof as error:
            self._sources.drop(source, f"head: {error.reason}")
            await asyncio.to_thread(installation.abandon)
            raise JoinFailed("the parts do not make a ledger with the head that they were taken for") from None
        except BaseException:
            await asyncio.to_thread(installation.abandon)
            raise
        progress.is_done = True
        log.info(
            "sync.done",
            height=progress.height,
            keys=progress.keys,
            entries=progress.entries,
            received_bytes=progress.received_bytes,
            seconds=round(time.monotonic() - began, 1),
        )
        return head

    # ------------------------------------------------------------ from genesis to the snapshot

    async def _follow_closings(self, sources: Sequence[Source]) -> None:
        """Follow the closing checkpoints of all, each from where the others have led."""
        for source in sources:
            try:
                while closings := await source.closings(self.anchor.epoch):
                    self.anchor = await asyncio.to_thread(advance, self.anchor, closings, self._scheme)
                    self._closings += closings
            except TransportError as error:
                log.info("sync.peer-failed", peer=source.name, reason=str(error))
            except LedgerError as error:
                self._sources.drop(source, f"closing checkpoints: {error.reason}")

    async def _choose(self, offers: Sequence[tuple[Source, Offers]]) -> tuple[Source, SnapshotHead]:
        """The newest snapshot whose head verifies, and whose that is.

        Raises:
            JoinFailed: There is none.
        """
        heights = sorted({height for _, offer in offers for height in offer.heights}, reverse=True)
        for height in heights:
            if height <= self._above:
                break
            for source, offer in offers:
                if height in offer.heights and source in self._sources.active:
                    head = await self._head_of(source, height)
                    if head is not None:
                        return source, head
        answered = ", ".join(source.name for source, _ in offers) or "none"
        raise JoinFailed(
            f"no peer offers a snapshot above height {self._above} that verifies; answers came of: {answered}"
        )

    async def _head_of(self, source: Source, height: Height) -> SnapshotHead | None:
        """A peer's head, verified; None if it has none that can be used now."""
        try:
            raw = await source.head(height)
            head = await asyncio.to_thread(self._verify_head, raw)
        except (TransportError, Refused) as error:
            log.info("sync.peer-failed", peer=source.name, reason=str(error))
            return None
        except InvalidCertificate as error:
            if error.code != "certificate.unknown-epoch":  # which it may have entered since we asked
                self._sources.drop(source, f"head: {error.reason}")
            return None
        except LedgerError as error:
            self._sources.drop(source, f"head: {error.reason}")
            return None
        checkpoint = head.checkpoint
        if checkpoint.height != height:
            self._sources.drop(source, f"a head of height {checkpoint.height} where {height} was asked for")
            return None
        if checkpoint.closes_epoch and self.anchor.epoch == checkpoint.epoch:
            return None  # its closing checkpoint is too new to have been shown; the next attempt has it
        return head

    def _verify_head(self, raw: bytes) -> SnapshotHead:
        claimed = decode(ledger_pb2.SnapshotHead, raw, HEAD_BYTES_MAX).certified.checkpoint
        return verify_head(raw, self.anchor.at(Checkpoint.decode(claimed).epoch), self._scheme)


class _Pull:
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
