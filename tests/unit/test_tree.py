# SPDX-License-Identifier: Apache-2.0
"""The state tree: versions, pruning, proofs at the edges. Its agreement with a naive twin: properties/."""

import pytest

from chain.errors import Refused
from chain.ics23 import EMPTY, InvalidProof, verify_ics23
from chain.memory import MemoryDatabase
from chain.tree import CACHED_PAGES_MAX, StateTree, leaf_hash
from chain.tree_page import NOTHING, Page, Slot
from chain.types import STATE_KEY_BYTES_MAX, STATE_VALUE_BYTES_MAX, sha256


class Shelf:
    """A tree with its database, each update stored and applied."""

    def __init__(self) -> None:
        self.database = MemoryDatabase()
        self.tree = StateTree(self.database, b"S")

    def write(self, version: int, writes: dict[bytes, bytes | None]) -> bytes:
        update = self.tree.update(writes.items(), version)
        self.database.write(update.puts)
        self.tree.applied(update)
        return update.root

    def prune(self, oldest: int, keys_max: int = 100_000) -> int:
        pruning = self.tree.prune(oldest, keys_max)
        self.database.write(pruning.puts, pruning.deletes)
        self.tree.pruned(pruning)
        return pruning.oldest


def keys_of(count: int) -> list[bytes]:
    return [b"test/key/%d" % number for number in range(count)]


def test_tree_without_state_has_the_empty_root_and_proves_nothing():
    tree = Shelf().tree
    assert tree.root() == EMPTY == bytes(32)
    assert tree.get(b"k") is None
    with pytest.raises(Refused, match="no state"):
        tree.prove(b"k")


def test_tree_of_one_leaf_is_that_leaf():
    shelf = Shelf()
    assert shelf.write(1, {b"k": b"v"}) == leaf_hash(b"k", b"v") == sha256(b"\x00" + sha256(b"k") + sha256(b"v"))
    value, proof = shelf.tree.prove(b"k")
    assert value == b"v"
    verify_ics23(proof, shelf.tree.root(), b"k", b"v")
    value, proof = shelf.tree.prove(b"other")
    assert value is None
    verify_ics23(proof, shelf.tree.root(), b"other", None)


def test_tree_of_two_leaves_hashes_them_under_each_bit_that_they_share():
    left, right = sorted((b"a", b"b"), key=sha256)
    shelf = Shelf()
    root = shelf.write(1, {b"a": b"1", b"b": b"2"})
    values = {b"a": b"1", b"b": b"2"}
    node = sha256(b"\x01" + leaf_hash(left, values[left]) + leaf_hash(right, values[right]))
    shared = 256 - (int.from_bytes(sha256(left)) ^ int.from_bytes(sha256(right))).bit_length()
    for depth in range(shared - 1, -1, -1):
        bit = int.from_bytes(sha256(left)) >> (255 - depth) & 1
        node = sha256(b"\x01" + EMPTY + node) if bit else sha256(b"\x01" + node + EMPTY)
    assert root == node


def test_deleting_the_last_key_leaves_the_empty_root():
    shelf = Shelf()
    shelf.write(1, {b"k": b"v"})
    assert shelf.write(2, {b"k": None}) == EMPTY
    assert shelf.tree.get(b"k") is None
    assert shelf.tree.get(b"k", 1) == b"v"


def test_each_version_keeps_its_values_and_proofs():
    shelf = Shelf()
    keys = keys_of(200)
    roots = {}
    for version in range(3, 60, 3):
        roots[version] = shelf.write(version, dict.fromkeys(keys[version : version + 20], b"%d" % version))
    reopened = StateTree(shelf.database, b"S")
    for version, root in roots.items():
        for at in (version, version + 2):
            assert reopened.root(at) == shelf.tree.root(at) == root
            for key in keys[::7]:
                value, proof = reopened.prove(key, at)
                assert value == reopened.get(key, at) == shelf.tree.get(key, at)
                verify_ics23(proof, root, key, value)
    assert reopened.root(2) == EMPTY


def test_write_of_what_is_there_already_makes_no_version():
    shelf = Shelf()
    root = shelf.write(1, dict.fromkeys(keys_of(40), b"v"))
    update = shelf.tree.update([(keys_of(1)[0], b"v"), (b"absent", None)], 2)
    assert (update.version, update.puts, update.root) == (None, {}, root)
    shelf.tree.applied(update)
    assert shelf.write(3, {}) == root


def test_update_not_applied_leaves_the_tree_as_it_was():
    shelf = Shelf()
    root = shelf.write(1, dict.fromkeys(keys_of(40), b"v"))
    first = shelf.tree.update([(b"x", b"1")], 2)
    other = shelf.tree.update([(b"y", b"1")], 2)
    assert first.root != other.root
    assert shelf.tree.root() == root
    again = shelf.tree.update([(b"x", b"1")], 2)
    assert (again.root, again.puts) == (first.root, first.puts)


def test_update_that_does_not_follow_is_our_error():
    shelf = Shelf()
    shelf.write(1, {b"a": b"1"})
    stale = shelf.tree.update([(b"b", b"1")], 2)
    shelf.write(2, {b"c": b"1"})
    with pytest.raises(AssertionError):
        shelf.tree.applied(stale)
    with pytest.raises(AssertionError):
        shelf.tree.update([(b"b", b"1")], 2)


@pytest.mark.parametrize(
    "writes",
    [
        [(b"", b"v")],
        [(b"k", b"")],
        [(b"k", b"1"), (b"k", None)],
        [(bytes(STATE_KEY_BYTES_MAX + 1), b"v")],
        [(b"k", bytes(STATE_VALUE_BYTES_MAX + 1))],
    ],
)
def test_write_outside_the_limits_is_our_error(writes):
    with pytest.raises(AssertionError):
        Shelf().tree.update(writes, 1)


def test_pruning_keeps_the_versions_named_and_drops_all_else():
    shelf = Shelf()
    keys = keys_of(300)
    shelf.write(1, dict.fromkeys(keys, b"first"))
    for version in range(2, 40):
        writes: dict[bytes, bytes | None] = dict.fromkeys(keys[version * 5 : version * 5 + 9], b"%d" % version)
        writes[keys[version]] = None
        shelf.write(version, writes)
    answers = {at: {key: shelf.tree.prove(key, at) for key in keys} for at in (30, 35, 39)}
    assert shelf.prune(30) == 30
    reopened = StateTree(shelf.database, b"S")
    for tree in (shelf.tree, reopened):
        assert tree.oldest == 30
        for at, answer in answers.items():
            assert {key: tree.prove(key, at) for key in keys} == answer
        with pytest.raises(Refused, match="pruned"):
            tree.get(keys[0], 29)
    assert shelf.prune(39) == 39
    newest = StateTree(MemoryDatabase(), b"S")
    fresh = newest.update([(key, value) for key in keys if (value := shelf.tree.get(key)) is not None], 1)
    assert fresh.root == shelf.tree.root()
    # What is left is what one version of this state needs: its pages, values, root record, and the mark of the oldest.
    kinds = [sum(key[1:2] == kind for key in shelf.database.pairs()) for kind in (b"n", b"v", b"r", b"p")]
    assert kinds == [sum(key[1:2] == kind for key in fresh.puts) for kind in (b"n", b"v", b"r")] + [1]


def test_pruning_in_small_steps_arrives_where_one_step_does():
    shelves = Shelf(), Shelf()
    for shelf in shelves:
        for version in range(1, 20):
            shelf.write(version, dict.fromkeys(keys_of(50)[version : version + 20], b"%d" % version))
    shelves[0].prune(15)
    steps = 0
    while shelves[1].prune(15, keys_max=30) < 15:
        steps += 1
    assert steps > 2
    assert shelves[0].database.pairs() == shelves[1].database.pairs()


def test_pruning_an_old_bound_again_changes_nothing():
    shelf = Shelf()
    shelf.write(1, {b"a": b"1"})
    shelf.write(2, {b"a": b"2"})
    shelf.prune(2)
    assert shelf.prune(1) == 2
    assert shelf.tree.prune(1).deletes == []


def test_cache_stays_bounded():
    shelf = Shelf()
    for version in range(1, 25):
        shelf.write(version, {b"%d/%d" % (version, number): b"v" for number in range(400)})
    for version in range(1, 25):
        for number in range(300):
            shelf.tree.get(b"%d/%d" % (version, number), version)
    assert len(shelf.tree._cache) == CACHED_PAGES_MAX


def test_page_decodes_to_what_was_encoded():
    slots = [NOTHING] * 16
    slots[0] = Slot(sha256(b"0"), 7, None)
    slots[9] = Slot(sha256(b"9"), 1 << 63, sha256(b"key"))
    slots[15] = Slot(sha256(b"15"), 1, sha256(b"other"))
    page = Page.of(slots)
    again = Page(page.raw)
    assert [again.slot(at) for at in range(16)] == [page.slot(at) for at in range(16)] == slots
    assert again.root() == page.root()
    assert again.slot(3) == NOTHING
    assert Slot.decode(again.slot(9).encode()) == again.slot(9)
    assert Slot.decode(NOTHING.encode()) is NOTHING


def test_proof_of_another_root_key_or_value_is_refused():
    shelf = Shelf()
    keys = keys_of(30)
    old = shelf.write(1, dict.fromkeys(keys, b"v"))
    root = shelf.write(2, {keys[3]: b"w", b"late": b"v"})
    _, proof = shelf.tree.prove(keys[3])
    _, absence = shelf.tree.prove(b"absent")
    verify_ics23(proof, root, keys[3], b"w")
    verify_ics23(absence, root, b"absent", None)
    for wrong in (
        (proof, old, keys[3], b"w"),
        (proof, root, keys[3], b"v"),
        (proof, root, keys[4], b"w"),
        (proof, root, keys[3], None),
        (proof, root, keys[3], b""),
        (absence, root, b"absent", b"v"),
        (absence, old, b"absent", None),
        (absence, root, keys[3], None),
        (absence, root, b"", None),
        (b"", root, b"absent", None),
        (b"", root, keys[3], b"w"),
    ):
        with pytest.raises(InvalidProof):
            verify_ics23(*wrong)
