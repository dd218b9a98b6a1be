# SPDX-License-Identifier: Apache-2.0
"""Tables: what an address may ask of them, their links, and their export."""

import csv
import io

import pytest
from starlette.requests import Request

import service.style_page  # noqa: F401 - brings the words of these columns
from service.tables import EXPORT_ROWS_MAX, PAGE_MAX, Column, csv_response, listing, read_order

COLUMNS = (
    Column("name", "style.column-name"),
    Column("height", "style.column-signed", sortable=True, numeric=True),
    Column("delay", "style.column-delay", sortable=True, numeric=True),
)


def request_for(query: str) -> Request:
    scope = {"type": "http", "method": "GET", "scheme": "http", "path": "/list", "query_string": query.encode()}
    return Request(scope | {"headers": [(b"accept-language", b"en")], "server": ("localhost", 80)})


@pytest.mark.parametrize(
    ("query", "key", "descending", "page"),
    [
        ("", "height", False, 1),
        ("sort=-delay&page=3", "delay", True, 3),
        ("sort=name", "height", False, 1),
        ("sort=1;drop table&page=-1", "height", False, 1),
        ("sort=--delay&page=0", "height", False, 1),
        ("page=99999999999999999999", "height", False, 1),
        ("page=%D9%A3", "height", False, 1),
        ("page=999999", "height", False, PAGE_MAX),
    ],
)
def test_order_is_one_that_the_columns_know(query: str, key: str, descending: bool, page: int) -> None:
    order = read_order(request_for(query), COLUMNS)
    assert (order.key, order.descending, order.page) == (key, descending, page)


def test_links_turn_the_order_and_begin_at_the_first_page() -> None:
    request = request_for("q=x&sort=delay&page=2")
    shown = listing(request, "t", COLUMNS, read_order(request, COLUMNS, page_size=10), shown=10, total=25)
    assert [head.link for head in shown.columns] == [None, "/list?q=x&sort=height", "/list?q=x&sort=-delay"]
    assert [head.sorted for head in shown.columns] == [None, None, "ascending"]
    assert (shown.first, shown.last, shown.total) == (11, 20, 25)
    assert shown.previous == "/list?q=x&sort=delay"
    assert shown.next == "/list?q=x&sort=delay&page=3"


def test_last_page_and_empty_list_lead_no_further() -> None:
    request = request_for("page=3")
    last = listing(request, "t", COLUMNS, read_order(request, COLUMNS, page_size=10), shown=5, total=25)
    assert last.next is None
    request = request_for("")
    empty = listing(request, "t", COLUMNS, read_order(request, COLUMNS), shown=0, total=0)
    assert (empty.first, empty.last, empty.previous, empty.next) == (0, 0, None, None)


def test_export_disarms_formulas_and_keeps_chinese_commas_and_lines() -> None:
    rows = [("=cmd|' /C calc'!A0", 1, "智信, “x”\nnext"), ("@x", -5, "-1"), ("plain", 2.5, "")]
    answer = csv_response(request_for(""), "validators", COLUMNS, rows)
    text = bytes(answer.body).decode("utf-8-sig")
    assert bytes(answer.body).startswith(b"\xef\xbb\xbf")
    assert list(csv.reader(io.StringIO(text))) == [
        ["Organisation", "Signed", "Delay"],
        ["'=cmd|' /C calc'!A0", "1", "智信, “x”\nnext"],
        ["'@x", "-5", "'-1"],
        ["plain", "2.5", ""],
    ]
    assert answer.headers["content-disposition"] == 'attachment; filename="validators.csv"'


@pytest.mark.parametrize("cell", ["＝1+1", "＋1", "－1", "＠SUM(1)", " =1+1", "\u3000=1+1", "\n=1+1", "\ttext", "\n"])
def test_export_disarms_formulas_in_full_width_or_behind_blanks(cell: str) -> None:
    answer = csv_response(request_for(""), "validators", COLUMNS[:1], [(cell,)])
    rows = list(csv.reader(io.StringIO(bytes(answer.body).decode("utf-8-sig"), newline="")))
    assert rows[1] == [f"'{cell}"]


def test_export_ends_at_its_limit() -> None:
    answer = csv_response(request_for(""), "all", COLUMNS[:1], (("x",) for _ in range(EXPORT_ROWS_MAX + 5)))
    assert bytes(answer.body).count(b"\r\n") == EXPORT_ROWS_MAX + 1
