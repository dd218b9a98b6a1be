# SPDX-License-Identifier: Apache-2.0
"""What people write to name a block, a transaction or an organisation: read strictly, refused in words."""

import re

from chain.types import HASH_BYTES
from service.explorer.problems import REFERENCE
from service.explorer.queries import LEAF_MAX
from service.problems import Problem

_HEX = re.compile(rf"[0-9a-fA-F]{{{2 * HASH_BYTES}}}")
_NUMBER = re.compile(r"[0-9]{1,16}")
QUERY_CHARACTERS_MAX = 200
"""An id has 64 characters, a name at most 64 of Chinese."""


def is_identifier(text: str) -> bool:
    """Whether it has the form of an id."""
    return _HEX.fullmatch(text) is not None


def identifier(text: str) -> bytes:
    """An id of 64 hexadecimal digits.

    Raises:
        Problem: It has another form.
    """
    if not is_identifier(text):
        raise Problem(REFERENCE)
    return bytes.fromhex(text)


def number(text: str) -> int:
    """A height, a position or an index.

    Raises:
        Problem: It is none, or larger than any.
    """
    if not _NUMBER.fullmatch(text) or int(text) >= LEAF_MAX:
        raise Problem(REFERENCE)
    return int(text)


def block_reference(text: str) -> int | bytes:
    """A block's height or id.

    Raises:
        Problem: It is neither.
    """
    return number(text) if _NUMBER.fullmatch(text) else identifier(text)


def searched(text: str) -> str:
    """What somebody searches for, without what typing and copying adds: blanks, grouping spaces, `0x`."""
    words = " ".join(text[:QUERY_CHARACTERS_MAX].split())
    digits = words.replace(" ", "").replace(",", "")
    if _NUMBER.fullmatch(digits):
        return digits
    code = digits.lower().removeprefix("0x")
    return code if _HEX.fullmatch(code) else words
