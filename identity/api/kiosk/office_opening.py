# SPDX-License-Identifier: Apache-2.0
"""Whose card is in a kiosk, or whose phone answered its code, and how sure that is: the opening of a visit."""

from starlette.concurrency import run_in_threadpool

from identity.api.desk import cards, persons
from identity.api.desk.looking_up import Reason, note_access
from identity.api.kiosk.base import (
    SCAN_S_MAX,
    CardProof,
    Holder,
    OfficeRefused,
    PhoneProof,
    opening_message,
    phone_message,
)
from identity.api.kiosk.challenges import make_challenge, use_challenge
from identity.api.kiosk.device import Device
from identity.api.kiosk.office_base import CLOCK_MS_MAX, OfficeBase
from identity.api.kiosk.office_lines import LEVELS
from identity.api.kiosk.office_people import find_by_pseudonym, judge_presence, keep_presence, ticket
from identity.api.kiosk.office_ways import ways
from identity.api.kiosk.paying import paid_by
from identity.cards.objects import Slot
from identity.liveness import Evidence, presence_level
from identity.pb import identity_pb2 as pb


class Reception(OfficeBase):
    """Opens visits."""

    def challenge(self, device: Device) -> bytes:
        """A nonce for one opening at a kiosk; see `Office`."""
        return make_challenge(self._desk(), device)

    async def open(self, device: Device, proof: CardProof | PhoneProof) -> Holder:
        """Whose card was put into a kiosk with its PIN, or whose phone answered its code.

        Raises:
            OfficeRefused: Card or person is not known, did not sign or answer this, or does not count.
            OfficeAway: The ledger does not answer.
        """
        if isinstance(proof, PhoneProof):
            return await self._open_by_phone(device, proof)
        if abs(self._desk().now() - proof.time_ms) > CLOCK_MS_MAX:
            raise OfficeRefused("kiosk.clock")
        await run_in_threadpool(use_challenge, self._desk(), device, proof.nonce, CLOCK_MS_MAX)
        card = await run_in_threadpool(self._card, device, proof.guid)
        message = opening_message(device.public_key, proof.time_ms, proof.nonce)
        self._check_key(card, Slot.AUTHENTICATE, message, proof.signature)
        record = await self._counting(device, card, Slot.AUTHENTICATE)
        seen = self._seen(proof.evidence, message)
        return await run_in_threadpool(self._holder, device, card.person_id, card.id, record, *seen, is_opening=True)

    async def _open_by_phone(self, device: Device, proof: PhoneProof) -> Holder:
        desk, judge = self._desk(), self._judge
        age_ms = desk.now() - proof.time_ms
        if not -CLOCK_MS_MAX <= age_ms <= SCAN_S_MAX * 1000 + CLOCK_MS_MAX:
            raise OfficeRefused("kiosk.clock")
        await run_in_threadpool(use_challenge, desk, device, proof.nonce, SCAN_S_MAX * 1000 + CLOCK_MS_MAX)
        message = phone_message(device.public_key, proof.time_ms, proof.nonce)
        pseudonym = "" if judge is None else judge.pseudonym(message, None, proof.answer)
        if judge is None or not pseudonym:
            raise OfficeRefused("kiosk.phone")
        person_id = await run_in_threadpool(find_by_pseudonym, desk, device, judge, pseudonym)
        if person_id is None:
            raise OfficeRefused("kiosk.person")
        record = await self._active(device, person_id)
        seen = self._seen(proof.evidence, message)
        return await run_in_threadpool(self._holder, device, person_id, "", record, *seen, is_opening=True)

    def _seen(self, evidence: bytes, message: bytes) -> tuple[Evidence | None, bool]:
        return judge_presence(evidence, message, self._methods, self._desk().now() + CLOCK_MS_MAX)

    def _holder(
        self,
        device: Device,
        person_id: str,
        card_id: str,
        record: pb.PersonRecord,
        evidence: Evidence | None,
        is_live: bool,
        *,
        is_opening: bool = False,
    ) -> Holder:
        desk = self._desk()
        with desk.store.write() as session:
            note_access(desk, session, device.actor, person_id, Reason.COUNTER, is_anew=is_opening)
            if evidence is not None:
                keep_presence(desk, session, device, person_id, evidence)
            found = persons.load(desk, session, device.actor, person_id)
            own = [cards.read(desk, session, row) for row in cards.of_person(session, person_id)]
            agencies = self._agencies(session, device, person_id)
            paid = paid_by(desk, session, self.box(), person_id)
        level = LEVELS.get(record.assurance_level, "")
        counting = evidence if is_live else None
        return Holder(
            found.name,
            found.secrets.registration_id.hex(),
            device.registrar,
            level,
            "" if found.details is None else str(found.details.method),
            "" if found.details is None else found.details.address,
            ways(own, record, card_id),
            agencies,
            paid.open(self._bills(person_id)),
            ticket(desk, device, person_id),
            presence_level(level, counting) if level else "",
            "" if counting is None else counting.method,
            paid.card_fen,
        )
