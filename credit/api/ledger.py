# SPDX-License-Identifier: Apache-2.0
"""Credit's way to the ledger: submitting, proven reading, and the index that follows blocks."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from chain.checkpoint import Checkpoint
from chain.errors import LedgerError
from chain.genesis import Genesis
from chain.receipt import make
from chain.signing import Signer
from chain.transaction import SignedTransaction
from chain.types import Network
from client.answers import ProvenState, ProvenTransaction
from client.connection import Endpoint
from client.errors import TransportError
from client.session import REQUEST_COUNT_MAX
from credit.api.base import Proof
from credit.api.slot_index import SlotSubscriber
from membership.state import load_key, load_organisation, organisation_key, signer_key
from service.index import IndexBusyError, Indexer, IndexForeignError
from service.sign_in.door import Door

FOLLOW_SECONDS_MAX: Final = 10.0
"""A page waits no longer for the index; what it shows then is a little behind."""
RETRY_SECONDS: Final = 1.0
STANDING_AGE_MS_MAX: Final = 30_000

log = structlog.get_logger(__name__)


class FollowedLedger:
    """The ledger with its index.

    Args:
        genesis: What is trusted.
        endpoints: Nodes in the order of preference; None: the founding validators.
        engine: The index's database.
    """

    def __init__(self, genesis: Genesis, endpoints: Sequence[Endpoint] | None, engine: Engine) -> None:
        self._genesis = genesis
        self._door = Door(genesis, endpoints)
        self._engine = engine
        self._indexer: Indexer | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def network(self) -> Network:
        """SHA-256 of the genesis file."""
        return self._genesis.network

    @property
    def genesis(self) -> Genesis:
        """What is trusted."""
        return self._genesis

    @property
    def indexed_ms(self) -> int:
        """Time of the newest block in the index; 0: none yet."""
        position = None if self._indexer is None else self._indexer.position
        return 0 if position is None else position.time_ms

    async def start(self) -> None:
        """Begin to follow the chain, inside the event loop that will use it.

        Raises:
            IndexForeignError: The index's database belongs to another network.
        """
        self._door.open()
        SlotSubscriber.metadata.create_all(self._engine)
        self._indexer = Indexer(self._engine, self._door.session, [SlotSubscriber()])
        await self._indexer.open()
        self._task = asyncio.create_task(self._run(self._indexer))

    async def stop(self) -> None:
        """End what `start` began."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._indexer is not None:
            self._indexer.close()
        await self._door.close()
        self._engine.dispose()

    async def submit_one(self, transaction: SignedTransaction) -> ProvenTransaction:
        """Submit one and wait for its verified receipt; see `service.sign_in.door.Door.submit_one`."""
        return await self._door.submit_one(transaction)

    async def prove(self, keys: Sequence[bytes]) -> Proof:
        """States under one certified checkpoint, in as many requests as they need.

        Raises:
            TransportError: No node gives an answer that verifies and is fresh.
            Refused: Nodes no longer hold the height of the first of several requests; ask again.
        """
        states: list[ProvenState] = []
        height = 0
        for at in range(0, len(keys), REQUEST_COUNT_MAX):
            states += await self._door.session.read_many(keys[at : at + REQUEST_COUNT_MAX], height=height)
            height = states[0].checkpoint.height
        certification = states[0].certification
        receipt = make([], [state.proof for state in states], certification.certified, certification.closings)
        return Proof(receipt, {state.key: state.value for state in states}, states[0].checkpoint)

    async def newest(self) -> Checkpoint:
        """The newest certified checkpoint."""
        return await self._door.session.checkpoint()

    async def follow(self, height: int) -> bool:
        """Wait until the index has a block."""
        return self._indexer is not None and await self._indexer.wait_for(height, FOLLOW_SECONDS_MAX)

    async def organisation_of(self, signer: Signer) -> str:
        """Whose key this is now; "": nobody's who is an active member."""
        key = signer_key(signer)
        (state,) = await self._door.session.read_many([key], age_ms_max=STANDING_AGE_MS_MAX)
        found = load_key({state.key: state.value}.get, signer)
        if found is None or not found.is_usable(state.checkpoint.time_ms):
            return ""
        return found.organisation if await self.has_role(found.organisation, "") else ""

    async def has_role(self, organisation: str, role: str) -> bool:
        """Whether an organisation is an active member with a role; "": any."""
        key = organisation_key(organisation)
        (state,) = await self._door.session.read_many([key], age_ms_max=STANDING_AGE_MS_MAX)
        found = load_organisation({state.key: state.value}.get, organisation)
        return found is not None and found.is_active and (not role or role in found.roles)

    async def is_ready(self) -> bool:
        """Whether the index follows."""
        return self._task is not None and not self._task.done() and self.indexed_ms > 0

    async def _run(self, indexer: Indexer) -> None:
        """Follow for as long as the service runs; after a failure, again from where the index stands."""
        while True:
            try:
                await indexer.open()
                await indexer.run()
            except (IndexBusyError, IndexForeignError) as error:
                log.error("credit.index-lost", reason=str(error))  # noqa: TRY400 - the reason says what to do
                return
            except (TransportError, LedgerError, SQLAlchemyError) as error:
                reason = error.reason if isinstance(error, LedgerError | TransportError) else type(error).__name__
                log.warning("credit.index-waits", reason=reason)
            await asyncio.sleep(RETRY_SECONDS)
