# SPDX-License-Identifier: Apache-2.0
"""A network of real processes under one folder: made, started, watched, killed, restarted, taken down.

The folder is the testnet's (`genesis.json`, `node0` …, `keys`), with `run/` for pid files, `logs/`, and `devnet.json`
that marks it as ours. Only processes whose identity its pid files prove are ever signalled.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.devnet import ports, process
from cli.devnet.process import Identity
from cli.errors import InputError, MissingError, UsageError, WorldError
from cli.home import Home
from cli.language import t
from client.session import Session
from node.config import PORTS_PER_NODE
from node.errors import ConfigError
from node.testnet import create_testnet

VALIDATORS_DEFAULT = 4
"""The fewest of which one may fail."""
VALIDATORS_MAX = 31
"""The transport's full mesh."""
READY_TIMEOUT_S = 30.0
STOP_GRACE_S = 10.0
LOG_LINES_SHOWN = 12
_POLL_S = 0.1
_FORMAT = "zhixin-devnet/1"


@dataclass(frozen=True, slots=True)
class NodeState:
    """One node of a development network.

    Attributes:
        pid: None: it does not run.
    """

    name: str
    pid: int | None
    address: str


class Devnet:
    """A development network in its folder."""

    def __init__(self, root: Path) -> None:
        """Open one that exists.

        Raises:
            MissingError: The folder holds none.
        """
        self.root = root
        try:
            document = json.loads((root / "devnet.json").read_text(encoding="utf-8"))
            self.base_port = int(document["base_port"])
            self.count = int(document["validators"])
            known = document["format"] == _FORMAT
        except (OSError, ValueError, KeyError, TypeError):
            known = False
        if not known:
            raise MissingError("devnet.missing", t("devnet.missing", root=root))

    @classmethod
    def create(cls, root: Path, *, validators: int, base_port: int) -> "Devnet":
        """Make genesis, keys and settings of a new one.

        Raises:
            InputError: The folder holds a network already.
        """
        assert 1 <= validators <= VALIDATORS_MAX
        if (root / "genesis.json").exists():
            raise InputError("devnet.other", t("devnet.other", root=root))
        # The mark comes first: a crash while keys are made leaves a folder that we may clean up.
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        document = {"format": _FORMAT, "validators": validators, "base_port": base_port}
        (root / "devnet.json").write_text(json.dumps(document) + "\n", encoding="utf-8")
        try:
            create_testnet(root, validators, base_port, name="zhixin-devnet")
        except ConfigError as error:
            raise InputError("devnet.invalid", str(error)) from None
        return cls(root)

    @property
    def home(self) -> Home:
        """For clients."""
        return Home(self.root)

    @property
    def names(self) -> list[str]:
        """Of all its nodes."""
        return [f"node{index}" for index in range(self.count)]

    def name_of(self, text: str) -> str:
        """The node that somebody means by `2` or `node2`.

        Raises:
            UsageError: There is no such node.
        """
        name = text if text.startswith("node") else f"node{text}"
        if name not in self.names:
            raise UsageError("devnet.no-node", t("devnet.no-node", name=text, known=", ".join(self.names)))
        return name

    def state(self) -> list[NodeState]:
        """Which nodes run, by their pid files."""
        states = []
        for index, name in enumerate(self.names):
            identity = self.identity(name)
            port = self.base_port + PORTS_PER_NODE * index + 1
            states.append(NodeState(name, None if identity is None else identity.pid, f"127.0.0.1:{port}"))
        return states

    def identity(self, name: str) -> Identity | None:
        """The process of a node, if it runs."""
        return process.find(self._pid_file(name))

    def start(self, names: Sequence[str]) -> None:
        """Start nodes that do not run."""
        for name in names:
            if self.identity(name) is None:
                argv = [sys.executable, "-m", "cli", "node", "run", "--home", str((self.root / name).resolve())]
                process.spawn(argv, log=self.log(name), pid_file=self._pid_file(name))

    def stop(self, names: Sequence[str]) -> list[str]:
        """Ask nodes to end, all at once, and make those that do not; returns those that had to be made."""
        running = {name: identity for name in names if (identity := self.identity(name)) is not None}
        for identity in running.values():
            process.send(identity, signal.SIGTERM)
        deadline = time.monotonic() + STOP_GRACE_S
        forced = []
        for name, identity in running.items():
            if not process.wait_gone(identity, max(0.0, deadline - time.monotonic())):
                process.send(identity, signal.SIGKILL)
                process.wait_gone(identity, STOP_GRACE_S)
                forced.append(name)
        for name in names:
            self._pid_file(name).unlink(missing_ok=True)
        return forced

    def kill(self, name: str) -> int:
        """End a node with SIGKILL, without a chance to tidy up; returns the process's number.

        Raises:
            MissingError: It does not run.
        """
        identity = self.identity(name)
        if identity is None or not process.send(identity, signal.SIGKILL):
            raise MissingError("devnet.not-running", t("devnet.not-running", name=name))
        process.wait_gone(identity, STOP_GRACE_S)
        self._pid_file(name).unlink(missing_ok=True)
        return identity.pid

    async def wait_ready(self, session: Session, names: Sequence[str], *, height: int = 0) -> None:
        """Wait until nodes answer and have certified a height.

        Raises:
            WorldError: One ended or was not ready in time; its last log lines are in the details.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + READY_TIMEOUT_S
        addresses = {state.address: state.name for state in self.state() if state.name in names}
        while True:
            reports = await session.statuses()
            ready = {
                addresses[report.address]
                for report in reports
                if report.status is not None
                and report.status.certified_height >= max(height, 1)
                and report.address in addresses
            }
            if ready == set(names):
                return
            ended = [name for name in names if self.identity(name) is None]
            if ended or loop.time() > deadline:
                late = ended or sorted(set(names) - ready)
                text = t("devnet.ended", names=", ".join(late)) if ended else t("devnet.late", names=", ".join(late))
                raise WorldError("devnet.not-ready", text, tuple(self._last_lines(late[0])))
            await asyncio.sleep(_POLL_S)

    def log(self, name: str) -> Path:
        """A node's log."""
        return self.root / "logs" / f"{name}.log"

    def _pid_file(self, name: str) -> Path:
        return self.root / "run" / f"{name}.pid"

    def _last_lines(self, name: str) -> list[str]:
        with contextlib.suppress(OSError):
            lines = self.log(name).read_text(encoding="utf-8", errors="replace").splitlines()
            return [line[:300] for line in lines[-LOG_LINES_SHOWN:]]
        return []


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold a folder: no other command of ours works on it meanwhile. A crash releases it.

    Raises:
        WorldError: Another one does.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(root / ".lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WorldError("devnet.busy", t("devnet.busy", root=root)) from None
        yield
    finally:
        os.close(handle)


async def bring_up(root: Path, *, validators: int | None, base_port: int | None) -> Devnet:
    """Make a network if there is none, start what does not run, and wait until it orders blocks.

    Ports are chosen and held against other networks of this user until the nodes listen.

    Args:
        root: Its folder.
        validators: How many a new one has, or the one that is there must have; None: four, or as many as it has.
        base_port: The same for its first port; None: the first free block, or as it is.

    Raises:
        UsageError: There is one already, and it is another.
        WorldError: Ports are taken or a node does not come up; everything that was started is stopped again.
    """
    with ports.reservation():
        try:
            network = Devnet(root)
            if validators not in {None, network.count} or base_port not in {None, network.base_port}:
                text = t("devnet.differs", root=root, count=network.count, port=network.base_port)
                raise UsageError("devnet.differs", text)
        except MissingError:
            count = VALIDATORS_DEFAULT if validators is None else validators
            if not 1 <= count <= VALIDATORS_MAX:
                raise UsageError("devnet.count", t("devnet.count", limit=VALIDATORS_MAX)) from None
            base = ports.choose_base(PORTS_PER_NODE * count, base_port)
            network = Devnet.create(root, validators=count, base_port=base)
        started = [name for name in network.names if network.identity(name) is None]
        network.start(started)
        try:
            async with network.home.session() as session:
                await network.wait_ready(session, network.names)
        except BaseException:
            network.stop(started)
            raise
    return network


def remove(root: Path) -> None:
    """Delete a development network that does not run; a folder that is not marked as one is left alone.

    Raises:
        MissingError: It is none.
    """
    network = Devnet(root)
    assert all(state.pid is None for state in network.state()), "it still runs"
    for path in sorted(root.iterdir()):
        if path.name == ".lock":
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def clean(root: Path) -> bool:
    """Stop and delete what an earlier run left here; says whether processes of it still ran.

    Raises:
        InputError: The folder holds something that no development network made; it is left alone.
    """
    try:
        leftover = Devnet(root)
    except MissingError:
        if any(path.name != ".lock" for path in root.iterdir()):
            raise InputError("devnet.not-empty", t("devnet.not-empty", root=root)) from None
        return False
    running = any(state.pid is not None for state in leftover.state())
    leftover.stop(leftover.names)
    remove(root)
    return running
