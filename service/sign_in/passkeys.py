# SPDX-License-Identifier: Apache-2.0
"""Passkeys of people who work with a service: registered by link or by their owner, and asked for.

Whatever is wrong with an answer, the caller is told the same; the audit says which passkey was misused where one was.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.problems import Problem
from service.sign_in import ceremony, challenges, kinds
from service.sign_in.ceremony import CeremonyFailed, NewPasskey
from service.sign_in.challenges import Asked, Purpose
from service.sign_in.credentials import check_room, held, held_member, keep_new
from service.sign_in.devices import Device
from service.sign_in.office import Office
from service.sign_in.people import look_at_link, use_link
from service.sign_in.sessions import Officer, end_sessions_with, open_session, renew
from service.sign_in.tables import ACTIVE, PASSKEY, SUSPECT, Passkey, StaffMember
from service.store import Act

Answer = Mapping[str, Any]
"""What a browser's script sends of a credential."""


# ---------------------------------------------------------------- signing in


def ask_to_sign_in(office: Office, browser: bytes) -> dict[str, Any]:
    """Options for anybody who may have a passkey; they name no person and no credential.

    Args:
        office: Which service.
        browser: Digest of the browser's cookie.
    """
    with office.store.write() as session:
        challenge = challenges.issue(session, office.service, Purpose.SIGN_IN, browser, office.now())
    return ceremony.assertion_options(office.party, challenge)


def sign_in(office: Office, browser: bytes, answer: Answer, device: Device) -> str:
    """Sign somebody in.

    Returns:
        The session's token; a new one each time, whatever cookie the browser brought.

    Raises:
        Problem: The challenge is not this browser's, or the answer does not hold.
    """
    asked = _use_challenge(office, Purpose.SIGN_IN, browser, answer)
    passkey_id = verify(office, asked.challenge, answer)
    with office.store.write() as session:
        passkey, member = held(session, passkey_id)
        return open_session(office, session, member, passkey.id, device)


def ask_to_confirm(office: Office, officer: Officer) -> dict[str, Any]:
    """Options for somebody who is signed in, with their own passkeys alone."""
    with office.store.write() as session:
        known = _credentials(office, session, officer.staff_id)
        challenge = challenges.issue(session, office.service, Purpose.CONFIRM, officer.binding, office.now())
    return ceremony.assertion_options(office.party, challenge, known)


def confirm(office: Office, officer: Officer, answer: Answer, device: Device) -> str:
    """Ask the person at the desk once more.

    Returns:
        The session's new token.

    Raises:
        Problem: As for `sign_in`, or the passkey is somebody else's.
    """
    asked = _use_challenge(office, Purpose.CONFIRM, officer.binding, answer)
    passkey_id = verify(office, asked.challenge, answer, staff_id=officer.staff_id)
    with office.store.write() as session:
        return renew(office, session, officer, passkey_id, device)


def verify(office: Office, challenge: bytes, answer: Answer, *, staff_id: str | None = None) -> str:
    """Check an assertion against the passkey that it names.

    Args:
        office: Which service.
        challenge: What was asked; used up already.
        answer: What the browser's script sent.
        staff_id: Whose passkey it has to be; None: anybody's of the service.

    Returns:
        The passkey's id.

    Raises:
        Problem: It does not hold. A counter that went back also makes the passkey suspect, for somebody has a copy.
    """
    try:
        digest = ceremony.credential_digest(ceremony.credential_id_of(answer))
        with office.store.write() as session:
            found = _find(session, office.service, digest)
            passkey, member = _theirs(found, staff_id)
            reached = ceremony.verify_assertion(office.party, challenge, answer, passkey.public_key)
            is_cloned = ceremony.is_counter_behind(passkey.sign_count, reached)
            if is_cloned:
                passkey.state = SUSPECT
                end_sessions_with(office, session, passkey.id, member.person_id)
                office.store.record(session, Act(member.person_id, "passkey.cloned", passkey.id))
            else:
                passkey.sign_count, passkey.used_ms = reached, office.now()
    except CeremonyFailed:
        raise Problem(kinds.REFUSED) from None
    if is_cloned:
        raise Problem(kinds.REFUSED)
    return passkey.id


# ---------------------------------------------------------------- registering


def ask_to_join(office: Office, browser: bytes, token: str) -> dict[str, Any]:
    """Options for whoever holds a link.

    Raises:
        Problem: The link is good no more.
    """
    invited = look_at_link(office, token)
    return _ask_to_register(office, Purpose.JOIN, browser, invited.staff_id, invited.name, ())


def join(office: Office, browser: bytes, token: str, answer: Answer, name: str, device: Device) -> str:
    """Register the first passkey of somebody who was invited, and sign them in.

    Returns:
        The session's token.

    Raises:
        Problem: The link or the challenge is good no more, or the passkey does not fit.
    """
    invited = look_at_link(office, token)
    made = _verify_new(office, Purpose.JOIN, browser, answer, invited.staff_id)
    with office.store.write() as session:
        invited, member = use_link(office, session, token)
        member.state = ACTIVE
        passkey = _add(office, session, member, made, name)
        office.store.record(session, Act(member.person_id, "people.joined", member.id))
        return open_session(office, session, member, passkey.id, device)


def ask_to_add(office: Office, officer: Officer) -> dict[str, Any]:
    """Options for one more passkey of somebody who is signed in.

    Raises:
        Problem: They have as many as one may have.
    """
    with office.store.write() as session:
        known = _credentials(office, session, officer.staff_id)
        check_room(session, officer.staff_id)
    return _ask_to_register(office, Purpose.ADD_PASSKEY, officer.binding, officer.staff_id, officer.name, known)


def add(office: Office, officer: Officer, answer: Answer, name: str) -> None:
    """Register one more.

    Raises:
        Problem: The challenge is good no more, the passkey does not fit, or they have as many as one may have.
    """
    made = _verify_new(office, Purpose.ADD_PASSKEY, officer.binding, answer, officer.staff_id)
    with office.store.write() as session:
        member = held_member(session, officer)
        check_room(session, member.id)
        _add(office, session, member, made, name)


# ---------------------------------------------------------------- inside


def _use_challenge(office: Office, purpose: Purpose, binding: bytes, answer: Answer, subject: str = "-") -> Asked:
    """The challenge that an answer names is used up, in a transaction of its own, before the answer is looked at."""
    is_new = purpose in {Purpose.JOIN, Purpose.ADD_PASSKEY}
    try:
        challenge = ceremony.challenge_in(answer, "webauthn.create" if is_new else "webauthn.get")
    except CeremonyFailed:
        raise Problem(kinds.PASSKEY_UNFIT if is_new else kinds.REFUSED) from None
    with office.store.write() as session:
        return challenges.take(session, office.service, purpose, binding, challenge, office.now(), subject)


def _ask_to_register(
    office: Office, purpose: Purpose, binding: bytes, staff_id: str, name: str, known: Sequence[bytes]
) -> dict[str, Any]:
    with office.store.write() as session:
        challenge = challenges.issue(session, office.service, purpose, binding, office.now(), subject=staff_id)
    return ceremony.registration_options(office.party, challenge, bytes.fromhex(staff_id), name, known)


def _verify_new(office: Office, purpose: Purpose, binding: bytes, answer: Answer, staff_id: str) -> NewPasskey:
    asked = _use_challenge(office, purpose, binding, answer, staff_id)
    try:
        return ceremony.verify_registration(office.party, asked.challenge, answer)
    except CeremonyFailed:
        raise Problem(kinds.PASSKEY_UNFIT) from None


def _add(office: Office, session: Session, member: StaffMember, made: NewPasskey, name: str) -> Passkey:
    row = Passkey(
        person_id=member.person_id,
        staff_id=member.id,
        kind=PASSKEY,
        digest=ceremony.credential_digest(made.credential),
        public_key=made.public_key,
        sign_count=made.sign_count,
        state=ACTIVE,
        created_ms=office.now(),
        used_ms=office.now(),
    )
    kept = keep_new(office, session, row, made.credential.hex(), name, "passkey.registered")
    if kept is None:  # a credential id is its first owner's, for good
        raise Problem(kinds.PASSKEY_UNFIT)
    return kept


def _credentials(office: Office, session: Session, staff_id: str) -> list[bytes]:
    """Credential ids of somebody's passkeys."""
    rows = session.scalars(select(Passkey).where(Passkey.staff_id == staff_id, Passkey.kind == PASSKEY)).all()
    return [bytes.fromhex(office.store.people.open(session, row, Passkey.credential) or "") for row in rows]


def _find(session: Session, service: str, digest: bytes) -> tuple[Passkey, StaffMember] | None:
    """A passkey that may be used, held so that its counter is compared by one at a time."""
    query = select(Passkey, StaffMember).join(StaffMember, StaffMember.id == Passkey.staff_id)
    query = query.where(Passkey.digest == digest, Passkey.kind == PASSKEY, Passkey.state == ACTIVE)
    query = query.where(StaffMember.service == service, StaffMember.state == ACTIVE).with_for_update()
    found = session.execute(query).one_or_none()
    return None if found is None else (found[0], found[1])


def _theirs(found: tuple[Passkey, StaffMember] | None, staff_id: str | None) -> tuple[Passkey, StaffMember]:
    """A passkey, if there is one and it is this person's (None: anybody's)."""
    if found is None or (staff_id is not None and found[1].id != staff_id):
        raise CeremonyFailed("no passkey of theirs")
    return found
