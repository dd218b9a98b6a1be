# SPDX-License-Identifier: Apache-2.0
"""The page at `/` of a service that nobody begins at: what the service is, and where what it has stands."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from service.pages import Site, render


@dataclass(frozen=True, slots=True)
class Way:
    """One thing that the service has, and where it stands.

    Attributes:
        path: Of this service.
        sign: Name of an icon.
        name: Key of its name in the catalogues.
        about: Key of the line below it.
    """

    path: str
    sign: str
    name: str
    about: str


def start_router(
    site: Site, about: str, ways: Sequence[Way], own: Callable[[Request], str | None] = lambda _request: None
) -> APIRouter:
    """The route of `/`.

    Args:
        site: The service's; of its navigation and scripts the page has none.
        about: Key of what the service is, in a sentence or two.
        ways: Where somebody may go on.
        own: Where a reader goes on at once, such as who is signed in; None: they read the page. May block.
    """
    router = APIRouter(include_in_schema=False)
    bare = replace(site, places=(), layout="page", scripts=())

    @router.get("/")
    def start(request: Request) -> Response:
        elsewhere = own(request)
        if elsewhere is not None:
            return RedirectResponse(elsewhere, 303, {"cache-control": "no-store"})
        return render(request, "start.html", site=bare, about=about, ways=ways)

    return router
