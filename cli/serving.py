# SPDX-License-Identifier: Apache-2.0
"""What `zhixin serve` does once it is known which services: kept from its help, which answers without importing any."""

import asyncio
import os
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from chain.errors import LedgerError
from cli.anchoring import anchoring_of, asked
from cli.errors import InputError, UsageError, WorldError
from cli.language import t
from cli.output import emit
from cli.services import SERVICES, explained
from client.errors import TransportError
from client.session import Session
from membership.state import VALIDATORS_KEY, load_validators, organisation_key
from node.collector import tune_collector
from service.logs import configure_logging
from service.nodes import read_network
from service.serve import Ground, run
from service.settings import Address, Settings, load_settings
from service.sign_in import people
from service.sign_in.office import Office
from service.store import open_store

log = structlog.get_logger(__name__)

ASK_TIMEOUT_S: Final = 10.0
"""A link is made also where no node answers; whoever runs the command waits no longer for that."""


def _say(addresses: Sequence[Address]) -> None:
    """One line for each service, for whoever started it."""
    listed = [{"service": item.service, "listen": item.listen, "url": item.public_origin} for item in addresses]
    lines = [t("serve.listening", service=item.service, url=item.public_origin) for item in addresses]
    emit({"services": listed}, *lines)


def serve(
    names: Collection[str], settings_file: Path | None, *, ready: Callable[[Sequence[Address]], None] = _say
) -> None:
    """Run services in this process until it is told to stop.

    Args:
        names: Which; of several, those whose own setting is missing are left out, and the log says so.
        settings_file: TOML; None: the defaults.
        ready: Says where they listen, once they do.

    Raises:
        InputError: A setting or a key is unusable, or the pages are not built.
        WorldError: A port or the database can't be had.
    """
    if not __debug__:
        raise WorldError("service.optimised", t("serve.optimised"))
    services = [one for one in SERVICES if one.name in names]
    with explained(), ExitStack() as stack:
        settings = load_settings(settings_file)
        configure_logging(settings.logging.level)
        if len(services) > 1:
            for one in services:
                if not one.is_set_up(settings):
                    log.warning("service.left-out", service=one.name, reason=f"{one.own_setting} is not set")
            services = [one for one in services if one.is_set_up(settings)]
        store = anchoring = None
        if any(service.needs_store for service in services):
            store = open_store(settings.store, os.environ)
            stack.callback(store.close)
            anchoring = anchoring_of(settings, store)
        tune_collector()  # a batch of 300 events makes thousands of objects beside all that was imported
        run(services, Ground(settings, store, anchoring), ready)


@dataclass(frozen=True, slots=True)
class FirstLink:
    """The link of a service's first administrator.

    Attributes:
        link: Whole.
        ends_earlier: Whether an earlier one that was still good ended by it.
        is_known: Whether the ledger has the organisation; None: nobody could be asked.
    """

    link: str
    ends_earlier: bool
    is_known: bool | None


def first_link(service: str, name: str, organisation: str, settings_file: Path | None, *, another: bool) -> FirstLink:
    """The link by which a service's first administrator registers a passkey.

    Args:
        service: One that keeps a store.
        name: The administrator's.
        organisation: Theirs.
        settings_file: TOML; None: the defaults.
        another: Make one even where there is an administrator.

    Raises:
        UsageError: The name or the organisation is none.
        InputError: There is an administrator already; the ledger has no such organisation; or as `serve`.
        WorldError: As `serve`.
    """
    if not people.is_name(name) or not people.is_organisation(organisation):
        raise UsageError("service.link-fields", t("serve.link.fields"))
    found = next(one for one in SERVICES if one.name == service)
    with explained(), ExitStack() as stack:
        loaded = load_settings(settings_file)
        is_known = _is_known(loaded, organisation)
        store = open_store(loaded.store, os.environ)
        stack.callback(store.close)
        office = Office.of(store, loaded.address(found.name, found.port))
        ends_earlier = people.is_first_link_open(office)
        try:
            made = people.first_link(office, name, organisation, another=another)
        except people.AdministratorThere:
            raise InputError("service.administrator-there", t("serve.link.there", service=service)) from None
        return FirstLink(made, ends_earlier, is_known)


def _is_known(settings: Settings, organisation: str) -> bool | None:
    """Whether the ledger has an organisation; None: no network is named, or no node answers in time.

    Raises:
        ConfigError: What the settings name of the network can't be read.
        InputError: The ledger proves that there is none of this id.
    """
    if not settings.ledger.genesis:
        return None
    listed = read_network(settings.ledger).genesis.sections.get("membership", {}).get("organisations", [])
    first = [str(one["id"]) for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    try:
        known = asked(settings, lambda session: _organisations(session, [*first, organisation]))
    except (TransportError, LedgerError, TimeoutError):
        return None
    if organisation not in known:
        told = t("serve.link.no-organisation", organisation=organisation, known=", ".join(known))
        raise InputError("service.no-organisation", told)
    return True


async def _organisations(session: Session, named: Sequence[str]) -> list[str]:
    """Which organisations the ledger has of those named and those with a validator. Nothing lists all."""
    async with asyncio.timeout(ASK_TIMEOUT_S):
        (raw,) = await session.read_many([VALIDATORS_KEY])
        serving = [one.organisation for one in load_validators({VALIDATORS_KEY: raw.value}.get)]
        names = list(dict.fromkeys([*named, *serving]))
        found = await session.read_many([organisation_key(one) for one in names])
    return [name for name, state in zip(names, found, strict=True) if state.value is not None]
