# SPDX-License-Identifier: Apache-2.0
"""`zhixin audit`: a stored ledger executed again and compared with itself, record by record."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from chain import genesis as genesis_file
from chain.genesis import Genesis
from chain.storage import Reader
from cli.command import command
from cli.errors import InputError
from cli.exits import Exit
from cli.home import HOME_VARIABLE, read_file
from cli.language import t
from cli.output import Json, emit, rate_progress
from node.audit import AuditReport, Progress, audit
from node.audit_faults import Fault
from node.audit_scope import ScopeError
from node.audit_work import open_workers
from node.collector import tune_collector
from node.config import Home as NodeHome
from node.leveldb import LevelDatabase
from node.local import open_reader

app = typer.Typer(add_completion=False)

WORKERS_MAX = 64
"""Processes; beyond the processors of a large machine they only take memory, 60 MB each."""

ScratchOption = Annotated[Path | None, typer.Option("--scratch", help=t("audit.option.scratch"))]
WorkersOption = Annotated[int | None, typer.Option("--workers", min=0, max=WORKERS_MAX, help=t("audit.option.workers"))]


@command(app, "audit", t("audit.help"))
def run(
    home: Annotated[Path, typer.Option("--home", envvar=HOME_VARIABLE, help=t("node.option.home"))],
    first: Annotated[int | None, typer.Option("--from", min=1, help=t("audit.option.from"))] = None,
    last: Annotated[int | None, typer.Option("--to", min=1, help=t("audit.option.to"))] = None,
    scratch: ScratchOption = None,
    workers: WorkersOption = None,
) -> None:
    """Audit the ledger of a node, whether it runs or not."""
    place = NodeHome(home)
    genesis = genesis_file.load(read_file(place.genesis, genesis_file.GENESIS_BYTES_MAX))
    with open_reader(place) as reader:
        report = _audit(reader, genesis, first, last, scratch, workers)
    show(report)


def _audit(
    reader: Reader,
    genesis: Genesis,
    first: int | None,
    last: int | None,
    scratch: Path | None,
    workers: int | None,
) -> AuditReport:
    tune_collector()
    count = os.cpu_count() or 1 if workers is None else workers
    with (
        tempfile.TemporaryDirectory(prefix="zhixin-audit-", dir=scratch) as folder,
        LevelDatabase(Path(folder) / "ledger") as database,
        open_workers(count) as pool,
        rate_progress(t("audit.progress")) as advance,
    ):
        try:
            return audit(reader, genesis, database, pool, first=first, last=last, progress=_told(advance))
        except ScopeError as error:
            raise InputError("audit.scope", str(error)) from None


def _told(advance: Callable[[int, int, int], None]) -> Callable[[Progress], None]:
    def tell(progress: Progress) -> None:
        advance(progress.blocks, progress.blocks_total, progress.transactions)

    return tell


def show(report: AuditReport) -> None:
    """Print what was found; damage ends the command with its own exit code."""
    scope = report.scope
    rate = round(report.transactions / report.seconds) if report.seconds else 0
    fields: dict[str, Json] = {
        "damaged": report.fault is not None,
        "first": scope.first,
        "last": scope.last,
        "tip": scope.tip.height,
        "base": None if scope.base is None else scope.base.height,
        "oldest_block": scope.horizon.oldest_block,
        "followed": report.followed,
        "blocks": report.blocks,
        "transactions": report.transactions,
        "entries": report.entries,
        "certificates": report.certificates,
        "records": report.records,
        "certified_height": report.certified_height,
        "state_root": scope.tip.state_root.hex(),
        "log_root": scope.tip.log_root.hex(),
        "seconds": round(report.seconds, 3),
        "transactions_s": rate,
        "fault": None if report.fault is None else dict(asdict(report.fault)),
    }
    done = t(
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
    words = [done if report.blocks else t("audit.empty", tip=scope.tip.height)]
    if scope.base is not None:
        words.append(t("audit.base", height=scope.base.height))
    if report.followed:
        words.append(t("audit.followed", count=report.followed))
    if report.fault is None:
        emit(fields, *words, t("audit.clean", height=report.certified_height))
        return
    emit(fields, *words, *fault_lines(report.fault), t("audit.advice"))
    raise typer.Exit(Exit.DAMAGED)


def fault_lines(fault: Fault) -> list[str]:
    """A fault for people."""
    lines = [t("audit.damage", table=fault.table, place=fault.place, reason=fault.reason)]
    found = {"record": fault.record, "expected": fault.expected or "?", "found": fault.found or "?"}
    if fault.offset is None:
        return [*lines, t("audit.record-whole", **found)]
    return [*lines, t("audit.record", offset=fault.offset, **found)]
