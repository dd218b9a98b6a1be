# SPDX-License-Identifier: Apache-2.0
"""A backup gives back what it was made of, goes on where it was interrupted, and never takes altered files for good."""

import datetime as dt
import errno
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chain import genesis as genesis_file
from chain.errors import InvalidMessage
from chain.memory import MemoryDatabase
from chain.storage import Reader
from chain.types import BlsKey, Network
from cli import output
from cli.exits import Exit
from cli.main import run
from node import backup, backup_folder, store
from node.audit import audit
from node.audit_faults import Damaged
from node.audit_work import InlineWorkers
from node.backup import Created, Progress, create
from node.backup_errors import BackupDamaged, BackupError
from node.backup_folder import Folder, locked
from node.backup_keys import Secret, load_key_file, passphrase_secret
from node.backup_read import Checked, read_backup
from node.backup_records import Manifest, Part, pack, unpack
from node.backup_restore import MARK_NAME, restore
from node.config import Config, Home, KeysConfig
from node.disk import lock_home, open_disk
from node.errors import ConfigError, KeyFileError, StorageError
from node.keys import Algorithm, Purpose, generate_key, load_key, save_key
from node.leveldb import LevelDatabase
from node.local import open_reader
from node.setup import make_home
from node.store_keys import numbered
from tests.certified_ledger import CertifiedLedger
from tests.ledger_copy import copy_at

BLOCKS = 24
CLOSED_AT = 9
SECRET = Secret("key-file", bytes(range(32)))
NOW_MS = 1_700_000_000_000


def grown(blocks: int) -> CertifiedLedger:
    """Two epochs, failures, skipped transactions."""
    ledger = CertifiedLedger(MemoryDatabase())
    ledger.grow(CLOSED_AT - 1)
    ledger.append(*ledger.replace_validator("roads", 1))
    ledger.grow(blocks - CLOSED_AT, first=CLOSED_AT)
    return ledger


MADE = grown(BLOCKS)
LATER = grown(BLOCKS + 12)


def pairs_of(ledger: CertifiedLedger) -> dict[bytes, bytes]:
    assert isinstance(ledger.database, MemoryDatabase)
    return ledger.database.pairs()


def everything(reader: Reader) -> dict[bytes, bytes]:
    return dict(reader.range(b"", b"\xff" * 64))


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a small ledger takes several of each kind."""
    monkeypatch.setattr(backup, "SEGMENT_BLOCKS", 7)
    monkeypatch.setattr(backup, "SEGMENT_BYTES", 8_000)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A validator's home with a ledger."""
    home = Home(tmp_path_factory.mktemp("source") / "home")
    config = Config(keys=KeysConfig(allow_plain=True))
    now = dt.datetime.fromtimestamp(NOW_MS / 1000, dt.UTC)
    make_home(home, config, is_validator=True, hosts=["localhost"], passphrase=None, now=now)
    save_key(home.organisation_key, generate_key(Purpose.ORGANISATION, Algorithm.ED25519), None)
    home.genesis.write_bytes(MADE.genesis_bytes)
    home.trusted.mkdir()
    (home.trusted / "follower.pem").write_bytes(home.tls_certificate.read_bytes())
    with LevelDatabase(home.ledger) as database:
        database.write(pairs_of(MADE))
    return home


@pytest.fixture(scope="module")
def finished(source: Home, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of it, not to be changed."""
    path = tmp_path_factory.mktemp("backup") / "made"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backup, "SEGMENT_BLOCKS", 7)
        patch.setattr(backup, "SEGMENT_BYTES", 8_000)
        make(source, path)
    return path


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "copied"))


def make(home: Home, path: Path, pairs: dict[bytes, bytes] | None = None, tell: backup.Tell | None = None) -> Created:
    reader = MemoryDatabase(pairs_of(MADE) if pairs is None else pairs)
    return create(home, reader, path, SECRET, NOW_MS, tell or (lambda _progress: None))


def verify(path: Path, secret: Secret = SECRET, network: Network | None = None) -> Checked:
    return read_backup(Folder(path, secret), InlineWorkers(), lambda _puts: None, network=network)


def put_back(path: Path, root: Path) -> Home:
    home = Home(root)
    restore(path, SECRET, home, InlineWorkers())
    return home


def segments(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(path.glob("history-*.seg"))}


# ---------------------------------------------------------------- there and back


def test_backup_wipe_restore_audit_gives_equal_roots_and_records(source: Home, tmp_path: Path) -> None:
    home = Home(Path(shutil.copytree(source.root, tmp_path / "home")))
    with open_reader(home) as reader:
        made = create(home, reader, tmp_path / "backup", SECRET, NOW_MS)
    assert (made.height, made.oldest_block, made.segments_new) == (BLOCKS, 1, made.segments)
    assert made.segments >= 4
    shutil.rmtree(home.root)
    restored = put_back(tmp_path / "backup", tmp_path / "home")
    assert not (restored.root / MARK_NAME).exists()
    with open_reader(restored) as reader:
        report = audit(reader, MADE.genesis, MemoryDatabase(), InlineWorkers())
        records = everything(reader)
    assert (report.fault, report.blocks) == (None, BLOCKS)
    assert report.scope is not None
    assert report.scope.tip == MADE.checkpoint
    assert made.state_root == MADE.checkpoint.state_root.hex()
    of_state = {key for key in pairs_of(MADE) if key[:1] == b"S"}
    assert {k: v for k, v in pairs_of(MADE).items() if k not in of_state} == {
        k: v for k, v in records.items() if k[:1] != b"S"
    }


def test_files_come_back_as_they_were_without_any_that_votes(source: Home, finished: Path, tmp_path: Path) -> None:
    home = put_back(finished, tmp_path / "home")
    for name in ("genesis.json", "config.toml", "tls/key.json", "tls/certificate.pem", "tls/trusted/follower.pem"):
        assert (home.root / name).read_bytes() == (source.root / name).read_bytes()
    assert home.organisation_key.read_bytes() == source.organisation_key.read_bytes()
    assert not home.validator_key.exists()
    assert not home.journal.exists()
    for file in (home.organisation_key, home.tls_key):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    secret = load_key(source.validator_key, Purpose.VALIDATOR, None, allow_plain=True).secret
    opened = b"".join(
        value for part in Folder(finished, SECRET).manifest.home for _, value in Folder(finished, SECRET).read(part)
    )
    assert secret.hex().encode() not in opened
    for file in finished.iterdir():
        assert MADE.genesis_bytes[:64] not in file.read_bytes()


def test_validator_key_that_is_put_back_by_hand_is_muted(source: Home, finished: Path, tmp_path: Path) -> None:
    home = put_back(finished, tmp_path / "home")
    shutil.copy(source.validator_key, home.validator_key)
    key = BlsKey(load_key(home.validator_key, Purpose.VALIDATOR, None, allow_plain=True).public_key)
    for _ in range(2):  # at the next start, too
        disk = open_disk(home, MADE.genesis.network, key, archive=False)
        assert disk.durable.lost or disk.durable.muted == key
        assert disk.store.height == BLOCKS
        disk.close()


def test_copy_of_a_snapshot_is_backed_up_from_its_oldest_block(source: Home, tmp_path: Path) -> None:
    joined = CertifiedLedger(copy_at(MADE, 16))
    joined.secrets |= MADE.secrets
    joined.salt = 10_000
    joined.grow(9, first=1_000)
    made = make(source, tmp_path / "backup", pairs_of(joined))
    assert (made.oldest_block, made.height) == (16, 25)
    assert verify(tmp_path / "backup").horizon.oldest_block == 16
    with open_reader(put_back(tmp_path / "backup", tmp_path / "home")) as reader:
        report = audit(reader, MADE.genesis, MemoryDatabase(), InlineWorkers())
        assert (report.fault, report.followed) == (None, 10)
        restored = everything(reader)
    stored = pairs_of(joined)
    assert {k for k in stored if k[:1] in b"DEHLTMR"} == {k for k in restored if k[:1] in b"DEHLTMR"}


def test_pruned_ledger_is_backed_up_from_its_oldest_block_and_the_backup_keeps_what_is_pruned_later(
    source: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "BLOCKS_KEPT_MIN", 10)
    ledger = CertifiedLedger(MemoryDatabase(), block_ms=30_000)
    ledger.grow(30)
    prune(ledger, 15)
    first = make(source, tmp_path / "backup", pairs_of(ledger))
    assert (first.oldest_block, first.height) == (16, 30)
    ledger.open()
    ledger.grow(9, first=30)
    prune(ledger, 10)
    second = make(source, tmp_path / "backup", pairs_of(ledger))
    assert (second.oldest_block, second.height) == (16, 39)
    with open_reader(put_back(tmp_path / "backup", tmp_path / "home")) as reader:
        report = audit(reader, MADE.genesis, MemoryDatabase(), InlineWorkers())
    assert (report.fault, report.followed) == (None, 24)


@pytest.mark.parametrize("count", range(1, 5))
def test_interrupted_creation_of_a_pruned_ledger_goes_on(
    source: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(store, "BLOCKS_KEPT_MIN", 10)
    ledger = CertifiedLedger(MemoryDatabase(), block_ms=30_000)
    ledger.grow(30)
    prune(ledger, 15)
    with pytest.raises(Interrupted):
        make(source, tmp_path / "backup", pairs_of(ledger), after(count))
    before = segments(tmp_path / "backup")
    made = make(source, tmp_path / "backup", pairs_of(ledger))
    assert (made.oldest_block, made.height) == (16, 30)
    assert before.items() <= segments(tmp_path / "backup").items()
    assert verify(tmp_path / "backup").checkpoint == ledger.checkpoint


def test_closing_checkpoints_may_fill_several_files(
    source: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "SEGMENT_BYTES", 500)
    ledger = CertifiedLedger(MemoryDatabase())
    for generation in range(1, 5):
        ledger.append(*ledger.replace_validator("roads", generation))
    ledger.append()
    make(source, tmp_path / "backup", pairs_of(ledger))
    with open_reader(put_back(tmp_path / "backup", tmp_path / "home")) as reader:
        assert audit(reader, MADE.genesis, MemoryDatabase(), InlineWorkers()).fault is None


def prune(ledger: CertifiedLedger, kept: int) -> None:
    pruning = store.LedgerStore(ledger.database, blocks_kept=kept)
    while pruning.prune_blocks():
        pass


def test_newest_certified_height_is_where_a_backup_ends(source: Home, tmp_path: Path) -> None:
    ledger = grown(BLOCKS)
    ledger.append(ledger.attest(77_000), certified=False)
    made = make(source, tmp_path / "backup", pairs_of(ledger))
    assert made.height == BLOCKS
    with open_reader(put_back(tmp_path / "backup", tmp_path / "home")) as reader:
        assert audit(reader, MADE.genesis, MemoryDatabase(), InlineWorkers()).fault is None
    nothing = CertifiedLedger(MemoryDatabase())
    nothing.append(certified=False)
    with pytest.raises(BackupError, match="no checkpoint of the ledger is certified yet"):
        make(source, tmp_path / "other", pairs_of(nothing))


# ---------------------------------------------------------------- increments and interruptions


def test_second_backup_adds_what_is_new_and_leaves_segments_as_they_are(source: Home, tmp_path: Path) -> None:
    path = tmp_path / "backup"
    make(source, path)
    before = segments(path)
    again = make(source, path)
    assert (again.segments_new, segments(path)) == (0, before)
    later = make(source, path, pairs_of(LATER))
    assert later.height == BLOCKS + 12
    assert 0 < later.segments_new < later.segments
    assert {name: raw for name, raw in segments(path).items() if name in before} == before
    assert verify(path).checkpoint == LATER.checkpoint
    listed = {part.name + ".seg" for part in Folder(path, SECRET).manifest.parts}
    assert {file.name for file in path.glob("*.seg")} == listed
    with open_reader(put_back(path, tmp_path / "home")) as reader:
        report = audit(reader, MADE.genesis, MemoryDatabase(), InlineWorkers())
    assert (report.fault, report.blocks) == (None, BLOCKS + 12)


class Interrupted(Exception):
    pass


def after(count: int) -> Callable[[Progress], None]:
    """Interrupts when told so often."""
    told = []

    def tell(progress: Progress) -> None:
        told.append(progress)
        if len(told) == count:
            raise Interrupted

    return tell


@pytest.mark.parametrize("count", range(1, 8))
def test_interrupted_creation_goes_on_and_makes_no_segment_twice(source: Home, tmp_path: Path, count: int) -> None:
    path = tmp_path / "backup"
    with pytest.raises(Interrupted):
        make(source, path, tell=after(count))
    with pytest.raises(BackupError, match="was never completed"):
        verify(path)
    with pytest.raises(BackupError, match="was never completed"):
        put_back(path, tmp_path / "home")
    before = segments(path)
    (path / "history-00000099.seg.part").write_bytes(b"half")
    made = make(source, path)
    assert made.segments_new == made.segments - len(before)
    assert {name: raw for name, raw in segments(path).items() if name in before} == before
    assert not list(path.glob("*.part"))
    assert verify(path).checkpoint == MADE.checkpoint


def test_interrupted_increment_leaves_the_former_backup_whole(source: Home, copied: Path) -> None:
    with pytest.raises(Interrupted):
        make(source, copied, pairs_of(LATER), after(1))
    assert verify(copied).checkpoint == MADE.checkpoint
    assert make(source, copied, pairs_of(LATER)).height == BLOCKS + 12
    assert verify(copied).checkpoint == LATER.checkpoint


def test_full_disk_is_said_and_what_was_complete_stays(
    source: Home, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(backup_folder.os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        make(source, copied, pairs_of(LATER))
    monkeypatch.undo()
    assert verify(copied).checkpoint == MADE.checkpoint


def test_place_that_cannot_be_written_is_named(source: Home, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="file/backup"):
        make(source, tmp_path / "file" / "backup")


def test_damaged_ledger_is_noticed_when_it_is_backed_up(source: Home, copied: Path) -> None:
    key = numbered(b"E", LATER.checkpoint.log_size - 3)
    raw = pairs_of(LATER)[key]
    with pytest.raises(Damaged) as caught:
        make(source, copied, {**pairs_of(LATER), key: raw[:-1] + bytes([raw[-1] ^ 1])})
    assert caught.value.fault.table in {"entries", "checkpoints"}
    assert verify(copied).checkpoint == MADE.checkpoint


def test_folder_takes_one_creation_at_a_time_of_one_history(source: Home, copied: Path, tmp_path: Path) -> None:
    with locked(copied), pytest.raises(BackupError, match="another process makes a backup"):
        make(source, copied)
    other = CertifiedLedger(MemoryDatabase(), block_ms=999)
    other.grow(BLOCKS + 2)
    with pytest.raises(BackupError, match="another block"):
        make(source, copied, pairs_of(other))
    with pytest.raises(BackupError, match="what lies between can't be added"):
        make(source, copied, pairs_of(CertifiedLedger(copy_at(LATER, BLOCKS + 5))))
    shorter = grown(BLOCKS - 2)
    with pytest.raises(BackupError, match="nothing to do"):
        make(source, copied, pairs_of(shorter))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    with pytest.raises(BackupError, match=r"letter\.txt"):
        make(source, tmp_path / "full")


# ---------------------------------------------------------------- altered backups

FILES = ("backup.json", "manifest", "history-00000001.seg", "history-00000003.seg", "state", "home")


def test_links_planted_in_the_folder_of_a_backup_are_never_written_through(
    source: Home, copied: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"a node's journal")
    manifest = Folder(copied, SECRET).manifest
    state = f"state-{manifest.generation + 1:08d}-00000001.seg.part"
    names = ["manifest.part", state, f"history-{len(manifest.history) + 1:08d}.seg.part"]
    for name in names:
        (copied / name).symlink_to(victim)
    made = make(source, copied, pairs_of(LATER))
    assert victim.read_bytes() == b"a node's journal"
    assert not any(entry.is_symlink() for entry in copied.iterdir())
    assert verify(copied).checkpoint.height == made.height


def file_of(path: Path, name: str) -> Path:
    found = sorted(path.glob(f"{name}*"))
    return found[-1]


def complaint(path: Path) -> str:
    """What verify says; it must say something."""
    with pytest.raises((BackupDamaged, BackupError)) as caught:
        verify(path)
    return str(caught.value)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("put", ["pipe", "device"])
@pytest.mark.timeout(30)
def test_pipe_or_device_in_place_of_a_file_stalls_nobody(finished: Path, tmp_path: Path, name: str, put: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    file = file_of(copy, name)
    file.unlink()
    if put == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero")
    assert "something else than a file" in complaint(copy)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_altered_byte_of_any_file_is_found_and_the_file_named(finished: Path, name: str, data: st.DataObject) -> None:
    file = file_of(finished, name)
    raw = file.read_bytes()
    offset = data.draw(st.integers(0, len(raw) - 1))
    altered = raw[:offset] + bytes([raw[offset] ^ data.draw(st.integers(1, 255))]) + raw[offset + 1 :]
    try:
        file.write_bytes(altered)
        assert file.name in complaint(finished)
    finally:
        file.write_bytes(raw)


@pytest.mark.parametrize("name", FILES[1:])
@pytest.mark.parametrize("harm", ["cut off", "longer", "empty", "gone"])
def test_cut_off_or_missing_file_is_named(copied: Path, name: str, harm: str) -> None:
    file = file_of(copied, name)
    raw = file.read_bytes()
    match harm:
        case "cut off":
            file.write_bytes(raw[:-1])
        case "longer":
            file.write_bytes(raw + b"\x00")
        case "empty":
            file.write_bytes(b"")
        case _:
            file.unlink()
    assert file.name in complaint(copied)


def test_files_that_are_exchanged_or_of_another_backup_are_named(source: Home, copied: Path, tmp_path: Path) -> None:
    one, other = (copied / f"history-0000000{number}.seg" for number in (1, 2))
    one_raw, other_raw = one.read_bytes(), other.read_bytes()
    one.write_bytes(other_raw)
    other.write_bytes(one_raw)
    assert one.name in complaint(copied)
    one.write_bytes(one_raw)
    other.write_bytes(other_raw)
    make(source, tmp_path / "twin")
    shutil.copy(tmp_path / "twin" / one.name, one)
    assert one.name in complaint(copied)
    one.write_bytes(one_raw)
    shutil.copy(tmp_path / "twin" / "manifest", copied / "manifest")
    assert "manifest" in complaint(copied)


def resealed(path: Path, change: Callable[[dict[bytes, bytes]], None], of: str) -> str:
    """Alter what a file holds, as one who has the key could; its name."""
    folder = Folder(path, SECRET)
    manifest = folder.manifest
    chosen = [part for part in manifest.parts if part.name.startswith(of)][-1]
    records = dict(folder.read(chosen))
    change(records)
    made = folder.write(chosen.name, pack(records.items()), chosen.first, chosen.last)

    def swap(parts: tuple[Part, ...]) -> tuple[Part, ...]:
        return tuple(made if part.name == made.name else part for part in parts)

    folder.commit(
        replace(manifest, history=swap(manifest.history), state=swap(manifest.state), home=swap(manifest.home))
    )
    return made.name + ".seg"


@pytest.mark.parametrize("kind", ["B", "C", "E", "F", "O", "Q", "X", "Sn", "Sv"])
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_wrong_record_under_a_right_seal_is_named_for_nothing_but_genesis_is_believed(
    copied: Path, kind: str, data: st.DataObject
) -> None:
    keep = {file: file.read_bytes() for file in copied.iterdir()}
    altered: list[bytes] = []

    def change(records: dict[bytes, bytes]) -> None:
        key = data.draw(st.sampled_from(sorted(key for key in records if key.startswith(kind.encode()))))
        raw = records[key]
        offset = data.draw(st.integers(0, len(raw) - 1))
        records[key] = raw[:offset] + bytes([raw[offset] ^ data.draw(st.integers(1, 255))]) + raw[offset + 1 :]
        altered.append(key)

    try:
        name = resealed(copied, change, "state" if kind[0] == "S" else "history")
        with pytest.raises(BackupDamaged) as caught:
            verify(copied)
        assert caught.value.file == name
        assert caught.value.fault is not None
        if kind not in {"E", "C", "Sn"}:  # a wrong entry shows in the root of its block; a wrong page may name no child
            assert caught.value.fault.record == altered[0].hex()
    finally:
        for file, raw in keep.items():
            file.write_bytes(raw)


@pytest.mark.parametrize("of", ["history", "state"])
def test_record_too_many_or_too_few_under_a_right_seal_is_named(copied: Path, of: str) -> None:
    def add(records: dict[bytes, bytes]) -> None:
        records[b"Zz"] = b"x"

    assert complaint_names(copied, resealed(copied, add, of))

    def take(records: dict[bytes, bytes]) -> None:
        del records[b"Zz"]
        records.pop(max(key for key in records if key[:1] in b"ES"))

    assert complaint_names(copied, resealed(copied, take, of))


def complaint_names(path: Path, name: str) -> bool:
    return complaint(path).startswith(name)


def test_manifest_that_leaves_a_segment_out_is_named(copied: Path) -> None:
    folder = Folder(copied, SECRET)
    history = folder.manifest.history
    folder.commit(replace(folder.manifest, history=(history[0], *history[2:])))
    assert complaint(copied) == f"manifest: no file holds the blocks from {history[0].last + 1} on"


# ---------------------------------------------------------------- secrets


def test_wrong_passphrase_or_key_or_kind_of_it_is_said(source: Home, copied: Path, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="not its passphrase or key file"):
        verify(copied, Secret("key-file", bytes(32)))
    with pytest.raises(BackupError, match="protected by a key file"):
        verify(copied, passphrase_secret(b"passphrase"))
    reader = MemoryDatabase(pairs_of(MADE))
    create(source, reader, tmp_path / "other", passphrase_secret(b"right"), NOW_MS)
    assert verify(tmp_path / "other", passphrase_secret(b"right")).checkpoint == MADE.checkpoint
    with pytest.raises(BackupError, match="not its passphrase or key file"):
        verify(tmp_path / "other", passphrase_secret(b"wrong"))
    with pytest.raises(BackupError, match="not its passphrase or key file"):
        create(source, reader, tmp_path / "other", passphrase_secret(b"wrong"), NOW_MS)


def test_key_file_must_be_private_and_64_digits(tmp_path: Path) -> None:
    file = tmp_path / "backup.key"
    file.write_text("00" * 32 + "\n")
    file.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        load_key_file(file)
    file.chmod(0o600)
    assert load_key_file(file) == Secret("key-file", bytes(32))
    file.write_text("00" * 31)
    with pytest.raises(KeyFileError, match="64 hexadecimal digits"):
        load_key_file(file)


def test_newer_format_and_unreasonable_parameters_are_refused(copied: Path) -> None:
    header = json.loads((copied / "backup.json").read_bytes())
    (copied / "backup.json").write_text(json.dumps({**header, "format": "zhixin-backup/9"}))
    with pytest.raises(BackupError, match="a newer one may more"):
        verify(copied)
    costly = {"kind": "scrypt", "salt": "00" * 16, "n": 2**30, "r": 8, "p": 1}
    (copied / "backup.json").write_text(json.dumps({**header, "protection": costly}))
    with pytest.raises(BackupDamaged, match="unreasonable scrypt parameters"):
        verify(copied, passphrase_secret(b"x"))


def test_backup_of_another_network_is_refused(copied: Path) -> None:
    with pytest.raises(BackupError, match="choose the right one"):
        verify(copied, network=Network(bytes(32)))


@given(st.lists(st.tuples(st.binary(max_size=80), st.binary(max_size=200)), max_size=20))
def test_records_are_read_back_and_cut_off_ones_refused(records: list[tuple[bytes, bytes]]) -> None:
    packed = pack(records)
    assert unpack(packed) == records
    if packed:
        with pytest.raises(InvalidMessage, match="cut off"):
            unpack(packed[:-1])


def test_manifest_is_read_back_and_any_other_bytes_are_refused(finished: Path) -> None:
    manifest = Folder(finished, SECRET).manifest
    assert Manifest.decode(manifest.encode()) == manifest
    for raw in (b"", b"[]", b"{}", b"1", manifest.encode().replace(b'"home":[', b'"home":[1,')):
        with pytest.raises(InvalidMessage, match="malformed"):
            Manifest.decode(raw)


# ---------------------------------------------------------------- restoring


def test_home_that_holds_anything_is_left_alone(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "diary").write_text("mine")
    with pytest.raises(BackupError, match="is not empty: it holds diary"):
        put_back(finished, tmp_path / "home")
    assert [file.name for file in (tmp_path / "home").iterdir()] == ["diary"]
    put_back(finished, tmp_path / "new")
    with pytest.raises(BackupError, match="is not empty"):
        put_back(finished, tmp_path / "new")


_KILLED = """
import os, signal, sys
from pathlib import Path
from node import backup_restore
from node.audit_work import InlineWorkers
from node.backup_keys import Secret
from node.config import Home
at, path, root = sys.argv[1:]
told = []
def tell(progress):
    told.append(progress)
    if at == f"told {len(told)}":
        os.kill(os.getpid(), signal.SIGKILL)
def dying(name):
    def die(*arguments):
        os.kill(os.getpid(), signal.SIGKILL)
    if at == name:
        setattr(backup_restore, name, die)
for name in ("declare_ready", "finish_exchange", "_write_files", "_remove_mark"):
    dying(name)
backup_restore.restore(Path(path), Secret("key-file", bytes(range(32))), Home(Path(root)), InlineWorkers(), tell)
"""


@pytest.mark.parametrize("at", ["told 1", "told 4", "declare_ready", "finish_exchange", "_write_files", "_remove_mark"])
def test_restore_killed_at_any_point_leaves_no_ledger_that_counts_and_starts_again(
    finished: Path, tmp_path: Path, at: str
) -> None:
    root = tmp_path / "home"
    killed = subprocess.run([sys.executable, "-c", _KILLED, at, str(finished), str(root)], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert (root / MARK_NAME).exists()
    if at == "_remove_mark":
        with pytest.raises(BackupError, match="is restored already, whole"):
            put_back(finished, root)
        assert not (root / MARK_NAME).exists()
    else:
        assert not (root / "genesis.json").exists()  # without it no node starts
        put_back(finished, root)
    with open_reader(Home(root)) as reader:
        report = audit(reader, MADE.genesis, MemoryDatabase(), InlineWorkers())
    assert (report.fault, report.blocks) == (None, BLOCKS)
    assert not list((root / "data").glob("ledger.*"))


def test_restore_onto_a_full_disk_says_so_and_starts_again(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = LevelDatabase.write
    written: list[int] = []

    def full(
        self: LevelDatabase, puts: dict[bytes, bytes], deletes: tuple[bytes, ...] = (), *, sync: bool = True
    ) -> None:
        written.append(len(puts))
        if len(written) > 10:
            raise StorageError("can't write the database; check the disk's space (No space left on device)")
        write(self, puts, deletes, sync=sync)

    monkeypatch.setattr(LevelDatabase, "write", full)
    with pytest.raises(StorageError, match="No space left"):
        put_back(finished, tmp_path / "home")
    monkeypatch.undo()
    assert not (tmp_path / "home" / "genesis.json").exists()
    with open_reader(put_back(finished, tmp_path / "home")) as reader:
        assert audit(reader, MADE.genesis, MemoryDatabase(), InlineWorkers()).fault is None
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="file/home"):
        put_back(finished, tmp_path / "file" / "home")


def test_damaged_backup_is_not_restored(copied: Path, tmp_path: Path) -> None:
    file = file_of(copied, "history-00000003.seg")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(BackupDamaged):
        put_back(copied, tmp_path / "home")
    assert not (tmp_path / "home" / "genesis.json").exists()
    assert not (tmp_path / "home" / "data" / "ledger").exists()


def test_home_in_which_a_process_works_is_not_restored_into(finished: Path, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.root.mkdir()
    (home.root / MARK_NAME).write_bytes(b"")
    release = lock_home(home)
    with pytest.raises(ConfigError):
        put_back(finished, home.root)
    release()


# ---------------------------------------------------------------- the commands


@pytest.fixture
def key_file(tmp_path: Path) -> str:
    file = tmp_path / "backup.key"
    file.write_text(SECRET.raw.hex())
    file.chmod(0o600)
    return str(file)


def command(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, dict[str, object]]:
    code = run([*argv, "--json"])
    output.use_json(on=False)
    return code, json.loads(capsys.readouterr().out)


@pytest.fixture
def _few_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)


@pytest.mark.usefixtures("_few_processes")
def test_commands_make_verify_restore_and_audit(
    source: Home, tmp_path: Path, key_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, home = str(tmp_path / "backup"), str(tmp_path / "home")
    code, made = command(capsys, "backup", "create", path, "--home", str(source.root), "--key-file", key_file)
    assert (code, made["height"]) == (Exit.DONE, BLOCKS)
    assert "keys/validator.json" in str(made["omitted"])
    code, found = command(capsys, "backup", "verify", path, "--genesis", str(source.genesis), "--key-file", key_file)
    assert (code, found["state_root"]) == (Exit.DONE, made["state_root"])
    code, found = command(capsys, "audit", "--backup", path, "--key-file", key_file, "--workers", "0")
    assert (code, found["damaged"], found["blocks"]) == (Exit.DONE, False, BLOCKS)
    code, found = command(capsys, "backup", "restore", path, "--home", home, "--key-file", key_file)
    assert (code, found["votes"], found["height"]) == (Exit.DONE, False, BLOCKS)
    code, found = command(capsys, "audit", "--home", home, "--workers", "0")
    assert (code, found["state_root"]) == (Exit.DONE, made["state_root"])
    code, found = command(capsys, "backup", "restore", path, "--home", home, "--key-file", key_file)
    assert code == Exit.INPUT


def test_command_on_a_damaged_ledger_names_the_record(
    source: Home, tmp_path: Path, key_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Home(Path(shutil.copytree(source.root, tmp_path / "home")))
    key = numbered(b"O", 5)
    with LevelDatabase(home.ledger) as database:
        database.write({key: pairs_of(MADE)[key] + b"x"})
    path = str(tmp_path / "backup")
    code, found = command(capsys, "backup", "create", path, "--home", str(home.root), "--key-file", key_file)
    assert (code, found["damaged"]) == (Exit.DAMAGED, True)
    assert "outcomes, height 5" in str(found["reason"])


@pytest.mark.usefixtures("_few_processes")
def test_command_names_the_damaged_file_in_both_languages(
    copied: Path, key_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = file_of(copied, "state")
    file.write_bytes(file.read_bytes()[:-1])
    code, found = command(capsys, "backup", "verify", str(copied), "--key-file", key_file)
    assert (code, found["file"]) == (Exit.DAMAGED, file.name)
    for language, word in (("en", "DAMAGED"), ("zh", "已损坏")):
        assert run(["backup", "verify", str(copied), "--key-file", key_file, "--lang", language]) == Exit.DAMAGED
        said = capsys.readouterr().out
        assert word in said
        assert file.name in said
    run(["--lang", "en", "--version"])


def test_command_without_a_secret_asks_for_one(
    copied: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ZHIXIN_PASSPHRASE", raising=False)
    code, found = command(capsys, "backup", "verify", str(copied))
    assert (code, dict(found["error"])["code"]) == (Exit.USAGE, "backup.secret")  # type: ignore[call-overload]  # JSON


def test_genesis_within_is_the_one_that_was_backed_up(finished: Path) -> None:
    assert verify(finished).genesis == genesis_file.load(MADE.genesis_bytes)
