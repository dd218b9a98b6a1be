# SPDX-License-Identifier: Apache-2.0
"""Who works with a service: invited by link, changed and removed by administrators, never by oneself.

A link's token is random, kept as a digest, expires, and is good once. Links say who may come; whoever holds one is
taken for that person, so they are handed over where both know each other.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, Select, delete, func, select, update
from sqlalchemy.orm import Session

from chain.signing import Signer
from service.problems import Problem
from service.sign_in import kinds
from service.sign_in.office import Office, new_token, token_digest
from service.sign_in.roles import PERMISSIONS, Permission, Role
from service.sign_in.sessions import Officer, end_sessions
from service.sign_in.tables import (
    ACTIVE,
    INVITED,
    PREPARED,
    REMOVED,
    Invitation,
    Passkey,
    PreparedAct,
    SignInSession,
    StaffMember,
)
from service.store import Act
from service.store.audit import SYSTEM

LINK_MS = 3 * 24 * 3_600_000
"""Over a weekend; who comes later is invited again."""
FIRST_LINK_MS = 3_600_000
"""Whoever runs the command opens the link."""
NAME_CHARACTERS_MAX = 80
PEOPLE_MAX = 2_000
"""Of one service, removed ones included: a city's largest office. Bounds the list that is sealed open for a page."""
JOIN_PATH = "/join"
ORGANISATION = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
ORGANISATION_CHARACTERS_MAX = 64
_LINK_KIND = "link"


def is_name(text: str) -> bool:
    """Whether a text can be somebody's name here."""
    return 1 <= len(text) <= NAME_CHARACTERS_MAX and text.isprintable() and text == text.strip()


def is_organisation(text: str) -> bool:
    """Whether a text has the form of an organisation's id on the ledger."""
    return len(text) <= ORGANISATION_CHARACTERS_MAX and ORGANISATION.fullmatch(text) is not None


class LinkKind(StrEnum):
    """Why a link was made."""

    FIRST = "first"
    OPERATOR = "operator"
    INVITE = "invite"
    RE_ENROL = "re-enrol"


class AdministratorThere(Exception):
    """There is an administrator already, who can invite others."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody as the list of people shows them."""

    id: str
    person_id: str
    name: str
    organisation: str
    role: Role
    state: str
    passkeys: int
    sessions: int


@dataclass(frozen=True, slots=True)
class Invited:
    """Whom a link is for."""

    staff_id: str
    person_id: str
    name: str
    organisation: str
    role: Role


def first_link(office: Office, name: str, organisation: str, *, another: bool = False) -> str:
    """The link for a service's first administrator; earlier ones of that kind end.

    Args:
        office: Which service.
        name: The administrator's.
        organisation: For which they work.
        another: The operator asks for one although there is an administrator, for all of them may have lost their
            passkeys.

    Returns:
        The link, whole.

    Raises:
        AdministratorThere: And `another` is not asked for.
    """
    kind = LinkKind.OPERATOR if another else LinkKind.FIRST
    with office.store.write() as session:
        if not another and has_administrator(session, office.service):
            raise AdministratorThere
        _drop_first_links(session, office.service)
        member = _add(office, session, name, organisation, Role.ADMINISTRATOR)
        token = _link(office, session, member, kind, SYSTEM, FIRST_LINK_MS)
        office.store.record(session, Act(SYSTEM, f"people.{kind}-link", member.id))
    return link_of(office, token)


def is_first_link_open(office: Office) -> bool:
    """Whether a link that `first_link` made is still good; the next one ends it."""
    with office.store.read() as session:
        query = _waiting_for_first_links(office.service).where(Invitation.expires_ms > office.now())
        return session.scalar(query.limit(1)) is not None


def invite(office: Office, officer: Officer, name: str, organisation: str, role: Role) -> str:
    """Invite somebody.

    Returns:
        The link, which nothing shows a second time.

    Raises:
        Problem: There are too many people.
    """
    with office.store.write() as session:
        _hold(office, session, officer, officer.staff_id)
        count = session.scalar(select(func.count()).select_from(StaffMember).where(_of(office.service))) or 0
        if count >= PEOPLE_MAX:
            raise Problem(kinds.TOO_MANY)
        member = _add(office, session, name, organisation, role)
        token = _link(office, session, member, LinkKind.INVITE, officer.person_id, LINK_MS)
        office.store.record(session, Act(officer.person_id, "people.invited", member.id))
    return link_of(office, token)


def re_enrol(office: Office, officer: Officer, staff_id: str) -> str:
    """Let somebody who lost their passkeys or card register a new one: old ones and sessions end at once.

    Returns:
        The link.

    Raises:
        Problem: Nobody does this to oneself; or there is no such person.
    """
    with office.store.write() as session:
        member = _other(office, session, officer, staff_id)
        _lock_out(office, session, member, officer.person_id)
        member.state = INVITED
        token = _link(office, session, member, LinkKind.RE_ENROL, officer.person_id, LINK_MS)
        office.store.record(session, Act(officer.person_id, "people.re-enrolled", member.id))
    return link_of(office, token)


def remove(office: Office, officer: Officer, staff_id: str) -> None:
    """End somebody's place: passkeys, sessions and links at once. The entry stays for the audit until it is erased.

    Raises:
        Problem: Nobody does this to oneself; or there is no such person.
    """
    with office.store.write() as session:
        member = _other(office, session, officer, staff_id)
        _lock_out(office, session, member, officer.person_id)
        member.state = REMOVED
        office.store.record(session, Act(officer.person_id, "people.removed", member.id))


def change_role(office: Office, officer: Officer, staff_id: str, role: Role) -> None:
    """Give somebody another role, at once: sessions go on, but have to ask for the passkey before anything else.

    Acts that wait for a signature were prepared in the old role and are dropped. Duties that were done stay done.

    Raises:
        Problem: Nobody does this to oneself, so that one administrator is always left; or there is no such person.
    """
    with office.store.write() as session:
        member = _other(office, session, officer, staff_id)
        if member.role == role:
            return
        member.role = role
        session.execute(update(SignInSession).where(SignInSession.staff_id == member.id).values(verified_ms=0))
        waiting = select(PreparedAct).where(PreparedAct.staff_id == member.id, PreparedAct.state == PREPARED)
        for act in session.scalars(waiting).all():
            office.store.people.remove(session, act)
        office.store.record(session, Act(officer.person_id, f"people.now-{role}", member.id))


def end_sessions_of(office: Office, officer: Officer, staff_id: str) -> int:
    """End all sessions of somebody else; for one's own see `sessions`.

    Returns:
        How many there were.

    Raises:
        Problem: It is oneself, or there is no such person.
    """
    with office.store.write() as session:
        member = _other(office, session, officer, staff_id)
        return end_sessions(office, session, member.id, officer.person_id)


def list_people(office: Office) -> Sequence[Person]:
    """Everybody of a service, by state and name."""
    with office.store.read() as session:
        rows = session.scalars(select(StaffMember).where(_of(office.service)).limit(PEOPLE_MAX)).all()
        passkeys, open_sessions = _counts(session, Passkey), _counts(session, SignInSession)
        people = [
            Person(
                id=row.id,
                person_id=row.person_id,
                name=office.store.people.open(session, row, StaffMember.name) or "",
                organisation=row.organisation,
                role=Role(row.role),
                state=row.state,
                passkeys=passkeys.get(row.id, 0),
                sessions=open_sessions.get(row.id, 0),
            )
            for row in rows
        ]
    order = (ACTIVE, INVITED, REMOVED)
    return sorted(people, key=lambda person: (order.index(person.state), person.name))


def find_person(office: Office, staff_id: str) -> tuple[str, Sequence[Signer]]:
    """Somebody's name, and what their passkeys and cards sign with: what is ended here stays on the ledger.

    Raises:
        Problem: There is no such person.
    """
    with office.store.read() as session:
        member = session.scalar(select(StaffMember).where(StaffMember.id == staff_id, _of(office.service)))
        if member is None:
            raise Problem(kinds.UNKNOWN)
        keys = [row.signer for row in session.scalars(select(Passkey).where(Passkey.staff_id == staff_id))]
        return office.store.people.open(session, member, StaffMember.name) or "", keys


def look_at_link(office: Office, token: str) -> Invited:
    """Whom a link is for; it stays good.

    Raises:
        Problem: It is good no more, or never was; nothing tells which.
    """
    with office.store.read() as session:
        link = session.scalar(select(Invitation).where(Invitation.digest == token_digest(_LINK_KIND, token)))
        return _invited(office, session, link)


def use_link(office: Office, session: Session, token: str) -> tuple[Invited, StaffMember]:
    """Use a link up: of two at the same time exactly one does.

    Raises:
        Problem: See `look_at_link`.
    """
    match = Invitation.digest == token_digest(_LINK_KIND, token)
    link = session.scalar(select(Invitation).where(match).with_for_update())
    invited = _invited(office, session, link)
    if session.scalar(delete(Invitation).where(match).returning(Invitation.id)) is None:
        raise Problem(kinds.LINK)
    member = session.get(StaffMember, invited.staff_id)
    assert member is not None, "a link is its member's"
    return invited, member


def has_administrator(session: Session, service: str) -> bool:
    """Whether a service has an administrator who can sign in."""
    query = select(StaffMember.id).join(Passkey, Passkey.staff_id == StaffMember.id)
    query = query.where(_of(service), StaffMember.role == Role.ADMINISTRATOR, StaffMember.state == ACTIVE)
    return session.scalar(query.limit(1)) is not None


def link_of(office: Office, token: str) -> str:
    """A link's address. The token stands in the fragment, which no browser sends and no proxy logs."""
    return f"{office.address.public_origin}{JOIN_PATH}#{token}"


def _of(service: str) -> ColumnElement[bool]:
    return StaffMember.service == service


def _add(office: Office, session: Session, name: str, organisation: str, role: Role) -> StaffMember:
    member = StaffMember(
        person_id=office.store.people.add(session),
        service=office.service,
        organisation=organisation,
        role=role,
        state=INVITED,
        created_ms=office.now(),
    )
    office.store.people.seal(session, member, StaffMember.name, name)
    session.flush()
    return member


def _link(office: Office, session: Session, member: StaffMember, kind: LinkKind, actor: str, lasts_ms: int) -> str:
    token = new_token()
    row = Invitation(
        person_id=member.person_id,
        staff_id=member.id,
        digest=token_digest(_LINK_KIND, token),
        kind=kind,
        made_by=actor,
        expires_ms=office.now() + lasts_ms,
    )
    session.add(row)
    session.flush()
    return token


def _drop_first_links(session: Session, service: str) -> None:
    """Links of administrators who never came, and their places."""
    waiting = session.scalars(_waiting_for_first_links(service)).all()
    session.execute(delete(Invitation).where(Invitation.staff_id.in_(waiting)))
    for member in session.scalars(select(StaffMember).where(StaffMember.id.in_(waiting))):
        member.state = REMOVED


def _waiting_for_first_links(service: str) -> Select[str]:
    """The places of administrators who have a link by the operator's command and have not come."""
    query = select(StaffMember.id).join(Invitation, Invitation.staff_id == StaffMember.id)
    made = Invitation.kind.in_((LinkKind.FIRST, LinkKind.OPERATOR))
    return query.where(_of(service), StaffMember.state == INVITED, made)


def _invited(office: Office, session: Session, link: Invitation | None) -> Invited:
    if link is None or link.expires_ms <= office.now():
        raise Problem(kinds.LINK)
    member = session.get(StaffMember, link.staff_id)
    if member is None or member.service != office.service or member.state != INVITED:
        raise Problem(kinds.LINK)
    if link.kind == LinkKind.FIRST and has_administrator(session, office.service):
        raise Problem(kinds.LINK)
    name = office.store.people.open(session, member, StaffMember.name) or ""
    return Invited(member.id, member.person_id, name, member.organisation, Role(member.role))


def _other(office: Office, session: Session, officer: Officer, staff_id: str) -> StaffMember:
    """Somebody else of the service, who was not removed."""
    if staff_id == officer.staff_id:
        raise Problem(kinds.NOT_ONESELF)
    member = _hold(office, session, officer, staff_id)
    if member is None or member.state == REMOVED:
        raise Problem(kinds.UNKNOWN)
    return member


def _hold(office: Office, session: Session, officer: Officer, staff_id: str) -> StaffMember | None:
    """Hold an administrator's entry and somebody's, in one order, so that nobody changes either until this is done.

    Of two administrators who remove or demote each other at once one succeeds, and is left.

    Raises:
        Problem: The officer is an administrator no more.
    """
    query = select(StaffMember).where(StaffMember.id.in_({officer.staff_id, staff_id}), _of(office.service))
    held = {one.id: one for one in session.scalars(query.order_by(StaffMember.id).with_for_update())}
    own = held.get(officer.staff_id)
    if own is None or own.state != ACTIVE:
        raise Problem(kinds.NEEDED)
    if Permission.MANAGE_PEOPLE not in PERMISSIONS[Role(own.role)]:
        raise Problem(kinds.NOT_ALLOWED)
    return held.get(staff_id)


def _lock_out(office: Office, session: Session, member: StaffMember, actor: str) -> None:
    for passkey in session.scalars(select(Passkey).where(Passkey.staff_id == member.id)).all():
        office.store.people.remove(session, passkey)
    session.execute(delete(Invitation).where(Invitation.staff_id == member.id))
    end_sessions(office, session, member.id, actor)


def _counts(session: Session, model: type[Passkey | SignInSession]) -> dict[str, int]:
    """How many of something each member of staff has."""
    query = select(model.staff_id, func.count()).group_by(model.staff_id)
    return {row[0]: row[1] for row in session.execute(query)}
