# SPDX-License-Identifier: Apache-2.0
"""Tables of batches: which line of a file became which card, or why not. The file itself is not kept."""

from pathlib import Path

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from service.store import Base
from service.store.migrate import add_migrations

add_migrations(Path(__file__).parent / "batch_migrations")


class Batch(Base):
    """One file of people who are to get cards."""

    __tablename__ = "desk_batch"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    organisation: Mapped[str] = mapped_column(String(64))
    created_by: Mapped[str] = mapped_column(String(32))
    created_ms: Mapped[int] = mapped_column(BigInteger, index=True)


class BatchRow(Base):
    """One line of the file; it goes with its person. `code` says why it did not become a card."""

    __tablename__ = "desk_batch_row"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    batch_id: Mapped[str] = mapped_column(ForeignKey("desk_batch.id", ondelete="CASCADE"))
    line: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(String(16))
    code: Mapped[str] = mapped_column(String(64))
    person_id: Mapped[str | None] = mapped_column(
        ForeignKey("person.id", ondelete="CASCADE"), nullable=True, index=True
    )
    card_id: Mapped[str | None] = mapped_column(String(32), nullable=True)

    __table_args__ = (Index(None, "batch_id", "line", unique=True),)
