# SPDX-License-Identifier: Apache-2.0
"""`zhixin uniqueness`: who may ask the uniqueness service, and the keys that make its tags."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from chain.errors import Refused
from chain.strict_json import Json
from cli.acting import show_time
from cli.command import command, group
from cli.errors import InputError, MissingError
from cli.exits import Exit
from cli.language import t
from cli.output import emit, note
from cli.services import explained
from cli.uniqueness import tagger_of, uniqueness_of
from client.session import Session
from identity.api.desk.retagging import BATCH, Moved, move_tags
from identity.api.tagging import registrars
from identity.api.tagging.uniqueness import Uniqueness
from membership.names import check_organisation_id
from service.nodes import read_network
from service.settings import load_settings
from service.store import open_store

T = TypeVar("T")

SAID_EACH = 32
"""Batches, so that something is said every thousand people."""

app = group(t("help.uniqueness"))

SettingsOption = Annotated[Path | None, typer.Option("--settings", metavar="TOML", help=t("serve.option.settings"))]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _asked(settings_file: Path | None, question: Callable[[Uniqueness], Awaitable[T]]) -> T:
    """Have the service do something in this process, over the network that the settings name."""
    with explained():
        settings = load_settings(settings_file)
        network = read_network(settings.ledger)
        store = open_store(settings.store, os.environ)
        try:
            sessions: list[Session] = []
            service = uniqueness_of(settings, store, lambda: sessions[0])

            async def ask() -> T:
                async with Session(network.genesis, endpoints=network.endpoints) as session:
                    sessions.append(session)
                    return await question(service)

            return asyncio.run(ask())
        finally:
            store.close()


@command(app, "status", t("uniqueness.status.help"))
def status(settings: SettingsOption = None) -> None:
    """Say which version of the key is in use, and how many tags stand under it and the one before."""

    async def ask(service: Uniqueness) -> dict[str, Json]:
        present = await service.present()
        return {
            "key_version": present.key_version,
            "tags": present.tags,
            "previous_tags": present.previous_tags,
            "keys": list(service.key_versions),
        }

    fields = _asked(settings, ask)
    keys = fields["keys"]
    assert isinstance(keys, list)
    words = {**fields, "keys": ", ".join(str(key) for key in keys) or "-"}
    emit(fields, t("uniqueness.status", **words) if fields["key_version"] else t("uniqueness.none-begun"))


@command(app, "rotate", t("uniqueness.rotate.help"))
def rotate(settings: SettingsOption = None) -> None:
    """Make the next version's key and begin it on the ledger."""
    version = _asked(settings, lambda service: service.rotate())
    emit({"key_version": version}, t("uniqueness.rotated", version=version))


@command(app, "forget", t("uniqueness.forget.help"))
def forget(settings: SettingsOption = None) -> None:
    """Destroy keys of versions that no tag is left under."""
    oldest = _asked(settings, lambda service: service.forget())
    emit({"oldest": oldest}, t("uniqueness.forgotten", oldest=oldest))


@command(app, "move", t("uniqueness.move.help"))
def move(
    organisation: Annotated[str, typer.Argument(metavar="ORGANISATION", help=t("uniqueness.option.organisation"))],
    after: Annotated[str, typer.Option("--after", metavar="ID", help=t("uniqueness.option.after"))] = "",
    settings: SettingsOption = None,
) -> None:
    """Move the tags of a desk's people to the new key, from the desk's own store."""
    with explained():
        chosen = load_settings(settings)
        tagger = tagger_of(chosen)
        if tagger is None:
            raise InputError("uniqueness.no-url", t("uniqueness.no-url"))
        store = open_store(chosen.store, os.environ)
        try:

            async def ask() -> Moved:
                async with tagger:
                    return await move_tags(store, tagger, organisation, after, _tell)

            done = asyncio.run(ask())
        finally:
            store.close()
    fields: dict[str, Json] = {"moved": done.moved, "before": done.before, "without": done.without, "last": done.last}
    lines = [t("uniqueness.moved", moved=done.moved, before=done.before, without=done.without)]
    if done.stopped:
        lines.append(t("uniqueness.move-stopped", code=done.stopped, last=done.last or "-"))
    emit(fields | {"stopped": done.stopped}, *lines)
    if done.stopped:
        raise typer.Exit(Exit.WORLD)


def _tell(done: Moved) -> None:
    """Say from time to time how far it has come."""
    seen = done.moved + done.before + done.without
    if seen // BATCH % SAID_EACH == 0:
        note(t("uniqueness.moved", moved=done.moved, before=done.before, without=done.without))


@command(app, "add-registrar", t("uniqueness.add-registrar.help"))
def add_registrar(
    organisation: Annotated[str, typer.Argument(metavar="ORGANISATION", help=t("uniqueness.option.organisation"))],
    settings: SettingsOption = None,
) -> None:
    """Give a registrar a key of its own, which is shown once."""
    try:
        check_organisation_id(organisation)
    except Refused as error:
        raise InputError("uniqueness.organisation", error.reason) from None
    with explained():
        store = open_store(load_settings(settings).store, os.environ)
        try:
            made, key = registrars.add(store, organisation, _now_ms())
        finally:
            store.close()
    fields: dict[str, Json] = {"id": made.id, "organisation": organisation, "key": key}
    emit(fields, t("uniqueness.registrar-added", organisation=organisation, id=made.id), key)


@command(app, "end-registrar", t("uniqueness.end-registrar.help"))
def end_registrar(
    registrar: Annotated[str, typer.Argument(metavar="ID", help=t("uniqueness.option.registrar"))],
    settings: SettingsOption = None,
) -> None:
    """End a registrar's key."""
    with explained():
        store = open_store(load_settings(settings).store, os.environ)
        try:
            is_ended = registrars.end(store, registrar, _now_ms())
        finally:
            store.close()
    if not is_ended:
        raise MissingError("uniqueness.registrar", t("uniqueness.no-registrar", id=registrar))
    emit({"id": registrar}, t("uniqueness.registrar-ended", id=registrar))


@command(app, "registrars", t("uniqueness.registrars.help"))
def list_registrars(settings: SettingsOption = None) -> None:
    """List who may ask."""
    with explained():
        store = open_store(load_settings(settings).store, os.environ)
        try:
            found = registrars.listed(store)
        finally:
            store.close()
    listed: list[Json] = [
        {"id": row.id, "organisation": row.organisation, "made_ms": row.made_ms, "ended_ms": row.ended_ms}
        for row in found
    ]
    lines = []
    for row in found:
        end = "" if row.ended_ms is None else t("uniqueness.ended-at", time=show_time(row.ended_ms))
        lines.append(f"{row.id}  {row.organisation}  {show_time(row.made_ms)}  {end}".rstrip())
    emit({"registrars": listed}, *(lines or [t("uniqueness.nobody")]))
