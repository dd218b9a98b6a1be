# SPDX-License-Identifier: Apache-2.0
"""The audit chain: nobody changes it unnoticed, its digests are published once or more but never not."""

import asyncio
import threading

import pytest
from sqlalchemy import text
from store_rig import Rig

from service.errors import StorageError
from service.store import Act, Store, audit
from service.store.models import AuditBatch, AuditEntry

WHO, WHAT = "a" * 32, "b" * 32


def record(store: Store, count: int = 1) -> None:
    for _ in range(count):
        with store.write() as session:
            store.record(session, Act(WHO, "record.opened", WHAT, "c" * 32))


class Board:
    """A place outside that remembers what was published."""

    def __init__(self, fail_after: int | None = None) -> None:
        self.digests: list[bytes] = []
        self.sizes: list[int] = []
        self._fail_after = fail_after

    async def publish(self, digest: bytes, size: int) -> str:
        if len(self.digests) == self._fail_after:
            raise ConnectionError
        self.digests.append(digest)
        self.sizes.append(size)
        return f"place-{len(self.digests)}"


def publish(store: Store, board: Board) -> int:
    return asyncio.run(store.publish_audit(board))


def unguarded(store: Store, statement: str) -> None:
    """What somebody with the database's own rights can do."""
    with store.write() as session:
        if store.engine.dialect.name == "sqlite":
            session.execute(text("DROP TRIGGER IF EXISTS audit_entry_no_update"))
            session.execute(text("DROP TRIGGER IF EXISTS audit_entry_no_delete"))
        else:
            session.execute(text("ALTER TABLE audit_entry DISABLE TRIGGER USER"))
        session.execute(text(statement))


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_entry SET act = 'record.closed'", "DELETE FROM audit_entry", "TRUNCATE audit_entry"]
)
def test_audit_entry_changed_or_deleted_is_refused_by_the_database(rig: Rig, statement: str) -> None:
    store = rig.open(rig.settings())
    record(store, 2)
    with pytest.raises(StorageError), store.write() as session:
        session.execute(text(statement))
    with store.read() as session:
        assert audit.verify_chain(session) == 2


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entry SET act = 'record.closed' WHERE number = 2",
        "UPDATE audit_entry SET at_ms = at_ms + 1 WHERE number = 1",
        "DELETE FROM audit_entry WHERE number = 2",
        "DELETE FROM audit_entry WHERE number = 3",
        "DELETE FROM audit_entry",
        "UPDATE audit_head SET number = 2",
        "UPDATE audit_batch SET salt = digest",
        "UPDATE audit_batch SET last = 9",
    ],
)
def test_audit_chain_changed_past_its_guards_is_noticed(rig: Rig, statement: str) -> None:
    store = rig.open(rig.settings())
    record(store, 3)
    publish(store, Board())
    unguarded(store, statement)
    with pytest.raises(StorageError, match=r"audit"), store.read() as session:
        audit.verify_chain(session)


def test_entries_appended_at_the_same_time_make_one_chain(rig: Rig) -> None:
    settings = rig.settings()
    stores = [rig.open(settings), rig.open(settings)]
    threads = [threading.Thread(target=record, args=(store, 20)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with stores[0].read() as session:
        assert audit.verify_chain(session) == 40


def test_entry_of_a_transaction_that_fails_is_not_there(rig: Rig) -> None:
    store = rig.open(rig.settings())

    def fail() -> None:
        with store.write() as session:
            store.record(session, Act(WHO, "record.opened", WHAT))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with store.read() as session:
        assert audit.verify_chain(session) == 0


@pytest.mark.parametrize(
    "act",
    [
        Act("王小明", "record.opened", WHAT),
        Act(WHO, "opened", WHAT),
        Act(WHO, "record.opened", "13900001111"),
        Act(WHO, "record.opened", WHAT, "name=Wang"),
    ],
)
def test_act_with_anything_but_ids_and_our_words_is_our_mistake(sqlite_rig: Rig, act: Act) -> None:
    store = sqlite_rig.open(sqlite_rig.settings())
    with pytest.raises(AssertionError), store.write() as session:
        store.record(session, act)


def test_digests_published_commit_to_the_chain_and_show_an_old_copy(rig: Rig) -> None:
    store, board = rig.open(rig.settings()), Board()
    record(store, 2)
    assert publish(store, board) == 1
    assert publish(store, board) == 0
    record(store)
    assert publish(store, board) == 1
    with store.read() as session:
        first, second = session.query(AuditBatch).order_by(AuditBatch.last)
        assert (first.first, first.last, second.first, second.last) == (1, 2, 3, 3)
        assert (first.reference, second.reference) == ("place-1", "place-2")
        assert board.sizes == [2, 3]
        end = session.get(AuditEntry, 2)
        assert end is not None
        assert board.digests[0] == audit.anchor_digest(2, store.audit_salt(2), end.digest)
        assert audit.is_published(session, board.digests[1])
        assert not audit.is_published(session, bytes(32))


def test_publication_that_broke_off_is_made_up_for(rig: Rig) -> None:
    store = rig.open(rig.settings())
    record(store)
    with pytest.raises(ConnectionError):
        publish(store, Board(fail_after=0))
    record(store)
    board = Board()
    assert publish(store, board) == 2
    with store.read() as session:
        assert audit.pending(session) == []
        assert all(audit.is_published(session, digest) for digest in board.digests)
