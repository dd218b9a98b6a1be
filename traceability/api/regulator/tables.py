# SPDX-License-Identifier: Apache-2.0
"""Private tables of the regulator's pages: drills as they were found, and notices to participants.

Nothing in them is about a natural person: participants are numbers, and who asked is an officer's random id.
"""

from pathlib import Path

from sqlalchemy import BigInteger, Boolean, ForeignKey, Integer, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from service.store import Base
from service.store.migrate import add_migrations
from service.store.models import ID_CHARACTERS

add_migrations(Path(__file__).parent / "migrations")


class FoodDrill(Base):
    """A drill, or a search for a real recall. `report` is what was found then, packed; see `drills`."""

    __tablename__ = "food_drill"

    id: Mapped[str] = mapped_column(String(ID_CHARACTERS), primary_key=True)
    number: Mapped[str] = mapped_column(String(16), unique=True)
    is_drill: Mapped[bool] = mapped_column(Boolean)
    organisation: Mapped[str] = mapped_column(String(64))
    opened_by: Mapped[str] = mapped_column(String(ID_CHARACTERS))
    started_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    took_ms: Mapped[int] = mapped_column(Integer)
    report: Mapped[bytes] = mapped_column(LargeBinary)


class FoodNotice(Base):
    """A notice to a participant that had affected goods; `acknowledged_ms` is 0 until they say that they read it."""

    __tablename__ = "food_notice"

    id: Mapped[str] = mapped_column(String(ID_CHARACTERS), primary_key=True)
    drill_id: Mapped[str] = mapped_column(ForeignKey("food_drill.id", ondelete="CASCADE"), index=True)
    gln: Mapped[str] = mapped_column(String(13), index=True)
    sent_ms: Mapped[int] = mapped_column(BigInteger)
    acknowledged_ms: Mapped[int] = mapped_column(BigInteger)
    acknowledged_by: Mapped[str] = mapped_column(String(ID_CHARACTERS))

    __table_args__ = (UniqueConstraint("drill_id", "gln"),)


class FoodDiscrepancy(Base):
    """A receipt that did not match, as the ledger's state says; found by `discrepancies`, and made anew at any time."""

    __tablename__ = "food_discrepancy"

    event: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    item: Mapped[str] = mapped_column(String(100), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, index=True)
    recorded_ms: Mapped[int] = mapped_column(BigInteger)
    receiver: Mapped[str] = mapped_column(String(13))
    shipper: Mapped[str] = mapped_column(String(13))
    over: Mapped[int] = mapped_column(BigInteger)
    short: Mapped[int] = mapped_column(BigInteger)


class FoodReceiptsRead(Base):
    """One row: up to which event of the index receipts were looked through."""

    __tablename__ = "food_receipts_read"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)
