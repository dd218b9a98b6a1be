# SPDX-License-Identifier: Apache-2.0
"""The office's tables of what came from kiosks. All of it is a person's, and goes with the person."""

from pathlib import Path

from sqlalchemy import BigInteger, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from service.store import PersonalRow, sealed
from service.store.migrate import add_migrations

add_migrations(Path(__file__).parent / "migrations")

RECEIVED, RECORDED, REFUSED = "received", "recorded", "refused"
"""States of a statement: written down; done, and its digest on the ledger; written down, and never to be done."""


class KioskStatement(PersonalRow):
    """A signed statement. `stream` is random and stands on the ledger; `content` is what was sealed at the kiosk."""

    __tablename__ = "kiosk_statement"

    organisation: Mapped[str] = mapped_column(String(64))
    stream: Mapped[bytes] = mapped_column(LargeBinary(16), unique=True)
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16), index=True)
    received_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    device: Mapped[str] = mapped_column(String(66))
    content: Mapped[bytes | None] = sealed()


class KioskPresence(PersonalRow):
    """What a liveness method said of whoever opened a visit as this person. `content` is its evidence."""

    __tablename__ = "kiosk_presence"

    organisation: Mapped[str] = mapped_column(String(64))
    device: Mapped[str] = mapped_column(String(66))
    opened_ms: Mapped[int] = mapped_column(BigInteger)
    content: Mapped[bytes | None] = sealed()
