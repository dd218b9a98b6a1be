# SPDX-License-Identifier: Apache-2.0
"""The right edge of a log: enough to go on appending and to know the root, in one hash per bit of the size."""

from collections.abc import Iterable, Sequence
from typing import Self

from chain.errors import InvalidMessage
from chain.log import EMPTY_ROOT, node_hash
from chain.types import HASH_BYTES


class LogEdge:
    """Grows by leaves' hashes.

    Invariant: `peaks` are the roots of the perfect subtrees that the set bits of `size` stand for, largest first.
    """

    __slots__ = ("peaks", "size")

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        """Begin at an edge that was saved, or empty.

        Raises:
            InvalidMessage: The peaks do not fit the size.
        """
        self.size = size
        self.peaks = list(peaks)
        if size < 0 or len(self.peaks) != size.bit_count() or any(len(peak) != HASH_BYTES for peak in self.peaks):
            raise InvalidMessage(f"{len(self.peaks)} peaks are not the edge of a log of {size} entries")

    @classmethod
    def of_last(cls, size: int, leaf: bytes, path: Sequence[bytes]) -> Self:
        """The edge of a log whose last leaf and its verified inclusion path are known.

        Args:
            size: Of the log; at least 1.
            leaf: Hash of the entry at size - 1.
            path: Its path, as `chain.log.verify_inclusion` accepted it.
        """
        inside = (size & -size).bit_length() - 1
        for sibling in path[:inside]:  # the last leaf is always on the right
            leaf = node_hash(sibling, leaf)
        return cls(size, [*reversed(path[inside:]), leaf])

    def append(self, leaf: bytes) -> None:
        """Add one leaf's hash."""
        carry, size = leaf, self.size
        while size & 1:
            carry = node_hash(self.peaks.pop(), carry)
            size >>= 1
        self.peaks.append(carry)
        self.size += 1

    def root(self) -> bytes:
        """The root of the log so far (RFC 9162, 2.1.1)."""
        if not self.peaks:
            return EMPTY_ROOT
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = node_hash(peak, root)
        return root

    def copy(self) -> "LogEdge":
        """An independent copy."""
        return LogEdge(self.size, self.peaks)
