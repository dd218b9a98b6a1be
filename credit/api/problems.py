# SPDX-License-Identifier: Apache-2.0
"""The ways in which the services of credit refuse, beside those of the ledger and of every service."""

from pathlib import Path

from service.language import add_messages
from service.problems import ProblemKind

for _folder in ("", "lists", "monitor", "notices", "showing"):
    add_messages(Path(__file__).parent / "messages" / _folder)

BEARER = ProblemKind("credit.bearer", 401)
SIGNED_OUT = ProblemKind("credit.signed-out", 401)
HOLDER_KEY = ProblemKind("credit.holder-key", 401)
KEY_LINK = ProblemKind("credit.key-link", 410)
UNKNOWN_SUBJECT = ProblemKind("credit.unknown-subject", 404)
READER = ProblemKind("credit.reader", 422)
READER_TERMS = ProblemKind("credit.reader-terms", 422)
CONTACT = ProblemKind("credit.contact", 422)
SHOWN_GONE = ProblemKind("credit.shown-gone", 404)
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
UPHELD = ProblemKind("credit.upheld", 409)
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
DRAW_MANY = ProblemKind("credit.draw-many", 422)
DRAW_OPEN = ProblemKind("credit.draw-open", 422)
DRAW_VOID = ProblemKind("credit.draw-void", 422)
LISTING = ProblemKind("credit.listing", 422)
MEASURE = ProblemKind("credit.measure", 422)
UNKNOWN_MONTH = ProblemKind("credit.unknown-month", 404)
BASIS = ProblemKind("credit.basis", 422)

KINDS: tuple[ProblemKind, ...] = (
    BEARER,
    SIGNED_OUT,
    HOLDER_KEY,
    KEY_LINK,
    UNKNOWN_SUBJECT,
    READER,
    READER_TERMS,
    CONTACT,
    SHOWN_GONE,
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
    UPHELD,
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
    DRAW_MANY,
    DRAW_OPEN,
    DRAW_VOID,
    LISTING,
    MEASURE,
    UNKNOWN_MONTH,
    BASIS,
)
