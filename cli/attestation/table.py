# SPDX-License-Identifier: Apache-2.0
"""A CSV table of people, checked row by row before anything is done with it.

Faults name the line, the column and the rule, never the value: error texts end up in logs and tickets.
"""

import csv
import hashlib
import io
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from cli.errors import InputError
from cli.language import t
from identity import resident_number
from identity.resident_number import Fault

TABLE_BYTES_MAX = 256 * 1024 * 1024
"""A million people fit; more should come in several files."""
FAULTS_SHOWN_MAX = 50
VALUE_CHARACTERS_MAX = 200
YEARS_DEFAULT = 10
YEAR_MIN, YEAR_MAX = 1971, 2999
"""Days outside are slips of the pen; the earliest are not numbers that the ledger takes, the last have no day after."""
_DAY_MS = 24 * 60 * 60 * 1000

REQUIRED = ("name", "id_number")
_NOT_CLAIMS = ("valid_from", "valid_to", "assurance_level")
_COLUMN = re.compile(r"[a-z][a-z0-9_]{0,31}")
ASSURANCE_LEVELS: Mapping[str, int] = {"low": 1, "substantial": 2, "high": 3}


@dataclass(frozen=True, slots=True)
class Person:
    """One row.

    Attributes:
        index: 0-based among the rows.
        line: Of the file, from 1.
        claims: What is attested, by column.
        assurance_level: Number in `identity.AssuranceLevel`.
    """

    index: int
    line: int
    claims: Mapping[str, str]
    assurance_level: int
    valid_from_ms: int
    valid_to_ms: int


@dataclass(frozen=True, slots=True)
class Table:
    """A whole table without a fault.

    Attributes:
        digest: SHA-256 of the file, by which a later run knows that it is the same table.
    """

    digest: bytes
    people: tuple[Person, ...]


@dataclass(slots=True)
class _Faults:
    """What is wrong with a table: the first faults in words, of all others the number."""

    shown: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, line: int, column: str, text: str) -> None:
        """Note one."""
        self.count += 1
        if len(self.shown) < FAULTS_SHOWN_MAX:
            self.shown.append(t("row.fault", line=line, column=column, text=text))

    def refuse(self, name: str) -> None:
        """Refuse the table if there are any.

        Raises:
            InputError: There are.
        """
        if self.count:
            rest = self.count - len(self.shown)
            more = (t("table.more-faults", count=rest),) if rest else ()
            raise InputError("table.faults", t("table.faults", path=name, count=self.count), (*self.shown, *more))


def load(path: Path, today: date) -> Table:
    """Read and check a table.

    Raises:
        InputError: It cannot be read, or rows have faults; every fault is named with its line, up to a maximum.
    """
    if path.stat().st_size > TABLE_BYTES_MAX:
        raise InputError("table.too-large", t("table.too-large", path=path, limit=TABLE_BYTES_MAX))
    raw = path.read_bytes()
    return parse(raw, str(path), today)


def parse(raw: bytes, name: str, today: date) -> Table:
    """Check a table's bytes: UTF-8 (a byte order mark is allowed), comma-separated, one header line."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise InputError("table.not-utf8", t("table.not-utf8", path=name, line=line)) from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    faults = _Faults()
    people: list[Person] = []
    first_lines: dict[str, int] = {}
    try:
        columns = _columns(next(reader, []), name)
        start_line = reader.line_num + 1
        for cells in reader:
            if cells:
                row_faults, person = _row(columns, cells, len(people), start_line, today)
                if not row_faults and person is not None:
                    number = person.claims["id_number"]
                    if number in first_lines:
                        row_faults = [("id_number", t("row.twice", line=first_lines[number]))]
                    first_lines.setdefault(number, start_line)
                    people.append(person)
                for column, fault in row_faults:
                    faults.add(start_line, column, fault)
            start_line = reader.line_num + 1
    except csv.Error as error:
        faults.add(reader.line_num, "-", str(error))
    faults.refuse(name)
    if not people:
        raise InputError("table.empty", t("table.empty", path=name))
    return Table(hashlib.sha256(raw).digest(), tuple(people))


def check_lifetimes(table: Table, limit_ms: int, name: str) -> None:
    """Check that no row is valid for longer than a network allows.

    Raises:
        InputError: Some are; each is named with its line, up to a maximum.
    """
    limit_days = limit_ms // _DAY_MS
    faults = _Faults()
    for person in table.people:
        lifetime_ms = person.valid_to_ms - person.valid_from_ms
        if lifetime_ms > limit_ms:
            text = t("row.lifetime", days=-(-lifetime_ms // _DAY_MS), limit=limit_days)
            faults.add(person.line, "valid_to", text)
    faults.refuse(name)


def _columns(header: list[str], name: str) -> list[str]:
    columns = [cell.strip() for cell in header]
    missing = [column for column in REQUIRED if column not in columns]
    if missing:
        raise InputError("table.columns", t("table.columns-missing", path=name, columns=", ".join(missing)))
    if len(set(columns)) != len(columns) or not all(_COLUMN.fullmatch(column) for column in columns):
        raise InputError("table.columns", t("table.columns-invalid", path=name))
    return columns


def _row(
    columns: list[str], cells: list[str], index: int, line: int, today: date
) -> tuple[list[tuple[str, str]], Person | None]:
    """The faults of one row as (column, text), and the person if there is none."""
    if len(cells) != len(columns):
        return [("-", t("row.cells", found=len(cells), expected=len(columns)))], None
    row = {column: unicodedata.normalize("NFC", cell.strip()) for column, cell in zip(columns, cells, strict=True)}
    faults: list[tuple[str, str]] = []
    for column, value in row.items():
        if column not in _NOT_CLAIMS:
            fault = _text_fault(value)
            if fault is not None:
                faults.append((column, fault))
    row["id_number"] = row["id_number"].upper()
    number_fault = resident_number.fault(row["id_number"], today)
    if number_fault is not None and row["id_number"]:
        faults.append(("id_number", _number_words()[number_fault]))
    level = ASSURANCE_LEVELS.get(row.get("assurance_level") or "substantial")
    if level is None:
        faults.append(("assurance_level", t("row.level", known=", ".join(ASSURANCE_LEVELS))))
    valid_from = _day(row.get("valid_from", ""), today)
    valid_to = _day(row.get("valid_to", ""), (valid_from or today) + timedelta(days=365 * YEARS_DEFAULT))
    if valid_from is None:
        faults.append(("valid_from", t("row.day", first=YEAR_MIN, last=YEAR_MAX)))
    if valid_to is None:
        faults.append(("valid_to", t("row.day", first=YEAR_MIN, last=YEAR_MAX)))
    if valid_from is not None and valid_to is not None and valid_to <= valid_from:
        faults.append(("valid_to", t("row.order")))
    if faults or level is None or valid_from is None or valid_to is None:
        return faults, None
    claims = {column: value for column, value in row.items() if column not in _NOT_CLAIMS}
    return [], Person(index, line, claims, level, _millis(valid_from), _millis(valid_to))


def _number_words() -> dict[Fault, str]:
    return {
        Fault.LENGTH: t("row.number-length"),
        Fault.CHARACTERS: t("row.number-characters"),
        Fault.REGION: t("row.number-region"),
        Fault.DATE: t("row.number-date"),
        Fault.SEQUENCE: t("row.number-sequence"),
        Fault.CHECK: t("row.number-check"),
    }


def _text_fault(value: str) -> str | None:
    if not value:
        return t("row.empty")
    if len(value) > VALUE_CHARACTERS_MAX:
        return t("row.long", limit=VALUE_CHARACTERS_MAX)
    if any(unicodedata.category(character) in {"Cc", "Cs", "Co", "Cn"} for character in value):
        return t("row.control")
    return None


def _day(text: str, default: date) -> date | None:
    """An ISO day, the default if there is none, or None if it is not a day or of a year that cannot be meant."""
    if not text:
        return default
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if YEAR_MIN <= day.year <= YEAR_MAX else None


def _millis(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000
