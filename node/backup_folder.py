# SPDX-License-Identifier: Apache-2.0
"""A backup's folder: each file is written beside its place, synced and renamed, so a name stands for a whole file.

    backup.json              whose ledger, and how the key is made; plain
    manifest                 names every file with its size and SHA-256; sealed; renamed into place last
    history-00000001.seg …   blocks, entries and certificates of a range of heights; made once, never again
    state-G-00000001.seg …   closing checkpoints, and the state at the height of generation G
    home-G.seg               genesis, settings, certificates, key files

An interrupted creation leaves the manifest as it was. Finished segments of history that it does not name yet are taken
up by the next creation; anything else is removed.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from chain.errors import InvalidMessage
from chain.types import Network, sha256
from node.backup_errors import BackupDamaged, BackupError
from node.backup_keys import HEADER_BYTES_MAX, HEADER_NAME, Seal, Secret, new_header
from node.backup_records import EMPTY, MANIFEST_BYTES_MAX, SEGMENT_BYTES_MAX, Manifest, Part, unpack
from node.errors import StorageError
from node.exchange import sync_folder

MANIFEST_NAME = "manifest"
SUFFIX = ".seg"
BESIDE = ".part"
"""Of a file that is being written."""
LOCK_NAME = ".lock"
_OWN = re.compile(r"(history|state|home|base)(-[0-9]{8}){0,2}\.seg(\.part)?|manifest\.part|backup\.json\.part")


class Folder:
    """An opened backup.

    Attributes:
        path: Its folder.
        seal: Opens and seals its files.
        manifest: As it stands on the disk.
    """

    def __init__(self, path: Path, secret: Secret) -> None:
        """Open a backup.

        Raises:
            BackupError: There is none, or the passphrase or key file is another one's (or the header was altered).
            BackupDamaged: Header or manifest are not what was written.
            StorageError: A file can't be read.
        """
        self.path = path
        try:
            header = read(path / HEADER_NAME, HEADER_BYTES_MAX)
        except FileNotFoundError:
            raise BackupError(f"there is no backup in {path}: {HEADER_NAME} is missing") from None
        self.seal = Seal(header, secret)
        try:
            sealed = read(path / MANIFEST_NAME, MANIFEST_BYTES_MAX)
        except FileNotFoundError:
            raise BackupDamaged(MANIFEST_NAME, "the file is missing") from None
        content = self.seal.open(MANIFEST_NAME, sealed)
        if content is None:
            raise BackupDamaged(MANIFEST_NAME, "the file was altered or cut off: it does not open with the right key")
        try:
            self.manifest = Manifest.decode(content)
        except InvalidMessage as error:
            raise BackupDamaged(MANIFEST_NAME, error.reason) from None

    def read(self, part: Part) -> list[tuple[bytes, bytes]]:
        """The records of a file.

        Raises:
            BackupDamaged: It is missing, cut off, altered, or another file under its name.
            StorageError: It can't be read.
        """
        name = part.name + SUFFIX
        try:
            sealed = read(self.path / name, SEGMENT_BYTES_MAX)
        except FileNotFoundError:
            raise BackupDamaged(name, "the file is missing") from None
        if len(sealed) != part.size_bytes:
            raise BackupDamaged(name, f"the file has {len(sealed)} bytes; it was written with {part.size_bytes}")
        if hashlib.sha256(sealed).hexdigest() != part.sha256:
            raise BackupDamaged(name, "the file was altered: it does not have the SHA-256 that the manifest names")
        return self._open(part.name, sealed)

    def _open(self, name: str, sealed: bytes) -> list[tuple[bytes, bytes]]:
        content = self.seal.open(name, sealed)
        if content is None:
            raise BackupDamaged(name + SUFFIX, "the file does not open: it is of another backup or another place")
        try:
            return unpack(content)
        except InvalidMessage as error:
            raise BackupDamaged(name + SUFFIX, error.reason) from None

    # ------------------------------------------------------------ writing

    def write(self, name: str, content: bytes, first: int = 0, last: int = 0) -> Part:
        """Seal a file and put it in its place; it is durable after.

        Raises:
            StorageError: The disk is full, or refuses.
        """
        sealed = self.seal.seal(name, content)
        write_whole(self.path / (name + SUFFIX), sealed)
        return Part(name, first, last, len(sealed), sha256(sealed).hex())

    def commit(self, manifest: Manifest) -> None:
        """The backup is this from here on; what it does not name is removed.

        Raises:
            StorageError: The disk is full, or refuses.
        """
        write_whole(self.path / MANIFEST_NAME, self.seal.seal(MANIFEST_NAME, manifest.encode()))
        self.manifest = manifest
        self.sweep({part.name for part in manifest.parts})

    def unlisted(self, name: str) -> tuple[Part, list[tuple[bytes, bytes]]] | None:
        """A whole file that the manifest does not name yet, with its records; None if there is none that opens."""
        try:
            sealed = read(self.path / (name + SUFFIX), SEGMENT_BYTES_MAX)
            records = self._open(name, sealed)
        except (FileNotFoundError, BackupDamaged):
            return None
        return Part(name, 0, 0, len(sealed), sha256(sealed).hex()), records

    def sweep(self, names: set[str]) -> None:
        """Remove this program's files that are not among these.

        Raises:
            StorageError: One can't be removed.
        """
        try:
            for entry in sorted(self.path.iterdir()):
                if _OWN.fullmatch(entry.name) and entry.name.removesuffix(SUFFIX) not in names:
                    entry.unlink()
            sync_folder(self.path)
        except OSError as error:
            raise StorageError(f"{self.path} can't be tidied: {error.strerror}") from None


def make(path: Path, network: Network, secret: Secret) -> None:
    """Begin a backup in a new or empty folder; nothing happens if one was begun there.

    Raises:
        BackupError: The folder holds other files.
        StorageError: It can't be written.
    """
    if (path / MANIFEST_NAME).exists():
        return
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        others = [entry.name for entry in path.iterdir() if entry.name not in {HEADER_NAME, LOCK_NAME}]
    except OSError as error:
        raise StorageError(f"{path} can't be made or read: {error.strerror}") from None
    if any(not _OWN.fullmatch(name) for name in others):
        raise BackupError(f"{path} holds other files ({min(others)}); choose a folder that is empty or new")
    # A crash between these two leaves a header without a manifest, which the next call replaces.
    header = new_header(network, secret)
    write_whole(path / HEADER_NAME, header)
    seal = Seal(header, secret)
    write_whole(path / MANIFEST_NAME, seal.seal(MANIFEST_NAME, EMPTY.encode()))


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other creations out of a folder.

    Raises:
        BackupError: Another one is under way.
        StorageError: The lock can't be made.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StorageError(f"{path} can't be written: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise BackupError(f"another process makes a backup in {path}; wait until it has ended") from None
    try:
        yield
    finally:
        os.close(descriptor)


def read(path: Path, bytes_max: int) -> bytes:
    """A file's bytes. A pipe or device that somebody put in its place is opened without waiting, and not read.

    Raises:
        FileNotFoundError: There is none.
        StorageError: It can't be read.
        BackupDamaged: It is no file, or larger than any that is written.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise BackupDamaged(path.name, "something else than a file is in its place")
            raw = file.read(bytes_max + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageError(f"{path} can't be read: {error.strerror}") from None
    if len(raw) > bytes_max:
        raise BackupDamaged(path.name, f"the file has more than {bytes_max} bytes")
    return raw


def write_whole(path: Path, content: bytes) -> None:
    """Put a file in its place whole and durable, or leave what was there.

    Others may be able to write to the folder of a backup: a link that they left under the name of the file beside is
    removed, never followed.

    Raises:
        StorageError: The disk is full, or refuses.
    """
    beside = path.with_name(path.name + BESIDE)
    try:
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise StorageError(f"{path} can't be written: {error.strerror}; what was there before is untouched") from None
