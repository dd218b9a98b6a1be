# SPDX-License-Identifier: Apache-2.0
"""How the office refuses a kiosk, and how a kiosk's pages refuse a request."""

from pathlib import Path
from typing import Final

from service.language import add_messages
from service.problems import ProblemKind

add_messages(Path(__file__).parent / "messages")

DEVICE: Final = ProblemKind("kiosk.device", 403)
AWAY: Final = ProblemKind("kiosk.away", 503)
OUT_OF_TURN: Final = ProblemKind("kiosk.out-of-turn", 409)

CLOCK: Final = ProblemKind("kiosk.clock", 422)
CARD_UNKNOWN: Final = ProblemKind("kiosk.card-unknown", 422)
CARD_ENDED: Final = ProblemKind("kiosk.card-ended", 422)
SIGNATURE: Final = ProblemKind("kiosk.signature", 422)
STATEMENT: Final = ProblemKind("kiosk.statement", 422)
BILL: Final = ProblemKind("kiosk.bill", 422)
PHONE: Final = ProblemKind("kiosk.phone", 422)
PERSON: Final = ProblemKind("kiosk.person", 422)
VISIT: Final = ProblemKind("kiosk.visit", 422)
WAY: Final = ProblemKind("kiosk.way", 422)
MANDATE: Final = ProblemKind("kiosk.mandate", 422)
NOBODY_FITS: Final = ProblemKind("kiosk.nobody-fits", 422)
TOO_MANY: Final = ProblemKind("kiosk.too-many", 429)

REFUSALS: Final = (
    CLOCK,
    CARD_UNKNOWN,
    CARD_ENDED,
    SIGNATURE,
    STATEMENT,
    BILL,
    PHONE,
    PERSON,
    VISIT,
    WAY,
    MANDATE,
    NOBODY_FITS,
    TOO_MANY,
)
CODES: Final = {kind.code: kind for kind in REFUSALS}
"""What the office says about a card or a statement, by code."""
OFFICE_KINDS: Final = (DEVICE, AWAY, *REFUSALS)
KIOSK_KINDS: Final = (OUT_OF_TURN,)
