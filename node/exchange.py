# SPDX-License-Identifier: Apache-2.0
"""Puts a ledger that was made beside the running one in its place, whatever interrupts that.

`data/ledger.new` is being filled and worth nothing until it is renamed to `data/ledger.ready`: from then on it is the
node's ledger, and each start finishes what is left to do. A crash before loses the new one, a crash after loses
nothing.
"""

import os
import shutil
from pathlib import Path

from node.config import Home
from node.errors import StorageError


def new_ledger(home: Home) -> Path:
    """Where a ledger is filled; what a run before left there is removed.

    Raises:
        StorageError: It can't be removed.
    """
    path = _beside(home, "new")
    _remove(path)
    return path


def declare_ready(home: Home) -> None:
    """The new ledger is complete, synced and closed: the next start takes it.

    Raises:
        StorageError: It can't be renamed.
    """
    ready = _beside(home, "ready")
    try:
        _remove(ready)
        _beside(home, "new").rename(ready)
        sync_folder(ready.parent)
    except OSError as error:
        raise StorageError(f"{ready} can't be made: {error.strerror}") from None


def finish_exchange(home: Home) -> bool:
    """Put a ledger that is ready in its place, and remove what an exchange leaves behind; the databases are closed.

    Returns:
        Whether the ledger is another one now.

    Raises:
        StorageError: A folder can't be renamed or removed.
    """
    ready, old = _beside(home, "ready"), _beside(home, "old")
    exchanged = ready.exists()
    try:
        if exchanged:
            if home.ledger.exists():
                _remove(old)
                home.ledger.rename(old)
            # A crash here leaves no ledger, but one that is ready: the next start goes on below.
            ready.rename(home.ledger)
            sync_folder(ready.parent)
    except OSError as error:
        raise StorageError(f"{ready} can't be put in place of {home.ledger}: {error.strerror}") from None
    _remove(old)
    _remove(_beside(home, "new"))
    return exchanged


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _beside(home: Home, state: str) -> Path:
    return home.ledger.with_name(f"{home.ledger.name}.{state}")


def _remove(folder: Path) -> None:
    try:
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise StorageError(f"{folder} can't be removed: {error.strerror}") from None
