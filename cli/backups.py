# SPDX-License-Identifier: Apache-2.0
"""What the commands about backups share: which secret opens one, and what is said of damage."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli.errors import InputError, UsageError
from cli.exits import Exit
from cli.language import t
from cli.output import Json, emit
from node.audit_faults import Fault
from node.backup_errors import BackupDamaged, BackupError
from node.backup_keys import Secret, load_key_file, passphrase_secret
from node.keys import load_passphrase

KeyFileOption = Annotated[Path | None, typer.Option("--key-file", help=t("backup.option.key-file"))]
PassphraseFileOption = Annotated[
    Path | None, typer.Option("--passphrase-file", help=t("backup.option.passphrase-file"))
]


def backup_secret(key_file: Path | None, passphrase_file: Path | None) -> Secret:
    """What seals or opens a backup.

    Raises:
        UsageError: None is given, or two.
        KeyFileError: A file can't be read, or is open to others.
    """
    if key_file is not None and passphrase_file is None:
        return load_key_file(key_file)
    passphrase = None
    if key_file is None:
        passphrase = load_passphrase("" if passphrase_file is None else str(passphrase_file), os.environ)
    if passphrase is None:
        raise UsageError("backup.secret", t("backup.secret"))
    return passphrase_secret(passphrase)


@contextmanager
def backup_errors() -> Iterator[None]:
    """Say what is wrong with a backup; damage ends the command with its own exit code.

    Raises:
        InputError: These files, this secret or this home won't do.
    """
    try:
        yield
    except BackupError as error:
        raise InputError("backup.refused", str(error)) from None
    except BackupDamaged as damage:
        fault = damage.fault
        fields: dict[str, Json] = {
            "damaged": True,
            "file": damage.file,
            "reason": damage.reason,
            "fault": None if fault is None else dict(asdict(fault)),
        }
        lines = [] if fault is None else fault_lines(fault)[1:]
        emit(fields, t("backup.damage", file=damage.file, reason=damage.reason), *lines, t("backup.advice"))
        raise typer.Exit(Exit.DAMAGED) from None


def fault_lines(fault: Fault) -> list[str]:
    """A fault for people."""
    lines = [t("audit.damage", table=fault.table, place=fault.place, reason=fault.reason)]
    found = {"record": fault.record, "expected": fault.expected or "?", "found": fault.found or "?"}
    if fault.offset is None:
        return [*lines, t("audit.record-whole", **found)]
    return [*lines, t("audit.record", offset=fault.offset, **found)]
