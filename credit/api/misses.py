# SPDX-License-Identifier: Apache-2.0
"""Numbers that an organisation looks up and nobody has: a few thousand a day, so that nobody tries numbers out.

Whoever is found reads that they were looked for. Of a number that is nobody's nothing stays: without a bound a source's
key, or a clerk's file, would find out within hours which numbers are somebody's. Counted by each process for itself.
"""

from collections import Counter
from typing import Final

from service import problems
from service.problems import Problem

MISSES_DAY_MAX: Final = 2_400
"""A whole file of people without a log; who has more of them brings the rest tomorrow."""
_DAY_S: Final = 86_400


class Misses:
    """How many there were today."""

    def __init__(self) -> None:
        self._day = 0
        self._counts: Counter[str] = Counter()

    def check(self, organisation: str, now_ms: int) -> None:
        """See whether an organisation may look anybody up; whom, is not looked at before.

        Raises:
            Problem: It missed too often today.
        """
        day, second = divmod(now_ms // 1000, _DAY_S)
        if day != self._day:
            self._day = day
            self._counts.clear()
        if self._counts[organisation] >= MISSES_DAY_MAX:
            seconds = _DAY_S - second
            raise Problem(problems.RATE, {"seconds": seconds}, headers={"Retry-After": str(seconds)})

    def add(self, organisation: str) -> None:
        """Nobody was found, or nobody of whom it may know."""
        self._counts[organisation] += 1
