# SPDX-License-Identifier: Apache-2.0
"""Notices of recalls and drills that are laid before participants, and their answer that they read them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select

from service.problems import Problem
from service.sign_in.sessions import Officer
from service.store import Act
from traceability.api.regulator.drills import unpack
from traceability.api.regulator.tables import FoodDrill, FoodNotice
from traceability.api.trader.ground import TradeDesk
from traceability.api.trader.problems import UNKNOWN
from traceability.api.trader.standing import Trader

NOTICES_MAX: Final = 50
"""Open notices that a page shows; the oldest first."""


@dataclass(frozen=True, slots=True)
class OpenNotice:
    """A notice that nobody of the participant has acknowledged yet.

    Attributes:
        items: What the search began with.
        own: Affected lots that the participant had a part in, and how much of each they have now.
    """

    id: str
    gln: str
    number: str
    is_drill: bool
    sent_ms: int
    items: Sequence[str]
    own: Sequence[tuple[str, int]]


def open_notices(desk: TradeDesk, glns: Sequence[str]) -> list[OpenNotice]:
    """Notices to some participants that wait for an answer."""
    with desk.context.store.read() as session:
        wanted = (
            select(FoodNotice, FoodDrill)
            .join(FoodDrill, FoodDrill.id == FoodNotice.drill_id)
            .where(FoodNotice.gln.in_(list(glns)), FoodNotice.acknowledged_ms == 0)
            .order_by(FoodNotice.sent_ms)
            .limit(NOTICES_MAX)
        )
        found = []
        for notice, drill in session.execute(wanted):
            report = unpack(drill.report)
            own = {part.item: 0 for part in report.parts}
            for part in report.parts:
                if part.holder == notice.gln and not part.towards:
                    own[part.item] += part.quantity
            found.append(
                OpenNotice(
                    notice.id,
                    notice.gln,
                    drill.number,
                    drill.is_drill,
                    notice.sent_ms,
                    report.items,
                    [(item, quantity) for item, quantity in own.items() if quantity],
                )
            )
        return found


def acknowledge(desk: TradeDesk, officer: Officer, trader: Trader, notice_id: str) -> None:
    """Say for a participant that a notice was read; the first answer stands.

    Raises:
        Problem: There is no such notice to a participant that the officer acts for.
    """
    with desk.context.store.write() as session:
        notice = session.scalar(select(FoodNotice).where(FoodNotice.id == notice_id).with_for_update())
        if notice is None or trader.acting(notice.gln) is None:
            raise Problem(UNKNOWN)
        if not notice.acknowledged_ms:
            notice.acknowledged_ms, notice.acknowledged_by = desk.context.now(), officer.staff_id
            desk.context.store.record(session, Act(officer.person_id, "trade.acknowledged", notice.id))
