# SPDX-License-Identifier: Apache-2.0
"""What was signed is kept, filed and receipted; papers come with the registrar's seal where the office has one.

A paper without the seal is made here: of a statement that waits for the network, or where the office has none. It says
so itself, and holds the same proof.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog

from identity.api.kiosk.base import Filed, Holder, Notice, OfficeAway, OfficeRefused, ProvenValue, Receipt
from identity.api.kiosk.boxes import Signed
from identity.api.kiosk.journal import Entry, JournalFull
from identity.api.kiosk.session import Event, State, Visit
from identity.api.kiosk.statements import Kind
from identity.api.kiosk.watching import Watch
from service.errors import StorageError
from service.language import Language

log = structlog.get_logger(__name__)

CERTIFICATE: Final = b""
"""Instead of a statement's stream: a certificate of the registration is wanted."""


class Delivery(Watch):
    """Files what holders sign, and makes what they take away."""

    async def _file(self, visit: Visit, signed: Signed, event: Event) -> None:
        """Keep a signed statement, have it filed, and make its receipt while the holder waits.

        Args:
            visit: Whose.
            signed: By the card, or answered by the phone.
            event: What leads from where the session stands to sending.
        """
        stands = self.session.state
        # Until here nothing is kept: a loss of power leaves a statement that was never made.
        try:
            entry = await self.filing.keep(signed)
        except (JournalFull, StorageError) as error:
            log.warning("kiosk.not-kept", kind=type(error).__name__)
            visit.notice = Notice("kiosk.notice.not-kept")
            if self.session.visit is visit and self.session.state is State.PHONE:
                self.session.step(Event.FAILED, self._own.monotonic_ms())
            return
        # From here on it is filed, by this process or the next one.
        if self.session.visit is visit and self.session.state is stands:
            self.session.step(event, self._own.monotonic_ms())
        await self._deliver(visit, signed, entry)

    async def _deliver(self, visit: Visit, signed: Signed, entry: Entry) -> None:
        registered = self.licence.registered
        assert registered is not None, "whoever serves is registered"
        delivered: tuple[Filed, ProvenValue] | None = None
        try:
            delivered = await self.filing.deliver(entry)
        except OfficeAway:
            pass  # it waits; the receipt says so
        except OfficeRefused as refused:
            log.info("kiosk.refused", code=refused.code)
            if self.session.visit is visit and self.session.state is State.SENDING:
                visit.notice = Notice("kiosk.notice.refused")
                self.session.step(Event.FAILED, self._own.monotonic_ms())
            return
        if self.session.visit is not visit or self.session.state is not State.SENDING:
            return
        stated = signed.statement
        if visit.holder is not None and stated.kind is Kind.PAYMENT:
            visit.holder = _after(visit.holder, signed)
        place = registered.place(stated.language)
        if delivered is None:
            receipt = Receipt(signed, None, b"", stated.time_ms, place)
        else:
            receipt = Receipt(signed, delivered[0], delivered[1].receipt, delivered[1].time_ms, place)
        sealed = b"" if delivered is None else await self._sealed(visit, stated.stream_bytes, stated.language)
        pdf = sealed or await asyncio.to_thread(self._own.printer.receipt, receipt)
        if self.session.visit is visit and self.session.state is State.SENDING:
            visit.receipt, visit.pdf, visit.is_sealed = receipt, pdf, bool(sealed)
            self.session.step(Event.DONE, self._own.monotonic_ms())

    async def _certificate(self, visit: Visit, own: Callable[[], bytes], language: Language) -> tuple[bytes, bool]:
        """A certificate of the registration, and whether it is sealed."""
        sealed = await self._sealed(visit, CERTIFICATE, language)
        return sealed or await asyncio.to_thread(own), bool(sealed)

    async def _sealed(self, visit: Visit, stream: bytes, language: Language) -> bytes:
        """A paper with the registrar's seal; empty where there is none to be had now."""
        ticket = "" if visit.holder is None else visit.holder.visit
        if not ticket:
            return b""
        try:
            return await self._own.office.paper(ticket, stream, language)
        except (OfficeAway, OfficeRefused) as error:
            log.warning("kiosk.unsealed", reason=str(error))
            return b""


def _after(holder: Holder, signed: Signed) -> Holder:
    """What the office would say of a holder once it has a payment of theirs."""
    fields = signed.statement.fields
    named = (fields["payee"], fields["reference"])
    bills = tuple(one for one in holder.bills if (one.payee, one.reference) != named)
    by_card_fen = 0 if signed.phone else int(fields["amount_fen"])
    return replace(holder, bills=bills, card_fen=holder.card_fen + by_card_fen)
