# SPDX-License-Identifier: Apache-2.0
"""The interface for relying parties: questions to wallets, results, and how a question is shown as a QR code."""

import io
from collections.abc import Callable
from typing import Annotated, Any, Literal

import segno
from fastapi import APIRouter, Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from identity.api.verifier import clients
from identity.api.verifier.answers import ANSWER_CHARACTERS_MAX
from identity.api.verifier.asking import CREDENTIALS, SAME_DEVICE, Asked, token_digest
from identity.api.verifier.bodies import NewVerification, VerificationMade, VerificationShown
from identity.api.verifier.clients import Client
from identity.api.verifier.problems import ADDRESS, BEARER, CODE, OVER, QUERY, UNKNOWN
from identity.api.verifier.request_objects import wallet_link
from identity.api.verifier.tables import OPEN
from identity.api.verifier.transaction_data import Act, Payment
from identity.api.verifier.verifier import Question, Verifier
from identity.api.verifier.wallet import request_address
from identity.jose import JsonObject, decode_jws, load_object
from service.problems import Problem
from service.store.models import ID_CHARACTERS

QR_SCALE = 4
"""Pixels to a module: some 300 px."""

_bearer = HTTPBearer(auto_error=False, description="The program's key, zxv_….")


def caller_of(verifier: Callable[[], Verifier], *, is_behind_proxy: bool) -> Callable[..., Any]:
    """What an endpoint depends on that programs of relying parties alone may call.

    Args:
        verifier: The service.
        is_behind_proxy: Whether a proxy says which client certificate it saw.
    """

    async def caller(
        request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
    ) -> Client:
        if credentials is None:
            raise Problem(BEARER, headers={"WWW-Authenticate": "Bearer"})
        certificate = clients.certificate_of(request, is_behind_proxy=is_behind_proxy)
        return await verifier().known.find(credentials.credentials, certificate)

    return caller


def verifications_router(verifier: Callable[[], Verifier], caller: Callable[..., Any]) -> APIRouter:
    """Endpoints about questions to wallets.

    Args:
        verifier: The service.
        caller: See `caller_of`.
    """
    router = APIRouter(tags=["verifications"], prefix="/v1/verifications")
    Caller = Annotated[Client, Depends(caller)]  # noqa: N806 - a type

    @router.post("", operation_id="createVerification", summary="Ask a citizen's wallet", status_code=201)
    async def create(body: NewVerification, client: Caller) -> VerificationMade:
        if body.flow == SAME_DEVICE and body.return_url is None:
            raise Problem(ADDRESS)
        asked = Asked.new(
            CREDENTIALS,
            body.purpose,
            body.nonce,
            flow=body.flow,
            response_mode=body.response_mode,
            return_url=body.return_url or "",
            notify_url=body.notify_url or "",
        )
        if body.payment is not None and body.act is not None:
            raise Problem(QUERY, members={"errors": [{"where": "act", "what": "one thing is confirmed at a time"}]})
        confirmed: Payment | Act | None = None if body.payment is None else Payment(**body.payment.model_dump())
        if body.act is not None:
            confirmed = Act(**body.act.model_dump())
        made = await verifier().ask(client, asked, body.query, lifetime_s=body.lifetime_s, confirmed=confirmed)
        return VerificationMade(
            id=made.question.id,
            nonce=made.question.asked.nonce,
            expires_ms=made.question.expires_ms,
            wallet_link=wallet_link(verifier().key(), request_address(verifier(), made.token)),
            qr=f"/oid4vp/requests/{made.token}/qr.svg",
        )

    @router.get("/{identifier}", operation_id="getVerification", summary="How a question stands, with its answer")
    async def show(identifier: str, client: Caller, response_code: str | None = None) -> VerificationShown:
        question = await found(verifier(), client, identifier)
        return await run_in_threadpool(shown, verifier(), question, response_code)

    @router.delete(
        "/{identifier}", operation_id="cancelVerification", summary="End a question nobody answered", status_code=204
    )
    async def cancel(identifier: str, client: Caller) -> Response:
        question = await found(verifier(), client, identifier)
        if not await run_in_threadpool(verifier().kept.cancel, question.id):
            raise Problem(OVER)
        return Response(status_code=204)

    return router


async def found(verifier: Verifier, client: Client, identifier: str) -> Question:
    """A program's own question.

    Raises:
        Problem: It has none of this id.
    """
    if len(identifier) != ID_CHARACTERS:
        raise Problem(UNKNOWN)
    return await verifier.kept.find(client.id, identifier)


def shown(verifier: Verifier, question: Question, response_code: str | None) -> VerificationShown:
    """How a question stands; blocks.

    Raises:
        Problem: Its answer needs the code that the citizen brought back, and this is not it.
    """
    answer, digest = verifier.kept.answer(question.id)
    if not answer:
        is_over = question.state == OPEN and not verifier.kept.is_open(question)
        state: Any = "expired" if is_over else question.state
        return VerificationShown(id=question.id, state=state)
    if digest is not None and (response_code is None or token_digest(response_code) != digest):
        raise Problem(CODE)
    return told(question, answer, opened(answer))


def told(question: Question, answer: str, report: JsonObject) -> VerificationShown:
    """A question with its answer, and what that says."""
    state: Literal["refused", "answered"] = "refused" if report["outcome"] == "refused" else "answered"
    return VerificationShown(id=question.id, state=state, answer=answer, report=report)


def opened(answer: str) -> JsonObject:
    """What an answer of ours says."""
    payload = decode_jws(answer, None, "the answer", characters_max=ANSWER_CHARACTERS_MAX).payload
    return load_object(payload, "the answer", size_max=ANSWER_CHARACTERS_MAX)


def drawn(text: str) -> Response:
    """A QR code as an SVG image that no cache keeps."""
    image = io.BytesIO()
    segno.make(text, error="m", micro=False).save(image, kind="svg", scale=QR_SCALE, border=4, light="#fff")
    return Response(image.getvalue(), media_type="image/svg+xml", headers={"cache-control": "no-store"})
