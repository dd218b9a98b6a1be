# SPDX-License-Identifier: Apache-2.0
"""`zhixin audit`: a stored ledger executed again and compared with itself, record by record."""

import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from chain.storage import Reader
from cli.backups import KeyFileOption, PassphraseFileOption, backup_errors, backup_secret, fault_lines
from cli.command import command
from cli.errors import InputError, UsageError
from cli.exits import Exit
from cli.home import HOME_VARIABLE, load_genesis
from cli.language import t
from cli.output import Json, emit, rate_progress
from node.audit import AuditReport, Progress, audit
from node.audit_scope import Scope, ScopeError
from node.audit_work import open_workers
from node.backup_folder import Folder
from node.backup_restore import fill
from node.collector import tune_collector
from node.config import Home
from node.leveldb import LevelDatabase
from node.local import open_reader

app = typer.Typer(add_completion=False)

WORKERS_MAX = 64
"""Processes; beyond the processors of a large machine they only take memory, 60 MB each."""

ScratchOption = Annotated[Path | None, typer.Option("--scratch", help=t("audit.option.scratch"))]
WorkersOption = Annotated[int | None, typer.Option("--workers", min=0, max=WORKERS_MAX, help=t("audit.option.workers"))]


@command(app, "audit", t("audit.help"))
def run(
    home: Annotated[Path | None, typer.Option("--home", envvar=HOME_VARIABLE, help=t("node.option.home"))] = None,
    backup: Annotated[Path | None, typer.Option("--backup", help=t("audit.option.backup"))] = None,
    first: Annotated[int | None, typer.Option("--from", min=1, help=t("audit.option.from"))] = None,
    last: Annotated[int | None, typer.Option("--to", min=1, help=t("audit.option.to"))] = None,
    scratch: ScratchOption = None,
    workers: WorkersOption = None,
    key_file: KeyFileOption = None,
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """Audit the ledger of a node, whether it runs or not, or that of a backup."""
    tune_collector()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zhixin-audit-", dir=scratch)))
        pool = stack.enter_context(open_workers(os.cpu_count() or 1 if workers is None else workers))
        reader: Reader
        if backup is not None:
            secret = backup_secret(key_file, passphrase_file)
            stored = stack.enter_context(LevelDatabase(folder / "stored"))
            with backup_errors():
                genesis = fill(Folder(backup, secret), stored, pool).genesis
            reader = stored
        elif home is not None:
            place = Home(home)
            genesis = load_genesis(place.genesis)
            reader = stack.enter_context(open_reader(place))
        else:
            raise UsageError("audit.which", t("audit.which"))
        database = stack.enter_context(LevelDatabase(folder / "scratch"))
        advance = stack.enter_context(rate_progress(t("audit.progress")))
        try:
            report = audit(reader, genesis, database, pool, first=first, last=last, progress=_told(advance))
        except ScopeError as error:
            raise InputError("audit.scope", str(error)) from None
    show(report)


def _told(advance: Callable[[int, int, int], None]) -> Callable[[Progress], None]:
    def tell(progress: Progress) -> None:
        advance(progress.blocks, progress.blocks_total, progress.transactions)

    return tell


def show(report: AuditReport) -> None:
    """Print what was found; damage ends the command with its own exit code."""
    rate = round(report.transactions / report.seconds) if report.seconds else 0
    fields: dict[str, Json] = {
        "damaged": report.fault is not None,
        "followed": report.followed,
        "blocks": report.blocks,
        "transactions": report.transactions,
        "entries": report.entries,
        "certificates": report.certificates,
        "records": report.records,
        "certified_height": report.certified_height,
        "seconds": round(report.seconds, 3),
        "transactions_s": rate,
        "fault": None if report.fault is None else dict(asdict(report.fault)),
    }
    words: list[str] = []
    if report.scope is not None:
        words = _describe(report, report.scope, rate)
        fields |= _scope_fields(report.scope)
    if report.fault is None:
        emit(fields, *words, t("audit.clean", height=report.certified_height))
        return
    emit(fields, *words, *fault_lines(report.fault), t("audit.advice"))
    raise typer.Exit(Exit.DAMAGED)


def _scope_fields(scope: Scope) -> dict[str, Json]:
    return {
        "first": scope.first,
        "last": scope.last,
        "tip": scope.tip.height,
        "base": None if scope.base is None else scope.base.height,
        "oldest_block": scope.horizon.oldest_block,
        "state_root": scope.tip.state_root.hex(),
        "log_root": scope.tip.log_root.hex(),
    }


def _describe(report: AuditReport, scope: Scope, rate: int) -> list[str]:
    """What was done, for people."""
    words = [t("audit.empty", tip=scope.tip.height)]
    if report.blocks:
        words = [
            t(
                "audit.range",
                first=scope.first,
                last=scope.first + report.blocks - 1,
                tip=scope.tip.height,
                transactions=report.transactions,
                entries=report.entries,
                certificates=report.certificates,
                records=report.records,
                seconds=round(report.seconds, 1),
                rate=rate,
            )
        ]
    if scope.base is not None:
        words.append(t("audit.base", height=scope.base.height))
    if report.followed:
        words.append(t("audit.followed", count=report.followed))
    return words
