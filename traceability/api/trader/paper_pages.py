# SPDX-License-Identifier: Apache-2.0
"""Promises of conformity: chosen by batch or by shipment, filled with what events say, signed on paper.

Who promises and how to reach them stands on the certificate and is kept nowhere. A batch's certificate is its maker's
to issue; whoever ships a part of it issues that part's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.responses import Response

from service.language import Language, language_of, translate
from service.pdf import Unprintable
from service.problems import Problem
from traceability.acts import Act
from traceability.api.documents.certificate_pdf import (
    CONTACT_CHARACTERS_MAX,
    PROMISER_CHARACTERS_MAX,
    Promise,
    certificate_pdf,
)
from traceability.api.documents.words import BASIS_KEYS
from traceability.api.trace_search import IndexedEvents
from traceability.api.trader.ground import PATH, Here, Present, desk_of, names_of, show
from traceability.api.trader.problems import NO_BATCH
from traceability.api.trader.stock import candidates_of
from traceability.documents.certificate import Basis, Certificate, NoBatch, batch_certificate, part_certificate
from traceability.documents.names import Names
from traceability.items import Kind, kind_of
from traceability.trace_store import TraceEvent

PAPERS: Final = f"{PATH}/papers"
CHOICES_MAX: Final = 200
"""Batches and shipments that a page offers."""
_BASIS: Final = {basis.value for basis in Basis}


@dataclass(frozen=True, slots=True)
class Choice:
    """One certificate that somebody may issue.

    Attributes:
        value: Of the form: the lot, and behind a blank the shipment's id in hex, if it is a part's.
        certificate: What it would say.
        partner: GLN of who gets the part; empty for a whole batch.
    """

    value: str
    certificate: Certificate
    partner: str


def paper_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)

    @router.get(PAPERS)
    async def papers(request: Request, present: Here, item: str = "") -> Response:
        return await _page(request, present, {"choice": item, "promiser": "", "contact": "", "basis": []}, {})

    @router.post(PAPERS)
    async def issue(request: Request, present: Here) -> Response:
        form = await request.form(max_files=0)
        entered, promise, errors = _read(form, language_of(request))
        if errors:
            return await _page(request, present, entered, errors)
        return await run_in_threadpool(_issued, request, present, str(entered["choice"]), promise)

    return router


async def _page(request: Request, present: Present, entered: dict[str, object], errors: dict[str, str]) -> Response:
    choices, names = await run_in_threadpool(_choices, request, present)
    return show(
        request,
        present.officer,
        "trade/papers.html",
        status=422 if errors else 200,
        choices=choices,
        names=names,
        entered=entered,
        errors=errors,
        basis_keys=BASIS_KEYS,
        promiser_max=PROMISER_CHARACTERS_MAX,
        contact_max=CONTACT_CHARACTERS_MAX,
    )


def _read(form: FormData, language: Language) -> tuple[dict[str, object], Promise, dict[str, str]]:
    """What was entered, as a promise, and what is missing in it."""

    def text(name: str, most: int) -> str:
        value = form.get(name, "")
        return value.strip()[:most] if isinstance(value, str) else ""

    basis = [value for value in form.getlist("basis") if isinstance(value, str) and value in _BASIS]
    promiser, contact = text("promiser", PROMISER_CHARACTERS_MAX), text("contact", CONTACT_CHARACTERS_MAX)
    entered: dict[str, object] = {
        "choice": text("choice", 200),
        "promiser": promiser,
        "contact": contact,
        "basis": basis,
    }
    errors = {
        name: translate(language, "trade.wrong-missing")
        for name, value in (("choice", entered["choice"]), ("promiser", promiser), ("contact", contact))
        if not value
    }
    if not basis:
        errors["basis"] = translate(language, "trade.wrong-basis")
    return entered, Promise(promiser, contact, {Basis(value) for value in basis}), errors


def _issued(request: Request, present: Present, chosen: str, promise: Promise) -> Response:
    """The certificate's file.

    Raises:
        Problem: There is no such batch or shipment of theirs, or what was typed can't be printed.
    """
    desk = desk_of(request)
    choices, _ = _choices(request, present)
    found = next((one.certificate for one in choices if one.value == chosen), None)
    if found is None:
        raise Problem(NO_BATCH)
    with desk.context.reading() as connection:
        items = [found.item, *(source for source in found.sources if kind_of(source) is not None)]
        names = names_of(connection, "zh-CN", glns=[found.producer], places=[found.origin], items=items)
    uri = f"{desk.context.origin}/{found.item}"
    try:
        content = certificate_pdf(found, promise, names, uri, desk.context.now())
    except Unprintable:
        raise Problem(NO_BATCH) from None
    headers = {"content-disposition": f'attachment; filename="certificate-{found.event.hex()[:8]}.pdf"'}
    return Response(content, media_type="application/pdf", headers=headers | {"cache-control": "private, no-store"})


def _choices(request: Request, present: Present) -> tuple[Sequence[Choice], Names]:
    """All that somebody may issue, the newest first: batches that they made, and parts that they shipped."""
    desk, language = desk_of(request), language_of(request)
    own = {present.trader.own.gln, *present.trader.principals}
    with desk.context.reading() as connection:
        lots: dict[str, None] = {}
        for gln in sorted(own):
            lots.update((item, None) for item in candidates_of(connection, gln).items if kind_of(item) is Kind.LOT)
        store = IndexedEvents(connection)
        touching = store.touching(list(lots)[:CHOICES_MAX])
        found = [choice for item in touching for choice in _choices_of(item, touching[item], own)]
        found.sort(key=lambda one: (-one.certificate.at_ms, one.value))
        names = names_of(
            connection,
            language,
            glns=[*own, *(one.partner for one in found)],
            items=[one.certificate.item for one in found],
        )
    return found[:CHOICES_MAX], names


def _choices_of(item: str, events: Sequence[TraceEvent], own: set[str]) -> list[Choice]:
    """What may be issued of one lot."""
    try:
        batch = batch_certificate(events, item)
    except NoBatch:
        return []
    found = [Choice(item, batch, "")] if batch.producer in own else []
    for event in events:
        if event.act is not Act.SHIP or event.actor not in own or event.in_error:
            continue
        part = part_certificate(batch, event)
        if part.quantity < batch.quantity:
            found.append(Choice(f"{item} {event.id.hex()}", part, event.counterparty))
    return found
