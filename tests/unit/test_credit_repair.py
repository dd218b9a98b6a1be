# SPDX-License-Identifier: Apache-2.0
"""Repair by class of severity, by date, against a table written by hand; working days.

The rules: 信用修复管理办法 (NDRC order 36 of 2025). Minor: not published in principle, at most 3 months, repaired once
the duty is fulfilled. General: 3 months to 1 year. Serious: 1 to 3 years. The clock starts at the document's date;
repair takes the shortest period, the duty fulfilled, and a pledge; after the longest one publication stops by itself.
"""

from datetime import date, timedelta

import pytest

from credit.catalogue import PUBLICATION_DAYS
from credit.pb import credit_pb2 as pb
from credit.repair import PUBLICATION_MONTHS, Calendar, Severity, add_months, repair_of

TABLE: list[tuple[Severity, str, str | None, str | None, str | None, str]] = [
    # severity, document, duty fulfilled, pledge, repair from, published until (exclusive)
    ("minor", "2026-04-10", "2026-04-12", None, "2026-04-12", "2026-07-10"),
    ("minor", "2026-04-10", None, None, None, "2026-07-10"),
    ("minor", "2026-11-30", "2026-12-01", None, "2026-12-01", "2027-02-28"),
    ("general", "2026-05-31", "2026-06-10", "2026-06-15", "2026-08-31", "2027-05-31"),
    ("general", "2026-05-31", "2026-10-01", "2026-06-15", "2026-10-01", "2027-05-31"),
    ("general", "2026-05-31", "2026-06-10", "2026-11-02", "2026-11-02", "2027-05-31"),
    ("general", "2026-05-31", "2026-06-10", None, None, "2027-05-31"),
    ("general", "2027-11-30", "2027-12-01", "2027-12-01", "2028-02-29", "2028-11-30"),
    ("serious", "2026-04-01", "2026-04-02", "2026-04-03", "2027-04-01", "2029-04-01"),
    ("serious", "2028-02-29", "2028-03-01", "2028-03-01", "2029-02-28", "2031-02-28"),
    ("serious", "2026-04-01", None, "2026-04-03", None, "2029-04-01"),
]


def day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


@pytest.mark.parametrize(("severity", "document", "fulfilled", "pledged", "opens", "ends"), TABLE)
def test_repair_opens_and_publication_ends_as_the_table_says(
    severity: Severity, document: str, fulfilled: str | None, pledged: str | None, opens: str | None, ends: str
) -> None:
    start, end, opening = date.fromisoformat(document), date.fromisoformat(ends), day(opens)
    for offset in range((end - start).days + 3):
        on = start + timedelta(days=offset)
        found = repair_of(severity, start, on, fulfilled=day(fulfilled), pledged=day(pledged))
        assert (found.ends, found.from_day, found.is_over) == (end, opening, on >= end)
        assert found.may_be_asked_for == (opening is not None and opening <= on < end)


def test_what_is_missing_is_named() -> None:
    start = date(2026, 5, 1)
    assert repair_of("general", start, start).missing == ("duty", "pledge", "time")
    assert repair_of("general", start, date(2026, 8, 1), fulfilled=start).missing == ("pledge",)
    assert repair_of("minor", start, start).missing == ("duty",)


@pytest.mark.parametrize("severity", PUBLICATION_MONTHS)
def test_days_of_the_catalogue_are_the_most_that_these_months_have(severity: Severity) -> None:
    shortest, longest = PUBLICATION_MONTHS[severity]
    days = PUBLICATION_DAYS[pb.Severity.Value(f"SEVERITY_{severity.upper()}")]
    starts = [date(2026, 1, 1) + timedelta(days=offset) for offset in range(366 * 8)]
    lengths = [[(add_months(start, months) - start).days for start in starts] for months in (shortest, longest)]
    assert days[1] == max(lengths[1])
    assert days[0] in {min(lengths[0]), max(lengths[0])}


def test_working_days_leave_out_weekends_and_holidays_and_count_days_worked_instead() -> None:
    plain = Calendar()
    assert plain.after(date(2026, 9, 30), 1) == date(2026, 10, 1)
    assert plain.after(date(2026, 10, 2), 1) == date(2026, 10, 5), "over a weekend"
    week = [date(2026, 10, number) for number in (1, 2, 5, 6, 7)]
    golden = Calendar.of(week, [date(2026, 10, 10)])
    assert golden.after(date(2026, 9, 30), 1) == date(2026, 10, 8)
    assert golden.after(date(2026, 9, 30), 3) == date(2026, 10, 10), "a Saturday that is worked"
    assert golden.after(date(2026, 9, 30), 4) == date(2026, 10, 12)
