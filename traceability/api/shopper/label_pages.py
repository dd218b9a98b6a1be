# SPDX-License-Identifier: Apache-2.0
"""Pages of labels: an item's code to look at and to take along as SVG, PNG, or a printable sheet of A4.

A code holds a public address and nothing else, so whoever knows an item may draw it. Sheets take a core for some
moments: one at a time, of at most ten pages.
"""

import re
from datetime import UTC, datetime
from typing import Final

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from service.language import language_of, translate
from service.pages import render
from service.turns import Turns
from traceability.api.context import TraceContext
from traceability.api.labels import Label, label_png, label_sheet, label_svg
from traceability.api.shopper.pages import Pages, shopper_site
from traceability.api.shopper.telling import tell
from traceability.items import Kind, gtin_of, kind_of

LABELS: Final = "/food-labels/"
COUNT_MAX: Final = 210
"""Ten sheets at a time from a page that anybody may open; `traceability.api.labels` makes more for a program."""
WAITING_MAX: Final = 8
_PNG_MODULE_PX: Final = 12
_SERIAL = re.compile(r"[A-Za-z0-9._-]{0,19}?([0-9]{1,19})", re.ASCII)
_SERIAL_CHARACTERS: Final = 20


class LabelPages:
    """The pages.

    Args:
        context: Of the service.
        pages: Know the items.
    """

    def __init__(self, context: TraceContext, pages: Pages) -> None:
        self._context = context
        self._pages = pages
        self._turns = Turns(1, WAITING_MAX)

    def router(self) -> APIRouter:
        """Their routes."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route(LABELS + "{rest:path}", self.show, methods=["GET"])
        router.add_api_route(LABELS + "{rest:path}", self.sheet, methods=["POST"])
        return router

    async def show(self, request: Request, form: str = "") -> Response:
        """The page, or with `?form=svg` and `?form=png` the code itself."""
        item, evidence = await self._pages.found(request, LABELS)
        address = f"{self._context.origin}/{item}"
        if form in ("svg", "png"):
            drawn = label_svg(address) if form == "svg" else label_png(address, module_px=_PNG_MODULE_PX)
            media = {"svg": "image/svg+xml", "png": "image/png"}[form]
            return Response(drawn, headers={"cache-control": "public, max-age=86400"}, media_type=media)
        told = await run_in_threadpool(tell, evidence, language_of(request))
        return _page(request, item, f"{told.name} {told.identity}", address)

    async def sheet(self, request: Request) -> Response:
        """A sheet as PDF."""
        item, evidence = await self._pages.found(request, LABELS)
        language, fields = language_of(request), await request.form()
        given = {name: str(fields.get(name, "")).strip() for name in ("mode", "count", "first")}
        told = await run_in_threadpool(tell, evidence, language)
        name, address = f"{told.name} {told.identity}", f"{self._context.origin}/{item}"
        errors: dict[str, str] = {}
        is_count = re.fullmatch(r"[0-9]{1,3}", given["count"], re.ASCII) is not None
        count = int(given["count"]) if is_count else 0
        if not 1 <= count <= COUNT_MAX:
            errors["count"] = translate(language, "shopper.labels-count-wrong", count=COUNT_MAX)
        serials = serials_from(given["first"], count) if given["mode"] == "serials" else []
        if given["mode"] not in ("batch", "serials") or (given["mode"] == "serials" and not _has_serials(item)):
            errors["mode"] = translate(language, "shopper.labels-mode-wrong")
        elif given["mode"] == "serials" and serials is None:
            errors["first"] = translate(language, "shopper.labels-first-wrong")
        if errors:
            return _page(request, item, name, address, given=given, errors=errors, status=422)
        facts = [value for _, value in told.facts[:2]]
        if given["mode"] == "batch":
            labels = [Label(address, told.name, (told.identity, *facts))] * count
        else:
            root = f"{self._context.origin}/01/{gtin_of(item)}/21/"
            labels = [Label(root + one, told.name, (one, *facts)) for one in serials or []]
        title = translate(language, "shopper.labels-file", name=name)
        async with self._turns.turn():
            made_at = datetime.fromtimestamp(self._context.now() / 1000, UTC)
            content = await run_in_threadpool(label_sheet, title, labels, language, made_at)
        headers = {"content-disposition": 'attachment; filename="labels.pdf"', "cache-control": "no-store"}
        return Response(content, headers=headers, media_type="application/pdf")


def serials_from(first: str, count: int) -> list[str] | None:
    """Serials that count up from the first, with as many digits; None: it is none, or the digits do not suffice.

    Args:
        first: At most 20 letters, digits and - . _; ends with digits.
        count: How many.
    """
    match = _SERIAL.fullmatch(first)
    if match is None or len(first) > _SERIAL_CHARACTERS:
        return None
    digits = match[1]
    head, start = first[: len(first) - len(digits)], int(digits)
    if len(str(start + count - 1)) > len(digits):
        return None
    return [f"{head}{start + step:0{len(digits)}}" for step in range(count)]


def _has_serials(item: str) -> bool:
    return kind_of(item) in (Kind.LOT, Kind.SERIAL)


def _page(
    request: Request,
    item: str,
    name: str,
    address: str,
    *,
    given: dict[str, str] | None = None,
    errors: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    return render(
        request,
        "shopper/labels.html",
        site=shopper_site(item),
        status=status,
        item=item,
        goods=name,
        address=address,
        has_serials=_has_serials(item),
        count_max=COUNT_MAX,
        given=given or {"mode": "batch", "count": "21", "first": "000001"},
        errors=errors or {},
    )
