# SPDX-License-Identifier: Apache-2.0
"""A node's part in snapshots, put together: it gives them to its peers, and takes one when it needs one."""

import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import grpc

from chain.checkpoint import ClosingCheckpoint
from chain.errors import LedgerError
from chain.genesis import Genesis
from chain.snapshot import Children, SnapshotHead, TailPart
from chain.tree_build import Subtree
from chain.types import BlsKey, Height, Millis, Network
from client.pb import node_service_pb2 as pb
from node.config import Config, Home, sync_hints
from node.disk import Disk
from node.exchange import new_ledger
from node.install import Installer
from node.keyring import NodeKeys
from node.leveldb import LevelDatabase
from node.metrics import Metrics
from node.newcomer import Newcomer, Own
from node.peers import hinted_peers
from node.snapshots import Snapshots
from node.sources import Sources
from node.sync_client import SyncPeer
from node.sync_server import SyncService
from node.transport import Peer


class _Node(Protocol):
    """What this asks of its node."""

    def reach(self) -> Own:
        """How far its ledger reaches now."""
        ...

    def peers(self) -> Iterable[Peer]:
        """Whom it talks to."""
        ...

    def members(self) -> Iterable[Peer]:
        """The validators among them."""
        ...

    def sender_of(self, pem: bytes) -> BlsKey | None:
        """Whose certificate this is; None for one that is not pinned."""
        ...

    def pause_ranges(self, *, paused: bool) -> None:
        """Stop asking for blocks, or go on."""
        ...


class Syncing:
    """Snapshots given and taken by one node.

    Attributes:
        snapshots: The states that stay on disk for others to take.
    """

    def __init__(
        self,
        node: _Node,
        *,
        home: Home,
        config: Config,
        keys: NodeKeys,
        genesis: Genesis,
        disk: Disk,
        metrics: Metrics,
        fatal: Callable[[BaseException], None],
        now: Callable[[], Millis],
    ) -> None:
        """Nothing is asked or served yet; `fatal` hears of errors after which the node must stop.

        Raises:
            ConfigError: A certificate that `sync.peers` names is not one.
        """
        self._node = node
        self._home = home
        self._keys = keys
        self._config = config
        self._metrics = metrics
        self._now = now
        self._hints = hinted_peers((address, home.root / path) for address, path in sync_hints(config.sync))
        self.network: Network = genesis.network
        self.snapshots = Snapshots(config.sync.snapshot_every_blocks, config.sync.snapshot_kept_seconds * 1000)
        self._service = SyncService(
            self, database=disk.database, snapshots=self.snapshots, fatal=fatal, now=now, metrics=metrics
        )
        self._newcomer = Newcomer(
            self,
            home=home,
            config=config,
            genesis=genesis,
            sources=self._make_sources,
            install=self._begin_installation,
            key=keys.bls_key,
            durable=disk.durable,
            journal=disk.journal,
        )

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve peers there too."""
        self._service.add_to(server)

    async def watch(self) -> None:
        """See `Newcomer.watch`."""
        await self._newcomer.watch()

    def certified(self, height: Height) -> None:
        """A checkpoint is certified and executed here."""
        self.snapshots.certified(height, self._now())

    def upkeep(self) -> None:
        """Figures for metrics, and what is to be let go of; now and then."""
        self._service.upkeep()
        progress = self._newcomer.progress
        self._metrics.snapshots.set(self.snapshots.count)
        self._metrics.sync_share.set(1.0 if progress is None else progress.share)
        if progress is not None:
            self._metrics.sync_refused.set(progress.refused)

    def status(self) -> pb.Joining | None:
        """How far a snapshot has come; None while none is taken."""
        progress = self._newcomer.progress
        if progress is None:
            return None
        return pb.Joining(
            height=progress.height,
            state_permille=min(1000, int(progress.share * 1000)),
            entries=progress.entries,
            entries_wanted=progress.entries_wanted,
            peers=progress.peers,
        )

    def stop(self) -> None:
        """Wait for what is under way."""
        self._service.stop()

    # ------------------------------------------------------------ what the parts ask for

    def reach(self) -> Own:
        """How far the ledger reaches now."""
        return self._node.reach()

    def sender_of(self, pem: bytes) -> BlsKey | None:
        """Whose certificate this is; None for one that is not pinned."""
        return self._node.sender_of(pem)

    def members(self) -> Iterable[Peer]:
        """The validators that the node knows."""
        return self._node.members()

    def sync_peers(self) -> tuple[Peer, ...]:
        """Whom the node may ask for a snapshot."""
        return (*self._hints, *self._node.peers())

    def pause_ranges(self, *, paused: bool) -> None:
        """Stop asking for blocks, or go on."""
        self._node.pause_ranges(paused=paused)

    def _make_sources(self) -> Sources:
        identity, peer_config = self._keys.identity, self._config.peer
        return Sources(self.network, lambda peer: SyncPeer(peer, identity, peer_config), self._keys.certificate)

    def _begin_installation(self, head: SnapshotHead, closings: Sequence[ClosingCheckpoint]) -> "Installation":
        return Installation(new_ledger(self._home), head, closings)


class Installation:
    """A database beside the node's own that is filled from verified parts; a `node.joining.Installation`.

    A node that stops gives it up while a thread may still be at work on it, so each call has its turn.
    """

    def __init__(self, path: Path, head: SnapshotHead, closings: Sequence[ClosingCheckpoint]) -> None:
        """Make it; the folder is not there yet.

        Raises:
            InvalidProof: The closing checkpoints are not those of the head's epoch.
            StorageError: It can't be made.
        """
        self._turn = threading.Lock()
        self._is_open = True
        self._database = LevelDatabase(path)
        try:
            self._installer = Installer(self._database, head, closings)
        except LedgerError:
            self._database.close()
            raise

    def add_state(self, part: Subtree | Children) -> None:
        """Store what stands at a place of the state; nothing once it is given up."""
        with self._turn:
            if self._is_open:
                self._installer.add_state(part)

    def add_tail(self, part: TailPart) -> None:
        """Store entries; they come in order. Nothing once it is given up."""
        with self._turn:
            if self._is_open:
                self._installer.add_tail(part)

    def finish(self) -> None:
        """Make it a ledger, durably, and close it; nothing once it is given up.

        Raises:
            InvalidProof: The head's block does not belong to its entries.
            StorageError: The disk failed.
        """
        with self._turn:
            if self._is_open:
                self._installer.finish()
                self._close()

    def abandon(self) -> None:
        """Close it as it is: the next start removes it."""
        with self._turn:
            if self._is_open:
                self._close()

    def _close(self) -> None:
        self._is_open = False
        self._database.close()
