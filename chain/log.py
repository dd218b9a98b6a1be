# SPDX-License-Identifier: Apache-2.0
"""Inclusion and consistency proofs of the append-only log: what a verifier needs.

Pure functions over bytes and integers. `chain.log_tiles` grows a log and makes its proofs; `root_of` and `path_of` do
that from scratch in the RFC's own recursive words, for small trees such as a transaction's operations.

Invariant: whatever `prove_*` returns, `verify_*` accepts, and nothing else.  Source: RFC 9162, section 2.1.
"""

import hashlib
from collections.abc import Sequence

from chain.errors import InvalidProof
from chain.types import HASH_BYTES

__all__ = [
    "EMPTY_ROOT",
    "LOG_SIZE_MAX",
    "InvalidProof",
    "fold",
    "leaf_hash",
    "node_hash",
    "path_of",
    "root_from_inclusion",
    "root_of",
    "root_of_hashes",
    "split_of",
    "verify_consistency",
    "verify_inclusion",
    "verify_range",
]

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of a log without entries."""
LOG_SIZE_MAX = 1 << 48
"""More leaves than a verifier believes in; bounds the work that a claimed size can ask for."""


def leaf_hash(entry: bytes) -> bytes:
    """The hash of a leaf: SHA-256(0x00 || entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node: SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(entries: Sequence[bytes]) -> bytes:
    """The root of a log of these entries, from scratch.

    Source: RFC 9162, 2.1.1.
    """
    return root_of_hashes([leaf_hash(entry) for entry in entries])


def root_of_hashes(leaf_hashes: Sequence[bytes]) -> bytes:
    """The same from the leaves' hashes."""
    if not leaf_hashes:
        return EMPTY_ROOT
    if len(leaf_hashes) == 1:
        return leaf_hashes[0]
    split = split_of(len(leaf_hashes))
    return node_hash(root_of_hashes(leaf_hashes[:split]), root_of_hashes(leaf_hashes[split:]))


def path_of(entries: Sequence[bytes], index: int) -> list[bytes]:
    """The inclusion path of one entry in a log of these entries, from scratch; 0 <= index < number of entries.

    Source: RFC 9162, 2.1.3.1.
    """
    assert 0 <= index < len(entries)
    if len(entries) == 1:
        return []
    split = split_of(len(entries))
    left, right = entries[:split], entries[split:]
    if index < split:
        return [*path_of(left, index), root_of(right)]
    return [*path_of(right, index - split), root_of(left)]


def split_of(size: int) -> int:
    """Where the RFC splits a log of at least 2 entries: the largest power of two below its size."""
    return 1 << ((size - 1).bit_length() - 1)


def root_from_inclusion(leaf_hash: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Recompute the root of a log from one leaf and its path.

    Args:
        leaf_hash: SHA-256 of 0x00 || entry; 32 bytes.
        index: Position of the leaf, 0-based; 0 <= index < size.
        size: Number of leaves under the root; at least 1.
        path: Sibling hashes from the leaf upwards, 32 bytes each.

    Returns:
        The 32-byte root; the caller compares it with a *certified* root.

    Raises:
        InvalidProof: The proof has the wrong length or range.

    Source: RFC 9162, 2.1.3.2.
    """
    if not 0 <= index < size <= LOG_SIZE_MAX:
        raise InvalidProof(f"leaf {index} is not in a log of {size} entries")
    _check_hashes((leaf_hash, *path))
    position, last = index, size - 1
    root = leaf_hash
    for sibling in path:
        if last == 0:
            raise InvalidProof(f"the path has {len(path)} hashes, more than a log of {size} entries is deep")
        if position & 1 or position == last:
            root = node_hash(sibling, root)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            root = node_hash(root, sibling)
        position >>= 1
        last >>= 1
    if last != 0:
        raise InvalidProof(f"the path has {len(path)} hashes, too few for leaf {index} of {size}")
    return root


def verify_inclusion(leaf_hash: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Check that a leaf stands at this index of the log with this root.

    Args:
        leaf_hash: SHA-256 of 0x00 || entry; 32 bytes.
        index: Position of the leaf, 0-based.
        size: Number of leaves under the root.
        path: Sibling hashes from the leaf upwards.
        root: A root that the caller trusts.

    Raises:
        InvalidProof: It does not, or the arguments are out of range.
    """
    if root_from_inclusion(leaf_hash, index, size, path) != root:
        raise InvalidProof(f"the path of leaf {index} does not lead to the root of the log at size {size}")


def verify_consistency(size1: int, size2: int, path: Sequence[bytes], root1: bytes, root2: bytes) -> None:
    """Check that the log of size2 begins with the entries of the log of size1.

    The empty log is consistent with each log and equal logs with one another; both take an empty path.

    Args:
        size1: Number of entries of the earlier log; 0 <= size1 <= size2.
        size2: Number of entries of the later log.
        path: Hashes as RFC 9162, 2.1.4.1 makes them.
        root1: The earlier log's root.
        root2: The later log's root.

    Raises:
        InvalidProof: It does not, or the arguments are out of range.

    Source: RFC 9162, 2.1.4.2.
    """
    if not 0 <= size1 <= size2 <= LOG_SIZE_MAX:
        raise InvalidProof(f"a log of {size2} entries can't begin with one of {size1}")
    _check_hashes((root1, root2, *path))
    if (size1 == 0 and root1 != EMPTY_ROOT) or (size2 == 0 and root2 != EMPTY_ROOT):
        raise InvalidProof("the root of an empty log is the hash of nothing")
    if size1 in {0, size2}:
        if path:
            raise InvalidProof("a consistency proof that needs no hashes has some")
        if size1 == size2 and root1 != root2:
            raise InvalidProof(f"two roots for one log size, {size1}")
        return
    old, new = _roots_from_consistency(size1, size2, path, root1)
    if old != root1:
        raise InvalidProof(f"the proof does not lead to the root of the log at size {size1}")
    if new != root2:
        raise InvalidProof(f"the proof does not lead to the root of the log at size {size2}")


def fold(hashes: Sequence[bytes]) -> bytes:
    """The root over at least one hash, level by level: what `root_of_hashes` says, for many."""
    sha256 = hashlib.sha256
    row = list(hashes)
    while len(row) > 1:
        # One without a neighbour rises as it is: the RFC's split leaves it alone on the right.
        last = row[-1:] if len(row) & 1 else []
        row = [sha256(b"\x01" + row[at] + row[at + 1]).digest() for at in range(0, len(row) - 1, 2)] + last
    return row[0]


def verify_range(leaf_hashes: Sequence[bytes], first: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Check that consecutive leaves stand from this index on in the log with this root.

    Args:
        leaf_hashes: Of the leaves, in order; at least one.
        first: Index of the first of them.
        size: Number of leaves under the root.
        path: Roots of the subtrees beside them, from left to right, as `chain.log_tiles.Log.prove_range` makes them.
        root: A root that the caller trusts.

    Raises:
        InvalidProof: They do not, or the arguments are out of range.

    Source: RFC 9162, 2.1.1; an inclusion proof of many leaves at once.
    """
    stop = first + len(leaf_hashes)
    if not leaf_hashes or not 0 <= first < stop <= size <= LOG_SIZE_MAX:
        raise InvalidProof(f"{len(leaf_hashes)} leaves from {first} on are not in a log of {size} entries")
    _check_hashes(path)
    left = list(reversed(path))

    def root_between(begin: int, end: int) -> bytes:
        if begin >= stop or end <= first:
            if not left:
                raise InvalidProof("the path of the leaves has too few hashes")
            return left.pop()
        if first <= begin and end <= stop:
            return fold(leaf_hashes[begin - first : end - first])
        middle = begin + split_of(end - begin)
        below = root_between(begin, middle)
        return node_hash(below, root_between(middle, end))

    found = root_between(0, size)
    if left:
        raise InvalidProof("the path of the leaves has too many hashes")
    if found != root:
        raise InvalidProof(f"the leaves from {first} on do not lead to the root of the log at size {size}")


def _roots_from_consistency(size1: int, size2: int, path: Sequence[bytes], root1: bytes) -> tuple[bytes, bytes]:
    """Both roots that a path leads to; 0 < size1 < size2."""
    hashes = list(path)
    if size1 & (size1 - 1) == 0:
        # The earlier log is one complete subtree of the later: its root opens the path.
        hashes.insert(0, root1)
    if not hashes:
        raise InvalidProof("the consistency proof is empty")
    position, last = size1 - 1, size2 - 1
    while position & 1:
        position >>= 1
        last >>= 1
    old = new = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise InvalidProof("the consistency proof has too many hashes")
        if position & 1 or position == last:
            old = node_hash(sibling, old)
            new = node_hash(sibling, new)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            new = node_hash(new, sibling)
        position >>= 1
        last >>= 1
    if last != 0:
        raise InvalidProof("the consistency proof has too few hashes")
    return old, new


def _check_hashes(hashes: Sequence[bytes]) -> None:
    if any(len(value) != HASH_BYTES for value in hashes):
        raise InvalidProof("a hash of the proof does not have 32 bytes")
