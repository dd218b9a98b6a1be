# SPDX-License-Identifier: Apache-2.0
"""Connections to the store's database, SQLite or PostgreSQL, with what each needs to be safe.

SQLite: WAL, synced at each commit; writers take their turn at the start of a transaction instead of failing in its
middle; freed pages are overwritten. PostgreSQL: row locks do the same, and time limits stand on the server.

Source: SQLite documentation (wal.html, pragma.html#pragma_secure_delete); PostgreSQL 15 manual, 13.3 and 20.11.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, Insert, Update, create_engine, event, inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from service.errors import StorageError
from service.settings import StoreSettings
from service.store.files import make_folder
from service.store.models import Base

STATEMENT_MS_MAX = 30_000
"""No question of a service takes long; one that does would hold a connection for ever."""
WAIT_SECONDS_MAX = 10
"""For a connection of the pool; longer means that the database stands still."""
COMPILED_MAX = 64
"""Statements for many rows; the code has a tenth of that, for each database of a process."""
_WRITES = "zhixin_writes"


def make_engine(settings: StoreSettings) -> Engine:
    """Connect to the database that the settings name; nothing is asked of it yet.

    Raises:
        KeyFileError: SQLite's folder can't be made or is open to others.
        StorageError: The URL can't be read.
    """
    if not settings.url or settings.url.startswith("sqlite:"):
        return _sqlite(settings)
    url = _url(settings.url).set(drivername="postgresql+psycopg")
    options = f"-c statement_timeout={STATEMENT_MS_MAX} -c idle_in_transaction_session_timeout={STATEMENT_MS_MAX}"
    return create_engine(
        url,
        pool_size=settings.pool_max,
        max_overflow=0,
        pool_timeout=WAIT_SECONDS_MAX,
        pool_pre_ping=True,
        connect_args={"application_name": "zhixin", "options": options, "connect_timeout": WAIT_SECONDS_MAX},
        hide_parameters=True,  # an error's text must not show what was searched for
    )


def close_engine(engine: Engine) -> None:
    """Let go of all connections: of those in use as soon as they are given back.

    A thread may still be in a transaction when its service ends; its connection would otherwise stay open until the
    process ends or the garbage collector comes by.
    """
    event.listen(engine, "checkin", _close_returned)
    engine.dispose()


def _close_returned(raw: object, record: ConnectionPoolEntry) -> None:
    if raw is not None:
        record.invalidate()


def is_sqlite(engine: Engine) -> bool:
    """Which of the two it is."""
    return engine.dialect.name == "sqlite"


@contextmanager
def transaction(engine: Engine, *, writes: bool) -> Iterator[Session]:
    """One transaction: committed at the end, rolled back if anything is raised.

    Args:
        engine: The database.
        writes: Whether it will write; SQLite's writers wait for their turn here.

    Raises:
        StorageError: The database failed, or a constraint that the caller did not expect to fail.
    """
    try:
        with (
            engine.connect().execution_options(**{_WRITES: writes}) as connection,
            connection.begin(),
            Session(connection, expire_on_commit=False, join_transaction_mode="rollback_only") as session,
        ):
            yield session
            session.flush()
    except IntegrityError as error:
        raise StorageError(f"the database refuses a row: {type(error.orig).__name__}") from None
    except (DBAPIError, PoolTimeout) as error:
        reason = type(getattr(error, "orig", error)).__name__
        raise StorageError(f"the database failed ({reason}); see its own log, then try again") from None


def insert_new(session: Session, row: Base) -> bool:
    """Insert a row unless its key is there already.

    A rival that inserts the same key waits for this transaction's end: of two, exactly one gets True.
    """
    model = type(row)
    columns = [column.key for column in inspect(model).column_attrs]
    values = {name: getattr(row, name) for name in columns}
    insert: Any = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    key = inspect(model).primary_key[0]
    made = session.scalar(insert(model).values(values).on_conflict_do_nothing().returning(key))
    return made is not None


def execute_many(connection: Connection, statement: Insert | Update, rows: Sequence[Mapping[str, Any]]) -> None:
    """Run one statement for many rows with values as they are: SQLAlchemy's work for each of them costs more than it.

    Args:
        connection: In a transaction that writes.
        statement: With a bound value for each name of a row; one that is made once is compiled once.
        rows: All with the same names; values that the driver takes as they are: numbers, texts, bytes, None.
    """
    if not rows:
        return
    text, names = _compiled(statement, connection.dialect, tuple(rows[0]))
    values = [tuple([row[name] for name in names]) for row in rows] if names is not None else list(map(dict, rows))
    connection.exec_driver_sql(text, values)


@lru_cache(maxsize=COMPILED_MAX)
def _compiled(statement: Insert | Update, dialect: Dialect, names: tuple[str, ...]) -> tuple[str, list[str] | None]:
    """A statement as the driver takes it, and the order of its values where they have no names."""
    compiled = statement.compile(dialect=dialect, column_keys=list(names))
    return str(compiled), compiled.positiontup


def truncate_log(engine: Engine) -> bool:
    """SQLite: bring everything from the write-ahead log into the file and empty the log. PostgreSQL: nothing.

    Returns:
        Whether the log is empty now: who reads for longer than writers wait, as a backup does, keeps it from that.

    Raises:
        StorageError: The database failed.
    """
    if not is_sqlite(engine):
        return True
    try:
        with engine.connect() as connection:
            raw = connection.connection.dbapi_connection
            assert raw is not None
            is_busy: int = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            return not is_busy
    except DBAPIError as error:
        raise StorageError(f"the database failed: {type(error.orig).__name__}") from None


def _url(text: str) -> URL:
    try:
        return make_url(text)
    except (ArgumentError, ValueError):
        raise StorageError("store.url cannot be read; write postgresql://user@host/database") from None


def _sqlite(settings: StoreSettings) -> Engine:
    url = _url(settings.url or f"sqlite:///{Path(settings.folder) / 'store.sqlite'}")
    if not url.database or url.database == ":memory:":
        raise StorageError("store.url names no file; write sqlite:///path/to/store.sqlite")
    make_folder(Path(url.database).resolve().parent)
    engine = create_engine(
        url,
        pool_size=settings.pool_max,
        max_overflow=0,
        pool_timeout=WAIT_SECONDS_MAX,
        connect_args={"timeout": settings.busy_ms / 1000},
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def _connected(raw: Any, _record: object) -> None:
        raw.isolation_level = None  # transactions begin where we say so, below
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
            "temp_store=MEMORY",
            "trusted_schema=OFF",
        ):
            raw.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, True)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
