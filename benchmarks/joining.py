# SPDX-License-Identifier: Apache-2.0
"""How long a fresh node takes to join a network with a large ledger: `python -m benchmarks.joining [--keys N]`.

Four validators run as processes on this machine with a ledger of N state keys and N entries; a fifth node starts with
the genesis file alone, takes a snapshot from them, follows, and answers a read that verifies. One transaction after
another is submitted before and meanwhile: how long each takes until its receipt is there shows what the joining costs
the others. Prints one JSON object and appends a line to docs/results/joining.tsv. The ledger is made once and kept in
the folder that --home names.
"""

import argparse
import asyncio
import datetime as dt
import json
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.filled_network import VALIDATORS, filled_network
from benchmarks.machine import hashes_per_s
from chain import genesis
from chain.codec import encode
from chain.ed25519 import Ed25519Signer
from chain.transaction import Operation
from client import Endpoint, Session
from identity.pb import identity_pb2
from node.config import (
    BASE_PORT,
    CLIENT_PORT_OFFSET,
    PEER_PORT_OFFSET,
    PORTS_PER_NODE,
    ClientConfig,
    Config,
    Home,
    KeysConfig,
    PeerConfig,
    SyncConfig,
)
from node.keys import Purpose, load_key
from node.setup import make_home
from node.testnet import HOST, REGISTRAR

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "joining.tsv"
HEADINGS = (
    "date",
    "commit",
    "keys",
    "seconds",
    "memory_mb_peak",
    "memory_mb_peak_of_servers",
    "commit_ms_p50_before",
    "commit_ms_p50_meanwhile",
    "commit_ms_max_meanwhile",
    "hashes_per_s",
)
PROBES_BEFORE = 20
PROBE_SECONDS = 0.5
WAIT_SECONDS_MAX = 900.0
LOOK_SECONDS = 0.1
_CODE = "import sys; from pathlib import Path; from node.process import run; sys.exit(run(Path(sys.argv[1])))"


def run(folder: Path, keys: int = 1_000_000, base_port: int = BASE_PORT) -> dict[str, float]:
    """Make the network if the folder holds none of this size, start it, join, and take it down.

    Args:
        folder: Keeps the ledger for the next run.
        keys: State keys and entries.
        base_port: Of the network; node i listens from base_port + 10 i on.
    """
    made = folder / f"network-{keys}-{base_port}"
    if not (made / "complete").exists():
        shutil.rmtree(made, ignore_errors=True)
        filled_network(made, keys, base_port)
        (made / "complete").touch()
    hash_rate = hashes_per_s()
    with tempfile.TemporaryDirectory(dir=folder) as room:
        net = Path(room) / "net"
        shutil.copytree(made, net, copy_function=_link)
        joiner = _make_joiner(net, base_port)
        processes = _Processes()
        try:
            for index in range(VALIDATORS):
                processes.start(net / f"node{index}")
            figures = asyncio.run(_join(net, joiner, base_port, processes))
        finally:
            processes.stop()
    return {"keys": keys, **figures, "hashes_per_s": hash_rate}


def _link(source: str, target: str) -> None:
    """A copy of a file; of a database's tables, which are never written again, another name for the same."""
    if source.endswith(".ldb"):
        Path(target).hardlink_to(source)
    else:
        shutil.copy2(source, target)


def _make_joiner(net: Path, base_port: int) -> Home:
    """A follower's home with the genesis file, trusted by all validators."""
    home = Home(net / "joiner")
    first = base_port + PORTS_PER_NODE * VALIDATORS
    config = Config(
        peer=PeerConfig(listen=f"{HOST}:{first + PEER_PORT_OFFSET}"),
        client=ClientConfig(listen=f"{HOST}:{first + CLIENT_PORT_OFFSET}"),
        keys=KeysConfig(allow_plain=True),
        sync=SyncConfig(behind_entries=1),
    )
    made = make_home(home, config, is_validator=False, hosts=(HOST,), passphrase=None, now=dt.datetime.now(dt.UTC))
    shutil.copy(net / "genesis.json", home.genesis)
    for index in range(VALIDATORS):
        trusted = Home(net / f"node{index}").trusted
        trusted.mkdir()
        (trusted / f"{config.peer.listen}.pem").write_bytes(made.certificate)
    return home


async def _join(net: Path, joiner: Home, base_port: int, processes: "_Processes") -> dict[str, float]:
    """Start the fresh node and wait until it answers for the newest block."""
    founding = genesis.load((net / "genesis.json").read_bytes())
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    async with Session(founding) as others:
        filled = 0
        while (before := await _height(others)) <= filled or not filled:
            filled = filled or before
            _check_time(deadline, "the network does not go on from its ledger")
            await asyncio.sleep(LOOK_SECONDS)
        probe = _Probe(others, net)
        for _ in range(PROBES_BEFORE):
            await probe.once()
            await asyncio.sleep(PROBE_SECONDS)
        commits_before, probe.commits_ms = probe.commits_ms, []
        before = await _height(others)
        probing = asyncio.create_task(probe.go_on())
        began = time.monotonic()
        process = processes.start(joiner.root)
        listen = f"{HOST}:{base_port + PORTS_PER_NODE * VALIDATORS + CLIENT_PORT_OFFSET}"
        async with Session(founding, endpoints=[Endpoint(listen, joiner.tls_certificate.read_bytes())]) as session:
            while await _height(session) < before:
                _check_time(deadline, "the node does not join")
                await asyncio.sleep(LOOK_SECONDS)
            joined_s = time.monotonic() - began
            (report,) = await session.statuses()
            assert report.status is not None, "it answered just now"
            assert report.status.oldest_block > 1, "the node went by blocks"
            proven = await session.read(b"membership/validators")
            assert proven.value is not None, "the state names validators"
            read_s = time.monotonic() - began
            probing.cancel()
            await asyncio.sleep(1)
            after = await _height(others)
            while await _height(session) < after:
                _check_time(deadline, "the node does not follow")
                await asyncio.sleep(LOOK_SECONDS)
    servers = max(processes.memory_mb(pid) for pid in processes.pids if pid != process)
    return {
        "seconds": round(read_s, 1),
        "seconds_until_height": round(joined_s, 1),
        "memory_mb_peak": processes.memory_mb(process),
        "memory_mb_peak_of_servers": servers,
        "commit_ms_p50_before": round(statistics.median(commits_before)),
        "commit_ms_p50_meanwhile": round(statistics.median(probe.commits_ms)),
        "commit_ms_max_meanwhile": round(max(probe.commits_ms)),
    }


class _Probe:
    """Submits one transaction after another and waits for the receipt of each."""

    def __init__(self, session: Session, net: Path) -> None:
        key = load_key(net / "keys" / f"{REGISTRAR}.json", Purpose.ORGANISATION, None, allow_plain=True)
        self._signer = Ed25519Signer(key.secret)
        self._session = session
        self.commits_ms: list[float] = []

    async def once(self) -> None:
        """One transaction."""
        message = identity_pb2.SetStatus(
            id=secrets.token_bytes(16),
            status=identity_pb2.STATUS_REVOKED,
            reason=identity_pb2.REASON_SUPERSEDED,
        )
        operation = Operation.make("identity.SetStatus", encode(message))
        began = time.monotonic()
        await self._session.submit_one(self._session.sign([operation], [self._signer]))
        self.commits_ms.append((time.monotonic() - began) * 1000)

    async def go_on(self) -> None:
        """Until it is cancelled; seldom enough to be no load."""
        while True:
            await self.once()
            await asyncio.sleep(PROBE_SECONDS)


async def _height(session: Session) -> int:
    """The greatest certified height that any of a session's nodes claims; 0 while none answers."""
    reports = await session.statuses()
    return max((report.status.certified_height for report in reports if report.status is not None), default=0)


def _check_time(deadline: float, what: str) -> None:
    if time.monotonic() > deadline:
        raise TimeoutError(f"{what} within {WAIT_SECONDS_MAX:.0f} s")


class _Processes:
    """Nodes as processes of their own; none outlives the measurement."""

    def __init__(self) -> None:
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def pids(self) -> tuple[int, ...]:
        """Of all that were started."""
        return tuple(self._running)

    def start(self, home: Path) -> int:
        """Run the node of this home; its process id."""
        with (home / "log").open("ab") as log:
            process = subprocess.Popen([sys.executable, "-c", _CODE, str(home)], stderr=log)  # noqa: S603 - our own code
        self._running[process.pid] = process
        return process.pid

    def memory_mb(self, pid: int) -> float:
        """The most memory that a process has held."""
        status = Path(f"/proc/{pid}/status").read_text()
        return round(int(status.split("VmHWM:")[1].split()[0]) / 1024, 1)

    def stop(self) -> None:
        """End all of them."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def record(figures: dict[str, float]) -> None:
    """Append one row to the committed results file."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"],  # noqa: S607 - whichever git the developer uses
        capture_output=True,
        text=True,
        check=False,
        cwd=RESULTS.parent,
    ).stdout.strip()
    row = {"date": dt.datetime.now(dt.UTC).date().isoformat(), "commit": commit or "-", **figures}
    if not RESULTS.exists():
        RESULTS.write_text("\t".join(HEADINGS) + "\n")
    with RESULTS.open("a") as file:
        file.write("\t".join(str(row[name]) for name in HEADINGS) + "\n")


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--home", type=Path, default=Path(tempfile.gettempdir()) / "zhixin-joining")
    parser.add_argument("--base-port", type=int, default=BASE_PORT)
    parser.add_argument("--no-record", action="store_true", help="append nothing to docs/results/joining.tsv")
    arguments = parser.parse_args()
    arguments.home.mkdir(parents=True, exist_ok=True)
    figures = run(arguments.home, arguments.keys, arguments.base_port)
    if not arguments.no_record:
        record(figures)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
