# SPDX-License-Identifier: Apache-2.0
"""Locking one's own ways of signing in: at once, by oneself; unlocking takes coming in person.

A control key (of a card) or the whole registration is suspended on the ledger, by the registrar's service at its
holder's word. Credentials on other devices are ended: nobody can hold a key back that lies in a lost phone, and a desk
issues new ones. The holder is told by every channel that is registered.
"""

import re
from typing import Final

from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from chain.codec import encode
from chain.errors import Refused
from chain.transaction import Operation
from chain.types import HASH_BYTES
from identity.api.desk import persons
from identity.api.desk.service_acts import send
from identity.api.desk.tables import DeskPerson
from identity.api.issuer.denied import Denied, Error
from identity.api.issuer.lists import list_uri
from identity.api.issuer.tables import IssuerCopy, IssuerList, IssuerPlace
from identity.api.space import notices
from identity.api.space.acts import Signed, SpaceContext, count
from identity.jose import JsonObject
from identity.pb import identity_pb2 as pb
from identity.status_list import Status

KEPT_MAX: Final = 200
"""Credentials that a device says are its own: batches of thirty, with some years' renewals."""

_DONE: Final = frozenset({"identity.key-unchanged", "identity.person-suspended"})
_URI = re.compile(r"[!-~]{1,512}", re.ASCII)


async def lock(space: SpaceContext, signed: Signed) -> JsonObject:
    """Lock what the act names: `key`, `registration` or `devices`. Once more changes nothing.

    Raises:
        Denied: The act names something else, or somebody else's; the ledger's rules refuse it; or there were too many.
        TransportError: Nothing is known of it yet; ask again.
    """
    match signed.word("what"):
        case "key":
            return await _suspend(space, signed, signed.raw("key", HASH_BYTES))
        case "registration":
            return await _suspend(space, signed, b"")
        case "devices":
            return {"ended": await run_in_threadpool(_end_others, space, signed)}
        case _:
            raise Denied(Error.INVALID_REQUEST, "what is key, registration or devices")


async def _suspend(space: SpaceContext, signed: Signed, key: bytes) -> JsonObject:
    registration = await run_in_threadpool(_registration, space, signed.person_id)
    await run_in_threadpool(count, space, signed, "locked")
    message = pb.SetPersonStatus(id=registration, key=key, status=pb.STATUS_SUSPENDED, reason=pb.REASON_HOLDER_REQUEST)
    try:
        # a crash after this line leaves the holder untold of what the ledger shows
        await send(space.desk, [Operation.make("identity.SetPersonStatus", encode(message))])
    except Refused as refused:
        if refused.code not in _DONE:
            raise Denied(Error.CREDENTIAL_REQUEST_DENIED, f"the ledger refuses it ({refused.code})") from None
        return {"locked": True}
    await run_in_threadpool(_tell, space, signed.person_id)
    return {"locked": True}


def _registration(space: SpaceContext, person_id: str) -> bytes:
    desk = space.desk
    with desk.store.read() as session:
        row = session.scalar(select(DeskPerson).where(DeskPerson.person_id == person_id))
        if row is None:
            raise Denied(Error.CREDENTIAL_REQUEST_DENIED, "another registrar keeps the registration")
        return persons.read(desk, session, row).secrets.registration_id


def _tell(space: SpaceContext, person_id: str) -> None:
    with space.desk.store.write() as session:
        notices.tell(space.desk, session, person_id, notices.LOCKED)


def _end_others(space: SpaceContext, signed: Signed) -> int:
    """End all credentials of the person but those that the device names as its own; how many ended."""
    named = _named(signed)
    count(space, signed, "devices-ended")
    issuer = space.issuer
    with issuer.store.write() as session:
        names = {list_uri(issuer.origin, row.name): row.number for row in session.scalars(select(IssuerList))}
        kept = {(names[uri], place) for uri, place in named if uri in names}
        own = select(IssuerCopy.id).where(IssuerCopy.person_id == signed.person_id, IssuerCopy.id != signed.copy_id)
        ended = 0
        for place in session.scalars(select(IssuerPlace).where(IssuerPlace.copy_id.in_(own))):
            if (place.list_number, place.place) not in kept and place.status != Status.INVALID:
                place.status = Status.INVALID
                ended += 1
        if ended:
            notices.tell(space.desk, session, signed.person_id, notices.DEVICES_ENDED)
    return ended


def _named(signed: Signed) -> list[tuple[str, int]]:
    """Places in status lists of the credentials that stay."""
    listed = signed.act.get("keep")
    if not isinstance(listed, list) or len(listed) > KEPT_MAX:
        raise Denied(Error.INVALID_REQUEST, f"keep names at most {KEPT_MAX} credentials")
    found: list[tuple[str, int]] = []
    for one in listed:
        uri, index = (one.get("uri"), one.get("idx")) if isinstance(one, dict) else (None, None)
        if not isinstance(uri, str) or not _URI.fullmatch(uri) or not isinstance(index, int) or index < 0:
            raise Denied(Error.INVALID_REQUEST, "a credential that stays is named by its status: uri and idx")
        found.append((uri, index))
    return found
