# SPDX-License-Identifier: Apache-2.0
"""Private tables of the lists of accesses. All of it is a person's, and goes with the person."""

from pathlib import Path

from sqlalchemy import BigInteger, Integer, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from service.store import PersonalRow, sealed
from service.store.migrate import add_migrations
from service.store.models import ID_CHARACTERS

add_migrations(Path(__file__).parent / "migrations")


class AccessListRow(PersonalRow):
    """A person's list. `head` (`lists.Head`) has its first and its free slot, and what follows the free one.

    `first_digest` is keyed: who names the first slot finds the list, and the database alone says nothing.
    """

    __tablename__ = "access_list"

    first_digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    entries: Mapped[int] = mapped_column(Integer)
    made_ms: Mapped[int] = mapped_column(BigInteger)
    head: Mapped[bytes | None] = sealed()


class AccessOpeningRow(PersonalRow):
    """What opens one entry: bytes of `AccessOpening` in hex. `slot_digest` is keyed, as above."""

    __tablename__ = "access_opening"

    list_id: Mapped[str] = mapped_column(String(ID_CHARACTERS), index=True)
    number: Mapped[int] = mapped_column(Integer)
    slot_digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    slot: Mapped[bytes | None] = sealed()
    opening: Mapped[bytes | None] = sealed()

    __table_args__ = (UniqueConstraint("list_id", "number"),)
