# SPDX-License-Identifier: Apache-2.0
"""Which program the page runs on a phone: a digest over its files, which each organisation anchors on the ledger.

All organisations that serve anything from one build serve the same files, so anybody can compare what two of them
serve, and either with what stands on the ledger: `code_part` answers on the explorer of each, which needs no key.  The
stream is the same for every organisation on purpose.
"""

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from chain.genesis import Genesis
from chain.types import sha256
from membership.anchors import STREAM_BYTES, anchor_key
from membership.pb import membership_pb2
from service.app import Part
from service.static_files import PREFIX, static_files

ENTRIES: Final = ("shell.css", "trace.css", "trace.js", "trace-worker.js", "trace-offline.js")
"""What the journey page is made of, but for its text."""
CODE: Final = "/v1/journey-code"
KIND: Final = membership_pb2.ANCHOR_KIND_WEB_BUNDLE
STREAM: Final = sha256(b"zhixin/shopper")[:STREAM_BYTES]
ORGANISATIONS_MAX: Final = 64
"""Founding validators whose anchors a page proves; a network has at most some thirty."""


@cache
def code_files() -> dict[str, str]:
    """Addresses of the page's files with the SHA-256 of each in hex, sorted.

    Raises:
        PagesNotBuilt: There is no build.
    """
    files = static_files()
    return {
        PREFIX + path: hashlib.sha256(files.files[path].content).hexdigest() for path in sorted(files.needed(ENTRIES))
    }


@cache
def code_digest() -> bytes:
    """SHA-256 over these addresses and digests; 32 bytes.

    Raises:
        PagesNotBuilt: There is no build.
    """
    return sha256("".join(f"{path} {digest}\n" for path, digest in code_files().items()).encode())


def anchoring_organisations(genesis: Genesis) -> set[str]:
    """Whose anchors a page looks for: the founding validators'; and this service's own, once it is known."""
    return set(sorted({founder.organisation for founder in genesis.founders})[:ORGANISATIONS_MAX])


def anchor_keys(organisations: Iterable[str]) -> set[bytes]:
    """State keys of organisations' newest anchors of the page's code."""
    return {anchor_key(organisation, KIND, STREAM) for organisation in organisations}


def code_document() -> str:
    """The files and their digest as JSON, for whoever compares."""
    return json.dumps({"digest": code_digest().hex(), "files": code_files()}, indent=1)


def code_router() -> APIRouter:
    """The route that lists the files; they themselves are served by every service with pages."""
    router = APIRouter()

    async def code() -> Response:
        headers = {"cache-control": "public, max-age=5", "access-control-allow-origin": "*"}
        return Response(code_document(), headers=headers, media_type="application/json")

    about = "The files of the shopper's journey page with their digests"
    router.add_api_route(CODE, code, methods=["GET"], operation_id="getJourneyCode", summary=about, tags=["shopper"])
    return router


def code_part() -> Part:
    """The same for a service that has no journeys, such as a validator's explorer."""
    return Part("journey-code", [code_router()])
