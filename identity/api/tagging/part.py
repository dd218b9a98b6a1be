# SPDX-License-Identifier: Apache-2.0
"""The uniqueness service over HTTP. It has no pages: registrars' desks ask it, each with a key of its own.

Numbers travel in bodies alone, never in an address, and no answer repeats one.
"""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from identity.api.tagging.problems import BEARER, KINDS, NOT_YOURS
from identity.api.tagging.registrars import Registrar, find
from identity.api.tagging.tags import TEXT_CHARACTERS_MAX
from identity.api.tagging.uniqueness import Uniqueness
from identity.officers import registrar_digest
from service.app import Hook, Part
from service.envelope import request_id_of
from service.problems import Problem

PREFIX = "/v1/"
BODY_BYTES_MAX = 4096
"""A number and two digests."""

_bearer = HTTPBearer(auto_error=False, description="The registrar's key.")
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Number(BaseModel):
    """A person's number."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    number_kind: Annotated[str, Field(max_length=32)]
    number: Annotated[str, Field(min_length=1, max_length=TEXT_CHARACTERS_MAX)]


class Registration(Number):
    """A number to be registered."""

    registrar: Digest
    holder: Digest


class Retagging(Number):
    """A number whose tag is to be moved."""

    holder: Digest


class TagAnswer(BaseModel):
    """A tag; `previous` while the version before still has tags."""

    version: int
    tag: Digest
    previous: Digest | None


def uniqueness_part(service: Uniqueness, *, start: Hook | None = None, stop: Hook | None = None) -> Part:
    """What a process takes along that runs the service.

    Args:
        service: The service.
        start: What must be open first, such as the way to the ledger.
        stop: Closes it again.
    """
    return Part(
        "uniqueness",
        [_router(lambda: service)],
        start=start,
        stop=stop,
        checks={"keys": service.is_ready},
        problems=KINDS,
        body_limits={PREFIX: BODY_BYTES_MAX},
        machine_paths=[PREFIX],
    )


def _router(service: Callable[[], Uniqueness]) -> APIRouter:
    router = APIRouter(tags=["uniqueness"], prefix="/v1")

    async def caller(
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    ) -> Registrar:
        if credentials is None:
            raise Problem(BEARER, headers={"WWW-Authenticate": "Bearer"})
        return await run_in_threadpool(find, service().store, credentials.credentials)

    Caller = Annotated[Registrar, Depends(caller)]  # noqa: N806 - a type

    @router.post("/tags", operation_id="makeTag", summary="The tag of a number")
    async def tag(asked: Number, registrar: Caller, request: Request) -> TagAnswer:
        made = await service().tag(registrar, asked.number_kind, asked.number, request_id_of(request.scope))
        previous = None if made.previous is None else made.previous.hex()
        return TagAnswer(version=made.version, tag=made.value.hex(), previous=previous)

    @router.post(
        "/registrations",
        operation_id="registerTag",
        summary="Register a number's tag for the caller, which gives it a seat",
        status_code=204,
    )
    async def register(asked: Registration, registrar: Caller, request: Request) -> Response:
        if bytes.fromhex(asked.registrar) != registrar_digest(registrar.organisation):
            raise Problem(NOT_YOURS)
        holder = bytes.fromhex(asked.holder)
        await service().register(registrar, asked.number_kind, asked.number, holder, request_id_of(request.scope))
        return Response(status_code=204)

    @router.post(
        "/retaggings", operation_id="retag", summary="Move a tag to the present version of the key", status_code=204
    )
    async def retag(asked: Retagging, registrar: Caller, request: Request) -> Response:
        holder = bytes.fromhex(asked.holder)
        await service().retag(registrar, asked.number_kind, asked.number, holder, request_id_of(request.scope))
        return Response(status_code=204)

    @router.post(
        "/releases", operation_id="releaseTag", summary="Take away the tag of a revoked registration", status_code=204
    )
    async def release(asked: Number, registrar: Caller, request: Request) -> Response:
        await service().release(registrar, asked.number_kind, asked.number, request_id_of(request.scope))
        return Response(status_code=204)

    return router
