# SPDX-License-Identifier: Apache-2.0
"""What shoppers tell: where they saw a serial, and what they complain of. Two forms, without a name in either."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from service.language import Language, language_of, translate
from service.pages import render
from service.problems import Problem
from service.rates import caller_of
from traceability.api.problems import NO_LINK
from traceability.api.shopper.complaints import ELSEWHERE, KINDS, Complaints, complaint_errors
from traceability.api.shopper.districts import OFFERED, district_name, district_of
from traceability.api.shopper.pages import Pages, shopper_site
from traceability.api.shopper.places import items_named, plain
from traceability.api.shopper.problems import TOO_MANY_COMPLAINTS
from traceability.api.shopper.scans import Scans
from traceability.api.shopper.tables import COMPLAINT_CHARACTERS_MAX
from traceability.api.shopper.unrecorded import asked_beyond, query_beyond, unrecorded_lines
from traceability.api.shopper.words import Wording
from traceability.items import Kind, is_product, kind_of

HERE: Final = "/food-here/"
COMPLAINT: Final = "/food-complaint/"
_RETRY_S: Final = 3_600


class Voices:
    """The forms.

    Args:
        pages: Know the items.
        scans: Count scans.
        complaints: Take complaints.
        now: Unix time in ms.
    """

    def __init__(self, pages: Pages, scans: Scans, complaints: Complaints, now: Callable[[], int]) -> None:
        self._pages = pages
        self._scans = scans
        self._complaints = complaints
        self._now = now

    def router(self) -> APIRouter:
        """All of their routes."""
        router = APIRouter(include_in_schema=False)
        for path, ask, take in ((HERE, self.ask_here, self.take_here), (COMPLAINT, self.ask, self.take)):
            router.add_api_route(path + "{rest:path}", ask, methods=["GET"])
            router.add_api_route(path + "{rest:path}", take, methods=["POST"])
        return router

    async def ask_here(self, request: Request) -> Response:
        """Where somebody sees a serial."""
        return await self._here(request, await self._serial(request))

    async def take_here(self, request: Request) -> Response:
        """Count it there."""
        item = await self._serial(request)
        district = str((await request.form()).get("district", ""))
        if district not in OFFERED:
            wrong = translate(language_of(request), "shopper.complaint-district-unknown")
            return await self._here(request, item, errors={"district": wrong}, status=422)
        await run_in_threadpool(self._scans.note, item, _caller(request), self._now(), district)
        return await self._here(request, item, is_done=True)

    async def ask(self, request: Request) -> Response:
        """What somebody complains of."""
        item, name = await self._named(request)
        beyond = asked_beyond(request, item)
        if not beyond:
            return _form(request, item, name)
        text = " ".join(unrecorded_lines(language_of(request), beyond))
        return _form(request, item, name, given={"kind": "label", "district": "", "text": text}, beyond=beyond)

    async def take(self, request: Request) -> Response:
        """Take a complaint."""
        item, name = await self._named(request)
        language, fields = language_of(request), await request.form()
        given = {key: str(fields.get(key, "")).strip() for key in ("kind", "district", "text")}
        given["text"] = given["text"].replace("\r\n", "\n")
        wrong = complaint_errors(**given)
        if wrong:
            errors = {field: _error(language, key) for field, key in wrong.items()}
            return _form(
                request, item, name, given=given, errors=errors, status=422, beyond=asked_beyond(request, item)
            )
        now_ms = self._now()
        wait_s = self._complaints.wait_s(_caller(request), now_ms)
        if wait_s:
            raise Problem(TOO_MANY_COMPLAINTS, headers={"Retry-After": str(wait_s)})
        made = await run_in_threadpool(self._complaints.take, item, now_ms=now_ms, **given)
        if made is None:
            raise Problem(TOO_MANY_COMPLAINTS, headers={"Retry-After": str(_RETRY_S)})
        return render(
            request, "shopper/complaint-done.html", site=shopper_site(item), item=item, reference=made.reference
        )

    async def _serial(self, request: Request) -> str:
        """The serial that an address names; nothing of batches is counted.

        Raises:
            Problem: It names no serial that is known.
        """
        item, _ = await self._pages.found(request, HERE)
        if kind_of(item) is not Kind.SERIAL:
            raise Problem(NO_LINK)
        return item

    async def _named(self, request: Request) -> tuple[str, str]:
        """The goods that an address names, or the whole product, with their name."""
        product = items_named(request, COMPLAINT)[0]
        if is_product(product):
            return product, await self._pages.product_name(request, product)
        item, evidence = await self._pages.found(request, COMPLAINT)
        words = Wording(language_of(request), evidence.states, evidence.checkpoint.time_ms)
        return item, f"{words.name(item)} {words.identity(item)}"

    async def _here(
        self,
        request: Request,
        item: str,
        *,
        is_done: bool = False,
        errors: dict[str, str] | None = None,
        status: int = 200,
    ) -> Response:
        listed = [(code, district_name(language_of(request), code)) for code in OFFERED]
        return render(
            request,
            "shopper/here.html",
            site=shopper_site(item),
            status=status,
            item=item,
            serial=plain(item),
            districts=listed,
            is_done=is_done,
            errors=errors or {},
        )


def _form(
    request: Request,
    item: str,
    name: str,
    *,
    given: dict[str, str] | None = None,
    errors: dict[str, str] | None = None,
    status: int = 200,
    beyond: Sequence[str] = (),
) -> Response:
    language = language_of(request)
    districts = [
        ("", translate(language, "shopper.district-none")),
        *((code, district_name(language, code)) for code in OFFERED if district_of(code)),
        (ELSEWHERE, translate(language, "shopper.district-elsewhere")),
    ]
    words: dict[str, Any] = {
        "item": item,
        "back": item + query_beyond(beyond),
        "goods": name,
        "kinds": [(kind, translate(language, key), "") for kind, key in KINDS.items()],
        "districts": districts,
        "characters_max": COMPLAINT_CHARACTERS_MAX,
        "given": given or {"kind": "", "district": "", "text": ""},
        "errors": errors or {},
    }
    return render(request, "shopper/complaint.html", site=shopper_site(item), status=status, **words)


def _error(language: Language, key: str) -> str:
    return translate(language, key, count=COMPLAINT_CHARACTERS_MAX)


def _caller(request: Request) -> str:
    return caller_of(request.client.host if request.client else "")
