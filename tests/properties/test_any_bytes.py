# SPDX-License-Identifier: Apache-2.0
"""Any bytes at any decoder: a refusal with a code and a reason, or a value whose encoding is those bytes.

`tests/fuzz` searches the same targets with coverage guidance and for longer; what it finds is replayed here for good.
"""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.target import Target, accepts
from tests.fuzz.targets import TARGETS

FOUND = Path(__file__).resolve().parents[1] / "fuzz" / "found"
EXAMPLES = 200
targets = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
bounded = settings(max_examples=EXAMPLES, deadline=5_000, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def mutated(draw: st.DrawFn, target: Target) -> bytes:
    """A valid input with a few bytes changed, inserted, dropped or doubled; sometimes made well-formed again."""
    data = bytearray(draw(st.sampled_from(target.samples())))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["change", "insert", "drop", "double", "cut"])):
            case "change":
                data[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=9))
            case "drop":
                del data[at : at + draw(st.integers(1, 40))]
            case "double":
                data[at:at] = data[max(0, at - draw(st.integers(1, 40))) : at]
            case "cut":
                del data[at:]
    return target.repair(bytes(data)) if draw(st.booleans()) else bytes(data)


@targets
def test_samples_are_accepted_or_refused_for_their_content_alone(target: Target) -> None:
    samples = target.samples()
    assert samples
    for sample in samples:
        accepts(target, sample)
        assert target.repair(sample) == sample


@pytest.mark.parametrize(
    "name", [name for name in TARGETS if not name.startswith(("log-", "webauthn"))], ids=lambda name: name
)
def test_samples_of_decoders_are_accepted(name: str) -> None:
    for sample in TARGETS[name].samples():
        assert accepts(TARGETS[name], sample)


@targets
def test_any_bytes_are_refused_or_are_their_own_encoding(target: Target) -> None:
    @bounded
    @given(st.binary(max_size=600))
    def check(data: bytes) -> None:
        accepts(target, data)

    check()


@targets
def test_mutated_valid_bytes_are_refused_or_are_their_own_encoding(target: Target) -> None:
    @bounded
    @given(mutated(target))
    def check(data: bytes) -> None:
        accepts(target, data)

    check()


@targets
def test_input_beyond_any_limit_is_refused(target: Target) -> None:
    assert not accepts(target, b"\x0a" * 20_000_000)


def test_inputs_that_once_broke_a_decoder_do_not_any_more() -> None:
    for path in sorted(FOUND.glob("*/*")):
        accepts(TARGETS[path.parent.name], path.read_bytes())
