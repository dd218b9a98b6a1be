# SPDX-License-Identifier: Apache-2.0
"""What a holder's phone answers at a kiosk: that somebody is there, and that they confirm what is shown.

Either way the kiosk asks a verifier, shows its code, and follows what becomes of it; the office judges the answer. A
visit that a phone began needs no card: each statement in it is answered by the phone once more, by its digest.
"""

import asyncio
from typing import Final

import structlog

from chain.types import sha256
from identity.api.kiosk.base import Notice, OfficeAway, OfficeRefused, PhoneProof, PhoneState, phone_message
from identity.api.kiosk.boxes import Signed
from identity.api.kiosk.delivering import Delivery
from identity.api.kiosk.phone import confirmed_of
from identity.api.kiosk.session import Event, OutOfTurn, State, Visit
from identity.api.kiosk.statements import Kind

log = structlog.get_logger(__name__)

PHONE_LOOK_MS: Final = 1_000
"""How often the verifier is asked what the phone said."""


class Phoning(Delivery):
    """The holder's phone."""

    _phone_ms = 0

    @property
    def has_phones(self) -> bool:
        """Whether a phone can be asked here."""
        return self._own.phones is not None

    async def scan(self, turn: str) -> None:
        """Show a code with which a phone begins a visit.

        Raises:
            OutOfTurn: Somebody is there, nobody is served, or no phone can be asked.
        """
        phones, session = self._own.phones, self.session
        if not self.is_serving or phones is None or session.state is not State.IDLE or session.turn != turn:
            raise OutOfTurn("a visit begins when nobody is there")
        session.renew()
        turn = session.turn
        time_ms, nonce = self._own.now_ms(), await self._challenge()
        if not nonce:
            self.notice = Notice("kiosk.notice.needs-network")
            return
        try:
            question = await phones.ask(phone_message(self._own.device.signer.public_key, time_ms, nonce), None)
        except OfficeAway:
            self.notice = Notice("kiosk.notice.needs-network")
            return
        if session.state is State.IDLE and session.turn == turn:
            self.notice = None
            visit = Visit(None, None, asked=(time_ms, nonce), question=question)
            session.begin(visit, self._own.monotonic_ms(), Event.CODE_SHOWN)

    def needs_phone(self, visit: Visit) -> bool:
        """Whether what is shown is to be confirmed on the holder's phone: all without a card, and large payments.

        A payment is large by itself, or with what the card alone has confirmed within a day.
        """
        stated = visit.statement
        if stated is None or visit.phone_answer:
            return False
        if visit.card is None or stated.kind is not Kind.PAYMENT:
            return visit.card is None
        before_fen = 0 if visit.holder is None else visit.holder.card_fen
        return before_fen + int(stated.fields["amount_fen"]) >= self._own.phone_fen_min

    async def ask_phone(self, turn: str) -> None:
        """Have the holder's phone answer what is to be confirmed.

        Raises:
            OutOfTurn: Nothing is to be confirmed there.
        """
        visit = self.session.present(State.CONFIRM, turn=turn)
        stated = visit.statement
        if not self.needs_phone(visit) or stated is None:
            raise OutOfTurn("this needs no phone")
        if self._own.phones is None:
            visit.notice = Notice("kiosk.notice.no-phone")
            return
        try:
            visit.question = await self._own.phones.ask(stated.message, confirmed_of(stated))
        except OfficeAway:
            visit.notice = Notice("kiosk.notice.needs-network")
            return
        if self.session.visit is visit and self.session.state is State.CONFIRM:
            self.session.step(Event.PHONE_ASKED, self._own.monotonic_ms())

    async def _follow_phone(self) -> None:
        now_ms, visit, phones = self._own.monotonic_ms(), self.session.visit, self._own.phones
        state = self.session.state
        if state not in (State.SCAN, State.PHONE) or now_ms - self._phone_ms < PHONE_LOOK_MS:
            return
        self._phone_ms = now_ms
        if visit is None or visit.question is None or phones is None:
            return
        try:
            outcome, answer = await phones.outcome(visit.question.id)
        except OfficeAway:
            return
        if self.session.visit is not visit or self.session.state is not state:
            return
        if outcome is PhoneState.CONFIRMED:
            visit.question = None
            await self._answered(visit, answer)
        elif outcome is PhoneState.DECLINED:
            self._declined(visit, "kiosk.notice.phone-declined")

    def _declined(self, visit: Visit, key: str) -> None:
        """Back to the menu, or to the start where the visit has not begun."""
        if self.session.state is State.SCAN:
            self.notice = Notice(key)
        else:
            visit.notice = Notice(key)
        self.session.step(Event.FAILED, self._own.monotonic_ms())

    async def _answered(self, visit: Visit, answer: str) -> None:
        if self.session.state is State.SCAN:
            await self._open_for(visit, answer)
            return
        visit.phone_answer = answer
        stated = visit.statement
        assert stated is not None, "whoever asks a phone has stated something"
        if visit.card is None:
            await self._file(visit, Signed(stated, b"", b"", b"", answer), Event.PHONE_ANSWERED)
        else:
            self.session.step(Event.SIGNED, self._own.monotonic_ms())

    async def _open_for(self, visit: Visit, answer: str) -> None:
        """The office says whose phone it is."""
        assert visit.asked is not None, "a code was shown"
        time_ms, nonce = visit.asked
        evidence = await self._look_for_life(phone_message(self._own.device.signer.public_key, time_ms, nonce))
        try:
            holder = await self._own.office.open(PhoneProof(time_ms, nonce, answer, evidence))
        except (OfficeAway, OfficeRefused) as error:
            log.info("kiosk.phone-refused", reason=str(error))
            if self.session.visit is visit and self.session.state is State.SCAN:
                is_away = isinstance(error, OfficeAway)
                self._declined(visit, "kiosk.notice.needs-network" if is_away else "kiosk.notice.phone-unknown")
            return
        if self.session.visit is visit and self.session.state is State.SCAN:
            visit.holder, visit.is_authenticated = holder, True
            self.session.step(Event.PHONE_ANSWERED, self._own.monotonic_ms())

    async def _challenge(self) -> bytes:
        """The office's nonce for one opening; empty: it can't be had."""
        try:
            return await self._own.office.challenge()
        except (OfficeAway, OfficeRefused) as error:
            log.info("kiosk.no-challenge", reason=str(error))
            return b""

    async def _look_for_life(self, message: bytes) -> bytes:
        """What the method that is plugged in says of whoever stands there, for one opening; empty: nobody looked."""
        if self._own.liveness is None:
            return b""
        try:
            evidence = await asyncio.to_thread(self._own.liveness.check, sha256(message))
        except OSError as error:
            log.warning("kiosk.liveness", reason=str(error))
            return b""
        return evidence.encode()
