# SPDX-License-Identifier: Apache-2.0
"""One past version of a state tree, walked from its root: what a copy is made of, and what two trees are compared by.

Reads pages and values of any consistent view and changes nothing. The pages near the root are kept, the many below are
read once and forgotten.

Source: docs/protocol.md, sections 4 and 7.
"""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from chain.errors import Refused
from chain.ics23 import EMPTY
from chain.storage import Reader
from chain.tree import StateTree
from chain.tree_build import HASHED_DIGITS
from chain.tree_page import SLOTS, Page, Slot
from chain.tree_update import CACHED_DEPTH_MAX, DIGITS, Keys

Leaf: TypeAlias = tuple[bytes, int]
"""A leaf's hashed key, and the version under which its value lies."""

PAGES_KEPT_MAX = 4_369
"""The upper four levels of pages when all are full: about 1 KB each."""
_FULL_LEVELS = 3
"""So many full levels of pages below a place, and it is not worth counting its leaves: there are thousands."""


class TreeWalk:
    """A state tree at one version.

    Attributes:
        root: What stands at its root.
    """

    def __init__(self, reader: Reader, prefix: bytes, version: int) -> None:
        """Find the version's root.

        Raises:
            Refused: The version is pruned.
        """
        self._reader = reader
        self._keys = Keys(prefix)
        self._kept: dict[bytes, Page] = {}
        self.root = StateTree(reader, prefix).root_slot(version)

    def slot(self, path: bytes) -> Slot:
        """What stands at a path: a page, a leaf, or nothing.

        Raises:
            Refused: There is no such place: a leaf or nothing stands above it.
        """
        if len(path) > HASHED_DIGITS or any(digit >= SLOTS for digit in path):
            raise Refused("a path has up to 64 hexadecimal digits, a byte each", "state.no-such-path")
        slot = self.root
        for depth, digit in enumerate(path):
            if slot.key_hash is not None or slot.hash is EMPTY:
                raise Refused("nothing stands at this path of the state", "state.no-such-path")
            slot = self.page(slot, path[:depth]).slot(digit)
        return slot

    def page(self, slot: Slot, path: bytes) -> Page:
        """The page that a slot stands for; the path is the slot's."""
        return self._page(slot.version, path)

    def _page(self, version: int, path: bytes) -> Page:
        key = self._keys.page(version, path)
        page = self._kept.get(key)
        if page is None:
            raw = self._reader.get(key)
            assert raw is not None, f"state page {key.hex()} is not stored"
            page = Page(raw)
            if len(path) <= CACHED_DEPTH_MAX and len(self._kept) < PAGES_KEPT_MAX:
                self._kept[key] = page
        return page

    def leaves(self, slot: Slot, path: bytes, count_max: int) -> list[Leaf] | None:
        """All leaves below a slot, in the order of their hashed keys; None if there are more than so many."""
        if slot.key_hash is not None:
            return [(slot.key_hash, slot.version)]
        if slot.hash is EMPTY:
            return []
        if self._is_large(slot, path):
            return None
        found: list[Leaf] = []

        def descend(version: int, path: bytes) -> None:
            for digit, below, key_hash in self._page(version, path).below():
                if key_hash is not None:
                    found.append((key_hash, below))
                elif len(found) <= count_max:
                    descend(below, path + DIGITS[digit])

        descend(slot.version, path)
        return found if len(found) <= count_max else None

    def values(self, leaves: Sequence[Leaf]) -> Iterator[tuple[bytes, bytes]]:
        """Key and value of each of these leaves, which are all that stand below one path, by one scan.

        Args:
            leaves: In the order of their hashed keys.
        """
        if len(leaves) <= SLOTS:
            # Each read finds its place by itself: cheaper than a scan over what is stale between few.
            for leaf in leaves:
                yield self.value(leaf)
            return
        value_key = self._keys.value
        wanted = iter([value_key(key_hash, version) for key_hash, version in leaves])
        key = next(wanted)
        for found, raw in self._reader.range(key, value_key(*leaves[-1]) + b"\x00"):
            if found == key:
                stop = 2 + (raw[0] << 8 | raw[1])  # as `Keys.unpack_value`
                yield raw[2:stop], raw[stop:]
                key = next(wanted, b"")
        assert not key, f"state value {key.hex()} is not stored"

    def value(self, leaf: Leaf) -> tuple[bytes, bytes]:
        """A leaf's key and value."""
        key = self._keys.value(*leaf)
        raw = self._reader.get(key)
        assert raw is not None, f"state value {key.hex()} is not stored"
        return Keys.unpack_value(raw)

    def _is_large(self, slot: Slot, path: bytes) -> bool:
        """Whether so much stands below a page that counting it would be in vain: its first pages are full of pages."""
        for _ in range(_FULL_LEVELS):
            page = self.page(slot, path)
            if page.used != (1 << SLOTS) - 1 or page.leaves:
                return False
            slot, path = page.slot(0), path + DIGITS[0]
        return True
