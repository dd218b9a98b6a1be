# SPDX-License-Identifier: Apache-2.0
"""Reading a node's ledger from beside it: one moment, running or stopped, bounded, and its owner's alone."""

import contextlib
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chain.memory import MemoryDatabase
from chain.storage import Reader
from node import local
from node.config import Home
from node.disk import lock_home
from node.errors import StorageError
from node.leveldb import LevelDatabase
from node.local import LocalServer, open_reader

PAIRS = {b"B" + number.to_bytes(8): bytes(20_000) + number.to_bytes(2) for number in range(120)}
"""More than two pages."""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """With a ledger, and no process that runs in it; its path is longer than a socket's address may be."""
    home = Home(tmp_path / ("a" * 60) / ("b" * 60))
    with LevelDatabase(home.ledger) as database:
        database.write(PAIRS)
    return home


@contextlib.contextmanager
def running(home: Home) -> Iterator[LevelDatabase]:
    """Something that holds the home as a node does."""
    unlock = lock_home(home)
    with LevelDatabase(home.ledger) as database:
        server = LocalServer(database, home.socket)
        server.start()
        try:
            yield database
        finally:
            server.stop()
    unlock()


def check_reads(reader: Reader) -> None:
    every = sorted(PAIRS.items())
    assert reader.get(every[7][0]) == every[7][1]
    assert reader.get(b"B") is None
    assert list(reader.range(b"B", b"C")) == every
    assert list(reader.range(every[1][0], every[119][0], reverse=True)) == every[118:0:-1]
    assert list(reader.range(b"C", b"B")) == []
    assert list(reader.range(b"C", b"D")) == []


def test_ledger_without_a_process_is_opened_and_given_back(home: Home) -> None:
    with open_reader(home) as reader:
        check_reads(reader)
    with open_reader(home) as reader:
        check_reads(reader)


def test_ledger_of_a_running_node_is_read_through_its_socket(home: Home) -> None:
    with running(home), open_reader(home) as reader:
        check_reads(reader)
    assert not home.socket.exists()
    with open_reader(home) as reader:
        check_reads(reader)


def test_session_does_not_see_what_is_written_after_it_began(home: Home) -> None:
    with running(home) as database, open_reader(home) as before:
        database.write({b"Z": b"new", b"B" + bytes(8): b"changed"})
        check_reads(before)
        with open_reader(home) as after:
            assert (after.get(b"Z"), after.get(b"B" + bytes(8))) == (b"new", b"changed")


def test_socket_and_its_folder_are_the_owners_alone(home: Home) -> None:
    home.socket.parent.mkdir(mode=0o755, parents=True)
    with running(home):
        assert stat.S_IMODE(home.socket.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(home.socket.stat().st_mode) == 0o600


def test_socket_that_a_killed_node_left_is_replaced(home: Home) -> None:
    home.socket.parent.mkdir(parents=True)
    code = (
        "import os, signal, sys; os.chdir(sys.argv[1]); import socket; "
        "socket.socket(socket.AF_UNIX).bind('read.sock'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(home.socket.parent)], check=False)
    assert home.socket.exists()
    with open_reader(home) as reader:  # nobody holds the lock
        check_reads(reader)
    with running(home), open_reader(home) as reader:
        check_reads(reader)


def test_one_session_too_many_is_told_so(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "SESSIONS_MAX", 2)
    with running(home), open_reader(home) as first, open_reader(home):
        with pytest.raises(StorageError, match="2 local readers already"), open_reader(home):
            pass
        check_reads(first)


def test_idle_session_ends_and_says_so(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "IDLE_SECONDS_MAX", 0.05)
    with running(home), open_reader(home) as reader:
        for thread in local.threading.enumerate():
            if thread.name == "local-session":
                thread.join(30)
        with pytest.raises(StorageError, match="try again"):
            reader.get(b"B")


def test_session_ends_with_the_node_and_says_so(home: Home) -> None:
    with contextlib.ExitStack() as stack:
        node = stack.enter_context(contextlib.ExitStack())
        node.enter_context(running(home))
        reader = stack.enter_context(open_reader(home))
        node.close()
        with pytest.raises(StorageError, match="try again"):
            reader.get(b"B")


@pytest.mark.parametrize("raw", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x02\x0a\xff", b"\x00\x00"])
def test_request_that_is_none_ends_its_own_session_alone(home: Home, raw: bytes) -> None:
    with running(home), open_reader(home) as reader:
        with socket.socket(socket.AF_UNIX) as stranger, local._short(home.socket) as address:
            stranger.connect(address)
            stranger.settimeout(30)
            assert stranger.recv(4) == bytes(4)
            stranger.sendall(raw)
            stranger.shutdown(socket.SHUT_WR)
            assert stranger.recv(1) == b""
        check_reads(reader)


class Damaged(MemoryDatabase):
    """A disk that can't be read."""

    def snapshot(self) -> "Damaged":
        return Damaged(self.pairs())

    def get(self, key: bytes) -> bytes | None:
        raise StorageError(f"{key!r} is damaged; restore it")


def test_damage_that_the_node_meets_is_told_to_the_reader(tmp_path: Path) -> None:
    server = LocalServer(Damaged(), tmp_path / "local" / "s")
    server.start()
    connection = local._connect(tmp_path / "local" / "s")
    assert connection is not None
    with connection, pytest.raises(StorageError, match="is damaged; restore it"):
        local._RemoteReader(connection).get(b"B")
    server.stop()


def test_home_without_a_ledger_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no ledger in"), open_reader(Home(tmp_path)):
        pass
    assert list(tmp_path.iterdir()) == []


def test_holder_that_serves_nothing_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "OPEN_SECONDS", 0.3)
    unlock = lock_home(home)
    home.socket.parent.mkdir(parents=True)
    with pytest.raises(StorageError, match="wait until the node has started"), open_reader(home):
        pass
    unlock()
