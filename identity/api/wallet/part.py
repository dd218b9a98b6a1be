# SPDX-License-Identifier: Apache-2.0
"""The wallet as a part of a service: `[shell_part(SITE), wallet_part(genesis_file, network, origin)]`.

One page and what it needs to open without a connection. Nothing that a visitor does in it reaches this service.
"""

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from fastapi import APIRouter
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from chain.strict_json import Json
from identity.credentials import TYPES, type_metadata
from service.app import Part
from service.envelope import content_policy
from service.explorer.offline import Offline, genesis_address, offline_router
from service.language import Language, language_of, translate
from service.pages import Site, render
from service.static_files import static_files

SITE: Final = Site("wallet.title")
ENTRIES: Final = ("shell.css", "shell.js", "wallet.css", "wallet.js", "verifier.js", "qr-reader.js", "mark.svg")
"""What the page loads, now or when something is to be read or checked."""
SCRIPT: Final = "/wallet-offline.js"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def wallet_part(genesis: bytes, network: bytes, origin: str) -> Part:
    """What a service takes along that serves the wallet.

    Args:
        genesis: The genesis file, byte for byte.
        network: Its id.
        origin: The service's public origin.

    Raises:
        PagesNotBuilt: There is no build.
    """
    offline = Offline(genesis, network, static_files(), page="/", script=SCRIPT, entries=ENTRIES)
    # Issuers and verifiers have origins of their own; a wallet of a test network reaches those of this machine, too.
    near = ("http://localhost:*", "http://127.0.0.1:*") if urlsplit(origin).hostname in _LOOPBACK else ()
    policy = content_policy(connect=["https:", *near])
    router = APIRouter()

    @router.get("/", include_in_schema=False)
    async def wallet(request: Request) -> Response:
        response = render(
            request,
            "wallet/wallet.html",
            site=SITE,
            genesis=genesis_address(network),
            network=network.hex(),
            offline=SCRIPT,
            types=_types(language_of(request)),
        )
        response.headers.update({**offline.headers, "content-security-policy": policy})
        return response

    @router.get("/v1/genesis", operation_id="getGenesis", summary="The network's genesis file, byte for byte")
    async def genesis_file() -> Response:
        return Response(genesis, headers={"cache-control": "public, max-age=300"}, media_type="application/json")

    @router.get("/manifest.webmanifest", include_in_schema=False)
    async def manifest(request: Request) -> Response:
        name = translate(language_of(request), "wallet.title")
        icons = [{"src": static_files().url("mark.svg"), "sizes": "any", "type": "image/svg+xml"}]
        about = {
            "id": "/",
            "name": name,
            "short_name": name,
            "start_url": "/",
            "scope": "/",
            "display": "standalone",
            "background_color": "#f7f6f1",
            "theme_color": "#f7f6f1",
            "icons": icons,
        }
        headers = {"cache-control": "private, no-cache", "vary": "Accept-Language, Cookie"}
        return Response(json.dumps(about, ensure_ascii=False), headers=headers, media_type="application/manifest+json")

    return Part("wallet", [router, offline_router(offline)])


def _types(language: Language) -> Markup:
    """What types of credentials and their claims are called, as the content of a JSON data block."""
    words: dict[str, object] = {}
    for vct in TYPES:
        described = type_metadata(vct)
        display, claims = described["display"], described["claims"]
        assert isinstance(display, list), "it was made here"
        assert isinstance(claims, list), "likewise"
        words[vct] = {
            "name": next(one["name"] for one in display if isinstance(one, dict) and one["locale"] == language),
            "claims": dict(_claim(one, language) for one in claims if isinstance(one, dict) and _is_whole(one)),
        }
    return Markup(json.dumps(words, ensure_ascii=False).replace("<", "\\u003c"))  # noqa: S704 - nothing can end the block


def _is_whole(claim: Mapping[str, Json]) -> bool:
    """Whether a path names a claim, not one element of it."""
    path = claim["path"]
    return isinstance(path, list) and None not in path


def _claim(claim: Mapping[str, Any], language: Language) -> tuple[str, str]:
    """A claim's path with points between its parts, and what it is called."""
    label = next(one["label"] for one in claim["display"] if one["locale"] == language)
    return ".".join(str(step) for step in claim["path"]), str(label)
