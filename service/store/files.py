# SPDX-License-Identifier: Apache-2.0
"""Files of secrets: readable by their owner alone, replaced whole, and overwritten before they go."""

import contextlib
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.errors import KeyFileError

READS_MAX = 100
"""How often a file may be replaced while it is read; keys are replaced some times a day."""


def make_folder(folder: Path) -> None:
    """A folder that only its owner may enter.

    Raises:
        KeyFileError: It can't be made, or others may enter it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = folder.stat().st_mode
    except OSError as error:
        raise KeyFileError(f"{folder} cannot be made: {error.strerror}") from None
    if stat.S_IMODE(mode) & 0o077:
        raise KeyFileError(f"{folder} is open to others: chmod 700")


def read_private(path: Path, bytes_max: int) -> bytes:
    """Read a file that only its owner may read; never bytes that `replace_private` is just overwriting.

    Raises:
        KeyFileError: Missing, open to others, too large, or replaced without end.
    """
    for _ in range(READS_MAX):
        content = _read_whole(path, bytes_max)
        if content is not None:
            return content
    raise KeyFileError(f"{path} cannot be read: it is replaced again and again")


def replace_private(path: Path, content: bytes) -> None:
    """Write a file whole, durably; the bytes that stood there before are overwritten.

    A crash leaves the old file or the new one. After a crash between the two last steps the old bytes may still lie in
    free blocks of the disk, as they do on disks and file systems that never write in place.

    Raises:
        KeyFileError: The disk does not take it.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with contextlib.ExitStack() as stack:
            old = stack.enter_context(path.open("r+b")) if path.exists() else None
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
            _sync_folder(path.parent)
            if old is not None:
                _overwrite(old.fileno())
    except OSError as error:
        raise KeyFileError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def destroy(path: Path) -> None:
    """Overwrite a file and remove it; one that is gone already is fine.

    Raises:
        KeyFileError: It can't be overwritten or removed.
    """
    try:
        with path.open("r+b") as file:
            _overwrite(file.fileno())
        path.unlink()
        _sync_folder(path.parent)
    except FileNotFoundError:
        return
    except OSError as error:
        raise KeyFileError(f"{path} cannot be destroyed: {error.strerror}") from None


@contextmanager
def locked(folder: Path, name: str = "lock") -> Iterator[None]:
    """One holder of a lock at a time, over threads and processes of this machine; a crash lets go.

    Raises:
        KeyFileError: The folder can't be written.
    """
    descriptor = _open_lock(folder, name)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def try_locked(folder: Path, name: str) -> Iterator[bool]:
    """The same without waiting: False where somebody else has the lock.

    Raises:
        KeyFileError: The folder can't be written.
    """
    descriptor = _open_lock(folder, name)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def append_durably(path: Path, line: bytes) -> None:
    """Add a line to a file; when this returns it is on the disk.

    Raises:
        KeyFileError: The disk does not take it.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(path.parent)
    except OSError as error:
        raise KeyFileError(f"{path} cannot be written: {error.strerror}") from None


def _read_whole(path: Path, bytes_max: int) -> bytes | None:
    """A file's content; None if another took its place meanwhile, for then the bytes may have been overwritten."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode) or stat.S_IMODE(mode) & 0o077:
                raise KeyFileError(f"{path} must be a file that only its owner can read: chmod 600")
            content = file.read(bytes_max + 1)
            if not os.fstat(file.fileno()).st_nlink:  # a replaced file has lost its name before it is overwritten
                return None
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > bytes_max:
        raise KeyFileError(f"{path} is too large")
    return content


def _open_lock(folder: Path, name: str) -> int:
    try:
        return os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise KeyFileError(f"{folder} cannot be locked: {error.strerror}") from None


def _overwrite(descriptor: int) -> None:
    size = os.fstat(descriptor).st_size
    os.pwrite(descriptor, secrets.token_bytes(size), 0)
    os.fsync(descriptor)
    os.ftruncate(descriptor, 0)
    os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
