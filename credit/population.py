# SPDX-License-Identifier: Apache-2.0
"""Event histories of a city's people and companies over five years, out of a seed: for demo, tests and benchmarks.

Each member is drawn from the seed and its own number alone, so that any of them can be made again by itself and none is
kept. Records are disputed, corrected, repaired by the rules of `credit.repair`, or expire; pledges are kept or broken.
How careful a member is decides that, and it depends on no group. `slant` plants an unfairness for the monitor to find:
so many more negative records, in percent, for members registered elsewhere.

Source: made up; no figure says anything of a real city.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import chain
from typing import Final, Literal, TypeAlias

from credit.catalogue import PUBLICATION_DAYS
from credit.model import CLASSES, Kind, ModelClass
from credit.pb import credit_pb2 as pb
from credit.repair import Calendar, Severity, repair_of
from credit.score import Event, Status

MemberKind: TypeAlias = Literal["person", "company"]
PEOPLE_MAX: Final = 1_000_000
COMPANIES_MAX: Final = 100_000
FIRST_DAY: Final = (date(2021, 7, 1) - date(1970, 1, 1)).days
"""When the histories begin, in days since 1970-01-01."""
DAYS: Final = 1_826
LAST_DAY: Final = FIRST_DAY + DAYS

_YEAR = 365.25
_EVENTS_A_YEAR: Final = {"person": 0.35, "company": 1.6}
_CALENDAR = Calendar()
_EPOCH = date(1970, 1, 1)
_BY_KIND: Final = {kind: [one for one in CLASSES if one.kind == kind] for kind in {one.kind for one in CLASSES}}
_KIND_SHARES: Final[tuple[tuple[Kind, int], ...]] = (("positive", 25), ("endorsement", 15), ("pledge", 20))
"""Of what is no negative record, in parts; negative ones are drawn by carelessness."""
_DAYS_MAX: Final[dict[str, int]] = {
    "minor": PUBLICATION_DAYS[pb.SEVERITY_MINOR][1],
    "general": PUBLICATION_DAYS[pb.SEVERITY_GENERAL][1],
    "serious": PUBLICATION_DAYS[pb.SEVERITY_SERIOUS][1],
}
_DISPUTED = 0.08
_UPHELD = 0.35
_FULFILLED = 0.8
_ANSWER_DAYS = 15
"""Working days that a source has."""


@dataclass(frozen=True, slots=True)
class Happening:
    """One event and how it went on.

    Attributes:
        number: Its class.
        found: Its severity, or "none"; a pledge: "open".
        document_day: In days since 1970-01-01.
        recorded_day: When it came into the log.
        published_days_max: As in `credit.score.Event`.
        changes: Days and the status from then on, ascending; the first is the day of recording.
    """

    number: int
    found: str
    document_day: int
    recorded_day: int
    published_days_max: int
    changes: tuple[tuple[int, Status], ...]

    def at(self, day: int) -> Event | None:
        """The event as it stood on a day, or None if it was not recorded yet."""
        status: Status | None = None
        for since, became in self.changes:
            if since > day:
                break
            status = became
        if status is None:
            return None
        return Event(self.number, self.found, status, self.document_day, self.published_days_max)


@dataclass(frozen=True, slots=True)
class Member:
    """A person or a company with its history.

    Attributes:
        kind: Which of the two.
        index: Its number among its kind, from 0.
        groups: What a fairness report looks at, as pairs of attribute and value; never part of a score.
        happenings: In the order of recording.
    """

    kind: MemberKind
    index: int
    groups: tuple[tuple[str, str], ...]
    happenings: tuple[Happening, ...]

    def at(self, day: int) -> list[Event]:
        """All events as they stood on a day, in the order of the log."""
        return [event for one in self.happenings if (event := one.at(day)) is not None]


@dataclass(frozen=True, slots=True)
class Population:
    """A city's people and companies; `members` may be walked any number of times.

    Attributes:
        people: How many, at most 1,000,000.
        companies: How many, at most 100,000.
        seed: For everything that is drawn.
        slant: More negative records for those registered elsewhere, in percent; 0: none.
    """

    people: int = 100_000
    companies: int = 10_000
    seed: int = 1
    slant: int = 0

    def __post_init__(self) -> None:
        """Check the sizes.

        Raises:
            ValueError: One is out of its bounds.
        """
        if not 0 <= self.people <= PEOPLE_MAX or not 0 <= self.companies <= COMPANIES_MAX:
            raise ValueError(f"a population has at most {PEOPLE_MAX} people and {COMPANIES_MAX} companies")
        if not 0 <= self.slant <= 1_000:
            raise ValueError("a slant is 0 to 1,000 percent")

    def members(self) -> Iterator[Member]:
        """Everybody: people first, then companies."""
        return chain(
            (self.member("person", i) for i in range(self.people)),
            (self.member("company", i) for i in range(self.companies)),
        )

    def member(self, kind: MemberKind, index: int) -> Member:
        """One of them by number; the same for every size of the population."""
        draw = random.Random(f"{self.seed}/{kind}/{index}")  # noqa: S311 - made-up people, the same each time
        groups = _person_groups(draw) if kind == "person" else _company_groups(draw)
        careless = draw.betavariate(1.2, 6.0)
        bad_rate = careless * (1 + (self.slant / 100 if ("registered", "elsewhere") in groups else 0))
        happenings: list[Happening] = []
        day = float(FIRST_DAY)
        while (day := day + draw.expovariate(_EVENTS_A_YEAR[kind] * (0.4 + bad_rate) / _YEAR)) < LAST_DAY:
            happenings.append(_happening(draw, int(day), careless, is_bad=draw.random() < bad_rate / (0.4 + bad_rate)))
        happenings.sort(key=lambda one: one.recorded_day)
        return Member(kind, index, groups, tuple(happenings))


def _person_groups(draw: random.Random) -> tuple[tuple[str, str], ...]:
    return (
        ("age", draw.choices(("18-29", "30-44", "45-59", "60+"), (22, 31, 27, 20))[0]),
        ("sex", draw.choice(("f", "m"))),
        ("registered", draw.choices(("local", "elsewhere"), (55, 45))[0]),
    )


def _company_groups(draw: random.Random) -> tuple[tuple[str, str], ...]:
    return (
        ("size", draw.choices(("micro", "small", "medium", "large"), (60, 28, 9, 3))[0]),
        ("sector", draw.choice(("building", "catering", "ceramics", "food", "services", "trade"))),
    )


def _happening(draw: random.Random, day: int, careless: float, *, is_bad: bool) -> Happening:
    """One event whose document is of that day, with what became of it."""
    if is_bad:
        return _negative(draw, draw.choice(_BY_KIND["negative"]), day, careless)
    kind = draw.choices([kind for kind, _ in _KIND_SHARES], [share for _, share in _KIND_SHARES])[0]
    number = draw.choice(_BY_KIND[kind]).number
    recorded = day + draw.randint(0, 20)
    if kind != "pledge":
        return Happening(number, "none", day, recorded, 0, ((recorded, "active"),))
    checked = recorded + draw.randint(30, 365)
    became: Status = "broken" if draw.random() < careless else "kept"
    return Happening(number, "open", day, recorded, 0, ((recorded, "open"), (checked, became)))


def _negative(draw: random.Random, one: ModelClass, day: int, careless: float) -> Happening:
    """A negative record: perhaps disputed, then repaired or expired by the rules."""
    severities: list[Severity] = [s for s in ("minor", "general", "serious") if s in dict(one.points)]
    shares = {"minor": 60, "general": 30, "serious": 10}
    severity = draw.choices(severities, [shares[s] for s in severities])[0]
    recorded = day + draw.randint(0, 20)
    changes: list[tuple[int, Status]] = [(recorded, "active")]
    settled = recorded
    if draw.random() < _DISPUTED:
        objected = recorded + draw.randint(3, 30)
        settled = _day(_CALENDAR.after(_date(objected), draw.randint(1, _ANSWER_DAYS)))
        changes.append((objected, "disputed"))
        if draw.random() < _UPHELD:
            changes.append((settled, "withdrawn"))
            return Happening(one.number, severity, day, recorded, _DAYS_MAX[severity], tuple(changes))
        changes.append((settled, "active"))
    changes.append(_end(draw, severity, day, settled, careless))
    return Happening(one.number, severity, day, recorded, _DAYS_MAX[severity], tuple(changes))


def _end(draw: random.Random, severity: Severity, day: int, settled: int, careless: float) -> tuple[int, Status]:
    """When a standing record ends, and how: repaired as soon as the rules and its subject allow, else expired."""
    ends = max(_day(repair_of(severity, _date(day), _date(day)).ends), settled + 1)
    if draw.random() >= _FULFILLED * (1 - careless):
        return ends, "expired"
    fulfilled = _date(day + 1 + int(draw.expovariate(1 / 60)))
    pledged = fulfilled + timedelta(days=draw.randint(0, 30))
    from_day = repair_of(severity, _date(day), _date(day), fulfilled=fulfilled, pledged=pledged).from_day
    assert from_day is not None, "both conditions are given"
    repaired = max(_day(from_day), settled) + draw.randint(1, 40)
    return (repaired, "repaired") if repaired < ends else (ends, "expired")


def _date(day: int) -> date:
    return _EPOCH + timedelta(days=day)


def _day(day: date) -> int:
    return (day - _EPOCH).days
