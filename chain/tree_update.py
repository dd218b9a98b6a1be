# SPDX-License-Identifier: Apache-2.0
"""One update of the state tree: from the old pages and sorted changes to the new pages.

Each page that a change touches is read once and written once. Nothing is stored here; see `chain.tree`.

Invariant: the outcome depends on the map before and the changes alone, not on the order in which keys once came.
Source: docs/protocol.md, section 4.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from chain.ics23 import EMPTY
from chain.tree_page import NOTHING, SLOTS, Page, Slot

Change: TypeAlias = tuple[bytes, bytes | None]
"""A hashed key and its new leaf hash; None deletes it."""

DIGITS = tuple(bytes((digit,)) for digit in range(16))
CACHED_DEPTH_MAX = 3
"""Pages of the upper four page levels are kept in memory: 4,369 of them when all are full."""


class Keys:
    """The keys under which a tree lies in its store; the table stands in `chain.tree`."""

    def __init__(self, prefix: bytes) -> None:
        self._page = prefix + b"n"
        self._value = prefix + b"v"
        self._root = prefix + b"r"
        self._stale = prefix + b"s"
        self.oldest = prefix + b"p"

    def page(self, version: int, path: bytes) -> bytes:
        """Of a page."""
        return self._page + version.to_bytes(8) + path

    def value(self, key_hash: bytes, version: int) -> bytes:
        """Of a value."""
        return self._value + key_hash + version.to_bytes(8)

    def root(self, version: int) -> bytes:
        """Of a version's root."""
        return self._root + version.to_bytes(8)

    def stale(self, version: int) -> bytes:
        """Of the list of what a version made stale."""
        return self._stale + version.to_bytes(8)

    @staticmethod
    def pack_stale(keys: Sequence[bytes]) -> bytes:
        """That list, as stored."""
        return b"".join([len(key).to_bytes(1) + key for key in keys])

    @staticmethod
    def unpack_stale(raw: bytes) -> Iterator[bytes]:
        """The reverse."""
        at = 0
        while at < len(raw):
            stop = at + 1 + raw[at]
            yield raw[at + 1 : stop]
            at = stop

    @staticmethod
    def pack_value(key: bytes, value: bytes) -> bytes:
        """A key and its value, as stored."""
        return len(key).to_bytes(2) + key + value

    @staticmethod
    def unpack_value(raw: bytes) -> tuple[bytes, bytes]:
        """The reverse."""
        stop = 2 + int.from_bytes(raw[:2])
        return raw[2:stop], raw[stop:]


@dataclass(frozen=True, slots=True)
class TreeUpdate:
    """What an update yields; nothing is stored yet.

    Attributes:
        previous: The version that it follows; None on an empty store.
        version: The version that it makes; None if nothing changed.
        root_slot: What stands at the root after it.
        puts: Keys and values to store.
        pages: Those of the new pages that are kept in memory, by key.
        stale_pages: Keys of the pages that the new ones take the place of.
    """

    previous: int | None
    version: int | None
    root_slot: Slot
    puts: dict[bytes, bytes]
    pages: dict[bytes, Page]
    stale_pages: list[bytes]

    @property
    def root(self) -> bytes:
        """The 32-byte root after the update."""
        return self.root_slot.hash


class Updating:
    """The work of one update."""

    def __init__(self, load: Callable[[bytes, int], Page], keys: Keys, version: int) -> None:
        self._load = load
        self._keys = keys
        self._version = version
        self._puts: dict[bytes, bytes] = {}
        self._pages: dict[bytes, Page] = {}
        self._stale_pages: list[bytes] = []
        self._stale_values: list[bytes] = []
        self._fresh: list[bytes] = []

    def result(
        self, previous: int | None, root_before: Slot, root: Slot, values: Mapping[bytes, tuple[bytes, bytes]]
    ) -> TreeUpdate:
        """Everything to store.

        Args:
            previous: The version before.
            root_before: Its root.
            root: What `descend` made of it.
            values: Raw keys and values by hashed key, of all writes.
        """
        if root is root_before:
            return TreeUpdate(previous, None, root, {}, {}, [])
        keys, version, puts = self._keys, self._version, self._puts
        for key_hash in self._fresh:
            puts[keys.value(key_hash, version)] = keys.pack_value(*values[key_hash])
        stale = self._stale_pages + self._stale_values
        if previous is not None:
            stale.append(keys.root(previous))
        puts[keys.root(version)] = root.encode()
        puts[keys.stale(version)] = keys.pack_stale(stale)
        return TreeUpdate(previous, version, root, puts, self._pages, self._stale_pages)

    def descend(self, slot: Slot, path: bytes, changes: Sequence[Change]) -> Slot:
        """Apply changes, sorted and at least one, below a slot; return what stands there then.

        Returns:
            The very same slot if nothing changed.
        """
        if len(changes) == 1:
            return self._descend_one(slot, path, changes)
        if slot.key_hash is not None or slot.hash is EMPTY:
            return self._merge(slot, path, changes)
        key = self._keys.page(slot.version, path)
        page = self._load(key, len(path))
        depth = len(path)
        at, count = 0, len(changes)
        slots: dict[int, Slot] = {}
        while at < count:
            digit, stop = _group(changes, at, depth)
            before = page.slot(digit)
            after = self.descend(before, path + DIGITS[digit], changes[at:stop])
            if after is not before:
                slots[digit] = after
            at = stop
        if not slots:
            return slot
        self._stale_pages.append(key)
        left = page.changed(slots)
        return left if isinstance(left, Slot) else self._seal(left, path)

    def _descend_one(self, slot: Slot, path: bytes, changes: Sequence[Change]) -> Slot:
        """The same for a single change, as most are a few levels down: straight down and up again."""
        key_hash = changes[0][0]
        way: list[tuple[Page, int, bytes, bytes]] = []
        below = slot
        while below.key_hash is None and below.hash is not EMPTY:
            depth = len(path)
            byte = key_hash[depth >> 1]
            digit = byte & 15 if depth & 1 else byte >> 4
            key = self._keys.page(below.version, path)
            page = self._load(key, depth)
            way.append((page, digit, key, path))
            path += DIGITS[digit]
            below = page.slot(digit)
        after = self._merge(below, path, changes)
        if after is below:
            return slot
        while way:
            page, digit, key, path = way.pop()
            self._stale_pages.append(key)
            left = page.changed({digit: after})
            after = left if isinstance(left, Slot) else self._seal(left, path)
        return after

    def _merge(self, slot: Slot, path: bytes, changes: Sequence[Change]) -> Slot:
        """Apply changes to an empty slot or to a leaf."""
        leaves: list[Slot] = []
        overwritten = False
        for key_hash, leaf_hash in changes:
            if key_hash == slot.key_hash:
                overwritten = True
                if leaf_hash == slot.hash:
                    leaves.append(slot)
                    continue
                self._stale_values.append(self._keys.value(key_hash, slot.version))
            if leaf_hash is not None:
                leaves.append(Slot(leaf_hash, self._version, key_hash))
                self._fresh.append(key_hash)
        if slot.key_hash is not None and not overwritten:
            leaves.append(slot)
            leaves.sort(key=_key_of)
        if not leaves:
            return slot if slot is NOTHING or slot.hash is EMPTY else NOTHING
        return self._build(leaves, path)

    def _build(self, leaves: Sequence[Slot], path: bytes) -> Slot:
        """A subtree of leaves, sorted and at least one."""
        if len(leaves) == 1:
            return leaves[0]
        slots = [NOTHING] * SLOTS
        depth = len(path)
        groups: dict[int, list[Slot]] = {}
        for leaf in leaves:
            byte = _key_of(leaf)[depth >> 1]
            groups.setdefault(byte & 15 if depth & 1 else byte >> 4, []).append(leaf)
        for digit, group in groups.items():
            slots[digit] = self._build(group, path + DIGITS[digit])
        return self._seal(Page.of(slots), path)

    def _seal(self, page: Page, path: bytes) -> Slot:
        """Hash a page and note it for storing."""
        key = self._keys.page(self._version, path)
        self._puts[key] = page.raw
        if len(path) <= CACHED_DEPTH_MAX:
            self._pages[key] = page
        return Slot(page.root(), self._version, None)


def _group(changes: Sequence[Change], at: int, depth: int) -> tuple[int, int]:
    """The digit at this depth of the change at `at`, and where the changes with the same digit end."""
    byte_at, low = depth >> 1, depth & 1
    byte = changes[at][0][byte_at]
    digit = byte & 15 if low else byte >> 4
    stop = at + 1
    while stop < len(changes):
        byte = changes[stop][0][byte_at]
        if (byte & 15 if low else byte >> 4) != digit:
            break
        stop += 1
    return digit, stop


def _key_of(leaf: Slot) -> bytes:
    assert leaf.key_hash is not None
    return leaf.key_hash
