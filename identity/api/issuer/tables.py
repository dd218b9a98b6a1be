# SPDX-License-Identifier: Apache-2.0
"""Private tables of the credential issuer.

What is personal, and what joins a person to a record on the ledger, is sealed under the person's key. Places in status
lists are no person's rows: they outlive whoever is erased, and say then that the credential counts no longer.
"""

from pathlib import Path

from sqlalchemy import BigInteger, Boolean, Integer, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from service.store import Base, PersonalRow, sealed
from service.store.migrate import add_migrations
from service.store.models import ID_CHARACTERS

add_migrations(Path(__file__).parent / "migrations")

OPEN, REDEEMED, USED, LOCKED = "open", "redeemed", "used", "locked"
"""States of an offer: made; its code exchanged for an access token; its credentials issued; too many wrong tries."""


class IssuerOffer(PersonalRow):
    """A credential that somebody may fetch. Codes and tokens stand here as digests alone.

    `content` is `offers.Content` as JSON: what the credential will say, and of which records it speaks.
    """

    __tablename__ = "issuer_offer"

    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    code_digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    tx_digest: Mapped[bytes] = mapped_column(LargeBinary(32))
    token_digest: Mapped[bytes | None] = mapped_column(LargeBinary(32), unique=True, nullable=True)
    state: Mapped[str] = mapped_column(String(16))
    tries: Mapped[int] = mapped_column(Integer)
    copies: Mapped[int] = mapped_column(Integer)
    lifetime_s: Mapped[int] = mapped_column(Integer)
    created_ms: Mapped[int] = mapped_column(BigInteger)
    expires_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    content: Mapped[bytes | None] = sealed()


class IssuerCopy(PersonalRow):
    """One credential, or token for an offline code, that was issued. `subjects` are the state keys of which it speaks.

    `key_digest` is keyed: it tells that a holder's key was used before, and nobody without the store's key which.
    """

    __tablename__ = "issuer_copy"

    list_number: Mapped[int] = mapped_column(Integer)
    place: Mapped[int] = mapped_column(Integer)
    key_digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    issued_ms: Mapped[int] = mapped_column(BigInteger)
    expires_s: Mapped[int] = mapped_column(BigInteger, index=True)
    is_code: Mapped[bool] = mapped_column(Boolean, default=False)
    subjects: Mapped[bytes | None] = sealed()

    __table_args__ = (UniqueConstraint("list_number", "place"),)


class IssuerList(Base):
    """A status list as it is published now."""

    __tablename__ = "issuer_list"

    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(ID_CHARACTERS), unique=True)
    stream: Mapped[bytes] = mapped_column(LargeBinary(16))
    size: Mapped[int] = mapped_column(Integer)
    height: Mapped[int] = mapped_column(BigInteger)
    issued_s: Mapped[int] = mapped_column(BigInteger)
    token: Mapped[str] = mapped_column(Text)
    anchored: Mapped[bytes] = mapped_column(LargeBinary(32))


class IssuerPlace(Base):
    """A place of a status list that is taken: by a credential, or by a decoy, whose `copy_id` is empty."""

    __tablename__ = "issuer_place"

    list_number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    place: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    copy_id: Mapped[str] = mapped_column(String(ID_CHARACTERS), index=True)
    status: Mapped[int] = mapped_column(Integer)
    expires_s: Mapped[int] = mapped_column(BigInteger, index=True)


class IssuerNonce(Base):
    """A nonce that a proof has used: it is good once. Those that nobody used take no place here."""

    __tablename__ = "issuer_nonce"

    digest: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    expires_ms: Mapped[int] = mapped_column(BigInteger, index=True)
