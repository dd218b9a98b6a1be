# SPDX-License-Identifier: Apache-2.0
"""What a kiosk does without being asked: it watches the card, the clock and its own licence, and ends sessions.

Cards and readers block, so they are used in threads, by one at a time.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import structlog

from identity.api.kiosk.base import Notice
from identity.api.kiosk.chip import HeldCard
from identity.api.kiosk.equipment import Equipment
from identity.api.kiosk.filing import Filing
from identity.api.kiosk.session import Event, OutOfTurn, Session, State, Visit
from identity.api.kiosk.standing import Licence, Standing
from identity.cards.authority import InvalidCardCertificate
from identity.cards.card import Card, CardError, InvalidPin, PinBlocked, WrongPin

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Watch:
    """The card, the clock, the licence.

    Attributes:
        session: The one session.
        licence: Whether it may serve.
        notice: What to tell whoever comes next, such as that a card can't be used here.
        filing: What was signed, on its way to the office.
        has_reader: Whether the card reader answers.
    """

    def __init__(self, equipment: Equipment) -> None:
        self._own = equipment
        self.session = Session()
        self.licence = Licence(equipment.device.signer, equipment.states, equipment.monotonic_ms)
        self.notice: Notice | None = None
        self.filing = Filing(equipment, self.licence)
        self.has_reader = True
        self._using = asyncio.Lock()

    @property
    def is_serving(self) -> bool:
        """Whether anybody can begin."""
        return self.has_reader and self.licence.standing is Standing.SERVING and self.filing.is_ready

    @property
    def is_emulated(self) -> bool:
        """Whether it takes cards that exist as software alone: for development and tests."""
        return self._own.takes_emulated

    def left_ms(self) -> int:
        """How long until the session is dropped."""
        return self.session.left_ms(self._own.monotonic_ms())

    def touch(self) -> None:
        """Somebody touched the screen."""
        self.session.touch(self._own.monotonic_ms())

    # ---------------------------------------------------------------- watching

    async def tick(self) -> None:
        """Look at clock, licence, card and journal; called every `session.TICK_MS`."""
        if self.session.is_over(self._own.monotonic_ms()):
            self.notice = Notice("kiosk.notice.wiped") if self._holds_card() else None
            await self._end(Event.IDLE)
        await self.licence.look()
        await self.filing.learn_key()
        if not self.is_serving and self.session.visit is not None and self.session.state is not State.SENDING:
            self.notice = None
            await self._end(Event.IDLE)
        await self._watch()
        await self.filing.sync()

    async def _watch(self) -> None:
        """See whether the card came or went."""
        if self._using.locked():
            return
        async with self._using:
            try:
                event = await self._look()
                self.has_reader = True
            except CardError as error:
                self.has_reader = False
                event = Event.CARD_OUT if self.session.state is not State.IDLE else None
                log.warning("kiosk.reader", code=error.code)
        if event is not None:
            await self._end(event)

    async def _look(self) -> Event | None:
        state = self.session.state
        match state:
            case State.IDLE:
                if self.is_serving:
                    await self._take()
                return None
            case State.TAKE:
                if not await asyncio.to_thread(self._own.slot.is_empty):
                    return None
                self.notice = None
                return Event.CARD_OUT
            case _:
                visit = self.session.visit
                assert visit is not None, "whoever is neither gone nor going is there"
                if visit.card is None:
                    # a card instead of a phone: the code goes, and the next look takes the card
                    is_other = state is State.SCAN and not await asyncio.to_thread(self._own.slot.is_empty)
                    return Event.CARD_OUT if is_other else None
                return None if await asyncio.to_thread(visit.card.is_there) else Event.CARD_OUT

    async def _take(self) -> None:
        """A card may have been put in."""
        card = await asyncio.to_thread(self._own.slot.take)
        if card is None:
            return
        now_ms = self._own.monotonic_ms()
        try:
            held = await asyncio.to_thread(self._open, card)
            tries = await asyncio.to_thread(held.tries_left)
        except (InvalidCardCertificate, CardError) as error:
            log.info("kiosk.card-refused", kind=type(error).__name__)
            self.notice = Notice("kiosk.notice.card-unusable")
            self.session.step(Event.CARD_REFUSED, now_ms)
            return
        self.notice = None
        self.session.begin(Visit(held, tries), now_ms)
        if tries == 0:
            self.session.step(Event.BLOCKED, now_ms)

    def _open(self, card: Card) -> HeldCard:
        own = self._own
        return HeldCard.open_held(card, own.chains, own.now_ms() // 1000, emulated=own.takes_emulated)

    async def _end(self, event: Event) -> None:
        """End the session, and let go of the card once nobody uses it; without a card there is none to take."""
        visit = self.session.visit
        card = None if visit is None else visit.card
        with suppress(OutOfTurn):
            if visit is not None and card is None:
                event = Event.CARD_OUT
            self.session.step(event, self._own.monotonic_ms())
        if card is not None and self.session.visit is None:
            async with self._using:
                with suppress(CardError):
                    await asyncio.to_thread(card.let_go)

    def _holds_card(self) -> bool:
        return self.session.visit is not None and self.session.visit.card is not None

    async def _with_pin(self, visit: Visit, dares: bool, use: Callable[[HeldCard], T]) -> T | None:
        """Use the card with a PIN; None: it did not work, and `visit.notice` says why."""
        card = visit.card
        if card is None:
            raise OutOfTurn("this needs a card")
        visit.notice = None
        if visit.tries_left == 1 and not dares:
            visit.notice = Notice("kiosk.notice.last-try")
            return None
        self.session.renew()
        try:
            async with self._using:
                made = await asyncio.to_thread(use, card)
                visit.tries_left = await asyncio.to_thread(card.tries_left)
        except InvalidPin:
            visit.notice = Notice("kiosk.notice.pin-form")
        except WrongPin as wrong:
            visit.tries_left = wrong.tries_left
            visit.notice = Notice("kiosk.notice.pin-wrong", {"count": wrong.tries_left})
        except PinBlocked:
            visit.tries_left = 0
        except CardError as error:
            log.info("kiosk.card-failed", code=error.code)
            if self.session.visit is visit:
                await self._end(Event.CARD_OUT)
        else:
            return made if self.session.visit is visit else None
        if visit.tries_left == 0 and self.session.visit is visit:
            self.session.step(Event.BLOCKED, self._own.monotonic_ms())
        return None

    async def shut_down(self) -> None:
        """The process ends: whoever is there is dropped, and the card let go."""
        await self._end(Event.IDLE)
