# SPDX-License-Identifier: Apache-2.0
"""Tables of the explorer: their columns, how they are paged, and all rows as a CSV file.

Pages follow places on the chain, not counts of rows: what comes in meanwhile moves nothing.
"""

from starlette.requests import Request
from starlette.responses import Response

from service.explorer.queries import Explored, Filter, Page
from service.pages import address_with
from service.tables import EXPORT_ROWS_MAX, Column, Head, Listing, csv_response
from service.wording import instant

HEIGHT_DIGITS_MAX = 15
"""Below 2^53, so that browsers can count it."""

BLOCKS = (
    Column("height", "explorer.height"),
    Column("time", "explorer.time"),
    Column("transactions", "explorer.transactions", numeric=True),
    Column("epoch", "explorer.epoch", numeric=True),
    Column("id", "explorer.id"),
)
TRANSACTIONS = (
    Column("what", "explorer.what"),
    Column("who", "explorer.signed-by"),
    Column("outcome", "explorer.outcome"),
    Column("time", "explorer.time"),
    Column("id", "explorer.id"),
)
_EXPORTED = (
    Column("leaf", "explorer.leaf"),
    Column("id", "explorer.id"),
    Column("height", "explorer.height"),
    Column("time", "explorer.time"),
    Column("type", "explorer.type"),
    Column("operations", "explorer.operations"),
    Column("who", "explorer.signed-by"),
    Column("failure", "explorer.refused-by"),
)


def place(request: Request, name: str) -> int | None:
    """A place on the chain that the address asks for.

    Args:
        request: What was asked.
        name: Of the parameter, such as "before".

    Returns:
        A height or a leaf, at least 0; None: none is asked for, or an odd one, for such addresses are old bookmarks.
    """
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= HEIGHT_DIGITS_MAX else None


def paged(request: Request, table_id: str, page: Page, export: str) -> Listing:
    """A table of transactions that is paged by leaf.

    Args:
        request: What was asked; the links keep its filters.
        table_id: In the page.
        page: What is shown.
        export: Address of all rows as a file; "": none.
    """
    previous = address_with(request, after=page.after, before=None) if page.after is not None else None
    following = address_with(request, before=page.before, after=None) if page.before is not None else None
    return listing(table_id, TRANSACTIONS, previous, following, export)


def listing(
    table_id: str, columns: tuple[Column, ...], previous: str | None, following: str | None, export: str
) -> Listing:
    """A table without sorting and counts: a chain has one order.

    Args:
        table_id: In the page.
        columns: From left to right.
        previous: Address of the page before; None: this is the first.
        following: Address of the page after; None: this is the last.
        export: Address of all rows as a file; "": none.
    """
    heads = tuple(Head(column.key, column.title, column.numeric, None, None) for column in columns)
    return Listing(table_id, heads, export, None, 0, 0, previous, following)


def export_of(explored: Explored, wanted: Filter, request: Request) -> Response:
    """All transactions of a filter as a CSV file, up to `EXPORT_ROWS_MAX` of them; blocks while it reads them."""
    rows = (
        (
            row.leaf_index,
            row.id.hex(),
            row.height,
            instant(row.time_ms).isoformat(),
            row.first_type,
            row.operations,
            ", ".join(row.organisations),
            row.failure,
        )
        for row in explored.all_transactions(wanted, EXPORT_ROWS_MAX)
    )
    return csv_response(request, "transactions", _EXPORTED, rows)
