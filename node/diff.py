# SPDX-License-Identifier: Apache-2.0
"""Where two ledgers of one network part: the first block, what of it, and by whose rules, down to the key.

Replicas that execute one block differently show it in that block's checkpoint, and the one that others do not follow
halts. What it computed lies in its database, and in the dump that it leaves; a healthy node has the other half. Trees
are walked side by side, and what is equal is skipped by its hash: the work is that of the difference.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from chain.checkpoint import Checkpoint
from chain.codec import decode
from chain.errors import InvalidMessage
from chain.executor import Write, digests_by_module
from chain.pb import ledger_pb2 as pb
from chain.storage import Reader
from chain.tree_page import NOTHING, SLOTS, Slot
from chain.tree_update import DIGITS, Keys
from chain.types import sha256
from node.errors import StorageError
from node.fsck_ids import ENTRY_BYTES_MAX
from node.fsck_tree import below, parse_page
from node.store_keys import NETWORK_KEY, STATE_PREFIX, TIP_KEY, BlockOutcome, numbered

KEYS_MAX = 1_000
"""Differing keys that are listed; a block writes more only when it is full, and the first one is what matters."""
FIELDS = ("block_id", "epoch", "time_ms", "log_size", "log_root", "state_root", "next_validators")
"""Of a checkpoint, in the order in which a difference in one explains those in the next."""
_KEYS = Keys(STATE_PREFIX)


class NotComparableError(Exception):
    """Two ledgers have nothing in common that could be compared."""


@dataclass(frozen=True, slots=True)
class KeyDifference:
    """A state key with another value in each of two ledgers, None where it has none."""

    key: bytes
    first: bytes | None
    second: bytes | None

    @property
    def module(self) -> str:
        """Whose rules wrote it."""
        return self.key.split(b"/", 1)[0].decode(errors="backslashreplace")


@dataclass(frozen=True, slots=True)
class EntryDifference:
    """The first log entry that differs.

    Attributes:
        index: Of the leaf.
        transaction_id: Of the first ledger's entry; of the second's where the first has none; empty if it is damaged.
        first: What became of it in the first ledger: "success", a failure's code, "absent" or "damaged".
        second: The same in the second.
    """

    index: int
    transaction_id: bytes
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What one node says that a block came to.

    Attributes:
        checkpoint: By the names of `FIELDS`: numbers, and digests in hexadecimal.
        modules: Digest of each module's writes, in hexadecimal; None if the node does not hold them any more.
    """

    height: int
    checkpoint: Mapping[str, int | str]
    modules: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Parting:
    """The first block of which two nodes hold different results.

    Attributes:
        fields: Names of what differs in the checkpoints; empty if only the writes do.
        modules: Modules whose writes in this block differ; None if one of the nodes does not hold them.
    """

    height: int
    first: Facts
    second: Facts
    fields: tuple[str, ...]
    modules: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was compared, and what was found.

    Attributes:
        first_height: Lowest height whose results both hold.
        last_height: Greatest one.
        keys: State keys that differ, sorted, at most `KEYS_MAX`; empty if none do or it can't be said.
        keys_height: After which block the two states were compared: where they part, or the first after it whose state
            both still hold; None if both states are equal there or are not held.
        entry: The first log entry that differs.
    """

    first_height: int
    last_height: int
    parting: Parting | None
    keys: tuple[KeyDifference, ...] = ()
    keys_height: int | None = None
    entry: EntryDifference | None = None


def compare_ledgers(first: Reader, second: Reader) -> Comparison:
    """Find where two ledgers part.

    Args:
        first: One moment of one node's database.
        second: Of another's.

    Raises:
        NotComparableError: They are of different networks, or share no height.
        StorageError: A record is missing or damaged; `node.fsck` names it.
    """
    if first.get(NETWORK_KEY) != second.get(NETWORK_KEY):
        raise NotComparableError("the two ledgers are of different networks")
    one, other = held_heights(first), held_heights(second)
    start, stop = max(one.start, other.start), min(one.stop, other.stop) - 1
    if start > stop:
        raise NotComparableError(
            f"the two ledgers share no block: one begins at height {start}, the other ends at {stop}"
        )
    height = _first_parting(first, second, start, stop)
    if height is None:
        return Comparison(start, stop, None)
    parting = _parting(facts_of(first, height), facts_of(second, height))
    assert parting is not None, "their checkpoints differ"
    held = max(height, _oldest_state(first), _oldest_state(second))
    keys: tuple[KeyDifference, ...] = ()
    if held <= stop:
        keys = tuple(sorted(differing_keys(first, held, second, held), key=lambda found: found.key))
    entry = _first_entry(first, second, height) if "log_root" in parting.fields else None
    return Comparison(start, stop, parting, keys, held if keys else None, entry)


def compare_facts(first: Mapping[int, Facts], second: Mapping[int, Facts]) -> Comparison:
    """Find where the facts of two nodes part, when one of them left but a dump.

    Args:
        first: By height.
        second: The same of another node.

    Raises:
        NotComparableError: They share no height.
    """
    shared = sorted(first.keys() & second.keys())
    if not shared:
        raise NotComparableError("the two share no block whose results both hold")
    for height in shared:
        parting = _parting(first[height], second[height])
        if parting is not None:
            return Comparison(shared[0], shared[-1], parting)
    return Comparison(shared[0], shared[-1], None)


def held_heights(reader: Reader) -> range:
    """The blocks whose results a ledger holds.

    Raises:
        NotComparableError: None.
        StorageError: The newest checkpoint is damaged.
    """
    return range(_first_height(reader), _tip_height(reader) + 1)


def facts_of(reader: Reader, height: int) -> Facts:
    """What a block came to in a ledger.

    Raises:
        StorageError: It is not held, or damaged.
    """
    checkpoint = _checkpoint(reader, height)
    modules = None
    if height > _oldest_state(reader):
        writes = writes_of(reader, height)
        modules = {name: digest.hex() for name, digest in digests_by_module(writes)}
    shown: dict[str, int | str] = {}
    for name in FIELDS:
        value = getattr(checkpoint, name)
        shown[name] = value.hex() if isinstance(value, bytes) else value
    return Facts(height, shown, modules)


def writes_of(reader: Reader, height: int) -> list[Write]:
    """What a block wrote to the state, sorted by key; both it and the version before must be held."""
    found = differing_keys(reader, height - 1, reader, height, keys_max=None)
    return sorted((difference.key, difference.second) for difference in found)


def differing_keys(
    first: Reader, first_height: int, second: Reader, second_height: int, *, keys_max: int | None = KEYS_MAX
) -> Iterator[KeyDifference]:
    """Keys whose values differ between two states, in the order of their hashes.

    Args:
        first: One ledger.
        first_height: A version that it holds.
        second: Another one, or the same.
        second_height: A version that it holds.
        keys_max: Stop after so many; None for all.
    """
    stack = [(_root(first, first_height), _root(second, second_height), b"")]
    count = 0
    while stack:
        one, other, path = stack.pop()
        if one.hash == other.hash:
            continue
        leaves = [slot for slot in (one, other) if slot.key_hash is not None]
        if len(leaves) + (one == NOTHING) + (other == NOTHING) < 2 or _are_apart(one, other):
            depth = len(path)
            below_one = below(one, depth, lambda slot: _slots(first, slot, path))  # noqa: B023 - called at once
            below_other = below(other, depth, lambda slot: _slots(second, slot, path))  # noqa: B023 - called at once
            stack += [(below_one[i], below_other[i], path + DIGITS[i]) for i in range(SLOTS - 1, -1, -1)]
            continue
        key, value = _value(first, one)
        other_key, other_value = _value(second, other)
        yield KeyDifference(key or other_key, value, other_value)
        count += 1
        if count == keys_max:
            return


def _are_apart(one: Slot, other: Slot) -> bool:
    """Whether two leaves are of different keys: then each is compared with nothing further down."""
    return one.key_hash is not None and other.key_hash is not None and one.key_hash != other.key_hash


# ---------------------------------------------------------------- one ledger


def _first_height(reader: Reader) -> int:
    """The lowest height whose checkpoint is held."""
    for key, _ in reader.range(b"C", b"D"):
        return int.from_bytes(key[1:])
    raise NotComparableError("no block was executed in one of the two ledgers")


def _tip_height(reader: Reader) -> int:
    raw = reader.get(TIP_KEY)
    if raw is None:
        raise NotComparableError("no block was executed in one of the two ledgers")
    return _decoded(raw).height


def _checkpoint(reader: Reader, height: int) -> Checkpoint:
    raw = reader.get(numbered(b"C", height))
    if raw is None:
        raise StorageError(f"the checkpoint at height {height} is not stored; check the ledger with zhixin fsck")
    return _decoded(raw)


def _decoded(raw: bytes) -> Checkpoint:
    try:
        return Checkpoint.decode(raw)
    except InvalidMessage as error:
        raise StorageError(f"a checkpoint is damaged; check the ledger with zhixin fsck ({error.reason})") from None


def _oldest_state(reader: Reader) -> int:
    raw = reader.get(_KEYS.oldest)
    return 0 if raw is None else int.from_bytes(raw)


def _root(reader: Reader, height: int) -> Slot:
    for _, raw in reader.range(_KEYS.root(0), _KEYS.root(height + 1), reverse=True):
        return Slot.decode(raw)
    raise StorageError(f"the state at height {height} is not stored; check the ledger with zhixin fsck")


def _slots(reader: Reader, slot: Slot, path: bytes) -> list[Slot]:
    raw = reader.get(_KEYS.page(slot.version, path))
    slots = None if raw is None else parse_page(raw)
    if slots is None:
        raise StorageError("a page of the state is missing or damaged; check the ledger with zhixin fsck")
    return slots


def _value(reader: Reader, leaf: Slot) -> tuple[bytes, bytes | None]:
    """A leaf's key and value; of nothing, no key and None."""
    if leaf.key_hash is None:
        return b"", None
    raw = reader.get(_KEYS.value(leaf.key_hash, leaf.version))
    if raw is None:
        raise StorageError("a value of the state is missing; check the ledger with zhixin fsck")
    return Keys.unpack_value(raw)


# ---------------------------------------------------------------- two ledgers


def _first_parting(first: Reader, second: Reader, start: int, stop: int) -> int | None:
    """The lowest height at which the checkpoints differ."""
    limits = numbered(b"C", start), numbered(b"C", stop + 1)
    for (key, one), (other_key, other) in zip(first.range(*limits), second.range(*limits), strict=False):
        if key != other_key:
            raise StorageError("a checkpoint is missing; check both ledgers with zhixin fsck")
        if one != other:
            return int.from_bytes(key[1:])
    return None


def _parting(first: Facts, second: Facts) -> Parting | None:
    """What differs in the results of one block."""
    one, other = first.checkpoint, second.checkpoint
    fields = tuple(name for name in FIELDS if name in one and name in other and one[name] != other[name])
    modules = None
    if first.modules is not None and second.modules is not None:
        names = sorted(first.modules.keys() | second.modules.keys())
        modules = tuple(name for name in names if first.modules.get(name) != second.modules.get(name))
    if not fields and not modules:
        return None
    return Parting(first.height, first, second, fields, modules)


def _first_entry(first: Reader, second: Reader, height: int) -> EntryDifference | None:
    """The first entry of a block that differs; its first leaf is the same in both, for what came before is."""
    raw = first.get(numbered(b"O", height))
    if raw is None:
        return None
    index = BlockOutcome.decode(raw).first_leaf
    size = max(_checkpoint(first, height).log_size, _checkpoint(second, height).log_size)
    while index < size:
        one, other = first.get(numbered(b"E", index)), second.get(numbered(b"E", index))
        if one != other:
            named = one if one is not None else other
            return EntryDifference(index, _transaction_id(named), _result(one), _result(other))
        index += 1
    return None


def _transaction_id(raw: bytes | None) -> bytes:
    try:
        return b"" if raw is None else sha256(decode(pb.Entry, raw, ENTRY_BYTES_MAX).header)
    except InvalidMessage:
        return b""


def _result(raw: bytes | None) -> str:
    if raw is None:
        return "absent"
    try:
        entry = decode(pb.Entry, raw, ENTRY_BYTES_MAX)
    except InvalidMessage:
        return "damaged"
    return entry.failure.code if entry.HasField("failure") else "success"
