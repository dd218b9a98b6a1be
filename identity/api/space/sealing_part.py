# SPDX-License-Identifier: Apache-2.0
"""Sealing as a part of a service: a round a minute, with the key of an organisation that may seal."""

from collections.abc import Callable

from chain.errors import LedgerError, Refused
from chain.signing import Signer, TransactionSigner
from chain.transaction import Operation
from client.errors import TransportError
from client.session import Session
from identity.api.issuer.publishing import Source
from identity.api.space.sealing import TICK_S, Sealing, tick
from membership.state import load_key, signer_key
from service.app import Part
from service.errors import StorageError, TokenError
from service.rounds import Round
from service.store import Store
from service.store.replays import unix_ms


def sealing_part(store: Store, source: Source, session: Callable[[], Session], key: TransactionSigner) -> Part:
    """What a registrar's issuing service takes along whose looks the law may delay.

    Args:
        store: The registrar's.
        source: Reads the ledger.
        session: The client, once the service runs.
        key: Of an organisation with the role sealing-authority; purpose attest.

    Returns:
        The part; its check turns red while rounds fail.
    """

    async def submit(operation: Operation) -> None:
        client = session()
        proven = await client.submit_one(client.sign([operation], [key]))
        if proven.failed is not None:
            raise Refused("the ledger did not take it", proven.failed.code)

    async def run() -> None:
        authority = await _organisation(source, key.signer)
        await tick(Sealing(store, authority, source, submit, unix_ms))

    away = (TransportError, LedgerError, StorageError, TokenError)
    return Part("sealing", rounds=[Round("sealing", run, TICK_S, away, tells_waiting=True)])


async def _organisation(source: Source, signer: Signer) -> str:
    """Whose key this is, by the ledger.

    Raises:
        Refused: Nobody's: then nothing can be sealed.
    """
    found = load_key((await source.read([signer_key(signer)])).values.get, signer)
    if found is None:
        raise Refused("signing.sealing_key is no key of the ledger", "identity.not-sealing-authority")
    return found.organisation
