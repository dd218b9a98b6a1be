# SPDX-License-Identifier: Apache-2.0
"""Submitting one transaction from a command, and showing where it ended."""

import os
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from chain.errors import Refused
from chain.signing import TransactionSigner
from chain.transaction import Operation, SignedTransaction
from chain.types import TransactionId
from cli import waiting
from cli.errors import UsageError
from cli.home import Home
from cli.language import t
from cli.output import Json
from cli.run import run_async
from client.answers import ProvenTransaction
from client.session import Session


def submit(home: Home, operations: Sequence[Operation], key: str | None, *, out: Path | None) -> dict[str, Json]:
    """Sign, submit, wait for the verified receipt, and keep it if asked.

    Raises:
        Refused: The network refused it, or it failed when it executed.
        TransportError: Nothing is known of it yet.
        StoppedError: Ctrl-C ended the wait.
    """
    return submit_as(home, operations, [home.signer(key)], out=out)


def submit_as(
    home: Home, operations: Sequence[Operation], signers: Sequence[TransactionSigner], *, out: Path | None
) -> dict[str, Json]:
    """The same with keys that are open already, several where an act takes them."""

    async def go() -> ProvenTransaction:
        async with home.session() as session:
            return await _submit_one(home, session, session.sign(operations, signers))

    return finished(run_async(go()), out=out)


def submit_signed(home: Home, transaction: SignedTransaction, *, out: Path | None) -> dict[str, Json]:
    """The same for a transaction that was signed elsewhere."""

    async def go() -> ProvenTransaction:
        async with home.session() as session:
            return await _submit_one(home, session, transaction)

    return finished(run_async(go()), out=out)


async def _submit_one(home: Home, session: Session, transaction: SignedTransaction) -> ProvenTransaction:
    async with waiting.of_one(home, session, transaction):
        return await session.submit_one(transaction)


def finished(proven: ProvenTransaction, *, out: Path | None) -> dict[str, Json]:
    """What is shown of a transaction that has its entry.

    Raises:
        Refused: It failed when it executed; the receipt, which is kept too, proves that.
    """
    if out is not None:
        write_file(out, proven.receipt())
    if proven.failed is not None:
        raise Refused(f"operation {proven.failed.operation} of {proven.id.hex()} failed", proven.failed.code)
    return describe(proven, out=out)


def describe(proven: ProvenTransaction, *, out: Path | None = None) -> dict[str, Json]:
    """A proven transaction's place and fate."""
    fields: dict[str, Json] = {
        "transaction": proven.id.hex(),
        "height": proven.inclusion.height,
        "time_ms": proven.inclusion.time_ms,
        "leaf_index": proven.inclusion.leaf_index,
        "epoch": proven.checkpoint.epoch,
        "checkpoint_height": proven.checkpoint.height,
        "succeeded": proven.failed is None,
    }
    if proven.failed is not None:
        fields |= {"failure": proven.failed.code, "failed_operation": proven.failed.operation}
    if out is not None:
        fields["receipt"] = str(out)
    return fields


def words(fields: dict[str, Json]) -> list[str]:
    """The same for people."""
    moment = show_time(int(str(fields["time_ms"])))
    lines = [t("tx.proven", id=fields["transaction"], height=fields["height"], time=moment)]
    if "receipt" in fields:
        lines.append(t("receipt.written", path=fields["receipt"]))
    return lines


def show_time(time_ms: int) -> str:
    """A block's time for people, in the local zone."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).astimezone().isoformat(sep=" ", timespec="milliseconds")


def parse_id(text: str) -> TransactionId:
    """A transaction's id in hex.

    Raises:
        UsageError: It is none.
    """
    return TransactionId(parse_hex(text, (32,)))


def parse_hex(text: str, lengths: tuple[int, ...]) -> bytes:
    """Bytes in hex, of one of these lengths.

    Raises:
        UsageError: They are not.
    """
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) not in lengths:
        raise UsageError("usage.hex", t("usage.hex", text=text, digits=" / ".join(str(2 * n) for n in lengths)))
    return raw


def write_file(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Write a file whole or not at all, readable by its owner alone; synced unless it can be made again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
