# SPDX-License-Identifier: Apache-2.0
"""The ways in which the shopper's pages refuse, beside those of the service of food records."""

from pathlib import Path

from service.language import add_messages
from service.problems import ProblemKind

add_messages(Path(__file__).parent / "messages")

TOO_MANY_COMPLAINTS = ProblemKind("food.complaints", 429)

KINDS: tuple[ProblemKind, ...] = (TOO_MANY_COMPLAINTS,)
