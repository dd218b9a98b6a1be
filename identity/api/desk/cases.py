# SPDX-License-Identifier: Apache-2.0
"""Cases: opened, filled in, moved on step by step, each step with who took it and, from the ledger, its receipt.

A step that goes on the ledger is an act that an officer signs (`service.sign_in.acts`). The case remembers the act and
moves on when the act is done: `follow` looks, whoever opens the case next or the service by itself, so that neither a
crash nor a closed browser loses what the ledger has taken.

Rows are held in one order, so that no two officers wait for each other: case, act, person, and the audit chain last.
"""

import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from chain.transaction import Operation
from identity.api.desk.base import DAY_MS, DeskContext
from identity.api.desk.problems import CASE_OPEN, ON_ITS_WAY, OWN_WORK, UNKNOWN_CASE
from identity.api.desk.states import OPEN_STATES, CaseKind, CaseState, Step, after
from identity.api.desk.tables import DeskCase, DeskStep
from identity.registrations import PROPOSAL_LIFETIME_MS
from service.language import Language
from service.problems import Problem
from service.sign_in import acts as sign_in_acts
from service.sign_in.acts import Acts
from service.sign_in.office import Office
from service.sign_in.sessions import Officer
from service.sign_in.tables import PreparedAct
from service.store.models import AuditHead

REFERENCE_CHARACTERS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""Nobody takes one of these for another, written or spoken."""
RECEIPT_BYTES_MAX = 48 * 1024
"""A sealed value has 64 KiB, and base64 takes a third more."""
NEXT_SECRETS = "next"
"""Of a case's content: secrets that become the person's once the ledger has taken the proposal."""
MAKING = (Step.OPEN, Step.SAVE, Step.SUBMIT, Step.PROPOSE)
"""Steps of whoever makes a case; none of these officers approves it."""


def open_case(desk: DeskContext, session: Session, officer: Officer, person_id: str, kind: CaseKind) -> DeskCase:
    """Open a case about a person.

    Raises:
        Problem: Another one of this kind is open.
    """
    session.scalar(select(AuditHead.id).with_for_update())  # two at once: the second waits and sees the first
    wanted = (DeskCase.person_id == person_id) & (DeskCase.kind == kind) & DeskCase.state.in_(OPEN_STATES)
    if session.scalar(select(DeskCase.id).where(wanted)) is not None:
        raise Problem(CASE_OPEN)
    now_ms = desk.now()
    case = DeskCase(
        person_id=person_id,
        organisation=officer.organisation,
        kind=kind,
        state=CaseState.DRAFT,
        reference=_reference(now_ms),
        opened_by=officer.staff_id,
        opened_ms=now_ms,
        changed_ms=now_ms,
        expires_ms=now_ms + desk.retention.draft_days * DAY_MS,
        version=1,
        act_id="",
        act_step="",
        code="",
    )
    session.add(case)
    session.flush()
    note_step(desk, session, officer, case, Step.OPEN)
    return case


def load_case(session: Session, officer: Officer, case_id: str, *, hold: bool = False) -> DeskCase:
    """A case of the officer's organisation.

    Raises:
        Problem: There is none here.
    """
    query = select(DeskCase).where((DeskCase.id == case_id) & (DeskCase.organisation == officer.organisation))
    case = session.scalar(query.with_for_update() if hold else query)
    if case is None:
        raise Problem(UNKNOWN_CASE)
    return case


def content(desk: DeskContext, session: Session, case: DeskCase) -> dict[str, str]:
    """What a case asks for, by name."""
    found = desk.store.people.open(session, case, DeskCase.content)
    values: dict[str, str] = json.loads(found) if found else {}
    return values


def write(desk: DeskContext, session: Session, case: DeskCase, values: Mapping[str, str]) -> None:
    """Put down what a case asks for."""
    desk.store.people.seal(session, case, DeskCase.content, json.dumps(dict(values), ensure_ascii=False))
    case.version += 1


def move(desk: DeskContext, session: Session, officer: Officer, case: DeskCase, step: Step) -> None:
    """Take a step.

    Raises:
        Problem: It is not to be taken from the case's state, or an act that was signed is under way.
    """
    state = after(CaseState(case.state), step)
    drop_act(session, case)
    _arrive(desk, case, state)
    note_step(desk, session, officer, case, step)


def note_step(
    desk: DeskContext, session: Session, officer: Officer, case: DeskCase, step: Step, receipt: bytes | None = None
) -> None:
    """Add to a case's history, and to the audit chain."""
    _note(desk, session, case, step, officer.staff_id, "", receipt)
    desk.record(session, officer, f"case.{step}", case.id)


def check_not_own(session: Session, officer: Officer, case: DeskCase) -> None:
    """Check that an officer did not make what they are about to approve.

    Raises:
        Problem: They did.
    """
    wanted = (DeskStep.case_id == case.id) & DeskStep.step.in_(MAKING) & (DeskStep.staff_id == officer.staff_id)
    if session.scalar(select(DeskStep.id).where(wanted).limit(1)) is not None:
        raise Problem(OWN_WORK)


def history(session: Session, case_id: str) -> Sequence[DeskStep]:
    """A case's steps, oldest first."""
    query = select(DeskStep).where(DeskStep.case_id == case_id)
    return session.scalars(query.order_by(DeskStep.position)).all()


def receipt_of(desk: DeskContext, session: Session, step: DeskStep) -> bytes | None:
    """The receipt of a step that stands on the ledger."""
    found = desk.store.people.open(session, step, DeskStep.receipt)
    return base64.b64decode(found) if found else None


# ---------------------------------------------------------------- acts


def prepare(
    desk: DeskContext,
    office: Office,
    acts: Acts,
    officer: Officer,
    case: DeskCase,
    step: Step,
    operations: Sequence[Operation],
    words: Mapping[Language, Sequence[str]],
) -> str:
    """Have an officer sign the next step; the case moves on when the act is done.

    Args:
        desk: Which desk.
        office: Its sign-in.
        acts: Where its officers sign.
        officer: Who signs.
        case: As it was read; it must not have changed since.
        step: What the act does to the case.
        operations: What goes on the ledger.
        words: What that does.

    Returns:
        The act's id.

    Raises:
        Problem: The case changed meanwhile, or an act that was signed is under way.
    """
    act_id = acts.prepare(office, officer, operations, words)
    # a crash here leaves an act that nobody is shown, and that can't be signed after half an hour
    with desk.store.write() as session:
        held = load_case(session, officer, case.id, hold=True)
        after(CaseState(held.state), step)
        if held.version != case.version:
            _cancel(session, act_id)
            raise Problem(ON_ITS_WAY)
        drop_act(session, held)
        held.act_id, held.act_step, held.code = act_id, step, ""
    return act_id


def drop_act(session: Session, case: DeskCase) -> None:
    """Take back an act that nobody has signed: it is about what the case was.

    Raises:
        Problem: It was signed; what becomes of it must be known first.
    """
    if not case.act_id:
        return
    row = session.scalar(select(PreparedAct).where(PreparedAct.id == case.act_id).with_for_update())
    if row is not None and row.state in {sign_in_acts.State.SIGNED, sign_in_acts.State.DONE}:
        raise Problem(ON_ITS_WAY)
    _cancel(session, case.act_id)
    case.act_id, case.act_step = "", ""


def arrive(desk: DeskContext, session: Session, case: DeskCase, row: PreparedAct) -> Step | None:
    """Let a case follow its act: on, when it is done; back, when the ledger refused it or nobody signed in time.

    Args:
        desk: Which desk.
        session: A transaction that writes and holds the case.
        case: Whose act it is.
        row: The act.

    Returns:
        The step that was taken on the ledger; None: none was.
    """
    step = Step(case.act_step)
    if row.state == sign_in_acts.State.DONE:
        _arrive(desk, case, after(CaseState(case.state), step))
        assert row.receipt is None or len(row.receipt) <= RECEIPT_BYTES_MAX, "a receipt is small"
        _note(desk, session, case, step, row.staff_id, row.id, row.receipt)
        case.act_id, case.act_step, case.code = "", "", ""
        if step is Step.PROPOSE:
            case.expires_ms = desk.now() + PROPOSAL_LIFETIME_MS
        return step
    if row.state == sign_in_acts.State.REFUSED:
        case.act_id, case.act_step, case.code = "", "", row.code
    elif row.state == sign_in_acts.State.PREPARED and row.expires_ms <= desk.now():
        case.act_id, case.act_step = "", ""
    return None


def _arrive(desk: DeskContext, case: DeskCase, state: CaseState) -> None:
    case.state, case.changed_ms = state, desk.now()


def _note(
    desk: DeskContext,
    session: Session,
    case: DeskCase,
    step: Step,
    staff_id: str,
    act_id: str,
    receipt: bytes | None,
) -> None:
    before = session.scalar(select(func.count()).select_from(DeskStep).where(DeskStep.case_id == case.id)) or 0
    row = DeskStep(
        person_id=case.person_id,
        case_id=case.id,
        position=before,
        at_ms=desk.now(),
        staff_id=staff_id,
        step=step,
        act_id=act_id,
    )
    kept = None if receipt is None else base64.b64encode(receipt).decode()
    desk.store.people.seal(session, row, DeskStep.receipt, kept)
    session.flush()


def _cancel(session: Session, act_id: str) -> None:
    row = session.scalar(select(PreparedAct).where(PreparedAct.id == act_id).with_for_update())
    if row is not None and row.state == sign_in_acts.State.PREPARED:
        row.expires_ms = 0


def _reference(now_ms: int) -> str:
    """What people call a case: the day in China and six characters that tell the day's cases apart."""
    day = datetime.fromtimestamp(now_ms / 1000 + 8 * 3600, UTC)
    tail = "".join(secrets.choice(REFERENCE_CHARACTERS) for _ in range(6))
    return f"{day:%Y}-{day:%m%d}-{tail}"
