# SPDX-License-Identifier: Apache-2.0
"""The ways in which the desk refuses work on cards, companies, mandates and batches."""

from pathlib import Path

from service.language import add_messages
from service.problems import ProblemKind

add_messages(Path(__file__).parent / "messages" / "cards")

STEP = ProblemKind("card.step", 409)
UNKNOWN_CARD = ProblemKind("card.unknown", 404)
HAS_CARD = ProblemKind("card.has-one", 409)
NOT_REGISTERED = ProblemKind("card.not-registered", 409)
NOT_PROPOSED = ProblemKind("card.not-proposed", 409)
OTHER_BLANK = ProblemKind("card.other-blank", 409)
OTHER_CARD = ProblemKind("card.other-card", 409)
SAME_PIN = ProblemKind("card.same-pin", 422)
LETTER_GONE = ProblemKind("card.letter-gone", 410)
NO_SUCH_CARD = ProblemKind("card.no-match", 404)
TOO_MANY_CALLS = ProblemKind("card.too-many-calls", 429)
NO_SERVICE_KEY = ProblemKind("card.no-service-key", 503)
STOP_FIRST = ProblemKind("card.stop-first", 409)
NO_SHOP = ProblemKind("card.no-workshop", 503)
REMOVED = ProblemKind("card.removed", 409)
NO_CARD = ProblemKind("card.none", 409)
PIN_FORM = ProblemKind("card.pin-form", 422)
PIN_AGAIN = ProblemKind("card.pin-again", 422)
PIN_WRONG = ProblemKind("card.pin-wrong", 409)
PIN_BLOCKED = ProblemKind("card.pin-blocked", 409)
NOT_SEEN = ProblemKind("card.not-seen", 422)
CARD_FAILED = ProblemKind("card.broken", 502)
NO_BLANK = ProblemKind("stock.none-left", 409)
SERIAL = ProblemKind("stock.serial", 422)
SERIAL_TAKEN = ProblemKind("stock.serial-taken", 409)
UNKNOWN_BLANK = ProblemKind("stock.unknown", 404)
BLANK_STATE = ProblemKind("stock.state", 409)
SECOND_PERSON = ProblemKind("stock.second-person", 409)
FIGURE = ProblemKind("stock.figure", 422)
COUNT_OVER = ProblemKind("stock.count-over", 409)
MISSING_LIST = ProblemKind("stock.missing-list", 422)

CARD_KINDS: tuple[ProblemKind, ...] = (
    STEP,
    UNKNOWN_CARD,
    HAS_CARD,
    NOT_REGISTERED,
    NOT_PROPOSED,
    OTHER_BLANK,
    OTHER_CARD,
    SAME_PIN,
    LETTER_GONE,
    NO_SUCH_CARD,
    TOO_MANY_CALLS,
    NO_SERVICE_KEY,
    STOP_FIRST,
    NO_SHOP,
    REMOVED,
    NO_CARD,
    PIN_FORM,
    PIN_AGAIN,
    PIN_WRONG,
    PIN_BLOCKED,
    NOT_SEEN,
    CARD_FAILED,
    NO_BLANK,
    SERIAL,
    SERIAL_TAKEN,
    UNKNOWN_BLANK,
    BLANK_STATE,
    SECOND_PERSON,
    FIGURE,
    COUNT_OVER,
    MISSING_LIST,
)
