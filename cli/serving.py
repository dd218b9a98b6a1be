# SPDX-License-Identifier: Apache-2.0
"""What `zhixin serve` does once it is known which services: kept from its help, which answers without importing any."""

import os
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path

import structlog

from cli.anchoring import anchoring_of
from cli.errors import InputError, UsageError, WorldError
from cli.language import t
from cli.output import emit
from cli.services import SERVICES, explained
from node.collector import tune_collector
from service.logs import configure_logging
from service.serve import Ground, run
from service.settings import Address, load_settings
from service.sign_in import people
from service.sign_in.office import Office
from service.store import open_store

log = structlog.get_logger(__name__)


def serve(names: Collection[str], settings_file: Path | None) -> None:
    """Run services in this process until it is told to stop.

    Args:
        names: Which; of several, those whose own setting is missing are left out, and the log says so.
        settings_file: TOML; None: the defaults.

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
        run(services, Ground(settings, store, anchoring), _say)


def _say(addresses: Sequence[Address]) -> None:
    """One line for each service, for whoever started it."""
    listed = [{"service": item.service, "listen": item.listen, "url": item.public_origin} for item in addresses]
    lines = [t("serve.listening", service=item.service, url=item.public_origin) for item in addresses]
    emit({"services": listed}, *lines)


def first_link(service: str, name: str, organisation: str, settings_file: Path | None, *, another: bool) -> str:
    """The link by which a service's first administrator registers a passkey.

    Args:
        service: One that keeps a store.
        name: The administrator's.
        organisation: Theirs.
        settings_file: TOML; None: the defaults.
        another: Make one even where there is an administrator.

    Raises:
        UsageError: The name or the organisation is none.
        InputError: There is an administrator already; or as `serve`.
        WorldError: As `serve`.
    """
    if not people.is_name(name) or not people.is_organisation(organisation):
        raise UsageError("service.link-fields", t("serve.link.fields"))
    found = next(one for one in SERVICES if one.name == service)
    with explained(), ExitStack() as stack:
        loaded = load_settings(settings_file)
        store = open_store(loaded.store, os.environ)
        stack.callback(store.close)
        office = Office.of(store, loaded.address(found.name, found.port))
        try:
            return people.first_link(office, name, organisation, another=another)
        except people.AdministratorThere:
            raise InputError("service.administrator-there", t("serve.link.there", service=service)) from None
