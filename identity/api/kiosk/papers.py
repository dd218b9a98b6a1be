# SPDX-License-Identifier: Apache-2.0
"""Papers with the registrar's seal: made and sealed at the office, of what the office itself knows and reads.

A kiosk never says what is sealed: it names a visit and a statement, so one that was taken over gets no paper with other
words. Making and sealing take half a second of a core, in threads.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from chain.errors import LedgerError
from identity.api.kiosk.base import Attested, Filed, Holder, OfficeAway, Receipt, States
from identity.api.kiosk.boxes import Signed
from identity.api.kiosk.printing import PaperPrinter
from identity.api.kiosk.statements import TITLES
from identity.pades.seals import DocumentSeal
from identity.pades.signing import Statement
from identity.registrations import person_key
from membership.anchors import anchor_key
from membership.pb import membership_pb2
from service.language import Language, translate

log = structlog.get_logger(__name__)

MAKING_MAX: Final = 2
"""Papers that are made at one time, whoever asks: each takes half a second of a core; the others wait their turn."""


@dataclass(frozen=True, slots=True)
class Papers:
    """The office's printing shop.

    Attributes:
        seal: The registrar's.
        states: Reads the ledger, with proof.
        printer: Makes the PDFs.
    """

    seal: DocumentSeal
    states: States
    printer: PaperPrinter
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAKING_MAX))

    async def certificate(self, holder: Holder, place: str, language: Language) -> bytes:
        """A certificate of a registration that counts, as the ledger proves it now.

        Args:
            holder: As the office knows them.
            place: Where the kiosk stands.
            language: Of the paper.

        Raises:
            OfficeAway: The ledger does not answer.
        """
        key = person_key(bytes.fromhex(holder.registration))
        proven = (await self.states.read([key]))[key]
        attested = Attested(holder, proven.receipt, proven.time_ms, place)
        title = translate(language, "paper.attestation-title")
        return await self._made(lambda: self.printer.certificate(attested, language), title)

    async def receipt(self, filed: Filed, signed: Signed, place: str) -> bytes:
        """The receipt of a statement that stands on the ledger.

        Args:
            filed: Under what.
            signed: The statement.
            place: Where the kiosk stands.

        Raises:
            OfficeAway: The ledger does not answer, or does not have it yet.
        """
        stated = signed.statement
        key = anchor_key(filed.organisation, membership_pb2.ANCHOR_KIND_AUDIT, stated.stream_bytes)
        proven = (await self.states.read([key]))[key]
        if proven.value is None:
            raise OfficeAway("the node that answered does not have the statement's digest yet")
        receipt = Receipt(signed, filed, proven.receipt, proven.time_ms, place)
        title = translate(stated.language, TITLES[stated.kind])
        return await self._made(lambda: self.printer.receipt(receipt), title)

    async def _made(self, make: Callable[[], bytes], reason: str) -> bytes:
        """The paper with the seal; empty where it can't be sealed, which the operator has to see to."""
        try:
            async with self._turns:
                pdf = await asyncio.to_thread(make)
                return (await self.seal.seal(pdf, Statement(reason))).content
        except LedgerError as error:
            log.error("kiosk.seal", code=error.code, reason=error.reason)  # noqa: TRY400 - the reason says it all
            return b""
