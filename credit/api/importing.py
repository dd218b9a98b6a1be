# SPDX-License-Identifier: Apache-2.0
"""Events from a CSV file: each line checked by itself, the good ones prepared as acts to sign, the bad ones reported.

The source's own number of an event (`reference`) makes this resumable: who brings the same file again gets the lines
that are not recorded yet. Nothing of a line is kept but what becomes of it; numbers of persons stay out of the report.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from credit.api.answering import ACT_EVENTS_MAX, Signing, attest
from credit.api.base import CreditContext, day_of
from credit.api.drawing import REFERENCE_CHARACTERS_MAX, Allowed, Wanted, allowed, check, known_references
from credit.api.problems import CSV, DATES, SEVERITY, UNKNOWN_SUBJECT
from credit.api.reading import StoredAccesses
from credit.api.subjects import NUMBER_CHARACTERS_MAX, look_up, masked_name
from credit.slots import SEVERITIES, Content
from service.problems import Problem

COLUMNS: Final = ("number", "class", "severity", "occurred", "document", "due", "reference")
ROWS_MAX: Final = 2_400
"""Twenty acts to sign; more come through the interface, 300 events a signature."""
FILE_BYTES_MAX: Final = 1024 * 1024
NOTES_AT_ONCE: Final = 100
"""Looks of one transaction: some tens of milliseconds, for others wait to write."""
FORM_FAULT: Final = "credit-page.csv-line"


@dataclass(frozen=True, slots=True)
class Fault:
    """A line that was not taken.

    Attributes:
        line: As an editor counts it, the head line being the first.
        code: Of the problem that says why.
    """

    line: int
    reference: str
    code: str


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a file.

    Attributes:
        acts: To be signed, each with how many events it has.
        known: Lines that were recorded before, or wait for a signature.
    """

    acts: tuple[tuple[str, int], ...]
    known: int
    faults: tuple[Fault, ...]

    @property
    def taken(self) -> int:
        """Lines in acts."""
        return sum(count for _, count in self.acts)


def import_events(signing: Signing, raw: bytes) -> Imported:
    """Check a file and prepare acts for what is good in it.

    Args:
        signing: Who will sign.
        raw: CSV in UTF-8 or GB 18030, with a head line.

    Raises:
        Problem: It is no such file.
    """
    context, source = signing.context, signing.officer.organisation
    rows, may = _rows(raw), allowed(context, source)
    known = known_references(context, source, [row["reference"] for _, row in rows if row["reference"]])
    good: list[tuple[Wanted, str]] = []
    faults: list[Fault] = []
    seen: set[str] = set()
    met: set[str] = set()
    for line, row in rows:
        reference = row["reference"]
        if reference in known:
            continue
        found = "credit.duplicate" if reference in seen else _read(context, may, row, source, met)
        if isinstance(found, str):
            faults.append(Fault(line, reference[:REFERENCE_CHARACTERS_MAX], found))
        else:
            seen.add(reference)
            good.append(found)
    _note_looks(context, source, sorted(met))
    acts: list[tuple[str, int]] = []
    for at in range(0, len(good), ACT_EVENTS_MAX):
        part = good[at : at + ACT_EVENTS_MAX]
        # a crash here leaves the acts before; the same file brings the rest
        acts.append((attest(signing, [one for one, _ in part], [name for _, name in part]), len(part)))
    return Imported(tuple(acts), sum(row["reference"] in known for _, row in rows), tuple(faults))


def _rows(raw: bytes) -> Sequence[tuple[int, Mapping[str, str]]]:
    """Lines by number.

    Raises:
        Problem: Not text, other columns, or too many lines.
    """
    if len(raw) > FILE_BYTES_MAX:
        raise Problem(CSV, {"rows": ROWS_MAX})
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = raw.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        raise Problem(CSV, {"rows": ROWS_MAX})
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        head = [name.strip().lower() for name in next(reader, [])]
        rows = []
        for cells in reader:
            if any(cell.strip() for cell in cells):
                padded = [*cells, *[""] * len(head)]
                rows.append((reader.line_num, dict(zip(head, (cell.strip() for cell in padded), strict=False))))
            if len(rows) > ROWS_MAX:
                raise Problem(CSV, {"rows": ROWS_MAX})
    except csv.Error:
        raise Problem(CSV, {"rows": ROWS_MAX}) from None
    if set(head) != set(COLUMNS) or len(head) != len(COLUMNS) or not rows:
        raise Problem(CSV, {"rows": ROWS_MAX})
    return rows


def _note_looks(context: CreditContext, source: str, subject_ids: Sequence[str]) -> None:
    """Note whom a file's numbers found, before anybody is told: also where nothing of it is signed afterwards."""
    for at in range(0, len(subject_ids), NOTES_AT_ONCE):
        with context.store.write() as session:
            for subject_id in subject_ids[at : at + NOTES_AT_ONCE]:
                StoredAccesses(context).note_handle(session, subject_id, source)


def _read(
    context: CreditContext, may: Allowed, row: Mapping[str, str], source: str, met: set[str]
) -> tuple[Wanted, str] | str:
    """An event with the name of whom it is about, or the code of what is wrong with it; `met` is who was found."""
    reference, number = row["reference"], row["class"]
    is_reference = 0 < len(reference) <= REFERENCE_CHARACTERS_MAX and reference.isascii() and reference.isprintable()
    if not is_reference or not (number.isascii() and number.isdigit() and len(number) <= 5):
        return FORM_FAULT
    if len(row["number"]) > NUMBER_CHARACTERS_MAX or not row["number"]:
        return UNKNOWN_SUBJECT.code
    severity = row["severity"] or "none"
    if severity not in SEVERITIES:
        return SEVERITY.code
    try:
        occurred, document = date.fromisoformat(row["occurred"]), date.fromisoformat(row["document"])
        due = day_of(date.fromisoformat(row["due"])) if row["due"] else 0
    except ValueError:
        return DATES.code
    content = Content(severity, day_of(occurred), day_of(document), due)
    try:
        with context.store.read() as session:
            subject = look_up(context, session, source, row["number"])
            name = masked_name(context, session, subject)
    except Problem as problem:
        return problem.kind.code
    met.add(subject.id)
    wanted = Wanted(subject.id, int(number), content, reference)
    kind = check(wanted, may)
    return (wanted, name) if kind is None else kind.code
