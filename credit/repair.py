# SPDX-License-Identifier: Apache-2.0
"""When a negative record may be repaired, and when its publication ends by itself; and clocks in working days.

Pure functions of calendar dates: months are calendar months, counted from the date of the document that found the fact,
and a day that a month does not have is its last one. Repair takes three things: the shortest publication is over, the
duty is fulfilled, and a pledge is made (信用承诺); a minor record is repaired as soon as its duty is fulfilled.

Source: 信用修复管理办法 (NDRC order 36 of 2025, in force 2026-04-01), as docs/credit.md reads it.
"""

from calendar import monthrange
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

Severity: TypeAlias = Literal["minor", "general", "serious"]
Condition: TypeAlias = Literal["duty", "pledge", "time"]

PUBLICATION_MONTHS: Final = MappingProxyType({"minor": (0, 3), "general": (3, 12), "serious": (12, 36)})
"""Shortest and longest publication by severity, in months."""
WORKING_DAYS_MAX: Final = 366
"""No clock of a dispute runs longer."""


@dataclass(frozen=True, slots=True)
class Repair:
    """Where a record stands on its way out.

    Attributes:
        ends: The first day on which it is published no longer, whatever was done.
        from_day: The first day on which repair may be asked for; None: something is not done yet.
        missing: What still stands in the way on the day asked about, in a fixed order.
        is_over: Publication has ended by itself; there is nothing to repair.
    """

    ends: date
    from_day: date | None
    missing: tuple[Condition, ...]
    is_over: bool

    @property
    def may_be_asked_for(self) -> bool:
        """Whether repair may be asked for on that day."""
        return not self.is_over and not self.missing


@dataclass(frozen=True, slots=True)
class Calendar:
    """Which days are worked: weekdays without holidays, and the days that are worked in their place (调休).

    Attributes:
        holidays: Weekdays that are not worked.
        worked: Saturdays and Sundays that are.
    """

    holidays: frozenset[date] = frozenset()
    worked: frozenset[date] = frozenset()

    @classmethod
    def of(cls, holidays: Collection[date], worked: Collection[date]) -> "Calendar":
        """A calendar as the State Council announces it for a year."""
        return cls(frozenset(holidays), frozenset(worked))

    def is_worked(self, day: date) -> bool:
        """Whether people work on a day."""
        return day in self.worked if day.weekday() >= 5 else day not in self.holidays

    def after(self, start: date, days: int) -> date:
        """The last day of a period of working days that begins on the day after `start`.

        Args:
            start: The day of what sets the clock, which does not count.
            days: 1 to 366.
        """
        assert 1 <= days <= WORKING_DAYS_MAX, "callers name a period of the rules"
        day = start
        while days:
            day += timedelta(days=1)
            days -= self.is_worked(day)
        return day


def repair_of(
    severity: Severity, document: date, on: date, *, fulfilled: date | None = None, pledged: date | None = None
) -> Repair:
    """Where a record stands on a day.

    Args:
        severity: What it was found to be.
        document: Date of the document.
        on: The day asked about.
        fulfilled: When the duty was fulfilled (paid, corrected, made good); None: not yet.
        pledged: When the pledge was made; None: not yet. A minor record needs none.
    """
    shortest, longest = PUBLICATION_MONTHS[severity]
    opens, ends = add_months(document, shortest), add_months(document, longest)
    needed = [fulfilled] if severity == "minor" else [fulfilled, pledged]
    missing: list[Condition] = []
    if fulfilled is None or fulfilled > on:
        missing.append("duty")
    if severity != "minor" and (pledged is None or pledged > on):
        missing.append("pledge")
    if on < opens:
        missing.append("time")
    done = [day for day in needed if day is not None]
    from_day = max(opens, *done) if len(done) == len(needed) else None
    return Repair(ends, from_day, tuple(missing), on >= ends)


def add_months(day: date, months: int) -> date:
    """The same day so many months later, or the last day of that month if it has none of that number."""
    years, month = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, month + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))
