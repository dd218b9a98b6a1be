# SPDX-License-Identifier: Apache-2.0
"""`zhixin store`: the private store of the services: check it, back it up, restore it, end epochs, exchange keys."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import func, select

from chain.strict_json import Json
from cli.acting import show_time
from cli.anchoring import newest_anchor
from cli.command import command, group
from cli.commands import store_audit
from cli.commands.store_audit import OrganisationOption, SettingsOption
from cli.errors import InputError
from cli.language import t
from cli.output import emit
from cli.services import explained
from client.errors import TransportError
from service.settings import load_settings
from service.store import Store, audit, open_store
from service.store.backup import Head, OlderBackup, restore_backup, write_backup
from service.store.models import Person
from service.store.opening import new_wrapping, open_ring

IN_FILE = "file"
"""Where `--into` puts a key that is in no token."""


class KeyKind(StrEnum):
    """What a key in a token is for."""

    WRAPPING = "wrapping"
    MAC = "mac"
    SIGNING = "signing"


app = group(t("help.store"))
app.add_typer(store_audit.app, name="audit")

FolderOption = Annotated[Path, typer.Option("--to", help=t("store.option.to"))]


@contextmanager
def _opened(settings_file: Path | None) -> Iterator[Store]:
    with explained():
        store = open_store(load_settings(settings_file).store, os.environ)
        try:
            yield store
        finally:
            store.close()


@command(app, "check", t("store.check.help"))
def check(settings: SettingsOption = None) -> None:
    """Open the store, making it where there is none, and verify its audit chain."""
    with _opened(settings) as store:
        with store.read() as session:
            entries = audit.verify_chain(session)
            persons = session.scalar(select(func.count()).select_from(Person)) or 0
        pending, epoch = store.erasures_pending(), store.ring.epoch
    fields = {"persons": persons, "audit_entries": entries, "epoch": epoch, "erasures_pending": pending}
    emit(fields, t("store.checked", **fields))


@command(app, "backup", t("store.backup.help"))
def backup(to: FolderOption, settings: SettingsOption = None) -> None:
    """Write a backup while the services run."""
    with _opened(settings) as store:
        path = write_backup(store, to, time.time_ns() // 1_000_000)
    emit({"backup": str(path)}, t("store.backed-up", path=path))


@command(app, "restore", t("store.restore.help"))
def restore(
    backup: Annotated[Path, typer.Argument(help=t("store.option.backup"))],
    keys_from: Annotated[Path | None, typer.Option("--keys-from", help=t("store.option.keys-from"))] = None,
    accept_older: Annotated[bool, typer.Option("--accept-older", help=t("store.option.accept-older"))] = False,
    organisation: OrganisationOption = "",
    settings: SettingsOption = None,
) -> None:
    """Fill an empty database from a backup, unless the ledger knows of a newer one."""
    for path in (backup, keys_from):
        if path is not None and not path.is_file():
            raise InputError("file.missing", t("store.no-backup", path=path))
    with explained():
        chosen = load_settings(settings)
        anchored, is_compared = None, False
        if chosen.ledger.genesis and (organisation or chosen.signing.submit_key):
            stream = open_ring(chosen.store, os.environ).audit_stream
            try:
                anchored, is_compared = newest_anchor(chosen, stream, organisation), True
            except TransportError:
                if not accept_older:
                    raise
        try:
            done = restore_backup(
                chosen.store, os.environ, backup, keys_from, anchored=anchored, accept_older=accept_older
            )
        except OlderBackup as error:
            assert anchored is not None, "it is older than something"
            facts = _age(error.head) | {"anchored": error.anchored, "time": show_time(anchored.time_ms)}
            raise InputError("store.older-backup", t("store.older-backup", **facts)) from None
    facts = _age(done.head)
    fields: dict[str, Json] = {"persons": done.persons, "audit_entries": done.head.audit_entries}
    fields |= {"written_at_ms": done.head.at_ms, "compared": is_compared}
    lines = [t("store.restored", persons=done.persons, **facts)]
    if not is_compared:
        lines.append(t("store.not-compared"))
    emit(fields, *lines)


def _age(head: Head) -> dict[str, str | int]:
    """How old a backup is, and up to which audit entry it goes."""
    hours = max(0, time.time_ns() // 1_000_000 - head.at_ms) // 3_600_000
    return {"written": show_time(head.at_ms), "hours": hours, "entries": head.audit_entries}


@command(app, "end-epoch", t("store.end-epoch.help"))
def end_epoch(to: FolderOption, settings: SettingsOption = None) -> None:
    """Make erasures final: older backups open no more, and a new one is written before."""
    with _opened(settings) as store:
        done = store.end_epoch(lambda: write_backup(store, to, time.time_ns() // 1_000_000))
    fields = {"epoch": done.epoch, "persons": done.rewrapped, "erasures": done.erasures}
    emit(fields, t("store.epoch-ended", **fields))


@command(app, "rotate-key", t("store.rotate-key.help"))
def rotate_key(
    passphrase: Annotated[str, typer.Option("--new-passphrase", help=t("store.option.new-passphrase"))] = "",
    into: Annotated[str | None, typer.Option("--into", metavar="file|pkcs11:…", help=t("store.option.into"))] = None,
    settings: SettingsOption = None,
) -> None:
    """Exchange the key-encryption key: under a new passphrase, or between a file and a token."""
    with explained():
        chosen = load_settings(settings).store
    with _opened(settings) as store, explained():
        wrapping = new_wrapping(chosen, os.environ, passphrase, "" if into == IN_FILE else into)
        left = store.rotate_wrapping(wrapping)
    lines = [t("store.key-rotated", key=wrapping.name)]
    if left:
        lines.append(t("store.keys-left", keys=", ".join(left)))
    emit({"key": wrapping.name, "left": list(left)}, *lines)


@command(app, "make-key", t("store.make-key.help"))
def make_key(
    uri: Annotated[str, typer.Argument(metavar="pkcs11:…", help=t("store.option.uri"))],
    kind: Annotated[KeyKind, typer.Option("--kind", help=t("store.option.kind"))],
) -> None:
    """Make a key in a PKCS#11 token that never leaves it."""
    from service import pkcs11  # noqa: PLC0415 - loads PKCS#11 where it is used alone

    public: dict[str, str] = {}
    with explained():
        asked = pkcs11.parse_uri(uri)
        match kind:
            case KeyKind.WRAPPING:
                address = pkcs11.make_key(pkcs11.WrappingKey, asked, os.environ).address
            case KeyKind.MAC:
                address = pkcs11.make_key(pkcs11.MacKey, asked, os.environ).address
            case KeyKind.SIGNING:
                signing = pkcs11.make_key(pkcs11.SigningKey, asked, os.environ)
                address, public = signing.address, {"public_key": signing.public_key.hex()}
    fields = {"kind": kind.value, "token": address.token, "label": address.label, "id": address.id.hex()}
    emit(fields | public, t("store.key-made", **fields))


@command(app, "rotate-index", t("store.rotate-index.help"))
def rotate_index(settings: SettingsOption = None) -> None:
    """Make all blind indexes anew under a new key."""
    with _opened(settings) as store:
        rows = store.rotate_index_key()
    emit({"rows": rows}, t("store.index-rotated", rows=rows))
