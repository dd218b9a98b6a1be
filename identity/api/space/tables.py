# SPDX-License-Identifier: Apache-2.0
"""Private tables of the personal data space. All of it is a person's, and goes with the person."""

from pathlib import Path

from sqlalchemy import BigInteger, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from service.store import PersonalRow, sealed
from service.store.migrate import add_migrations
from service.store.models import ID_CHARACTERS

add_migrations(Path(__file__).parent / "migrations")


class SpaceAct(PersonalRow):
    """That somebody did something in their data space: for the limits alone."""

    __tablename__ = "space_act"

    kind: Mapped[str] = mapped_column(String(32))
    at_ms: Mapped[int] = mapped_column(BigInteger, index=True)


class SpaceConsent(PersonalRow):
    """A consent with what each side keeps secret, and the presentation by which its holder signed it.

    Whether it counts, the ledger says; the row says no more than that it was sent there.
    """

    __tablename__ = "space_consent"

    made_ms: Mapped[int] = mapped_column(BigInteger)
    content: Mapped[bytes | None] = sealed()


class SpaceRequest(PersonalRow):
    """That somebody wants something corrected or erased; `requests.State` has its states.

    `text` is what they wrote, `answer` what the desk wrote back.
    """

    __tablename__ = "space_request"

    organisation: Mapped[str] = mapped_column(String(64), index=True)
    reference: Mapped[str] = mapped_column(String(32), unique=True)
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16), index=True)
    made_ms: Mapped[int] = mapped_column(BigInteger)
    changed_ms: Mapped[int] = mapped_column(BigInteger)
    staff_id: Mapped[str] = mapped_column(String(ID_CHARACTERS))
    text: Mapped[bytes | None] = sealed()
    answer: Mapped[bytes | None] = sealed()


class SpaceSeal(PersonalRow):
    """A look that the law delays, sealed on the ledger until its person may see it; `content` has its secrets.

    `sealed_ms` and `joined_ms` are 0 until the ledger has taken the one and the other.
    """

    __tablename__ = "space_seal"

    access_id: Mapped[str] = mapped_column(String(ID_CHARACTERS), unique=True)
    due_day: Mapped[int] = mapped_column(Integer)
    sealed_ms: Mapped[int] = mapped_column(BigInteger)
    joined_ms: Mapped[int] = mapped_column(BigInteger)
    content: Mapped[bytes | None] = sealed()
