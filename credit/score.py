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
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Final, Literal, TypeAlias, get_args

from chain.errors import InvalidMessage
from chain.strict_json import Json, canonical
from chain.types import sha256
from credit.scorecard import DAYS_MAX, FOUND, ClassRule, Scorecard

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


class _Sums:
    """Points of all events on one day, kept as events change; the sum of what is within bounds is kept beside."""

    def __init__(self, scorecard: Scorecard, raw: dict[int, int], opened: int) -> None:
        self._card = scorecard
        self._raw = raw
        self._open = opened
        self._within = sum(points for _, points in self.dimensions())

    def shift(self, rule: ClassRule, *, is_open: bool, points: int) -> None:
        """One event counts so much more than it did."""
        if is_open:
            self._open += points
            return
        number = rule.dimension
        least, most = self._card.dimensions[number]
        before = self._raw[number]
        after = self._raw[number] = before + points
        self._within += max(least, min(after, most)) - max(least, min(before, most))

    @property
    def pledged(self) -> int:
        return min(self._open, self._card.open_pledges_max)

    def dimensions(self) -> tuple[tuple[int, int], ...]:
        bounds = self._card.dimensions
        return tuple((n, max(bounds[n][0], min(points, bounds[n][1]))) for n, points in self._raw.items())

    def total(self) -> int:
        card = self._card
        return max(card.least, min(card.base + self.pledged + self._within, card.most))


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
    raw, opened, lost = dict.fromkeys(scorecard.dimensions, 0), 0, dict[int, int]()
    counting: list[tuple[Event, ClassRule, str]] = []
    changes: list[tuple[int, int]] = []
    now: list[int] = []
    for event in events:
        rule = scorecard.classes.get(event.number)
        if rule is None or event.status not in _COUNTING:
            continue
        found = event.status if event.status in _PLEDGED else event.found
        points, until = _worth(event, rule, found, as_of)
        if found == "open":
            opened += points
        else:
            raw[rule.dimension] += points
        if points < 0:
            lost[event.number] = lost.get(event.number, 0) - points
        if until != _NEVER:
            changes.append((until, len(counting)))
        counting.append((event, rule, found))
        now.append(points)
    sums = _Sums(scorecard, raw, opened)
    points, dimensions, pledged = sums.total(), sums.dimensions(), sums.pledged
    ahead = _ahead(sums, scorecard, counting, now, changes, points)
    worst = sorted(lost.items(), key=lambda item: (-item[1], item[0]))[:LOST_MAX]
    frozen = sum(event.status == "disputed" for event in events)
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
    raw = bytearray()
    for i, event in enumerate(events):
        if (
            not 1 <= event.number <= 65_535
            or event.found not in _FOUND
            or event.status not in _STATUS
            or not 0 <= event.document_day <= DAY_MAX
            or not 0 <= event.published_days_max <= DAYS_MAX
        ):
            raise InvalidMessage(f"events[{i}]: a field is out of its bounds")
        raw += _EVENT.pack(
            event.number,
            _FOUND[event.found],
            _STATUS[event.status],
            event.document_day,
            event.published_days_max,
        )
    return sha256(bytes(raw))


_EVENT: Final = struct.Struct(">HBBII")
_FOUND: Final = {name: i for i, name in enumerate(FOUND)}
_STATUS: Final = {name: i for i, name in enumerate(STATUSES)}


def _worth(event: Event, rule: ClassRule, found: str, day: int) -> tuple[int, int]:
    """What an event counts for on a day, and from which day on that may be otherwise."""
    full = rule.points.get(found, 0)
    if not full:
        return 0, _NEVER
    age = day - event.document_day
    if age < 0:
        return 0, event.document_day
    ends = event.published_days_max + 1 if event.published_days_max else _NEVER
    if age >= ends:
        return 0, _NEVER
    percent, until = 0, ends
    for days, share in rule.decay:
        if days > age:
            until = min(days, ends)
            break
        percent = share
    points = abs(full) * percent // 100
    return points if full > 0 else -points, event.document_day + until if until != _NEVER else _NEVER


def _ahead(
    sums: _Sums,
    scorecard: Scorecard,
    counting: Sequence[tuple[Event, ClassRule, str]],
    now: list[int],
    changes: list[tuple[int, int]],
    points: int,
) -> tuple[tuple[int, int, str], ...]:
    """The next days on which the points change by themselves. Leaves `sums` as of the last of them."""
    heapify(changes)
    found: list[tuple[int, int, str]] = []
    while changes and len(found) < NEXT_MAX:
        day = changes[0][0]
        while changes and changes[0][0] == day:
            _, i = heappop(changes)
            event, rule, what = counting[i]
            worth, until = _worth(event, rule, what, day)
            if worth != now[i]:
                sums.shift(rule, is_open=what == "open", points=worth - now[i])
                now[i] = worth
            if until != _NEVER:
                heappush(changes, (until, i))
        total = sums.total()
        if total != points:
            points = total
            found.append((day, points, _grade(scorecard, points)))
    return tuple(found)


def _grade(scorecard: Scorecard, points: int) -> str:
    """The best grade that these points give."""
    return next(letter for letter, least in scorecard.grades if points >= least)
