# SPDX-License-Identifier: Apache-2.0
"""The private store and the ledger, put together from a process's settings: who anchors the audit chain, and where."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from cli.errors import InputError
from cli.language import t
from cli.staffing import signer_of
from client.session import Session
from service.anchors import Anchored, organisation_of, read_anchor
from service.nodes import read_network
from service.settings import Settings
from service.store import Store
from service.store.anchoring import Anchoring
from service.store.audit_anchors import KIND

log = structlog.get_logger(__name__)

T = TypeVar("T")


def anchoring_of(settings: Settings, store: Store) -> Anchoring | None:
    """What anchors the store's audit chain; None, and a line in the log, where the settings name no network or no key.

    Raises:
        ConfigError: The network's genesis file or nodes can't be read.
        KeyFileError: The key file can't be read or opened.
    """
    signer = signer_of(settings.signing, "signing.submit_key", settings.signing.submit_key)
    if not settings.ledger.genesis or signer is None:
        missing = "signing.submit_key" if settings.ledger.genesis else "ledger.genesis"
        log.warning("audit.not-anchored", reason=f"{missing} is not set")
        return None
    return Anchoring(store, read_network(settings.ledger), signer, settings.store.anchor_ms)


def asked(settings: Settings, question: Callable[[Session], Awaitable[T]]) -> T:
    """Ask the network that the settings name.

    Raises:
        ConfigError: None is named, or its files can't be read.
        TransportError: No node gives an answer that verifies and is fresh.
    """
    network = read_network(settings.ledger)

    async def ask() -> T:
        async with Session(network.genesis, endpoints=network.endpoints) as session:
            return await question(session)

    return asyncio.run(ask())


async def chain_owner(session: Session, settings: Settings, organisation: str) -> str:
    """Which organisation anchors the store's audit chain: the one that is named, else whose submit key is set.

    Raises:
        ConfigError: The key is no organisation's.
        InputError: Neither is there.
        KeyFileError: The key file can't be read or opened.
    """
    if organisation:
        return organisation
    signer = signer_of(settings.signing, "signing.submit_key", settings.signing.submit_key)
    if signer is None:
        raise InputError("store.whose", t("store.whose"))
    return await organisation_of(session, signer.signer)


def newest_anchor(settings: Settings, stream: bytes, organisation: str) -> Anchored | None:
    """What the ledger has of an audit chain; None: nothing.

    Raises:
        ConfigError: No network is named, its files can't be read, or the key is no organisation's.
        InputError: Neither an organisation nor a key of one is named.
        TransportError: No node gives an answer that verifies and is fresh.
    """

    async def ask(session: Session) -> Anchored | None:
        return await read_anchor(session, await chain_owner(session, settings, organisation), KIND, stream)

    return asked(settings, ask)
