# SPDX-License-Identifier: Apache-2.0
"""Grades for others: whether a purpose's grade is met, as a credential that shows neither points nor events.

The credential says "at least B on that day" and is bound to a key of the holder's; who has an A and is asked for B
shows B. It carries no status: it counts for a day, no longer than the report behind it.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Final

from credit.api.base import CreditContext
from credit.api.problems import NO_ISSUING_KEY
from credit.api.reading import GRADES, PURPOSES
from credit.api.reports import Report
from credit.report import DAY_MS
from identity import sd_jwt
from identity.credentials import CREDIT_GRADE, DECOYS, SHORT_LIVED, credit_grade
from identity.issuer_keys import IssuingKey
from identity.jose import InvalidToken
from service.problems import Problem

HOUR_S: Final = 3_600
"""Times are rounded down to it: copies of a wallet's, and those that others fetched meanwhile, look alike."""


def meets(report: Report, purpose: str) -> bool:
    """Whether a whole report's grade is what a purpose asks for, or better."""
    return is_met(report, PURPOSES[purpose].least)


def is_met(report: Report, at_least: str) -> bool:
    """Whether a whole report's grade is so good or better."""
    return GRADES.index(report.score.grade) <= GRADES.index(at_least)


def signing_key(context: CreditContext) -> IssuingKey:
    """The key that signs grades now.

    Raises:
        Problem: No key issues credentials here.
    """
    try:
        key = None if context.issuing is None else context.issuing.current(context.now() // 1000)
    except InvalidToken:
        key = None
    if key is None:
        raise Problem(NO_ISSUING_KEY)
    return key


def grade_credential(context: CreditContext, report: Report, at_least: str, subject: str) -> str:
    """A credential that says that the grade is so good or better on the report's day, for whoever asked for it.

    It names whom it is about as the asker does, and no key of theirs: that one is the same wherever somebody asks, so
    two askers would know by it which of their people are one.

    Args:
        context: Which service.
        report: A whole one, made just now.
        at_least: The grade that is shown; the report's is that or better.
        subject: The asker's handle.

    Raises:
        Problem: No key issues credentials here.
    """
    assert is_met(report, at_least), "callers look whether it is met"
    return issue_grade(context, signing_key(context), at_least, day_of_report(report), None, {}, subject)


def day_of_report(report: Report) -> date:
    """The day on which a report's score holds."""
    return datetime.fromtimestamp(report.verified.as_of * DAY_MS // 1000, UTC).date()


def issue_grade(
    context: CreditContext,
    key: IssuingKey,
    at_least: str,
    as_of: date,
    holder_key: bytes | None,
    own_claims: Mapping[str, str],
    subject: str = "",
) -> str:
    """Sign one credential.

    Args:
        context: Which service.
        key: The current one.
        at_least: The grade that is shown.
        as_of: The report's day.
        holder_key: To which it is bound, 33 bytes; None: to none.
        own_claims: For verifiers, as `identity.api.accesses.lists.own_claims` makes them; empty: it cannot be shown
            through one.
        subject: Whom it is about, as one organisation calls them; "": it does not say.
    """
    assert key.signer is not None, "the current key signs"
    begins_s = context.now() // 1000 // HOUR_S * HOUR_S
    said = credit_grade(
        grade_at_least=at_least,
        as_of=as_of,
        access_slot=own_claims.get("access_slot"),
        pairwise_seed=own_claims.get("pairwise_seed"),
    )
    ends_s = min(begins_s + SHORT_LIVED[CREDIT_GRADE], key.ends_s)
    named = {"sub": subject} if subject else {}
    claims = {"iss": context.origin, "vct": said.vct, "iat": begins_s, "exp": ends_s, **named, **said.claims}
    decoys = DECOYS if said.disclosable else 0
    return sd_jwt.issue(claims, said.disclosable, key.signer, holder_key=holder_key, header=key.header, decoys=decoys)
