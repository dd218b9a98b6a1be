# SPDX-License-Identifier: Apache-2.0
"""What a ledger may forget, a bounded piece at a time: old blocks, their entries, and the log's tiles left of them.

A piece is one batch with the new horizon in it, so a crash leaves the piece done or still to do, and never a horizon
that promises more than is there.

Never forgotten are the closing checkpoints, which lead light clients from genesis to now; what is younger than the
longest life of a transaction; and what a copy needs that is being made or may be begun at the newest checkpoint.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from chain.checkpoint import Checkpoint
from chain.log_tiles import tiles_between
from chain.pb import ledger_pb2 as pb
from chain.storage import Reader
from chain.types import TRANSACTION_LIFETIME_MS_MAX, Height, sha256
from node.store_keys import HORIZON_KEY, LOG_PREFIX, Horizon, body_key, numbered
from node.store_reader import Records, damaged

_HASHED_PARTS = 16
"""Of the tables that are ordered by hash, one part is compacted at a time."""


@dataclass(frozen=True, slots=True)
class BlockPruning:
    """A piece of forgetting; nothing is deleted yet.

    Attributes:
        horizon: How far back the ledger reaches after it.
    """

    horizon: Horizon
    puts: dict[bytes, bytes]
    deletes: list[bytes]


def find_prunable(
    reader: Reader, tip: Checkpoint, blocks_kept: int, needed: Iterable[Checkpoint], keys_max: int
) -> BlockPruning | None:
    """The next piece that may be forgotten; None if there is none now.

    Args:
        reader: Of the ledger.
        tip: Its newest block's checkpoint.
        blocks_kept: So many blocks stay, the newest included.
        needed: Checkpoints at which copies begin; the tip's need not be among them.
        keys_max: About so many keys at most.
    """
    records = Records(reader)
    before = records.horizon()
    earliest = min((tip, *needed), key=_height_of)
    limit = min(tip.height - blocks_kept + 1, earliest.height)
    old_ms = earliest.time_ms - TRANSACTION_LIFETIME_MS_MAX
    deletes: list[bytes] = []
    height = before.oldest_block
    while height < limit and len(deletes) < keys_max // 2:
        checkpoint = records.checkpoint(height)
        if checkpoint is None:
            raise damaged(f"the checkpoint of height {height} is missing")
        if checkpoint.time_ms >= old_ms:
            break
        deletes += _block_keys(reader, records, height)
        height = Height(height + 1)
    first_leaf = _first_leaf(records, before, height, earliest, keys_max // 4)
    deletes += _entry_keys(reader, before.first_leaf, first_leaf)
    horizon = Horizon(height, first_leaf)
    if horizon == before:
        return None
    return BlockPruning(horizon, {HORIZON_KEY: horizon.encode()}, deletes)


def _first_leaf(records: Records, before: Horizon, height: Height, earliest: Checkpoint, count_max: int) -> int:
    """The first entry to keep: of the oldest block, or the witness that a copy at `earliest` needs."""
    outcome = records.outcome(height)
    if outcome is None:
        raise damaged(f"the entries of height {height} are not known")
    witness = records.tail_from(earliest, before.first_leaf)
    if witness is None:
        return before.first_leaf
    return max(before.first_leaf, min(outcome.first_leaf, witness, before.first_leaf + count_max))


def _block_keys(reader: Reader, records: Records, height: Height) -> list[bytes]:
    """Of everything that belongs to a block but its entries."""
    block = records.block(height)
    if block is None:
        raise damaged(f"block {height} is missing")
    keys = [numbered(kind, height) for kind in (b"B", b"O", b"C", b"Q", b"F")]
    keys.append(b"H" + block.id)
    for position, digest in enumerate(block.digests):
        key = body_key(height, position)
        keys.append(key)
        # A transaction that a later block lists again is found there.
        if reader.get(b"D" + digest) == key[1:]:
            keys.append(b"D" + digest)
    return keys


def _entry_keys(reader: Reader, first_leaf: int, stop: int) -> list[bytes]:
    """Of entries, of their transactions' ids, and of tiles that nothing needs without them."""
    keys: list[bytes] = []
    for key, raw in reader.range(numbered(b"E", first_leaf), numbered(b"E", stop)):
        keys += (key, b"T" + sha256(pb.Entry.FromString(raw).header))
    keys += tiles_between(LOG_PREFIX, first_leaf, stop)
    return keys


def compactable(before: Horizon, after: Horizon, oldest_state: int, turn: int) -> list[tuple[bytes, bytes]]:
    """Ranges of keys whose room is to be given back after pruning, in the order in which they lie on disk.

    Tables in the order of heights and leaves are compacted where they were cut; of those in the order of hashes, where
    deletions lie everywhere, one part of sixteen has its turn.

    Args:
        before: The horizon when ranges were given last.
        after: The horizon now.
        oldest_state: The oldest version of the state that is held.
        turn: Counted up by one each time.
    """
    part = turn % _HASHED_PARTS
    start, stop = bytes([part << 4]), bytes([part << 4 | 15]) + b"\xff" * 32
    by_height = [(numbered(kind, before.oldest_block), numbered(kind, after.oldest_block)) for kind in _BY_HEIGHT]
    by_hash = [(kind + start, kind + stop) for kind in (b"D", b"H", b"T", b"Sv")]
    by_version = [
        (b"Sn" + (oldest_state * part // _HASHED_PARTS).to_bytes(8), _version(oldest_state * (part + 1), b"Sn")),
        (b"Sr" + bytes(8), b"Sr" + oldest_state.to_bytes(8)),
        (b"Ss" + bytes(8), b"Ss" + oldest_state.to_bytes(8)),
    ]
    entries = [(numbered(b"E", before.first_leaf), numbered(b"E", after.first_leaf))]
    return sorted(by_height + by_hash + by_version + entries)


_BY_HEIGHT = (b"B", b"C", b"F", b"O", b"Q", b"X")


def _version(part_of: int, kind: bytes) -> bytes:
    return kind + (part_of // _HASHED_PARTS).to_bytes(8)


def _height_of(checkpoint: Checkpoint) -> Height:
    return checkpoint.height
