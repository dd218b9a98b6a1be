# SPDX-License-Identifier: Apache-2.0
"""Makes the pictures of the README's tour from those that the browser tests took of the running product.

    make tour

Everybody in them is invented. Run by hand when the desk's pages have changed; the pictures are committed.
"""

import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
SCREENS = ROOT / ".artefacts" / "screens"
TOUR = ROOT / "docs" / "tour"
WIDTH = 820
HEIGHT_MAX = 1_060
QUALITY = 72
PICTURES = {
    "approve-en": "desk-approve-tablet-en-light",
    "bind-en": "desk-card-confirm-tablet-en-light",
    "recover-en": "desk-card-recovery-sign-tablet-en-light",
    "person-en": "desk-card-person-revoked-desktop-en-light",
    "sign-zh": "desk-sign-desktop-zh-CN-light",
    "hand-over-zh": "desk-card-hand-over-desktop-zh-CN-light",
    "phone-zh": "desk-card-phone-fits-desktop-zh-CN-light",
    "recover-zh": "desk-card-recovery-sign-desktop-zh-CN-light",
}
"""Name in the tour, and the screen that it is made of."""


def main() -> int:
    """Make each picture; says which screen is missing."""
    TOUR.mkdir(parents=True, exist_ok=True)
    missing = [screen for screen in PICTURES.values() if not (SCREENS / f"{screen}.png").exists()]
    if missing:
        sys.stderr.write(f"missing in {SCREENS}: {', '.join(missing)}; the browser tests of the desk make them\n")
        return 1
    for name, screen in PICTURES.items():
        with Image.open(SCREENS / f"{screen}.png") as shown:
            height = round(shown.height * WIDTH / shown.width)
            small = shown.convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS)
            small.crop((0, 0, WIDTH, min(height, HEIGHT_MAX))).save(
                TOUR / f"{name}.webp", quality=QUALITY, method=6, exact=False
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
