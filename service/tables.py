# SPDX-License-Identifier: Apache-2.0
"""Lists as tables: which column sorts them, which part of them shows, and the same as a CSV file.

What the address asks for is read leniently (an unknown column or page falls back to the first), for such addresses are
old bookmarks more often than attacks; nothing of it reaches a query but names that the columns list.
"""

import csv
import io
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from service.language import language_of, translate
from service.pages import address_with

PAGE_SIZE = 25
PAGE_MAX = 10_000
"""Farther pages are not served: a reader narrows the search instead, and a deep offset costs the database."""

EXPORT_ROWS_MAX = 100_000
"""Rows of one CSV file: it is made in memory, and spreadsheets end at about a million."""

Sorted = Literal["ascending", "descending"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column as a page defines it."""

    key: str
    title: str
    """Key of its name in the catalogues."""
    sortable: bool = False
    numeric: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """One column as a template shows it."""

    key: str
    title: str
    numeric: bool
    sorted: Sorted | None
    link: str | None


@dataclass(frozen=True, slots=True)
class Order:
    """What the address asks for: the column that sorts, its direction, and the page, 1-based."""

    key: str
    descending: bool
    page: int
    page_size: int

    @property
    def offset(self) -> int:
        """Rows before the page."""
        return (self.page - 1) * self.page_size


@dataclass(frozen=True, slots=True)
class Listing:
    """A table as a template shows it."""

    id: str
    columns: tuple[Head, ...]
    export: str
    total: int | None
    first: int
    last: int
    previous: str | None
    next: str | None


def read_order(request: Request, columns: Sequence[Column], *, page_size: int = PAGE_SIZE) -> Order:
    """What `?sort=` (`height` or `-height`) and `?page=` ask for.

    Args:
        request: The request being answered.
        columns: The first sortable one sorts by default, ascending.
        page_size: Rows on one page.
    """
    sortable = [column.key for column in columns if column.sortable]
    asked = request.query_params.get("sort", "")
    key = asked.removeprefix("-")
    if key not in sortable:
        asked = key = sortable[0] if sortable else columns[0].key
    return Order(key, asked.startswith("-"), _page(request.query_params.get("page", "")), page_size)


def listing(
    request: Request, table_id: str, columns: Sequence[Column], order: Order, *, shown: int, total: int
) -> Listing:
    """The table's frame: links that sort it, its pages, its export.

    Args:
        request: The request being answered.
        table_id: Its `id` in the page.
        columns: As given to `read_order`.
        order: What `read_order` found.
        shown: Rows on this page.
        total: Rows on all pages.
    """
    heads = tuple(_head(request, column, order) for column in columns)
    more = order.offset + shown < total and order.page < PAGE_MAX
    return Listing(
        id=table_id,
        columns=heads,
        export=address_with(request, format="csv", page=None),
        total=total,
        first=order.offset + 1 if shown else 0,
        last=order.offset + shown,
        previous=address_with(request, page=order.page - 1 if order.page > 2 else None) if order.page > 1 else None,
        next=address_with(request, page=order.page + 1) if more else None,
    )


def csv_response(request: Request, name: str, columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> Response:
    """The whole list as a CSV file that spreadsheets open with its Chinese intact.

    A text that a spreadsheet would take for a formula is preceded by an apostrophe.

    Args:
        request: The request being answered; says the language of the head line.
        name: File name without its ending; ASCII.
        columns: The head line.
        rows: Cells in the columns' order; rows beyond `EXPORT_ROWS_MAX` are left out.

    Source: RFC 4180; OWASP, "CSV Injection".
    """
    assert name.isascii(), "a file name in a header is ASCII"
    language = language_of(request)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([translate(language, column.title) for column in columns])
    for _, row in zip(range(EXPORT_ROWS_MAX), rows, strict=False):
        writer.writerow([_harmless(cell) for cell in row])
    return Response(
        "\N{ZERO WIDTH NO-BREAK SPACE}" + text.getvalue(),
        media_type="text/csv; charset=utf-8",
        headers={
            "content-disposition": f'attachment; filename="{name}.csv"',
            "content-language": language,
            "cache-control": "private, no-cache",
        },
    )


def _page(asked: str) -> int:
    number = int(asked) if asked.isascii() and asked.isdecimal() and len(asked) <= 6 else 1
    return min(max(number, 1), PAGE_MAX)


def _head(request: Request, column: Column, order: Order) -> Head:
    sorted_by: Sorted | None = None
    if column.sortable and column.key == order.key:
        sorted_by = "descending" if order.descending else "ascending"
    turned = f"-{column.key}" if sorted_by == "ascending" else column.key
    link = address_with(request, sort=turned, page=None) if column.sortable else None
    return Head(column.key, column.title, column.numeric, sorted_by, link)


def _harmless(cell: object) -> object:
    """Blanks at its beginning make a formula no text, and full-width signs begin one too."""
    if isinstance(cell, str) and unicodedata.normalize("NFKC", cell.lstrip()[:1]) in {"=", "+", "-", "@"}:
        return f"'{cell}"
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in {"\t", "\r", "\n"} else cell
