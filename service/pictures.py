# SPDX-License-Identifier: Apache-2.0
"""Pictures that people hand in: bounded, decoded, and made anew, so that only what can be seen is kept.

A file's own bytes are never kept: what a camera wrote into it (place, time, device), a second picture inside it and
whatever a decoder might stumble over later are gone with them.
"""

import base64
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Final

from PIL import Image, ImageOps

FILE_BYTES_MAX: Final = 8 * 1024 * 1024
"""A telephone's photo has 3 to 6 MB."""
PIXELS_MAX: Final = 40_000_000
"""Decoded, 120 MB: more than any camera at a counter makes."""
PIECE_BYTES: Final = 45 * 1024
"""In base64 below what a sealed value may have (64 KiB)."""
_FORMATS = ("JPEG", "PNG", "WEBP")


class NoPicture(Exception):
    """A file that is too large, or no picture."""


@dataclass(frozen=True, slots=True)
class Remade:
    """A picture of ours.

    Attributes:
        content: A JPEG file without anything but the picture.
        width: In pixels.
        height: In pixels.
    """

    content: bytes
    width: int
    height: int


def remake(raw: bytes, *, edge_max: int, quality: int) -> Remade:
    """Decode a file and encode what is seen in it; blocks for some tenths of a second.

    Args:
        raw: A JPEG, PNG or WebP file.
        edge_max: Pixels of the longer edge.
        quality: Of the JPEG file, up to 95.

    Raises:
        NoPicture: It is too large, or no picture.
    """
    if not 0 < len(raw) <= FILE_BYTES_MAX:
        raise NoPicture
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(BytesIO(raw), formats=_FORMATS) as found:
                if found.width * found.height > PIXELS_MAX:  # from the head, before anything is decoded
                    raise NoPicture
                upright = ImageOps.exif_transpose(found)
                flat = Image.new("RGB", upright.size, "white")
                seen = upright.convert("RGBA")
                flat.paste(seen, mask=seen.getchannel("A"))
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError, EOFError, MemoryError):
        raise NoPicture from None
    flat.thumbnail((edge_max, edge_max))
    made = BytesIO()
    flat.save(made, "JPEG", quality=quality, optimize=True)
    return Remade(made.getvalue(), flat.width, flat.height)


def pieces_of(content: bytes) -> Iterator[str]:
    """A picture in parts that can be sealed."""
    for start in range(0, len(content), PIECE_BYTES):
        yield base64.b64encode(content[start : start + PIECE_BYTES]).decode()


def joined(pieces: Iterable[str]) -> bytes:
    """The picture of its parts."""
    return b"".join(base64.b64decode(piece) for piece in pieces)
