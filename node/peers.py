# SPDX-License-Identifier: Apache-2.0
"""Whom a node talks to: the validators, as membership says where they are, and followers that its operator trusts."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

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


def peers_of(keys: Sequence[BlsKey], read: ReadState) -> tuple[Peer, ...]:
    """The members of an epoch, and those whom state names for the next one, as far as state knows their endpoints."""
    wanted = dict.fromkeys([*keys, *(validator.bls_key for validator in load_validators(read))])
    peers = []
    for key in wanted:
        seat = load_seat(read, key)
        if seat is not None:
            peers.append(Peer(key, seat.organisation, seat.address, seat.tls_certificate))
    return tuple(peers)


def trusted_peers(folder: Path) -> tuple[Peer, ...]:
    """Followers from a folder of certificates, each named after where it listens: `HOST:PORT.pem`.

    Raises:
        ConfigError: A file is named otherwise, or holds no certificate of a node.
    """
    peers = []
    for path in sorted(folder.glob("*.pem"))[:TRUSTED_MAX] if folder.is_dir() else ():
        split_address(path.stem)
        try:
            certificate = from_pem(path.read_bytes())
        except OSError as error:
            raise ConfigError(f"{path} can't be read: {error.strerror}") from None
        name = b"follower" + hashlib.sha384(certificate).digest()
        peers.append(Peer(BlsKey(name[:PUBLIC_KEY_BYTES]), path.stem, path.stem, certificate))
    return tuple(peers)
