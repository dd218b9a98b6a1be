# SPDX-License-Identifier: Apache-2.0
"""Where an audit executes a history again: a database that is thrown away, and its comparison with the stored one.

A block's own records (block, bodies, entries, outcome, checkpoint, next set) are handed to the audit at once and not
kept. What later blocks change or what lies in another order (ids, log tiles, state) is kept here and compared at the
end, in one pass over each table. So the scratch takes the room of the state and some 150 bytes for each transaction.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from chain.checkpoint import Checkpoint
from chain.storage import Database, Reader
from chain.tree import StateTree
from chain.types import BLOCK_TRANSACTIONS_MAX
from node.audit_faults import compare
from node.audit_log import edge_tiles, remembered_at
from node.audit_state import KEYS, StoredRecords, root_record, version_of, walk_state
from node.store_keys import (
    FORMAT,
    FORMAT_KEY,
    LOG_PREFIX,
    NETWORK_KEY,
    STATE_PREFIX,
    TIP_KEY,
    numbered,
)

AT_ONCE = frozenset(b"BCEOVX")
"""Tables that are compared block by block."""
BATCH_RECORDS = 2_000
"""Of the state, about 1 MB, written at once."""
PRUNED_KEYS_MAX = 50_000
"""In one batch, some 5 MB of keys."""
_LAST_HEIGHT = (1 << 64) - 1


class Scratch:
    """A `chain.storage.Database` for a `node.store.LedgerStore` that must not survive anything."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._handed: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        """The value under a key, or None."""
        return self._database.get(key)

    def range(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < stop, in key order or its reverse."""
        return self._database.range(start, stop, reverse=reverse)

    def write(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes] = (), *, sync: bool = True) -> None:
        """Keep what is compared later, hand over the rest; nothing is synced."""
        del sync
        kept: dict[bytes, bytes] = {}
        for key, value in puts.items():
            (self._handed if key[0] in AT_ONCE else kept)[key] = value
        self._database.write(kept, deletes, sync=False)

    def flush(self) -> None:
        """Nothing of it survives anything."""

    def snapshot(self) -> Reader:
        """A view that later writes do not change."""
        return self._database.snapshot()

    def take(self) -> dict[bytes, bytes]:
        """The records of the block written last that are compared at once."""
        handed, self._handed = self._handed, {}
        return handed

    def prune(self, version: int) -> None:
        """Forget the states before a version, as a node that holds none older has."""
        tree = StateTree(self._database, STATE_PREFIX)
        while tree.oldest < version:
            pruning = tree.prune(version, PRUNED_KEYS_MAX)
            self._database.write(pruning.puts, pruning.deletes, sync=False)
            tree.pruned(pruning)


def seed(scratch: Scratch, reader: Reader, base: Checkpoint, first_leaf: int) -> None:
    """Begin after a block that is not executed: with its state, its log's edge and the ids not yet expired.

    Args:
        scratch: Empty.
        reader: Of the stored ledger.
        base: The block's checkpoint; the state after it is held.
        first_leaf: The first entry held.

    Raises:
        Damaged: A record does not fit the checkpoint.
    """
    _write_state(scratch, reader, base.height, base.state_root)
    batch: dict[bytes, bytes] = {}
    batch |= edge_tiles(reader, base)
    for transaction_id, expires_at_ms in remembered_at(reader, base, first_leaf):
        batch[numbered(b"R", expires_at_ms) + transaction_id] = b""
    batch |= {
        KEYS.oldest: base.height.to_bytes(8),
        FORMAT_KEY: FORMAT.to_bytes(4),
        NETWORK_KEY: base.network,
        TIP_KEY: base.encode(),
    }
    scratch.write(batch)


def is_copied(reader: Reader, version: int) -> bool:
    """Whether a ledger's oldest state was copied from elsewhere: then all of its pages are of that very version."""
    start, stop = KEYS.page(0, b""), KEYS.page(version, b"")
    return next(iter(reader.range(start, stop)), None) is None


def copy_state(scratch: Scratch, reader: Reader, version: int, root: bytes) -> None:
    """Take a copied state over in the place of the executed one: the same, but for the versions that its pages name.

    Args:
        scratch: Pruned to this version, its newest.
        reader: Of the stored ledger.
        version: The height.
        root: What execution yields.

    Raises:
        Damaged: What is stored does not have that root.
    """
    while keys := [key for key, _ in islice(scratch.range(b"S", b"T"), PRUNED_KEYS_MAX)]:
        scratch.write({}, keys)
    _write_state(scratch, reader, version, root)
    scratch.write({KEYS.oldest: version.to_bytes(8)})


def _write_state(scratch: Scratch, reader: Reader, version: int, root: bytes) -> None:
    batch: dict[bytes, bytes] = {}
    for key, value in walk_state(StoredRecords(reader), root_record(reader, version), version, root):
        batch[key] = value
        if len(batch) == BATCH_RECORDS:
            scratch.write(batch)
            batch = {}
    scratch.write(batch)


@dataclass(frozen=True, slots=True)
class Span:
    """Which records the scratch can vouch for.

    Attributes:
        above: Blocks up to this height were not executed; -1 if it began with genesis.
        has_older_ids: Whether what is known of the ids of entries before them is here, too.
        log_size: Of the log there.
        last: The last height that was executed.
        is_tip: Whether that is the stored ledger's newest.
        state_above: States up to this height were not made here; -1 for none.
        has_state: Whether any state within the span is still stored.
    """

    above: int
    has_older_ids: bool
    log_size: int
    last: int
    is_tip: bool
    state_above: int
    has_state: bool


def compare_tables(scratch: Reader, stored: Reader, span: Span) -> int:
    """Compare what was kept with what is stored, table by table in key order.

    Returns:
        How many records were compared.

    Raises:
        Damaged: At the first record that is missing, too many, or differs.
    """
    count = 0
    for table in (b"D", b"H", b"L", b"R", b"S", b"T"):
        if (table == b"R" and not span.is_tip) or (table == b"S" and not span.has_state):
            continue
        stop = bytes([table[0] + 1])
        for key, expected, found in _merged(scratch.range(table, stop), stored.range(table, stop)):
            if expected == found:
                count += 1
            elif not _is_outside(key, expected, found, span):
                compare(key, expected, found)
    return count


def _merged(
    one: Iterator[tuple[bytes, bytes]], other: Iterator[tuple[bytes, bytes]]
) -> Iterator[tuple[bytes, bytes | None, bytes | None]]:
    """Each key of two ordered sequences with its values in both."""
    a, b = next(one, None), next(other, None)
    while a is not None or b is not None:
        if b is None or (a is not None and a[0] < b[0]):
            assert a is not None
            yield a[0], a[1], None
            a = next(one, None)
        elif a is None or b[0] < a[0]:
            yield b[0], None, b[1]
            b = next(other, None)
        else:
            yield a[0], a[1], b[1]
            a, b = next(one, None), next(other, None)


def _is_outside(key: bytes, expected: bytes | None, found: bytes | None, span: Span) -> bool:
    """Whether a difference is owed to blocks before or after those that were executed."""
    kind = key[:1]
    if kind == b"S":
        return _is_state_outside(key, expected, found, span)
    if kind == b"L":
        return _is_tile_outside(key, expected, found, span)
    if found is None or kind == b"R":
        return False
    height = int.from_bytes(found[8:16] if kind == b"T" else found[:8])
    if kind == b"T" and span.has_older_ids and 0 <= height <= span.above:
        # Their blocks are not held: the entry's place is known, and between what the position in the block lies.
        if expected is None or expected[:16] != found[:16] or len(found) != len(expected):
            return False
        return int.from_bytes(expected[16:]) <= int.from_bytes(found[16:]) < BLOCK_TRANSACTIONS_MAX
    if expected is not None and kind != b"D":
        return False
    is_later = not span.is_tip and height > span.last
    return is_later or (expected is None and 0 <= height <= span.above)


def _is_state_outside(key: bytes, expected: bytes | None, found: bytes | None, span: Span) -> bool:
    if key == KEYS.stale(0):
        return not (expected or found)  # genesis makes nothing stale; the list is empty, and no pruning deletes it
    version = version_of(key)
    if version is None:
        return key == KEYS.oldest and span.state_above >= 0
    return version <= span.state_above or (not span.is_tip and version > span.last)


def _is_tile_outside(key: bytes, expected: bytes | None, found: bytes | None, span: Span) -> bool:
    if found is None or len(key) != 10:
        return False
    if not span.is_tip:
        return expected is None or found.startswith(expected)
    return expected is None and int.from_bytes(key[2:]) < span.log_size >> 8 * (key[1] + 1)


def last_height(reader: Reader) -> int:
    """The greatest height of a checkpoint that is stored; 0 if there is none."""
    for key, _ in reader.range(numbered(b"C", 0), numbered(b"C", _LAST_HEIGHT), reverse=True):
        return int.from_bytes(key[1:9])
    return 0


assert LOG_PREFIX == b"L", "the tables above are named by their prefixes"
