# SPDX-License-Identifier: Apache-2.0
"""The kiosk itself: it watches the card, leads through one session at a time, and has signed statements filed.

Each method that a page calls names the turn of the page's form. What a holder signs is kept, sealed for the office,
before anybody is asked to file it; see `journal`. Card and disk block, so they are used in threads, the card by one at
a time.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import structlog

from identity.api.kiosk import statements
from identity.api.kiosk.acting import POWER_WORD, SCOPE_WORD, may_sign
from identity.api.kiosk.base import (
    NONCE_BYTES,
    Attested,
    Bill,
    CardProof,
    Notice,
    OfficeAway,
    OfficeRefused,
    opening_message,
)
from identity.api.kiosk.boxes import Signed
from identity.api.kiosk.phoning import Phoning
from identity.api.kiosk.presence import presence_words
from identity.api.kiosk.session import Event, OutOfTurn, State, Visit
from identity.api.kiosk.statements import Kind
from identity.pb import identity_pb2 as pb
from identity.registrations import person_key
from service.language import Language

log = structlog.get_logger(__name__)

PRINTS_MAX: Final = 3
"""Of one paper: the paper jams, and is put in anew."""


class Kiosk(Phoning):
    """One kiosk: what its pages ask of it."""

    async def tick(self) -> None:
        """Look at everything once; called every `session.TICK_MS`."""
        await super().tick()
        await self._follow_phone()

    async def enter_pin(self, turn: str, pin: str, *, dares_last_try: bool = False) -> None:
        """The holder's PIN: the card signs that it is here, and the office says whose it is.

        Raises:
            OutOfTurn: Nobody is asked for a PIN.
        """
        visit = self.session.present(State.PIN, turn=turn)
        time_ms, nonce = self._own.now_ms(), await self._challenge()
        if self.session.visit is not visit or self.session.turn != turn:
            return
        message = opening_message(self._own.device.signer.public_key, time_ms, nonce or bytes(NONCE_BYTES))
        card = visit.card
        signature = await self._with_pin(visit, dares_last_try, lambda held: held.authenticate(pin, message))
        if signature is None or card is None:
            return
        if not nonce:  # the PIN was right; who it is, nobody can say now
            visit.notice = Notice("kiosk.notice.offline")
        elif not await self._opened(visit, message, CardProof(card.guid, time_ms, nonce, signature)):
            return
        if self.session.visit is visit and self.session.state is State.PIN:
            visit.is_authenticated = True
            self.session.step(Event.PIN_RIGHT, self._own.monotonic_ms())

    async def _opened(self, visit: Visit, message: bytes, proof: CardProof) -> bool:
        """Have the office say whose card it is; whether the visit goes on."""
        evidence = await self._look_for_life(message)
        try:
            visit.holder = await self._own.office.open(replace(proof, evidence=evidence))
        except OfficeAway:
            visit.notice = Notice("kiosk.notice.offline")
        except OfficeRefused as refused:
            if self.session.visit is visit:
                self.notice = Notice("kiosk.notice.card-ended")
                log.debug("kiosk.card-ended", code=refused.code)
                await self._end(Event.LEFT)
            return False
        return True

    def choose(self, turn: str, kind: Kind) -> None:
        """Choose what to do.

        Raises:
            OutOfTurn: Nobody chooses now, or this needs the office and it is away.
        """
        visit = self.session.present(State.MENU, turn=turn)
        if visit.holder is None and kind is not Kind.ADDRESS:
            raise OutOfTurn("without a network an address is all that can be stated")
        if visit.card is None and kind is Kind.ADDRESS:
            raise OutOfTurn("a change of address is signed with a card")
        visit.kind, visit.notice = kind, None
        self.session.step(Event.CHOSEN, self._own.monotonic_ms())

    async def state(self, turn: str, fields: Mapping[str, str], language: Language) -> None:
        """What is to be stated, as chosen or typed; it is shown as it will be signed.

        Args:
            turn: Of the form.
            fields: All of `statements.FIELDS` of the kind that was chosen, bounded and checked by the caller.
            language: Of the screen.

        Raises:
            OutOfTurn: Nobody states anything now.
        """
        visit = self.session.present(State.FORM, turn=turn)
        assert visit.kind is not None, "a form is of a kind"
        if visit.kind is Kind.COMPANY and not await self._may_act(visit, fields["mandate"]):
            return
        if self.session.visit is not visit or self.session.turn != turn:
            return
        registered = self.licence.registered
        assert registered is not None, "whoever serves is registered"
        visit.statement = statements.make(
            visit.kind,
            fields,
            language=language,
            device=self._own.device.signer.public_key,
            place=registered.place(language),
            now_ms=self._own.now_ms(),
            presence=presence_words(visit.holder, language),
        )
        visit.notice = None
        self.session.step(Event.STATED, self._own.monotonic_ms())

    def company_fields(self, visit: Visit, mandate: str) -> dict[str, str] | None:
        """Fields of a statement for a company; None: the office named no such mandate."""
        agencies = () if visit.holder is None else visit.holder.agencies
        found = next((one for one in agencies if one.id == mandate), None)
        if found is None:
            return None
        return {
            "mandate": found.id,
            "uscc": found.uscc,
            "company": found.company,
            "power": POWER_WORD,
            "scope": SCOPE_WORD,
        }

    async def _may_act(self, visit: Visit, mandate: str) -> bool:
        """Whether the ledger proves right now that the holder may sign for a company; says so if not."""
        agencies = () if visit.holder is None else visit.holder.agencies
        found = next((one for one in agencies if one.id == mandate), None)
        try:
            if found is not None and await may_sign(self._own.states, found):
                return True
            visit.notice = Notice("kiosk.notice.mandate-over")
        except OfficeAway:
            visit.notice = Notice("kiosk.notice.needs-network")
        return False

    async def sign(self, turn: str, pin: str, *, dares_last_try: bool = False) -> None:
        """Sign what is on the screen with slot 9C, keep it, and have it filed.

        Raises:
            OutOfTurn: Nothing is to be signed, or the phone is to confirm it first.
        """
        visit = self.session.present(State.CONFIRM, turn=turn)
        stated = visit.statement
        if stated is None or self.needs_phone(visit):
            raise OutOfTurn("nothing is to be signed here")
        if stated.kind is Kind.COMPANY and not await self._may_act(visit, stated.fields["mandate"]):
            return
        if self.session.visit is not visit or self.session.turn != turn:
            return
        card = visit.card
        made = await self._with_pin(visit, dares_last_try, lambda held: held.sign(pin, [stated.message]))
        if made is None or card is None or self.session.state is not State.CONFIRM:
            return
        signed = Signed(stated, made[0], card.signing_certificate, card.guid, visit.phone_answer)
        await self._file(visit, signed, Event.SIGNED)

    async def certify(self, turn: str, language: Language) -> None:
        """Make a certificate of the holder's attestation, as the ledger proves it right now.

        Raises:
            OutOfTurn: Nobody chooses now.
        """
        visit = self.session.present(State.MENU, turn=turn)
        registered = self.licence.registered
        if visit.holder is None or registered is None:
            raise OutOfTurn("without a network nothing is certified")
        key = person_key(bytes.fromhex(visit.holder.registration))
        try:
            proven = (await self._own.states.read([key]))[key]
        except OfficeAway:
            visit.notice = Notice("kiosk.notice.needs-network")
            return
        record = None if proven.value is None else pb.PersonRecord.FromString(proven.value)
        if record is None or record.status != pb.PERSON_STATUS_ACTIVE:
            visit.notice = Notice("kiosk.notice.not-attested")
            return
        attested = Attested(visit.holder, proven.receipt, proven.time_ms, registered.place(language))
        pdf, is_sealed = await self._certificate(
            visit, lambda: self._own.printer.certificate(attested, language), language
        )
        if self.session.visit is visit and self.session.turn == turn:
            visit.attested, visit.pdf, visit.is_sealed, visit.notice = attested, pdf, is_sealed, None
            self.session.step(Event.DONE, self._own.monotonic_ms())

    @property
    def has_printer(self) -> bool:
        """Whether papers come out here; else the browser opens them."""
        return self._own.paper is not None

    async def print_paper(self, turn: str) -> None:
        """Put the paper of this step on paper.

        Raises:
            OutOfTurn: There is none, or it was printed often enough.
        """
        visit = self.session.present(State.RECEIPT, turn=turn)
        paper = self._own.paper
        if paper is None or not visit.pdf or visit.prints >= PRINTS_MAX:
            raise OutOfTurn("nothing is to be printed here")
        visit.prints += 1
        self.session.renew()
        self.touch()
        try:
            await asyncio.to_thread(paper.put, visit.pdf)
        except OSError as error:
            log.warning("kiosk.printer", reason=str(error))
            visit.notice = Notice("kiosk.notice.printer")
            return
        visit.notice = Notice("kiosk.notice.printed")

    def back(self, turn: str) -> None:
        """Back to the menu; what was not signed is dropped.

        Raises:
            OutOfTurn: There is no way back from here.
        """
        visit = self.session.present(State.SCAN, State.FORM, State.CONFIRM, State.PHONE, State.RECEIPT, turn=turn)
        self.session.step(Event.BACK, self._own.monotonic_ms())
        visit.kind = visit.statement = visit.receipt = visit.attested = visit.question = visit.notice = None
        visit.phone_answer, visit.pdf, visit.is_sealed, visit.prints = "", b"", False, 0

    async def leave(self, turn: str) -> None:
        """End the session; the card is to be taken.

        Raises:
            OutOfTurn: Nobody is there.
        """
        self.session.present(State.PIN, State.BLOCKED, State.MENU, State.FORM, State.CONFIRM, State.RECEIPT, turn=turn)
        self.notice = None
        await self._end(Event.LEFT)

    async def stop_lost(self, number: str, phone: str) -> Notice:
        """Stop the cards of somebody who has none with them.

        Raises:
            OutOfTurn: The kiosk does not serve, or serves somebody.
        """
        if not self.is_serving or self.session.state is not State.IDLE:
            raise OutOfTurn("this begins without a card")
        try:
            count = await self._own.office.stop_lost(number, phone)
        except OfficeAway:
            return Notice("kiosk.notice.needs-network")
        except OfficeRefused as refused:
            is_slow = refused.code == "kiosk.too-many"
            return Notice("kiosk.notice.too-many" if is_slow else "kiosk.notice.nobody-fits")
        return Notice("kiosk.notice.stopped", {"count": count})

    def bill(self, visit: Visit, reference: str) -> Bill | None:
        """A bill of the holder's."""
        bills = () if visit.holder is None else visit.holder.bills
        return next((one for one in bills if one.reference == reference), None)
