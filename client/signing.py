# SPDX-License-Identifier: Apache-2.0
"""Building and signing transactions: the clock and the randomness that `chain` must not have."""

import secrets
import time
from collections.abc import Sequence

from chain.signing import TransactionSigner
from chain.transaction import Operation, SignedTransaction, build
from chain.types import SALT_BYTES, TRANSACTION_LIFETIME_MS_MAX, Millis, Network

LIFETIME_MS = 120_000
"""Long enough for a network that lost its leader to recover, short enough to learn soon that a transaction never
executed; at most five minutes."""


def now_ms() -> Millis:
    """The local clock."""
    return Millis(time.time_ns() // 1_000_000)


def sign_transaction(
    operations: Sequence[Operation],
    signers: Sequence[TransactionSigner],
    network: Network,
    *,
    lifetime_ms: int = LIFETIME_MS,
) -> SignedTransaction:
    """Make and sign a transaction that may execute from now on.

    Args:
        operations: 1 to 1024.
        signers: All whose signature an operation needs, each once.
        network: For which it is signed.
        lifetime_ms: After this time it never executes any more; at most 300,000.

    Raises:
        InvalidMessage: A limit is broken.
    """
    lifetime_ms = min(lifetime_ms, TRANSACTION_LIFETIME_MS_MAX)
    return build(operations, signers, Millis(now_ms() + lifetime_ms), secrets.token_bytes(SALT_BYTES), network)
