# SPDX-License-Identifier: Apache-2.0
"""`zhixin diff`: where two nodes' ledgers part, or a node's and what one that halted left."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from chain.storage import Reader
from chain.types import sha256
from cli.command import command
from cli.errors import InputError
from cli.exits import Exit
from cli.language import t
from cli.output import Json, emit
from node.config import Home as NodeHome
from node.diff import (
    Comparison,
    EntryDifference,
    Facts,
    KeyDifference,
    NotComparableError,
    Parting,
    compare_facts,
    compare_ledgers,
    facts_of,
    held_heights,
)
from node.halt_dump import HaltDump, load_dump
from node.local import open_reader

app = typer.Typer(add_completion=False)

KEYS_SHOWN_MAX = 20
"""The first key is what matters; --json has all that were found."""
VALUE_SHOWN_BYTES_MAX = 256
"""Of a value on a terminal; --json has it whole."""


@command(app, "diff", t("diff.help"))
def run(
    first: Annotated[Path, typer.Argument(metavar="FIRST", help=t("diff.argument.first"))],
    second: Annotated[Path, typer.Argument(metavar="SECOND", help=t("diff.argument.second"))],
    values: Annotated[bool, typer.Option("--values", help=t("diff.option.values"))] = False,
) -> None:
    """Compare two nodes' ledgers, or what nodes that halted left of them."""
    with contextlib.ExitStack() as stack:
        one, other = (_open(stack, path) for path in (first, second))
        try:
            comparison = _compare(one, other)
        except NotComparableError as error:
            raise InputError("diff.not-comparable", t("diff.not-comparable", reason=error)) from None
    fields: dict[str, Json] = {
        "equal": comparison.parting is None,
        "first_height": comparison.first_height,
        "last_height": comparison.last_height,
    }
    if comparison.parting is None:
        emit(fields, t("diff.equal", first=comparison.first_height, last=comparison.last_height))
        return
    fields |= _parting_fields(comparison, values=values)
    emit(fields, *_words(comparison, comparison.parting, values=values))
    raise typer.Exit(Exit.NOT_HELD)


def _open(stack: contextlib.ExitStack, path: Path) -> Reader | HaltDump:
    """A dump if it is a file, else the ledger of a node's home."""
    if path.is_file():
        return load_dump(path)
    return stack.enter_context(open_reader(NodeHome(path)))


def _compare(one: Reader | HaltDump, other: Reader | HaltDump) -> Comparison:
    if isinstance(one, HaltDump):
        return compare_facts(one.facts, other.facts if isinstance(other, HaltDump) else _facts(other, one))
    if isinstance(other, HaltDump):
        return compare_facts(_facts(one, other), other.facts)
    return compare_ledgers(one, other)


def _facts(reader: Reader, dump: HaltDump) -> Mapping[int, Facts]:
    """What a ledger holds of the blocks that a dump is about."""
    held = held_heights(reader)
    return {height: facts_of(reader, height) for height in dump.facts if height in held}


def _parting_fields(comparison: Comparison, *, values: bool) -> dict[str, Json]:
    parting, entry = comparison.parting, comparison.entry
    assert parting is not None
    return {
        "height": parting.height,
        "fields": list(parting.fields),
        "modules": None if parting.modules is None else list(parting.modules),
        "results": [dict(facts.checkpoint) for facts in (parting.first, parting.second)],
        "writes_by_module": [
            None if facts.modules is None else dict(facts.modules) for facts in (parting.first, parting.second)
        ],
        "keys_height": comparison.keys_height,
        "keys": [_key_fields(found, values=values) for found in comparison.keys],
        "entry": None if entry is None else _entry_fields(entry),
    }


def _key_fields(found: KeyDifference, *, values: bool) -> dict[str, Json]:
    fields: dict[str, Json] = {"key": _text(found.key), "key_hex": found.key.hex(), "module": found.module}
    fields["digests"] = [None if value is None else sha256(value).hex() for value in (found.first, found.second)]
    if values:
        fields["values"] = [None if value is None else value.hex() for value in (found.first, found.second)]
    return fields


def _entry_fields(entry: EntryDifference) -> dict[str, Json]:
    return {
        "leaf_index": entry.index,
        "transaction_id": entry.transaction_id.hex(),
        "results": [entry.first, entry.second],
    }


def _words(comparison: Comparison, parting: Parting, *, values: bool) -> list[str]:
    words = [t("diff.parts", height=parting.height, fields=", ".join(parting.fields) or "-")]
    if "block_id" in parting.fields:
        words.append(t("diff.other-block"))
    if parting.modules:
        words.append(t("diff.modules", modules=", ".join(parting.modules)))
    entry = comparison.entry
    if entry is not None:
        words.append(
            t(
                "diff.entry",
                index=entry.index,
                id=entry.transaction_id.hex() or "?",
                first=entry.first,
                second=entry.second,
            )
        )
    if not comparison.keys:
        words.append(t("diff.no-keys"))
        return words
    words.append(t("diff.keys", count=len(comparison.keys), height=comparison.keys_height))
    for found in comparison.keys[:KEYS_SHOWN_MAX]:
        words.append(f"  {_text(found.key)}")
        for name, value in ((t("diff.first"), found.first), (t("diff.second"), found.second)):
            words.append(f"    {name}: {_shown(value, values=values)}")
    if len(comparison.keys) > KEYS_SHOWN_MAX:
        words.append(t("diff.more", count=len(comparison.keys) - KEYS_SHOWN_MAX))
    return words


def _shown(value: bytes | None, *, values: bool) -> str:
    if value is None:
        return t("diff.absent")
    digest = t("diff.digest", digest=sha256(value).hex(), size=len(value))
    if not values:
        return digest
    more = "…" if len(value) > VALUE_SHOWN_BYTES_MAX else ""
    return f"{digest} {value[:VALUE_SHOWN_BYTES_MAX].hex()}{more}"


def _text(key: bytes) -> str:
    """A state key for people: its bytes that are no plain text are escaped."""
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}" for byte in key)
