# SPDX-License-Identifier: Apache-2.0
"""Whether what somebody shows counts, step by step: so that a refusal says which step failed, and why.

Steps in their order: the issuer's signature with all that belongs to it (form, disclosures, times), the holder's key if
the verifier asked for that, then the status, by a list of the same registrar. A step after one that failed is not
taken. Whether a status must be known is the verifier's policy and stands in the report.

Source: RFC 9901, 7.3; Token Status List draft-21, 8.3 (the token's own checks come first).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from identity import offline_qr, sd_jwt, status_list
from identity.credentials import is_short_lived
from identity.issuer_keys import Trust
from identity.jose import InvalidToken, JsonObject
from identity.sd_jwt import Binding, StatusReference
from identity.status_list import Status

STATUS_LISTS_MAX: Final = 16
"""That a verifier brings to one check: one for each registrar and a few generations."""


class Step(StrEnum):
    """What is checked, in this order."""

    ISSUED = "issued"
    BOUND = "bound"
    STATUS = "status"


class Outcome(StrEnum):
    """How a step ended."""

    HELD = "held"
    FAILED = "failed"
    UNKNOWN = "unknown"
    NOT_ASKED = "not-asked"


class StatusPolicy(StrEnum):
    """What a verifier wants to know of the status."""

    REQUIRED = "required"
    IF_KNOWN = "if-known"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Finding:
    """How one step ended.

    Attributes:
        step: Which.
        outcome: How.
        code: Why it failed or is unknown, as in docs/codes.md; "" otherwise.
        reason: The same for people, in English.
    """

    step: Step
    outcome: Outcome
    code: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StatusFound:
    """What a status list said.

    Attributes:
        reference: Which list, and where in it.
        value: What stood there.
        issued_s: As of when, Unix time in s.
    """

    reference: StatusReference
    value: int
    issued_s: int


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was checked.

    Attributes:
        findings: Each step in order.
        claims: What was shown; empty unless the first step held.
        expires_s: When it ends, Unix time in s; None if the first step failed.
        status: What the list said, if one was looked at.
    """

    findings: tuple[Finding, ...]
    claims: JsonObject
    expires_s: int | None
    status: StatusFound | None

    @property
    def counts(self) -> bool:
        """Whether what was shown may be relied on under the verifier's policy."""
        return bool(self.findings) and all(finding.outcome is not Outcome.FAILED for finding in self.findings)


@dataclass(frozen=True, slots=True)
class _Shown:
    claims: JsonObject
    expires_s: int
    status: StatusReference | None
    registrar: Trust


def check(
    text: str,
    trust: Trust,
    now_s: int,
    *,
    lists: Sequence[str] = (),
    policy: StatusPolicy = StatusPolicy.REQUIRED,
    binding: Binding | None = None,
) -> Report:
    """Check a credential, a presentation, or an offline code.

    Args:
        text: As it was shown.
        trust: Whose credentials count.
        now_s: Unix time in s.
        lists: Status tokens that the verifier has.
        policy: Whether the status must be known.
        binding: What the verifier asked the holder for; not for offline codes, which are always bound.
    """
    assert len(lists) <= STATUS_LISTS_MAX, "a verifier brings a few lists"
    findings: list[Finding] = []
    try:
        shown = _shown(text, trust, now_s, None)
        findings.append(Finding(Step.ISSUED, Outcome.HELD))
    except InvalidToken as error:
        return Report((Finding(Step.ISSUED, Outcome.FAILED, error.code, error.reason),), {}, None, None)
    findings.append(_bound(text, trust, now_s, binding))
    if findings[-1].outcome is Outcome.FAILED:
        return Report(tuple(findings), shown.claims, shown.expires_s, None)
    if shown.status is None and is_short_lived(shown.claims):
        return Report((*findings, Finding(Step.STATUS, Outcome.NOT_ASKED)), shown.claims, shown.expires_s, None)
    finding, found = _status(shown.status, shown.registrar, now_s, lists, policy)
    return Report((*findings, finding), shown.claims, shown.expires_s, found)


def _shown(text: str, trust: Trust, now_s: int, binding: Binding | None) -> _Shown:
    if text.startswith(offline_qr.PREFIX):
        code = offline_qr.verify(text, lambda key_id: trust.key_of_id(key_id, now_s), now_s)
        registrar = trust.registrar_of_id(code.key_id, now_s)
        return _Shown(dict(code.claims), min(code.expires_s, code.shown_until_s), code.status, registrar)
    verified = sd_jwt.verify(text, lambda header: trust.key_of(header, now_s), now_s, binding=binding)
    expires_s = verified.claims["exp"]
    assert isinstance(expires_s, int), "it was checked"
    return _Shown(verified.claims, expires_s, verified.status, trust.registrar_of(verified.header, now_s))


def _bound(text: str, trust: Trust, now_s: int, binding: Binding | None) -> Finding:
    if text.startswith(offline_qr.PREFIX):
        return Finding(Step.BOUND, Outcome.HELD)
    if binding is None:
        return Finding(Step.BOUND, Outcome.NOT_ASKED)
    try:
        _shown(text, trust, now_s, binding)
    except InvalidToken as error:
        return Finding(Step.BOUND, Outcome.FAILED, error.code, error.reason)
    return Finding(Step.BOUND, Outcome.HELD)


def _status(
    reference: StatusReference | None, registrar: Trust, now_s: int, lists: Sequence[str], policy: StatusPolicy
) -> tuple[Finding, StatusFound | None]:
    if policy is StatusPolicy.IGNORED:
        return Finding(Step.STATUS, Outcome.NOT_ASKED), None
    missing = Outcome.FAILED if policy is StatusPolicy.REQUIRED else Outcome.UNKNOWN
    if reference is None:
        none = InvalidToken("the credential names no status list", "identity.status-missing")
        return Finding(Step.STATUS, missing, none.code, none.reason), None
    try:
        token = _list_at(reference.uri, registrar, now_s, lists)
        value = status_list.check(token, reference)
    except InvalidToken as error:
        return Finding(Step.STATUS, missing, error.code, error.reason), None
    found = StatusFound(reference, value, token.issued_s)
    if value == Status.VALID:
        return Finding(Step.STATUS, Outcome.HELD), found
    if value == Status.SUSPENDED:
        raised = InvalidToken("the credential is suspended", "identity.credential-suspended")
    else:
        raised = InvalidToken("the credential is revoked", "identity.credential-revoked")
    return Finding(Step.STATUS, Outcome.FAILED, raised.code, raised.reason), found


def _list_at(uri: str, registrar: Trust, now_s: int, lists: Sequence[str]) -> status_list.StatusToken:
    """The newest of the lists at hand that is the one named; of those that fail, the last one's reason."""
    reason = InvalidToken("there is no status list at hand for the credential", "identity.status-missing")
    newest: status_list.StatusToken | None = None
    for text in lists:
        try:
            token = status_list.verify(text, lambda header: registrar.key_of(header, now_s), now_s, uri)
        except InvalidToken as error:
            if error.code != "identity.status-other-list":
                reason = error
            continue
        if newest is None or token.issued_s > newest.issued_s:
            newest = token
    if newest is None:
        raise reason
    return newest
