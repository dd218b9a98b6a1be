# SPDX-License-Identifier: Apache-2.0
"""The fonts of one printed document: which characters there are, how wide a text is, and setting it at a place.

A document begins with the small fonts; the full ones, which take half a second each to read, join it at its first rare
character. See `service.common_fonts`.
"""

import weakref
from collections.abc import Iterator, Mapping
from itertools import groupby

from fpdf import FPDF
from fpdf.fonts import TTFFont

from service import common_fonts
from service.common_fonts import FILES

FOLDER = common_fonts.FOLDER
COMMON, FULL = "common", "full"
"""The two families: of the characters that nearly every document needs, and of all."""
GETA = "〓"
"""What printers of Chinese set in place of a character that they have not."""


class FontsNotBuilt(RuntimeError):
    """The fonts are not there; the message says what to run."""


class Typeface:
    """Noto Sans SC, regular and bold, within one document.

    Args:
        pdf: The document.

    Raises:
        FontsNotBuilt: The fonts are missing.
    """

    def __init__(self, pdf: FPDF) -> None:
        self._pdf = pdf
        self.missing: set[str] = set()
        """Characters that were asked for and that the fonts lack."""
        weakref.finalize(self, _close, pdf.fonts)
        self._characters = {COMMON: self._load(COMMON)}

    def printable(self, text: str) -> str:
        """The text with `GETA` for what the fonts lack, each of it noted in `missing`; newlines stay.

        Raises:
            FontsNotBuilt: It needs the full fonts, and they are missing.
        """
        rare = {one for one in text if ord(one) not in self._characters[COMMON] and one != "\n"}
        if rare and FULL not in self._characters:
            self._characters[FULL] = self._load(FULL)
        lacking = {one for one in rare if ord(one) not in self._characters[FULL]}
        self.missing |= lacking
        return text.translate({ord(one): GETA for one in lacking})

    def width(self, text: str, size_pt: float, *, bold: bool) -> float:
        """How long a printable text of one line is, in the document's unit: the sum of its parts."""
        return sum(self._run_width(family, part, size_pt, bold=bold) for family, part in self._runs(text))

    def write(self, text: str, x: float, baseline: float, size_pt: float, *, bold: bool) -> None:
        """Set a printable text of one line, from a point on its baseline."""
        for family, part in self._runs(text):
            width = self._run_width(family, part, size_pt, bold=bold)
            self._pdf.text(x, baseline, part)
            x += width

    def _runs(self, text: str) -> Iterator[tuple[str, str]]:
        """Families with the parts of a text that they show."""
        for is_common, part in groupby(text, key=lambda one: ord(one) in self._characters[COMMON]):
            yield COMMON if is_common else FULL, "".join(part)

    def _run_width(self, family: str, text: str, size_pt: float, *, bold: bool) -> float:
        self._pdf.set_font(family, "B" if bold else "", size_pt)
        return float(self._pdf.get_string_width(text))

    def _load(self, family: str) -> frozenset[int]:
        """Both weights of a family; returns the characters that both have."""
        folder = FOLDER / common_fonts.COMMON
        if family == FULL or not all((folder / name).exists() for name in FILES.values()):
            folder = FOLDER
        for style, name in FILES.items():
            try:
                self._pdf.add_font(family, style, folder / name)
            except FileNotFoundError:
                remedy = "run `make setup-web` (it needs Node.js 20 or newer)"
                raise FontsNotBuilt(f"the font {folder / name} is missing: {remedy}") from None
        fonts = [self._pdf.fonts[family + style] for style in FILES]
        return frozenset.intersection(*(frozenset(font.cmap) for font in fonts if isinstance(font, TTFFont)))


def _close(fonts: Mapping[str, object]) -> None:
    """Close the files of fonts, which the library reads as it needs them."""
    for font in fonts.values():
        if isinstance(font, TTFFont):
            font.close()
