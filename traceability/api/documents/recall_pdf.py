# SPDX-License-Identifier: Apache-2.0
"""A recall drill on paper: what it found in figures, each part of each lot, and who was told.

Making it takes some 0.2 s of a core and more with its length: make it in a thread.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from service.language import Language, translate
from service.pdf import Document
from service.wording import number, span
from traceability.api.documents.words import states_of
from traceability.documents.names import Names, code_of, stamp
from traceability.documents.recall_report import RecallReport, Where

PARTS_MAX: Final = 2_000
"""Rows of the printed table, some 80 pages; the CSV has all, and the paper says so."""
ITEMS_SHOWN: Final = 20


def recall_pdf(report: RecallReport, names: Names, language: Language, *, is_drill: bool) -> bytes:
    """The document.

    Args:
        report: What was found.
        names: Of parties and goods, in the same language.
        language: Of the text.
        is_drill: Whether it was an exercise; else goods were really recalled.

    Returns:
        PDF, A4.
    """

    def t(key: str, **parameters: object) -> str:
        return translate(language, key, **parameters)

    title = t("food-document.drill-title") if is_drill else t("food-document.recall-title")
    document = Document(title, language, datetime.fromtimestamp(report.started_ms / 1000, UTC))
    document.heading(title)
    document.fields(_figures(report, names, language))
    if not report.is_complete:
        document.paragraph(t("food-document.incomplete"), bold=True)
    document.heading(t("food-document.lots"), 2)
    document.table(
        [t("food-document.product"), t("food-document.lot"), *(states_of(language)[where] for where in Where)],
        _lots(report, names),
        (3, 3, 2, 2, 2, 2, 2),
    )
    _add_parts(document, report, names, language)
    _add_notices(document, report, names, language)
    document.paragraph(t("food-document.drill-foot"), small=True)
    return document.output(allow_missing=True)


def elapsed(report: RecallReport, language: Language) -> str:
    """How long it took until everybody had answered; a dash while somebody has not."""
    return "—" if report.elapsed_ms is None else span(language, timedelta(milliseconds=report.elapsed_ms))


def seconds(took_ms: int) -> str:
    """A search's time, to a hundredth of a second."""
    return f"{took_ms / 1000:.2f}"


def _figures(report: RecallReport, names: Names, language: Language) -> list[tuple[str, str]]:
    """What matters, line by line."""

    def t(key: str, **parameters: object) -> str:
        return translate(language, key, **parameters)

    begun = [f"{names.product(item)} {code_of(item)}" for item in report.items[:ITEMS_SHOWN]]
    holders = {part.holder for part in report.parts if part.holder}
    return [
        (t("food-document.number"), report.number),
        (t("food-document.begun-with"), "\n".join(begun)),
        (t("food-document.started"), stamp(report.started_ms)),
        (t("food-document.search-took"), t("food-document.seconds", seconds=seconds(report.took_ms))),
        (t("food-document.affected-lots"), number(len(report.lots))),
        (t("food-document.holders-now"), number(len(holders))),
        (t("food-document.affected-places"), number(len(report.places))),
        (
            t("food-document.notices"),
            t(
                "food-document.notices-answered",
                sent=len(report.notices),
                acknowledged=report.acknowledged,
            ),
        ),
        (t("food-document.elapsed"), elapsed(report, language)),
    ]


def _lots(report: RecallReport, names: Names) -> list[list[str]]:
    """One row for each lot, with what is in each state."""
    totals = {where: report.total(where) for where in Where}
    return [
        [names.product(lot), code_of(lot)]
        + [names.amount(lot, totals[where][lot]) if lot in totals[where] else "—" for where in Where]
        for lot in report.lots[:PARTS_MAX]
    ]


def _add_parts(document: Document, report: RecallReport, names: Names, language: Language) -> None:
    held = [part for part in report.parts if part.holder]
    document.heading(translate(language, "food-document.where-now"), 2)
    if not held:
        document.paragraph(translate(language, "food-document.nowhere"))
        return
    states = states_of(language)
    rows = [
        [
            names.participant(part.holder),
            part.holder,
            f"{names.product(part.item)} {code_of(part.item)}",
            names.amount(part.item, part.quantity),
            states[part.where] if not part.towards else f"{states[part.where]} → {names.participant(part.towards)}",
        ]
        for part in held[:PARTS_MAX]
    ]
    head = [
        translate(language, "food-document.holder"),
        translate(language, "food-document.holder-number"),
        translate(language, "food-document.lot"),
        translate(language, "food-document.quantity"),
        translate(language, "food-document.state"),
    ]
    document.table(head, rows, (3, 3, 4, 2, 3))
    if len(held) > PARTS_MAX:
        document.paragraph(translate(language, "food-document.more-in-csv", count=len(held) - PARTS_MAX))


def _add_notices(document: Document, report: RecallReport, names: Names, language: Language) -> None:
    document.heading(translate(language, "food-document.notices"), 2)
    if not report.notices:
        document.paragraph(translate(language, "food-document.no-notices"))
        return
    rows = [
        [
            names.participant(notice.participant),
            notice.participant,
            stamp(notice.sent_ms),
            stamp(notice.acknowledged_ms) or translate(language, "food-document.not-yet"),
        ]
        for notice in report.notices[:PARTS_MAX]
    ]
    head = [
        translate(language, "food-document.holder"),
        translate(language, "food-document.holder-number"),
        translate(language, "food-document.notice-sent"),
        translate(language, "food-document.notice-acknowledged"),
    ]
    document.table(head, rows, (3, 3, 4, 4))
