# SPDX-License-Identifier: Apache-2.0
"""Signed transactions for a load run, most of them made before it begins: signing must not compete with the network."""

import secrets
from collections import deque

from chain.codec import encode
from chain.signing import TransactionSigner
from chain.transaction import Operation, SignedTransaction
from chain.types import Network
from client.signing import now_ms, sign_transaction
from identity.pb import identity_pb2

LIFETIME_MS = 280_000
"""Made ahead they must still be valid when they are sent; the ledger allows 300,000."""
READY_COUNT_MAX = 400_000
"""About 150 MB; what is needed beyond it is signed during the run."""
READY_AGE_MS_MAX = 200_000
YEAR_MS = 365 * 86_400_000


class Transactions:
    """An endless supply; each carries the same number of attestations, no two alike."""

    def __init__(self, network: Network, signer: TransactionSigner, operations: int) -> None:
        self._network = network
        self._signer = signer
        self._operations = operations
        self._ready: deque[tuple[int, SignedTransaction]] = deque()

    def prepare(self, count: int) -> None:
        """Make some ahead."""
        for _ in range(min(count, READY_COUNT_MAX)):
            self._ready.append((now_ms(), self._make()))

    def take(self) -> SignedTransaction:
        """The next one; signed now if none is ready."""
        while self._ready:
            made_at_ms, transaction = self._ready.popleft()
            if now_ms() - made_at_ms < READY_AGE_MS_MAX:
                return transaction
        return self._make()

    @property
    def ready(self) -> int:
        """How many are left of those made ahead."""
        return len(self._ready)

    def _make(self) -> SignedTransaction:
        operations = [self._attestation() for _ in range(self._operations)]
        return sign_transaction(operations, [self._signer], self._network, lifetime_ms=LIFETIME_MS)

    def _attestation(self) -> Operation:
        now = now_ms()
        attest = identity_pb2.Attest(
            id=secrets.token_bytes(16),
            schema=identity_pb2.SCHEMA_RESIDENT,
            schema_version=1,
            commitment=secrets.token_bytes(32),
            assurance_level=identity_pb2.ASSURANCE_LEVEL_SUBSTANTIAL,
            valid_from_ms=now,
            valid_to_ms=now + YEAR_MS,
        )
        return Operation.make("identity.Attest", encode(attest))
