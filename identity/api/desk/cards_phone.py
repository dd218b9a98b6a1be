# SPDX-License-Identifier: Apache-2.0
"""Stopping a lost card by telephone: easy on purpose, limited, told to the holder, and undone only in person.

The caller says the full name and the number of a document; that is weak, and enough to stop, for stopping harms little
and a stranger's card in use harms much. Who tries many numbers is held up: calls are counted for each officer and for
each number that was named, also when nobody was found. The holder is told by every channel that they registered.
"""

import hmac
from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from identity.api.desk import cards, notices, persons
from identity.api.desk import cards_problems as kinds
from identity.api.desk.base import DAY_MS, HOUR_MS, DeskContext
from identity.api.desk.cards_binding import suspension
from identity.api.desk.cards_history import note
from identity.api.desk.cards_life import COUNTS, CardState
from identity.api.desk.cards_tables import Card, PhoneCall
from identity.api.desk.looking_up import Reason, note_access
from identity.api.desk.service_acts import send
from identity.api.desk.tables import DeskPerson
from identity.pb import identity_pb2 as pb
from service.problems import Problem
from service.sign_in.sessions import Officer
from service.store import new_id
from service.store.normal import Normal, normalise

OFFICER_HOUR_MAX: Final = 30
"""Calls that one officer takes in an hour: a busy line, and too few to try numbers out."""
NUMBER_DAY_MAX: Final = 10
"""Calls about one number in a day: some for a holder who is not believed, none for a nuisance."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a caller is known by, once it fits.

    Attributes:
        cards: Cards of theirs whose keys count, by id.
    """

    person_id: str
    cards: tuple[str, ...]


def answer(desk: DeskContext, officer: Officer, name: str, number: str) -> Call:
    """Take a call: who it is about, if name and number fit somebody who has a card.

    Raises:
        Problem: Too many calls, or they fit nobody, or nobody with a card that counts; which, is not told.
    """
    with desk.store.write() as session:
        _count_call(desk, session, officer, number)
    with desk.store.write() as session:
        people = desk.store.people
        rows = people.find(session, DeskPerson.number, number)
        wanted = DeskPerson.id.in_(rows) & (DeskPerson.organisation == officer.organisation)
        for row in session.scalars(select(DeskPerson).where(wanted)):
            known = people.open(session, row, DeskPerson.name) or ""
            if normalise(Normal.TEXT, known) != normalise(Normal.TEXT, name):
                continue
            held = select(Card.id).where(Card.person_id == row.person_id, Card.state.in_(COUNTS))
            found = tuple(session.scalars(held))
            if found:
                note_access(desk, session, officer, row.person_id, Reason.TELEPHONE)
                return Call(row.person_id, found)
    raise Problem(kinds.NO_SUCH_CARD)


async def suspend(desk: DeskContext, officer: Officer, card_id: str) -> CardState:
    """Stop a card at once, with the service's own key; the holder is told.

    Returns:
        The card's state: suspended, whoever did it.

    Raises:
        Problem: The card's keys do not count, this officer stopped too many, or the service has no key: then an officer
            signs.
        TransportError: Nothing is known of it yet; ask again, it stops once.
    """
    if desk.service_key is None:
        raise Problem(kinds.NO_SERVICE_KEY)
    card, person = await run_in_threadpool(cards.opened_with_holder, desk, officer.organisation, card_id)
    if card.state is CardState.SUSPENDED:
        return card.state
    record = await cards.on_ledger(desk, person.registration)
    state = await run_in_threadpool(cards.observe, desk, officer.organisation, card_id, record)
    if state is CardState.SUSPENDED:  # an earlier attempt did it, though nobody heard of it
        return state
    operations = suspension(card, person.registration, record)
    await run_in_threadpool(_count_stop, desk, officer, card_id)
    # a crash here or below leaves the row behind the ledger; `observe` finds out when anybody opens the card
    proven = await send(desk, operations)
    record = await cards.on_ledger(desk, person.registration)
    return await run_in_threadpool(_note_stopped, desk, officer, card_id, proven.receipt(), record)


def _count_stop(desk: DeskContext, officer: Officer, card_id: str) -> None:
    with desk.store.write() as session:  # or a stolen session could stop every card of the district
        _count_call(desk, session, officer, card_id, is_repeatable=True)


def _note_stopped(
    desk: DeskContext, officer: Officer, card_id: str, receipt: bytes, record: pb.PersonRecord | None
) -> CardState:
    """Write down that a card was stopped, bring its row to what the ledger says, and tell its holder."""
    with desk.store.write() as session:
        row = cards.own(session, officer.organisation, card_id, held=True)
        note(desk, session, row, "phone", row.state, officer.staff_id, receipt=receipt)
        state = cards.observe_in(desk, session, row, record)
        notices.tell(desk, session, persons.load(desk, session, officer, row.person_id), "card-suspended")
        desk.record(session, officer, "card.suspended-by-phone", card_id)
    return state


def _count_call(
    desk: DeskContext, session: Session, officer: Officer, number: str, *, is_repeatable: bool = False
) -> None:
    """Count a call before anything is looked up.

    Args:
        desk: Which desk.
        session: A transaction that writes.
        officer: Who took it.
        number: What it is about.
        is_repeatable: The same officer's calls about the same within a day are one: they try again what did not reach
            the ledger, and must not use up the calls that would.

    Raises:
        Problem: There were too many.
    """
    now_ms = desk.now()
    subject = hmac.digest(desk.store.secret("desk/phone-call"), normalise(Normal.IDENTIFIER, number).encode(), "sha256")
    session.execute(delete(PhoneCall).where(PhoneCall.at_ms <= now_ms - DAY_MS))
    same = select(PhoneCall.id).where(PhoneCall.subject == subject, PhoneCall.actor == officer.staff_id)
    if is_repeatable and session.scalar(same.limit(1)) is not None:
        return
    count = select(func.count()).select_from(PhoneCall)
    by_officer = count.where(PhoneCall.actor == officer.staff_id, PhoneCall.at_ms > now_ms - HOUR_MS)
    about = count.where(PhoneCall.subject == subject)
    if (session.scalar(by_officer) or 0) >= OFFICER_HOUR_MAX or (session.scalar(about) or 0) >= NUMBER_DAY_MAX:
        raise Problem(kinds.TOO_MANY_CALLS, headers={"Retry-After": "3600"})
    session.add(PhoneCall(id=new_id(), actor=officer.staff_id, subject=subject, at_ms=now_ms))
    desk.record(session, officer, "card.call-taken", "-")
