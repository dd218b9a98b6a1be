# SPDX-License-Identifier: Apache-2.0
"""The part of a service that gives its pages their frame: built files, the style page, problems shown to a person."""

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from service.app import Part
from service.pages import Site, compile_templates, render, static_router
from service.problems import ProblemView
from service.style_page import style_router


def shell_part(site: Site) -> Part:
    """What each service with pages takes along.

    Args:
        site: The service's name and navigation, for the page of a problem. Where people sign in (`sign_in_part`),
            whoever was refused has their own navigation there: a refusal is no dead end.

    Raises:
        PagesNotBuilt: The scripts and styles were not built.
    """

    def show_problem(request: Request, problem: ProblemView) -> Response:
        own = getattr(request.app.state, "own_site", None)
        shown = site if own is None else own(request, site)
        return render(request, "problem.html", site=shown, status=problem.status, problem=problem)

    async def start(_app: FastAPI) -> None:
        compile_templates()

    return Part("shell", routers=(static_router(), style_router()), start=start, error_page=show_problem)
