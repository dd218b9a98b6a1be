# SPDX-License-Identifier: Apache-2.0
"""What happened to a card, a company or a mandate, step by step, with the receipts that prove it.

An act that an officer signs belongs to that officer's own pages; its receipt is copied here when it is there, so that
the history outlives the officer's place at the desk.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from chain.transaction import Operation
from identity.api.desk.base import DeskContext
from identity.api.desk.cards_tables import LifeEvent
from service.language import LANGUAGES, Language, translate
from service.sign_in.acts import State
from service.sign_in.tables import PreparedAct
from service.store import PersonalRow

EVENTS_MAX: Final = 500
"""Steps that a page shows; a card has some ten in its life."""

NOBODY: Final = "-"
"""Who did it where the ledger alone says that it was done."""

Signed = tuple[Sequence[Operation], Mapping[Language, Sequence[str]]]
"""What an officer is to sign: operations, and what they do in words, in each language."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step as a page shows it.

    Attributes:
        has_receipt: Whether the ledger's receipt is at hand.
    """

    number: int
    step: str
    state: str
    at_ms: int
    actor: str
    act_id: str | None
    has_receipt: bool


def words(key: str, /, **parameters: object) -> dict[Language, str]:
    """One sentence in each language."""
    return {language: translate(language, key, **parameters) for language in LANGUAGES}


def sentences(*said: Mapping[Language, str]) -> dict[Language, list[str]]:
    """Sentences in each language, one after the other, as acts want them."""
    return {language: [one[language] for one in said] for language in LANGUAGES}


def note(
    desk: DeskContext,
    session: Session,
    row: PersonalRow,
    step: str,
    state: str,
    actor: str,
    *,
    act_id: str | None = None,
    receipt: bytes | None = None,
) -> None:
    """Add a step to the history of a row, in the transaction of what it tells about.

    Args:
        desk: Which desk.
        session: A transaction that writes, which holds the row.
        row: The card, company or mandate.
        step: What was done.
        state: Where it led.
        actor: Random id of who did it.
        act_id: The act that an officer signs for it, if any.
        receipt: Proves it, if the service itself sent it to the ledger.
    """
    query = select(func.max(LifeEvent.number)).where(LifeEvent.subject_id == row.id)
    event = LifeEvent(
        person_id=row.person_id,
        subject_id=row.id,
        number=(session.scalar(query) or 0) + 1,
        step=step,
        state=state,
        at_ms=desk.now(),
        actor=actor,
        act_id=act_id,
    )
    if receipt is not None:
        desk.store.people.seal(session, event, LifeEvent.receipt, base64.b64encode(receipt).decode())
    session.add(event)
    session.flush()


def history(session: Session, row: PersonalRow) -> list[Step]:
    """All steps, the latest first."""
    query = select(LifeEvent).where(LifeEvent.subject_id == row.id).order_by(LifeEvent.number.desc())
    events = session.scalars(query.limit(EVENTS_MAX)).all()
    acts = [event.act_id for event in events if event.act_id and event.receipt is None]
    done = {act.id for act in _acts(session, acts) if act.state == State.DONE and act.receipt is not None}
    return [
        Step(
            event.number,
            event.step,
            event.state,
            event.at_ms,
            event.actor,
            event.act_id,
            event.receipt is not None or event.act_id in done,
        )
        for event in events
    ]


def keep_receipts(desk: DeskContext, session: Session, row: PersonalRow) -> None:
    """Copy the receipts of acts that have become known into the history; in a transaction that writes."""
    query = select(LifeEvent).where(LifeEvent.subject_id == row.id, LifeEvent.receipt.is_(None))
    events = [event for event in session.scalars(query) if event.act_id]
    acts = {act.id: act for act in _acts(session, [event.act_id for event in events if event.act_id])}
    for event in events:
        act = acts.get(event.act_id or "")
        if act is not None and act.state == State.DONE and act.receipt is not None:
            desk.store.people.seal(session, event, LifeEvent.receipt, base64.b64encode(act.receipt).decode())


def receipt_of(desk: DeskContext, session: Session, row: PersonalRow, number: int) -> bytes | None:
    """The receipt of one step; None: there is none, or not yet."""
    event = session.scalar(select(LifeEvent).where(LifeEvent.subject_id == row.id, LifeEvent.number == number))
    if event is None:
        return None
    if event.receipt is not None:
        return base64.b64decode(desk.store.people.open(session, event, LifeEvent.receipt) or "")
    acts = _acts(session, [event.act_id] if event.act_id else [])
    return acts[0].receipt if acts and acts[0].state == State.DONE else None


def is_waiting(session: Session, act_id: str | None, now_ms: int) -> bool:
    """Whether an act can still be signed, or was and its fate is not known."""
    for act in _acts(session, [act_id] if act_id else []):
        return act.state == State.SIGNED or (act.state == State.PREPARED and act.expires_ms > now_ms)
    return False


def _acts(session: Session, ids: Sequence[str]) -> Sequence[PreparedAct]:
    return session.scalars(select(PreparedAct).where(PreparedAct.id.in_(ids))).all() if ids else []
