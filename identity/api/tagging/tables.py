# SPDX-License-Identifier: Apache-2.0
"""Registrars that may ask the uniqueness service, and how often each has. No number and no tag stands in any table."""

from pathlib import Path

from sqlalchemy import BigInteger, Boolean, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from service.api_keys import ApiKeyRow
from service.store import Base
from service.store.migrate import add_migrations
from service.store.models import ID_CHARACTERS

add_migrations(Path(__file__).parent / "migrations")


class UniquenessRegistrar(ApiKeyRow):
    """A registrar's access: whose it is."""

    __tablename__ = "uniqueness_registrar"

    organisation: Mapped[str] = mapped_column(String(64))


class UniquenessUsage(Base):
    """What a registrar has used of a budget in this minute and on this day."""

    __tablename__ = "uniqueness_usage"

    registrar_id: Mapped[str] = mapped_column(String(ID_CHARACTERS), primary_key=True)
    budget: Mapped[str] = mapped_column(String(16), primary_key=True)
    minute: Mapped[int] = mapped_column(BigInteger)
    minute_count: Mapped[int] = mapped_column(Integer)
    day: Mapped[int] = mapped_column(BigInteger)
    day_count: Mapped[int] = mapped_column(Integer)
    is_refusal_noted: Mapped[bool] = mapped_column(Boolean)
