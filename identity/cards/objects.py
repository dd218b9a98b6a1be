# SPDX-License-Identifier: Apache-2.0
"""What stands on a PIV card besides keys: its slots, its containers, and the two that identify it.

Source: NIST SP 800-73-5 part 1, sections 3 and 4, table 10 (CCC), table 11 (CHUID), appendix A; PACS TIG 2.3, section 2
(FASC-N).
"""

from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from typing import Final

from chain.errors import InvalidMessage
from identity.cards import tlv

AID: Final = bytes.fromhex("A000000308000010000100")
PIX: Final = AID[5:]

OBJECT_BYTES_MAX: Final = 3072
"""What a container holds at most, as on common cards; a certificate of ours has below 900 bytes."""
GUID_BYTES: Final = 16
PUBLIC_KEY_BYTES: Final = 65

FACTORY_PIN: Final = "123456"
FACTORY_PUK: Final = "12345678"
FACTORY_MANAGEMENT_KEY: Final = bytes.fromhex("010203040506070801020304050607080102030405060708")
"""AES-192; what blank cards of the market come with. Never left on a card that leaves the desk."""


class Slot(IntEnum):
    """A key's place on the card; says what the key is for."""

    AUTHENTICATE = 0x9A
    """Sign in: the PIN once."""
    SIGN = 0x9C
    """Sign with legal intent: the PIN directly before each signature."""
    KEY_MANAGEMENT = 0x9D
    """Agree on a key that opens what was encrypted to the holder: the PIN once."""
    CARD = 0x9E
    """Show that this very card is present: no PIN."""


class Container(IntEnum):
    """A data object's tag."""

    CARD_AUTHENTICATION = 0x5FC101
    CHUID = 0x5FC102
    FINGERPRINTS = 0x5FC103
    AUTHENTICATION = 0x5FC105
    CAPABILITIES = 0x5FC107
    FACE = 0x5FC108
    PRINTED = 0x5FC109
    SIGNATURE = 0x5FC10A
    KEY_MANAGEMENT = 0x5FC10B
    KEY_HISTORY = 0x5FC10C
    DISCOVERY = 0x7E


CERTIFICATES: Final[dict[Slot, Container]] = {
    Slot.AUTHENTICATE: Container.AUTHENTICATION,
    Slot.SIGN: Container.SIGNATURE,
    Slot.KEY_MANAGEMENT: Container.KEY_MANAGEMENT,
    Slot.CARD: Container.CARD_AUTHENTICATION,
}
"""Where each slot's certificate stands."""

BEHIND_PIN: Final = frozenset({Container.FINGERPRINTS, Container.FACE, Container.PRINTED})
"""Containers that only a verified PIN opens."""


@dataclass(frozen=True, slots=True)
class Chuid:
    """The card holder unique identifier, readable by everybody: it names the card, never the holder.

    Attributes:
        guid: The card's 16 random bytes.
        expires: The card's last day.
        emulated: Whether this card says itself that it is emulated.
    """

    guid: bytes
    expires: date
    emulated: bool

    def encode(self) -> bytes:
        """The container's content.

        The FASC-N says that no United States agency issued the card (9999, 9999), and is the same on each card of ours.
        The issuer's signature stays empty: the certificate in slot 9E binds the GUID.
        """
        assert len(self.guid) == GUID_BYTES, "a GUID has 16 bytes"
        number = _EMULATED if self.emulated else _REAL
        parts = [
            (0x30, fasc_n(number)),
            (0x34, self.guid),
            (0x35, self.expires.strftime("%Y%m%d").encode()),
            (0x3E, b""),
            (0xFE, b""),
        ]
        return b"".join(tlv.encode(tag, value) for tag, value in parts)

    @classmethod
    def decode(cls, raw: bytes) -> "Chuid":
        """Read a container's content.

        Raises:
            InvalidMessage: It is no CHUID.
        """
        guid, expires = tlv.get(raw, 0x34), tlv.get(raw, 0x35)
        if len(guid) != GUID_BYTES:
            raise InvalidMessage(f"a CHUID whose GUID has {len(guid)} bytes, not {GUID_BYTES}")
        try:
            day = date(int(expires[:4]), int(expires[4:6]), int(expires[6:8]))
        except ValueError:
            raise InvalidMessage("a CHUID that expires on no day of the calendar") from None
        return cls(guid, day, tlv.find(raw, 0x30) == fasc_n(_EMULATED))


_REAL: Final = "999999"
_EMULATED: Final = "000000"
"""The credential number in the FASC-N of cards that exist as software alone."""


def fasc_n(credential: str) -> bytes:
    """The Federal Agency Smart Credential Number of a card that no federal agency issued; 25 bytes.

    Args:
        credential: Six digits; agency, system and person are constants.
    """
    fields = ("9999", "9999", credential, "0", "1", "0000000000" + "3" + "0000" + "1")
    start, separator, end = 0xB, 0xD, 0xF
    symbols = [start]
    for place, field in enumerate(fields):
        symbols += [int(digit) for digit in field]
        if place < len(fields) - 1:
            symbols.append(separator)
    symbols.append(end)
    check = 0
    for symbol in symbols:
        check ^= symbol
    bits = "".join(_five_bits(symbol) for symbol in [*symbols, check])
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def _five_bits(symbol: int) -> str:
    """Four bits, the lowest first, and one that makes the number of ones odd."""
    low_first = f"{symbol:04b}"[::-1]
    return low_first + ("1" if low_first.count("1") % 2 == 0 else "0")


def capabilities(guid: bytes) -> bytes:
    """The card capability container: constants, and an identifier that adds nothing to the GUID."""
    assert len(guid) == GUID_BYTES, "a GUID has 16 bytes"
    identifier = bytes.fromhex("A000000116FF02") + guid[:14]
    filled = {0xF0: identifier, 0xF1: b"\x21", 0xF2: b"\x21", 0xF4: b"\x00", 0xF5: b"\x10"}
    order = (0xF0, 0xF1, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xFA, 0xFB, 0xFC, 0xFD, 0xFE)
    return b"".join(tlv.encode(tag, filled.get(tag, b"")) for tag in order)


def certificate_object(certificate: bytes) -> bytes:
    """A certificate container's content: DER, not compressed."""
    return tlv.encode(0x70, certificate) + tlv.encode(0x71, b"\x00") + tlv.encode(0xFE, b"")


def certificate_of(raw: bytes) -> bytes | None:
    """The DER in a certificate container, or None where it is empty.

    Raises:
        InvalidMessage: It is no certificate container, or a compressed one, which we neither write nor unpack.
    """
    if not raw:
        return None
    if (tlv.find(raw, 0x71) or b"\x00")[0] & 1:
        raise InvalidMessage("a compressed certificate")
    return tlv.get(raw, 0x70)


DISCOVERY: Final = tlv.encode(0x4F, AID) + tlv.encode(0x5F2F, b"\x40\x00")
"""What the discovery object says: this application; its own PIN alone serves, no global one."""
