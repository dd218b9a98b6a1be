# SPDX-License-Identifier: Apache-2.0
"""Binning, stability and reason codes on the German credit data, against optbinning.

Needs the environment of `make setup-scorecards`, in which tests/judges/scorecards.py runs; fails if it is missing.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from chain.strict_json import canonical
from credit.monitor import drift_of, monotone_edges, psi, weigh
from credit.score import Event, score
from credit.scorecard import parse

ROOT = Path(__file__).parents[2]
EDGES = {"duration_in_month": [12, 24, 36], "credit_amount": [1500, 4000, 8000], "age_in_years": [26, 35]}
FACTOR = 40 / 0.6931471805599453
"""Points to double the odds, by ln 2: what the judge's scorecard is scaled with."""


@pytest.fixture(scope="module")
def judge() -> dict[str, Any]:
    python = ROOT / ".venv/scorecards/bin/python"
    assert python.exists(), "the independent scorecard library is missing: run `make setup-scorecards`"
    told = subprocess.run(
        [python, "-W", "ignore", ROOT / "tests/judges/scorecards.py"],
        input=json.dumps({"edges": EDGES}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    return dict(json.loads(told.stdout))


def test_bins_weigh_what_the_judge_says(judge: dict[str, Any]) -> None:
    bad = [bool(outcome) for outcome in judge["bad"]]
    assert (len(bad), sum(bad)) == (1_000, 300), "the data set as its authors describe it"
    for name, edges in EDGES.items():
        lines = weigh(judge["columns"][name], bad, edges)
        assert [(line.good, line.bad) for line in lines] == [(one["good"], one["bad"]) for one in judge["bins"][name]]
        for line, one in zip(lines, judge["bins"][name], strict=True):
            assert line.woe == pytest.approx(one["woe"])
            assert line.iv == pytest.approx(one["iv"])
        assert sum(line.iv for line in lines) == pytest.approx(judge["iv"][name])


def test_joined_bins_tell_nearly_as_much_as_the_judges_optimal_ones(judge: dict[str, Any]) -> None:
    bad = [bool(outcome) for outcome in judge["bad"]]
    for name in EDGES:
        values = judge["columns"][name]
        told = sum(line.iv for line in weigh(values, bad, monotone_edges(values, bad)))
        assert told > 0.6 * judge["best"][name], name


def test_stability_index_is_the_judges(judge: dict[str, Any]) -> None:
    *expected, total_then = judge["psi"]["expected"]
    *actual, total_now = judge["psi"]["actual"]
    assert (sum(expected), sum(actual)) == (total_then, total_now) == (500, 500)
    assert psi(expected, actual) == pytest.approx(judge["psi"]["lines"][-1])
    assert drift_of(psi(expected, actual)) == "stable"


def test_reason_codes_rank_what_the_judges_scorecard_takes(judge: dict[str, Any]) -> None:
    """Each attribute's bin as a class of events: what it takes is how far it stays below the attribute's best bin."""
    bad = [bool(outcome) for outcome in judge["bad"]]
    takes: dict[int, int] = {}
    bin_of: dict[str, list[int]] = {}
    for i, (name, edges) in enumerate(EDGES.items()):
        lines = weigh(judge["columns"][name], bad, edges)
        best = max(line.woe for line in lines)
        for j, line in enumerate(lines):
            takes[(i + 1) * 10 + j] = round(FACTOR * (line.woe - best))
        bin_of[name] = [(i + 1) * 10 + sum(value >= edge for edge in edges) for value in judge["columns"][name]]
    card = parse(
        canonical(
            {
                "base": 600,
                "classes": [
                    {"class": number, "decay": [[0, 100]], "dimension": 1, "points": {"general": points}}
                    for number, points in sorted(takes.items())
                ],
                "dimensions": [{"max": 0, "min": -1_000, "number": 1}],
                "grades": [["A", 560], ["B", 520], ["C", 480], ["D", 0]],
                "max": 1_000,
                "min": 0,
                "open_pledges_max": 0,
            }
        )
    )
    compared = 0
    for member in range(len(bad)):
        classes = [bin_of[name][member] for name in EDGES]
        found = score([Event(number, "general", "active", 20_000, 0) for number in classes], card, 20_000)
        lost = {
            number: round(max(judge["points"][name]) - judge["points"][name][number % 10])
            for name, number in zip(EDGES, classes, strict=True)
        }
        ranked = sorted(((n, points) for n, points in lost.items() if points), key=lambda one: (-one[1], one[0]))
        assert list(found.lost) == ranked
        compared += len(ranked)
    assert compared > 1_500
