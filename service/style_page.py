# SPDX-License-Identifier: Apache-2.0
"""The style page, `/_styles`: each piece of the design system in each of its states, in both languages.

For those who build pages, and for the tests that look at every piece. Names and figures in it are invented.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.language import Language, add_messages, language_of, translate
from service.pages import Place, Site, render
from service.tables import Column, csv_response, listing, read_order

PATH = "/_styles"

add_messages(Path(__file__).parent / "messages" / "style-page")

_PLACES = (
    Place("style.in-page", PATH),
    Place("style.in-workplace", f"{PATH}/workplace", count=3),
    Place("style.in-kiosk", f"{PATH}/kiosk"),
)
SITE = Site("style.title", PATH, _PLACES, scripts=("htmx.js", "style-page.js"))
_SITES = {
    "": SITE,
    "workplace": Site("style.title", PATH, _PLACES, layout="workplace", scripts=("htmx.js", "style-page.js")),
    "kiosk": Site("style.title", PATH, _PLACES, size="kiosk", scripts=("htmx.js", "style-page.js")),
}
_COLUMNS = (
    Column("name", "style.column-name", sortable=True),
    Column("state", "style.column-state"),
    Column("signed", "style.column-signed", sortable=True, numeric=True),
    Column("delay", "style.column-delay", sortable=True, numeric=True),
)
_VALIDATORS = (
    ("style.org-1", "style.org-live", 10_000, 3),
    ("style.org-2", "style.org-live", 9_998, 5),
    ("style.org-3", "style.org-live", 9_990, 4),
    ("style.org-4", "style.org-restarted", 9_820, 11),
)
_ROWS_ON_A_PAGE = 3
_FINALITY = (62, 66, 61, 71, 65, 78, 69, 74, 121, 80, 72, 76, 70, 73, 69)
_SLOWEST = (98, 112, 96, 141, 120, 149, 115, 131, 288, 156, 128, 134, 119, 142, 130)
_RECORDS = (1240, 980, 2210, 4130, 5020, 4870, 3910, 2380)
_SIGNED = (100, 100, 99.9, 100, 99.8, 99.9, 100, 99.7, 98.2, 99.4, 99.9, 100)
_HARVESTED = datetime(2026, 11, 19, 21, 40, tzinfo=UTC)
_SAMPLES = ("waiting", "checking", "proved", "failed", "unchecked")


def style_router() -> APIRouter:
    """The routes of the style page: a citizen's, a workplace's, a kiosk's."""
    router = APIRouter(include_in_schema=False)
    router.add_api_route(PATH, _show_page, methods=["GET"])
    router.add_api_route(f"{PATH}/workplace", _show_workplace, methods=["GET"])
    router.add_api_route(f"{PATH}/kiosk", _show_kiosk, methods=["GET"])
    return router


async def _show_page(request: Request) -> Response:
    return _show(request, _SITES[""])


async def _show_workplace(request: Request) -> Response:
    return _show(request, _SITES["workplace"])


async def _show_kiosk(request: Request) -> Response:
    return _show(request, _SITES["kiosk"])


def _show(request: Request, site: Site) -> Response:
    language = language_of(request)
    order = read_order(request, _COLUMNS, page_size=_ROWS_ON_A_PAGE)
    rows = [(translate(language, name), state, signed, delay) for name, state, signed, delay in _VALIDATORS]
    rows.sort(key=lambda row: row[("name", "state", "signed", "delay").index(order.key)], reverse=order.descending)
    if request.query_params.get("format") == "csv":
        words = [(name, translate(language, state), signed / 100, delay) for name, state, signed, delay in rows]
        return csv_response(request, "validators", _COLUMNS, words)
    shown = rows[order.offset : order.offset + _ROWS_ON_A_PAGE]
    now = datetime.now(UTC)
    start = datetime(2026, 11, 20, 1, 0, tzinfo=UTC)
    minutes = [(start + timedelta(seconds=40 * index)).strftime("%H:%M") for index in range(len(_FINALITY))]
    return render(
        request,
        "style-page.html",
        site=site,
        table=listing(request, "validators", _COLUMNS, order, shown=len(shown), total=len(rows)),
        rows=shown,
        finality=list(zip(minutes, _FINALITY, _SLOWEST, strict=True)),
        records=[(f"{8 + hour:02}:00", count) for hour, count in enumerate(_RECORDS)],
        signed=[(f"{2 * index:02}:00", value) for index, value in enumerate(_SIGNED)],
        samples=[_sample(language, state) for state in _SAMPLES],
        harvested=_HARVESTED,
        now=now,
        a_moment_ago=now - timedelta(minutes=3),
        digest=hashlib.sha256(b"a sample").hexdigest(),
    )


def _sample(language: Language, state: str) -> dict[str, object]:
    """One proof strip with the sentences that it checks and their digests: right, of other words, or absent."""
    first = translate(language, "style.proof-sentence-1")
    second = translate(language, "style.proof-sentence-2")
    altered = translate(language, "style.proof-sentence-2-altered")
    digests = {
        "first": hashlib.sha256(first.encode()).hexdigest(),
        "second": "" if state == "unchecked" else hashlib.sha256(second.encode()).hexdigest(),
    }
    words = {"first": first, "second": altered if state == "failed" else second}
    return {"state": state, "id": f"proof-{state}", "digests": digests, "words": words}
