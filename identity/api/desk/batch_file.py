# SPDX-License-Identifier: Apache-2.0
"""The file of a batch: lines of name and number as spreadsheets write them, and what can be wrong with each."""

import csv
import io
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from identity.api.desk import batch_problems as kinds
from service.problems import Problem
from service.store.normal import Normal, normalise

FILE_BYTES_MAX: Final = 1024 * 1024
"""Some thirty characters a line, for as many lines as below."""
ROWS_MAX: Final = 5_000
"""A town's worth; more is two files."""
FIELD_CHARACTERS_MAX: Final = 100
COLUMNS: Final = ("name", "number")


class Fault(StrEnum):
    """Why a line becomes no card; words stand in the catalogues."""

    COLUMNS = "columns"
    EMPTY = "empty"
    TOO_LONG = "too-long"
    TWICE = "twice"
    UNKNOWN = "unknown"
    HAS_CARD = "has-card"
    NO_BLANK = "no-blank"
    CARD = "card"


def parse(raw: bytes) -> Iterator[tuple[int, str, str] | tuple[int, Fault]]:
    """The lines of a file as (line number, name, number), or with what is wrong with the line itself.

    Spreadsheets write UTF-8 with a mark, or GB 18030; both are read. Empty lines are passed over.

    Raises:
        Problem: It is no CSV file with the columns `name` and `number`, or too large.
    """
    if len(raw) > FILE_BYTES_MAX:
        raise Problem(kinds.FILE, {"rows": ROWS_MAX})
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = raw.decode("gb18030")
        except UnicodeDecodeError:
            raise Problem(kinds.FILE, {"rows": ROWS_MAX}) from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        head = [cell.strip().casefold() for cell in next(reader, [])]
        if any(name not in head for name in COLUMNS):
            raise Problem(kinds.FILE, {"rows": ROWS_MAX})
        places = [head.index(name) for name in COLUMNS]
        found = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error:
        raise Problem(kinds.FILE, {"rows": ROWS_MAX}) from None
    if not found or len(found) > ROWS_MAX:
        raise Problem(kinds.FILE, {"rows": ROWS_MAX})
    seen: set[str] = set()
    for line, cells in found:
        if len(cells) != len(head):
            yield line, Fault.COLUMNS
            continue
        name, number = (cells[place].strip().removeprefix("'") for place in places)
        key = normalise(Normal.IDENTIFIER, number)
        if not name or not key:
            yield line, Fault.EMPTY
        elif max(len(name), len(number)) > FIELD_CHARACTERS_MAX:
            yield line, Fault.TOO_LONG
        elif key in seen:
            yield line, Fault.TWICE
        else:
            seen.add(key)
            yield line, name, number
