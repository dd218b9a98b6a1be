# SPDX-License-Identifier: Apache-2.0
"""LevelDB and the store in memory are the same store; what goes wrong with the disk is said plainly."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.memory import MemoryDatabase
from node.errors import StorageError
from node.leveldb import LevelDatabase

KEYS = st.text("abc", min_size=1, max_size=3).map(str.encode)
BATCHES = st.lists(st.dictionaries(KEYS, st.none() | st.binary(max_size=4), max_size=90), max_size=4)


@settings(max_examples=30, deadline=None)
@given(BATCHES, KEYS, KEYS)
def test_memory_and_leveldb_answer_alike(tmp_path_factory, batches, start, stop):
    memory = MemoryDatabase()
    with LevelDatabase(tmp_path_factory.mktemp("db") / "db") as disk:
        for batch in batches:
            before = [database.snapshot() for database in (memory, disk)]
            content = memory.pairs()
            puts = {key: value for key, value in batch.items() if value is not None}
            deletes = [key for key, value in batch.items() if value is None]
            for database in (memory, disk):
                database.write(puts, deletes, sync=False)
            for snapshot in before:
                assert dict(snapshot.range(b"", b"\xff" * 4)) == content
        for reverse in (False, True):
            assert list(memory.range(start, stop, reverse=reverse)) == list(disk.range(start, stop, reverse=reverse))
            assert list(memory.range(b"", b"\xff" * 4, reverse=reverse)) == list(
                disk.range(b"", b"\xff" * 4, reverse=reverse)
            )
        for key in (start, stop):
            assert memory.get(key) == disk.get(key)


@pytest.mark.parametrize("reverse", [False, True])
def test_range_holds_the_pair_at_its_start_and_not_the_one_at_its_stop(tmp_path, reverse):
    with LevelDatabase(tmp_path / "db") as database:
        database.write({b"a": b"0", b"b": b"1", b"d": b"2"})
        assert list(database.range(b"b", b"d", reverse=reverse)) == [(b"b", b"1")]
        assert list(database.range(b"b", b"e", reverse=reverse))[-1 if reverse else 0] == (b"b", b"1")
        assert list(database.range(b"d", b"b", reverse=reverse)) == []


def test_what_was_written_is_there_when_opened_again(tmp_path):
    with LevelDatabase(tmp_path / "db") as database:
        database.write({b"a": b"1", b"b": b"2"})
        database.write({b"c": b"3"}, [b"a"])
        database.compact(b"a", b"z")
    with LevelDatabase(tmp_path / "db") as database:
        assert list(database.range(b"", b"z")) == [(b"b", b"2"), (b"c", b"3")]


def test_directory_in_use_is_refused(tmp_path):
    with LevelDatabase(tmp_path / "db"), pytest.raises(StorageError, match="in use by another process"):
        LevelDatabase(tmp_path / "db")


def test_path_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "db").write_text("not a directory")
    with pytest.raises(StorageError, match="can't open"):
        LevelDatabase(tmp_path / "db")


def filled(path: Path) -> None:
    with LevelDatabase(path) as database:
        database.write({b"key %06d" % number: bytes([number % 251]) * 50 for number in range(5_000)})
        database.compact(b"", b"\xff")


def test_damaged_manifest_is_refused_and_said(tmp_path):
    filled(tmp_path / "db")
    (tmp_path / "db" / "CURRENT").write_text("nonsense")
    with pytest.raises(StorageError, match="is damaged"):
        LevelDatabase(tmp_path / "db")


def test_damaged_table_is_found_when_read(tmp_path):
    filled(tmp_path / "db")
    table = max((tmp_path / "db").glob("*.ldb"), key=lambda path: path.stat().st_size)
    raw = bytearray(table.read_bytes())
    raw[len(raw) // 2] ^= 1
    table.write_bytes(raw)

    def read_all() -> None:
        with LevelDatabase(tmp_path / "db") as database:
            for number in range(5_000):
                database.get(b"key %06d" % number)

    def scan_all() -> None:
        with LevelDatabase(tmp_path / "db") as database:
            for _ in database.range(b"", b"\xff"):
                pass

    for read in (read_all, scan_all):
        with pytest.raises(StorageError, match="is damaged"):
            read()


def test_database_whose_head_is_missing_is_refused_and_left_as_it_is(tmp_path):
    with LevelDatabase(tmp_path / "db") as database:
        database.write({b"a": b"1"})
    (tmp_path / "db" / "CURRENT").unlink()
    before = sorted(path.name for path in (tmp_path / "db").iterdir())
    with pytest.raises(StorageError, match=r"damaged; ask for help \(its file CURRENT is missing"):
        LevelDatabase(tmp_path / "db", "ask for help")
    assert sorted(path.name for path in (tmp_path / "db").iterdir()) == before


@pytest.mark.parametrize("left", [0, 0.5])
def test_table_that_is_cut_short_is_said_to_be_damaged(tmp_path, left):
    with LevelDatabase(tmp_path / "db") as database:
        database.write({b"a%d" % number: bytes(100) for number in range(1000)})
    LevelDatabase(tmp_path / "db").close()  # what was in the log is in a table now
    (table,) = (tmp_path / "db").glob("*.ldb")
    table.write_bytes(table.read_bytes()[: int(left * table.stat().st_size)])
    with pytest.raises(StorageError, match="damaged"), LevelDatabase(tmp_path / "db") as database:
        database.get(b"a1")
