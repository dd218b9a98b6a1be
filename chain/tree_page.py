# SPDX-License-Identifier: Apache-2.0
"""Pages of the state tree: four binary levels of it stored as one value.

A page has 16 slots. A slot is empty, or a leaf (the only one below it), or the root of a page further down (at least
two leaves below it). A leaf stands in the topmost page that has it alone in a slot, so a page's content and hash depend
on the keys and values below it alone.

Invariant: a stored page has at least two leaves below it.  Source: docs/protocol.md, section 4.
"""

import hashlib
import struct
from typing import NamedTuple

from chain.ics23 import EMPTY
from chain.types import HASH_BYTES

SLOTS = 16
_LEVELS = 4
_HEADER = struct.Struct(">HH")
_VERSIONS = tuple(struct.Struct(f">{count}Q") for count in range(SLOTS + 1))


class Slot(NamedTuple):
    """What stands at one place of the tree.

    Attributes:
        hash: Its root; EMPTY if nothing is below.
        version: When the page below, or the leaf's value, was written.
        key_hash: A leaf's hashed key; None for a page and for nothing.
    """

    hash: bytes
    version: int
    key_hash: bytes | None

    def encode(self) -> bytes:
        """For the record of a version's root."""
        return self.hash + self.version.to_bytes(8) + (self.key_hash or b"")

    @classmethod
    def decode(cls, raw: bytes) -> "Slot":
        """The reverse."""
        if raw[:HASH_BYTES] == EMPTY:
            return NOTHING
        return cls(raw[:HASH_BYTES], int.from_bytes(raw[HASH_BYTES : HASH_BYTES + 8]), raw[HASH_BYTES + 8 :] or None)


NOTHING = Slot(EMPTY, 0, None)


class Page:
    """16 slots, column by column. Never altered once it is in a cache or in another's hands.

    Attributes:
        hashes: The slots' hashes; EMPTY itself, not a copy of it, where nothing is.
        versions: The slots' versions.
        key_hashes: The leaves' hashed keys, None elsewhere.
    """

    __slots__ = ("_rows", "hashes", "key_hashes", "versions")

    def __init__(self, hashes: list[bytes], versions: list[int], key_hashes: list[bytes | None]) -> None:
        self.hashes = hashes
        self.versions = versions
        self.key_hashes = key_hashes
        self._rows: list[list[bytes]] | None = None

    @classmethod
    def blank(cls) -> "Page":
        """A page of empty slots."""
        return cls([EMPTY] * SLOTS, [0] * SLOTS, [None] * SLOTS)

    def copy(self) -> "Page":
        """The same slots, free to be set."""
        return Page(self.hashes.copy(), self.versions.copy(), self.key_hashes.copy())

    def slot(self, index: int) -> Slot:
        """What stands in one slot."""
        return Slot(self.hashes[index], self.versions[index], self.key_hashes[index])

    def set(self, index: int, slot: Slot) -> None:
        """Put something else in one slot."""
        self.hashes[index], self.versions[index], self.key_hashes[index] = slot

    def encode(self) -> bytes:
        """Two masks (pages below, leaves), then the hashes, versions and hashed keys of the slots in use."""
        leaves = [key for key in self.key_hashes if key is not None]
        pages_mask = leaves_mask = 0
        hashes = []
        versions = []
        bit = 1
        for node, version, key in zip(self.hashes, self.versions, self.key_hashes, strict=True):
            if node is not EMPTY:
                if key is None:
                    pages_mask |= bit
                else:
                    leaves_mask |= bit
                hashes.append(node)
                versions.append(version)
            bit <<= 1
        return b"".join(
            (_HEADER.pack(pages_mask, leaves_mask), *hashes, _VERSIONS[len(versions)].pack(*versions), *leaves)
        )

    @classmethod
    def decode(cls, raw: bytes) -> "Page":
        """The reverse."""
        pages_mask, leaves_mask = _HEADER.unpack_from(raw)
        mask = pages_mask | leaves_mask
        count = mask.bit_count()
        at = _HEADER.size
        key_at = at + count * (HASH_BYTES + 8)
        stored = iter(_VERSIONS[count].unpack_from(raw, at + count * HASH_BYTES))
        page = cls.blank()
        hashes, versions, key_hashes = page.hashes, page.versions, page.key_hashes
        for index in range(SLOTS):
            if mask >> index & 1:
                hashes[index] = raw[at : at + HASH_BYTES]
                at += HASH_BYTES
                versions[index] = next(stored)
                if leaves_mask >> index & 1:
                    key_hashes[index] = raw[key_at : key_at + HASH_BYTES]
                    key_at += HASH_BYTES
        return page

    def lone(self) -> Slot | None:
        """The slot that stands for this page where it holds one leaf alone, or nothing; None if it is a true page."""
        used = SLOTS - self.hashes.count(EMPTY)
        if used == 0:
            return NOTHING
        if used > 1:
            return None
        index = next(index for index in range(SLOTS) if self.hashes[index] is not EMPTY)
        return None if self.key_hashes[index] is None else self.slot(index)

    def rows(self) -> list[list[bytes]]:
        """Hashes level by level: 16, 8, 4, 2, 1. The last is the page's own."""
        if self._rows is None:
            self._rows = _fold(self.hashes) if EMPTY not in self.hashes else _fold_sparse(self.hashes, self.key_hashes)
        return self._rows

    def steps(self, index: int, *, lone: bool) -> tuple[list[tuple[bool, bytes]], bool]:
        """The way from a slot up through the page.

        Args:
            index: The slot.
            lone: Whether it is a leaf that nothing has been hashed with yet; such a one rises past empty siblings.

        Returns:
            The steps upwards (see `chain.ics23.Step`), and whether the leaf is still alone at the top.
        """
        steps = []
        for row in self.rows()[:_LEVELS]:
            sibling = row[index ^ 1]
            if not lone or sibling is not EMPTY:
                steps.append((bool(index & 1), sibling))
                lone = False
            index >>= 1
        return steps, lone


def _fold(hashes: list[bytes]) -> list[list[bytes]]:
    """The rows of a page without empty slots."""
    sha256 = hashlib.sha256
    rows = [hashes]
    row = hashes
    while len(row) > 1:
        row = [sha256(b"\x01" + left + right).digest() for left, right in zip(row[::2], row[1::2], strict=True)]
        rows.append(row)
    return rows


def _fold_sparse(hashes: list[bytes], key_hashes: list[bytes | None]) -> list[list[bytes]]:
    """The rows of a page with empty slots: a leaf that is alone below a node is that node."""
    sha256 = hashlib.sha256
    rows = [hashes]
    row = hashes
    lone = [key is not None for key in key_hashes]
    while len(row) > 1:
        above = []
        lone_above = []
        for at in range(0, len(row), 2):
            left, right = row[at], row[at + 1]
            if left is EMPTY and (right is EMPTY or lone[at + 1]):
                above.append(right)
                lone_above.append(lone[at + 1])
            elif right is EMPTY and lone[at]:
                above.append(left)
                lone_above.append(True)
            else:
                above.append(sha256(b"\x01" + left + right).digest())
                lone_above.append(False)
        row, lone = above, lone_above
        rows.append(row)
    return rows
