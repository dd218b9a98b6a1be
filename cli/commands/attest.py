# SPDX-License-Identifier: Apache-2.0
"""`zhixin attest`: many attestations from a table, and the status of single ones."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from chain.codec import encode
from chain.receipt import VerifiedInclusion
from chain.signing import TransactionSigner
from chain.transaction import Operation
from cli import acting, output, receipts, waiting
from cli.attestation.importer import OPERATIONS_PER_TRANSACTION_MAX, Importer, Report
from cli.attestation.journal import Journal
from cli.attestation.table import Table, check_lifetimes, load
from cli.command import command, group
from cli.errors import InputError, MissingError, StoppedError, UsageError
from cli.exits import Exit
from cli.home import Home, HomeOption, KeyOption, OutOption, find_home
from cli.language import t
from cli.output import emit, note, progress
from cli.records import lines, show_state
from cli.run import run_async
from client.answers import ProvenState
from client.errors import TransportError
from client.session import Session
from identity.pb import identity_pb2
from identity.status import status_key
from membership.parameters import load_parameter
from membership.pb import membership_pb2
from membership.state import PARAMETERS_KEY

app = group(t("help.attest"))

IdArgument = Annotated[str, typer.Argument(metavar="ID", help=t("attest.option.id"))]
ReasonOption = Annotated[str, typer.Option("--reason", help=t("attest.option.reason"))]


@command(app, "import", t("attest.import.help"))
def import_table(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help=t("attest.option.file"))],
    home: HomeOption = None,
    key: KeyOption = "registrar",
    folder: Annotated[Path | None, typer.Option("--receipts", help=t("attest.option.receipts"))] = None,
    operations_per_transaction: Annotated[
        int,
        typer.Option(
            "--operations-per-transaction", min=1, max=OPERATIONS_PER_TRANSACTION_MAX, help=t("attest.option.group")
        ),
    ] = 1,
    check: Annotated[bool, typer.Option("--check", help=t("attest.option.check"))] = False,
) -> None:
    """Check every row, then attest each once; a rerun goes on where a crash left it."""
    try:
        table = load(file, datetime.now(UTC).date())
    except OSError as error:
        raise InputError("file.unreadable", t("file.unreadable", path=file, text=error.strerror)) from None
    if check:
        is_compared = _compare_lifetimes(table, file, home)
        words = [t("attest.checked", path=file, count=len(table.people))]
        words += [] if is_compared else [t("attest.not-compared")]
        emit({"file": str(file), "rows": len(table.people), "lifetimes_compared": is_compared}, *words)
        return
    place = find_home(home)
    target = folder if folder is not None else file.with_name(f"{file.stem}.receipts")
    signer = place.signer(key)
    journal_path = file.with_name(f"{file.name}.journal")
    journal = Journal(
        journal_path, table=table.digest, network=place.genesis().network, issuer=signer.signer.public_key
    )
    try:
        report = run_async(_import(place, journal, table, signer, file, target, operations_per_transaction))
    finally:
        journal.close()
    emit(
        {
            "file": str(file),
            "rows": len(table.people),
            "attested": report.attested,
            "attested_before": report.before,
            "transactions": report.transactions,
            "receipts": str(target),
            "journal": str(journal_path),
        },
        t("attest.imported", count=report.attested, before=report.before, transactions=report.transactions),
        t("attest.kept", receipts=target, journal=journal_path),
    )


async def _import(
    place: Home, journal: Journal, table: Table, signer: TransactionSigner, file: Path, folder: Path, group_size: int
) -> Report:
    with progress(t("attest.progress"), len(table.people)) as advance:
        async with place.session() as session, waiting.watching(session) as moved:

            def attested(position: int) -> None:
                moved()
                advance(position)

            importer = Importer(
                session,
                journal,
                table,
                signer,
                receipts=folder,
                operations_per_transaction=group_size,
                progress=attested,
            )
            try:
                check_lifetimes(table, await _lifetime_ms_max(session), str(file))
                return await importer.run()
            except asyncio.CancelledError:
                raise StoppedError(t("attest.resume")) from None
            except TransportError as error:
                error.add_note(t("attest.resume"))
                raise


def _compare_lifetimes(table: Table, file: Path, home: Path | None) -> bool:
    """Compare a table with the network's limit; False if no network is known or none of its nodes answers."""

    async def ask(place: Home) -> int:
        async with place.session() as session:
            return await _lifetime_ms_max(session)

    try:
        limit_ms = run_async(ask(find_home(home)))
    except (MissingError, TransportError):
        return False
    check_lifetimes(table, limit_ms, str(file))
    return True


async def _lifetime_ms_max(session: Session) -> int:
    """How long an attestation may be valid in this network, proven."""
    state = await session.read(PARAMETERS_KEY)
    return load_parameter(lambda _key: state.value, membership_pb2.PARAMETER_ATTESTATION_LIFETIME_MS_MAX)


@command(app, "revoke", t("attest.revoke.help"))
def revoke(
    attestation: IdArgument,
    reason: ReasonOption = "no-longer-true",
    home: HomeOption = None,
    key: KeyOption = "registrar",
    out: OutOption = None,
) -> None:
    """End an attestation for good."""
    _set_status(attestation, identity_pb2.STATUS_REVOKED, reason, home, key, out)


@command(app, "suspend", t("attest.suspend.help"))
def suspend(
    attestation: IdArgument,
    reason: ReasonOption = "under-investigation",
    home: HomeOption = None,
    key: KeyOption = "registrar",
    out: OutOption = None,
) -> None:
    """Stop an attestation from counting until it is reinstated."""
    _set_status(attestation, identity_pb2.STATUS_SUSPENDED, reason, home, key, out)


@command(app, "reinstate", t("attest.reinstate.help"))
def reinstate(
    attestation: IdArgument,
    reason: ReasonOption = "investigation-closed",
    home: HomeOption = None,
    key: KeyOption = "registrar",
    out: OutOption = None,
) -> None:
    """End a suspension."""
    _set_status(attestation, identity_pb2.STATUS_REINSTATED, reason, home, key, out)


@command(app, "status", t("attest.status.help"))
def status(
    attestation: IdArgument,
    issuer: Annotated[str, typer.Option("--issuer", help=t("attest.option.issuer"))] = "registrar",
    home: HomeOption = None,
    out: OutOption = None,
) -> None:
    """Neither revoked nor suspended, or which: proven either way."""
    place = find_home(home)
    identifier = _id_of(attestation, place)
    key = status_key(issuer, identifier)

    async def ask() -> ProvenState:
        async with place.session() as session:
            return await session.read(key)

    state = run_async(ask())
    if out is not None:
        acting.write_file(out, state.receipt())
    value = None if state.value is None else show_state(key, state.value)
    fields: dict[str, output.Json] = {
        "attestation": identifier.hex(),
        "issuer": issuer,
        "status": value,
        "stopped": value is not None,
        "height": state.checkpoint.height,
        "time_ms": state.checkpoint.time_ms,
        **({} if out is None else {"receipt": str(out)}),
    }
    moment = acting.show_time(state.checkpoint.time_ms)
    if value is None:
        known = t("attest.receipt-shown") if Path(attestation).is_file() else t("attest.never-shown")
        emit(fields, t("attest.not-stopped", id=identifier.hex(), time=moment), known)
        return
    emit(fields, t("attest.stopped", id=identifier.hex(), time=moment), *lines(value))
    raise typer.Exit(Exit.NOT_HELD)


def _set_status(
    attestation: str,
    new: identity_pb2.Status.ValueType,
    reason: str,
    home: Path | None,
    key: str | None,
    out: Path | None,
) -> None:
    place = find_home(home)
    name = f"REASON_{reason.upper().replace('-', '_')}"
    if name not in identity_pb2.Reason.keys():  # noqa: SIM118 - no mapping, an enumeration's wrapper
        known = ", ".join(
            each.removeprefix("REASON_").lower().replace("_", "-") for each in identity_pb2.Reason.keys()[1:]
        )
        raise InputError("attest.reason", t("attest.reason", name=reason, known=known))
    identifier = _id_of(attestation, place)
    if not Path(attestation).is_file():
        note(t("attest.unchecked", id=identifier.hex()))
    message = identity_pb2.SetStatus(id=identifier, status=new, reason=identity_pb2.Reason.Value(name))
    fields = acting.submit(place, [Operation.make("identity.SetStatus", encode(message))], key, out=out)
    emit({**fields, "attestation": message.id.hex()}, *acting.words(fields))


def _id_of(attestation: str, place: Home) -> bytes:
    """The record id, written in hex or taken from a receipt file, which is verified first."""
    path = Path(attestation)
    if not path.is_file():
        try:
            return acting.parse_hex(attestation, (16, 32))
        except UsageError:
            raise UsageError("attest.neither", t("attest.neither", text=attestation)) from None
    verified = receipts.verify(path, place.genesis(), older_epochs=True, source=place.genesis_path)
    for inclusion in verified.inclusions:
        if isinstance(inclusion, VerifiedInclusion) and inclusion.operation.type == "identity.Attest":
            return identity_pb2.Attest.FromString(inclusion.operation.body).id
    raise InputError("attest.receipt", t("attest.receipt", path=path))
