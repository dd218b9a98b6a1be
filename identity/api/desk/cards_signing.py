# SPDX-License-Identifier: Apache-2.0
"""From a button to a signed act and back: the officer reads it, signs, and is on the page again that it is about."""

from collections.abc import Callable
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from identity.api.desk.base import acts_of, office_for, show
from identity.api.desk.cards_history import Signed
from service.language import language_of
from service.redirects import local_path
from service.sign_in.access import Require
from service.sign_in.acts import State
from service.sign_in.sessions import Officer

SIGN_PATH = "/sign"

Here = Annotated[Officer, Depends(Require())]


def signing_router() -> APIRouter:
    """The page on which an act of cards, companies or mandates is read and signed."""
    router = APIRouter(include_in_schema=False)

    @router.get(SIGN_PATH + "/{act_id}")
    def sign(act_id: str, request: Request, officer: Here, back: str = "/") -> Response:
        act = acts_of(request).find(office_for(request), officer, act_id)
        home = local_path(back)
        if act.state is not State.PREPARED:
            return RedirectResponse(home if act.state is State.DONE else f"/acts/{act_id}", 303)
        sentences = act.words[language_of(request)]
        return show(request, officer, "desk/cards/sign.html", act=act, sentences=sentences, back=home)

    return router


async def to_sign(
    request: Request, officer: Officer, signed: Signed, back: str, note: Callable[[str], None]
) -> Response:
    """Prepare an act and lead the officer to it.

    Args:
        request: The request being answered.
        officer: Who signs.
        signed: Operations and words.
        back: The page that it is about.
        note: Writes the act's id into the history.
    """
    operations, words = signed
    acts, office = acts_of(request), office_for(request)
    act_id = await run_in_threadpool(acts.prepare, office, officer, operations, words)
    await run_in_threadpool(note, act_id)
    return RedirectResponse(f"{SIGN_PATH}/{act_id}?back={quote(back, safe='/')}", 303)
