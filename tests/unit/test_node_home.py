# SPDX-License-Identifier: Apache-2.0
"""A node's own files and books: folders that others can enter, a crash while the mark is written, debts, odd bytes."""

import asyncio
import datetime as dt
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from chain.errors import LedgerError, Refused
from chain.types import BlsKey, Millis, Network, sha256
from membership import quota
from node import process, submission
from node.config import Config, Home, KeysConfig
from node.disk import lock_home, open_disk, size_on_disk
from node.errors import KeyFileError
from node.exits import NodeExit
from node.keyring import NodeKeys
from node.ledger_service import DEBT_S_MAX, _level, _owe
from node.newcomer import LedgerReady
from node.setup import make_home

NETWORK = Network(sha256(b"home"))
KEY = BlsKey(b"k" * 48)
NOW = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
PLAIN = Config(keys=KeysConfig(allow_plain=True))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "node")
    make_home(made, PLAIN, is_validator=True, hosts=("127.0.0.1",), passphrase=None, now=NOW)
    return made


@pytest.mark.parametrize("folder", ["keys", "tls"])
def test_folder_of_keys_that_others_can_enter_is_refused(home: Home, folder: str) -> None:
    assert NodeKeys(home, PLAIN, {}).bls_key is not None
    (home.root / folder).chmod(0o750)
    with pytest.raises(KeyFileError, match="chmod 700"):
        NodeKeys(home, PLAIN, {})


class Crash(BaseException):
    """The machine stops here."""


def crashing(monkeypatch: pytest.MonkeyPatch, at: int) -> Iterator[None]:
    """Stop at the given call of fsync."""
    left = [at]
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        left[0] -= 1
        if not left[0]:
            raise Crash
        sync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        yield


@pytest.mark.parametrize("at", [1, 2])
def test_crash_while_the_mark_is_written_does_not_silence_the_validator(
    home: Home, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    for _ in crashing(monkeypatch, at):
        with pytest.raises(Crash):
            open_disk(home, NETWORK, KEY, archive=False)
    disk = open_disk(home, NETWORK, KEY, archive=False)
    try:
        assert not disk.durable.lost
    finally:
        disk.close()
    assert home.mark.read_bytes()


def _is_lost(home: Home) -> bool:
    disk = open_disk(home, NETWORK, KEY, archive=False)
    try:
        return disk.durable.lost
    finally:
        disk.close()


@pytest.mark.parametrize("crashes", [1, 2, 3])
def test_starts_that_crash_one_after_the_other_at_the_mark_do_not_silence_the_validator(
    home: Home, monkeypatch: pytest.MonkeyPatch, crashes: int
) -> None:
    assert not _is_lost(home)
    for _ in range(crashes):
        for _ in crashing(monkeypatch, 1):
            with pytest.raises(Crash):
                open_disk(home, NETWORK, KEY, archive=False)
    assert not _is_lost(home)
    assert not _is_lost(home)


def test_journal_of_an_earlier_life_counts_as_lost_and_stays_so(home: Home, tmp_path: Path) -> None:
    assert not _is_lost(home)
    shutil.copytree(home.journal, tmp_path / "earlier")
    assert not _is_lost(home)
    shutil.rmtree(home.journal)
    shutil.copytree(tmp_path / "earlier", home.journal)
    assert _is_lost(home)
    disk = open_disk(home, NETWORK, KEY, archive=False)
    try:
        assert disk.durable.muted == KEY
    finally:
        disk.close()


def test_debt_grows_with_what_comes_by_way_of_peers_is_paid_off_and_has_an_end() -> None:
    rate, start = 100, Millis(1_000_000)
    bucket = _owe(quota.full(rate, start), 5 * rate, rate, start)
    assert _level(bucket, rate, start) == -3 * rate * 1000
    assert _level(bucket, rate, Millis(start + 2_000)) < 0
    assert _level(bucket, rate, Millis(start + 3_000)) == 0
    assert isinstance(quota.take(bucket, 1, rate, start), quota.Delayed)
    endless = _owe(bucket, 10**9, rate, start)
    assert _level(endless, rate, Millis(start + DEBT_S_MAX * 1_000)) == 0


@pytest.mark.parametrize("raws", [[b"garbage", b"garbage"]])
def test_bytes_that_are_no_transaction_and_come_twice_are_answered_each(raws: Sequence[bytes]) -> None:
    outcomes: list[LedgerError] = [LedgerError("no", "message.invalid"), Refused("twice", "transaction.pending")]
    answers = [submission._admission_of(raw, outcome) for raw, outcome in zip(raws, outcomes, strict=True)]
    assert [answer.code for answer in answers] == ["message.invalid", "transaction.pending"]
    assert not any(answer.transaction_id for answer in answers)


def test_signal_before_the_node_runs_ends_it_as_stopped(tmp_path: Path) -> None:
    """The signal comes while settings are read."""
    code = (
        "import os, signal, sys; from pathlib import Path; from node import process\n"
        "def load(home): os.kill(os.getpid(), signal.SIGTERM); raise AssertionError\n"
        "process.load_config = load; sys.exit(process.run(Path(sys.argv[1])))"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], timeout=60, check=False)
    assert ended.returncode == NodeExit.STOPPED
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, "of the process, not of this one"


class Life:
    """Of a node: it runs until an error, or to its end."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = errors
        self.is_stopping = False
        self.has_run = False

    async def run(self, _ready: object) -> None:
        self.has_run = True
        if self._errors:
            raise ExceptionGroup("ended", self._errors)

    def stop(self) -> None:
        self.is_stopping = True


async def test_node_that_begins_again_waits_for_a_reader_that_took_its_home_in_between(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    first: Any = Life(LedgerReady())
    second = Life()
    given_back: list[bool] = []
    release = lock_home(home)

    def give_back() -> None:
        given_back.append(True)
        release()

    def begin(_home: Home) -> Life:
        assert given_back, "it was begun while the reader held its home"
        return second

    monkeypatch.setattr(process, "_open", begin)
    monkeypatch.setattr(process, "tune_collector", lambda: None)
    asyncio.get_running_loop().call_later(0.5, give_back)
    assert await process._run(first, home) == NodeExit.STOPPED
    assert second.has_run


async def test_node_that_waits_for_a_reader_can_be_stopped(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    first: Any = Life(LedgerReady())
    monkeypatch.setattr(process, "_open", lambda _: pytest.fail("it was to stop"))
    release = lock_home(home)
    asyncio.get_running_loop().call_later(0.3, first.stop)
    assert await process._run(first, home) == NodeExit.STOPPED
    release()


def test_what_a_database_takes_on_disk_is_counted_and_nothing_where_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger" / "000005.ldb").write_bytes(bytes(700))
    (tmp_path / "ledger" / "LOG").write_bytes(bytes(11))
    assert size_on_disk(tmp_path / "ledger") == 711
    assert size_on_disk(tmp_path / "absent") == 0
