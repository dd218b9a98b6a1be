# SPDX-License-Identifier: Apache-2.0
"""Tables of captured events in the private store: whole events, sealed under their owner's key, and jobs on their way.

An owner is a participant. Its key stands sealed under a person of the store, so that erasing that person closes
everything of the owner's at once, and the database deletes the rows with it. What stands here in the clear is public on
the chain, or random.
"""

from pathlib import Path

from sqlalchemy import (
    BigInteger,
    Boolean,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from service.api_keys import ApiKeyRow
from service.store import Base, PersonalRow, sealed
from service.store.migrate import add_migrations
from service.store.models import ID_CHARACTERS

add_migrations(Path(__file__).parent / "migrations")

GLN_CHARACTERS = 13
CODE_CHARACTERS = 64
NAME_CHARACTERS = 100


class FoodOwner(PersonalRow):
    """A participant whose whole events are kept here."""

    __tablename__ = "food_owner"

    gln: Mapped[str] = mapped_column(String(GLN_CHARACTERS), unique=True)
    key: Mapped[bytes | None] = sealed()


class FoodClient(ApiKeyRow):
    """A program's access: whose, and a digest of its key."""

    __tablename__ = "food_client"

    gln: Mapped[str] = mapped_column(String(GLN_CHARACTERS))


class FoodCaptured(Base):
    """A recorded event, whole: its secret and its bytes, sealed. An error declaration is a row beside its event's."""

    __tablename__ = "food_captured"

    id: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    is_declaration: Mapped[bool] = mapped_column(Boolean, primary_key=True)
    owner_id: Mapped[str] = mapped_column(ForeignKey("food_owner.id", ondelete="CASCADE"))
    name: Mapped[bytes] = mapped_column(LargeBinary(32))
    content: Mapped[bytes] = mapped_column(LargeBinary)
    captured_ms: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (UniqueConstraint("owner_id", "name", "is_declaration"),)


class FoodCapture(Base):
    """A capture job."""

    __tablename__ = "food_capture"

    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    id: Mapped[str] = mapped_column(String(ID_CHARACTERS), unique=True)
    owner_id: Mapped[str] = mapped_column(ForeignKey("food_owner.id", ondelete="CASCADE"))
    is_rollback: Mapped[bool] = mapped_column(Boolean)
    is_running: Mapped[bool] = mapped_column(Boolean)
    is_success: Mapped[bool] = mapped_column(Boolean)
    events: Mapped[int] = mapped_column(Integer)
    created_ms: Mapped[int] = mapped_column(BigInteger)
    finished_ms: Mapped[int | None] = mapped_column(BigInteger, nullable=True)

    __table_args__ = (Index(None, "owner_id", "is_running", "number"),)


class FoodSubmission(Base):
    """A signed transaction of a job that has no outcome yet; there is at most one for each job."""

    __tablename__ = "food_submission"

    capture: Mapped[int] = mapped_column(ForeignKey("food_capture.number", ondelete="CASCADE"), primary_key=True)
    raw: Mapped[bytes] = mapped_column(LargeBinary)


class FoodCaptureItem(Base):
    """One event of a job. `content` is emptied once it is recorded or refused; `fault` says why it was refused."""

    __tablename__ = "food_capture_item"

    capture: Mapped[int] = mapped_column(ForeignKey("food_capture.number", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    state: Mapped[str] = mapped_column(String(8))
    operation: Mapped[int | None] = mapped_column(Integer, nullable=True)
    content: Mapped[bytes | None] = mapped_column(LargeBinary, nullable=True)
    code: Mapped[str] = mapped_column(String(CODE_CHARACTERS))
    fault: Mapped[bytes | None] = mapped_column(LargeBinary, nullable=True)


class FoodQuery(Base):
    """A named query of one owner: a participant, or the regulators together (an empty number)."""

    __tablename__ = "food_query"

    gln: Mapped[str] = mapped_column(String(GLN_CHARACTERS), primary_key=True)
    name: Mapped[str] = mapped_column(String(NAME_CHARACTERS), primary_key=True)
    parameters: Mapped[str] = mapped_column(Text)
    made_ms: Mapped[int] = mapped_column(BigInteger)


class FoodSubscription(Base):
    """A receiver of a named query's new events. `place` is the last event that the receiver has acknowledged."""

    __tablename__ = "food_subscription"

    id: Mapped[str] = mapped_column(String(ID_CHARACTERS), primary_key=True)
    gln: Mapped[str] = mapped_column(String(GLN_CHARACTERS))
    query: Mapped[str] = mapped_column(String(NAME_CHARACTERS))
    dest: Mapped[str] = mapped_column(Text)
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    schedule: Mapped[str] = mapped_column(Text)
    report_if_empty: Mapped[bool] = mapped_column(Boolean)
    place: Mapped[int] = mapped_column(BigInteger)
    due_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    failures: Mapped[int] = mapped_column(Integer)
    made_ms: Mapped[int] = mapped_column(BigInteger)
    heard_ms: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (
        ForeignKeyConstraint(["gln", "query"], ["food_query.gln", "food_query.name"], ondelete="CASCADE"),
        Index(None, "gln", "query"),
    )
