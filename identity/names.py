# SPDX-License-Identifier: Apache-2.0
"""People's names as they are kept: every character that a name may have, also the rare ones, and no other.

Names are Unicode in form NFC. GB 18030-2022 maps every Chinese character to a code point of its own, those of planes 2
and 3 among them; what older systems put into the private use area has such a code point now, and is refused, since it
means something else on each machine. The dot between parts of a name is one character, U+00B7, however it was typed.

Sources: GB 18030-2022; Unicode Standard Annexes 15 (NFC) and 44 (categories).
"""

import re
import unicodedata
from enum import StrEnum

NAME_CHARACTERS_MAX = 100
"""Names of several parts with dots between them reach some fifty."""

_DOTS = dict.fromkeys(map(ord, "•‧∙・･⋅．‣●"), "·")
_BLANKS = re.compile(r"[ \u00a0\u3000]+")
_SIGNS = frozenset(" ·-'’.,‐")
_VARIATIONS = range(0xE0100, 0xE01F0)
"""Ideographic variation selectors: which shape of one character somebody's name has."""


class NameFault(StrEnum):
    """What is wrong with a name."""

    EMPTY = "empty"
    LONG = "long"
    PRIVATE_USE = "private-use"
    CONTROL = "control"
    CHARACTER = "character"


def tidy_name(text: str) -> str:
    """A name as it is kept: NFC, one kind of dot, single blanks and none around it."""
    return _BLANKS.sub(" ", unicodedata.normalize("NFC", text.translate(_DOTS))).strip()


def fault(name: str) -> NameFault | None:
    """What is wrong with a name, or None if nothing is.

    Args:
        name: As `tidy_name` makes it.
    """
    if not name:
        return NameFault.EMPTY
    if len(name) > NAME_CHARACTERS_MAX:
        return NameFault.LONG
    kinds = [_kind(character) for character in name]
    for found in (NameFault.PRIVATE_USE, NameFault.CONTROL, NameFault.CHARACTER):
        if found in kinds:
            return found
    if all(character in _SIGNS for character in name):
        return NameFault.CHARACTER
    return None


def _kind(character: str) -> NameFault | None:
    """What is wrong with one character.

    Planes 2 and 3 hold Chinese characters alone, and grow with each edition of Unicode, faster than our tables.
    """
    code, category = ord(character), unicodedata.category(character)
    if category == "Co":
        return NameFault.PRIVATE_USE
    if category in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
        return NameFault.CONTROL
    is_letter = category[0] == "L" or category in {"Mn", "Mc"}
    is_ideograph = code >> 16 in {2, 3} and code & 0xFFFF < 0xFFFE
    if is_letter or is_ideograph or code in _VARIATIONS or character in _SIGNS or character == "〇":
        return None
    return NameFault.CHARACTER
