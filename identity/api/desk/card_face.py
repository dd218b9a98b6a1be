# SPDX-License-Identifier: Apache-2.0
"""The two sides of a card, ready for the card printer: ID-1, in Chinese and English beside one another.

The face names the holder, since people look at it; it shows no 18-digit number and no IMI, and nothing on it leads to a
record. The place of the chip's contacts stays free of ink. An emulated card's face says that it is one.

Source: ISO/IEC 7810 (ID-1); ISO/IEC 7816-2, figure 2 (where the contacts are).
"""

from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Final

from service.language import Language, add_messages, translate
from service.pdf import CARD, CELADON, FAINT, Color, Document

add_messages(Path(__file__).parent / "messages" / "face")

CHINESE: Final[Language] = "zh-CN"
ENGLISH: Final[Language] = "en"
WARNING: Final[Color] = (166, 38, 38)

_LEFT: Final = 4.0
_PHOTO_AT: Final = (58.6, 12.5)
_PHOTO_WIDTH: Final = 23.0
_PHOTO_HEIGHT: Final = 31.0
_TEXT_WIDTH: Final = 52.0
_CHIP_END: Final = 32.0
"""The contacts lie between 17 and 31 mm from the upper edge, 9 to 24 mm from the left one."""
_QR_MM: Final = 24.0


@dataclass(frozen=True, slots=True)
class Face:
    """What a card shows.

    Attributes:
        issuer: Who issues it, in Chinese.
        issuer_english: The same in English.
        name: The holder's name, as in the register.
        serial: What is printed on the blank.
        expires: The last day.
        lost: Where a lost card is suspended: a telephone number, or a short address.
        lost_url: The same for a camera; "" leaves the code out.
        photo: JPEG or PNG; None leaves its place empty.
        emulated: Whether it exists as software alone.
    """

    issuer: str
    issuer_english: str
    name: str
    serial: str
    expires: date
    lost: str
    lost_url: str = ""
    photo: bytes | None = field(default=None, repr=False)
    emulated: bool = False


def card_face(face: Face, made_at: datetime) -> bytes:
    """Both sides of a card as PDF, two pages; some 1.2 s of a core.

    Args:
        face: What it shows.
        made_at: The moment that stands in the file; aware of its zone.

    Raises:
        Unprintable: A name that does not fit, or has a character that the font lacks: print that card by hand.
    """
    document = Document(translate(CHINESE, "face.title"), CHINESE, made_at, CARD)
    _front(document, face)
    document.page()
    _back(document, face)
    return document.output()


def _front(document: Document, face: Face) -> None:
    title = f"{translate(CHINESE, 'face.title')}  {translate(ENGLISH, 'face.title')}"
    document.box(face.issuer, (_LEFT, 3.5), 50, size_pt=10, bold=True, color=CELADON)
    document.box(face.issuer_english, (_LEFT, 8.6), 50, size_pt=6.5, color=CELADON)
    document.box(title, (_LEFT + 46, 3.5), 31.6, size_pt=7.5, align="right", color=CELADON)
    if face.photo is not None:
        document.picture(face.photo, _PHOTO_AT, _PHOTO_WIDTH, _PHOTO_HEIGHT)
    _label(document, translate(CHINESE, "face.name"), translate(ENGLISH, "face.name"), _LEFT, _CHIP_END)
    document.box(face.name, (_LEFT, _CHIP_END + 3.2), _TEXT_WIDTH, size_pt=14, size_min_pt=6, lines_max=2, bold=True)
    y = 43.5
    _label(document, translate(CHINESE, "face.expires"), translate(ENGLISH, "face.expires"), _LEFT, y)
    document.box(face.expires.isoformat(), (_LEFT, y + 3), 24, size_pt=8.5)
    _label(document, translate(CHINESE, "face.serial"), translate(ENGLISH, "face.serial"), _LEFT + 26, y)
    document.box(face.serial, (_LEFT + 26, y + 3), 28, size_pt=8.5)
    if face.emulated:
        for y, language in ((21.0, CHINESE), (25.0, ENGLISH)):
            mark = translate(language, "face.emulated")
            document.box(mark, (25, y), 32, size_pt=7, bold=True, align="center", color=WARNING)


def _back(document: Document, face: Face) -> None:
    width = CARD.width_mm - 2 * _LEFT - (_QR_MM + 2 if face.lost_url else 0)
    groups = (
        (translate(CHINESE, "face.lost", where=face.lost), translate(ENGLISH, "face.lost", where=face.lost)),
        (translate(CHINESE, "face.found"), translate(ENGLISH, "face.found")),
        (translate(CHINESE, "face.pin"), translate(ENGLISH, "face.pin")),
    )
    for place, (chinese, english) in enumerate(groups):
        y = 8 + place * 14.0
        document.box(chinese, (_LEFT, y), width, size_pt=8)
        document.box(english, (_LEFT, y + 4.4), width, size_pt=7, color=FAINT)
    if face.lost_url:
        document.qr(face.lost_url, _QR_MM, at=(CARD.width_mm - _LEFT - _QR_MM, 5))


def _label(document: Document, chinese: str, english: str, x: float, y: float) -> None:
    document.box(f"{chinese} {english}", (x, y), 30, size_pt=5.5, color=FAINT)
