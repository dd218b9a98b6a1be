# SPDX-License-Identifier: Apache-2.0
"""The private compartment from one's own device: fetched and put back; neither takes opening it.

Only what two keys open is taken, and only in the place of one that is there with the same two keys: the first one is
made at the counter, where somebody sees that one of the keys is on the card. What stood there before is kept at the
desk for a while: whoever has the phone could put anything in its place.
"""

from sqlalchemy import select

from identity.api.desk import compartments
from identity.api.desk.tables import DeskCompartment
from identity.api.issuer.denied import Denied, Error
from identity.api.space import notices
from identity.api.space.acts import Signed, SpaceContext, count
from identity.compartment import SEALED_BYTES_MAX, keys_of
from identity.jose import InvalidToken, JsonObject


def get(space: SpaceContext, signed: Signed) -> JsonObject:
    """The compartment as it was sealed.

    Raises:
        Denied: There is none.
    """
    with space.desk.store.read() as session:
        found = compartments.load(space.desk, session, signed.person_id)
    if found is None:
        raise Denied(Error.CREDENTIAL_REQUEST_DENIED, "no compartment is kept")
    return {"compartment": found.sealed.decode("utf-8"), "kept_ms": found.kept_ms}


def put(space: SpaceContext, signed: Signed) -> JsonObject:
    """Keep another one in the place of the one before; its holder is told by every channel.

    Raises:
        Denied: It is none, there was none before, or it is sealed for other keys.
    """
    sealed = signed.word("sealed", SEALED_BYTES_MAX).encode()
    try:
        keys = keys_of(sealed)
    except InvalidToken:
        raise Denied(Error.INVALID_REQUEST, "sealed is no compartment") from None
    count(space, signed, "compartment-put")
    desk = space.desk
    with desk.store.write() as session:
        row = session.scalar(
            select(DeskCompartment).where(DeskCompartment.person_id == signed.person_id).with_for_update()
        )
        before = compartments.load(desk, session, signed.person_id)
        if row is None or before is None or set(before.keys) != set(keys):
            raise Denied(Error.CREDENTIAL_REQUEST_DENIED, "only what the same two keys open takes its place")
        compartments.set_aside(desk, session, row)
        row.kept_ms, row.size_bytes = desk.now(), len(sealed)
        desk.store.people.seal(session, row, DeskCompartment.content, sealed.decode("utf-8"))
        notices.tell(desk, session, signed.person_id, notices.COMPARTMENT)
    return {"kept_ms": desk.now()}
