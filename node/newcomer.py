# SPDX-License-Identifier: Apache-2.0
"""Decides whether this node takes its ledger from a snapshot, and does so beside everything else that it does.

A node with an empty ledger does if it would have much to execute. One with a ledger does only when it stands still and
no peer has the block that it needs next: what it has is history that a snapshot does not bring.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import structlog

from chain.certificate import decode_bitmap
from chain.checkpoint import CertifiedCheckpoint, Checkpoint
from chain.consensus.journal import Durable, Muted
from chain.genesis import Genesis
from chain.light_client import TrustAnchor
from chain.snapshot import SnapshotHead
from chain.storage import Database
from chain.types import BlsKey, Height
from node.config import Config, Home
from node.exchange import declare_ready
from node.joining import Joiner, NewInstallation
from node.pulling import Progress
from node.sources import Sources
from node.sync_client import Offers
from node.transport import Peer

FIRST_SECONDS = 1.0
"""Between two looks at the peers while the ledger is empty: at a network's founding they come up one by one."""
ANSWER_SECONDS_MAX = 30.0
"""So long a node with an empty ledger asks for no blocks while no peer says what it has: three times as long as peers
take to accept a new certificate."""
STILL_SECONDS = 10.0
"""A ledger that has not grown for so long makes a node look: ten times what an idle network takes for a block."""
STUCK_SECONDS = 300.0
"""Without a block for so long, and a peer that says that it has the next one is not believed any more."""
ATTEMPTS_MAX = 3
"""Then blocks have their turn again: who offers what it does not have must not keep a node from them."""

log = structlog.get_logger(__name__)


class LedgerReady(Exception):
    """A newer ledger lies ready beside this node's: the next start takes it."""


@dataclass(frozen=True, slots=True)
class Own:
    """How far this node's ledger reaches."""

    height: Height
    log_size: int


class Need(Enum):
    """How a node can catch up."""

    BLOCKS = "blocks"
    SNAPSHOT_IS_FASTER = "a snapshot is faster"
    SNAPSHOT_ONLY = "only a snapshot"


class _Node(Protocol):
    """What a newcomer asks of its node."""

    def reach(self) -> Own:
        """How far its ledger reaches now."""
        ...

    def sync_peers(self) -> Iterable[Peer]:
        """Whom it may ask."""
        ...

    def pause_ranges(self, *, paused: bool) -> None:
        """Stop asking for blocks, or go on."""
        ...


class Newcomer:
    """Takes a snapshot when the node needs one."""

    def __init__(
        self,
        node: _Node,
        *,
        home: Home,
        config: Config,
        genesis: Genesis,
        sources: Callable[[], Sources],
        install: NewInstallation,
        key: BlsKey | None,
        durable: Durable,
        journal: Database,
    ) -> None:
        """Nothing is asked yet; `durable` is what the journal held at the start."""
        self._node = node
        self._home = home
        self._config = config
        self._genesis = genesis
        self._make_sources = sources
        self._install = install
        self._key = key
        self._durable = durable
        self._journal = journal
        self._joiner: Joiner | None = None
        self._has_given_up = False

    @property
    def progress(self) -> Progress | None:
        """How far a snapshot has come that is being taken; None while none is."""
        return None if self._joiner is None else self._joiner.progress

    async def watch(self) -> None:
        """Look now and then, for as long as the node runs.

        Raises:
            LedgerReady: A snapshot is taken.
            StorageError: It can't be stored.
        """
        sources: Sources | None = None
        began_s = time.monotonic()
        seen, seen_s = Height(-1), began_s
        try:
            self._node.pause_ranges(paused=self._node.reach().height == 0 and self._may_join)
            while True:
                own = self._node.reach()
                if own.height in {0, seen}:
                    still_s = time.monotonic() - seen_s if own.height == seen else 0.0
                    sources = sources or self._make_sources()
                    is_answered = await self._look(sources, own, is_stuck=still_s >= STUCK_SECONDS)
                    is_late = time.monotonic() > began_s + ANSWER_SECONDS_MAX
                    if is_answered or is_late or own.height:
                        self._node.pause_ranges(paused=False)
                elif sources is not None:
                    await sources.close()
                    sources = None
                if own.height != seen:
                    seen, seen_s = own.height, time.monotonic()
                await asyncio.sleep(STILL_SECONDS if own.height else FIRST_SECONDS)
        finally:
            if sources is not None:
                await sources.close()

    @property
    def _may_join(self) -> bool:
        return self._config.sync.enabled and not self._config.storage.archive

    async def _look(self, sources: Sources, own: Own, *, is_stuck: bool) -> bool:
        """Ask the peers what they have, and take a snapshot if one is needed; whether any has answered."""
        sources.admit(self._node.sync_peers())
        offers = [offer for _, offer in await sources.offers()]
        sources.forgive()
        need = needed(own, offers, self._config, is_stuck=is_stuck)
        if need is Need.BLOCKS or (need is Need.SNAPSHOT_IS_FASTER and (self._has_given_up or not self._may_join)):
            return bool(offers)
        log.warning(
            "sync.behind",
            height=own.height,
            peers_hold_blocks_from=min(offer.oldest_block for offer in offers if offer.executed_height > own.height),
            peers_height=max(offer.executed_height for offer in offers),
        )
        if self._may_join:
            await self._join(sources)
        else:
            log.error(
                "sync.not-allowed",
                reason="no peer has the next block any more, and this node's settings (sync.enabled, storage.archive) "
                "forbid a snapshot: name a peer that has all blocks in sync.peers, or change them",
            )
        return True

    async def _join(self, sources: Sources) -> None:
        """Take a snapshot and end the node; or go on if it has come further by itself meanwhile."""
        self._node.pause_ranges(paused=True)
        joiner = self._joiner = Joiner(
            genesis=self._genesis, sources=sources, above=self._node.reach().height, install=self._install
        )
        try:
            head = await joiner.run(ATTEMPTS_MAX)
        finally:
            self._joiner = None
        own = self._node.reach()
        if head is None:
            self._has_given_up = True
            log.warning("sync.given-up", reason="no snapshot could be taken; this node asks for blocks again")
        elif own.height >= head.checkpoint.height:
            log.info("sync.not-needed", height=own.height, snapshot=head.checkpoint.height)
        else:
            if own.height == 0:
                self._mute_if_it_has_voted(joiner, head)
            await asyncio.to_thread(declare_ready, self._home)
            raise LedgerReady

    def _mute_if_it_has_voted(self, joiner: Joiner, head: SnapshotHead) -> None:
        """A journal that knows of no vote, of a key that has voted, is not the one that the key wrote."""
        if self._key is None or self._durable.votes or self._durable.checkpoints:
            return
        if bears(self._key, joiner.anchor, [*joiner.closing_certificates, head.certified]):
            self._journal.write({Muted(self._key).key: Muted(self._key).value})


def needed(own: Own, offers: Sequence[Offers], config: Config, *, is_stuck: bool) -> Need:
    """How a node can catch up.

    Args:
        own: How far its ledger reaches.
        offers: What the peers say that they have.
        config: Of the node.
        is_stuck: It has stood still for so long that none of them can have given it what it says that it has.
    """
    ahead = [offer for offer in offers if offer.executed_height > own.height]
    if ahead and (is_stuck or all(offer.oldest_block > own.height + 1 for offer in ahead)):
        return Need.SNAPSHOT_ONLY
    is_large = any(
        offer.executed_height >= config.sync.behind_blocks or offer.log_size >= config.sync.behind_entries
        for offer in ahead
        if offer.heights
    )
    return Need.SNAPSHOT_IS_FASTER if own.height == 0 and is_large else Need.BLOCKS


def bears(key: BlsKey, anchor: TrustAnchor, certificates: Iterable[CertifiedCheckpoint]) -> bool:
    """Whether a validator has signed one of these verified checkpoints, of epochs that the anchor knows."""
    sets = {start.validators.epoch: start.validators.keys for start in anchor.epochs}
    for certified in certificates:
        keys = sets[Checkpoint.decode(certified.checkpoint).epoch]
        if key in keys and keys.index(key) in decode_bitmap(certified.bitmap, len(keys)):
            return True
    return False
