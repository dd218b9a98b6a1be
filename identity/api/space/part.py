# SPDX-License-Identifier: Apache-2.0
"""The personal data space over HTTP: one address that takes signed acts, for a page of another origin.

It stands in the registrar's issuing service, which has what is kept of people and believes their credentials. There is
no session: each act is signed by itself, and what it does stands in its `do`.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from chain.errors import InvalidMessage, LedgerError
from chain.strict_json import parse
from client.errors import TransportError
from identity.api.issuer.denied import Denied, Error
from identity.api.space import by_card, compartment, consents, known, locking, requests
from identity.api.space.acts import ACT_BYTES_MAX, Signed, SpaceContext, check, check_standing
from identity.jose import JsonObject
from identity.sd_jwt import TOKEN_CHARACTERS_MAX
from service.app import Part
from service.errors import PersonErased
from service.problems import Problem

PREFIX: Final = "/space/"
BODY_BYTES_MAX: Final = 3 * ACT_BYTES_MAX + TOKEN_CHARACTERS_MAX
"""An act may be escaped within the body; and a presentation."""
BODY_DEPTH_MAX: Final = 2
"""An act is a text; what a card answers is an object."""

Do: TypeAlias = Callable[[SpaceContext, Signed], Awaitable[JsonObject]]


def _blocking(act: Callable[[SpaceContext, Signed], JsonObject]) -> Do:
    async def do(space: SpaceContext, signed: Signed) -> JsonObject:
        return await run_in_threadpool(act, space, signed)

    return do


async def _unknown(_space: SpaceContext, _signed: Signed) -> JsonObject:
    raise Denied(Error.INVALID_REQUEST, f"do is one of {', '.join(ACTS)}")


ACTS: Final[Mapping[str, Do]] = {
    "overview": known.overview,
    "export": known.export,
    "consent.give": consents.give,
    "consent.end": consents.end,
    "lock": locking.lock,
    "request.make": _blocking(requests.make),
    "request.withdraw": _blocking(requests.withdraw),
    "compartment.get": _blocking(compartment.get),
    "compartment.put": _blocking(compartment.put),
}
"""What an act's `do` may be."""


def space_part(space: Callable[[], SpaceContext]) -> Part:
    """What a registrar's issuing service takes along.

    Args:
        space: Once the service runs.
    """
    router = APIRouter(tags=["data space"])

    @router.post("/space/acts", operation_id="postSpaceAct", summary="Something that its holder signed")
    async def acted(request: Request) -> Response:
        body = await request.body()
        try:
            here = space()
            asked = _object(body)
            signed = await _signed(here, asked)
            return _json(await ACTS.get(signed.word("do"), _unknown)(here, signed))
        except Denied as denied:
            return _refused(denied)
        except PersonErased:
            return _refused(Denied(Error.CREDENTIAL_REQUEST_DENIED, "nothing is kept of this person"))
        except (TransportError, LedgerError, Problem):  # a desk without a key of its own is a problem, too
            return _refused(Denied(Error.TEMPORARILY_UNAVAILABLE, "the ledger cannot be asked at this time"))

    return Part("space", [router], body_limits={PREFIX: BODY_BYTES_MAX}, machine_paths=[PREFIX], open_paths=[PREFIX])


async def _signed(space: SpaceContext, asked: JsonObject) -> Signed:
    """Who acts, by a credential in a wallet or by the card itself, and that they count now."""
    card = asked.get("card")
    if isinstance(card, dict):
        signed, held = await run_in_threadpool(by_card.check, space, card, asked.get("nonce"), asked.get("act"))
        await by_card.check_key(space, held)
        return signed
    signed = await run_in_threadpool(check, space, asked.get("presentation"), asked.get("nonce"), asked.get("act"))
    await check_standing(space, signed)
    return signed


def _object(body: bytes) -> JsonObject:
    try:
        asked = parse(body, size_max=BODY_BYTES_MAX, depth_max=BODY_DEPTH_MAX)
    except InvalidMessage:
        asked = None
    if not isinstance(asked, dict):
        raise Denied(Error.INVALID_REQUEST, "the request is no JSON object of presentation, nonce and act")
    return asked


def _refused(denied: Denied) -> Response:
    return _json({"error": denied.error, "error_description": denied.description}, denied.status)


def _json(document: JsonObject, status: int = 200) -> Response:
    body = json.dumps(document, ensure_ascii=False).encode()
    return Response(body, status, {"cache-control": "no-store"}, "application/json")
