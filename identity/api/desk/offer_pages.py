# SPDX-License-Identifier: Apache-2.0
"""Credentials at the counter: an officer offers a registered person a credential, and their wallet fetches it.

The page shows a QR code for the wallet and six digits that the officer says aloud. Neither is kept: the store has
digests of both, and whoever loads the page anew makes another offer. The issuer compares what is offered with what
officers confirmed on the ledger, so a desk that lies has nothing issued (`identity.api.issuer.confirmed`).
"""

from datetime import UTC, datetime

import segno
from fastapi import APIRouter, FastAPI, Request
from markupsafe import Markup
from starlette.responses import Response

from identity.api.accesses.lists import own_claims
from identity.api.desk import persons
from identity.api.desk.base import Clerk, DeskContext, desk_of, show
from identity.api.desk.forms import today_at
from identity.api.desk.looking_up import require_reason
from identity.api.desk.problems import NOT_NOW
from identity.api.desk.states import PersonState
from identity.api.issuer.offers import OFFER_MS, Offer, create_offer
from identity.api.issuer.registered import offered
from identity.registrations import person_key
from service.app import Part
from service.envelope import request_id_of
from service.problems import Problem
from service.sign_in.roles import Role
from service.sign_in.sessions import Officer

SCALE = 5
"""Pixels to a module: some 300 px, which a phone reads from a screen at arm's length."""


def offers_part(issuer: str) -> Part:
    """What a desk takes along whose registrar issues credentials from the same store.

    Args:
        issuer: The issuer's origin, such as "https://issuer.example.org"; "": the desk offers none.
    """

    async def start(app: FastAPI) -> None:
        app.state.issuer = issuer

    return Part("offers", [_offer_router(issuer)] if issuer else [], start=start)


def offer(desk: DeskContext, officer: Officer, person_id: str, issuer: str, request: str = "-") -> Offer:
    """Offer a person the credential of what counts of them.

    Raises:
        Problem: No reason was given for looking at them, or nothing of them counts now.
    """
    with desk.store.write() as session:
        require_reason(desk, session, officer, person_id)
        found = persons.load(desk, session, officer, person_id)
        if found.details is None or found.state is not PersonState.ACTIVE:
            raise Problem(NOT_NOW)
        claims, opening = offered(
            found.details,
            bytes.fromhex(found.secrets.salt),
            proofed_on=datetime.fromtimestamp(found.row.created_ms / 1000, UTC).date(),
            office=officer.organisation,
            officer_role=Role.CLERK,
            as_of=today_at(desk.now()),
            **own_claims(session, desk.store, person_id, desk.now()),
        )
        return create_offer(
            session,
            desk.store,
            person_id=person_id,
            claims=claims,
            subjects=[person_key(found.secrets.registration_id)],
            opening=opening,
            issuer=issuer,
            now_ms=desk.now(),
            actor=officer.person_id,
            request=request,
        )


def _offer_router(issuer: str) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.post("/persons/{person_id}/credential")
    def credential(person_id: str, request: Request, officer: Clerk) -> Response:
        made = offer(desk_of(request), officer, person_id, issuer, request_id_of(request.scope))
        drawn = segno.make(made.uri, error="m", micro=False).svg_inline(scale=SCALE, border=4, light="#fff")
        return show(
            request,
            officer,
            "desk/offer.html",
            person_id=person_id,
            code=Markup(drawn),  # noqa: S704 - an image that was just drawn, of an address that we made
            digits=made.tx_code,
            minutes=OFFER_MS // 60_000,
        )

    return router
