# SPDX-License-Identifier: Apache-2.0
"""A real PostgreSQL for one run of the tests: made in a temporary folder, on a Unix socket, gone with the run.

Workers of one run share it. A watcher of its own ends it when the run's first process is gone, however that went.
"""

import fcntl
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

START_SECONDS_MAX = 60
LOG = "server.log"
_CONFIGURATION = """
listen_addresses = ''
unix_socket_directories = '{folder}'
fsync = off
log_statement = all
log_parameter_max_length = -1
max_connections = 60
"""
"""Everything that is asked of it, with its parameters, is in its log: the worst case for what a log may show."""
_WATCH = '(while [ -d "/proc/$1" ]; do sleep 0.5; done; "$2" stop -D "$3/data" -m immediate -s; rm -rf "$3") &'


def server(shared: Path, controller: int) -> Path:
    """The folder of the run's server, which is also its socket's; started by whoever comes first.

    Args:
        shared: A folder of this run that all workers know.
        controller: Process id whose end is the run's end.
    """
    with (shared / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        note = shared / "postgres.folder"
        if not note.exists():
            note.write_text(str(_start(controller)))
        return Path(note.read_text())


def url(folder: Path, database: str) -> str:
    """Where a database of the server is."""
    return f"postgresql://{_user()}@/{database}?host={folder}"


def files(folder: Path, oid: int) -> list[Path]:
    """What the server has written for a database and for all: its tables, the write-ahead log, the server's log."""
    data = folder / "data"
    places = [data / "base" / str(oid), data / "pg_wal"]
    return [folder / LOG, *(path for place in places for path in place.rglob("*") if path.is_file())]


def run(folder: Path, program: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs as the server's user."""
    command = [_program(program), *arguments]
    subprocess.run(command, check=True, capture_output=True, timeout=START_SECONDS_MAX, cwd=folder, **_as_user())


def _start(controller: int) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="zhixin-postgres-", dir="/tmp"))
    if os.geteuid() == 0:
        user = pwd.getpwnam(_user())
        os.chown(folder, user.pw_uid, user.pw_gid)
    try:
        data = str(folder / "data")
        run(folder, "initdb", "-D", data, "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C", "-U", _user())
        with (folder / "data" / "postgresql.conf").open("a") as file:
            file.write(_CONFIGURATION.format(folder=folder))
        _start_server(folder, "-D", data, "-w", "-t", str(START_SECONDS_MAX), "-l", str(folder / LOG))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    arguments = ["sh", "-c", _WATCH, "sh", str(controller), _program("pg_ctl"), str(folder)]
    subprocess.run(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        check=True,
        cwd="/",
        **_as_user(),
    )
    return folder


def _start_server(folder: Path, *arguments: str) -> None:
    """With its output to a file: the server would keep a pipe open."""
    command = [_program("pg_ctl"), "start", *arguments]
    with tempfile.TemporaryFile() as out:
        done = subprocess.run(
            command, stdout=out, stderr=out, timeout=START_SECONDS_MAX + 10, cwd=folder, check=False, **_as_user()
        )
        out.seek(0)
        said = out.read().decode(errors="replace")
    if done.returncode:
        log = folder / LOG
        raise RuntimeError(f"PostgreSQL does not start: {said}{log.read_text() if log.exists() else ''}")


def _program(name: str) -> str:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    on_path = shutil.which(name)
    if not found and on_path is None:
        raise FileNotFoundError(f"PostgreSQL's {name} is missing: run tests/setup_debian")
    return str(found[-1]) if found else str(on_path)


def _user() -> str:
    """The server refuses to run as root."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _as_user() -> dict[str, object]:
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam(_user())
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
