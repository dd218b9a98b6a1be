# SPDX-License-Identifier: Apache-2.0
"""`zhixin serve`: run one service, or all of them in one process."""

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import structlog
import typer

from cli.anchoring import anchoring_of
from cli.command import command, group
from cli.errors import InputError, UsageError, WorldError
from cli.language import t
from cli.output import emit
from cli.services import SERVICES, explained
from node.collector import tune_collector
from service.logs import configure_logging
from service.serve import Ground, Service, run
from service.settings import Address, load_settings
from service.store import open_store

log = structlog.get_logger(__name__)

ALL = "all"

app = group(t("help.serve"))

SettingsOption = Annotated[Path | None, typer.Option("--settings", metavar="TOML", help=t("serve.option.settings"))]


def _serve(services: Sequence[Service], settings_file: Path | None) -> None:
    if not __debug__:
        raise WorldError("service.optimised", t("serve.optimised"))
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


def _declare(name: str, services: Sequence[Service], help_text: str) -> None:
    def serve(settings: SettingsOption = None) -> None:
        _serve(services, settings)

    declared: Callable[..., None] = serve
    command(app, name, help_text)(declared)


@command(app, "rebuild-index", t("serve.rebuild-index.help"))
def rebuild_index(settings: SettingsOption = None) -> None:
    """Drop the explorer's index, which it then makes anew from the chain."""
    from cli.explorer.build import drop_explorer_index  # noqa: PLC0415 - needs the built pages

    with explained():
        network = drop_explorer_index(load_settings(settings))
    emit({"network": network, "dropped": True}, t("serve.index-dropped", network=network))


_ABOUT = {
    "styles": t("serve.about.styles"),
    "explorer": t("serve.about.explorer"),
    "office": t("serve.about.office"),
    "desk": t("serve.about.desk"),
    "issuer": t("serve.about.issuer"),
    "uniqueness": t("serve.about.uniqueness"),
    "trace": t("serve.about.trace"),
    "verifier": t("serve.about.verifier"),
    "citizen": t("serve.about.citizen"),
    "kiosk": t("serve.about.kiosk"),
    "credit": t("serve.about.credit"),
}
for _service in SERVICES:
    _declare(_service.name, [_service], t("serve.one.help", about=_ABOUT[_service.name], port=_service.port))
_declare(ALL, SERVICES, t("serve.all.help", services=", ".join(service.name for service in SERVICES)))


@command(app, "link", t("serve.link.help"))
def link(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help=t("serve.option.service"))],
    name: Annotated[str, typer.Option("--name", help=t("serve.option.name"))],
    organisation: Annotated[str, typer.Option("--organisation", help=t("serve.option.organisation"))],
    another: Annotated[bool, typer.Option("--another", help=t("serve.option.another"))] = False,
    settings: SettingsOption = None,
) -> None:
    """Print the link by which a service's first administrator registers a passkey."""
    from service.sign_in import people  # noqa: PLC0415 - its tables join the store
    from service.sign_in.office import Office  # noqa: PLC0415 - likewise

    found = next((one for one in SERVICES if one.name == service and one.needs_store), None)
    if found is None:
        known = ", ".join(one.name for one in SERVICES if one.needs_store)
        raise UsageError("service.unknown", t("serve.link.unknown", service=service, known=known))
    if not people.is_name(name) or not people.is_organisation(organisation):
        raise UsageError("service.link-fields", t("serve.link.fields"))
    with explained(), ExitStack() as stack:
        loaded = load_settings(settings)
        store = open_store(loaded.store, os.environ)
        stack.callback(store.close)
        office = Office.of(store, loaded.address(found.name, found.port))
        try:
            made = people.first_link(office, name, organisation, another=another)
        except people.AdministratorThere:
            raise InputError("service.administrator-there", t("serve.link.there", service=service)) from None
    emit({"service": service, "link": made}, t("serve.link.made", name=name), made)
