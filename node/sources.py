# SPDX-License-Identifier: Apache-2.0
"""The peers from whom a node takes a ledger: who they are, what they offer, and whom it has stopped asking.

They are asked, not believed: what they send is verified. So a peer may name others, and one that nobody vouches for
costs a connection at most. Who has sent something wrong is asked no more while anybody else is left.
"""

import asyncio
from collections.abc import Callable, Iterable

import structlog

from chain.errors import LedgerError
from chain.types import BlsKey, Network
from node.config import split_address
from node.errors import ConfigError, TransportError
from node.sync_client import Offers, Source
from node.transport import Peer

SOURCES_MAX = 64
"""Connections while a node joins: a network's validators, and whom they and the settings name beside them."""

ADDRESS_CHARACTERS_MAX = 260
"""A host name of the longest kind with its port; no path of a local socket has a place here."""
OFFERS_SECONDS_MAX = 3.0
"""For an answer that takes no work; a node that starts waits for the slowest."""

log = structlog.get_logger(__name__)

Connect = Callable[[Peer], Source]
"""Makes a source of a peer; raises `ConfigError` if its certificate can't be used."""


class Sources:
    """Peers by their certificates."""

    def __init__(self, network: Network, connect: Connect, own_certificate: bytes) -> None:
        self._network = network
        self._connect = connect
        self._known: dict[bytes, Source | None] = {own_certificate: None}
        self._dropped: dict[Source, str] = {}

    @property
    def active(self) -> tuple[Source, ...]:
        """Those that may be asked."""
        return tuple(source for source in self._known.values() if source is not None and source not in self._dropped)

    def admit(self, peers: Iterable[Peer]) -> None:
        """Ask these too, from now on."""
        for peer in peers:
            if not peer.address or peer.certificate in self._known or len(self._known) > SOURCES_MAX:
                continue
            try:
                self._known[peer.certificate] = self._connect(peer)
            except ConfigError as error:
                self._known[peer.certificate] = None
                log.warning("sync.peer-unusable", peer=peer.address, reason=str(error))

    def drop(self, source: Source, reason: str) -> None:
        """It has sent something wrong: stop asking it, and say so."""
        if source not in self._dropped:
            self._dropped[source] = reason
            log.warning("sync.peer-dropped", peer=source.name, reason=reason[:300])

    def forgive(self) -> None:
        """Ask all of them again: nobody else is left, and what they send is verified all the same."""
        if self._dropped and not self.active:
            log.warning("sync.peers-forgiven", peers=sorted(source.name for source in self._dropped))
            self._dropped.clear()

    async def offers(self) -> list[tuple[Source, Offers]]:
        """What those that answer say they have; asks also whom they name."""
        found: list[tuple[Source, Offers]] = []
        asked: set[Source] = set()
        for _ in range(2):
            fresh = [source for source in self.active if source not in asked]
            asked.update(fresh)
            answers = await asyncio.gather(*(self._offers_of(source) for source in fresh))
            for source, offers in zip(fresh, answers, strict=True):
                if offers is not None:
                    found.append((source, offers))
                    self.admit(_peers_of(offers))
        return found

    async def _offers_of(self, source: Source) -> Offers | None:
        try:
            async with asyncio.timeout(OFFERS_SECONDS_MAX):
                offers = await source.offers()
        except (TransportError, TimeoutError) as error:
            log.debug("sync.peer-unreachable", peer=source.name, reason=str(error))
            return None
        except LedgerError as error:
            self.drop(source, error.reason)
            return None
        if offers.network != self._network:
            self.drop(source, f"it serves the network {offers.network.hex()}")
            return None
        return offers

    async def close(self) -> None:
        """Give all connections back."""
        await asyncio.gather(*(source.close() for source in self._known.values() if source is not None))
        self._known.clear()


def _peers_of(offers: Offers) -> list[Peer]:
    """Whom a peer names, as far as those are addresses of the network."""
    peers = []
    for address, certificate in offers.members:
        try:
            split_address(address)
        except ConfigError:
            continue
        if len(address) <= ADDRESS_CHARACTERS_MAX and "/" not in address:
            peers.append(Peer(BlsKey(b""), "member", address, certificate))
    return peers
