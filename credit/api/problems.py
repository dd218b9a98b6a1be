# SPDX-License-Identifier: Apache-2.0
"""The ways in which the services of credit refuse, beside those of the ledger and of every service."""

from pathlib import Path

from service.language import add_messages
from service.problems import ProblemKind

add_messages(Path(__file__).parent / "messages")

BEARER = ProblemKind("credit.bearer", 401)
SIGNED_OUT = ProblemKind("credit.signed-out", 401)
HOLDER_KEY = ProblemKind("credit.holder-key", 401)
KEY_LINK = ProblemKind("credit.key-link", 410)
UNKNOWN_SUBJECT = ProblemKind("credit.unknown-subject", 404)
UNKNOWN_EVENT = ProblemKind("credit.unknown-event", 404)
UNKNOWN_BATCH = ProblemKind("credit.unknown-batch", 404)
UNKNOWN_REQUEST = ProblemKind("credit.unknown-request", 404)
SECOND_LOG = ProblemKind("credit.second-log", 409)
LOG_CLOSED = ProblemKind("credit.log-closed", 409)
LOG_FULL = ProblemKind("credit.log-full", 409)
CLASS = ProblemKind("credit.class", 422)
RIGHTS = ProblemKind("credit.rights", 403)
DATES = ProblemKind("credit.dates", 422)
SEVERITY = ProblemKind("credit.severity", 422)
DUPLICATE = ProblemKind("credit.duplicate", 409)
FLOOD = ProblemKind("credit.flood", 429)
BATCH = ProblemKind("credit.batch", 422)
BATCH_OVER = ProblemKind("credit.batch-over", 409)
SIGNATURE = ProblemKind("credit.signature", 422)
CSV = ProblemKind("credit.csv", 422)
ROLE = ProblemKind("credit.role", 403)
NO_SERVICE_KEY = ProblemKind("credit.no-service-key", 503)
NO_ISSUING_KEY = ProblemKind("credit.no-issuing-key", 503)
UNSETTLED = ProblemKind("credit.unsettled", 503)
FINAL = ProblemKind("credit.final", 409)
DISPUTED = ProblemKind("credit.disputed", 409)
CORRECTION = ProblemKind("credit.correction", 422)
CONDITIONS = ProblemKind("credit.conditions", 409)
NOT_NOW = ProblemKind("credit.not-now", 409)
CONSENT = ProblemKind("credit.consent", 403)
PURPOSE = ProblemKind("credit.purpose", 422)
REPORT = ProblemKind("credit.report", 422)
TOO_OLD = ProblemKind("credit.too-old", 409)
USED_UP = ProblemKind("credit.used-up", 409)
NO_SCORECARD = ProblemKind("credit.no-scorecard", 503)
DRAW = ProblemKind("credit.draw", 422)

KINDS: tuple[ProblemKind, ...] = (
    BEARER,
    SIGNED_OUT,
    HOLDER_KEY,
    KEY_LINK,
    UNKNOWN_SUBJECT,
    UNKNOWN_EVENT,
    UNKNOWN_BATCH,
    UNKNOWN_REQUEST,
    SECOND_LOG,
    LOG_CLOSED,
    LOG_FULL,
    CLASS,
    RIGHTS,
    DATES,
    SEVERITY,
    DUPLICATE,
    FLOOD,
    BATCH,
    BATCH_OVER,
    SIGNATURE,
    CSV,
    ROLE,
    NO_SERVICE_KEY,
    NO_ISSUING_KEY,
    UNSETTLED,
    FINAL,
    DISPUTED,
    CORRECTION,
    CONDITIONS,
    NOT_NOW,
    CONSENT,
    PURPOSE,
    REPORT,
    TOO_OLD,
    USED_UP,
    NO_SCORECARD,
    DRAW,
)
