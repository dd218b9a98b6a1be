# SPDX-License-Identifier: Apache-2.0
"""Published edge cases of Ed25519 and BLS signatures; wycheproof/README.md says whose."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from chain import bls, ed25519
from chain.errors import InvalidSignature

VECTORS = Path(__file__).parent / "wycheproof"


def cases_of(name: str) -> list[tuple[bytes, dict]]:
    groups = json.loads((VECTORS / name).read_text())["testGroups"]
    return [(bytes.fromhex(group["publicKey"]["pk"]), case) for group in groups for case in group["tests"]]


def name_of(value: object) -> str:
    return f"tc{value['tcId']}" if isinstance(value, dict) else ""


def judge(verify: Callable[[bytes, bytes, bytes], None], key: bytes, case: dict) -> str:
    try:
        verify(key, bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))
    except InvalidSignature:
        return "invalid"
    return "valid"


BLS = cases_of("bls_sig_g2_pop_verify_test.json")
ED25519 = cases_of("ed25519_test.json")


def test_all_vectors_are_here():
    assert (len(BLS), len(ED25519)) == (26, 151)
    assert {case["result"] for _, case in BLS + ED25519} == {"valid", "invalid"}


@pytest.mark.parametrize(("key", "case"), BLS, ids=name_of)
def test_bls_vector(key, case):
    assert judge(bls.verify, key, case) == case["result"]


@pytest.mark.parametrize(("key", "case"), BLS, ids=name_of)
def test_bls_vector_as_an_aggregate_of_one(key, case):
    def one(public_key: bytes, message: bytes, signature: bytes) -> None:
        bls.fast_aggregate_verify([public_key], message, signature)
        bls.aggregate_verify([public_key], [message], signature)

    assert judge(one, key, case) == case["result"]


@pytest.mark.parametrize(("key", "case"), ED25519, ids=name_of)
def test_ed25519_vector(key, case):
    assert judge(ed25519.verify, key, case) == case["result"]
