# SPDX-License-Identifier: Apache-2.0
"""What the files of a backup hold before they are sealed: records as key and value, and the manifest.

A record is key length(2), key, value length(4), value; numbers are big-endian. What these bytes say counts only once
they were opened, so a malformed one means a file that another program sealed.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from chain.errors import InvalidMessage
from chain.types import HASH_BYTES

SEGMENT_BYTES = 16 * 1024 * 1024
"""A segment ends with the record that reaches this: few files, and each is opened in memory at once."""
SEGMENT_BYTES_MAX = SEGMENT_BYTES + 16 * 1024 * 1024
"""A full block with its records is not divided: 4 MiB of transactions, their headers in entries, digests, keys."""
SEGMENT_BLOCKS = 8_192
"""Likewise, where blocks are empty."""
PARTS_MAX = 1_000_000
"""Of a backup: 16 TB, or a backup every hour for a century. Bounds what a manifest can ask for."""
MANIFEST_BYTES_MAX = PARTS_MAX * 256


@dataclass(frozen=True, slots=True)
class Part:
    """One sealed file.

    Attributes:
        name: Under which it is sealed; the file has the suffix `.seg`.
        first: The first height whose block it holds; 0 if it holds none.
        last: The last such height.
        size_bytes: Of the file.
        sha256: Of the file, hexadecimal.
    """

    name: str
    first: int
    last: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup consists of.

    Attributes:
        generation: How often it was completed; 0 if never.
        created_at_ms: When that was.
        oldest_block: The first height of its history.
        first_leaf: Index of the first entry that it holds.
        checkpoint: The checkpoint that it ends with, hexadecimal; empty if it was never completed.
        history: Segments of blocks in height order; they never change.
        state: Files of the state and the closing checkpoints, in order; of this generation.
        home: The node's files.
    """

    generation: int
    created_at_ms: int
    oldest_block: int
    first_leaf: int
    checkpoint: str
    history: tuple[Part, ...]
    state: tuple[Part, ...]
    home: tuple[Part, ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        """All files."""
        return (*self.home, *self.history, *self.state)

    def encode(self) -> bytes:
        """As sealed."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def decode(cls, raw: bytes) -> "Manifest":
        """The reverse.

        Raises:
            InvalidMessage: The bytes are no manifest.
        """
        try:
            fields = json.loads(raw)
            for name in ("history", "state", "home"):
                fields[name] = tuple(Part(**part) for part in fields[name])
            found = cls(**fields)
            bytes.fromhex(found.checkpoint)
            is_well = all(len(bytes.fromhex(part.sha256)) == HASH_BYTES for part in found.parts)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise InvalidMessage("the manifest is malformed") from None
        if not is_well or len(found.parts) > PARTS_MAX:
            raise InvalidMessage("the manifest is malformed")
        return found


EMPTY = Manifest(0, 0, 0, 0, "", (), (), ())


def pack(records: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Records as the content of a file."""
    return b"".join([len(k).to_bytes(2) + k + len(v).to_bytes(4) + v for k, v in records])


def unpack(content: bytes) -> list[tuple[bytes, bytes]]:
    """The reverse.

    Raises:
        InvalidMessage: A record is cut off.
    """
    found: list[tuple[bytes, bytes]] = []
    at, end = 0, len(content)
    while at < end:
        value_at = at + 2 + int.from_bytes(content[at : at + 2]) + 4
        stop = value_at + int.from_bytes(content[value_at - 4 : value_at])
        if stop > end or value_at > end:
            raise InvalidMessage("a record of the file is cut off")
        found.append((content[at + 2 : value_at - 4], content[value_at:stop]))
        at = stop
    return found
