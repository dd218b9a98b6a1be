# SPDX-License-Identifier: Apache-2.0
"""Signed statements on their way to the office: the only thing that a kiosk writes to its disk.

One file for each, `<stream>.json`: the stream, the digest that goes to the ledger, what was sealed for the office, and
when. The kiosk can't open what was sealed, and stream and digest say nothing about anybody. A file is written, durably,
before the office is asked, and removed once the office has taken the statement and the ledger has its digest; filing
once more changes nothing. So a loss of power leaves a statement that was never signed, or one that is sent again.
"""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from chain.errors import InvalidMessage
from chain.strict_json import parse
from identity.api.kiosk.boxes import SEALED_CHARACTERS_MAX
from service.errors import KeyFileError, StorageError
from service.store.files import destroy, make_folder, read_private, replace_private

ENTRIES_MAX: Final = 500
"""A day and more without a network; then the kiosk says that it takes nothing before it has sent some."""
FILE_BYTES_MAX: Final = SEALED_CHARACTERS_MAX + 1_024

_NAME = re.compile(r"([0-9a-f]{32})\.json")
_NAMES = ["digest", "made_ms", "sealed", "stream"]


class JournalFull(Exception):
    """As many statements wait as this kiosk may hold."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One statement on its way.

    Attributes:
        stream: 16 bytes, hex.
        digest: What the ledger is to have, 32 bytes, hex.
        sealed: For the office.
        made_ms: Unix time in ms.
    """

    stream: str
    digest: str
    sealed: str
    made_ms: int


class Journal:
    """The folder of statements on their way.

    Args:
        folder: Mode 0700; made if it is not there.

    Raises:
        KeyFileError: It can't be made, or others may enter it.
    """

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        self._folder = folder
        for unfinished in folder.glob(".*.json.*"):  # a crash while it was written: nobody was told that it is kept
            destroy(unfinished)

    def add(self, entry: Entry) -> None:
        """Write one down; durable when this returns.

        Raises:
            JournalFull: Too many wait.
            StorageError: The disk does not take it.
        """
        if len(self) >= ENTRIES_MAX:
            raise JournalFull
        content = json.dumps(asdict(entry), sort_keys=True).encode()
        try:
            replace_private(self._folder / f"{entry.stream}.json", content)
        except KeyFileError as error:
            raise StorageError(f"a statement can't be kept: {error}") from None

    def remove(self, stream: str) -> None:
        """It has arrived; a crash before this leaves one that is filed once more, which changes nothing.

        Raises:
            StorageError: The disk failed.
        """
        try:
            destroy(self._folder / f"{stream}.json")
        except KeyFileError as error:
            raise StorageError(f"a statement that has arrived can't be removed: {error}") from None

    def entries(self) -> list[Entry]:
        """Those that wait, the oldest first.

        Raises:
            StorageError: One can't be read: look at the disk before anything else is taken.
        """
        found = [self._read(name) for name in self._names()]
        return sorted(found, key=lambda entry: (entry.made_ms, entry.stream))

    def __len__(self) -> int:
        return len(self._names())

    def _names(self) -> list[str]:
        return sorted(path.name for path in self._folder.iterdir() if _NAME.fullmatch(path.name))

    def _read(self, name: str) -> Entry:
        try:
            raw = read_private(self._folder / name, FILE_BYTES_MAX)
            members: Any = parse(raw, size_max=FILE_BYTES_MAX, depth_max=1)
        except (KeyFileError, InvalidMessage) as error:
            raise StorageError(f"{self._folder / name} is no statement on its way: {error}") from None
        if not isinstance(members, dict) or sorted(members) != _NAMES or members["stream"] != name[:32]:
            raise StorageError(f"{self._folder / name} is no statement on its way")
        return Entry(str(members["stream"]), str(members["digest"]), str(members["sealed"]), int(members["made_ms"]))
