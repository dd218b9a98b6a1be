# SPDX-License-Identifier: Apache-2.0
"""Kinds of files in a node's home, and ways to damage them."""

import random
from collections.abc import Callable, Mapping
from pathlib import Path

from node.config import Home


def _newest(folder: Path, pattern: str) -> Path:
    return max(folder.glob(pattern))


def _largest(folder: Path, pattern: str) -> Path:
    return max(folder.glob(pattern), key=lambda path: path.stat().st_size)


FILES: Mapping[str, Callable[[Home], Path]] = {
    "ledger table": lambda home: _largest(home.ledger, "*.ldb"),
    "ledger log": lambda home: _newest(home.ledger, "*.log"),
    "ledger manifest": lambda home: _newest(home.ledger, "MANIFEST-*"),
    "ledger current": lambda home: home.ledger / "CURRENT",
    "journal table": lambda home: _largest(home.journal, "*.ldb"),
    "journal log": lambda home: _newest(home.journal, "*.log"),
    "journal manifest": lambda home: _newest(home.journal, "MANIFEST-*"),
    "journal current": lambda home: home.journal / "CURRENT",
    "genesis": lambda home: home.genesis,
    "settings": lambda home: home.config,
    "mark": lambda home: home.mark,
    "validator key": lambda home: home.validator_key,
    "organisation key": lambda home: home.organisation_key,
    "tls key": lambda home: home.tls_key,
    "tls certificate": lambda home: home.tls_certificate,
}
"""Each kind, with the file of it in a stopped node's home."""


LOG_BLOCK_BYTES, LOG_HEADER_BYTES = 32 * 1024, 7
"""Of LevelDB's logs, manifests among them: a record's header is its checksum (4), its length (2) and its type (1)."""


def _lengths(path: Path, raw: bytes) -> frozenset[int]:
    """Where lengths of records stand: near the end, one that leads beyond it is like the torn last write of a crash."""
    if path.suffix != ".log" and not path.name.startswith("MANIFEST-"):
        return frozenset()
    found: set[int] = set()
    at = 0
    while at + LOG_HEADER_BYTES <= len(raw):
        room = LOG_BLOCK_BYTES - at % LOG_BLOCK_BYTES
        if room < LOG_HEADER_BYTES:
            at += room
            continue
        found |= {at + 4, at + 5}
        at += LOG_HEADER_BYTES + int.from_bytes(raw[at + 4 : at + 6], "little")
    return frozenset(found)


def flip(path: Path, draw: random.Random) -> None:
    """One bit of one byte in the middle half: what ends of files often are is padding."""
    raw = bytearray(path.read_bytes())
    middle = range(len(raw) // 4, max(len(raw) // 4 + 1, 3 * len(raw) // 4))
    lengths = _lengths(path, raw)
    raw[draw.choice([at for at in middle if at not in lengths])] ^= 1 << draw.randrange(7)
    path.write_bytes(raw)


def truncate(path: Path, draw: random.Random) -> None:
    """Its last part is missing."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(draw.randrange(size))


def empty(path: Path, _draw: random.Random) -> None:
    """Nothing is left in it: what some file systems leave after a power cut."""
    path.write_bytes(b"")


def remove(path: Path, _draw: random.Random) -> None:
    """It is not there."""
    path.unlink()


DAMAGES: Mapping[str, Callable[[Path, random.Random], None]] = {
    "flip": flip,
    "truncate": truncate,
    "empty": empty,
    "remove": remove,
}
