# SPDX-License-Identifier: Apache-2.0
"""Free ports on loopback, without two networks that start at once taking the same."""

import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.errors import UsageError, WorldError
from cli.language import t

BASE_PORT = 26600
PORT_MIN = 1024
"""Those below need rights that a development network must not have."""
PORT_MAX = 65535
_BLOCK = 100
_LAST_PORT = 32767
"""The ephemeral range of Linux begins after it."""


@contextmanager
def reservation() -> Iterator[None]:
    """Held from choosing ports until the processes listen on them; the next network waits."""
    path = Path(tempfile.gettempdir()) / f"zhixin-ports-{os.getuid()}.lock"
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def is_free(port: int) -> bool:
    """Whether a process could listen on this port of loopback now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose_base(count: int, wanted: int | None) -> int:
    """The first port of `count` free ones in a row.

    Args:
        count: How many.
        wanted: The caller's choice, which is checked and not replaced; None: the first block that is free.

    Raises:
        UsageError: There are no such ports.
        WorldError: The wanted ones are taken, or no block is free.
    """
    if wanted is not None and not PORT_MIN <= wanted <= PORT_MAX - count + 1:
        highest = PORT_MAX - count + 1
        raise UsageError("ports.range", t("ports.range", first=wanted, count=count, lowest=PORT_MIN, highest=highest))
    stride = -(-count // _BLOCK) * _BLOCK
    bases = [wanted] if wanted is not None else list(range(BASE_PORT, _LAST_PORT - count, stride))
    taken: list[int] = []
    for base in bases:
        taken = [port for port in range(base, base + count) if not is_free(port)]
        if not taken:
            return base
    if wanted is None:
        raise WorldError("ports.none-free", t("ports.none-free", count=count))
    raise WorldError("ports.taken", t("ports.taken", ports=", ".join(map(str, taken))))
