# SPDX-License-Identifier: Apache-2.0
"""Tables of blank cards and of cards: where each piece of plastic is, and what became of it.

Serial numbers of blanks say nothing about a person; which card somebody got stands in a row about that person, so that
it goes when the person is erased, and the blank stays with the state that it had.
"""

from pathlib import Path

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from service.store import Base, Normal, PersonalRow, sealed
from service.store.migrate import add_migrations

add_migrations(Path(__file__).parent / "cards_migrations")

SERIAL_CHARACTERS_MAX = 32
"""What makers print on a card."""


class Delivery(Base):
    """A box of blank cards with consecutive serial numbers."""

    __tablename__ = "desk_delivery"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    reference: Mapped[str] = mapped_column(String(64))
    first_serial: Mapped[str] = mapped_column(String(SERIAL_CHARACTERS_MAX))
    announced: Mapped[int] = mapped_column(Integer)
    received_by: Mapped[str] = mapped_column(String(32))
    received_ms: Mapped[int] = mapped_column(BigInteger, index=True)


class Blank(Base):
    """One blank card, from the box to its end."""

    __tablename__ = "desk_blank"

    serial: Mapped[str] = mapped_column(String(SERIAL_CHARACTERS_MAX), primary_key=True)
    delivery_id: Mapped[str] = mapped_column(ForeignKey("desk_delivery.id"), index=True)
    state: Mapped[str] = mapped_column(String(16), index=True)
    since_ms: Mapped[int] = mapped_column(BigInteger)
    card_id: Mapped[str | None] = mapped_column(String(32), nullable=True, index=True)
    destroy_asked_by: Mapped[str | None] = mapped_column(String(32), nullable=True)


class StockCount(Base):
    """A count by two people, each without seeing the other's figure."""

    __tablename__ = "desk_stock_count"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    delivery_id: Mapped[str | None] = mapped_column(ForeignKey("desk_delivery.id"), nullable=True, index=True)
    state: Mapped[str] = mapped_column(String(16))
    expected: Mapped[int] = mapped_column(Integer)
    opened_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    first_by: Mapped[str | None] = mapped_column(String(32), nullable=True)
    first_figure: Mapped[int | None] = mapped_column(Integer, nullable=True)
    second_by: Mapped[str | None] = mapped_column(String(32), nullable=True)
    second_figure: Mapped[int | None] = mapped_column(Integer, nullable=True)
    settled_ms: Mapped[int | None] = mapped_column(BigInteger, nullable=True)


class Card(PersonalRow):
    """Somebody's card. `work` is the journal of its personalisation, `letter` what the PIN letter is to say.

    `ending_ms`: since when its holder has the card that replaces it, until the ledger has none of its keys.
    """

    __tablename__ = "desk_card"

    state: Mapped[str] = mapped_column(String(16), index=True)
    suspended_from: Mapped[str | None] = mapped_column(String(16), nullable=True)
    reason: Mapped[str] = mapped_column(String(16))
    serial: Mapped[str | None] = mapped_column(String(SERIAL_CHARACTERS_MAX), nullable=True, unique=True)
    replaces: Mapped[str | None] = mapped_column(String(32), nullable=True, index=True)
    ending_ms: Mapped[int | None] = mapped_column(BigInteger, nullable=True, index=True)
    requested_by: Mapped[str] = mapped_column(String(32))
    requested_ms: Mapped[int] = mapped_column(BigInteger)
    since_ms: Mapped[int] = mapped_column(BigInteger)
    expires_ms: Mapped[int | None] = mapped_column(BigInteger, nullable=True)
    guid: Mapped[bytes | None] = sealed(Normal.IDENTIFIER)
    keys: Mapped[bytes | None] = sealed()
    work: Mapped[bytes | None] = sealed()
    letter: Mapped[bytes | None] = sealed()
    receipt: Mapped[bytes | None] = sealed()


class LifeEvent(PersonalRow):
    """One step in the life of a card, a company or a mandate: who, when, by which act, with the ledger's receipt."""

    __tablename__ = "desk_event"

    subject_id: Mapped[str] = mapped_column(String(32))
    number: Mapped[int] = mapped_column(Integer)
    step: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    at_ms: Mapped[int] = mapped_column(BigInteger)
    actor: Mapped[str] = mapped_column(String(32))
    act_id: Mapped[str | None] = mapped_column(String(32), nullable=True, index=True)
    receipt: Mapped[bytes | None] = sealed()

    __table_args__ = (Index(None, "subject_id", "number", unique=True),)


class PhoneCall(Base):
    """A call in which somebody asked for a suspension; kept for the limits alone, without the caller."""

    __tablename__ = "desk_phone_call"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    actor: Mapped[str] = mapped_column(String(32))
    subject: Mapped[bytes] = mapped_column(LargeBinary(32))
    at_ms: Mapped[int] = mapped_column(BigInteger, index=True)
