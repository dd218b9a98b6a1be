# SPDX-License-Identifier: Apache-2.0
"""Checks the stored state tree: every page and value of every version that is held, and nothing beside them.

The oldest version held is walked whole. Each later version is
compared with the one before it, from the root down where their slots differ: that shows what it must have written and
what it must have made stale. One scan of all values shows whether they are those of the leaves; only where they are not
is the walk done again with a look at each. So the work is one read of everything, and the memory one block's changes.

The layout stands in `chain.tree`.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache

from chain.storage import Reader
from chain.tree import leaf_hash
from chain.tree_page import NOTHING, SLOTS, Page, Slot
from chain.tree_update import DIGITS, Keys
from chain.types import HASH_BYTES, sha256
from node.fsck_findings import Cursor, Findings, Progress, Sum, count_of, steps
from node.store_keys import STATE_PREFIX

PAGES_CACHED_MAX = 4_096
"""About 1 KB each: the upper pages of a tree of any size, which most versions read."""
_VERSION_BYTES = 8
_HEADER_BYTES = 4 + 4 * HASH_BYTES
_DIGITS_MAX = 2 * HASH_BYTES
_KEYS = Keys(STATE_PREFIX)
_VALUES = (STATE_PREFIX + b"v", STATE_PREFIX + b"w")
_PAGES = (STATE_PREFIX + b"n", STATE_PREFIX + b"o")


def parse_page(raw: bytes) -> list[Slot] | None:
    """The slots of a page, or None if the bytes are not those of any page."""
    if len(raw) < _HEADER_BYTES:
        return None
    page = Page(raw)
    used, leaves = page.used.bit_count(), page.leaves.bit_count()
    if page.leaves & ~page.used or len(raw) != _HEADER_BYTES + (HASH_BYTES + _VERSION_BYTES) * used + 32 * leaves:
        return None
    slots = [page.slot(index) for index in range(SLOTS)]
    return slots if Page.of(slots).raw == raw else None


def digit_of(key_hash: bytes, depth: int) -> int:
    """The hexadecimal digit of a hashed key at a page's depth."""
    byte = key_hash[depth >> 1]
    return byte & 15 if depth & 1 else byte >> 4


def below(slot: Slot, depth: int, load: Callable[[Slot], list[Slot]]) -> list[Slot]:
    """The 16 slots that stand below a slot: a page's own, or those of a page that had a leaf alone, or nothing."""
    if slot.key_hash is None:
        return [NOTHING] * SLOTS if slot == NOTHING else load(slot)
    slots = [NOTHING] * SLOTS
    slots[digit_of(slot.key_hash, depth)] = slot
    return slots


class TreeCheck:
    """One check of the tree.

    Args:
        reader: Of the database.
        findings: Takes what is wrong.
        tip: The newest block's height.
        progress: See `node.fsck`.
        exact: Look at each value; else only whether all of them are right together.

    Attributes:
        must_be_exact: Whether a look at each value would find something; known after `run`.
    """

    def __init__(self, reader: Reader, findings: Findings, tip: int, progress: Progress, *, exact: bool) -> None:
        self._reader = reader
        self._findings = findings
        self._tip = tip
        self._progress = progress
        self._load = lru_cache(maxsize=PAGES_CACHED_MAX)(self._load_page)
        self._values_stored = count_of(reader, *_VALUES)
        self._values_seen = 0
        self._exact = exact
        self._sum = Sum()
        self._pages: Cursor | None = None
        self._stale: list[bytes] = []
        self.must_be_exact = False

    def run(self) -> None:
        """Check all versions."""
        raw = self._reader.get(_KEYS.oldest)
        if raw is not None and len(raw) != _VERSION_BYTES:
            self._findings.wrong(_KEYS.oldest, "the oldest version held is a number of 8 bytes")
            raw = None
        oldest = 0 if raw is None else int.from_bytes(raw)
        if oldest > self._tip:
            self._findings.wrong(_KEYS.oldest, f"the oldest version held is {oldest}, the newest block {self._tip}")
            return
        roots = self._roots(oldest)
        first = next(roots, None)
        if first is None:
            self._findings.missing(_KEYS.root(oldest), f"no root of the state at or below version {oldest} is stored")
            return
        if first[0] > oldest:
            key = _KEYS.oldest if raw is None else self._replaced_root(oldest)
            self._findings.missing(key, f"the oldest version of the state is {first[0]}, though {oldest} is held")
        pages = self._check_whole(*first)
        self._check_later(first, roots, oldest)
        self._check_surplus_pages(first, pages)
        if self._exact:
            self._check_surplus_values(first)
        else:
            self.must_be_exact = self._sum_of_values() != self._sum

    def _roots(self, oldest: int) -> Iterator[tuple[int, Slot]]:
        """The versions held, ascending: the newest up to `oldest`, and all after it."""
        before: tuple[int, Slot] | None = None
        for key, raw in self._reader.range(_KEYS.root(0), _KEYS.root((1 << 64) - 1)):
            version = int.from_bytes(key[-_VERSION_BYTES:])
            if len(key) != len(_KEYS.root(0)) or version > self._tip:
                self._findings.surplus(key, f"a root of the state after the newest block, {self._tip}")
                continue
            if len(raw) not in {HASH_BYTES + _VERSION_BYTES, 2 * HASH_BYTES + _VERSION_BYTES}:
                self._findings.wrong(key, "a root has 40 or 72 bytes")
                continue
            if before is not None:
                if version <= oldest:
                    self._findings.surplus(_KEYS.root(before[0]), "a root that a version before the oldest held had")
                else:
                    yield before
            before = (version, Slot.decode(raw))
        if before is not None:
            yield before

    # ---------------------------------------------------------------- the oldest version

    def _check_whole(self, version: int, root: Slot) -> int:
        """Check every page and value of a version.

        Returns:
            How many pages it has.
        """
        values = self._reader.range(*_VALUES)
        counter = steps(self._progress, "state", self._values_stored, 5_000)
        pages = 0
        stack = [(root, b"", _KEYS.root(version))]
        pending: tuple[bytes, bytes] | None = None
        while stack:
            slot, path, parent = stack.pop()
            if slot == NOTHING:
                continue
            if slot.version > version:
                self._findings.wrong(parent, f"refers to version {slot.version}, later than {version}")
                continue
            if slot.key_hash is None:
                pages += 1
                slots = self._checked_page(slot, path, parent)
                if slots is not None:
                    key = _KEYS.page(slot.version, path)
                    stack += [(slots[index], path + DIGITS[index], key) for index in range(SLOTS - 1, -1, -1)]
                continue
            next(counter)
            if not self._exact:
                self._check_leaf(slot, path, None, parent)
                continue
            wanted = _KEYS.value(slot.key_hash, slot.version)
            while pending is None or pending[0] < wanted:
                pending = next(values, None)
                if pending is None:
                    break
            found = pending[1] if pending is not None and pending[0] == wanted else None
            self._check_leaf(slot, path, found, parent)
        return pages

    def _checked_page(self, slot: Slot, path: bytes, parent: bytes) -> list[Slot] | None:
        """A page's slots if its bytes are what its parent says, else None."""
        key = _KEYS.page(slot.version, path)
        raw = self._reader.get(key) if self._pages is None else self._pages.take(key, optional=True)
        if raw is None:
            self._findings.missing(key, f"the page of the state at {_shown(path)} is not stored")
            self._findings.wrong(parent, f"refers to a page of version {slot.version} that is not stored")
            return None
        slots = parse_page(raw)
        if slots is None or Page(raw).root() != slot.hash or len(path) >= _DIGITS_MAX:
            self._findings.wrong(key, f"the page of the state at {_shown(path)} does not have the hash in its parent")
            return None
        return slots

    def _check_leaf(self, slot: Slot, path: bytes, raw: bytes | None, parent: bytes) -> None:
        """Compare a value with the leaf that stands for it."""
        assert slot.key_hash is not None
        place = bytes([digit_of(slot.key_hash, depth) for depth in range(len(path))])
        if place != path:
            self._findings.wrong(parent, "holds a leaf that belongs elsewhere")
        if not self._exact:
            self._sum.add(slot.key_hash, slot.version.to_bytes(8), slot.hash)
            return
        key = _KEYS.value(slot.key_hash, slot.version)
        if raw is None:
            self._findings.missing(key, "the value of a leaf of the state is not stored")
            self._findings.wrong(parent, f"refers to a value of version {slot.version} that is not stored")
            return
        self._values_seen += 1
        name, value = Keys.unpack_value(raw)
        if sha256(name) != slot.key_hash or leaf_hash(name, value) != slot.hash:
            self._findings.wrong(key, "the value does not have the hash that its leaf in the state tree says")

    # ---------------------------------------------------------------- later versions

    def _check_later(self, first: tuple[int, Slot], roots: Iterator[tuple[int, Slot]], oldest: int) -> None:
        """Check what each later version wrote and made stale against the version before it."""
        version, root = first
        stale = Cursor(self._findings, self._reader, _KEYS.stale(0), _KEYS.stale((1 << 64) - 1), "a list of stale keys")
        for begun in sorted({0, version, oldest}):
            left = stale.take(_KEYS.stale(begun), optional=True)
            if left:
                self._findings.surplus(_KEYS.stale(begun), "a list of stale keys of a version that is not held")
        # A version's pages are met in the order of their keys, which begin with the version.
        self._pages = Cursor(
            self._findings, self._reader, _KEYS.page(version + 1, b""), _PAGES[1], "a page of the state"
        )
        for later, after in roots:
            self._progress("versions", later, self._tip)
            self._stale = [_KEYS.root(version)]
            self._compare(root, after, b"", _KEYS.root(later))
            raw = stale.take(_KEYS.stale(later))
            if raw is not None and _unpacked(raw) != sorted(self._stale):
                self._findings.wrong(
                    _KEYS.stale(later), "the list of stale keys is not that of what the version replaced"
                )
            version, root = later, after
        self._pages.finish()
        stale.finish()

    def _compare(self, before: Slot, after: Slot, path: bytes, parent: bytes) -> None:
        """Where two versions differ below one place: check what is new, and note what is not needed any more."""
        if before == after:
            return
        version = int.from_bytes(parent[2:10])
        is_page_before = before.key_hash is None and before != NOTHING
        is_page = after.key_hash is None and after != NOTHING
        if is_page_before:
            self._stale.append(_KEYS.page(before.version, path))
        if is_page:
            if after.version != version:
                self._findings.wrong(parent, f"refers to another page of version {after.version} than the one before")
                return
            checked = self._checked_page(after, path, parent)
            if checked is None:
                return
            news, parent = checked, _KEYS.page(version, path)
        if is_page or is_page_before:
            depth = len(path)
            olds = below(before, depth, lambda slot: self._load(slot.version, path))
            if not is_page:
                news = below(after, depth, _no_page)
            for index in range(SLOTS):
                self._compare(olds[index], news[index], path + DIGITS[index], parent)
            return
        if before.key_hash is not None:
            self._stale.append(_KEYS.value(before.key_hash, before.version))
        if after.key_hash is not None:
            if after.version != version:
                self._findings.wrong(parent, f"refers to another value of version {after.version} than the one before")
                return
            key = _KEYS.value(after.key_hash, after.version)
            self._check_leaf(after, path, self._reader.get(key) if self._exact else None, parent)

    def _replaced_root(self, oldest: int) -> bytes:
        """The key of the root that was the newest one at `oldest`, as the version after it says."""
        for _, raw in self._reader.range(_KEYS.stale(oldest + 1), _KEYS.stale((1 << 64) - 1)):
            return next(
                (key for key in _unpacked(raw) or () if key.startswith(STATE_PREFIX + b"r")), _KEYS.root(oldest)
            )
        return _KEYS.root(oldest)

    def _load_page(self, version: int, path: bytes) -> list[Slot]:
        """A page's slots; empty ones for a page that is missing or damaged, which is named elsewhere."""
        raw = self._reader.get(_KEYS.page(version, path))
        slots = None if raw is None else parse_page(raw)
        return [NOTHING] * SLOTS if slots is None else slots

    # ---------------------------------------------------------------- what is too much

    def _check_surplus_pages(self, first: tuple[int, Slot], expected: int) -> None:
        """Pages of the oldest version and before it that it does not have; later ones are compared one by one."""
        start, stop = _PAGES[0], _KEYS.page(first[0] + 1, b"")
        if count_of(self._reader, start, stop) <= expected:
            return
        for key, _ in self._reader.range(start, stop):
            version, path = int.from_bytes(key[2:10]), key[10:]
            slot = first[1]
            for depth, digit in enumerate(path):
                if slot == NOTHING or slot.key_hash is not None or digit >= SLOTS:
                    break
                slot = self._load(slot.version, path[:depth])[digit]
            else:
                if slot.key_hash is None and slot != NOTHING and slot.version == version:
                    continue
            self._findings.surplus(key, "a page that no version of the state has")

    def _sum_of_values(self) -> Sum:
        """Of all values that are stored, as the leaves say them."""
        found = Sum()
        counter = steps(self._progress, "values", self._values_stored, 5_000)
        for key, raw in self._reader.range(*_VALUES):
            next(counter)
            name, value = Keys.unpack_value(raw)
            found.add(key[2:], leaf_hash(name, value))
        return found

    def _check_surplus_values(self, first: tuple[int, Slot]) -> None:
        """Values that no version has; each version's own were counted."""
        if self._values_stored <= self._values_seen:
            return
        for key, _ in self._reader.range(*_VALUES):
            key_hash, version = key[2 : 2 + HASH_BYTES], int.from_bytes(key[2 + HASH_BYTES :])
            slot = first[1] if version <= first[0] else self._root_of(version)
            depth = 0
            while slot.key_hash is None and slot != NOTHING and len(key_hash) == HASH_BYTES:
                slot = self._load(slot.version, _path(key_hash, depth))[digit_of(key_hash, depth)]
                depth += 1
            if slot.key_hash != key_hash or slot.version != version:
                self._findings.surplus(key, "a value that no version of the state has")

    def _root_of(self, version: int) -> Slot:
        raw = self._reader.get(_KEYS.root(version))
        return NOTHING if raw is None else Slot.decode(raw)


def _no_page(_slot: Slot) -> list[Slot]:
    raise AssertionError("asked for a leaf or nothing")


def _unpacked(raw: bytes) -> list[bytes] | None:
    """The keys of a stale list, sorted; None if it is damaged."""
    keys = list(Keys.unpack_stale(raw))
    return sorted(keys) if Keys.pack_stale(keys) == raw else None


def _path(key_hash: bytes, depth: int) -> bytes:
    return bytes([digit_of(key_hash, at) for at in range(depth)])


def _shown(path: bytes) -> str:
    """A path for people: its hexadecimal digits."""
    return "the root" if not path else "".join(f"{digit:x}" for digit in path[:_DIGITS_MAX])
