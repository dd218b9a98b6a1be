# SPDX-License-Identifier: Apache-2.0
"""Starts node processes in milliseconds: one process imports the node once and forks a child for each start.

`python -m tests.crash.spawner` reads lines of JSON `{"start": NAME, "argv": […], "log": PATH}` and answers with
`{"started": NAME, "pid": N}` at once and `{"ended": NAME, "pid": N, "status": S}` when that process has ended (S: its
exit code, or minus the signal). A child is a process like any other: its own memory, descriptors, session. It dies with
the spawner, and the spawner ends, and kills them all, when its input does.
"""

import ctypes
import gc
import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Mapping
from typing import NoReturn

from tests.crash import faulty

_PR_SET_PDEATHSIG = 1


def _become_node(request: Mapping[str, object], spawner: int) -> NoReturn:
    """In the child: take its own output, and be the node."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != spawner:
        os._exit(1)
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    log = os.open(str(request["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for descriptor, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, target)
    os.closerange(3, 256)
    code = 1
    try:
        code = faulty.main([str(argument) for argument in request["argv"]])  # type: ignore[attr-defined]  # a list
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 - the outermost frame of a process: its trace belongs into its log
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _say(event: Mapping[str, object]) -> None:
    os.write(1, (json.dumps(event) + "\n").encode())


def main() -> None:
    """Serve until the input ends."""
    names: dict[int, str] = {}
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    spawner, pending = os.getpid(), b""
    while True:
        ready, _, _ = select.select([0, readable], [], [])
        if readable in ready:
            os.read(readable, 4096)
            while names:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    break
                _say({"ended": names.pop(pid), "pid": pid, "status": os.waitstatus_to_exitcode(status)})
        if 0 not in ready:
            continue
        read = os.read(0, 65536)
        if not read:
            break
        *lines, pending = (pending + read).split(b"\n")
        for line in lines:
            request = json.loads(line)
            pid = os.fork()
            if not pid:
                _become_node(request, spawner)
            names[pid] = request["start"]
            _say({"started": names[pid], "pid": pid})
    for pid in names:
        os.kill(pid, signal.SIGKILL)
    for pid in names:
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
