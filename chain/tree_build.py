# SPDX-License-Identifier: Apache-2.0
"""A subtree of the state tree from all of its leaves, bottom up: each page made once.

What `chain.tree_update` makes of the same leaves one by one, for a copy of a tree that comes in large parts.

Invariant: the root depends on the leaves alone.  Source: docs/protocol.md, section 4.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from chain.tree_page import NOTHING, SLOTS, Page, Slot
from chain.tree_update import DIGITS

HASHED_DIGITS = 64
"""Hexadecimal digits of a hashed key; no path is longer."""


@dataclass(frozen=True, slots=True)
class Subtree:
    """A subtree, ready to be stored.

    Attributes:
        path: Where it stands, a byte per hexadecimal digit.
        slot: What stands there: a page, or the only leaf.
        pages: By path, each page once.
        values: Hashed key, key and value of each leaf, in the order of the hashed keys.
    """

    path: bytes
    slot: Slot
    pages: list[tuple[bytes, bytes]]
    values: list[tuple[bytes, bytes, bytes]]


def build_pages(leaves: Sequence[Slot], path: bytes, version: int) -> tuple[Slot, list[tuple[bytes, bytes]]]:
    """The pages over leaves.

    Args:
        leaves: At least one, in the order of their hashed keys, which all begin with the path.
        path: Where the subtree stands.
        version: Under which its pages will lie.

    Returns:
        What stands at the path then, and the pages by path, those above before those below.
    """
    keys = [_key_of(leaf) for leaf in leaves]
    pages: list[tuple[bytes, bytes]] = []

    def build(start: int, stop: int, path: bytes) -> Slot:
        if stop - start == 1:
            return leaves[start]
        depth = len(path)
        place = len(pages)
        pages.append((path, b""))
        slots = [NOTHING] * SLOTS
        at, shift = depth >> 1, 0 if depth & 1 else 4
        while start < stop:
            digit = keys[start][at] >> shift & 15
            end = start + 1
            if end < stop and keys[end][at] >> shift & 15 == digit:
                end = _end_of(keys, end, stop, depth)
                slots[digit] = build(start, end, path + DIGITS[digit])
            else:
                slots[digit] = leaves[start]
            start = end
        page = Page.of(slots)
        pages[place] = (path, page.raw)
        return Slot(page.root(), version, None)

    return build(0, len(leaves), path), pages


def _end_of(keys: Sequence[bytes], start: int, stop: int, depth: int) -> int:
    """Where the keys end that share their first depth + 1 digits with the one at `start`."""
    key = keys[start]
    kept = depth + 2 >> 1
    prefix = int.from_bytes(key[:kept])
    after = prefix + 1 if depth & 1 else (prefix >> 4) + 1 << 4
    if after >> 8 * kept:
        return stop
    return bisect_left(keys, after.to_bytes(kept), start, stop)


def _key_of(leaf: Slot) -> bytes:
    assert leaf.key_hash is not None
    return leaf.key_hash
