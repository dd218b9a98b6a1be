# SPDX-License-Identifier: Apache-2.0
"""`zhixin fsck`: is a node's database sound?"""

from pathlib import Path
from typing import Annotated

import typer

from chain import genesis as genesis_file
from cli.command import command
from cli.exits import Exit
from cli.home import HOME_VARIABLE, read_file
from cli.language import t
from cli.output import Json, emit, rate_progress
from node.collector import tune_collector
from node.config import Home as NodeHome
from node.fsck import Kind, Problem, check
from node.fsck_findings import PROBLEMS_MAX
from node.local import open_reader

app = typer.Typer(add_completion=False)

QuickOption = Annotated[bool, typer.Option("--quick", help=t("fsck.option.quick"))]
MaxOption = Annotated[int, typer.Option("--max", min=1, max=10_000, help=t("fsck.option.max"))]


@command(app, "fsck", t("fsck.help"))
def run(
    home: Annotated[Path, typer.Option("--home", envvar=HOME_VARIABLE, help=t("node.option.home"))],
    quick: QuickOption = False,
    problems_max: MaxOption = PROBLEMS_MAX,
) -> None:
    """Check a node's database, whether it runs or not."""
    place = NodeHome(home)
    genesis = genesis_file.load(read_file(place.genesis, genesis_file.GENESIS_BYTES_MAX))
    tune_collector()
    with open_reader(place) as reader, rate_progress(t("fsck.progress")) as advance:
        problems = check(
            reader,
            genesis,
            progress=lambda _stage, done, total: advance(done, total, done),
            signatures=not quick,
            problems_max=problems_max,
        )
    fields: dict[str, Json] = {
        "sound": not problems,
        "signatures": not quick,
        "more": len(problems) >= problems_max,
        "problems": [_fields(problem) for problem in problems],
    }
    if not problems:
        emit(fields, t("fsck.sound-quick") if quick else t("fsck.sound"))
        return
    words = [_line(problem) for problem in problems]
    if fields["more"]:
        words.append(t("fsck.more", count=problems_max))
    emit(fields, *words, t("fsck.advice"))
    raise typer.Exit(Exit.DAMAGED)


def _fields(problem: Problem) -> dict[str, Json]:
    return {
        "table": problem.table,
        "key": problem.key.hex(),
        "kind": problem.kind.value,
        "what": problem.what,
        "advice": problem.advice,
    }


def _line(problem: Problem) -> str:
    kinds = {
        Kind.MISSING: t("fsck.missing"),
        Kind.SURPLUS: t("fsck.surplus"),
        Kind.WRONG: t("fsck.wrong"),
        Kind.UNREADABLE: t("fsck.unreadable"),
    }
    return t("fsck.problem", kind=kinds[problem.kind], key=shown_key(problem.key), what=problem.what)


def shown_key(key: bytes) -> str:
    """A key of the store for people: its table's letters, then the rest in hexadecimal."""
    letters = key[: 2 if key[:1] in {b"S", b"M"} else 1].decode(errors="backslashreplace")
    return f"{letters} {key[len(letters) :].hex()}".strip()
