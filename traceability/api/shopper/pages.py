# SPDX-License-Identifier: Apache-2.0
"""The journey page and its proof: written by the server from what was proven, whole without scripts, checked with them.

Opening a page of a serial counts a scan; see `scans`. The page itself sets no cookie.
"""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import APIRouter
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from service.language import Language, language_of, translate
from service.offline import Worker
from service.pages import Site, render
from service.problems import Problem
from service.rates import caller_of
from service.wording import day, instant
from traceability.api.context import TraceContext
from traceability.api.problems import NO_LINK
from traceability.api.shopper.bundle import bundle_of
from traceability.api.shopper.code import CODE, code_files
from traceability.api.shopper.districts import district_name
from traceability.api.shopper.evidence import Evidence, Evidences
from traceability.api.shopper.offline import GENESIS, SCRIPT, genesis_address
from traceability.api.shopper.pictures import curve, route
from traceability.api.shopper.places import FOOD, items_named
from traceability.api.shopper.scans import NONE, Hints, Scans
from traceability.api.shopper.telling import READINGS_SHOWN_MAX, Told, tell
from traceability.api.shopper.unrecorded import asked_beyond, query_beyond, query_left, unrecorded_lines
from traceability.api.shopper.words import Wording
from traceability.items import is_product
from traceability.pb import traceability_pb2 as pb
from traceability.products import product_key
from traceability.recalls import recall_key

BUNDLES: Final = "/v1/journeys/"
EPOCH_MAX: Final = 1 << 40
_FOREVER: Final = "public, max-age=31536000, immutable"
_BRIEFLY: Final = {"cache-control": "public, max-age=5", "access-control-allow-origin": "*"}


def shopper_site(item: str) -> Site:
    """The page's name, leading back to itself: a shopper came by a label and has nowhere else to go."""
    return Site("shopper.title", home=FOOD + item)


class Pages:
    """Pages of items.

    Args:
        context: Of the service.
        evidences: Gathers proofs.
        scans: Counts scans.
        offline: The worker of devices that keep pages.
    """

    def __init__(self, context: TraceContext, evidences: Evidences, scans: Scans, offline: Worker) -> None:
        self._context = context
        self._evidences = evidences
        self._scans = scans
        self._offline = offline

    def router(self) -> APIRouter:
        """All of their routes."""
        router = APIRouter()
        router.add_api_route(SCRIPT, self._offline.serve, methods=["GET"], include_in_schema=False)
        router.add_api_route(FOOD + "{rest:path}", self.show, methods=["GET"], include_in_schema=False)
        for path, answer, name, about in (
            (BUNDLES + "{rest:path}", self.bundle, "getJourney", "The proof of an item's journey, from genesis on"),
            (GENESIS, self.genesis, "getJourneyGenesis", "The network's genesis file"),
        ):
            router.add_api_route(path, answer, methods=["GET"], operation_id=name, summary=about, tags=["shopper"])
        return router

    async def found(self, request: Request, prefix: str) -> tuple[str, Evidence]:
        """The item that an address names, with its proof.

        Raises:
            Problem: The address names none, or nothing is known of it.
        """
        items = items_named(request, prefix)
        for item in items:
            evidence = None if is_product(item) else await self._evidences.of(item)
            if evidence is not None:
                return item, evidence
        raise Problem(NO_LINK)

    async def product_name(self, request: Request, item: str) -> str:
        """The name of a whole product.

        Raises:
            Problem: Nothing is known of it.
        """
        gtin = item.removeprefix("01/")
        words, _ = await self._product_words(request, gtin)
        return _product_name(words, gtin)

    async def show(self, request: Request) -> Response:
        """The page of an item, or of a product."""
        items = items_named(request, FOOD)
        if is_product(items[0]):
            finer = await self._beyond(request, items[0])
            return finer if isinstance(finer, Response) else await self._product(request, items[0], finer)
        item, evidence = await self.found(request, FOOD)
        if request.url.path != FOOD + item and request.scope["raw_path"].decode() != FOOD + item:
            unrecorded = query_beyond(items[: items.index(item)])
            query = f"{'&' if unrecorded else '?'}{request.url.query}" if request.url.query else ""
            return RedirectResponse(FOOD + item + unrecorded + query, 307)
        finer = await self._beyond(request, item)
        if isinstance(finer, Response):
            return finer
        hints = await self._scanned(request, item)
        told = await run_in_threadpool(tell, evidence, language_of(request))
        return render(
            request,
            "shopper/journey.html",
            site=shopper_site(item),
            **_unrecorded(request, finer),
            **self._words(request, evidence, told, hints),
        )

    async def bundle(self, request: Request, epoch: int = 0) -> Response:
        """The proof of an item's journey; `epoch`: the newest one that the caller knows."""
        _, evidence = await self.found(request, BUNDLES)
        content = await run_in_threadpool(bundle_of, evidence, min(max(epoch, 0), EPOCH_MAX))
        return Response(content, headers=_BRIEFLY, media_type="application/json")

    async def genesis(self, network: str = "") -> Response:
        """The genesis file; the network in the address keeps caches of two networks apart."""
        if network != self._context.genesis.network.hex():
            raise Problem(NO_LINK)
        return Response(self._context.genesis_raw, headers={"cache-control": _FOREVER}, media_type="application/json")

    # ------------------------------------------------------------ parts of a page

    async def _beyond(self, request: Request, item: str) -> Response | list[str]:
        """What a label said beyond an item and no record knows; where one does, the way to its page."""
        beyond = asked_beyond(request, item)
        for one in beyond:
            if await self._evidences.of(one) is not None:
                return RedirectResponse(FOOD + one + query_left(request, one), 307)
        return beyond

    async def _scanned(self, request: Request, item: str) -> Hints:
        """Count this scan, unless a browser fetches the page ahead or keeps it; what all scans hint at."""
        headers = request.headers
        is_opened = headers.get("sec-fetch-dest", "document") == "document"
        if is_opened and "prefetch" not in headers.get("sec-purpose", headers.get("purpose", "")):
            caller = caller_of(request.client.host if request.client else "")
            await run_in_threadpool(self._scans.note, item, caller, self._context.now())
        return await run_in_threadpool(self._scans.hints, item, self._context.now())

    def _words(self, request: Request, evidence: Evidence, told: Told, hints: Hints) -> Mapping[str, Any]:
        language, item = language_of(request), evidence.journey.item
        words = Wording(language, evidence.states, evidence.checkpoint.time_ms)
        readings = told.readings
        return {
            "told": told,
            "item": item,
            "evidence": evidence,
            "words": words,
            "hints": hints,
            "hint_lines": hint_lines(language, told, hints),
            "network": self._context.genesis.network.hex(),
            "network_name": self._context.genesis.name,
            "origin": self._context.origin,
            "bundle": BUNDLES + item,
            "genesis": genesis_address(self._context.genesis.network),
            "offline": SCRIPT,
            "version": self._offline.version,
            "code": " ".join(code_files()),
            "code_path": CODE,
            "districts": districts_of(language, evidence),
            "route": route(told.stops, translate(language, "shopper.route")),
            "curve": _curve(words, told),
            "readings": readings[:READINGS_SHOWN_MAX],
            "as_of": instant(evidence.checkpoint.time_ms),
            "shown_count": len(told.events),
        }

    async def _product_words(self, request: Request, gtin: str) -> tuple[Wording, bool]:
        """Words over a product's record, and whether all of it is recalled.

        Raises:
            Problem: It is not recorded.
        """
        session = self._context.door.session
        product, recall = await session.read_many([product_key(gtin), recall_key(f"01/{gtin}")])
        if product.value is None:
            raise Problem(NO_LINK)
        states = {product_key(gtin): product.value}
        return Wording(language_of(request), states, product.checkpoint.time_ms), recall.value is not None

    async def _product(self, request: Request, item: str, beyond: list[str]) -> Response:
        """What a whole product is, whether all of it is recalled, and what of the label stands in no record."""
        gtin = item.removeprefix("01/")
        words, is_recalled = await self._product_words(request, gtin)
        record = words.product(gtin)
        return render(
            request,
            "shopper/product.html",
            site=shopper_site(item),
            heading=_product_name(words, gtin),
            gtin=gtin,
            mass="" if record.unit == pb.UNIT_KILOGRAM else f"{record.mass_mg / 1000:g} g",
            limits=record.temperature if record.HasField("temperature") else None,
            degrees=words.degrees,
            is_recalled=is_recalled,
            **_unrecorded(request, beyond),
        )


def _product_name(words: Wording, gtin: str) -> str:
    return words.name(f"01/{gtin}/10/0")  # any batch is called as its product is


def hint_lines(language: Language, told: Told, hints: Hints = NONE) -> list[str]:
    """What hints at a copied label, one sentence each."""
    lines: list[str] = []
    if told.sold_ms:
        lines.append(translate(language, "shopper.copied-sold", day=day(language, instant(told.sold_ms))))
    if hints.travel is not None:
        hours, km = hints.travel
        lines.append(translate(language, "shopper.copied-travel", hours=hours, km=km))
    if hints.burst:
        lines.append(translate(language, "shopper.copied-burst", count=hints.burst))
    return lines


def districts_of(language: Language, evidence: Evidence) -> dict[str, str]:
    """Names of the districts that a journey's places lie in, for the phone."""
    records = (
        pb.RecordPlace.FromString(raw)
        for key, raw in evidence.states.items()
        if raw is not None and key.startswith(b"traceability/place/")
    )
    codes = {record.district for record in records if record.district}
    return {code: district_name(language, code) for code in sorted(codes)}


def _unrecorded(request: Request, beyond: list[str]) -> dict[str, Any]:
    """What templates say of a label that stands in no record, and the query that the complaint about it takes along."""
    return {
        "unrecorded": unrecorded_lines(language_of(request), beyond),
        "unrecorded_query": query_beyond(beyond),
    }


def _curve(words: Wording, told: Told) -> Markup:
    if not told.readings:
        return Markup("")
    low = words.degrees(min(one.low for one in told.readings))
    high = words.degrees(max(one.high for one in told.readings))
    label = translate(words.language, "shopper.cold-picture", low=low, high=high)
    ends = words.moment(told.readings[0].from_ms), words.moment(told.readings[-1].from_ms)
    return curve(told.readings, told.limits, label, ends)
