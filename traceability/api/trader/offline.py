# SPDX-License-Identifier: Apache-2.0
"""Traders' forms without a connection: public pages that hold nothing of anybody, and a worker that keeps them.

They have what every trader's form has and nothing that needs an answer: products for all, codes by scan or typing, and
one's own number as the device remembers it. What is entered is kept there and sent from the start page later. The
worker keeps no page of somebody who is signed in.
"""

from functools import cache
from typing import Final

from fastapi import APIRouter, Request
from sqlalchemy import select
from starlette.responses import Response

from service.envelope import permissions_policy
from service.language import language_of
from service.offline import Worker
from service.pages import render
from service.problems import NOT_FOUND, Problem
from service.static_files import static_files
from traceability.api.trace_index import records_table
from traceability.api.trader.ground import PATH, SITE, desk_of, names_of
from traceability.api.trader.steps import LINES_MAX, SHAPES, Step
from traceability.api.trader.stock import Stock
from traceability.api.trader.words import STEP_WORDS
from traceability.documents.names import Names, code_of
from traceability.pb import traceability_pb2 as pb

OFFLINE: Final = f"{PATH}/offline"
SCRIPT: Final = f"{PATH}/offline.js"
STEPS: Final = (Step.HARVEST, Step.PACK, Step.SHIP, Step.RECEIVE, Step.SELL, Step.DESTROY)
"""What is done where there is no connection; the others have one, or can wait."""
PRODUCTS_MAX: Final = 300
_ENTRIES: Final = ("shell.css", "shell.js", "sign-in.js", "trade.css", "trade.js", "qr-reader.js", "mark.svg")
_BARE_SITE: Final = SITE.__class__(SITE.title, home=PATH, layout="page", scripts=SITE.scripts)


def offline_router() -> APIRouter:
    """The routes; nobody needs to be signed in."""
    router = APIRouter(include_in_schema=False)

    @router.get(SCRIPT)
    async def worker(request: Request) -> Response:
        return await _worker().serve(request)

    @router.get(OFFLINE)
    def index(request: Request) -> Response:
        return _of_this_build(
            render(request, "trade/offline.html", site=_BARE_SITE, steps=STEPS, step_words=STEP_WORDS, offline=OFFLINE)
        )

    @router.get(OFFLINE + "/{name}")
    def form(name: str, request: Request) -> Response:
        step = next((one for one in STEPS if one.value == name), None)
        if step is None:
            raise Problem(NOT_FOUND)
        products, names = _products(request)
        page = render(
            request,
            "trade/form.html",
            site=_BARE_SITE,
            is_offline=True,
            step=step,
            shape=SHAPES[step],
            step_words=STEP_WORDS,
            around={"stock": Stock((), ()), "products": products, "places": [], "partners": []},
            names=names,
            actors=[],
            entered={
                "actor": "",
                "draft": "",
                "lines": [("", "")],
                "place": "",
                "partner": "",
                "carrier": "",
                "container": "",
                "product": products[0][0] if products else "",
                "lot": "",
                "passed": True,
                "complete": False,
                "celsius": "",
            },
            errors={},
            lines_max=LINES_MAX,
            code_of=code_of,
            typed=str,
        )
        page.headers["permissions-policy"] = permissions_policy({"camera"})
        return _of_this_build(page)

    return router


def _products(request: Request) -> tuple[list[tuple[str, str]], Names]:
    """Products that everybody may make, which is public."""
    with desk_of(request).context.reading() as connection:
        table = records_table.c
        wanted = select(table.record).where(table.kind == "product").order_by(table.number).limit(PRODUCTS_MAX)
        found = [pb.RecordProduct.FromString(raw) for raw in connection.scalars(wanted)]
        names = names_of(connection, language_of(request), items=[f"01/{one.gtin}" for one in found])
    return [(one.gtin, names.product(f"01/{one.gtin}/10/x")) for one in found if not one.owner], names


def _of_this_build(page: Response) -> Response:
    """A page that says which plan it goes with."""
    page.headers.update(_worker().headers)
    return page


@cache
def _worker() -> Worker:
    """Made once, for a build does not change under a service."""
    pages = [OFFLINE, *(f"{OFFLINE}/{step}" for step in STEPS)]
    return Worker(static_files(), "trade-offline.js", PATH, _ENTRIES, pages=pages)
