# SPDX-License-Identifier: Apache-2.0
"""The desk's navigation: one line for each place, with who may go there, what waits there, and its key.

Parts of the desk add their places here. `key` is pressed after `g`: the whole desk works by keyboard.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

import identity.api.desk.batch_problems
import identity.api.desk.cards_problems
import identity.api.desk.legal_problems  # noqa: F401 - their words are in the navigation
from identity.api.desk.cards_life import CardState
from identity.api.desk.cards_tables import Card
from identity.api.desk.notice_kinds import SUBJECT_KEYS
from identity.api.desk.states import CaseState, ErasureState
from identity.api.desk.tables import DeskCase, DeskDeclaration, DeskErasure, DeskPerson
from identity.api.kiosk.tables import RECORDED, KioskStatement
from identity.api.space.tables import SpaceRequest
from service.notices.outbox import DAY_MS, NoticeState
from service.notices.tables import Notice
from service.pages import Place
from service.sign_in.roles import Permission
from service.store.replays import unix_ms

FAILED_SHOWN_MS = 7 * DAY_MS
"""How long a failed notice is counted: somebody has called the person by then, or writes a letter."""


_DEALT = DeskDeclaration.statement_id == KioskStatement.id
_BY = DeskCase.id == DeskDeclaration.case_id


@dataclass(frozen=True, slots=True)
class DeskPlace:
    """One entry of the navigation.

    Attributes:
        title: Key of its name in the catalogues.
        permission: Who sees it.
        key: One letter, different for each.
        count: How much waits there for an organisation; None: nothing does.
    """

    title: str
    path: str
    permission: Permission
    key: str
    count: Callable[[Session, str], int] | None = None

    def counted(self, session: Session, organisation: str) -> Place:
        """As the page's frame shows it; nothing waiting is not shown as a nought."""
        waiting = self.count(session, organisation) if self.count is not None else 0
        return Place(self.title, self.path, waiting or None)


def _cases(*states: CaseState) -> Callable[[Session, str], int]:
    def count(session: Session, organisation: str) -> int:
        wanted = (DeskCase.organisation == organisation) & DeskCase.state.in_(states)
        return session.scalar(select(func.count()).select_from(DeskCase).where(wanted)) or 0

    return count


def _erasures(session: Session, organisation: str) -> int:
    wanted = (DeskErasure.organisation == organisation) & (DeskErasure.state == ErasureState.REQUESTED)
    return session.scalar(select(func.count()).select_from(DeskErasure).where(wanted)) or 0


def _requests(session: Session, organisation: str) -> int:
    wanted = (SpaceRequest.organisation == organisation) & SpaceRequest.state.in_(("open", "taken"))
    return session.scalar(select(func.count()).select_from(SpaceRequest).where(wanted)) or 0


def _declarations(session: Session, organisation: str) -> int:
    """Those with which nobody deals; `declared.KINDS` are what somebody has to act on."""
    filed = select(func.count()).select_from(KioskStatement).outerjoin(DeskDeclaration, _DEALT).outerjoin(DeskCase, _BY)
    mine = (KioskStatement.organisation == organisation) & (KioskStatement.kind == "address")
    waits = DeskDeclaration.id.is_(None) | (DeskCase.state == CaseState.DROPPED)
    return session.scalar(filed.where(mine, KioskStatement.state == RECORDED, waits)) or 0


def _cards(session: Session, organisation: str) -> int:
    waits = (CardState.REQUESTED, CardState.PERSONALISED, CardState.BOUND, CardState.PRINTED)
    mine = DeskPerson.person_id == Card.person_id
    query = select(func.count()).select_from(Card).join(DeskPerson, mine)
    return session.scalar(query.where(DeskPerson.organisation == organisation, Card.state.in_(waits))) or 0


def _failed_notices(session: Session, organisation: str) -> int:
    own = select(DeskPerson.person_id).where(DeskPerson.organisation == organisation)
    recent = (Notice.state == NoticeState.FAILED) & (Notice.done_ms > unix_ms() - FAILED_SHOWN_MS)
    query = select(func.count()).select_from(Notice)
    return session.scalar(query.where(recent & Notice.kind.in_(SUBJECT_KEYS) & Notice.person_id.in_(own))) or 0


PLACES: tuple[DeskPlace, ...] = (
    DeskPlace("desk.place-look-up", "/look-up", Permission.READ_RECORDS, "f"),
    DeskPlace("desk.place-enrol", "/enrol", Permission.ENROL, "e"),
    DeskPlace(
        "desk.place-cases", "/cases", Permission.READ_RECORDS, "c", _cases(CaseState.PROPOSED, CaseState.RETURNED)
    ),
    DeskPlace("request.place", "/requests", Permission.READ_RECORDS, "q", _requests),
    DeskPlace("declared.place", "/declarations", Permission.READ_RECORDS, "w", _declarations),
    DeskPlace("card.place", "/cards", Permission.READ_RECORDS, "k", _cards),
    DeskPlace("batch.place", "/batches", Permission.READ_RECORDS, "b"),
    DeskPlace("card.phone", "/phone", Permission.ENROL, "t"),
    DeskPlace("legal.place", "/companies", Permission.READ_RECORDS, "l"),
    DeskPlace("mandate.place", "/mandates", Permission.READ_RECORDS, "m"),
    DeskPlace("stock.place", "/stock", Permission.READ_RECORDS, "s"),
    DeskPlace("desk.place-duplicates", "/duplicates", Permission.ADJUDICATE, "d", _cases(CaseState.ADJUDICATION)),
    DeskPlace("desk.place-erasures", "/erasures", Permission.ERASE, "r", _erasures),
    DeskPlace("desk.notices", "/notices", Permission.READ_RECORDS, "n", _failed_notices),
    DeskPlace("desk.place-audit", "/look-ups", Permission.READ_AUDIT, "a"),
)
