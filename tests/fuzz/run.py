# SPDX-License-Identifier: Apache-2.0
"""Fuzz each target for some seconds in a process of its own; `--record` appends the outcome to docs/results/fuzz.tsv.

An input that ends in anything but a value or a `LedgerError`, takes longer than 10 s or more than 1 GiB is a defect. It
is kept in tests/fuzz/found/<target>/, which the property tests replay.
"""

import argparse
import importlib.util
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).resolve().parents[2]
FOUND = ROOT / "tests" / "fuzz" / "found"
RECORD = ROOT / "docs" / "results" / "fuzz.tsv"
COLUMNS = "date\tcommit\ttarget\tseconds\texecutions\toutcome\n"
INPUT_SECONDS_MAX = 10
MEMORY_MIB_MAX = 1024
START_SECONDS_MAX = 120
"""What instrumenting and the samples may take beside the fuzzing itself."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How fuzzing one target ended."""

    target: str
    seconds: int
    executions: int
    problem: str
    """Empty if nothing was found."""


def fuzz(name: str, seconds: int) -> Outcome:
    target = TARGETS[name]
    folder = FOUND / name
    with tempfile.TemporaryDirectory() as room:
        for number, sample in enumerate(target.samples()):
            (Path(room) / f"sample-{number}").write_bytes(sample)
        kept = set(folder.glob("*"))
        folder.mkdir(parents=True, exist_ok=True)
        command = [
            *(sys.executable, "-m", "tests.fuzz.one", name, room),
            f"-max_total_time={seconds}",
            f"-artifact_prefix={folder}/",
            f"-timeout={INPUT_SECONDS_MAX}",
            f"-rss_limit_mb={MEMORY_MIB_MAX}",
            f"-max_len={target.bytes_max}",
            "-print_final_stats=1",
        ]
        started = time.monotonic()
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=seconds + START_SECONDS_MAX,
                check=False,
            )
            output, failed = done.stdout + done.stderr, done.returncode != 0
        except subprocess.TimeoutExpired as error:
            output, failed = str(error), True
    counted = re.search(r"stat::number_of_executed_units: *(\d+)", output)
    new = sorted(path.name for path in set(folder.glob("*")) - kept)
    if not any(folder.iterdir()):
        folder.rmdir()
    problem = ""
    if failed or new:
        problem = f"found {', '.join(new)}" if new else "ended by itself"
        print(f"--- {name}\n{output[-4000:]}", file=sys.stderr)
    return Outcome(name, round(time.monotonic() - started), int(counted[1]) if counted else 0, problem)


def _commit() -> str:
    """What is fuzzed; asked before it starts, and marked if the tree holds more than that."""
    asked = ["git", "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"]
    return subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def record(outcomes: list[Outcome], commit: str) -> None:
    date = time.strftime("%Y-%m-%d", time.gmtime())
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    text = RECORD.read_text("utf-8") if RECORD.exists() else COLUMNS
    for o in outcomes:
        text += f"{date}\t{commit}\t{o.target}\t{o.seconds}\t{o.executions}\t{o.problem or 'nothing found'}\n"
    RECORD.write_text(text, "utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--jobs", type=int, default=2, help="targets at a time")
    parser.add_argument("--only", nargs="+", choices=sorted(TARGETS), default=sorted(TARGETS))
    parser.add_argument("--record", action="store_true", help="append to docs/results/fuzz.tsv")
    arguments = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        print("atheris is missing: run `make setup-dev` (it has builds for CPython 3.11 and 3.12)", file=sys.stderr)
        return 2
    commit = _commit() if arguments.record else ""
    with ThreadPoolExecutor(arguments.jobs) as pool:
        outcomes = []
        for outcome in pool.map(lambda name: fuzz(name, arguments.seconds), arguments.only):
            outcomes.append(outcome)
            print(f"{outcome.target:24} {outcome.executions:>10} executions  {outcome.problem or 'ok'}", flush=True)
    if arguments.record:
        record(outcomes, commit)
    idle = [o.target for o in outcomes if o.executions == 0]
    if idle:
        print(f"nothing was executed: {', '.join(idle)}", file=sys.stderr)
    return 1 if idle or any(o.problem for o in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
