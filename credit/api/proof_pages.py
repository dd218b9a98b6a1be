# SPDX-License-Identifier: Apache-2.0
"""What browsers verify their report against: the genesis file.

A part beside `credit_part`; without it pages show no proof strip, and readers have no page.
"""

from typing import Final

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import Response

from chain.types import sha256
from credit.api.reader_pages import reader_router
from service.app import Part

GENESIS_PATH: Final = "/v1/genesis"


def proof_part(genesis: bytes) -> Part:
    """Serve the genesis file, and let pages of people and companies prove what they show.

    Args:
        genesis: The file, byte for byte.

    Raises:
        PagesNotBuilt: There is no build.
    """
    router = APIRouter(include_in_schema=False)

    @router.get(GENESIS_PATH)
    async def genesis_file() -> Response:
        return Response(genesis, headers={"cache-control": "public, max-age=300"}, media_type="application/json")

    async def start(app: FastAPI) -> None:
        app.state.credit_genesis = GENESIS_PATH

    readers = reader_router(genesis, sha256(genesis))
    return Part("credit-proof", [router, readers], start=start)


def genesis_address(request: Request) -> str:
    """Where the genesis file is; "": this service does not serve it."""
    found = getattr(request.app.state, "credit_genesis", "")
    assert isinstance(found, str)
    return found
