# SPDX-License-Identifier: Apache-2.0
"""One session at a kiosk, from the card put in to the card taken out: states, what follows what, and when it ends.

    idle --card--> pin --PIN right--> menu --choice--> form --stated--> confirm --signed--> sending --filed--> receipt
    idle --code shown--> scan --phone answered--> menu
    any but idle --card out--> idle              any but idle, take --idle for too long, left--> take --card out--> idle

No IO, no clock: time is an argument. Whatever is personal stands in one `Visit`, which is dropped whole whenever a
session ends, whichever way; what was under way then finds that its visit is not the present one, and leaves no trace.
"""

import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from identity.api.kiosk.base import Attested, Holder, Notice, PhoneQuestion, Receipt
from identity.api.kiosk.chip import HeldCard
from identity.api.kiosk.statements import Kind, Statement

IDLE_MS_MAX: Final = 55_000
"""Nobody touched the screen for so long: all is dropped. With the tick below, within 60 s."""
WAIT_MS_MAX: Final = 180_000
"""While the kiosk itself waits, for the office or for the holder's phone, whose own screen is looked at then."""
TICK_MS: Final = 1_000
"""How often the card and the clock are looked at."""


class State(StrEnum):
    """Where a session stands."""

    IDLE = "idle"
    SCAN = "scan"
    PIN = "pin"
    BLOCKED = "blocked"
    MENU = "menu"
    FORM = "form"
    CONFIRM = "confirm"
    SENDING = "sending"
    PHONE = "phone"
    RECEIPT = "receipt"
    TAKE = "take"


class Event(StrEnum):
    """What happens to it."""

    CARD_IN = "card-in"
    CODE_SHOWN = "code-shown"
    PHONE_ANSWERED = "phone-answered"
    CARD_REFUSED = "card-refused"
    BLOCKED = "blocked"
    PIN_RIGHT = "pin-right"
    CHOSEN = "chosen"
    STATED = "stated"
    BACK = "back"
    SIGNED = "signed"
    PHONE_ASKED = "phone-asked"
    DONE = "done"
    FAILED = "failed"
    LEFT = "left"
    IDLE = "idle"
    CARD_OUT = "card-out"


_ACTIVE: Final = (State.PIN, State.BLOCKED, State.MENU, State.FORM, State.CONFIRM, State.RECEIPT)
_WAITING: Final = (State.SCAN, State.SENDING, State.PHONE)
_FOLLOWS: Final = {
    (State.IDLE, Event.CARD_IN): State.PIN,
    (State.IDLE, Event.CARD_REFUSED): State.TAKE,
    (State.IDLE, Event.CODE_SHOWN): State.SCAN,
    (State.SCAN, Event.PHONE_ANSWERED): State.MENU,
    (State.SCAN, Event.BACK): State.IDLE,
    (State.SCAN, Event.FAILED): State.IDLE,
    (State.PIN, Event.BLOCKED): State.BLOCKED,
    (State.PIN, Event.PIN_RIGHT): State.MENU,
    (State.CONFIRM, Event.BLOCKED): State.BLOCKED,
    (State.MENU, Event.CHOSEN): State.FORM,
    (State.MENU, Event.DONE): State.RECEIPT,
    (State.FORM, Event.STATED): State.CONFIRM,
    (State.FORM, Event.BACK): State.MENU,
    (State.CONFIRM, Event.BACK): State.MENU,
    (State.CONFIRM, Event.SIGNED): State.SENDING,
    (State.CONFIRM, Event.PHONE_ASKED): State.PHONE,
    (State.PHONE, Event.BACK): State.MENU,
    (State.PHONE, Event.FAILED): State.MENU,
    (State.PHONE, Event.SIGNED): State.CONFIRM,
    (State.PHONE, Event.PHONE_ANSWERED): State.SENDING,
    (State.SENDING, Event.DONE): State.RECEIPT,
    (State.SENDING, Event.FAILED): State.MENU,
    (State.RECEIPT, Event.BACK): State.MENU,
    **{(state, Event.LEFT): State.TAKE for state in _ACTIVE},
    **{(state, Event.IDLE): State.TAKE for state in (*_ACTIVE, State.SENDING, State.PHONE)},
    **{(state, Event.CARD_OUT): State.IDLE for state in (*_ACTIVE, *_WAITING, State.TAKE)},
}


class OutOfTurn(Exception):
    """What was asked for does not follow where the session stands: a page of before, or a second touch."""


@dataclass(slots=True)
class Visit:
    """All that a kiosk knows of whoever stands before it; there is no other place for it.

    Attributes:
        card: Held while the session lasts; None: the visit began with a phone.
        asked: When a phone was asked to begin it, and the office's nonce; None: a card began it.
        tries_left: Of the PIN; None: the card does not say.
        holder: Known once the office has said; None: it has not, as without a network.
        is_authenticated: Whether the PIN was right.
        kind: What was chosen.
        statement: What is to be signed.
        question: To the holder's phone.
        phone_answer: The verifier's signed answer to it.
        receipt: What was done.
        attested: What a certificate says.
        pdf: What is printed.
        is_sealed: Whether the registrar sealed it.
        prints: How often it was printed.
        notice: What to tell next.
    """

    card: HeldCard | None
    tries_left: int | None
    asked: tuple[int, bytes] | None = None
    holder: Holder | None = None
    is_authenticated: bool = False
    kind: Kind | None = None
    statement: Statement | None = None
    question: PhoneQuestion | None = None
    phone_answer: str = ""
    receipt: Receipt | None = None
    attested: Attested | None = None
    pdf: bytes = b""
    is_sealed: bool = False
    prints: int = 0
    notice: Notice | None = None


@dataclass(slots=True)
class Session:
    """The one session of a kiosk.

    Attributes:
        state: Where it stands.
        turn: Random, another one after each step: forms carry it, so that a page of before does nothing.
        visit: Whoever is there; None: nobody.
        touched_ms: When somebody last touched the screen.
    """

    state: State = State.IDLE
    turn: str = field(default_factory=lambda: secrets.token_hex(8))
    visit: Visit | None = None
    touched_ms: int = 0

    def step(self, event: Event, now_ms: int) -> None:
        """Take a step; a session that ends drops all that it knew.

        Args:
            event: What happened.
            now_ms: A clock that never goes back.

        Raises:
            OutOfTurn: It does not follow.
        """
        following = _FOLLOWS.get((self.state, event))
        if following is None:
            raise OutOfTurn(f"{event} does not follow {self.state}")
        self.state = following
        self.turn = secrets.token_hex(8)
        self.touched_ms = now_ms
        if following in (State.IDLE, State.TAKE):
            self.visit = None

    def renew(self) -> None:
        """What the page of before carries counts no more: two touches of one button are one."""
        self.turn = secrets.token_hex(8)

    def begin(self, visit: Visit, now_ms: int, event: Event = Event.CARD_IN) -> None:
        """A card was put in, or a code is shown to phones."""
        self.step(event, now_ms)
        self.visit = visit

    def touch(self, now_ms: int) -> None:
        """Somebody touched the screen."""
        self.touched_ms = max(self.touched_ms, now_ms)

    def left_ms(self, now_ms: int) -> int:
        """How long until all is dropped; 0 where there is nothing to drop."""
        if self.visit is None:
            return 0
        is_waiting = self.state in _WAITING
        return max(0, self.touched_ms + (WAIT_MS_MAX if is_waiting else IDLE_MS_MAX) - now_ms)

    def is_over(self, now_ms: int) -> bool:
        """Whether nobody touched the screen for too long."""
        return self.visit is not None and self.left_ms(now_ms) == 0

    def present(self, *states: State, turn: str | None = None) -> Visit:
        """Who is there, if the session stands where the caller thinks.

        Args:
            states: Where it may stand.
            turn: Of the form; None: the caller has none.

        Raises:
            OutOfTurn: It stands elsewhere, or the form is of before.
        """
        is_now = turn is None or secrets.compare_digest(turn, self.turn)
        if self.visit is None or self.state not in states or not is_now:
            raise OutOfTurn(f"the session stands at {self.state}")
        return self.visit
