# SPDX-License-Identifier: Apache-2.0
"""A subtree of the state tree from all of its leaves, bottom up: each page made once.

What `chain.tree_update` makes of the same leaves one by one, for a copy of a tree that comes in large parts.

Invariant: the root depends on the leaves alone.  Source: docs/protocol.md, section 4.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from chain.tree_page import Page, Slot
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


def build_pages(
    key_hashes: Sequence[bytes], leaf_hashes: Sequence[bytes], path: bytes, version: int
) -> tuple[Slot, list[tuple[bytes, bytes]]]:
    """The pages over leaves.

    Args:
        key_hashes: Of the leaves, at least one, ascending; all begin with the path.
        leaf_hashes: In the same order.
        path: Where the subtree stands.
        version: Of every leaf, and under which the pages will lie.

    Returns:
        What stands at the path then, and the pages by path, those above before those below.
    """
    pages: list[tuple[bytes, bytes]] = []

    def build(start: int, stop: int, path: bytes) -> bytes:
        """The hash of the page over at least two leaves."""
        depth = len(path)
        place = len(pages)
        pages.append((path, b""))
        at, shift = depth >> 1, 0 if depth & 1 else 4
        used = leaves = 0
        hashes: list[bytes] = []
        keys: list[bytes] = []
        while start < stop:
            key = key_hashes[start]
            digit = key[at] >> shift & 15
            end = start + 1
            used |= 1 << digit
            if end < stop and key_hashes[end][at] >> shift & 15 == digit:
                end = _end_of(key_hashes, end, stop, depth)
                hashes.append(build(start, end, path + DIGITS[digit]))
            else:
                leaves |= 1 << digit
                hashes.append(leaf_hashes[start])
                keys.append(key)
            start = end
        page = Page.of_version(version, used, hashes, leaves, keys)
        pages[place] = (path, page.raw)
        return page.root()

    if len(key_hashes) == 1:
        return Slot(leaf_hashes[0], version, key_hashes[0]), pages
    return Slot(build(0, len(key_hashes), path), version, None), pages


def _end_of(keys: Sequence[bytes], start: int, stop: int, depth: int) -> int:
    """Where the keys end that share their first depth + 1 digits with the one at `start`."""
    key = keys[start]
    kept = depth + 2 >> 1
    prefix = int.from_bytes(key[:kept])
    after = prefix + 1 if depth & 1 else (prefix >> 4) + 1 << 4
    if after >> 8 * kept:
        return stop
    return bisect_left(keys, after.to_bytes(kept), start, stop)
