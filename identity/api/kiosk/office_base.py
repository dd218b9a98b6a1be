# SPDX-License-Identifier: Apache-2.0
"""What the office behind kiosks stands on: the desk's store and ledger, kiosks that count, people and their cards."""

import hmac
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, derive_private_key
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from chain import p256
from chain.errors import InvalidSignature
from chain.signing import Signer
from client.errors import TransportError
from identity.api.desk import cards, mandates, persons
from identity.api.desk.base import DeskContext
from identity.api.desk.legal_tables import Company, Mandate
from identity.api.desk.mandates import MandateState
from identity.api.kiosk.base import MANDATES_MAX, Agency, Bill, OfficeAway, OfficeRefused
from identity.api.kiosk.device import Device
from identity.api.kiosk.office_people import Judge
from identity.api.kiosk.papers import Papers
from identity.cards.objects import Slot
from identity.devices import counts, device_key, load_device
from identity.pb import identity_pb2 as pb
from identity.registrations import counting_key

CLOCK_MS_MAX: Final = 60_000
"""By how much a kiosk's clock may differ when a card is opened."""
_GROUP_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

Bills: TypeAlias = Callable[[str], Sequence[Bill]]
"""From a person's id in the store to what they have to confirm and pay."""


class OfficeBase:
    """The office's ground.

    Args:
        desk: Its store, ledger and key; once the service runs.
        bills: What somebody of the store has to confirm and pay; the payees' system plugs in here.
        judge: Judges what phones answer; None: no phone opens a visit, and no large amount is taken.
        papers: Makes papers with the registrar's seal; None: kiosks print them without one.
        methods: Names of liveness methods that count.
    """

    def __init__(
        self,
        desk: Callable[[], DeskContext],
        bills: Bills = lambda _person: (),
        judge: Judge | None = None,
        papers: Papers | None = None,
        methods: frozenset[str] = frozenset(),
    ) -> None:
        self._desk = desk
        self._bills = bills
        self._judge = judge
        self._papers = papers
        self._methods = methods

    async def device(self, signer: Signer) -> Device | None:
        """The kiosk with this key, if it counts now.

        Raises:
            OfficeAway: The ledger does not answer.
        """
        try:
            proven = await self._desk().ledger.read([device_key(signer)])
        except TransportError as error:
            raise OfficeAway(error.reason) from None
        record = load_device(proven.values.get, signer)
        if record is None or record.kind != pb.DEVICE_KIND_KIOSK or not counts(record, proven.time_ms):
            return None
        return Device(signer.public_key, record.registrar, record.place_zh, record.place_en)

    def box(self) -> EllipticCurvePrivateKey:
        """The key that opens what kiosks seal; it comes from the store's secrets and stands nowhere else."""
        secret = self._desk().store.secret("kiosk/box")
        wide = hmac.digest(secret, b"0", "sha256") + hmac.digest(secret, b"1", "sha256")
        return derive_private_key(int.from_bytes(wide, "big") % (_GROUP_ORDER - 1) + 1, SECP256R1())

    def box_key(self) -> bytes:
        """Its public half; 33 bytes."""
        return p256.compress(self.box().public_key())

    async def _active(self, device: Device, person_id: str) -> pb.PersonRecord:
        """A person's record, if their registration counts now."""
        registration = await run_in_threadpool(self._registration, device, person_id)
        try:
            record = await cards.on_ledger(self._desk(), registration)
        except TransportError as error:
            raise OfficeAway(error.reason) from None
        if record is None or record.status != pb.PERSON_STATUS_ACTIVE:
            raise OfficeRefused("kiosk.person")
        return record

    def _card(self, device: Device, guid: bytes) -> cards.Opened:
        desk = self._desk()
        with desk.store.read() as session:
            row = cards.find_by_guid(desk, session, device.registrar, guid)
            if row is None:
                raise OfficeRefused("kiosk.card-unknown")
            return cards.read(desk, session, row)

    def _check_key(self, card: cards.Opened, slot: Slot, message: bytes, signature: bytes) -> None:
        key = next((key for key in card.keys if key.slot == slot), None)
        if key is None:
            raise OfficeRefused("kiosk.card-unknown")
        try:
            p256.verify(bytes.fromhex(key.public_key), message, signature)
        except InvalidSignature:
            raise OfficeRefused("kiosk.signature") from None

    async def _counting(self, device: Device, card: cards.Opened, slot: Slot) -> pb.PersonRecord:
        """The holder's record, if the card's key counts in it now."""
        desk = self._desk()
        key = next(key for key in card.keys if key.slot == slot)
        registration = await run_in_threadpool(self._registration, device, card.person_id)
        try:
            record = await cards.on_ledger(desk, registration)
        except TransportError as error:
            raise OfficeAway(error.reason) from None
        counting = counting_key(record, key.commitment, desk.now())
        if record is None or counting is None or counting.purpose != key.purpose:
            raise OfficeRefused("kiosk.card-ended")
        return record

    def _registration(self, device: Device, person_id: str) -> bytes:
        desk = self._desk()
        with desk.store.read() as session:
            found = persons.load(desk, session, device.actor, person_id)
        return found.secrets.registration_id

    def _agencies(self, session: Session, device: Device, person_id: str) -> tuple[Agency, ...]:
        """Companies for which somebody may act, as far as the desk knows."""
        desk = self._desk()
        wanted = (
            (Mandate.organisation == device.registrar)
            & (Mandate.person_id == person_id)
            & (Mandate.kind == "company")
            & (Mandate.state != MandateState.ENDED)
        )
        found = []
        for row in session.scalars(select(Mandate).where(wanted).limit(MANDATES_MAX)):
            content = mandates.content_of(desk, session, row)
            uscc = content.terms.principal
            named = select(Company.name_zh).where(Company.organisation == device.registrar, Company.uscc == uscc)
            found.append(Agency(content.id, uscc, session.scalar(named) or uscc))
        return tuple(found)
