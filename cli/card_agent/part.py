# SPDX-License-Identifier: Apache-2.0
"""The card's agent over HTTP, for this machine alone: what pages of services ask, and the window for the person.

`/agent/` is for scripts of the origins that were named at the start, with the code that was shown there. `/window/` is
for the person: the browser opens it, and only who knows a question's random id gets one. The Host header, limits of
bodies and of requests, form tokens and the headers of safety come from `service.app`, as for every service.

Source: Fetch Standard, 3.2 (CORS protocol); Private Network Access, 3.1 (preflights to local addresses).
"""

import json
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Form, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.responses import Response

from chain.transaction import Operation
from chain.types import OPERATIONS_MAX
from cli.card_agent import kinds
from cli.card_agent.agent import Act, CardAgent, Login, OwnAct, Question, State
from cli.card_agent.code import is_code
from cli.explorer.build import DESCRIBERS
from cli.records import show_operation
from identity.space_card import ACT_BYTES_MAX, lines_of
from service import problems
from service.app import Part
from service.envelope import answer, request_id_of
from service.explorer.words import describe
from service.language import language_of
from service.pages import Site, add_templates, render
from service.problems import Problem
from service.shell import shell_part
from service.sign_in.card_message import CardPurpose
from service.sign_in.pages import moment

SITE = Site("agent.title")
CODE_HEADER = "X-Card-Agent-Code"
API = "/agent"
WINDOW = "/window"
BODY_BYTES_MAX = 160 * 1024
"""An act's operations and words have at most 48 KiB together; in hex, with its header."""
FORM_BYTES_MAX = 4096
"""A PIN and a form's token."""
PREFLIGHT_SECONDS = 600
OWN_ACT_KEYS = {
    "overview": "agent.own-overview",
    "export": "agent.own-export",
    "consent.give": "agent.own-consent-give",
    "consent.end": "agent.own-consent-end",
    "lock": "agent.own-lock",
    "request.make": "agent.own-request-make",
    "request.withdraw": "agent.own-request-withdraw",
}
"""Acts of the data space in words; of any other its own name is shown."""
_ASKED_HEADERS = f"content-type, {CODE_HEADER.lower()}"

add_templates(Path(__file__).parent / "templates")

_Hex = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{2})+$")]


class LoginBody(BaseModel):
    """Asked: a statement that signs in, confirms, or enrols a card."""

    model_config = ConfigDict(extra="forbid", strict=True)
    purpose: Annotated[CardPurpose, Field(strict=False)]
    nonce: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class ActBody(BaseModel):
    """Asked: an act; bytes in hex."""

    model_config = ConfigDict(extra="forbid", strict=True)
    network: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    header: _Hex
    operations: Annotated[list[_Hex], Field(min_length=1, max_length=OPERATIONS_MAX)]
    key: Annotated[str, StringConstraints(pattern=r"^0[23][0-9a-f]{64}$")]


class OwnActBody(BaseModel):
    """Asked: an act in the data space of the card's holder."""

    model_config = ConfigDict(extra="forbid", strict=True)
    audience: Annotated[str, StringConstraints(pattern=r"^https?://[a-z0-9.:-]{1,300}$")]
    nonce: Annotated[str, StringConstraints(pattern=r"^[!-~]{1,512}$")]
    act: Annotated[str, StringConstraints(min_length=2, max_length=ACT_BYTES_MAX)]


class CrossOriginRoute(APIRoute):
    """A route for pages of the origins that were named: they alone get an answer that a browser lets them read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler behind the look at the origin; problems, too, are theirs to read."""
        handle = super().get_route_handler()

        async def handle_for_origin(request: Request) -> Response:
            origin = _origin_of(request)
            try:
                response = await handle(request)
            except Problem as problem:
                response = answer(problem, request)
            except RequestValidationError as error:
                response = answer(Problem(problems.INVALID, {"count": len(error.errors())}), request)
            response.headers["access-control-allow-origin"] = origin
            response.headers["vary"] = "Origin"
            return response

        return handle_for_origin


def agent_parts(agent: CardAgent, origins: Sequence[str], code: str) -> list[Part]:
    """The agent as parts of a service.

    Args:
        agent: Has the card.
        origins: Of the services whose pages may ask, exactly as browsers name them.
        code: What their pages have to bring.
    """

    async def start(app: FastAPI) -> None:
        app.state.agent_origins = frozenset(origins)

    routers = [_api_router(agent, code), _window_router(agent)]
    own = Part(
        "card-agent",
        routers,
        start=start,
        problems=kinds.KINDS,
        body_limits={f"{API}/": BODY_BYTES_MAX, f"{WINDOW}/": FORM_BYTES_MAX},
        machine_paths=(f"{API}/",),
    )
    return [shell_part(SITE), own]


def _origin_of(request: Request) -> str:
    """The origin of the page that asks: one that was named, and only one."""
    found = request.headers.getlist("origin")
    if len(found) != 1 or found[0] not in request.app.state.agent_origins:
        raise Problem(kinds.ORIGIN)
    return found[0]


def _api_router(agent: CardAgent, code: str) -> APIRouter:
    router = APIRouter(prefix=API, include_in_schema=False, route_class=CrossOriginRoute)

    def paired(request: Request) -> None:
        if not is_code(request.headers.get(CODE_HEADER, "")[:64], code):
            raise Problem(kinds.UNPAIRED)

    needs_code = [Depends(paired)]

    async def preflight(request: Request) -> Response:
        headers = {
            "access-control-allow-methods": "GET, POST",
            "access-control-allow-headers": _ASKED_HEADERS,
            "access-control-max-age": str(PREFLIGHT_SECONDS),
        }
        if request.headers.get("access-control-request-private-network") == "true":
            headers["access-control-allow-private-network"] = "true"
        return Response(status_code=204, headers=headers)

    router.add_api_route("/{path:path}", preflight, methods=["OPTIONS"])

    @router.get("/card", dependencies=needs_code)
    def card() -> dict[str, Any]:
        seen = agent.look()
        return {
            "guid": seen.guid,
            "expires": seen.expires,
            "emulated": seen.is_emulated,
            "certificates": {"9A": seen.authenticate.hex(), "9C": seen.sign.hex()},
            "pin_tries_left": seen.tries_left,
        }

    @router.post("/requests", status_code=201, dependencies=needs_code)
    def ask(body: LoginBody | ActBody | OwnActBody, request: Request) -> dict[str, str]:
        asked: Login | Act | OwnAct
        if isinstance(body, LoginBody):
            asked = Login(body.purpose, bytes.fromhex(body.nonce))
        elif isinstance(body, OwnActBody):
            asked = OwnAct.read(body.audience, body.nonce, body.act)
        else:
            operations = [bytes.fromhex(one) for one in body.operations]
            asked = Act.read(
                bytes.fromhex(body.network),
                bytes.fromhex(body.header),
                operations,
                bytes.fromhex(body.key),
                agent.now(),
            )
        question = agent.ask(_origin_of(request), asked)
        return {"id": question.id, "window": f"{WINDOW}/{question.id}"}

    @router.get("/requests/{question_id}", dependencies=needs_code)
    def outcome(question_id: str, request: Request) -> dict[str, Any]:
        question = agent.find(question_id, _origin_of(request))
        return {"state": question.state, "answer": question.answer}

    return router


def _window_router(agent: CardAgent) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    def about(request: Request) -> Response:
        return render(request, "card-agent/about.html", site=SITE, origins=sorted(request.app.state.agent_origins))

    @router.get(WINDOW + "/{question_id}")
    def window(question_id: str, request: Request) -> Response:
        return _show(request, agent, agent.find(question_id))

    @router.post(WINDOW + "/{question_id}")
    def sign(
        question_id: str,
        request: Request,
        pin: Annotated[str, Form(max_length=16)] = "",
        last_try: Annotated[str, Form(max_length=3)] = "",
    ) -> Response:
        question = agent.find(question_id)
        try:
            agent.sign(question_id, pin, dares_last_try=last_try == "yes")
        except Problem as problem:
            if question.state is not State.WAITING:
                raise
            return _show(request, agent, question, problem)
        return _show(request, agent, question)

    @router.post(WINDOW + "/{question_id}/decline")
    def decline(question_id: str, request: Request) -> Response:
        return _show(request, agent, agent.decline(question_id))

    return router


def _show(request: Request, agent: CardAgent, question: Question, problem: Problem | None = None) -> Response:
    """The window: what is asked, for whom; what the card says; a place for the PIN."""
    seen = None
    if question.state is State.WAITING:
        try:
            seen = agent.look()
        except Problem as missing:
            problem = problem or missing
    language = language_of(request)
    context: dict[str, Any] = {"question": question, "seen": seen, "act": None, "own": None}
    if isinstance(question.asked, Act):
        act = question.asked
        # all of them: what the window left out would be signed unseen; the body's limit bounds them
        context |= {
            "act": act,
            "sentences": [_visible(describe(DESCRIBERS, language, one.type, one.body)) for one in act.operations],
            "details": [_visible(_fields(one)) for one in act.operations],
            "until": moment(act.expires_at_ms),
        }
    if isinstance(question.asked, OwnAct):
        (_, do), *fields = lines_of(question.asked.act)
        own = {"do": OWN_ACT_KEYS.get(do), "name": _visible(do)}
        context["own"] = own | {"fields": [(_visible(name), _visible(value)) for name, value in fields]}
    view = None if problem is None else problems.view(problem, language, request_id_of(request.scope))
    status = 200 if problem is None else problem.kind.status
    response = render(request, "card-agent/window.html", site=SITE, status=status, problem=view, **context)
    response.headers["cache-control"] = "no-store"
    return response


def _fields(operation: Operation) -> str:
    """Every field of an operation, to read."""
    return json.dumps(show_operation(operation), ensure_ascii=False, indent=2)


def _visible(text: str) -> str:
    """A text without characters that show nothing, turn the direction or hide others: they stand as their numbers."""
    return "".join(one if one.isprintable() or one == "\n" else f"\\u{ord(one):04x}" for one in text)
