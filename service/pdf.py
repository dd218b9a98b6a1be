# SPDX-License-Identifier: Apache-2.0
"""Printed matter: letters, lists and cards as PDF, in Chinese and English, with the font inside.

Everything is text that can be selected and searched, lines, and vector QR codes; pictures come in where they are
given. The same calls make the same bytes. Lengths are in millimetres from the upper left corner, sizes of type in
points. A document takes some 0.2 s of a core, one with a rare character a second: make it in a thread.

The font is Noto Sans SC (SIL Open Font License 1.1), which `make setup-web` puts into `fonts/`; a document embeds the
characters that it uses, rare ones from the full font. What that lacks, too, is printed as `〓` and named in `missing`,
and `output` refuses it unless it is told that somebody has seen that.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias

import segno
from fpdf import FPDF
from PIL import Image

from service.language import Language, translate
from service.line_breaks import break_lines
from service.typeface import GETA, FontsNotBuilt, Typeface

__all__ = ["A4", "CARD", "GETA", "Document", "FontsNotBuilt", "Form", "Unprintable"]

PAGES_MAX = 2_000
"""A batch of a thousand letters and more; nobody handles a longer document."""
TEXT_MAX = 20_000
"""Characters of one paragraph or cell: several pages; longer text is several paragraphs."""
PICTURE_BYTES_MAX = 4 * 2**20
"""A portrait, as a camera takes it."""
PICTURE_PIXELS_MAX = 24_000_000
"""What a camera gives today; a small file that unpacks to more is an attack."""
PICTURE_DPI = 300
"""As fine as cards are printed."""

BODY_PT = 10.5
HEADING_PT = {1: 20.0, 2: 14.0, 3: 11.5}
SMALL_PT = 8.0
LEADING = 1.55
"""Line to line, in sizes: Chinese needs more than English."""
MM_PER_PT = 25.4 / 72
BASELINE = 0.36
"""From the middle of a line down to its baseline, in sizes: half of a capital's height."""
QUIET_MODULES = 4
"""White on each side of a QR code (ISO/IEC 18004, 6.3.8)."""
CELL_PAD = 1.6

Color: TypeAlias = tuple[int, int, int]
Align: TypeAlias = Literal["left", "center", "right"]
INK: Color = (27, 36, 48)
FAINT: Color = (92, 100, 112)
LINE: Color = (200, 203, 206)
CELADON: Color = (31, 122, 99)


class Unprintable(ValueError):
    """What was to be printed can't be: a character without a picture, or more than fits. The message says which."""


@dataclass(frozen=True, slots=True)
class Form:
    """A kind of page."""

    width_mm: float
    height_mm: float
    margin_mm: float
    is_numbered: bool


A4 = Form(210, 297, 20, is_numbered=True)
CARD = Form(85.6, 54, 4, is_numbered=False)
"""ID-1, the size of a bank card (ISO/IEC 7810)."""


class Document:
    """A document that is written from top to bottom, page after page.

    Args:
        title: What it is, for the window of a reader; never a person's name.
        language: Of the page numbers, and what a screen reader speaks.
        made_at: The moment that stands in the file; aware of its zone.
        form: Of the first page.

    Raises:
        FontsNotBuilt: The fonts are missing.
    """

    def __init__(self, title: str, language: Language, made_at: datetime, form: Form = A4) -> None:
        assert made_at.tzinfo is not None, "a moment without a zone means nothing to a reader elsewhere"
        self._language = language
        self._forms: list[Form] = []
        self._output: bytes | None = None
        pdf = self._pdf = FPDF(unit="mm")
        pdf.set_auto_page_break(auto=False)
        pdf.set_margin(0)
        pdf.set_title(title)
        pdf.set_lang(language)
        pdf.set_producer("Zhixin")
        pdf.set_creation_date(made_at.astimezone(UTC))
        pdf.set_image_filter("DCTDecode")
        self._typeface = Typeface(pdf)
        self.page(form)

    @property
    def missing(self) -> frozenset[str]:
        """Characters that the font lacks, so far."""
        return frozenset(self._typeface.missing)

    @property
    def pages(self) -> int:
        """How many pages there are, so far."""
        return len(self._forms)

    @property
    def form(self) -> Form:
        """The kind of the page that is written on."""
        return self._forms[-1]

    def page(self, form: Form | None = None) -> None:
        """Begin a new page.

        Args:
            form: Its kind; None: that of the page before.

        Raises:
            Unprintable: There are too many.
        """
        if self.pages >= PAGES_MAX:
            raise Unprintable(f"a document has at most {PAGES_MAX} pages; make several")
        self._forms.append(form or self.form)
        self._pdf.add_page(format=(self.form.width_mm, self.form.height_mm))
        self._y = self.form.margin_mm

    def heading(self, text: str, level: Literal[1, 2, 3] = 1) -> None:
        """A heading; it stays with at least two lines of what follows."""
        size = HEADING_PT[level]
        if self._y > self.form.margin_mm:
            self.gap(3)
        self._flow(text, size, bold=True, keep_mm=2 * BODY_PT * LEADING * MM_PER_PT)
        if level == 1:
            self._pdf.set_draw_color(CELADON)
            self._pdf.set_line_width(0.6)
            self._pdf.line(self.form.margin_mm, self._y + 1, self.form.margin_mm + 18, self._y + 1)
            self._y += 2
        self.gap(2)

    def paragraph(self, text: str, *, bold: bool = False, small: bool = False) -> None:
        """A paragraph, broken into lines as its scripts want; a newline begins a new one.

        Raises:
            Unprintable: It is far too long.
        """
        self._flow(text, SMALL_PT if small else BODY_PT, bold=bold, color=FAINT if small else INK)
        self.gap(2)

    def gap(self, height_mm: float) -> None:
        """Leave some room; none at the end of a page."""
        self._y = min(self._y + height_mm, self._bottom())

    def fields(self, rows: Sequence[tuple[str, str]]) -> None:
        """Labels with their values, one below the other."""
        self._rows(rows, self._columns((1, 2)))
        self.gap(2)

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]], shares: Sequence[float] | None = None) -> None:
        """A table; its head stands again on each further page.

        Args:
            head: A title for each column.
            rows: Each as many cells as the head.
            shares: How wide each column is against the others; None: all alike.

        Raises:
            Unprintable: A row is higher than a page.
        """
        assert all(len(row) == len(head) for row in rows), "each row has a cell for each column"
        self._rows(rows, self._columns(shares or [1] * len(head)), head)
        self.gap(3)

    def qr(self, data: str | bytes, size_mm: float, at: tuple[float, float] | None = None, caption: str = "") -> None:
        """A QR code of vectors, with error correction M and the white that it needs around it.

        Args:
            data: What it holds.
            size_mm: Width and height, the white included.
            at: Its upper left corner; None: here, where the page goes on below it.
            caption: Stands to its right where the page goes on.

        Raises:
            Unprintable: One code can't hold so much.
        """
        try:
            rows = segno.make(data, error="m", micro=False, boost_error=False).matrix
        except segno.DataOverflowError:
            raise Unprintable(f"{len(data)} characters don't fit into one QR code; split them") from None
        if at is None:
            self._make_room(size_mm)
        x, y = at or (self.form.margin_mm, self._y)
        module = size_mm / (len(rows) + 2 * QUIET_MODULES)
        self._pdf.set_fill_color(0)
        for row, modules in enumerate(rows):
            start = 0
            while (start := modules.find(1, start)) >= 0:
                end = modules.find(0, start)
                end = len(modules) if end < 0 else end
                place = (x + (QUIET_MODULES + start) * module, y + (QUIET_MODULES + row) * module)
                self._pdf.rect(*place, (end - start) * module, module, style="F")
                start = end
        if at is None:
            left = x + size_mm + 4
            width = self.form.width_mm - self.form.margin_mm - left
            if caption and width > 0:
                self.box(caption, (left, y + module * QUIET_MODULES), width, lines_max=max(1, int(size_mm / 6)))
            self._y += size_mm

    def picture(self, content: bytes, at: tuple[float, float], width_mm: float, height_mm: float) -> None:
        """A picture, cut to the place's shape; what a camera wrote beside it (place, time, device) stays out.

        Args:
            content: JPEG or PNG.
            at: Upper left corner.
            width_mm: Of its place.
            height_mm: Of its place.

        Raises:
            Unprintable: No such picture, or too large.
        """
        if len(content) > PICTURE_BYTES_MAX:
            raise Unprintable(f"a picture has at most {PICTURE_BYTES_MAX} bytes")
        try:
            with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as opened:
                if opened.width * opened.height > PICTURE_PIXELS_MAX:
                    raise Unprintable(f"a picture has at most {PICTURE_PIXELS_MAX} pixels")
                shown = opened.convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise error if isinstance(error, Unprintable) else Unprintable("no JPEG or PNG picture") from None
        ratio = width_mm / height_mm
        width, height = min(shown.width, shown.height * ratio), min(shown.height, shown.width / ratio)
        left, top = (shown.width - width) / 2, (shown.height - height) / 2
        pixels = (round(width_mm / 25.4 * PICTURE_DPI), round(height_mm / 25.4 * PICTURE_DPI))
        cut = shown.resize(pixels, Image.Resampling.LANCZOS, box=(left, top, left + width, top + height))
        self._pdf.image(cut, *at, width_mm, height_mm)

    def box(
        self,
        text: str,
        at: tuple[float, float],
        width_mm: float,
        *,
        size_pt: float = BODY_PT,
        size_min_pt: float = 5.0,
        lines_max: int = 1,
        bold: bool = False,
        align: Align = "left",
        color: Color = INK,
    ) -> None:
        """Text at a place, made smaller until it fits; nothing of it is ever cut off.

        Args:
            text: What it says.
            at: Upper left corner.
            width_mm: How wide a line may be.
            size_pt: Size where it fits.
            size_min_pt: As small as it may get.
            lines_max: Lines that it may take.
            bold: Whether it is bold.
            align: Where its lines stand within the width.
            color: Of the ink.

        Raises:
            Unprintable: It does not fit at the smallest size.
        """
        text = self._printable(text)
        size = size_pt
        while len(lines := self._break(text, width_mm, size, bold=bold)) > lines_max:
            size -= 0.5
            if size < size_min_pt:
                raise Unprintable(f"{len(text)} characters don't fit into {width_mm} mm on {lines_max} lines; say less")
        for row, line in enumerate(lines):
            spare = width_mm - self._typeface.width(line, size, bold=bold)
            x = at[0] + {"left": 0.0, "center": spare / 2, "right": spare}[align]
            self._write(line, x, at[1] + row * size * LEADING * MM_PER_PT, size, bold=bold, color=color)

    def output(self, *, allow_missing: bool = False) -> bytes:
        """The finished document; nothing can be added after it.

        Args:
            allow_missing: Whoever prints it knows that `missing` is not empty, and what to do about it.

        Raises:
            Unprintable: Characters are missing; they are named.
        """
        if self.missing and not allow_missing:
            named = ", ".join(f"{one} U+{ord(one):04X}" for one in sorted(self.missing)[:20])
            raise Unprintable(f"the font has no picture of {named}; write the text otherwise, or allow {GETA} for it")
        if self._output is None:
            self._number_pages()
            self._output = bytes(self._pdf.output())
        return self._output

    def _number_pages(self) -> None:
        """Where each stands among all, at its foot; only now is it known how many there are."""
        if self.pages < 2:
            return
        for page, form in enumerate(self._forms, 1):
            if form.is_numbered:
                self._pdf.page, self._pdf.h = page, form.height_mm
                self._pdf.current_font_is_set_on_page = False
                text = translate(self._language, "pdf.page", page=page, pages=self.pages)
                x = (form.width_mm - self._typeface.width(text, SMALL_PT, bold=False)) / 2
                self._write(text, x, form.height_mm - form.margin_mm / 2 - 3, SMALL_PT, bold=False, color=FAINT)
        self._pdf.page, self._pdf.h = self.pages, self.form.height_mm

    def _printable(self, text: str) -> str:
        """The text with `GETA` for what the fonts lack."""
        if len(text) > TEXT_MAX:
            raise Unprintable(f"{len(text)} characters in one piece; at most {TEXT_MAX}")
        return self._typeface.printable(text)

    def _bottom(self) -> float:
        return self.form.height_mm - self.form.margin_mm

    def _make_room(self, height_mm: float) -> bool:
        """Go to a new page unless so much still fits on this one; whether it did."""
        if self._y + height_mm <= self._bottom() or self._y == self.form.margin_mm:
            return False
        self.page()
        return True

    def _break(self, text: str, width_mm: float, size_pt: float, *, bold: bool) -> list[str]:
        return break_lines(text, width_mm, lambda part: self._typeface.width(part, size_pt, bold=bold))

    def _write(self, line: str, x: float, y: float, size_pt: float, *, bold: bool, color: Color = INK) -> None:
        """One line whose upper edge is at `y`."""
        self._pdf.set_text_color(color)
        self._typeface.write(line, x, y + (LEADING / 2 + BASELINE) * size_pt * MM_PER_PT, size_pt, bold=bold)

    def _flow(self, text: str, size_pt: float, *, bold: bool, color: Color = INK, keep_mm: float = 0) -> None:
        """Lines where the page stands, over as many pages as they need."""
        width = self.form.width_mm - 2 * self.form.margin_mm
        height = size_pt * LEADING * MM_PER_PT
        for line in self._break(self._printable(text), width, size_pt, bold=bold):
            self._make_room(height + keep_mm)
            self._write(line, self.form.margin_mm, self._y, size_pt, bold=bold, color=color)
            self._y += height

    def _columns(self, shares: Sequence[float]) -> list[float]:
        width = self.form.width_mm - 2 * self.form.margin_mm
        return [width * share / sum(shares) for share in shares]

    def _rows(self, rows: Sequence[Sequence[str]], widths: Sequence[float], head: Sequence[str] | None = None) -> None:
        """Rows of cells, each as high as its highest cell, with a line below where there is a head."""
        top = [] if head is None else self._cells(head, widths, bold=True)
        if top:
            self._make_room(self._height(top) + 2 * BODY_PT * LEADING * MM_PER_PT)
            self._row(top, widths, bold=True, lined=True)
        for row in rows:
            cells = self._cells(row, widths, bold=False)
            height = self._height(cells)
            if height + self._height(top) > self._bottom() - self.form.margin_mm:
                raise Unprintable("a row is higher than a page; say less in its cells")
            if self._make_room(height) and top:
                self._row(top, widths, bold=True, lined=True)
            self._row(cells, widths, bold=False, lined=bool(top))

    def _cells(self, row: Sequence[str], widths: Sequence[float], *, bold: bool) -> list[list[str]]:
        return [
            self._break(self._printable(text), width - CELL_PAD, BODY_PT, bold=bold)
            for text, width in zip(row, widths, strict=True)
        ]

    def _height(self, cells: Sequence[Sequence[str]]) -> float:
        return max(map(len, cells), default=0) * BODY_PT * LEADING * MM_PER_PT + CELL_PAD if cells else 0

    def _row(self, cells: Sequence[Sequence[str]], widths: Sequence[float], *, bold: bool, lined: bool) -> None:
        x = self.form.margin_mm
        for lines, width in zip(cells, widths, strict=True):
            for index, line in enumerate(lines):
                y = self._y + CELL_PAD / 2 + index * BODY_PT * LEADING * MM_PER_PT
                self._write(line, x, y, BODY_PT, bold=bold)
            x += width
        self._y += self._height(cells)
        if lined:
            self._pdf.set_draw_color(INK if bold else LINE)
            self._pdf.set_line_width(0.3 if bold else 0.15)
            self._pdf.line(self.form.margin_mm, self._y, x, self._y)
