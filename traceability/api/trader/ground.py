# SPDX-License-Identifier: Apache-2.0
"""What the traders' pages stand on: who is there, for whom they act, and names for what they see."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from service.language import Language
from service.pages import Place, Site
from service.problems import Problem
from service.sign_in.access import Require, office_of
from service.sign_in.acts import Acts
from service.sign_in.office import Office
from service.sign_in.pages import moment
from service.sign_in.pages import show as show_page
from service.sign_in.roles import Permission
from service.sign_in.sessions import Officer
from traceability.api.context import TraceContext
from traceability.api.trace_records import Records
from traceability.api.trader.problems import NO_PARTICIPANT, SUSPENDED
from traceability.api.trader.standing import Reads, Trader, read_participant, read_trader
from traceability.api.trader.trade_index import principals_of
from traceability.documents.names import Names
from traceability.items import Kind, gtin_of, is_product, kind_of

PATH: Final = "/trade"
SITE: Final = Site(
    "trade.title",
    home=PATH,
    places=(
        Place("trade.home", PATH),
        Place("trade.records", f"{PATH}/records"),
        Place("trade.papers", f"{PATH}/papers"),
        Place("trade.agents", f"{PATH}/agents"),
    ),
    layout="workplace",
    scripts=("trade.js",),
)

TradeOfficer = Annotated[Officer, Depends(Require(Permission.TRADE))]


@dataclass(frozen=True, slots=True)
class TradeDesk:
    """What the traders' routers share; `desk_of(request)` finds it.

    Attributes:
        context: The service's.
        reads: The ledger, with proof.
    """

    context: TraceContext
    reads: Reads


@dataclass(frozen=True, slots=True)
class Present:
    """Somebody who is signed in with a key that the ledger gave to a participant."""

    officer: Officer
    trader: Trader


def desk_of(request: Request) -> TradeDesk:
    """The traders' desk of the service that answers."""
    found = request.app.state.trade
    assert isinstance(found, TradeDesk)
    return found


def acts_of(request: Request) -> Acts:
    """Where traders sign."""
    found = request.app.state.acts
    assert isinstance(found, Acts)
    return found


def office_here(request: Request) -> Office:
    """Sign-in of the service."""
    return office_of(request)


async def find_trader(desk: TradeDesk, officer: Officer) -> Trader | None:
    """For whom somebody may record; None: the ledger knows their key as nobody's.

    Raises:
        TransportError: The ledger does not answer.
    """
    own = await read_participant(desk.reads, officer.signer)
    if own is None:
        return None

    def candidates() -> list[str]:
        with desk.context.reading() as connection:
            return principals_of(connection, own.gln)

    return await read_trader(desk.reads, own, await run_in_threadpool(candidates))


async def require_trader(request: Request, officer: TradeOfficer) -> Present:
    """A dependency: somebody who may record for a participant that is not suspended.

    Raises:
        Problem: Their key is nobody's, or the participant is suspended.
    """
    trader = await find_trader(desk_of(request), officer)
    if trader is None:
        raise Problem(NO_PARTICIPANT)
    if not trader.own.is_active:
        raise Problem(SUSPENDED)
    return Present(officer, trader)


Here = Annotated[Present, Depends(require_trader)]


def show(request: Request, officer: Officer, name: str, *, status: int = 200, **context: Any) -> Response:
    """A page of the traders' site.

    Args:
        request: The request being answered.
        officer: Who reads it.
        name: A template that extends `trade/frame.html`.
        status: HTTP status.
        context: What else the template names.
    """
    now = moment(desk_of(request).context.now())
    response = show_page(request, SITE, officer, name, **({"moment_of": moment, "now": now} | context))
    response.status_code = status
    return response


def names_of(
    connection: Connection,
    language: Language,
    *,
    glns: Iterable[str] = (),
    places: Iterable[str] = (),
    items: Iterable[str] = (),
) -> Names:
    """Names of parties, places and goods from the index.

    Args:
        connection: Of the index.
        language: In which.
        glns: Participants.
        places: Places.
        items: Goods, or products as recalls name them.
    """
    records = Records(connection)
    parties, spots = sorted(set(glns) - {""}), sorted(set(places) - {""})
    goods = (item for item in items if kind_of(item) in (Kind.LOT, Kind.SERIAL) or is_product(item))
    products = sorted({gtin_of(item) for item in goods})
    for kind, numbers in (("participant", parties), ("place", spots), ("product", products)):
        records.load(kind, numbers)
    return Names(
        {gln: found for gln in parties if (found := records.participant(gln)) is not None},
        {gln: place for gln in spots if (place := records.place(gln)) is not None},
        {gtin: product for gtin in products if (product := records.product(gtin)) is not None},
        language,
    )
