# SPDX-License-Identifier: Apache-2.0
"""The ways in which the verifier refuses a relying party, beside those of every service."""

from pathlib import Path

from service.language import add_messages
from service.problems import ProblemKind

add_messages(Path(__file__).parent / "messages")

BEARER = ProblemKind("verifier.key", 401)
CERTIFICATE = ProblemKind("verifier.certificate", 401)
PURPOSE = ProblemKind("verifier.purpose", 403)
BEYOND = ProblemKind("verifier.beyond-purpose", 403)
ADDRESS = ProblemKind("verifier.address", 403)
UNKNOWN = ProblemKind("verifier.unknown", 404)
OVER = ProblemKind("verifier.over", 409)
CODE = ProblemKind("verifier.response-code", 403)
QUERY = ProblemKind("verifier.query", 422)
RATE = ProblemKind("verifier.rate", 429)
NO_ENTRIES = ProblemKind("verifier.no-entries", 503)
NO_KEY = ProblemKind("verifier.no-signing-key", 503)
NO_CARDS = ProblemKind("verifier.no-cards", 503)
LOGIN = ProblemKind("verifier.login", 400)

KINDS: tuple[ProblemKind, ...] = (
    BEARER,
    CERTIFICATE,
    PURPOSE,
    BEYOND,
    ADDRESS,
    UNKNOWN,
    OVER,
    CODE,
    QUERY,
    RATE,
    NO_ENTRIES,
    NO_KEY,
    NO_CARDS,
    LOGIN,
)
