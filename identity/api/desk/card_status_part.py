# SPDX-License-Identifier: Apache-2.0
"""The public pages of the card authority: its certificate, its revocation list, answers about one certificate (OCSP).

They name nobody, and need no signing in: whoever relies on a card asks here. All are made from one publication.
Questions come by POST; the form with a question in the path needs encoded slashes, which no service here lets in.

Source: RFC 5280, 4.2.1.13 and 4.2.2.1; RFC 6960, appendix A (OCSP over HTTP); RFC 2585 (media types).
"""

from typing import Final

import structlog
from cryptography.hazmat.primitives.serialization import Encoding
from fastapi import APIRouter, FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from chain.errors import LedgerError
from client.errors import TransportError
from identity.api.desk.base import DeskContext
from identity.api.desk.card_keys import CardKeys
from identity.api.desk.card_status import LedgerSource, Publication, Source, publish
from identity.cards import ocsp
from identity.cards.authority import REVOCATION_LIST_VALID
from identity.standing import AGE_S_MAX
from service import problems
from service.app import Part
from service.errors import StorageError, TokenError
from service.problems import Problem
from service.rounds import Round

log = structlog.get_logger(__name__)

PATH: Final = "/pki/"
TICK_S: Final = 30
"""Two ticks fit into the minute within which a suspension counts everywhere."""


class CardStatus:
    """What is published now."""

    def __init__(self, keys: CardKeys) -> None:
        self.keys = keys
        self.now: Publication | None = None

    def is_fresh(self, now_s: int, age_s_max: int) -> bool:
        """Whether what is published is not older than so many seconds."""
        return self.now is not None and now_s - self.now.view.time_s <= age_s_max

    def answer(self, request: bytes, now_s: int) -> bytes:
        """Answer a question about one certificate; later, where nobody can say now."""
        if self.now is None or not self.is_fresh(now_s, int(ocsp.ANSWER_VALID.total_seconds())):
            return ocsp.TRY_LATER
        return self.keys.responder(now_s).answer(request, self.now.view)


def card_status_part(keys: CardKeys, *, source: Source | None = None) -> Part:
    """What the desk's service takes along that says which cards count.

    Args:
        keys: The authority's.
        source: Reads the ledger; None: through `app.state.door`.

    Returns:
        The part; it stands after `desk_part`, whose `app.state.desk` it uses.
    """
    status = CardStatus(keys)
    ways: list[Source] = []
    desks: list[DeskContext] = []

    async def start(app: FastAPI) -> None:
        way = LedgerSource(app.state.door) if source is None else source
        app.state.card_status = status
        desks.append(app.state.desk)
        ways.append(way)

    async def once() -> None:
        status.now = await publish(desks[-1], status.keys, ways[-1])

    async def is_published() -> bool:
        return bool(desks) and status.is_fresh(desks[-1].now() // 1000, AGE_S_MAX)

    rounds = [Round("ticks", once, TICK_S, (TransportError, LedgerError, StorageError, TokenError))]
    checks = {"published": is_published}
    return Part("card-status", [_router(status)], start=start, rounds=rounds, checks=checks, machine_paths=[PATH])


def _router(status: CardStatus) -> APIRouter:
    router = APIRouter(tags=["cards"])

    def now_s(request: Request) -> int:
        moment: int = request.app.state.desk.now() // 1000
        return moment

    @router.get(f"{PATH}issuing.cer", operation_id="getCardIssuer", summary="The certificate that certifies cards")
    async def issuing() -> Response:
        content = status.keys.authority.issuing.public_bytes(Encoding.DER)
        return Response(content, media_type="application/pkix-cert", headers={"cache-control": "public, max-age=86400"})

    @router.get(f"{PATH}cards.crl", operation_id="getCardList", summary="Which cards' certificates count no longer")
    async def revoked(request: Request) -> Response:
        found = status.now
        if found is None or not status.is_fresh(now_s(request), int(REVOCATION_LIST_VALID.total_seconds())):
            raise Problem(problems.LEDGER_UNAVAILABLE, headers={"Retry-After": str(TICK_S)})
        headers = {"cache-control": f"public, max-age={TICK_S}", "etag": f'"{found.digest.hex()[:32]}"'}
        if headers["etag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(found.revocation_list, media_type="application/pkix-crl", headers=headers)

    @router.post(f"{PATH}ocsp", operation_id="postCardQuestion", summary="Whether one card's certificate counts (OCSP)")
    async def asked(request: Request) -> Response:
        content = await run_in_threadpool(status.answer, await request.body(), now_s(request))
        return Response(content, media_type=ocsp.MEDIA_TYPE, headers={"cache-control": "no-store"})

    return router
