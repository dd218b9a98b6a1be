# SPDX-License-Identifier: Apache-2.0
"""`zhixin trace`: programs' keys to the service of food records."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from chain.strict_json import Json
from cli.acting import show_time
from cli.command import command, group
from cli.errors import MissingError, UsageError
from cli.language import t
from cli.output import emit
from cli.services import explained
from service.settings import load_settings
from service.store import Store, open_store
from service.store.replays import unix_ms
from traceability.api import clients
from traceability.items import is_gln

app = group(t("help.trace"))

SettingsOption = Annotated[Path | None, typer.Option("--settings", metavar="TOML", help=t("serve.option.settings"))]


@contextmanager
def _opened(settings: Path | None) -> Iterator[Store]:
    """The service's store."""
    with explained():
        store = open_store(load_settings(settings).store, os.environ)
        try:
            yield store
        finally:
            store.close()


@command(app, "add-key", t("trace.add-key.help"))
def add_key(
    gln: Annotated[str, typer.Argument(metavar="[GLN]", help=t("trace.option.gln"))] = "",
    regulator: Annotated[bool, typer.Option("--regulator", help=t("trace.option.regulator"))] = False,
    settings: SettingsOption = None,
) -> None:
    """Give a program a key, which is shown once."""
    if regulator == bool(gln) or (gln and not is_gln(gln)):
        raise UsageError("trace.who", t("trace.who"))
    with _opened(settings) as store:
        made, key = clients.add(store, gln, unix_ms())
    fields: dict[str, Json] = {"id": made.id, "gln": gln, "regulator": regulator, "key": key}
    emit(fields, t("trace.key-added", who=gln or t("trace.regulator"), id=made.id), key)


@command(app, "end-key", t("trace.end-key.help"))
def end_key(
    key: Annotated[str, typer.Argument(metavar="ID", help=t("trace.option.key"))], settings: SettingsOption = None
) -> None:
    """End a program's key."""
    with _opened(settings) as store:
        is_ended = clients.end(store, key, unix_ms())
    if not is_ended:
        raise MissingError("trace.key", t("trace.no-key", id=key))
    emit({"id": key}, t("trace.key-ended", id=key))


@command(app, "keys", t("trace.keys.help"))
def list_keys(settings: SettingsOption = None) -> None:
    """List the keys."""
    with _opened(settings) as store:
        found = clients.listed(store)
    listed: list[Json] = [
        {"id": row.id, "gln": row.gln, "regulator": not row.gln, "made_ms": row.made_ms, "ended_ms": row.ended_ms}
        for row in found
    ]
    lines = []
    for row in found:
        end = "" if row.ended_ms is None else t("trace.ended-at", time=show_time(row.ended_ms))
        lines.append(f"{row.id}  {row.gln or t('trace.regulator')}  {show_time(row.made_ms)}  {end}".rstrip())
    emit({"keys": listed}, *(lines or [t("trace.nobody")]))
