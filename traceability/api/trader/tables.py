# SPDX-License-Identifier: Apache-2.0
"""Private tables of the traders' pages: what somebody prepared to record, and the pictures that belong to it.

An event's secret opens what the ledger only has a commitment to, so it is sealed with the event under the key of who
recorded it.
"""

from pathlib import Path

from sqlalchemy import BigInteger, ForeignKey, Integer, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from chain.types import HASH_BYTES
from service.store import PersonalRow, sealed
from service.store.migrate import add_migrations
from service.store.models import ID_CHARACTERS

add_migrations(Path(__file__).parent / "migrations")

DRAFT_CHARACTERS = 36
"""A UUID: the device's name for what it wants recorded."""


class TraderRecord(PersonalRow):
    """One event that somebody prepared, whether or not it was signed.

    `draft` is the device's idempotency key: the same draft sent twice is one record. `event` is the id on the ledger,
    `act_id` the act that is signed, or was. `content` is what is recorded, the whole event that it commits to, and its
    secret, as JSON.
    """

    __tablename__ = "trader_record"

    staff_id: Mapped[str] = mapped_column(String(ID_CHARACTERS), index=True)
    draft: Mapped[str] = mapped_column(String(DRAFT_CHARACTERS))
    actor: Mapped[str] = mapped_column(String(13))
    step: Mapped[str] = mapped_column(String(16))
    event: Mapped[bytes] = mapped_column(LargeBinary(HASH_BYTES), unique=True)
    act_id: Mapped[str] = mapped_column(String(ID_CHARACTERS))
    created_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    content: Mapped[bytes | None] = sealed()

    __table_args__ = (UniqueConstraint("staff_id", "draft"),)


class TraderPicture(PersonalRow):
    """A part of a picture that belongs to a record; a sealed value has a bound, so that pictures come in parts."""

    __tablename__ = "trader_picture"

    record_id: Mapped[str] = mapped_column(ForeignKey("trader_record.id", ondelete="CASCADE"), index=True)
    position: Mapped[int] = mapped_column(Integer)
    content: Mapped[bytes | None] = sealed()


class TraderKeyRequest(PersonalRow):
    """A passkey that is to become a participant's key: two people sign one transaction, each on a device of their own.

    `salt` and `expires_ms` make its header, once an officer has begun to sign; `signature` is the officer's, empty
    until then. `code` is the rule that refused it, if one did.
    """

    __tablename__ = "trader_key_request"

    staff_id: Mapped[str] = mapped_column(String(ID_CHARACTERS), unique=True)
    passkey_id: Mapped[str] = mapped_column(String(ID_CHARACTERS))
    gln: Mapped[str] = mapped_column(String(13))
    asked_ms: Mapped[int] = mapped_column(BigInteger)
    officer_passkey: Mapped[str] = mapped_column(String(ID_CHARACTERS))
    salt: Mapped[bytes] = mapped_column(LargeBinary(16))
    expires_ms: Mapped[int] = mapped_column(BigInteger)
    signature: Mapped[bytes] = mapped_column(LargeBinary)
    code: Mapped[str] = mapped_column(String(64))
