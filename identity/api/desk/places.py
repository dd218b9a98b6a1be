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
from identity.api.desk.states import CaseState, ErasureState
from identity.api.desk.tables import DeskCase, DeskErasure, DeskPerson
from service.pages import Place
from service.sign_in.roles import Permission


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


def _cards(session: Session, organisation: str) -> int:
    waits = (CardState.REQUESTED, CardState.PERSONALISED, CardState.BOUND, CardState.PRINTED)
    mine = DeskPerson.person_id == Card.person_id
    query = select(func.count()).select_from(Card).join(DeskPerson, mine)
    return session.scalar(query.where(DeskPerson.organisation == organisation, Card.state.in_(waits))) or 0


PLACES: tuple[DeskPlace, ...] = (
    DeskPlace("desk.place-look-up", "/look-up", Permission.READ_RECORDS, "f"),
    DeskPlace("desk.place-enrol", "/enrol", Permission.ENROL, "e"),
    DeskPlace(
        "desk.place-cases", "/cases", Permission.READ_RECORDS, "c", _cases(CaseState.PROPOSED, CaseState.RETURNED)
    ),
    DeskPlace("card.place", "/cards", Permission.READ_RECORDS, "k", _cards),
    DeskPlace("batch.place", "/batches", Permission.READ_RECORDS, "b"),
    DeskPlace("card.phone", "/phone", Permission.ENROL, "t"),
    DeskPlace("legal.place", "/companies", Permission.READ_RECORDS, "l"),
    DeskPlace("mandate.place", "/mandates", Permission.READ_RECORDS, "m"),
    DeskPlace("stock.place", "/stock", Permission.READ_RECORDS, "s"),
    DeskPlace("desk.place-duplicates", "/duplicates", Permission.ADJUDICATE, "d", _cases(CaseState.ADJUDICATION)),
    DeskPlace("desk.place-erasures", "/erasures", Permission.ERASE, "r", _erasures),
    DeskPlace("desk.place-audit", "/look-ups", Permission.READ_AUDIT, "a"),
)
