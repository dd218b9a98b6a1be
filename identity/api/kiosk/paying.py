# SPDX-License-Identifier: Apache-2.0
"""What somebody has confirmed at kiosks to pay: no bill twice, and no large sum in small ones without their phone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from sqlalchemy import select
from sqlalchemy.orm import Session

from chain.errors import InvalidMessage
from identity.api.desk.base import DAY_MS, DeskContext
from identity.api.desk.tables import DeskPerson
from identity.api.kiosk import boxes
from identity.api.kiosk.base import Bill, OfficeRefused
from identity.api.kiosk.boxes import Signed
from identity.api.kiosk.equipment import PHONE_FEN_MIN
from identity.api.kiosk.statements import Kind
from identity.api.kiosk.tables import REFUSED, KioskStatement

PAYMENTS_MAX: Final = 500
"""Payments of one person that are looked at, the newest first: ten years of a bill a week; some 0.3 ms each."""


@dataclass(frozen=True, slots=True)
class Paid:
    """What somebody has confirmed.

    Attributes:
        bills: Payee and reference of each.
        card_fen: How much within a day with the card alone.
    """

    bills: frozenset[tuple[str, str]]
    card_fen: int

    def open(self, bills: Sequence[Bill]) -> tuple[Bill, ...]:
        """Those of some bills that were not confirmed yet."""
        return tuple(one for one in bills if (one.payee, one.reference) not in self.bills)


def paid_by(desk: DeskContext, session: Session, box: EllipticCurvePrivateKey, person_id: str) -> Paid:
    """What somebody has confirmed at this office's kiosks, carried out or still on its way.

    Args:
        desk: Which desk.
        session: A transaction.
        box: Opens what kiosks sealed.
        person_id: Who.
    """
    own = (KioskStatement.person_id == person_id) & (KioskStatement.kind == Kind.PAYMENT)
    query = select(KioskStatement).where(own, KioskStatement.state != REFUSED)
    bills, card_fen = set(), 0
    for row in session.scalars(query.order_by(KioskStatement.received_ms.desc()).limit(PAYMENTS_MAX)):
        try:
            signed = boxes.unseal(desk.store.people.open(session, row, KioskStatement.content) or "", box)
        except InvalidMessage:
            continue
        fields = signed.statement.fields
        bills.add((fields["payee"], fields["reference"]))
        if not signed.phone and row.received_ms > desk.now() - DAY_MS:
            card_fen += int(fields["amount_fen"])
    return Paid(frozenset(bills), card_fen)


def check_payment(
    desk: DeskContext, session: Session, box: EllipticCurvePrivateKey, person_id: str, opened: Signed
) -> None:
    """See that a payment may be filed; of two at the same time the second sees the first.

    Args:
        desk: Which desk.
        session: The transaction that writes the payment down.
        box: Opens what kiosks sealed.
        person_id: Who signed it.
        opened: The payment; a phone's word in it was checked.

    Raises:
        OfficeRefused: The bill was confirmed before, or with it the card alone would have paid too much in a day.
    """
    session.scalar(select(DeskPerson.id).where(DeskPerson.person_id == person_id).with_for_update())
    paid, fields = paid_by(desk, session, box, person_id), opened.statement.fields
    if (fields["payee"], fields["reference"]) in paid.bills:
        raise OfficeRefused("kiosk.bill")
    if not opened.phone and paid.card_fen + int(fields["amount_fen"]) >= PHONE_FEN_MIN:
        raise OfficeRefused("kiosk.phone")
