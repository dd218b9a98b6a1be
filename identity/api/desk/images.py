# SPDX-License-Identifier: Apache-2.0
"""Photos and scans of documents: bounded, decoded, and made anew, so that only what can be seen is kept.

A file's own bytes are never kept: what a camera wrote into it (place, time, device), a second picture inside it and
whatever a decoder might stumble over later are gone with them.
"""

import base64
import warnings
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO

from PIL import Image, ImageOps
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from identity.api.desk.base import DeskContext
from identity.api.desk.problems import IMAGE
from identity.api.desk.tables import DeskImage, DeskImagePiece
from service.problems import Problem

FILE_BYTES_MAX = 8 * 1024 * 1024
"""A telephone's photo has 3 to 6 MB."""
PIXELS_MAX = 40_000_000
"""Decoded, 120 MB: more than any camera at a counter makes."""
PIECE_BYTES = 45 * 1024
"""In base64 below what a sealed value may have (64 KiB)."""
_FORMATS = ("JPEG", "PNG", "WEBP")
_QUALITY = 85


class ImageKind(StrEnum):
    """What is seen."""

    PHOTO = "photo"
    DOCUMENT = "document"


EDGE_MAX = {ImageKind.PHOTO: 960, ImageKind.DOCUMENT: 1_800}
"""Pixels of the longer edge: a face in print, the small print of a card."""


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


def remake(raw: bytes, kind: ImageKind) -> Remade:
    """Decode a file and encode what is seen in it; blocks for some tenths of a second.

    Args:
        raw: A JPEG, PNG or WebP file.
        kind: How large it needs to be.

    Raises:
        Problem: It is too large, or no picture.
    """
    if not 0 < len(raw) <= FILE_BYTES_MAX:
        raise Problem(IMAGE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(BytesIO(raw), formats=_FORMATS) as found:
                if found.width * found.height > PIXELS_MAX:  # from the head, before anything is decoded
                    raise Problem(IMAGE)
                upright = ImageOps.exif_transpose(found)
                flat = Image.new("RGB", upright.size, "white")
                seen = upright.convert("RGBA")
                flat.paste(seen, mask=seen.getchannel("A"))
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError, EOFError, MemoryError):
        raise Problem(IMAGE) from None
    flat.thumbnail((EDGE_MAX[kind], EDGE_MAX[kind]))
    made = BytesIO()
    flat.save(made, "JPEG", quality=_QUALITY, optimize=True)
    return Remade(made.getvalue(), flat.width, flat.height)


def keep(desk: DeskContext, session: Session, person_id: str, kind: ImageKind, image: Remade) -> DeskImage:
    """Keep a picture under its person's key, in the place of an earlier one of its kind."""
    for old in session.scalars(
        select(DeskImage).where((DeskImage.person_id == person_id) & (DeskImage.kind == kind))
    ).all():
        session.execute(delete(DeskImagePiece).where(DeskImagePiece.image_id == old.id))
        session.delete(old)
    row = DeskImage(
        person_id=person_id,
        kind=kind,
        created_ms=desk.now(),
        width=image.width,
        height=image.height,
        size_bytes=len(image.content),
    )
    session.add(row)
    session.flush()
    for position, start in enumerate(range(0, len(image.content), PIECE_BYTES)):
        piece = DeskImagePiece(person_id=person_id, image_id=row.id, position=position)
        text = base64.b64encode(image.content[start : start + PIECE_BYTES]).decode()
        desk.store.people.seal(session, piece, DeskImagePiece.content, text)
    session.flush()
    return row


def load(desk: DeskContext, session: Session, person_id: str, kind: ImageKind) -> bytes | None:
    """A person's picture of a kind; None if there is none. Who shows it has called `require_reason` before."""
    wanted = (DeskImage.person_id == person_id) & (DeskImage.kind == kind)
    row = session.scalar(select(DeskImage).where(wanted))
    if row is None:
        return None
    query = select(DeskImagePiece).where(DeskImagePiece.image_id == row.id).order_by(DeskImagePiece.position)
    pieces = [desk.store.people.open(session, piece, DeskImagePiece.content) or "" for piece in session.scalars(query)]
    return b"".join(base64.b64decode(piece) for piece in pieces)


def kinds_of(session: Session, person_id: str) -> set[str]:
    """Which pictures there are."""
    return set(session.scalars(select(DeskImage.kind).where(DeskImage.person_id == person_id)))
