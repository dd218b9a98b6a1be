# SPDX-License-Identifier: Apache-2.0
"""Handing a card over: its holder is there, sets a PIN that nobody else knows, and signs for the card with the card.

The PIN passes through this process on its way to the card and is kept nowhere. What a crash leaves: with the PIN set
and nothing signed, a card that is printed or handed over; the same form then finds out from the card how far it came.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import load_der_x509_certificate

from identity.api.desk import cards_problems as kinds
from identity.api.desk import notices, persons
from identity.api.desk.base import DeskContext
from identity.api.desk.cards import Opened, forget_secrets, opened, own, step
from identity.api.desk.cards_life import CardState, CardStep
from identity.api.desk.cards_replacing import begin_ending
from identity.api.desk.cards_tables import Card
from identity.cards.card import WrongPin
from identity.cards.objects import Slot
from identity.cards.piv import Piv
from service.problems import Problem
from service.sign_in.sessions import Officer

PIN_SET: Final = "pin"
"""In `Card.work`: the holder's PIN may be on the card already."""

_DOMAIN: Final = b"zhixin/identity/card-receipt\x00"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the holder signs with the card's key 9C.

    Attributes:
        guid: The card's, in hex.
        serial: What is printed on it.
        at_ms: When, in Unix time.
        organisation: Who handed it over.
    """

    guid: str
    serial: str
    at_ms: int
    organisation: str

    def digest(self) -> bytes:
        """What is signed; 32 bytes."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(_DOMAIN + text.encode()).digest()


@dataclass(frozen=True, slots=True)
class SignedReceipt:
    """A receipt with its signature.

    Attributes:
        signature: r || s, 64 bytes in hex.
        certificate: Of the key 9C; DER in hex.
    """

    receipt: Receipt
    signature: str
    certificate: str

    def is_valid(self) -> bool:
        """Whether the key of the certificate signed exactly this."""
        key = load_der_x509_certificate(bytes.fromhex(self.certificate)).public_key()
        assert isinstance(key, EllipticCurvePublicKey), "our cards sign with P-256"
        raw = bytes.fromhex(self.signature)
        signature = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
        try:
            key.verify(signature, self.receipt.digest(), ECDSA(Prehashed(SHA256())))
        except InvalidSignature:
            return False
        return True

    def encode(self) -> str:
        """As it is sealed."""
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> "SignedReceipt":
        """What `encode` wrote."""
        found = json.loads(text)
        return cls(Receipt(**found.pop("receipt")), **found)


def hand_over(desk: DeskContext, officer: Officer, card_id: str, piv: Piv, given_pin: str, own_pin: str) -> None:
    """Let the holder set a PIN and sign for the card; blocks, as cards do.

    Args:
        desk: Which desk.
        officer: Who hands it over, and has compared the holder with the picture.
        card_id: Which card.
        piv: The card in the reader.
        given_pin: From the PIN letter.
        own_pin: The holder's; not the one in the letter.

    Raises:
        Problem: It is not this card, not its turn, or the PIN stays the letter's.
        CardError: The card refused a PIN, or was pulled out; the same form goes on.
    """
    if own_pin == given_pin:
        raise Problem(kinds.SAME_PIN)
    with desk.store.read() as session:
        card = opened(desk, session, officer.organisation, card_id)
    if card.state not in (CardState.PRINTED, CardState.HANDED_OVER):
        raise Problem(kinds.STEP)
    _check_same(card, piv)
    if card.state is CardState.PRINTED:
        _set_pin(desk, officer, card_id, piv, given_pin, own_pin)
    _sign(desk, officer, card, piv, own_pin)


def receipt_of(desk: DeskContext, organisation: str, card_id: str) -> SignedReceipt | None:
    """What the holder signed; None: nothing yet."""
    with desk.store.read() as session:
        text = desk.store.people.open(session, own(session, organisation, card_id), Card.receipt)
    return None if text is None else SignedReceipt.decode(text)


def _check_same(card: Opened, piv: Piv) -> None:
    """Check that the card in the reader is this one: its GUID, and the public key that its certificate names.

    Raises:
        Problem: It is another.
    """
    piv.select()
    guid = piv.guid()
    certificate = piv.certificate(Slot.SIGN)
    known = {key.slot: key.certificate for key in card.keys}
    if guid is None or guid.hex() != card.guid or certificate is None or certificate.hex() != known.get(Slot.SIGN):
        raise Problem(kinds.OTHER_CARD)


def _set_pin(desk: DeskContext, officer: Officer, card_id: str, piv: Piv, given_pin: str, own_pin: str) -> None:
    with desk.store.write() as session:
        row = own(session, officer.organisation, card_id, held=True)
        was_tried = desk.store.people.open(session, row, Card.work) == PIN_SET
        desk.store.people.seal(session, row, Card.work, PIN_SET)
    # a crash from here on leaves the mark: the PIN may be the holder's already
    if not (was_tried and _takes(piv, own_pin)):
        piv.change_pin(given_pin, own_pin)
    with desk.store.write() as session:
        row = own(session, officer.organisation, card_id, held=True)
        step(desk, session, row, CardStep.HAND_OVER, officer)
        forget_secrets(desk, session, row)


def _takes(piv: Piv, pin: str) -> bool:
    """Whether a PIN is the card's already; costs a try if not, which the right one gives back."""
    try:
        piv.verify_pin(pin)
    except WrongPin:
        return False
    return True


def _sign(desk: DeskContext, officer: Officer, card: Opened, piv: Piv, own_pin: str) -> None:
    certificate = next(key.certificate for key in card.keys if key.slot == Slot.SIGN)
    receipt = Receipt(card.guid or "", card.serial or "", desk.now(), officer.organisation)
    piv.verify_pin(own_pin)  # directly before the signature, as key 9C wants it
    signed = SignedReceipt(receipt, piv.sign(Slot.SIGN, receipt.digest()).hex(), certificate)
    piv.log_out()
    if not signed.is_valid():
        raise Problem(kinds.OTHER_CARD)
    with desk.store.write() as session:
        row = own(session, officer.organisation, card.id, held=True)
        desk.store.people.seal(session, row, Card.receipt, signed.encode())
        step(desk, session, row, CardStep.ACTIVATE, officer)
        begin_ending(session, row, desk.now())  # in one transaction: no crash leaves two cards that work for good
        found = persons.load_of(desk, session, officer.organisation, row.person_id)
        notices.tell(desk, session, found, "card-handed-over")
