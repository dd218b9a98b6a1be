# SPDX-License-Identifier: Apache-2.0
"""Staff cards: enrolled by link or by their owner, with proof of both keys; and asked for to sign in and to confirm.

The card's agent makes each statement itself (`card_message`); here it is made once more from what this service knows,
its origin and its own nonce above all, and compared. Whatever is wrong with a statement, the caller is told the same,
but for a clock that is off and a card that has ended, which nobody would find out otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from chain import p256
from chain.errors import InvalidSignature
from service.problems import Problem
from service.sign_in import ceremony, challenges, kinds
from service.sign_in.card_message import NONCE_BYTES, CardMessage, CardPurpose
from service.sign_in.challenges import Purpose
from service.sign_in.credentials import check_room, held, held_member, keep_new
from service.sign_in.devices import Device
from service.sign_in.office import Office
from service.sign_in.people import look_at_link, use_link
from service.sign_in.sessions import Officer, open_session, renew
from service.sign_in.staff_cards import CardKeys, CardUnfit, StaffCards
from service.sign_in.tables import ACTIVE, CARD, Passkey, StaffMember
from service.store import Act

CLOCK_MS_MAX = 5 * 60_000
"""How far the clock of an officer's machine may be off; replays are kept out by the nonce, whatever the clocks say."""

log = structlog.get_logger(__name__)

_PURPOSES = {
    CardPurpose.SIGN_IN: Purpose.CARD_SIGN_IN,
    CardPurpose.CONFIRM: Purpose.CARD_CONFIRM,
    CardPurpose.JOIN: Purpose.CARD_JOIN,
    CardPurpose.ADD: Purpose.CARD_ADD,
}


@dataclass(frozen=True, slots=True)
class CardAnswer:
    """What the card's agent answered; nothing of it is verified.

    Attributes:
        nonce: The challenge, 32 bytes.
        time_ms: When, by the agent's clock.
        authenticate: Public key in slot 9A, 33 bytes.
        sign: Public key in slot 9C, 33 bytes.
        signature: By slot 9A, 64 bytes.
        possession: By slot 9C, 64 bytes; empty where no card is enrolled.
        certificates: Of slots 9A and 9C in DER; none where no card is enrolled.
    """

    nonce: bytes
    time_ms: int
    authenticate: bytes
    sign: bytes
    signature: bytes
    possession: bytes = b""
    certificates: Sequence[bytes] = ()


# ---------------------------------------------------------------- signing in


def ask_to_sign_in(office: Office, browser: bytes) -> dict[str, Any]:
    """What the agent is asked for anybody who may have a card; it names no person and no card.

    Args:
        office: Which service.
        browser: Digest of the browser's cookie.

    Raises:
        Problem: No staff cards are used here.
    """
    return _ask(office, CardPurpose.SIGN_IN, browser)


def sign_in(office: Office, browser: bytes, answer: CardAnswer, device: Device) -> str:
    """Sign somebody in.

    Returns:
        The session's token; a new one each time, whatever cookie the browser brought.

    Raises:
        Problem: The nonce is not this browser's, or the statement does not hold.
    """
    _use(office, CardPurpose.SIGN_IN, browser, answer.nonce)
    card_id = _verify(office, CardPurpose.SIGN_IN, answer)
    with office.store.write() as session:
        card, member = held(session, card_id)
        return open_session(office, session, member, card.id, device)


def ask_to_confirm(office: Office, officer: Officer) -> dict[str, Any]:
    """What the agent is asked for somebody who is signed in.

    Raises:
        Problem: No staff cards are used here.
    """
    return _ask(office, CardPurpose.CONFIRM, officer.binding)


def confirm(office: Office, officer: Officer, answer: CardAnswer, device: Device) -> str:
    """Ask the person at the desk once more.

    Returns:
        The session's new token.

    Raises:
        Problem: As for `sign_in`, or the card is somebody else's.
    """
    _use(office, CardPurpose.CONFIRM, officer.binding, answer.nonce)
    card_id = _verify(office, CardPurpose.CONFIRM, answer, staff_id=officer.staff_id)
    with office.store.write() as session:
        return renew(office, session, officer, card_id, device)


# ---------------------------------------------------------------- enrolling


def ask_to_join(office: Office, browser: bytes, token: str) -> dict[str, Any]:
    """What the agent is asked for whoever holds a link.

    Raises:
        Problem: The link is good no more, or no staff cards are used here.
    """
    return _ask(office, CardPurpose.JOIN, browser, look_at_link(office, token).staff_id)


def join(office: Office, browser: bytes, token: str, answer: CardAnswer, name: str, device: Device) -> str:
    """Enrol the card of somebody who was invited, and sign them in.

    Returns:
        The session's token.

    Raises:
        Problem: The link or the nonce is good no more, or the card does not fit.
    """
    invited = look_at_link(office, token)
    keys = _verify_new(office, CardPurpose.JOIN, browser, answer, invited.staff_id)
    with office.store.write() as session:
        _, member = use_link(office, session, token)
        member.state = ACTIVE
        card = _add(office, session, member, keys, answer, name)
        office.store.record(session, Act(member.person_id, "people.joined", member.id))
        return open_session(office, session, member, card.id, device)


def ask_to_add(office: Office, officer: Officer) -> dict[str, Any]:
    """What the agent is asked for one more card of somebody who is signed in.

    Raises:
        Problem: They have as many passkeys and cards as one may have, or no staff cards are used here.
    """
    with office.store.read() as session:
        check_room(session, officer.staff_id)
    return _ask(office, CardPurpose.ADD, officer.binding, officer.staff_id)


def add(office: Office, officer: Officer, answer: CardAnswer, name: str) -> None:
    """Enrol one more.

    Raises:
        Problem: The nonce is good no more, the card does not fit, or they have as many as one may have.
    """
    keys = _verify_new(office, CardPurpose.ADD, officer.binding, answer, officer.staff_id)
    with office.store.write() as session:
        member = held_member(session, officer)
        check_room(session, member.id)
        _add(office, session, member, keys, answer, name)


# ---------------------------------------------------------------- inside


def _cards(office: Office) -> StaffCards:
    if office.cards is None:
        raise Problem(kinds.CARDS_OFF)
    return office.cards


def _ask(office: Office, purpose: CardPurpose, binding: bytes, subject: str = "-") -> dict[str, Any]:
    _cards(office)
    with office.store.write() as session:
        nonce = challenges.issue(session, office.service, _PURPOSES[purpose], binding, office.now(), subject=subject)
    assert len(nonce) == NONCE_BYTES, "a challenge serves as a nonce"
    return {"card": {"purpose": str(purpose), "nonce": nonce.hex()}}


def _use(office: Office, purpose: CardPurpose, binding: bytes, nonce: bytes, subject: str = "-") -> None:
    """The nonce is used up, in a transaction of its own, before the statement is looked at."""
    _cards(office)
    with office.store.write() as session:
        challenges.take(session, office.service, _PURPOSES[purpose], binding, nonce, office.now(), subject)


def _message(office: Office, purpose: CardPurpose, answer: CardAnswer) -> CardMessage:
    """The statement as it has to read here."""
    if abs(answer.time_ms - office.now()) > CLOCK_MS_MAX:
        raise Problem(kinds.CARD_CLOCK)
    return CardMessage(
        purpose, office.address.public_origin, answer.nonce, answer.time_ms, answer.authenticate, answer.sign
    )


def _verify(office: Office, purpose: CardPurpose, answer: CardAnswer, *, staff_id: str | None = None) -> str:
    """Check a statement against the card that it names.

    Returns:
        The card's id.

    Raises:
        Problem: It does not hold.
    """
    message = _message(office, purpose, answer)
    with office.store.write() as session:
        query = select(Passkey).join(StaffMember, StaffMember.id == Passkey.staff_id)
        query = query.where(Passkey.digest == _digest(answer.authenticate), Passkey.kind == CARD)
        query = query.where(Passkey.state == ACTIVE, StaffMember.state == ACTIVE)
        card = session.scalar(query.where(StaffMember.service == office.service))
        if card is None or card.sign_key != answer.sign or staff_id not in {None, card.staff_id}:
            raise Problem(kinds.REFUSED)
        try:
            p256.verify(card.public_key, message.login(), answer.signature)
        except InvalidSignature:
            raise Problem(kinds.REFUSED) from None
        if card.expires_ms is None or card.expires_ms <= office.now():
            raise Problem(kinds.CARD_EXPIRED)
        _check_still(office, session, card)
        card.used_ms = office.now()
        return card.id


def _check_still(office: Office, session: Session, card: Passkey) -> None:
    """Check that a card's authority still counts here: whoever takes one out of the settings ends all of its cards."""
    kept = office.store.people.open(session, card, Passkey.credential) or ""
    authenticate, _, sign = kept.partition(".")
    try:
        _cards(office).check(bytes.fromhex(authenticate), bytes.fromhex(sign), office.now())
    except CardUnfit as error:
        log.info("card.unfit", reason=str(error))
        raise Problem(kinds.CARD_UNFIT) from None


def _verify_new(office: Office, purpose: CardPurpose, binding: bytes, answer: CardAnswer, staff_id: str) -> CardKeys:
    """Check that certificates count here, and that the card holds both of their keys."""
    _use(office, purpose, binding, answer.nonce, staff_id)
    message = _message(office, purpose, answer)
    if len(answer.certificates) != 2:
        raise Problem(kinds.CARD_UNFIT)
    try:
        keys = _cards(office).check(answer.certificates[0], answer.certificates[1], office.now())
        p256.verify(keys.authenticate, message.login(), answer.signature)
        p256.verify(keys.sign, message.possession(), answer.possession)
    except (CardUnfit, InvalidSignature) as error:
        log.info("card.unfit", reason=str(error))
        raise Problem(kinds.CARD_UNFIT) from None
    if (keys.authenticate, keys.sign) != (answer.authenticate, answer.sign) or keys.authenticate == keys.sign:
        raise Problem(kinds.CARD_UNFIT)
    return keys


def _add(
    office: Office, session: Session, member: StaffMember, keys: CardKeys, answer: CardAnswer, name: str
) -> Passkey:
    row = Passkey(
        person_id=member.person_id,
        staff_id=member.id,
        kind=CARD,
        digest=_digest(keys.authenticate),
        public_key=keys.authenticate,
        sign_key=keys.sign,
        expires_ms=keys.expires_ms,
        sign_count=0,
        state=ACTIVE,
        created_ms=office.now(),
        used_ms=office.now(),
    )
    certificates = ".".join(one.hex() for one in answer.certificates)
    kept = keep_new(office, session, row, certificates, name, "card.enrolled")
    if kept is None:  # a card is its first owner's until they remove it
        raise Problem(kinds.CARD_UNFIT)
    return kept


def _digest(authenticate: bytes) -> bytes:
    """Under what a card is found; no credential id of a passkey has this form."""
    return ceremony.credential_digest(b"staff-card|" + authenticate)
