# SPDX-License-Identifier: Apache-2.0
"""The ledger's real rules of anchors without a network, as a session shows them to who anchors and compares."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from chain.transaction import Operation, SignedTransaction
from chain.types import TransactionId
from client.answers import Failed, ProvenState, ProvenTransaction
from client.errors import TransportError
from membership.pb import membership_pb2 as pb
from tests import rig as network

SUBMIT = network.Shell(network.signer("org-r:submit"))
OTHER = network.Shell(network.signer("org-a:submit"))


@dataclass
class Ledger:
    """Executes what it is given at once. `down` makes it unreachable, `dies` loses the answer after it was executed."""

    rules: network.Rig = field(default_factory=lambda: network.Rig(network.four()))
    shown: dict[TransactionId, list[ProvenTransaction]] = field(default_factory=dict)
    down: bool = False
    dies: bool = False
    asked: int = 0

    def sign(self, operations: list[Operation], signers: list[Any]) -> SignedTransaction:
        self.rules.salt += 1
        keys = [one.signer for one in signers]
        return network.transaction(operations, keys, self.rules.time_ms + 10_000, self.rules.salt)

    async def submit_one(self, transaction: SignedTransaction) -> ProvenTransaction:
        self._answer()
        (code,) = self.rules.codes(transaction)
        proven: Any = SimpleNamespace(
            id=transaction.id,
            header=SimpleNamespace(signers=transaction.signers),
            failed=Failed(code, 0) if code else None,
            inclusion=SimpleNamespace(operation=transaction.operations[0]),
        )
        self.shown[transaction.id] = [proven]
        if self.dies:
            raise TransportError("the process died before it was answered")
        return proven  # type: ignore[no-any-return]  # as much of one as is looked at

    async def read(self, key: bytes) -> ProvenState:
        self._answer()
        checkpoint = SimpleNamespace(time_ms=self.rules.time_ms)
        state: Any = SimpleNamespace(key=key, value=self.rules.state.get(key), checkpoint=checkpoint)
        return state  # type: ignore[no-any-return]  # likewise

    async def receipts(self, identifiers: list[TransactionId]) -> dict[TransactionId, list[ProvenTransaction]]:
        self._answer()
        self.asked += len(identifiers)
        return {one: self.shown[one] for one in identifiers if one in self.shown}

    def anchors(self) -> list[pb.Anchor]:
        """What was anchored, in order, refused ones left out."""
        done = [proven for (proven,) in self.shown.values() if proven.failed is None]
        return [pb.Anchor.FromString(proven.inclusion.operation.body) for proven in done]

    def _answer(self) -> None:
        if self.down:
            raise TransportError("no node answers")
