# SPDX-License-Identifier: Apache-2.0
"""What wallets ask of the verifier over HTTP: a signed request, and where the answer goes."""

import json
from collections.abc import Callable
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from chain.errors import LedgerError
from client.errors import TransportError
from identity.api.verifier.api import drawn
from identity.api.verifier.request_objects import MEDIA_TYPE, RESPONSE_CHARACTERS_MAX, wallet_link
from identity.api.verifier.verifier import Verifier
from identity.api.verifier.wallet import TOKEN_CHARACTERS_MAX, WalletDenied, fetched, request_address, respond
from service import problems
from service.problems import Problem

MACHINE_PATH = "/oid4vp/"
"""Wallets are no browsers: no origin, no form token, no cookie."""
BODY_BYTES_MAX = RESPONSE_CHARACTERS_MAX + 8_192
FORM_FIELDS_MAX = 10

_FORM = "application/x-www-form-urlencoded"


def wallet_router(verifier: Callable[[], Verifier]) -> APIRouter:
    """Endpoints of OpenID4VP."""
    router = APIRouter(tags=["wallets"], prefix="/oid4vp")

    @router.get("/requests/{token}", operation_id="getRequest", summary="What a wallet is asked")
    async def request_get(token: str) -> Response:
        return await _request(verifier(), token, None)

    @router.post("/requests/{token}", operation_id="postRequest", summary="The same, with the wallet's nonce")
    async def request_post(token: str, request: Request) -> Response:
        try:
            form = _form(request, await request.body())
        except WalletDenied as denied:
            return _refused(denied)
        return await _request(verifier(), token, form.get("wallet_nonce"))

    @router.get("/requests/{token}/qr.svg", operation_id="getRequestQr", summary="The question as a QR code")
    async def qr(token: str) -> Response:
        question = None
        if len(token) <= TOKEN_CHARACTERS_MAX:
            question = await run_in_threadpool(verifier().kept.by_token, token)
        if question is None or not verifier().kept.is_open(question):
            raise Problem(problems.NOT_FOUND)
        return drawn(wallet_link(verifier().key(), request_address(verifier(), token)))

    @router.post("/responses/{token}", operation_id="postResponse", summary="What a wallet presents")
    async def response(token: str, request: Request) -> Response:
        try:
            url = await respond(verifier(), token, _form(request, await request.body()))
        except WalletDenied as denied:
            return _refused(denied)
        except (TransportError, LedgerError):
            return _refused(WalletDenied("temporarily_unavailable", "the ledger cannot be asked now"), 503)
        return _json({"redirect_uri": url} if url else {})

    return router


async def _request(verifier: Verifier, token: str, wallet_nonce: str | None) -> Response:
    try:
        signed = await fetched(verifier, token, wallet_nonce)
    except WalletDenied as denied:
        return _refused(denied, 404)
    except (TransportError, LedgerError):
        return _refused(WalletDenied("temporarily_unavailable", "the ledger cannot be asked now"), 503)
    return Response(signed, media_type=MEDIA_TYPE, headers={"cache-control": "no-store"})


def _form(request: Request, body: bytes) -> dict[str, str]:
    if not body:
        return {}
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise WalletDenied("invalid_request", f"the request is {_FORM}")
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=FORM_FIELDS_MAX
        )
    except ValueError:
        raise WalletDenied("invalid_request", "the form cannot be read") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise WalletDenied("invalid_request", "a field is there twice")
    return fields


def _refused(denied: WalletDenied, status: int = 400) -> Response:
    return _json({"error": denied.error, "error_description": denied.description}, status)


def _json(document: dict[str, str], status: int = 200) -> Response:
    return Response(json.dumps(document).encode(), status, {"cache-control": "no-store"}, "application/json")
