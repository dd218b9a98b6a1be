# SPDX-License-Identifier: Apache-2.0
"""What the pages' script asks: options for a passkey, and whether its answer holds. JSON; for this site's pages alone.

Each pair of calls is one ceremony: the first hands out a challenge, the second uses it up.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, StringConstraints
from starlette.responses import JSONResponse, Response

from service.language import language_of
from service.redirects import local_path
from service.sign_in import passkeys
from service.sign_in.access import (
    FRESH_MS,
    Require,
    away,
    browser_token,
    end_former_session,
    office_of,
    set_browser,
    set_session,
    signed_in,
)
from service.sign_in.attempts import Attempts
from service.sign_in.credentials import NAME_CHARACTERS_MAX
from service.sign_in.devices import device_of
from service.sign_in.kinds import NEEDED
from service.sign_in.office import TOKEN_CHARACTERS_MAX
from service.sign_in.people import look_at_link
from service.sign_in.sessions import Officer
from service.sign_in.words import role_words

Token = Annotated[str, StringConstraints(min_length=1, max_length=TOKEN_CHARACTERS_MAX)]
Name = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=1, max_length=NAME_CHARACTERS_MAX, pattern=r"^[^\x00-\x1f\x7f]+$"
    ),
]
HOME_PATH = "/passkeys"


class Body(BaseModel):
    """What a script sends: exactly these fields."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Nothing(Body):
    """An empty object."""


class LinkBody(Body):
    """A link's token."""

    token: Token


class AnswerBody(Body):
    """What a passkey answered, and where to go then."""

    credential: dict[str, Any]
    next: Annotated[str, StringConstraints(max_length=2048)] = ""


class JoinBody(Body):
    """A new passkey under a link."""

    token: Token
    credential: dict[str, Any]
    name: Name


class AddBody(Body):
    """One more passkey."""

    credential: dict[str, Any]
    name: Name


def known_officer(request: Request) -> Officer:
    """Somebody who is signed in, also where the passkey has to be asked for first."""
    officer = signed_in(request)
    if officer is None:
        raise away(request, "/sign-in", NEEDED)
    return officer


Known = Annotated[Officer, Depends(known_officer)]
Fresh = Annotated[Officer, Depends(Require(fresh_ms=FRESH_MS))]


def api_router(attempts: Attempts) -> APIRouter:
    """The routes of the ceremonies.

    Args:
        attempts: Counts tries of each address.
    """
    router = APIRouter(include_in_schema=False)
    counted = [Depends(attempts)]

    @router.post("/sign-in/options", dependencies=counted)
    def sign_in_options(_body: Nothing, request: Request) -> Response:
        token, binding = browser_token(request)
        response = json_answer(passkeys.ask_to_sign_in(office_of(request), binding))
        set_browser(response, office_of(request), token)
        return response

    @router.post("/sign-in/verify", dependencies=counted)
    def sign_in(body: AnswerBody, request: Request) -> Response:
        office, (_, binding) = office_of(request), browser_token(request)
        token = passkeys.sign_in(office, binding, body.credential, device_of(request))
        end_former_session(request)
        response = json_answer({"next": local_path(body.next, HOME_PATH)})
        set_session(response, office, token)
        return response

    @router.post("/confirm/options", dependencies=counted)
    def confirm_options(_body: Nothing, officer: Known, request: Request) -> Response:
        return json_answer(passkeys.ask_to_confirm(office_of(request), officer))

    @router.post("/confirm/verify", dependencies=counted)
    def confirm(body: AnswerBody, officer: Known, request: Request) -> Response:
        office = office_of(request)
        token = passkeys.confirm(office, officer, body.credential, device_of(request))
        response = json_answer({"next": local_path(body.next, HOME_PATH)})
        set_session(response, office, token)
        return response

    @router.post("/join/look", dependencies=counted)
    def look(body: LinkBody, request: Request) -> Response:
        invited = look_at_link(office_of(request), body.token)
        words = role_words(language_of(request), invited.role)
        return json_answer({"name": invited.name, "organisation": invited.organisation, "role": words})

    @router.post("/join/options", dependencies=counted)
    def join_options(body: LinkBody, request: Request) -> Response:
        token, binding = browser_token(request)
        response = json_answer(passkeys.ask_to_join(office_of(request), binding, body.token))
        set_browser(response, office_of(request), token)
        return response

    @router.post("/join/verify", dependencies=counted)
    def join(body: JoinBody, request: Request) -> Response:
        office, (_, binding) = office_of(request), browser_token(request)
        token = passkeys.join(office, binding, body.token, body.credential, body.name, device_of(request))
        end_former_session(request)
        response = json_answer({"next": HOME_PATH})
        set_session(response, office, token)
        return response

    @router.post("/passkeys/options")
    def add_options(_body: Nothing, officer: Fresh, request: Request) -> Response:
        return json_answer(passkeys.ask_to_add(office_of(request), officer))

    @router.post("/passkeys/verify")
    def add(body: AddBody, officer: Fresh, request: Request) -> Response:
        passkeys.add(office_of(request), officer, body.credential, body.name)
        return json_answer({"next": HOME_PATH})

    return router


def json_answer(content: dict[str, Any]) -> Response:
    """An answer that nobody keeps."""
    return JSONResponse(content, headers={"cache-control": "no-store"})
