# SPDX-License-Identifier: Apache-2.0
"""The kiosk's own look at the ledger: state with proof, verified here against the network's genesis file."""

from collections.abc import Callable, Mapping, Sequence

from chain.errors import LedgerError
from client.errors import TransportError
from client.session import Session
from identity.api.kiosk.base import OfficeAway, ProvenValue


class SessionStates:
    """State by the verifying client.

    Args:
        session: The client, while the service runs.
    """

    def __init__(self, session: Callable[[], Session]) -> None:
        self._session = session

    async def read(self, keys: Sequence[bytes]) -> Mapping[bytes, ProvenValue]:
        """See `States`."""
        try:
            states = await self._session().read_many(keys)
        except (TransportError, LedgerError) as error:
            raise OfficeAway(error.reason) from None
        return {
            one.key: ProvenValue(one.value, one.checkpoint.time_ms, one.checkpoint.height, one.receipt())
            for one in states
        }
