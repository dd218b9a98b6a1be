# SPDX-License-Identifier: Apache-2.0
"""Reading a node's ledger from another process of its own machine, whether the node runs or not.

LevelDB lets one process at a time open a database. So a running node serves reads on a unix socket in its home, each
session over one moment of the ledger; and where none runs, the caller opens the database itself. `open_reader` chooses.
Nothing can be written this way. Whoever may connect may read the files too: the socket's folder is its owner's alone.

Served from threads of its own: a reader of gigabytes costs the event loop nothing but its share of the processor.
"""

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Protocol

import structlog
from google.protobuf.message import DecodeError

from chain.storage import Reader
from node.config import Home
from node.disk import lock_home
from node.errors import ConfigError, StorageError
from node.leveldb import LevelDatabase
from node.pb import local_pb2 as pb

SESSIONS_MAX = 8
"""Sessions at once: a backup, an audit and an operator's checks. Each holds a thread and a snapshot."""
IDLE_SECONDS_MAX = 600.0
"""A session that asks nothing for so long has lost its process, or keeps old data on the disk for nothing."""
SESSION_SECONDS_MAX = 6 * 3600.0
"""Deleted data stays on the disk while a snapshot needs it; a backup of 500 GB at 25 MB/s takes less."""
PAGE_BYTES = 1024 * 1024
"""Of pairs to an answer; one of them may stand over."""
REQUEST_BYTES_MAX = 4 * 1024
"""Two keys; the store's longest has below 100 bytes."""
ANSWER_BYTES_MAX = 64 * 1024 * 1024
"""A page and the largest value: what a block of 20,000 transactions makes stale in the state tree is a few MB."""
OPEN_SECONDS = 10.0
"""How long to wait for a node that is just starting or stopping."""
ANSWER_SECONDS_MAX = 120.0
"""How long a caller waits for one page: a disk under full load has given it long before."""
STOP_SECONDS = 5.0
"""How long to wait for a session's last answer, a page at most, when the node stops."""
_POLL_SECONDS = 0.2
_LENGTH = struct.Struct(">I")

log = structlog.get_logger(__name__)


class Snapshots(Protocol):
    """A database of which one moment can be read."""

    def snapshot(self) -> Reader:
        """A view that later writes do not change."""
        ...


@contextlib.contextmanager
def open_reader(home: Home) -> Iterator[Reader]:
    """Read one moment of a node's ledger.

    While it is open and no node runs, none can start in this home. From one thread at a time.

    Args:
        home: The node's.

    Yields:
        Its ledger's database, see `node.store_keys`; its reads may raise StorageError.

    Raises:
        StorageError: There is no ledger, it can't be opened, or the node that holds it does not answer.
    """
    if not (home.ledger / "CURRENT").is_file():
        raise StorageError(f"there is no ledger in {home.ledger}; name the home of a node that has run")
    deadline = time.monotonic() + OPEN_SECONDS
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.callback(lock_home(home))
            except ConfigError:
                pass
            else:
                database = stack.enter_context(LevelDatabase(home.ledger))
                yield database.snapshot()
                return
            connection = _connect(home.socket)
            if connection is not None:
                yield _RemoteReader(stack.enter_context(connection))
                return
            if time.monotonic() > deadline:
                raise StorageError(
                    f"a process holds {home.lock} and serves no reads on {home.socket}; "
                    "wait until the node has started, or stop that process and try again"
                )
            time.sleep(_POLL_SECONDS)


# ---------------------------------------------------------------- the node's side


class LocalServer:
    """Serves sessions while a node runs.

    Args:
        database: Of the node's ledger.
        path: Of the socket; its folder is made, and made its owner's alone.
    """

    def __init__(self, database: Snapshots, path: Path) -> None:
        self._database = database
        self._path = path
        self._listener: socket.socket | None = None
        self._acceptor: threading.Thread | None = None
        self._guard = threading.Lock()
        self._sessions: dict[socket.socket, threading.Thread] = {}
        self._is_stopping = False

    def start(self) -> None:
        """Listen. Whoever calls holds the home's lock, so a socket that is there is a dead process's.

        A node without this is a node all the same: a home where no socket can be made leaves a warning.
        """
        try:
            self._listener = _listen(self._path)
        except OSError as error:
            log.warning("local.not-served", path=str(self._path), reason=str(error))
            return
        self._acceptor = threading.Thread(target=self._accept, args=(self._listener,), name="local", daemon=True)
        self._acceptor.start()

    def stop(self) -> None:
        """End all sessions; none reads the database any more when this returns."""
        self._is_stopping = True
        if self._listener is None or self._acceptor is None:
            return
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`
        self._acceptor.join(STOP_SECONDS)
        self._listener.close()
        with self._guard:
            sessions = dict(self._sessions)
        for connection in sessions:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in sessions.values():
            thread.join(STOP_SECONDS)
        self._path.unlink(missing_ok=True)

    def _accept(self, listener: socket.socket) -> None:
        while not self._is_stopping:
            try:
                connection, _ = listener.accept()
            except OSError as error:
                if self._is_stopping:
                    return
                log.warning("local.accept", reason=str(error))  # such as no descriptor left
                time.sleep(_POLL_SECONDS)
                continue
            with self._guard:
                if len(self._sessions) >= SESSIONS_MAX:
                    _refuse(connection, f"the node serves {SESSIONS_MAX} local readers already; try again later")
                    continue
                thread = threading.Thread(target=self._serve, args=(connection,), name="local-session", daemon=True)
                self._sessions[connection] = thread
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        """One session, to its end."""
        try:
            with connection:
                try:
                    self._converse(connection)
                except StorageError as error:
                    log.warning("local.read-failed", reason=str(error))
                    _refuse(connection, str(error))
        except (OSError, DecodeError, ValueError) as error:
            log.debug("local.session-ended", reason=str(error))
        finally:
            with self._guard:
                del self._sessions[connection]

    def _converse(self, connection: socket.socket) -> None:
        connection.settimeout(IDLE_SECONDS_MAX)
        reader = self._database.snapshot()
        deadline = time.monotonic() + SESSION_SECONDS_MAX
        _send(connection, pb.ReadAnswer().SerializeToString())
        while not self._is_stopping:
            raw = _receive(connection, REQUEST_BYTES_MAX)
            if raw is None:
                return
            if time.monotonic() > deadline:
                _refuse(connection, f"a session ends after {SESSION_SECONDS_MAX / 3600:.0f} hours; begin anew")
                return
            _send(connection, _answer(reader, raw).SerializeToString())


def _listen(path: Path) -> socket.socket:
    """A socket that only its owner can reach, in place of any dead one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short(path) as address:
            listener.bind(address)
        path.chmod(0o600)
        listener.listen(SESSIONS_MAX)
    except OSError:
        listener.close()
        raise
    return listener


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """The address of a socket whose path may be longer than the 107 bytes that an address holds."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _answer(reader: Reader, raw: bytes) -> pb.ReadAnswer:
    """The answer to one request; a page holds one value that stands over, at most."""
    request = pb.ReadRequest.FromString(raw)
    if request.HasField("get"):
        value = reader.get(request.get.key)
        return pb.ReadAnswer(value=pb.ReadValue(found=value is not None, value=value or b""))
    asked = request.range
    page = pb.ReadPage()
    size_bytes = 0
    with contextlib.closing(_pairs(reader, asked)) as pairs:
        for key, value in pairs:
            if size_bytes >= PAGE_BYTES:
                page.more = True
                break
            page.pairs.add(key=key, value=value)
            size_bytes += len(key) + len(value)
    return pb.ReadAnswer(page=page)


def _pairs(reader: Reader, asked: pb.ReadRange) -> Generator[tuple[bytes, bytes]]:
    yield from reader.range(asked.start, asked.stop, reverse=asked.reverse)


def _refuse(connection: socket.socket, reason: str) -> None:
    with contextlib.suppress(OSError), connection:
        _send(connection, pb.ReadAnswer(error=reason).SerializeToString())


# ---------------------------------------------------------------- the caller's side


class _RemoteReader:
    """A `chain.storage.Reader` of what a running node serves."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def get(self, key: bytes) -> bytes | None:
        """The value under a key, or None."""
        answer = self._ask(pb.ReadRequest(get=pb.ReadGet(key=key)))
        return answer.value.value if answer.value.found else None

    def range(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < stop, in key order or its reverse."""
        while start < stop:
            asked = pb.ReadRange(start=start, stop=stop, reverse=reverse)
            page = self._ask(pb.ReadRequest(range=asked)).page
            for pair in page.pairs:
                yield pair.key, pair.value
            if not page.more:
                return
            if reverse:
                stop = page.pairs[-1].key
            else:
                start = page.pairs[-1].key + b"\x00"

    def _ask(self, request: pb.ReadRequest) -> pb.ReadAnswer:
        try:
            _send(self._connection, request.SerializeToString())
            raw = _receive(self._connection, ANSWER_BYTES_MAX)
        except (OSError, ValueError) as error:
            raise StorageError(f"the node stopped answering ({error}); try again") from None
        if raw is None:
            raise StorageError("the node ended the session: it stopped, or met an error that its log names; try again")
        answer = pb.ReadAnswer.FromString(raw)
        if answer.error:
            raise StorageError(answer.error)
        return answer


def _connect(path: Path) -> socket.socket | None:
    """A session with the node that listens there; None if nobody does.

    Raises:
        StorageError: It refuses.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(OPEN_SECONDS)
        with _short(path) as address:
            connection.connect(address)
        raw = _receive(connection, ANSWER_BYTES_MAX)
        connection.settimeout(ANSWER_SECONDS_MAX)
    except PermissionError:
        connection.close()
        raise StorageError(f"{path} is not yours to read; run this as the node's own user") from None
    except (OSError, ValueError):
        raw = None
    if raw is None:
        connection.close()
        return None
    greeting = pb.ReadAnswer.FromString(raw)
    if greeting.error:
        connection.close()
        raise StorageError(greeting.error)
    return connection


# ---------------------------------------------------------------- both


def _send(connection: socket.socket, raw: bytes) -> None:
    connection.sendall(_LENGTH.pack(len(raw)) + raw)


def _receive(connection: socket.socket, bytes_max: int) -> bytes | None:
    """The next message; None at the end of the connection.

    Raises:
        OSError: It broke, or nothing came for too long.
        ValueError: The message is too long.
    """
    head = _exactly(connection, _LENGTH.size)
    if head is None:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > bytes_max:
        raise ValueError(f"a message of {length} bytes; at most {bytes_max} are allowed")
    return _exactly(connection, length)


def _exactly(connection: socket.socket, count: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(min(count - len(parts), PAGE_BYTES))
        if not part:
            return None
        parts += part
    return bytes(parts)
