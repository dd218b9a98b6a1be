# SPDX-License-Identifier: Apache-2.0
"""A copy of a ledger as it was at one certified checkpoint, in parts that are checked one by one.

The head names the checkpoint and what of the log stands left of the entries that follow. The state comes in parts by
walking down: what stands at a path is either all leaves below it or the page there, and either is checked against the
hash that the page above names; the first against the checkpoint's state root. The entries come in parts that are each
proven against the checkpoint's log root. So parts may come from many peers at once, and a bad one names its peer.

Pure functions: any bytes become a value that fits the checkpoint, or are refused. Who stores them is `node.install`.

Source: docs/protocol.md, section 7.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from operator import lt

from chain.certificate import SignatureScheme
from chain.checkpoint import CertifiedCheckpoint, Checkpoint
from chain.codec import decode, encode
from chain.consensus.block import BLOCK_MESSAGE_BYTES_MAX, Block
from chain.errors import InvalidMessage, InvalidProof
from chain.ics23 import EMPTY
from chain.light_client import TrustAnchor, check
from chain.log import leaf_hash, verify_consistency, verify_inclusion, verify_range
from chain.log_tiles import edge_root
from chain.pb import ledger_pb2 as pb
from chain.proven import ENTRY_BYTES_MAX
from chain.tree_build import HASHED_DIGITS, Subtree, build_pages
from chain.tree_page import NOTHING, SLOTS, Page, Slot
from chain.types import (
    BLOCK_BYTES_MAX,
    BLOCK_TRANSACTIONS_MAX,
    HASH_BYTES,
    STATE_KEY_BYTES_MAX,
    STATE_VALUE_BYTES_MAX,
    TRANSACTION_LIFETIME_MS_MAX,
    Height,
    sha256,
)

PART_BYTES = 1024 * 1024
"""Of keys and values, or of entries, in one part: large enough to be quick, small enough to be asked for again."""
PART_ITEMS_MAX = 16_384
"""Leaves or entries in one part; bounds what small ones cost in memory and in time."""
PART_BYTES_MAX = PART_BYTES + STATE_KEY_BYTES_MAX + STATE_VALUE_BYTES_MAX + 16 * PART_ITEMS_MAX
"""Of a part as sent: the last leaf may go beyond, and each item has its tag and length."""
LEVELS_MAX = 6
"""Tile levels of the largest log that a verifier believes in."""
PATH_HASHES_MAX = 2 * 48
"""Of the longest path beside consecutive leaves in such a log."""
HEAD_BYTES_MAX = BLOCK_MESSAGE_BYTES_MAX + BLOCK_BYTES_MAX + 8 * BLOCK_TRANSACTIONS_MAX + 128 * 1024
"""A block's list of digests, its transactions, and 49 KB of left edge with some paths."""
_LEAF_SLOT_BYTES = 2 * HASH_BYTES


@dataclass(frozen=True, slots=True)
class SnapshotHead:
    """Where a copy begins, verified.

    Attributes:
        certified: The checkpoint with its certificate.
        checkpoint: The same, decoded.
        block: Of that checkpoint.
        transactions: The block's, in its order.
        first_leaf: Index of the first entry that follows.
        left_edge: Of the log of `first_leaf` entries; see `chain.log_tiles.Log.left_edge`.
    """

    certified: CertifiedCheckpoint
    checkpoint: Checkpoint
    block: Block
    transactions: tuple[bytes, ...]
    first_leaf: int
    left_edge: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Children:
    """A page, verified: what must stand below it.

    Attributes:
        path: Of the page.
        hashes: Expected at each digit, None where nothing stands.
    """

    path: bytes
    hashes: tuple[bytes | None, ...]

    def below(self) -> list[tuple[bytes, bytes]]:
        """Path and expected hash of each place to ask for next."""
        return [(self.path + bytes((digit,)), found) for digit, found in enumerate(self.hashes) if found is not None]


@dataclass(frozen=True, slots=True)
class TailPart:
    """Consecutive entries, verified.

    Attributes:
        first_leaf: Index of the first.
        leaf_hashes: Of the entries, in their order.
    """

    first_leaf: int
    entries: tuple[bytes, ...]
    leaf_hashes: tuple[bytes, ...]

    @property
    def next_leaf(self) -> int:
        """Index of the entry after them."""
        return self.first_leaf + len(self.entries)


# ---------------------------------------------------------------- the head


def encode_head(
    certified: CertifiedCheckpoint,
    block: bytes,
    transactions: Sequence[bytes],
    first_leaf: int,
    left_edge: Sequence[bytes],
    consistency: Sequence[bytes],
    witness: tuple[bytes, Sequence[bytes]] | None,
) -> bytes:
    """The head of a copy.

    Args:
        certified: The checkpoint that it begins at.
        block: Of that checkpoint.
        transactions: The block's, in its order.
        first_leaf: Index of the first entry that follows.
        left_edge: Of the log of that many entries.
        consistency: That the checkpoint's log begins with them.
        witness: The entry at `first_leaf` with its inclusion path; None if that is 0.
    """
    entry, path = (b"", ()) if witness is None else witness
    return encode(
        pb.SnapshotHead(
            certified=certified.to_pb(),
            block=block,
            transactions=transactions,
            first_leaf=first_leaf,
            left_edge=left_edge,
            consistency=consistency,
            witness=entry,
            witness_path=path,
        )
    )


def verify_head(raw: bytes, anchor: TrustAnchor, scheme: SignatureScheme) -> SnapshotHead:
    """Check a head against what is believed of the network.

    Args:
        raw: Any bytes.
        anchor: In the epoch of the checkpoint; `TrustAnchor.at` of one that followed all closing checkpoints.
        scheme: Of the validators' signatures.

    Raises:
        InvalidMessage: Not canonical, or a bound is broken.
        InvalidCertificate: No quorum of that epoch's validators signed the checkpoint, or it contradicts the anchor.
        InvalidProof: The block is another, the log is not the checkpoint's, or too few entries would follow: an id that
            must be remembered might be missing.
    """
    message = decode(pb.SnapshotHead, raw, HEAD_BYTES_MAX)
    if (
        len(message.left_edge) > LEVELS_MAX
        or max(len(message.consistency), len(message.witness_path)) > PATH_HASHES_MAX
    ):
        raise InvalidMessage("a path or the left edge of the head is longer than any log needs")
    certified = CertifiedCheckpoint.from_pb(message.certified)
    checkpoint = check(anchor, certified, scheme)
    block = Block.decode(message.block)
    if (block.id, block.height, block.epoch, block.time_ms) != (
        checkpoint.block_id,
        checkpoint.height,
        checkpoint.epoch,
        checkpoint.time_ms,
    ):
        raise InvalidProof("the head's block is not the one that its checkpoint names")
    transactions = tuple(message.transactions)
    if tuple(sha256(raw_transaction) for raw_transaction in transactions) != block.digests:
        raise InvalidProof("the head's transactions are not those that its block lists")
    first_leaf, left_edge = message.first_leaf, tuple(message.left_edge)
    verify_consistency(
        first_leaf,
        checkpoint.log_size,
        list(message.consistency),
        edge_root(first_leaf, left_edge),
        checkpoint.log_root,
    )
    _verify_witness(message, checkpoint)
    return SnapshotHead(certified, checkpoint, block, transactions, first_leaf, left_edge)


def _verify_witness(message: pb.SnapshotHead, checkpoint: Checkpoint) -> None:
    """Check that every entry whose transaction has not expired stands at first_leaf or after it."""
    if message.first_leaf == 0:
        if message.witness or message.witness_path:
            raise InvalidProof("a head whose entries begin with the first has a witness that it does not need")
        return
    path = list(message.witness_path)
    verify_inclusion(leaf_hash(message.witness), message.first_leaf, checkpoint.log_size, path, checkpoint.log_root)
    entry = decode(pb.Entry, message.witness, ENTRY_BYTES_MAX)
    if entry.time_ms >= remembered_from_ms(checkpoint):
        raise InvalidProof("the entries that follow begin too late: an id that must be remembered might be missing")


def remembered_from_ms(checkpoint: Checkpoint) -> int:
    """The earliest block time at which an entry may be of a transaction that has not expired at the checkpoint."""
    return checkpoint.time_ms - TRANSACTION_LIFETIME_MS_MAX


# ---------------------------------------------------------------- the state


def encode_leaves(leaves: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A part that holds all keys and values below a path, in the order of the keys' hashes."""
    part = pb.StateLeaves(keys=[key for key, _ in leaves], values=[value for _, value in leaves])
    return encode(pb.StatePart(leaves=part))


def encode_page(slots: Sequence[bytes]) -> bytes:
    """A part that holds the page at a path: 16 slots, each `b""`, a page's hash, or `leaf_slot` of a leaf."""
    return encode(pb.StatePart(page=pb.StatePage(slots=slots)))


def leaf_slot(key_hash: bytes, value: bytes) -> bytes:
    """How a page shows a leaf: where it belongs, and what it hashes to, can be seen from it."""
    return key_hash + sha256(value)


def verify_part(raw: bytes, path: bytes, expected: bytes, version: Height) -> Subtree | Children:
    """Check what a peer says stands at a path of the state tree.

    Args:
        raw: Any bytes.
        path: What was asked for: a byte per hexadecimal digit of the hashed keys.
        expected: The hash that must stand there: the checkpoint's state root for the empty path, and what the verified
            page above says for any other.
        version: The copy's height: the version under which its pages and values will lie.

    Returns:
        All leaves below with the pages over them, or what to ask for next.

    Raises:
        InvalidMessage: Not canonical, or a bound is broken.
        InvalidProof: It is not what stands there.
    """
    assert len(path) <= HASHED_DIGITS
    message = decode(pb.StatePart, raw, PART_BYTES_MAX)
    which = message.WhichOneof("part")
    if which == "leaves":
        return _verify_leaves(message.leaves, path, expected, version)
    if which == "page":
        return _verify_page(message.page, path, expected)
    raise InvalidMessage("a part of the state has neither leaves nor a page")


def _verify_leaves(message: pb.StateLeaves, path: bytes, expected: bytes, version: Height) -> Subtree:
    count = len(message.keys)
    if not 1 <= count <= PART_ITEMS_MAX or len(message.values) != count:
        raise InvalidMessage(f"a part of the state has 1 to {PART_ITEMS_MAX} keys and as many values")
    keys, contents = list(message.keys), list(message.values)
    if not all(1 <= len(key) <= STATE_KEY_BYTES_MAX for key in keys) or not all(
        1 <= len(value) <= STATE_VALUE_BYTES_MAX for value in contents
    ):
        raise InvalidMessage("a state key has 1 to 512 bytes, a value 1 to 65,536")
    sha256_of = hashlib.sha256
    key_hashes = [sha256_of(key).digest() for key in keys]
    if not all(map(lt, key_hashes, key_hashes[1:])):
        raise InvalidProof("the keys are not in the order of their hashes, or one is there twice")
    if not (_begins(key_hashes[0], path) and _begins(key_hashes[-1], path)):
        raise InvalidProof("a key does not belong to this place of the state")
    leaf_hashes = [
        sha256_of(b"\x00" + key_hash + sha256_of(value).digest()).digest()
        for key_hash, value in zip(key_hashes, contents, strict=True)
    ]
    slot, pages = build_pages(key_hashes, leaf_hashes, path, version)
    if slot.hash != expected:
        raise InvalidProof("the keys and values do not lead to the hash that stands at this place of the state")
    return Subtree(path, slot, pages, list(zip(key_hashes, keys, contents, strict=True)))


def _verify_page(message: pb.StatePage, path: bytes, expected: bytes) -> Children:
    if len(message.slots) != SLOTS or len(path) == HASHED_DIGITS:
        raise InvalidMessage("a page of the state has 16 slots, and stands above the last digit of a hashed key")
    slots: list[Slot] = []
    for digit, raw in enumerate(message.slots):
        if not raw:
            slots.append(NOTHING)
        elif raw == EMPTY:
            # Beside a page it leads to the same hash as a slot that is empty, and nobody has anything to send for it.
            raise InvalidProof("a slot of a page shows the hash of nothing; one where nothing stands is empty")
        elif len(raw) == HASH_BYTES:
            slots.append(Slot(raw, 0, None))
        elif len(raw) == _LEAF_SLOT_BYTES:
            key_hash = raw[:HASH_BYTES]
            if not _begins(key_hash, path + bytes((digit,))):
                raise InvalidProof("a key does not belong to this place of the state")
            slots.append(Slot(sha256(b"\x00" + raw), 0, key_hash))
        else:
            raise InvalidMessage("a slot of a page has 0, 32 or 64 bytes")
    if Page.of(slots).root() != expected:
        raise InvalidProof("the page does not have the hash that stands at this place of the state")
    return Children(path, tuple(None if slot is NOTHING else slot.hash for slot in slots))


def _begins(key_hash: bytes, path: bytes) -> bool:
    """Whether a hashed key's digits begin with a path."""
    return all(
        (key_hash[depth >> 1] & 15 if depth & 1 else key_hash[depth >> 1] >> 4) == digit
        for depth, digit in enumerate(path)
    )


# ---------------------------------------------------------------- the entries


def encode_tail(first_leaf: int, entries: Sequence[bytes], path: Sequence[bytes]) -> bytes:
    """A part of consecutive entries with the path of all of them; see `chain.log_tiles.Log.prove_range`."""
    return encode(pb.TailPart(first_leaf=first_leaf, entries=entries, path=path))


def verify_tail(raw: bytes, first_leaf: int, checkpoint: Checkpoint) -> TailPart:
    """Check entries that a peer sent.

    Args:
        raw: Any bytes.
        first_leaf: Index of the first entry that was asked for.
        checkpoint: Of the verified head.

    Raises:
        InvalidMessage: Not canonical, or a bound is broken.
        InvalidProof: These entries do not stand there.
    """
    message = decode(pb.TailPart, raw, PART_BYTES_MAX)
    if not 1 <= len(message.entries) <= PART_ITEMS_MAX or len(message.path) > PATH_HASHES_MAX:
        raise InvalidMessage(f"a part of the log has 1 to {PART_ITEMS_MAX} entries and a path that a log can have")
    if message.first_leaf != first_leaf:
        raise InvalidProof(f"entries from {message.first_leaf} on, where those from {first_leaf} on were asked for")
    entries = tuple(message.entries)
    sha256_of = hashlib.sha256
    hashes = tuple([sha256_of(b"\x00" + entry).digest() for entry in entries])
    verify_range(hashes, first_leaf, checkpoint.log_size, list(message.path), checkpoint.log_root)
    return TailPart(first_leaf, entries, hashes)
