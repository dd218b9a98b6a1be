# SPDX-License-Identifier: Apache-2.0
"""Where a line of Chinese, English or both may end.

Between two Chinese characters a line may end anywhere, but no line begins with a mark that closes and none ends with
one that opens; English breaks at its spaces. A word that is longer than a line is broken where the line is full.

Source: the rules of GB/T 15834-2011, 5.1 (places of punctuation), and UAX #14 in outline.
"""

import unicodedata
from collections.abc import Callable

NEVER_FIRST = frozenset("，。、；：？！）》」』】〉〕”’…—·％%),.;:?!]}℃々〃")
"""Marks that no line begins with."""
NEVER_LAST = frozenset("（《「『【〈〔“‘([{¥￥$№")
"""Marks that no line ends with."""


def break_lines(text: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """Break a text into lines.

    Args:
        text: A newline ends a line wherever it stands.
        width: How long a line may be, in the unit of `measure`; a single character may be longer.
        measure: How long a piece of one line is: the sum of its parts.

    Returns:
        At least one line; spaces at which a line was broken are left out, all else is kept in its order.
    """
    return [line for part in text.split("\n") for line in _break_part(part, width, measure)]


def _break_part(text: str, width: float, measure: Callable[[str], float]) -> list[str]:
    lines: list[str] = []
    line, taken = "", 0.0
    for piece in _pieces(text):
        if taken + measure(piece.rstrip(" ")) <= width:
            line += piece
            taken += measure(piece)
            continue
        if line.strip(" "):
            lines.append(line.rstrip(" "))
        line = piece.lstrip(" ") if lines else piece
        while len(line) > 1 and measure(line.rstrip(" ")) > width:
            end = _fitting(line, width, measure)
            lines.append(line[:end].rstrip(" "))
            line = line[end:]
        taken = measure(line)
    return [*lines, line.rstrip(" ")] if line.strip(" ") or not lines else lines


def _fitting(word: str, width: float, measure: Callable[[str], float]) -> int:
    """How many characters of a word fit on a line: one at least."""
    low, high = 1, len(word)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if measure(word[:middle]) <= width else (low, middle - 1)
    return low


def _pieces(text: str) -> list[str]:
    """The text in pieces between which a line may end."""
    pieces: list[str] = []
    start = 0
    for index in range(1, len(text)):
        if _may_end(text[index - 1], text[index]):
            pieces.append(text[start:index])
            start = index
    return [*pieces, text[start:]]


def _may_end(before: str, after: str) -> bool:
    """Whether a line may end between two characters."""
    if after == " " or after in NEVER_FIRST or before in NEVER_LAST:
        return False
    return before == " " or _is_wide(before) or _is_wide(after)


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"
