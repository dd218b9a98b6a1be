# SPDX-License-Identifier: Apache-2.0
"""What an emulated card keeps while it has no power: keys, counters, objects. A file of it IS the card: keep it so.

Secrets stand in the clear here, because an emulated card protects nothing: it serves development and tests alone.
"""

import json
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, derive_private_key

from chain.errors import InvalidMessage
from identity.cards.objects import (
    FACTORY_MANAGEMENT_KEY,
    FACTORY_PIN,
    FACTORY_PUK,
    OBJECT_BYTES_MAX,
    Slot,
)
from identity.cards.piv import AES_IDENTIFIERS, PIN_BYTES, padded

FORMAT: Final = "zhixin-emulated-card/1"
STATE_BYTES_MAX: Final = 256 * 1024
"""All containers full, in hexadecimal, with room to spare."""
TRIES: Final = 3
"""Wrong PINs, and wrong PUKs, in a row until the card blocks; FIPS 201-3 allows no more than ten."""

FIRST_CONTAINER: Final = 0x5FC101
LAST_CONTAINER: Final = 0x5FC123
"""The standard's containers; there are no others on this card."""


@dataclass(slots=True)
class CardState:
    """An emulated card without power.

    Attributes:
        pin: As it travels: digits filled up with FF, 8 bytes; so is `puk`.
        management_key: AES-192 or AES-256.
        keys: Private keys by slot.
        objects: Contents of containers by tag.
    """

    pin: bytes = field(default_factory=lambda: padded("PIN", FACTORY_PIN), repr=False)
    puk: bytes = field(default_factory=lambda: padded("PUK", FACTORY_PUK), repr=False)
    pin_tries: int = TRIES
    puk_tries: int = TRIES
    management_key: bytes = field(default=FACTORY_MANAGEMENT_KEY, repr=False)
    keys: dict[Slot, EllipticCurvePrivateKey] = field(default_factory=dict, repr=False)
    objects: dict[int, bytes] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The whole card as JSON."""
        document = {
            "format": FORMAT,
            "pin": self.pin.hex(),
            "puk": self.puk.hex(),
            "pin_tries": self.pin_tries,
            "puk_tries": self.puk_tries,
            "management_key": self.management_key.hex(),
            "keys": {f"{slot:02X}": f"{_scalar(key):064x}" for slot, key in sorted(self.keys.items())},
            "objects": {f"{tag:06X}": content.hex() for tag, content in sorted(self.objects.items())},
        }
        return json.dumps(document, indent=1).encode() + b"\n"

    @classmethod
    def decode(cls, raw: bytes) -> "CardState":
        """Read what `encode` made.

        Raises:
            InvalidMessage: It is no emulated card, or one that can't be.
        """
        if len(raw) > STATE_BYTES_MAX:
            raise InvalidMessage(f"an emulated card has at most {STATE_BYTES_MAX} bytes")
        try:
            document = json.loads(raw)
            if document["format"] != FORMAT:
                raise InvalidMessage(f"not a {FORMAT} file")
            state = cls(
                pin=bytes.fromhex(document["pin"]),
                puk=bytes.fromhex(document["puk"]),
                pin_tries=int(document["pin_tries"]),
                puk_tries=int(document["puk_tries"]),
                management_key=bytes.fromhex(document["management_key"]),
                keys={Slot(int(slot, 16)): _key(scalar) for slot, scalar in document["keys"].items()},
                objects={int(tag, 16): bytes.fromhex(content) for tag, content in document["objects"].items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError):
            raise InvalidMessage(f"not a {FORMAT} file, or a damaged one") from None
        if not state._is_possible():
            raise InvalidMessage(f"a {FORMAT} file with a value that no card has")
        return state

    def _is_possible(self) -> bool:
        return (
            len(self.pin) == len(self.puk) == PIN_BYTES
            and 0 <= self.pin_tries <= TRIES
            and 0 <= self.puk_tries <= TRIES
            and len(self.management_key) in AES_IDENTIFIERS
            and all(FIRST_CONTAINER <= tag <= LAST_CONTAINER for tag in self.objects)
            and all(len(content) <= OBJECT_BYTES_MAX for content in self.objects.values())
        )


def _scalar(key: EllipticCurvePrivateKey) -> int:
    return key.private_numbers().private_value


def _key(scalar: str) -> EllipticCurvePrivateKey:
    return derive_private_key(int(scalar, 16), SECP256R1())
