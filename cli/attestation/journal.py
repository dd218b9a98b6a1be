# SPDX-License-Identifier: Apache-2.0
"""What an import has done so far, in a file beside its table: record ids, salts, transactions, receipts.

The journal is written before anything is sent. After a crash at any instant a rerun finds: rows without a
transaction (nothing was sent), transactions without a receipt (sent or not: they are looked up, and sent again as the
same bytes, which the ledger executes at most once), or rows that are done. A row keeps one record id for good.

The salts in it open the commitments: mode 0600, and it belongs with the table.
"""

import os
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.errors import InputError
from cli.language import t

_SCHEMA = """
CREATE TABLE IF NOT EXISTS import (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS submission (
    id BLOB PRIMARY KEY, raw BLOB NOT NULL, expires_at_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS record (
    row INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    salt BLOB NOT NULL,
    submission BLOB REFERENCES submission(id),
    position INTEGER,
    receipt BLOB
) STRICT;
"""
_VERSION = b"1"


@dataclass(frozen=True, slots=True)
class Submission:
    """A signed transaction that was or is about to be sent.

    Attributes:
        rows: The table's rows that it attests, in the order of its operations.
    """

    id: bytes
    raw: bytes
    expires_at_ms: int
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One row's record."""

    row: int
    id: bytes
    salt: bytes
    receipt: bytes | None


class Journal:
    """The journal of one import; each method commits before it returns."""

    def __init__(self, path: Path, *, table: bytes, network: bytes, issuer: bytes) -> None:
        """Open or begin a journal.

        Raises:
            InputError: It belongs to another table, network or issuer, or another process holds it.
        """
        self._path = path
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        path.chmod(0o600)
        self._db = sqlite3.connect(path, isolation_level=None, timeout=1.0)
        try:
            # One importer at a time: the lock is held until the journal is closed.
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA foreign_keys=ON")
            self._db.execute("BEGIN EXCLUSIVE")
            self._db.execute("COMMIT")
            self._db.executescript(_SCHEMA)
        except sqlite3.DatabaseError as error:
            self._db.close()
            locked = "locked" in str(error)
            text = t("journal.locked", path=path) if locked else t("journal.damaged", path=path)
            raise InputError("journal.locked" if locked else "journal.damaged", text) from None
        known = dict(self._db.execute("SELECT name, value FROM import"))
        own = {"version": _VERSION, "table": table, "network": network, "issuer": issuer}
        if not known:
            with self._transaction():
                self._db.executemany("INSERT INTO import VALUES (?, ?)", own.items())
        elif known != own:
            self._db.close()
            raise InputError("journal.other", t("journal.other", path=path))

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def begin(self, records: Iterable[tuple[int, bytes, bytes]]) -> None:
        """Give rows that have none a record: (row, id, salt)."""
        with self._transaction():
            self._db.executemany("INSERT OR IGNORE INTO record (row, id, salt) VALUES (?, ?, ?)", records)

    def records(self) -> list[Record]:
        """All records by row."""
        return [Record(*row) for row in self._db.execute("SELECT row, id, salt, receipt FROM record ORDER BY row")]

    def unsent(self) -> list[Record]:
        """Records that no transaction carries."""
        query = "SELECT row, id, salt, receipt FROM record WHERE submission IS NULL AND receipt IS NULL ORDER BY row"
        return [Record(*row) for row in self._db.execute(query)]

    def count_done(self) -> int:
        """How many records have their receipt."""
        (count,) = self._db.execute("SELECT count(*) FROM record WHERE receipt IS NOT NULL").fetchone()
        return int(count)

    def open_submissions(self) -> list[Submission]:
        """Transactions without a receipt, oldest first."""
        query = """SELECT s.id, s.raw, s.expires_at_ms FROM submission s WHERE EXISTS
                   (SELECT 1 FROM record r WHERE r.submission = s.id AND r.receipt IS NULL) ORDER BY s.rowid"""
        found = self._db.execute(query).fetchall()
        return [Submission(identifier, raw, expires, self._rows(identifier)) for identifier, raw, expires in found]

    def sending(self, submissions: Sequence[Submission]) -> None:
        """Note transactions before they are sent; from here on a rerun looks for them first."""
        with self._transaction():
            for submission in submissions:
                self._db.execute(
                    "INSERT INTO submission VALUES (?, ?, ?)", (submission.id, submission.raw, submission.expires_at_ms)
                )
                for position, row in enumerate(submission.rows):
                    self._db.execute(
                        "UPDATE record SET submission = ?, position = ? WHERE row = ? AND submission IS NULL",
                        (submission.id, position, row),
                    )

    def done(self, receipts: Iterable[tuple[int, bytes]]) -> None:
        """Store verified receipts: (row, receipt)."""
        with self._transaction():
            self._db.executemany(
                "UPDATE record SET receipt = ? WHERE row = ?", [(receipt, row) for row, receipt in receipts]
            )

    def release(self, submission_id: bytes) -> None:
        """Forget a transaction that never took effect and never will; its rows can be sent again."""
        with self._transaction():
            query = "SELECT count(*) FROM record WHERE submission = ? AND receipt IS NOT NULL"
            assert self._db.execute(query, (submission_id,)).fetchone() == (0,), "it has receipts"
            self._db.execute(
                "UPDATE record SET submission = NULL, position = NULL WHERE submission = ?", (submission_id,)
            )
            self._db.execute("DELETE FROM submission WHERE id = ?", (submission_id,))

    def _rows(self, submission_id: bytes) -> tuple[int, ...]:
        query = "SELECT row FROM record WHERE submission = ? ORDER BY position"
        return tuple(row for (row,) in self._db.execute(query, (submission_id,)))

    def _transaction(self) -> "_Atomic":
        return _Atomic(self._db)


class _Atomic:
    """BEGIN … COMMIT, or ROLLBACK on an error."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN")

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")
