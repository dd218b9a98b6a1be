# SPDX-License-Identifier: Apache-2.0
"""`make crash`: kill nodes of a network under load many times, check everything, and append a line to the record.

`--directory` keeps the network, so that a later run goes on with it. SIGINT and SIGTERM end a run early: what was done
is checked and recorded all the same.
"""

import argparse
import asyncio
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from chain.ed25519 import Ed25519Signer
from node.keys import Purpose, load_key
from tests import ports
from tests.crash.drill import Drill, Tally
from tests.crash.history import History
from tests.crash.load import Clients
from tests.crash.rig import ROOT, Network, Spawner, Stuck, ports_of

RECORD = ROOT / "docs" / "results" / "crash.tsv"
COLUMNS = (
    "date\tcommit\tseed\tkills\tall_at_once\tat_named_writes\tpower_cuts\tacknowledged\tblocks\tslowest_recovery_s\t"
    "seconds\toutcome\n"
)
VALIDATORS = 4


def free_base_port(nodes: int) -> int:
    """A base port whose whole range is free right now."""
    return ports.free_base_port(ports_of(nodes))


def clients_of(network: Network, directory: Path, rate: float) -> Clients:
    """Clients of a network in a directory, with the history that lies there."""
    path = network.directory / "keys" / "registrar.json"
    signer = Ed25519Signer(load_key(path, Purpose.ORGANISATION, None, allow_plain=True).secret)
    return Clients(network.genesis, signer, History(directory / "history.tsv"), rate=rate)


async def drill(options: argparse.Namespace, directory: Path) -> Tally:
    """One run, from the first start to the last check."""
    async with Spawner() as spawner:
        is_new = not (directory / "net").exists()
        base_port = free_base_port(VALIDATORS) if is_new else None
        network = Network(directory, spawner, VALIDATORS, base_port, filled=options.pruning > 0)
        network.pruning = tuple(range(VALIDATORS - options.pruning, VALIDATORS))
        clients = clients_of(network, directory, options.rate)
        run = Drill(network, clients, options.seed, _progress)

        def end() -> None:
            run.stopping = True

        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, end)
        try:
            await run.begin(first_life=is_new)
            await run.run(options.kills, options.all, options.seconds)
            return await run.finish()
        except Stuck as error:
            run.tally.problems.append(str(error))
            run.tally.acknowledged = clients.acknowledged
            return run.tally
        finally:
            await network.close()


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text}", end="", file=sys.stderr, flush=True)


def record(path: Path, options: argparse.Namespace, tally: Tally, seconds: float, outcome: str) -> None:
    """Append one row."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    row = (
        datetime.now(UTC).strftime("%Y-%m-%d"), commit, options.seed, tally.kills, tally.all_at_once,
        sum(tally.planned.values()), tally.power_cuts, tally.acknowledged, tally.height, f"{tally.slowest_s:.1f}",
        round(seconds), outcome,
    )  # fmt: skip
    if not path.exists():
        path.write_text(COLUMNS)
    with path.open("a") as file:
        file.write("\t".join(map(str, row)) + "\n")


def main() -> int:
    """Run it; 0 if nothing was lost and nobody had to help."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.run", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="deaths of single nodes")
    parser.add_argument("--all", type=int, default=10, help="deaths of all nodes at once")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument(
        "--pruning", type=int, default=2, choices=range(VALIDATORS), help="so many nodes prune blocks; one never does"
    )
    parser.add_argument("--rate", type=float, default=100, help="transactions a second")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end the killing then")
    parser.add_argument("--directory", type=Path, help="keep the network here, or go on with the one that lies here")
    parser.add_argument("--record", action="store_true", help="append a row to docs/results/crash.tsv")
    options = parser.parse_args()
    directory = options.directory or Path(tempfile.mkdtemp(prefix="zhixin-crash-"))
    directory.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    tally = asyncio.run(drill(options, directory))
    seconds = time.monotonic() - began
    for problem in tally.problems:
        print(problem, file=sys.stderr)
    early = tally.kills < options.kills or tally.all_at_once < options.all
    outcome = "FAILED: " + tally.problems[0].splitlines()[0][:200] if tally.problems else "nothing lost"
    if early and not tally.problems:
        outcome += ", ended early"
    print(
        f"\nseed {options.seed}: {tally.kills} nodes killed alone, {tally.all_at_once} times all at once, "
        f"{sum(tally.planned.values())} at named writes, {tally.power_cuts} with unsynced writes lost; "
        f"{tally.acknowledged} transactions acknowledged in {tally.height} blocks, {tally.unresolved} unresolved, "
        f"slowest recovery {tally.slowest_s:.1f} s; {seconds:.0f} s: {outcome}"
    )
    print("at named writes:", ", ".join(f"{name} {count}" for name, count in sorted(tally.planned.items())))
    if options.record:
        record(RECORD, options, tally, seconds, outcome.replace("\t", " "))
    if tally.problems:
        print(f"the network and its history lie in {directory}", file=sys.stderr)
        return 1
    if options.directory is None:
        shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
