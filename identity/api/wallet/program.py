# SPDX-License-Identifier: Apache-2.0
"""The wallet's program: a manifest of its files and pages, whose digest its operator anchors on the ledger.

A wallet that is kept on a device takes another program only if that one's manifest is anchored by the organisation
whose program it has, and no earlier than the one it has (`web/wallet/keeper.ts`).  The pages' text is part of it, one
for each language, and so is the policy under which they run: a server that alters any of them alters the digest.
"""

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from chain.errors import LedgerError
from chain.types import sha256
from client.errors import TransportError
from membership.anchors import STREAM_BYTES, anchor_key
from membership.pb import membership_pb2
from service import problems
from service.language import LANGUAGES, Language
from service.problems import Problem
from service.static_files import PREFIX, StaticFiles

FORMAT: Final = "zhixin-wallet-program/1"
KIND: Final = membership_pb2.ANCHOR_KIND_WEB_BUNDLE
STREAM: Final = sha256(b"zhixin/wallet")[:STREAM_BYTES]
"""The same for every operator, so that a wallet knows where to look."""
ENTRIES: Final = (
    "shell.css",
    "shell.js",
    "wallet.css",
    "wallet-opening.js",
    "wallet.js",
    "space.js",
    "verifier.js",
    "qr-reader.js",
    "mark.svg",
)
"""What the wallet's pages load, now or when something is to be read or checked."""
WORKER: Final = "wallet-offline.js"
SCRIPT: Final = "/wallet-offline.js"
PROGRAM: Final = "/v1/wallet-program"
PAGES: Final = "/v1/wallet-pages"
ORGANISATIONS_MAX: Final = 64
"""Founding validators whose anchors are looked at; a network has at most some thirty."""
KEPT_S: Final = 5.0
"""How long an answer with its receipt is given to everybody who asks: it costs nodes a proof."""

Prove: TypeAlias = Callable[[Sequence[bytes]], Awaitable[tuple[bytes, dict[bytes, bytes | None]]]]
"""A receipt of state keys at one height, and their values."""
Draw: TypeAlias = Callable[[Request], bytes]
"""Writes a page for a request."""


class Program:
    """One build's program for one network.

    Args:
        genesis: Address and bytes of the network's genesis file.
        files: The build.
        pages: What writes each page, by its path.
        policy: The Content-Security-Policy under which the pages run.
    """

    def __init__(self, genesis: tuple[str, bytes], files: StaticFiles, pages: Mapping[str, Draw], policy: str) -> None:
        self._worker = files.files[files.names[WORKER]].content
        self.pages: dict[str, bytes] = {}
        """Texts of pages by their SHA-256 in hex."""
        named: dict[str, dict[str, str]] = {}
        for path, draw in pages.items():
            named[path] = {language: self._page(draw(plain_request(path, language))) for language in LANGUAGES}
        digests = {PREFIX + path: sha256(files.files[path].content).hex() for path in files.needed(ENTRIES)}
        digests[genesis[0]] = sha256(genesis[1]).hex()
        self.size = len(digests) + len(self.pages) + 1
        described = {
            "format": FORMAT,
            "worker": sha256(self._worker).hex(),
            "policy": policy,
            "files": digests,
            "pages": named,
        }
        self.manifest = json.dumps(described, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        self.digest = sha256(self.manifest.encode())

    def _page(self, text: bytes) -> str:
        digest = sha256(text).hex()
        self.pages[digest] = text
        return digest

    async def serve_worker(self, request: Request) -> Response:
        """The worker. Browsers ask for it each time a page is opened, and the worker that they have does too."""
        tag = f'"{sha256(self._worker).hex()}"'
        headers = {"cache-control": "no-cache", "service-worker-allowed": "/", "etag": tag}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(self._worker, headers=headers, media_type="text/javascript; charset=utf-8")

    async def serve_page(self, digest: str) -> Response:
        """A page's text as the manifest names it, for the worker; a browser that is led here shows it as text."""
        text = self.pages.get(digest)
        if text is None:
            raise Problem(problems.NOT_FOUND)
        headers = {"cache-control": "public, max-age=31536000, immutable"}
        return Response(text, headers=headers, media_type="text/plain; charset=utf-8")


def plain_request(path: str, language: Language) -> Request:
    """What a browser asks that chose nothing: the page that everybody gets in a language."""
    headers = [(b"host", b"localhost"), (b"accept-language", language.encode())]
    scope = {"type": "http", "method": "GET", "scheme": "http", "path": path, "query_string": b"", "headers": headers}
    return Request(scope)


class Anchors:
    """Whose anchor stands behind a program, with the receipt that proves it.

    Args:
        program: Of this service.
        organisations: Who may have anchored it: the founding validators'.
        prove: Makes receipts; None: nobody vouches for anything here.
    """

    def __init__(self, program: Program, organisations: Iterable[str], prove: Prove | None) -> None:
        self._program = program
        self._organisations = sorted(set(organisations))[:ORGANISATIONS_MAX]
        self._prove = prove
        self._turn = asyncio.Lock()
        self._kept: tuple[float, str] | None = None

    def add(self, organisation: str) -> None:
        """This operator's own comes first."""
        self._organisations = [organisation, *(one for one in self._organisations if one != organisation)]
        self._kept = None

    async def document(self) -> str:
        """The manifest, with the organisation that anchored it and the proof; without both where nobody did."""
        async with self._turn:
            if self._kept is None or time.monotonic() - self._kept[0] > KEPT_S:
                self._kept = (time.monotonic(), json.dumps(await self._made(), ensure_ascii=False))
            return self._kept[1]

    async def _made(self) -> dict[str, str]:
        told = {"manifest": self._program.manifest}
        if self._prove is None or not self._organisations:
            return told
        keys = {one: anchor_key(one, KIND, STREAM) for one in self._organisations}
        try:
            _, values = await self._prove(list(keys.values()))
            for organisation, key in keys.items():
                value = values[key]
                if value is None or membership_pb2.AnchorRecord.FromString(value).digest != self._program.digest:
                    continue
                receipt, _ = await self._prove([key])
                return told | {"organisation": organisation, "receipt": base64.b64encode(receipt).decode()}
        except (TransportError, LedgerError):
            raise Problem(problems.LEDGER_UNAVAILABLE) from None
        return told


def program_router(program: Program, anchors: Anchors) -> APIRouter:
    """The routes of worker, manifest and pages' texts."""
    router = APIRouter()

    async def described() -> Response:
        headers = {"cache-control": "no-store", "access-control-allow-origin": "*"}
        return Response(await anchors.document(), headers=headers, media_type="application/json")

    about = "The wallet's program: its manifest, and the receipt of whoever anchored it"
    router.add_api_route(PROGRAM, described, methods=["GET"], operation_id="getWalletProgram", summary=about)
    router.add_api_route(PAGES + "/{digest}", program.serve_page, methods=["GET"], include_in_schema=False)
    router.add_api_route(SCRIPT, program.serve_worker, methods=["GET"], include_in_schema=False)
    return router
