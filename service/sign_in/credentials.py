# SPDX-License-Identifier: Apache-2.0
"""What somebody signs in with, passkeys and staff cards alike: kept, listed, named, removed, held while it is used."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from chain.signing import Signer
from service.problems import Problem
from service.sign_in import kinds
from service.sign_in.office import Office
from service.sign_in.sessions import Officer, end_sessions_with
from service.sign_in.tables import ACTIVE, CARD, SUSPECT, Passkey, StaffMember
from service.store import Act
from service.store.engine import insert_new

CREDENTIALS_MAX = 10
"""Of one person: a phone, a computer, a key on the ring, a card, and those that they replaced."""
NAME_CHARACTERS_MAX = 40


@dataclass(frozen=True, slots=True)
class Listed:
    """A passkey or card as its owner sees it.

    Attributes:
        expires_ms: When a card ends; None: a passkey has no end.
    """

    id: str
    name: str
    signer: Signer
    created_ms: int
    used_ms: int
    is_suspect: bool
    is_card: bool
    expires_ms: int | None


def list_credentials(office: Office, officer: Officer) -> Sequence[Listed]:
    """Somebody's passkeys and cards, oldest first."""
    with office.store.read() as session:
        query = select(Passkey).where(Passkey.staff_id == officer.staff_id).order_by(Passkey.created_ms, Passkey.id)
        return [
            Listed(
                row.id,
                office.store.people.open(session, row, Passkey.name) or "?",
                row.signer,
                row.created_ms,
                row.used_ms,
                is_suspect=row.state == SUSPECT,
                is_card=row.kind == CARD,
                expires_ms=row.expires_ms,
            )
            for row in session.scalars(query)
        ]


def rename(office: Office, officer: Officer, passkey_id: str, name: str) -> None:
    """Give one's passkey or card another name.

    Raises:
        Problem: It is none of theirs.
    """
    with office.store.write() as session:
        row = _own(session, officer, passkey_id)
        office.store.people.seal(session, row, Passkey.name, name)
        office.store.record(session, Act(officer.person_id, f"{row.kind}.renamed", row.id))


def remove(office: Office, officer: Officer, passkey_id: str) -> Signer:
    """Remove one's passkey or card, never the last that can be used; sessions that it stands behind end.

    Returns:
        What it signs with: on the ledger that stays what it was.

    Raises:
        Problem: It is the last, or none of theirs.
    """
    with office.store.write() as session:
        held_member(session, officer)
        row = _own(session, officer, passkey_id)
        usable = select(func.count()).select_from(Passkey)
        usable = usable.where(Passkey.staff_id == officer.staff_id, Passkey.state == ACTIVE, Passkey.id != row.id)
        lasting = or_(Passkey.expires_ms.is_(None), Passkey.expires_ms > office.now())
        if not session.scalar(usable.where(lasting)):
            raise Problem(kinds.LAST_PASSKEY)
        end_sessions_with(office, session, row.id, officer.person_id)
        signer, act = row.signer, f"{row.kind}.removed"
        office.store.people.remove(session, row)
        office.store.record(session, Act(officer.person_id, act, passkey_id))
    return signer


def check_room(session: Session, staff_id: str) -> None:
    """See that somebody may have one more passkey or card.

    Raises:
        Problem: They have as many as one may have.
    """
    had = session.scalar(select(func.count()).select_from(Passkey).where(Passkey.staff_id == staff_id)) or 0
    if had >= CREDENTIALS_MAX:
        raise Problem(kinds.TOO_MANY)


def keep_new(office: Office, session: Session, row: Passkey, credential: str, name: str, act: str) -> Passkey | None:
    """Keep a new passkey or card: whoever brought it first has it.

    Args:
        office: Which service.
        session: In a transaction that writes.
        row: The new one; in no session yet.
        credential: What is sealed of it beside its name.
        name: As its owner calls it.
        act: What the audit calls this, such as "card.enrolled".

    Returns:
        It, as it is kept; None: it is somebody's already.
    """
    if not insert_new(session, row):
        return None
    kept = session.get(Passkey, row.id)
    assert kept is not None, "what was inserted is there"
    office.store.people.seal(session, kept, Passkey.credential, credential)
    office.store.people.seal(session, kept, Passkey.name, name)
    office.store.record(session, Act(row.person_id, act, kept.id))
    session.flush()
    return kept


def held(session: Session, passkey_id: str) -> tuple[Passkey, StaffMember]:
    """What was just verified, with its owner, held.

    Raises:
        Problem: It or its owner was removed in between.
    """
    row = session.get(Passkey, passkey_id)
    member = None if row is None else session.get(StaffMember, row.staff_id, with_for_update=True)
    if row is None or member is None or member.state != ACTIVE:
        raise Problem(kinds.REFUSED)
    return row, member


def held_member(session: Session, officer: Officer) -> StaffMember:
    """The officer's own entry, held.

    Raises:
        Problem: They were removed.
    """
    member = session.get(StaffMember, officer.staff_id, with_for_update=True)
    if member is None or member.state != ACTIVE:
        raise Problem(kinds.NEEDED)
    return member


def _own(session: Session, officer: Officer, passkey_id: str) -> Passkey:
    row = session.get(Passkey, passkey_id)
    if row is None or row.staff_id != officer.staff_id:
        raise Problem(kinds.UNKNOWN)
    return row
