# SPDX-License-Identifier: Apache-2.0
"""A table about persons as a service would have one, and stores of it on both databases."""

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import postgres
import prepared
import psycopg
from sqlalchemy.orm import Mapped

from service.settings import StoreSettings
from service.store import Normal, PersonalRow, Store, open_store, sealed
from service.store.migrate import add_migrations

BUSY_MS = 30_000
"""For SQLite's writers to have their turn on a machine that is busy; as long as PostgreSQL gives a statement."""

_databases = itertools.count()
add_migrations(Path(__file__).parent / "migrations")


class Contact(PersonalRow):
    __tablename__ = "test_contact"

    name: Mapped[bytes | None] = sealed(Normal.TEXT)
    phone: Mapped[bytes | None] = sealed(Normal.IDENTIFIER)
    note: Mapped[bytes | None] = sealed()


@dataclass
class Rig:
    """Opens stores on one kind of database and cleans up behind them."""

    folder: Path
    server: Path | None
    clock_ms: int = 1_763_780_000_000
    opened: list[Store] = field(default_factory=list)

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = self._new_name()
        if self.server is None:
            return f"sqlite:///{self.folder / name / 'store.sqlite'}"
        prepared.make_postgresql(self.server, name, "template0")
        return postgres.url(self.server, name)

    def prepared_database(self) -> str:
        """The URL of a database that has its tables and nothing in them."""
        name = self._new_name()
        if self.server is None:
            return prepared.sqlite_url(self.folder / name / "store.sqlite")
        return prepared.postgresql_url(self.server, name)

    def settings(self, url: str | None = None, keys: str = "keys") -> StoreSettings:
        return StoreSettings(
            url=url or self.prepared_database(), keys=str(self.folder / keys), allow_plain=True, busy_ms=BUSY_MS
        )

    def open(self, settings: StoreSettings, **environment: str) -> Store:
        store = open_store(settings, environment, self.now)
        self.opened.append(store)
        return store

    def now(self) -> int:
        return self.clock_ms

    def _new_name(self) -> str:
        """No other worker's: all share one server, and folders of tests are numbered by each for itself."""
        return f"zhixin_{os.getpid()}_{self.folder.name.lower()}_{next(_databases)}"[-60:].replace("-", "_")

    def files(self, settings: StoreSettings) -> list[Path]:
        """All that the database has written, logs included."""
        if self.server is not None:
            with psycopg.connect(settings.url) as connection:
                row = connection.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone()
            assert row is not None
            return postgres.files(self.server, row[0])
        place = Path(settings.url.removeprefix("sqlite:///")).parent
        return [path for path in place.rglob("*") if path.is_file()]

    def close(self) -> None:
        for store in self.opened:
            store.close()


def add(store: Store, name: str, phone: str, note: str = "") -> tuple[str, str]:
    """A person with one row; ids of both."""
    with store.write() as session:
        person = store.people.add(session)
        row = Contact(person_id=person)
        store.people.seal(session, row, Contact.name, name)
        store.people.seal(session, row, Contact.phone, phone)
        store.people.seal(session, row, Contact.note, note or None)
        return person, row.id


def name_of(store: Store, row_id: str) -> str | None:
    """The name in a row; None if there is no such row."""
    with store.read() as session:
        row = session.get(Contact, row_id)
        return None if row is None else store.people.open(session, row, Contact.name)


def found(store: Store, phone: str) -> list[str]:
    with store.read() as session:
        return list(store.people.find(session, Contact.phone, phone))


def readable(paths: Iterator[Path] | list[Path], words: list[bytes]) -> list[str]:
    """Which of these files hold which of these bytes."""
    hits = []
    for path in paths:
        try:
            content = path.read_bytes()
        except FileNotFoundError:  # the server removed it
            continue
        hits += [f"{path.name}: {word!r}" for word in words if word in content]
    return hits
