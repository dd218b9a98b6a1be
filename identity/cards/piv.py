# SPDX-License-Identifier: Apache-2.0
"""A PIV card's commands, for any card of the standard: PINs, keys, signatures, objects, management.

Only P-256 is spoken. A PIN is never kept here. Each failure is one of `card`'s errors; whatever a card answers, nothing
else comes out.

Source: NIST SP 800-73-5 part 2 (commands), part 1 (objects); SP 800-78-5 (algorithm identifiers).
"""

import hmac
import secrets
from datetime import date
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from chain.errors import InvalidMessage, InvalidSignature
from chain.p256 import raw_signature
from identity.cards import apdu, tlv
from identity.cards.apdu import SUCCESS, Answer, Instruction
from identity.cards.card import (
    Card,
    CardRefused,
    InvalidPin,
    InvalidResponse,
    NotAuthenticated,
    PinBlocked,
    PukBlocked,
    Unsupported,
    WrongManagementKey,
    WrongPin,
)
from identity.cards.objects import (
    AID,
    CERTIFICATES,
    GUID_BYTES,
    OBJECT_BYTES_MAX,
    PUBLIC_KEY_BYTES,
    Chuid,
    Container,
    Slot,
    capabilities,
    certificate_object,
    certificate_of,
)

P256: Final = 0x11
AES_IDENTIFIERS: Final = {24: 0x0A, 32: 0x0C}
"""Length of a management key in bytes -> its algorithm's identifier: AES-192, AES-256."""
MANAGEMENT_SLOT: Final = 0x9B
PIN_REFERENCE: Final = 0x80
PUK_REFERENCE: Final = 0x81
PIN_DIGITS_MIN: Final = 6
PIN_BYTES: Final = 8
"""A PIN or PUK on its way: its digits, filled up with FF."""

_NOT_FOUND: Final = 0x6A82
_BLOCKED: Final = 0x6983
_NOT_SATISFIED: Final = 0x6982
_UNSUPPORTED: Final = frozenset({0x6A81, 0x6A86, 0x6A88, 0x6D00, 0x6E00})
_BLOCK_BYTES: Final = 16


class Piv:
    """One PIV card, by its commands. Begin with `select`."""

    def __init__(self, card: Card) -> None:
        self._card = card

    @property
    def card(self) -> Card:
        """The card underneath."""
        return self._card

    def select(self) -> None:
        """Choose the PIV application. Where it was chosen already, what was verified stays verified.

        Raises:
            Unsupported: The card has none.
        """
        answer = self._send(Instruction.SELECT, 4, 0, AID, expects=True)
        if answer.status in {_NOT_FOUND, *_UNSUPPORTED}:
            raise Unsupported("this is no PIV card")
        _check("the choice of its PIV application", answer)
        _value(answer.data, 0x61)

    # PIN and PUK ------------------------------------------------------------------------------------------------------

    def verify_pin(self, pin: str) -> None:
        """Show the card the holder's PIN.

        Raises:
            InvalidPin: No card has such a PIN; none saw it.
            WrongPin: Not this card's; says how many tries are left.
            PinBlocked: No try is left.
        """
        _check_pin(self._send(Instruction.VERIFY, 0, PIN_REFERENCE, padded("PIN", pin)), "PIN")

    def log_out(self) -> None:
        """Have the card forget that the PIN was verified."""
        answer = self._send(Instruction.VERIFY, 0xFF, PIN_REFERENCE)
        if answer.status in _UNSUPPORTED:
            self._card.reset()  # older cards lack the command
            return
        _check("to log out", answer)

    def pin_tries_left(self) -> int | None:
        """How many wrong PINs the card still takes; None while the right one is verified."""
        answer = self._send(Instruction.VERIFY, 0, PIN_REFERENCE)
        if answer.status == _BLOCKED:
            return 0
        if answer.status >> 4 == 0x63C:
            return answer.status & 0xF
        _check("to say how many tries its PIN has", answer)
        return None

    def change_pin(self, old: str, new: str) -> None:
        """Put a new PIN in the place of the old one. Raises as `verify_pin` does."""
        data = padded("PIN", old) + padded("PIN", new)
        _check_pin(self._send(Instruction.CHANGE_REFERENCE, 0, PIN_REFERENCE, data), "PIN")

    def change_puk(self, old: str, new: str) -> None:
        """Put a new PUK in the place of the old one.

        Raises:
            InvalidPin: No card has such a PUK; none saw it.
            WrongPin: Not this card's; says how many tries are left.
            PukBlocked: No try is left.
        """
        data = padded("PUK", old) + padded("PUK", new)
        _check_pin(self._send(Instruction.CHANGE_REFERENCE, 0, PUK_REFERENCE, data), "PUK")

    def reset_pin(self, puk: str, new: str) -> None:
        """Set a new PIN with the PUK, also where the PIN is blocked. Raises as `change_puk` does."""
        data = padded("PUK", puk) + padded("PIN", new)
        _check_pin(self._send(Instruction.RESET_RETRY, 0, PIN_REFERENCE, data), "PUK")

    # Keys -------------------------------------------------------------------------------------------------------------

    def generate(self, slot: Slot) -> bytes:
        """Have the card make a new key in a slot, in the place of what was there; needs the management key.

        Returns:
            The public key, uncompressed, 65 bytes.
        """
        template = tlv.encode(0xAC, tlv.encode(0x80, bytes([P256])))
        answer = self._send(Instruction.GENERATE, 0, slot, template, expects=True)
        _check(f"to make a key in slot {slot:02X}", answer)
        public_key = _value(answer.data, 0x7F49, 0x86)
        if not is_point(public_key):
            raise InvalidResponse("the card answered with a public key that is no point of P-256")
        return public_key

    def sign(self, slot: Slot, digest: bytes) -> bytes:
        """Sign a SHA-256 digest; 64 bytes r || s. Slot 9C wants `verify_pin` directly before.

        Raises:
            NotAuthenticated: The card wants its PIN first.
            Unsupported: There is no such key on the card.
        """
        assert len(digest) == 32, "the card signs a SHA-256 digest"
        der = self._authenticate(slot, 0x81, digest, "to sign")
        try:
            return raw_signature(der)
        except InvalidSignature:
            raise InvalidResponse("the card answered with something that is no ECDSA signature") from None

    def agree(self, slot: Slot, public_key: bytes) -> bytes:
        """Agree on a secret with the holder of another P-256 key (ECDH).

        Args:
            slot: Usually KEY_MANAGEMENT.
            public_key: The other side's, uncompressed, 65 bytes.

        Returns:
            The shared point's x coordinate, 32 bytes; never a key by itself: derive from it.

        Raises:
            InvalidSignature: The other side's key is no point of P-256.
            NotAuthenticated: The card wants its PIN first.
        """
        if not is_point(public_key):
            raise InvalidSignature("the other side's key is no uncompressed point of P-256")
        secret = self._authenticate(slot, 0x85, public_key, "to agree on a key")
        if len(secret) != 32:
            raise InvalidResponse(f"a shared secret of {len(secret)} bytes is none of P-256")
        return secret

    # Objects ----------------------------------------------------------------------------------------------------------

    def read(self, container: Container) -> bytes | None:
        """A container's content, or None where the card has none."""
        wrapper = 0x7E if container is Container.DISCOVERY else 0x53
        answer = self._send(Instruction.GET_DATA, 0x3F, 0xFF, tlv.encode(0x5C, _tag(container)), expects=True)
        if answer.status == _NOT_FOUND:
            return None
        _check(f"to read its {container.name.lower()} object", answer)
        return _value(answer.data, wrapper) or None

    def write(self, container: Container, content: bytes) -> None:
        """Write a container's content, or empty it with no bytes; needs the management key."""
        assert len(content) <= OBJECT_BYTES_MAX, "no container holds more"
        data = tlv.encode(0x5C, _tag(container)) + tlv.encode(0x53, content)
        _check(f"to write its {container.name.lower()} object", self._send(Instruction.PUT_DATA, 0x3F, 0xFF, data))

    def certificate(self, slot: Slot) -> bytes | None:
        """The certificate of a slot's key in DER, or None."""
        content = self.read(CERTIFICATES[slot])
        try:
            return None if content is None else certificate_of(content)
        except InvalidMessage as error:
            raise InvalidResponse(f"the certificate of slot {slot:02X}: {error.reason}") from None

    def put_certificate(self, slot: Slot, certificate: bytes) -> None:
        """Write the certificate (DER) of a slot's key; needs the management key."""
        self.write(CERTIFICATES[slot], certificate_object(certificate))

    def chuid(self) -> Chuid | None:
        """What the card says that it is, or None for a blank one."""
        content = self.read(Container.CHUID)
        try:
            return None if content is None else Chuid.decode(content)
        except InvalidMessage as error:
            raise InvalidResponse(f"the card's identifier: {error.reason}") from None

    def guid(self) -> bytes | None:
        """The card's 16 bytes, or None for a blank one."""
        found = self.chuid()
        return None if found is None else found.guid

    def put_chuid(self, guid: bytes, expires: date, *, emulated: bool) -> None:
        """Write who this card is, and what it can do; needs the management key."""
        assert len(guid) == GUID_BYTES, "a GUID has 16 bytes"
        self.write(Container.CAPABILITIES, capabilities(guid))
        self.write(Container.CHUID, Chuid(guid, expires, emulated).encode())

    # Management -------------------------------------------------------------------------------------------------------

    def authenticate_management(self, key: bytes) -> None:
        """Show the card that we hold its management key, and have it show the same.

        Args:
            key: AES-192 or AES-256: 24 or 32 bytes.

        Raises:
            WrongManagementKey: The card holds another one, or none at all.
        """
        algorithm = _management_algorithm(key)
        witness = self._management(algorithm, tlv.encode(0x80, b""), 0x80)
        if len(witness) != _BLOCK_BYTES:
            raise InvalidResponse(f"a witness of {len(witness)} bytes is no block of AES")
        cipher = Cipher(AES(key), ECB())  # noqa: S305 - single random blocks, as the standard has it
        opened = cipher.decryptor().update(witness)
        challenge = secrets.token_bytes(_BLOCK_BYTES)
        answer = self._management(algorithm, tlv.encode(0x80, opened) + tlv.encode(0x81, challenge), 0x82)
        if not hmac.compare_digest(answer, cipher.encryptor().update(challenge)):
            raise WrongManagementKey("the card accepts any management key: it is not to be trusted")

    def set_management_key(self, key: bytes) -> None:
        """Put a new management key in the place of the one that was authenticated.

        Args:
            key: AES-192 or AES-256: 24 or 32 bytes.

        Raises:
            Unsupported: The standard has no such command, and this card does not know the one that is in use.
        """
        data = bytes([_management_algorithm(key), MANAGEMENT_SLOT, len(key)]) + key
        _check("a new management key", self._send(Instruction.SET_MANAGEMENT_KEY, 0xFF, 0xFF, data))

    def _management(self, algorithm: int, template: bytes, wanted: int) -> bytes:
        data = tlv.encode(0x7C, template)
        answer = self._send(Instruction.AUTHENTICATE, algorithm, MANAGEMENT_SLOT, data, expects=True)
        if answer.status in {_NOT_SATISFIED, 0x6300, 0x6A80, 0x6A86, 0x6A88}:
            raise WrongManagementKey("the card does not hold the management key that was expected of it")
        _check("management", answer)
        return _value(answer.data, 0x7C, wanted)

    def _authenticate(self, slot: Slot, tag: int, value: bytes, what: str) -> bytes:
        template = tlv.encode(0x7C, tlv.encode(0x82, b"") + tlv.encode(tag, value))
        answer = self._send(Instruction.AUTHENTICATE, P256, slot, template, expects=True)
        if answer.status in {0x6A80, _NOT_FOUND}:
            raise Unsupported(f"the card has no P-256 key in slot {slot:02X}")
        _check(f"{what} with slot {slot:02X}", answer)
        return _value(answer.data, 0x7C, 0x82)

    def _send(self, instruction: int, p1: int, p2: int, data: bytes = b"", *, expects: bool = False) -> Answer:
        return apdu.exchange(self._card, instruction, p1, p2, data, expects=expects)


def padded(what: str, digits: str) -> bytes:
    """A PIN or PUK as it travels: its digits, filled up with FF; 8 bytes.

    Raises:
        InvalidPin: It is not 6 to 8 digits.
    """
    if not (PIN_DIGITS_MIN <= len(digits) <= PIN_BYTES and digits.isascii() and digits.isdigit()):
        raise InvalidPin(f"a {what} has {PIN_DIGITS_MIN} to {PIN_BYTES} digits and nothing else")
    return digits.encode().ljust(PIN_BYTES, b"\xff")


def _tag(container: Container) -> bytes:
    return container.to_bytes((container.bit_length() + 7) // 8, "big")


def _management_algorithm(key: bytes) -> int:
    if len(key) not in AES_IDENTIFIERS:
        raise Unsupported(f"a management key of {len(key)} bytes; only AES-192 (24) and AES-256 (32) are spoken")
    return AES_IDENTIFIERS[len(key)]


def is_point(public_key: bytes) -> bool:
    """Whether some bytes are an uncompressed point of P-256."""
    try:
        EllipticCurvePublicKey.from_encoded_point(SECP256R1(), public_key)
    except ValueError:
        return False
    return len(public_key) == PUBLIC_KEY_BYTES


def _value(raw: bytes, *path: int) -> bytes:
    """The value under nested tags of a response."""
    try:
        for tag in path:
            raw = tlv.get(raw, tag)
    except InvalidMessage as error:
        raise InvalidResponse(f"the card's answer is malformed: {error.reason}") from None
    return raw


def _check(what: str, answer: Answer) -> None:
    """Raise what a status word means."""
    if answer.status == SUCCESS:
        return
    if answer.status == _NOT_SATISFIED:
        raise NotAuthenticated(f"the card refused {what}: it wants its PIN or management key first")
    if answer.status in _UNSUPPORTED:
        raise Unsupported(f"the card does not know how {what}")
    raise CardRefused(what, answer.status)


def _check_pin(answer: Answer, what: str) -> None:
    if answer.status >> 4 == 0x63C:
        raise WrongPin(what, answer.status & 0xF)
    if answer.status == _BLOCKED and what == "PIN":
        raise PinBlocked("the PIN is blocked after too many wrong ones; set a new one with the PUK, at the desk")
    if answer.status == _BLOCKED:
        raise PukBlocked("the PUK is blocked after too many wrong ones; the card must be replaced")
    _check(f"its {what}", answer)
