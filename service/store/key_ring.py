# SPDX-License-Identifier: Apache-2.0
"""The few keys above the persons' own, in one small file apart from the database.

- *Epoch keys* wrap each person's key in the database. When persons have been erased, a new epoch begins, all living
  persons' keys are wrapped anew, and the old epoch's key is destroyed: no copy of the database from before opens the
  key of an erased person, whoever holds the key-encryption key.
- *Index keys* make blind indexes.
- The *service key* makes what a process needs besides: form tokens, idempotency, backups' seals.

The file is what must really be deleted when an epoch ends. Copies of it are replaced, never collected.
"""

import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from service.errors import KeyFileError, TokenError
from service.store.cipher import keyed_digest, new_key, place
from service.store.files import destroy, locked, make_folder, read_private, replace_private
from service.store.key_encryption import TOKEN_PREFIX, FileKey, KeyEncryptionKey, path_of

FORMAT = "zhixin-service-keys/1"
STREAM_BYTES = 16
FILE_BYTES_MAX = 64 * 1024
"""Some hundred keys; two epochs and a few index keys are in use at once."""


class Purpose(StrEnum):
    """What a key of the ring is for."""

    EPOCH = "epoch"
    INDEX = "index"
    SERVICE = "service"


class Wrappings(Protocol):
    """Where key-encryption keys are."""

    def open(self, name: str) -> KeyEncryptionKey:
        """The key of a name, or KeyFileError."""

    def destroy(self, name: str) -> None:
        """Delete a key from its token, or KeyFileError; one that is gone already is fine."""


@dataclass(frozen=True, slots=True)
class _Content:
    """The ring as it stands in its file.

    Attributes:
        retired: Keys in tokens that wrap nothing any more.
        stream: Names the audit chain on the ledger, 32 hex digits; another one than the store's id after an older
            backup was restored.
    """

    store: str
    wrapping: str
    keys: dict[tuple[Purpose, int], bytes]
    retired: tuple[str, ...] = ()
    stream: str = ""


class KeyRing:
    """The ring of one store, open in memory.

    Args:
        folder: Holds `keys.json`, the key-encryption key's file and the lock; mode 0700.
        wrappings: Finds key-encryption keys by their names.
    """

    def __init__(self, folder: Path, wrappings: Wrappings) -> None:
        self.folder = folder
        self._wrappings = wrappings
        self._wrapping: KeyEncryptionKey | None = None
        self._loaded = self._load()

    @staticmethod
    def path(folder: Path) -> Path:
        """The ring's file."""
        return folder / "keys.json"

    @classmethod
    def create(cls, folder: Path, store: str, wrapping: KeyEncryptionKey) -> None:
        """Make the ring of a new store.

        Raises:
            KeyFileError: There is one already, or the disk does not take it.
        """
        make_folder(folder)
        with locked(folder):
            if cls.path(folder).exists():
                raise KeyFileError(f"{cls.path(folder)} exists already; keys are never overwritten")
            keys = {(purpose, 1): new_key() for purpose in Purpose}
            _write(folder, _Content(store, wrapping.name, keys), wrapping)

    @property
    def store(self) -> str:
        """Which store's keys these are; 32 hex digits."""
        return self._content.store

    @property
    def audit_stream(self) -> bytes:
        """Under which 16 bytes this store's audit chain is anchored."""
        return bytes.fromhex(self._content.stream or self._content.store)

    @property
    def epoch(self) -> int:
        """The epoch under which persons' keys are wrapped now."""
        return self.versions(Purpose.EPOCH)[-1]

    @property
    def index_version(self) -> int:
        """The version of the index key in use."""
        return self.versions(Purpose.INDEX)[-1]

    def versions(self, purpose: Purpose) -> list[int]:
        """Versions of a key that exist, oldest first."""
        stamp, content = self._loaded
        if _stamp(self.path(self.folder)) != stamp:  # another process changed the file
            content = self.reload()
        return sorted(version for other, version in content.keys if other is purpose)

    def key(self, purpose: Purpose, version: int) -> bytes:
        """A key of the ring; another process may have added it since the file was read.

        Raises:
            KeyFileError: There is none: destroyed, or the ring is an old copy.
        """
        found = self._content.keys.get((purpose, version)) or self.reload().keys.get((purpose, version))
        if found is None:
            raise KeyFileError(f"the key of {purpose} {version} is not in {self.path(self.folder)}")
        return found

    def secret(self, name: str) -> bytes:
        """32 bytes for a purpose of the services' own, the same in each process."""
        return keyed_digest(self._content.keys[(Purpose.SERVICE, 1)], "zhixin/service-secret/1", name)

    def reload(self) -> _Content:
        """Read the file anew: another process may have begun an epoch."""
        self._loaded = loaded = self._load()
        return loaded[1]

    def add(self, purpose: Purpose) -> int:
        """Add the next version of a key, durably.

        Returns:
            Its version, which is in use from here on.
        """
        with locked(self.folder):
            content = self._read()
            version = max(number for other, number in content.keys if other is purpose) + 1
            keys = {**content.keys, (purpose, version): new_key()}
            self._replace(replace(content, keys=keys))
        return version

    def begin_stream(self) -> None:
        """Anchor the audit chain under another name from now on: an older one was restored, and goes on differently."""
        with locked(self.folder):
            self._replace(replace(self._read(), stream=secrets.token_hex(STREAM_BYTES)))

    def drop_before(self, purpose: Purpose, version: int) -> None:
        """Destroy the older versions of a key. What is wrapped under them alone is lost, which is the purpose."""
        with locked(self.folder):
            content = self._read()
            assert (purpose, version) in content.keys, "the version that stays exists"
            keys = {place: key for place, key in content.keys.items() if place[0] is not purpose or place[1] >= version}
            if keys != content.keys:
                self._replace(replace(content, keys=keys))

    def wrap_under(self, wrapping: KeyEncryptionKey) -> None:
        """Exchange the key-encryption key: one file is replaced, so it is done or not done at any moment.

        Raises:
            KeyFileError: The new key's file is gone: a process that has just started took it for one that broke off.
        """
        with locked(self.folder):
            content = self._read()
            path = path_of(self.folder, wrapping.name)
            if isinstance(wrapping, FileKey) and not path.exists():
                raise KeyFileError(f"{path} was removed by another process that was starting; rotate the key again")
            retired = content.retired
            if content.wrapping.startswith(TOKEN_PREFIX) and content.wrapping != wrapping.name:
                retired = (*retired, content.wrapping)
            self._replace(replace(content, wrapping=wrapping.name, retired=retired), wrapping)

    def remove_unused(self) -> tuple[str, ...]:
        """Destroy key-encryption keys that wrap nothing: a rotation ended, or broke off.

        Returns:
            Names of those that are left because their token could not be reached.
        """
        with locked(self.folder):
            content = self._read()
            for path in sorted(self.folder.glob("kek-*.json")):
                if path.stem != f"kek-{content.wrapping}":
                    destroy(path)
            left = tuple(name for name in content.retired if name != content.wrapping and not self._is_destroyed(name))
            if left != content.retired:
                self._replace(replace(content, retired=left))
        return left

    def _is_destroyed(self, name: str) -> bool:
        """Delete a key from its token; one whose token is not at hand waits for the next time."""
        try:
            self._wrappings.destroy(name)
        except TokenError:
            return False
        return True

    def _find(self, name: str) -> KeyEncryptionKey:
        """A key-encryption key by name; the one in use is at hand, also where only its maker knows its passphrase."""
        wrapping = self._wrapping
        if wrapping is None or wrapping.name != name:
            self._wrapping = wrapping = self._wrappings.open(name)
        return wrapping

    def _replace(self, content: _Content, wrapping: KeyEncryptionKey | None = None) -> None:
        self._wrapping = wrapping or self._find(content.wrapping)
        _write(self.folder, content, self._wrapping)
        self.reload()

    @property
    def _content(self) -> _Content:
        return self._loaded[1]

    def _load(self) -> tuple[tuple[int, int], _Content]:
        """What the file holds, with its stamp: both are exchanged at once, for other threads read them meanwhile."""
        stamp = _stamp(self.path(self.folder))
        return stamp, self._read()

    def _read(self) -> _Content:
        path = self.path(self.folder)
        try:
            document = json.loads(read_private(path, FILE_BYTES_MAX))
            if document["format"] != FORMAT:
                raise KeyFileError(f"{path} is not a {FORMAT} file")
            store, name = str(document["store"]), str(document["wrapping"])
            wrapping = self._find(name)
            keys: dict[tuple[Purpose, int], bytes] = {}
            for item in document["keys"]:
                purpose, version = Purpose(item["purpose"]), int(item["version"])
                wrapped = bytes.fromhex(item["wrapped"])
                keys[(purpose, version)] = wrapping.unwrap(wrapped, _where(store, purpose, version))
            retired = tuple(str(item) for item in document.get("retired", ()))
            stream = str(document.get("stream", ""))
            if stream and not hmac.compare_digest(document["stream_seal"], _stream_seal(keys, stream)):
                raise KeyFileError(f"{path} was changed: it names the audit chain otherwise than it was written")
        except (KeyError, TypeError, ValueError, RecursionError):
            raise KeyFileError(f"{path} is not a {FORMAT} file") from None
        if {purpose for purpose, _ in keys} != set(Purpose):
            raise KeyFileError(f"{path} lacks a key")
        return _Content(store, name, keys, retired, stream)


def _stamp(path: Path) -> tuple[int, int]:
    """Changes whenever the file is replaced."""
    try:
        found = path.stat()
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}") from None
    return found.st_ino, found.st_mtime_ns


def _write(folder: Path, content: _Content, wrapping: KeyEncryptionKey) -> None:
    listed = [
        {
            "purpose": purpose.value,
            "version": version,
            "wrapped": wrapping.wrap(key, _where(content.store, purpose, version)).hex(),
        }
        for (purpose, version), key in sorted(content.keys.items())
    ]
    document: dict[str, object] = {"format": FORMAT, "store": content.store, "wrapping": content.wrapping}
    document |= {"keys": listed} | ({"retired": content.retired} if content.retired else {})
    if content.stream:
        document |= {"stream": content.stream, "stream_seal": _stream_seal(content.keys, content.stream)}
    replace_private(KeyRing.path(folder), json.dumps(document, indent=2).encode() + b"\n")


def _stream_seal(keys: Mapping[tuple[Purpose, int], bytes], stream: str) -> str:
    """So that nobody without the keys makes the former anchors forgotten."""
    return keyed_digest(keys[(Purpose.SERVICE, 1)], "zhixin/audit-stream/1", stream).hex()


def _where(store: str, purpose: Purpose, version: int) -> bytes:
    return place(FORMAT, store, purpose, version)
