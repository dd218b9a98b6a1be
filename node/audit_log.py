# SPDX-License-Identifier: Apache-2.0
"""The stored log before a height: its right edge, and which transactions of it may not be repeated yet.

The tiles in question are proven by the checkpoint's root: those of the edge make it up, any other one hashes to its
place in the tile above it. The entries are proven by the tiles.

Source: `chain.log_tiles` for the records; docs/protocol.md, section 2, for how long ids are remembered.
"""

from collections.abc import Iterator

from chain.checkpoint import Checkpoint
from chain.codec import decode
from chain.errors import InvalidMessage
from chain.log import leaf_hash, root_of_hashes
from chain.log_tiles import TILE_BITS, TILE_WIDTH, Log
from chain.pb import ledger_pb2 as pb
from chain.proven import ENTRY_BYTES_MAX
from chain.storage import Reader
from chain.transaction import Header
from chain.types import HASH_BYTES, TRANSACTION_LIFETIME_MS_MAX, Height, TransactionId
from node.audit_faults import fail, fail_missing
from node.store_keys import LOG_PREFIX, Place, numbered


def tile_key(level: int, tile: int) -> bytes:
    """Under which key a tile is stored."""
    return LOG_PREFIX + level.to_bytes(1) + tile.to_bytes(8)


def edge_at(reader: Reader, size: int) -> dict[bytes, bytes]:
    """The tiles at the right edge of the log as it was with so many entries; what proves them is the caller's affair.

    Raises:
        Damaged: One is missing or too short.
    """
    found: dict[bytes, bytes] = {}
    level = 0
    while size >> level * TILE_BITS:
        count = size >> level * TILE_BITS
        key, width = tile_key(level, count >> TILE_BITS), count & (TILE_WIDTH - 1)
        if width:
            raw = reader.get(key)
            if raw is None:
                fail_missing(key)
            if len(raw) < width * HASH_BYTES:
                fail(key, f"the tile is too short for a log of {size} entries")
            found[key] = raw[: width * HASH_BYTES]
        level += 1
    return found


def edge_tiles(reader: Reader, checkpoint: Checkpoint) -> dict[bytes, bytes]:
    """The tiles at the right edge of the log as it was at a checkpoint, proven by its root.

    Raises:
        Damaged: One is missing or too short, or they do not make up the root.
    """
    found = edge_at(reader, checkpoint.log_size)
    if Log(reader, LOG_PREFIX, checkpoint.log_size).root() != checkpoint.log_root:
        key = next(iter(found), tile_key(0, 0))
        fail(key, f"the tiles at the log's edge do not make up its root at height {checkpoint.height}")
    return found


class ProvenTiles:
    """Leaf hashes of a stored log, each proven by a checkpoint's root. Holds one tile for each level."""

    def __init__(self, reader: Reader, checkpoint: Checkpoint) -> None:
        """Prove the edge.

        Raises:
            Damaged: See `edge_tiles`.
        """
        self._reader = reader
        self._size = checkpoint.log_size
        self._edge = edge_tiles(reader, checkpoint)
        self._held: dict[int, tuple[int, list[bytes]]] = {}

    def leaf(self, index: int) -> bytes:
        """The hash of a leaf below the checkpoint's size.

        Raises:
            Damaged: A tile between it and the root is missing or wrong.
        """
        return self._tile(0, index >> TILE_BITS)[index & (TILE_WIDTH - 1)]

    def _tile(self, level: int, tile: int) -> list[bytes]:
        held = self._held.get(level)
        if held is not None and held[0] == tile:
            return held[1]
        key = tile_key(level, tile)
        raw = self._edge.get(key)
        if raw is None:
            raw = self._reader.get(key)
            if raw is None:
                fail_missing(key)
            if len(raw) != TILE_WIDTH * HASH_BYTES:
                fail(key, f"a complete tile has {TILE_WIDTH * HASH_BYTES} bytes")
            above = self._tile(level + 1, tile >> TILE_BITS)[tile & (TILE_WIDTH - 1)]
            if root_of_hashes(_hashes(raw)) != above:
                fail(key, "the tile does not have the hash that the one above it names")
        self._held[level] = (tile, _hashes(raw))
        return self._held[level][1]


def remembered_at(reader: Reader, checkpoint: Checkpoint, first_leaf: int) -> Iterator[tuple[TransactionId, int]]:
    """Ids of transactions with an entry that a block after a checkpoint may hold once more, with their expiries.

    Args:
        reader: Of the ledger's database.
        checkpoint: Whose block's time counts.
        first_leaf: The first entry held; those that matter are held.

    Raises:
        Damaged: An entry is missing, or is not the one that the log has.
    """
    tiles = ProvenTiles(reader, checkpoint) if checkpoint.log_size else None
    wanted = checkpoint.log_size - 1
    start, stop = numbered(b"E", first_leaf), numbered(b"E", checkpoint.log_size)
    for key, raw in reader.range(start, stop, reverse=True):
        assert tiles is not None
        if key != numbered(b"E", wanted):
            fail_missing(numbered(b"E", wanted))
        if leaf_hash(raw) != tiles.leaf(wanted):
            fail(key, "the entry does not have the hash that the log has in its place")
        time_ms, header = decode_entry(key, raw)
        if time_ms < checkpoint.time_ms - TRANSACTION_LIFETIME_MS_MAX:
            return
        if header.expires_at_ms >= checkpoint.time_ms:
            yield header.id, header.expires_at_ms
        wanted -= 1
    if wanted >= first_leaf:
        fail_missing(numbered(b"E", wanted))


def places_before(
    reader: Reader, checkpoint: Checkpoint, first_leaf: int, stop_leaf: int
) -> Iterator[tuple[bytes, bytes]]:
    """What is known of the places of transactions whose entries are held and whose blocks are not.

    Args:
        reader: Of the ledger's database.
        checkpoint: Of a later block; its root proves the entries.
        first_leaf: The first entry held.
        stop_leaf: The first entry of the oldest block.

    Yields:
        Keys and values of the records by transaction id, each with the position among its block's entries: the least
        that its position in the block can be.

    Raises:
        Damaged: An entry is missing, or is not the one that the log has.
    """
    if first_leaf >= stop_leaf:
        return
    tiles, wanted = ProvenTiles(reader, checkpoint), first_leaf
    for key, raw in reader.range(numbered(b"E", first_leaf), numbered(b"E", stop_leaf)):
        if key != numbered(b"E", wanted):
            fail_missing(numbered(b"E", wanted))
        if leaf_hash(raw) != tiles.leaf(wanted):
            fail(key, "the entry does not have the hash that the log has in its place")
        header = decode_entry(key, raw)[1]
        entry = pb.Entry.FromString(raw)
        yield b"T" + header.id, Place(wanted, Height(entry.height), entry.position).encode()
        wanted += 1
    if wanted < stop_leaf:
        fail_missing(numbered(b"E", wanted))


def decode_entry(key: bytes, raw: bytes) -> tuple[int, Header]:
    """The time of an entry's block, and its transaction's header.

    Raises:
        Damaged: The record is no entry.
    """
    try:
        entry = decode(pb.Entry, raw, ENTRY_BYTES_MAX)
        return entry.time_ms, Header.decode(entry.header)
    except InvalidMessage as error:
        fail(key, error.reason)


def _hashes(raw: bytes) -> list[bytes]:
    return [raw[at : at + HASH_BYTES] for at in range(0, len(raw), HASH_BYTES)]
