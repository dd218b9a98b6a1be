# SPDX-License-Identifier: Apache-2.0
"""The registrar's office behind its kiosks: whose card this is, and what becomes of what the holder signed.

It stands on the desk's store and signs with the desk's own key, which suspends and records and can do nothing else to
a person. A kiosk's word counts for nothing here: each statement carries its holder's signature, and whether that key
counts, the ledger says. Every opening of a person is an access that the person sees.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from chain.codec import encode
from chain.errors import InvalidMessage, Refused
from chain.transaction import Operation
from client.errors import TransportError
from identity.api.desk import cards, cards_phone
from identity.api.desk.base import DAY_MS
from identity.api.desk.cards_problems import NO_SERVICE_KEY, TOO_MANY_CALLS
from identity.api.desk.service_acts import send
from identity.api.kiosk import boxes
from identity.api.kiosk.acting import POWER_WORD, SCOPE_WORD, allows, keys_of
from identity.api.kiosk.base import (
    Agency,
    Filed,
    OfficeAway,
    OfficeRefused,
    SignIn,
    Way,
)
from identity.api.kiosk.boxes import Signed
from identity.api.kiosk.device import Device
from identity.api.kiosk.office_base import CLOCK_MS_MAX
from identity.api.kiosk.office_lines import check_lines
from identity.api.kiosk.office_lost import stop_lost
from identity.api.kiosk.office_opening import Reception
from identity.api.kiosk.office_people import (
    find_by_pseudonym,
    holder_of_ticket,
)
from identity.api.kiosk.office_ways import ways
from identity.api.kiosk.paying import check_payment
from identity.api.kiosk.phone import confirmed_of
from identity.api.kiosk.statements import Kind, Statement
from identity.api.kiosk.tables import RECEIVED, RECORDED, REFUSED, KioskStatement
from identity.cards.objects import Slot
from identity.pb import identity_pb2 as pb
from membership.anchors import anchor_key, load_anchor
from membership.pb import membership_pb2
from service.language import Language
from service.problems import Problem
from service.store import new_id

STATEMENT_AGE_MS_MAX: Final = 14 * DAY_MS
"""A kiosk without a network is looked after within two weeks, or its statements are made anew."""
_PASSING: Final = (NO_SERVICE_KEY, TOO_MANY_CALLS)
"""Why a card is not stopped now, and may be when asked again; whatever else is wrong with it stays wrong."""


@dataclass(frozen=True, slots=True)
class _Signatory:
    """Who made a statement: somebody whose card signed it, or whose phone answered it."""

    person_id: str
    card: cards.Opened | None


class KioskDesk(Reception):
    """The office."""

    async def file(self, device: Device, stream: bytes, sealed: str) -> Filed:
        """File a statement: written down, done, recorded on the ledger, in this order; each once, however often asked.

        Raises:
            OfficeRefused: It is none of this kiosk's, or its signer's card does not count.
            OfficeAway: The ledger does not answer; what is written down waits for the next try.
        """
        try:
            opened = boxes.unseal(sealed, self.box())
        except InvalidMessage:
            raise OfficeRefused("kiosk.statement") from None
        stated = opened.statement
        if stated.stream_bytes != stream or bytes.fromhex(stated.device) != device.public_key:
            raise OfficeRefused("kiosk.statement")
        filed = Filed(device.registrar, reference_of(stream))
        who = await run_in_threadpool(self._signatory, device, opened)
        state = await run_in_threadpool(self._state_of, device, who, opened)
        if state == RECORDED:
            return filed
        is_kept = state is not None
        try:
            await self._check(device, who, opened, is_new=state is None)
            if state is None:
                await run_in_threadpool(self._receive, device, who, opened, sealed)
                is_kept = True
            # A crash below leaves it written down and not recorded: whoever asks again goes on from here.
            await self._do(device, who, opened)
            await self._record(device, opened)
        except OfficeRefused:
            if is_kept:  # repeating it changes nothing: it ends here, and its kiosk forgets it
                await run_in_threadpool(self._set_state, stream, REFUSED)
            raise
        except TransportError as error:
            raise OfficeAway(error.reason) from None
        except Refused as error:
            raise OfficeAway(f"it could not be carried out: {error}") from None
        await run_in_threadpool(self._set_state, stream, RECORDED)
        return filed

    async def _check(self, device: Device, who: _Signatory, opened: Signed, *, is_new: bool) -> None:
        """See that a statement counts now, whether it is new or was written down and waits.

        Raises:
            OfficeRefused: It does not, or it waited for too long.
        """
        stated = opened.statement
        age_ms = self._desk().now() - stated.time_ms
        if not -CLOCK_MS_MAX <= age_ms <= STATEMENT_AGE_MS_MAX:
            raise OfficeRefused("kiosk.clock")
        if not is_new and stated.kind is Kind.STOP and await self._is_stopped(device, who, stated):
            return  # it may have stopped the very card that signed it
        if who.card is None:
            record = await self._active(device, who.person_id)
        else:
            record = await self._counting(device, who.card, Slot.SIGN)
        agency = await run_in_threadpool(self._check_content, device, who, opened, record)
        await self._check_mandate(agency)

    def _signatory(self, device: Device, opened: Signed) -> _Signatory:
        """Who made a statement; that their card or phone did is checked, not yet whether it counts."""
        stated, judge = opened.statement, self._judge
        if not opened.is_by_phone:
            card = self._card(device, opened.guid)
            self._check_key(card, Slot.SIGN, stated.message, opened.signature)
            return _Signatory(card.person_id, card)
        if stated.kind is Kind.ADDRESS:
            raise OfficeRefused("kiosk.signature")
        pseudonym = "" if judge is None else judge.pseudonym(stated.message, confirmed_of(stated), opened.phone)
        if judge is None or not pseudonym:
            raise OfficeRefused("kiosk.phone")
        person_id = find_by_pseudonym(self._desk(), device, judge, pseudonym)
        if person_id is None:
            raise OfficeRefused("kiosk.person")
        return _Signatory(person_id, None)

    def _state_of(self, device: Device, who: _Signatory, opened: Signed) -> str | None:
        with self._desk().store.read() as session:
            row = session.scalar(select(KioskStatement).where(KioskStatement.stream == opened.statement.stream_bytes))
            if row is None:
                return None
            sealed = self._desk().store.people.open(session, row, KioskStatement.content)
            named, state = (row.person_id, row.organisation), row.state
        # whoever signs another statement for the same stream gets neither it nor the first one carried out
        if named != (who.person_id, device.registrar) or state == REFUSED:
            raise OfficeRefused("kiosk.statement")
        try:
            is_same = boxes.unseal(sealed or "", self.box()).recorded == opened.recorded
        except InvalidMessage:
            is_same = False
        if not is_same:
            raise OfficeRefused("kiosk.statement")
        return state

    def _check_content(self, device: Device, who: _Signatory, opened: Signed, record: pb.PersonRecord) -> Agency | None:
        """See that what was signed is the holder's to sign; the company for which it was, if for one."""
        stated = opened.statement
        check_lines(self._desk(), device, who.person_id, stated, record)
        match stated.kind:
            case Kind.ADDRESS:
                return None
            case Kind.PAYMENT:
                self._check_bill(who, opened)
                return None
            case Kind.STOP:
                self._check_way(who, stated, record)
                return None
            case Kind.COMPANY:
                with self._desk().store.read() as session:
                    agencies = self._agencies(session, device, who.person_id)
                named = (stated.fields["mandate"], stated.fields["uscc"], stated.fields["company"])
                found = next((one for one in agencies if (one.id, one.uscc, one.company) == named), None)
                said = (stated.fields["power"], stated.fields["scope"])
                if found is None or said != (POWER_WORD, SCOPE_WORD):
                    raise OfficeRefused("kiosk.mandate")
                return found

    def _check_bill(self, who: _Signatory, opened: Signed) -> None:
        stated, judge = opened.statement, self._judge
        named = {one.reference: one for one in self._bills(who.person_id)}.get(stated.fields["reference"])
        said = (stated.fields["payee"], stated.fields["purpose"], stated.fields["amount_fen"])
        if named is None or (named.payee, named.purpose, str(named.amount_fen)) != said:
            raise OfficeRefused("kiosk.bill")
        # a phone's word is checked wherever it stands: `paying` counts what has none
        if opened.phone and (judge is None or not judge.confirms(who.person_id, stated, opened.phone)):
            raise OfficeRefused("kiosk.phone")

    def _check_way(self, who: _Signatory, stated: Statement, record: pb.PersonRecord) -> None:
        named = (*_way_of(stated), stated.fields["reference"])
        if named not in {(one.way, one.id, one.reference) for one in self._ways(who.person_id, record)}:
            raise OfficeRefused("kiosk.way")

    async def _is_stopped(self, device: Device, who: _Signatory, stated: Statement) -> bool:
        """Whether what somebody wants stopped is, by this statement or otherwise."""
        record = await self._active(device, who.person_id)
        found = await run_in_threadpool(self._ways, who.person_id, record)
        return any(one.is_stopped for one in found if (one.way, one.id) == _way_of(stated))

    def _ways(self, person_id: str, record: pb.PersonRecord) -> Sequence[SignIn]:
        desk = self._desk()
        with desk.store.read() as session:
            own = [cards.read(desk, session, row) for row in cards.of_person(session, person_id)]
        return ways(own, record, "")

    async def _check_mandate(self, agency: Agency | None) -> None:
        """See on the ledger that a mandate allows what was signed."""
        if agency is None:
            return
        try:
            proven = await self._desk().ledger.read(keys_of(agency))
        except TransportError as error:
            raise OfficeAway(error.reason) from None
        if not allows(proven.values, agency, proven.time_ms):
            raise OfficeRefused("kiosk.mandate")

    def _receive(self, device: Device, who: _Signatory, opened: Signed, sealed: str) -> None:
        desk, stated = self._desk(), opened.statement
        with desk.store.write() as session:
            if stated.kind is Kind.PAYMENT:
                check_payment(desk, session, self.box(), who.person_id, opened)
            row = KioskStatement(
                id=new_id(),
                person_id=who.person_id,
                organisation=device.registrar,
                stream=stated.stream_bytes,
                kind=stated.kind,
                state=RECEIVED,
                received_ms=desk.now(),
                device=device.public_key.hex(),
            )
            desk.store.people.seal(session, row, KioskStatement.content, sealed)
            desk.record(session, device.actor, f"kiosk.{stated.kind}", row.id)

    async def _do(self, device: Device, who: _Signatory, opened: Signed) -> None:
        """What a statement itself brings about, if it is not done yet."""
        stated = opened.statement
        if stated.kind is not Kind.STOP:
            return
        if stated.fields["way"] == Way.CARD:
            try:
                await cards_phone.suspend(self._desk(), device.actor, stated.fields["id"])
            except Problem as problem:
                if problem.kind in _PASSING:
                    raise OfficeAway(f"it could not be carried out: {problem.kind.code}") from None
                raise OfficeRefused("kiosk.way") from None
            return
        registration = await run_in_threadpool(self._registration, device, who.person_id)
        record = await cards.on_ledger(self._desk(), registration)
        key = bytes.fromhex(stated.fields["id"])
        if record is None or not any(one.commitment == key and not one.suspended for one in record.keys):
            return
        stop = pb.SetPersonStatus(id=registration, key=key, status=pb.STATUS_SUSPENDED, reason=pb.REASON_HOLDER_REQUEST)
        await send(self._desk(), [Operation.make("identity.SetPersonStatus", encode(stop))])

    async def _record(self, device: Device, opened: Signed) -> None:
        """Put the digest on the ledger, in a stream of its own, which the rules let nobody write a second time."""
        kind, stream = membership_pb2.ANCHOR_KIND_AUDIT, opened.statement.stream_bytes
        proven = await self._desk().ledger.read([anchor_key(device.registrar, kind, stream)])
        digest = opened.recorded
        anchored = load_anchor(proven.values.get, device.registrar, kind, stream)
        if anchored is not None:
            if anchored.digest != digest:
                raise OfficeRefused("kiosk.statement")
            return
        anchor = membership_pb2.Anchor(kind=kind, stream=stream, digest=digest, size=1)
        await send(self._desk(), [Operation.make("membership.Anchor", encode(anchor))])

    def _set_state(self, stream: bytes, state: str) -> None:
        with self._desk().store.write() as session:
            row = session.scalar(select(KioskStatement).where(KioskStatement.stream == stream))
            if row is not None:
                row.state = state

    # ---------------------------------------------------------------- what the holder takes away

    async def paper(self, device: Device, visit: str, stream: bytes, language: Language) -> bytes:
        """A paper with the registrar's seal; empty: this office has none. See `Office`.

        Raises:
            OfficeRefused: The visit is over, or there is nothing of theirs to print.
            OfficeAway: The ledger does not answer.
        """
        if self._papers is None:
            return b""
        person_id = holder_of_ticket(self._desk(), device, visit)
        if stream:
            signed = await run_in_threadpool(self._recorded_of, device, person_id, stream)
            filed = Filed(device.registrar, reference_of(stream))
            return await self._papers.receipt(filed, signed, device.place(signed.statement.language))
        record = await self._active(device, person_id)
        holder = await run_in_threadpool(self._holder, device, person_id, "", record, None, False)
        return await self._papers.certificate(holder, device.place(language), language)

    def _recorded_of(self, device: Device, person_id: str, stream: bytes) -> Signed:
        """A statement of somebody's that this kiosk had filed."""
        desk = self._desk()
        with desk.store.read() as session:
            row = session.scalar(select(KioskStatement).where(KioskStatement.stream == stream))
            named = None if row is None else (row.person_id, row.device, row.state)
            if row is None or named != (person_id, device.public_key.hex(), RECORDED):
                raise OfficeRefused("kiosk.visit")
            sealed = desk.store.people.open(session, row, KioskStatement.content)
        try:
            return boxes.unseal(sealed or "", self.box())
        except InvalidMessage:
            raise OfficeRefused("kiosk.visit") from None

    # ---------------------------------------------------------------- somebody without a card

    async def stop_lost(self, device: Device, number: str, phone: str) -> int:
        """Stop the cards of somebody who has none with them; see `office_lost.stop_lost`."""
        return await stop_lost(self._desk(), device, number, phone)


def _way_of(stated: Statement) -> tuple[str, str]:
    return stated.fields["way"], stated.fields["id"]


def reference_of(stream: bytes) -> str:
    """What the office calls a statement, on paper and on the telephone."""
    return f"Z-{stream.hex()[:10].upper()}"
