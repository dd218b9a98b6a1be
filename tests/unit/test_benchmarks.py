# SPDX-License-Identifier: Apache-2.0
"""The benchmarks of log and tree run, and say what they are asked for; how fast is not a test's affair."""

import pytest

import benchmarks.epcis
import benchmarks.log
import benchmarks.trace_rules
import benchmarks.tree


def test_log_benchmark_names_its_figures():
    figures = benchmarks.log.run(entries=2_000)
    assert figures["entries"] == 2_000
    assert {"appends_per_s", "proof_us", "verify_us", "hashes_per_s"} <= figures.keys()
    assert all(figure > 0 for figure in figures.values())


def test_tree_benchmark_names_its_figures_with_pruning_on():
    figures = benchmarks.tree.run(keys=2_500, blocks=3, versions_kept=1)
    assert figures["keys"] == 2_500
    assert {"updates_per_s", "presence_proof_us", "absence_proof_us", "hashes_per_s"} <= figures.keys()
    assert all(figure > 0 for figure in figures.values())


def test_epcis_benchmark_names_its_figures():
    figures = benchmarks.epcis.run(events=5)
    assert {"validations_per_s", "event_hashes_per_s", "links_per_s", "hashes_per_s"} <= figures.keys()
    assert all(figure > 0 for figure in figures.values())


def test_trace_rules_benchmark_names_its_figures(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(benchmarks.trace_rules, "TREE_KEYS", 1_000)
    figures = benchmarks.trace_rules.run(events=10)
    assert (figures["events"], figures["writes_per_event"]) == (10, 4.0)
    assert {"events_per_s", "stored_events_per_s", "execution_to_tree", "hashes_per_s"} <= figures.keys()
    assert all(figure > 0 for figure in figures.values())
