# SPDX-License-Identifier: Apache-2.0
"""After a person is erased nothing brings them back: no file, log, index, backup, old copy, crash or race."""

import asyncio
import gzip
import json
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import postgres
import pytest
from sqlalchemy import Engine, event, func, select
from store_rig import Contact, Rig, add, found, name_of, readable

from service.errors import PersonErased, StorageError
from service.store import Act, Store, audit, cipher
from service.store.backup import Head, check_backup, restore_backup, write_backup
from service.store.files import append_durably
from service.store.key_ring import KeyRing, Purpose
from service.store.models import AuditEntry, BlindEntry, Erasure, Person
from service.store.tombstones import Tombstone, Tombstones, person_digest

NAME, PHONE, NOTE = "Wang Forgettable 王可忘", "13812345678", "A note that must go. " * 300
WORDS = [NAME.encode(), b"Forgettable", "王可忘".encode(), PHONE.encode(), b"A note that must go"]


def count(store: Store, model: type) -> int:
    with store.read() as session:
        return session.scalar(select(func.count()).select_from(model)) or 0


def together(*works: Callable[[], object]) -> list[BaseException | None]:
    """Run some works at the same time; what each raised."""
    barrier, raised = threading.Barrier(len(works)), [None] * len(works)

    def run(index: int, work: Callable[[], object]) -> None:
        barrier.wait(60)
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - handed to the test
            raised[index] = error  # type: ignore[call-overload]

    threads = [threading.Thread(target=run, args=item) for item in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return list(raised)


def test_person_erased_no_database_file_log_backup_or_index_holds_a_byte_of_them(rig: Rig, tmp_path: Path) -> None:
    settings = rig.settings()
    store = rig.open(settings)
    person, row = add(store, NAME, PHONE, NOTE)
    _, other = add(store, "李四", "13900002222")
    with store.read() as session:
        contact, key = session.get(Contact, row), session.get(Person, person)
        assert contact is not None
        assert key is not None
        values = [value for value in (contact.name, contact.phone, contact.note) if value is not None]
        # pieces, for a long value is spread over pages
        sealed = [value[start : start + 24] for value in values for start in range(0, len(value) - 24, 500)]
        wrapped = key.wrapped_key
        digests = list(session.scalars(select(BlindEntry.digest).where(BlindEntry.row == row)))
    before = write_backup(store, tmp_path / "backups", rig.now())
    if rig.server is not None:
        postgres.run(rig.server, "psql", "-h", str(rig.server), "-d", "postgres", "-c", "CHECKPOINT")
    # what lies there now is found by this search, so that finding nothing later means something
    assert readable(rig.files(settings), [person.encode()])
    store.erase(person)
    store.end_epoch(lambda: write_backup(store, tmp_path / "backups", rig.now() + 1))
    files = rig.files(settings)
    backups = sorted((tmp_path / "backups").iterdir())
    assert len(backups) == 2
    assert readable([*files, *backups], WORDS) == []
    for path in backups:
        content = gzip.decompress(path.read_bytes())
        assert [word for word in WORDS if word in content] == []
        assert [digest for digest in digests if digest.hex().encode() in content] == []
    if rig.server is None:  # SQLite overwrites; PostgreSQL's log keeps sealed bytes, whose key is gone
        assert readable(files, [*sealed, wrapped, *digests, person.encode(), row.encode()]) == []
    with store.read() as session:
        assert session.get(Contact, row) is None
        assert session.get(Person, person) is None
    assert found(store, PHONE) == []
    assert name_of(store, other) == "李四"
    assert_dead(store, person, wrapped)
    with pytest.raises(StorageError, match="has ended"):
        restore_backup(rig.settings(), {}, before)


def assert_dead(store: Store, person: str, wrapped: bytes) -> None:
    """No key that is left opens the person's wrapped key, under any epoch that it may claim."""
    keys = [store.ring.key(Purpose.EPOCH, version) for version in store.ring.versions(Purpose.EPOCH)]
    keys += [store.ring.key(Purpose.INDEX, version) for version in store.ring.versions(Purpose.INDEX)]
    for key in keys:
        for epoch in range(1, 5):
            with pytest.raises(cipher.Unopened):
                cipher.unseal(key, wrapped, cipher.place("zhixin/person-key/1", person, epoch, 1))


def test_key_ring_after_an_epoch_ended_holds_no_byte_of_the_old_wrapped_key(rig: Rig) -> None:
    settings = rig.settings()
    store = rig.open(settings)
    path = KeyRing.path(Path(settings.keys))
    old = {item["wrapped"] for item in json.loads(path.read_text())["keys"] if item["purpose"] == "epoch"}
    store.end_epoch()
    assert readable(list(Path(settings.keys).iterdir()), [word.encode() for word in old]) == []


def test_person_erased_twice_is_erased_once_and_a_stranger_never(rig: Rig) -> None:
    store = rig.open(rig.settings())
    person, _ = add(store, NAME, PHONE)
    store.erase(person)
    store.erase(person)
    assert count(store, Erasure) == count(store, AuditEntry) == 1
    with pytest.raises(PersonErased):
        store.erase("0" * 32)
    assert count(store, Erasure) == 1


def test_race_of_two_erasures_erases_once_and_both_succeed(rig: Rig) -> None:
    settings = rig.settings()
    stores = [rig.open(settings), rig.open(settings)]
    for _ in range(5):
        person, row = add(stores[0], NAME, PHONE)
        before = count(stores[0], AuditEntry)
        assert together(*(partial(store.erase, person) for store in stores)) == [None, None]
        assert count(stores[0], AuditEntry) == before + 1
        assert name_of(stores[0], row) is None
    with stores[0].read() as session:
        audit.verify_chain(session)


def test_race_of_erasures_of_two_persons_keeps_one_chain(rig: Rig) -> None:
    settings = rig.settings()
    stores = [rig.open(settings), rig.open(settings)]
    people = [add(stores[0], NAME, PHONE)[0] for _ in stores]
    works = [partial(store.erase, person) for store, person in zip(stores, people, strict=True)]
    assert together(*works) == [None, None]
    with stores[0].read() as session:
        assert audit.verify_chain(session) == 2
    assert len(Tombstones(Path(settings.keys)).read()) == 2


def test_race_of_an_erasure_and_a_write_leaves_no_row_of_the_person(rig: Rig) -> None:
    settings = rig.settings()
    store, other = rig.open(settings), rig.open(settings)

    def write(person: str) -> None:
        with other.write() as session:
            row = Contact(person_id=person)
            other.people.seal(session, row, Contact.phone, PHONE)

    for _ in range(5):
        person, _ = add(store, NAME, PHONE)
        erased, written = together(partial(store.erase, person), partial(write, person))
        assert erased is None
        assert written is None or isinstance(written, PersonErased)
        assert count(store, Contact) == count(store, BlindEntry) == count(store, Person) == 0


def test_person_added_by_another_process_while_an_epoch_ends_keeps_their_key(rig: Rig) -> None:
    settings = rig.settings()
    store, other = rig.open(settings), rig.open(settings)
    rows: list[str] = []

    def work() -> None:
        rows.extend(add(other, f"人{index}", "1")[1] for index in range(12))

    assert together(work, store.end_epoch, store.end_epoch) == [None, None, None]
    assert [name_of(store, row) for row in rows] == [f"人{index}" for index in range(12)]
    assert [name_of(other, row) for row in rows] == [f"人{index}" for index in range(12)]
    assert len(store.ring.versions(Purpose.EPOCH)) == 1


def test_keys_that_are_replaced_and_overwritten_while_another_process_reads_them_are_read_again(
    sqlite_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = sqlite_rig.settings()
    store, other = sqlite_rig.open(settings), sqlite_rig.open(settings)
    fstat, asked = os.fstat, list[int]()

    def and_then_the_epoch_ends(descriptor: int) -> os.stat_result:
        found = fstat(descriptor)  # the file is open and not read yet
        monkeypatch.setattr("service.store.files.os.fstat", fstat)
        store.end_epoch()
        asked.append(fstat(descriptor).st_size)
        return found

    monkeypatch.setattr("service.store.files.os.fstat", and_then_the_epoch_ends)
    assert asyncio.run(other.answers())
    assert asked == [0], "the file that was open had been overwritten when it was read"
    assert other.ring.versions(Purpose.EPOCH) == [2]


def test_reader_that_asked_for_a_person_before_an_epoch_ended_opens_what_is_theirs(rig: Rig) -> None:
    settings = replace(rig.settings(), busy_ms=50)
    store, other = rig.open(settings), rig.open(settings)
    person, row = add(store, NAME, PHONE)
    with other.read() as session:
        contact, key = session.get(Contact, row), session.get(Person, person)
        assert contact is not None
        assert key is not None
        if rig.server is None:  # SQLite's reader keeps the epoch from ending
            with pytest.raises(StorageError, match="end the epoch when it is done"):
                store.end_epoch()
        else:
            store.end_epoch()
            assert store.ring.versions(Purpose.EPOCH) == [2]
        other.ring.reload()
        assert key.epoch == 1
        assert other.people.open(session, contact, Contact.name) == NAME


def test_process_that_starts_while_an_epoch_ends_does_not_take_the_database_for_an_old_copy(
    tmp_path: Path, postgres_server: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(tmp_path, postgres_server)  # SQLite's writers come one after the other
    settings = rig.settings()
    store = rig.open(settings)
    _, row = add(store, NAME, PHONE)
    rewrap, wrapping, go_on = store.people.rewrap, threading.Event(), threading.Event()

    def when_told(person: Person, epoch: int) -> None:
        wrapping.set()
        assert go_on.wait(60)
        rewrap(person, epoch)

    def asked(_c: object, _k: object, statement: str, *_: object) -> None:
        if "DISTINCT person.epoch" in statement:
            go_on.set()
            ending.join(60)

    monkeypatch.setattr(store.people, "rewrap", when_told)
    ending = threading.Thread(target=store.end_epoch)
    ending.start()
    assert wrapping.wait(60)
    event.listen(Engine, "after_cursor_execute", asked)
    try:
        again = rig.open(settings)
    finally:
        event.remove(Engine, "after_cursor_execute", asked)
        go_on.set()
        ending.join(60)
    assert again.ring.versions(Purpose.EPOCH) == [2]
    assert name_of(again, row) == NAME
    rig.close()


@pytest.mark.parametrize("where", ["before", "rewrapping", "backup", "destroying"])
def test_end_of_an_epoch_broken_off_anywhere_loses_nobody_and_goes_on(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    settings = rig.settings()
    store = rig.open(settings)
    person, _ = add(store, NAME, PHONE)
    _, other = add(store, "李四", "13900002222")
    store.erase(person)

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        if where == "before":
            patched.setattr(store, "write", fail)
        elif where == "rewrapping":
            patched.setattr(store.people, "rewrap", fail)
        elif where == "destroying":
            patched.setattr(store.ring, "drop_before", fail)
        with pytest.raises(ZeroDivisionError):
            store.end_epoch(fail if where == "backup" else None)
    again = rig.open(settings)
    assert name_of(again, other) == "李四"
    done = again.end_epoch()
    assert (done.epoch, done.erasures) == (2, 1)
    assert again.ring.versions(Purpose.EPOCH) == [2]
    assert name_of(again, other) == name_of(store, other) == "李四"
    assert again.erasures_pending() == 0


# ---------------------------------------------------------------- crashes and old copies


def test_erasure_that_a_crash_broke_off_is_done_at_the_next_start(rig: Rig) -> None:
    settings = rig.settings()
    person, row = add(rig.open(settings), NAME, PHONE)
    Tombstones(Path(settings.keys)).append(Tombstone(person_digest(person), rig.now()))  # the process dies here
    store = rig.open(settings)
    assert name_of(store, row) is None
    assert count(store, Erasure) == count(store, AuditEntry) == 1


def test_erasure_beside_a_long_reader_is_not_called_final_before_the_log_holds_nothing_of_it(sqlite_rig: Rig) -> None:
    settings = replace(sqlite_rig.settings(), busy_ms=50)
    store, reader = sqlite_rig.open(settings), sqlite_rig.open(settings)
    person, _ = add(store, NAME, PHONE, NOTE)
    with store.read() as session:
        digests = list(session.scalars(select(BlindEntry.digest)))

    def left() -> bool:
        return any(digest in file.read_bytes() for file in sqlite_rig.files(settings) for digest in digests)

    with reader.read() as session:
        assert session.scalar(select(func.count()).select_from(Person)) == 1
        store.erase(person)
        assert left()
        with pytest.raises(StorageError, match="end the epoch when it is done"):
            store.end_epoch()
    assert store.ring.versions(Purpose.EPOCH) == [1, 2]
    assert store.end_epoch().erasures == 1
    assert store.ring.versions(Purpose.EPOCH) == [2]
    assert not left()


def test_old_backup_restored_erases_again_who_was_erased_since(rig: Rig, tmp_path: Path) -> None:
    settings = rig.settings()
    store = rig.open(settings)
    person, row = add(store, NAME, PHONE)
    _, other = add(store, "李四", "13900002222")
    old = write_backup(store, tmp_path / "backups", rig.now())
    store.erase(person)
    fresh = restored(rig, settings.keys, old)
    assert name_of(fresh, row) is None
    assert found(fresh, PHONE) == []
    assert found(fresh, "13900002222") == [other]
    assert count(fresh, Person) == count(fresh, Erasure) == 1


def test_old_backup_of_an_ended_epoch_is_restored_with_the_keys_of_a_newer_one_alone(rig: Rig, tmp_path: Path) -> None:
    settings = rig.settings()
    store = rig.open(settings)
    person, row = add(store, NAME, PHONE)
    _, other = add(store, "李四", "13900002222")
    old = write_backup(store, tmp_path / "backups", rig.now())
    store.erase(person)
    made: list[Path] = []
    store.end_epoch(lambda: made.append(write_backup(store, tmp_path / "backups", rig.now() + 1)))
    with pytest.raises(StorageError, match="has ended"):
        restored(rig, settings.keys, old)
    fresh = restored(rig, settings.keys, old, made[0])
    assert name_of(fresh, row) is None
    assert name_of(fresh, other) == "李四"
    assert count(fresh, Contact) == 1


def test_old_copy_of_the_database_file_put_back_erases_again_or_refuses_to_start(sqlite_rig: Rig) -> None:
    settings = sqlite_rig.settings()
    store = sqlite_rig.open(settings)
    person, row = add(store, NAME, PHONE)
    _, other = add(store, "李四", "13900002222")
    place = Path(settings.url.removeprefix("sqlite:///")).parent
    store.close()
    shutil.copytree(place, place.with_name("copy"))
    store = sqlite_rig.open(settings)
    store.erase(person)
    store.close()

    def put_back() -> None:
        shutil.rmtree(place)
        shutil.copytree(place.with_name("copy"), place)

    put_back()
    store = sqlite_rig.open(settings)
    assert name_of(store, row) is None
    assert name_of(store, other) == "李四"
    store.end_epoch()
    store.close()
    put_back()
    with pytest.raises(StorageError, match="the database is an old copy"):
        sqlite_rig.open(settings)


def test_list_of_erasures_put_back_old_is_made_whole_from_the_database(rig: Rig) -> None:
    settings = rig.settings()
    store = rig.open(settings)
    person, _ = add(store, NAME, PHONE)
    store.erase(person)
    path = Path(settings.keys) / "erasures.jsonl"
    content = path.read_bytes()
    path.unlink()
    rig.open(settings)
    assert path.read_bytes() == content


def test_list_of_erasures_changed_is_refused_and_a_torn_line_is_not(rig: Rig) -> None:
    settings = rig.settings()
    store = rig.open(settings)
    for _ in range(2):
        store.erase(add(store, NAME, PHONE)[0])
    path = Path(settings.keys) / "erasures.jsonl"
    good = path.read_bytes()
    append_durably(path, b'{"person": "ab')
    rig.open(settings)
    assert path.read_bytes() == good
    for bad in (good.split(b"\n", 1)[1], good.replace(b'"at_ms": 1', b'"at_ms": 2', 1), b"x\n" + good, b"[]\n"):
        path.write_bytes(bad)
        with pytest.raises(StorageError, match=r"erasures\.jsonl, line 1"):
            rig.open(settings)


# ---------------------------------------------------------------- backups


def restored(rig: Rig, keys: str, path: Path, keys_from: Path | None = None) -> Store:
    """A new database filled from a backup."""
    settings = replace(rig.settings(), keys=keys)
    assert restore_backup(settings, {}, path, keys_from).persons >= 0
    return rig.open(settings)


def test_backup_restored_is_the_store_that_it_was(rig: Rig, tmp_path: Path) -> None:
    settings = rig.settings()
    store = rig.open(settings)
    rows = [add(store, f"人{index}", f"1390000{index:04}")[1] for index in range(30)]
    with store.write() as session:
        store.record(session, Act("a" * 32, "person.added", "b" * 32, "c" * 32))
    path = write_backup(store, tmp_path / "backups", rig.now())
    assert path.stat().st_mode & 0o077 == 0
    fresh = restored(rig, settings.keys, path)
    assert [name_of(fresh, row) for row in rows] == [f"人{index}" for index in range(30)]
    assert found(fresh, "13900000007") == [rows[7]]
    with fresh.read() as session:
        assert audit.verify_chain(session) == 1
    with pytest.raises(StorageError, match="rows already"):
        restore_backup(settings, {}, path)


def test_backup_changed_cut_or_of_another_store_is_refused(rig: Rig, tmp_path: Path) -> None:
    settings = rig.settings()
    store = rig.open(settings)
    add(store, "张三", "13900001111")
    path = write_backup(store, tmp_path / "backups", rig.now())
    secret = store.secret("backup")
    assert check_backup(path, secret).epoch == 1
    content = gzip.decompress(path.read_bytes())
    lines = content.splitlines(keepends=True)
    bad = tmp_path / "bad"
    for changed in (
        gzip.compress(content.replace(b'"person"', b'"persoN"', 1)),
        gzip.compress(b"".join(lines[:1] + lines[2:])),
        gzip.compress(b"".join(lines[:-1])),
        gzip.compress(content + lines[1]),
        gzip.compress(b"[]\n{}\n"),
        gzip.compress(b""),
        path.read_bytes()[:-20],
        b"\x1f\x8b\x08\x00garbage that is not gzip",
        b"nothing",
    ):
        bad.write_bytes(changed)
        with pytest.raises(StorageError):
            check_backup(bad, secret)
    rig.open(rig.settings(keys="others"))
    with pytest.raises(StorageError, match="of another store"):
        restore_backup(rig.settings(keys="others"), {}, path)


@pytest.mark.parametrize("forged", [b"[" * 100_000 + b"\n", b'{"columns": 1}\n', b'["person"]\n', b""])
def test_backup_exchanged_after_it_was_checked_fills_nothing(
    sqlite_rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forged: bytes
) -> None:
    settings = sqlite_rig.settings()
    store = sqlite_rig.open(settings)
    add(store, "张三", "13900001111")
    path = write_backup(store, tmp_path / "backups", sqlite_rig.now())
    head, _, rest = gzip.decompress(path.read_bytes()).partition(b"\n")

    def checked(given: Path, secret: bytes) -> Head:
        found = check_backup(given, secret)
        lines = rest.splitlines(keepends=True)
        given.write_bytes(gzip.compress(head + b"\n" + forged + b"".join(lines if forged else lines[1:])))
        return found

    monkeypatch.setattr("service.store.backup.check_backup", checked)
    empty = replace(settings, url=sqlite_rig.new_database())
    with pytest.raises(StorageError, match="changed"):
        restore_backup(empty, {}, path)
    assert count(sqlite_rig.open(empty), Person) == 0


def test_backup_holds_no_key_index_or_answer(rig: Rig, tmp_path: Path) -> None:
    store = rig.open(rig.settings())
    add(store, "张三", "13900001111")
    store.replays().begin(b"k" * 32, b"r" * 32)
    content = gzip.decompress(write_backup(store, tmp_path / "backups", rig.now()).read_bytes())
    tables = {json.loads(line)[0] for line in content.splitlines()[1:-1]}
    assert tables == {"store_mark", "person", "test_contact", "audit_head"}
    for purpose in Purpose:
        key = store.ring.key(purpose, 1)
        assert key not in content
        assert key.hex().encode() not in content
