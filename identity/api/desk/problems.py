# SPDX-License-Identifier: Apache-2.0
"""The ways in which the desk refuses, beside those of sign-in, of the ledger and of every service."""

from pathlib import Path

from service.language import add_messages
from service.problems import ProblemKind

add_messages(Path(__file__).parent / "messages")

REASON_NEEDED = ProblemKind("desk.reason-needed", 403)
UNKNOWN_PERSON = ProblemKind("desk.unknown-person", 404)
UNKNOWN_CASE = ProblemKind("desk.unknown-case", 404)
NOT_NOW = ProblemKind("desk.not-now", 409)
OWN_WORK = ProblemKind("desk.own-work", 409)
UNDER_WAY = ProblemKind("desk.under-way", 409)
CASE_OPEN = ProblemKind("desk.case-open", 409)
ON_ITS_WAY = ProblemKind("desk.on-its-way", 409)
NO_SERVICE_KEY = ProblemKind("desk.no-service-key", 409)
NOT_AS_PROPOSED = ProblemKind("desk.not-as-proposed", 409)
KNOWN_ELSEWHERE = ProblemKind("desk.known-elsewhere", 409)
NO_NEW_KEYS = ProblemKind("desk.no-new-keys", 409)
NO_TAG = ProblemKind("desk.no-tag", 503)
NO_COMPARTMENT = ProblemKind("desk.no-compartment", 404)
NOT_A_COMPARTMENT = ProblemKind("desk.not-a-compartment", 422)
IMAGE = ProblemKind("desk.image", 422)
SLOW_DOWN = ProblemKind("desk.slow-down", 429)

KINDS: tuple[ProblemKind, ...] = (
    REASON_NEEDED,
    UNKNOWN_PERSON,
    UNKNOWN_CASE,
    NOT_NOW,
    OWN_WORK,
    UNDER_WAY,
    CASE_OPEN,
    ON_ITS_WAY,
    NO_SERVICE_KEY,
    NOT_AS_PROPOSED,
    KNOWN_ELSEWHERE,
    NO_NEW_KEYS,
    NO_TAG,
    NO_COMPARTMENT,
    NOT_A_COMPARTMENT,
    IMAGE,
    SLOW_DOWN,
)
