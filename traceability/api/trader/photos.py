# SPDX-License-Identifier: Apache-2.0
"""Pictures that belong to a record.

What a camera wrote beside the picture (place, time, device) is gone before the digest is taken: the ledger commits to
the picture that is kept, and the picture tells nobody where somebody lives.
"""

from typing import Final

from service import pictures
from service.pictures import NoPicture
from service.problems import Problem
from traceability.api.trader.problems import PHOTO

EDGE_MAX: Final = 1_600
"""Pixels of the longer edge: a label on a crate can still be read."""
_QUALITY = 80


def remake(raw: bytes) -> bytes:
    """See `pictures.remake`; the JPEG file.

    Raises:
        Problem: It is too large, or no picture.
    """
    try:
        return pictures.remake(raw, edge_max=EDGE_MAX, quality=_QUALITY).content
    except NoPicture:
        raise Problem(PHOTO) from None
