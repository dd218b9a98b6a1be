# SPDX-License-Identifier: Apache-2.0
"""Builds the log anew from the entries and compares it with the checkpoints' roots and with the stored tiles.

Where a root differs, the tiles say whether an entry is wrong or the log itself; the checkpoint decides between the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from chain.checkpoint import Checkpoint
from chain.log_tiles import TILE_BITS, TILE_WIDTH, Log
from chain.storage import Reader
from chain.types import HASH_BYTES
from node.fsck_findings import Findings
from node.store_keys import LOG_PREFIX, numbered

_TILE_ROW_BYTES = TILE_WIDTH * HASH_BYTES


@dataclass(slots=True)
class Leaf:
    """An entry on its way into the log.

    Attributes:
        hash: None where the entry is missing.
    """

    index: int
    hash: bytes | None


class LogCheck:
    """One check of the log.

    Attributes:
        size: Entries so far.
    """

    def __init__(self, reader: Reader, findings: Findings, first_leaf: int) -> None:
        """Begin with the entries before the oldest one held, of which the log has but the tiles at its left edge."""
        self._reader = reader
        self._findings = findings
        self.size = first_leaf
        self._edge: Sequence[list[list[bytes]]] = ()
        self._tile: tuple[int, bytes] = (-1, b"")
        self._log: Log | None = None
        try:
            self._log = Log(reader, LOG_PREFIX, first_leaf)
        except AssertionError:
            findings.missing(LOG_PREFIX, "the log's tiles left of the oldest entry are not all stored")

    def append(self, leaves: list[Leaf], checkpoint: Checkpoint | None, height: int) -> None:
        """Append a block's leaves to the log and compare its root; where it differs, the tiles say which entry did."""
        before, self.size = self.size, self.size + len(leaves)
        if self._log is None:
            return
        stored = [self._stored_hash(leaf.index) for leaf in leaves]
        computed = [leaf.hash or tile or bytes(HASH_BYTES) for leaf, tile in zip(leaves, stored, strict=True)]
        append = self._log.append_hashes(computed)
        if checkpoint is not None and append.root != checkpoint.log_root:
            append = self._log.append_hashes([tile or own for tile, own in zip(stored, computed, strict=True)])
            if append.root != checkpoint.log_root or append.size != checkpoint.log_size:
                self._findings.wrong(
                    numbered(b"C", height), f"its log root is not that of the {before + len(leaves)} entries stored"
                )
                self._log = None  # every later root would differ too
                return
            for leaf, tile in zip(leaves, stored, strict=True):
                if leaf.hash not in {None, tile}:
                    self._findings.wrong(numbered(b"E", leaf.index), "does not have the hash that the log has for it")
        for key, value in append.puts.items():
            if len(value) == _TILE_ROW_BYTES:
                self._check_tile(key, value)
        self._log.applied(append)
        self._edge = append.edge

    def _stored_hash(self, index: int) -> bytes | None:
        """What the stored tile has for a leaf."""
        tile, column = divmod(index, TILE_WIDTH)
        if self._tile[0] != tile:
            self._tile = (tile, self._reader.get(_tile_key(0, tile)) or b"")
        found = self._tile[1][column * HASH_BYTES : (column + 1) * HASH_BYTES]
        return found if len(found) == HASH_BYTES else None

    def _check_tile(self, key: bytes, value: bytes) -> None:
        stored = self._reader.get(key)
        if stored is None:
            self._findings.missing(key, "a tile of the log is not stored")
        elif stored != value:
            self._findings.wrong(key, "a tile of the log does not hold the hashes of its entries")

    def finish(self) -> None:
        """Compare the tiles at the log's right edge, and name those that it does not have."""
        if self._log is not None:
            for level, rows in enumerate(self._edge):
                if rows[0]:
                    tile = (self.size >> level * TILE_BITS) >> TILE_BITS
                    self._check_tile(_tile_key(level, tile), b"".join(rows[0]))
        for key, _ in self._reader.range(LOG_PREFIX, bytes((LOG_PREFIX[0] + 1,))):
            tile, width = int.from_bytes(key[2:]), self.size >> key[1] * TILE_BITS if len(key) == 10 else 0
            if tile * TILE_WIDTH >= width:
                self._findings.surplus(key, f"a tile that a log of {self.size} entries does not have")


def _tile_key(level: int, tile: int) -> bytes:
    return LOG_PREFIX + level.to_bytes(1) + tile.to_bytes(8)
