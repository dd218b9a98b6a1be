# SPDX-License-Identifier: Apache-2.0
"""A network of real node processes on loopback that can be killed, restarted, and asked how far they are."""

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc

from benchmarks.filled_network import filled_network
from chain import genesis
from client.connection import Connection, endpoints_of
from client.pb import node_service_pb2 as pb
from node.config import PORTS_PER_NODE, Home
from node.testnet import create_testnet
from tests.crash.faulty import load_synced, lose_unsynced, set_clock
from tests.crash.plans import Plan

ROOT = Path(__file__).resolve().parents[2]
END_SECONDS_MAX = 30.0
RECOVERY_SECONDS_MAX = 60.0
"""A node that has not come back by then counts as one that needs a hand."""
POLL_SECONDS = 0.05
VERSIONS_KEPT = 5
"""Past states, instead of a thousand: so each block prunes one."""
BLOCKS_KEPT = 20
"""Blocks of a node that prunes, instead of a thousand. Those of the last five minutes stay all the same."""
OLD_BLOCKS = 150
"""That a filled network begins with: so many that a node is not done with pruning them after tens of deaths."""
OLD_BLOCK_TRANSACTIONS = 3


class Stuck(AssertionError):
    """Something did not come back by itself."""


@dataclass(slots=True)
class Process:
    """A running node."""

    pid: int
    ended: "asyncio.Future[int]"


class Spawner:
    """This side of `tests.crash.spawner`."""

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        """`settings`: environment variables that change nodes' settings."""
        self._settings = dict(settings or {})
        self._starting: dict[str, asyncio.Future[Process]] = {}
        self._running: dict[int, Process] = {}

    async def __aenter__(self) -> Self:
        self._server = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.crash.spawner",
            cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "GRPC_VERBOSITY": "NONE", **self._settings},
        )  # fmt: skip
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._server.wait(), END_SECONDS_MAX)
        await self._reader

    async def start(self, name: str, argv: Sequence[str], log: Path) -> Process:
        """Start a node; its process."""
        assert self._server.stdin is not None
        started: asyncio.Future[Process] = asyncio.get_running_loop().create_future()
        self._starting[name] = started
        self._server.stdin.write((json.dumps({"start": name, "argv": argv, "log": str(log)}) + "\n").encode())
        return await started

    async def _read(self) -> None:
        assert self._server.stdout is not None
        async for line in self._server.stdout:
            event = json.loads(line)
            if "started" in event:
                process = Process(event["pid"], asyncio.get_running_loop().create_future())
                self._running[process.pid] = process
                self._starting.pop(event["started"]).set_result(process)
            else:
                self._running.pop(event["pid"]).ended.set_result(event["status"])


class Network:
    """Validators in a directory, made at first use.

    Attributes:
        homes: One per validator.
        pruning: Those that prune blocks.
        genesis: Of the network.
        mortal: Nodes whose end somebody else waits for, to start them again.
    """

    def __init__(
        self,
        directory: Path,
        spawner: Spawner,
        validators: int = 4,
        base_port: int | None = None,
        *,
        filled: bool = False,
    ) -> None:
        """`filled`: a new network begins with blocks that are old enough to be pruned."""
        self._spawner = spawner
        self._work = directory / "rig"
        net = directory / "net"
        if not (net / "genesis.json").exists():
            assert base_port is not None
            if filled:
                keys = OLD_BLOCKS * OLD_BLOCK_TRANSACTIONS
                filled_network(net, keys, base_port, block_transactions=OLD_BLOCK_TRANSACTIONS)
            else:
                create_testnet(net, validators, base_port)
        self.directory = net
        self.homes = [Home(path) for path in sorted(net.glob("node*"))]
        self._work.mkdir(exist_ok=True)
        self.genesis = genesis.load((net / "genesis.json").read_bytes())
        self._connections = [Connection(endpoint) for endpoint in endpoints_of(self.genesis)]
        self._processes: dict[int, Process] = {}
        self.mortal: set[int] = set()
        self.pruning: tuple[int, ...] = ()

    # ------------------------------------------------------------ life and death

    async def start(self, index: int, plans: Sequence[Plan] = ()) -> None:
        """Start a node, with what is to befall it."""
        assert index not in self._processes
        if not self.clock(index).exists():
            set_clock(self.clock(index), 0)
        argv = [str(self.homes[index].root), "--synced", str(self._synced(index)), "--clock", str(self.clock(index))]
        argv += ["--versions-kept", str(VERSIONS_KEPT)]
        if index in self.pruning:
            argv += ["--blocks-kept", str(BLOCKS_KEPT)]
        for plan in plans:
            argv += ["--plan", str(plan)]
        sizes = load_synced(self._synced(index))  # of the lives before; a process may die before it has synced anything
        self._synced(index).write_text("".join(f"{log}\t{size}\n" for log, size in sizes.items()))
        self._processes[index] = await self._spawner.start(f"node{index}", argv, self.log(index))

    async def kill(self, index: int) -> None:
        """SIGKILL."""
        process = self._processes[index]
        if not process.ended.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        await self.ended(index)

    async def cut_power(self, index: int, draw: random.Random) -> None:
        """SIGKILL, and take from its databases' logs what a power cut would have taken."""
        await self.kill(index)
        home = self.homes[index]
        lose_unsynced([home.ledger, home.journal], load_synced(self._synced(index)), draw)

    async def ended(self, index: int, seconds: float = END_SECONDS_MAX) -> int:
        """Wait until a node has ended; its exit code, or minus the signal."""
        process = self._processes[index]
        try:
            status = await asyncio.wait_for(asyncio.shield(process.ended), seconds)
        except TimeoutError:
            raise Stuck(f"node {index} has not ended within {seconds:.0f} s") from None
        del self._processes[index]
        return status

    async def stop(self, index: int) -> int:
        """SIGTERM; its exit code."""
        process = self._processes[index]
        if not process.ended.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
        return await self.ended(index)

    def process(self, index: int) -> Process | None:
        """A node's process, until it is reaped."""
        return self._processes.get(index)

    def forget(self, index: int) -> None:
        """Make a stopped node's home as if it had never run."""
        assert index not in self._processes
        shutil.rmtree(self.homes[index].root / "data", ignore_errors=True)
        self._synced(index).unlink(missing_ok=True)

    def running(self) -> list[int]:
        """Nodes that were started and not yet reaped."""
        return sorted(self._processes)

    def died(self, index: int) -> bool:
        """Whether a node that was started has ended by itself."""
        process = self._processes.get(index)
        return process is not None and process.ended.done()

    async def close(self) -> None:
        """End all that runs, and the connections."""
        for index in self.running():
            await self.kill(index)
        for connection in self._connections:
            await connection.close()

    # ------------------------------------------------------------ looking

    async def status(self, index: int, seconds: float = 2.0) -> pb.StatusResponse | None:
        """What a node says of itself; None if it does not answer."""
        try:
            return await self._connections[index].stub.Status(pb.StatusRequest(), timeout=seconds)
        except grpc.aio.AioRpcError:
            return None

    async def until(
        self, index: int, reached: Callable[[pb.StatusResponse], bool], seconds: float = RECOVERY_SECONDS_MAX
    ) -> pb.StatusResponse:
        """Wait until a node is so far.

        Raises:
            Stuck: It ended, or it did not get there in time.
        """
        last = None
        try:
            async with asyncio.timeout(seconds):
                while True:
                    status = await self.status(index)
                    last = status or last
                    if status is not None and reached(status):
                        return status
                    if index not in self.mortal and self.died(index):
                        raise Stuck(f"node {index} ended with {await self.ended(index)}: {self.last_words(index)}")
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            words = self.last_words(index)
            raise Stuck(f"node {index} was not there within {seconds:.0f} s: {last!r}; {words}") from None

    async def height(self) -> int:
        """The greatest certified height that any node tells of."""
        answers = await asyncio.gather(*(self.status(index) for index in self.running()))
        return max((answer.certified_height for answer in answers if answer is not None), default=0)

    async def until_certified(self, height: int, indices: Sequence[int], seconds: float = RECOVERY_SECONDS_MAX) -> None:
        """Wait until each of these nodes has this height certified."""
        await asyncio.gather(
            *(self.until(index, lambda status: status.certified_height >= height, seconds) for index in indices)
        )

    def log(self, index: int) -> Path:
        """What a node wrote, over all of its lives."""
        return self._work / f"node{index}.log"

    def clock(self, index: int) -> Path:
        """The file that sets a node's clock off; see `tests.crash.faulty.set_clock`."""
        return self._work / f"node{index}.clock"

    def last_words(self, index: int) -> str:
        """The end of a node's log."""
        return self.log(index).read_text(errors="replace")[-1500:]

    def copy_home(self, index: int, target: Path) -> Home:
        """A copy of a stopped node's home."""
        shutil.copytree(self.homes[index].root, target, ignore=shutil.ignore_patterns("*.sock"))
        return Home(target)

    def _synced(self, index: int) -> Path:
        return self._work / f"node{index}.synced"


def ports_of(validators: int) -> int:
    """How many ports a network takes from its base port on."""
    return validators * PORTS_PER_NODE
