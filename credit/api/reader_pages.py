# SPDX-License-Identifier: Apache-2.0
"""The reader's page: verifies a report that its holder gave, without an account and without a connection.

The browser does all of it; what this service gives is the page, the network's genesis file and, for a link, what the
holder's browser sealed.
"""

import json
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from credit.api import showing
from credit.api.base import credit_of
from credit.api.problems import SHOWN_GONE
from credit.api.reading import PURPOSES
from credit.api.words import PURPOSE_KEYS, SEVERITY_KEYS, STATUS_KEYS
from service.offline import Worker, genesis_address
from service.pages import Site, render
from service.problems import Problem
from service.static_files import static_files
from service.store.models import ID_CHARACTERS

READ_PATH: Final = "/read"
READER_SITE: Final = Site("credit-page.title", home=READ_PATH)
READ_ENTRIES: Final = ("shell.css", "shell.js", "credit.css", "credit-read.js", "verifier.js", "mark.svg")
"""What the page loads."""


def reader_router(genesis: bytes, network: bytes) -> APIRouter:
    """The reader's routes.

    Args:
        genesis: The genesis file, byte for byte.
        network: Its id.

    Raises:
        PagesNotBuilt: There is no build.
    """
    script = READ_PATH + "/offline.js"
    contents = {genesis_address(network): genesis}
    offline = Worker(static_files(), "check-offline.js", READ_PATH, READ_ENTRIES, contents=contents, pages=[READ_PATH])
    router = APIRouter(include_in_schema=False)
    router.add_api_route(script, offline.serve, methods=["GET"])

    @router.get(READ_PATH)
    def read(request: Request) -> Response:
        page = render(
            request,
            "credit/read.html",
            site=READER_SITE,
            network=network.hex(),
            genesis=genesis_address(network),
            script=script,
            ages=json.dumps({name: one.age_ms_max for name, one in PURPOSES.items()}),
            purpose_keys={name: PURPOSE_KEYS[name] for name in PURPOSES},
            status_keys=STATUS_KEYS,
            severity_keys=SEVERITY_KEYS,
        )
        page.headers.update(offline.headers)
        return page

    @router.get(READ_PATH + "/{made_id}/sealed")
    def sealed(made_id: str, request: Request) -> Response:
        if len(made_id) != ID_CHARACTERS:
            raise Problem(SHOWN_GONE)
        content = showing.open_sealed(credit_of(request), made_id)
        return Response(content, media_type="application/octet-stream", headers={"cache-control": "no-store"})

    return router
