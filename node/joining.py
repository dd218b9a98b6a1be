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
from collections.abc import Callable, Sequence
from typing import TypeAlias

import structlog

from chain.certificate import BlsScheme, SignatureScheme
from chain.checkpoint import CertifiedCheckpoint, Checkpoint, ClosingCheckpoint
from chain.codec import decode
from chain.errors import InvalidCertificate, InvalidProof, LedgerError, Refused
from chain.genesis import Genesis
from chain.light_client import TrustAnchor, advance
from chain.pb import ledger_pb2
from chain.snapshot import HEAD_BYTES_MAX, SnapshotHead, verify_head
from chain.types import Height
from node.errors import TransportError
from node.pulling import PAUSE_SECONDS, Installation, JoinFailed, Progress, Pull
from node.sources import Sources
from node.sync_client import Offers, Source

RETRY_SECONDS = 3.0
"""Between two attempts: a peer that restarts is back by then."""

log = structlog.get_logger(__name__)

NewInstallation: TypeAlias = Callable[[SnapshotHead, Sequence[ClosingCheckpoint]], Installation]


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
        retry_seconds: float | None = None,
    ) -> None:
        """Nothing is asked yet.

        Args:
            genesis: Of the network; all trust begins there.
            sources: Whom to ask.
            above: Snapshots at this height or below are of no use.
            install: Makes an empty database to fill.
            scheme: Of the validators' signatures; BLS if None.
            pause_seconds: See `PAUSE_SECONDS`.
            retry_seconds: Between two attempts; `RETRY_SECONDS` if None.
        """
        self._sources = sources
        self._above = above
        self._install = install
        self._scheme = scheme or BlsScheme()
        self._pause_seconds = pause_seconds
        self._retry_seconds = RETRY_SECONDS if retry_seconds is None else retry_seconds
        self._closings: list[ClosingCheckpoint] = []
        self.anchor = TrustAnchor.from_genesis(genesis)
        self.progress = Progress()

    @property
    def closing_certificates(self) -> tuple[CertifiedCheckpoint, ...]:
        """Of the epochs that have closed, verified."""
        return tuple(closing.certified for closing in self._closings)

    async def run(self, attempts_max: int) -> SnapshotHead | None:
        """Try until a ledger is ready; where it began, or None if so many attempts have failed.

        Raises:
            StorageError: It can't be stored.
        """
        for _ in range(attempts_max):
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
            await Pull(head, self._sources, installation, progress, self._pause_seconds).run(helpers)
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
