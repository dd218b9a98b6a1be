# SPDX-License-Identifier: Apache-2.0
"""Labels: a GS1 Digital Link as QR code, alone as SVG or PNG, or many on a printable A4 sheet.

A code holds the link and nothing else, so that any camera app opens the page. One code for a batch, or one for each
serial, is a matter of the links given. Sheets have 21 labels of 63.5 x 38.1 mm, as office shops sell them.
Source: GS1 General Specifications, 5.12 (QR codes with Digital Link): error correction M, four modules of white.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import segno

from service.language import Language
from service.pdf import A4, Document
from traceability import digital_link

LABELS_MAX: Final = 2_100
"""A hundred sheets; some seconds of a core."""
MODULE_PX_MAX: Final = 40
"""A code of 45 modules is 2,100 pixels wide then: for a poster."""
QUIET_MODULES: Final = 4

_COLUMNS, _ROWS = 3, 7
_LEFT_MM, _TOP_MM = 7.2, 15.1
_STEP_X_MM, _STEP_Y_MM = 66.0, 38.1
_WIDTH_MM = 63.5
_CODE_MM = 31.0
_PAD_MM = 2.0
_TEXT_LINES_MAX = 3


@dataclass(frozen=True, slots=True)
class Label:
    """One label.

    Attributes:
        uri: What the code holds: a GS1 Digital Link.
        title: What it is, in large type.
        lines: At most three more, in small type: origin, lot, date.
    """

    uri: str
    title: str
    lines: tuple[str, ...] = ()


class TooManyLabels(ValueError):
    """More labels than one file takes."""


def label_svg(uri: str) -> bytes:
    """A code as SVG, which scales to any size.

    Raises:
        InvalidCode: The text is no Digital Link.
    """
    drawn = io.BytesIO()
    _code(uri).save(drawn, kind="svg", xmldecl=False, svgns=True, border=QUIET_MODULES, omitsize=True)
    return drawn.getvalue()


def label_png(uri: str, *, module_px: int = 8) -> bytes:
    """A code as PNG.

    Args:
        uri: A Digital Link.
        module_px: Pixels of one module, 1 to 40.

    Raises:
        InvalidCode: The text is no Digital Link.
    """
    assert 1 <= module_px <= MODULE_PX_MAX, "whoever asks is told the bounds before"
    drawn = io.BytesIO()
    _code(uri).save(drawn, kind="png", scale=module_px, border=QUIET_MODULES)
    return drawn.getvalue()


def label_sheet(title: str, labels: Sequence[Label], language: Language, made_at: datetime) -> bytes:
    """Labels on A4 sheets, row by row, as PDF.

    Args:
        title: Of the file.
        labels: At most 2,100.
        language: Of the text.
        made_at: When; with a zone.

    Raises:
        TooManyLabels: Make several files.
        InvalidCode: A link is none.
        Unprintable: A text does not fit, or has a character that the font lacks.
        FontsNotBuilt: The fonts are missing.
    """
    if len(labels) > LABELS_MAX:
        raise TooManyLabels(f"one file has at most {LABELS_MAX} labels, not {len(labels)}")
    for label in labels:
        digital_link.parse(label.uri)
    document = Document(title, language, made_at, A4)
    for index, label in enumerate(labels):
        place = index % (_COLUMNS * _ROWS)
        if index and place == 0:
            document.page()
        row, column = divmod(place, _COLUMNS)
        _draw(document, label, _LEFT_MM + column * _STEP_X_MM, _TOP_MM + row * _STEP_Y_MM)
    return document.output()


def _draw(document: Document, label: Label, x: float, y: float) -> None:
    """One label on a sheet: the code on the left, the words beside it."""
    document.qr(label.uri, _CODE_MM, (x + _PAD_MM, y + (_STEP_Y_MM - _CODE_MM) / 2))
    left, width = x + _PAD_MM + _CODE_MM, _WIDTH_MM - _CODE_MM - 2 * _PAD_MM
    document.box(label.title, (left, y + 5), width, size_pt=11, lines_max=2, bold=True)
    for number, line in enumerate(label.lines[:_TEXT_LINES_MAX]):
        document.box(line, (left, y + 17 + number * 5), width, size_pt=7.5, size_min_pt=4.5)


def _code(uri: str) -> segno.QRCode:
    """The code of a link.

    Raises:
        InvalidCode: The text is none.
    """
    digital_link.parse(uri)
    return segno.make_qr(uri, error="m", boost_error=False)
