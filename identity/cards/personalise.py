# SPDX-License-Identifier: Apache-2.0
"""From a blank card to one that is ready to be handed over, and back; the card may be pulled out at any moment.

    begun      the journal names the card's GUID, PIN and PUK      before the card is touched
    locked     the card carries GUID, own management key, PIN, PUK
    certified  the journal holds its keys and certificates         before a certificate is written to the card
    done       what stands on the card was read back and its keys used

Whoever calls again with the same journal goes on from there. A key is certified only after the card has used it, so no
record is without its key; keys that were made when the card was pulled out are certified by nobody and are made anew,
so no key is without its record. Until `done` a card may instead be voided.

Source: NIST SP 800-73-5 part 2; docs/cards.md, "Personalisation".
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import ECDH, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from chain.errors import InvalidSignature
from chain.p256 import verify
from chain.types import sha256
from identity.cards.authority import CardAuthority, load_certificate
from identity.cards.card import Card, CardError, PukBlocked, WrongManagementKey, WrongPin
from identity.cards.emulator import EMULATED_ATR
from identity.cards.making import Diversifier, Journal, PersonalisedCard, Stage, Work, management_key
from identity.cards.objects import (
    CERTIFICATES,
    FACTORY_MANAGEMENT_KEY,
    FACTORY_PIN,
    FACTORY_PUK,
    Container,
    Slot,
)
from identity.cards.piv import Piv
from identity.cards.profile import point
from identity.jose import compressed

DAY_S: Final = 86_400


class OtherCard(CardError):
    """The card in the reader is not the one that was begun, or no blank one."""

    code = "other"


class CardVoid(CardError):
    """This card was given up; begin another."""

    code = "void"


class KeyNotHeld(CardError):
    """The card did not use the key that it said it made: it is broken, and to be voided."""

    code = "key-not-held"


@dataclass(frozen=True, slots=True)
class VoidedCard:
    """A card that was given up.

    Attributes:
        guid: Its GUID.
        serials: Serial numbers of certificates that were issued for it: to be revoked.
        reusable: Whether the card is blank again, with the factory's PIN, PUK and management key.
    """

    guid: bytes
    serials: list[int]
    reusable: bool


def personalise(
    card: Card,
    authority: CardAuthority,
    diversifier: Diversifier,
    journal: Journal,
    *,
    now_s: int,
    expires: date,
    reached: Callable[[Stage], None] | None = None,
) -> PersonalisedCard:
    """Make a card from a blank one, or go on where that broke off.

    Args:
        card: The card; blocks while it works, some seconds for a real one.
        authority: Certifies its keys.
        diversifier: Gives the card its own management key.
        journal: Where this card's making is written down; one for each card.
        now_s: Seconds since 1970; certificates begin to hold with this day (UTC).
        expires: The card's last day; certificates end with it.
        reached: Is told of each stage.

    Returns:
        The card's record, PIN and PUK included: print them, and keep them nowhere else.

    Raises:
        CardRemoved, ReaderUnplugged: Call again with the same journal and the card back in the reader.
        OtherCard: The card is another one, or not blank.
        CardVoid: The journal's card was given up.
        CardError: The card failed otherwise: call again, or `void` it.
        InvalidCardCertificate: The authority does not certify such a card; nothing was certified.
        InvalidMessage: The journal was changed, or belongs to another master key.
    """
    tell = reached if reached is not None else lambda _stage: None
    text = journal.load()
    if text:
        work = Work.decode(text, diversifier)
    else:
        work = Work.begin(expires, emulated=card.atr == EMULATED_ATR)
        authority.check(*_period(work.card, now_s), emulated=work.card.emulated)
        _check_blank(card)
        _save(journal, work, diversifier)
        tell(work.stage)
    if work.stage is Stage.VOID:
        raise CardVoid("this card was given up; take a blank one and begin anew")
    if work.stage is Stage.DONE:
        return work.card
    piv = _opened(card, work, diversifier)
    if work.stage is Stage.BEGUN:
        _lock(piv, work, diversifier)
        work.stage = Stage.LOCKED
        _save(journal, work, diversifier)
        tell(work.stage)
    if work.stage is Stage.LOCKED:
        work.card = _certified(piv, authority, work.card, now_s)
        work.stage = Stage.CERTIFIED
        _save(journal, work, diversifier)
        tell(work.stage)
    _finish(piv, work.card)
    work.stage = Stage.DONE
    _save(journal, work, diversifier)
    tell(work.stage)
    return work.card


def void(card: Card | None, diversifier: Diversifier, journal: Journal) -> VoidedCard:
    """Give a card up: its journal says so first, then the card is wiped as far as it is there.

    Call it again until the card was there; its keys are overwritten and its certificates gone after that.

    Args:
        card: The card; None where it is lost or broken.
        diversifier: As it was personalised with.
        journal: As it was personalised with.

    Raises:
        CardError: The card was pulled out, or is another one; the journal says void already.
        InvalidMessage: There is no journal, or it was changed.
    """
    work = Work.decode(journal.load(), diversifier)
    if work.stage is not Stage.VOID:
        work.stage = Stage.VOID
        _save(journal, work, diversifier)
    serials = [load_certificate(each).serial_number for each in work.card.certificates.values()]
    return VoidedCard(work.card.guid, serials, reusable=card is not None and wipe(card, diversifier, work.card))


def wipe(card: Card, diversifier: Diversifier, made: PersonalisedCard) -> bool:
    """Overwrite a card's keys and take its identity away.

    Args:
        card: The card.
        diversifier: As it was personalised with.
        made: Its record; the PUK in it may be outdated.

    Returns:
        Whether it is blank again. Not, where its PUK is blocked or was changed: then it is to be destroyed.

    Raises:
        OtherCard: It is another card.
        CardError: It was pulled out or failed; call again.
    """
    piv = _opened(card, Work(made, Stage.BEGUN), diversifier)
    for slot in Slot:
        piv.write(CERTIFICATES[slot], b"")
        piv.generate(slot)  # nobody knows the new key: the old one is gone, and the new one is certified nowhere
    try:
        _change_puk(piv, [made.puk, FACTORY_PUK], FACTORY_PUK)
        piv.reset_pin(FACTORY_PUK, FACTORY_PIN)
    except (PukBlocked, WrongPin):
        return False
    piv.write(Container.CAPABILITIES, b"")
    piv.set_management_key(FACTORY_MANAGEMENT_KEY)
    piv.write(Container.CHUID, b"")
    return True


def _save(journal: Journal, work: Work, diversifier: Diversifier) -> None:
    journal.save(work.encode(diversifier))


def _check_blank(card: Card) -> None:
    """See that nobody's card is overwritten, before anything is written down.

    Raises:
        OtherCard: The card carries a GUID, or another management key than the factory's.
    """
    card.reset()
    piv = Piv(card)
    piv.select()
    guid = piv.guid()
    if guid is not None:
        raise OtherCard(f"this card is not blank: it is card {guid.hex()}; wipe it first, or take a blank one")
    try:
        piv.authenticate_management(FACTORY_MANAGEMENT_KEY)
    except WrongManagementKey:
        raise OtherCard("this card is not blank: its management key is not the factory's; take a blank one") from None


def _opened(card: Card, work: Work, diversifier: Diversifier) -> Piv:
    """The journal's card, managed; whether by the factory's key or its own says how far it came.

    Raises:
        OtherCard: It is another card.
    """
    card.reset()
    piv = Piv(card)
    piv.select()
    guid = piv.guid()
    if guid not in ({None, work.card.guid} if work.stage is Stage.BEGUN else {work.card.guid}):
        found = "a blank one" if guid is None else f"card {guid.hex()}"
        raise OtherCard(f"card {work.card.guid.hex()} was begun, and {found} is in the reader; put in the right one")
    own = management_key(diversifier, work.card.guid)
    for key in [FACTORY_MANAGEMENT_KEY, own] if work.stage is Stage.BEGUN else [own]:
        try:
            piv.authenticate_management(key)
        except WrongManagementKey:
            continue
        return piv
    raise OtherCard(f"the card in the reader says that it is {work.card.guid.hex()}, but does not hold its key")


def _lock(piv: Piv, work: Work, diversifier: Diversifier) -> None:
    """Give the card its GUID, then its own management key, then transport PUK and PIN."""
    card = work.card
    piv.put_chuid(card.guid, card.expires, emulated=card.emulated)
    piv.set_management_key(management_key(diversifier, card.guid))
    _change_puk(piv, [FACTORY_PUK, card.puk], card.puk)
    piv.reset_pin(card.puk, card.pin)


def _change_puk(piv: Piv, known: list[str], new: str) -> None:
    """Set the PUK where it is one of two; a wrong one costs a try, the right one gives all tries back.

    Raises:
        WrongPin: It is neither.
        PukBlocked: No try is left.
    """
    for place, old in enumerate(known):
        try:
            return piv.change_puk(old, new)
        except WrongPin:
            if place == len(known) - 1:
                raise
    raise AssertionError("a PUK is tried")


def _certified(piv: Piv, authority: CardAuthority, card: PersonalisedCard, now_s: int) -> PersonalisedCard:
    """Have the card make its keys, see that it holds them, and certify them."""
    public_keys = {slot: piv.generate(slot) for slot in Slot}
    card = replace(card, public_keys=public_keys)
    _prove(piv, card)
    begin, end = _period(card, now_s)
    certificates = {
        slot: authority.certify(slot, key, card.guid, begin, end, emulated=card.emulated)
        for slot, key in public_keys.items()
    }
    return replace(card, certificates=certificates)


def _period(card: PersonalisedCard, now_s: int) -> tuple[int, int]:
    """When certificates hold: from today's beginning, which tells less than the moment, to the last day's end."""
    end = datetime(card.expires.year, card.expires.month, card.expires.day, tzinfo=UTC)
    return now_s // DAY_S * DAY_S, int(end.timestamp()) + DAY_S - 1


def _finish(piv: Piv, card: PersonalisedCard) -> None:
    """Write the certificates, read them back, and see that the card holds the keys in them.

    Raises:
        KeyNotHeld: It does not, or holds something else in their place.
    """
    for slot, certificate in card.certificates.items():
        piv.put_certificate(slot, certificate)
    for slot, certificate in card.certificates.items():
        if piv.certificate(slot) != certificate:
            raise KeyNotHeld(f"the card does not give back the certificate of slot {slot:02X}; void it")
    _prove(piv, card)
    piv.log_out()


def _prove(piv: Piv, card: PersonalisedCard) -> None:
    """Proof of possession: the card uses each key.

    Raises:
        KeyNotHeld: It does not.
    """
    for slot in Slot:
        if not prove_slot(piv, slot, card.public_keys[slot], card.pin):
            raise KeyNotHeld(f"the card does not hold the key of slot {slot:02X} that it says it made; void it")


def prove_slot(piv: Piv, slot: Slot, public_key: bytes, pin: str | None) -> bool:
    """Whether a card holds the private key of one slot: it signs a random challenge, or agrees on a key.

    Args:
        piv: The card.
        slot: Which key.
        public_key: Its public half, uncompressed.
        pin: The holder's; not needed for slot CARD.

    Raises:
        NotAuthenticated: The slot wants a PIN, and none was given.
        CardError: The card failed.
    """
    if pin is not None and slot is not Slot.CARD:
        piv.verify_pin(pin)
    if slot is Slot.KEY_MANAGEMENT:
        other = generate_private_key(SECP256R1())
        expected = other.exchange(ECDH(), point(public_key))
        return secrets.compare_digest(
            piv.agree(slot, other.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)), expected
        )
    challenge = b"zhixin/cards/possession\x00" + secrets.token_bytes(32)
    try:
        verify(compressed(public_key), challenge, piv.sign(slot, sha256(challenge)))
    except InvalidSignature:
        return False
    return True
