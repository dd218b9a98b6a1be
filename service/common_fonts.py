# SPDX-License-Identifier: Apache-2.0
"""Small fonts for printed matter: of the full ones, what nearly every document needs. `python -m service.common_fonts`.

The full font has 30,000 characters, and whoever embeds ten of them reads them all: half a second for each weight. With
the 6,763 of GB/T 2312 and European letters it is a twelfth of that. A document with a rarer character takes the full
font, and so does one where these were not made.
"""

import sys
from pathlib import Path

from fontTools import subset, ttLib

FOLDER = Path(__file__).parent / "fonts"
FILES = {"": "NotoSansSC_400Regular.ttf", "B": "NotoSansSC_700Bold.ttf"}
COMMON = "common"
"""Folder below `FOLDER` of the small ones, under the same names."""

_DROPPED = ("GSUB", "GPOS", "GDEF", "BASE", "VORG", "vhea", "vmtx", "DSIG")
"""Tables for shaping, vertical text and signatures, which printed matter does not use."""
_SIGNS = "〓—…·￥“”‘’–−№℃％₂²³×÷≤≥"


def common_characters() -> frozenset[str]:
    """GB/T 2312, Latin letters with their accents, and some signs."""
    found = {chr(code) for code in range(0x20, 0x250)} | set(_SIGNS)
    for high in range(0xA1, 0xF8):
        for low in range(0xA1, 0xFF):
            try:
                found.add(bytes((high, low)).decode("gb2312"))
            except UnicodeDecodeError:
                continue  # no character stands there
    return frozenset(found)


def make(folder: Path) -> None:
    """Write the small fonts beside the full ones.

    Args:
        folder: Holds `FILES`; what stands in its folder `COMMON` is replaced.
    """
    text = "".join(sorted(common_characters()))
    (folder / COMMON).mkdir(exist_ok=True)
    for name in FILES.values():
        options = subset.Options(notdef_outline=True, recommended_glyphs=True, layout_features=[], name_IDs=["*"])
        options.drop_tables += _DROPPED
        cutter = subset.Subsetter(options)
        cutter.populate(text=text)
        with ttLib.TTFont(folder / name, recalcTimestamp=False, lazy=True) as font:
            cutter.subset(font)
            partial = folder / COMMON / f".{name}"
            font.save(partial)
        partial.replace(folder / COMMON / name)


if __name__ == "__main__":
    try:
        make(FOLDER)
    except FileNotFoundError as error:
        sys.exit(f"{error.filename} is missing: run `make setup-web`")
