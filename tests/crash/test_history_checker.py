# SPDX-License-Identifier: Apache-2.0
"""The history checker finds each planted fault, and nothing in what is sound."""

import copy
import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from chain.pb import ledger_pb2 as pb
from tests.crash.history import Acknowledged, Event, History, Replica, Submitted, check, load_events

NETWORK = b"n" * 32


def _root(entries: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1, word for word."""
    if not entries:
        return sha256().digest()
    if len(entries) == 1:
        return sha256(b"\x00" + entries[0]).digest()
    split = 1
    while 2 * split < len(entries):
        split *= 2
    return sha256(b"\x01" + _root(entries[:split]) + _root(entries[split:])).digest()


def _replica(name: str, blocks: list[list[bytes]]) -> Replica:
    """A sound replica whose blocks hold transactions of these headers."""
    replica = Replica(name)
    parent, log = NETWORK, []
    for height, headers in enumerate(blocks, 1):
        raw = pb.Block(epoch=1, view=height, height=height, parent_id=parent, time_ms=height).SerializeToString()
        parent = sha256(raw).digest()
        for position, header in enumerate(headers):
            log.append(pb.Entry(height=height, position=position, time_ms=height, header=header).SerializeToString())
        checkpoint = pb.Checkpoint(
            network=NETWORK, height=height, block_id=parent, log_size=len(log), log_root=_root(log)
        ).SerializeToString()
        replica.blocks[height], replica.checkpoints[height] = raw, checkpoint
        replica.certified[height] = pb.CertifiedCheckpoint(checkpoint=checkpoint).SerializeToString()
    replica.entries = dict(enumerate(log))
    return replica


def _acknowledged(replica: Replica, leaf_index: int) -> Acknowledged:
    entry = pb.Entry.FromString(replica.entries[leaf_index])
    name = sha256(entry.header).digest()
    return Acknowledged(0, name, leaf_index, entry.height, entry.position, entry.time_ms)


BLOCKS = [[b"a", b"b"], [], [b"c"], [b"d", b"e", b"f"]]


def _sound() -> tuple[list[Event], list[Replica]]:
    """Four replicas, the last a block behind; one client that submits the next once it has the receipt of the last."""
    replicas = [_replica(f"node{index}", BLOCKS) for index in range(3)] + [_replica("node3", [*BLOCKS, [], []])]
    events: list[Event] = []
    for leaf_index in range(6):
        seen = _acknowledged(replicas[0], leaf_index)
        events += [Submitted(0, seen.id), seen]
    return events, replicas


def test_checker_given_equal_replicas_and_their_receipts_finds_nothing() -> None:
    events, replicas = _sound()
    assert check(events, replicas) == []


def _lose(events: list[Event], replicas: list[Replica]) -> None:
    """One replica rebuilt itself without its last transaction, soundly."""
    replicas[2] = _replica("node2", [*BLOCKS[:3], [b"d", b"e"]])


def _lose_everywhere(events: list[Event], replicas: list[Replica]) -> None:
    replicas[:] = [_replica(f"node{index}", BLOCKS[:3]) for index in range(4)]


def _duplicate(events: list[Event], replicas: list[Replica]) -> None:
    replicas[:] = [_replica(f"node{index}", [*BLOCKS, [b"a"]]) for index in range(4)]


def _reorder(events: list[Event], replicas: list[Replica]) -> None:
    replicas[:] = [_replica(f"node{index}", [[b"b", b"a"], *BLOCKS[1:]]) for index in range(4)]


def _reorder_for_client(events: list[Event], replicas: list[Replica]) -> None:
    """The replicas agree with each receipt, but c was submitted only after d had been acknowledged."""
    d = events[6:8]
    del events[6:8]
    events[4:4] = d


def _differ(events: list[Event], replicas: list[Replica]) -> None:
    """All certify what they have, and one has another entry where no client looked."""
    del events[10:]
    replicas[1] = _replica("node1", [*BLOCKS[:3], [b"d", b"e", b"x"]])


def _alter_entry(events: list[Event], replicas: list[Replica]) -> None:
    """An entry was altered after it had been certified, in all replicas alike."""
    del events[:2]
    for replica in replicas:
        replica.entries[0] = replica.entries[0].replace(b"a", b"z")


def _gap(events: list[Event], replicas: list[Replica]) -> None:
    del replicas[0].entries[3]


def _missing_block(events: list[Event], replicas: list[Replica]) -> None:
    del replicas[0].blocks[2]


def _other_block(events: list[Event], replicas: list[Replica]) -> None:
    raw = pb.Block.FromString(replicas[0].blocks[2])
    raw.time_ms += 1
    replicas[0].blocks[2] = raw.SerializeToString()


def _other_certificate(events: list[Event], replicas: list[Replica]) -> None:
    replicas[0].certified[3] = replicas[0].certified[2]


def _two_receipts(events: list[Event], replicas: list[Replica]) -> None:
    first = events[1]
    assert isinstance(first, Acknowledged)
    events.append(Acknowledged(1, first.id, first.leaf_index + 1, first.height, first.position + 1, first.time_ms))


def _never_submitted(events: list[Event], replicas: list[Replica]) -> None:
    del events[0]


def _prune(replica: Replica, oldest_block: int, first_leaf: int) -> None:
    """Soundly."""
    replica.oldest_block, replica.first_leaf = oldest_block, first_leaf
    for table in (replica.blocks, replica.checkpoints, replica.certified):
        for height in range(1, oldest_block):
            del table[height]
    for leaf_index in range(first_leaf):
        del replica.entries[leaf_index]


def test_checker_given_pruned_replicas_beside_a_whole_one_finds_nothing() -> None:
    events, replicas = _sound()
    _prune(replicas[0], 3, 2)
    _prune(replicas[2], 5, 6)
    assert check(events, replicas) == []


def _prune_everywhere(events: list[Event], replicas: list[Replica]) -> None:
    for replica in replicas:
        _prune(replica, 3, 2)


def _prune_too_much(events: list[Event], replicas: list[Replica]) -> None:
    """An entry went that the horizon promises."""
    _prune(replicas[0], 3, 2)
    del replicas[0].entries[2]


def _prune_another_block(events: list[Event], replicas: list[Replica]) -> None:
    _prune(replicas[0], 3, 2)
    del replicas[0].blocks[3]


def _alter_in_pruned(events: list[Event], replicas: list[Replica]) -> None:
    """Where no client looked, in a replica whose log can't be hashed anew."""
    del events[4:6]
    _prune(replicas[0], 3, 2)
    replicas[0].entries[2] = replicas[0].entries[2].replace(b"c", b"z")


def _entries_beyond(events: list[Event], replicas: list[Replica]) -> None:
    replicas[0].entries[6] = replicas[0].entries[5].replace(b"f", b"g")


@pytest.mark.parametrize(
    ("plant", "words"),
    [
        (_lose, "node2: .* was acknowledged at leaf 5, which is not there"),
        (_lose_everywhere, "node0: .* was acknowledged at leaf 3, which is not there"),
        (_duplicate, "stands at leaf 0 and again at 6"),
        (_reorder, "not what was acknowledged"),
        (_reorder_for_client, "though leaf 3 was acknowledged before"),
        (_differ, "node0 and node1 differ in the entry at 5"),
        (_alter_entry, "node0: the log does not have the root of the checkpoint at height 1"),
        (_gap, "node0: the log has gaps"),
        (_missing_block, "node0: blocks are missing"),
        (_other_block, "node0: the block at height 3 does not follow"),
        (_other_certificate, "node0: what is certified at height 3 is not what was computed"),
        (_two_receipts, "was acknowledged at leaf 0 and at 1"),
        (_never_submitted, "acknowledged and never submitted"),
        (_entries_beyond, "node0: 1 entries stand beyond"),
        (_prune_everywhere, "no replica holds everything"),
        (_prune_too_much, "node0: the log has gaps"),
        (_prune_another_block, "node0: blocks are missing"),
        (_alter_in_pruned, "node1 and node0 differ in the entry at 2"),
    ],
)
def test_checker_given_a_planted_fault_names_it(
    plant: Callable[[list[Event], list[Replica]], None], words: str
) -> None:
    events, replicas = copy.deepcopy(_sound())
    plant(events, replicas)
    found = check(events, replicas)
    assert any(re.search(words, problem) for problem in found), found


def test_history_cut_within_its_last_line_is_read_back_up_to_there(tmp_path: Path) -> None:
    events, _ = _sound()
    history = History(tmp_path / "history.tsv")
    for event in events:
        history.note(event)
    history.close()
    assert list(load_events(tmp_path / "history.tsv")) == events
    raw = (tmp_path / "history.tsv").read_bytes()
    (tmp_path / "history.tsv").write_bytes(raw[:-3])
    assert list(load_events(tmp_path / "history.tsv")) == events[:-1]
