# SPDX-License-Identifier: Apache-2.0
"""Private tables of the shopper's page: scans of serials by hour and district, and complaints. No row is of a person.

A scan row says how often a serial was looked at in an hour, and where whoever looked said that they were; it goes after
30 days. A complaint has what somebody wrote, and nothing of who; it goes after a year.
"""

from pathlib import Path

from sqlalchemy import BigInteger, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from service.store import Base
from service.store.migrate import add_migrations
from service.store.models import ID_CHARACTERS

add_migrations(Path(__file__).parent / "migrations")

ITEM_CHARACTERS_MAX = 100
"""A serial with each of its characters escaped has 81."""
COMPLAINT_CHARACTERS_MAX = 1_000


class FoodScan(Base):
    """So many scans of a serial in one hour, in one district; an empty one: nobody said where."""

    __tablename__ = "food_scan"

    item: Mapped[str] = mapped_column(String(ITEM_CHARACTERS_MAX), primary_key=True)
    hour: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    district: Mapped[str] = mapped_column(String(6), primary_key=True)
    count: Mapped[int] = mapped_column(Integer)

    __table_args__ = (Index(None, "hour"),)


class FoodComplaint(Base):
    """What a shopper complains of. `id` begins with the number that they were told."""

    __tablename__ = "food_complaint"

    id: Mapped[str] = mapped_column(String(ID_CHARACTERS), primary_key=True)
    item: Mapped[str] = mapped_column(String(ITEM_CHARACTERS_MAX), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    district: Mapped[str] = mapped_column(String(6))
    text: Mapped[str] = mapped_column(String(COMPLAINT_CHARACTERS_MAX))
    made_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    seen_ms: Mapped[int] = mapped_column(BigInteger)
