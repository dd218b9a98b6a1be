# SPDX-License-Identifier: Apache-2.0
"""Private tables of the model monitor, of statutory lists, and of who is told.

The monitor's rows are counts of many: nobody's row enters them. Who stands on a list, for which event and by which
record on the ledger, is sealed under the person's key, for natural and legal persons alike.
"""

from pathlib import Path

from sqlalchemy import BigInteger, Boolean, Integer, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from credit.api.tables import ORGANISATION_CHARACTERS
from service.store import Base, PersonalRow, sealed
from service.store.migrate import add_migrations
from service.store.models import ID_CHARACTERS

add_migrations(Path(__file__).parent / "page_migrations")

MONTH_CHARACTERS = 7
"""As "2026-10"."""


class CreditMonth(Base):
    """A month's figures: `monitor_figures.Figures` as JSON. Those of a month that is not over are replaced."""

    __tablename__ = "credit_month"

    month: Mapped[str] = mapped_column(String(MONTH_CHARACTERS), primary_key=True)
    is_over: Mapped[bool] = mapped_column(Boolean)
    made_ms: Mapped[int] = mapped_column(BigInteger)
    figures: Mapped[bytes] = mapped_column(LargeBinary)


class CreditReference(Base):
    """Whom a scorecard's later months are compared with: how many had how many points; JSON, never shown."""

    __tablename__ = "credit_reference"

    scorecard: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    month: Mapped[str] = mapped_column(String(MONTH_CHARACTERS))
    points: Mapped[bytes] = mapped_column(LargeBinary)


class CreditGrouping(Base):
    """An attribute by which grades are compared, with the legal basis that the authority named for it."""

    __tablename__ = "credit_grouping"

    attribute: Mapped[str] = mapped_column(String(16), primary_key=True)
    basis: Mapped[str] = mapped_column(String(200))
    organisation: Mapped[str] = mapped_column(String(ORGANISATION_CHARACTERS))
    since_ms: Mapped[int] = mapped_column(BigInteger)


class CreditListing(PersonalRow):
    """An entry on a statutory list. `content` is `listings.Content`: event, documents, measures, record."""

    __tablename__ = "credit_listing"

    subject_id: Mapped[str] = mapped_column(String(ID_CHARACTERS), index=True)
    organisation: Mapped[str] = mapped_column(String(ORGANISATION_CHARACTERS), index=True)
    state: Mapped[str] = mapped_column(String(16), index=True)
    is_public: Mapped[bool] = mapped_column(Boolean)
    until_day: Mapped[int] = mapped_column(Integer)
    made_ms: Mapped[int] = mapped_column(BigInteger)
    listed_ms: Mapped[int] = mapped_column(BigInteger)
    ended_ms: Mapped[int] = mapped_column(BigInteger)
    content: Mapped[bytes | None] = sealed()


class CreditShown(PersonalRow):
    """A report that its holder gave to a reader by a link; `id` is that of the look it stands in the list as.

    `content` is sealed by the holder's browser under a key that stands in the link alone: this service keeps what it
    cannot open. It goes when it is over, or when the holder takes it back.
    """

    __tablename__ = "credit_shown"

    subject_id: Mapped[str] = mapped_column(String(ID_CHARACTERS), index=True)
    expires_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    opened: Mapped[int] = mapped_column(Integer)
    content: Mapped[bytes] = mapped_column(LargeBinary)


class CreditContact(PersonalRow):
    """Where somebody is told: `owner` is a subject's id, or an organisation's. `channels` is a list as JSON.

    An organisation's row has a key of its own, as a person's has: notices go to it as to anybody.
    """

    __tablename__ = "credit_contact"

    owner: Mapped[str] = mapped_column(String(ORGANISATION_CHARACTERS), unique=True)
    channels: Mapped[bytes | None] = sealed()


class CreditToTell(Base):
    """Somebody of whom something was recorded that counts against them, and who has not been told yet.

    Written in the transaction that takes the event in, and gone with the one that puts the notice into the outbox. `id`
    begins with the time.
    """

    __tablename__ = "credit_to_tell"

    id: Mapped[str] = mapped_column(String(ID_CHARACTERS), primary_key=True)
    subject_id: Mapped[str] = mapped_column(String(ID_CHARACTERS))


class CreditPass(Base):
    """How far a pass over all subjects is: it covers days after `done_day` up to `day`, and goes on after a subject.

    No pass is under way while both days are the same.
    """

    __tablename__ = "credit_pass"

    name: Mapped[str] = mapped_column(String(16), primary_key=True)
    done_day: Mapped[int] = mapped_column(Integer)
    day: Mapped[int] = mapped_column(Integer)
    after: Mapped[str] = mapped_column(String(ID_CHARACTERS))
