# SPDX-License-Identifier: Apache-2.0
"""A trader's home, the forms of each step, and what drafts of a device become."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Request
from sqlalchemy import func, select
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from service.envelope import permissions_policy
from service.language import language_of, translate
from service.problems import NOT_FOUND, Problem
from service.sign_in.acts import State
from service.wording import instant
from traceability.api.trace_index import events_table, records_table
from traceability.api.trader import key_grants, notices, recording
from traceability.api.trader.forms import DRAFT, Draft, entry_of, picture_of
from traceability.api.trader.ground import (
    PATH,
    Here,
    Present,
    TradeDesk,
    TradeOfficer,
    acts_of,
    desk_of,
    find_trader,
    names_of,
    office_here,
    show,
)
from traceability.api.trader.photos import remake
from traceability.api.trader.problems import SUSPENDED
from traceability.api.trader.recording import Record, Rejected, Signing
from traceability.api.trader.steps import LINES_MAX, OUTPUTS_MAX, SHAPES, Entry, Output, Step
from traceability.api.trader.stock import Candidates, Stock, candidates_of, glns_of, read_stock
from traceability.api.trader.words import ROLE_KEYS, STEP_WORDS, WRONG_KEYS, goods_words, named_goods, refusal_of
from traceability.documents.names import CHINA, Names, code_of
from traceability.pb import traceability_pb2 as pb

SIGN_PATH: Final = f"{PATH}/sign"
PRODUCTS_MAX: Final = 300
"""Products that a form offers: a city's assortment; further ones are scanned."""
PLACES_MAX: Final = 50
PLACES_READ_MAX: Final = 20_000
"""Places of a city, looked through for one's own: some hundredths of a second."""
PARTNERS_SHOWN: Final = 30
CAMERA_ALLOWED: Final = permissions_policy({"camera"})
"""Of forms alone: they read labels through it."""
_NEW_STEPS: Final = (pb.BUSINESS_STEP_COMMISSIONING, pb.BUSINESS_STEP_CREATING_CLASS_INSTANCE)
_WAITING: Final = (State.PREPARED, State.SIGNED)


@dataclass(frozen=True, slots=True)
class Around:
    """What a page about somebody's goods shows.

    Attributes:
        products: GTIN and name of what they may harvest.
        places: GLN and name of their places.
        partners: GLN and name of those with whom they had to do.
    """

    stock: Stock
    names: Names
    products: Sequence[tuple[str, str]]
    places: Sequence[tuple[str, str]]
    partners: Sequence[tuple[str, str]]


def home_router() -> APIRouter:
    """The routes of home and forms."""
    router = APIRouter(include_in_schema=False)
    _add_home(router)
    _add_forms(router)
    return router


def signing_of(request: Request, present: Present) -> Signing:
    """Who prepares a record here."""
    return Signing(desk_of(request), office_here(request), acts_of(request), present)


async def look_around(request: Request, gln: str, others: Sequence[str] = ()) -> Around:
    """Stock, places and partners of a participant.

    Raises:
        TransportError: The ledger does not answer.
    """
    desk, language = desk_of(request), language_of(request)

    def read() -> Candidates:
        with desk.context.reading() as connection:
            return candidates_of(connection, gln)

    candidates = await run_in_threadpool(read)
    stock = await read_stock(desk.reads, gln, candidates)

    def describe() -> Around:
        with desk.context.reading() as connection:
            records = records_table.c
            wanted = select(records.record).where(records.kind == "product").order_by(records.number)
            products = [pb.RecordProduct.FromString(raw) for raw in connection.scalars(wanted.limit(PRODUCTS_MAX))]
            wanted = select(records.record).where(records.kind == "place")
            spots = [pb.RecordPlace.FromString(raw) for raw in connection.scalars(wanted.limit(PLACES_READ_MAX))]
            own = [one for one in spots if one.owner == gln and not one.closed][:PLACES_MAX]
            names = names_of(
                connection,
                language,
                glns=[gln, *glns_of(stock, candidates.partners[:PARTNERS_SHOWN]), *others],
                places=[one.gln for one in own],
                items=[
                    *(held.item for held in stock.held),
                    *(line.item for one in stock.coming for line in one.lines),
                    *(f"01/{one.gtin}" for one in products),
                ],
            )
        mine = [(one.gtin, names.product(f"01/{one.gtin}/10/x")) for one in products if one.owner in {"", gln}]
        return Around(
            stock,
            names,
            mine,
            [(one.gln, names.place(one.gln)) for one in own],
            [(other, names.participant(other)) for other in candidates.partners[:PARTNERS_SHOWN]],
        )

    return await run_in_threadpool(describe)


def _add_home(router: APIRouter) -> None:
    @router.get(PATH)
    async def home(request: Request, officer: TradeOfficer) -> Response:
        desk = desk_of(request)
        trader = await find_trader(desk, officer)
        if trader is None:
            grant = await run_in_threadpool(key_grants.mine, office_here(request), officer)
            refusal = refusal_of("" if grant is None else grant.code)
            return show(request, officer, "trade/nobody.html", status=403, grant=grant, refusal=refusal)
        if not trader.own.is_active:
            raise Problem(SUSPENDED)
        around = await look_around(request, trader.own.gln, list(trader.principals))
        records = await run_in_threadpool(recording.listed, desk, officer)
        told = await run_in_threadpool(notices.open_notices, desk, [trader.own.gln, *trader.principals])
        roles = {role for one in (trader.own, *trader.principals.values()) for role in one.roles}
        return show(
            request,
            officer,
            "trade/home.html",
            trader=trader,
            around=around,
            names=around.names,
            notices=told,
            role_keys_of=ROLE_KEYS,
            steps=_steps_for(roles),
            step_words=STEP_WORDS,
            waiting=[one for one in records if one.state in _WAITING],
            words_of=lambda record: _short(record, around.names),
        )


def _steps_for(roles: set[pb.Role.ValueType]) -> list[Step]:
    """What somebody of these roles does, in the order of goods' ways."""
    return [step for step, shape in SHAPES.items() if roles & set(shape.roles)]


def _short(record: Record, names: Names) -> str:
    return goods_words(names, named_goods(record.step, record.projection))


# ---------------------------------------------------------------- forms


def _add_forms(router: APIRouter) -> None:
    @router.get(PATH + "/record/{name}")
    async def form(
        name: str, request: Request, present: Here, item: str = "", shipper: str = "", actor: str = ""
    ) -> Response:
        step = _step(name)
        gln = actor if present.trader.acting(actor) is not None else present.trader.own.gln
        around = await look_around(request, gln, [*present.trader.principals, shipper])
        lines = [(item, "")] if item else []
        for coming in around.stock.coming:
            if step is Step.RECEIVE and coming.shipper == shipper:
                lines = [(line.item, _typed(line.quantity)) for line in coming.lines]
        entered = {"actor": gln, "partner": shipper, "lines": lines or [("", "")], "draft": str(uuid.uuid4())}
        return await _form(request, present, step, around, entered, {})

    @router.post(PATH + "/record/{name}")
    async def record(name: str, request: Request, present: Here) -> Response:
        step = _step(name)
        async with request.form(max_files=1) as form:
            entry = entry_of(form, step, present.trader.own.gln, desk_of(request).context.now())
            draft = form.get("draft", "")
            if not isinstance(draft, str) or DRAFT.fullmatch(draft) is None:
                draft = str(uuid.uuid4())
            raw = await picture_of(form)
        photo = await run_in_threadpool(remake, raw) if raw else b""
        signing = signing_of(request, present)
        try:
            record_id = await run_in_threadpool(recording.prepare, signing, entry, draft, photo)
        except Rejected as rejected:
            language = language_of(request)
            errors = {name: translate(language, WRONG_KEYS[wrong]) for name, wrong in rejected.faults.found.items()}
            around = await look_around(request, entry.actor, list(present.trader.principals))
            return await _form(request, present, step, around, _entered(entry, draft), errors)
        return RedirectResponse(f"{SIGN_PATH}/{record_id}", 303)

    @router.post(PATH + "/drafts")
    async def draft(body: Draft, request: Request, present: Here) -> dict[str, Any]:
        raw = body.picture()
        photo = await run_in_threadpool(remake, raw) if raw else b""
        try:
            record_id = await run_in_threadpool(
                recording.prepare, signing_of(request, present), body.entry(), body.draft, photo
            )
        except Rejected as rejected:
            language = language_of(request)
            errors = [translate(language, WRONG_KEYS[wrong]) for wrong in rejected.faults.found.values()]
            return {"record": "", "sign": "", "errors": errors}
        return {"record": record_id, "sign": f"{SIGN_PATH}/{record_id}", "errors": []}


async def _form(
    request: Request,
    present: Present,
    step: Step,
    around: Around,
    entered: dict[str, Any],
    errors: dict[str, str],
) -> Response:
    """The form of a step."""
    trader, desk = present.trader, desk_of(request)
    actor = trader.acting(entered["actor"]) or trader.own
    is_new = step in (Step.HARVEST, Step.MAKE)
    count = await run_in_threadpool(_made_today, desk, actor.gln) if is_new else 0
    day = instant(desk.context.now()).astimezone(CHINA)
    blank = {
        "place": around.places[0][0] if around.places else "",
        "partner": "",
        "carrier": "",
        "container": "",
        "product": around.products[0][0] if around.products else "",
        "lot": f"{day:%y%m%d}-{actor.gln[7:12]}-{count + 1}",
        "outputs": [Output(lot=f"{day:%y%m%d}-{actor.gln[7:12]}-{count + 1}"), *[Output()] * (OUTPUTS_MAX - 1)],
        "passed": True,
        "complete": False,
        "celsius": "",
    }
    labels = [(gln, around.names.participant(gln)) for gln in (trader.own.gln, *trader.principals)]
    response = show(
        request,
        present.officer,
        "trade/form.html",
        status=422 if errors else 200,
        step=step,
        shape=SHAPES[step],
        step_words=STEP_WORDS,
        around=around,
        names=around.names,
        actors=labels,
        entered=blank | entered,
        errors=errors,
        lines_max=LINES_MAX,
        outputs_max=OUTPUTS_MAX,
        code_of=code_of,
        typed=_typed,
    )
    response.headers["permissions-policy"] = CAMERA_ALLOWED
    return response


def _entered(entry: Entry, draft: str) -> dict[str, Any]:
    """What was entered, for the same form once more; a rejected draft made nothing, and keeps its name."""
    names = ("actor", "place", "partner", "carrier", "container", "product", "lot", "passed", "complete", "celsius")
    lines = [(line.item, line.quantity) for line in entry.lines] or [("", "")]
    found = {name: getattr(entry, name) for name in names} | {"lines": lines, "draft": draft}
    rows = [*entry.outputs, *[Output()] * OUTPUTS_MAX][:OUTPUTS_MAX]
    return found | ({"outputs": rows} if entry.outputs else {})


def _made_today(desk: TradeDesk, gln: str) -> int:
    """How many events a participant has of the day, so that its lots of a day have different names."""
    start = instant(desk.context.now()).astimezone(CHINA).replace(hour=0, minute=0, second=0, microsecond=0)
    table = events_table.c
    with desk.context.reading() as connection:
        wanted = select(func.count()).where(table.actor == gln, table.time_ms >= int(start.timestamp() * 1000))
        return int(connection.scalar(wanted.where(table.step.in_(_NEW_STEPS))) or 0)


def _typed(quantity: int) -> str:
    """A quantity as somebody would type it."""
    text = f"{quantity / 1_000_000:.6f}".rstrip("0").rstrip(".")
    return text if quantity else ""


def _step(name: str) -> Step:
    """A step by the name in an address.

    Raises:
        Problem: There is none of this name.
    """
    try:
        return Step(name)
    except ValueError:
        raise Problem(NOT_FOUND) from None
