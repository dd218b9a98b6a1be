# SPDX-License-Identifier: Apache-2.0
"""Databases whose tables stand already: made once for a process by the program's own migrations, then copied.

Running all migrations takes longer than most tests. What a store does with an empty database, an older or a newer one
is tested where no copy is used.
"""

import itertools
import os
import shutil
import tempfile
from pathlib import Path

import postgres
import psycopg

from service.settings import StoreSettings
from service.store import migrate
from service.store.engine import make_engine
from service.store.files import make_folder

_numbers = itertools.count()
_folder = tempfile.TemporaryDirectory(prefix="zhixin-prepared-")
_sqlite: dict[tuple[Path, ...], Path] = {}
_postgresql: dict[tuple[Path, tuple[Path, ...]], str] = {}


def sqlite_url(path: Path) -> str:
    """The URL of a new database at this path, whose folder is made if it is missing."""
    packages = migrate.known_folders()
    if packages not in _sqlite:
        made = Path(_folder.name) / f"{next(_numbers)}.sqlite"
        _run_migrations(f"sqlite:///{made}")
        _sqlite[packages] = made
    assert not path.exists(), f"{path} is there already: a copy would end what it holds"
    make_folder(path.parent)
    shutil.copy(_sqlite[packages], path)
    return f"sqlite:///{path}"


def postgresql_url(server: Path, name: str) -> str:
    """The URL of a new database of this name."""
    packages = (server, migrate.known_folders())
    if packages not in _postgresql:
        made = f"zhixin_prepared_{os.getpid()}_{next(_numbers)}"
        make_postgresql(server, made, "template0")
        _run_migrations(postgres.url(server, made))
        _postgresql[packages] = made
    make_postgresql(server, name, _postgresql[packages])
    return postgres.url(server, name)


def make_postgresql(server: Path, name: str, template: str) -> None:
    """Make a database that begins as a copy of another."""
    with psycopg.connect(postgres.url(server, "postgres"), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')  # type: ignore[arg-type]


def _run_migrations(url: str) -> None:
    engine = make_engine(StoreSettings(url=url, keys="", allow_plain=True))
    try:
        migrate.migrate(engine)
    finally:
        engine.dispose()
