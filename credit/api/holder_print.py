# SPDX-License-Identifier: Apache-2.0
"""A report on paper: what it says, what it proves, and by which codes somebody else finds the same on the ledger."""

from chain.types import sha256
from credit.api.base import CreditContext
from credit.api.reports import Report
from credit.api.views import lines_of, score_view
from credit.api.words import SEVERITY_KEYS, STATUS_KEYS, day_text
from service.language import Language, translate
from service.pdf import Document
from service.sign_in.pages import moment
from service.wording import clock


def report_pdf(context: CreditContext, report: Report, name: str, language: Language) -> bytes:
    """A whole report as PDF, A4.

    Args:
        context: Which service.
        report: As `make_report` made it.
        name: Whose it is.
        language: Of its words.

    Raises:
        FontsNotBuilt: The fonts were not set up.
    """
    verified = report.verified
    at = moment(verified.checkpoint.time_ms)
    score, lines = score_view(context, report, language), lines_of(report, language)
    made = Document(translate(language, "credit-page.print-title"), language, at)
    made.heading(translate(language, "credit-page.print-title"))
    made.fields(
        [
            (translate(language, "credit-page.name"), name),
            (translate(language, "credit-page.print-at"), clock(language, at)),
            (translate(language, "credit-page.points"), f"{score.points} / {score.most}"),
            (translate(language, "credit-page.grade"), score.grade),
            (translate(language, "credit-page.print-events"), str(len(lines))),
        ]
    )
    made.paragraph(translate(language, "credit-page.claim-page"), bold=True)
    made.heading(translate(language, "credit-page.history"), 2)
    if lines:
        head = [
            translate(language, key)
            for key in (
                "credit-page.what",
                "credit-page.source",
                "credit-page.severity",
                "credit-page.document",
                "credit-page.status",
            )
        ]
        rows = [
            [
                line.name,
                line.source,
                translate(language, SEVERITY_KEYS[line.severity]),
                "–" if line.document is None else day_text(language, line.document),
                translate(language, STATUS_KEYS[line.status][1]),
            ]
            for line in lines
        ]
        made.table(head, rows, [2.6, 2, 1.3, 2.2, 1.7])
    else:
        made.paragraph(translate(language, "credit-page.no-events"))
    if score.lost:
        made.heading(translate(language, "credit-page.why"), 2)
        made.table(
            [translate(language, "credit-page.what"), translate(language, "credit-page.points-lost")],
            [[what, str(points)] for what, points in score.lost],
            [4, 1],
        )
    if score.ahead:
        made.heading(translate(language, "credit-page.ahead"), 2)
        for when, points, grade in score.ahead:
            text = translate(
                language, "credit-page.ahead-line", day=day_text(language, when), points=points, grade=grade
            )
            made.paragraph(text)
    made.heading(translate(language, "credit-page.print-proof"), 2)
    checkpoint = verified.checkpoint
    made.fields(
        [
            (translate(language, "credit-page.print-height"), str(checkpoint.height)),
            (translate(language, "credit-page.print-root"), checkpoint.state_root.hex()),
            (translate(language, "credit-page.print-scorecard"), sha256(verified.scorecard or b"").hex()),
            (translate(language, "credit-page.print-network"), context.ledger.network.hex()),
        ]
    )
    made.paragraph(translate(language, "credit-page.print-about"), small=True)
    return made.output(allow_missing=True)
