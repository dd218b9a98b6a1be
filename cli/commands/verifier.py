# SPDX-License-Identifier: Apache-2.0
"""`zhixin verifier`: programs of relying parties, and answers that somebody kept, checked without any network."""

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from chain.errors import LedgerError
from chain.genesis import GENESIS_BYTES_MAX
from chain.genesis import load as load_genesis
from chain.strict_json import Json
from cli.acting import show_time
from cli.command import command, group
from cli.errors import InputError, MissingError
from cli.exits import Exit
from cli.home import read_file
from cli.language import t
from cli.output import emit, note
from cli.services import explained
from identity.api.verifier import clients
from identity.api.verifier.answers import ANSWER_CHARACTERS_MAX, check_answer
from identity.issuer_keys import CERTIFICATE_BYTES_MAX, Trust, load_certificate
from identity.jose import InvalidToken
from service.settings import load_settings
from service.store import open_store

app = group(t("help.verifier"))

SettingsOption = Annotated[Path | None, typer.Option("--settings", metavar="TOML", help=t("serve.option.settings"))]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@command(app, "add-client", t("verifier.add-client.help"))
def add_client(
    relying_party: Annotated[str, typer.Argument(metavar="ORGANISATION", help=t("verifier.option.relying-party"))],
    origin: Annotated[list[str] | None, typer.Option("--origin", help=t("verifier.option.origin"))] = None,
    redirect: Annotated[list[str] | None, typer.Option("--redirect", help=t("verifier.option.redirect"))] = None,
    purpose: Annotated[int, typer.Option("--log-in-purpose", min=0, help=t("verifier.option.purpose"))] = 0,
    certificate: Annotated[Path | None, typer.Option("--certificate", help=t("verifier.option.certificate"))] = None,
    sandbox: Annotated[bool, typer.Option("--sandbox", help=t("verifier.option.sandbox"))] = False,
    settings: SettingsOption = None,
) -> None:
    """Give a relying party's program a key, which is shown once."""
    der = None if certificate is None else read_file(certificate, CERTIFICATE_BYTES_MAX)
    try:
        if der is not None:
            load_certificate(der)
        with explained():
            store = open_store(load_settings(settings).store, os.environ)
            try:
                made, key = clients.add(
                    store,
                    relying_party,
                    _now_ms(),
                    origins=origin or [],
                    redirect_uris=redirect or [],
                    login_purpose=str(purpose) if purpose else "",
                    certificate=der,
                    is_sandbox=sandbox,
                )
            finally:
                store.close()
    except clients.InvalidClient as error:
        raise InputError("verifier.client", str(error)) from None
    except InvalidToken as error:
        raise InputError("verifier.certificate", error.reason) from None
    fields: dict[str, Json] = {"id": made.id, "relying_party": relying_party, "key": key}
    emit(fields, t("verifier.client-added", relying_party=relying_party, id=made.id), key)


@command(app, "end-client", t("verifier.end-client.help"))
def end_client(
    client: Annotated[str, typer.Argument(metavar="ID", help=t("verifier.option.client"))],
    settings: SettingsOption = None,
) -> None:
    """End a program's key."""
    with explained():
        store = open_store(load_settings(settings).store, os.environ)
        try:
            is_ended = clients.end(store, client, _now_ms())
        finally:
            store.close()
    if not is_ended:
        raise MissingError("verifier.client", t("verifier.no-client", id=client))
    emit({"id": client}, t("verifier.client-ended", id=client))


@command(app, "clients", t("verifier.clients.help"))
def list_clients(settings: SettingsOption = None) -> None:
    """List programs of relying parties."""
    with explained():
        store = open_store(load_settings(settings).store, os.environ)
        try:
            found = clients.listed(store)
        finally:
            store.close()
    listed: list[Json] = [
        {
            "id": row.id,
            "relying_party": row.relying_party,
            "sandbox": row.is_sandbox,
            "made_ms": row.made_ms,
            "ended_ms": row.ended_ms,
        }
        for row in found
    ]
    lines = []
    for row in found:
        end = "" if row.ended_ms is None else t("verifier.ended-at", time=show_time(row.ended_ms))
        kind = t("verifier.in-sandbox") if row.is_sandbox else ""
        lines.append(f"{row.id}  {row.relying_party}  {show_time(row.made_ms)}  {kind}  {end}".rstrip())
    emit({"clients": listed}, *(lines or [t("verifier.nobody")]))


@command(app, "check", t("verifier.check.help"))
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=t("verifier.option.answer"))],
    verifier: Annotated[Path, typer.Option("--verifier", help=t("verifier.option.verifier"))],
    genesis: Annotated[Path | None, typer.Option("--genesis", help=t("verifier.option.genesis"))] = None,
    audience: Annotated[str | None, typer.Option("--audience", help=t("verifier.option.audience"))] = None,
) -> None:
    """Whether a kept answer is the verifier's, unaltered, with its receipts; nothing is asked of any network."""
    try:
        trust = Trust([read_file(verifier, CERTIFICATE_BYTES_MAX)])
    except InvalidToken as error:
        raise InputError("verifier.certificate", error.reason) from None
    text = read_file(file, ANSWER_CHARACTERS_MAX).decode("ascii", "replace")
    network = None
    if genesis is not None:
        try:
            network = load_genesis(read_file(genesis, GENESIS_BYTES_MAX))
        except LedgerError as error:
            raise InputError("genesis.unusable", error.reason) from None
    found = check_answer(text, trust, network, audience=audience)
    claims = found.claims
    outcome = str(claims.get("outcome"))
    note(t("verifier.answer-genuine"))
    lines = [t("verifier.answer-outcome", outcome=outcome, relying_party=str(claims.get("aud")))]
    lines.append(t("verifier.receipts-checked", count=found.receipts) if network else t("verifier.receipts-unchecked"))
    emit({"genuine": True, "receipts_checked": found.receipts, "answer": claims}, *lines)
    if outcome != "held":
        raise typer.Exit(Exit.NOT_HELD)
