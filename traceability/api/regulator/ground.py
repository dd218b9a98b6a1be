# SPDX-License-Identifier: Apache-2.0
"""What the regulator's pages stand on: officers of an organisation that the ledger knows as a food regulator."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

from fastapi import Depends
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from service.language import language_of
from service.pages import Place, Site
from service.problems import Problem
from service.sign_in.access import FRESH_MS, Require, office_of
from service.sign_in.acts import Acts
from service.sign_in.office import Office
from service.sign_in.pages import moment
from service.sign_in.pages import show as show_page
from service.sign_in.roles import Permission
from service.sign_in.sessions import Officer
from service.sign_in.standings import Standings
from traceability.api.context import TraceContext
from traceability.api.regulator.problems import NOT_REGULATOR
from traceability.api.trader.ground import names_of
from traceability.api.trader.standing import Reads
from traceability.documents.names import Names
from traceability.participants import REGULATOR_ROLE

PATH: Final = "/regulator"
SITE: Final = Site(
    "food-office.title",
    home=PATH,
    places=(
        Place("food-office.dashboard", PATH),
        Place("food-office.search", f"{PATH}/search"),
        Place("food-office.recalls", f"{PATH}/recalls"),
        Place("food-office.drills", f"{PATH}/drills"),
        Place("food-office.discrepancies", f"{PATH}/discrepancies"),
        Place("food-office.violations", f"{PATH}/violations"),
        Place("food-office.cold", f"{PATH}/cold-chain"),
        Place("food-office.complaints", f"{PATH}/complaints"),
        Place("food-office.keys", f"{PATH}/keys"),
    ),
    layout="workplace",
)


@dataclass(frozen=True, slots=True)
class FoodOffice:
    """What the regulator's routers share; `office_here(request)` finds it.

    Attributes:
        context: The service's.
        reads: The ledger, with proof.
    """

    context: TraceContext
    reads: Reads


class RequireRegulator:
    """A dependency: an officer who may do this, of an active organisation with the role `food-regulator` on the ledger.

    Args:
        permission: What; see `service.sign_in.roles`.
        fresh_ms: The passkey was asked for no longer ago than this; None: at some time.
    """

    def __init__(self, permission: Permission, *, fresh_ms: int | None = None) -> None:
        self._require = Require(permission, fresh_ms=fresh_ms)

    async def __call__(self, request: Request) -> Officer:
        """Let an officer through, or end the request."""
        officer = await self._require(request)
        standings = request.app.state.standings
        assert isinstance(standings, Standings)
        standing = await standings.find(officer.organisation, officer.signer)
        if not standing.has_role(REGULATOR_ROLE):
            raise Problem(NOT_REGULATOR)
        return officer


Reader = Annotated[Officer, Depends(RequireRegulator(Permission.READ_RECORDS))]
Supervisor = Annotated[Officer, Depends(RequireRegulator(Permission.ADJUDICATE))]
"""Recalls, lifts, drills, gives keys: what others feel."""


def food_office(request: Request) -> FoodOffice:
    """The regulator's part of the service that answers."""
    found = request.app.state.food_office
    assert isinstance(found, FoodOffice)
    return found


def acts_of(request: Request) -> Acts:
    """Where officers sign."""
    found = request.app.state.acts
    assert isinstance(found, Acts)
    return found


def office_here(request: Request) -> Office:
    """Sign-in of the service."""
    return office_of(request)


def names_here(
    request: Request,
    connection: Connection,
    *,
    glns: Iterable[str] = (),
    places: Iterable[str] = (),
    items: Iterable[str] = (),
) -> Names:
    """Names in the language of a request."""
    return names_of(connection, language_of(request), glns=glns, places=places, items=items)


def show(request: Request, officer: Officer, name: str, *, status: int = 200, **context: Any) -> Response:
    """A page of the regulator's site.

    Args:
        request: The request being answered.
        officer: Who reads it.
        name: A template that extends `regulator/frame.html`.
        status: HTTP status.
        context: What else the template names.
    """
    now = moment(food_office(request).context.now())
    decides = officer.may(Permission.ADJUDICATE)
    places = tuple(place for place in SITE.places if decides or place.path != f"{PATH}/keys")
    named = {"moment_of": moment, "now": now, "decides": decides}
    response = show_page(request, replace(SITE, places=places), officer, name, **(named | context))
    response.status_code = status
    return response


__all__ = [
    "FRESH_MS",
    "PATH",
    "SITE",
    "FoodOffice",
    "Reader",
    "RequireRegulator",
    "Supervisor",
    "acts_of",
    "food_office",
    "names_here",
    "office_here",
    "show",
]
