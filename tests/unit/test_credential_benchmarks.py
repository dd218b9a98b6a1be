# SPDX-License-Identifier: Apache-2.0
"""The benchmark of credentials runs and says what it is asked for; how fast is not a test's affair."""

import benchmarks.credentials


def test_credential_benchmark_names_its_figures():
    figures = benchmarks.credentials.run(rounds=3, places=1_000)
    named = {"issue_beyond_ms", "verify_beyond_ms", "offline_code_check_ms", "list_build_s", "list_token_characters"}
    assert named <= figures.keys()
    assert figures["list_places"] == 1_000
