# SPDX-License-Identifier: Apache-2.0
"""The outbox of notices in the private store."""

from pathlib import Path

from sqlalchemy import BigInteger, Boolean, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from service.store import PersonalRow, sealed
from service.store.migrate import add_migrations

add_migrations(Path(__file__).parent / "migrations")


class Notice(PersonalRow):
    """One notice to one person by one channel; `outbox` has its states.

    `way` tells "phone" and "mail" apart. `channel` is the number or address, `words` what the text's places say; both
    are emptied once nothing is to be sent any more. `due_ms` is when it is tried next: whoever tries it moves that on
    first, so that nobody else does meanwhile.
    """

    __tablename__ = "notice"

    kind: Mapped[str] = mapped_column(String(32))
    is_urgent: Mapped[bool] = mapped_column(Boolean)
    way: Mapped[str] = mapped_column(String(8))
    language: Mapped[str] = mapped_column(String(8))
    state: Mapped[str] = mapped_column(String(8))
    at_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    due_ms: Mapped[int] = mapped_column(BigInteger)
    tried_ms: Mapped[int] = mapped_column(BigInteger)
    done_ms: Mapped[int] = mapped_column(BigInteger)
    tries: Mapped[int] = mapped_column(Integer)
    provider: Mapped[str] = mapped_column(String(16))
    code: Mapped[str] = mapped_column(String(32))
    channel: Mapped[bytes | None] = sealed()
    words: Mapped[bytes | None] = sealed()

    __table_args__ = (Index(None, "state", "due_ms"),)
