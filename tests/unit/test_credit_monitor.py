# SPDX-License-Identifier: Apache-2.0
"""The monitor's figures against figures worked out by hand, and against made-up cities with a planted fault."""

from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit.model import scorecard
from credit.monitor import (
    GROUP_MIN,
    Acts,
    Standing,
    counts,
    drift_of,
    fairness,
    monotone_edges,
    monthly,
    psi,
    tenths,
    weigh,
)
from credit.population import LAST_DAY, Member, Population
from credit.score import score


def standing(member: Member, day: int) -> Standing:
    found = score(member.at(day), scorecard(), day)
    return Standing(found.points, found.grade, member.groups)


def city(*, slant: int = 0, people: int = 1_200, day: int = LAST_DAY) -> list[Standing]:
    return [standing(member, day) for member in Population(people, 0, seed=11, slant=slant).members()]


def test_index_of_two_bins_is_the_one_worked_out_by_hand() -> None:
    by_hand = (0.4 - 0.5) * log(0.4 / 0.5) + (0.6 - 0.5) * log(0.6 / 0.5)
    assert psi([50, 50], [40, 60]) == pytest.approx(by_hand)


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=2, max_size=12))
def test_index_is_never_negative_and_the_same_both_ways(bins: list[tuple[int, int]]) -> None:
    then, now = [a + 1 for a, _ in bins], [b + 1 for _, b in bins]
    assert psi(then, now) >= 0
    assert psi(then, now) == pytest.approx(psi(now, then))
    assert psi(then, [a * 3 for a in then]) == pytest.approx(0)


def test_index_stays_finite_where_a_bin_is_empty() -> None:
    assert 0.25 < psi([50, 50, 0], [20, 50, 30]) < 5


@pytest.mark.parametrize(("then", "now"), [([1], [1, 2]), ([0, 0], [1, 1]), ([1, 1], [0, 0])])
def test_distributions_that_can_not_be_compared_are_refused(then: list[int], now: list[int]) -> None:
    with pytest.raises(ValueError, match="both distributions"):
        psi(then, now)


@pytest.mark.parametrize(
    ("index", "meaning"), [(0.0999, "stable"), (0.1, "watch"), (0.2499, "watch"), (0.25, "act"), (3.0, "act")]
)
def test_index_means_what_its_thresholds_say(index: float, meaning: str) -> None:
    assert drift_of(index) == meaning


def test_tenths_hold_a_tenth_each_and_repeated_points_share_a_bin() -> None:
    assert counts(range(100), tenths(range(100))) == (10,) * 10
    assert tenths([600] * 95 + [700] * 5) == ()
    assert counts([599, 600, 601], (600,)) == (1, 2)


def test_city_compared_with_itself_is_stable_and_after_a_shift_is_not() -> None:
    people = city()
    reference = [one.points for one in people]
    same = monthly("2026-06", "00", reference, people, Acts())
    assert same.psi == pytest.approx(0)
    assert same.drift == "stable"
    assert sum(same.actual) == sum(same.grades.values()) == same.counted == len(people)
    worse = [Standing(one.points - 60, one.grade, one.groups) for one in people]
    assert monthly("2026-07", "00", reference, worse, Acts()).drift == "act"


def test_planted_unfairness_is_found_and_a_fair_city_is_not_accused() -> None:
    assert [line for line in fairness(city()) if line.is_conspicuous] == []
    found = [line for line in fairness(city(slant=900)) if line.is_conspicuous]
    assert [(line.attribute, line.value) for line in found] == [("registered", "elsewhere")]


def test_group_too_small_to_hide_in_is_not_told() -> None:
    few = [Standing(700, "A", (("age", "60+"),))] * (GROUP_MIN - 1)
    many = [Standing(500, "C", (("age", "18-29"),))] * GROUP_MIN
    lines = {line.value: line for line in fairness(few + many)}
    assert lines["60+"].count is lines["60+"].good_share is lines["60+"].ratio is None
    assert (lines["18-29"].count, lines["18-29"].good_share, lines["18-29"].ratio) == (GROUP_MIN, 0.0, None)


def test_rates_are_told_of_what_was_reviewed_and_decided() -> None:
    acts = Acts(granted=8, refused=4, reviewed=4, overruled=1, disputes_decided=10, disputes_upheld=3, disputes_late=2)
    report = monthly("2026-06", "00", [600], city(people=40), acts)
    assert (report.override_rate, report.upheld_rate) == (0.25, 0.3)
    nothing = monthly("2026-06", "00", [600], city(people=40), Acts())
    assert nothing.override_rate is nothing.upheld_rate is None


@pytest.mark.parametrize(
    "wrong", [{"overruled": 1}, {"disputes_upheld": 2, "disputes_decided": 1}, {"disputes_late": 1}, {"granted": -1}]
)
def test_counts_that_exceed_what_they_are_of_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Acts(**wrong)


def test_weight_of_a_bin_is_the_one_worked_out_by_hand() -> None:
    lines = weigh([1, 1, 1, 5, 5, 5], [False, False, True, False, True, True], [3])
    assert [(line.good, line.bad) for line in lines] == [(2, 1), (1, 2)]
    assert lines[0].woe == pytest.approx(log((2 / 3) / (1 / 3)))
    assert sum(line.iv for line in lines) == pytest.approx(2 * (2 / 3 - 1 / 3) * log(2))


@pytest.mark.parametrize(
    ("values", "bad", "edges"), [([1], [True, False], []), ([1, 2], [True, False], [2, 2]), ([1, 2], [True, True], [2])]
)
def test_attribute_that_can_not_be_weighed_is_refused(values: list[float], bad: list[bool], edges: list[float]) -> None:
    with pytest.raises(ValueError, match="outcome"):
        weigh(values, bad, edges)


@given(st.lists(st.tuples(st.integers(0, 60), st.booleans()), min_size=40, max_size=200))
def test_joined_bins_follow_one_trend_and_none_is_too_small(members: list[tuple[int, bool]]) -> None:
    values, bad = [float(value) for value, _ in members], [outcome for _, outcome in members]
    if len(set(bad)) < 2:
        return
    edges = monotone_edges(values, bad)
    lines = weigh(values, bad, edges)
    rates = [line.bad / (line.good + line.bad) for line in lines]
    assert rates in (sorted(rates), sorted(rates, reverse=True))
    assert all(line.good + line.bad >= 0.05 * len(values) for line in lines)
