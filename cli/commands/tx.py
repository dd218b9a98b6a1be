# SPDX-License-Identifier: Apache-2.0
"""`zhixin tx`: submit a transaction and show what became of one."""

import json
from pathlib import Path
from typing import Annotated

import typer

from chain.transaction import Operation, decode
from chain.types import OPERATIONS_MAX, TRANSACTION_BYTES_MAX
from cli import acting
from cli.command import command, group
from cli.errors import InputError, MissingError, UsageError
from cli.home import HomeOption, KeyOption, OutOption, find_home, read_file
from cli.language import t
from cli.output import emit
from cli.records import lines, operation_of, show_operation
from cli.run import run_async
from client.answers import ProvenTransaction

app = group(t("help.tx"))


@command(app, "submit", t("tx.submit.help"))
def submit(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help=t("tx.option.file"))] = None,
    type_name: Annotated[str | None, typer.Option("--type", help=t("tx.option.type"))] = None,
    body: Annotated[str | None, typer.Option("--body", help=t("tx.option.body"))] = None,
    signed: Annotated[bool, typer.Option("--signed", help=t("tx.option.signed"))] = False,
    home: HomeOption = None,
    key: KeyOption = None,
    out: OutOption = None,
) -> None:
    """Submit operations, or a transaction that was signed elsewhere."""
    place = find_home(home)
    if (file is None) == (type_name is None):
        raise UsageError("usage.tx", t("usage.tx"))
    if file is not None and signed:
        transaction = decode(read_file(file, TRANSACTION_BYTES_MAX))
        fields = acting.submit_signed(place, transaction, out=out)
    else:
        operations = _operations(file) if file is not None else [_operation(type_name, body)]
        fields = acting.submit(place, operations, key, out=out)
    emit(fields, *acting.words(fields))


@command(app, "show", t("tx.show.help"))
def show(
    transaction: Annotated[str, typer.Argument(metavar="ID", help=t("tx.option.id"))], home: HomeOption = None
) -> None:
    """A transaction's operations, place and fate, proven."""
    place = find_home(home)
    identifier = acting.parse_id(transaction)

    async def ask() -> list[ProvenTransaction]:
        async with place.session() as session:
            return (await session.receipts([identifier], all_operations=True)).get(identifier, [])

    proven = run_async(ask())
    if not proven:
        raise MissingError("tx.missing", t("tx.missing", id=transaction))
    operations = [show_operation(each.inclusion.operation) for each in proven]
    signers = [{"scheme": s.scheme.name.lower(), "public_key": s.public_key.hex()} for s in proven[0].header.signers]
    fields = {**acting.describe(proven[0]), "signers": signers, "operations": operations}
    shown = [line for operation in operations for line in ["", *lines(operation)]]
    failed = proven[0].failed
    fate = t("tx.succeeded") if failed is None else t("tx.failed", code=failed.code, operation=failed.operation)
    emit(fields, *acting.words(fields), fate, *shown)


def _operation(type_name: str | None, body: str | None) -> Operation:
    assert type_name is not None
    return operation_of(type_name, _json_object(body or "{}", "--body"))


def _operations(file: Path) -> list[Operation]:
    """Operations from a JSON file: a list of {"type": …, "body": {…}}."""
    try:
        items = json.loads(read_file(file, 4 * TRANSACTION_BYTES_MAX))
    except (ValueError, RecursionError) as error:
        raise InputError("tx.file", t("tx.file", path=file, text=error)) from None
    items = items if isinstance(items, list) else [items]
    if not 1 <= len(items) <= OPERATIONS_MAX or not all(isinstance(item, dict) for item in items):
        raise InputError("tx.file", t("tx.file", path=file, text=t("tx.file-form", limit=OPERATIONS_MAX)))
    operations = []
    for item in items:
        if set(item) - {"type", "body"} or not isinstance(item.get("body", {}), dict):
            raise InputError("tx.file", t("tx.file", path=file, text=t("tx.file-form", limit=OPERATIONS_MAX)))
        operations.append(operation_of(str(item.get("type", "")), item.get("body", {})))
    return operations


def _json_object(text: str, name: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError("usage.json", t("usage.json", name=name, text=error)) from None
    if not isinstance(value, dict):
        raise UsageError("usage.json", t("usage.json", name=name, text=type(value).__name__))
    return value
