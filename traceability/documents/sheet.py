# SPDX-License-Identifier: Apache-2.0
"""A table of text as a document has it, and the same as CSV that no spreadsheet takes for a program.

CSV is what each spreadsheet opens and sorts; no library for another form is part of this project. A cell whose text
begins like a formula (=, +, -, @, also in full width, also behind blanks or a line's end) gets an apostrophe in front:
lots and names are typed by people who may mean harm.  Source: RFC 4180; OWASP, "CSV Injection".
"""

import csv
import io
import unicodedata
from dataclasses import dataclass
from typing import Final

ROWS_MAX: Final = 100_000
"""Made in memory, and spreadsheets end at about a million: whoever has more narrows the question."""

_FORMULA: Final = frozenset("=+-@")
_CONTROL: Final = ("\t", "\r", "\n")


class TooManyRows(ValueError):
    """More rows than one file takes; the message says how many."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table.

    Attributes:
        columns: Titles.
        rows: Each has a text for each column.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def csv_bytes(sheet: Sheet) -> bytes:
    """A table as CSV in UTF-8, with the mark by which spreadsheets know that it is.

    Raises:
        TooManyRows: It has more than 100,000.
    """
    if len(sheet.rows) > ROWS_MAX:
        raise TooManyRows(f"{len(sheet.rows)} rows; one file has at most {ROWS_MAX}: ask for fewer lots or days")
    assert all(len(row) == len(sheet.columns) for row in sheet.rows), "each row has a text for each column"
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([harmless(title) for title in sheet.columns])
    writer.writerows([harmless(cell) for cell in row] for row in sheet.rows)
    return text.getvalue().encode("utf-8-sig")


def harmless(cell: str) -> str:
    """A text that no spreadsheet computes; all others stay as they are."""
    first = unicodedata.normalize("NFKC", cell.lstrip()[:1])
    return f"'{cell}" if first in _FORMULA or cell.startswith(_CONTROL) else cell
