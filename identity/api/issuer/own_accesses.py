# SPDX-License-Identifier: Apache-2.0
"""Who looked at somebody's data, for that person alone: their list of accesses with its proof.

Whoever presents a credential of ours that tells where its list begins, bound to its key under a fresh nonce, gets the
list as the registrar keeps it: each entry opened, with one receipt for all slots and the free one after them. The
wallet verifies it with the network's genesis; a list from which something recorded was left out does not verify.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from starlette.concurrency import run_in_threadpool

from chain.strict_json import Json
from client.answers import receipt_of
from client.session import REQUEST_COUNT_MAX, Session
from identity.access import AccessList, slot_of_claim
from identity.access_rules import access_key
from identity.api.accesses import lists, reading
from identity.api.accesses.lists import Broken, Exhausted, UnknownList
from identity.api.issuer.codes import copy_of, verify_presented
from identity.api.issuer.denied import Denied, Error
from identity.api.issuer.issuing import Issuer, use_up
from identity.api.issuer.proofs import nonce_alone
from identity.api.issuer.publishing import Source
from service.store import Act

TRIES_MAX: Final = 3
"""Somebody may write an entry between catching up and reading; not three times in a row."""

Prove: TypeAlias = Callable[[Sequence[bytes]], Awaitable[tuple[bytes, dict[bytes, bytes | None]]]]
"""A receipt of state keys at one height, and their values."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A holder who asks for their list.

    Attributes:
        person_id: Whose it is.
        first_slot: Where it begins, as the credential says.
    """

    person_id: str
    first_slot: str = field(repr=False)


class LedgerReceipts:
    """Proves states of the ledger."""

    def __init__(self, session: Callable[[], Session]) -> None:
        """Take the session, which may be opened later."""
        self._session = session

    async def prove(self, keys: Sequence[bytes]) -> tuple[bytes, dict[bytes, bytes | None]]:
        """See `Prove`."""
        session = self._session()
        states = await session.read_many(keys[:REQUEST_COUNT_MAX])
        height = states[0].checkpoint.height
        for start in range(REQUEST_COUNT_MAX, len(keys), REQUEST_COUNT_MAX):
            states += await session.read_many(keys[start : start + REQUEST_COUNT_MAX], height=height)
        return receipt_of(states), {state.key: state.value for state in states}


def check_request(issuer: Issuer, presentation: Json, nonce: Json) -> Shown:
    """Check who asks, and use the nonce up.

    Args:
        issuer: Of this service.
        presentation: A credential with key binding that discloses `access_slot`.
        nonce: The one that it is bound to.

    Raises:
        Denied: It is refused, counts no longer, or tells of no list; or its person looks too often.
    """
    proven = nonce_alone(nonce, issuer.store.secret("issuer/nonce"), issuer.now_ms())
    credential = verify_presented(issuer, presentation, proven.nonce)
    first_slot = credential.claims.get("access_slot")
    if not isinstance(first_slot, str):
        raise Denied(Error.INVALID_CREDENTIAL_REQUEST, "the presentation does not tell where its list begins")
    with issuer.store.write() as session:
        use_up(issuer, session, proven)
        person_id = copy_of(issuer, session, credential).person_id
        issuer.take_look(person_id)
        issuer.store.record(session, Act("system", "accesses.shown", person_id))
    return Shown(person_id, first_slot)


async def report(issuer: Issuer, shown: Shown, source: Source, prove: Prove) -> bytes:
    """The holder's list with its proof: bytes of `AccessReport`.

    Args:
        issuer: Of this service.
        shown: What `check_request` found.
        source: Reads the ledger.
        prove: Makes the receipt.

    Raises:
        Denied: This registrar keeps no such list, or it goes on faster than it can be read.
        TransportError: Nobody answers for the ledger.
    """

    async def read(keys: Sequence[bytes]) -> dict[bytes, bytes | None]:
        return dict((await source.read(keys)).values)

    for _ in range(TRIES_MAX):
        try:
            await lists.hand_out(issuer.store, read, shown.first_slot)  # catches up with what stands on the ledger
        except UnknownList:
            raise Denied(Error.CREDENTIAL_REQUEST_DENIED, "the list is kept elsewhere, or was erased") from None
        except Broken:
            reason = "somebody's entry ended the list, which can't be proven any more; a new credential begins another"
            raise Denied(Error.CREDENTIAL_REQUEST_DENIED, reason) from None
        except Exhausted:
            pass  # as far as it goes; a newer credential has begun another
        found = await run_in_threadpool(_opened, issuer, shown)
        receipt, values = await prove(found.state_keys())
        if values[access_key(found.slots[-1])] is None:
            return found.report(receipt)
    raise Denied(Error.TEMPORARILY_UNAVAILABLE, "the list goes on at this moment")


def _opened(issuer: Issuer, shown: Shown) -> AccessList:
    first = slot_of_claim(shown.first_slot)  # names a list that is known by now
    with issuer.store.read() as session:
        for one in reading.opened(session, issuer.store, shown.person_id):
            if one.first_slot == first:
                return one
    raise Denied(Error.CREDENTIAL_REQUEST_DENIED, "the list is kept elsewhere, or was erased")
