# SPDX-License-Identifier: Apache-2.0
"""The pages of cards: what waits at the desk, one card with what can be done now, and its history.

Opening a card is work on a case: it leaves an access entry for its holder. What the ledger says is read each time, so
that the page never shows more than was certified; where it does not answer, the page says so and offers nothing that
needs it.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from client.errors import TransportError
from identity.api.desk import cards, cards_binding, cards_making
from identity.api.desk import cards_problems as kinds
from identity.api.desk.base import Approver, Clerk, DeskContext, Reader, desk_of, show
from identity.api.desk.cards import Opened, Reason
from identity.api.desk.cards_history import history, receipt_of
from identity.api.desk.cards_life import COUNTS, LIVING, CardState, CardStep, is_possible
from identity.api.desk.cards_people import Registered, registered
from identity.api.desk.cards_phone import suspend as suspend_at_once
from identity.api.desk.cards_replacing import ending, successor
from identity.api.desk.cards_signing import to_sign
from identity.api.desk.cards_words import EVENT_KEYS, METHOD_KEYS, REASON_KEYS, STATE_KEYS, WAY
from identity.api.desk.details import METHODS, Method
from identity.api.desk.looking_up import Reason as Looking
from identity.api.desk.looking_up import note_access, require_reason
from identity.api.desk.problems import REASON_NEEDED
from identity.pb import identity_pb2 as pb
from service.problems import Problem
from service.redirects import Elsewhere
from service.sign_in.access import Require
from service.sign_in.act_pages import RECEIPT_TYPE
from service.sign_in.roles import Permission
from service.sign_in.sessions import Officer

PATH = "/cards"

_AT_READER = (CardState.REQUESTED, CardState.PRINTED, CardState.HANDED_OVER)

Supervisor = Annotated[Officer, Depends(Require(Permission.MANAGE_STOCK))]
Text = Annotated[str, Form(max_length=100)]


@dataclass(frozen=True, slots=True)
class Looked:
    """A card as it was just looked at.

    Attributes:
        record: The holder's registration on the ledger.
        answers: Whether the ledger answered.
    """

    card: Opened
    holder: Registered
    replaced: Opened | None
    record: pb.PersonRecord | None
    answers: bool

    @property
    def is_proposed(self) -> bool:
        """Whether its keys are proposed and wait for a second officer."""
        return cards_binding.is_proposed(self.card, self.replaced, self.record)


async def look(desk: DeskContext, officer: Officer, card_id: str, *, needs_ledger: bool = True) -> Looked:
    """Open a card: an access entry for its holder, and what the ledger says of it now.

    Raises:
        Problem: There is no such card here.
        TransportError: The ledger does not answer, and is needed.
    """
    card, holder, replaced = await run_in_threadpool(_open, desk, officer, card_id)
    try:
        record = await cards.on_ledger(desk, holder.registration)
    except TransportError:
        if needs_ledger:
            raise
        return Looked(card, holder, replaced, None, answers=False)
    state = await run_in_threadpool(cards.observe, desk, officer.organisation, card_id, record)
    if state is not card.state:
        card, holder, replaced = await run_in_threadpool(_open, desk, officer, card_id)
    return Looked(card, holder, replaced, record, answers=True)


def _open(desk: DeskContext, officer: Officer, card_id: str) -> tuple[Opened, Registered, Opened | None]:
    with desk.store.write() as session:
        card = cards.opened(desk, session, officer.organisation, card_id)
        note_access(desk, session, officer, card.person_id, Looking.CASE)
        holder = registered(desk, session, officer.organisation, card.person_id)
        replaced = None
        if card.replaces is not None:
            replaced = cards.opened(desk, session, officer.organisation, card.replaces)
        return card, holder, replaced


def card_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)
    _add_lists(router)
    _add_card(router)
    _add_acts(router)
    return router


def _add_lists(router: APIRouter) -> None:
    @router.get(PATH)
    def waiting(request: Request, officer: Reader) -> Response:
        desk = desk_of(request)
        states = (CardState.REQUESTED, CardState.PERSONALISED, CardState.BOUND, CardState.PRINTED)
        with desk.store.write() as session:
            cards.expire_due(desk, session, officer.organisation)
        with desk.store.read() as session:
            groups = [(state, cards.in_state(session, officer.organisation, state)) for state in states]
            ends = ending(session, officer.organisation)
        return show(
            request,
            officer,
            "desk/cards/waiting.html",
            groups=groups,
            ends=ends,
            state_keys=STATE_KEYS,
            reason_keys=REASON_KEYS,
            reference_of=cards_binding.reference_of,
        )

    @router.get("/persons/{person_id}/cards")
    def of_person(person_id: str, request: Request, officer: Reader) -> Response:
        desk = desk_of(request)
        with desk.store.read() as session:
            try:
                require_reason(desk, session, officer, person_id)
            except Problem as problem:
                if problem.kind is not REASON_NEEDED:
                    raise
                raise Elsewhere(f"/look-up?person={person_id}") from None
            holder = registered(desk, session, officer.organisation, person_id)
            held = cards.of_person(session, person_id)
        living = any(row.state in LIVING and row.ending_ms is None for row in held)
        return show(
            request,
            officer,
            "desk/cards/of-person.html",
            holder=holder,
            cards=held,
            asks=officer.may(Permission.ENROL) and not living,
            state_keys=STATE_KEYS,
            reason_keys=REASON_KEYS,
            reference_of=cards_binding.reference_of,
        )

    @router.post("/persons/{person_id}/cards")
    def ask(person_id: str, request: Request, officer: Clerk) -> Response:
        desk = desk_of(request)
        with desk.store.read() as session:
            require_reason(desk, session, officer, person_id)
        return RedirectResponse(f"{PATH}/{cards.request(desk, officer, person_id, Reason.FIRST)}", 303)


def _add_card(router: APIRouter) -> None:
    @router.get(PATH + "/{card_id}")
    async def one(card_id: str, request: Request, officer: Reader) -> Response:
        desk = desk_of(request)
        looked = await look(desk, officer, card_id, needs_ledger=False)
        return await run_in_threadpool(_show, request, desk, officer, looked)

    @router.get(PATH + "/{card_id}/receipts/{number}")
    def receipt(card_id: str, number: int, request: Request, officer: Reader) -> Response:
        desk = desk_of(request)
        with desk.store.read() as session:
            found = receipt_of(desk, session, cards.own(session, officer.organisation, card_id), number)
        if found is None:
            raise Problem(kinds.UNKNOWN_CARD)
        headers = {"content-disposition": f'attachment; filename="card-{card_id[:8]}-{number}.receipt"'}
        return Response(found, media_type=RECEIPT_TYPE, headers=headers)

    @router.post(PATH + "/{card_id}/give-up")
    def give_up(card_id: str, request: Request, officer: Clerk) -> Response:
        cards_making.give_up(desk_of(request), officer, card_id)
        return RedirectResponse(f"{PATH}/{card_id}", 303)

    @router.post(PATH + "/{card_id}/cancel")
    async def cancel(card_id: str, request: Request, officer: Clerk) -> Response:
        desk = desk_of(request)
        looked = await look(desk, officer, card_id)
        if looked.is_proposed:  # else a colleague might bind the keys of a card that is gone
            raise Problem(kinds.STEP)
        await run_in_threadpool(cards.cancel, desk, officer, card_id)
        return RedirectResponse(f"{PATH}/{card_id}", 303)

    @router.post(PATH + "/{card_id}/replace")
    async def replace(card_id: str, request: Request, officer: Clerk, reason: Text) -> Response:
        desk = desk_of(request)
        card = (await look(desk, officer, card_id, needs_ledger=False)).card
        if reason not in REASON_KEYS or not is_possible(card.state, CardStep.REPLACE):
            raise Problem(kinds.STEP)
        if reason == Reason.LOST and card.state in COUNTS and desk.service_key is not None:
            await suspend_at_once(desk, officer, card_id)  # somebody else may have it
        new = await run_in_threadpool(cards.request, desk, officer, card.person_id, Reason(reason), card_id)
        return RedirectResponse(f"{PATH}/{new}", 303)

    @router.post(PATH + "/{card_id}/destroy")
    def destroy(card_id: str, request: Request, officer: Supervisor) -> Response:
        cards.destroy(desk_of(request), officer, card_id)
        return RedirectResponse(f"{PATH}/{card_id}", 303)


def _add_acts(router: APIRouter) -> None:
    @router.post(PATH + "/{card_id}/propose")
    async def propose(card_id: str, request: Request, officer: Clerk) -> Response:
        looked = await look(desk_of(request), officer, card_id)
        holder = looked.holder.registration
        signed = cards_binding.proposal(looked.card, looked.replaced, holder, looked.record)
        return await _sign(request, officer, card_id, "propose", signed)

    @router.post(PATH + "/{card_id}/confirm")
    async def confirm(card_id: str, request: Request, officer: Approver) -> Response:
        looked = await look(desk_of(request), officer, card_id)
        holder = looked.holder.registration
        signed = cards_binding.confirmation(looked.card, looked.replaced, holder, looked.record)
        return await _sign(request, officer, card_id, "confirm", signed)

    @router.post(PATH + "/{card_id}/withdraw")
    async def withdraw(card_id: str, request: Request, officer: Clerk) -> Response:
        looked = await look(desk_of(request), officer, card_id)
        if not looked.is_proposed:
            raise Problem(kinds.NOT_PROPOSED)
        signed = cards_binding.withdrawal(looked.card, looked.holder.registration)
        return await _sign(request, officer, card_id, "withdraw", signed)

    @router.post(PATH + "/{card_id}/suspend")
    async def suspend(card_id: str, request: Request, officer: Clerk) -> Response:
        looked = await look(desk_of(request), officer, card_id)
        operations = cards_binding.suspension(looked.card, looked.holder.registration, looked.record)
        _, words = cards_binding.suspension_words(looked.card)
        return await _sign(request, officer, card_id, "suspend", (operations, words))

    @router.post(PATH + "/{card_id}/reinstate")
    async def reinstate(card_id: str, request: Request, officer: Clerk, method: Text) -> Response:
        if method not in METHODS:
            raise Problem(kinds.STEP)
        looked = await look(desk_of(request), officer, card_id)
        proofed = METHODS[Method(method)]
        signed = cards_binding.reinstatement(looked.card, looked.holder.registration, looked.record, proofed)
        return await _sign(request, officer, card_id, "reinstate", signed)

    @router.post(PATH + "/{card_id}/revoke")
    async def revoke(card_id: str, request: Request, officer: Approver, reason: Text) -> Response:
        if reason not in REASON_KEYS:
            raise Problem(kinds.STEP)
        looked = await look(desk_of(request), officer, card_id)
        signed = cards_binding.revocation(looked.card, looked.holder.registration, looked.record, Reason(reason))
        return await _sign(request, officer, card_id, "revoke", signed)


async def _sign(request: Request, officer: Officer, card_id: str, step: str, signed: Any) -> Response:
    desk = desk_of(request)

    def note(act_id: str) -> None:
        cards_binding.note_act(desk, officer, card_id, step, act_id)

    return await to_sign(request, officer, signed, f"{PATH}/{card_id}", note)


def _show(request: Request, desk: DeskContext, officer: Officer, looked: Looked) -> Response:
    """The page of one card."""
    card = looked.card
    with desk.store.read() as session:
        steps = history(session, cards.own(session, officer.organisation, card.id))
        new = successor(session, card.id) if card.is_ending else None
    shop = request.app.state.shop
    return show(
        request,
        officer,
        "desk/cards/card.html",
        card=card,
        holder=looked.holder,
        successor=new,
        proposed=looked.is_proposed,
        answers=looked.answers,
        steps=steps,
        reference=cards_binding.reference_of(card.id),
        reference_of=cards_binding.reference_of,
        readers=shop.counter.names() if shop is not None and card.state in _AT_READER else [],
        state_keys=STATE_KEYS,
        reason_keys=REASON_KEYS,
        method_keys=METHOD_KEYS,
        event_keys=EVENT_KEYS,
        way=[key for _, key in WAY],
        here=next((i for i, (states, _) in enumerate(WAY) if card.state in states), len(WAY)),
        enrols=officer.may(Permission.ENROL),
        approves=officer.may(Permission.APPROVE),
        keeps=officer.may(Permission.MANAGE_STOCK),
        can={one.value: is_possible(card.state, one) for one in CardStep},
        counts=card.state in COUNTS,
    )
