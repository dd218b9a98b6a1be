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
