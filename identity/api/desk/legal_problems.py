# SPDX-License-Identifier: Apache-2.0
"""The ways in which the desk refuses work on companies and mandates."""

from pathlib import Path

from service.language import add_messages
from service.problems import ProblemKind

add_messages(Path(__file__).parent / "messages" / "legal")

UNKNOWN = ProblemKind("legal.unknown", 404)
PARTICULARS = ProblemKind("legal.particulars", 422)
NOTHING = ProblemKind("legal.nothing-proposed", 409)
DIFFERENT = ProblemKind("legal.different", 409)
DISSOLVED = ProblemKind("legal.dissolved", 409)
UNKNOWN_MANDATE = ProblemKind("mandate.unknown", 404)
TERMS = ProblemKind("mandate.terms", 422)
SIDES = ProblemKind("mandate.sides", 409)
CODE = ProblemKind("mandate.code", 422)
OVER = ProblemKind("mandate.over", 409)

LEGAL_KINDS: tuple[ProblemKind, ...] = (
    UNKNOWN,
    PARTICULARS,
    NOTHING,
    DIFFERENT,
    DISSOLVED,
    UNKNOWN_MANDATE,
    TERMS,
    SIDES,
    CODE,
    OVER,
)
