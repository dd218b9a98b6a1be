# SPDX-License-Identifier: Apache-2.0
"""How goods, parties and products are named on the chain: bounded ASCII in one form each, check digits right.

An item is the path of its canonical GS1 Digital Link, as `traceability.epc.canonical_identifier` gives it behind the
domain.  Consensus-critical: regular expressions over code points alone.
Source: GS1 General Specifications, 7.9.1; GS1 Digital Link URI Syntax 1.6, section 5.
"""

import re
from enum import Enum, auto
from typing import Final

from chain.errors import Refused

_TEXT = r"(?:[A-Za-z0-9'._;=-]|%(?:2[1256789ABCF]|3[ACEF]))"
"""One of the 82 characters that GS1 allows, escaped exactly where a canonical link escapes it."""

_GLN = re.compile(r"[0-9]{13}", re.ASCII)
_GTIN = re.compile(r"[0-9]{14}", re.ASCII)
_LOT = re.compile(rf"01/([0-9]{{14}})/10/{_TEXT}{{1,20}}", re.ASCII)
_SERIAL = re.compile(rf"01/([0-9]{{14}})/21/{_TEXT}{{1,20}}", re.ASCII)
_SHIPMENT = re.compile(r"00/([0-9]{18})", re.ASCII)
_CRATE = re.compile(rf"8003/0([0-9]{{13}}){_TEXT}{{0,16}}", re.ASCII)
_ASSET = re.compile(rf"8004/[0-9]{{4}}{_TEXT}{{1,26}}", re.ASCII)
_PRODUCT = re.compile(r"01/([0-9]{14})", re.ASCII)


class Kind(Enum):
    """What an item's name stands for."""

    LOT = auto()
    """Divisible: so much of a product, in parts that several may hold."""
    SERIAL = auto()
    """One piece of a product."""
    SHIPMENT = auto()
    """A pallet or parcel, by its SSCC."""
    ASSET = auto()
    """A crate or container that is used again, by GRAI or GIAI."""


_FORMS: Final = (
    (_LOT, Kind.LOT),
    (_SERIAL, Kind.SERIAL),
    (_SHIPMENT, Kind.SHIPMENT),
    (_CRATE, Kind.ASSET),
    (_ASSET, Kind.ASSET),
)


def is_checked(digits: str) -> bool:
    """Whether the last digit completes the others: weights 3, 1, 3, … from the right, modulo 10."""
    return (sum(map(int, digits[::-2])) + 3 * sum(map(int, digits[-2::-2]))) % 10 == 0


def is_gln(text: str) -> bool:
    """Whether a text names a party or a place."""
    return _GLN.fullmatch(text) is not None and is_checked(text)


def kind_of(item: str) -> Kind | None:
    """What an item's name stands for; None if it is none, or a check digit is wrong."""
    for form, kind in _FORMS:
        found = form.fullmatch(item)
        if found is not None:
            return kind if not found.groups() or is_checked(found[1]) else None
    return None


def gtin_of(item: str) -> str:
    """The product of a lot or a serial."""
    return item[3:17]


def is_product(item: str) -> bool:
    """Whether a name stands for a whole product, as recalls have it."""
    found = _PRODUCT.fullmatch(item)
    return found is not None and is_checked(found[1])


def check_gln(text: str, what: str) -> None:
    """Check the form of a party's or a place's number.

    Args:
        text: From an operation.
        what: Whose number, for the reason.

    Raises:
        Refused: It does not have 13 digits, or the check digit is wrong.
    """
    if not is_gln(text):
        raise Refused(f"{what} is named by 13 digits, the last a check digit", "traceability.invalid-gln")


def check_gtin(text: str) -> None:
    """Check the form of a product's number.

    Raises:
        Refused: It does not have 14 digits, or the check digit is wrong.
    """
    if _GTIN.fullmatch(text) is None or not is_checked(text):
        raise Refused("a product is named by 14 digits, the last a check digit", "traceability.invalid-gtin")


def check_item(item: str) -> Kind:
    """What an item's name stands for.

    Raises:
        Refused: It is no name of a lot, a serial, a shipment or an asset in the canonical form.
    """
    kind = kind_of(item)
    if kind is None:
        raise Refused("an item is named by the path of its canonical GS1 Digital Link", "traceability.invalid-item")
    return kind
