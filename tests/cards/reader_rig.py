# SPDX-License-Identifier: Apache-2.0
"""A real pcscd with vpcd's virtual reader, in mount and network namespaces of its own: no reader of this machine is
touched, and runs beside one another do not meet.

One reader serves a process, since the PC/SC library remembers where it found its service. Programs find it through
`environment`; this process's own PC/SC library through the same variable. Cards stay in this process.
"""

import asyncio
import atexit
import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from identity.cards import pcsc
from identity.cards.emulator import EmulatedCard
from identity.cards.vpcd import plug_in

SOCKET_VARIABLE = "PCSCLITE_CSOCK_NAME"
READER = "Virtual PCD 00 00"
WAIT_SECONDS = 15
CLONE_NEWNET = 0x40000000
NEEDED = {
    "/usr/sbin/pcscd": "pcscd",
    "/usr/lib/pcsc/drivers/serial/libifdvpcd.so": "vsmartcard-vpcd",
    "/usr/bin/unshare": "util-linux",
}

START = 'ip link set lo up && mount --bind "$1" /run && exec /usr/sbin/pcscd --foreground'


def missing(needed: dict[str, str]) -> list[str]:
    """Debian packages of which a file is not there."""
    return sorted({package for file, package in needed.items() if not Path(file).exists()})


class Reader:
    """pcscd and the virtual reader; a card goes in and out."""

    def __init__(self) -> None:
        absent = missing(NEEDED)
        assert not absent, f"these tests need Debian's {', '.join(absent)}: run make setup-debian"
        assert os.geteuid() == 0, "these tests start pcscd in namespaces of its own, which takes root"
        self.folder = Path(tempfile.mkdtemp(prefix="zx-pcsc-", dir="/tmp"))
        run = self.folder / "run"
        run.mkdir()
        self.log = self.folder / "pcscd.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    "/usr/bin/setpriv",
                    "--pdeathsig",
                    "KILL",
                    "/usr/bin/unshare",
                    "--mount",
                    "--net",
                    "/bin/sh",
                    "-c",
                    START,
                    "sh",
                    str(run),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        atexit.register(self.stop)
        self.socket = run / "pcscd" / "pcscd.comm"
        self.environment = {SOCKET_VARIABLE: str(self.socket)}
        os.environ.update(self.environment)
        self._until(self.socket.is_socket, "pcscd does not start")

    def stop(self) -> None:
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def inserted(self, card: EmulatedCard) -> Iterator[None]:
        """Have a card in the reader for a while. `card.remove()` pulls it out before its time."""
        ended: list[BaseException] = []
        loop = asyncio.new_event_loop()
        task: list[asyncio.Task[None]] = []
        begun = threading.Event()

        def hold() -> None:
            try:
                self._enter_network()
                task.append(loop.create_task(plug_in(card)))
                begun.set()
                with suppress(asyncio.CancelledError):
                    loop.run_until_complete(task[0])
            except BaseException as error:  # noqa: BLE001 - shown by the thread that waits
                ended.append(error)
            finally:
                begun.set()
                loop.close()

        thread = threading.Thread(target=hold, daemon=True)
        thread.start()
        begun.wait(WAIT_SECONDS)
        try:
            self._until(lambda: bool(ended) or self._holds_card(), "the reader does not see the card")
            assert not ended, ended
            yield
        finally:
            with suppress(RuntimeError):  # the loop may have ended by itself
                loop.call_soon_threadsafe(task[0].cancel)
            thread.join(WAIT_SECONDS)
            assert not thread.is_alive()
            self._until(lambda: not self._holds_card(), "the card stays in the reader")

    def _enter_network(self) -> None:
        """Move this thread, and no other, into the reader's network."""
        with open(f"/proc/{self.process.pid}/ns/net", "rb") as namespace:  # noqa: PTH123 - a descriptor is wanted
            library = ctypes.CDLL(None, use_errno=True)
            assert library.setns(namespace.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())

    def _holds_card(self) -> bool:
        return pcsc.Reader(READER, has_card=True) in pcsc.readers()

    def _until(self, holds: Callable[[], bool], complaint: str) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not holds():
            assert self.process.poll() is None, f"pcscd ended: {self.log.read_text()}"
            assert time.monotonic() < deadline, f"{complaint}: {self.log.read_text()}"
            time.sleep(0.02)


@functools.cache
def shared_reader() -> Reader:
    """This process's reader, started when first asked for and ended with the process."""
    return Reader()
