# SPDX-License-Identifier: Apache-2.0
"""What is published of cards' certificates: from what the ledger says of their keys at one finalized height.

    its keys are bound and not suspended     good
    not bound yet, or suspended              on hold
    bound once and not any more              revoked

Each certificate is written down before it leaves the authority (`log_into`), on hold. Since when it stands as it does
is by the ledger's time. What a crash leaves: the rows of one tick or none, and what was published before goes on until
it is too old.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from sqlalchemy import delete, select
from starlette.concurrency import run_in_threadpool

from chain.types import sha256
from client.session import REQUEST_COUNT_MAX
from identity.api.desk import cards
from identity.api.desk.base import DeskContext
from identity.api.desk.card_keys import CardKeys
from identity.api.desk.card_status_tables import CardCertificate
from identity.api.desk.cards_life import BOUND_KEYS, CardState
from identity.api.desk.cards_tables import Card
from identity.api.desk.tables import DeskPerson
from identity.cards.authority import load_certificate
from identity.cards.statuses import Ending, Reason, StatusTable
from identity.pb import identity_pb2 as pb
from identity.registrations import person_key
from membership.state import PARAMETERS_KEY
from service.errors import StorageError
from service.sign_in.door import Door
from service.store import Store

CARDS_MAX: Final = 100_000
"""Of one store and its authority: a district's; a tick looks at each, which takes seconds."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the ledger said.

    Attributes:
        height: The finalized height.
        time_s: Its time, in s since 1970.
        values: By state key; None: proven absent.
    """

    height: int
    time_s: int
    values: Mapping[bytes, bytes | None]


class Source(Protocol):
    """Reads the ledger."""

    async def read(self, keys: Sequence[bytes]) -> Reading:
        """State keys, all at one height; TransportError or LedgerError if nobody can say."""


class LedgerSource:
    """Reads records with proof, all at one height."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def read(self, keys: Sequence[bytes]) -> Reading:
        """See `Source`."""
        session = self._door.session
        asked = [PARAMETERS_KEY, *keys]  # the first is always there, and so is a height
        states = await session.read_many(asked[:REQUEST_COUNT_MAX])
        checkpoint = states[0].checkpoint
        for start in range(REQUEST_COUNT_MAX, len(asked), REQUEST_COUNT_MAX):
            states += await session.read_many(asked[start : start + REQUEST_COUNT_MAX], height=checkpoint.height)
        values = {state.key: state.value for state in states}
        return Reading(checkpoint.height, checkpoint.time_ms // 1000, values)


@dataclass(frozen=True, slots=True)
class KnownCard:
    """A card whose keys stand in somebody's record, or are to.

    Attributes:
        guid: The card's, in hexadecimal.
        registration: State key of its holder's registration.
        commitments: Of its keys that are bound.
        is_replaced: Whether another card took its place.
    """

    guid: str
    registration: bytes
    commitments: Sequence[bytes]
    is_replaced: bool


@dataclass(frozen=True, slots=True)
class Publication:
    """What is served, until the next tick.

    Attributes:
        view: The certificates as of one height.
        revocation_list: DER.
        digest: Its SHA-256.
    """

    view: StatusTable
    revocation_list: bytes
    digest: bytes


def log_into(store: Store) -> Callable[[bytes, bytes], None]:
    """What a `CardAuthority` calls with GUID and DER of each certificate, before it lets it go."""

    def log(guid: bytes, der: bytes) -> None:
        certificate = load_certificate(der)
        with store.write() as session:
            session.add(
                CardCertificate(
                    serial=f"{certificate.serial_number:x}",
                    guid=guid.hex(),
                    expires_s=int(certificate.not_valid_after_utc.timestamp()),
                    has_counted=False,
                    reason=Reason.HOLD,
                    since_s=int(certificate.not_valid_before_utc.timestamp()),
                )
            )

    return log


def reason_of(card: KnownCard, record: pb.PersonRecord | None, *, has_counted: bool) -> Reason | None:
    """Why a card's certificates don't count, by what the ledger says; None: they do.

    Args:
        card: The card.
        record: Of its holder; None: there is none.
        has_counted: Whether they did at some time.
    """
    if record is None or record.status not in {pb.PERSON_STATUS_ACTIVE, pb.PERSON_STATUS_SUSPENDED}:
        return Reason.ENDED
    suspended = {key.commitment: key.suspended for key in record.keys}
    here = [suspended[one] for one in card.commitments if one in suspended]
    if not here or len(here) < len(card.commitments):
        if not has_counted:
            return Reason.HOLD
        return Reason.REPLACED if card.is_replaced else Reason.ENDED
    return Reason.HOLD if any(here) or record.status == pb.PERSON_STATUS_SUSPENDED else None


def known_cards(desk: DeskContext) -> list[KnownCard]:
    """All cards of this store that were personalised; blocks.

    Raises:
        StorageError: The store failed, or holds more cards than are published: nothing is said then, since whatever
            was left out would count as ended.
    """
    people, found = desk.store.people, list[KnownCard]()
    with desk.store.read() as session:
        query = select(Card, DeskPerson).join(DeskPerson, DeskPerson.person_id == Card.person_id)
        rows = session.execute(query.where(Card.keys.is_not(None)).limit(CARDS_MAX + 1)).all()
        if len(rows) > CARDS_MAX:
            raise StorageError(f"one authority publishes at most {CARDS_MAX} cards; take another one for new cards")
        replaced = set(session.scalars(select(Card.replaces).where(Card.state.in_(BOUND_KEYS))))
        for row, holder in rows:
            opened = cards.read(desk, session, row)
            registration = json.loads(people.open(session, holder, DeskPerson.secrets) or "{}").get("registration")
            if opened.guid is not None and registration:
                is_replaced = row.state == CardState.REPLACED or row.ending_ms is not None or row.id in replaced
                key = person_key(bytes.fromhex(registration))
                found.append(KnownCard(opened.guid, key, opened.commitments, is_replaced))
    return found


def remember(desk: DeskContext, known: Sequence[KnownCard], reading: Reading) -> StatusTable:
    """Bring what is remembered to what the ledger says, in one transaction; blocks.

    Args:
        desk: Which desk.
        known: Its cards.
        reading: What the ledger says of their holders.

    Returns:
        All certificates as of that height.
    """
    by_guid = {card.guid: card for card in known}
    with desk.store.write() as session:
        session.execute(delete(CardCertificate).where(CardCertificate.expires_s < reading.time_s))
        certificates: dict[int, Ending | None] = {}
        for row in session.scalars(select(CardCertificate)):
            card = by_guid.get(row.guid)
            if card is None:  # in the making, given up, or its holder is over
                reason: Reason | None = Reason.ENDED if row.has_counted else Reason.HOLD
            else:
                raw = reading.values.get(card.registration)
                record = None if raw is None else pb.PersonRecord.FromString(raw)
                reason = reason_of(card, record, has_counted=row.has_counted)
            if reason is None:
                row.has_counted = True
            if reason != row.reason:
                row.reason, row.since_s = reason, reading.time_s
            ending = None if reason is None else Ending(reason, row.since_s)
            certificates[int(row.serial, 16)] = ending
    return StatusTable(reading.height, reading.time_s, certificates)


async def publish(desk: DeskContext, keys: CardKeys, source: Source) -> Publication:
    """One tick: ask the ledger, remember, make the list.

    Raises:
        TransportError, LedgerError: Nobody answers for the ledger with a proof; nothing changed.
        StorageError: The store failed; likewise.
        InvalidCardCertificate: More entries than a list may have; then the authority needs another issuing key.
    """
    known = await run_in_threadpool(known_cards, desk)
    reading = await source.read(sorted({card.registration for card in known}))
    view = await run_in_threadpool(remember, desk, known, reading)
    made = await run_in_threadpool(keys.authority.revocation_list, view)
    return Publication(view, made, sha256(made))
