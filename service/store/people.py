# SPDX-License-Identifier: Apache-2.0
"""Persons: their keys, what is sealed under them, and search over it.

A value opens in its table, column and row, for its person, and nowhere else. Everything here runs in the caller's
transaction; who writes for a person holds the person's row, so that an erasure comes before or after, never between.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, delete, inspect, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from service.errors import KeyFileError, PersonErased, StorageError
from service.store import cipher
from service.store.key_ring import KeyRing, Purpose
from service.store.models import Base, BlindEntry, Person, PersonalRow, StoreMark, new_id
from service.store.normal import Normal, normalise
from service.store.tombstones import person_digest

VALUE_BYTES_MAX = 64 * 1024
"""Texts of forms; documents are files of their own."""
FOUND_MAX = 200
"""Rows that a search hands out: more means that the value tells nobody apart."""

_HELD = "zhixin_held"
"""Persons that a transaction holds; a session lives as long as its transaction."""
_KNOWN = "zhixin_known"
"""Persons that a transaction has asked for, held or not."""
FETCHED_MAX = 500
"""Persons of one question: below what any database refuses."""
_MARKED = "zhixin_marked"
"""Whether a transaction holds the store's mark, with the epoch and the index key in use."""
_KEYS = "zhixin_keys"
"""Keys that a transaction has unwrapped, by person, epoch and version: many rows of one person unwrap one key once."""
_KEYS_MAX = 1_000
"""Persons whose keys one transaction keeps at hand; beyond that they are unwrapped again."""

Column: TypeAlias = InstrumentedAttribute[bytes | None]


class People:
    """Persons of one store.

    Args:
        ring: Wraps their keys and makes their indexes.
    """

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    def add(self, session: Session) -> str:
        """Make a person with a key of their own.

        Returns:
            The person's id; random, 32 hex digits.

        Raises:
            StorageError: The keys at hand are older than the database.
        """
        epoch = self._epoch(session)
        person_id = new_id()
        wrapped = self._wrap(person_id, epoch, 1, cipher.new_key())
        digest = person_digest(person_id)
        person = Person(id=person_id, digest=digest, epoch=epoch, key_version=1, wrapped_key=wrapped)
        session.add(person)
        session.flush()
        session.info.setdefault(_HELD, {})[person_id] = person  # nobody else sees it yet
        return person_id

    def exists(self, session: Session, person_id: str) -> bool:
        """Whether there is such a person."""
        return session.scalar(select(Person.id).where(Person.id == person_id)) is not None

    def fetch(self, session: Session, person_ids: Iterable[str], *, hold: bool = False) -> None:
        """Ask for many persons at once, before what is theirs is opened or sealed: the same, only faster.

        Args:
            session: A transaction; one that writes, to hold them.
            person_ids: Whose. Who was erased is left out.
            hold: Whether their rows are about to be written.
        """
        known: dict[str, Person] = session.info.setdefault(_KNOWN, {})
        held: dict[str, Person] = session.info.setdefault(_HELD, {})
        ids = sorted(set(person_ids) - (held if hold else known).keys())
        for at in range(0, len(ids), FETCHED_MAX):
            query = select(Person).where(Person.id.in_(ids[at : at + FETCHED_MAX])).order_by(Person.id)
            query = query.with_for_update(read=True, key_share=True) if hold else query
            found = {person.id: person for person in session.scalars(query)}
            known.update(found)
            if hold:
                held.update(found)

    def seal(self, session: Session, row: PersonalRow, column: Column, value: str | None) -> None:
        """Write a value into a sealed column, and into its index if it has one.

        Args:
            session: A transaction that writes.
            row: Has its id and its person's.
            column: One that was declared with `sealed`.
            value: None empties it.

        Raises:
            PersonErased: There is no such person.
            StorageError: The keys at hand do not fit the database.
        """
        person = self._held(session, row.person_id)
        content = None if value is None else unicodedata.normalize("NFC", value).encode()
        assert content is None or len(content) <= VALUE_BYTES_MAX, "callers bound what they take"
        was_empty = getattr(row, column.key) is None
        sealed = None if content is None else cipher.seal(self._key_of(session, person), content, _where(row, column))
        setattr(row, column.key, sealed)
        session.add(row)
        self._index(session, row, column, value, was_empty=was_empty)

    def sealed(self, session: Session, column: Column, row_id: str, person_id: str, value: str) -> bytes:
        """A value as `seal` would write it, for rows that are inserted many at once.

        Args:
            session: A transaction that writes.
            column: One that was declared with `sealed` and is not searched.
            row_id: Of the row that will hold it.
            person_id: Whose row that is.
            value: What is sealed.

        Raises:
            PersonErased: There is no such person.
            StorageError: The keys at hand do not fit the database.
        """
        assert _normal(column) is None, "a searched column has an index entry too; use `seal`"
        content = value.encode() if value.isascii() else unicodedata.normalize("NFC", value).encode()
        assert len(content) <= VALUE_BYTES_MAX, "callers bound what they take"
        person = self._held(session, person_id)
        return cipher.seal(self._key_of(session, person), content, _place(column, row_id, person_id))

    def open(self, session: Session, row: PersonalRow, column: Column) -> str | None:
        """Read a sealed value.

        Raises:
            PersonErased: There is no such person.
            StorageError: It does not open: the row was changed, or the keys do not fit.
        """
        return self.opened(session, column, row.id, row.person_id, getattr(row, column.key))

    def opened(self, session: Session, column: Column, row_id: str, person_id: str, found: bytes | None) -> str | None:
        """The same of values that were selected without their rows' objects.

        Raises:
            PersonErased: There is no such person.
            StorageError: It does not open: the row was changed, or the keys do not fit.
        """
        if found is None:
            return None
        known: dict[str, Person] = session.info.get(_KNOWN, {})
        person = known.get(person_id) or session.get(Person, person_id)
        if person is None:
            raise PersonErased
        try:
            return cipher.unseal(self._key_of(session, person), found, _place(column, row_id, person_id)).decode()
        except cipher.Unopened:
            table = column.class_.__tablename__
            raise StorageError(f"a value of {table}.{column.key} does not open: was it changed?") from None

    def find(self, session: Session, column: Column, value: str) -> Sequence[str]:
        """Ids of rows whose sealed column holds a value, compared as its column says; at most FOUND_MAX."""
        matches = [
            (BlindEntry.version == version) & (BlindEntry.digest == self._digest(column, value, version))
            for version in self._versions()
        ]
        table, where = column.class_.__tablename__, matches[0]
        for match in matches[1:]:
            where |= match
        wanted: ColumnElement[bool] = (BlindEntry.table == table) & (BlindEntry.column == column.key) & where
        return session.scalars(select(BlindEntry.row).where(wanted).distinct().limit(FOUND_MAX)).all()

    def remove(self, session: Session, row: PersonalRow) -> None:
        """Delete a row with its index entries; the person stays."""
        entries = (BlindEntry.table == row.__tablename__) & (BlindEntry.row == row.id)
        session.execute(delete(BlindEntry).where(entries))
        session.delete(row)
        session.flush()

    def rotate(self, session: Session, person_id: str) -> int:
        """Give a person a new key, and seal all that is theirs anew; old copies of the database keep the old key.

        Returns:
            The key's version.

        Raises:
            PersonErased: There is no such person.
        """
        person = self._held(session, person_id)
        old, new = self._unwrap(person), cipher.new_key()
        for model in personal_models():
            for row in session.scalars(select(model).where(model.person_id == person_id)):
                for column in sealed_columns(model):
                    found = getattr(row, column.key)
                    if found is not None:
                        value = cipher.unseal(old, found, _where(row, column))
                        setattr(row, column.key, cipher.seal(new, value, _where(row, column)))
        person.epoch = self._epoch(session)
        person.key_version += 1
        person.wrapped_key = self._wrap(person.id, person.epoch, person.key_version, new)
        session.flush()
        return person.key_version

    def rewrap(self, person: Person, epoch: int) -> None:
        """Wrap a person's key under another epoch."""
        key = self._unwrap(person)
        person.epoch = epoch
        person.wrapped_key = self._wrap(person.id, epoch, person.key_version, key)

    def reindex(self, session: Session, model: type[PersonalRow], rows: Sequence[PersonalRow]) -> None:
        """Make the index entries of some rows anew, under the index key in use."""
        for row in rows:
            for column in sealed_columns(model):
                self._index(session, row, column, self.open(session, row, column), was_empty=False)

    def _index(self, session: Session, row: PersonalRow, column: Column, value: str | None, *, was_empty: bool) -> None:
        """Replace a value's index entry; where the column was empty there is none to delete."""
        if _normal(column) is None:
            return
        table = row.__tablename__
        if not was_empty:
            entries = (BlindEntry.table == table) & (BlindEntry.column == column.key) & (BlindEntry.row == row.id)
            session.execute(delete(BlindEntry).where(entries))
        if value is None:
            return
        self._marked(session)
        version = self._ring.index_version
        digest = self._digest(column, value, version)
        entry = BlindEntry(
            table=table, column=column.key, row=row.id, version=version, digest=digest, person_id=row.person_id
        )
        session.add(entry)

    def _versions(self) -> list[int]:
        """Index keys that entries may have been made with: the one in use, and while it is exchanged the one before."""
        return self._ring.versions(Purpose.INDEX)

    def _digest(self, column: Column, value: str, version: int) -> bytes:
        kind = _normal(column)
        assert kind is not None, f"{column} is not searched; declare it with sealed(index=…)"
        key = self._ring.key(Purpose.INDEX, version)
        table = column.class_.__tablename__
        return cipher.keyed_digest(key, "zhixin/blind/1", kind, table, column.key, normalise(kind, value))

    def _held(self, session: Session, person_id: str) -> Person:
        """A person's row, held so that nobody erases it before this transaction ends; asked for once in each."""
        held: dict[str, Person] = session.info.setdefault(_HELD, {})
        if person_id in held:
            return held[person_id]
        query = select(Person).where(Person.id == person_id).with_for_update(read=True, key_share=True)
        person = session.scalar(query)
        if person is None:
            raise PersonErased
        held[person_id] = person
        return person

    def _epoch(self, session: Session) -> int:
        """The epoch to wrap under."""
        marked = self._marked(session)
        self._key(Purpose.EPOCH, marked)
        return marked

    def _marked(self, session: Session) -> int:
        """Hold the store's mark, so that neither an epoch nor an index key ends before this transaction; its epoch."""
        found: int | None = session.info.get(_MARKED)
        if found is None:
            found = session.scalar(select(StoreMark.epoch).with_for_update(read=True))
            assert found is not None, "an open store has its mark"
            session.info[_MARKED] = found
        return found

    def _wrap(self, person_id: str, epoch: int, version: int, key: bytes) -> bytes:
        return cipher.seal(self._key(Purpose.EPOCH, epoch), key, _key_place(person_id, epoch, version))

    def _key_of(self, session: Session, person: Person) -> bytes:
        """A person's key, unwrapped once in each transaction."""
        keys: dict[tuple[str, int, int], tuple[Person, bytes]] = session.info.setdefault(_KEYS, {})
        where = (person.id, person.epoch, person.key_version)
        if where not in keys:
            if len(keys) >= _KEYS_MAX:
                keys.clear()
            current = self._current(session, person)
            keys[where] = (current, self._unwrap(current))  # the person too: the session asks for it no second time
        return keys[where][1]

    def _current(self, session: Session, person: Person) -> Person:
        """A person, read anew where the epoch under which they were read has ended since; the key is the same."""
        try:
            self._ring.key(Purpose.EPOCH, person.epoch)
        except KeyFileError:
            query = select(Person).where(Person.id == person.id).execution_options(populate_existing=True)
            current = session.scalar(query)
        else:
            return person
        if current is None:
            raise PersonErased
        return current

    def _unwrap(self, person: Person) -> bytes:
        where = _key_place(person.id, person.epoch, person.key_version)
        try:
            return cipher.unseal(self._key(Purpose.EPOCH, person.epoch), person.wrapped_key, where)
        except cipher.Unopened:
            raise StorageError("the key of a person does not open: was it changed?") from None

    def _key(self, purpose: Purpose, version: int) -> bytes:
        try:
            return self._ring.key(purpose, version)
        except KeyFileError as error:
            raise StorageError(f"{error}: the database or the keys are an old copy") from None


def personal_models() -> Iterator[type[PersonalRow]]:
    """Each table about persons that has been imported."""
    for mapper in Base.registry.mappers:
        if issubclass(mapper.class_, PersonalRow):
            yield mapper.class_


def sealed_columns(model: type[PersonalRow]) -> list[Column]:
    """The sealed columns of a table, by name."""
    found: list[Any] = [attr.class_attribute for attr in inspect(model).column_attrs if _is_sealed(attr.columns[0])]
    return found


def _is_sealed(column: Any) -> bool:
    return bool(column.info.get("sealed"))


def _normal(column: Column) -> Normal | None:
    info: dict[str, Any] = column.property.columns[0].info
    assert info.get("sealed"), f"{column} is no sealed column"
    index: Normal | None = info["index"]
    return index


def _where(row: PersonalRow, column: Column) -> bytes:
    return _place(column, row.id, row.person_id)


def _place(column: Column, row_id: str, person_id: str) -> bytes:
    return _column_place(column.class_.__tablename__, column.key) + cipher.place(row_id, person_id)


@cache
def _column_place(table: str, column: str) -> bytes:
    """How the places of a column begin; as many as there are sealed columns."""
    return cipher.place("zhixin/sealed/1", table, column)


def _key_place(person_id: str, epoch: int, version: int) -> bytes:
    return cipher.place("zhixin/person-key/1", person_id, epoch, version)
