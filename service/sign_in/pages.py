# SPDX-License-Identifier: Apache-2.0
"""The pages of sign-in: sign in, accept an invitation, confirm, one's passkeys, cards and sessions, and people.

Forms carry a token and go back to their page; what a passkey does runs in `web/pages/sign-in.ts`, what a staff card
does in `web/pages/sign-in-card.ts`. A page that asks for a card, and no other, may reach the card's agent.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from chain.signing import Signer
from service.envelope import content_policy
from service.language import Language, language_of, translate
from service.pages import Place, Site, render
from service.problems import INVALID, Problem
from service.redirects import Elsewhere, local_path
from service.sign_in import credentials, people, sessions
from service.sign_in.access import FRESH_MS, Require, forget_session, met_officer, office_of, signed_in
from service.sign_in.api import HOME_PATH, known_officer
from service.sign_in.ledger import Standing, officer_key_text
from service.sign_in.people import NAME_CHARACTERS_MAX
from service.sign_in.roles import Permission, Role
from service.sign_in.sessions import Officer
from service.sign_in.words import ROLE_ABOUT_KEYS, ROLE_KEYS

_ASKS_FOR_CARD = b'data-card-agent="'
"""Of the form that asks for a card; text that anybody entered never has a plain quotation mark."""
PEOPLE_PATH = "/people"
SESSIONS_PATH = "/sessions"

Here = Annotated[Officer, Depends(Require())]
Fresh = Annotated[Officer, Depends(Require(fresh_ms=FRESH_MS))]
Manager = Annotated[Officer, Depends(Require(Permission.MANAGE_PEOPLE))]
FreshManager = Annotated[Officer, Depends(Require(Permission.MANAGE_PEOPLE, fresh_ms=FRESH_MS))]
Text = Annotated[str, Form(max_length=400)]


def own_site(site: Site, officer: Officer) -> Site:
    """A service's navigation as somebody's role has it, with what everybody who is signed in has."""
    places = [*_seen(site, officer), Place("sign-in.passkeys", HOME_PATH), Place("sign-in.sessions", SESSIONS_PATH)]
    if officer.may(Permission.MANAGE_PEOPLE):
        places.append(Place("sign-in.people", PEOPLE_PATH))
    return replace(site, places=tuple(places))


def _seen(site: Site, officer: Officer) -> list[Place]:
    """The places of a site that somebody's role may see."""
    return [place for place in site.places if not place.permission or officer.may(Permission(place.permission))]


def reader_site(request: Request, site: Site) -> Site:
    """The site of a problem's page: with the navigation of whoever is refused, else without what needs a role."""
    officer = met_officer(request)
    if officer is not None:
        return own_site(site, officer)
    return replace(site, places=tuple(place for place in site.places if not place.permission))


def has_no_place(site: Site, officer: Officer) -> bool:
    """Whether a service has places, and none of them is for this person's role."""
    return bool(site.places) and not _seen(site, officer) and not officer.may(Permission.MANAGE_PEOPLE)


def start_path(site: Site, officer: Officer) -> str:
    """Where somebody begins: their role's first place, else the people whom they look after, else their own keys."""
    for place in _seen(site, officer):
        return place.path
    return PEOPLE_PATH if officer.may(Permission.MANAGE_PEOPLE) else HOME_PATH


class RequireOrStart:
    """A dependency of a page at `/`: whoever's role may not see it is led to where they begin, and accused of nothing.

    Args:
        permission: Who sees the page.
        site: The service's.
    """

    def __init__(self, permission: Permission, site: Site) -> None:
        self._signed_in, self._require = Require(), Require(permission)
        self._permission, self._site = permission, site

    async def __call__(self, request: Request) -> Officer:
        """Let an officer through, or end the request."""
        officer = await self._signed_in(request)
        if not officer.may(self._permission):
            raise Elsewhere(start_path(self._site, officer))
        return await self._require(request)


def show_page(request: Request, site: Site, name: str, **context: Any) -> Response:
    """A page that may ask for a passkey, or for a card where staff cards are used."""
    cards = office_of(request).cards
    response = render(request, name, site=site, card_agent="" if cards is None else cards.agent, **context)
    if cards is not None and _ASKS_FOR_CARD in bytes(response.body):
        response.headers["content-security-policy"] = content_policy(connect=[cards.agent])
    return response


def show(request: Request, site: Site, officer: Officer, name: str, **context: Any) -> Response:
    """A page for somebody who is signed in."""
    response = show_page(request, own_site(site, officer), name, officer=officer, role_keys=ROLE_KEYS, **context)
    response.headers["cache-control"] = "no-store"
    return response


def moment(ms: int) -> datetime:
    """Unix time in ms, for pages."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def page_router(site: Site) -> APIRouter:
    """The routes of the pages, and `/` where the service begins there and has no page of its own at it.

    Args:
        site: The service's.
    """
    router = APIRouter(include_in_schema=False)
    if site.home == "/" and site.places and all(place.path != "/" for place in site.places):
        _add_start(router, site)
    outside = replace(site, places=(), layout="page")
    _add_entrance(router, outside)
    _add_passkeys(router, site)
    _add_sessions(router, site)
    _add_people(router, site)
    return router


def _add_start(router: APIRouter, site: Site) -> None:
    @router.get("/")
    def start(officer: Here) -> Response:
        return RedirectResponse(start_path(site, officer), 303)


def _add_entrance(router: APIRouter, site: Site) -> None:
    @router.get("/sign-in")
    def sign_in(request: Request) -> Response:
        back = local_path(request.query_params.get("next"), HOME_PATH)
        if signed_in(request) is not None:
            return RedirectResponse(back, 303)
        return show_page(request, site, "sign-in/sign-in.html", back=back)

    @router.get("/confirm")
    def confirm(request: Request, officer: Annotated[Officer, Depends(known_officer)]) -> Response:
        back = local_path(request.query_params.get("next"), HOME_PATH)
        return show_page(request, site, "sign-in/confirm.html", back=back, officer=officer)

    @router.get("/join")
    def join(request: Request) -> Response:
        return show_page(request, site, "sign-in/join.html", name_max=credentials.NAME_CHARACTERS_MAX)

    @router.post("/sign-out")
    def sign_out(request: Request) -> Response:
        officer = signed_in(request)
        if officer is not None:
            sessions.end_session(office_of(request), officer, officer.session_id)
        response = RedirectResponse("/sign-in", 303)
        forget_session(response, office_of(request))
        return response


def _add_passkeys(router: APIRouter, site: Site) -> None:
    def show_list(
        request: Request, officer: Officer, keys: Sequence[str] = (), standing: Standing | None = None
    ) -> Response:
        office = office_of(request)
        listed = credentials.list_credentials(office, officer)
        return show(
            request,
            site,
            officer,
            "sign-in/passkeys.html",
            passkeys=listed,
            moment_of=moment,
            now=moment(office.now()),
            removable=sum(not one.is_suspect for one in listed) > 1,
            name_max=credentials.NAME_CHARACTERS_MAX,
            registers=hasattr(request.app.state, "acts") and officer.may(Permission.REGISTER_KEY),
            keys=keys,
            standing=standing,
            no_place=has_no_place(site, officer),
        )

    @router.get(HOME_PATH)
    async def show_passkeys(request: Request, officer: Here) -> Response:
        standings = getattr(request.app.state, "standings", None)
        standing = None
        if standings is not None and officer.may(Permission.REGISTER_KEY):
            with suppress(Problem):  # the page is of use without the ledger
                standing = await standings.find(officer.organisation, officer.signer)
        return await run_in_threadpool(show_list, request, officer, (), standing)

    @router.post(HOME_PATH + "/{passkey_id}/remove")
    def remove(passkey_id: str, request: Request, officer: Fresh) -> Response:
        key = credentials.remove(office_of(request), officer, passkey_id)
        left = _left(request, [key])
        if not left or passkey_id == officer.passkey_id:  # the session has ended with it
            return RedirectResponse(HOME_PATH, 303)
        return show_list(request, officer, left)

    @router.post(HOME_PATH + "/{passkey_id}/name")
    def rename(passkey_id: str, request: Request, officer: Here, name: Text) -> Response:
        words = _clean(name)
        if words and len(words) <= credentials.NAME_CHARACTERS_MAX:
            credentials.rename(office_of(request), officer, passkey_id, words)
        return RedirectResponse(HOME_PATH, 303)


def _add_sessions(router: APIRouter, site: Site) -> None:
    @router.get(SESSIONS_PATH)
    def show_sessions(request: Request, officer: Here) -> Response:
        office = office_of(request)
        listed = sessions.list_sessions(office, officer)
        context = {"sessions": listed, "moment_of": moment, "now": moment(office.now())}
        return show(request, site, officer, "sign-in/sessions.html", **context)

    @router.post(SESSIONS_PATH + "/{session_id}/end")
    def end(session_id: str, request: Request, officer: Here) -> Response:
        sessions.end_session(office_of(request), officer, session_id)
        return RedirectResponse(SESSIONS_PATH, 303)

    @router.post(SESSIONS_PATH + "/end-others")
    def end_others(request: Request, officer: Here) -> Response:
        office = office_of(request)
        with office.store.write() as session:
            sessions.end_sessions(office, session, officer.staff_id, officer.person_id, keep=officer.session_id)
        return RedirectResponse(SESSIONS_PATH, 303)


def _add_people(router: APIRouter, site: Site) -> None:
    def show_list(request: Request, officer: Officer, **more: Any) -> Response:
        context: dict[str, Any] = {
            "entered": {"name": "", "organisation": officer.organisation, "role": ""},
            "errors": {},
            "link": None,
            "for_whom": "",
            "keys": (),
            "people": people.list_people(office_of(request)),
            "roles": [(role.value, ROLE_KEYS[role], ROLE_ABOUT_KEYS[role]) for role in Role],
            "name_max": NAME_CHARACTERS_MAX,
        }
        return show(request, site, officer, "sign-in/people.html", **(context | more))

    @router.get(PEOPLE_PATH)
    def show_people(request: Request, officer: Manager) -> Response:
        return show_list(request, officer)

    @router.post(PEOPLE_PATH)
    def invite(
        request: Request, officer: FreshManager, name: Text = "", organisation: Text = "", role: Text = ""
    ) -> Response:
        name, organisation = _clean(name), organisation.strip()
        errors = _errors(language_of(request), name, organisation, role)
        if errors:
            entered = {"name": name, "organisation": organisation, "role": role}
            response = show_list(request, officer, entered=entered, errors=errors)
            response.status_code = 422
            return response
        link = people.invite(office_of(request), officer, name, organisation, Role(role))
        return show_list(request, officer, link=link, for_whom=name)

    @router.post(PEOPLE_PATH + "/{staff_id}/re-enrol")
    def re_enrol(staff_id: str, request: Request, officer: FreshManager) -> Response:
        name, keys = people.find_person(office_of(request), staff_id)
        link = people.re_enrol(office_of(request), officer, staff_id)
        return show_list(request, officer, link=link, for_whom=name, keys=_left(request, keys))

    @router.post(PEOPLE_PATH + "/{staff_id}/remove")
    def remove(staff_id: str, request: Request, officer: FreshManager) -> Response:
        name, keys = people.find_person(office_of(request), staff_id)
        people.remove(office_of(request), officer, staff_id)
        left = _left(request, keys)
        return show_list(request, officer, keys=left, for_whom=name) if left else RedirectResponse(PEOPLE_PATH, 303)

    @router.post(PEOPLE_PATH + "/{staff_id}/role")
    def change_role(staff_id: str, request: Request, officer: FreshManager, role: Text = "") -> Response:
        if role not in set(Role):
            raise Problem(INVALID, {"count": 1})
        people.change_role(office_of(request), officer, staff_id, Role(role))
        return RedirectResponse(PEOPLE_PATH, 303)

    @router.post(PEOPLE_PATH + "/{staff_id}/end-sessions")
    def end_sessions(staff_id: str, request: Request, officer: FreshManager) -> Response:
        people.end_sessions_of(office_of(request), officer, staff_id)
        return RedirectResponse(PEOPLE_PATH, 303)


def _left(request: Request, keys: Sequence[Signer]) -> list[str]:
    """Keys that are gone here and may still stand on the ledger, as commands take them; none where nobody signs."""
    return [officer_key_text(key) for key in keys] if hasattr(request.app.state, "acts") else []


def _clean(text: str) -> str:
    """A name as it was meant: no control characters, no blanks around it."""
    return "".join(character for character in text if character.isprintable()).strip()


def _errors(language: Language, name: str, organisation: str, role: str) -> dict[str, str]:
    """What is wrong with an invitation's fields."""
    errors = {}
    if not people.is_name(name):
        errors["name"] = translate(language, "sign-in.name-wrong", count=NAME_CHARACTERS_MAX)
    if not people.is_organisation(organisation):
        errors["organisation"] = translate(language, "sign-in.organisation-wrong")
    if role not in set(Role):
        errors["role"] = translate(language, "sign-in.role-wrong")
    return errors
