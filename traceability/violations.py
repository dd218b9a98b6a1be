# SPDX-License-Identifier: Apache-2.0
"""Which refusals are attempts to break what the rules keep, for the regulator's list.

A refused transaction changes nothing and stays in the log with its code and its operations: the log is the list. Other
codes are faults of form or of rights, which services catch before they submit.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final


class Violation(Enum):
    """What was tried."""

    MASS_BALANCE = "mass-balance"
    """More would have left than had entered."""
    CUSTODY = "custody"
    """Goods were shipped, packed, used or sold by who did not have them, or made by who may not make them."""
    RECALL = "recall"
    """Recalled goods were to be sold or used."""
    REPETITION = "repetition"
    """A serial, a container or an event was to come into being a second time, or something gone was used again."""


_VIOLATIONS: Final[Mapping[str, Violation]] = {
    "traceability.exceeds-balance": Violation.MASS_BALANCE,
    "traceability.exceeds-input": Violation.MASS_BALANCE,
    "traceability.not-held": Violation.CUSTODY,
    "traceability.contained": Violation.CUSTODY,
    "traceability.not-contained": Violation.CUSTODY,
    "traceability.not-in-transit": Violation.CUSTODY,
    "traceability.not-related": Violation.CUSTODY,
    "traceability.lot-of-another": Violation.CUSTODY,
    "traceability.product-of-another": Violation.CUSTODY,
    "traceability.recalled": Violation.RECALL,
    "traceability.item-known": Violation.REPETITION,
    "traceability.item-ended": Violation.REPETITION,
}


def violation_of(code: str) -> Violation | None:
    """What a refused transaction tried; None: a fault of form, of rights, or of the service.

    Args:
        code: Of the failed entry, such as "traceability.not-held".
    """
    return _VIOLATIONS.get(code)


def violation_codes() -> tuple[str, ...]:
    """The codes that a list of violations looks for, sorted."""
    return tuple(sorted(_VIOLATIONS))
