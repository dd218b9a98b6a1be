# SPDX-License-Identifier: Apache-2.0
"""Who may ask lists of accesses: organisations that may write accesses, by a key of theirs that submits.

Whoever was shown a credential knows where its person's list begins. That alone must tell nobody how the list goes on.
"""

from collections.abc import Callable
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from chain.signing import Signer
from chain.types import sha256
from identity.access_rules import WRITER_ROLES
from identity.api.accesses.lists import Read
from identity.api.accesses.problems import NOT_WRITER
from identity.api.accesses.signed_requests import HEADER, Asked, NotSigned, check
from membership.pb import membership_pb2
from membership.state import load_key, load_organisation, organisation_key, signer_key
from service.idempotency import State
from service.problems import Problem
from service.store import Store

STANDING_MS: Final = 15_000
"""For how long a key that counted is taken without another look; a suspension counts after that at most."""
KNOWN_MAX: Final = 256
"""Keys whose standing is remembered: more than a city's registrars and verifiers have at work."""

_NONCE = b"zhixin/signed-request/nonce\x00"


class Writers:
    """Lets writers' requests through.

    Args:
        store: Where nonces are used up.
        read: Reads the ledger, once the service runs.
        now_ms: Unix time in ms.
    """

    def __init__(self, store: Store, read: Callable[[], Read], now_ms: Callable[[], int]) -> None:
        self._replays = store.replays()
        self._read = read
        self._now_ms = now_ms
        self._known: dict[Signer, int] = {}

    async def check(self, request: Request) -> None:
        """Check who asks; each signature counts once.

        Raises:
            Problem: No writer's key signed this request, now.
            TransportError: Nobody answers for the ledger.
        """
        body = await request.body()
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        asked = Asked(request.headers.get("host", ""), request.method, path, body)
        try:
            proven = check(request.headers.get(HEADER, ""), asked, self._now_ms())
        except NotSigned:
            raise Problem(NOT_WRITER) from None
        await self._check_standing(proven.signer)
        nonce = sha256(_NONCE + proven.nonce)
        if (await run_in_threadpool(self._replays.begin, nonce, sha256(body))).state is not State.NEW:
            raise Problem(NOT_WRITER)

    async def _check_standing(self, signer: Signer) -> None:
        now_ms = self._now_ms()
        if now_ms < self._known.get(signer, 0):
            return
        key = load_key((await self._read()([signer_key(signer)])).get, signer)
        if key is None or not key.is_usable(now_ms) or membership_pb2.PURPOSE_SUBMIT not in key.purposes:
            raise Problem(NOT_WRITER)
        found = await self._read()([organisation_key(key.organisation)])
        organisation = load_organisation(found.get, key.organisation)
        if organisation is None or not organisation.is_active or not set(WRITER_ROLES) & set(organisation.roles):
            raise Problem(NOT_WRITER)
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known[signer] = now_ms + STANDING_MS
