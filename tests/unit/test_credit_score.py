# SPDX-License-Identifier: Apache-2.0
"""The score: what counts and what does not, its naive twin, what it says of the days to come, scorecards refused."""

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.errors import InvalidMessage
from chain.strict_json import Json, canonical
from credit.score import EVENTS_MAX, Event, Status, events_digest, score
from credit.scorecard import DOCUMENT_BYTES_MAX, Scorecard, parse
from tests.credit_histories import DAY, STATUSES, history, scorecard_document

CARD: dict[str, Json] = {
    "base": 600,
    "min": 0,
    "max": 1_000,
    "grades": [["A", 800], ["B", 650], ["C", 500], ["D", 0]],
    "dimensions": [{"number": 1, "min": -300, "max": 0}, {"number": 2, "min": -50, "max": 120}],
    "open_pledges_max": 20,
    "classes": [
        {
            "class": 101,
            "dimension": 1,
            "points": {"minor": -21, "general": -60, "serious": -151},
            "decay": [[0, 100], [365, 50]],
        },
        {
            "class": 201,
            "dimension": 2,
            "points": {"open": 15, "kept": 40, "broken": -30},
            "decay": [[0, 100]],
        },
        {"class": 301, "dimension": 2, "points": {"none": 70}, "decay": [[0, 100], [1_000, 0]]},
    ],
}


def card(**changes: Json) -> Scorecard:
    return parse(canonical({**CARD, **changes}))


def event(number: int = 101, found: str = "serious", status: Status = "active", age: int = 0, days: int = 0) -> Event:
    return Event(number, found, status, DAY - age, days)


def points_of(*events: Event) -> int:
    return score(events, card(), DAY).points


def naive(events: list[Event], scorecard: Scorecard, day: int) -> tuple[int, list[tuple[int, int]], int]:
    """Points, dimensions and pledges, as docs/credit.md says it."""
    document = json.loads(scorecard.document)
    rules = {rule["class"]: rule for rule in document["classes"]}
    sums = {dimension["number"]: 0 for dimension in document["dimensions"]}
    pledged = 0
    for one in events:
        if one.number not in rules or one.status in {"disputed", "repaired", "expired", "withdrawn"}:
            continue
        rule = rules[one.number]
        found = one.status if one.status in {"open", "kept", "broken"} else one.found
        age = day - one.document_day
        if age < 0 or (one.published_days_max and age > one.published_days_max):
            continue
        percent = [share for days, share in rule["decay"] if days <= age][-1]
        points = int(rule["points"].get(found, 0) * percent / 100)  # towards zero; small enough for floats to be exact
        if found == "open":
            pledged += points
        else:
            sums[rule["dimension"]] += points
    pledged = min(pledged, document["open_pledges_max"])
    bounds = {dimension["number"]: dimension for dimension in document["dimensions"]}
    clamped = [(n, max(bounds[n]["min"], min(points, bounds[n]["max"]))) for n, points in sums.items()]
    total = document["base"] + pledged + sum(points for _, points in clamped)
    return max(document["min"], min(total, document["max"])), clamped, pledged


@pytest.mark.parametrize(
    ("circumstance", "events", "points"),
    [
        ("nothing", [], 600),
        ("a serious record", [event()], 449),
        ("half after a year, towards zero", [event(age=365)], 525),
        ("a day before that", [event(age=364)], 449),
        ("on the last day of publication", [event(age=92, days=92)], 449),
        ("on the day after", [event(age=93, days=92)], 600),
        ("dated tomorrow", [event(age=-1)], 600),
        ("disputed", [event(status="disputed")], 600),
        ("repaired", [event(status="repaired")], 600),
        ("expired", [event(status="expired")], 600),
        ("withdrawn", [event(status="withdrawn")], 600),
        ("corrected", [event(found="minor", status="corrected")], 579),
        ("of a class that the scorecard does not know", [event(999)], 600),
        ("found to be what has no points", [event(301, "serious")], 600),
        ("as far down as its dimension goes", [event()] * 3, 300),
        ("a pledge that nobody has checked", [event(201, "none", "open")], 615),
        ("many of those", [event(201, "none", "open")] * 5, 620),
        ("a pledge that was kept", [event(201, "none", "kept")], 640),
        ("a pledge that was broken", [event(201, "none", "broken")], 570),
        ("as far up as its dimension goes", [event(301, "none")] * 3, 720),
    ],
)
def test_events_count_what_the_scorecard_says(circumstance: str, events: list[Event], points: int) -> None:
    assert points_of(*events) == points


def test_result_says_what_took_most_and_what_changes_by_itself() -> None:
    events = [event(), event(found="minor", age=300, days=366), event(301, "none"), event(201, "none", "broken")]
    result = score(events, card(), DAY)
    assert (result.points, result.grade, result.frozen) == (600 - 172 + 40, "D", 0)
    assert result.lost == ((101, 172), (201, 30))
    assert result.next == ((DAY + 65, 600 - 161 + 40, "D"), (DAY + 67, 600 - 151 + 40, "D"), (DAY + 365, 565, "C"))
    assert json.loads(result.raw)["next"] == [list(change) for change in result.next]


@pytest.mark.parametrize("points", [1_000, 800, 799, 650, 649, 500, 499, 0])
def test_grade_begins_with_its_least_points(points: int) -> None:
    expected = "A" if points >= 800 else "B" if points >= 650 else "C" if points >= 500 else "D"
    assert score([], card(base=points), DAY).grade == expected


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(0, 40))
def test_score_equals_its_naive_twin_and_foretells_itself(seed: int, count: int) -> None:
    draw = random.Random(seed)
    scorecard = parse(scorecard_document(draw))
    events = history(draw, count)
    result = score(events, scorecard, DAY)
    assert (result.points, list(result.dimensions), result.pledged) == naive(events, scorecard, DAY)
    before, day = result.points, DAY
    for change_day, points, grade in result.next:
        between = range(day + 1, change_day)
        for quiet in draw.sample(between, min(3, len(between))):
            assert naive(events, scorecard, quiet)[0] == before
        assert naive(events, scorecard, change_day - 1)[0] == before != points
        assert naive(events, scorecard, change_day)[0] == points
        assert score(events, scorecard, change_day).grade == grade
        before, day = points, change_day
    assert score(events, parse(scorecard.document), DAY).raw == result.raw


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), at=st.integers(0, 9))
def test_any_change_of_an_event_changes_what_the_score_names_as_its_input(seed: int, at: int) -> None:
    draw = random.Random(seed)
    events = history(draw, 10)
    digest = events_digest(events)
    one = events[at]
    others = (
        replace(one, number=one.number % 65_535 + 1),
        replace(one, found="none" if one.found != "none" else "open"),
        replace(one, status=STATUSES[(STATUSES.index(one.status) + 1) % len(STATUSES)]),
        replace(one, document_day=one.document_day + 1),
        replace(one, published_days_max=one.published_days_max // 2 + 1 if one.published_days_max != 1 else 0),
    )
    for other in others:
        assert events_digest([*events[:at], other, *events[at + 1 :]]) != digest
    assert events_digest(events[:-1]) != digest
    if events[0] != events[-1]:
        assert events_digest([events[-1], *events[1:-1], events[0]]) != digest


@pytest.mark.parametrize(
    "wrong",
    [
        event(0),
        event(65_536),
        event(found="bad"),
        replace(event(), status="gone"),  # type: ignore[arg-type]  # what no enumeration allows
        replace(event(), document_day=-1),
        replace(event(), document_day=2**31),
        event(days=-1),
        event(days=36_526),
    ],
)
def test_event_out_of_its_bounds_is_refused(wrong: Event) -> None:
    with pytest.raises(InvalidMessage, match=r"events\[1\]"):
        score([event(), wrong], card(), DAY)


def test_day_and_number_of_events_are_bounded() -> None:
    with pytest.raises(InvalidMessage, match="as_of"):
        score([], card(), -1)
    with pytest.raises(InvalidMessage, match="100000"):
        events_digest([event()] * (EVENTS_MAX + 1))


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"base": 1_001}, "base"),
        ({"base": "600"}, "base"),
        ({"base": True}, "base"),
        ({"grades": [["A", 800], ["C", 650], ["B", 500], ["D", 0]]}, "grades"),
        ({"grades": [["A", 800], ["B", 800], ["C", 500], ["D", 0]]}, "grades"),
        ({"grades": [["A", 800], ["B", 650], ["C", 500], ["D", 1]]}, "grades"),
        ({"grades": [["A", 800]]}, "grades"),
        ({"grades": [["A"], ["B"], ["C"], ["D"]]}, "grades"),
        ({"dimensions": []}, "dimension"),
        ({"dimensions": [{"number": 1, "min": 1, "max": 2}]}, "dimensions"),
        ({"dimensions": [{"number": 2, "min": 0, "max": 2}, {"number": 1, "min": 0, "max": 2}]}, "dimensions"),
        ({"open_pledges_max": -1}, "open_pledges_max"),
        ({"classes": {}}, "classes"),
        ({"classes": [{"class": 1}]}, "classes"),
        ({"classes": [{"class": 0, "dimension": 1, "points": {"none": 1}, "decay": [[0, 1]]}]}, "class"),
        ({"classes": [{"class": 1, "dimension": 3, "points": {"none": 1}, "decay": [[0, 1]]}]}, "dimension"),
        ({"classes": [{"class": 1, "dimension": 1, "points": {"bad": 1}, "decay": [[0, 1]]}]}, "points"),
        ({"classes": [{"class": 1, "dimension": 1, "points": {}, "decay": [[0, 1]]}]}, "points"),
        ({"classes": [{"class": 1, "dimension": 1, "points": {"none": 10_001}, "decay": [[0, 1]]}]}, "points"),
        ({"classes": [{"class": 1, "dimension": 1, "points": {"none": 1}, "decay": []}]}, "decay"),
        ({"classes": [{"class": 1, "dimension": 1, "points": {"none": 1}, "decay": [[1, 1]]}]}, "decay"),
        ({"classes": [{"class": 1, "dimension": 1, "points": {"none": 1}, "decay": [[0, 101]]}]}, "decay"),
        ({"classes": [{"class": 1, "dimension": 1, "points": {"none": 1}, "decay": [[0, 1], [0, 1]]}]}, "decay"),
        ({"more": 1}, "scorecard"),
    ],
)
def test_scorecard_is_refused_with_the_field(changes: dict[str, Json], where: str) -> None:
    with pytest.raises(InvalidMessage, match=where):
        card(**changes)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{}",
        b"[]",
        canonical(CARD) + b" ",
        canonical(CARD).replace(b'"base"', b'"b\\u0061se"'),
        canonical(CARD).replace(b"600", b"600.0"),
        canonical(CARD).replace(b'"base":600', b'"base":600,"base":600'),
        b"[" * 9 + b"]" * 9,
        b'{"a":"' + b"a" * DOCUMENT_BYTES_MAX + b'"}',
    ],
)
def test_scorecard_has_one_spelling(document: bytes) -> None:
    with pytest.raises(InvalidMessage):
        parse(document)
