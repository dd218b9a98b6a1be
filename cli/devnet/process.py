# SPDX-License-Identifier: Apache-2.0
"""Starting, recognising and ending one's own processes.

A process is known by its number, the moment it started and the boot it started in: a number alone may by now belong
to somebody else. Signals go through a pidfd that is opened before the identity is checked, so that what is signalled
is what was checked.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Identity:
    """One process among all that ever ran on this machine.

    Attributes:
        started_ticks: Its start in clock ticks since boot (field 22 of /proc/PID/stat).
        boot: The kernel's boot id.
    """

    pid: int
    started_ticks: int
    boot: str


def identify(pid: int) -> Identity | None:
    """The identity of a running process; None if there is none of that number, or it has ended."""
    fields = _stat(pid)
    if fields is None or fields[0] in {"Z", "X"}:
        return None
    return Identity(pid, int(fields[19]), _boot())


def cpu_seconds(identity: Identity) -> float | None:
    """How long a process has computed so far, user and system; None if it has ended."""
    fields = _stat(identity.pid)
    if fields is None or int(fields[19]) != identity.started_ticks:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def spawn(argv: Sequence[str], *, log: Path, pid_file: Path) -> Identity:
    """Start a process of its own session, its output appended to a log, and note who it is.

    A crash of ours between the start and the note leaves a process that nobody knows: the note follows at once.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    pid_file.parent.mkdir(parents=True, exist_ok=True)
    pid = os.posix_spawn(
        argv[0],
        list(argv),
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    fields = _stat(pid)
    identity = Identity(pid, int(fields[19]) if fields is not None else -1, _boot())
    partial = pid_file.with_suffix(".new")
    partial.write_text(json.dumps(asdict(identity)), encoding="utf-8")
    partial.replace(pid_file)
    return identity


def find(pid_file: Path) -> Identity | None:
    """The process that a pid file names, if it still runs and is still that one."""
    try:
        noted = Identity(**json.loads(pid_file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return noted if identify(noted.pid) == noted else None


def send(identity: Identity, number: signal.Signals) -> bool:
    """Signal a process, if it is still the one that was meant; says whether it was."""
    try:
        handle = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return False
    try:
        if identify(identity.pid) != identity:
            return False
        signal.pidfd_send_signal(handle, number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)


def wait_gone(identity: Identity, timeout_s: float) -> bool:
    """Wait until a process has ended, and reap it if it was our child."""
    deadline = time.monotonic() + timeout_s
    while True:
        _reap(identity.pid)
        if identify(identity.pid) != identity:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)


def end(identity: Identity, *, grace_s: float) -> bool:
    """Ask a process to end, and make it after a grace; says whether it ended by itself."""
    send(identity, signal.SIGTERM)
    if wait_gone(identity, grace_s):
        return True
    send(identity, signal.SIGKILL)
    wait_gone(identity, grace_s)
    return False


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):  # not our child: its parent or init reaps it
        os.waitpid(pid, os.WNOHANG)


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the third, the state, on; the name before it may hold anything."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text[text.rindex(")") + 2 :].split()


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
