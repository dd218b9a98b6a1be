# SPDX-License-Identifier: Apache-2.0
"""The score: a pure function of events, a scorecard and a day; the same bytes in Python and TypeScript.

Additive points in integers: each event counts what the scorecard says of its class and of what it was found to be,
decayed in steps by the age of its document; each dimension is kept within its bounds; the sum is added to the base.

- Disputed events are frozen: they count nothing and are shown as such. Repaired, expired, withdrawn ones: nothing.
- A negative event counts no longer than its class may be published.
- Pledges that nobody has checked count together at most what the scorecard allows.
- Percentages round towards zero.

`web/score` is the same function in TypeScript; both are held to one another.  Source: docs/credit.md.
"""

import struct
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace
from typing import Final, Literal, TypeAlias, get_args

from chain.errors import InvalidMessage
from chain.strict_json import Json, canonical
from chain.types import sha256
from credit.scorecard import DAYS_MAX, FOUND, Curve, Scorecard

Status: TypeAlias = Literal[
    "active", "broken", "corrected", "disputed", "expired", "kept", "open", "repaired", "withdrawn"
]
STATUSES: Final[tuple[Status, ...]] = get_args(Status)
LOST_MAX: Final = 4
"""Reasons that a person is told: who reads more reads none."""
NEXT_MAX: Final = 3
EVENTS_MAX: Final = 100_000
DAY_MAX: Final = 2**31 - 1

_COUNTING: Final = frozenset(("active", "corrected", "open", "kept", "broken"))
_PLEDGED: Final = frozenset(("open", "kept", "broken"))
_NEVER: Final = 2**40


@dataclass(frozen=True, slots=True)
class Event:
    """What the score takes from one event.

    Attributes:
        number: Its class.
        found: Its severity, or "none"; of a pledge its status says more.
        status: Where it stands.
        document_day: Date of the document, in days since 1970-01-01.
        published_days_max: How long its class may be published; 0 where it is not negative.
    """

    number: int
    found: str
    status: Status
    document_day: int
    published_days_max: int


@dataclass(frozen=True, slots=True)
class Score:
    """A score and what it was made of.

    Attributes:
        points: The sum, within the scorecard's bounds.
        grade: "A" to "D".
        dimensions: Points by dimension, within their bounds.
        pledged: What unchecked pledges count for.
        frozen: How many events are disputed.
        lost: Classes that took most, with the points they took; at most 4, most first.
        next: Days on which the points change if nothing happens, with points and grade then; at most 3.
        raw: All of it as canonical JSON, with the digests of scorecard and events.
    """

    points: int
    grade: str
    dimensions: tuple[tuple[int, int], ...]
    pledged: int
    frozen: int
    lost: tuple[tuple[int, int], ...]
    next: tuple[tuple[int, int, str], ...]
    raw: bytes


def score(events: Sequence[Event], scorecard: Scorecard, as_of: int) -> Score:
    """Compute a score.

    Args:
        events: A person's or company's, in the order of their log; at most 100,000.
        scorecard: Which one.
        as_of: The day it is for, in days since 1970-01-01.

    Raises:
        InvalidMessage: A field of an event is out of its bounds.
    """
    digest = events_digest(events)
    if not 0 <= as_of <= DAY_MAX:
        raise InvalidMessage(f"as_of: a day from 0 to {DAY_MAX}")
    raw, opened, frozen, lost = dict.fromkeys(scorecard.dimensions, 0), 0, 0, dict[int, int]()
    counting: list[_Counting] = []
    changes: list[tuple[int, int]] = []
    curve_of = scorecard.curve
    for event in events:
        status = event.status
        if status not in _COUNTING:
            frozen += status == "disputed"
            continue
        what = status if status in _PLEDGED else event.found
        curve = curve_of(event.number, what)
        if curve is None:
            continue
        points, until = _worth(event, curve, as_of)
        if what == "open":
            opened += points
        else:
            raw[curve.dimension] += points
        if points < 0:
            lost[event.number] = lost.get(event.number, 0) - points
        if until != _NEVER:
            changes.append((until, len(counting)))
            counting.append(_Counting(event, curve, points, what == "open"))
    bounds = scorecard.dimensions
    dimensions = tuple((n, max(bounds[n][0], min(summed, bounds[n][1]))) for n, summed in raw.items())
    pledged = min(opened, scorecard.open_pledges_max)
    within = sum(summed for _, summed in dimensions)
    points = max(scorecard.least, min(scorecard.base + pledged + within, scorecard.most))
    ahead = _ahead(scorecard, _Sums(raw, opened, within), counting, changes, points)
    worst = sorted(lost.items(), key=lambda item: (-item[1], item[0]))[:LOST_MAX]
    grade = _grade(scorecard, points)
    value: dict[str, Json] = {
        "as_of": as_of,
        "dimensions": [list(pair) for pair in dimensions],
        "events": digest.hex(),
        "frozen": frozen,
        "grade": grade,
        "lost": [list(pair) for pair in worst],
        "next": [list(change) for change in ahead],
        "pledged": pledged,
        "points": points,
        "scorecard": scorecard.digest.hex(),
    }
    return Score(points, grade, dimensions, pledged, frozen, tuple(worst), ahead, canonical(value))


def events_digest(events: Sequence[Event]) -> bytes:
    """SHA-256 over the events in order, 12 bytes each: big-endian class (2), found (1), status (1), day (4), days (4).

    Raises:
        InvalidMessage: There are too many, or a field is out of its bounds.
    """
    if len(events) > EVENTS_MAX:
        raise InvalidMessage(f"at most {EVENTS_MAX} events are scored together")
    parts: list[bytes] = []
    pack, founds, statuses = _EVENT.pack, _FOUND, _STATUS
    for i, event in enumerate(events):
        number, day, days = event.number, event.document_day, event.published_days_max
        found, status = founds.get(event.found), statuses.get(event.status)
        is_bounded = 1 <= number <= 65_535 and 0 <= day <= DAY_MAX and 0 <= days <= DAYS_MAX
        if found is None or status is None or not is_bounded:
            raise InvalidMessage(f"events[{i}]: a field is out of its bounds")
        parts.append(pack(number, found, status, day, days))
    return sha256(b"".join(parts))


_EVENT: Final = struct.Struct(">HBBII")
_FOUND: Final = {name: i for i, name in enumerate(FOUND)}
_STATUS: Final = {name: i for i, name in enumerate(STATUSES)}


@dataclass(slots=True)
class _Counting:
    """An event whose points will be otherwise one day, and what it counts for until then."""

    event: Event
    curve: Curve
    points: int
    is_open: bool


def _worth(event: Event, curve: Curve, day: int) -> tuple[int, int]:
    """What an event counts for on a day, and from which day on that may be otherwise."""
    document = event.document_day
    age = day - document
    if age < 0:
        return 0, document
    published, days = event.published_days_max, curve.days
    if published and age > published:
        return 0, _NEVER
    step = bisect_right(days, age)
    points = curve.points[step - 1]
    if step < len(days):
        until = days[step]
        return points, document + (published + 1 if 0 < published < until else until)
    return points, document + published + 1 if published else _NEVER


@dataclass(slots=True)
class _Sums:
    """Points of all events on one day: by dimension, of open pledges, of all dimensions within their bounds."""

    raw: dict[int, int]
    opened: int
    within: int


def _ahead(
    scorecard: Scorecard, sums: _Sums, counting: Sequence[_Counting], changes: list[tuple[int, int]], points: int
) -> tuple[tuple[int, int, str], ...]:
    """The next days on which the points change by themselves.

    Args:
        scorecard: Which one.
        sums: Of today; they are moved along.
        counting: Events that will count for something else, as of today; they are moved along.
        changes: Days on which they do, with the place of each in `counting`.
        points: Today's.
    """
    raw, opened, within = sums.raw, sums.opened, sums.within
    base, least, most, pledges_max = scorecard.base, scorecard.least, scorecard.most, scorecard.open_pledges_max
    heapify(changes)
    found: list[tuple[int, int, str]] = []
    while changes and len(found) < NEXT_MAX:
        day = changes[0][0]
        while changes and changes[0][0] == day:
            i = changes[0][1]
            one = counting[i]
            worth, until = _worth(one.event, one.curve, day)
            if until == _NEVER:
                heappop(changes)
            else:
                heapreplace(changes, (until, i))
            if worth == one.points:
                continue
            more, one.points = worth - one.points, worth
            if one.is_open:
                opened += more
                continue
            number = one.curve.dimension
            low, high = scorecard.dimensions[number]
            before = raw[number]
            after = raw[number] = before + more
            # only what lies within the dimension's bounds counts
            within += (low if after < low else min(after, high)) - (low if before < low else min(before, high))
        total = max(least, min(base + min(opened, pledges_max) + within, most))
        if total != points:
            points = total
            found.append((day, points, _grade(scorecard, points)))
    return tuple(found)


def _grade(scorecard: Scorecard, points: int) -> str:
    """The best grade that these points give."""
    return next(letter for letter, least in scorecard.grades if points >= least)
