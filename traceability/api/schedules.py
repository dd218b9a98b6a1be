# SPDX-License-Identifier: Apache-2.0
"""When a scheduled subscription is due: fields as in EPCIS, each a list of numbers and ranges, or `*`; in UTC.

Pure.  Source: EPCIS 2.0, 8.2.5.3 (QuerySchedule): Monday is 1, Sunday 7.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from traceability.epcis_json import InvalidDocument, Problem, pointer

_BOUNDS: Final[Mapping[str, tuple[int, int]]] = {
    "second": (0, 59),
    "minute": (0, 59),
    "hour": (0, 23),
    "dayOfMonth": (1, 31),
    "month": (1, 12),
    "dayOfWeek": (1, 7),
}
_PART = re.compile(r"\[?([0-9]{1,2})(?:-([0-9]{1,2}))?\]?")
_DAYS_MAX: Final = 1_462
"""The 29th of February comes within four years, or eight where a century has none; later is never."""


SCHEDULE_FIELDS: Final = tuple(_BOUNDS)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Sets of numbers, by field; sorted."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    def next_after(self, time_ms: int) -> int | None:
        """The next moment, in ms since 1970; None: there is none within four years."""
        first = datetime.fromtimestamp(time_ms // 1000 + 1, UTC)
        day = first.replace(hour=0, minute=0, second=0)
        for _ in range(_DAYS_MAX):
            if day.month in self.months and day.day in self.days and day.isoweekday() in self.weekdays:
                found = self._within(day, first)
                if found is not None:
                    return int(found.timestamp()) * 1000
            day += timedelta(days=1)
        return None

    def _within(self, day: datetime, first: datetime) -> datetime | None:
        """The first moment of a day that is not before another."""
        for hour in self.hours:
            if day.replace(hour=hour, minute=59, second=59) < first:
                continue
            for minute in self.minutes:
                if day.replace(hour=hour, minute=minute, second=59) < first:
                    continue
                for second in self.seconds:
                    moment = day.replace(hour=hour, minute=minute, second=second)
                    if moment >= first:
                        return moment
        return None


def read_schedule(fields: Mapping[str, Any]) -> Schedule:
    """A schedule from its JSON form.

    Args:
        fields: Missing ones are `*`, but for the second, which is 0.

    Raises:
        InvalidDocument: With each field at fault.
    """
    problems = [
        Problem(pointer("/schedule", name), "is no field of a schedule") for name in fields if name not in _BOUNDS
    ]
    sets: dict[str, tuple[int, ...]] = {}
    for name, (low, high) in _BOUNDS.items():
        found = _numbers(fields.get(name, "0" if name == "second" else "*"), low, high)
        if found is None:
            reason = f"must be * or numbers and ranges from {low} to {high}, such as {low},{low + 1}-{low + 3}"
            problems.append(Problem(pointer("/schedule", name), reason))
        else:
            sets[name] = found
    if problems:
        raise InvalidDocument(problems)
    made = Schedule(
        sets["second"],
        sets["minute"],
        sets["hour"],
        frozenset(sets["dayOfMonth"]),
        frozenset(sets["month"]),
        frozenset(sets["dayOfWeek"]),
    )
    if made.next_after(0) is None:
        raise InvalidDocument([Problem("/schedule", "names a day that never comes")])
    return made


def _numbers(value: Any, low: int, high: int) -> tuple[int, ...] | None:
    """The numbers of a field; None: it is wrong."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or len(text) > 200:
        return None
    if text == "*":
        return tuple(range(low, high + 1))
    found: set[int] = set()
    for part in text.split(","):
        matched = _PART.fullmatch(part.strip())
        if matched is None:
            return None
        first, last = int(matched[1]), int(matched[2] or matched[1])
        if not low <= first <= last <= high:
            return None
        found.update(range(first, last + 1))
    return tuple(sorted(found))
