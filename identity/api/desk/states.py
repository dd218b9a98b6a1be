# SPDX-License-Identifier: Apache-2.0
"""States of cases, persons and erasures, and which step leads from which to which.

    draft --submit--> ready | adjudication --clear--> ready --proposed on the ledger--> proposed
    proposed --confirmed on the ledger--> done | --return--> returned --proposed again--> proposed
    draft, ready, adjudication, proposed, returned --drop--> dropped

What is one officer's act (suspend, reinstate, revoke) goes from ready to done.
"""

from enum import StrEnum
from types import MappingProxyType

from identity.api.desk.problems import NOT_NOW
from service.problems import Problem


class CaseKind(StrEnum):
    """What a case is about."""

    ENROL = "enrol"
    CHANGE = "change"
    SUSPEND = "suspend"
    REINSTATE = "reinstate"
    REVOKE = "revoke"
    RECOVER = "recover"
    DECEASED = "deceased"


class CaseState(StrEnum):
    """How far a case has come."""

    DRAFT = "draft"
    ADJUDICATION = "adjudication"
    READY = "ready"
    PROPOSED = "proposed"
    RETURNED = "returned"
    DONE = "done"
    DROPPED = "dropped"


class Step(StrEnum):
    """What moves a case on; kept in its history."""

    OPEN = "open"
    SAVE = "save"
    SUBMIT = "submit"
    HOLD = "hold"
    CLEAR = "clear"
    PROPOSE = "propose"
    CONFIRM = "confirm"
    RETURN = "return"
    ACT = "act"
    DROP = "drop"
    WITHDRAW = "withdraw"


class PersonState(StrEnum):
    """What a person is to the desk."""

    DRAFT = "draft"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    DECEASED = "deceased"
    DROPPED = "dropped"


class ErasureState(StrEnum):
    """How far a request to erase has come."""

    REQUESTED = "requested"
    WAITING = "waiting"
    CANCELLED = "cancelled"
    DONE = "done"


TRANSITIONS = MappingProxyType(
    {
        (CaseState.DRAFT, Step.SAVE): CaseState.DRAFT,
        (CaseState.DRAFT, Step.SUBMIT): CaseState.READY,
        (CaseState.DRAFT, Step.HOLD): CaseState.ADJUDICATION,
        (CaseState.ADJUDICATION, Step.CLEAR): CaseState.READY,
        (CaseState.READY, Step.SAVE): CaseState.DRAFT,
        (CaseState.READY, Step.PROPOSE): CaseState.PROPOSED,
        (CaseState.READY, Step.ACT): CaseState.DONE,
        (CaseState.PROPOSED, Step.RETURN): CaseState.RETURNED,
        (CaseState.PROPOSED, Step.CONFIRM): CaseState.DONE,
        (CaseState.PROPOSED, Step.PROPOSE): CaseState.PROPOSED,
        (CaseState.PROPOSED, Step.SAVE): CaseState.RETURNED,
        (CaseState.RETURNED, Step.SAVE): CaseState.RETURNED,
        (CaseState.RETURNED, Step.PROPOSE): CaseState.PROPOSED,
        (CaseState.DRAFT, Step.DROP): CaseState.DROPPED,
        (CaseState.ADJUDICATION, Step.DROP): CaseState.DROPPED,
        (CaseState.READY, Step.DROP): CaseState.DROPPED,
        (CaseState.PROPOSED, Step.WITHDRAW): CaseState.DROPPED,
        (CaseState.RETURNED, Step.WITHDRAW): CaseState.DROPPED,
    }
)

OPEN_STATES = (CaseState.DRAFT, CaseState.ADJUDICATION, CaseState.READY, CaseState.PROPOSED, CaseState.RETURNED)


def after(state: CaseState, step: Step) -> CaseState:
    """The state that a step leads to.

    Raises:
        Problem: It is not to be taken from there.
    """
    found = TRANSITIONS.get((state, step))
    if found is None:
        raise Problem(NOT_NOW)
    return found
