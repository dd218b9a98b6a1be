# SPDX-License-Identifier: Apache-2.0
"""The keys and small records under which `node.store` and `node.store_proofs` keep the ledger.

Big letters: the journal of `chain.consensus.journal` has the small ones of the same database. Numbers are big-endian,
so that key order is their order.

| key | value | written |
|---|---|---|
| `MF` | format of this table(4) | once |
| `MN` | network(32) | once |
| `MT` | the newest executed block's checkpoint: Checkpoint | each block |
| `MH` | horizon: the lowest height whose block is held(8), index of the first entry that is held(8) | once; pruning |
| `MI` | the checkpoint of a copy that is not yet whole: Checkpoint | by `node.install`, whose last batch deletes it |
| `B` height(8) | block: Block | each block |
| `O` height(8) | leaf index of its first entry(8), positions(4 each) of transactions without an entry | each block |
| `H` block id(32) | its height(8) | each block |
| `C` height(8) | checkpoint as computed here: Checkpoint | each block |
| `V` height(8) | the next epoch's validators: ValidatorSet | each closing block |
| `X` height(8) position(4) | transaction, position in its block: Transaction | each transaction |
| `D` digest(32) | height(8) position(4) of the newest block with it | each transaction |
| `E` leaf index(8) | entry: Entry | each entry |
| `T` transaction id(32) | leaf index(8) height(8) position(4) | each entry |
| `R` expires_at_ms(8) transaction id(32) | empty; deleted when the chain's time has passed it | each entry |
| `L` … | the log's tiles, see `chain.log_tiles` | each block |
| `S` … | the state tree, see `chain.tree` | each block that changes state |
| `Q` height(8) | certified checkpoint: CertifiedCheckpoint | when it is known |
| `K` epoch(8) | checkpoint that closed the epoch, with the next list: ClosingCheckpoint | when it is known |
| `F` height(8) | finalization of a block: Certificate | when it is known |
"""

import struct
from dataclasses import dataclass

from chain.types import Height

FORMAT = 2
"""Of the table above; a program refuses a directory of a newer one. Of older ones `node.store_format` knows the way."""

FORMAT_KEY = b"MF"
NETWORK_KEY = b"MN"
TIP_KEY = b"MT"
HORIZON_KEY = b"MH"
INSTALL_KEY = b"MI"
LOG_PREFIX = b"L"
STATE_PREFIX = b"S"


_PLACE = struct.Struct(">QQI")


def numbered(kind: bytes, number: int) -> bytes:
    """The key of a record by height, epoch, leaf index or time."""
    return kind + number.to_bytes(8)


def body_key(height: int, position: int) -> bytes:
    """The key of a transaction in its block."""
    return b"X" + height.to_bytes(8) + position.to_bytes(4)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a transaction with an entry stands.

    Attributes:
        leaf_index: Of its entry in the log.
        position: Of its bytes in the block, skipped ones counted.
    """

    leaf_index: int
    height: Height
    position: int

    def encode(self) -> bytes:
        """As stored."""
        return _PLACE.pack(self.leaf_index, self.height, self.position)

    @classmethod
    def decode(cls, raw: bytes) -> "Place":
        """The reverse."""
        return cls(int.from_bytes(raw[:8]), Height(int.from_bytes(raw[8:16])), int.from_bytes(raw[16:]))


@dataclass(frozen=True, slots=True)
class Horizon:
    """How far back a ledger reaches.

    Attributes:
        oldest_block: The lowest height whose block is held, with all that belongs to it; 1 unless pruned or a copy.
        first_leaf: Index of the first entry that is held; at most that of the oldest block's first.
    """

    oldest_block: Height
    first_leaf: int

    def encode(self) -> bytes:
        """As stored."""
        return self.oldest_block.to_bytes(8) + self.first_leaf.to_bytes(8)

    @classmethod
    def decode(cls, raw: bytes) -> "Horizon":
        """The reverse."""
        return cls(Height(int.from_bytes(raw[:8])), int.from_bytes(raw[8:16]))


EVERYTHING = Horizon(Height(1), 0)
"""Of a ledger that has all since genesis."""


@dataclass(frozen=True, slots=True)
class BlockOutcome:
    """Which entries a block yielded.

    Attributes:
        first_leaf: Index of its first entry, or of the next block's if it has none.
        skipped: Positions of its transactions without an entry, ascending.
    """

    first_leaf: int
    skipped: tuple[int, ...]

    def encode(self) -> bytes:
        """As stored."""
        return self.first_leaf.to_bytes(8) + b"".join([position.to_bytes(4) for position in self.skipped])

    @classmethod
    def decode(cls, raw: bytes) -> "BlockOutcome":
        """The reverse."""
        skipped = tuple(int.from_bytes(raw[at : at + 4]) for at in range(8, len(raw), 4))
        return cls(int.from_bytes(raw[:8]), skipped)
