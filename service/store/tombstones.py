# SPDX-License-Identifier: Apache-2.0
"""The list of erasures, kept apart from the database: whatever old copy of the database is put back, it is applied.

A line is written before anything is deleted, so that no crash forgets an erasure. Lines hold digests of random ids and
are chained; nothing tells whose they are.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from service.errors import StorageError
from service.store.files import append_durably, locked, replace_private

LINE_BYTES_MAX = 512
_START = "0" * 64


@dataclass(frozen=True, slots=True)
class Tombstone:
    """One erasure.

    Attributes:
        person: SHA-256 over the person's random id; 32 bytes.
        at_ms: When, Unix time.
    """

    person: bytes
    at_ms: int


def person_digest(person_id: str) -> bytes:
    """What stands for an erased person; 32 bytes. The id is random, so it can't be guessed back."""
    return hashlib.sha256(b"zhixin/erased/1" + bytes.fromhex(person_id)).digest()


class Tombstones:
    """The file of one store's erasures.

    Args:
        folder: The keys' folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "erasures.jsonl"

    def read(self) -> dict[bytes, Tombstone]:
        """All erasures, by person, oldest first.

        Raises:
            StorageError: The file was changed.
        """
        with locked(self._folder):
            return self._read()[0]

    def append(self, tombstone: Tombstone) -> bool:
        """Write an erasure down; when this returns it is on the disk.

        Returns:
            False if it stood there before.

        Raises:
            StorageError: The file was changed.
        """
        with locked(self._folder):
            known, link = self._read()
            if tombstone.person in known:
                return False
            document = {"person": tombstone.person.hex(), "at_ms": tombstone.at_ms, "link": _link(link, tombstone)}
            append_durably(self._path, json.dumps(document).encode() + b"\n")
            return True

    def _read(self) -> tuple[dict[bytes, Tombstone], str]:
        link = _START
        found: dict[bytes, Tombstone] = {}
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return found, link
        whole, _, torn = content.rpartition(b"\n")
        if torn:  # a crash while it was written; what it announced was not begun
            replace_private(self._path, whole + b"\n" if whole else b"")
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                document = json.loads(line[:LINE_BYTES_MAX])
                person = bytes.fromhex(document["person"])
                tombstone = Tombstone(person, int(document["at_ms"]))
                link = _link(link, tombstone)
                if document["link"] != link:
                    raise StorageError(f"{self._path}, line {number}: the chain is broken; put the right file back")
            except (KeyError, TypeError, ValueError):
                raise StorageError(f"{self._path}, line {number}: not an erasure; put the right file back") from None
            found[person] = tombstone
        return found, link


def _link(previous: str, tombstone: Tombstone) -> str:
    text = f"zhixin/erasure-link/1|{previous}|{tombstone.person.hex()}|{tombstone.at_ms}"
    return hashlib.sha256(text.encode()).hexdigest()
