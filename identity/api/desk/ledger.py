# SPDX-License-Identifier: Apache-2.0
"""The desk's way to the ledger: what officers' acts go through, and proven reading beside it."""

from collections.abc import Sequence

from chain.transaction import SignedTransaction
from chain.types import Network
from client.answers import ProvenTransaction
from client.errors import TransportError
from identity.api.desk.base import Proven
from service.sign_in.door import Door


class DeskLedger:
    """The ledger by the service's own client.

    Args:
        door: Open while the service runs.
    """

    def __init__(self, door: Door) -> None:
        self._door = door

    @property
    def network(self) -> Network:
        """SHA-256 of the genesis file."""
        return self._door.network

    async def read(self, keys: Sequence[bytes]) -> Proven:
        """State keys under one checkpoint, with proof.

        Raises:
            TransportError: No node gives an answer that verifies and is fresh.
        """
        states = await self._door.session.read_many(keys)
        return Proven({state.key: state.value for state in states}, states[0].checkpoint.time_ms)

    async def submit_one(self, transaction: SignedTransaction) -> ProvenTransaction:
        """Submit one and wait for its verified receipt; see `service.sign_in.door.Door`."""
        return await self._door.submit_one(transaction)


class NoLedger:
    """For programs that work on the store alone; whatever asks it is told that it can't be reached."""

    @property
    def network(self) -> Network:
        """No network's."""
        return Network(bytes(32))

    async def read(self, keys: Sequence[bytes]) -> Proven:
        """Raises TransportError."""
        raise TransportError(f"no ledger is set up here; {len(keys)} keys were not read")

    async def submit_one(self, transaction: SignedTransaction) -> ProvenTransaction:
        """Raises TransportError."""
        raise TransportError(f"no ledger is set up here; {transaction.id.hex()} was not sent")
