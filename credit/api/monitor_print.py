# SPDX-License-Identifier: Apache-2.0
"""A month's figures on paper and as a file: the same figures as the page's, each with its definition."""

from typing import Final

from credit.api.base import date_of
from credit.api.monitor_figures import Figures
from credit.api.words import DRIFT_KEYS, GROUP_KEYS
from credit.monitor import GROUP_MIN, GroupLine
from service.language import Language, translate
from service.pdf import Document
from service.sign_in.pages import moment
from service.tables import Column
from service.wording import clock

DASH: Final = "\N{EN DASH}"
ROW_COLUMNS: Final = (
    Column("figure", "credit-monitor.column-figure"),
    Column("of", "credit-monitor.column-of"),
    Column("then", "credit-monitor.column-then"),
    Column("now", "credit-monitor.column-now"),
)
MEANINGS: Final = (
    ("credit-monitor.psi", "credit-monitor.psi-means", "credit-monitor.psi-not"),
    ("credit-monitor.grades", "credit-monitor.grades-means", "credit-monitor.grades-not"),
    ("credit-monitor.override", "credit-monitor.override-means", "credit-monitor.override-not"),
    ("credit-monitor.upheld", "credit-monitor.upheld-means", "credit-monitor.upheld-not"),
    ("credit-monitor.groups", "credit-monitor.groups-means", "credit-monitor.groups-not"),
)
"""Each figure's name, what it means, what it does not prove."""

Row = tuple[str, str, str, str]


def rows_of(figures: Figures, language: Language) -> list[Row]:
    """Every figure as a line: what, of whom, in the month compared with, now. Nothing suppressed is in it."""

    def t(key: str) -> str:
        return translate(language, key)

    rows: list[Row] = [
        (t("credit-monitor.month"), "", figures.reference, figures.month),
        (t("credit-monitor.as-of"), "", "", date_of(figures.as_of_day).isoformat()),
        (t("credit-monitor.scorecard"), "", "", figures.scorecard),
        (t("credit-monitor.counted"), "", "", _whole(figures.counted, language)),
        (t("credit-monitor.psi"), "", "", _psi(figures.psi)),
    ]
    bounds = ["", *map(str, figures.edges)]
    for i, count in enumerate(figures.actual):
        then = str(figures.expected[i]) if figures.expected else ""
        rows.append((t("credit-monitor.tenth"), bounds[i], then, str(count)))
    for letter, count in figures.grades.items():
        rows.append((t("credit-monitor.grade"), letter, str(figures.grades_then.get(letter, "")), str(count)))
    rows += _act_rows(figures, language)
    for line in figures.groups:
        what, of = t(GROUP_KEYS[line.attribute]), group_name(line, language)
        rows.append((t("credit-monitor.group-count") + " · " + what, of, "", _whole(line.count, language)))
        rows.append((t("credit-monitor.group-share") + " · " + what, of, "", _share(line.good_share)))
        rows.append((t("credit-monitor.group-ratio") + " · " + what, of, "", _share(line.ratio)))
    return rows


def _act_rows(figures: Figures, language: Language) -> list[Row]:
    acts = figures.acts
    named = (
        ("credit-monitor.granted", acts.granted),
        ("credit-monitor.refused", acts.refused),
        ("credit-monitor.reviewed", acts.reviewed),
        ("credit-monitor.overruled", acts.overruled),
        ("credit-monitor.decided", acts.disputes_decided),
        ("credit-monitor.were-upheld", acts.disputes_upheld),
        ("credit-monitor.late", acts.disputes_late),
    )
    rows = [(translate(language, key), "", "", str(count)) for key, count in named]
    rows.append((translate(language, "credit-monitor.override"), "", "", _share(figures.override_rate)))
    rows.append((translate(language, "credit-monitor.upheld"), "", "", _share(figures.upheld_rate)))
    return rows


def group_name(line: GroupLine, language: Language) -> str:
    """What a group is called; an age says itself."""
    key = GROUP_KEYS.get(line.value)
    return line.value if key is None else translate(language, key)


def _whole(count: int | None, language: Language) -> str:
    return translate(language, "credit-monitor.too-few", count=GROUP_MIN) if count is None else str(count)


def _share(value: float | None) -> str:
    return DASH if value is None else f"{100 * value:.1f}%"


def _psi(value: float | None) -> str:
    return DASH if value is None else f"{value:.3f}"


def month_pdf(figures: Figures, made_ms: int, language: Language) -> bytes:
    """A month's report as PDF, A4.

    Args:
        figures: Of the month.
        made_ms: When they were made.
        language: Of its words.

    Raises:
        FontsNotBuilt: The fonts were not set up.
    """

    def t(key: str) -> str:
        return translate(language, key)

    made_at = moment(made_ms)
    made = Document(t("credit-monitor.print-title"), language, made_at)
    made.heading(f"{t('credit-monitor.print-title')} {figures.month}")
    if not figures.is_over:
        made.paragraph(t("credit-monitor.not-over"), bold=True)
    drift = "" if figures.drift is None else f" · {t(DRIFT_KEYS[figures.drift][1])}"
    made.fields(
        [
            (t("credit-monitor.as-of"), date_of(figures.as_of_day).isoformat()),
            (t("credit-monitor.made"), clock(language, made_at)),
            (t("credit-monitor.scorecard"), f"{figures.version} · {figures.scorecard[:16]}…"),
            (t("credit-monitor.counted"), _whole(figures.counted, language)),
            (t("credit-monitor.reference"), figures.reference or DASH),
            (t("credit-monitor.psi"), _psi(figures.psi) + drift),
        ]
    )
    head = [t(column.title) for column in ROW_COLUMNS]
    made.heading(t("credit-monitor.all-figures"), 2)
    made.table(head, [[cell or DASH for cell in row] for row in rows_of(figures, language)[3:]], [3, 2, 1.2, 1.4])
    if figures.bases:
        made.heading(t("credit-monitor.bases"), 2)
        made.fields([(t(GROUP_KEYS[name]), basis) for name, basis in sorted(figures.bases.items())])
    made.heading(t("credit-monitor.meaning"), 2)
    for name, means, does_not in MEANINGS:
        made.paragraph(t(name), bold=True)
        made.paragraph(translate(language, means, count=GROUP_MIN))
        made.paragraph(t(does_not), small=True)
    return made.output(allow_missing=True)  # a legal basis may hold a rare character
