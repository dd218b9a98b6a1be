# SPDX-License-Identifier: Apache-2.0
"""Lets cases follow their acts, and sends again what was signed and whose fate is not known.

Both are done by whoever opens a page, for one case, and by the service every second, for all: an act that was signed
when the ledger could not be reached is kept, sent again until its time is over, and the case moves on by itself.
"""

from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from chain.errors import LedgerError, Refused
from chain.transaction import decode
from client.errors import TransportError
from identity.api.desk import notices, persons
from identity.api.desk.base import DeskContext
from identity.api.desk.cases import NEXT_SECRETS, arrive, content
from identity.api.desk.details import Details
from identity.api.desk.states import CaseKind, PersonState, Step
from identity.api.desk.tables import DeskCase, DeskPerson
from service.sign_in.acts import State
from service.sign_in.tables import PreparedAct
from service.store import Act
from service.store.audit import SYSTEM

RESEND_MS = 5_000
"""The officer's own page waits for the outcome first."""
RESENT_MAX = 20
"""Acts that are sent again in one round."""
FOLLOWED_MAX = 200
"""Cases that are looked at in one round."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An act that was signed and whose fate is not known."""

    id: str
    transaction: bytes


def follow(desk: DeskContext, case_id: str) -> None:
    """Let one case follow its act, if it has one."""
    with desk.store.read() as session:
        query = select(DeskCase.id).outerjoin(PreparedAct, PreparedAct.id == DeskCase.act_id)
        if session.scalar(query.where((DeskCase.id == case_id) & _moved(desk))) is None:
            return
    with desk.store.write() as session:
        case = session.scalar(select(DeskCase).where(DeskCase.id == case_id).with_for_update())
        if case is None or not case.act_id:
            return
        row = session.scalar(select(PreparedAct).where(PreparedAct.id == case.act_id).with_for_update())
        if row is None:  # the officer's own rows were removed with them
            case.act_id, case.act_step = "", ""
            return
        step = arrive(desk, session, case, row)
        if step is not None:
            _take_effect(desk, session, case, step)
            desk.store.record(session, Act(row.person_id, f"case.{step}", case.id))


def follow_all(desk: DeskContext) -> int:
    """Let all cases follow their acts that came to something.

    Returns:
        How many there were.
    """
    with desk.store.read() as session:
        query = select(DeskCase.id).outerjoin(PreparedAct, PreparedAct.id == DeskCase.act_id)
        waiting = session.scalars(query.where(_moved(desk)).limit(FOLLOWED_MAX)).all()
    for case_id in waiting:
        follow(desk, case_id)
    return len(waiting)


def _moved(desk: DeskContext) -> ColumnElement[bool]:
    """Of a case and its act: the act came to something, ran out, or is gone."""
    ran_out = (PreparedAct.state == State.PREPARED) & (PreparedAct.expires_ms <= desk.now())
    over = PreparedAct.id.is_(None) | PreparedAct.state.in_((State.DONE, State.REFUSED)) | ran_out
    return (DeskCase.act_id != "") & over


async def send_again(desk: DeskContext) -> int:
    """Send what officers signed and nobody has seen the fate of; one transaction executes once, however often it comes.

    Returns:
        How many were settled.
    """
    settled = 0
    for waiting in await run_in_threadpool(_signed, desk):
        try:
            settled += await _send(desk, waiting)
        except TransportError:
            break  # the next round tries again
    return settled


async def send_one(desk: DeskContext, act_id: str) -> None:
    """Send an act that was just signed; where nothing is known of it, `send_again` sees to it."""
    waiting = await run_in_threadpool(_signed_one, desk, act_id)
    if waiting is not None:
        with suppress(TransportError):
            await _send(desk, waiting)


async def _send(desk: DeskContext, waiting: _Waiting) -> bool:
    """Send a transaction and write down what became of it; whether anything is known now.

    Raises:
        TransportError: No node answers.
    """
    try:
        proven = await desk.ledger.submit_one(decode(waiting.transaction))
    except Refused as refused:
        return await run_in_threadpool(_settle, desk, waiting.id, State.REFUSED, refused.code, None)
    except LedgerError:  # a node's answer does not verify; others are asked next time
        return False
    failed = proven.failed
    state = State.DONE if failed is None else State.REFUSED
    code = "" if failed is None else failed.code
    return await run_in_threadpool(_settle, desk, waiting.id, state, code, proven.receipt())


def _settle(desk: DeskContext, act_id: str, state: State, code: str, receipt: bytes | None) -> bool:
    with desk.store.write() as session:
        row = session.scalar(select(PreparedAct).where(PreparedAct.id == act_id).with_for_update())
        if row is None or row.state != State.SIGNED:
            return False
        row.state, row.code, row.receipt = state, code[:64], receipt
        desk.store.record(session, Act(SYSTEM, f"act.{state}", row.id))
        return True


def _signed_one(desk: DeskContext, act_id: str) -> _Waiting | None:
    with desk.store.read() as session:
        row = session.get(PreparedAct, act_id)
        return None if row is None or row.transaction is None else _Waiting(row.id, row.transaction)


def _signed(desk: DeskContext) -> list[_Waiting]:
    with desk.store.read() as session:
        cases = select(DeskCase.act_id).where(DeskCase.act_id != "")
        wanted = (
            PreparedAct.id.in_(cases)
            & (PreparedAct.state == State.SIGNED)
            & (PreparedAct.created_ms < desk.now() - RESEND_MS)
        )
        rows = session.scalars(select(PreparedAct).where(wanted).limit(RESENT_MAX)).all()
        return [_Waiting(row.id, row.transaction) for row in rows if row.transaction is not None]


def _take_effect(desk: DeskContext, session: Session, case: DeskCase, step: Step) -> None:
    """What a step on the ledger means for the person."""
    row = session.scalar(select(DeskPerson).where(DeskPerson.person_id == case.person_id).with_for_update())
    assert row is not None, "a case goes with its person"
    found = persons.read(desk, session, row)
    values = content(desk, session, case)
    kind = CaseKind(case.kind)
    match step:
        case Step.CONFIRM:
            details = Details.decode(values["details"])
            persons.keep_secrets(desk, session, row, found.secrets.confirmed())
            persons.settle(desk, session, row, details, PersonState.ACTIVE)
            notices.tell(desk, session, found, f"{kind}-approved", details)
        case Step.PROPOSE:
            persons.keep_secrets(desk, session, row, persons.Secrets.decode(values[NEXT_SECRETS]))
            row.changed_ms = desk.now()
        case Step.WITHDRAW:
            if kind is CaseKind.ENROL:
                row.state = PersonState.DROPPED
            row.changed_ms = desk.now()
        case Step.ACT:
            row.state, row.changed_ms = _STATES[kind], desk.now()
            if kind is CaseKind.DECEASED and found.details is not None:
                died = Details.decode(values["details"])
                persons.settle(desk, session, row, died, PersonState.DECEASED)
            notices.tell(desk, session, found, kind)
        case _:
            row.changed_ms = desk.now()


_STATES = {
    CaseKind.SUSPEND: PersonState.SUSPENDED,
    CaseKind.REINSTATE: PersonState.ACTIVE,
    CaseKind.REVOKE: PersonState.REVOKED,
    CaseKind.DECEASED: PersonState.DECEASED,
    CaseKind.RECOVER: PersonState.ACTIVE,
}
