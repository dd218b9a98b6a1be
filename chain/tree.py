# SPDX-License-Identifier: Apache-2.0
"""The state tree: a compact sparse Merkle tree over a map, with each past version provable until it is pruned.

A leaf hashes to SHA-256(0x00 || SHA-256(key) || SHA-256(value)), an inner node to SHA-256(0x01 || left || right),
nothing to 32 zero bytes; a subtree with one leaf is that leaf. The bits of its hashed key say where a leaf lies, so the
root depends on the map alone. A version is the height of the block that made it; blocks that change nothing make none.

`update` changes nothing: it returns what to store. The caller writes that with the rest of its block and then says
`applied`. Stored under `prefix`:

    n version(8) path          page of 16 slots (`chain.tree_page`); path: a byte per hex digit of the hashed key
    v keyhash(32) version(8)   key length(2), key, value
    r version(8)               the root's slot
    s version(8)               which of the keys above this version made stale: length(1), key, …
    p                          the oldest version held(8)

Pages are keyed by version first: they are written in key order, which spares the database from sorting them again.

Source: docs/protocol.md, section 4.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter

from chain.errors import Refused
from chain.ics23 import EMPTY, Presence, Step, encode_absence, encode_presence, verify_ics23
from chain.storage import Reader
from chain.tree_page import NOTHING, Page, Slot
from chain.tree_update import CACHED_DEPTH_MAX, Change, Keys, TreeUpdate, Updating
from chain.types import STATE_KEY_BYTES_MAX, STATE_VALUE_BYTES_MAX, sha256

__all__ = ["EMPTY", "StateTree", "TreePruning", "TreeUpdate", "leaf_hash", "verify_ics23"]

CACHED_PAGES_MAX = 6_000
"""About 1 KB each, 6 MB together; the excess over 4,369 lets a few past versions be read beside the newest."""
_VERSION_BYTES = 8


@dataclass(frozen=True, slots=True)
class TreePruning:
    """What forgetting old versions yields; nothing is deleted yet.

    Attributes:
        oldest: The oldest version that stays provable.
    """

    oldest: int
    puts: dict[bytes, bytes]
    deletes: list[bytes]


def leaf_hash(key: bytes, value: bytes) -> bytes:
    """The hash of a key with its value: SHA-256(0x00 || SHA-256(key) || SHA-256(value))."""
    return sha256(b"\x00" + sha256(key) + sha256(value))


class StateTree:
    """A tree whose pages lie in a store under `prefix`."""

    def __init__(self, reader: Reader, prefix: bytes) -> None:
        self._reader = reader
        self._keys = Keys(prefix)
        self._cache: dict[bytes, Page] = {}
        oldest = reader.get(self._keys.oldest)
        self._oldest = 0 if oldest is None else int.from_bytes(oldest)
        self._newest, self._root = self._stored_root((1 << 64) - 1)

    @property
    def oldest(self) -> int:
        """The oldest version that can be read."""
        return self._oldest

    def root(self, version: int | None = None) -> bytes:
        """The root at a version, or the newest one.

        Raises:
            Refused: The version is pruned.
        """
        return (self._root if version is None else self._root_at(version)).hash

    def root_slot(self, version: int) -> Slot:
        """What stands at the root of a version.

        Raises:
            Refused: The version is pruned.
        """
        return self._root_at(version)

    def get(self, key: bytes, version: int | None = None) -> bytes | None:
        """The value of a key at a version, or the newest one; None if it is absent.

        Raises:
            Refused: The version is pruned.
        """
        key_hash = sha256(key)
        slot = self._root if version is None else self._root_at(version)
        depth = 0
        while slot.key_hash is None:
            if slot.hash is EMPTY:
                return None
            page = self._page(slot.version, _path(key_hash, depth))
            slot = page.slot(_digit(key_hash, depth))
            depth += 1
        return self._value(slot)[1] if slot.key_hash == key_hash else None

    def prove(self, key: bytes, version: int | None = None) -> tuple[bytes | None, bytes]:
        """The value of a key, or None, with its ICS-23 proof against the root of that version.

        Raises:
            Refused: The version is pruned, or there is no state at it to prove anything about.
        """
        key_hash = sha256(key)
        slot = self._root if version is None else self._root_at(version)
        if slot.hash is EMPTY:
            raise Refused("there is no state at this height", "state.empty")
        way, slot = self._way(slot, key_hash)
        if slot.key_hash == key_hash:
            presence = self._presence(way, slot)
            return presence.value, encode_presence(presence)
        left = right = None
        if slot.key_hash is not None and slot.key_hash < key_hash:
            left = self._presence(way, slot)
        elif slot.key_hash is not None:
            right = self._presence(way, slot)
        return None, encode_absence(
            key, left or self._neighbour(way, key_hash, -1), right or self._neighbour(way, key_hash, 1)
        )

    def update(self, writes: Iterable[tuple[bytes, bytes | None]], version: int) -> TreeUpdate:
        """Compute the tree after these writes; pure.

        Args:
            writes: Keys with their new values, None for a deletion; each key once.
            version: Greater than any version so far.
        """
        assert self._newest is None or version > self._newest, "versions only grow"
        values: dict[bytes, tuple[bytes, bytes]] = {}
        changes: list[Change] = []
        for key, value in writes:
            assert 1 <= len(key) <= STATE_KEY_BYTES_MAX, "a state key has 1 to 512 bytes"
            key_hash = sha256(key)
            if value is None:
                changes.append((key_hash, None))
                continue
            assert 1 <= len(value) <= STATE_VALUE_BYTES_MAX, "a state value has 1 to 65,536 bytes"
            changes.append((key_hash, sha256(b"\x00" + key_hash + sha256(value))))
            values[key_hash] = (key, value)
        changes.sort(key=itemgetter(0))
        assert all(a[0] != b[0] for a, b in pairwise(changes)), "a key is written twice"
        updating = Updating(self._load, self._keys, version)
        root = updating.descend(self._root, b"", changes) if changes else self._root
        return updating.result(self._newest, self._root, root, values)

    def applied(self, update: TreeUpdate) -> None:
        """Go on from here: what `update` asked to store is stored."""
        assert update.previous == self._newest, "an update that does not follow on this tree"
        if update.version is None:
            return
        self._newest, self._root = update.version, update.root_slot
        for key in update.stale_pages:
            self._cache.pop(key, None)
        for key, page in update.pages.items():
            self._admit(key, page)

    def prune(self, oldest: int, keys_max: int = 100_000) -> TreePruning:
        """Find what only versions before `oldest` need; pure.

        Args:
            oldest: The oldest version to keep.
            keys_max: Stop after a version once this many keys are found, to bound the batch; then `oldest` of the
                result says how far it came, and another call goes on from there.
        """
        reached = self._oldest
        deletes: list[bytes] = []
        for key, raw in self._reader.range(self._keys.stale(self._oldest + 1), self._keys.stale(oldest + 1)):
            if len(deletes) >= keys_max:
                break
            deletes.extend(self._keys.unpack_stale(raw))
            deletes.append(key)
            reached = int.from_bytes(key[-_VERSION_BYTES:])
        else:
            reached = max(oldest, self._oldest)
        return TreePruning(reached, {self._keys.oldest: reached.to_bytes(_VERSION_BYTES)}, deletes)

    def pruned(self, pruning: TreePruning) -> None:
        """Go on from here: what `prune` asked to delete is deleted."""
        self._oldest = pruning.oldest

    # ---------------------------------------------------------------- reading

    def _root_at(self, version: int) -> Slot:
        if version < self._oldest:
            raise Refused(f"state at height {version} is pruned; the oldest held is {self._oldest}", "state.pruned")
        if self._newest is not None and version >= self._newest:
            return self._root
        return self._stored_root(version)[1]

    def _stored_root(self, version: int) -> tuple[int | None, Slot]:
        """The newest version up to this one, and its root."""
        start, stop = self._keys.root(0), self._keys.root(version) + b"\x00"
        for key, raw in self._reader.range(start, stop, reverse=True):
            return int.from_bytes(key[-_VERSION_BYTES:]), Slot.decode(raw)
        return None, NOTHING

    def _page(self, version: int, path: bytes) -> Page:
        return self._load(self._keys.page(version, path), len(path))

    def _load(self, key: bytes, depth: int) -> Page:
        page = self._cache.get(key)
        if page is None:
            raw = self._reader.get(key)
            assert raw is not None, f"state page {key.hex()} is not stored"
            page = Page(raw)
            if depth <= CACHED_DEPTH_MAX:
                self._admit(key, page)
        return page

    def _admit(self, key: bytes, page: Page) -> None:
        if len(self._cache) >= CACHED_PAGES_MAX:
            del self._cache[next(iter(self._cache))]
        self._cache[key] = page

    def _value(self, leaf: Slot) -> tuple[bytes, bytes]:
        """A leaf's raw key and value."""
        assert leaf.key_hash is not None
        raw = self._reader.get(self._keys.value(leaf.key_hash, leaf.version))
        assert raw is not None, f"state value {leaf.key_hash.hex()}/{leaf.version} is not stored"
        return Keys.unpack_value(raw)

    def _way(self, slot: Slot, key_hash: bytes) -> tuple[list[tuple[Page, int]], Slot]:
        """From a root down to where a hashed key belongs: pages with the slot taken in each, and what stands there."""
        way: list[tuple[Page, int]] = []
        while slot.key_hash is None and slot.hash is not EMPTY:
            page = self._page(slot.version, _path(key_hash, len(way)))
            index = _digit(key_hash, len(way))
            way.append((page, index))
            slot = page.slot(index)
        return way, slot

    def _neighbour(self, way: list[tuple[Page, int]], key_hash: bytes, direction: int) -> Presence | None:
        """The nearest leaf on one side of a way that ends at an empty slot or at a leaf on the other side."""
        for depth in range(len(way) - 1, -1, -1):
            page, taken = way[depth]
            slots = range(taken + 1, 16) if direction > 0 else range(taken - 1, -1, -1)
            for index in slots:
                if page.used >> index & 1:
                    path = _path(key_hash, depth) + bytes((index,))
                    return self._outermost([*way[:depth], (page, index)], page.slot(index), path, -direction)
        return None

    def _outermost(self, way: list[tuple[Page, int]], slot: Slot, path: bytes, direction: int) -> Presence:
        """The leaf that lies furthest to one side below a slot."""
        while slot.key_hash is None:
            page = self._page(slot.version, path)
            slots = range(15, -1, -1) if direction > 0 else range(16)
            index = next(index for index in slots if page.used >> index & 1)
            way.append((page, index))
            path += bytes((index,))
            slot = page.slot(index)
        return self._presence(way, slot)

    def _presence(self, way: list[tuple[Page, int]], leaf: Slot) -> Presence:
        key, value = self._value(leaf)
        steps: list[Step] = []
        for depth in range(len(way) - 1, -1, -1):
            page, index = way[depth]
            steps += page.steps(index, lone=depth == len(way) - 1)
        return Presence(key, value, steps)


def _digit(key_hash: bytes, depth: int) -> int:
    """The hexadecimal digit of a hashed key at a page's depth."""
    byte = key_hash[depth >> 1]
    return byte & 15 if depth & 1 else byte >> 4


def _path(key_hash: bytes, depth: int) -> bytes:
    """The digits down to a depth, a byte each."""
    return bytes([_digit(key_hash, at) for at in range(depth)])
