# SPDX-License-Identifier: Apache-2.0
"""Random inspections: drawn again by anybody, heavier for who is trusted less, and never by who announced them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.codec import encode
from chain.errors import InvalidMessage, LedgerError
from chain.types import sha256
from credit.draw import Announcement, announced_key, announcement_digest, draw, verify_announced
from membership.pb import membership_pb2
from sim.instant_ledger import InstantLedger

ANNOUNCED = Announcement((("c1", 1), ("c2", 8), ("c3", 1), ("c4", 4)), ("ann", "bob"), 2, 100)


@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=4), st.integers(1, 8), min_size=1, max_size=12),
    st.binary(min_size=32, max_size=32),
    st.data(),
)
def test_draw_names_each_company_once_and_is_the_same_for_everybody(
    weights: dict[str, int], seed: bytes, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, len(weights)))
    raw = Announcement(tuple(sorted(weights.items())), ("ann", "bob"), count, 7).encode()
    drawn = draw(raw, seed)
    assert drawn == draw(raw, seed)
    assert len({company for company, _ in drawn}) == count
    assert {inspector for _, inspector in drawn} <= {"ann", "bob"}
    assert Announcement.decode(raw).encode() == raw


def test_heavier_company_is_drawn_as_often_as_its_weight_says() -> None:
    raw = Announcement((("heavy", 8), ("light", 2)), ("ann",), 1, 7).encode()
    heavy = sum(draw(raw, sha256(b"%d" % i))[0][0] == "heavy" for i in range(2_000))
    assert 0.76 < heavy / 2_000 < 0.84


def test_another_announcement_or_another_block_draws_otherwise() -> None:
    raw = ANNOUNCED.encode()
    other = Announcement(ANNOUNCED.candidates, ANNOUNCED.inspectors, 2, 101).encode()
    draws = {draw(text, sha256(b"%d" % i)) for text in (raw, other) for i in range(20)}
    assert len(draws) > 10
    assert draw(raw, sha256(b"1")) != draw(other, sha256(b"1")) or draw(raw, sha256(b"2")) != draw(other, sha256(b"2"))


@pytest.mark.parametrize(
    "made",
    [
        Announcement((), ("ann",), 1, 7),
        Announcement((("b", 1), ("a", 1)), ("ann",), 1, 7),
        Announcement((("a", 1), ("a", 2)), ("ann",), 1, 7),
        Announcement((("a", 0),), ("ann",), 1, 7),
        Announcement((("a", 1),), (), 1, 7),
        Announcement((("a", 1),), ("ann",), 2, 7),
        Announcement((("a", 1),), ("ann",), 1, 0),
        Announcement((("a" * 65, 1),), ("ann",), 1, 7),
    ],
    ids=["nobody", "out of order", "twice", "no weight", "no inspector", "too many", "no height", "a long name"],
)
def test_announcement_that_could_be_read_in_two_ways_is_refused(made: Announcement) -> None:
    with pytest.raises(InvalidMessage):
        made.encode()


@given(st.binary(max_size=80))
def test_any_bytes_are_an_announcement_or_refused(raw: bytes) -> None:
    with pytest.raises(InvalidMessage):
        Announcement.decode(raw)


def test_announcement_in_another_spelling_is_refused() -> None:
    with pytest.raises(InvalidMessage):
        Announcement.decode(ANNOUNCED.encode().replace(b":", b": ", 1))


# ---------------------------------------------------------------- the anchor


def anchored(announcement: bytes, *, number: int = 1, keeper: str = "registrar", blocks: int = 1) -> InstantLedger:
    """A ledger on which a service anchored an announcement, so many blocks high."""
    ledger = InstantLedger(("a", "b", "c", "d"))
    record = membership_pb2.AnchorRecord(digest=announcement_digest(announcement), size=number, since_ms=1)
    for _ in range(blocks):
        ledger.append([], {announced_key(keeper): encode(record)})
    return ledger


def checked(announcement: bytes, ledger: InstantLedger, keeper: str = "registrar", number: int = 1) -> str:
    proof = ledger.receipt([], [announced_key(keeper)])
    try:
        verify_announced(announcement, proof, ledger.genesis, keeper, number)
    except LedgerError as error:
        return error.code
    return ""


def test_announcement_that_stood_on_the_ledger_before_its_seed_is_proven() -> None:
    assert checked(ANNOUNCED.encode(), anchored(ANNOUNCED.encode())) == ""


@pytest.mark.parametrize(
    "changed",
    [
        Announcement((("c1", 8), *ANNOUNCED.candidates[1:]), ANNOUNCED.inspectors, 2, 100),
        Announcement(ANNOUNCED.candidates[1:], ANNOUNCED.inspectors, 2, 100),
        Announcement(ANNOUNCED.candidates, ("ann", "eve"), 2, 100),
        Announcement(ANNOUNCED.candidates, ANNOUNCED.inspectors, 1, 100),
        Announcement(ANNOUNCED.candidates, ANNOUNCED.inspectors, 2, 101),
    ],
    ids=["a weight", "a friend left out", "an inspector", "the count", "another block"],
)
def test_announcement_that_was_changed_after_its_seed_was_known_is_found(changed: Announcement) -> None:
    assert checked(changed.encode(), anchored(ANNOUNCED.encode())) == "receipt.altered"


def test_announcement_anchored_once_its_seed_was_known_proves_nothing() -> None:
    early = Announcement(ANNOUNCED.candidates, ANNOUNCED.inspectors, 2, 3)
    assert checked(early.encode(), anchored(early.encode(), blocks=2)) == ""
    assert checked(early.encode(), anchored(early.encode(), blocks=3)) == "receipt.too-old"


def test_announcement_of_another_number_or_of_nobody_proves_nothing() -> None:
    raw = ANNOUNCED.encode()
    assert checked(raw, anchored(raw, number=2)) == "receipt.altered"
    assert checked(raw, anchored(raw, keeper="another")) == "receipt.invalid"
