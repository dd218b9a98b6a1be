# SPDX-License-Identifier: Apache-2.0
"""A month's figures of the score: made from scores and counts, kept as JSON, and suppressed where few could be told.

No figure is of fewer than `GROUP_MIN` members, and where one group of an attribute is left out for that, the next
smallest is left out with it, as long as what is missing could be found by subtraction.  Source: credit.monitor.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, Final

from credit.api.base import day_of
from credit.monitor import GROUP_MIN, Acts, Drift, GroupLine, Standing, fairness, monthly
from credit.scorecard import GRADES

AGE, SEX, REGION = "age", "sex", "region"
ATTRIBUTES: Final = (AGE, SEX, REGION)
"""What the store can tell of a natural person, and only from the number of a resident identity card."""
UNKNOWN: Final = "unknown"
LOCAL_PREFIX: Final = "4406"
"""Foshan: the first four digits of numbers that were first registered there (GB/T 2260)."""
_BANDS: Final = ((18, "0-17"), (30, "18-29"), (45, "30-44"), (60, "45-59"))
_RESIDENT: Final = re.compile(r"[1-9]\d{16}[\dXx]")
_MONTH: Final = re.compile(r"(2\d{3})-(0[1-9]|1[0-2])")


@dataclass(slots=True)
class Scored:
    """Everybody who was scored: what the figures are made of; it is thrown away afterwards.

    Attributes:
        standings: Points, grade and groups of each.
        companies: How many of them are legal persons.
    """

    standings: list[Standing] = field(default_factory=list)
    companies: int = 0
    _known: dict[Standing, Standing] = field(default_factory=dict, repr=False)

    def add(self, standing: Standing) -> None:
        """Take one in. Equal ones are kept once, so that a million take ten megabytes."""
        self.standings.append(self._known.setdefault(standing, standing))


@dataclass(frozen=True, slots=True)
class Figures:
    """A month.

    Attributes:
        month: "2026-10".
        as_of_day: The day whose scores these are, in days since 1970-01-01.
        is_over: Whether the month was; else the figures so far.
        scorecard: Digest of the scorecard, in hex.
        version: Of the scorecard.
        counted: Who was scored; None: fewer than 30, and no figure of scores is told.
        companies: How many of them are legal persons; None likewise, or one of both is smaller than that.
        reference: Month with which it is compared; "": there is none yet.
        psi: Population stability index against that month; None: nothing to compare with.
        drift: What it means; None likewise.
        edges: Points that begin the second and each further tenth.
        expected: Members of each tenth in the reference month.
        actual: Members of each tenth now.
        grades_then: By letter, in the reference month.
        grades: By letter, now.
        groups: The fairness report.
        bases: Legal basis by attribute compared.
        acts: What was decided and disputed in the month.
    """

    month: str
    as_of_day: int
    is_over: bool
    scorecard: str
    version: int
    counted: int | None
    companies: int | None
    reference: str
    psi: float | None
    drift: Drift | None
    edges: tuple[int, ...]
    expected: tuple[int, ...]
    actual: tuple[int, ...]
    grades_then: Mapping[str, int]
    grades: Mapping[str, int]
    groups: tuple[GroupLine, ...]
    bases: Mapping[str, str]
    acts: Acts

    @property
    def override_rate(self) -> float | None:
        """Of refusals and burdens that a person reviewed, how many were changed; None: none was reviewed."""
        return self.acts.overruled / self.acts.reviewed if self.acts.reviewed else None

    @property
    def upheld_rate(self) -> float | None:
        """Of objections that were answered, how many were right; None: none was answered."""
        return self.acts.disputes_upheld / self.acts.disputes_decided if self.acts.disputes_decided else None

    @property
    def late_rate(self) -> float | None:
        """Of objections that were answered, how many after the clock; None: none was answered."""
        return self.acts.disputes_late / self.acts.disputes_decided if self.acts.disputes_decided else None

    def encode(self) -> bytes:
        """As it is kept."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def decode(cls, raw: bytes) -> "Figures":
        """What `encode` wrote."""
        found: dict[str, Any] = json.loads(raw)
        for name in ("edges", "expected", "actual"):
            found[name] = tuple(found[name])
        found["groups"] = tuple(GroupLine(**line) for line in found["groups"])
        found["acts"] = Acts(**found["acts"])
        return cls(**found)


@dataclass(frozen=True, slots=True)
class Reference:
    """With whom a scorecard's months are compared: members by points and by grade, of one month."""

    month: str
    points: tuple[tuple[int, int], ...]
    grades: Mapping[str, int]

    @classmethod
    def of(cls, month: str, standings: Sequence[Standing]) -> "Reference":
        """What later months are compared with."""
        grades = Counter(one.grade for one in standings)
        by_points = tuple(sorted(Counter(one.points for one in standings).items()))
        return cls(month, by_points, {letter: grades[letter] for letter in GRADES})

    def encode(self) -> bytes:
        """As it is kept, without its month."""
        return json.dumps([self.points, self.grades]).encode()

    @classmethod
    def decode(cls, month: str, raw: bytes) -> "Reference":
        """What `encode` wrote."""
        points, grades = json.loads(raw)
        return cls(month, tuple((value, count) for value, count in points), grades)

    def values(self) -> list[int]:
        """The points of each member."""
        return [value for value, count in self.points for _ in range(count)]


@dataclass(frozen=True, slots=True)
class Card:
    """Which scorecard scored: digest in hex, and version."""

    digest: str
    version: int


def figures_of(
    month: str,
    day: int,
    card: Card,
    scored: Scored,
    acts: Acts,
    *,
    reference: Reference | None,
    bases: Mapping[str, str],
    is_over: bool,
) -> Figures:
    """A month's figures, with what few could be recognised in left out.

    Args:
        month: "2026-10".
        day: Whose scores these are, in days since 1970-01-01.
        card: By which they were scored.
        scored: Everybody.
        acts: What was decided and disputed in the month.
        reference: What to compare with; None: nothing yet.
        bases: Legal basis by attribute compared.
        is_over: Whether the month is.
    """
    standings = scored.standings
    people = len(standings) - scored.companies
    if len(standings) < GROUP_MIN:
        return Figures(
            month, day, is_over, card.digest, card.version, None, None, "", None, None,
            (), (), (), {}, {}, (), bases, acts,
        )  # fmt: skip
    both_told = min(people, scored.companies) >= GROUP_MIN or min(people, scored.companies) == 0
    then = reference or Reference.of("", standings)
    made = monthly(month, card.digest, then.values(), standings, acts)
    return Figures(
        month=month,
        as_of_day=day,
        is_over=is_over,
        scorecard=card.digest,
        version=card.version,
        counted=len(standings),
        companies=scored.companies if both_told else None,
        reference=then.month,
        psi=None if reference is None else made.psi,
        drift=None if reference is None else made.drift,
        edges=made.edges,
        expected=made.expected if reference else (),
        actual=made.actual,
        grades_then={} if reference is None else reference.grades,
        grades=made.grades,
        groups=told_groups(standings),
        bases=bases,
        acts=acts,
    )


def told_groups(standings: Sequence[Standing]) -> tuple[GroupLine, ...]:
    """The fairness report, in which nobody finds a suppressed group by subtracting the others from the whole."""
    members = Counter(group for one in standings for group in one.groups)
    lines = {(line.attribute, line.value): line for line in fairness(standings)}
    for attribute in {attribute for attribute, _ in lines}:
        own = sorted((key for key in lines if key[0] == attribute), key=lambda key: (members[key], key))
        hidden = [key for key in own if lines[key].count is None]
        shown = [key for key in own if lines[key].count is not None]
        while hidden and shown and sum(members[key] for key in hidden) < GROUP_MIN:
            hidden.append(shown.pop(0))
        best = max((lines[key].good_share or 0.0 for key in shown), default=0.0)
        for key in hidden:
            lines[key] = GroupLine(*key, None, None, None)
        for key in shown:
            share = lines[key].good_share
            assert share is not None, "it is told"
            lines[key] = GroupLine(*key, members[key], share, share / best if best else None)
    return tuple(line for _, line in sorted(lines.items()))


def groups_of(number: str, day: int, attributes: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The groups of a natural person, of attributes that may be compared; from a resident identity number alone.

    Args:
        number: Of the identity document.
        day: On which age is counted, in days since 1970-01-01.
        attributes: Those that may be compared, with their legal basis.
    """
    if not attributes:
        return ()
    born = _born(number)
    found = {AGE: UNKNOWN, SEX: UNKNOWN, REGION: UNKNOWN}
    if born is not None:
        years = _years(born, day)
        found[AGE] = next((name for below, name in _BANDS if years < below), "60+")
        found[SEX] = "m" if int(number[16]) % 2 else "f"
        found[REGION] = "local" if number.startswith(LOCAL_PREFIX) else "elsewhere"
    return tuple((attribute, found[attribute]) for attribute in ATTRIBUTES if attribute in attributes)


def _born(number: str) -> date | None:
    if _RESIDENT.fullmatch(number) is None:
        return None
    try:
        return date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return None


def _years(born: date, day: int) -> int:
    return max(0, int((day - day_of(born)) / 365.2425))


def is_month(text: str) -> bool:
    """Whether a text names a month."""
    return _MONTH.fullmatch(text) is not None


def month_of(day: date) -> str:
    """The month of a day, as "2026-10"."""
    return f"{day.year}-{day.month:02}"


def first_day(month: str) -> date:
    """A month's first day."""
    return date(int(month[:4]), int(month[5:]), 1)


def after(month: str) -> str:
    """The next month."""
    year, number = int(month[:4]), int(month[5:])
    return f"{year + number // 12}-{number % 12 + 1:02}"


def before(month: str) -> str:
    """The month before."""
    year, number = int(month[:4]), int(month[5:])
    return f"{year - (number == 1)}-{(number - 2) % 12 + 1:02}"
