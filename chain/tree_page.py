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
_QUARTERS_AT = _HEADER.size
_BODY_AT = _QUARTERS_AT + 4 * HASH_BYTES
_NO_QUARTERS = bytes(4 * HASH_BYTES)
_VERSION_BYTES = 8
_PAIR, _QUARTER, _HALF = 0b11, 0b1111, 0b11111111
_VERSIONS = tuple(struct.Struct(f">{count}Q") for count in range(SLOTS + 1))
_INDICES = tuple(tuple(index for index in range(8) if mask >> index & 1) for mask in range(256))
"""Of the bits that are set in a byte, ascending."""
_INDICES_HIGH = tuple(tuple(index + 8 for index in indices) for indices in _INDICES)


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
        raw: As stored.
        used: Mask of the slots in use.
        leaves: Mask of the leaves among them.
    """

    __slots__ = ("leaves", "raw", "used")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.used, self.leaves = _HEADER.unpack_from(raw)

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
        return cls._packed(used, leaves, (*hashes, *versions, *keys))

    @classmethod
    def of_version(cls, version: int, used: int, hashes: Sequence[bytes], leaves: int, keys: Sequence[bytes]) -> "Page":
        """A page all of whose slots are of one version: what `of` makes of the same, in less time.

        Args:
            version: Of each slot.
            used: Mask of the slots in use.
            hashes: Of those, ascending.
            leaves: Mask of the leaves among them.
            keys: The leaves' hashed keys, ascending.
        """
        return cls._packed(used, leaves, (*hashes, version.to_bytes(_VERSION_BYTES) * len(hashes), *keys))

    @classmethod
    def _packed(cls, used: int, leaves: int, body: Sequence[bytes]) -> "Page":
        """The page with this body, its quarters computed."""
        raw = bytearray(b"".join((_HEADER.pack(used, leaves), _NO_QUARTERS, *body)))
        for quarter in range(4):
            if used >> 4 * quarter & _QUARTER:
                _set_quarter(raw, used, leaves, quarter)
        return cls(bytes(raw))

    def slot(self, index: int) -> Slot:
        """What stands in one slot."""
        raw, used = self.raw, self.used
        bit = 1 << index
        if not used & bit:
            return NOTHING
        before = (used & bit - 1).bit_count()
        at = _BODY_AT + HASH_BYTES * before
        versions_at = _BODY_AT + HASH_BYTES * used.bit_count() + _VERSION_BYTES * before
        version = int.from_bytes(raw[versions_at : versions_at + _VERSION_BYTES])
        if not self.leaves & bit:
            return Slot(raw[at : at + HASH_BYTES], version, None)
        key_at = _key_at(used, self.leaves, bit)
        return Slot(raw[at : at + HASH_BYTES], version, raw[key_at : key_at + HASH_BYTES])

    def below(self) -> list[tuple[int, int, bytes | None]]:
        """Index, version and a leaf's hashed key of each slot in use, ascending: for a walk that needs no hashes."""
        raw, used, leaves = self.raw, self.used, self.leaves
        count = used.bit_count()
        version_at = _BODY_AT + HASH_BYTES * count
        versions = _VERSIONS[count].unpack_from(raw, version_at)
        key_at = version_at + _VERSION_BYTES * count
        found: list[tuple[int, int, bytes | None]] = []
        for index, version in zip(_INDICES[used & _HALF] + _INDICES_HIGH[used >> 8], versions, strict=True):
            if leaves >> index & 1:
                found.append((index, version, raw[key_at : key_at + HASH_BYTES]))
                key_at += HASH_BYTES
            else:
                found.append((index, version, None))
        return found

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
        # The same slots hold the same kinds of things: everything stands where it stood.
        raw = bytearray(self.raw)
        versions_at = _BODY_AT + HASH_BYTES * used.bit_count()
        for index, (node, version, key) in changes.items():
            bit = 1 << index
            before = (used & bit - 1).bit_count()
            at = _BODY_AT + HASH_BYTES * before
            raw[at : at + HASH_BYTES] = node
            at = versions_at + _VERSION_BYTES * before
            raw[at : at + _VERSION_BYTES] = version.to_bytes(_VERSION_BYTES)
            if key is not None:
                at = _key_at(used, leaves, bit)
                raw[at : at + HASH_BYTES] = key
        for quarter in {index >> 2: None for index in changes}:
            _set_quarter(raw, used, leaves, quarter)
        return Page(bytes(raw))

    def root(self) -> bytes:
        """The page's hash."""
        used, raw = self.used, self.raw
        low, high = used & _HALF, used >> 8
        if low & (low - 1) and high & (high - 1):
            sha256 = hashlib.sha256
            left = sha256(b"\x01" + raw[_QUARTERS_AT : _QUARTERS_AT + 64]).digest()
            right = sha256(b"\x01" + raw[_QUARTERS_AT + 64 : _BODY_AT]).digest()
            return sha256(b"\x01" + left + right).digest()
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
        single, pair, quarter, half = (index ^ 1) & 15, (index ^ 2) & 14, (index ^ 4) & 12, (index ^ 8) & 8
        if not lone or used >> single & 1:
            steps.append((bool(index & 1), _pair(self.raw, used, self.leaves, single, 1)))
            lone = False
        if not lone or used >> pair & _PAIR:
            steps.append((bool(index & 2), _pair(self.raw, used, self.leaves, pair, 2)))
            lone = False
        if not lone or used >> quarter & _QUARTER:
            at = _QUARTERS_AT + HASH_BYTES * (quarter >> 2)
            steps.append((bool(index & 4), self.raw[at : at + HASH_BYTES]))
            lone = False
        if not lone or used >> half & _HALF:
            steps.append((bool(index & 8), self._half(half)))
        return steps

    def _half(self, at: int) -> bytes:
        """The hash over eight slots, from the quarters."""
        bits = self.used >> at & _HALF
        if not bits:
            return EMPTY
        if bits & (bits - 1) == 0 and self.leaves >> at & bits:
            start = _BODY_AT + HASH_BYTES * (self.used & (bits << at) - 1).bit_count()
            return self.raw[start : start + HASH_BYTES]
        start = _QUARTERS_AT + HASH_BYTES * (at >> 2)
        return hashlib.sha256(b"\x01" + self.raw[start : start + 2 * HASH_BYTES]).digest()


def _key_at(used: int, leaves: int, bit: int) -> int:
    """Where a leaf's hashed key stands."""
    before = (leaves & bit - 1).bit_count()
    return _BODY_AT + (HASH_BYTES + _VERSION_BYTES) * used.bit_count() + HASH_BYTES * before


def _set_quarter(raw: bytearray, used: int, leaves: int, quarter: int) -> None:
    """Compute the hash over four slots and put it in its place."""
    first = quarter << 2
    bits = used >> first & _QUARTER
    if bits == _QUARTER:
        sha256 = hashlib.sha256
        at = _BODY_AT + HASH_BYTES * (used & (1 << first) - 1).bit_count()
        left = sha256(b"\x01" + raw[at : at + 64]).digest()
        node = sha256(b"\x01" + left + sha256(b"\x01" + raw[at + 64 : at + 128]).digest()).digest()
    elif not bits:
        node = EMPTY
    elif bits & (bits - 1) == 0 and leaves >> first & bits:
        node = _pair(raw, used, leaves, first + bits.bit_length() - 1, 1)
    else:
        left = _pair(raw, used, leaves, first, 2)
        node = hashlib.sha256(b"\x01" + left + _pair(raw, used, leaves, first + 2, 2)).digest()
    at = _QUARTERS_AT + HASH_BYTES * quarter
    raw[at : at + HASH_BYTES] = node


def _pair(raw: bytes | bytearray, used: int, leaves: int, first: int, width: int) -> bytes:
    """The hash over one slot or two neighbours; of a lone leaf, its own."""
    bits = used >> first & (_PAIR if width == 2 else 1)
    if not bits:
        return EMPTY
    at = _BODY_AT + HASH_BYTES * (used & (1 << first) - 1).bit_count()
    if bits == _PAIR:
        return hashlib.sha256(b"\x01" + raw[at : at + 64]).digest()
    node = bytes(raw[at : at + HASH_BYTES])
    if width == 1 or leaves >> first & bits:
        return node
    return hashlib.sha256(b"\x01" + node + EMPTY if bits == 1 else b"\x01" + EMPTY + node).digest()
