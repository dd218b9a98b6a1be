# SPDX-License-Identifier: Apache-2.0
"""A request that changes something is carried out once, however often it is sent under one Idempotency-Key.

The first request under a key takes a place in the store before anything runs; later ones get its answer, or are told
that it is under way, done, or lost without a known outcome. The answer is kept sealed under a key that is derived from
the caller's own Idempotency-Key, of which the store holds a digest only: nobody but the caller can open it. A caller
who is signed in is the session, not its token, which changes: once the session has ended, nobody is that caller.

Source: draft-ietf-httpapi-idempotency-key-header-07.
"""

import hashlib
import hmac
import json
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import problems
from service.envelope import refuse
from service.errors import KeyFileError, PersonErased, StorageError
from service.forgery import SAFE_METHODS
from service.gate import replayed
from service.problems import Problem
from service.settings import Address

HEADER = "Idempotency-Key"
KEPT_BYTES_MAX = 64 * 1024
"""A longer answer is not kept: who repeats the request is told that it was carried out."""
LEASE_MS = 60_000
"""A request that has not ended by then died with its process, or has lost its caller: its outcome is unknown."""
KEEP_MS = 24 * 3600 * 1000
"""Who repeats a request later starts anew."""

_KEY = re.compile(r'"?([A-Za-z0-9_.~-]{16,128})"?')
_KEPT_HEADERS = frozenset({"content-type", "content-language", "location", "etag"})
"""No cookie is handed out twice."""
_UNTOUCHED = frozenset({401, 404, 405, 429})
"""Nothing was carried out; the same key may try again. So whoever is nobody here, or asks for nothing that there is,
leaves nothing in the store."""
_UNSURE = frozenset({502, 503, 504})
"""What was asked on the way did not answer, which may be after it was told to act: a transaction that was submitted can
be in the next block though no node answered in time."""
_SESSION = "session "
"""How callers begin who are signed in. Pages are kept for them alone: others would fill the store with them."""
_NONCE_BYTES = 12


class State(StrEnum):
    """What is known of the first request under a key."""

    NEW = "new"
    UNDER_WAY = "under-way"
    DONE = "done"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Place:
    """What the store knows about a key.

    Attributes:
        state: NEW: this caller took the place and carries the request out.
        request: Digest of the first request, 32 bytes.
        answer: Its sealed answer; empty if none was kept.
    """

    state: State
    request: bytes
    answer: bytes = b""


class Replays(Protocol):
    """Where places are kept; each call is one transaction and blocks."""

    def begin(self, key: bytes, request: bytes) -> Place:
        """Take the place of a key, or say who has it. Of two at the same time exactly one gets NEW."""

    def finish(self, key: bytes, answer: bytes) -> None:
        """The request was carried out; keep its sealed answer (empty: too large)."""

    def release(self, key: bytes) -> None:
        """Nothing was carried out: the place is free again."""

    def lose(self, key: bytes) -> None:
        """The request broke off; whether it was carried out is unknown."""


class Idempotency:
    """The middleware; it stands after the gate, which has read the body.

    Args:
        app: What comes after.
        address: Whose session cookie tells callers apart.
        key: 32 bytes, the service's own, the same in each of its processes.
        replays: Where places are kept; None: the header is refused.
    """

    def __init__(self, app: ASGIApp, address: Address, key: bytes, replays: Replays | None) -> None:
        self._app = app
        self._session_cookie = address.cookie_name("session")
        self._key = key
        self._replays = replays

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry a request out, or answer it from what is known."""
        if scope["type"] != "http" or scope["method"] in SAFE_METHODS:
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).getlist(HEADER)
        if not given:
            await self._app(scope, receive, send)
            return
        found = _KEY.fullmatch(given[0]) if len(given) == 1 else None
        if found is None:
            await refuse(Problem(problems.KEY_INVALID), scope, receive, send)
        elif self._replays is None:
            await refuse(Problem(problems.KEY_UNSUPPORTED), scope, receive, send)
        else:
            try:
                await self._carry_out(self._replays, found[1], scope, receive, send)
            except Problem as problem:
                await refuse(problem, scope, receive, send)

    async def _carry_out(self, replays: Replays, given: str, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        caller = await self._caller(scope, headers)
        name = self._digest(b"name", caller, given)
        body = await Request(scope, receive).body()
        request = _request_digest(scope, headers, body)
        try:
            place = await run_in_threadpool(replays.begin, name, request)
        except StorageError:  # nothing was carried out
            raise Problem(problems.STORE, headers={"Retry-After": "2"}) from None
        if place.state is not State.NEW:
            await _replay(place, request, self._sealer(caller, given), name, send)
            return
        kept = _Kept(send)
        try:
            await self._app(scope, replayed(body, receive), kept)
        except BaseException:
            await run_in_threadpool(replays.lose, name)
            raise
        if kept.status in _UNTOUCHED:
            await run_in_threadpool(replays.release, name)
        elif kept.status in _UNSURE:
            await run_in_threadpool(replays.lose, name)
        else:
            is_known = caller.startswith(_SESSION)
            sealed = self._seal(kept.document() if is_known or not kept.is_page else b"", caller, given, name)
            await run_in_threadpool(replays.finish, name, sealed)

    async def _caller(self, scope: Scope, headers: Headers) -> str:
        """Whose key it is: a session that lives, as `app.state.caller` knows it, or what the request carries."""
        request = Request(scope)
        cookie = request.cookies.get(self._session_cookie, "")
        find = getattr(request.app.state, "caller", None)
        if cookie and find is not None:
            try:
                session = await run_in_threadpool(find, request)
            except (StorageError, KeyFileError):  # nothing was carried out
                raise Problem(problems.STORE, headers={"Retry-After": "2"}) from None
            except PersonErased:  # just now
                session = None
            if session is not None:
                return f"{_SESSION}{session}"
        return f"cookie {cookie}" if cookie else f"authorization {headers.get('authorization', '')}"

    def _seal(self, document: bytes, caller: str, given: str, name: bytes) -> bytes:
        """An answer as it is kept: the nonce is random, for a key that is used again after its day seals again."""
        if not document:
            return b""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._sealer(caller, given).encrypt(nonce, document, name)

    def _digest(self, purpose: bytes, caller: str, given: str) -> bytes:
        parts = [b"zhixin/idempotency/1", purpose, caller.encode(), given.encode()]
        text = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.digest(self._key, text, hashlib.sha256)

    def _sealer(self, caller: str, given: str) -> AESGCM:
        return AESGCM(self._digest(b"seal", caller, given))


class _Kept:
    """Passes an answer on and keeps a copy of it while it is small."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        self._headers: list[list[str]] = []
        self._body = bytearray()
        self._is_whole = False
        self._is_large = False

    @property
    def is_page(self) -> bool:
        """Whether it is for people, and not for programs."""
        return any(name == "content-type" and value.startswith("text/html") for name, value in self._headers)

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            pairs = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in message["headers"]]
            self._headers = [[name, value] for name, value in pairs if name in _KEPT_HEADERS]
        elif message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            self._is_large = self._is_large or len(self._body) > KEPT_BYTES_MAX
            if self._is_large:
                self._body.clear()
            self._is_whole = not message.get("more_body", False)
        await self._send(message)

    def document(self) -> bytes:
        """The answer as bytes to seal; empty where it was too large or broke off."""
        if self._is_large or not self._is_whole:
            return b""
        head = json.dumps({"status": self.status, "headers": self._headers}).encode()
        return len(head).to_bytes(4, "big") + head + bytes(self._body)


def _request_digest(scope: Scope, headers: Headers, body: bytes) -> bytes:
    """What makes two requests the same: method, path, query, media type and body."""
    path = scope["path"].encode()
    media = headers.get("content-type", "").encode()
    parts = [scope["method"].encode(), path, scope["query_string"], media, body]
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()


async def _replay(place: Place, request: bytes, sealer: AESGCM, name: bytes, send: Send) -> None:
    """Answer a request whose key was used before."""
    if not hmac.compare_digest(place.request, request):
        raise Problem(problems.KEY_REUSED)
    if place.state is State.UNDER_WAY:
        raise Problem(problems.KEY_IN_PROGRESS, headers={"Retry-After": "1"})
    if place.state is State.UNKNOWN:
        raise Problem(problems.KEY_UNKNOWN)
    if not place.answer:
        raise Problem(problems.KEY_DONE)
    try:
        document = sealer.decrypt(place.answer[:_NONCE_BYTES], place.answer[_NONCE_BYTES:], name)
    except (InvalidTag, ValueError):
        raise Problem(problems.KEY_DONE) from None
    size = int.from_bytes(document[:4], "big")
    head = json.loads(document[4 : 4 + size])
    pairs = [(key.encode("latin-1"), value.encode("latin-1")) for key, value in head["headers"]]
    pairs.append((b"idempotency-replayed", b"true"))
    await send({"type": "http.response.start", "status": head["status"], "headers": pairs})
    await send({"type": "http.response.body", "body": document[4 + size :]})
