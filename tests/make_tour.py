# SPDX-License-Identifier: Apache-2.0
"""Makes the pictures of the README's tour from those that the browser tests took of the running product.

    make tour

Everybody in them is invented. Run by hand when pages have changed; the pictures are committed.
"""

import re
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
SCREENS = ROOT / ".artefacts" / "screens"
TOUR = ROOT / "docs" / "tour"
WIDTH, HEIGHT_MAX = 820, 1_060
NARROW, NARROW_HEIGHT_MAX = 400, 860
"""Of phones and kiosks, four of which stand beside one another."""
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
    "shopper-en": "shopper-journey-phone-en-dark",
    "payment-en": "wallet-payment-phone-en-dark",
    "score-en": "credit-score-en-phone-zh-CN-light",
    "kiosk-en": "kiosk-confirm-by-phone-kiosk-en-dark",
    "shopper-zh": "shopper-journey-phone-zh-CN-light",
    "payment-zh": "wallet-payment-phone-zh-CN-light",
    "score-zh": "credit-score-phone-zh-CN-light",
    "kiosk-zh": "kiosk-confirm-kiosk-zh-CN-light",
}
"""Name in the tour, and the screen that it is made of."""


def main() -> int:
    """Make each picture; says which screen is missing."""
    TOUR.mkdir(parents=True, exist_ok=True)
    missing = [screen for screen in PICTURES.values() if not (SCREENS / f"{screen}.png").exists()]
    if missing:
        sys.stderr.write(f"missing in {SCREENS}: {', '.join(missing)}; browser tests make them\n")
        return 1
    for name, screen in PICTURES.items():
        with Image.open(SCREENS / f"{screen}.png") as shown:
            is_narrow = re.search("-(phone|kiosk)-(zh-CN|en)-(light|dark)$", screen) is not None
            width, most = (NARROW, NARROW_HEIGHT_MAX) if is_narrow else (WIDTH, HEIGHT_MAX)
            height = round(shown.height * width / shown.width)
            small = shown.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
            small.crop((0, 0, width, min(height, most))).save(
                TOUR / f"{name}.webp", quality=QUALITY, method=6, exact=False
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
