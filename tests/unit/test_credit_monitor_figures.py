# SPDX-License-Identifier: Apache-2.0
"""A month's figures: kept and read back whole, and no small group told, nor found by subtraction."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit.api.monitor_figures import (
    AGE,
    REGION,
    SEX,
    Card,
    Figures,
    Reference,
    Scored,
    after,
    before,
    figures_of,
    groups_of,
    is_month,
    told_groups,
)
from credit.monitor import GROUP_MIN, Acts, Standing, psi

BASES = {AGE: "a law", SEX: "a law", REGION: "a law"}
CARD = Card("ab" * 32, 1)
DAY = 20_750  # 2026-10-24


def many(count: int, points: int = 600, grade: str = "B", *groups: tuple[str, str]) -> list[Standing]:
    return [Standing(points, grade, groups) for _ in range(count)]


def figures(scored: Scored, reference: Reference | None = None) -> Figures:
    acts = Acts(granted=3, refused=2, overruled=1, reviewed=2, disputes_decided=4, disputes_upheld=1, disputes_late=2)
    return figures_of("2026-10", DAY, CARD, scored, acts, reference=reference, bases=BASES, is_over=True)


def test_figures_are_read_back_as_they_were_kept() -> None:
    scored = Scored([*many(40, 600, "B", (SEX, "f")), *many(40, 500, "C", (SEX, "m"))], companies=0)
    for reference in (None, Reference.of("2026-09", many(50))):
        made = figures(scored, reference)
        assert Figures.decode(made.encode()) == made
    assert Reference.decode("2026-09", Reference.of("2026-09", many(5)).encode()) == Reference.of("2026-09", many(5))


def test_index_is_against_the_reference_month_and_none_without_one() -> None:
    then, now = [*many(50, 500), *many(50, 700)], [*many(25, 500), *many(75, 700)]
    assert figures(Scored(now)).psi is None
    made = figures(Scored(now), Reference.of("2026-09", then))
    assert made.psi == pytest.approx(psi([50, 50], [25, 75]))
    assert (made.drift, made.reference) == ("act", "2026-09")
    assert made.grades_then == {"A": 0, "B": 100, "C": 0, "D": 0}


def test_figures_of_fewer_than_the_least_number_tell_no_score() -> None:
    made = figures(Scored(many(GROUP_MIN - 1, 600, "B", (SEX, "f"))), Reference.of("2026-09", many(50)))
    assert (made.counted, made.psi, made.grades, made.groups, made.actual) == (None, None, {}, (), ())
    assert made.acts.refused == 2
    assert figures(Scored(many(GROUP_MIN))).counted == GROUP_MIN


def test_few_companies_are_not_told_beside_the_whole() -> None:
    assert figures(Scored(many(100), companies=GROUP_MIN - 1)).companies is None
    assert figures(Scored(many(100), companies=GROUP_MIN)).companies == GROUP_MIN
    assert figures(Scored(many(100), companies=0)).companies == 0


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 70), min_size=1))
def test_what_is_left_out_of_an_attribute_is_nobody_or_at_least_the_least_number(sizes: dict[str, int]) -> None:
    standings = [one for name, size in sizes.items() for one in many(size, 600, "B", (AGE, name))]
    lines = told_groups(standings)
    assert {line.value for line in lines} == set(sizes)
    told = sum(line.count or 0 for line in lines)
    hidden = [line for line in lines if line.count is None]
    assert all(line.count is None or line.count >= GROUP_MIN for line in lines)
    assert all((line.good_share, line.ratio) == (None, None) for line in hidden)
    left = len(standings) - told
    assert left == 0 or left >= GROUP_MIN or told == 0


def test_best_groups_share_is_not_found_from_others_once_it_is_left_out() -> None:
    standings = [*many(31, 700, "A", (AGE, "a")), *many(5, 500, "D", (AGE, "b")), *many(200, 500, "D", (AGE, "c"))]
    lines = {line.value: line for line in told_groups(standings)}
    assert (lines["a"].count, lines["b"].count) == (None, None)
    assert (lines["c"].count, lines["c"].good_share, lines["c"].ratio) == (200, 0.0, None)


@pytest.mark.parametrize(
    ("number", "groups"),
    [
        ("440601199001011234", ("30-44", "m", "local")),
        ("11010519491231002X", ("60+", "f", "elsewhere")),
        ("440601200812311224", ("0-17", "f", "local")),
        ("440601199013011234", ("unknown", "unknown", "unknown")),
        ("E12345678", ("unknown", "unknown", "unknown")),
    ],
)
def test_groups_are_read_from_a_resident_identity_number_alone(number: str, groups: tuple[str, str, str]) -> None:
    assert groups_of(number, DAY, BASES) == tuple(zip((AGE, SEX, REGION), groups, strict=True))


def test_nobody_is_grouped_by_what_no_law_is_named_for() -> None:
    assert groups_of("440601199001011234", DAY, {}) == ()
    assert groups_of("440601199001011234", DAY, {SEX: "a law"}) == ((SEX, "m"),)


def test_months_follow_each_other() -> None:
    assert (before("2026-01"), after("2026-12"), before("2026-11"), after("2026-01")) == (
        "2025-12", "2027-01", "2026-10", "2026-02",
    )  # fmt: skip
    assert [is_month(text) for text in ("2026-10", "2026-13", "2026-1", "../2026", "2026-10\n")] == [
        True, False, False, False, False,
    ]  # fmt: skip
