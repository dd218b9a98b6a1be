# SPDX-License-Identifier: Apache-2.0
"""The audit chain against what is anchored of it: what somebody with the database's own rights can no longer hide."""

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from anchor_rig import OTHER, SUBMIT, Ledger
from sqlalchemy import select, text
from store_rig import Rig
from structlog.testing import capture_logs

from chain.errors import Refused
from client.errors import TransportError
from membership.pb import membership_pb2 as pb
from service.anchors import organisation_of, put_anchor
from service.errors import ConfigError, KeyFileError, StorageError
from service.store import Act, Store, audit, new_id
from service.store.anchoring import Anchoring
from service.store.audit_anchors import Comparison, RolledBack, compare
from service.store.backup import OlderBackup, restore_backup, write_backup
from service.store.files import try_locked
from service.store.models import AuditBatch, AuditEntry, AuditHead

WHO, WHAT = "a" * 32, "b" * 32


def record(store: Store, count: int = 1) -> None:
    for _ in range(count):
        with store.write() as session:
            store.record(session, Act(WHO, "record.opened", WHAT, new_id()))


def tick(store: Store, ledger: Ledger) -> int:
    return asyncio.run(Anchoring(store, None, SUBMIT, 1000).tick(ledger))  # type: ignore[arg-type]  # asks this ledger


def compared(store: Store, ledger: Ledger) -> Comparison:
    return asyncio.run(compare(store, ledger, "org-r"))


def unguard(store: Store, *statements: str) -> None:
    """What somebody with the database's own rights can do."""
    with store.write() as session:
        if store.engine.dialect.name == "sqlite":
            session.execute(text("DROP TRIGGER IF EXISTS audit_entry_no_update"))
            session.execute(text("DROP TRIGGER IF EXISTS audit_entry_no_delete"))
        else:
            session.execute(text("ALTER TABLE audit_entry DISABLE TRIGGER USER"))
        for statement in statements:
            session.execute(text(statement))


def make_anew(store: Store) -> None:
    """Compute the whole chain anew, so that it fits itself; salts and references stay."""
    with store.write() as session:
        digest, number = bytes(32), 0
        ends = {batch.last: batch for batch in session.scalars(select(AuditBatch))}
        for entry in session.scalars(select(AuditEntry).order_by(AuditEntry.number)):
            number += 1
            entry.number = number
            digest = entry.digest = audit._digest(digest, entry)
            if number in ends:
                ends[number].digest = audit.anchor_digest(number, ends[number].salt, digest)
        head = session.scalars(select(AuditHead)).one()
        head.number, head.digest = number, digest
        session.flush()
        for batch in ends.values():
            if batch.last > number:
                session.delete(batch)
    with store.read() as session:
        assert audit.verify_chain(session) == number


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def anchored_store(rig: Rig, ledger: Ledger, ticks: int = 4, each: int = 3) -> Store:
    store = rig.open(rig.settings())
    for _ in range(ticks):
        record(store, each)
        assert tick(store, ledger) == 1
    return store


def test_chain_anchored_tick_by_tick_is_in_order_and_says_what_is_not_anchored_yet(rig: Rig, ledger: Ledger) -> None:
    store = anchored_store(rig, ledger)
    record(store, 2)
    found = compared(store, ledger)
    assert found.anchored is not None
    assert (found.entries, found.anchored.size, found.first_bad, found.reason) == (14, 12, 0, "")
    assert [anchor.size for anchor in ledger.anchors()] == [3, 6, 9, 12]
    assert {anchor.stream for anchor in ledger.anchors()} == {bytes.fromhex(store.ring.store)}
    assert ledger.asked == 0  # the newest anchor vouches for all before


def test_tick_without_new_entries_anchors_nothing(sqlite_rig: Rig, ledger: Ledger) -> None:
    store = anchored_store(sqlite_rig, ledger, 1)
    assert tick(store, ledger) == 0
    assert len(ledger.anchors()) == 1


def test_what_is_anchored_tells_nothing_of_the_entries(sqlite_rig: Rig, ledger: Ledger) -> None:
    """The same entries in two stores give digests that nobody can compare or guess at."""
    first, second = (anchored_store(sqlite_rig_of(sqlite_rig, name), ledger, 1) for name in ("one", "two"))
    assert first.audit_salt(3) != second.audit_salt(3)
    one, two = ledger.anchors()
    assert one.digest != two.digest
    assert one.stream != two.stream


def sqlite_rig_of(rig: Rig, name: str) -> Rig:
    folder = rig.folder / name
    folder.mkdir()
    return Rig(folder, None)


# ---------------------------------------------------------------- attacks with the database's own rights


@pytest.mark.parametrize(
    ("attack", "first", "last"),
    [
        ("UPDATE audit_entry SET act = 'record.closed' WHERE number = 8", 7, 9),
        ("UPDATE audit_entry SET actor = 'system' WHERE number = 1", 1, 3),
        ("UPDATE audit_entry SET at_ms = at_ms + 1 WHERE number = 12", 10, 12),
    ],
)
def test_entry_altered_and_the_whole_chain_made_anew_is_found_between_two_anchors(
    rig: Rig, ledger: Ledger, attack: str, first: int, last: int
) -> None:
    store = anchored_store(rig, ledger)
    unguard(store, attack)
    make_anew(store)
    found = compared(store, ledger)
    assert (found.first_bad, found.last_bad) == (first, last)
    assert found.reason == "the table is not what was anchored"
    with pytest.raises(RolledBack, match="not those that were anchored"):
        tick(store, ledger)


def test_entry_removed_and_the_whole_chain_made_anew_is_found(rig: Rig, ledger: Ledger) -> None:
    store = anchored_store(rig, ledger)
    unguard(store, "DELETE FROM audit_entry WHERE number = 5")
    make_anew(store)
    found = compared(store, ledger)
    assert (found.entries, found.first_bad, found.last_bad) == (11, 4, 6)
    with pytest.raises(RolledBack, match="the store has fewer"):
        tick(store, ledger)


@pytest.mark.parametrize(
    ("attack", "first"),
    [
        ("UPDATE audit_entry SET act = 'record.closed' WHERE number = 8", 8),
        ("DELETE FROM audit_entry WHERE number = 5", 5),
        ("DELETE FROM audit_entry WHERE number > 9", 10),
    ],
)
def test_entry_altered_or_removed_by_a_careless_hand_is_named(
    rig: Rig, ledger: Ledger, attack: str, first: int
) -> None:
    store = anchored_store(rig, ledger)
    unguard(store, attack)
    found = compared(store, ledger)
    assert (found.first_bad, found.last_bad) == (first, first)


def test_entries_cut_off_at_the_end_with_head_and_stretches_are_missed(rig: Rig, ledger: Ledger) -> None:
    store = anchored_store(rig, ledger)
    unguard(store, "DELETE FROM audit_entry WHERE number > 9", "DELETE FROM audit_batch WHERE last > 9")
    make_anew(store)
    found = compared(store, ledger)
    assert (found.entries, found.first_bad) == (9, 10)
    assert "12 entries are anchored" in found.reason


def test_table_emptied_with_all_that_points_to_anchors_is_missed(rig: Rig, ledger: Ledger) -> None:
    store = anchored_store(rig, ledger)
    unguard(store, "DELETE FROM audit_entry", "DELETE FROM audit_batch")
    make_anew(store)
    found = compared(store, ledger)
    assert (found.entries, found.first_bad) == (0, 1)


def test_altered_salts_and_lost_stretches_hide_nothing_and_accuse_nobody(rig: Rig, ledger: Ledger) -> None:
    store = anchored_store(rig, ledger)
    unguard(store, "DELETE FROM audit_batch")
    assert compared(store, ledger).first_bad == 0
    unguard(store, "UPDATE audit_entry SET act = 'record.closed' WHERE number = 8")
    make_anew(store)
    found = compared(store, ledger)
    assert (found.first_bad, found.last_bad) == (1, 12)


def test_reference_to_an_anchor_of_another_organisation_or_stream_vouches_for_nothing(rig: Rig, ledger: Ledger) -> None:
    store = anchored_store(rig, ledger)
    unguard(store, "UPDATE audit_entry SET act = 'record.closed' WHERE number = 5")
    make_anew(store)
    with store.read() as session:
        batches = audit.batches(session)
    for signer, stream in ((OTHER, store.audit_stream), (SUBMIT, b"x" * 16)):
        forged = asyncio.run(
            put_anchor(ledger, signer, pb.ANCHOR_KIND_AUDIT, stream, batches[6].digest, 6)  # type: ignore[arg-type]  # a shell
        )
        unguard(store, f"UPDATE audit_batch SET reference = '{forged.id.hex()}' WHERE last = 6")
        found = compared(store, ledger)
        assert (found.first_bad, found.last_bad) == (4, 6)


@pytest.mark.parametrize("reference", ["", "no hex", "ab", "cd" * 32])
def test_references_that_lead_nowhere_are_no_proof_and_no_failure(
    sqlite_rig: Rig, ledger: Ledger, reference: str
) -> None:
    store = anchored_store(sqlite_rig, ledger)
    unguard(
        store,
        "UPDATE audit_entry SET act = 'record.closed' WHERE number = 8",
        f"UPDATE audit_batch SET reference = '{reference}'",
    )
    make_anew(store)
    found = compared(store, ledger)
    assert (found.first_bad, found.last_bad) == (1, 3)


def test_many_stretches_are_searched_by_halves(sqlite_rig: Rig, ledger: Ledger) -> None:
    store = anchored_store(sqlite_rig, ledger, ticks=32, each=1)
    unguard(store, "UPDATE audit_entry SET act = 'record.closed' WHERE number = 20")
    make_anew(store)
    found = compared(store, ledger)
    assert (found.first_bad, found.last_bad) == (20, 20)
    assert ledger.asked <= 6


# ---------------------------------------------------------------- the ledger down, crashes, rivals


def test_ledger_down_for_several_ticks_is_made_up_for_and_loses_nothing(rig: Rig, ledger: Ledger) -> None:
    store = anchored_store(rig, ledger, 1)
    ledger.down = True
    for _ in range(3):
        record(store, 2)
        with pytest.raises(TransportError):
            tick(store, ledger)
    ledger.down = False
    assert tick(store, ledger) == 1
    assert [anchor.size for anchor in ledger.anchors()] == [3, 9]
    assert compared(store, ledger).first_bad == 0


def test_crash_between_ledger_and_database_anchors_once(rig: Rig, ledger: Ledger) -> None:
    store = rig.open(rig.settings())
    record(store, 3)
    ledger.dies = True
    with pytest.raises(TransportError):
        tick(store, ledger)
    ledger.dies = False
    assert tick(store, ledger) == 1
    assert len(ledger.anchors()) == 1
    record(store)
    assert tick(store, ledger) == 1
    assert compared(store, ledger).first_bad == 0


def test_of_two_processes_that_tick_at_once_one_works(sqlite_rig: Rig, ledger: Ledger) -> None:
    store = sqlite_rig.open(sqlite_rig.settings())
    record(store)
    with try_locked(store.ring.folder, "anchoring") as is_ours:
        assert is_ours
        assert tick(store, ledger) == 0
    assert tick(store, ledger) == 1


def test_key_that_is_nobody_s_or_submits_no_more_is_named(sqlite_rig: Rig, ledger: Ledger) -> None:
    del sqlite_rig
    assert asyncio.run(organisation_of(ledger, SUBMIT.signer)) == "org-r"
    stranger = replace(SUBMIT.signer, public_key=bytes(32))
    with pytest.raises(ConfigError, match=r"signing\.submit_key is no key of purpose submit"):
        asyncio.run(organisation_of(ledger, stranger))


def test_anchor_that_the_rules_refuse_is_an_error_with_their_code(ledger: Ledger) -> None:
    with pytest.raises(Refused) as refused:
        asyncio.run(put_anchor(ledger, SUBMIT, pb.ANCHOR_KIND_AUDIT, b"short", bytes(32), 1))  # type: ignore[arg-type]  # a shell
    assert refused.value.code == "membership.invalid-anchor"


async def test_running_tick_says_what_is_wrong_and_makes_the_service_not_ready(
    sqlite_rig: Rig, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = sqlite_rig.open(sqlite_rig.settings())
    record(store, 2)

    class Fake:
        def __init__(self, *_: object, **__: object) -> None: ...

        async def __aenter__(self) -> Ledger:
            return ledger

        async def __aexit__(self, *_: object) -> None: ...

    class Network:
        genesis = endpoints = None

    monkeypatch.setattr("service.store.anchoring.Session", Fake)
    anchoring = Anchoring(store, Network(), SUBMIT, 20)  # type: ignore[arg-type]  # not looked at
    app: object = None
    with capture_logs() as lines:
        await anchoring.start(app)  # type: ignore[arg-type]  # not looked at
        await anchoring.start(app)  # type: ignore[arg-type]  # two services of one process
        await until(lambda: any(line["event"] == "audit.anchored" for line in lines))
        ledger.down = True
        await until(lambda: any(line["event"] == "audit.not-anchored" for line in lines))
        assert await anchoring.holds()
        ledger.down = False
        await asyncio.to_thread(unguard, store, "DELETE FROM audit_entry", "UPDATE audit_head SET number = 0")
        await until(lambda: any(line["event"] == "audit.rolled-back" for line in lines))
        assert not await anchoring.holds()
        await anchoring.stop(app)  # type: ignore[arg-type]  # not looked at
        assert anchoring._task is not None
        await anchoring.stop(app)  # type: ignore[arg-type]  # not looked at
    assert anchoring._task is None


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


# ---------------------------------------------------------------- older copies


def test_older_backup_is_refused_with_its_age_and_restored_only_on_demand(
    rig: Rig, ledger: Ledger, tmp_path: Path
) -> None:
    store = anchored_store(rig, ledger, 2)
    older = write_backup(store, tmp_path / "backups", rig.now())
    record(store, 2)
    assert tick(store, ledger) == 1
    found = compared(store, ledger).anchored
    settings = replace(rig.settings(), keys=str(store.ring.folder))
    with pytest.raises(OlderBackup, match="6 entries, and 8 are anchored") as refused:
        restore_backup(settings, {}, older, anchored=found)
    assert (refused.value.head.audit_entries, refused.value.head.at_ms) == (6, rig.now())

    done = restore_backup(settings, {}, older, anchored=found, accept_older=True)
    assert done.head.audit_entries == 6
    fresh = rig.open(settings)
    with fresh.read() as session:
        last = session.scalars(select(AuditEntry).order_by(AuditEntry.number.desc()).limit(1)).one()
    assert found is not None
    assert (last.act, last.record) == ("store.older-accepted", found.digest.hex())
    assert tick(fresh, ledger) == 1  # under a name of its own, so that the former anchors stay what they are
    assert compared(fresh, ledger).accepted == (7,)
    assert ledger.anchors()[-1].stream != ledger.anchors()[0].stream
    assert compared(fresh, ledger).first_bad == 0


def test_newest_backup_is_restored_and_goes_on_being_anchored(rig: Rig, ledger: Ledger, tmp_path: Path) -> None:
    store = rig.open(rig.settings())
    record(store, 5)
    newest = write_backup(store, tmp_path / "backups", rig.now())  # before the stretch was made
    assert tick(store, ledger) == 1
    found = compared(store, ledger).anchored
    settings = replace(rig.settings(), keys=str(store.ring.folder))
    restore_backup(settings, {}, newest, anchored=found)
    fresh = rig.open(settings)
    assert compared(fresh, ledger).first_bad == 0
    assert tick(fresh, ledger) == 1
    assert len(ledger.anchors()) == 1
    record(fresh)
    assert tick(fresh, ledger) == 1
    assert compared(fresh, ledger).first_bad == 0


def test_old_copy_of_database_and_keys_together_is_not_ready_until_somebody_answers_for_it(
    sqlite_rig: Rig, ledger: Ledger
) -> None:
    """Nothing on the machine can tell; the ledger does."""
    settings = sqlite_rig.settings()
    store = sqlite_rig.open(settings)
    record(store, 3)
    assert tick(store, ledger) == 1
    store.close()
    place = Path(settings.url.removeprefix("sqlite:///")).parent
    shutil.copytree(place, sqlite_rig.folder / "copy")
    store = sqlite_rig.open(settings)
    record(store, 2)
    assert tick(store, ledger) == 1
    old = sqlite_rig.open(replace(settings, url=f"sqlite:///{sqlite_rig.folder / 'copy' / 'store.sqlite'}"))
    record(old, 4)  # it goes on, and would soon be as long
    with pytest.raises(RolledBack, match="not those that were anchored"):
        tick(old, ledger)
    found = compared(old, ledger)
    assert (found.first_bad, found.last_bad) == (4, 5)
    assert found.anchored is not None
    old.accept_older(found.anchored.digest)
    assert tick(old, ledger) == 1


def test_chain_put_under_another_name_to_hide_what_was_altered_is_noticed(rig: Rig, ledger: Ledger) -> None:
    store = anchored_store(rig, ledger)
    unguard(store, "UPDATE audit_entry SET act = 'record.closed' WHERE number = 8")
    make_anew(store)
    store.ring.begin_stream()
    assert tick(store, ledger) == 0  # its stretches were published, so it is quiet
    found = compared(store, ledger)
    assert (found.first_bad, found.last_bad) == (1, 12)
    assert "anchored under another name, and no entry of it says why" in found.reason
    store.accept_older(bytes(32))
    found = compared(store, ledger)
    assert (found.first_bad, found.accepted) == (0, (13,))  # it can be done, and stands there for good


def test_name_of_the_chain_edited_in_the_file_of_keys_is_refused(sqlite_rig: Rig, ledger: Ledger) -> None:
    settings = sqlite_rig.settings()
    store = sqlite_rig.open(settings)
    record(store)
    assert tick(store, ledger) == 1
    path = Path(settings.keys) / "keys.json"
    document = json.loads(path.read_text())
    for forged in ({"stream": "ab" * 16}, {"stream": "ab" * 16, "stream_seal": "00" * 32}):
        path.write_text(json.dumps(document | forged))
        with pytest.raises(KeyFileError):
            sqlite_rig.open(settings)
    path.write_text(json.dumps(document))
    store.accept_older(bytes(32))
    former = json.loads(path.read_text())
    store.ring.begin_stream()
    present = json.loads(path.read_text())
    path.write_text(json.dumps(present | {"stream": former["stream"]}))
    with pytest.raises(KeyFileError, match="names the audit chain otherwise"):
        sqlite_rig.open(settings)


def test_pipe_in_a_backup_s_place_stalls_nobody(sqlite_rig: Rig, tmp_path: Path) -> None:
    settings = sqlite_rig.settings()
    sqlite_rig.open(settings)
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(StorageError):
            restore_backup(replace(settings, url=sqlite_rig.new_database()), {}, place)
