# SPDX-License-Identifier: Apache-2.0
"""Challenges: random, kept by the server, for one browser and one purpose, for minutes, and for one use.

A challenge is gone once it was presented, whether the answer to it was right or not.
"""

import hashlib
import secrets
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from service import problems
from service.problems import Problem
from service.sign_in import kinds
from service.sign_in.tables import Challenge

LIFETIME_MS = 5 * 60_000
"""Long enough to find one's key, short enough to be worth nothing later."""
CHALLENGES_MAX = 100_000
"""Waiting at once in a service: an hour of one a second from each of thirty addresses; some 20 MB."""
CHALLENGE_BYTES = 32


class Purpose(StrEnum):
    """What an answer to a challenge is good for."""

    SIGN_IN = "sign-in"
    CONFIRM = "confirm"
    JOIN = "join"
    ADD_PASSKEY = "add-passkey"
    ACT = "act"
    CARD_SIGN_IN = "card-sign-in"
    CARD_CONFIRM = "card-confirm"
    CARD_JOIN = "card-join"
    CARD_ADD = "card-add"


_ANYBODYS = (Purpose.SIGN_IN, Purpose.CARD_SIGN_IN)
"""For whoever opens the page; all others are for somebody who is signed in or was invited."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked with a challenge.

    Attributes:
        challenge: Its bytes.
        subject: Random id of what it is about, or "-".
        payload: What the asker kept with it.
    """

    challenge: bytes
    subject: str
    payload: bytes


def issue(
    session: Session,
    service: str,
    purpose: Purpose,
    binding: bytes,
    now_ms: int,
    *,
    challenge: bytes | None = None,
    subject: str = "-",
    payload: bytes = b"",
) -> bytes:
    """Make a challenge.

    Args:
        session: A transaction that writes.
        service: Whose.
        purpose: What for.
        binding: Digest of the cookie of the browser that may answer it, 32 bytes.
        now_ms: Unix time.
        challenge: Its bytes where they say what is signed; None: random.
        subject: What it is about.
        payload: Kept until it is answered; at most 4 KiB.

    Raises:
        Problem: Too many wait, and none of them is anybody's who only might sign in.
    """
    session.execute(delete(Challenge).where(Challenge.expires_ms <= now_ms))
    waiting = session.scalar(select(func.count()).select_from(Challenge)) or 0
    if waiting >= CHALLENGES_MAX and not _make_room(session):
        raise Problem(problems.BUSY, headers={"Retry-After": "60"})
    made = secrets.token_bytes(CHALLENGE_BYTES) if challenge is None else challenge
    row = Challenge(
        digest=hashlib.sha256(made).digest(),
        service=service,
        purpose=purpose,
        binding=binding,
        subject=subject,
        payload=payload,
        expires_ms=now_ms + LIFETIME_MS,
    )
    session.add(row)
    session.flush()
    return made


def _make_room(session: Session) -> bool:
    """Forget the oldest challenge for signing in, which anybody may ask for without end; False: there is none.

    A flood from many addresses so pushes out its own, and never what was made for somebody who is signed in.
    """
    oldest = select(Challenge.digest).where(Challenge.purpose.in_(_ANYBODYS)).order_by(Challenge.expires_ms).limit(1)
    gone = delete(Challenge).where(Challenge.digest.in_(oldest.scalar_subquery())).returning(Challenge.digest)
    return session.scalar(gone) is not None


def take(
    session: Session, service: str, purpose: Purpose, binding: bytes, challenge: bytes, now_ms: int, subject: str = "-"
) -> Asked:
    """Use a challenge up. The caller commits before it looks at the answer, so that no second try has it.

    Raises:
        Problem: It was not made for this, here, for this browser; or it was used, or is too old.
    """
    match = (Challenge.digest == hashlib.sha256(challenge).digest()) & (Challenge.service == service)
    match &= (Challenge.purpose == purpose) & (Challenge.binding == binding) & (Challenge.subject == subject)
    payload = session.scalar(delete(Challenge).where(match, Challenge.expires_ms > now_ms).returning(Challenge.payload))
    if payload is None:
        raise Problem(kinds.CHALLENGE)
    return Asked(challenge, subject, payload)
