# SPDX-License-Identifier: Apache-2.0
"""The resolver over HTTP: labels lead here, from any camera app and any site.

What is answered, `traceability.resolver` decides; here it gets its headers. Answers carry no cookie and no secret, so
every site may read them (CORS). The part belongs into a service of its own host name, that which labels carry.
"""

import json
from typing import Final

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from service.app import Part
from service.problems import Problem
from traceability.api.problems import KINDS, NO_DIGITAL_LINK, NO_LINK
from traceability.resolver import PRIMARY_KEYS, WELL_KNOWN, Links, description_file, resolve

OPEN: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Accept, Accept-Language",
    "Access-Control-Expose-Headers": "Link, Location",
}
"""For every site: there is nothing here that not everybody may read."""
_FRESH = {"Cache-Control": "public, max-age=60", "Vary": "Accept, Accept-Language"}
_METHODS = ["GET", "HEAD"]


def resolver_part(links: Links, root: str, name: str) -> Part:
    """The resolver as a part of a service.

    Args:
        links: What there is.
        root: Its address as labels carry it, without a slash at its end.
        name: Of the resolver, for its description.
    """
    router = APIRouter()

    async def describe(request: Request) -> Response:
        del request
        return _json(description_file(root, name), "application/json", _FRESH)

    async def follow(request: Request) -> Response:
        raw = request.scope.get("raw_path") or request.url.path.encode()
        query = request.url.query
        target = raw.decode("ascii", "replace") + (f"?{query}" if query else "")
        headers = request.headers
        answer = await run_in_threadpool(
            resolve,
            target,
            links,
            root,
            accept=headers.get("accept", ""),
            accept_language=headers.get("accept-language", ""),
        )
        shown = {**OPEN, **({"Link": answer.link} if answer.link else {})}
        if answer.status == 400:
            raise Problem(NO_DIGITAL_LINK, {"reason": answer.reason}, headers=shown)
        if answer.status == 404:
            raise Problem(NO_LINK, headers=shown)
        shown |= _FRESH
        if answer.body is not None:
            return _json(answer.body, answer.media, shown, answer.status)
        return Response(status_code=answer.status, headers={**shown, "Location": answer.location})

    async def preflight(request: Request) -> Response:
        del request
        return Response(status_code=204, headers={**OPEN, "Allow": "GET, HEAD, OPTIONS"})

    router.add_api_route(WELL_KNOWN, describe, methods=_METHODS, include_in_schema=False)
    for key in PRIMARY_KEYS:
        path = f"/{key}/{{rest:path}}"
        router.add_api_route(path, follow, methods=_METHODS, include_in_schema=False)
        router.add_api_route(path, preflight, methods=["OPTIONS"], include_in_schema=False)
    router.add_api_route(WELL_KNOWN, preflight, methods=["OPTIONS"], include_in_schema=False)
    return Part("resolver", [router], problems=KINDS, uri_paths=[f"/{key}/" for key in PRIMARY_KEYS])


def _json(body: object, media: str, headers: dict[str, str], status: int = 200) -> Response:
    """A JSON answer with exactly this media type."""
    return Response(
        json.dumps(body, ensure_ascii=False), status_code=status, headers={**OPEN, **headers}, media_type=media
    )
