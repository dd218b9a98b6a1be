# SPDX-License-Identifier: Apache-2.0
"""The holder's card in the kiosk's reader: who it is, its PIN, its signatures. Calls block: they run in threads.

A PIN goes to the card and nowhere else: no attribute, log line or error of this module has one. Each use begins with a
look whether it is still the card that was put in, and what it signs is checked against the key that it began with, so
another card that takes its place signs nothing.
"""

from collections.abc import Sequence
from typing import Self

from cryptography.hazmat.primitives.serialization import Encoding

from chain import p256
from chain.errors import InvalidSignature
from chain.types import sha256
from identity.cards.authority import InvalidCardCertificate, compressed_key
from identity.cards.card import Card, CardError, CardRemoved, InvalidResponse, Unsupported
from identity.cards.objects import Slot
from identity.cards.piv import Piv
from identity.cards.verifying import Chain, VerifiedCard, verify_card


class HeldCard:
    """A card that this kiosk holds until it is let go; made by `open_held`."""

    def __init__(self, piv: Piv, verified: VerifiedCard) -> None:
        self._piv = piv
        self._guid = verified.chuid.guid
        self._certificates = verified.certificates

    @classmethod
    def open_held(cls, card: Card, chains: Sequence[Chain], now_s: int, *, emulated: bool) -> Self:
        """See whose card it is: by its certificates, and by the key of slot 9E, which no copy has.

        Args:
            card: In the reader; let go of if it is none that counts.
            chains: Card authorities that count here.
            now_s: Unix time in s.
            emulated: Whether cards that exist as software alone count.

        Raises:
            InvalidCardCertificate: No authority of these made it, it does not hold, or exists as software alone.
            CardError: The card failed.
        """
        piv = Piv(card)
        try:
            piv.select()
            return cls(piv, _verified(piv, chains, now_s, emulated=emulated))
        except BaseException:
            card.close()
            raise

    @property
    def signing_certificate(self) -> bytes:
        """Of slot 9C, DER."""
        return self._certificates[Slot.SIGN].public_bytes(Encoding.DER)

    @property
    def guid(self) -> bytes:
        """What the card calls itself; 16 bytes."""
        return self._guid

    def is_there(self) -> bool:
        """Whether this very card is still in the reader."""
        try:
            return self._piv.guid() == self._guid
        except CardError:
            return False

    def tries_left(self) -> int | None:
        """How many wrong PINs the card still takes; None: it does not say.

        Raises:
            CardError: The card failed.
        """
        self._look()
        return self._piv.pin_tries_left()

    def authenticate(self, pin: str, message: bytes) -> bytes:
        """Sign with slot 9A, after the PIN; 64 bytes.

        Raises:
            CardError: The card failed, or refused the PIN.
        """
        return self._sign(Slot.AUTHENTICATE, pin, [message])[0]

    def sign(self, pin: str, messages: Sequence[bytes]) -> list[bytes]:
        """Sign with slot 9C, each right after the PIN; 64 bytes each.

        Raises:
            CardError: The card failed, or refused the PIN.
        """
        return self._sign(Slot.SIGN, pin, messages)

    def let_go(self) -> None:
        """Take the card's power: no verified PIN stays behind."""
        self._piv.card.close()

    def _sign(self, slot: Slot, pin: str, messages: Sequence[bytes]) -> list[bytes]:
        self._look()
        key = compressed_key(self._certificates[slot])
        made = []
        try:
            for message in messages:
                self._piv.verify_pin(pin)
                signature = self._piv.sign(slot, sha256(message))
                p256.verify(key, message, signature)
                made.append(signature)
        except InvalidSignature:
            raise Unsupported("another key answered than the one of this card's certificate") from None
        finally:
            self._forget()
        return made

    def _forget(self) -> None:
        """Have the card forget the PIN; one that is gone has forgotten."""
        try:
            self._piv.log_out()
        except CardError:
            return

    def _look(self) -> None:
        """See that it is still the same card.

        Raises:
            CardRemoved: It is not there, or another one is.
            CardError: It does not answer as a card does.
        """
        try:
            if self._piv.guid() == self._guid:
                return
        except InvalidResponse:
            pass  # a card that was put in anew has no application chosen yet
        raise CardRemoved


def _verified(piv: Piv, chains: Sequence[Chain], now_s: int, *, emulated: bool) -> VerifiedCard:
    reason = InvalidCardCertificate("no card authority counts here")
    for chain in chains:
        try:
            found = verify_card(piv, chain, now_s)
            if not found.emulated or emulated:
                return found
            reason = InvalidCardCertificate("the card exists as software alone")
        except InvalidCardCertificate as error:
            reason = error
    raise reason
