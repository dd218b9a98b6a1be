# SPDX-License-Identifier: Apache-2.0
"""The ways in which the card's agent refuses, and what a card or reader can fail with."""

from pathlib import Path

from identity.cards.card import (
    CardError,
    CardRemoved,
    InvalidPin,
    NoCard,
    PcscMissing,
    PinBlocked,
    ReaderUnplugged,
    Unsupported,
    WrongPin,
)
from service.language import add_messages
from service.problems import Problem, ProblemKind

add_messages(Path(__file__).parent / "messages")

ORIGIN = ProblemKind("agent.origin", 403)
UNPAIRED = ProblemKind("agent.unpaired", 401)
UNKNOWN = ProblemKind("agent.unknown", 404)
ACT_UNFIT = ProblemKind("agent.act-unfit", 422)
OTHER_CARD = ProblemKind("agent.other-card", 409)
BUSY = ProblemKind("agent.busy", 503)
LAST_TRY = ProblemKind("agent.last-try", 409)
NO_CARD = ProblemKind("agent.no-card", 409)
CARD_REMOVED = ProblemKind("agent.card-removed", 409)
READER_UNPLUGGED = ProblemKind("agent.reader-unplugged", 409)
PCSC_MISSING = ProblemKind("agent.pcsc-missing", 503)
PIN_FORM = ProblemKind("agent.pin-form", 422)
PIN_WRONG = ProblemKind("agent.pin-wrong", 403)
PIN_BLOCKED = ProblemKind("agent.pin-blocked", 403)
CARD_UNSUPPORTED = ProblemKind("agent.card-unsupported", 422)
CARD_FAILED = ProblemKind("agent.card-failed", 503)

KINDS: tuple[ProblemKind, ...] = (
    ORIGIN,
    UNPAIRED,
    UNKNOWN,
    ACT_UNFIT,
    OTHER_CARD,
    BUSY,
    LAST_TRY,
    NO_CARD,
    CARD_REMOVED,
    READER_UNPLUGGED,
    PCSC_MISSING,
    PIN_FORM,
    PIN_WRONG,
    PIN_BLOCKED,
    CARD_UNSUPPORTED,
    CARD_FAILED,
)

_OF_CARDS: tuple[tuple[type[CardError], ProblemKind], ...] = (
    (CardRemoved, CARD_REMOVED),
    (ReaderUnplugged, READER_UNPLUGGED),
    (NoCard, NO_CARD),
    (PcscMissing, PCSC_MISSING),
    (InvalidPin, PIN_FORM),
    (PinBlocked, PIN_BLOCKED),
    (Unsupported, CARD_UNSUPPORTED),
)


def problem_of(error: CardError) -> Problem:
    """What a card or reader failed with, as an answer."""
    if isinstance(error, WrongPin):
        if error.tries_left == 0:
            return Problem(PIN_BLOCKED)
        return Problem(PIN_WRONG, {"count": error.tries_left})
    found = next((kind for kind_of_error, kind in _OF_CARDS if isinstance(error, kind_of_error)), CARD_FAILED)
    return Problem(found)
