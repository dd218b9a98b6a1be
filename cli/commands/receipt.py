# SPDX-License-Identifier: Apache-2.0
"""`zhixin receipt`: get, show, verify without any network, and prove anew."""

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from chain import receipt, receipt_text
from chain.errors import InvalidReceipt
from chain.genesis import GENESIS_BYTES_MAX, Genesis
from chain.genesis import load as load_genesis
from chain.pb import ledger_pb2
from chain.transaction import Operation
from chain.types import TransactionId
from cli import acting, output, receipts
from cli.command import command, group
from cli.errors import MissingError, UsageError
from cli.exits import Exit
from cli.home import Home, HomeOption, find_home, read_file
from cli.language import t
from cli.output import emit, note
from cli.records import lines, show_operation, show_state
from cli.run import run_async
from client.trust import FILE_BYTES_MAX, Trust

app = group(t("help.receipt"))

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help=t("receipt.option.file"))]
GenesisOption = Annotated[Path | None, typer.Option("--genesis", help=t("receipt.option.genesis"))]
TrustOption = Annotated[Path | None, typer.Option("--trust", help=t("receipt.option.trust"))]


class Encoding(StrEnum):
    """How a receipt is written."""

    BINARY = "binary"
    JSON = "json"
    COMPACT = "compact"


@command(app, "get", t("receipt.get.help"))
def get(
    transaction: Annotated[str, typer.Argument(metavar="ID", help=t("tx.option.id"))],
    out: Annotated[Path, typer.Option("--out", help=t("option.out"))],
    home: HomeOption = None,
    operation: Annotated[int, typer.Option("--operation", min=0, help=t("receipt.option.operation"))] = 0,
    encoding: Annotated[Encoding, typer.Option("--encoding", help=t("receipt.option.encoding"))] = Encoding.BINARY,
) -> None:
    """Fetch one operation's receipt, verify it and keep it."""
    raw = _fetch(find_home(home), acting.parse_id(transaction), operation)
    if raw is None:
        raise MissingError("tx.missing", t("tx.missing", id=transaction))
    acting.write_file(out, _encoded(raw, encoding))
    emit({"receipt": str(out), "transaction": transaction, "operation": operation}, t("receipt.written", path=out))


@command(app, "show", t("receipt.show.help"))
def show(file: FileArgument) -> None:
    """What a receipt claims. Nothing is verified."""
    raw = receipts.load(file)
    message, checkpoint = receipts.claims(file, raw)
    operations = [show_operation(Operation.decode(each.operation)) for each in message.inclusions]
    states = [_show_claim(each) for each in message.states]
    fields: dict[str, output.Json] = {
        "verified": False,
        "network": checkpoint.network.hex(),
        "epoch": checkpoint.epoch,
        "height": checkpoint.height,
        "time_ms": checkpoint.time_ms,
        "operations": operations,
        "states": states,
        "bytes": len(raw),
    }
    shown = [line for each in (*operations, *states) for line in ["", *lines(each)]]
    note(t("receipt.unverified"))
    emit(fields, t("receipt.network", network=checkpoint.network.hex()), *shown)


@command(app, "verify", t("receipt.verify.help"))
def verify(
    file: FileArgument,
    genesis: GenesisOption = None,
    home: HomeOption = None,
    trust: TrustOption = None,
    max_age: Annotated[float | None, typer.Option("--max-age", min=0, help=t("receipt.option.max-age"))] = None,
    older_epochs: Annotated[bool, typer.Option("--older-epochs", help=t("receipt.option.older-epochs"))] = False,
) -> None:
    """Verify a receipt against genesis and the newest checkpoint kept; nothing is asked of any network."""
    trusted, kept, source = _trusted(genesis, home, trust)
    verified = receipts.verify(
        file,
        trusted if kept is None else kept.anchor,
        state_age_ms_max=None if max_age is None else int(max_age * 1000),
        now_ms=time.time_ns() // 1_000_000,
        older_epochs=older_epochs,
        source=source,
    )
    checkpoint = verified.checkpoint
    operations: list[dict[str, output.Json]] = [
        {**_place(each), "succeeded": True, "operation": show_operation(each.operation)} for each in verified.inclusions
    ]
    operations += [
        {**_place(each), "succeeded": False, "failure": each.code, "operation": show_operation(each.operation)}
        for each in verified.failures
    ]
    states: list[dict[str, output.Json]] = [
        {
            "key": each.key.decode("utf-8", "replace"),
            "present": each.value is not None,
            "value": None if each.value is None else show_state(each.key, each.value),
        }
        for each in verified.states
    ]
    newest = None if kept is None else kept.newest
    fields: dict[str, output.Json] = {
        "verified": True,
        "failed": bool(verified.failures),
        "kept_height": None if newest is None else newest.height,
        "network": trusted.network.hex(),
        "network_name": trusted.name,
        "epoch": checkpoint.epoch,
        "height": checkpoint.height,
        "time_ms": checkpoint.time_ms,
        "operations": operations,
        "states": states,
    }
    moment = acting.show_time(checkpoint.time_ms)
    shown = [line for each in (*operations, *states) for line in ["", *lines(each)]]
    place = {"name": trusted.name, "height": checkpoint.height, "time": moment}
    verdict = t("receipt.failed", **place) if verified.failures else t("receipt.holds", **place)
    basis = t("receipt.from-genesis") if newest is None else t("receipt.from-kept", height=newest.height)
    emit(fields, verdict, basis, *shown)
    if any(each.operation.type == "identity.Attest" for each in verified.inclusions):
        note(t("receipt.later", file=file))
    if verified.failures:
        raise typer.Exit(Exit.NOT_HELD)


@command(app, "refresh", t("receipt.refresh.help"))
def refresh(
    file: FileArgument,
    out: Annotated[Path | None, typer.Option("--out", help=t("receipt.option.refreshed"))] = None,
    home: HomeOption = None,
) -> None:
    """Have what a receipt shows proven anew under the newest checkpoint."""
    place = find_home(home)
    old = receipts.verify(file, place.genesis(), older_epochs=True, source=place.genesis_path)
    shown = [*old.inclusions, *old.failures]
    if len(shown) + len(old.states) != 1:
        raise UsageError("usage.bundle", t("usage.bundle"))
    if old.states:
        raw: bytes | None = _fetch_state(place, old.states[0].key)
    else:
        raw = _fetch(place, shown[0].transaction_id, shown[0].operation_index)
    if raw is None:
        raise InvalidReceipt("the network no longer shows what this receipt proves; keep the receipt and ask why")
    target = out if out is not None else file
    acting.write_file(target, raw)
    fresh = receipt.verify(raw, place.genesis())
    fields: dict[str, output.Json] = {
        "receipt": str(target),
        "epoch": fresh.epoch,
        "height": fresh.checkpoint.height,
        "time_ms": fresh.time_ms,
    }
    moment = acting.show_time(fresh.time_ms)
    emit(fields, t("receipt.refreshed", height=fresh.checkpoint.height, time=moment), t("receipt.written", path=target))


def _trusted(genesis: Path | None, home: Path | None, trust: Path | None) -> tuple[Genesis, Trust | None, Path]:
    """The genesis that is meant, what a client of that network has kept since, if there is such a file, and its place.

    A genesis file that is named goes with a home that is named too, if that is of the same network.
    """
    place = find_home(home) if genesis is None or home is not None else None
    path = genesis if genesis is not None else find_home(home).genesis_path
    raw = read_file(path, GENESIS_BYTES_MAX)
    trusted = load_genesis(raw)
    if trust is not None:
        read_file(trust, FILE_BYTES_MAX)
        return trusted, Trust(trusted, trust), path
    if place is None or not place.trust_file.is_file() or read_file(place.genesis_path, GENESIS_BYTES_MAX) != raw:
        return trusted, None, path
    return trusted, Trust(trusted, place.trust_file), path


def _fetch(place: Home, identifier: TransactionId, operation: int) -> bytes | None:
    async def ask() -> bytes | None:
        async with place.session() as session:
            found = await session.receipts([identifier], operation_index=operation)
            return found[identifier][0].receipt() if identifier in found else None

    return run_async(ask())


def _fetch_state(place: Home, key: bytes) -> bytes:
    async def ask() -> bytes:
        async with place.session() as session:
            return (await session.read(key)).receipt()

    return run_async(ask())


def _encoded(raw: bytes, encoding: Encoding) -> bytes:
    if encoding is Encoding.JSON:
        return receipt_text.to_json(raw).encode()
    if encoding is Encoding.COMPACT:
        return receipt_text.to_compact(raw).encode() + b"\n"
    return raw


def _place(each: receipt.VerifiedInclusion | receipt.FailedInclusion) -> dict[str, output.Json]:
    return {
        "transaction": each.transaction_id.hex(),
        "height": each.height,
        "time_ms": each.time_ms,
        "leaf_index": each.leaf_index,
        "operation_index": each.operation_index,
        "signers": [f"{signer.scheme.name.lower()}:{signer.public_key.hex()}" for signer in each.header.signers],
    }


def _show_claim(state: ledger_pb2.StateProof) -> dict[str, output.Json]:
    value = None if not state.value else show_state(state.key, state.value)
    return {"key": state.key.decode("utf-8", "replace"), "value": value}
