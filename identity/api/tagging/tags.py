# SPDX-License-Identifier: Apache-2.0
"""What is tagged: a person's number in one form however it was typed, and nothing that is no number.

Only numbers that could exist are tagged, so that a registrar's budget of questions is all that stands between it and
a list of everybody; see `limits` in docs/uniqueness.md.
"""

from dataclasses import dataclass
from datetime import date
from typing import Final

from identity.api.tagging.problems import NUMBER
from identity.documents import DocumentKind, NumberKind, fault, tidy_number
from service.problems import Problem
from service.store.cipher import place

TEXT_CHARACTERS_MAX: Final = 64
"""A number with its state and blanks; the longest has 22 characters."""

_DOMAIN = "zhixin/uniqueness-tag/1"
_DOCUMENTS: Final = {
    NumberKind.RESIDENT: (DocumentKind.RESIDENT_CARD, DocumentKind.RESIDENCE_PERMIT),
    NumberKind.HK_MO_TRAVEL_PERMIT: (DocumentKind.HK_MO_TRAVEL_PERMIT,),
    NumberKind.TW_TRAVEL_PERMIT: (DocumentKind.TW_TRAVEL_PERMIT,),
    NumberKind.FOREIGN_PERMANENT: (DocumentKind.FOREIGN_PERMANENT,),
    NumberKind.PASSPORT: (DocumentKind.PASSPORT,),
}


@dataclass(frozen=True, slots=True)
class Tag:
    """A person's tag.

    Attributes:
        version: Of the key that made it: the present one.
        value: 32 bytes.
        previous: The same person's tag under the version before, while that one still has tags; else None.
    """

    version: int
    value: bytes
    previous: bytes | None = None


def normalised(number_kind: str, number: str, today: date) -> tuple[NumberKind, str]:
    """A number as it is tagged.

    Args:
        number_kind: A value of `NumberKind`.
        number: As typed; a passport's has the state that issued it and a colon in front.
        today: Nobody is born after it.

    Raises:
        Problem: It is no number of that kind. The number is not repeated.
    """
    try:
        kind = NumberKind(number_kind)
    except ValueError:
        raise Problem(NUMBER) from None
    if len(number) > TEXT_CHARACTERS_MAX:
        raise Problem(NUMBER)
    tidy = tidy_number(number)
    country, text = "", tidy
    if kind is NumberKind.PASSPORT:
        country, _, text = tidy.partition(":")
    if all(fault(document, text, today, country=country) is not None for document in _DOCUMENTS[kind]):
        raise Problem(NUMBER)
    return kind, tidy


def content_of(version: int, kind: NumberKind, number: str) -> bytes:
    """What the key of a version makes an HMAC of."""
    return place(_DOMAIN, version, kind.value, number)
