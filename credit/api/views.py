# SPDX-License-Identifier: Apache-2.0
"""A report as people read it: its events in words, the score with its reasons, what the browser computes anew."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from markupsafe import Markup

from credit.api.answering import class_name
from credit.api.base import CreditContext, date_of
from credit.api.reports import Report
from credit.api.slot_index import Step
from credit.catalogue import class_number
from credit.pb import credit_pb2 as pb
from credit.report import STATUS_NAMES, Entry, published_days_max
from credit.scorecard import parse
from service.language import Language


@dataclass(frozen=True, slots=True)
class Line:
    """One event of a report.

    Attributes:
        worth: What it counts for on the report's day, before dimensions are kept within their bounds.
        ends: The last day of its publication; None: it is not published.
    """

    id: str
    number: int
    name: str
    legal_basis: str
    source: str
    status: str
    severity: str
    occurred: date | None
    document: date | None
    due: date | None
    ends: date | None
    is_negative: bool
    is_pledge: bool


def lines_of(report: Report, language: Language) -> list[Line]:
    """A report's events, in the order of the log."""
    return [
        _line(entry, event_id, language)
        for entry, event_id in zip(report.verified.entries, report.event_ids, strict=True)
    ]


def _line(entry: Entry, event_id: str, language: Language) -> Line:
    content, catalogued = entry.content, entry.catalogued
    days = 0 if content is None else published_days_max(catalogued, content.severity)
    return Line(
        id=event_id,
        number=class_number(entry.record),
        name=class_name(catalogued, language),
        legal_basis=catalogued.legal_basis,
        source=entry.record.source,
        status=STATUS_NAMES[entry.record.status],
        severity="none" if content is None else content.severity,
        occurred=None if content is None else date_of(content.occurred_day),
        document=None if content is None else date_of(content.document_day),
        due=None if content is None or not content.due_day else date_of(content.due_day),
        ends=None if content is None or not days else date_of(content.document_day + days),
        is_negative=catalogued.polarity == pb.POLARITY_NEGATIVE,
        is_pledge=catalogued.kind == pb.KIND_PLEDGE,
    )


@dataclass(frozen=True, slots=True)
class ScoreView:
    """A score with its reasons in words.

    Attributes:
        lost: Classes that took most: name and points.
        ahead: Days on which it changes by itself: day, points, grade.
        data: What the browser computes the same from: a JSON data block.
    """

    points: int
    grade: str
    least: int
    most: int
    frozen: int
    pledged: int
    as_of: date
    lost: tuple[tuple[str, int], ...]
    ahead: tuple[tuple[date, int, str], ...]
    grades: tuple[tuple[str, int], ...]
    data: Markup


def score_view(context: CreditContext, report: Report, language: Language) -> ScoreView:
    """The score of a whole report."""
    score, verified = report.score, report.verified
    assert verified.scorecard is not None, "a report of this service shows its scorecard"
    card = parse(verified.scorecard)
    names = context.index.catalogue()
    return ScoreView(
        points=score.points,
        grade=score.grade,
        least=card.least,
        most=card.most,
        frozen=score.frozen,
        pledged=score.pledged,
        as_of=date_of(verified.as_of),
        lost=tuple((class_name(names.get(number), language), points) for number, points in score.lost),
        ahead=tuple((date_of(day), points, grade) for day, points, grade in score.next),
        grades=card.grades,
        data=data_block(
            {
                "events": [
                    [event.number, event.found, event.status, event.document_day, event.published_days_max]
                    for event in (entry.event for entry in verified.entries)
                ],
                "scorecard": verified.scorecard.decode("ascii"),
                "as_of": verified.as_of,
                "raw": score.raw.decode(),
            }
        ),
    )


def data_block(value: object) -> Markup:
    """A value as the content of a JSON data block, in which no character can end the block."""
    text = json.dumps(value, ensure_ascii=True)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - no character in it ends the block


def steps_of(steps: Sequence[Step]) -> list[Mapping[str, object]]:
    """How an event came to what it is, for a page."""
    return [
        {
            "status": STATUS_NAMES[step.status],
            "at_ms": step.at_ms,
            "height": step.height,
            "transaction": step.transaction_id.hex(),
        }
        for step in steps
    ]
