# SPDX-License-Identifier: Apache-2.0
"""The growing log: appends a block's entries, and proves any of them at any size so far.

Stored are the hashes of complete subtrees of 1, 256, 65,536, … leaves, 256 of them to a tile under one key, so that a
block of 1,000 entries costs about six writes. What lies between is computed from a tile, 255 hashes at most, and kept
in a bounded cache: a tile of a given width never changes. No partial subtree is ever stored, so nothing is rewritten
but the tiles at the right edge.

`append` changes nothing: it returns what to store. The caller writes that with the rest of its block and then says
`applied`.  Source: RFC 9162, section 2.1.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from chain.errors import InvalidProof, Refused
from chain.log import EMPTY_ROOT, LOG_SIZE_MAX, leaf_hash, node_hash, split_of
from chain.storage import Reader
from chain.types import HASH_BYTES

TILE_BITS = 8
TILE_WIDTH = 1 << TILE_BITS
TILES_CACHED_MAX = 128
"""Expanded tiles held in memory: about 40 KB each, 5 MB together, 32,768 recent entries."""

_Rows: TypeAlias = list[list[bytes]]
"""An expanded tile: row k holds its complete subtrees of 2**k hashes."""


@dataclass(frozen=True, slots=True)
class LogAppend:
    """What appending yields; nothing is stored yet.

    Attributes:
        size_before: Entries that were there.
        size: Entries after it.
        root: The root over them.
        puts: Keys and values to store.
        edge: The last tile of each level after it.
    """

    size_before: int
    size: int
    root: bytes
    puts: dict[bytes, bytes]
    edge: tuple[_Rows, ...]


class Log:
    """A log of `size` entries whose tiles lie in a store under `prefix`.

    Of a pruned log the tiles that lie wholly left of `first_leaf` are gone, at each level. What is left suffices for
    proofs of the entries from there on, at any size.
    """

    def __init__(self, reader: Reader, prefix: bytes, size: int, first_leaf: int = 0) -> None:
        self._reader = reader
        self._prefix = prefix
        self._size = size
        self._first_leaf = first_leaf
        self._cache: dict[tuple[int, int, int], _Rows] = {}
        self._edge: tuple[_Rows, ...] = tuple(
            self._load(level, (size >> level * TILE_BITS) >> TILE_BITS, width)
            for level, width in enumerate(_edge_widths(size))
        )

    @property
    def size(self) -> int:
        """How many entries it has."""
        return self._size

    @property
    def first_leaf(self) -> int:
        """Index of the first entry that can be proven."""
        return self._first_leaf

    def forgotten_before(self, first_leaf: int) -> None:
        """Go on without the entries before this one: what `tiles_between` named is deleted."""
        assert self._first_leaf <= first_leaf <= self._size
        self._first_leaf = first_leaf
        self._cache.clear()

    def append(self, entries: Sequence[bytes]) -> LogAppend:
        """Compute the log with these entries at its end; pure."""
        return self.append_hashes([leaf_hash(entry) for entry in entries])

    def append_hashes(self, leaf_hashes: Sequence[bytes]) -> LogAppend:
        """The same for entries whose leaf hashes are known."""
        puts: dict[bytes, bytes] = {}
        edge: list[_Rows] = []
        pending = list(leaf_hashes)
        level = 0
        while pending or level < len(self._edge):
            before = self._edge[level] if level < len(self._edge) else [[]]
            if not pending:
                edge.append(before)
                level += 1
                continue
            tile = (self._size >> level * TILE_BITS) >> TILE_BITS
            rows = [list(row) for row in before]
            complete: list[bytes] = []
            start = 0
            while start < len(pending):
                taken = pending[start : start + TILE_WIDTH - len(rows[0])]
                start += len(taken)
                _extend(rows, taken)
                puts[self._key(level, tile)] = b"".join(rows[0])
                if len(rows[0]) == TILE_WIDTH:
                    complete.append(rows[TILE_BITS][0])
                    rows = [[]]
                    tile += 1
            edge.append(rows)
            pending = complete
            level += 1
        size = self._size + len(leaf_hashes)
        return LogAppend(self._size, size, _edge_root(edge), puts, tuple(edge))

    def applied(self, append: LogAppend) -> None:
        """Go on from here: what `append` asked to store is stored."""
        assert append.size_before == self._size, "an append that does not follow on this log"
        self._size = append.size
        self._edge = append.edge

    def root(self, size: int | None = None) -> bytes:
        """The root over the first `size` entries; of all, if none is given.

        Raises:
            Refused: It is the root of a log of entries that are pruned, and of no other.
        """
        size = self._size if size is None else size
        assert 0 <= size <= self._size
        self._check_size(size)
        return self._range_root(0, size) if size else EMPTY_ROOT

    def prove_inclusion(self, index: int, size: int) -> list[bytes]:
        """The path of one leaf in the log of the first `size` entries, from the leaf upwards.

        Args:
            index: 0 <= index < size.
            size: At most the log's own.

        Raises:
            Refused: The entry is pruned.

        Source: RFC 9162, 2.1.3.1.
        """
        assert 0 <= index < size <= self._size
        self._check_leaf(index)
        path: list[bytes] = []
        start, stop = 0, size
        while stop - start > 1:
            middle = start + split_of(stop - start)
            if index < middle:
                path.append(self._range_root(middle, stop))
                stop = middle
            else:
                path.append(self._range_root(start, middle))
                start = middle
        path.reverse()
        return path

    def prove_consistency(self, size1: int, size2: int) -> list[bytes]:
        """The proof that the first size2 entries begin with the first size1.

        Args:
            size1: 0 <= size1 <= size2.
            size2: At most the log's own size.

        Raises:
            Refused: The entries up to size1 are pruned, and some after it.

        Source: RFC 9162, 2.1.4.1.
        """
        assert 0 <= size1 <= size2 <= self._size
        if size1 in {0, size2}:
            return []
        self._check_size(size1)
        path: list[bytes] = []
        start, stop = 0, size2
        while size1 != stop:
            middle = start + split_of(stop - start)
            if size1 <= middle:
                path.append(self._range_root(middle, stop))
                stop = middle
            else:
                path.append(self._range_root(start, middle))
                start = middle
        if start:
            path.append(self._range_root(start, stop))
        path.reverse()
        return path

    def prove_range(self, first: int, count: int, size: int) -> list[bytes]:
        """The path of consecutive leaves in the log of the first `size` entries; see `chain.log.verify_range`.

        Args:
            first: Index of the first leaf.
            count: How many; at least one, and first + count <= size.
            size: At most the log's own.

        Returns:
            Roots of the subtrees beside them, from left to right.

        Raises:
            Refused: The first is pruned.
        """
        stop = first + count
        assert 0 <= first < stop <= size <= self._size
        self._check_leaf(first)
        path: list[bytes] = []
        ahead = [(0, size)]
        while ahead:
            begin, end = ahead.pop()
            if begin >= stop or end <= first:
                path.append(self._range_root(begin, end))
            elif begin < first or end > stop:
                middle = begin + split_of(end - begin)
                ahead += ((middle, end), (begin, middle))
        return path

    def left_edge(self, size: int) -> list[bytes]:
        """What the log was of its first entries, as far as later ones need it: enough to append to, and to prove them.

        Args:
            size: first_leaf <= size <= the log's own.

        Returns:
            For each tile level, the hashes left of `size` in the tile where that lies, one after the other.

        Raises:
            Refused: The entries up to there are pruned, and some after it.
        """
        assert 0 <= size <= self._size
        self._check_size(size)
        edge = []
        for level, width in enumerate(_edge_widths(size)):
            tile = (size >> level * TILE_BITS) >> TILE_BITS
            stored = min(TILE_WIDTH, (self._size >> level * TILE_BITS) - tile * TILE_WIDTH)
            rows = self._edge[level] if stored < TILE_WIDTH else self._load(level, tile, width)
            edge.append(b"".join(rows[0][:width]))
        return edge

    def _check_leaf(self, index: int) -> None:
        if index < self._first_leaf:
            raise Refused(
                f"entry {index} is pruned here; the first held is {self._first_leaf}. Ask an archive", "log.pruned"
            )

    def _check_size(self, size: int) -> None:
        if 0 < size < self._first_leaf:
            raise Refused(
                f"the log's first {size} entries are pruned here; the first held is {self._first_leaf}. Ask an archive",
                "log.pruned",
            )

    def _range_root(self, start: int, stop: int) -> bytes:
        """The root over leaves start..stop-1; start is a multiple of the largest power of two in the length."""
        root: bytes | None = None
        while stop > start:
            # From the right: the smallest complete subtree that ends at stop and stays within the range.
            level = _lowest_bit(stop - start)
            stop -= 1 << level
            subtree = self._node(level, stop >> level)
            root = subtree if root is None else node_hash(subtree, root)
        assert root is not None
        return root

    def _node(self, level: int, position: int) -> bytes:
        """The root of the complete subtree of 2**level leaves at this position, counted in such subtrees."""
        tile_level, row = divmod(level, TILE_BITS)
        tile, column = divmod(position, TILE_WIDTH >> row)
        width = min(TILE_WIDTH, (self._size >> tile_level * TILE_BITS) - tile * TILE_WIDTH)
        if width < TILE_WIDTH:
            return self._edge[tile_level][row][column]
        key = (tile_level, tile, width)
        rows = self._cache.pop(key, None)
        if rows is None:
            rows = self._load(*key)
            if len(self._cache) >= TILES_CACHED_MAX:
                del self._cache[next(iter(self._cache))]
        self._cache[key] = rows  # at the end: the first is the one used longest ago
        return rows[row][column]

    def _load(self, level: int, tile: int, width: int) -> _Rows:
        rows: _Rows = [[]]
        if width == 0:
            return rows
        raw = self._reader.get(self._key(level, tile))
        assert raw is not None, f"log tile {level}/{tile} is not stored"
        assert len(raw) >= width * HASH_BYTES, f"log tile {level}/{tile} is too short"
        _extend(rows, [raw[at : at + HASH_BYTES] for at in range(0, width * HASH_BYTES, HASH_BYTES)])
        return rows

    def _key(self, level: int, tile: int) -> bytes:
        return _tile_key(self._prefix, level, tile)


def edge_puts(prefix: bytes, size: int, left_edge: Sequence[bytes]) -> dict[bytes, bytes]:
    """What to store so that a log of this size whose first leaf is `size` can be opened and appended to.

    Args:
        prefix: Of the log's keys.
        size: How many entries went before.
        left_edge: As `Log.left_edge` gives it for this size.
    """
    return {
        _tile_key(prefix, level, (size >> level * TILE_BITS) >> TILE_BITS): hashes
        for level, hashes in enumerate(left_edge)
        if hashes
    }


def edge_root(size: int, left_edge: Sequence[bytes]) -> bytes:
    """The root of the log that has this left edge at this size.

    Raises:
        InvalidProof: No log of this size has an edge of this shape.
    """
    widths = _edge_widths(size)
    if not 0 <= size <= LOG_SIZE_MAX or [len(hashes) for hashes in left_edge] != [w * HASH_BYTES for w in widths]:
        raise InvalidProof(f"the left edge is not that of a log of {size} entries")
    edge = []
    for hashes in left_edge:
        rows: _Rows = [[]]
        _extend(rows, [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)])
        edge.append(rows)
    return _edge_root(edge)


def tiles_between(prefix: bytes, first_leaf: int, later: int) -> Iterator[bytes]:
    """Keys of the tiles that a log needs from one first leaf on, but not from a later one."""
    level = 0
    while later >> level * TILE_BITS:
        start, stop = ((leaf >> level * TILE_BITS) >> TILE_BITS for leaf in (first_leaf, later))
        for tile in range(start, stop):
            yield _tile_key(prefix, level, tile)
        level += 1


def _tile_key(prefix: bytes, level: int, tile: int) -> bytes:
    return prefix + level.to_bytes(1) + tile.to_bytes(8)


def _extend(rows: _Rows, hashes: Sequence[bytes]) -> None:
    """Add hashes to a tile's first row and every subtree that they complete to the rows above."""
    sha256 = hashlib.sha256
    rows[0].extend(hashes)
    level = 0
    while len(rows[level]) > 1:
        below = rows[level]
        level += 1
        if level == len(rows):
            rows.append([])
        row = rows[level]
        row.extend(
            sha256(b"\x01" + below[at] + below[at + 1]).digest() for at in range(2 * len(row), len(below) - 1, 2)
        )


def _edge_widths(size: int) -> list[int]:
    """How many hashes the last tile of each level holds; 0 where it is just full."""
    widths = []
    while size:
        widths.append(size & (TILE_WIDTH - 1))
        size >>= TILE_BITS
    return widths


def _edge_root(edge: Sequence[_Rows]) -> bytes:
    """The root of a log from its right edge."""
    root: bytes | None = None
    for rows in edge:
        width = len(rows[0])
        for row in range(TILE_BITS):
            if width >> row & 1:
                subtree = rows[row][(width >> row) - 1]
                root = subtree if root is None else node_hash(subtree, root)
    return EMPTY_ROOT if root is None else root


def _lowest_bit(number: int) -> int:
    """Which bit of a positive number is its lowest set one."""
    return (number & -number).bit_length() - 1
