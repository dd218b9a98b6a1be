# SPDX-License-Identifier: Apache-2.0
"""Looking a person up: a reason first, an access entry for each person who is shown, an audit row for each search.

An access entry is the citizen's: who looked, for which body, in which role, why; never what was searched for. One that
concerns an investigation shows to the citizen later, and is counted at once, so that it cannot be dropped.
"""

from collections.abc import Sequence
from enum import StrEnum

from sqlalchemy import func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from identity.api.desk import notices, persons
from identity.api.desk.base import DAY_MS, HOUR_MS, DeskContext
from identity.api.desk.problems import REASON_NEEDED, SLOW_DOWN, UNKNOWN_PERSON
from identity.api.desk.states import PersonState
from identity.api.desk.tables import DeskAccess, DeskLookUp, DeskPerson
from service.problems import Problem
from service.sign_in.sessions import Officer
from service.store import new_id

HOUR_LOOK_UPS_MAX = 120
"""Searches of one officer in an hour: a busy counter makes twenty, and nobody browses people here."""
SHOWN_MAX = 20
"""Persons that one search shows: a clerk who needs more must say more about whom they look for."""
LOOK_MS = 30 * 60_000
"""How long one reason holds for one person: a visit at the counter."""
HIDDEN_MS = 90 * DAY_MS
"""How long an investigation's look stays out of the citizen's sight."""


class Reason(StrEnum):
    """Why somebody looks."""

    COUNTER = "at-counter"
    TELEPHONE = "on-telephone"
    CASE = "case-work"
    CORRECTION = "correction"
    COMPLAINT = "complaint"
    AUDIT = "audit"
    INVESTIGATION = "investigation"


CHOSEN = tuple(reason for reason in Reason if reason is not Reason.CASE)
"""Those that an officer chooses; opening a case is a reason by itself."""

SEARCHED: tuple[InstrumentedAttribute[bytes | None], ...] = (DeskPerson.number, DeskPerson.phone, DeskPerson.name)


def look_up(desk: DeskContext, officer: Officer, reason: Reason, wanted: str, request: str = "-") -> Sequence[str]:
    """Search for persons by number, phone or name, exactly.

    Args:
        desk: Which desk.
        officer: Who looks.
        reason: Why.
        wanted: What the person was known by; not kept.
        request: Id of the request.

    Returns:
        Ids of persons whom the officer may now see; at most SHOWN_MAX.

    Raises:
        Problem: The officer has searched too often.
    """
    with desk.store.write() as session:
        recent = (DeskLookUp.staff_id == officer.staff_id) & (DeskLookUp.at_ms > desk.now() - HOUR_MS)
        made = session.scalar(select(func.count()).select_from(DeskLookUp).where(recent)) or 0
        if made >= HOUR_LOOK_UPS_MAX:
            raise Problem(SLOW_DOWN, {"seconds": HOUR_MS // 1000}, headers={"Retry-After": str(HOUR_MS // 1000)})
        found: dict[str, None] = {}
        for column in SEARCHED:
            rows = desk.store.people.find(session, column, wanted)
            own = (DeskPerson.id.in_(rows)) & (DeskPerson.organisation == officer.organisation)
            found.update(dict.fromkeys(session.scalars(select(DeskPerson.person_id).where(own))))
            if found:
                break
        shown = list(found)[:SHOWN_MAX]
        searched = DeskLookUp(id=new_id(), at_ms=desk.now(), staff_id=officer.staff_id, reason=reason, found=len(shown))
        session.add(searched)
        session.flush()
        desk.record(session, officer, "look-up.made", searched.id, request)
        for person_id in shown:
            note_access(desk, session, officer, person_id, reason, searched.id)
    return shown


def note_access(
    desk: DeskContext,
    session: Session,
    officer: Officer,
    person_id: str,
    reason: Reason,
    look_up_id: str = "-",
    *,
    is_anew: bool = False,
) -> None:
    """Write an access entry, unless the same officer has one for the same reason that still holds.

    Args:
        desk: Which desk.
        session: A transaction that writes.
        officer: Who looks.
        person_id: At whom.
        reason: Why.
        look_up_id: The search that led here, or "-".
        is_anew: Write one in any case: a machine shows somebody each time anew, and no reason of before covers that.
    """
    if not is_anew and _holds(desk, session, officer, person_id, reason):
        return
    # persons are held while they are written for, so that two entries never get the same number
    held = session.scalar(select(DeskPerson).where(DeskPerson.person_id == person_id).with_for_update())
    if held is None:
        raise Problem(UNKNOWN_PERSON)
    now_ms = desk.now()
    last = session.scalar(select(func.max(DeskAccess.number)).where(DeskAccess.person_id == person_id)) or 0
    entry = DeskAccess(
        person_id=person_id,
        number=last + 1,
        at_ms=now_ms,
        organisation=officer.organisation,
        staff_id=officer.staff_id,
        role=officer.role,
        reason=reason,
        look_up_id=look_up_id,
        visible_after_ms=now_ms + (HIDDEN_MS if reason is Reason.INVESTIGATION else 0),
        opening_id=None,
    )
    session.add(entry)
    session.flush()
    desk.record(session, officer, "person.looked-at", entry.id)
    if reason is not Reason.CASE and held.state in (PersonState.ACTIVE, PersonState.SUSPENDED):
        notices.tell_of_look(desk, session, persons.read(desk, session, held), entry.visible_after_ms)


def require_reason(desk: DeskContext, session: Session, officer: Officer, person_id: str) -> None:
    """Let an officer see a person for whom they gave a reason a short while ago.

    Raises:
        Problem: There is no such person at this organisation, or no reason that still holds.
    """
    wanted = (DeskPerson.person_id == person_id) & (DeskPerson.organisation == officer.organisation)
    if session.scalar(select(DeskPerson.id).where(wanted)) is None:
        raise Problem(UNKNOWN_PERSON)
    if not _holds(desk, session, officer, person_id):
        raise Problem(REASON_NEEDED)


def _holds(desk: DeskContext, session: Session, officer: Officer, person_id: str, reason: Reason | None = None) -> bool:
    wanted = (
        (DeskAccess.person_id == person_id)
        & (DeskAccess.staff_id == officer.staff_id)
        & (DeskAccess.at_ms > desk.now() - LOOK_MS)
    )
    if reason is not None:
        wanted &= DeskAccess.reason == reason
    return session.scalar(select(DeskAccess.id).where(wanted).limit(1)) is not None
