# SPDX-License-Identifier: Apache-2.0
"""Unified social credit codes: the 18 characters under which companies and public bodies are registered.

Registering department and category (one character each), administrative division (6 digits), organisation code (9, the
last of them its own check character), check character. The department may be a letter (N: agriculture).
Source: GB 32100-2015, 4 and 5; GB 11714-1997, annex A (organisation code).
"""

import re
from typing import Final

from chain.errors import Refused

USCC_CHARACTERS: Final = 18

_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_FORM = re.compile(r"[0-9A-HJ-NP-RTUW-Y]{2}[0-9]{6}[0-9A-HJ-NP-RTUW-Y]{8}[0-9X][0-9A-HJ-NP-RTUW-Y]", re.ASCII)
_ORGANISATION_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)
_ORGANISATION_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def check_character(first: str) -> str:
    """The check character of a code's first 17 characters: weights 3^i modulo 31."""
    total = sum(_ALPHABET.index(c) * pow(3, i, 31) for i, c in enumerate(first))
    return _ALPHABET[(31 - total % 31) % 31]


def organisation_check_character(first: str) -> str:
    """The check character of an organisation code's first 8 characters; X stands for 10."""
    total = sum(_ORGANISATION_DIGITS.index(c) * w for c, w in zip(first, _ORGANISATION_WEIGHTS, strict=True))
    return "0123456789X0"[11 - total % 11]


def is_uscc(code: str) -> bool:
    """Whether a text is a code: its form and both check characters."""
    return (
        _FORM.fullmatch(code) is not None
        and check_character(code[:17]) == code[17]
        and organisation_check_character(code[8:16]) == code[16]
    )


def check_uscc(code: str) -> None:
    """Check a unified social credit code.

    Raises:
        Refused: It has another form, or a check character is wrong.
    """
    if not is_uscc(code):
        raise Refused("this is no unified social credit code: form or check character", "identity.invalid-uscc")
