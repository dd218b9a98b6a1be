# SPDX-License-Identifier: Apache-2.0
"""What clients saw, and whether what the replicas hold can have shown it to them.

Pure and slow on purpose: it reads nothing but the events that a client noted and the records of stopped replicas, and
hashes the log itself (RFC 9162, section 2.1). Each problem is a sentence that names the replica and the place.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

from chain.pb import ledger_pb2 as pb

PROBLEMS_MAX = 20
"""A log that is off by one is off everywhere; the first places tell enough."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """A client began to submit a transaction."""

    client: int
    id: bytes


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A client has verified a receipt.

    Attributes:
        position: Of the entry in its block.
    """

    client: int
    id: bytes
    leaf_index: int
    height: int
    position: int
    time_ms: int


Event: TypeAlias = Submitted | Acknowledged


@dataclass(slots=True)
class Replica:
    """The records of one stopped replica.

    Attributes:
        entries: The log, encoded, by leaf index.
        blocks: By height.
        checkpoints: As the replica computed them, by height.
        certified: Certified checkpoints' bytes, by height.
        oldest_block: The lowest height that it says it holds; above 1 where it prunes.
        first_leaf: The first entry that it says it holds.
    """

    name: str
    entries: dict[int, bytes] = field(default_factory=dict)
    blocks: dict[int, bytes] = field(default_factory=dict)
    checkpoints: dict[int, bytes] = field(default_factory=dict)
    certified: dict[int, bytes] = field(default_factory=dict)
    oldest_block: int = 1
    first_leaf: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether it holds everything since genesis."""
        return (self.oldest_block, self.first_leaf) == (1, 0)

    @property
    def log_size(self) -> int:
        """How many entries its log has, the pruned ones counted."""
        return max(self.entries, default=self.first_leaf - 1) + 1

    @property
    def height(self) -> int:
        """Of the newest block."""
        return max(self.blocks, default=0)


class History:
    """Events in the order in which they happened, appended to a file as they do."""

    def __init__(self, path: Path) -> None:
        self.events: list[Event] = []
        found = list(load_events(path)) if path.exists() else []
        self._file = path.open("w", encoding="ascii")
        for event in found:
            self.note(event)
        self._file.flush()

    def note(self, event: Event) -> None:
        """Something happened just now."""
        self.events.append(event)
        words = [str(event.client), event.id.hex()]
        if isinstance(event, Acknowledged):
            words += map(str, (event.leaf_index, event.height, event.position, event.time_ms))
        self._file.write("\t".join(words) + "\n")

    def close(self) -> None:
        """What was noted stands in the file; nothing more is."""
        self._file.close()

    @property
    def acknowledged(self) -> int:
        """How many receipts."""
        return sum(isinstance(event, Acknowledged) for event in self.events)


def load_events(path: Path) -> Iterator[Event]:
    """Events of a file; a last line that was cut is left out."""
    for line in path.read_text(encoding="ascii").splitlines(keepends=True):
        words = line.split("\t")
        if not line.endswith("\n") or len(words) not in {2, 6}:
            return
        client, transaction_id, *numbers = words
        if numbers:
            leaf_index, height, position, time_ms = map(int, numbers)
            yield Acknowledged(int(client), bytes.fromhex(transaction_id), leaf_index, height, position, time_ms)
        else:
            yield Submitted(int(client), bytes.fromhex(transaction_id))


def check(events: Sequence[Event], replicas: Sequence[Replica]) -> list[str]:
    """Everything below.

    Returns:
        What is wrong; empty if nothing is.
    """
    problems = [problem for replica in replicas for problem in check_replica(replica)]
    if not any(replica.is_whole for replica in replicas):
        problems.append("no replica holds everything: nothing shows that the others' roots are right")
    problems += check_equal(replicas)
    problems += check_order(events)
    for replica in replicas:
        problems += check_acknowledged(events, replica)
    return problems[:PROBLEMS_MAX]


def check_replica(replica: Replica) -> Iterator[str]:
    """One replica alone: an unbroken chain of blocks, a log without gaps and repetitions, and its roots.

    One that has pruned entries can't be hashed anew; `check_equal` compares its roots with those of a whole one.
    """
    name = replica.name
    if sorted(replica.entries) != list(range(replica.first_leaf, replica.log_size)):
        yield f"{name}: the log has gaps: {len(replica.entries)} entries up to {max(replica.entries)}"
        return
    if sorted(replica.blocks) != list(range(replica.oldest_block, replica.height + 1)):
        yield f"{name}: blocks are missing: {len(replica.blocks)} up to height {replica.height}"
        return
    if set(replica.checkpoints) != set(replica.blocks):
        yield f"{name}: blocks and checkpoints are of different heights"
        return
    seen: dict[bytes, int] = {}
    places: list[tuple[int, int]] = []
    for leaf_index in range(replica.first_leaf, replica.log_size):
        entry = pb.Entry.FromString(replica.entries[leaf_index])
        transaction_id = sha256(entry.header).digest()
        if transaction_id in seen:
            yield f"{name}: {transaction_id.hex()} stands at leaf {seen[transaction_id]} and again at {leaf_index}"
        seen[transaction_id] = leaf_index
        places.append((entry.height, entry.position))
        if len(places) > 1 and places[-1] <= places[-2]:
            yield f"{name}: the entry at leaf {leaf_index} is of place {places[-1]}, after one of {places[-2]}"
    yield from _check_chain(replica)
    if replica.is_whole:
        yield from _check_roots(replica)


def _check_chain(replica: Replica) -> Iterator[str]:
    """Each block names the one before it, and its own checkpoint names it."""
    before = b""
    for height in range(replica.oldest_block, replica.height + 1):
        raw = replica.blocks[height]
        block, checkpoint = pb.Block.FromString(raw), pb.Checkpoint.FromString(replica.checkpoints[height])
        if (block.height, checkpoint.height) != (height, height):
            yield f"{replica.name}: block and checkpoint at height {height} say {block.height}, {checkpoint.height}"
        if before and block.parent_id != before:
            yield f"{replica.name}: the block at height {height} does not follow the one before it"
        before = sha256(raw).digest()
        if checkpoint.block_id != before:
            yield f"{replica.name}: the checkpoint at height {height} is of another block"
        certified = replica.certified.get(height)
        if certified is not None:
            signed = pb.CertifiedCheckpoint.FromString(certified).checkpoint
            if signed != replica.checkpoints[height]:
                yield f"{replica.name}: what is certified at height {height} is not what was computed"


def _check_roots(replica: Replica) -> Iterator[str]:
    """The log hashed anew has the root of each checkpoint."""
    peaks: list[tuple[int, bytes]] = []
    size = 0
    for height in range(1, replica.height + 1):
        checkpoint = pb.Checkpoint.FromString(replica.checkpoints[height])
        if checkpoint.log_size > len(replica.entries):
            yield f"{replica.name}: height {height} counts {checkpoint.log_size} of {len(replica.entries)} entries"
            return
        while size < checkpoint.log_size:
            _append(peaks, replica.entries[size])
            size += 1
        if _root(peaks) != checkpoint.log_root:
            yield f"{replica.name}: the log does not have the root of the checkpoint at height {height}"
            return
    if size != len(replica.entries):
        yield f"{replica.name}: {len(replica.entries) - size} entries stand beyond the newest checkpoint"


def _append(peaks: list[tuple[int, bytes]], entry: bytes) -> None:
    """One more leaf under the roots of full subtrees, largest first."""
    count, digest = 1, sha256(b"\x00" + entry).digest()
    while peaks and peaks[-1][0] == count:
        _, left = peaks.pop()
        count, digest = 2 * count, sha256(b"\x01" + left + digest).digest()
    peaks.append((count, digest))


def _root(peaks: Sequence[tuple[int, bytes]]) -> bytes:
    if not peaks:
        return sha256().digest()
    digest = peaks[-1][1]
    for _, left in reversed(peaks[:-1]):
        digest = sha256(b"\x01" + left + digest).digest()
    return digest


def check_equal(replicas: Sequence[Replica]) -> Iterator[str]:
    """Of what is not pruned, all hold the same, up to the lowest's height, and none another entry at any leaf."""
    first = next((replica for replica in replicas if replica.is_whole), replicas[0])
    for other in replicas:
        oldest, newest = max(first.oldest_block, other.oldest_block), min(first.height, other.height)
        leaves = range(max(first.first_leaf, other.first_leaf), min(first.log_size, other.log_size))
        tables: tuple[tuple[str, Mapping[int, bytes], Mapping[int, bytes]], ...] = (
            ("block", first.blocks, other.blocks),
            ("checkpoint", first.checkpoints, other.checkpoints),
            ("entry", first.entries, other.entries),
        )
        for what, ours, theirs in tables:
            for at in leaves if what == "entry" else range(oldest, newest + 1):
                if ours.get(at) != theirs.get(at):
                    yield f"{first.name} and {other.name} differ in the {what} at {at}"
                    break


def check_order(events: Sequence[Event]) -> Iterator[str]:
    """Whatever was submitted after an acknowledgement stands behind it, and no receipt contradicts another."""
    behind: dict[bytes, int] = {}
    known: dict[bytes, Acknowledged] = {}
    highest = -1
    for event in events:
        if isinstance(event, Submitted):
            behind.setdefault(event.id, highest)
            continue
        if event.id not in behind:
            yield f"{event.id.hex()} was acknowledged and never submitted"
            continue
        if event.leaf_index <= behind[event.id]:
            yield (
                f"{event.id.hex()} stands at leaf {event.leaf_index}, though leaf {behind[event.id]} was acknowledged "
                "before it was submitted"
            )
        earlier = known.setdefault(event.id, event)
        if (earlier.leaf_index, earlier.height, earlier.position) != (event.leaf_index, event.height, event.position):
            yield f"{event.id.hex()} was acknowledged at leaf {earlier.leaf_index} and at {event.leaf_index}"
        highest = max(highest, event.leaf_index)


def check_acknowledged(events: Sequence[Event], replica: Replica) -> Iterator[str]:
    """Each acknowledged transaction stands where its receipt says."""
    for event in events:
        if not isinstance(event, Acknowledged):
            continue
        raw = replica.entries.get(event.leaf_index)
        if raw is None and event.leaf_index < replica.first_leaf:
            continue  # pruned; the whole replicas hold it
        if raw is None:
            yield f"{replica.name}: {event.id.hex()} was acknowledged at leaf {event.leaf_index}, which is not there"
            continue
        entry = pb.Entry.FromString(raw)
        found = (sha256(entry.header).digest(), entry.height, entry.position, entry.time_ms)
        if found != (event.id, event.height, event.position, event.time_ms):
            yield f"{replica.name}: leaf {event.leaf_index} holds {found}, not what was acknowledged: {event}"
