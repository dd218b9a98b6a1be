# SPDX-License-Identifier: Apache-2.0
"""Credit's way to the ledger: submitting, proven reading, and the index that follows blocks."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Engine

from chain.checkpoint import Checkpoint
from chain.genesis import Genesis
from chain.overlay import ReadState
from chain.receipt import make
from chain.signing import Signer
from chain.transaction import SignedTransaction
from chain.types import Network
from client.answers import ProvenState, ProvenTransaction
from client.connection import Endpoint
from client.session import REQUEST_COUNT_MAX
from credit.api.base import Proof
from credit.api.slot_index import SlotSubscriber
from membership.state import load_key, load_organisation, organisation_key, signer_key
from service.index.running import RunningIndex
from service.sign_in.door import Door

FOLLOW_SECONDS_MAX: Final = 10.0
"""A page waits no longer for the index; what it shows then is a little behind."""
STANDING_AGE_MS_MAX: Final = 30_000


def holder_of(read: ReadState, signer: Signer, time_ms: int) -> str:
    """The organisation whose key this is, if the key counts at a time; "": nobody's, not yet, or no more.

    Args:
        read: State of one height, with the key's own record.
        signer: The key.
        time_ms: Of that height; Unix time.
    """
    found = load_key(read, signer)
    return "" if found is None or not found.is_usable(time_ms) else found.organisation


def is_member(read: ReadState, organisation: str, role: str = "") -> bool:
    """Whether an organisation is an active member with a role; "": any.

    Args:
        read: State of one height, with the organisation's own record.
        organisation: Its id.
        role: As the membership rules name it.
    """
    found = load_organisation(read, organisation)
    return found is not None and found.is_active and (not role or role in found.roles)


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
        self._index = RunningIndex(engine, [SlotSubscriber()])

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
        return self._index.indexed_ms()

    async def start(self) -> None:
        """Begin to follow the chain, inside the event loop that will use it.

        Raises:
            ConfigError: The index's database belongs to another network.
            StorageError: It failed.
        """
        self._door.open()
        await self._index.start(self._door.session)

    async def stop(self) -> None:
        """End what `start` began."""
        await self._index.stop()
        await self._door.close()

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
        return await self._index.wait_for(height, FOLLOW_SECONDS_MAX)

    async def organisation_of(self, signer: Signer) -> str:
        """Whose key this is now; "": nobody's who is an active member."""
        key = signer_key(signer)
        (state,) = await self._door.session.read_many([key], age_ms_max=STANDING_AGE_MS_MAX)
        holder = holder_of({state.key: state.value}.get, signer, state.checkpoint.time_ms)
        return holder if holder and await self.has_role(holder, "") else ""

    async def has_role(self, organisation: str, role: str) -> bool:
        """Whether an organisation is an active member with a role; "": any."""
        key = organisation_key(organisation)
        (state,) = await self._door.session.read_many([key], age_ms_max=STANDING_AGE_MS_MAX)
        return is_member({state.key: state.value}.get, organisation, role)

    async def is_ready(self) -> bool:
        """Whether the index has come up to what nodes certify; see `service.index.running.RunningIndex.is_current`."""
        return await self._index.is_current()
