# SPDX-License-Identifier: Apache-2.0
"""Grades for others: whether a purpose's grade is met, as a credential that shows neither points nor events.

The credential says "at least B on that day" and is bound to the holder's key; who has an A and is asked for B shows B.
It carries no status: it counts for a day, no longer than the report behind it.
"""

from datetime import UTC, datetime
from typing import Final

from chain.strict_json import Json
from credit.api.base import CreditContext
from credit.api.problems import NO_ISSUING_KEY
from credit.api.reading import GRADES, PURPOSES
from credit.api.reports import Report
from credit.report import DAY_MS
from identity import sd_jwt
from identity.jose import InvalidToken
from service.problems import Problem

VCT: Final = "urn:zhixin:credit:grade:1"
LIFETIME_S: Final = 86_400


def meets(report: Report, purpose: str) -> bool:
    """Whether a whole report's grade is what a purpose asks for, or better."""
    return GRADES.index(report.score.grade) <= GRADES.index(PURPOSES[purpose].least)


def grade_credential(context: CreditContext, report: Report, at_least: str) -> str:
    """A credential that says that the grade is so good or better on the report's day.

    Args:
        context: Which service.
        report: A whole one, made just now.
        at_least: The grade that is shown; the report's is that or better.

    Raises:
        Problem: No key issues credentials here.
    """
    assert GRADES.index(report.score.grade) <= GRADES.index(at_least), "callers look whether it is met"
    now_s = context.now() // 1000
    try:
        key = None if context.issuing is None else context.issuing.current(now_s)
    except InvalidToken:
        key = None
    if key is None or key.signer is None:
        raise Problem(NO_ISSUING_KEY)
    day = datetime.fromtimestamp(report.verified.as_of * DAY_MS // 1000, UTC).date()
    claims: dict[str, Json] = {
        "iss": context.origin,
        "vct": VCT,
        "iat": now_s,
        "exp": min(now_s + LIFETIME_S, key.ends_s),
        "grade_at_least": at_least,
        "as_of": day.isoformat(),
    }
    return sd_jwt.issue(claims, (), key.signer, holder_key=report.holder or None, header=key.header)
