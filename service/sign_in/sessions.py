# SPDX-License-Identifier: Apache-2.0
"""Sessions: kept by the server, found by a token's digest, ended by time, by their owner, or by an administrator.

The token changes whenever the passkey is asked for. A session whose browser has become another one ends; one that comes
from another network asks for the passkey before anything else.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from chain.signing import Scheme, Signer
from service.problems import Problem
from service.sign_in import kinds
from service.sign_in.devices import Device
from service.sign_in.office import Office, new_token, token_digest
from service.sign_in.roles import PERMISSIONS, Permission, Role
from service.sign_in.tables import ACTIVE, Passkey, SignInSession, StaffMember
from service.store import Act

IDLE_MS_MAX = 30 * 60_000
"""A desk that was left."""
AGE_MS_MAX = 10 * 3_600_000
"""A working day."""
SEEN_EVERY_MS = 60_000
"""A session's last use is written down no more often than that."""
SESSIONS_MAX = 20
"""Of one person; the one that was used least lately ends."""
TOKEN_KIND = "session"  # noqa: S105 - a kind's name


@dataclass(frozen=True, slots=True)
class Officer:
    """Somebody who is signed in.

    Attributes:
        verified_ms: When the passkey was last asked for; 0: not since the network changed.
        binding: Digest of the session's token: challenges are bound to it.
        public_key: With which they sign acts, of the passkey or card that was last asked for; 33 bytes.
        is_card: Whether that is a staff card.
    """

    staff_id: str
    person_id: str
    name: str
    role: Role
    organisation: str
    session_id: str
    passkey_id: str
    verified_ms: int
    binding: bytes
    public_key: bytes = b""
    is_card: bool = False

    @property
    def signer(self) -> Signer:
        """What they sign with, as the ledger names it."""
        return Signer(Scheme.P256 if self.is_card else Scheme.WEBAUTHN_ES256, self.public_key)

    def may(self, permission: Permission) -> bool:
        """Whether the role allows it."""
        return permission in PERMISSIONS[self.role]


def open_session(office: Office, session: Session, member: StaffMember, passkey_id: str, device: Device) -> str:
    """Begin a session for somebody whose passkey or card was just verified.

    Returns:
        The token for the cookie.
    """
    token, now_ms = new_token(), office.now()
    agent, network = device.keyed(token)
    row = SignInSession(
        person_id=member.person_id,
        staff_id=member.id,
        digest=token_digest(TOKEN_KIND, token),
        passkey_id=passkey_id,
        created_ms=now_ms,
        seen_ms=now_ms,
        verified_ms=now_ms,
        agent=agent,
        network=network,
    )
    office.store.people.seal(session, row, SignInSession.device, device.words)
    session.flush()
    kept = select(SignInSession.id).where(SignInSession.staff_id == member.id)
    kept = kept.order_by(SignInSession.seen_ms.desc()).limit(SESSIONS_MAX)
    beyond = (SignInSession.staff_id == member.id) & SignInSession.id.not_in(session.scalars(kept).all())
    session.execute(delete(SignInSession).where(beyond))
    office.store.record(session, Act(member.person_id, "session.opened", row.id))
    return token


def resolve(office: Office, token: str, device: Device) -> Officer | None:
    """Who is signed in with a token.

    Returns:
        None if nobody is, any more; nothing tells why.
    """
    digest = token_digest(TOKEN_KIND, token)
    agent, network = device.keyed(token)
    now_ms = office.now()
    with office.store.read() as session:
        found = _find(session, office.service, digest, now_ms)
        if found is None:
            return None
        row, member, signer = found
        name = office.store.people.open(session, member, StaffMember.name) or ""
    is_alive = now_ms - row.seen_ms < IDLE_MS_MAX and now_ms - row.created_ms < AGE_MS_MAX
    is_same = hmac.compare_digest(row.agent, agent)
    if not is_alive or not is_same:
        _end(office, row, "session.expired" if is_same else "session.carried-off")
        return None
    is_moved = not hmac.compare_digest(row.network, network)
    verified_ms = 0 if is_moved else row.verified_ms
    if (is_moved and row.verified_ms) or now_ms - row.seen_ms >= SEEN_EVERY_MS:
        with office.store.write() as session:
            changed = update(SignInSession).where(SignInSession.id == row.id)
            session.execute(changed.values(seen_ms=now_ms, verified_ms=verified_ms))
            if is_moved and row.verified_ms:
                office.store.record(session, Act(member.person_id, "session.moved", row.id))
    return Officer(
        staff_id=member.id,
        person_id=member.person_id,
        name=name,
        role=Role(member.role),
        organisation=member.organisation,
        session_id=row.id,
        passkey_id=row.passkey_id,
        verified_ms=verified_ms,
        binding=digest,
        public_key=signer.public_key,
        is_card=signer.scheme is Scheme.P256,
    )


def renew(office: Office, session: Session, officer: Officer, passkey_id: str, device: Device) -> str:
    """Note that the passkey was asked for again, and give the session a new token.

    Raises:
        Problem: The session ended meanwhile.
    """
    token = new_token()
    agent, network = device.keyed(token)
    values = {
        "digest": token_digest(TOKEN_KIND, token),
        "passkey_id": passkey_id,
        "verified_ms": office.now(),
        "seen_ms": office.now(),
        "agent": agent,
        "network": network,
    }
    match = (SignInSession.id == officer.session_id) & (SignInSession.digest == officer.binding)
    changed = update(SignInSession).where(match).values(values).returning(SignInSession.id)
    if session.scalar(changed) is None:
        raise Problem(kinds.NEEDED)
    office.store.record(session, Act(officer.person_id, "session.confirmed", officer.session_id))
    return token


@dataclass(frozen=True, slots=True)
class Listed:
    """A session as its owner sees it."""

    id: str
    device: str
    created_ms: int
    seen_ms: int
    is_own: bool


def list_sessions(office: Office, officer: Officer) -> Sequence[Listed]:
    """A person's sessions that live, the one in use first."""
    now_ms = office.now()
    with office.store.read() as session:
        query = select(SignInSession).where(
            SignInSession.staff_id == officer.staff_id,
            SignInSession.seen_ms > now_ms - IDLE_MS_MAX,
            SignInSession.created_ms > now_ms - AGE_MS_MAX,
        )
        rows = session.scalars(query.order_by(SignInSession.seen_ms.desc())).all()
        found = [
            Listed(
                row.id,
                office.store.people.open(session, row, SignInSession.device) or "?",
                row.created_ms,
                row.seen_ms,
                is_own=row.id == officer.session_id,
            )
            for row in rows
        ]
    return sorted(found, key=lambda one: not one.is_own)


def end_session(office: Office, officer: Officer, session_id: str) -> None:
    """End one of one's own sessions; one that is not there any more is as good."""
    with office.store.write() as session:
        match = (SignInSession.id == session_id) & (SignInSession.staff_id == officer.staff_id)
        if session.scalar(delete(SignInSession).where(match).returning(SignInSession.id)) is not None:
            office.store.record(session, Act(officer.person_id, "session.ended", session_id))


def end_sessions(office: Office, session: Session, staff_id: str, actor: str, keep: str = "-") -> int:
    """End all sessions of a person but one.

    Args:
        office: Which service's.
        session: A transaction that writes.
        staff_id: Whose.
        actor: Person's id of who wants it.
        keep: Id of the session that stays.

    Returns:
        How many ended.
    """
    match = (SignInSession.staff_id == staff_id) & (SignInSession.id != keep)
    ended = session.scalars(delete(SignInSession).where(match).returning(SignInSession.id)).all()
    if ended:
        office.store.record(session, Act(actor, "session.all-ended", staff_id))
    return len(ended)


def end_sessions_with(office: Office, session: Session, passkey_id: str, actor: str) -> None:
    """End all sessions that a passkey stands behind, for it is gone or has a copy somewhere.

    Args:
        office: Which service's.
        session: A transaction that writes.
        passkey_id: Which.
        actor: Person's id of who wants it.
    """
    match = SignInSession.passkey_id == passkey_id
    for ended in session.scalars(delete(SignInSession).where(match).returning(SignInSession.id)).all():
        office.store.record(session, Act(actor, "session.ended", ended))


def _find(
    session: Session, service: str, digest: bytes, now_ms: int
) -> tuple[SignInSession, StaffMember, Signer] | None:
    """A session whose person and passkey or card are still there."""
    query = select(SignInSession, StaffMember, Passkey)
    query = query.join(StaffMember, StaffMember.id == SignInSession.staff_id)
    query = query.join(Passkey, Passkey.id == SignInSession.passkey_id)
    query = query.where(SignInSession.digest == digest, StaffMember.service == service)
    query = query.where(StaffMember.state == ACTIVE, Passkey.state == ACTIVE)
    query = query.where(or_(Passkey.expires_ms.is_(None), Passkey.expires_ms > now_ms))
    found = session.execute(query).one_or_none()
    return None if found is None else (found[0], found[1], found[2].signer)


def _end(office: Office, row: SignInSession, act: str) -> None:
    with office.store.write() as session:
        gone = session.scalar(delete(SignInSession).where(SignInSession.id == row.id).returning(SignInSession.id))
        if gone is not None:
            office.store.record(session, Act(row.person_id, act, row.id))
