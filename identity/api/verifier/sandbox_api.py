# SPDX-License-Identifier: Apache-2.0
"""The sandbox over HTTP: a program has a made-up person answer its own question."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from identity.api.verifier import clients
from identity.api.verifier.api import found, shown
from identity.api.verifier.asking import CARD
from identity.api.verifier.bodies import Body, VerificationShown
from identity.api.verifier.checking import check_presentations
from identity.api.verifier.clients import Client
from identity.api.verifier.oidc_api import own_login
from identity.api.verifier.problems import OVER, PURPOSE, UNKNOWN
from identity.api.verifier.request_objects import client_id
from identity.api.verifier.sandbox import Sandbox
from identity.api.verifier.verifier import Question, Verifier
from identity.jose import JsonObject
from identity.sd_jwt import Binding
from service.problems import Problem


class SandboxAnswer(Body):
    """Who answers."""

    person: Annotated[Literal["adult", "minor", "revoked"], Field(description="A made-up person.")] = "adult"


def sandbox_router(verifier: Callable[[], Verifier], sandbox: Sandbox, caller: Callable[..., Any]) -> APIRouter:
    """Endpoints of the sandbox.

    Args:
        verifier: The service.
        sandbox: Its made-up people.
        caller: See `api.caller_of`.
    """
    router = APIRouter(tags=["sandbox"])
    Caller = Annotated[Client, Depends(caller)]  # noqa: N806 - a type

    @router.post(
        "/v1/sandbox/verifications/{identifier}/answer",
        operation_id="answerInSandbox",
        summary="Have a made-up person answer",
    )
    async def answer(identifier: str, body: SandboxAnswer, client: Caller) -> VerificationShown:
        if not client.is_sandbox:
            raise Problem(PURPOSE)
        question = await found(verifier(), client, identifier)
        code = await answered(verifier(), sandbox, client, question, body.person)
        question = await found(verifier(), client, identifier)
        return await run_in_threadpool(shown, verifier(), question, code or None)

    @router.post("/oidc/log-ins/{identifier}/sandbox", include_in_schema=False)
    async def log_in(identifier: str, request: Request) -> Response:
        login = await own_login(verifier(), request, identifier)
        client = await run_in_threadpool(clients.by_id, verifier().store, login.client_id)
        question = await run_in_threadpool(verifier().kept.by_token, login.grant.token)
        if client is None or question is None or not client.is_sandbox:
            raise Problem(UNKNOWN)
        await answered(verifier(), sandbox, client, question, "adult")
        return RedirectResponse(f"/oidc/log-ins/{identifier}", 303, {"cache-control": "no-store"})

    return router


async def answered(verifier: Verifier, sandbox: Sandbox, client: Client, question: Question, person: str) -> str:
    """Have a made-up person answer; see `Verifier.conclude`.

    Raises:
        Problem: It is over, or a card's challenge.
    """
    if question.asked.kind == CARD or not verifier.kept.is_open(question):
        raise Problem(OVER)
    directory = sandbox.realm.directory
    assert directory is not None, "the sandbox has its own"
    purpose = await directory.purpose(client.relying_party, question.asked.purpose)
    binding = Binding(client_id(verifier.key()), question.asked.wallet_nonce)
    query, transaction = question.asked.parsed, question.asked.transaction
    presented = sandbox.presented(person, query, binding, transaction)
    report = await check_presentations(
        sandbox.realm.judge, query, purpose, presented, binding, verifier.now_s, transaction=transaction
    )
    kept: JsonObject = dict(presented)
    return (await verifier.conclude(question, client, purpose, report, kept)).code
