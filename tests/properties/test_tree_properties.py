# SPDX-License-Identifier: Apache-2.0
"""The state tree equals its naive twin, proves every key present or absent, and no altered proof passes."""

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.ics23 import EMPTY, InvalidProof, Presence, encode_absence, encode_presence, verify_ics23
from chain.memory import MemoryDatabase
from chain.pb import ics23_pb2 as pb
from chain.tree import StateTree, leaf_hash
from chain.types import sha256


def naive_root(state: dict[bytes, bytes]) -> bytes:
    """The definition, word for word."""
    leaves = sorted((sha256(key), leaf_hash(key, value)) for key, value in state.items())
    return _naive([(int.from_bytes(key_hash), leaf) for key_hash, leaf in leaves], 255)


def _naive(leaves: list[tuple[int, bytes]], bit: int) -> bytes:
    if not leaves:
        return EMPTY
    if len(leaves) == 1:
        return leaves[0][1]
    left = [leaf for leaf in leaves if not leaf[0] >> bit & 1]
    right = [leaf for leaf in leaves if leaf[0] >> bit & 1]
    return sha256(b"\x01" + _naive(left, bit - 1) + _naive(right, bit - 1))


def crowded_keys() -> list[bytes]:
    """Keys of which some share many leading bits of their hashes, so that small maps reach deep pages."""
    families: dict[bytes, list[bytes]] = defaultdict(list)
    for number in range(40_000):
        key = b"k/%d" % number
        families[sha256(key)[:2]].append(key)
    largest = sorted(families.values(), key=lambda keys: (-len(keys), keys))[:4]
    return [key for family in largest for key in family] + [b"k/%d" % number for number in range(16)]


KEYS = crowded_keys()
WRITES = st.dictionaries(st.sampled_from(KEYS), st.none() | st.binary(min_size=1, max_size=3), max_size=14)


@settings(max_examples=150, deadline=None)
@given(st.lists(WRITES, min_size=1, max_size=6))
def test_tree_after_any_writes_equals_the_naive_tree_and_proves_every_key(blocks):
    database = MemoryDatabase()
    tree = StateTree(database, b"")
    state: dict[bytes, bytes] = {}
    history: list[dict[bytes, bytes]] = []
    for version, writes in enumerate(blocks, 1):
        update = tree.update(writes.items(), version)
        database.write(update.puts)
        tree.applied(update)
        state.update({key: value for key, value in writes.items() if value is not None})
        for key in [key for key, value in writes.items() if value is None]:
            state.pop(key, None)
        assert update.root == naive_root(state)
        history.append(dict(state))
    reopened = StateTree(database, b"")
    for version, past in enumerate(history, 1):
        assert reopened.root(version) == naive_root(past)
        if not past:
            continue
        for key in KEYS:
            value, proof = reopened.prove(key, version)
            assert value == past.get(key) == reopened.get(key, version)
            verify_ics23(proof, reopened.root(version), key, value)
    fresh = StateTree(MemoryDatabase(), b"").update(state.items(), 1)
    assert fresh.root == tree.root()


@settings(max_examples=100, deadline=None)
@given(st.lists(WRITES, min_size=2, max_size=6), st.data())
def test_pruned_tree_answers_as_before_from_its_oldest_version_on(blocks, data):
    database = MemoryDatabase()
    tree = StateTree(database, b"")
    for version, writes in enumerate(blocks, 1):
        update = tree.update(writes.items(), version)
        database.write(update.puts)
        tree.applied(update)
    oldest = data.draw(st.integers(1, len(blocks)))
    before = {(at, key): tree.get(key, at) for at in range(oldest, len(blocks) + 1) for key in KEYS}
    pruning = tree.prune(oldest)
    database.write(pruning.puts, pruning.deletes)
    after = StateTree(database, b"")
    assert {(at, key): after.get(key, at) for at, key in before} == before


def shelf(count: int) -> tuple[StateTree, bytes]:
    database = MemoryDatabase()
    tree = StateTree(database, b"")
    update = tree.update([(key, b"value of " + key) for key in KEYS[:count]], 1)
    database.write(update.puts)
    tree.applied(update)
    return tree, update.root


PRESENT = KEYS[:20]
TREE, ROOT = shelf(20)
PROOFS = [(key, *TREE.prove(key)) for key in [*PRESENT[:6], *KEYS[20:26]]]


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(PROOFS), st.data())
def test_proof_with_any_byte_altered_is_refused(case, data):
    key, value, proof = case
    at = data.draw(st.integers(0, len(proof) - 1))
    flip = data.draw(st.integers(1, 255))
    with pytest.raises(InvalidProof):
        verify_ics23(proof[:at] + bytes([proof[at] ^ flip]) + proof[at + 1 :], ROOT, key, value)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PROOFS), st.binary(min_size=1, max_size=40), st.data())
def test_proof_with_bytes_added_or_cut_is_refused(case, more, data):
    key, value, proof = case
    at = data.draw(st.integers(0, len(proof)))
    with pytest.raises(InvalidProof):
        verify_ics23(proof[:at] + more + proof[at:], ROOT, key, value)
    if at < len(proof):
        with pytest.raises(InvalidProof):
            verify_ics23(proof[:at], ROOT, key, value)


@given(st.binary(max_size=300), st.sampled_from([None, b"v"]))
def test_arbitrary_bytes_are_refused(proof, value):
    with pytest.raises(InvalidProof):
        verify_ics23(proof, ROOT, b"k", value)


def presence_of(key: bytes) -> Presence:
    """What a true proof says, to build false ones of."""
    value, raw = TREE.prove(key)
    assert value is not None
    proof = pb.CommitmentProof.FromString(raw).exist
    steps = [(len(op.prefix) > 1, op.prefix[1:] or op.suffix) for op in proof.path]
    assert encode_presence(Presence(key, value, steps)) == raw
    return Presence(key, value, steps)


LEAVES = sorted((presence_of(key) for key in PRESENT), key=lambda leaf: sha256(leaf.key))


def is_refused(proof: bytes, key: bytes, value: bytes | None) -> bool:
    try:
        verify_ics23(proof, ROOT, key, value)
    except InvalidProof:
        return True
    return False


def test_absence_holds_with_the_two_nearest_neighbours_and_no_others():
    sides = [None, *LEAVES]
    for key in KEYS[20:]:
        before = max(
            (leaf for leaf in LEAVES if sha256(leaf.key) < sha256(key)), key=lambda leaf: sha256(leaf.key), default=None
        )
        after = min(
            (leaf for leaf in LEAVES if sha256(leaf.key) > sha256(key)), key=lambda leaf: sha256(leaf.key), default=None
        )
        accepted = [
            (left, right)
            for left in sides
            for right in sides
            if (left or right) and not is_refused(encode_absence(key, left, right), key, None)
        ]
        assert accepted == [(before, after)]


def test_absence_of_a_present_key_is_refused_with_any_neighbours():
    sides = [None, *LEAVES]
    for key in PRESENT[:8]:
        for left in sides:
            for right in sides:
                if left or right:
                    assert is_refused(encode_absence(key, left, right), key, None)


def test_absence_without_neighbours_is_refused():
    proof = pb.CommitmentProof(nonexist=pb.NonExistenceProof(key=sha256(b"absent")))
    assert is_refused(proof.SerializeToString(deterministic=True), b"absent", None)


@pytest.mark.parametrize(
    "change",
    [
        {"hash": pb.NO_HASH},
        {"prehash_key": pb.NO_HASH},
        {"prehash_value": pb.NO_HASH},
        {"prefix": b""},
        {"prefix": b"\x01"},
        {"prefix": b"\x00\x00"},
    ],
)
def test_other_leaf_operation_is_refused(change):
    proof = pb.CommitmentProof.FromString(TREE.prove(PRESENT[0])[1])
    for field, value in change.items():
        setattr(proof.exist.leaf, field, value)
    assert is_refused(proof.SerializeToString(deterministic=True), PRESENT[0], TREE.get(PRESENT[0]))


def test_inner_operation_of_other_shape_is_refused_even_where_its_hash_is_right():
    """Moving bytes between prefix, child and suffix must not give a second proof of anything."""
    leaf = LEAVES[0]
    raw = pb.CommitmentProof.FromString(encode_presence(leaf))
    for change in ("hash", "suffix-empty", "prefix-long", "both"):
        proof = pb.CommitmentProof()
        proof.CopyFrom(raw)
        op = proof.exist.path[0]
        if change == "hash":
            op.hash = pb.NO_HASH
        elif change == "suffix-empty":
            op.prefix, op.suffix = b"\x01", b""
        elif change == "prefix-long":
            op.prefix += b"\x00"
        else:
            op.prefix, op.suffix = b"\x01" + bytes(32), bytes(32)
        assert is_refused(proof.SerializeToString(deterministic=True), leaf.key, leaf.value)


def test_path_against_the_bits_of_the_hashed_key_is_refused_though_it_hashes_to_the_root():
    key, value = b"key", b"value"
    right = not sha256(key)[0] >> 7
    leaf = leaf_hash(key, value)
    root = sha256(b"\x01" + bytes(32) + leaf) if right else sha256(b"\x01" + leaf + bytes(32))
    with pytest.raises(InvalidProof, match="bits"):
        verify_ics23(encode_presence(Presence(key, value, [(right, bytes(32))])), root, key, value)


def test_path_deeper_than_256_is_refused():
    key, value = b"key", b"value"
    bits = int.from_bytes(sha256(key))
    node, steps = leaf_hash(key, value), []
    for depth in range(255, -1, -1):
        right = bool(bits >> (255 - depth) & 1)
        node = sha256(b"\x01" + EMPTY + node) if right else sha256(b"\x01" + node + EMPTY)
        steps.append((right, EMPTY))
    verify_ics23(encode_presence(Presence(key, value, steps)), node, key, value)
    root = sha256(b"\x01" + node + EMPTY)
    with pytest.raises(InvalidProof, match="deeper"):
        verify_ics23(encode_presence(Presence(key, value, [*steps, (False, EMPTY)])), root, key, value)
