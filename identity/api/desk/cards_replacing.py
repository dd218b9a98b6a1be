# SPDX-License-Identifier: Apache-2.0
"""When a card that is replaced ends: a lost one at once, any other once its holder has the new one in hand.

The hand-over marks the old card in the transaction that makes the new one active. From then on the desk's own key stops
its keys, again and again until the ledger says that they are stopped; an approver ends them for good, which takes an
officer. What a crash leaves: a marked card that still works, until the next round stops it.
"""

from collections.abc import Sequence
from typing import Final

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from chain.errors import Refused
from client.errors import TransportError
from identity.api.desk import cards
from identity.api.desk.base import DeskContext
from identity.api.desk.cards_binding import suspension
from identity.api.desk.cards_history import NOBODY, note
from identity.api.desk.cards_life import BOUND_KEYS, COUNTS, CardState
from identity.api.desk.cards_tables import Card
from identity.api.desk.service_acts import send
from identity.api.desk.states import PersonState
from identity.api.desk.tables import DeskPerson
from identity.pb import identity_pb2 as pb
from service.problems import Problem

ROUND_CARDS: Final = 20
"""Cards that one round stops, each a transaction; hand-overs come one at a time, so that more wait only after an
outage, and the next rounds take them."""
AGAIN_MS: Final = 10_000
"""A card that could not be stopped is tried again no oftener."""

log = structlog.get_logger(__name__)


def begin_ending(session: Session, new: Card, now_ms: int) -> None:
    """Mark the card that another replaces, in the transaction in which its holder signs for the other.

    Args:
        session: A transaction that writes.
        new: The card that the holder has now; it may replace none.
        now_ms: Unix time.
    """
    if new.replaces is None:
        return
    old = session.scalar(select(Card).where(Card.id == new.replaces).with_for_update())
    if old is not None and old.state in BOUND_KEYS:
        old.ending_ms = now_ms


def ending(session: Session, organisation: str) -> Sequence[Card]:
    """Cards whose keys an approver is to end, the longest waiting first."""
    mine = DeskPerson.person_id == Card.person_id
    query = select(Card).join(DeskPerson, mine).where(DeskPerson.organisation == organisation)
    query = query.where(Card.ending_ms.is_not(None)).order_by(Card.ending_ms, Card.id)
    return session.scalars(query.limit(cards.LISTED_MAX)).all()


def successor(session: Session, card_id: str) -> Card | None:
    """The card that took another's place and was handed over."""
    return session.scalar(select(Card).where(Card.replaces == card_id, Card.receipt.is_not(None)))


async def stop(desk: DeskContext, organisation: str, card_id: str) -> CardState:
    """Stop the keys of a card whose holder has another; whoever was faster did it.

    Returns:
        The card's state.

    Raises:
        Problem: The service has no key: then an officer signs.
        Refused: A rule said no.
        TransportError: Nothing is known of it yet; the next round asks again, and it stops once.
    """
    card, person = await run_in_threadpool(cards.opened_with_holder, desk, organisation, card_id)
    record = await cards.on_ledger(desk, person.registration)
    state = await run_in_threadpool(cards.observe, desk, organisation, card_id, record)
    if not card.is_ending or state not in COUNTS:
        return state
    # a crash here or below leaves the row behind the ledger; the next round observes
    proven = await send(desk, suspension(card, person.registration, record))
    record = await cards.on_ledger(desk, person.registration)
    return await run_in_threadpool(_note_stopped, desk, organisation, card_id, proven.receipt(), record)


def _note_stopped(
    desk: DeskContext, organisation: str, card_id: str, receipt: bytes, record: pb.PersonRecord | None
) -> CardState:
    with desk.store.write() as session:
        row = cards.own(session, organisation, card_id, held=True)
        note(desk, session, row, "supersede", row.state, NOBODY, receipt=receipt)
        return cards.observe_in(desk, session, row, record)


async def stop_all(desk: DeskContext) -> int:
    """Stop every card that is marked and still counts; one that fails does not hold up the others.

    Returns:
        How many were stopped.
    """
    if desk.service_key is None:
        return 0
    stopped = 0
    for organisation, card_id in await run_in_threadpool(_due, desk):
        try:
            stopped += await stop(desk, organisation, card_id) not in COUNTS
        except TransportError as error:  # no other card will do better
            log.warning("desk.card-not-stopped", card=card_id, code=error.code)
            break
        except Refused as error:
            log.warning("desk.card-not-stopped", card=card_id, code=error.code)
        except Problem as problem:  # its holder is registered no longer, or somebody else was faster
            log.warning("desk.card-not-stopped", card=card_id, code=problem.kind.code)
    return stopped


def _due(desk: DeskContext) -> list[tuple[str, str]]:
    mine = DeskPerson.person_id == Card.person_id
    query = select(DeskPerson.organisation, Card.id).join(DeskPerson, mine)
    holder_counts = DeskPerson.state.in_((PersonState.ACTIVE, PersonState.SUSPENDED))
    query = query.where(Card.ending_ms.is_not(None), Card.state.in_(COUNTS), holder_counts).order_by(Card.ending_ms)
    with desk.store.read() as session:
        return [(organisation, card_id) for organisation, card_id in session.execute(query.limit(ROUND_CARDS))]
