# SPDX-License-Identifier: Apache-2.0
"""The PIV application of an emulated card: what each whole command does, and who may give it.

Framing (chains, GET RESPONSE, lengths) is `emulator`'s affair.

Source: NIST SP 800-73-5 part 2, section 3; part 1, table 4 (access rules).
"""

import hmac
import secrets
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    ECDSA,
    SECP256R1,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from chain.errors import InvalidMessage
from identity.cards import tlv
from identity.cards.apdu import Instruction
from identity.cards.emulated_state import FIRST_CONTAINER, LAST_CONTAINER, TRIES, CardState
from identity.cards.objects import (
    AID,
    BEHIND_PIN,
    DISCOVERY,
    OBJECT_BYTES_MAX,
    PIX,
    PUBLIC_KEY_BYTES,
    Container,
    Slot,
)
from identity.cards.piv import (
    AES_IDENTIFIERS,
    MANAGEMENT_SLOT,
    P256,
    PIN_BYTES,
    PIN_DIGITS_MIN,
    PIN_REFERENCE,
    PUK_REFERENCE,
)

LABEL: Final = b"Zhixin emulated PIV card"
"""Stands in the answer to SELECT, for whoever looks."""

_TEMPLATE: Final = tlv.encode(
    0x61,
    tlv.encode(0x4F, PIX)
    + tlv.encode(0x79, tlv.encode(0x4F, AID[:5]))
    + tlv.encode(0x50, LABEL)
    + tlv.encode(
        0xAC,
        b"".join(tlv.encode(0x80, bytes([each])) for each in (P256, *AES_IDENTIFIERS.values())) + tlv.encode(6, b"\0"),
    ),
)
_BLOCK_BYTES: Final = 16
_OBJECTS: Final = (0x3F, 0xFF)
"""P1 and P2 of the commands that read and write containers."""


class Status(Exception):
    """A status word other than success; ends a command."""

    def __init__(self, word: int) -> None:
        super().__init__(f"{word:04X}")
        self.word = word


WRONG_LENGTH: Final = 0x6700
CHAIN_BROKEN: Final = 0x6883
CHAIN_UNSUPPORTED: Final = 0x6884
WRONG_DATA: Final = 0x6A80
WRONG_PARAMETERS: Final = 0x6A86
UNKNOWN_CLASS: Final = 0x6E00
_NOT_SATISFIED: Final = 0x6982
_BLOCKED: Final = 0x6983
_NOT_FOUND: Final = 0x6A82
_TOO_LARGE: Final = 0x6A84
_NO_SUCH_REFERENCE: Final = 0x6A88
_UNKNOWN_INSTRUCTION: Final = 0x6D00


class Application:
    """The application from one reset of the card to the next; what outlives it stands in the state."""

    def __init__(self, state: CardState) -> None:
        self._state = state
        self._is_pin_verified = False
        self._is_pin_fresh = False  # verified by the command directly before this one
        self._is_managed = False
        self._challenge: bytes | None = None  # the host must return it encrypted
        self._witness: bytes | None = None  # the host must return it decrypted
        self._commands: dict[int, Callable[[int, int, bytes], bytes]] = {
            Instruction.SELECT: self._select,
            Instruction.VERIFY: self._verify,
            Instruction.CHANGE_REFERENCE: self._change,
            Instruction.RESET_RETRY: self._reset_retry,
            Instruction.GET_DATA: self._get_data,
            Instruction.PUT_DATA: self._put_data,
            Instruction.GENERATE: self._generate,
            Instruction.AUTHENTICATE: self._authenticate,
            Instruction.SET_MANAGEMENT_KEY: self._set_management_key,
        }

    def run(self, instruction: int, p1: int, p2: int, data: bytes) -> bytes:
        """Carry out one whole command.

        Raises:
            Status: The card refuses it; the state is then as before, but for the counters of tries.
        """
        command = self._commands.get(instruction)
        try:
            if command is None:
                raise Status(_UNKNOWN_INSTRUCTION)
            return command(p1, p2, data)
        except InvalidMessage:
            raise Status(WRONG_DATA) from None
        finally:
            if instruction != Instruction.VERIFY:
                self._is_pin_fresh = False

    def _select(self, p1: int, p2: int, data: bytes) -> bytes:
        """The only application; a wrong name leaves it chosen and what was verified verified."""
        if (p1, p2) != (4, 0):
            raise Status(WRONG_PARAMETERS)
        if len(data) < 5 or not AID.startswith(data):
            raise Status(_NOT_FOUND)
        return _TEMPLATE

    # PIN and PUK ------------------------------------------------------------------------------------------------------

    def _verify(self, p1: int, p2: int, data: bytes) -> bytes:
        if p2 != PIN_REFERENCE:
            raise Status(_NO_SUCH_REFERENCE)
        if p1 == 0xFF and not data:
            self._is_pin_verified = self._is_pin_fresh = False
            return b""
        if p1 != 0:
            raise Status(WRONG_PARAMETERS)
        if not data:
            if self._is_pin_verified:
                return b""
            raise Status(0x63C0 | self._state.pin_tries if self._state.pin_tries else _BLOCKED)
        self._is_pin_verified = self._is_pin_fresh = False
        self._try_pin(data)
        self._is_pin_verified = self._is_pin_fresh = True
        return b""

    def _change(self, p1: int, p2: int, data: bytes) -> bytes:
        if p1 != 0:
            raise Status(WRONG_PARAMETERS)
        if p2 not in {PIN_REFERENCE, PUK_REFERENCE}:
            raise Status(_NO_SUCH_REFERENCE)
        old, new = _two(data)
        if p2 == PIN_REFERENCE:
            self._is_pin_verified = False
            self._try_pin(old)
            self._state.pin = new
            self._is_pin_verified = True
        else:
            self._try_puk(old)
            self._state.puk = new
        return b""

    def _reset_retry(self, p1: int, p2: int, data: bytes) -> bytes:
        if p1 != 0:
            raise Status(WRONG_PARAMETERS)
        if p2 != PIN_REFERENCE:
            raise Status(_NO_SUCH_REFERENCE)
        puk, new = _two(data)
        self._is_pin_verified = False
        self._try_puk(puk)
        self._state.pin, self._state.pin_tries = new, TRIES
        return b""

    def _try_pin(self, pin: bytes) -> None:
        if self._state.pin_tries == 0:
            raise Status(_BLOCKED)
        if not _is_pin(pin):
            raise Status(WRONG_DATA)
        self._state.pin_tries -= 1  # counted before it is compared: power lost in between gains nothing
        if not hmac.compare_digest(pin, self._state.pin):
            raise Status(0x63C0 | self._state.pin_tries)
        self._state.pin_tries = TRIES

    def _try_puk(self, puk: bytes) -> None:
        if self._state.puk_tries == 0:
            raise Status(_BLOCKED)
        self._state.puk_tries -= 1
        if not hmac.compare_digest(puk, self._state.puk):
            raise Status(0x63C0 | self._state.puk_tries)
        self._state.puk_tries = TRIES

    # Objects ----------------------------------------------------------------------------------------------------------

    def _get_data(self, p1: int, p2: int, data: bytes) -> bytes:
        if (p1, p2) != _OBJECTS:
            raise Status(WRONG_PARAMETERS)
        tag = int.from_bytes(tlv.get(data, 0x5C), "big")
        if tag == Container.DISCOVERY:
            return tlv.encode(tag, DISCOVERY)
        if tag in BEHIND_PIN and not self._is_pin_verified:
            raise Status(_NOT_SATISFIED)
        content = self._state.objects.get(tag)
        if content is None:
            raise Status(_NOT_FOUND)
        return tlv.encode(0x53, content)

    def _put_data(self, p1: int, p2: int, data: bytes) -> bytes:
        if (p1, p2) != _OBJECTS:
            raise Status(WRONG_PARAMETERS)
        if not self._is_managed:
            raise Status(_NOT_SATISFIED)
        tag, content = int.from_bytes(tlv.get(data, 0x5C), "big"), tlv.get(data, 0x53)
        if not FIRST_CONTAINER <= tag <= LAST_CONTAINER:
            raise Status(_NOT_FOUND)
        if len(content) > OBJECT_BYTES_MAX:
            raise Status(_TOO_LARGE)
        self._state.objects.pop(tag, None)
        if content:
            self._state.objects[tag] = content
        return b""

    # Keys -------------------------------------------------------------------------------------------------------------

    def _generate(self, p1: int, p2: int, data: bytes) -> bytes:
        if not self._is_managed:
            raise Status(_NOT_SATISFIED)
        if p1 != 0 or p2 not in set(Slot):
            raise Status(WRONG_PARAMETERS)
        if tlv.decode(tlv.get(data, 0xAC)) != [(0x80, bytes([P256]))]:
            raise Status(WRONG_DATA)
        key = generate_private_key(SECP256R1())
        self._state.keys[Slot(p2)] = key
        point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return tlv.encode(0x7F49, tlv.encode(0x86, point))

    def _authenticate(self, p1: int, p2: int, data: bytes) -> bytes:
        fields = dict(tlv.decode(tlv.get(data, 0x7C)))
        if p2 == MANAGEMENT_SLOT:
            return self._manage(p1, fields)
        if p2 not in set(Slot) or p1 != P256:
            raise Status(WRONG_PARAMETERS)
        slot = Slot(p2)
        key = self._state.keys.get(slot)
        if key is None:
            raise Status(_NO_SUCH_REFERENCE)
        if slot is Slot.SIGN and not self._is_pin_fresh:
            raise Status(_NOT_SATISFIED)
        if slot is not Slot.CARD and not self._is_pin_verified:
            raise Status(_NOT_SATISFIED)
        if slot is Slot.KEY_MANAGEMENT:
            peer = _peer(fields.get(0x85, b""))
            return _dynamic(0x82, key.exchange(ECDH(), peer))
        digest = fields.get(0x81, b"")
        if len(digest) != SHA256.digest_size:
            raise Status(WRONG_DATA)
        return _dynamic(0x82, key.sign(digest, ECDSA(Prehashed(SHA256()))))

    # Management -------------------------------------------------------------------------------------------------------

    def _manage(self, algorithm: int, fields: dict[int, bytes]) -> bytes:
        """Each challenge and witness is good for the next command only, and the card never encrypts for a stranger."""
        key = self._state.management_key
        challenge, witness = self._challenge, self._witness
        self._challenge = self._witness = None
        if algorithm != AES_IDENTIFIERS[len(key)]:
            raise Status(WRONG_PARAMETERS)
        cipher = Cipher(AES(key), ECB())  # noqa: S305 - single random blocks, as the standard has it
        if fields == {0x80: b""}:
            self._witness = secrets.token_bytes(_BLOCK_BYTES)
            return _dynamic(0x80, cipher.encryptor().update(self._witness))
        if fields == {0x81: b""}:
            self._challenge = secrets.token_bytes(_BLOCK_BYTES)
            return _dynamic(0x81, self._challenge)
        if challenge is not None and set(fields) == {0x82}:
            if not hmac.compare_digest(fields[0x82], cipher.encryptor().update(challenge)):
                raise Status(_NOT_SATISFIED)
            self._is_managed = True
            return b""
        if witness is not None and {0x80, 0x81} <= set(fields) <= {0x80, 0x81, 0x82}:
            if len(fields[0x81]) != _BLOCK_BYTES or not hmac.compare_digest(fields[0x80], witness):
                raise Status(_NOT_SATISFIED)
            self._is_managed = True
            return _dynamic(0x82, cipher.encryptor().update(fields[0x81]))
        raise Status(WRONG_DATA)

    def _set_management_key(self, p1: int, p2: int, data: bytes) -> bytes:
        if not self._is_managed:
            raise Status(_NOT_SATISFIED)
        if (p1, p2) != (0xFF, 0xFF):
            raise Status(WRONG_PARAMETERS)
        key = data[3:]
        if data[:3] != bytes([AES_IDENTIFIERS.get(len(key), 0), MANAGEMENT_SLOT, len(key)]):
            raise Status(WRONG_DATA)
        self._state.management_key = key
        return b""


def _is_pin(pin: bytes) -> bool:
    """6 to 8 digits, filled up with FF to 8 bytes."""
    digits = pin.rstrip(b"\xff")
    return len(pin) == PIN_BYTES and len(digits) >= PIN_DIGITS_MIN and digits.isdigit()


def _two(data: bytes) -> tuple[bytes, bytes]:
    """Old and new; the new one of a form that the card takes."""
    if len(data) != 2 * PIN_BYTES or not _is_pin(data[PIN_BYTES:]):
        raise Status(WRONG_DATA)
    return data[:PIN_BYTES], data[PIN_BYTES:]


def _peer(point: bytes) -> EllipticCurvePublicKey:
    """A public key from outside; one that is not on the curve would betray the card's."""
    try:
        if len(point) != PUBLIC_KEY_BYTES:
            raise Status(WRONG_DATA)
        return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point)
    except ValueError:
        raise Status(WRONG_DATA) from None


def _dynamic(tag: int, value: bytes) -> bytes:
    return tlv.encode(0x7C, tlv.encode(tag, value))
