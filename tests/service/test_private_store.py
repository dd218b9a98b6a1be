# SPDX-License-Identifier: Apache-2.0
"""Personal data in the private store: sealed where it lies, found by who holds the keys, opened nowhere else."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text, update
from store_rig import Contact, Rig, add, found, name_of, readable

from cli.services import SERVICES
from service.errors import KeyFileError, PersonErased, StorageError
from service.store import Base, cipher
from service.store.key_encryption import SCRYPT_N, load_file_key, make_file_key
from service.store.key_ring import KeyRing, Purpose
from service.store.migrate import known_folders
from service.store.models import Person
from service.store.normal import Normal, normalise
from service.store.opening import new_wrapping

ROOT = Path(__file__).resolve().parents[2]


def test_sealed_value_opens_and_is_found_however_it_is_written(rig: Rig) -> None:
    store = rig.open(rig.settings())
    _, row = add(store, "张　三", "139-0000 1111")
    add(store, "李四", "13900002222")
    assert name_of(store, row) == "张　三"
    assert found(store, "１３９ 0000-1111") == [row]
    with store.read() as session:
        assert list(store.people.find(session, Contact.name, " 张  三 ")) == [row]
    assert found(store, "1390000111") == []


def test_value_that_is_emptied_or_changed_is_found_no_more(rig: Rig) -> None:
    store = rig.open(rig.settings())
    _, row_id = add(store, "张三", "13900001111")
    with store.write() as session:
        row = session.get(Contact, row_id)
        assert row is not None
        store.people.seal(session, row, Contact.phone, "13800000000")
        store.people.seal(session, row, Contact.name, None)
    assert found(store, "13900001111") == []
    assert found(store, "13800000000") == [row_id]
    assert name_of(store, row_id) is None


def test_row_that_is_removed_takes_its_index_along(rig: Rig) -> None:
    store = rig.open(rig.settings())
    person, row_id = add(store, "张三", "13900001111")
    with store.write() as session:
        row = session.get(Contact, row_id)
        assert row is not None
        store.people.remove(session, row)
    assert found(store, "13900001111") == []
    with store.read() as session:
        assert store.people.exists(session, person)


def test_sealed_bytes_moved_to_another_row_column_or_person_do_not_open(rig: Rig) -> None:
    store = rig.open(rig.settings())
    first, row_1 = add(store, "张三", "13900001111")
    second, row_2 = add(store, "李四", "13900002222")
    with store.write() as session:
        contact = session.get(Contact, row_1)
        assert contact is not None
        sealed, phone = contact.name, contact.phone
    for where, values in [
        (row_2, {"name": sealed}),
        (row_1, {"name": phone}),
        (row_1, {"person_id": second}),
    ]:
        with store.write() as session:
            session.execute(update(Contact).where(Contact.id == where).values(**values))
        with pytest.raises(StorageError, match="does not open"):
            name_of(store, where)
        with store.write() as session:
            session.execute(update(Contact).where(Contact.id == row_1).values(name=sealed, person_id=first))


def test_wrapped_key_of_another_person_does_not_open(rig: Rig) -> None:
    store = rig.open(rig.settings())
    first, row = add(store, "张三", "13900001111")
    second, _ = add(store, "李四", "13900002222")
    with store.write() as session:
        other = session.get(Person, second)
        assert other is not None
        session.execute(update(Person).where(Person.id == first).values(wrapped_key=other.wrapped_key))
    with pytest.raises(StorageError, match="the key of a person"):
        name_of(store, row)


def test_database_and_its_logs_hold_no_readable_value(rig: Rig) -> None:
    settings = rig.settings()
    store = rig.open(settings)
    name, phone = "Zhang Unreadable", "13955550001"
    add(store, name, phone, note="Unreadable note")
    found(store, phone)
    hits = readable(rig.files(settings), [name.encode(), phone.encode(), b"unreadable", b"Unreadable"])
    assert hits == []


@pytest.mark.parametrize(
    "attack", ["' OR '1'='1", "x'; DROP TABLE person; --", '"; DELETE FROM person; --', "\\'; --", "%", "\x00'--"]
)
def test_sql_injection_in_a_search_or_value_is_a_value_like_any_other(rig: Rig, attack: str) -> None:
    store = rig.open(rig.settings())
    _, other = add(store, "张三", "13900001111")
    _, row = add(store, attack, attack)
    assert name_of(store, row) == attack
    assert found(store, attack) == [row]
    with store.read() as session:
        assert not store.people.exists(session, "' OR '1'='1")
    assert name_of(store, other) == "张三"


def test_write_for_a_person_who_is_not_there_says_so(rig: Rig) -> None:
    store = rig.open(rig.settings())
    with pytest.raises(PersonErased), store.write() as session:
        store.people.seal(session, Contact(person_id="0" * 32), Contact.name, "张三")


def test_transaction_that_fails_leaves_nothing(rig: Rig) -> None:
    store = rig.open(rig.settings())
    people: list[str] = []

    def fail() -> None:
        with store.write() as session:
            people.append(store.people.add(session))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with store.read() as session:
        assert not store.people.exists(session, people[0])


def test_constraint_that_fails_is_a_failure_of_the_store_without_values(rig: Rig) -> None:
    store = rig.open(rig.settings())
    _, row = add(store, "张三", "13900001111")
    with pytest.raises(StorageError) as caught, store.write() as session:
        session.add(Contact(id=row, person_id="f" * 32))
    assert row not in str(caught.value)


# ---------------------------------------------------------------- rotation


def test_person_key_rotated_old_sealed_bytes_open_no_more(rig: Rig) -> None:
    store = rig.open(rig.settings())
    person, row = add(store, "张三", "13900001111", note="n")
    with store.read() as session:
        contact = session.get(Contact, row)
        assert contact is not None
        before = contact.name
    with store.write() as session:
        assert store.people.rotate(session, person) == 2
    assert name_of(store, row) == "张三"
    assert found(store, "13900001111") == [row]
    with store.write() as session:
        session.execute(update(Contact).where(Contact.id == row).values(name=before))
    with pytest.raises(StorageError, match="does not open"):
        name_of(store, row)


def test_key_encryption_key_rotated_while_another_process_works_nothing_is_lost(rig: Rig) -> None:
    settings = rig.settings()
    store, other = rig.open(settings), rig.open(settings)
    _, row = add(store, "张三", "13900001111")
    old = sorted(Path(settings.keys).glob("kek-*.json"))
    store.rotate_wrapping(new_wrapping(settings, {}))
    new = sorted(Path(settings.keys).glob("kek-*.json"))
    assert len(old) == len(new) == 1
    assert old != new
    assert name_of(other, row) == "张三"
    _, second = add(other, "李四", "13900002222")
    assert name_of(rig.open(settings), second) == "李四"


def test_passphrase_changed_with_the_key_opens_the_store_and_the_old_one_does_not(rig: Rig) -> None:
    settings = replace(rig.settings(), allow_plain=False)
    store, other = rig.open(settings, ZHIXIN_PASSPHRASE="old"), rig.open(settings, ZHIXIN_PASSPHRASE="old")
    _, row = add(store, "张三", "13900001111")
    new = rig.folder / "new"
    new.write_text("new\n")
    new.chmod(0o600)
    store.rotate_wrapping(new_wrapping(settings, {"ZHIXIN_PASSPHRASE": "old"}, str(new)))
    assert name_of(store, row) == name_of(other, row) == "张三"
    with pytest.raises(KeyFileError, match="wrong passphrase"):
        rig.open(settings, ZHIXIN_PASSPHRASE="old")
    with pytest.raises(KeyFileError, match="wrong passphrase"):
        asyncio.run(other.answers())
    assert name_of(rig.open(settings, ZHIXIN_PASSPHRASE="new"), row) == "张三"


def test_key_rotation_broken_off_before_the_ring_is_replaced_leaves_the_old_key_in_use(rig: Rig) -> None:
    settings = rig.settings()
    _, row = add(rig.open(settings), "张三", "13900001111")
    new_wrapping(settings, {})  # the process dies here
    assert len(list(Path(settings.keys).glob("kek-*.json"))) == 2
    assert name_of(rig.open(settings), row) == "张三"
    assert len(list(Path(settings.keys).glob("kek-*.json"))) == 1


def test_key_rotation_meeting_a_service_that_starts_does_not_wrap_the_ring_under_a_key_that_is_gone(rig: Rig) -> None:
    settings = rig.settings()
    store = rig.open(settings)
    _, row = add(store, "张三", "13900001111")
    wrapping = new_wrapping(settings, {})
    rig.open(settings)  # takes the new key's file for one that broke off
    with pytest.raises(KeyFileError, match="rotate the key again"):
        store.rotate_wrapping(wrapping)
    assert name_of(rig.open(settings), row) == "张三"
    store.rotate_wrapping(new_wrapping(settings, {}))
    assert name_of(rig.open(settings), row) == "张三"


def test_index_key_rotated_values_are_found_under_the_new_key_alone(rig: Rig) -> None:
    settings = rig.settings()
    store, other = rig.open(settings), rig.open(settings)
    _, row = add(store, "张三", "13900001111")
    assert store.rotate_index_key() == 1
    assert store.ring.versions(Purpose.INDEX) == [2]
    assert found(store, "13900001111") == [row]
    assert found(other, "13900001111") == [row]
    with store.read() as session:
        assert session.scalars(text("SELECT version FROM blind_entry")).all() == [2, 2]


def test_value_written_while_the_index_key_is_exchanged_is_found_as_it_is_now(rig: Rig) -> None:
    settings = rig.settings()
    store, other = rig.open(settings), rig.open(settings)
    _, changed = add(store, "张三", "13900001111")
    rotating = threading.Thread(target=store.rotate_index_key)
    with other.write() as session:
        person = other.people.add(session)
        row = Contact(person_id=person)
        other.people.seal(session, row, Contact.phone, "13900002222")
        kept = session.get(Contact, changed)
        assert kept is not None
        other.people.seal(session, kept, Contact.phone, "13900003333")
        rotating.start()
        rotating.join(0.5)  # so long it would take if it did not wait for this transaction
    rotating.join(60)
    for each in (store, other):
        assert each.ring.versions(Purpose.INDEX) == [2]
        assert [found(each, phone) for phone in ("13900001111", "13900002222", "13900003333")] == [
            [],
            [row.id],
            [changed],
        ]


def test_index_rotation_broken_off_finds_everything_and_goes_on(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    store = rig.open(rig.settings())
    _, row = add(store, "张三", "13900001111")

    def fail() -> int:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(store, "reindex", fail)
        with pytest.raises(ZeroDivisionError):
            store.rotate_index_key()
    _, second = add(store, "李四", "13900002222")
    assert (found(store, "13900001111"), found(store, "13900002222")) == ([row], [second])
    store.rotate_index_key()
    assert (found(store, "13900001111"), found(store, "13900002222")) == ([row], [second])
    assert store.ring.versions(Purpose.INDEX) == [2]


# ---------------------------------------------------------------- keys and tables


def test_keys_missing_for_a_database_that_has_had_some_are_not_made_anew(rig: Rig) -> None:
    settings = rig.settings()
    rig.open(settings)
    for path in Path(settings.keys).iterdir():
        path.unlink()
    with pytest.raises(KeyFileError, match="is missing, and the database needs it"):
        rig.open(settings)
    assert not KeyRing.path(Path(settings.keys)).exists()


def test_keys_of_another_store_are_refused(rig: Rig) -> None:
    settings = rig.settings()
    rig.open(settings)
    rig.open(rig.settings(keys="others"))
    with pytest.raises(KeyFileError, match="is of another store"):
        rig.open(rig.settings(url=settings.url, keys="others"))


def test_old_copy_of_the_keys_put_back_is_noticed(rig: Rig) -> None:
    settings = rig.settings()
    store = rig.open(settings)
    add(store, "张三", "13900001111")
    path = KeyRing.path(Path(settings.keys))
    before = path.read_bytes()
    store.end_epoch()
    path.write_bytes(before)
    with pytest.raises(StorageError, match="the keys are an old copy"):
        rig.open(settings)


def test_tables_that_migrations_make_are_those_of_the_models(rig: Rig) -> None:
    store = rig.open(rig.settings())
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, Base.metadata)
    assert differences == []


def test_database_of_a_newer_program_is_refused(rig: Rig) -> None:
    settings = rig.settings()
    store = rig.open(settings)
    with store.write() as session:
        session.execute(text("DELETE FROM alembic_version"))
        session.execute(text("INSERT INTO alembic_version VALUES ('9999')"))
    with pytest.raises(StorageError, match="newer version"):
        rig.open(settings)


def test_database_at_its_head_runs_no_migration(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(SERVICES) > 5
    assert len(known_folders()) > 5, "of packages whose branches depend on one another"
    settings = rig.settings()
    monkeypatch.setattr(MigrationContext, "run_migrations", lambda _self: pytest.fail("nothing was missing"))
    rig.open(settings)
    with pytest.raises(pytest.fail.Exception):
        rig.open(rig.settings(rig.new_database()))


def test_key_file_opens_with_its_passphrase_alone(tmp_path: Path) -> None:
    made = make_file_key(tmp_path, b"correct horse", allow_plain=False)
    where = cipher.place("x")
    wrapped = made.wrap(bytes(32), where)
    assert load_file_key(tmp_path, made.name, b"correct horse", allow_plain=False).unwrap(wrapped, where) == bytes(32)
    for passphrase, complaint in ((b"wrong", "wrong passphrase"), (None, "is encrypted")):
        with pytest.raises(KeyFileError, match=complaint):
            load_file_key(tmp_path, made.name, passphrase, allow_plain=True)
    with pytest.raises(KeyFileError, match="does not open"):
        made.unwrap(wrapped, cipher.place("y"))


def test_key_file_changed_asking_too_much_or_open_to_others_is_refused(tmp_path: Path) -> None:
    made = make_file_key(tmp_path, b"p", allow_plain=False)
    path = tmp_path / f"kek-{made.name}.json"
    good = path.read_text()
    for bad in (
        good.replace(f'"n": {SCRYPT_N}', f'"n": {2**30}'),
        good.replace(f'"n": {SCRYPT_N}', f'"n": {2**14}'),
        good.replace("zhixin-service-kek/1", "zhixin-service-kek/2"),
        good[:40],
        "[" * 5000,
    ):
        path.write_text(bad)
        with pytest.raises(KeyFileError):
            load_file_key(tmp_path, made.name, b"p", allow_plain=True)
    path.write_text(good)
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match="only its owner"):
        load_file_key(tmp_path, made.name, b"p", allow_plain=True)


def test_keys_without_passphrase_or_in_an_open_folder_are_not_made(sqlite_rig: Rig) -> None:
    settings = sqlite_rig.settings()
    Path(settings.keys).mkdir(mode=0o755)
    with pytest.raises(KeyFileError, match="open to others"):
        sqlite_rig.open(settings)
    Path(settings.keys).chmod(0o700)
    strict = type(settings)(url=settings.url, keys=settings.keys)
    with pytest.raises(KeyFileError, match="ZHIXIN_PASSPHRASE"):
        sqlite_rig.open(strict)
    assert sqlite_rig.open(strict, ZHIXIN_PASSPHRASE="secret")


def test_benchmark_of_the_store_names_its_figures() -> None:
    argv = [sys.executable, "-m", "benchmarks.store", "--persons", "20"]  # apart: its table is in no migration
    figures = json.loads(subprocess.run(argv, cwd=ROOT, capture_output=True, check=True, timeout=120).stdout)
    assert {"seal_us", "unseal_us", "write_form_us", "find_us", "erase_us", "end_epoch_us_each"} <= figures.keys()
    assert all(figure > 0 for figure in figures.values())


@pytest.mark.parametrize("size", [0, 1, 27, 28, 29, 1000])
def test_sealed_length_tells_the_length_in_steps_alone(size: int) -> None:
    key, where = os.urandom(32), cipher.place("t", "c", "r")
    sealed = cipher.seal(key, b"x" * size, where)
    assert cipher.unseal(key, sealed, where) == b"x" * size
    assert (len(sealed) - 1 - 12 - 16) % 32 == 0
    for changed in (sealed[:-1], b"\x02" + sealed[1:], sealed[:20] + bytes([sealed[20] ^ 1]) + sealed[21:], b""):
        with pytest.raises(cipher.Unopened):
            cipher.unseal(key, changed, where)


def test_places_with_shifted_boundaries_differ() -> None:
    assert cipher.place("ab", "c") != cipher.place("a", "bc") != cipher.place("abc")


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        (Normal.TEXT, "ＺＨＡＮＧ  san", "zhang San"),
        (Normal.TEXT, "Straße", "STRASSE"),
        (Normal.IDENTIFIER, "110101-1990.0101 123x", "11010119900101123X"),
        (Normal.IDENTIFIER, "(010) 1234–5678", "01012345678"),
    ],
)
def test_values_that_people_write_differently_are_compared_as_one(kind: Normal, one: str, other: str) -> None:
    assert normalise(kind, one) == normalise(kind, other)


def test_connection_in_use_when_its_store_closes_is_closed_as_soon_as_it_is_given_back(rig: Rig) -> None:
    store = rig.open(rig.settings())
    with store.read() as session:
        connection = session.connection().connection.dbapi_connection
        store.close()
        assert session.scalar(text("SELECT 1")) == 1, "what is under way goes on"
    assert connection is not None
    if rig.server is None:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.cursor()
    else:
        assert connection.closed
