# SPDX-License-Identifier: Apache-2.0
"""The verifier as a part of a service: `[verifier_part(verifier, states), ...]`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fastapi import APIRouter, FastAPI
from starlette.responses import Response

from chain.strict_json import canonical
from identity.api.verifier.api import caller_of, verifications_router
from identity.api.verifier.direct_api import Scanned, cards_router, direct_router
from identity.api.verifier.ledger import States
from identity.api.verifier.oidc_api import MACHINE_PATHS, oidc_router
from identity.api.verifier.problems import KINDS
from identity.api.verifier.sandbox import Sandbox
from identity.api.verifier.sandbox_api import sandbox_router
from identity.api.verifier.upkeep import Upkeep
from identity.api.verifier.verifier import Verifier
from identity.api.verifier.wallet_api import BODY_BYTES_MAX, MACHINE_PATH, wallet_router
from service.app import Hook, Part
from service.pages import Site, add_templates
from service.rounds import Round
from service.start_page import Way, start_router

add_templates(Path(__file__).parent / "templates")

SITE = Site("verifier.title", home="/", scripts=("htmx.js",))
"""The page of a log-in, and the start page."""
WAYS = (
    Way("/openapi.json", "file", "verifier.start-programs", "verifier.start-programs-about"),
    Way("/.well-known/openid-configuration", "phone", "verifier.start-login", "verifier.start-login-about"),
    Way("/.well-known/jwks.json", "key", "verifier.start-keys", "verifier.start-keys-about"),
)
"""Where somebody goes on who opened the service's own address."""
API_PATH = "/v1/"
"""Programs of relying parties are no browsers: no origin, no form token, no cookie."""
API_BODY_BYTES_MAX = 512 * 1024
"""Fifty signatures with their certificates, or four presentations."""


def verifier_part(
    verifier: Verifier,
    states: States,
    *,
    sandbox: Sandbox | None = None,
    is_behind_proxy: bool = False,
    rounds: Sequence[Round] = (),
    start: Hook | None = None,
    stop: Hook | None = None,
) -> Part:
    """What a service takes along that verifies for relying parties.

    Args:
        verifier: The service.
        states: Reads the ledger.
        sandbox: Made-up people; None: none.
        is_behind_proxy: Whether the proxy says which client certificate it saw.
        rounds: What else goes on by itself, such as recording.
        start: What must be open first, such as the way to the ledger.
        stop: Closes it again.
    """
    upkeep = Upkeep(verifier)

    async def end(app: FastAPI) -> None:
        await upkeep.stop()
        await verifier.outbound.close()
        if stop is not None:
            await stop(app)

    caller = caller_of(lambda: verifier, is_behind_proxy=is_behind_proxy)
    limits: Mapping[str, int] = {MACHINE_PATH: BODY_BYTES_MAX, API_PATH: API_BODY_BYTES_MAX}
    return Part(
        "verifier",
        [
            cards_router(lambda: verifier, caller),  # the first one is found first, and a counter waits for this one
            verifications_router(lambda: verifier, caller),
            direct_router(lambda: verifier, caller, states, Scanned()),
            wallet_router(lambda: verifier),
            oidc_router(lambda: verifier, SITE, is_behind_proxy=is_behind_proxy),
            *([] if sandbox is None else [sandbox_router(lambda: verifier, sandbox, caller)]),
            _keys_router(verifier),
            start_router(SITE, "verifier.start-about", WAYS),
        ],
        start=start,
        stop=end,
        rounds=[*upkeep.rounds, *rounds],
        problems=KINDS,
        body_limits=limits,
        machine_paths=[MACHINE_PATH, API_PATH, *MACHINE_PATHS],
        open_paths=[MACHINE_PATH, "/.well-known/"],  # a wallet may be a page of another origin; the interface never is
    )


def _keys_router(verifier: Verifier) -> APIRouter:
    router = APIRouter(tags=["verifications"])

    @router.get("/.well-known/jwks.json", operation_id="getKeys", summary="Keys of requests, answers and notices")
    async def keys() -> Response:
        document = canonical(verifier.keys.jwks(verifier.now_s))
        return Response(document, media_type="application/json", headers={"cache-control": "public, max-age=300"})

    return router
