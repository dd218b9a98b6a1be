# SPDX-License-Identifier: Apache-2.0
"""Liveness as a plugged-in method's word: kept as evidence, bound to one act; without it the level is lower."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.errors import InvalidMessage
from chain.types import sha256
from identity.liveness import (
    VALID_MS,
    Evidence,
    InvalidLiveness,
    Provider,
    presence_level,
    proofing_level,
    verify,
)
from identity.pb import identity_pb2 as pb
from identity.registrations import IN_PERSON, LEVEL_MAX

NOW_MS = 1_795_000_000_000
ACT = sha256(b"an act")
METHODS = frozenset({"development/always-1"})


class Development:
    """Finds whatever a test wants; for tests alone."""

    def __init__(self, *, is_live: bool = True, method: str = "development/always-1") -> None:
        self.is_live = is_live
        self.method = method

    def check(self, challenge: bytes) -> Evidence:
        return Evidence(self.method, challenge.hex(), self.is_live, NOW_MS, sha256(b"a picture").hex())


def test_word_of_a_method_counts_for_its_act_and_is_kept_as_evidence() -> None:
    provider: Provider = Development()
    found = provider.check(ACT)
    verify(found, ACT, METHODS, NOW_MS + VALID_MS)
    assert Evidence.decode(found.encode()) == found
    assert found.digest != replace(found, record=sha256(b"another").hex()).digest
    assert b"picture" not in found.encode()


@pytest.mark.parametrize(
    ("provider", "act", "later_ms", "code"),
    [
        (Development(is_live=False), ACT, 0, "identity.liveness-failed"),
        (Development(method="unknown/best-9"), ACT, 0, "identity.liveness-method"),
        (Development(), sha256(b"another act"), 0, "identity.liveness"),
        (Development(), ACT, VALID_MS + 1, "identity.liveness"),
        (Development(), ACT, -1, "identity.liveness"),
    ],
    ids=["photograph-held-up", "method-nobody-evaluated", "replayed-for-another-act", "too-old", "from-the-future"],
)
def test_word_that_does_not_hold_for_this_act_is_refused(provider, act, later_ms, code) -> None:
    with pytest.raises(InvalidLiveness) as refused:
        verify(provider.check(ACT), act, METHODS, NOW_MS + later_ms)
    assert refused.value.code == code


def test_act_at_a_machine_without_liveness_claims_at_most_substantial_whatever_is_registered() -> None:
    evidence = Development().check(ACT)
    assert [presence_level(level, None) for level in ("low", "substantial", "high")] == [
        "low",
        "substantial",
        "substantial",
    ]
    assert [presence_level(level, evidence) for level in ("low", "substantial", "high")] == [
        "low",
        "substantial",
        "high",
    ], "evidence never lifts anybody above their registration"


@pytest.mark.parametrize("method", LEVEL_MAX)
def test_remote_proofing_without_liveness_gives_the_low_level_and_in_person_needs_none(method) -> None:
    without = proofing_level(method, None)
    assert without == (LEVEL_MAX[method] if method in IN_PERSON else pb.ASSURANCE_LEVEL_LOW)
    assert proofing_level(method, Development().check(ACT)) == LEVEL_MAX[method], "never above what the ledger allows"


@given(st.binary(max_size=400))
def test_any_bytes_are_no_evidence_unless_they_are_its_one_encoding(raw: bytes) -> None:
    with pytest.raises(InvalidMessage):
        Evidence.decode(raw)


@pytest.mark.parametrize(
    "change",
    [{"method": "X"}, {"challenge": "00"}, {"record": "zz" * 32}, {"checked_ms": -1}, {"checked_ms": True}],
)
def test_evidence_with_a_member_that_does_not_fit_is_refused(change) -> None:
    raw = replace(Development().check(ACT), **change).encode()
    with pytest.raises(InvalidMessage):
        Evidence.decode(raw)
