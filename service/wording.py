# SPDX-License-Identifier: Apache-2.0
"""Dates, numbers and spans as people read them, in the reader's language.

Pure functions: the clock and the zone are arguments. Numbers are grouped with narrow spaces, and a unit stands after
a space that does not break.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_HALF_EVEN, Decimal

from service.language import Language, group, translate

CHINA = timezone(timedelta(hours=8), "UTC+8")
"""China keeps one zone without daylight saving time; no zone database is needed."""

SECONDS_SHOWN_MAX = 60
"""Below it a moment is told in whole seconds; a fraction says nothing to a reader."""

SPACE = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"

_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_BYTE_UNITS = ("B", "KB", "MB", "GB", "TB")


def number(value: float | Decimal, digits: int = 0) -> str:
    """A quantity with its digits in groups of three.

    Args:
        value: A finite number.
        digits: Digits after the point; the last is rounded half to even.
    """
    rounded = Decimal(str(value)).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_EVEN)
    whole, _, fraction = f"{abs(rounded):f}".partition(".")
    sign = MINUS if rounded < 0 else ""
    return f"{sign}{group(int(whole))}{'.' + fraction if fraction else ''}"


def quantity(value: float | Decimal, unit: str, digits: int = 0) -> str:
    """A number with its unit, on one line: `71 ms`."""
    return f"{number(value, digits)}{SPACE}{unit}"


def share(part: int, whole: int, digits: int = 1) -> str:
    """Part of a whole in per cent: `99.9%`, never rounded up to 100% or down to 0%; `–` of nothing.

    Args:
        part: Between 0 and `whole`.
        whole: How many there are.
        digits: Digits after the point.
    """
    if whole <= 0:
        return "\N{EN DASH}"
    step = Decimal(1).scaleb(-digits)
    percent = (Decimal(part) * 100 / whole).quantize(step, rounding=ROUND_HALF_EVEN)
    if part < whole:
        percent = min(percent, 100 - step)
    if part > 0:
        percent = max(percent, step)
    return f"{number(percent, digits)}%" if percent != percent.to_integral_value() else f"{number(percent)}%"


def size(size_bytes: int) -> str:
    """A size in the largest unit that keeps it at 1 or above: `45.2 KB`, of 1,000 bytes each."""
    value, unit = Decimal(size_bytes), 0
    while value >= 1000 and unit < len(_BYTE_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return quantity(value, _BYTE_UNITS[unit], 1 if unit and value < 100 else 0)


def instant(unix_ms: int) -> datetime:
    """The moment that the ledger's clock names, in UTC."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=unix_ms)


def day(language: Language, moment: datetime, zone: timezone = CHINA) -> str:
    """The date in words: `20 November 2026`, `2026年11月20日`.

    Args:
        language: Whose words.
        moment: Aware of its zone.
        zone: The reader's zone.
    """
    local = _local(moment, zone)
    if language == "zh-CN":
        return f"{local.year}年{local.month}月{local.day}日"
    return f"{local.day}{SPACE}{_MONTHS[local.month - 1]} {local.year}"


def clock(language: Language, moment: datetime, zone: timezone = CHINA, *, seconds: bool = False) -> str:
    """Date and time in words: `20 November 2026, 05:40`, `2026年11月20日 05:40`."""
    time = _local(moment, zone).strftime("%H:%M:%S" if seconds else "%H:%M")
    return f"{day(language, moment, zone)}{',' if language == 'en' else ''} {time}"


def span(language: Language, length: timedelta) -> str:
    """How long something took or is away, in its largest unit: `0.4 s`, `3 minutes`, `2 days`."""
    seconds = abs(length.total_seconds())
    if seconds < 1:
        return quantity(round(seconds * 1000), "ms")
    if seconds < 60:
        return quantity(Decimal(str(seconds)), "s", 1 if seconds < 10 else 0)
    units: Mapping[int, Callable[[int], str]] = {
        86_400: lambda count: translate(language, "time.days", count=count),
        3600: lambda count: translate(language, "time.hours", count=count),
        60: lambda count: translate(language, "time.minutes", count=count),
    }
    unit = next(unit for unit in units if seconds >= unit)
    return units[unit](int(seconds // unit))


def ago(language: Language, moment: datetime, now: datetime) -> str:
    """A moment as seen from now: `8 seconds ago`, `in 2 days`, `just now` within a second."""
    length = now - moment
    seconds = int(abs(length).total_seconds())
    if seconds == 0:
        return translate(language, "time.now")
    few = seconds < SECONDS_SHOWN_MAX
    words = translate(language, "time.seconds", count=seconds) if few else span(language, length)
    if length > timedelta():
        return translate(language, "time.ago", span=words)
    return translate(language, "time.ahead", span=words)


def shorten(code: str, ends: int = 4) -> str:
    """A long code by its two ends: `c41e…09d2`; one that is short already stays whole."""
    return code if len(code) <= 2 * ends + 1 else f"{code[:ends]}{ELLIPSIS}{code[-ends:]}"


def _local(moment: datetime, zone: timezone) -> datetime:
    assert moment.tzinfo is not None, "a moment without a zone means nothing to a reader elsewhere"
    return moment.astimezone(zone)
