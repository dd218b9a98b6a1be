# SPDX-License-Identifier: Apache-2.0
"""The pages of mandates: drafted, granted, their slips printed, accepted and ended with a code or by an officer."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from client.errors import TransportError
from identity.api.desk import legal_problems as kinds
from identity.api.desk import mandate_reveal, mandates
from identity.api.desk.base import Approver, Clerk, DeskContext, Reader, desk_of, show
from identity.api.desk.cards_history import Signed, history, receipt_of
from identity.api.desk.cards_people import registered
from identity.api.desk.cards_signing import to_sign
from identity.api.desk.looking_up import Reason, note_access
from identity.api.desk.mandate_codes import CODE_CHARACTERS_MAX, CodeUse
from identity.api.desk.mandate_slips import slip
from identity.api.desk.mandate_words import EVENT_KEYS, KIND_KEYS, POWER_KEYS, SCOPE_KEYS, SIDE_KEYS, STATE_KEYS
from identity.api.desk.mandates import OFFICER_ACCEPTS, Content, MandateState, Terms
from identity.api.desk.service_acts import send
from identity.api.desk.tables import DeskPerson
from identity.pb import identity_pb2 as pb
from service.language import language_of, translate
from service.problems import Problem
from service.sign_in.act_pages import RECEIPT_TYPE
from service.sign_in.pages import moment
from service.sign_in.roles import Permission
from service.sign_in.sessions import Officer

PATH = "/mandates"
FEN_PER_YUAN = 100
YUAN_CHARACTERS_MAX = 13
DEFAULT_DAYS = 365

Text = Annotated[str, Form(max_length=400)]
Many = Annotated[list[str], Form()]


@dataclass(frozen=True, slots=True)
class Looked:
    """A mandate as it was just looked at.

    Attributes:
        names: Of the principal and the agent.
        slips: Sides whose codes are still to be printed.
        record: What the ledger says.
        answers: Whether the ledger answered.
    """

    id: str
    state: MandateState
    content: Content
    names: tuple[str, str]
    slips: tuple[str, ...]
    record: pb.MandateRecord | None
    answers: bool


def mandate_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)
    _add_forms(router)
    _add_codes(router)
    _add_mandate(router)
    _add_acts(router)
    return router


async def look(desk: DeskContext, officer: Officer, row_id: str) -> Looked:
    """Open a mandate: access entries for the people on it, and what the ledger says of it now.

    Raises:
        Problem: There is none of this id at this organisation.
    """
    content = await run_in_threadpool(_content, desk, officer, row_id)
    record, answers = None, True
    try:
        record = await mandates.on_ledger(desk, content)
        await run_in_threadpool(mandates.observe, desk, officer.organisation, row_id, record)
    except TransportError:
        answers = False
    return await run_in_threadpool(_looked, desk, officer, row_id, record, answers=answers)


def _content(desk: DeskContext, officer: Officer, row_id: str) -> Content:
    with desk.store.read() as session:
        return mandates.content_of(desk, session, mandates.own(session, officer.organisation, row_id))


def _looked(
    desk: DeskContext, officer: Officer, row_id: str, record: pb.MandateRecord | None, *, answers: bool
) -> Looked:
    with desk.store.write() as session:
        row = mandates.own(session, officer.organisation, row_id)
        content = mandates.content_of(desk, session, row)
        note_access(desk, session, officer, row.person_id, Reason.CASE)
        agent = registered(desk, session, officer.organisation, row.person_id).name
        principal = content.terms.principal
        if row.principal_id is not None:
            note_access(desk, session, officer, row.principal_id, Reason.CASE)
            principal = registered(desk, session, officer.organisation, row.principal_id).name
        slips = tuple(mandates.slips(desk, session, row))
        return Looked(row.id, MandateState(row.state), content, (principal, agent), slips, record, answers)


def _add_forms(router: APIRouter) -> None:
    @router.get(PATH)
    def listed(request: Request, officer: Reader) -> Response:
        desk = desk_of(request)
        with desk.store.read() as session:
            rows = mandates.listed(session, officer.organisation)
        return show(
            request,
            officer,
            "desk/cards/mandates.html",
            rows=rows,
            state_keys=STATE_KEYS,
            kind_keys=KIND_KEYS,
            reference_of=mandates.reference_of,
            enrols=officer.may(Permission.ENROL),
        )

    @router.get(PATH + "/new")
    def new(request: Request, officer: Clerk, principal: str = "", kind: str = "person") -> Response:
        today = moment(desk_of(request).now()).date()
        until = (today + timedelta(days=DEFAULT_DAYS)).isoformat()
        entered = {"principal": principal[:18], "kind": kind, "valid_from": today.isoformat(), "valid_to": until}
        return _form(request, officer, entered, {})

    @router.post(PATH)
    def draft(
        request: Request,
        officer: Clerk,
        kind: Text = "",
        principal: Text = "",
        agent: Text = "",
        scopes: Many = [],  # noqa: B006 - the framework copies it
        powers: Many = [],  # noqa: B006 - likewise
        amount: Text = "0",
        valid_from: Text = "",
        valid_to: Text = "",
        may_delegate: Text = "",
        document: Text = "",
    ) -> Response:
        desk = desk_of(request)
        entered: dict[str, Any] = {
            "kind": kind,
            "principal": principal,
            "agent": agent,
            "scopes": scopes,
            "powers": powers,
            "amount": amount,
            "valid_from": valid_from,
            "valid_to": valid_to,
            "may_delegate": may_delegate,
            "document": document,
        }
        terms, wrong = _terms(desk, officer, entered)
        wrong = {**mandates.faults(terms, desk.now()), **wrong}
        if wrong:
            errors = {field: translate(language_of(request), key) for field, key in wrong.items()}
            return _form(request, officer, entered, errors)
        return RedirectResponse(f"{PATH}/{mandates.draft(desk, officer, terms)}", 303)


def _terms(desk: DeskContext, officer: Officer, entered: dict[str, Any]) -> tuple[Terms, dict[str, str]]:
    """What was entered as terms, with what cannot be read; persons are named by the numbers of their documents."""
    wrong = {}
    agent = _person(desk, officer, entered["agent"].strip())
    if agent is None:
        wrong["agent"] = "mandate.wrong-person"
    principal: str | None = entered["principal"].strip()
    if entered["kind"] == "company":
        principal = (principal or "").upper()
    else:
        principal = _person(desk, officer, principal or "")
        if principal is None:
            wrong["principal"] = "mandate.wrong-person"
    begins, ends = _day(entered["valid_from"]), _day(entered["valid_to"])
    yuan = entered["amount"].strip() or "0"
    is_figure = yuan.isascii() and yuan.isdecimal() and len(yuan) <= YUAN_CHARACTERS_MAX
    return Terms(
        entered["kind"],
        principal or "",
        agent or "",
        tuple(entered["scopes"]),
        tuple(entered["powers"]),
        int(yuan) * FEN_PER_YUAN if is_figure else -1,
        begins,
        ends + 86_400_000 if ends else 0,
        entered["may_delegate"] == "yes",
        entered["document"].strip(),
    ), wrong


def _person(desk: DeskContext, officer: Officer, number: str) -> str | None:
    """The one person of this desk under a number, who is looked at for the sake of a mandate."""
    if not number:
        return None
    with desk.store.write() as session:
        found = desk.store.people.find(session, DeskPerson.number, number)
        rows = [session.get(DeskPerson, row) for row in found]
        own = [row.person_id for row in rows if row is not None and row.organisation == officer.organisation]
        if len(own) != 1:
            return None
        note_access(desk, session, officer, own[0], Reason.CASE)
        return own[0]


def _day(text: str) -> int:
    """A day's beginning in China as Unix time in ms; 0 if it is none."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return 0
    begins = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=8)
    return int(begins.timestamp() * 1000)


def _form(request: Request, officer: Officer, entered: dict[str, Any], errors: dict[str, str]) -> Response:
    empty = {"agent": "", "scopes": [], "powers": [], "amount": "0", "may_delegate": "", "document": ""}
    return show(
        request,
        officer,
        "desk/cards/mandate-form.html",
        status=422 if errors else 200,
        entered={**empty, **entered},
        errors=errors,
        kind_keys=KIND_KEYS,
        scope_keys=SCOPE_KEYS,
        power_keys=POWER_KEYS,
    )


def _add_codes(router: APIRouter) -> None:
    @router.get(PATH + "/code")
    def ask(request: Request, officer: Reader) -> Response:
        return show(request, officer, "desk/cards/mandate-code.html", code_max=CODE_CHARACTERS_MAX)

    @router.post(PATH + "/code")
    async def take(request: Request, officer: Reader, code: Text, use: Text) -> Response:
        desk = desk_of(request)
        if use not in tuple(CodeUse):
            raise Problem(kinds.CODE)
        wants = CodeUse(use)
        revealed = await run_in_threadpool(mandate_reveal.reveal, desk, officer.organisation, code, wants)
        content = await run_in_threadpool(_content, desk, officer, revealed.row_id)
        record = await mandates.on_ledger(desk, content)
        if record is None or record.ended_at_ms:
            raise Problem(kinds.OVER)
        proven = await send(desk, [revealed.operation])
        step = "accept" if wants is CodeUse.ACCEPT else "end"
        await run_in_threadpool(mandates.note_sent, desk, officer, revealed.row_id, step, proven.receipt())
        return RedirectResponse(f"{PATH}/{revealed.row_id}", 303)


def _add_mandate(router: APIRouter) -> None:
    @router.get(PATH + "/{row_id}")
    async def one(row_id: str, request: Request, officer: Reader) -> Response:
        desk = desk_of(request)
        looked = await look(desk, officer, row_id)

        def shown() -> Response:
            with desk.store.read() as session:
                steps = history(session, mandates.own(session, officer.organisation, row_id))
            return show(
                request,
                officer,
                "desk/cards/mandate.html",
                mandate=looked,
                terms=looked.content.terms,
                reference=mandates.reference_of(row_id),
                steps=steps,
                accepted=looked.record,
                state_keys=STATE_KEYS,
                kind_keys=KIND_KEYS,
                scope_keys=SCOPE_KEYS,
                power_keys=POWER_KEYS,
                side_keys=SIDE_KEYS,
                event_keys=EVENT_KEYS,
                officer_accepts=looked.content.terms.kind in OFFICER_ACCEPTS,
                enrols=officer.may(Permission.ENROL),
                approves=officer.may(Permission.APPROVE),
            )

        return await run_in_threadpool(shown)

    @router.get(PATH + "/{row_id}/slips/{side}.pdf")
    async def slip_of(row_id: str, side: str, request: Request, officer: Clerk) -> Response:
        desk = desk_of(request)

        def made() -> bytes:
            with desk.store.write() as session:
                row = mandates.own(session, officer.organisation, row_id)
                secret = mandates.slips(desk, session, row).get(side)
                if secret is None or side not in SIDE_KEYS:
                    raise Problem(kinds.UNKNOWN_MANDATE)
                desk.record(session, officer, "mandate.slip-printed", row_id)
            language = language_of(request)
            words = translate(language, SIDE_KEYS[side])
            return slip(desk, mandates.reference_of(row_id), words, secret, language)

        headers = {"content-disposition": f'inline; filename="{side}-{row_id[:8]}.pdf"', "cache-control": "no-store"}
        return Response(await run_in_threadpool(made), media_type="application/pdf", headers=headers)

    @router.post(PATH + "/{row_id}/slips/{side}")
    def given(row_id: str, side: str, request: Request, officer: Clerk) -> Response:
        mandates.forget_slip(desk_of(request), officer, row_id, side)
        return RedirectResponse(f"{PATH}/{row_id}", 303)

    @router.get(PATH + "/{row_id}/receipts/{number}")
    def receipt(row_id: str, number: int, request: Request, officer: Reader) -> Response:
        desk = desk_of(request)
        with desk.store.read() as session:
            found = receipt_of(desk, session, mandates.own(session, officer.organisation, row_id), number)
        if found is None:
            raise Problem(kinds.UNKNOWN_MANDATE)
        headers = {"content-disposition": f'attachment; filename="mandate-{row_id[:8]}-{number}.receipt"'}
        return Response(found, media_type=RECEIPT_TYPE, headers=headers)


def _add_acts(router: APIRouter) -> None:
    @router.post(PATH + "/{row_id}/grant")
    async def grant(row_id: str, request: Request, officer: Clerk) -> Response:
        looked = await look(desk_of(request), officer, row_id)
        signed = mandates.grant(looked.content, mandates.reference_of(row_id))
        return await _sign(request, officer, row_id, "grant", signed)

    @router.post(PATH + "/{row_id}/accept")
    async def accept(row_id: str, request: Request, officer: Approver) -> Response:
        looked = await look(desk_of(request), officer, row_id)
        signed = mandates.officer_accepts(looked.content, mandates.reference_of(row_id))
        return await _sign(request, officer, row_id, "accept", signed)

    @router.post(PATH + "/{row_id}/end")
    async def end(row_id: str, request: Request, officer: Clerk) -> Response:
        looked = await look(desk_of(request), officer, row_id)
        signed = mandates.officer_ends(looked.content, mandates.reference_of(row_id))
        return await _sign(request, officer, row_id, "end", signed)


async def _sign(request: Request, officer: Officer, row_id: str, step: str, signed: Signed) -> Response:
    desk = desk_of(request)

    def note(act_id: str) -> None:
        mandates.note_act(desk, officer, row_id, step, act_id)

    return await to_sign(request, officer, signed, f"{PATH}/{row_id}", note)
