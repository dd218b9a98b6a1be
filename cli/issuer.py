# SPDX-License-Identifier: Apache-2.0
"""Puts the credential issuer together from a process's settings: its keys, the network, whose key anchors lists."""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from cli.staffing import signer_of
from identity.api.accesses.part import accesses_part
from identity.api.desk.base import DeskContext
from identity.api.desk.ledger import DeskLedger
from identity.api.desk.notices import tell_of_answer
from identity.api.issuer.issuing import Issuer
from identity.api.issuer.key_files import Opened, load_keys
from identity.api.issuer.own_accesses import LedgerReceipts
from identity.api.issuer.part import issuer_part
from identity.api.issuer.publishing import LedgerAnchor, LedgerSource
from identity.api.space.acts import SpaceContext
from identity.api.space.part import space_part
from identity.api.space.sealing_part import sealing_part
from service.app import Part
from service.errors import ConfigError
from service.nodes import read_network
from service.pages import Site
from service.registrar_settings import IssuingSettings
from service.serve import Ground
from service.settings import Address
from service.sign_in.door import Door
from service.store.key_encryption import load_passphrase
from service.store.replays import unix_ms


def issuer_parts(ground: Ground, address: Address) -> Sequence[Part]:
    """The issuer's parts.

    Raises:
        ConfigError: No network or no folder of keys is named, or what is named can't be read.
        KeyFileError: The issuing keys can't be read or opened.
        TokenError: A key in a token is not there.
    """
    assert ground.store is not None, "the service says that it needs one"
    settings = ground.settings
    network = read_network(settings.ledger)
    door = Door(network.genesis, network.endpoints)
    own = signer_of(settings.signing, "signing.submit_key", settings.signing.submit_key)

    source = LedgerSource(lambda: door.session)

    async def read(keys: Sequence[bytes]) -> Mapping[bytes, bytes | None]:
        return (await source.read(keys)).values

    keys, prove = opened_keys(settings.issuing).keys, LedgerReceipts(lambda: door.session).prove
    part = issuer_part(
        ground.store,
        keys,
        address.public_origin,
        source=source,
        anchor=None if own is None else LedgerAnchor(lambda: door.session, own),
        prove=prove,
        start=door.start,
        stop=door.stop,
    )
    desk = DeskContext(ground.store, Site("desk.title"), DeskLedger(door), None, own, settings.retention, unix_ms)
    space = SpaceContext(Issuer(ground.store, keys, address.public_origin, unix_ms), desk, source, prove)
    accesses = accesses_part(ground.store, lambda: read, partial(tell_of_answer, desk))
    parts = [part, accesses, space_part(lambda: space)]
    sealer = signer_of(settings.signing, "signing.sealing_key", settings.signing.sealing_key)
    if sealer is not None:
        parts.append(sealing_part(ground.store, source, lambda: door.session, sealer))
    return parts


def opened_keys(settings: IssuingSettings) -> Opened:
    """The issuing keys that settings name.

    Raises:
        ConfigError: They name none.
        KeyFileError: They can't be read or opened.
        TokenError: A key in a token is not there.
    """
    if not settings.folder:
        raise ConfigError("issuing.folder is not set: name the folder that zhixin credential new-key made")
    passphrase = load_passphrase(settings.passphrase_file, os.environ)
    return load_keys(Path(settings.folder), passphrase, os.environ, allow_plain=settings.allow_plain)
