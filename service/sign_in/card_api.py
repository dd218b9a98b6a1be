# SPDX-License-Identifier: Apache-2.0
"""What the pages' script asks where a staff card is used: a nonce, and whether the card's statement holds.

The script carries the agent's answer here as it is. Each pair of calls is one ceremony, as in `api`.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import Field, StringConstraints
from starlette.responses import Response

from service.redirects import local_path
from service.sign_in import cards
from service.sign_in.access import browser_token, end_former_session, office_of, set_browser, set_session
from service.sign_in.api import HOME_PATH, Body, Fresh, Known, LinkBody, Name, Nothing, Token, json_answer
from service.sign_in.attempts import Attempts
from service.sign_in.cards import CardAnswer
from service.sign_in.devices import device_of
from service.sign_in.staff_cards import CERTIFICATE_BYTES_MAX

_Nonce = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_Key = Annotated[str, StringConstraints(pattern=r"^0[23][0-9a-f]{64}$")]
_Signature = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]
_Certificate = Annotated[
    str, StringConstraints(pattern=r"^([0-9a-f]{2})+$", min_length=2, max_length=2 * CERTIFICATE_BYTES_MAX)
]


class Statement(Body):
    """What a card's agent answers when somebody signs in or confirms; bytes in hex."""

    nonce: _Nonce
    time_ms: Annotated[int, Field(ge=0, lt=2**53)]
    authenticate: _Key
    sign: _Key
    signature: _Signature

    def answer(self) -> CardAnswer:
        """The same as bytes."""
        return CardAnswer(
            bytes.fromhex(self.nonce),
            self.time_ms,
            bytes.fromhex(self.authenticate),
            bytes.fromhex(self.sign),
            bytes.fromhex(self.signature),
        )


class Enrolment(Statement):
    """What it answers when a card becomes somebody's."""

    possession: _Signature
    certificates: Annotated[list[_Certificate], Field(min_length=2, max_length=2)]

    def answer(self) -> CardAnswer:
        """The same as bytes."""
        said = super().answer()
        certificates = [bytes.fromhex(one) for one in self.certificates]
        return CardAnswer(
            said.nonce,
            said.time_ms,
            said.authenticate,
            said.sign,
            said.signature,
            bytes.fromhex(self.possession),
            certificates,
        )


class StatementBody(Body):
    """A card's statement, and where to go then."""

    card: Statement
    next: Annotated[str, StringConstraints(max_length=2048)] = ""


class JoinCardBody(Body):
    """A card under a link."""

    token: Token
    card: Enrolment
    name: Name


class AddCardBody(Body):
    """One more card."""

    card: Enrolment
    name: Name


def card_router(attempts: Attempts) -> APIRouter:
    """The routes of the ceremonies with cards.

    Args:
        attempts: Counts tries of each address, together with those of passkeys.
    """
    router = APIRouter(include_in_schema=False)
    counted = [Depends(attempts)]

    @router.post("/sign-in/card/options", dependencies=counted)
    def sign_in_options(_body: Nothing, request: Request) -> Response:
        token, binding = browser_token(request)
        response = json_answer(cards.ask_to_sign_in(office_of(request), binding))
        set_browser(response, office_of(request), token)
        return response

    @router.post("/sign-in/card/verify", dependencies=counted)
    def sign_in(body: StatementBody, request: Request) -> Response:
        office, (_, binding) = office_of(request), browser_token(request)
        token = cards.sign_in(office, binding, body.card.answer(), device_of(request))
        end_former_session(request)
        response = json_answer({"next": local_path(body.next, HOME_PATH)})
        set_session(response, office, token)
        return response

    @router.post("/confirm/card/options", dependencies=counted)
    def confirm_options(_body: Nothing, officer: Known, request: Request) -> Response:
        return json_answer(cards.ask_to_confirm(office_of(request), officer))

    @router.post("/confirm/card/verify", dependencies=counted)
    def confirm(body: StatementBody, officer: Known, request: Request) -> Response:
        office = office_of(request)
        token = cards.confirm(office, officer, body.card.answer(), device_of(request))
        response = json_answer({"next": local_path(body.next, HOME_PATH)})
        set_session(response, office, token)
        return response

    @router.post("/join/card/options", dependencies=counted)
    def join_options(body: LinkBody, request: Request) -> Response:
        token, binding = browser_token(request)
        response = json_answer(cards.ask_to_join(office_of(request), binding, body.token))
        set_browser(response, office_of(request), token)
        return response

    @router.post("/join/card/verify", dependencies=counted)
    def join(body: JoinCardBody, request: Request) -> Response:
        office, (_, binding) = office_of(request), browser_token(request)
        token = cards.join(office, binding, body.token, body.card.answer(), body.name, device_of(request))
        end_former_session(request)
        response = json_answer({"next": HOME_PATH})
        set_session(response, office, token)
        return response

    @router.post(HOME_PATH + "/card/options")
    def add_options(_body: Nothing, officer: Fresh, request: Request) -> Response:
        return json_answer(cards.ask_to_add(office_of(request), officer))

    @router.post(HOME_PATH + "/card/verify")
    def add(body: AddCardBody, officer: Fresh, request: Request) -> Response:
        cards.add(office_of(request), officer, body.card.answer(), body.name)
        return json_answer({"next": HOME_PATH})

    return router
