# SPDX-License-Identifier: Apache-2.0
"""`python -m sim SEED` replays a run, `python -m sim run` runs many, `python -m sim bugs` finds planted faults."""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from sim.bugs import BUGS
from sim.run import Outcome, run_seed

CHUNK = 25
BUG_SEEDS_MAX = 2_000


def _line(outcome: Outcome) -> str:
    end = outcome.failure or f"well {outcome.healed_ms} ms after healing"
    return (
        f"seed {outcome.plan.seed}: {outcome.heights} heights, {outcome.epochs} epochs, {outcome.acknowledged} "
        f"acknowledged, {outcome.events} events: {end}"
    )


def _run_chunk(seeds: Sequence[int]) -> list[Outcome]:
    return [run_seed(seed) for seed in seeds]


def replay(seed: int) -> int:
    """One run, line by line."""
    outcome = run_seed(seed, trace=print)
    print(outcome.plan)
    print(_line(outcome))
    return 1 if outcome.failure else 0


def run_many(first: int, count: int, jobs: int, record: Path | None) -> int:
    """Many runs in parallel; each failing seed is named."""
    begin = time.monotonic()
    chunks = [range(at, min(at + CHUNK, first + count)) for at in range(first, first + count, CHUNK)]
    failed: list[Outcome] = []
    heights = healed = 0
    with ProcessPoolExecutor(jobs) as pool:
        done = 0
        for outcomes in pool.map(_run_chunk, chunks):
            for outcome in outcomes:
                done += 1
                heights += outcome.heights
                healed = max(healed, outcome.healed_ms)
                if outcome.failure:
                    failed.append(outcome)
                    print(_line(outcome), flush=True)
            if sys.stderr.isatty():
                print(f"\r{done} of {count} seeds, {len(failed)} failed", end="", file=sys.stderr, flush=True)
    seconds = time.monotonic() - begin
    print(
        f"simulator: seeds {first} to {first + count - 1}: {count - len(failed)} passed, {len(failed)} failed; "
        f"{heights} heights, slowest healing {healed} ms; {seconds:.0f} s"
    )
    if record is not None:
        _record(record, first, count, failed, seconds)
    return 1 if failed else 0


def _record(path: Path, first: int, count: int, failed: Sequence[Outcome], seconds: float) -> None:
    """Append one row to the committed results file."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],  # noqa: S607 - git is where the user has it
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_text("date\tcommit\tfirst_seed\tlast_seed\tpassed\tfailed\tfailing_seeds\tseconds\n")
    row = (
        datetime.now(UTC).strftime("%Y-%m-%d"),
        commit,
        first,
        first + count - 1,
        count - len(failed),
        len(failed),
        " ".join(str(outcome.plan.seed) for outcome in failed) or "-",
        round(seconds),
    )
    with path.open("a") as file:
        file.write("\t".join(str(cell) for cell in row) + "\n")


def find_bugs(names: Sequence[str]) -> int:
    """Plant each bug, and count the seeds until the simulator notices."""
    missed = 0
    for bug in BUGS:
        if names and bug.name not in names:
            continue
        found: Outcome | None = None
        with bug.plant():
            for seed in range(1, BUG_SEEDS_MAX + 1):
                outcome = run_seed(seed)
                if outcome.failure:
                    found = outcome
                    break
        if found is None:
            missed += 1
            print(f"{bug.name}: NOT found in {BUG_SEEDS_MAX} seeds", flush=True)
        else:
            print(f"{bug.name}: found by seed {found.plan.seed}: {found.failure}", flush=True)
    return 1 if missed else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if len(words) == 1 and words[0].isdecimal():
        return replay(int(words[0]))
    parser = argparse.ArgumentParser(prog="python -m sim", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run many seeds")
    run.add_argument("--from", dest="first", type=int, default=1)
    run.add_argument("--seeds", type=int, default=1000)
    run.add_argument("--jobs", type=int, default=2)
    run.add_argument("--record", type=Path, help="append the outcome to this file")
    bugs = commands.add_parser("bugs", help="plant each bug and find it")
    bugs.add_argument("names", nargs="*", choices=[[], *(bug.name for bug in BUGS)])
    options = parser.parse_args(words)
    if options.command == "run":
        return run_many(options.first, options.seeds, options.jobs, options.record)
    return find_bugs(options.names)


if __name__ == "__main__":
    sys.exit(main())
