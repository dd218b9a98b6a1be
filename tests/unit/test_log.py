# SPDX-License-Identifier: Apache-2.0
"""The growing log agrees with the RFC's recursive definition, at every size and across tiles."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chain.log import (
    EMPTY_ROOT,
    LOG_SIZE_MAX,
    InvalidProof,
    leaf_hash,
    path_of,
    root_from_inclusion,
    root_of,
    root_of_hashes,
    split_of,
    verify_consistency,
    verify_inclusion,
)
from chain.log_tiles import TILE_WIDTH, TILES_CACHED_MAX, Log
from chain.memory import MemoryDatabase

HASH = bytes(32)


def entries_of(count: int) -> list[bytes]:
    return [b"entry %d" % number for number in range(count)]


def naive_consistency(leaf_hashes: list[bytes], size1: int, *, complete: bool = True) -> list[bytes]:
    """RFC 9162, 2.1.4.1, word for word."""
    if size1 == len(leaf_hashes):
        return [] if complete else [root_of_hashes(leaf_hashes)]
    split = split_of(len(leaf_hashes))
    left, right = leaf_hashes[:split], leaf_hashes[split:]
    if size1 <= split:
        return [*naive_consistency(left, size1, complete=complete), root_of_hashes(right)]
    return [*naive_consistency(right, size1 - split, complete=False), root_of_hashes(left)]


def grown(entries: list[bytes], blocks: list[int]) -> Log:
    database = MemoryDatabase()
    log = Log(database, b"L", 0)
    start = 0
    for count in blocks:
        append = log.append(entries[start : start + count])
        database.write(append.puts)
        log.applied(append)
        start += count
    assert start == len(entries)
    return log


def test_root_of_empty_log_is_hash_of_nothing():
    assert root_of([]) == EMPTY_ROOT == Log(MemoryDatabase(), b"L", 0).root()


def test_append_of_nothing_changes_nothing():
    log = grown(entries_of(3), [3])
    append = log.append([])
    assert (append.size, append.root, append.puts) == (3, root_of(entries_of(3)), {})


def test_every_inclusion_and_consistency_proof_up_to_40_entries_equals_the_naive_one():
    entries = entries_of(40)
    hashes = [leaf_hash(entry) for entry in entries]
    log = grown(entries, [1] * 40)
    for size in range(1, 41):
        root = root_of(entries[:size])
        assert log.root(size) == root
        for index in range(size):
            path = log.prove_inclusion(index, size)
            assert path == path_of(entries[:size], index)
            verify_inclusion(hashes[index], index, size, path, root)
        for size1 in range(1, size + 1):
            path = log.prove_consistency(size1, size)
            assert path == naive_consistency(hashes[:size], size1)
            verify_consistency(size1, size, path, root_of(entries[:size1]), root)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 700), min_size=1, max_size=5), st.data())
def test_log_grown_in_blocks_across_tiles_agrees_with_naive_log(blocks, data):
    entries = entries_of(sum(blocks))
    log = grown(entries, blocks)
    assert log.root() == root_of(entries)
    if not entries:
        return
    size = data.draw(st.integers(1, len(entries)))
    index = data.draw(st.integers(0, size - 1))
    size1 = data.draw(st.integers(0, size))
    verify_inclusion(leaf_hash(entries[index]), index, size, log.prove_inclusion(index, size), root_of(entries[:size]))
    verify_consistency(
        size1, size, log.prove_consistency(size1, size), root_of(entries[:size1]), root_of(entries[:size])
    )


def test_log_over_three_tile_levels_proves_first_and_last_leaf():
    count = TILE_WIDTH**2 + TILE_WIDTH + 3
    entries = entries_of(count)
    log = grown(entries, [count - 5, 5])
    root = root_of(entries)
    assert log.root() == root
    for index in (0, TILE_WIDTH, TILE_WIDTH**2, count - 1):
        verify_inclusion(leaf_hash(entries[index]), index, count, log.prove_inclusion(index, count), root)
    verify_consistency(TILE_WIDTH**2, count, log.prove_consistency(TILE_WIDTH**2, count), log.root(TILE_WIDTH**2), root)


@pytest.mark.parametrize("size", [1, 255, 256, 257, 1000, 65536])
def test_log_opened_anew_goes_on_where_it_was(size):
    entries = entries_of(size + 300)
    database = MemoryDatabase()
    first = Log(database, b"L", 0).append(entries[:size])
    database.write(first.puts)
    log = Log(database, b"L", size)
    append = log.append(entries[size:])
    assert log.root() == first.root
    assert append.root == root_of(entries)


def test_append_not_applied_leaves_the_log_as_it_was():
    log = grown(entries_of(300), [300])
    log.append(entries_of(500))
    assert log.size == 300
    assert log.root() == root_of(entries_of(300))
    assert log.append([b"x"]).root == root_of([*entries_of(300), b"x"])


def test_append_that_does_not_follow_is_our_error():
    log = grown(entries_of(3), [3])
    stale = log.append([b"a"])
    log.applied(log.append([b"b"]))
    with pytest.raises(AssertionError):
        log.applied(stale)


def test_block_of_a_thousand_entries_costs_few_writes():
    log = grown(entries_of(5000), [5000])
    assert len(log.append(entries_of(1000)).puts) <= 6


def test_cache_of_tiles_stays_bounded():
    count = (TILES_CACHED_MAX + 20) * TILE_WIDTH
    log = grown(entries_of(count), [count])
    for index in range(0, count, TILE_WIDTH):
        log.prove_inclusion(index, count)
    assert len(log._cache) == TILES_CACHED_MAX


@given(
    st.binary(min_size=32, max_size=32),
    st.integers(0, 9),
    st.integers(1, 10),
    st.lists(st.binary(min_size=31, max_size=33)),
)
def test_arbitrary_inclusion_proof_is_refused(leaf, index, size, path):
    assume(leaf != b"\xff" * 32)  # the root of a log of one entry is that entry's hash
    with pytest.raises(InvalidProof):
        verify_inclusion(leaf, index, size, path, b"\xff" * 32)


@pytest.mark.parametrize(("index", "size"), [(-1, 1), (0, 0), (1, 1), (0, -1), (0, LOG_SIZE_MAX + 1)])
def test_inclusion_outside_the_log_is_refused(index, size):
    with pytest.raises(InvalidProof):
        root_from_inclusion(HASH, index, size, [])


def test_inclusion_proof_with_any_hash_dropped_doubled_or_altered_is_refused():
    entries = entries_of(13)
    log = grown(entries, [13])
    root = root_of(entries)
    for index in range(13):
        path = log.prove_inclusion(index, 13)
        leaf = leaf_hash(entries[index])
        for at, value in enumerate(path):
            altered = bytes([value[0] ^ 1]) + value[1:]
            for wrong in (
                path[:at] + path[at + 1 :],
                [*path[:at], value, *path[at:]],
                [*path[:at], altered, *path[at + 1 :]],
            ):
                with pytest.raises(InvalidProof):
                    verify_inclusion(leaf, index, 13, wrong, root)
        for other in set(range(13)) - {index}:
            with pytest.raises(InvalidProof):
                verify_inclusion(leaf, other, 13, path, root)


def test_consistency_of_empty_log_takes_no_hashes_and_the_empty_root():
    root = root_of(entries_of(5))
    verify_consistency(0, 5, [], EMPTY_ROOT, root)
    verify_consistency(0, 0, [], EMPTY_ROOT, EMPTY_ROOT)
    for path, root1, root2 in (([HASH], EMPTY_ROOT, root), ([], root, root)):
        with pytest.raises(InvalidProof):
            verify_consistency(0, 5, path, root1, root2)
    with pytest.raises(InvalidProof):
        verify_consistency(0, 0, [], EMPTY_ROOT, root)


def test_consistency_of_equal_sizes_takes_no_hashes_and_equal_roots():
    root = root_of(entries_of(5))
    verify_consistency(5, 5, [], root, root)
    with pytest.raises(InvalidProof):
        verify_consistency(5, 5, [HASH], root, root)
    with pytest.raises(InvalidProof):
        verify_consistency(5, 5, [], root, HASH)


def test_consistency_with_shrinking_log_is_refused():
    root = root_of(entries_of(5))
    with pytest.raises(InvalidProof):
        verify_consistency(6, 5, [], root, root)


def test_consistency_proof_for_other_sizes_or_with_altered_hash_is_refused():
    entries = entries_of(21)
    log = grown(entries, [21])
    for size1 in range(1, 21):
        path = log.prove_consistency(size1, 21)
        root1, root2 = log.root(size1), log.root()
        for at, value in enumerate(path):
            altered = bytes([value[0] ^ 1]) + value[1:]
            for wrong in (path[:at] + path[at + 1 :], [*path, value], [*path[:at], altered, *path[at + 1 :]]):
                with pytest.raises(InvalidProof):
                    verify_consistency(size1, 21, wrong, root1, root2)
        for other in range(1, 21):
            if log.root(other) != root1:
                with pytest.raises(InvalidProof):
                    verify_consistency(other, 21, path, root1, root2)
