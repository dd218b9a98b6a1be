# SPDX-License-Identifier: Apache-2.0
"""Pictures that belong to a record: decoded and made anew, so that nothing is kept but what can be seen.

What a camera wrote beside the picture (place, time, device) is gone before the digest is taken: the ledger commits to
the picture that is kept, and the picture tells nobody where somebody lives.
"""

import base64
import warnings
from collections.abc import Iterator
from io import BytesIO
from typing import Final

from PIL import Image, ImageOps

from service.problems import Problem
from traceability.api.trader.problems import PHOTO

PHOTO_BYTES_MAX: Final = 8 * 1024 * 1024
"""A telephone's photo has 3 to 6 MB."""
PIXELS_MAX: Final = 40_000_000
"""Decoded, 120 MB: more than telephones make."""
EDGE_MAX: Final = 1_600
"""Pixels of the longer edge: a label on a crate can still be read."""
PIECE_BYTES: Final = 45 * 1024
"""In base64 below what a sealed value may have (64 KiB)."""
_FORMATS = ("JPEG", "PNG", "WEBP")
_QUALITY = 80


def remake(raw: bytes) -> bytes:
    """Decode a picture and encode what is seen in it; blocks for some tenths of a second.

    Args:
        raw: A JPEG, PNG or WebP file.

    Returns:
        A JPEG file without anything but the picture.

    Raises:
        Problem: It is too large, or no picture.
    """
    if not 0 < len(raw) <= PHOTO_BYTES_MAX:
        raise Problem(PHOTO)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(BytesIO(raw), formats=_FORMATS) as found:
                if found.width * found.height > PIXELS_MAX:  # from the head, before anything is decoded
                    raise Problem(PHOTO)
                upright = ImageOps.exif_transpose(found)
                flat = Image.new("RGB", upright.size, "white")
                seen = upright.convert("RGBA")
                flat.paste(seen, mask=seen.getchannel("A"))
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError, EOFError, MemoryError):
        raise Problem(PHOTO) from None
    flat.thumbnail((EDGE_MAX, EDGE_MAX))
    made = BytesIO()
    flat.save(made, "JPEG", quality=_QUALITY, optimize=True)
    return made.getvalue()


def pieces_of(content: bytes) -> Iterator[str]:
    """A picture in parts that can be sealed."""
    for start in range(0, len(content), PIECE_BYTES):
        yield base64.b64encode(content[start : start + PIECE_BYTES]).decode()


def joined(pieces: list[str]) -> bytes:
    """The picture of its parts."""
    return b"".join(base64.b64decode(piece) for piece in pieces)
