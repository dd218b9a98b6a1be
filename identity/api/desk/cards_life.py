# SPDX-License-Identifier: Apache-2.0
"""The life of a card, as a table: from the request to its end.

    requested -> personalised -> bound -> printed -> handed over -> active <-> suspended
    whatever is bound -> replaced, revoked, expired -> destroyed

Pure: no store, no ledger, no card. What a step must find on the card or on the ledger is its caller's affair; here
stands only which step may follow which. A card counts for a verifier by what stands on the ledger, never by this
table: it says what the desk has done, so that a crash between them leaves a state from which work goes on.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class CardState(StrEnum):
    """Where a card is in its life."""

    REQUESTED = "requested"
    """Somebody is to get one; a blank card may be assigned already, and its keys half made."""
    PERSONALISED = "personalised"
    """Its keys are on it and certified; nobody relies on them yet."""
    BOUND = "bound"
    """Two officers have bound its keys on the ledger."""
    PRINTED = "printed"
    """Face and PIN letter are made; it waits for its holder."""
    HANDED_OVER = "handed-over"
    """The holder has it and has set a PIN; the receipt is not signed yet."""
    ACTIVE = "active"
    SUSPENDED = "suspended"
    REPLACED = "replaced"
    """Another card of the same holder has taken its place: its keys ended, at once if it was lost and else when the
    holder had the other in hand."""
    REVOKED = "revoked"
    EXPIRED = "expired"
    FAILED = "failed"
    """Personalisation went wrong; the blank card is spent."""
    CANCELLED = "cancelled"
    """Nobody wants it any more, and its keys were never bound."""
    DESTROYED = "destroyed"


class CardStep(StrEnum):
    """What happens to a card."""

    PERSONALISE = "personalise"
    FAIL = "fail"
    CANCEL = "cancel"
    BIND = "bind"
    PRINT = "print"
    HAND_OVER = "hand-over"
    ACTIVATE = "activate"
    SUSPEND = "suspend"
    REINSTATE = "reinstate"
    REPLACE = "replace"
    REVOKE = "revoke"
    EXPIRE = "expire"
    DESTROY = "destroy"


class StepRefused(Exception):
    """A step that does not follow the card's state.

    Attributes:
        state: Where the card is.
        step: What was asked for.
    """

    def __init__(self, state: CardState, step: CardStep) -> None:
        super().__init__(f"a card that is {state} cannot {step}")
        self.state = state
        self.step = step


COUNTS: Final = frozenset({CardState.BOUND, CardState.PRINTED, CardState.HANDED_OVER, CardState.ACTIVE})
"""The card's keys count on the ledger: these can be suspended at any time, also before the holder has the card."""
BOUND_KEYS: Final = COUNTS | {CardState.SUSPENDED, CardState.EXPIRED}
"""Keys stand on the ledger and have to be ended there before the card's life is over."""
OVER: Final = frozenset({CardState.REPLACED, CardState.REVOKED, CardState.FAILED, CardState.CANCELLED})
"""No key of the card counts or ever will; what is left is to destroy it."""
LIVING: Final = frozenset(CardState) - OVER - {CardState.DESTROYED, CardState.EXPIRED}
"""A holder has one card in one of these, and while it is replaced two."""

_S, _T = CardState, CardStep
LIFE: Final[Mapping[tuple[CardState, CardStep], CardState]] = MappingProxyType(
    {
        (_S.REQUESTED, _T.PERSONALISE): _S.PERSONALISED,
        (_S.REQUESTED, _T.FAIL): _S.FAILED,
        (_S.REQUESTED, _T.CANCEL): _S.CANCELLED,
        (_S.PERSONALISED, _T.BIND): _S.BOUND,
        (_S.PERSONALISED, _T.FAIL): _S.FAILED,
        (_S.PERSONALISED, _T.CANCEL): _S.CANCELLED,
        (_S.BOUND, _T.PRINT): _S.PRINTED,
        (_S.PRINTED, _T.PRINT): _S.PRINTED,  # the printer jammed; each print stands in the history
        (_S.PRINTED, _T.HAND_OVER): _S.HANDED_OVER,
        (_S.HANDED_OVER, _T.ACTIVATE): _S.ACTIVE,
        **{(state, _T.SUSPEND): _S.SUSPENDED for state in COUNTS},
        (_S.SUSPENDED, _T.REINSTATE): _S.ACTIVE,  # or where it was suspended: see `after`
        **{(state, _T.REPLACE): _S.REPLACED for state in BOUND_KEYS},
        **{(state, _T.REVOKE): _S.REVOKED for state in BOUND_KEYS},
        **{(state, _T.EXPIRE): _S.EXPIRED for state in COUNTS | {_S.SUSPENDED}},
        **{(state, _T.DESTROY): _S.DESTROYED for state in OVER},
    }
)
"""Every step that is possible, with where it leads; all others are refused."""


def after(state: CardState, step: CardStep, suspended_from: CardState | None = None) -> CardState:
    """Where a step leads.

    Args:
        state: Where the card is.
        step: What is done.
        suspended_from: Where a suspended card was before; one that nobody had received goes back to there.

    Raises:
        StepRefused: The step does not follow this state.
    """
    found = LIFE.get((state, step))
    if found is None:
        raise StepRefused(state, step)
    if step is CardStep.REINSTATE and suspended_from is not None:
        assert suspended_from in COUNTS, "only a card whose keys count is suspended"
        return suspended_from
    return found


def is_possible(state: CardState, step: CardStep) -> bool:
    """Whether a step follows a state; pages offer no other."""
    return (state, step) in LIFE
