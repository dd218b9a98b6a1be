# SPDX-License-Identifier: Apache-2.0
"""A receipt as QR codes: one where a phone still reads it well, else several parts that `/check` joins again.

A part reads `ZX1/2/3/1A2B3C4D:` and its piece of the compact text: the second of three, of the text whose SHA-256
begins so. The mark only keeps parts of different receipts apart; what the parts make together is verified like any
other text. All of it is in the alphabet of a QR code's alphanumeric mode.
"""

import hashlib
import io

import segno

from chain.receipt_text import QR_VERSION_30_CHARACTERS

PART_CHARACTERS = 1_800
"""Of one part: a code of version 25, which phones read from paper."""
PARTS_MAX = 16
"""More photographs nobody takes; such a receipt is handed over as a file."""

_MODULE = 4
_BORDER = 4
_LABEL = 28
_PART_PREFIX = "ZX1/{index}/{count}/{mark}:"


class TooManyParts(ValueError):
    """The text would need more than `PARTS_MAX` codes."""


def parts_of(text: str) -> list[str]:
    """What the codes of a compact text say, each.

    Args:
        text: A compact receipt.

    Raises:
        TooManyParts: It is too long.
    """
    if len(text) <= QR_VERSION_30_CHARACTERS:
        return [text]
    count = -(-len(text) // PART_CHARACTERS)
    if count > PARTS_MAX:
        raise TooManyParts(f"{len(text)} characters take {count} codes, more than {PARTS_MAX}")
    size = -(-len(text) // count)
    mark = hashlib.sha256(text.encode()).hexdigest()[:8].upper()
    return [
        _PART_PREFIX.format(index=index + 1, count=count, mark=mark) + text[index * size : (index + 1) * size]
        for index in range(count)
    ]


def codes_svg(text: str) -> bytes:
    """The codes of a compact text as one picture, below one another, each with its number where there are several.

    Raises:
        TooManyParts: It is too long.
    """
    parts = parts_of(text)
    codes = [segno.make_qr(part, error="l", boost_error=False) for part in parts]
    sides = [code.symbol_size(scale=_MODULE, border=_BORDER)[0] for code in codes]
    label = _LABEL if len(parts) > 1 else 0
    drawn: list[str] = []
    top = 0
    for index, (code, side) in enumerate(zip(codes, sides, strict=True), 1):
        one = io.BytesIO()
        options = {"xmldecl": False, "svgns": False, "nl": False, "svgclass": None, "lineclass": None}
        code.save(one, kind="svg", scale=_MODULE, border=_BORDER, dark="#000", **options)
        words = f'<text x="{side // 2}" y="20" text-anchor="middle" font-size="20">{index} / {len(parts)}</text>'
        drawn.append(f'<g transform="translate(0 {top})">{words if label else ""}')
        drawn.append(f'<g transform="translate(0 {label})">{one.getvalue().decode()}</g></g>')
        top += label + int(side)
    width = int(max(sides))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top}" viewBox="0 0 {width} {top}">'
    return (head + f'<rect width="{width}" height="{top}" fill="#fff"/>' + "".join(drawn) + "</svg>").encode()
