# SPDX-License-Identifier: Apache-2.0
"""Tables of people who work with a service; what is personal in them is sealed, what opens doors is hashed."""

from pathlib import Path

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, declared_attr, mapped_column

from chain.signing import Scheme, Signer
from service.store import Base, Normal, PersonalRow, sealed
from service.store.migrate import add_migrations

add_migrations(Path(__file__).parent / "migrations")

INVITED, ACTIVE, REMOVED = "invited", "active", "removed"
"""States of a member of staff."""
PREPARED = "prepared"
"""State of an act that nobody has signed yet; see `acts.State`."""
SUSPECT = "suspect"
"""State of a passkey that was seen in two places; `ACTIVE` otherwise."""
PASSKEY, CARD = "passkey", "card"
"""Kinds of what somebody signs in with."""


class StaffMember(PersonalRow):
    """One person's place in one service: for which organisation, in which role."""

    __tablename__ = "staff"

    service: Mapped[str] = mapped_column(String(32), index=True)
    organisation: Mapped[str] = mapped_column(String(64))
    role: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    created_ms: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[bytes | None] = sealed(Normal.TEXT)


class OfStaff(PersonalRow):
    """What belongs to somebody's place in a service."""

    __abstract__ = True

    @declared_attr
    def staff_id(cls) -> Mapped[str]:  # noqa: N805 - a declared attribute is given the class
        """Whose."""
        return mapped_column(ForeignKey("staff.id", ondelete="CASCADE"), index=True)


class Passkey(OfStaff):
    """What somebody signs in and signs acts with: a passkey or a staff card.

    A passkey is found by the digest of its credential id and has one public key. A card is found by the digest of its
    key in slot 9A, `public_key`, which signs it in; its acts are signed with the one in slot 9C, `sign_key`. Keys are
    compressed P-256, 33 bytes. `credential` is the passkey's id, or both certificates of the card, in hex.
    """

    __tablename__ = "passkey"

    kind: Mapped[str] = mapped_column(String(8), default=PASSKEY)
    sign_key: Mapped[bytes | None] = mapped_column(LargeBinary(33), nullable=True, unique=True, index=True)
    expires_ms: Mapped[int | None] = mapped_column(BigInteger, nullable=True)

    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    public_key: Mapped[bytes] = mapped_column(LargeBinary(33))
    sign_count: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(16))
    created_ms: Mapped[int] = mapped_column(BigInteger)
    used_ms: Mapped[int] = mapped_column(BigInteger)
    credential: Mapped[bytes | None] = sealed()
    name: Mapped[bytes | None] = sealed()

    @property
    def signer(self) -> Signer:
        """What it signs acts with, as the ledger names it."""
        if self.sign_key is not None:
            return Signer(Scheme.P256, self.sign_key)
        return Signer(Scheme.WEBAUTHN_ES256, self.public_key)


class SignInSession(OfStaff):
    """A browser that is signed in. The token's digest finds it; `agent` and `network` are keyed by the token itself."""

    __tablename__ = "sign_in_session"

    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    passkey_id: Mapped[str] = mapped_column(String(32))
    created_ms: Mapped[int] = mapped_column(BigInteger)
    seen_ms: Mapped[int] = mapped_column(BigInteger)
    verified_ms: Mapped[int] = mapped_column(BigInteger)
    agent: Mapped[bytes] = mapped_column(LargeBinary(32))
    network: Mapped[bytes] = mapped_column(LargeBinary(32))
    device: Mapped[bytes | None] = sealed()


class Invitation(OfStaff):
    """A link that lets its holder register a passkey or a card; deleted when it is used."""

    __tablename__ = "invitation"

    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    kind: Mapped[str] = mapped_column(String(16))
    made_by: Mapped[str] = mapped_column(String(32))
    expires_ms: Mapped[int] = mapped_column(BigInteger)


class PreparedAct(OfStaff):
    """An act that waits for an officer's signature, and what became of it."""

    __tablename__ = "prepared_act"

    state: Mapped[str] = mapped_column(String(16))
    created_ms: Mapped[int] = mapped_column(BigInteger)
    expires_ms: Mapped[int] = mapped_column(BigInteger)
    transaction: Mapped[bytes | None] = mapped_column(LargeBinary, nullable=True)
    receipt: Mapped[bytes | None] = mapped_column(LargeBinary, nullable=True)
    code: Mapped[str] = mapped_column(String(64))
    content: Mapped[bytes | None] = sealed()


class Challenge(Base):
    """A challenge that was handed out and not used yet, found by its digest."""

    __tablename__ = "sign_in_challenge"

    digest: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    service: Mapped[str] = mapped_column(String(32))
    purpose: Mapped[str] = mapped_column(String(16))
    binding: Mapped[bytes] = mapped_column(LargeBinary(32))
    subject: Mapped[str] = mapped_column(String(64))
    payload: Mapped[bytes] = mapped_column(LargeBinary(4096))
    expires_ms: Mapped[int] = mapped_column(BigInteger, index=True)


class DutyDone(Base):
    """Who carried out which duty on which subject, so that nobody does both of two that exclude each other."""

    __tablename__ = "duty"

    subject: Mapped[str] = mapped_column(String(64), primary_key=True)
    duty: Mapped[str] = mapped_column(String(16), primary_key=True)
    person_id: Mapped[str] = mapped_column(String(32))
