# SPDX-License-Identifier: Apache-2.0
"""Tables of the private store, and what a table about persons looks like.

A row about a person is a `PersonalRow`: it goes when the person goes, and what is personal in it stands in sealed
columns. Ids are random and say nothing. Packages above this one add their own tables by subclassing.
"""

import secrets
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, LargeBinary, MetaData, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedColumn, declared_attr, mapped_column

from service.store.normal import Normal

ID_CHARACTERS = 32
"""128 random bits in hex: nobody guesses one, and no two meet."""

_NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """All tables of the store."""

    metadata = MetaData(naming_convention=_NAMING)


def new_id() -> str:
    """A random id; 32 hex digits."""
    return secrets.token_hex(ID_CHARACTERS // 2)


class StoreMark(Base):
    """One row: which store this is, and under which epoch persons' keys are wrapped."""

    __tablename__ = "store_mark"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    store: Mapped[str] = mapped_column(String(ID_CHARACTERS))
    epoch: Mapped[int] = mapped_column(Integer)


class Person(Base):
    """One person: an id, and the wrapped key under which all that is personal is sealed."""

    __tablename__ = "person"

    id: Mapped[str] = mapped_column(String(ID_CHARACTERS), primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    epoch: Mapped[int] = mapped_column(Integer, index=True)
    key_version: Mapped[int] = mapped_column(Integer)
    wrapped_key: Mapped[bytes] = mapped_column(LargeBinary(256))


class PersonalRow(Base):
    """A row about one person; it is deleted with the person."""

    __abstract__ = True

    id: Mapped[str] = mapped_column(String(ID_CHARACTERS), primary_key=True, sort_order=-2)

    @declared_attr
    def person_id(cls) -> Mapped[str]:  # noqa: N805 - a declared attribute is given the class
        """Whose row it is."""
        return mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True, sort_order=-1)

    def __init__(self, **values: Any) -> None:
        values.setdefault("id", new_id())
        super().__init__(**values)


def sealed(index: Normal | None = None) -> MappedColumn[bytes | None]:
    """A column whose values are sealed under the person's key; `People.seal` and `People.open` write and read it.

    Args:
        index: How values are made comparable for search; None: not searched.
    """
    return mapped_column(LargeBinary, nullable=True, info={"sealed": True, "index": index})


class BlindEntry(Base):
    """One searchable value: a keyed digest that leads to a row and says nothing to who lacks the key."""

    __tablename__ = "blind_entry"

    table: Mapped[str] = mapped_column(String(64), primary_key=True)
    column: Mapped[str] = mapped_column(String(64), primary_key=True)
    row: Mapped[str] = mapped_column(String(ID_CHARACTERS), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32))
    person_id: Mapped[str] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)

    __table_args__ = (Index(None, "digest", "table", "column"),)


class Erasure(Base):
    """A person who was erased: a digest of the id, so that no old copy brings them back."""

    __tablename__ = "erasure"

    person: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    at_ms: Mapped[int] = mapped_column(BigInteger)
    epoch: Mapped[int] = mapped_column(Integer)


class AuditHead(Base):
    """One row: the end of the audit chain. Whoever appends holds it."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32))


class AuditEntry(Base):
    """One act, chained to the one before; the database refuses to change or delete it."""

    __tablename__ = "audit_entry"

    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at_ms: Mapped[int] = mapped_column(BigInteger)
    actor: Mapped[str] = mapped_column(String(64))
    act: Mapped[str] = mapped_column(String(64))
    record: Mapped[str] = mapped_column(String(64))
    request: Mapped[str] = mapped_column(String(ID_CHARACTERS))
    digest: Mapped[bytes] = mapped_column(LargeBinary(32))


class AuditBatch(Base):
    """A stretch of the audit chain whose digest goes where nobody here can change it."""

    __tablename__ = "audit_batch"

    last: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    first: Mapped[int] = mapped_column(BigInteger)
    salt: Mapped[bytes] = mapped_column(LargeBinary(32))
    digest: Mapped[bytes] = mapped_column(LargeBinary(32))
    reference: Mapped[str | None] = mapped_column(String(256), nullable=True)

    __table_args__ = (UniqueConstraint("digest"),)


class Replay(Base):
    """A request that was sent under an Idempotency-Key, and its sealed answer."""

    __tablename__ = "replay"

    key: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    request: Mapped[bytes] = mapped_column(LargeBinary(32))
    state: Mapped[str] = mapped_column(String(16))
    answer: Mapped[bytes] = mapped_column(LargeBinary)
    started_ms: Mapped[int] = mapped_column(BigInteger, index=True)
