# SPDX-License-Identifier: Apache-2.0
"""What the simulator promises: a seed replays exactly, old failures stay mended, planted bugs are found."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chain.types import sha256
from sim.bugs import BUGS, Bug
from sim.run import Outcome, run_seed

REGRESSIONS = Path(__file__).with_name("regressions.txt")
REPLAYED = (10, 48)
"""One seed whose messages are encoded, one with liars and changing validators; real signatures have a test below."""
REAL_SIGNATURES = 100
FOUND_BY = {
    "vote-not-persisted": (2, "voted twice"),
    "certificate-not-persisted": (2, "voted twice"),
    "body-not-persisted": (33, "stalled"),
    "quorum-off-by-one": (6, "two final blocks"),
    "finalize-after-nullify": (2, "finalized and nullified"),
    "body-not-checked": (65, "stalled"),
    "epoch-not-signed": (4, "voted twice"),
    "certificate-not-verified": (3, "bitmap"),
    "no-certificate-requests": (9, "stalled"),
}
"""A seed that finds each planted bug, and what it says. After a change of the simulator: `python -m sim bugs NAME`."""
SEEDS_TRIED = 40
"""Seeds tried from there on: a change of timers moves a find by a few."""
REPLAY = """
from chain.types import sha256
from sim.run import run_seed
for seed in {seeds}:
    lines = []
    outcome = run_seed(seed, trace=lines.append)
    print(seed, outcome.digest.hex(), outcome.events, sha256("\\n".join(lines).encode()).hex(), outcome.failure)
"""


def regression_seeds() -> list[int]:
    """The seeds of the file, in its order."""
    lines = (line.split("#")[0].split() for line in REGRESSIONS.read_text().splitlines())
    return [int(words[0]) for words in lines if words]


def traced(seed: int) -> tuple[Outcome, bytes]:
    lines: list[str] = []
    outcome = run_seed(seed, trace=lines.append)
    assert lines
    return outcome, sha256("\n".join(lines).encode())


@pytest.mark.parametrize("seed", REPLAYED)
def test_same_seed_replays_to_the_same_outcome_and_trace(seed):
    assert traced(seed) == traced(seed)


def test_replayed_seeds_have_encoded_messages_and_changing_validators():
    plans = [run_seed(seed).plan for seed in REPLAYED]
    assert any(plan.encoded for plan in plans)
    assert any(plan.set_changes for plan in plans)


def test_different_seeds_have_different_outcomes():
    assert len({run_seed(seed).digest for seed in range(1, 6)}) == 5


def test_tracing_changes_nothing():
    assert traced(REPLAYED[0])[0] == run_seed(REPLAYED[0])


def test_seed_replays_the_same_whatever_the_hash_seed_of_the_process():
    """Nothing of a run depends on the order of a set or on `hash()`."""
    program = REPLAY.format(seeds=(*REPLAYED, REAL_SIGNATURES))
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for hash_seed in ("0", "1", "4294967295")
    ]
    outputs = [run.communicate(timeout=120)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert len(outputs[0].splitlines()) == len(REPLAYED) + 1
    assert all(line.endswith(" None") for line in outputs[0].splitlines())
    assert outputs[0] == outputs[1] == outputs[2]


@pytest.mark.parametrize("seed", regression_seeds())
def test_seed_that_failed_once_passes(seed):
    assert run_seed(seed).failure is None


def test_regressions_hold_the_seeds_that_failed_in_development():
    seeds = regression_seeds()
    assert {74, 97, 101, 144, 262} <= set(seeds)
    assert len(seeds) == len(set(seeds))


def test_each_planted_bug_has_a_seed_that_finds_it():
    assert [bug.name for bug in BUGS] == list(FOUND_BY)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_planted_bug_is_found_and_the_same_seed_passes_without_it(bug: Bug):
    first, symptom = FOUND_BY[bug.name]
    for seed in range(first, first + SEEDS_TRIED):
        with bug.plant():
            outcome = run_seed(seed)
        if outcome.failure is not None and symptom in outcome.failure:
            assert run_seed(seed).failure is None
            return
    pytest.fail(f"not found in {SEEDS_TRIED} seeds; `python -m sim bugs {bug.name}` names one that finds it")
