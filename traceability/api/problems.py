# SPDX-License-Identifier: Apache-2.0
"""The ways in which the services of food records refuse, beside those of the ledger and of every service."""

from pathlib import Path

from service.language import add_messages
from service.problems import ProblemKind

add_messages(Path(__file__).parent / "messages")

NO_DIGITAL_LINK = ProblemKind("food.no-digital-link", 400)
NO_LINK = ProblemKind("food.no-link", 404)

KINDS: tuple[ProblemKind, ...] = (NO_DIGITAL_LINK, NO_LINK)
