# SPDX-License-Identifier: Apache-2.0
"""Whom a node talks to: the validators, as membership says where they are, and followers that its operator trusts."""

import contextlib
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import structlog

from chain.bls import PUBLIC_KEY_BYTES
from chain.overlay import ReadState
from chain.types import BlsKey
from membership.state import load_seat, load_validators
from node.certificates import from_pem
from node.config import split_address
from node.errors import ConfigError
from node.transport import Peer

TRUSTED_MAX = 64
"""Followers of one node: each costs a stream and its share of ranges."""

log = structlog.get_logger(__name__)


def peers_of(keys: Sequence[BlsKey], read: ReadState) -> tuple[Peer, ...]:
    """The members of an epoch, and those whom state names for the next one, as far as state knows their endpoints.

    Those who have served for longest come first: in a quarrel over a name `sound_peers` keeps them.
    """
    wanted = dict.fromkeys([*keys, *(validator.bls_key for validator in load_validators(read))])
    found = []
    for key in wanted:
        seat = load_seat(read, key)
        if seat is not None:
            found.append((seat.since_epoch, Peer(key, seat.organisation, seat.address, seat.tls_certificate)))
    return tuple(peer for _, peer in sorted(found, key=lambda item: (item[0], item[1].bls_key)))


class Followers:
    """Nodes that may pull from this one though they are no validators', from a folder that the operator keeps.

    Each certificate stands in a file named after where its node listens: `HOST:PORT.pem`.
    """

    def __init__(self, folder: Path) -> None:
        """Read the folder, if there is one.

        Raises:
            ConfigError: A file is named otherwise, or holds no certificate of a node.
        """
        self._folder = folder
        self._seen = self._look()
        self.peers = trusted_peers(folder)

    def have_changed(self) -> bool:
        """Whether the operator has changed the folder since; what is wrong in it changes nothing."""
        seen = self._look()
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            self.peers = trusted_peers(self._folder)
        except ConfigError as error:
            log.warning("followers.refused", reason=str(error))
            return False
        log.info("followers.changed", addresses=[peer.address for peer in self.peers])
        return True

    def _look(self) -> frozenset[tuple[str, int, int]]:
        """Names, times and sizes of the files: one that is still being written may bear its last time already."""
        found = set()
        for path in self._folder.glob("*.pem"):
            with contextlib.suppress(OSError):  # it is being replaced; the next look sees it
                seen = path.stat()
                found.add((path.name, seen.st_mtime_ns, seen.st_size))
        return frozenset(found)


def trusted_peers(folder: Path) -> tuple[Peer, ...]:
    """Followers from a folder of certificates, each named after where it listens: `HOST:PORT.pem`.

    Raises:
        ConfigError: A file is named otherwise, or holds no certificate of a node.
    """
    paths = sorted(folder.glob("*.pem"))[:TRUSTED_MAX] if folder.is_dir() else ()
    return hinted_peers((path.stem, path) for path in paths)


def hinted_peers(hints: Iterable[tuple[str, Path]]) -> tuple[Peer, ...]:
    """Peers that are no validators as far as is known, from their addresses and files of their certificates (PEM).

    Raises:
        ConfigError: An address is none, or a file holds no certificate of a node.
    """
    peers = []
    for address, path in hints:
        try:
            split_address(address)
            certificate = from_pem(path.read_bytes())
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None
        except OSError as error:
            raise ConfigError(f"{path} can't be read: {error.strerror}") from None
        name = b"follower" + hashlib.sha384(certificate).digest()
        peers.append(Peer(BlsKey(name[:PUBLIC_KEY_BYTES]), address, address, certificate))
    return tuple(peers)
