# SPDX-License-Identifier: Apache-2.0
"""`zhixin backup`: a node's ledger and files, encrypted, made while it runs; verified and restored."""

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

from cli.acting import show_time
from cli.backups import KeyFileOption, PassphraseFileOption, backup_errors, backup_secret, fault_lines
from cli.command import command, group
from cli.exits import Exit
from cli.home import HOME_VARIABLE, load_genesis
from cli.language import t
from cli.output import emit, rate_progress
from node.audit_faults import Damaged
from node.audit_work import Workers, open_workers
from node.backup import Progress, Tell, create
from node.backup_folder import Folder
from node.backup_read import read_backup
from node.backup_restore import restore
from node.collector import tune_collector
from node.config import Home
from node.local import open_reader

app = group(t("help.backup"))

DirArgument = Annotated[Path, typer.Argument(metavar="DIR", help=t("backup.option.dir"))]


@command(app, "create", t("backup.create.help"))
def make(
    path: DirArgument,
    home: Annotated[Path, typer.Option("--home", envvar=HOME_VARIABLE, help=t("node.option.home"))],
    key_file: KeyFileOption = None,
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """Back a node up, whether it runs or not."""
    secret, place = backup_secret(key_file, passphrase_file), Home(home)
    tune_collector()
    try:
        with backup_errors(), open_reader(place) as reader, rate_progress(t("backup.creating")) as advance:
            made = create(place, reader, path, secret, time.time_ns() // 1_000_000, _told(advance))
    except Damaged as damage:
        emit({"damaged": True, "reason": str(damage)}, *fault_lines(damage.fault), t("audit.advice"))
        raise typer.Exit(Exit.DAMAGED) from None
    emit(
        {
            "backup": str(path),
            "height": made.height,
            "oldest_block": made.oldest_block,
            "segments": made.segments,
            "segments_new": made.segments_new,
            "size_bytes": made.size_bytes,
            "state_root": made.state_root,
            "omitted": made.omitted,
        },
        t(
            "backup.created",
            path=path,
            oldest=made.oldest_block,
            height=made.height,
            segments=made.segments,
            new=made.segments_new,
            size=made.size_bytes,
        ),
        t("backup.root", root=made.state_root),
        *([t("backup.omitted", names=", ".join(made.omitted))] if made.omitted else []),
    )


@command(app, "verify", t("backup.verify.help"))
def verify(
    path: DirArgument,
    genesis: Annotated[Path | None, typer.Option("--genesis", help=t("backup.option.genesis"))] = None,
    key_file: KeyFileOption = None,
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """Prove a backup; nothing is restored."""
    secret = backup_secret(key_file, passphrase_file)
    network = None if genesis is None else load_genesis(genesis).network
    with backup_errors():
        folder = Folder(path, secret)
        with _workers() as workers, rate_progress(t("backup.verifying")) as advance:
            found = read_backup(folder, workers, lambda _puts: None, _told(advance), network)
    checkpoint = found.checkpoint
    emit(
        {
            "backup": str(path),
            "network": found.genesis.network.hex(),
            "height": checkpoint.height,
            "oldest_block": found.horizon.oldest_block,
            "time_ms": checkpoint.time_ms,
            "created_at_ms": found.created_at_ms,
            "blocks": found.blocks,
            "transactions": found.transactions,
            "certificates": found.certificates,
            "state_root": checkpoint.state_root.hex(),
            "log_root": checkpoint.log_root.hex(),
        },
        t(
            "backup.verified",
            path=path,
            oldest=found.horizon.oldest_block,
            height=checkpoint.height,
            transactions=found.transactions,
            certificates=found.certificates,
            network=found.genesis.network.hex(),
            time=show_time(checkpoint.time_ms),
        ),
        t("backup.root", root=checkpoint.state_root.hex()),
    )


@command(app, "restore", t("backup.restore.help"))
def put_back(
    path: DirArgument,
    home: Annotated[Path, typer.Option("--home", help=t("backup.option.home"))],
    key_file: KeyFileOption = None,
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """Restore a backup into an empty home."""
    secret = backup_secret(key_file, passphrase_file)
    tune_collector()
    with backup_errors(), _workers() as workers, rate_progress(t("backup.restoring")) as advance:
        found = restore(path, secret, Home(home), workers, _told(advance))
    checkpoint = found.checked.checkpoint
    emit(
        {
            "home": str(home),
            "network": found.checked.genesis.network.hex(),
            "height": checkpoint.height,
            "oldest_block": found.checked.horizon.oldest_block,
            "state_root": checkpoint.state_root.hex(),
            "log_root": checkpoint.log_root.hex(),
            "files": found.files,
            "votes": False,
        },
        t("backup.restored", home=home, height=checkpoint.height),
        t("backup.root", root=checkpoint.state_root.hex()),
        t("backup.no-vote"),
    )


def _workers() -> AbstractContextManager[Workers]:
    """One process for each processor."""
    return open_workers(os.cpu_count() or 1)


def _told(advance: Callable[[int, int, int], None]) -> Tell:
    def tell(progress: Progress) -> None:
        if progress.blocks_total:
            advance(progress.blocks, progress.blocks_total, progress.records)

    return tell
