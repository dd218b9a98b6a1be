# SPDX-License-Identifier: Apache-2.0
"""`zhixin person`: what an operator does for somebody in the desk's private store: export, and erase when it is due."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import select

from cli.acting import write_file
from cli.command import command, group
from cli.errors import InputError, MissingError
from cli.language import t
from cli.output import emit
from cli.services import explained
from identity.api.desk.base import DeskContext
from identity.api.desk.erasing import Account, carry_out, due
from identity.api.desk.exporting import export
from identity.api.desk.ledger import NoLedger
from identity.api.desk.tables import DeskPerson
from service.pages import Site
from service.problems import Problem
from service.settings import load_settings
from service.store import Act, open_store
from service.store.audit import SYSTEM
from service.store.replays import unix_ms

app = group(t("help.person"))

SettingsOption = Annotated[Path | None, typer.Option("--settings", metavar="TOML", help=t("serve.option.settings"))]
PersonArgument = Annotated[str, typer.Argument(metavar="ID", help=t("person.option.id"))]


@contextmanager
def _desk(settings_file: Path | None) -> Iterator[DeskContext]:
    """The desk's store without its service: nothing here goes to the ledger."""
    with explained():
        settings = load_settings(settings_file)
        store = open_store(settings.store, os.environ)
        try:
            yield DeskContext(store, Site("desk.title"), NoLedger(), None, None, settings.retention, unix_ms)
        finally:
            store.close()


@command(app, "export", t("person.export.help"))
def export_person(
    person: PersonArgument,
    out: Annotated[Path, typer.Option("--out", help=t("person.option.out"))],
    settings: SettingsOption = None,
) -> None:
    """Write all that is kept of somebody into a file for them."""
    with _desk(settings) as desk:
        with desk.store.read() as session:
            organisation = session.scalar(select(DeskPerson.organisation).where(DeskPerson.person_id == person))
        if organisation is None:
            raise MissingError("person.unknown", t("person.unknown", person=person))
        document = export(desk, organisation, person)
        with desk.store.write() as session:
            desk.store.record(session, Act(SYSTEM, "person.exported", person))
    write_file(out, json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n")
    emit({"person": person, "file": str(out)}, t("person.exported", path=out))


@command(app, "erase", t("person.erase.help"))
def erase_person(
    person: Annotated[str | None, typer.Argument(metavar="ID", help=t("person.option.id"))] = None,
    is_due: Annotated[bool, typer.Option("--due", help=t("person.option.due"))] = False,
    settings: SettingsOption = None,
) -> None:
    """Carry out erasures that two officers asked for and whose waiting period is over."""
    if (person is None) is not is_due:
        raise InputError("person.which", t("person.which"))
    with _desk(settings) as desk:
        wanted = due(desk) if person is None else [person]
        try:
            accounts = {one: carry_out(desk, one, SYSTEM) for one in wanted}
        except Problem:
            raise InputError("person.not-due", t("person.not-due", person=person)) from None
    emit(
        {"erased": {one: _fields(account) for one, account in accounts.items()}},
        *(t("person.erased", person=one, **_fields(account)) for one, account in accounts.items()),
        t("person.erased-count", count=len(accounts)),
        t("person.erased-retained"),
    )


def _fields(account: Account) -> dict[str, int]:
    return {
        "cases": account.cases,
        "steps": account.steps,
        "images": account.images,
        "accesses": account.accesses,
        "acts": account.acts,
        "backups_until_ms": account.backups_until_ms,
    }
