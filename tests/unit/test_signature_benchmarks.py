# SPDX-License-Identifier: Apache-2.0
"""The benchmarks of signatures and receipts run, and say what they are asked for; how fast is not a test's affair."""

import benchmarks.receipts
import benchmarks.signatures


def test_signature_benchmark_names_its_figures():
    figures = benchmarks.signatures.run(rounds=64, bls_rounds=2)
    assert {"ed25519_verified_per_s", "p256_verify_us", "webauthn_verify_us", "bls_verify_us"} <= figures.keys()
    assert {"transaction_decode_us", "transactions_verified_per_s_2_threads", "hashes_per_s"} <= figures.keys()
    assert all(figure > 0 for figure in figures.values())


def test_receipt_benchmark_names_its_figures():
    figures = benchmarks.receipts.run(validators=1)
    assert figures["validators"] == 1
    assert {"cold_ms", "further_ms", "further_state_ms", "genesis_load_ms", "hashes_per_s"} <= figures.keys()
    assert all(figure > 0 for figure in figures.values())
