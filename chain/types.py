# SPDX-License-Identifier: Apache-2.0
"""Distinct types for numbers and hashes, and the limits that every validator keeps.

Source of the limits: docs/protocol.md, sections 1 to 5.
"""

import hashlib
from typing import NewType

Network = NewType("Network", bytes)
"""SHA-256 of the genesis file's bytes."""
BlockId = NewType("BlockId", bytes)
"""SHA-256 of the block's bytes."""
TransactionId = NewType("TransactionId", bytes)
"""SHA-256 of the header's bytes."""
Digest = NewType("Digest", bytes)
"""SHA-256 of the whole transaction's bytes."""
BlsKey = NewType("BlsKey", bytes)
"""A validator's BLS public key, 48 bytes; the name under which peers know it."""
Epoch = NewType("Epoch", int)
View = NewType("View", int)
Height = NewType("Height", int)
Millis = NewType("Millis", int)
"""Milliseconds since 1970, UTC."""

HASH_BYTES = 32
FIRST_EPOCH = Epoch(1)

TRANSACTION_BYTES_MAX = 256 * 1024
BLOCK_BYTES_MAX = 4 * 1024 * 1024
"""Sum of the sizes of a block's transactions."""
BLOCK_TRANSACTIONS_MAX = 20_000
OPERATIONS_MAX = 1024
SIGNERS_MAX = 64
SALT_BYTES = 16
TRANSACTION_LIFETIME_MS_MAX = 300_000
VALIDATORS_MAX = 64
"""Bound of bitmaps and lists; the transport's full mesh carries about 31."""
STATE_KEY_BYTES_MAX = 512
STATE_VALUE_BYTES_MAX = 64 * 1024


def sha256(data: bytes) -> bytes:
    """SHA-256, the ledger's only hash; 32 bytes."""
    return hashlib.sha256(data).digest()


def faults_max(n: int) -> int:
    """How many of n validators may be Byzantine: f = (n - 1) // 3."""
    return (n - 1) // 3


def quorum(n: int) -> int:
    """How many votes of n validators make a certificate: q = n - f."""
    return n - faults_max(n)
