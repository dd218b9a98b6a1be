# SPDX-License-Identifier: Apache-2.0
"""The page on which an officer reads an act and signs it, and what its script asks."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, UploadFile
from pydantic import BaseModel, ConfigDict, StringConstraints
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from chain.errors import InvalidMessage, InvalidSignature
from chain.signing import Signer
from client.errors import TransportError
from service.language import language_of
from service.pages import Site
from service.problems import Problem
from service.redirects import local_path
from service.sign_in import kinds
from service.sign_in.access import FRESH_MS, Require, office_of
from service.sign_in.acts import REGISTRATION, Acts
from service.sign_in.api import HOME_PATH
from service.sign_in.door import Door
from service.sign_in.key_request import ANSWER_BYTES_MAX, KeyAnswer, KeyRequest, verify_answer
from service.sign_in.ledger import read_standing, register_key
from service.sign_in.pages import moment, show
from service.sign_in.roles import Permission
from service.sign_in.sessions import Officer

ACTS_PATH = "/acts"
REGISTER_PATH = HOME_PATH + "/register"
RECEIPT_TYPE = "application/octet-stream"
REQUEST_TYPE = "application/json"

Here = Annotated[Officer, Depends(Require())]
Registrant = Annotated[Officer, Depends(Require(Permission.REGISTER_KEY, fresh_ms=FRESH_MS))]
Fresh = Annotated[Officer, Depends(Require(fresh_ms=FRESH_MS))]


class ShownBody(BaseModel):
    """The digest of what the page showed."""

    model_config = ConfigDict(extra="forbid", strict=True)
    shown: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class SignatureBody(BaseModel):
    """What the passkey or card answered, and which page of this service comes next."""

    model_config = ConfigDict(extra="forbid", strict=True)
    credential: dict[str, Any]
    next: Annotated[str, StringConstraints(max_length=400)] = ""


def act_router(ordinary: Acts, registrations: Acts, door: Door, site: Site, governor: Signer | None) -> APIRouter:
    """The routes of acts.

    Args:
        ordinary: Acts of the service.
        registrations: Acts that register an officer's passkey or card.
        door: Reads the ledger.
        site: Its name and navigation.
        governor: The governing key that `registrations` have at hand; None: its keeper is asked by file.
    """
    router = APIRouter(include_in_schema=False)
    _add_registration(router, registrations, door, governor)
    _add_reading(router, ordinary, site, holds_governor=governor is not None)
    _add_signing(router, ordinary, registrations)
    return router


def _add_registration(router: APIRouter, registrations: Acts, door: Door, governor: Signer | None) -> None:
    @router.post(REGISTER_PATH)
    async def register(request: Request, officer: Registrant) -> Response:
        office = office_of(request)
        standing = await read_standing(door.session, officer.organisation, officer.signer)
        if standing.is_key_usable():
            return RedirectResponse(HOME_PATH, 303)
        if standing.key is not None:
            raise Problem(kinds.KEY_SPENT)
        if governor is not None:
            held = await read_standing(door.session, officer.organisation, governor)
            if not held.is_governing():
                raise Problem(kinds.NOT_GOVERNING)
        operations, words = register_key(officer.organisation, officer.signer)
        asked = None
        if governor is None:
            asked = KeyRequest.make(door.network, officer.organisation, officer.signer, office.now())
        act_id = await run_in_threadpool(
            lambda: registrations.prepare(
                office, officer, operations, words, kind=REGISTRATION, passkey_id=officer.passkey_id, request=asked
            )
        )
        return RedirectResponse(f"{ACTS_PATH}/{act_id}", 303)

    @router.get(ACTS_PATH + "/{act_id}/request")
    def key_request(act_id: str, request: Request, officer: Here) -> Response:
        asked = registrations.find(office_of(request), officer, act_id).request
        if asked is None:
            raise Problem(kinds.UNKNOWN)
        headers = {"content-disposition": f'attachment; filename="{asked.file_name}"'}
        return Response(asked.encode(), media_type=REQUEST_TYPE, headers=headers)

    @router.post(ACTS_PATH + "/{act_id}/answer")
    async def key_answer(act_id: str, request: Request, officer: Here, answer: UploadFile) -> Response:
        office = office_of(request)
        act = await run_in_threadpool(registrations.find, office, officer, act_id)
        if act.request is None:
            raise Problem(kinds.UNKNOWN)
        raw = await answer.read(ANSWER_BYTES_MAX + 1)
        given = await run_in_threadpool(_read_answer, act.request, raw)
        standing = await read_standing(door.session, officer.organisation, given.governor)
        if not standing.is_governing():
            raise Problem(kinds.NOT_GOVERNING)
        await run_in_threadpool(registrations.attach, office, officer, act_id, given)
        return RedirectResponse(f"{ACTS_PATH}/{act_id}", 303)


def _add_reading(router: APIRouter, acts: Acts, site: Site, *, holds_governor: bool) -> None:
    @router.get(ACTS_PATH + "/{act_id}")
    def show_act(act_id: str, request: Request, officer: Here) -> Response:
        office = office_of(request)
        act = acts.find(office, officer, act_id)
        return show(
            request,
            site,
            officer,
            "sign-in/act.html",
            act=act,
            sentences=act.words[language_of(request)],
            until=moment(act.expires_ms),
            is_over=act.expires_ms <= office.now(),
            holds_governor=holds_governor and act.kind == REGISTRATION,
        )

    @router.get(ACTS_PATH + "/{act_id}/receipt")
    def receipt(act_id: str, request: Request, officer: Here) -> Response:
        found = acts.find(office_of(request), officer, act_id).receipt
        if found is None:
            raise Problem(kinds.UNKNOWN)
        headers = {"content-disposition": f'attachment; filename="act-{act_id[:8]}.receipt"'}
        return Response(found, media_type=RECEIPT_TYPE, headers=headers)


def _add_signing(router: APIRouter, ordinary: Acts, registrations: Acts) -> None:
    def acts_of(request: Request, officer: Officer, act_id: str) -> Acts:
        kind = ordinary.find(office_of(request), officer, act_id).kind
        return registrations if kind == REGISTRATION else ordinary

    @router.post(ACTS_PATH + "/{act_id}/options")
    def options(act_id: str, body: ShownBody, request: Request, officer: Fresh) -> dict[str, Any]:
        return acts_of(request, officer, act_id).ask(office_of(request), officer, act_id, body.shown)

    @router.post(ACTS_PATH + "/{act_id}/verify")
    async def sign(act_id: str, body: SignatureBody, request: Request, officer: Fresh) -> dict[str, str]:
        office = office_of(request)
        acts = await run_in_threadpool(acts_of, request, officer, act_id)
        await run_in_threadpool(acts.sign, office, officer, act_id, body.credential)
        await _send(request, officer, act_id)
        return {"next": local_path(body.next or None, f"{ACTS_PATH}/{act_id}")}

    @router.post(ACTS_PATH + "/{act_id}/send")
    async def send(act_id: str, request: Request, officer: Here) -> Response:
        await _send(request, officer, act_id)
        return RedirectResponse(f"{ACTS_PATH}/{act_id}", 303)

    async def _send(request: Request, officer: Officer, act_id: str) -> None:
        """Submit what was signed; where nothing is known yet the page says so and offers to look again."""
        office = office_of(request)
        transaction = await run_in_threadpool(ordinary.waiting, office, officer, act_id)
        if transaction is None:
            return
        try:
            outcome = await ordinary.submit(transaction)
        except TransportError:
            return
        await run_in_threadpool(ordinary.settle, office, officer, act_id, outcome)


def _read_answer(asked: KeyRequest, raw: bytes) -> KeyAnswer:
    """A file that somebody uploads as the answer to a request, verified."""
    try:
        given = KeyAnswer.decode(raw)
        if given.request != asked.digest:
            raise Problem(kinds.ANSWER_FOREIGN)
        verify_answer(asked, given)
    except (InvalidMessage, InvalidSignature):
        raise Problem(kinds.ANSWER_UNFIT) from None
    return given
