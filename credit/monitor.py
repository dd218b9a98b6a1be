# SPDX-License-Identifier: Apache-2.0
"""Watching a scorecard: does it still fit those it was made for, is it overruled, does it treat groups alike.

The figures of a month, from scores and counts alone: no one person enters or leaves. Floating point is fine here: what
is computed decides nothing about anybody and never goes on the ledger.

Source: population stability index: Siddiqi, Credit Risk Scorecards (2006), with the thresholds in use since; the ratio
of four fifths: 29 CFR 1607.4(D), as a hint for whoever looks, not as a verdict.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, log
from typing import Final, Literal, TypeAlias

from credit.scorecard import GRADES

Drift: TypeAlias = Literal["stable", "watch", "act"]
WATCH_FROM: Final = 0.1
ACT_FROM: Final = 0.25
BINS: Final = 10
"""Tenths of the people it was made for, as is usual."""
GROUP_MIN: Final = 30
"""A smaller group is not told: its share would tell of its members."""
FOUR_FIFTHS: Final = 0.8
GOOD_GRADES: Final = ("A", "B")
"""Those that open benefits."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the monitor takes of one member.

    Attributes:
        points: Of the score.
        grade: Likewise.
        groups: Pairs of attribute and value.
    """

    points: int
    grade: str
    groups: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class GroupLine:
    """One group of the fairness report.

    Attributes:
        attribute: What it is grouped by.
        value: Which group.
        count: Its members; None: fewer than 30, and nothing more is told.
        good_share: How many of them have grade A or B, from 0 to 1; None likewise.
        ratio: That share by the best group's share of the same attribute; None likewise, or nobody has one.
    """

    attribute: str
    value: str
    count: int | None
    good_share: float | None
    ratio: float | None

    @property
    def is_conspicuous(self) -> bool:
        """Whether somebody should look: below four fifths of the best group's share."""
        return self.ratio is not None and self.ratio < FOUR_FIFTHS


@dataclass(frozen=True, slots=True)
class Acts:
    """What was decided and disputed in the month.

    Attributes:
        granted: Benefits.
        refused: Benefits.
        overruled: Refusals and burdens that a person reviewed and changed.
        reviewed: Refusals and burdens that a person reviewed.
        disputes_decided: Objections that were answered.
        disputes_upheld: Of them, those after which the event was corrected or withdrawn.
        disputes_late: Of them, those answered after the clock.
    """

    granted: int = 0
    refused: int = 0
    overruled: int = 0
    reviewed: int = 0
    disputes_decided: int = 0
    disputes_upheld: int = 0
    disputes_late: int = 0

    def __post_init__(self) -> None:
        """Check that parts are no larger than what they are of.

        Raises:
            ValueError: A count is negative, or a part exceeds its whole.
        """
        parts = (
            ("overruled", self.overruled, self.reviewed),
            ("disputes_upheld", self.disputes_upheld, self.disputes_decided),
            ("disputes_late", self.disputes_late, self.disputes_decided),
            ("granted", 0, self.granted),
            ("refused", 0, self.refused),
        )
        for name, part, whole in parts:
            if not 0 <= part <= whole:
                raise ValueError(f"{name}: from 0 to what it is a part of")


@dataclass(frozen=True, slots=True)
class MonthlyReport:
    """A month of one scorecard.

    Attributes:
        month: "2026-10".
        scorecard: Its digest, in hex.
        counted: Members scored.
        psi: Of the points, against those whom the scorecard was made for.
        drift: What that means.
        edges: Upper bounds of the tenths, the last one open.
        expected: Members in each tenth then.
        actual: Members in each tenth now.
        grades: Members by grade.
        override_rate: Overruled by reviewed; None: nothing was reviewed.
        upheld_rate: Disputes upheld by decided; None: none was decided.
        groups: The fairness report.
        acts: What the rates were made of.
    """

    month: str
    scorecard: str
    counted: int
    psi: float
    drift: Drift
    edges: tuple[int, ...]
    expected: tuple[int, ...]
    actual: tuple[int, ...]
    grades: Mapping[str, int]
    override_rate: float | None
    upheld_rate: float | None
    groups: tuple[GroupLine, ...]
    acts: Acts


def tenths(points: Sequence[int], bins: int = BINS) -> tuple[int, ...]:
    """Where the reference's tenths end: values that begin a new bin, ascending; fewer if many are alike.

    Args:
        points: Of those whom the scorecard was made for, at least one.
        bins: How many parts, at least 2.
    """
    assert points, "a scorecard was made for somebody"
    assert bins >= 2, "one bin tells nothing"
    ordered = sorted(points)
    found = {ordered[len(ordered) * i // bins] for i in range(1, bins)}
    return tuple(sorted(found - {ordered[0]}))


def counts(points: Iterable[int], edges: Sequence[int]) -> tuple[int, ...]:
    """How many fall into each bin; a value at an edge begins the next one."""
    found = [0] * (len(edges) + 1)
    for value in points:
        found[bisect_right(edges, value)] += 1
    return tuple(found)


def psi(expected: Sequence[int], actual: Sequence[int]) -> float:
    """Population stability index of two distributions over the same bins: sum of (a - e) * ln(a / e) over shares.

    An empty bin counts as half a member, so that the index stays finite.

    Args:
        expected: Members by bin then.
        actual: Members by bin now.

    Raises:
        ValueError: The bins differ in number, or one side has nobody.
    """
    if len(expected) != len(actual):
        raise ValueError("both distributions have the same bins")
    if not sum(expected) or not sum(actual):
        raise ValueError("both distributions count somebody")
    total_expected, total_actual = sum(expected), sum(actual)
    index = 0.0
    for then, now in zip(expected, actual, strict=True):
        if then == now == 0:
            continue
        share_then, share_now = max(then, 0.5) / total_expected, max(now, 0.5) / total_actual
        index += (share_now - share_then) * log(share_now / share_then)
    return index


def drift_of(index: float) -> Drift:
    """What a stability index means: below 0.1 stable, below 0.25 to watch, else to act."""
    if index < WATCH_FROM:
        return "stable"
    return "watch" if index < ACT_FROM else "act"


def fairness(standings: Iterable[Standing]) -> tuple[GroupLine, ...]:
    """Shares of good grades by group, each against the best group of the same attribute; sorted by attribute, value."""
    members: Counter[tuple[str, str]] = Counter()
    good: Counter[tuple[str, str]] = Counter()
    for one in standings:
        members.update(one.groups)
        if one.grade in GOOD_GRADES:
            good.update(one.groups)
    told = {group: good[group] / count for group, count in members.items() if count >= GROUP_MIN}
    best: dict[str, float] = {}
    for (attribute, _), share in told.items():
        best[attribute] = max(best.get(attribute, 0.0), share)
    lines: list[GroupLine] = []
    for attribute, value in sorted(members):
        if (attribute, value) not in told:
            lines.append(GroupLine(attribute, value, None, None, None))
            continue
        share = told[attribute, value]
        ratio = share / best[attribute] if best[attribute] else None
        lines.append(GroupLine(attribute, value, members[attribute, value], share, ratio))
    return tuple(lines)


def monthly(
    month: str, scorecard: str, reference: Sequence[int], standings: Sequence[Standing], acts: Acts
) -> MonthlyReport:
    """The report of a month.

    Args:
        month: As "2026-10".
        scorecard: Digest of the scorecard, in hex.
        reference: Points of those whom it was made for.
        standings: Everybody who is scored now, at least one.
        acts: What was decided and disputed in the month.

    Raises:
        ValueError: Nobody is scored.
    """
    edges = tenths(reference)
    expected, actual = counts(reference, edges), counts((one.points for one in standings), edges)
    index = psi(expected, actual)
    grades = Counter(one.grade for one in standings)
    return MonthlyReport(
        month=month,
        scorecard=scorecard,
        counted=len(standings),
        psi=index,
        drift=drift_of(index),
        edges=edges,
        expected=expected,
        actual=actual,
        grades={letter: grades[letter] for letter in GRADES},
        override_rate=acts.overruled / acts.reviewed if acts.reviewed else None,
        upheld_rate=acts.disputes_upheld / acts.disputes_decided if acts.disputes_decided else None,
        groups=fairness(standings),
        acts=acts,
    )


# ---------------------------------------------------------------- making a scorecard from outcomes


@dataclass(frozen=True, slots=True)
class BinLine:
    """One bin of an attribute.

    Attributes:
        good: Members with a good outcome.
        bad: Members with a bad one.
        woe: Weight of evidence: ln of good share by bad share; an empty side counts as half a member.
        iv: What the bin adds to the attribute's information value.
    """

    good: int
    bad: int
    woe: float
    iv: float


def weigh(values: Sequence[float], bad: Sequence[bool], edges: Sequence[float]) -> tuple[BinLine, ...]:
    """Weights of evidence of an attribute's bins; a value at an edge begins the next bin.

    Args:
        values: Of the attribute, one for each member.
        bad: Whether the member's outcome was bad.
        edges: Ascending.

    Raises:
        ValueError: Lengths differ, edges do not ascend, or one outcome does not occur.
    """
    if len(values) != len(bad) or any(left >= right for left, right in pairwise(edges)):
        raise ValueError("as many outcomes as values, and edges that ascend")
    table = [[0, 0] for _ in range(len(edges) + 1)]
    for value, outcome in zip(values, bad, strict=True):
        table[bisect_right(edges, value)][outcome] += 1
    goods, bads = (sum(line[i] for line in table) for i in (0, 1))
    if not goods or not bads:
        raise ValueError("both outcomes occur")
    lines: list[BinLine] = []
    for good, worse in table:
        if not good and not worse:
            lines.append(BinLine(0, 0, 0.0, 0.0))
            continue
        share_good, share_bad = max(good, 0.5) / goods, max(worse, 0.5) / bads
        woe = log(share_good / share_bad)
        lines.append(BinLine(good, worse, woe, (share_good - share_bad) * woe))
    return tuple(lines)


def monotone_edges(
    values: Sequence[float], bad: Sequence[bool], *, bins: int = BINS, least_share: float = 0.05
) -> tuple[float, ...]:
    """Edges whose bins' bad rates rise or fall throughout, so that a reason can be told in one sentence.

    Begins with quantiles, joins bins below the least share, then joins neighbours against the trend (pool adjacent
    violators), in whichever direction keeps more bins.
    """
    ordered = sorted(values)
    edges = sorted({ordered[len(ordered) * i // bins] for i in range(1, bins)} - {ordered[0]})
    table = [[0, 0] for _ in range(len(edges) + 1)]
    for value, outcome in zip(values, bad, strict=True):
        table[bisect_right(edges, value)][outcome] += 1
    least = least_share * len(values)
    rising, falling = (_pool(table, edges, least, sign) for sign in (1, -1))
    return tuple(rising if len(rising) >= len(falling) else falling)


def _pool(table: Sequence[Sequence[int]], edges: Sequence[float], least: float, sign: int) -> list[float]:
    """The edges that are left when bins against a trend, and those too small, are joined with their neighbours."""
    kept: list[tuple[int, int, float]] = []
    for line, upper in zip(table, [*edges, inf], strict=True):
        kept.append((line[0], line[1], upper))
        while len(kept) > 1 and (sum(kept[-2][:2]) < least or sign * _rate(kept[-1]) <= sign * _rate(kept[-2])):
            _join_last(kept)
    while len(kept) > 1 and sum(kept[-1][:2]) < least:
        _join_last(kept)
    return [upper for _, _, upper in kept[:-1]]


def _join_last(kept: list[tuple[int, int, float]]) -> None:
    good, bad, upper = kept.pop()
    before = kept.pop()
    kept.append((before[0] + good, before[1] + bad, upper))


def _rate(line: tuple[int, int, float]) -> float:
    total = line[0] + line[1]
    return line[1] / total if total else 0.0
