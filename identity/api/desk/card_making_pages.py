# SPDX-License-Identifier: Apache-2.0
"""The pages on which a card meets a reader or a printer: made, printed, handed over; and stopped by telephone."""

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from chain.errors import Refused
from client.errors import TransportError
from identity.api.desk import cards, cards_phone, cards_replacing
from identity.api.desk import cards_problems as kinds
from identity.api.desk.base import Clerk, DeskContext, Reader, desk_of, show
from identity.api.desk.card_pages import PATH, look
from identity.api.desk.cards_binding import reference_of
from identity.api.desk.cards_handover import hand_over
from identity.api.desk.cards_life import CardStep
from identity.api.desk.cards_making import letter_of
from identity.api.desk.cards_printing import card_sides, pin_letter
from identity.api.desk.cards_shop import Shop
from identity.cards.card import CardError, CardRemoved, InvalidPin, NoCard, PinBlocked, ReaderUnplugged, WrongPin
from identity.cards.personalise import OtherCard
from identity.cards.piv import Piv
from service.language import language_of
from service.problems import Problem
from service.sign_in.sessions import Officer

PHONE_PATH = "/phone"
PIN_CHARACTERS_MAX = 8

Text = Annotated[str, Form(max_length=100)]
Pin = Annotated[str, Form(max_length=PIN_CHARACTERS_MAX)]

_CARD_PROBLEMS = (
    (CardRemoved, kinds.REMOVED),
    (ReaderUnplugged, kinds.REMOVED),
    (NoCard, kinds.NO_CARD),
    (OtherCard, kinds.OTHER_CARD),
    (InvalidPin, kinds.PIN_FORM),
    (WrongPin, kinds.PIN_WRONG),
    (PinBlocked, kinds.PIN_BLOCKED),
    (CardError, kinds.CARD_FAILED),
)
"""What a card or reader did, as problems; the first that fits."""


def shop_of(request: Request) -> Shop:
    """The workshop of the desk that answers.

    Raises:
        Problem: None is set up.
    """
    found = request.app.state.shop
    if found is None:
        raise Problem(kinds.NO_SHOP)
    assert isinstance(found, Shop)
    return found


def explained(error: CardError) -> Problem:
    """What a card or reader did, as a problem with words in both languages."""
    kind = next(kind for error_kind, kind in _CARD_PROBLEMS if isinstance(error, error_kind))
    parameters = {"count": error.tries_left} if isinstance(error, WrongPin) else {}
    return Problem(kind, parameters)


def card_making_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)
    _add_making(router)
    _add_phone(router)
    return router


def _add_making(router: APIRouter) -> None:
    @router.post(PATH + "/{card_id}/make")
    def make(card_id: str, request: Request, officer: Clerk, reader: Text, serial: Text = "") -> Response:
        desk, shop = desk_of(request), shop_of(request)
        try:
            shop.make(desk, officer, card_id, reader, serial.strip() or None)
        except CardError as error:
            raise explained(error) from None
        return RedirectResponse(f"{PATH}/{card_id}", 303)

    @router.get(PATH + "/{card_id}/letter.pdf")
    async def letter(card_id: str, request: Request, officer: Clerk) -> Response:
        desk = desk_of(request)
        looked = await look(desk, officer, card_id, needs_ledger=False)

        def made() -> bytes:
            found = letter_of(desk, officer.organisation, card_id)
            with desk.store.write() as session:
                desk.record(session, officer, "card.letter-printed", card_id)
            return pin_letter(desk, looked.card, looked.holder.name, found, language_of(request))

        return _pdf(await run_in_threadpool(made), f"letter-{card_id[:8]}")

    @router.get(PATH + "/{card_id}/face.pdf")
    async def face(card_id: str, request: Request, officer: Clerk) -> Response:
        desk, shop = desk_of(request), shop_of(request)
        looked = await look(desk, officer, card_id, needs_ledger=False)
        made = await run_in_threadpool(card_sides, desk, shop, looked.card, looked.holder.name, officer.organisation)
        return _pdf(made, f"card-{card_id[:8]}")

    @router.post(PATH + "/{card_id}/printed")
    async def printed(card_id: str, request: Request, officer: Clerk) -> Response:
        desk = desk_of(request)
        await look(desk, officer, card_id)
        await run_in_threadpool(_printed, desk, officer, card_id)
        return RedirectResponse(f"{PATH}/{card_id}", 303)

    @router.post(PATH + "/{card_id}/hand-over")
    async def give(
        card_id: str,
        request: Request,
        officer: Clerk,
        reader: Text,
        given_pin: Pin = "",
        own_pin: Pin = "",
        again: Pin = "",
        seen: Text = "",
    ) -> Response:
        desk, shop = desk_of(request), shop_of(request)
        if own_pin != again:
            raise Problem(kinds.PIN_AGAIN)
        if seen != "yes":
            raise Problem(kinds.NOT_SEEN)
        looked = await look(desk, officer, card_id)  # a card that was stopped meanwhile is not handed over

        def meet() -> None:
            with shop.counter.card(reader, looked.card.serial or "") as card:
                hand_over(desk, officer, card_id, Piv(card), given_pin, own_pin)

        try:
            await run_in_threadpool(meet)
        except CardError as error:
            raise explained(error) from None
        await _stop_replaced(desk, officer, looked.card.replaces)
        return RedirectResponse(f"{PATH}/{card_id}", 303)


async def _stop_replaced(desk: DeskContext, officer: Officer, replaced: str | None) -> None:
    """Stop the card that the holder no longer needs; where that fails the desk tries again by itself."""
    if replaced is None or desk.service_key is None:
        return
    with suppress(TransportError, Refused, Problem):
        await cards_replacing.stop(desk, officer.organisation, replaced)


def _add_phone(router: APIRouter) -> None:
    @router.get(PHONE_PATH)
    def ask(request: Request, officer: Reader) -> Response:
        return show(request, officer, "desk/cards/phone.html", found=(), reference_of=reference_of, fits=False)

    @router.post(PHONE_PATH)
    def answer(request: Request, officer: Clerk, name: Text, number: Text) -> Response:
        call = cards_phone.answer(desk_of(request), officer, name, number)
        return show(request, officer, "desk/cards/phone.html", found=call.cards, reference_of=reference_of, fits=True)

    @router.post(PATH + "/{card_id}/phone")
    async def stop(card_id: str, request: Request, officer: Clerk) -> Response:
        await cards_phone.suspend(desk_of(request), officer, card_id)
        return RedirectResponse(f"{PATH}/{card_id}", 303)


def _printed(desk: DeskContext, officer: Officer, card_id: str) -> None:
    with desk.store.write() as session:
        row = cards.own(session, officer.organisation, card_id, held=True)
        cards.step(desk, session, row, CardStep.PRINT, officer)


def _pdf(content: bytes, name: str) -> Response:
    headers = {"content-disposition": f'inline; filename="{name}.pdf"', "cache-control": "no-store"}
    return Response(content, media_type="application/pdf", headers=headers)
