# SPDX-License-Identifier: Apache-2.0
"""Photos and scans of documents, kept under their persons' keys."""

from enum import StrEnum

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from identity.api.desk.base import DeskContext
from identity.api.desk.problems import IMAGE
from identity.api.desk.tables import DeskImage, DeskImagePiece
from service import pictures
from service.pictures import NoPicture, Remade, joined, pieces_of
from service.problems import Problem

_QUALITY = 85


class ImageKind(StrEnum):
    """What is seen."""

    PHOTO = "photo"
    DOCUMENT = "document"


EDGE_MAX = {ImageKind.PHOTO: 960, ImageKind.DOCUMENT: 1_800}
"""Pixels of the longer edge: a face in print, the small print of a card."""


def remake(raw: bytes, kind: ImageKind) -> Remade:
    """See `pictures.remake`; a picture as large as its kind needs to be.

    Raises:
        Problem: It is too large, or no picture.
    """
    try:
        return pictures.remake(raw, edge_max=EDGE_MAX[kind], quality=_QUALITY)
    except NoPicture:
        raise Problem(IMAGE) from None


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
    for position, text in enumerate(pieces_of(image.content)):
        piece = DeskImagePiece(person_id=person_id, image_id=row.id, position=position)
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
    return joined(pieces)


def kinds_of(session: Session, person_id: str) -> set[str]:
    """Which pictures there are."""
    return set(session.scalars(select(DeskImage.kind).where(DeskImage.person_id == person_id)))
