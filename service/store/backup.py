# SPDX-License-Identifier: Apache-2.0
"""Backups of the private store: one file of sealed rows and wrapped keys, the same for SQLite and PostgreSQL.

A backup opens with the keys' folder of the same epoch or a later one that still has its key; it holds no key that
opens anything by itself, no blind index and no kept answer. Data of an older backup can be restored with the persons'
keys of a newer one: then whoever was erased in between stays erased.

The form: gzip, one JSON value a line; first what it is, then the rows, last an HMAC over all lines before.
"""

import base64
import gzip
import hashlib
import hmac
import json
import os
import secrets
import stat
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, MetaData, Table, func, insert, select
from sqlalchemy.exc import DBAPIError

from chain.strict_json import check_depth
from service.anchors import Anchored
from service.errors import StorageError
from service.settings import StoreSettings
from service.store import audit
from service.store.engine import is_sqlite, make_engine
from service.store.files import locked, make_folder
from service.store.key_ring import Purpose
from service.store.migrate import is_known, migrate, revision_of
from service.store.models import AuditHead, BlindEntry, Person, Replay, StoreMark
from service.store.opening import open_ring, open_store
from service.store.store import Store

FORMAT = "zhixin-service-backup/1"
LINE_BYTES_MAX = 4 * 1024 * 1024
"""One row: sealed values of 64 KiB each, in base64."""
_DEPTH_MAX = 8
"""A value in a row: two; columns of tables in a head: three."""
_ROWS = 500
_LEFT_OUT = frozenset({BlindEntry.__tablename__, Replay.__tablename__, "alembic_version"})
"""What can be made anew, and what is worth a day: none of it in old copies."""
_CHAIN = json.dumps([AuditHead.__tablename__]).encode()[:-1]
"""How the line of the audit chain's end begins."""
_SECRET = "backup"  # noqa: S105 - the name of one


@dataclass(frozen=True, slots=True)
class Head:
    """What a backup says of itself, once its seal has been checked.

    Attributes:
        store: Whose it is.
        revision: Migrations of its tables.
        epoch: Under which persons' keys are wrapped.
        at_ms: When it was written, Unix time.
        audit_entries: How many entries its audit chain has, which is the highest one's number.
    """

    store: str
    revision: str
    epoch: int
    at_ms: int
    audit_entries: int


class OlderBackup(StorageError):
    """A backup from before what the ledger knows of its store: restored, it would lose what came since unseen.

    Attributes:
        head: What the backup says of itself.
        anchored: How many entries of the audit chain the ledger knows.
    """

    def __init__(self, head: Head, anchored: int) -> None:
        super().__init__(
            f"the backup's audit chain has {head.audit_entries} entries, and {anchored} are anchored on the ledger: a "
            "newer backup exists, or existed"
        )
        self.head = head
        self.anchored = anchored


def write_backup(store: Store, folder: Path, now_ms: int) -> Path:
    """Write a backup of one moment, while the store is in use.

    Args:
        store: Which.
        folder: Made with mode 0700; should lie on another disk, and never with the keys.
        now_ms: Unix time.

    Returns:
        The file; it is whole or not there.

    Raises:
        StorageError: The database or the disk failed.
    """
    make_folder(folder)
    when = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3]
    beside = folder / f".writing-{secrets.token_hex(4)}"
    seal = hmac.new(store.secret(_SECRET), digestmod=hashlib.sha256)
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as raw:
            with gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as file:
                epoch = 0
                for line in _lines(store, now_ms):
                    epoch = epoch or json.loads(line)["epoch"]
                    seal.update(line)
                    file.write(line)
                file.write(json.dumps({"hmac": seal.hexdigest()}).encode() + b"\n")
            raw.flush()
            os.fsync(raw.fileno())
        path = folder / f"store-{when}-epoch{epoch}.backup"
        beside.rename(path)
    except OSError as error:
        raise StorageError(f"{folder} does not take the backup: {error.strerror}") from None
    except DBAPIError as error:
        raise StorageError(f"the database failed: {type(error.orig).__name__}") from None
    finally:
        beside.unlink(missing_ok=True)
    return path


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did.

    Attributes:
        persons: How many there are afterwards.
        head: What the backup says of itself.
    """

    persons: int
    head: Head


def restore_backup(
    settings: StoreSettings,
    environment: Mapping[str, str],
    path: Path,
    keys_from: Path | None = None,
    *,
    anchored: Anchored | None = None,
    accept_older: bool = False,
) -> Restored:
    """Fill an empty database from a backup. The keys' folder has to be there.

    Args:
        settings: Name the database, which has no rows yet, and the keys.
        environment: May hold ZHIXIN_PASSPHRASE.
        path: The backup.
        keys_from: A newer backup whose persons' keys to use: for a backup of an epoch that has ended.
        anchored: What the ledger has of the store's audit chain; None: nothing, or it was not asked.
        accept_older: Restore a backup all the same that is older than that; its chain is then anchored anew.

    Raises:
        KeyFileError: The keys are missing or don't open.
        OlderBackup: The ledger knows of entries that the backup lacks.
        StorageError: The backup is not whole, of another store, of an epoch that has ended, or the database has rows.
    """
    ring = open_ring(settings, environment)
    secret = ring.secret(_SECRET)
    head = check_backup(path, secret)
    key_head = head if keys_from is None else check_backup(keys_from, secret)
    if {head.store, key_head.store} != {ring.store}:
        raise StorageError(f"{path} is of another store than the keys")
    if key_head.epoch not in ring.versions(Purpose.EPOCH):
        raise StorageError(
            f"{keys_from or path} is of epoch {key_head.epoch}, which has ended; use the keys of a newer backup"
        )
    missed = anchored if anchored is not None and anchored.size > head.audit_entries else None
    if missed is not None and not accept_older:
        raise OlderBackup(head, missed.size)
    if not is_known(head.revision):
        raise StorageError(f"{path} was written by a newer version of this program")
    with locked(ring.folder, "restoring"):
        engine = make_engine(settings)
        try:
            migrate(engine, head.revision)
            with engine.begin() as connection:
                _fill(connection, path, keys_from, secret)
        except DBAPIError as error:
            raise StorageError(f"the database does not take {path}: {type(error.orig).__name__}") from None
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
            raise StorageError(f"{path} was changed while it was restored; nothing was") from None
        finally:
            engine.dispose()
        store = open_store(settings, environment)  # notices ended epochs, and applies erasures made since
    try:
        store.reindex()
        with store.read() as session:
            audit.verify_chain(session)
            persons = session.scalar(select(func.count()).select_from(Person)) or 0
        if missed is not None:
            store.accept_older(missed.digest)
        return Restored(persons, head)
    finally:
        store.close()


def check_backup(path: Path, secret: bytes) -> Head:
    """Check a backup's seal and read what it says of itself.

    Args:
        path: The backup.
        secret: `Store.secret("backup")` of its store.

    Raises:
        StorageError: It can't be read, is not whole, or was changed.
    """
    first, chain = b"", b""
    for line in _sealed_lines(path, secret):
        first = first or line
        if line.startswith(_CHAIN):
            chain = line
    try:
        document = _document(first)
        if document["format"] != FORMAT:
            raise StorageError(f"{path} is not a {FORMAT} file")
        columns = document["columns"][AuditHead.__tablename__]
        entries = dict(zip(columns, _document(chain)[1:], strict=True))["number"] if chain else 0
        return Head(document["store"], document["revision"], document["epoch"], document["at_ms"], int(entries))
    except (KeyError, TypeError, ValueError):
        raise StorageError(f"{path} is not a {FORMAT} file, or not whole") from None


def _lines(store: Store, now_ms: int) -> Iterator[bytes]:
    """The head, then each row, at one moment of the database."""
    level = {} if is_sqlite(store.engine) else {"isolation_level": "REPEATABLE READ"}
    with store.engine.connect().execution_options(zhixin_writes=False, **level) as connection:
        tables = _tables(connection)
        mark = connection.execute(select(StoreMark.__table__)).mappings().one()
        head: dict[str, object] = {"format": FORMAT, "store": mark["store"], "epoch": mark["epoch"], "at_ms": now_ms}
        head |= {"revision": revision_of(connection), "columns": {t.name: [c.name for c in t.columns] for t in tables}}
        yield json.dumps(head).encode() + b"\n"
        for table in tables:
            order = select(table).order_by(*table.primary_key.columns)
            with closing(connection.execution_options(yield_per=_ROWS).execute(order)) as rows:
                for row in rows:
                    line = json.dumps([table.name, *(_encoded(value) for value in row)]).encode() + b"\n"
                    assert len(line) <= LINE_BYTES_MAX, "values are bounded where they are sealed"
                    yield line


def _fill(connection: Connection, path: Path, keys_from: Path | None, secret: bytes) -> None:
    """Insert a backup's rows; persons come from the newer one, and rows of nobody are left out.

    Seals are checked again here, for a file may have been exchanged since: then nothing is committed.
    """
    tables = {table.name: table for table in _tables(connection)}
    if any(connection.execute(select(table).limit(1)).first() is not None for table in tables.values()):
        raise StorageError("the database has rows already; restore into an empty one")
    of_persons = _sealed_lines(keys_from or path, secret)
    persons = _insert(connection, tables, of_persons, {Person.__tablename__}, None)
    _insert(connection, tables, _sealed_lines(path, secret), tables.keys() - {Person.__tablename__}, persons)


def _insert(
    connection: Connection,
    tables: Mapping[str, Table],
    lines: Iterator[bytes],
    wanted: set[str],
    persons: set[str] | None,
) -> set[str]:
    """Insert rows of some tables in batches.

    Returns:
        Ids of the persons inserted.
    """
    columns: dict[str, list[str]] = {}
    batch: list[dict[str, Any]] = []
    name, inserted = "", set[str]()
    for line in lines:
        document = _document(line)
        if not isinstance(document, list):
            columns = document.get("columns", columns)
            continue
        if document[0] not in tables:
            raise StorageError(f"the backup has rows of a table {document[0]}, which this program does not know")
        if document[0] not in wanted:
            continue
        row = dict(zip(columns[document[0]], map(_decoded, document[1:]), strict=True))
        if persons is not None and row.get("person_id") is not None and row["person_id"] not in persons:
            continue
        if batch and (document[0] != name or len(batch) == _ROWS):
            connection.execute(insert(tables[name]), batch)
            batch = []
        name = document[0]
        batch.append(row)
        if name == Person.__tablename__:
            inserted.add(row["id"])
    if batch:
        connection.execute(insert(tables[name]), batch)
    return inserted


def _tables(connection: Connection) -> list[Table]:
    """The database's own tables, in an order in which they can be filled."""
    metadata = MetaData()
    metadata.reflect(connection, only=lambda name, _: name not in _LEFT_OUT)
    return [table for table in metadata.sorted_tables if table.name not in _LEFT_OUT]


def _sealed_lines(path: Path, secret: bytes) -> Iterator[bytes]:
    """All lines but the seal, which is checked when the last one has been handed out.

    Raises:
        StorageError: The file can't be read, is not whole, or was changed.
    """
    seal = hmac.new(secret, digestmod=hashlib.sha256)
    previous: bytes | None = None
    for line in _read_lines(path):
        if previous is not None:
            seal.update(previous)
            yield previous
        previous = line
    wanted = json.dumps({"hmac": seal.hexdigest()}).encode() + b"\n"
    if not hmac.compare_digest(wanted, previous or b""):
        raise StorageError(f"{path} is not whole, was changed, or is of another store")


def _read_lines(path: Path) -> Iterator[bytes]:
    try:
        # a pipe or device in a backup's place would stall whoever opens it, so it is opened without waiting
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as raw:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise StorageError(f"{path} is no file")
            with gzip.GzipFile(fileobj=raw, mode="rb") as file:
                while line := file.readline(LINE_BYTES_MAX + 1):
                    if len(line) > LINE_BYTES_MAX:
                        raise StorageError(f"{path} has a line that is too long")
                    yield line
    except (OSError, EOFError, zlib.error) as error:
        raise StorageError(f"{path} cannot be read: {error}") from None


def _document(line: bytes) -> Any:
    """One line, whose nesting is bounded before it is parsed: its seal may not be known yet."""
    text = line.decode()
    check_depth(text, _DEPTH_MAX)
    return json.loads(text)


def _encoded(value: object) -> object:
    if isinstance(value, bytes):
        return {"b": base64.b64encode(value).decode()}
    assert value is None or isinstance(value, str | int | float), "columns hold texts, numbers and bytes"
    return value


def _decoded(value: Any) -> Any:
    return base64.b64decode(value["b"]) if isinstance(value, dict) else value
