# SPDX-License-Identifier: Apache-2.0
"""The ways in which the uniqueness service refuses, beside those of the ledger and of every service."""

from pathlib import Path

from service.language import add_messages
from service.problems import ProblemKind

add_messages(Path(__file__).parent / "messages")

BEARER = ProblemKind("uniqueness.bearer", 401)
NOT_YOURS = ProblemKind("uniqueness.not-yours", 403)
NOT_REGISTRAR = ProblemKind("uniqueness.not-registrar", 403)
NO_ROTATION = ProblemKind("uniqueness.no-rotation", 409)
NUMBER = ProblemKind("uniqueness.number", 422)
RATE = ProblemKind("uniqueness.rate", 429)
NO_KEY = ProblemKind("uniqueness.no-key", 503)

KINDS: tuple[ProblemKind, ...] = (BEARER, NOT_YOURS, NOT_REGISTRAR, NO_ROTATION, NUMBER, RATE, NO_KEY)
