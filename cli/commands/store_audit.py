# SPDX-License-Identifier: Apache-2.0
"""`zhixin store audit`: the audit chain of the private store, and what the ledger has of it."""

import os
from pathlib import Path
from typing import Annotated

import typer

from chain.strict_json import Json
from cli.acting import show_time
from cli.anchoring import anchoring_of, asked, chain_owner, newest_anchor
from cli.command import command, group
from cli.errors import InputError
from cli.exits import Exit
from cli.language import t
from cli.output import emit
from cli.services import explained
from client.session import Session
from service.settings import load_settings
from service.store import open_store
from service.store.audit_anchors import Comparison, RolledBack, check_newest, compare

app = group(t("help.store-audit"))

SettingsOption = Annotated[Path | None, typer.Option("--settings", metavar="TOML", help=t("serve.option.settings"))]
OrganisationOption = Annotated[str, typer.Option("--organisation", metavar="ID", help=t("store.option.organisation"))]


@command(app, "verify", t("store.audit-verify.help"))
def verify(organisation: OrganisationOption = "", settings: SettingsOption = None) -> None:
    """Compare the audit table with what is anchored, and name the first entry that is not what it was."""
    with explained():
        chosen = load_settings(settings)
        store = open_store(chosen.store, os.environ)
        try:

            async def ask(session: Session) -> Comparison:
                return await compare(store, session, await chain_owner(session, chosen, organisation))

            found = asked(chosen, ask)
        finally:
            store.close()
    _show(found)


@command(app, "anchor", t("store.audit-anchor.help"))
def anchor(settings: SettingsOption = None) -> None:
    """Anchor what was added now, without waiting for a service's tick."""
    with explained():
        chosen = load_settings(settings)
        store = open_store(chosen.store, os.environ)
        try:
            anchoring = anchoring_of(chosen, store)
            if anchoring is None:
                raise InputError("store.no-anchoring", t("store.no-anchoring"))
            count = asked(chosen, anchoring.tick)
        except RolledBack as error:
            emit({"anchored": 0, "reason": error.reason}, t("store.audit-rolled-back", reason=error.reason))
            raise typer.Exit(Exit.DAMAGED) from None
        finally:
            store.close()
    emit({"anchored": count}, t("store.audit-anchored", count=count))


@command(app, "accept-older", t("store.accept-older.help"))
def accept_older(organisation: OrganisationOption = "", settings: SettingsOption = None) -> None:
    """Go on with a store that is older than what is anchored, and say so in its audit chain."""
    with explained():
        chosen = load_settings(settings)
        store = open_store(chosen.store, os.environ)
        try:
            newest = newest_anchor(chosen, store.audit_stream, organisation)
            if newest is None:
                raise InputError("store.nothing-anchored", t("store.nothing-anchored"))
            try:
                check_newest(store, newest)
            except RolledBack:
                store.accept_older(newest.digest)
            else:
                raise InputError("store.not-older", t("store.not-older"))
        finally:
            store.close()
    emit({"anchored": newest.size}, t("store.older-accepted", anchored=newest.size))


def _show(found: Comparison) -> None:
    """Print what was found; a table that is not what it was ends the command with its own exit code."""
    newest = found.anchored
    fields: dict[str, Json] = {
        "in_order": not found.first_bad,
        "entries": found.entries,
        "anchored": 0 if newest is None else newest.size,
        "anchored_at_ms": 0 if newest is None else newest.time_ms,
        "first_bad": found.first_bad,
        "last_bad": found.last_bad,
        "reason": found.reason,
        "older_accepted": list(found.accepted),
    }
    words = [t("store.audit-nothing-anchored", entries=found.entries)]
    if newest is not None:
        time = show_time(newest.time_ms)
        words = [t("store.audit-compared", entries=found.entries, anchored=newest.size, time=time)]
    if found.accepted:
        words.append(t("store.audit-accepted", entries=", ".join(str(one) for one in found.accepted)))
    if not found.first_bad:
        emit(fields, *words, t("store.audit-in-order"))
        return
    if found.first_bad == found.last_bad:
        emit(fields, *words, t("store.audit-bad", first=found.first_bad, reason=found.reason))
    else:
        between = t("store.audit-bad-between", first=found.first_bad, last=found.last_bad, reason=found.reason)
        emit(fields, *words, between)
    raise typer.Exit(Exit.DAMAGED)
