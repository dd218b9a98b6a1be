# SPDX-License-Identifier: Apache-2.0
"""Every certificate that the card authority ever issued, and how it stands; without a word about whose card it is.

A row is written before the certificate leaves the authority, so that none exists which nobody can revoke. Rows outlive
the person's: what was revoked stays revoked when its holder's data are erased.
"""

from pathlib import Path

from sqlalchemy import BigInteger, Boolean, String
from sqlalchemy.orm import Mapped, mapped_column

from service.store import Base
from service.store.migrate import add_migrations

add_migrations(Path(__file__).parent / "card_status_migrations")


class CardCertificate(Base):
    """One certificate. `serial` and `guid` are random, in hexadecimal; times in s since 1970."""

    __tablename__ = "desk_card_certificate"

    serial: Mapped[str] = mapped_column(String(40), primary_key=True)
    guid: Mapped[str] = mapped_column(String(32), index=True)
    expires_s: Mapped[int] = mapped_column(BigInteger, index=True)
    has_counted: Mapped[bool] = mapped_column(Boolean)
    reason: Mapped[str | None] = mapped_column(String(16), nullable=True)
    since_s: Mapped[int] = mapped_column(BigInteger)
