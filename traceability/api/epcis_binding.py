# SPDX-License-Identifier: Apache-2.0
"""What all endpoints of the EPCIS 2.0 REST binding share: versions, media types, headers, who asks, and refusals.

Source: EPCIS 2.0, section 12; its OpenAPI description.
"""

import json
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Annotated, Any, Final

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers

from service.problems import Problem
from traceability.api import clients
from traceability.api.capture_document import BODY_BYTES_MAX, ROLLBACK_EVENTS_MAX, TooManyEvents
from traceability.api.clients import Client
from traceability.api.context import TraceContext
from traceability.api.problems import (
    BEARER,
    CAPTURE_LIMIT,
    INVALID_DOCUMENT,
    MEDIA_TYPE,
    NOT_ACCEPTABLE,
    NOT_YOURS,
)
from traceability.epcis_json import InvalidDocument
from traceability.epcis_json import Problem as Fault

PREFIX: Final = "/epcis"
VERSION: Final = "2.0.0"
CONTEXT: Final = "https://ref.gs1.org/standards/epcis/epcis-context.jsonld"
FAULTS_SHOWN_MAX: Final = 100
"""Of one refusal; as many as validation finds."""
MEDIA: Final = ("application/json", "application/ld+json")
COMMON_HEADERS: Final[Mapping[str, str]] = {
    "GS1-EPCIS-Version": VERSION,
    "GS1-EPCIS-Min": VERSION,
    "GS1-EPCIS-Max": VERSION,
    "GS1-CBV-Version": VERSION,
    "GS1-EPC-Format": "Never_Translates",
    "GS1-Extensions": "",
    "Cache-Control": "no-store",
}
"""On each answer. Identifiers come back as they were captured; extensions of any namespace are taken."""
CAPTURE_HEADERS: Final[Mapping[str, str]] = {
    "GS1-EPCIS-Capture-Limit": str(ROLLBACK_EVENTS_MAX),
    "GS1-EPCIS-Capture-File-Size-Limit": str(BODY_BYTES_MAX),
    "GS1-Capture-Error-Behaviour": "rollback",
}

_VERSION = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,3}))?(?:\.[0-9]{1,3})?")
_FORMATS: Final = ("No_Preference", "Never_Translates", "")
_bearer = HTTPBearer(auto_error=False, description="A participant's or a food regulator's key.")
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class EpcisRoute(APIRoute):
    """A route of the binding: negotiates first, and puts the common headers on whatever is answered."""

    def get_route_handler(self) -> Handler:
        """See FastAPI."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                check_versions(request.headers)
                answer = await inner(request)
            except Problem as problem:
                problem.headers = {**COMMON_HEADERS, **problem.headers}
                raise
            except InvalidDocument as error:
                raise Problem(
                    INVALID_DOCUMENT,
                    {"count": len(error.problems), "reason": str(error.problems[0])},
                    members={"errors": listed(error.problems)},
                    headers=COMMON_HEADERS,
                ) from None
            except TooManyEvents as error:
                raise Problem(
                    CAPTURE_LIMIT,
                    {"limit": error.limit, "reason": error.reason},
                    headers={**COMMON_HEADERS, **CAPTURE_HEADERS},
                ) from None
            for name, value in COMMON_HEADERS.items():
                answer.headers.setdefault(name, value)
            return answer

        return handle


def json_answer(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON, in the media type of EPCIS."""
    raw = json.dumps(body, ensure_ascii=False).encode()
    return Response(raw, status_code=status, headers=dict(headers or {}), media_type=MEDIA[1])


def listed(faults: tuple[Fault, ...]) -> list[dict[str, str]]:
    """Faults of a document as a refusal lists them."""
    return [{"where": fault.path, "what": fault.reason} for fault in faults[:FAULTS_SHOWN_MAX]]


def check_versions(headers: Headers) -> None:
    """Whether a caller takes what is spoken here: EPCIS and CBV 2.0 in JSON, identifiers as captured.

    Raises:
        Problem: It does not.
    """
    for name in ("gs1-epcis-version", "gs1-cbv-version"):
        given = _version(headers.get(name, VERSION))
        if given is None or given != (2, 0):
            raise Problem(NOT_ACCEPTABLE, {"reason": name})
    low, high = (_version(headers.get(name, VERSION)) for name in ("gs1-epcis-min", "gs1-epcis-max"))
    if low is None or high is None or not low <= (2, 0) <= high:
        raise Problem(NOT_ACCEPTABLE, {"reason": "gs1-epcis-min, gs1-epcis-max"})
    if headers.get("gs1-epc-format", "") not in _FORMATS:
        raise Problem(NOT_ACCEPTABLE, {"reason": "gs1-epc-format"})
    accepted = [part.partition(";")[0].strip().lower() for part in headers.get("accept", "*/*").split(",")[:16]]
    if not {*MEDIA, "application/*", "*/*", ""} & set(accepted):
        raise Problem(NOT_ACCEPTABLE, {"reason": "accept"})


async def json_body(request: Request) -> bytes:
    """The body of a request, which says that it is JSON.

    Raises:
        Problem: It says something else.
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media not in MEDIA:
        raise Problem(MEDIA_TYPE, {"reason": ", ".join(MEDIA)})
    return await request.body()


def _version(text: str) -> tuple[int, int] | None:
    found = _VERSION.fullmatch(text.strip())
    return None if found is None else (int(found[1]), int(found[2] or 0))


class Callers:
    """Who asks: dependencies of endpoints.

    Args:
        context: Has the store of keys.
    """

    def __init__(self, context: TraceContext) -> None:
        self._store = context.store

    async def anybody(
        self, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
    ) -> Client | None:
        """Whose key is given; None: none is, and what is public is answered.

        Raises:
            Problem: It is nobody's.
        """
        if credentials is None:
            return None
        return await run_in_threadpool(clients.find, self._store, credentials.credentials)

    async def known(self, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Client:
        """Whose key is given.

        Raises:
            Problem: None is, or it is nobody's.
        """
        found = await self.anybody(credentials)
        if found is None:
            raise Problem(BEARER, headers={"WWW-Authenticate": "Bearer"})
        return found

    async def participant(
        self, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
    ) -> Client:
        """The participant whose key is given.

        Raises:
            Problem: None is, it is nobody's, or a regulator's.
        """
        found = await self.known(credentials)
        if found.is_regulator:
            raise Problem(NOT_YOURS)
        return found
