# SPDX-License-Identifier: Apache-2.0
"""Puts a backup into an empty home, proving all of it on the way.

The ledger is filled beside its place and renamed when it is whole; the genesis file, without which no node starts,
comes last. A crash leaves a home that says it is half restored: the next restore begins afresh, and no node starts.

No journal and no key that votes is ever restored. A validator key that an operator puts back by hand finds no journal
of its own: the node mutes it, and follows. To vote again, join with a new key.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from chain.checkpoint import Checkpoint
from chain.storage import Database
from node.audit_log import remembered_at
from node.audit_state import KEYS
from node.audit_work import Workers
from node.backup import Tell
from node.backup_errors import BackupError
from node.backup_folder import Folder
from node.backup_keys import Secret
from node.backup_read import GENESIS_PATH, Checked, read_backup
from node.config import Home
from node.disk import lock_home
from node.errors import StorageError
from node.exchange import declare_ready, finish_exchange, new_ledger, sync_folder
from node.leveldb import LevelDatabase
from node.store_keys import FORMAT, FORMAT_KEY, HORIZON_KEY, NETWORK_KEY, TIP_KEY, Horizon, numbered

MARK_NAME = "restore.unfinished"
"""Stands in a home from before the first file until all of it is durable."""
_OWN = frozenset({MARK_NAME, "data", "keys", "tls", "config.toml", "genesis.json"})
_BATCH_IDS = 10_000


@dataclass(frozen=True, slots=True)
class Restored:
    """What a home holds now.

    Attributes:
        checked: What the backup was found to hold.
        files: Paths of the home's files.
    """

    checked: Checked
    files: tuple[str, ...]


def restore(path: Path, secret: Secret, home: Home, workers: Workers, tell: Tell = lambda _progress: None) -> Restored:
    """Restore a backup.

    Args:
        path: The backup's folder.
        secret: Opens it.
        home: Empty or not there, or left by a restore that was interrupted.
        workers: Who checks certificates.
        tell: Is told of each file.

    Raises:
        BackupError: The home holds something, the backup was never completed, or the secret is another one's.
        BackupDamaged: The backup is; the home stays unusable, and may be emptied.
        ConfigError: A process works in that home.
        StorageError: The disk is full, or refuses. Run the restore again: it begins afresh.
    """
    folder = Folder(path, secret)
    _check_empty(home)
    with contextlib.closing(_Held(home)):
        ledger = new_ledger(home)
        with LevelDatabase(ledger) as database:
            checked = fill(folder, database, workers, tell)
            database.flush()
        # Everything of the ledger is durable here, and still beside its place.
        declare_ready(home)
        if home.ledger.exists():
            _remove(home.ledger)  # of a restore that was interrupted after this point
        finish_exchange(home)
        _write_files(home, checked.files)
        _remove_mark(home)
    return Restored(checked, tuple(sorted(name.decode() for name in checked.files)))


def fill(folder: Folder, database: Database, workers: Workers, tell: Tell = lambda _progress: None) -> Checked:
    """Put a backup's ledger into an empty database, which is a ledger only with the last batch.

    Raises:
        BackupError: The backup was never completed.
        BackupDamaged: It does not prove what it holds.
        StorageError: The disk failed.
    """

    def sink(puts: Mapping[bytes, bytes]) -> None:
        database.write(puts, sync=False)

    checked = read_backup(folder, workers, sink, tell)
    _write_ids(database, checked.checkpoint, checked.horizon)
    database.write(
        {
            FORMAT_KEY: FORMAT.to_bytes(4),
            NETWORK_KEY: checked.genesis.network,
            HORIZON_KEY: checked.horizon.encode(),
            TIP_KEY: checked.checkpoint.encode(),
            KEYS.oldest: checked.checkpoint.height.to_bytes(8),
        }
    )
    return checked


def _write_ids(database: Database, checkpoint: Checkpoint, horizon: Horizon) -> None:
    """Note the transactions that may not be repeated yet."""
    puts: dict[bytes, bytes] = {}
    for transaction_id, expires_at_ms in remembered_at(database, checkpoint, horizon.first_leaf):
        puts[numbered(b"R", expires_at_ms) + transaction_id] = b""
        if len(puts) >= _BATCH_IDS:
            database.write(puts, sync=False)
            puts = {}
    database.write(puts, sync=False)


class _Held:
    """A home that is being restored: locked, and marked as unfinished."""

    def __init__(self, home: Home) -> None:
        try:
            home.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            (home.root / MARK_NAME).write_bytes(b"A restore began here and has not ended; run it again.\n")
            sync_folder(home.root)
        except OSError as error:
            raise StorageError(f"{home.root} can't be written: {error.strerror}") from None
        self._release = lock_home(home)

    def close(self) -> None:
        """Give the lock back."""
        self._release()


def _check_empty(home: Home) -> None:
    """Check that nothing of value can be overwritten.

    Raises:
        BackupError: The home holds something that no interrupted restore left.
        StorageError: It can't be read.
    """
    try:
        names = sorted(entry.name for entry in home.root.iterdir()) if home.root.exists() else []
    except OSError as error:
        raise StorageError(f"{home.root} can't be read: {error.strerror}") from None
    if MARK_NAME in names and home.genesis.exists():
        _remove_mark(home)
        raise BackupError(
            f"{home.root} is restored already, whole; only its mark {MARK_NAME} was left, and is gone now"
        )
    if MARK_NAME in names:
        names = [name for name in names if name not in _OWN]
    if names:
        raise BackupError(
            f"{home.root} is not empty: it holds {names[0]}. A restore needs a home of its own; nothing was changed"
        )


def _write_files(home: Home, files: Mapping[bytes, bytes]) -> None:
    """Write the home's files, the genesis file last: without it no node starts."""
    for name in sorted(files, key=_genesis_last):
        path = home.root / name.decode()
        if path not in _allowed(home, path):
            raise BackupError(f"the backup holds the file {name.decode()!r}, which is none of a node's home")
        _write_file(path, files[name])


def _genesis_last(name: bytes) -> tuple[bool, bytes]:
    return name == GENESIS_PATH, name


def _allowed(home: Home, path: Path) -> frozenset[Path]:
    """The files that a restore may write; of the certificates in a folder of its own, this one."""
    known = {home.genesis, home.config, home.tls_key, home.tls_certificate, home.organisation_key}
    if path.parent == home.trusted and path.suffix == ".pem" and path.name != ".pem":
        known.add(path)
    return frozenset(known)


def _write_file(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.new")
    try:
        for folder in _missing(path.parent):
            folder.mkdir(mode=0o700)
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        sync_folder(path.parent)
        sync_folder(path.parent.parent)
    except OSError as error:
        raise StorageError(f"{path} can't be written: {error.strerror}; run the restore again") from None


def _missing(folder: Path) -> Iterator[Path]:
    """Folders to make, the outermost first."""
    if not folder.exists():
        yield from _missing(folder.parent)
        yield folder


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise StorageError(f"{folder} can't be removed: {error.strerror}") from None


def _remove_mark(home: Home) -> None:
    try:
        (home.root / MARK_NAME).unlink()
        sync_folder(home.root)
    except OSError as error:
        raise StorageError(f"{home.root / MARK_NAME} can't be removed: {error.strerror}; remove it") from None
