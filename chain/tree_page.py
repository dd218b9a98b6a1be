# SPDX-License-Identifier: Apache-2.0
"""Pages of the state tree: four binary levels of it stored as one value.

A page has 16 slots. A slot is empty, or a leaf (the only one below it), or the root of a page further down (at least
two leaves below it). A leaf stands in the topmost page that has it alone in a slot, so a page's hash depends on the
keys and values below it alone. The four hashes two levels down are stored too: with them a changed slot costs six
hashes instead of fifteen, for 128 bytes.

Stored: masks of the slots in use and of the leaves among them (2 bytes each), four quarter hashes, then for the slots
in use their hashes (32 each), their versions (8 each), and for the leaves their hashed keys (32 each).

Invariant: a page has at least two leaves below it.  Source: docs/protocol.md, section 4.
"""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from chain.ics23 import EMPTY, Step
from chain.types import HASH_BYTES

SLOTS = 16
_HEADER = struct.Struct(">HH")
_BODY_AT = _HEADER.size + 4 * HASH_BYTES
_VERSION_BYTES = 8
_PAIR, _QUARTER, _HALF = 0b11, 0b1111, 0b11111111


class Slot(NamedTuple):
    """What stands at one place of the tree.

    Attributes:
        hash: Its root; EMPTY itself, not a copy of it, if nothing is below.
        version: When the page below, or the leaf's value, was written.
        key_hash: A leaf's hashed key; None for a page and for nothing.
    """

    hash: bytes
    version: int
    key_hash: bytes | None

    def encode(self) -> bytes:
        """For the record of a version's root."""
        return self.hash + self.version.to_bytes(_VERSION_BYTES) + (self.key_hash or b"")

    @classmethod
    def decode(cls, raw: bytes) -> "Slot":
        """The reverse."""
        if raw[:HASH_BYTES] == EMPTY:
            return NOTHING
        key_at = HASH_BYTES + _VERSION_BYTES
        return cls(raw[:HASH_BYTES], int.from_bytes(raw[HASH_BYTES:key_at]), raw[key_at:] or None)


NOTHING = Slot(EMPTY, 0, None)


class Page:
    """16 slots. Immutable.

    Attributes:
        used: Mask of the slots in use.
        leaves: Mask of the leaves among them.
    """

    __slots__ = ("_body", "_quarters", "leaves", "used")

    def __init__(self, used: int, leaves: int, quarters: list[bytes], body: bytes) -> None:
        self.used = used
        self.leaves = leaves
        self._quarters = quarters
        self._body = body

    @classmethod
    def of(cls, slots: Sequence[Slot]) -> "Page":
        """A page of 16 slots with at least two leaves below."""
        used = leaves = 0
        hashes, versions, keys = [], [], []
        for index, (node, version, key) in enumerate(slots):
            if node is EMPTY:
                continue
            used |= 1 << index
            hashes.append(node)
            versions.append(version.to_bytes(_VERSION_BYTES))
            if key is not None:
                leaves |= 1 << index
                keys.append(key)
        page = cls(used, leaves, [], b"".join((*hashes, *versions, *keys)))
        page._quarters = [page._quarter(at) for at in (0, 4, 8, 12)]
        return page

    def encode(self) -> bytes:
        """As stored."""
        return b"".join((_HEADER.pack(self.used, self.leaves), *self._quarters, self._body))

    @classmethod
    def decode(cls, raw: bytes) -> "Page":
        """The reverse."""
        used, leaves = _HEADER.unpack_from(raw)
        return cls(used, leaves, [raw[4:36], raw[36:68], raw[68:100], raw[100:132]], raw[_BODY_AT:])

    def slot(self, index: int) -> Slot:
        """What stands in one slot."""
        used = self.used
        bit = 1 << index
        if not used & bit:
            return NOTHING
        body = self._body
        before = (used & bit - 1).bit_count()
        count = used.bit_count()
        at = HASH_BYTES * count + _VERSION_BYTES * before
        version = int.from_bytes(body[at : at + _VERSION_BYTES])
        key = None
        if self.leaves & bit:
            at = (HASH_BYTES + _VERSION_BYTES) * count + HASH_BYTES * (self.leaves & bit - 1).bit_count()
            key = body[at : at + HASH_BYTES]
        return Slot(body[HASH_BYTES * before : HASH_BYTES * before + HASH_BYTES], version, key)

    def changed(self, changes: Mapping[int, Slot]) -> "Page | Slot":
        """The page with other things in some slots.

        Returns:
            Where only one leaf, or nothing, is left: the slot that stands for the page from now on.
        """
        used, leaves = self.used, self.leaves
        for index, slot in changes.items():
            bit = 1 << index
            used = used & ~bit if slot.hash is EMPTY else used | bit
            leaves = leaves & ~bit if slot.key_hash is None else leaves | bit
        if used != self.used or leaves != self.leaves:
            if used & (used - 1) == 0 and used == leaves:
                index = used.bit_length() - 1
                return NOTHING if not used else changes[index] if index in changes else self.slot(index)
            return Page.of([changes[index] if index in changes else self.slot(index) for index in range(SLOTS)])
        body = bytearray(self._body)
        count = used.bit_count()
        for index, (node, version, key) in changes.items():
            below = (1 << index) - 1
            before = (used & below).bit_count()
            body[HASH_BYTES * before : HASH_BYTES * before + HASH_BYTES] = node
            at = HASH_BYTES * count + _VERSION_BYTES * before
            body[at : at + _VERSION_BYTES] = version.to_bytes(_VERSION_BYTES)
            if key is not None:
                at = (HASH_BYTES + _VERSION_BYTES) * count + HASH_BYTES * (leaves & below).bit_count()
                body[at : at + HASH_BYTES] = key
        page = Page(used, leaves, self._quarters.copy(), bytes(body))
        for quarter in {index >> 2: None for index in changes}:
            page._quarters[quarter] = page._quarter(quarter << 2)
        return page

    def root(self) -> bytes:
        """The page's hash."""
        return hashlib.sha256(b"\x01" + self._half(0) + self._half(8)).digest()

    def steps(self, index: int, *, lone: bool) -> list[Step]:
        """The way from a slot up through the page.

        Args:
            index: The slot.
            lone: Whether it is a leaf that nothing has been hashed with yet; such a one rises past empty siblings.

        Returns:
            The steps upwards. At the top no leaf is alone any more: a page has two.
        """
        steps: list[Step] = []
        used = self.used
        pair, quarter, half = (index ^ 1) & 15, (index ^ 2) & 14, (index ^ 4) & 12
        if not lone or used >> pair & 1:
            steps.append((bool(index & 1), self._hash(pair)))
            lone = False
        if not lone or used >> quarter & _PAIR:
            steps.append((bool(index & 2), self._pair(quarter)))
            lone = False
        if not lone or used >> half & _QUARTER:
            steps.append((bool(index & 4), self._quarters[half >> 2]))
            lone = False
        if not lone or used >> (index & 8 ^ 8) & _HALF:
            steps.append((bool(index & 8), self._half(index & 8 ^ 8)))
        return steps

    def _hash(self, index: int) -> bytes:
        """The hash of one slot."""
        bit = 1 << index
        if not self.used & bit:
            return EMPTY
        at = HASH_BYTES * (self.used & bit - 1).bit_count()
        return self._body[at : at + HASH_BYTES]

    def _pair(self, at: int) -> bytes:
        """The hash over slots at and at + 1; of a lone leaf, its own."""
        bits = self.used >> at & _PAIR
        if not bits:
            return EMPTY
        if bits != _PAIR and self.leaves >> at & bits:
            return self._hash(at + (bits >> 1))
        return hashlib.sha256(b"\x01" + self._hash(at) + self._hash(at + 1)).digest()

    def _quarter(self, at: int) -> bytes:
        """The hash over four slots, computed."""
        bits = self.used >> at & _QUARTER
        if not bits:
            return EMPTY
        if bits & (bits - 1) == 0 and self.leaves >> at & bits:
            return self._hash(at + bits.bit_length() - 1)
        return hashlib.sha256(b"\x01" + self._pair(at) + self._pair(at + 2)).digest()

    def _half(self, at: int) -> bytes:
        """The hash over eight slots, from the quarters."""
        bits = self.used >> at & _HALF
        if not bits:
            return EMPTY
        if bits & (bits - 1) == 0 and self.leaves >> at & bits:
            return self._hash(at + bits.bit_length() - 1)
        quarter = at >> 2
        return hashlib.sha256(b"\x01" + self._quarters[quarter] + self._quarters[quarter + 1]).digest()
