# SPDX-License-Identifier: Apache-2.0
"""The OpenID provider over HTTP: the page that shows a log-in, and what clients' servers ask.

The page is bound to its browser by a cookie. It asks every two seconds whether the citizen has answered; without
scripts a link does the same.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import parse_qsl

import segno
from fastapi import APIRouter, Request
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from client.errors import TransportError
from identity.api.verifier import clients, oidc
from identity.api.verifier.asking import LOGIN, Asked
from identity.api.verifier.oidc import Denied, Grant, Login, NotSent
from identity.api.verifier.problems import LOGIN as LOGIN_PROBLEM
from identity.api.verifier.request_objects import wallet_link
from identity.api.verifier.tables import ANSWERED, OPEN, RECORDING
from identity.api.verifier.verifier import Verifier
from identity.api.verifier.wallet import request_address
from identity.credentials import NATURAL_PERSON, label
from service.language import language_of
from service.pages import Site, render
from service.problems import Problem
from service.rates import caller_of

MACHINE_PATHS: Final = ("/oidc/token", "/oidc/userinfo")
"""Clients' servers are no browsers."""
FORM_FIELDS_MAX = 16
SCALE = 5
"""Pixels to a module: some 400 px, which a phone reads from a screen at arm's length."""

_FORM = "application/x-www-form-urlencoded"
_UNPRIVATE = {"cache-control": "public, max-age=300"}


def oidc_router(verifier: Callable[[], Verifier], site: Site, *, is_behind_proxy: bool) -> APIRouter:
    """All endpoints of the provider.

    Args:
        verifier: The service.
        site: Of the page.
        is_behind_proxy: Whether a proxy says which client certificate it saw.
    """
    router = APIRouter(tags=["openid connect"])
    _describe(router, verifier)
    _begin(router, verifier)
    _pages(router, verifier, site)
    _tokens(router, verifier, is_behind_proxy=is_behind_proxy)
    return router


def _describe(router: APIRouter, verifier: Callable[[], Verifier]) -> None:
    @router.get("/.well-known/openid-configuration", operation_id="getProvider", summary="What the provider supports")
    async def configuration() -> Response:
        return _json(oidc.discovery(verifier().origin), headers=_UNPRIVATE)


def _begin(router: APIRouter, verifier: Callable[[], Verifier]) -> None:
    @router.get("/oidc/authorize", include_in_schema=False)
    async def authorize(request: Request) -> Response:
        pairs = parse_qsl(request.url.query, keep_blank_values=True, max_num_fields=64)
        query = dict(pairs)
        client = await run_in_threadpool(clients.by_id, verifier().store, query.get("client_id", ""))
        if client is None or len(query) != len(pairs):
            raise Problem(LOGIN_PROBLEM)
        try:
            grant = oidc.parse_request(client, query)
        except NotSent:
            raise Problem(LOGIN_PROBLEM) from None
        except Denied as denied:
            return _back(Grant(query["redirect_uri"], query.get("state", ""), "", "", ""), denied)
        asked = Asked.new(LOGIN, int(client.login_purpose), None)
        begun_at = caller_of(request.client.host if request.client else "")
        try:
            made = await verifier().ask(
                client, asked, oidc.query_of(grant.scope), lifetime_s=oidc.LOGIN_S, browser=begun_at
            )
        except Problem as problem:
            code = "invalid_scope" if problem.kind.status in {403, 422} else "temporarily_unavailable"
            return _back(grant, Denied(code, problem.kind.code))
        except TransportError:
            return _back(grant, Denied("temporarily_unavailable", "the ledger cannot be asked now"))
        kept = replace(grant, token=made.token)
        identifier, browser = await run_in_threadpool(oidc.keep, verifier(), client, kept, made.question.id)
        response = RedirectResponse(f"/oidc/log-ins/{identifier}", 303, {"cache-control": "no-store"})
        address = request.app.state.address
        response.set_cookie(
            address.cookie_name("log-in"),
            f"{identifier}.{browser}",
            max_age=oidc.LOGIN_S,
            httponly=True,
            secure=address.is_https,
            samesite="lax",
        )
        return response


def _pages(router: APIRouter, verifier: Callable[[], Verifier], site: Site) -> None:
    @router.get("/oidc/log-ins/{identifier}", include_in_schema=False)
    async def page(identifier: str, request: Request) -> Response:
        login = await own_login(verifier(), request, identifier)
        question = await run_in_threadpool(verifier().kept.by_token, login.grant.token)
        client = await run_in_threadpool(clients.by_id, verifier().store, login.client_id)
        if question is None or client is None:
            raise Problem(LOGIN_PROBLEM)
        directory = verifier().realm_of(client).directory
        assert directory is not None, "there was one when the log-in began"
        purpose = await directory.purpose(client.relying_party, question.asked.purpose)
        link = wallet_link(verifier().key(), request_address(verifier(), login.grant.token))
        drawn = segno.make(link, error="m", micro=False).svg_inline(scale=SCALE, border=4, light="#fff")
        return render(
            request,
            "verifier/log-in.html",
            site=site,
            login=login,
            state=_state(verifier(), question.state, question.expires_ms),
            purpose=purpose,
            link=link,
            learns=[label(NATURAL_PERSON, name, language_of(request)) for name in oidc.names_of(login.grant.scope)],
            is_sandbox=client.is_sandbox,
            code=Markup(drawn),  # noqa: S704 - an image that was just drawn, of an address that we made
        )

    @router.get("/oidc/log-ins/{identifier}/state", include_in_schema=False)
    async def state(identifier: str, request: Request) -> Response:
        """Asked by the page's script: stays, or leads on."""
        login = await own_login(verifier(), request, identifier)
        question = await run_in_threadpool(verifier().kept.by_token, login.grant.token)
        headers = {"cache-control": "no-store"}
        if question is None or _state(verifier(), question.state, question.expires_ms) == "waiting":
            return Response(status_code=204, headers=headers)
        return Response("", headers=headers | {"HX-Redirect": f"/oidc/log-ins/{identifier}/continue"})

    @router.get("/oidc/log-ins/{identifier}/continue", include_in_schema=False)
    async def onwards(identifier: str, request: Request) -> Response:
        login = await own_login(verifier(), request, identifier)
        question = await run_in_threadpool(verifier().kept.by_token, login.grant.token)
        found = "over" if question is None else _state(verifier(), question.state, question.expires_ms)
        if found == "waiting":
            return RedirectResponse(f"/oidc/log-ins/{identifier}", 303, {"cache-control": "no-store"})
        if found == "over":
            return _back(login.grant, Denied("access_denied", "the citizen did not agree, or not in time"))
        try:
            code = await run_in_threadpool(oidc.issue_code, verifier(), login)
        except Denied as denied:
            return _back(login.grant, denied)
        return RedirectResponse(login.grant.back(code=code, iss=verifier().origin), 303, _quiet())


def _tokens(router: APIRouter, verifier: Callable[[], Verifier], *, is_behind_proxy: bool) -> None:
    @router.post("/oidc/token", operation_id="postLoginToken", summary="Exchange a code for an ID token")
    async def token(request: Request) -> Response:
        certificate = clients.certificate_of(request, is_behind_proxy=is_behind_proxy)
        authorization = request.headers.get("authorization", "")
        try:
            form = _form(request, await request.body())
            client = await run_in_threadpool(oidc.client_of, verifier(), authorization, form, certificate)
            return _json(await run_in_threadpool(oidc.redeem, verifier(), client, form))
        except Denied as denied:
            return _refused(denied)

    @router.get("/oidc/userinfo", operation_id="getUserinfo", summary="The claims of a log-in once more")
    async def userinfo(request: Request) -> Response:
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        try:
            if scheme.lower() != "bearer":
                raise Denied("invalid_token", "an access token is needed")  # noqa: TRY301 - answered as any other
            return _json(await run_in_threadpool(oidc.userinfo, verifier(), bearer))
        except Denied as denied:
            return _refused(denied)


def _state(verifier: Verifier, state: str, expires_ms: int) -> str:
    """Of a log-in: waiting, agreed, or over."""
    if state == ANSWERED:
        return "agreed"
    is_waiting = state == RECORDING or (state == OPEN and verifier.now_ms() < expires_ms)
    return "waiting" if is_waiting else "over"


async def own_login(verifier: Verifier, request: Request, identifier: str) -> Login:
    """The log-in that this browser began.

    Raises:
        Problem: It began none of this id, or it is over.
    """
    cookie = request.cookies.get(request.app.state.address.cookie_name("log-in"), "")
    named, _, browser = cookie.partition(".")
    login = None
    if named == identifier and browser:
        login = await run_in_threadpool(oidc.find, verifier, identifier, browser)
    if login is None:
        raise Problem(LOGIN_PROBLEM)
    return login


def _back(grant: Grant, denied: Denied) -> Response:
    return RedirectResponse(grant.back(error=denied.error, error_description=denied.description), 303, _quiet())


def _quiet() -> dict[str, str]:
    """Neither kept nor told to the next site."""
    return {"cache-control": "no-store", "referrer-policy": "no-referrer"}


def _form(request: Request, body: bytes) -> dict[str, str]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise Denied("invalid_request", f"the request is {_FORM}")
    try:
        pairs = parse_qsl(body.decode("ascii"), strict_parsing=True, max_num_fields=FORM_FIELDS_MAX)
    except ValueError:
        raise Denied("invalid_request", "the form cannot be read") from None
    if len(dict(pairs)) != len(pairs):
        raise Denied("invalid_request", "a field is there twice")
    return dict(pairs)


def _refused(denied: Denied) -> Response:
    is_unknown = denied.error in {"invalid_client", "invalid_token"}
    scheme = "Basic" if denied.error == "invalid_client" else "Bearer"
    headers = {"www-authenticate": f'{scheme} realm="verifier"'} if is_unknown else {}
    document = {"error": denied.error, "error_description": denied.description}
    return _json(document, 401 if is_unknown else 400, headers)


def _json(document: Mapping[str, object], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    body = json.dumps(document, ensure_ascii=False).encode()
    return Response(body, status, {"cache-control": "no-store", **(headers or {})}, "application/json")
