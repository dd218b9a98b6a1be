# SPDX-License-Identifier: Apache-2.0
"""The wallet as a part of a service: `[shell_part(SITE), wallet_part(genesis_file, network, origin, ...)]`.

The wallet's page with what it needs to open without a connection, and "my data", which asks registrars. Nothing that a
visitor does in either reaches this service.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from fastapi import APIRouter
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from chain.strict_json import Json
from identity.api.wallet.program import SCRIPT, Anchors, Program, Prove, program_router
from identity.credentials import TYPES, type_metadata
from service.anchors import anchoring
from service.app import Hook, Part
from service.envelope import content_policy
from service.language import Language, language_of, translate
from service.offline import genesis_address
from service.pages import Site, render
from service.rounds import Round
from service.static_files import PREFIX, static_files

SITE: Final = Site("wallet.title")
PAGES: Final[Mapping[str, str]] = {"/": "wallet/wallet.html", "/my-data": "wallet/space.html"}
"""Paths of the wallet's pages with their templates."""
_SCRIPTS: Final[Mapping[str, str]] = {"/": "wallet.js", "/my-data": "space.js"}
"""What each loads: named in the page with all that it imports, no script waits for the one that names it."""
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def wallet_part(
    genesis: bytes,
    network: bytes,
    origin: str,
    *,
    organisations: Iterable[str] = (),
    card_agent: str = "",
    prove: Prove | None = None,
    anchor: Callable[[Program], Awaitable[str]] | None = None,
    start: Hook | None = None,
    stop: Hook | None = None,
) -> Part:
    """What a service takes along that serves the wallet.

    Args:
        genesis: The genesis file, byte for byte.
        network: Its id.
        origin: The service's public origin.
        organisations: Who may have anchored the program, beside whoever `anchor` does it for.
        card_agent: Origin of the card's program on people's own computers; "": the data space takes wallets alone.
        prove: Makes receipts of states; None: nobody's anchor is shown, and wallets are not kept on devices.
        anchor: Puts the program's digest on the ledger unless it stands there, and says whose anchor it is.
        start: What must be open before, such as a way to the ledger.
        stop: Closes it again.

    Raises:
        PagesNotBuilt: There is no build.
    """
    # Issuers and verifiers have origins of their own; a wallet of a test network reaches those of this machine, too.
    near = ("http://localhost:*", "http://127.0.0.1:*") if urlsplit(origin).hostname in _LOOPBACK else ()
    policy = content_policy(connect=["https:", *near, *([card_agent] if card_agent and not near else [])])

    def draw(request: Request) -> Response:
        response = render(
            request,
            PAGES[request.url.path],
            site=SITE,
            genesis=genesis_address(network),
            network=network.hex(),
            offline=SCRIPT,
            card_agent=card_agent,
            preloads=[PREFIX + path for path in static_files().imports[_SCRIPTS[request.url.path]][1:]],
            types=_types(language_of(request)),
        )
        response.headers["content-security-policy"] = policy
        return response

    drawn = {path: lambda request: bytes(draw(request).body) for path in PAGES}
    program = Program((genesis_address(network), genesis), static_files(), drawn, policy)
    anchors = Anchors(program, organisations, prove)
    rounds: list[Round] = []
    if anchor is not None:

        async def once() -> None:
            anchors.add(await anchor(program))

        rounds.append(anchoring(once))
    routers = [_pages_router(draw, genesis), program_router(program, anchors)]
    return Part("wallet", routers, start=start, stop=stop, rounds=rounds)


def _pages_router(draw: Callable[[Request], Response], genesis: bytes) -> APIRouter:
    """Pages, the genesis file, and what an installed page is called."""
    router = APIRouter()

    async def page(request: Request) -> Response:
        return draw(request)

    for path in PAGES:
        router.add_api_route(path, page, methods=["GET"], include_in_schema=False)

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

    return router


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
