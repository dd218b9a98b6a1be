# SPDX-License-Identifier: Apache-2.0
"""Looks for what is personal where it must never be: in the validators' databases and in any log of a demonstration.

Names of two characters are left out: in a season's farms and companies they stand by chance.
"""

import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NAME_CHARACTERS_MIN: Final = 3
CHUNK_BYTES: Final = 4 * 1024 * 1024
"""Read at once; a trace that lies across two is found, because they overlap."""
_ALIGNED_BYTES_MIN: Final = 7
"""Wherever so many stand, four of them are aligned."""
_HASHES: Final = (hashlib.sha256, hashlib.sha1, hashlib.md5)
"""Of what somebody could find by trying all numbers; no salt, no key."""


@dataclass(frozen=True, slots=True)
class Search:
    """What a search came to.

    Attributes:
        files: How many were read.
        size_bytes: How much that was.
        found: Files that hold a trace, sorted; which, is told, and not what.
    """

    files: int
    size_bytes: int
    found: tuple[str, ...]


def traces_of(words: Iterable[str]) -> list[bytes]:
    """What would betray these words: they themselves, and their plain hashes as bytes and as hex digits.

    Args:
        words: Numbers, phones, addresses, names.
    """
    traces: set[bytes] = set()
    for word in {word for word in words if len(word) >= NAME_CHARACTERS_MIN}:
        raw = word.encode()
        digests = [make(raw, usedforsecurity=False).digest() for make in _HASHES]
        traces |= {raw, *digests, *(digest.hex().encode() for digest in digests)}
    return sorted(traces)


def search(files: Iterable[Path], words: Iterable[str]) -> Search:
    """Read files whole and look for traces of words in them.

    Args:
        files: A database at work deletes some meanwhile; those are passed over.
        words: See `traces_of`.
    """
    traces = traces_of(words)
    short = [trace for trace in traces if len(trace) < _ALIGNED_BYTES_MIN]
    wanted = _by_four(trace for trace in traces if len(trace) >= _ALIGNED_BYTES_MIN)
    count = size_bytes = 0
    found = []
    for path in files:
        try:
            is_found = False
            for chunk, is_new in _chunks(path, max(map(len, traces), default=1)):
                size_bytes += is_new
                is_found = is_found or _holds(chunk, wanted) or any(trace in chunk for trace in short)
        except FileNotFoundError:
            continue
        count += 1
        if is_found:
            found.append(path.name)
    return Search(count, size_bytes, tuple(sorted(found)))


def _by_four(traces: Iterable[bytes]) -> dict[int, list[bytes]]:
    """Traces by each four bytes of theirs that may be aligned where they stand: one of their first four does."""
    found: dict[int, list[bytes]] = {}
    for trace in traces:
        for start in range(4):
            found.setdefault(int.from_bytes(trace[start : start + 4], sys.byteorder), []).append(trace)
    return found


def _holds(chunk: bytes, wanted: Mapping[int, Sequence[bytes]]) -> bool:
    """Whether any trace stands in it; only those of which four bytes do are looked for: there are thousands."""
    size = len(chunk) // 4 * 4
    aligned = set(memoryview(chunk)[:size].cast("I")) if size else set()
    return any(trace in chunk for four in aligned & wanted.keys() for trace in wanted[four])


def _chunks(path: Path, overlap: int) -> Iterator[tuple[bytes, int]]:
    """Pieces of a file that overlap, each with how much of it was not in the one before."""
    with path.open("rb") as file:
        kept = b""
        while piece := file.read(CHUNK_BYTES):
            yield kept + piece, len(piece)
            kept = piece[-overlap:]
