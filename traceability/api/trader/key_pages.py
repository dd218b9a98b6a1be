# SPDX-License-Identifier: Apache-2.0
"""What a trader's phone asks while its passkey becomes a participant's key."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from chain.errors import Refused
from service.sign_in.act_pages import ShownBody, SignatureBody
from traceability.api.trader import key_grants
from traceability.api.trader.ground import PATH, TradeOfficer, acts_of, desk_of, office_here

KEY_PATH = f"{PATH}/key"


def key_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)

    @router.post(KEY_PATH)
    def ask(request: Request, officer: TradeOfficer) -> Response:
        key_grants.ask(office_here(request), officer)
        return RedirectResponse(PATH, 303)

    @router.post(KEY_PATH + "/options")
    def options(body: ShownBody, request: Request, officer: TradeOfficer) -> dict[str, Any]:
        network = desk_of(request).context.door.network
        return key_grants.sign_options(office_here(request), officer, network, body.shown)

    @router.post(KEY_PATH + "/verify")
    async def verify(body: SignatureBody, request: Request, officer: TradeOfficer) -> dict[str, str]:
        office, network = office_here(request), desk_of(request).context.door.network
        made = await run_in_threadpool(key_grants.sign, office, officer, network, body.credential)
        outcome = await acts_of(request).submit(made)
        code = outcome.code if isinstance(outcome, Refused) else outcome.failed.code if outcome.failed else ""
        await run_in_threadpool(key_grants.settle, office, officer, code)
        return {"next": PATH}

    return router
