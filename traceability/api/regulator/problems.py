# SPDX-License-Identifier: Apache-2.0
"""The ways in which the regulator's pages refuse, beside those of every service."""

from pathlib import Path

from service.language import add_messages
from service.problems import ProblemKind

add_messages(Path(__file__).parent / "messages")
add_messages(Path(__file__).parents[1] / "shopper" / "messages")  # kinds of complaints

NOT_REGULATOR = ProblemKind("food-office.not-regulator", 403)
UNKNOWN = ProblemKind("food-office.unknown", 404)
TOO_LARGE = ProblemKind("food-office.too-large", 422)

KINDS: tuple[ProblemKind, ...] = (NOT_REGULATOR, UNKNOWN, TOO_LARGE)
