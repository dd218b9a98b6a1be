# SPDX-License-Identifier: Apache-2.0
"""What the card's agent does with the card: look, ask the person, sign what they agreed to. No HTTP here.

A page only asks; nothing is signed until the person has seen in the agent's own window what it is, and has entered the
PIN there. Slot 9A signs statements that are worded here (`service.sign_in.card_message`), never bytes of a page's
making. Slot 9C signs transactions: header and operations come whole, are checked against each other, and the digest is
made here. Acts in the holder's own data space (`identity.space_card`) are worded here with all that is done. A PIN goes
to the card and nowhere else; it is not kept, and the card loses its power after each use.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from chain import p256, transaction
from chain.codec import encode, signed_bytes
from chain.errors import InvalidMessage, InvalidSignature
from chain.pb import ledger_pb2 as pb
from chain.signing import Scheme, Signer
from chain.strict_json import Json
from chain.transaction import Operation
from chain.types import TRANSACTION_LIFETIME_MS_MAX, Network, sha256
from cli.card_agent import kinds
from identity.cards.authority import InvalidCardCertificate, compressed_key, load_certificate
from identity.cards.card import Card, CardError
from identity.cards.emulator import EMULATED_ATR
from identity.cards.objects import Slot
from identity.cards.piv import Piv
from identity.space_card import SpaceMessage, parse_act
from service.problems import Problem
from service.sign_in.card_message import CardMessage, CardPurpose
from service.sign_in.office import new_token
from service.store.replays import unix_ms

LIFETIME_MS = 5 * 60_000
"""As long as a service's own challenge lives."""
PENDING_MAX = 16
"""Questions at once: a person has one or two open; the oldest goes for the next."""
CARD_SECONDS_MAX = 15.0
"""How long one use of the card waits for another to end; a signature takes below a second."""
CLOCK_MS_MAX = 5 * 60_000
"""How far this machine's clock may be off when an act's expiry is looked at."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The card in the reader.

    Attributes:
        guid: Its identifier in hex; "" for a card that says none.
        expires: Its last day, as 2031-04-30; "" for a card that says none.
        is_emulated: Whether it says that it exists as software alone.
        authenticate: Certificate in slot 9A, DER.
        sign: Certificate in slot 9C, DER.
        tries_left: Wrong PINs that it still takes; None: it does not say.
    """

    guid: str
    expires: str
    is_emulated: bool
    authenticate: bytes
    sign: bytes
    tries_left: int | None

    def keys(self) -> tuple[bytes, bytes]:
        """Public keys in slots 9A and 9C, 33 bytes each.

        Raises:
            Problem: They are none of P-256.
        """
        try:
            return compressed_key(load_certificate(self.authenticate)), compressed_key(load_certificate(self.sign))
        except InvalidCardCertificate:
            raise Problem(kinds.CARD_UNSUPPORTED) from None


@dataclass(frozen=True, slots=True)
class Login:
    """Asked: sign in, confirm, or enrol a card."""

    purpose: CardPurpose
    nonce: bytes


@dataclass(frozen=True, slots=True)
class Act:
    """Asked: an officer's act. Made by `Act.read` alone, which checks it.

    Attributes:
        network: For which network.
        header: The transaction's header, which is what gets signed.
        operations: What it does; the header commits to just these.
        key: With which key in slot 9C, 33 bytes.
        id: The transaction's id.
        expires_at_ms: The last block time at which it may execute.
    """

    network: Network
    header: bytes
    operations: Sequence[Operation]
    key: bytes
    id: bytes
    expires_at_ms: int

    @classmethod
    def read(cls, network: bytes, header: bytes, operations: Sequence[bytes], key: bytes, now_ms: int) -> "Act":
        """Take what a page sent apart.

        Raises:
            Problem: Operations and header do not belong together, the card's key does not sign it, or its time is past
                or far away: nobody collects signatures for later.
        """
        try:
            count = len(transaction.Header.decode(header).signers)
            whole = encode(pb.Transaction(header=header, operations=operations, signatures=[b"\0"] * count))
            found = transaction.decode(whole)
        except InvalidMessage:
            raise Problem(kinds.ACT_UNFIT) from None
        latest_ms = now_ms + TRANSACTION_LIFETIME_MS_MAX + CLOCK_MS_MAX
        is_current = now_ms - CLOCK_MS_MAX < found.expires_at_ms <= latest_ms
        if Signer(Scheme.P256, key) not in found.signers or not is_current:
            raise Problem(kinds.ACT_UNFIT)
        return cls(Network(network), header, found.operations, key, found.id, found.expires_at_ms)

    def message(self) -> bytes:
        """What every signer of it signs."""
        return signed_bytes("transaction", self.network, self.header)


@dataclass(frozen=True, slots=True)
class OwnAct:
    """Asked: an act in the data space of the card's holder. Made by `OwnAct.read` alone.

    Attributes:
        audience: Origin of the registrar's service.
        nonce: That service's.
        text: The act, as it is sent.
        act: The same, read.
    """

    audience: str
    nonce: str
    text: str
    act: Mapping[str, Json]

    @classmethod
    def read(cls, audience: str, nonce: str, text: str) -> "OwnAct":
        """Take what a page sent apart.

        Raises:
            Problem: It is no act.
        """
        try:
            return cls(audience, nonce, text, parse_act(text))
        except InvalidMessage:
            raise Problem(kinds.ACT_UNFIT) from None


class State(StrEnum):
    """What became of a question."""

    WAITING = "waiting"
    SIGNED = "signed"
    DECLINED = "declined"


Answer: TypeAlias = Mapping[str, str | int | list[str]]
"""What the page carries to its service; bytes in hex."""


@dataclass(slots=True)
class Question:
    """What a page asked, until it is answered or forgotten.

    Attributes:
        id: Random, 43 characters: who knows it may look at it and decide.
        origin: The page's, as the browser named it.
    """

    id: str
    origin: str
    asked: Login | Act | OwnAct
    made_ms: int
    state: State = State.WAITING
    answer: Answer | None = None


class CardAgent:
    """The agent of one machine.

    Args:
        open_card: Takes hold of the card; raises `CardError`.
        now: Unix time in ms.
    """

    def __init__(self, open_card: Callable[[], Card], now: Callable[[], int] = unix_ms) -> None:
        self._open_card = open_card
        self.now = now
        self._card_lock = threading.Lock()
        self._questions: dict[str, Question] = {}
        self._questions_lock = threading.Lock()

    def look(self) -> Seen:
        """What is in the reader; needs no PIN.

        Raises:
            Problem: No card, no reader, or one that is no staff card.
        """
        with self._piv() as piv:
            return _look(piv)

    def ask(self, origin: str, asked: Login | Act | OwnAct) -> Question:
        """Take a question in; nothing happens until somebody decides in the window."""
        question = Question(new_token(), origin, asked, self.now())
        with self._questions_lock:
            self._sweep()
            while len(self._questions) >= PENDING_MAX:
                del self._questions[next(iter(self._questions))]
            self._questions[question.id] = question
        return question

    def find(self, question_id: str, origin: str | None = None) -> Question:
        """A question that is not forgotten.

        Args:
            question_id: Which.
            origin: The page's that asks after it; None: the agent's own window.

        Raises:
            Problem: There is none, or it is another site's.
        """
        with self._questions_lock:
            self._sweep()
            question = self._questions.get(question_id)
        if question is None or origin not in {None, question.origin}:
            raise Problem(kinds.UNKNOWN)
        return question

    def decline(self, question_id: str) -> Question:
        """The person does not want it.

        Raises:
            Problem: There is no such question that waits.
        """
        question = self.find(question_id)
        with self._card_lock:
            _check_waits(question)
            question.state = State.DECLINED
        return question

    def sign(self, question_id: str, pin: str, *, dares_last_try: bool = False) -> Question:
        """Sign what was asked.

        Args:
            question_id: Which question.
            pin: As it was entered; goes to the card alone.
            dares_last_try: The person was told that a wrong PIN now blocks the card, and wants to go on.

        Raises:
            Problem: Another card, a wrong or blocked PIN, the last try without a word about it, or a card that fails.
        """
        question = self.find(question_id)
        with self._piv() as piv:
            _check_waits(question)
            seen = _look(piv)
            if seen.tries_left == 0:
                raise Problem(kinds.PIN_BLOCKED)
            if seen.tries_left == 1 and not dares_last_try:
                raise Problem(kinds.LAST_TRY)
            if isinstance(question.asked, Act):
                answer = _sign_act(piv, seen, question.asked, pin)
            elif isinstance(question.asked, OwnAct):
                answer = _sign_own(piv, seen, question.asked, question.origin, pin, self.now())
            else:
                answer = _sign_login(piv, seen, question, pin, self.now())
            question.answer, question.state = answer, State.SIGNED
        return question

    def _sweep(self) -> None:
        over_ms = self.now() - LIFETIME_MS
        for key in [key for key, one in self._questions.items() if one.made_ms <= over_ms]:
            del self._questions[key]

    @contextmanager
    def _piv(self) -> Iterator[Piv]:
        """The card, for one use at a time."""
        if not self._card_lock.acquire(timeout=CARD_SECONDS_MAX):
            raise Problem(kinds.BUSY, headers={"Retry-After": "1"})
        try:
            card = self._open_card()
            try:
                piv = Piv(card)
                piv.select()
                yield piv
            finally:
                card.close()
        except CardError as error:
            raise kinds.problem_of(error) from None
        finally:
            self._card_lock.release()


def _check_waits(question: Question) -> None:
    if question.state is not State.WAITING:
        raise Problem(kinds.UNKNOWN)


def _look(piv: Piv) -> Seen:
    chuid = piv.chuid()
    authenticate, sign = piv.certificate(Slot.AUTHENTICATE), piv.certificate(Slot.SIGN)
    if authenticate is None or sign is None:
        raise Problem(kinds.CARD_UNSUPPORTED)
    return Seen(
        "" if chuid is None else chuid.guid.hex(),
        "" if chuid is None else chuid.expires.isoformat(),
        piv.card.atr == EMULATED_ATR,
        authenticate,
        sign,
        piv.pin_tries_left(),
    )


def _sign_login(piv: Piv, seen: Seen, question: Question, pin: str, now_ms: int) -> Answer:
    assert isinstance(question.asked, Login)
    authenticate, sign = seen.keys()
    purpose, nonce = question.asked.purpose, question.asked.nonce
    message = CardMessage(purpose, question.origin, nonce, now_ms, authenticate, sign)
    signature = _signature(piv, Slot.AUTHENTICATE, authenticate, message.login(), pin)
    answer: dict[str, str | int | list[str]] = {
        "nonce": nonce.hex(),
        "time_ms": now_ms,
        "authenticate": authenticate.hex(),
        "sign": sign.hex(),
        "signature": signature.hex(),
    }
    if not purpose.is_enrolment:
        return answer
    possession = _signature(piv, Slot.SIGN, sign, message.possession(), pin)
    return {**answer, "possession": possession.hex(), "certificates": [seen.authenticate.hex(), seen.sign.hex()]}


def _sign_act(piv: Piv, seen: Seen, act: Act, pin: str) -> Answer:
    if seen.keys()[1] != act.key:
        raise Problem(kinds.OTHER_CARD)
    message = act.message()
    signature = _signature(piv, Slot.SIGN, act.key, message, pin)
    return {"challenge": sha256(message).hex(), "key": act.key.hex(), "signature": signature.hex()}


def _sign_own(piv: Piv, seen: Seen, asked: OwnAct, origin: str, pin: str, now_ms: int) -> Answer:
    message = SpaceMessage(asked.audience, origin, asked.nonce, asked.text, bytes.fromhex(seen.guid), now_ms)
    authenticate, sign = seen.keys()
    slot = message.slot
    key = authenticate if slot is Slot.AUTHENTICATE else sign
    signature = _signature(piv, slot, key, message.encode(), pin)
    return {"guid": seen.guid, "origin": origin, "time_ms": now_ms, "signature": signature.hex()}


def _signature(piv: Piv, slot: Slot, public_key: bytes, message: bytes, pin: str) -> bytes:
    """One signature, right after the PIN; checked, for a card may hold another key than its certificate says."""
    piv.verify_pin(pin)
    signature = piv.sign(slot, sha256(message))
    try:
        p256.verify(public_key, message, signature)
    except InvalidSignature:
        raise Problem(kinds.CARD_UNSUPPORTED) from None
    return signature
