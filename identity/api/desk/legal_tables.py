# SPDX-License-Identifier: Apache-2.0
"""Tables of companies and mandates.

A company's code and names are public and stand in the clear; who represents it is sealed under a key of the company's
own. A mandate belongs to its agent, and to its principal if that is a natural person: it goes with either.
"""

from pathlib import Path

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from service.store import Normal, PersonalRow, sealed
from service.store.migrate import add_migrations

add_migrations(Path(__file__).parent / "legal_migrations")


class Company(PersonalRow):
    """A legal person that this desk registers. `pending` is what is asked for, `private` what counts now (as JSON)."""

    __tablename__ = "desk_company"

    organisation: Mapped[str] = mapped_column(String(64))
    uscc: Mapped[str] = mapped_column(String(18))
    name_zh: Mapped[str] = mapped_column(String(192))
    name_en: Mapped[str] = mapped_column(String(192))
    state: Mapped[str] = mapped_column(String(16), index=True)
    changed_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    drafted_by: Mapped[str] = mapped_column(String(32))
    pending: Mapped[bytes | None] = sealed()
    private: Mapped[bytes | None] = sealed()
    representative: Mapped[bytes | None] = sealed(Normal.TEXT)

    __table_args__ = (UniqueConstraint("organisation", "uscc"),)


class Mandate(PersonalRow):
    """A mandate that this desk records; `content` is its terms, id and salt, `slips` what each side is still to get.

    Company and sides are keyed digests, by which a row is found and nobody without the key joins it to the ledger.
    """

    __tablename__ = "desk_mandate"

    organisation: Mapped[str] = mapped_column(String(64))
    principal_id: Mapped[str | None] = mapped_column(
        ForeignKey("person.id", ondelete="CASCADE"), nullable=True, index=True
    )
    company: Mapped[bytes | None] = mapped_column(LargeBinary(32), nullable=True, index=True)
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16), index=True)
    created_ms: Mapped[int] = mapped_column(BigInteger)
    changed_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    principal_side: Mapped[bytes] = mapped_column(LargeBinary(32), index=True)
    agent_side: Mapped[bytes] = mapped_column(LargeBinary(32), index=True)
    content: Mapped[bytes | None] = sealed()
    slips: Mapped[bytes | None] = sealed()
