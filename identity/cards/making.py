# SPDX-License-Identifier: Apache-2.0
"""What is written down while a card is made, and what comes of it. Nothing in it is secret in the clear.

The journal is the card's record from before the card is touched: whatever happens to either, one of them says how far
it came.
"""

import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from chain.errors import InvalidMessage
from identity.cards.authority import load_certificate
from identity.cards.objects import FACTORY_PIN, FACTORY_PUK, GUID_BYTES, Slot

FORMAT: Final = "zhixin-card-work/1"
JOURNAL_CHARACTERS_MAX: Final = 32 * 1024
"""Four keys and certificates in hexadecimal, with room to spare."""
MASTER_BYTES: Final = 32
PIN_DIGITS: Final = 8
_NONCE_BYTES: Final = 12


class Diversifier(Protocol):
    """The master of all cards' keys: an HMAC key in a file, or one that can't leave its PKCS#11 token."""

    def digest(self, content: bytes) -> bytes:
        """HMAC-SHA-256; 32 bytes."""


class MasterKey:
    """A master key in memory, from an encrypted file."""

    def __init__(self, secret: bytes) -> None:
        assert len(secret) == MASTER_BYTES, "a master key has 32 bytes"
        self._secret = secret

    def digest(self, content: bytes) -> bytes:
        """HMAC-SHA-256; 32 bytes."""
        return hmac.digest(self._secret, content, "sha256")


def management_key(diversifier: Diversifier, guid: bytes) -> bytes:
    """A card's own management key, AES-256: one card opened gives no other away.

    Source: NIST SP 800-108r1, 4.1 (one block of the KDF in counter mode).
    """
    return diversifier.digest(_derivation(b"management", guid))


def _derivation(label: bytes, guid: bytes) -> bytes:
    assert len(guid) == GUID_BYTES, "a GUID has 16 bytes"
    return b"\x00\x00\x00\x01zhixin/cards/" + label + b"\x00" + guid + b"\x00\x00\x01\x00"


class Journal(Protocol):
    """Where the making of one card is written down."""

    def load(self) -> str:
        """What was written last; "" at the beginning."""

    def save(self, text: str) -> None:
        """Write it down in the place of what was there; it is durable when this returns."""


class Stage(StrEnum):
    """How far a card has come, at the least: what stands in the journal was done."""

    BEGUN = "begun"
    """The card may carry its GUID, its own management key, its transport PIN and PUK; or none of them yet."""
    LOCKED = "locked"
    """It carries them, and perhaps keys that nobody knows of."""
    CERTIFIED = "certified"
    """Its keys are known and certified; perhaps not all certificates are on it yet."""
    DONE = "done"
    VOID = "void"
    """It is to be wiped; its certificates, if there are any, are to be revoked."""


@dataclass(frozen=True, slots=True)
class PersonalisedCard:
    """A card that is ready to be handed over.

    Attributes:
        guid: 16 random bytes; a UUID.
        expires: The card's last day.
        emulated: Whether it exists as software alone.
        public_keys: By slot, uncompressed, 65 bytes each.
        certificates: By slot, DER.
        pin: Transport PIN, to be printed in the letter; the holder's own takes its place at hand-over.
        puk: Unblocks the PIN; to be printed in the letter.
    """

    guid: bytes
    expires: date
    emulated: bool
    public_keys: Mapping[Slot, bytes]
    certificates: Mapping[Slot, bytes]
    pin: str = field(repr=False)
    puk: str = field(repr=False)

    @property
    def serials(self) -> list[int]:
        """The certificates' serial numbers, by slot: what is named when they are suspended or revoked."""
        return [load_certificate(self.certificates[slot]).serial_number for slot in sorted(self.certificates)]


@dataclass(slots=True)
class Work:
    """A card in the making; `encode` is what the journal holds."""

    card: PersonalisedCard
    stage: Stage

    @classmethod
    def begin(cls, expires: date, *, emulated: bool) -> "Work":
        """A new card: a random GUID (a UUID of version 4), transport PIN and PUK."""
        guid = bytearray(secrets.token_bytes(GUID_BYTES))
        guid[6] = guid[6] & 0x0F | 0x40
        guid[8] = guid[8] & 0x3F | 0x80
        return cls(PersonalisedCard(bytes(guid), expires, emulated, {}, {}, _digits(), _digits()), Stage.BEGUN)

    def encode(self, diversifier: Diversifier) -> str:
        """The journal's text: PIN and PUK encrypted under a key of this card's, the rest authenticated with them."""
        card = self.card
        body: dict[str, object] = {
            "format": FORMAT,
            "stage": self.stage,
            "guid": card.guid.hex(),
            "expires": card.expires.isoformat(),
            "emulated": card.emulated,
            "public_keys": {f"{slot:02X}": key.hex() for slot, key in card.public_keys.items()},
            "certificates": {f"{slot:02X}": each.hex() for slot, each in card.certificates.items()},
        }
        nonce, letter = secrets.token_bytes(_NONCE_BYTES), f"{card.pin} {card.puk}".encode()
        sealed = AESGCM(_letter_key(diversifier, card.guid)).encrypt(nonce, letter, _authenticated(body))
        return json.dumps(body | {"letter": (nonce + sealed).hex()})

    @classmethod
    def decode(cls, text: str, diversifier: Diversifier) -> "Work":
        """Read a journal.

        Raises:
            InvalidMessage: It is none, was changed, or was written under another master.
        """
        if len(text) > JOURNAL_CHARACTERS_MAX:
            raise InvalidMessage(f"a card's journal has at most {JOURNAL_CHARACTERS_MAX} characters")
        try:
            body = json.loads(text)
            sealed = bytes.fromhex(body.pop("letter"))
            guid = bytes.fromhex(body["guid"])
            if body["format"] != FORMAT or len(guid) != GUID_BYTES:
                raise InvalidMessage(f"not a {FORMAT} journal")
            key = AESGCM(_letter_key(diversifier, guid))
            pin, puk = key.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _authenticated(body)).decode().split()
            expires, emulated = date.fromisoformat(body["expires"]), body["emulated"] is True
            keys, certificates = _by_slot(body["public_keys"]), _by_slot(body["certificates"])
            return cls(PersonalisedCard(guid, expires, emulated, keys, certificates, pin, puk), Stage(body["stage"]))
        except InvalidTag:
            raise InvalidMessage("a card's journal that was changed, or written under another master key") from None
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
            raise InvalidMessage(f"not a {FORMAT} journal, or a damaged one") from None


def _authenticated(body: Mapping[str, object]) -> bytes:
    """What the ciphertext is bound to: all else, in one order."""
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def _letter_key(diversifier: Diversifier, guid: bytes) -> bytes:
    return diversifier.digest(_derivation(b"letter", guid))


def _by_slot(found: Mapping[str, str]) -> dict[Slot, bytes]:
    return {Slot(int(slot, 16)): bytes.fromhex(value) for slot, value in found.items()}


def _digits() -> str:
    """Random digits; the factory's own would be no secret."""
    while (digits := f"{secrets.randbelow(10**PIN_DIGITS):0{PIN_DIGITS}d}") in {FACTORY_PIN, FACTORY_PUK}:
        pass
    return digits
