# SPDX-License-Identifier: Apache-2.0
"""A service's way to the ledger: a client that lives as long as the service's event loop, and no longer."""

from collections.abc import Sequence

from chain.genesis import Genesis
from chain.transaction import SignedTransaction
from chain.types import Network
from client.answers import ProvenTransaction
from client.connection import Endpoint
from client.session import Session

SUBMIT_SECONDS_MAX = 20.0
"""An officer waits at a page; after that it says that nothing is known yet and offers to look again."""


class Door:
    """Opened when the service starts, closed when it stops.

    Args:
        genesis: What is trusted.
        endpoints: Nodes in the order of preference; None: the founding validators.
    """

    def __init__(self, genesis: Genesis, endpoints: Sequence[Endpoint] | None) -> None:
        self._genesis = genesis
        self._endpoints = endpoints
        self._session: Session | None = None

    @property
    def network(self) -> Network:
        """SHA-256 of the genesis file."""
        return self._genesis.network

    @property
    def session(self) -> Session:
        """The client; only while the service runs."""
        assert self._session is not None, "the service runs"
        return self._session

    def open(self) -> None:
        """Make the client, inside the event loop that will use it."""
        self._session = Session(self._genesis, endpoints=self._endpoints)

    async def close(self) -> None:
        """Close its channels."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def submit_one(self, transaction: SignedTransaction) -> ProvenTransaction:
        """Submit one and wait for its verified receipt; see `client.session.Session.submit_one`."""
        return await self.session.submit_one(transaction, timeout_s=SUBMIT_SECONDS_MAX)
