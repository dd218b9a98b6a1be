# SPDX-License-Identifier: Apache-2.0
"""`zhixin serve`: run one service, or all of them in one process."""

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from cli.command import command, group
from cli.errors import WorldError
from cli.language import t
from cli.output import emit
from cli.services import SERVICES, explained
from service.logs import configure_logging
from service.serve import Ground, Service, run
from service.settings import Address, load_settings
from service.store import open_store

ALL = "all"

app = group(t("help.serve"))

SettingsOption = Annotated[Path | None, typer.Option("--settings", metavar="TOML", help=t("serve.option.settings"))]


def _serve(services: Sequence[Service], settings_file: Path | None) -> None:
    if not __debug__:
        raise WorldError("service.optimised", t("serve.optimised"))
    with explained(), ExitStack() as stack:
        settings = load_settings(settings_file)
        configure_logging(settings.logging.level)
        store = None
        if any(service.needs_store for service in services):
            store = open_store(settings.store, os.environ)
            stack.callback(store.close)
        run(services, Ground(settings, store), _say)


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


for _service in SERVICES:
    _declare(_service.name, [_service], t("serve.one.help", service=_service.name, port=_service.port))
_declare(ALL, SERVICES, t("serve.all.help", services=", ".join(service.name for service in SERVICES)))
