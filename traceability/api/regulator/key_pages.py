# SPDX-License-Identifier: Apache-2.0
"""Traders' passkeys that wait for the regulator's signature: compared at the counter, then signed by an officer."""

from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from service.language import language_of, translate
from service.sign_in.act_pages import ShownBody, SignatureBody
from traceability.api.regulator.ground import PATH, Supervisor, food_office, names_here, office_here, show
from traceability.api.trader import key_grants
from traceability.api.trader.standing import read_state
from traceability.documents.names import Names
from traceability.participants import load_participant, participant_key

KEYS: Final = f"{PATH}/keys"


def key_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)

    @router.get(KEYS)
    def keys(request: Request, officer: Supervisor) -> Response:
        waiting = key_grants.waiting(office_here(request))
        with food_office(request).context.reading() as connection:
            names = names_here(request, connection, glns=[one.gln for one in waiting])
        return show(request, officer, "regulator/keys.html", waiting=waiting, names=names)

    @router.get(KEYS + "/{request_id}")
    async def key(request_id: str, request: Request, officer: Supervisor) -> Response:
        office, language = food_office(request), language_of(request)
        grant = await run_in_threadpool(key_grants.find, office_here(request), request_id)
        state = await read_state(office.reads, [participant_key(grant.gln)])
        participant = load_participant(state.get, grant.gln)

        def named() -> Names:
            with office.context.reading() as connection:
                return names_here(request, connection, glns=[grant.gln])

        names = await run_in_threadpool(named)
        party = f"{names.participant(grant.gln)} ({grant.gln})"
        sentences = [
            translate(language, "food-office.key-says", party=party),
            translate(language, "food-office.key-says-fingerprint", fingerprint=grant.fingerprint),
            translate(language, "food-office.key-says-both"),
        ]
        return show(
            request, officer, "regulator/key.html", grant=grant, sentences=sentences, is_known=participant is not None
        )

    @router.post(KEYS + "/{request_id}/options")
    def options(request_id: str, body: ShownBody, request: Request, officer: Supervisor) -> dict[str, Any]:
        network = food_office(request).context.door.network
        return key_grants.countersign_options(office_here(request), officer, network, request_id, body.shown)

    @router.post(KEYS + "/{request_id}/verify")
    def verify(request_id: str, body: SignatureBody, request: Request, officer: Supervisor) -> dict[str, str]:
        network = food_office(request).context.door.network
        key_grants.countersign(office_here(request), officer, network, request_id, body.credential)
        return {"next": f"{KEYS}/{request_id}"}

    return router
