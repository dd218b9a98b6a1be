# SPDX-License-Identifier: Apache-2.0
"""A service's way to the ledger: a client that lives as long as the service's event loop, and no longer."""

from collections.abc import Sequence

from fastapi import FastAPI

from chain.errors import Refused
from chain.genesis import Genesis
from chain.transaction import SignedTransaction
from chain.types import Network
from client.answers import ProvenTransaction
from client.connection import Endpoint
from client.errors import TransportError
from client.session import Session

SUBMIT_SECONDS_MAX = 20.0
"""An officer waits at a page; after that it says that nothing is known yet and offers to look again."""

EXPIRED = "transaction.expired"
"""The code with which nodes, and the client, refuse what is too old."""


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

    async def start(self, _app: FastAPI) -> None:
        """`open`, as the hook of a part that needs nothing else when its service starts."""
        self.open()

    async def stop(self, _app: FastAPI) -> None:
        """`close`, as the hook of a part that needs nothing else when its service stops."""
        await self.close()

    async def submit_one(self, transaction: SignedTransaction) -> ProvenTransaction:
        """Submit one and wait for its verified receipt; see `client.session.Session.submit_one`.

        Nodes refuse what has expired without looking whether it was executed before. So that nobody repeats an act that
        stands on the ledger, "expired" is believed only once it is known that the transaction is nowhere.

        Raises:
            Refused: Enough validators refuse it, and it never executes.
            TransportError: Nothing is known of it yet.
        """
        try:
            return await self.session.submit_one(transaction, timeout_s=SUBMIT_SECONDS_MAX)
        except Refused as refused:
            if refused.code != EXPIRED:
                raise
            found = (await self.session.receipts([transaction.id])).get(transaction.id)
            if found:
                return found[0]
            if not await self.session.is_missing_everywhere(transaction.id, transaction.expires_at_ms):
                raise TransportError("it has expired, and whether it was executed before is not known yet") from None
            raise
