# SPDX-License-Identifier: Apache-2.0
"""The ways in which traders' pages refuse, beside those of every service."""

from pathlib import Path

from service.language import add_messages
from service.problems import ProblemKind

add_messages(Path(__file__).parent / "messages")

NO_PARTICIPANT = ProblemKind("trade.no-participant", 403)
SUSPENDED = ProblemKind("trade.suspended", 403)
NOT_AGENT = ProblemKind("trade.not-agent", 403)
UNKNOWN = ProblemKind("trade.unknown", 404)
PHOTO = ProblemKind("trade.photo", 422)
ENTRY = ProblemKind("trade.entry", 422)
UNRECORDABLE = ProblemKind("trade.unrecordable", 422)
DRAFT_OTHER = ProblemKind("trade.draft-other", 409)
NO_BATCH = ProblemKind("trade.no-batch", 404)
NO_SUBMITTER = ProblemKind("trade.no-submitter", 503)

KINDS: tuple[ProblemKind, ...] = (
    NO_PARTICIPANT,
    SUSPENDED,
    NOT_AGENT,
    UNKNOWN,
    PHOTO,
    ENTRY,
    UNRECORDABLE,
    DRAFT_OTHER,
    NO_BATCH,
    NO_SUBMITTER,
)
