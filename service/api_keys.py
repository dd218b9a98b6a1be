# SPDX-License-Identifier: Apache-2.0
"""Keys by which programs use a service's interface: shown once, kept as digests, ended for good.

A key is a prefix, by which whoever finds one where it should not be knows what it is, and 32 random bytes. What its
holder may do is each service's own affair, and so are the other columns of its table.

Source: RFC 6750 (bearer).
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import BigInteger, LargeBinary, RowMapping, Select, String, Table, bindparam, select
from sqlalchemy.orm import Mapped, mapped_column

from service.problems import Problem, ProblemKind
from service.store import Act, Base, Store, audit
from service.store.models import ID_CHARACTERS

KEY_CHARACTERS_MAX: Final = 64
"""Ours have 47; a longer one is not even digested."""
_KEY_BYTES = 32


class ApiKeyRow(Base):
    """What each table of programs has; whose they are and what they may do, the table adds."""

    __abstract__ = True

    id: Mapped[str] = mapped_column(String(ID_CHARACTERS), primary_key=True)
    key_digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    made_ms: Mapped[int] = mapped_column(BigInteger)
    ended_ms: Mapped[int | None] = mapped_column(BigInteger, nullable=True)


Program = TypeVar("Program", bound=ApiKeyRow)


@dataclass(frozen=True, slots=True)
class ApiKeys(Generic[Program]):
    """The keys of one service.

    Attributes:
        model: Its table.
        prefixes: With which its keys begin, such as "zxv_".
        mark: Stands before a key where it is digested, so that no two services have digests in common; it may be
            empty. It never changes: no key would be found any more.
        word: Of what its acts are in the audit chain: "verifier.client" makes "verifier.client-added".
        unknown: How a key that is nobody's, or was ended, is refused.
    """

    model: type[Program]
    prefixes: tuple[str, ...]
    mark: bytes
    word: str
    unknown: ProblemKind
    _asked: Select[Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make the statement once that each request needs."""
        table = table_of(self.model)
        used = select(table).where(table.c.key_digest == bindparam("digest"), table.c.ended_ms.is_(None))
        object.__setattr__(self, "_asked", used)

    def new(self, prefix: str) -> tuple[str, bytes]:
        """A fresh key, which is kept nowhere, and its digest, which is.

        Args:
            prefix: One of this service's.
        """
        assert prefix in self.prefixes, "a prefix of this service"
        key = prefix + secrets.token_urlsafe(_KEY_BYTES)
        return key, self.digest(key)

    def add(self, store: Store, row: Program) -> None:
        """Keep a program, and say so in the audit chain; blocks."""
        with store.write() as session:
            session.add(row)
            store.record(session, Act(audit.SYSTEM, f"{self.word}-added", row.id))

    def end(self, store: Store, program_id: str, now_ms: int) -> bool:
        """End a program's key for good; its row stays. Blocks.

        Returns:
            Whether there was one in use.
        """
        with store.write() as session:
            row = session.get(self.model, program_id, with_for_update=True)
            if row is None or row.ended_ms is not None:
                return False
            row.ended_ms = now_ms
            store.record(session, Act(audit.SYSTEM, f"{self.word}-ended", program_id))
            return True

    def listed(self, store: Store) -> Sequence[Program]:
        """All of them, oldest first; blocks."""
        with store.read() as session:
            return session.scalars(select(self.model).order_by(self.model.made_ms)).all()

    def find(self, store: Store, key: str) -> RowMapping:
        """The row of whoever has this key; blocks.

        Args:
            store: Where programs stand.
            key: As it came.

        Raises:
            Problem: Nobody's, or it was ended.
        """
        if not key.startswith(self.prefixes) or len(key) > KEY_CHARACTERS_MAX or not key.isascii():
            raise self.nobody()
        with store.read() as session:
            row = session.connection().execute(self._asked, {"digest": self.digest(key)}).mappings().one_or_none()
        if row is None:
            raise self.nobody()
        return row

    def nobody(self) -> Problem:
        """That a key opens nothing; it does not say why."""
        return Problem(self.unknown, headers={"WWW-Authenticate": "Bearer"})

    def digest(self, key: str) -> bytes:
        """Under which a key stands in the table."""
        return hashlib.sha256(self.mark + key.encode()).digest()


def table_of(model: type[Base]) -> Table:
    """The table of a mapped class, for questions that want plain rows: they cost a third of mapped ones."""
    table = model.__table__
    assert isinstance(table, Table), "each is mapped to one"
    return table
