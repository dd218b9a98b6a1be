# SPDX-License-Identifier: Apache-2.0
"""Acts in the data space that the holder signs with the card itself, where there is no wallet.

The card is found by its identifier, the signature is held against the key that was bound at the desk, and that key
against the registration as the ledger has it now. Of a card that is not known and one that signed something else the
same is told.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select

from chain import p256
from chain.errors import InvalidMessage, InvalidSignature
from chain.strict_json import Json
from identity.api.desk import cards, persons
from identity.api.desk.cards_keys import BoundKey
from identity.api.desk.cards_life import CardState
from identity.api.desk.cards_tables import Card
from identity.api.desk.tables import DeskPerson
from identity.api.issuer.denied import Denied, Error
from identity.api.issuer.issuing import use_up
from identity.api.issuer.proofs import nonce_alone
from identity.api.space.acts import Signed, SpaceContext
from identity.cards.objects import GUID_BYTES
from identity.registrations import counting_key, load_person, person_key
from identity.space_card import SpaceMessage, parse_act

CLOCK_MS_MAX: Final = 5 * 60_000
"""How far the clock of the machine with the card may be off; replays are kept out by the nonce, whatever clocks say."""
ORIGIN_CHARACTERS_MAX: Final = 300
_IN_HAND: Final = (CardState.HANDED_OVER, CardState.ACTIVE)
"""A card that its holder has; keys of one that is still being made count on the ledger, too."""
_SIZES: Final = {"guid": GUID_BYTES, "signature": p256.SIGNATURE_BYTES}
_REFUSED: Final = "the card is not known here, or did not sign this"


@dataclass(frozen=True, slots=True)
class Answered:
    """What came from the card's program; nothing of it is verified."""

    guid: bytes
    origin: str
    time_ms: int
    signature: bytes

    @classmethod
    def read(cls, members: Mapping[str, Json]) -> "Answered":
        """Take it apart.

        Raises:
            Denied: It has another form.
        """
        origin, time_ms = members.get("origin"), members.get("time_ms")
        raw = [_bytes(members.get(name), size) for name, size in _SIZES.items()]
        if (
            not all(raw)
            or not isinstance(origin, str)
            or len(origin) > ORIGIN_CHARACTERS_MAX
            or isinstance(time_ms, bool)
            or not isinstance(time_ms, int)
        ):
            raise Denied(Error.INVALID_REQUEST, "card is guid, origin, time_ms and signature, as the program answers")
        return cls(raw[0], origin, time_ms, raw[1])


@dataclass(frozen=True, slots=True)
class Held:
    """The key that signed, with whose registration it stands in."""

    person_id: str
    registration: bytes
    key: BoundKey


def check(space: SpaceContext, card: Mapping[str, Json], nonce: Json, text: Json) -> tuple[Signed, Held]:
    """Check which card acts, and use the nonce up; whether its key counts, `check_standing` says.

    Args:
        space: Whose.
        card: What the card's program answered.
        nonce: One of the nonce endpoint.
        text: The act.

    Raises:
        Denied: No card of this registrar's signed just this.
    """
    issuer, answered = space.issuer, Answered.read(card)
    proven = nonce_alone(nonce, issuer.store.secret("issuer/nonce"), issuer.now_ms())
    if abs(issuer.now_ms() - answered.time_ms) > CLOCK_MS_MAX:
        raise Denied(Error.INVALID_REQUEST, "the clock of the machine with the card is off by more than five minutes")
    if not isinstance(text, str):
        raise Denied(Error.INVALID_REQUEST, "act is a text")
    message = SpaceMessage(issuer.origin, answered.origin, proven.nonce, text, answered.guid, answered.time_ms)
    try:
        act, slot = parse_act(text), message.slot
    except InvalidMessage as error:
        raise Denied(Error.INVALID_REQUEST, error.reason) from None
    held = _held(space, answered.guid, slot)
    try:
        p256.verify(bytes.fromhex(held.key.public_key), message.encode(), answered.signature)
    except InvalidSignature:
        raise Denied(Error.INVALID_CREDENTIAL_REQUEST, _REFUSED) from None
    with issuer.store.write() as session:
        use_up(issuer, session, proven)
    evidence = f"{message.encode().hex()}.{answered.signature.hex()}"
    return Signed(held.person_id, "", (person_key(held.registration),), act, text, evidence), held


async def check_key(space: SpaceContext, held: Held) -> None:
    """See that the card's key counts now.

    Raises:
        Denied: It does not: the card was stopped, or another took its place.
        TransportError: Nobody answers for the ledger.
    """
    reading = await space.source.read([person_key(held.registration)])
    record = load_person(reading.values.get, held.registration)
    counting = counting_key(record, held.key.commitment, reading.time_ms)
    if counting is None or counting.purpose != held.key.purpose:
        raise Denied(Error.CREDENTIAL_REQUEST_DENIED, "the card's key does not count now")


def _bytes(value: Json, size: int) -> bytes:
    """Bytes in hex; empty where it is something else."""
    try:
        found = bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError:
        return b""
    return found if len(found) == size else b""


def _held(space: SpaceContext, guid: bytes, slot: int) -> Held:
    desk = space.desk
    with desk.store.read() as session:
        rows = desk.store.people.find(session, Card.guid, guid.hex())
        living = select(Card, DeskPerson).join(DeskPerson, DeskPerson.person_id == Card.person_id)
        found = session.execute(living.where(Card.id.in_(rows), Card.state.in_(_IN_HAND))).one_or_none()
        if found is None:
            raise Denied(Error.INVALID_CREDENTIAL_REQUEST, _REFUSED)
        card = cards.read(desk, session, found[0])
        registration = persons.read(desk, session, found[1]).secrets.registration_id
    key = next((one for one in card.keys if one.slot == slot), None)
    is_over = card.expires_ms is not None and card.expires_ms <= desk.now()
    if key is None or is_over:
        raise Denied(Error.INVALID_CREDENTIAL_REQUEST, _REFUSED)
    return Held(card.person_id, registration, key)
