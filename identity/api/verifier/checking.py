# SPDX-License-Identifier: Apache-2.0
"""Whether what a wallet presented counts: each credential by itself, then whether all of it answers what was asked.

A step after one that failed is not taken for that credential, so that a refusal names its cause. What is told to the
relying party afterwards is what it asked for and nothing beyond.

Source: OpenID4VP 1.0, 8.6 (validation); RFC 9901, 7.3; Token Status List draft-21, 8.3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from chain.errors import LedgerError
from chain.strict_json import Json
from client.errors import TransportError
from identity import sd_jwt, status_list
from identity.api.verifier import transaction_data
from identity.api.verifier.consents import check_consent
from identity.api.verifier.dcql import NotAnswered, Query, asked_of, check_presented
from identity.api.verifier.findings import Finding, Report, StatusShown, Step, failed, pairwise
from identity.api.verifier.ledger import Issuers, States
from identity.api.verifier.outbound import NotReached
from identity.api.verifier.registered import ACCESS_SLOT, PAIRWISE_SEED, Purpose
from identity.api.verifier.status_lists import StatusLists
from identity.consent_showing import CLAIM
from identity.credential_check import Outcome
from identity.credentials import LEGAL_PERSON, MANDATE, NATURAL_PERSON, OF_ONE_PERSON, is_short_lived
from identity.issuer_keys import Trust
from identity.jose import InvalidToken, JsonObject
from identity.sd_jwt import Binding, Verified
from identity.status_list import Status

PRESENTATION_CHARACTERS_MAX: Final = sd_jwt.TOKEN_CHARACTERS_MAX
SLOT_CHARACTERS_MAX: Final = 128
_STATUS_CODES: Final = {Status.SUSPENDED: "identity.credential-suspended"}


@dataclass(frozen=True, slots=True)
class Judge:
    """What presentations are checked against.

    Attributes:
        trust: Registrars whose credentials count.
        issuers: How their keys stand on the ledger.
        lists: Status lists.
        states: Read consents; None: purposes that need one are not answered.
    """

    trust: Trust
    issuers: Issuers
    lists: StatusLists
    states: States | None = None


@dataclass(frozen=True, slots=True)
class _Judged:
    findings: tuple[Finding, ...]
    verified: Verified | None = None
    status: StatusShown | None = None
    receipt: bytes = b""
    binding: JsonObject | None = None


async def check_presentations(
    judge: Judge,
    query: Query,
    purpose: Purpose,
    presented: Mapping[str, str],
    binding: Binding,
    now_s: int,
    *,
    holder_key: bytes | None = None,
    transaction: str = "",
) -> Report:
    """Check what a wallet presented.

    Args:
        judge: Against what.
        query: What was asked for.
        purpose: For what; says how old a status list may be.
        presented: By id of the credential query; at most as many as a query has.
        binding: To whom, and to which nonce, the holder's key must have answered.
        now_s: Unix time in s.
        holder_key: The key to which each credential must be bound, such as a card's, 33 bytes; None: any.
        transaction: What the holder must have confirmed, as `transaction_data` encodes it; "": nothing.
    """
    judged = {name: await _judge(judge, name, text, purpose, binding, now_s) for name, text in presented.items()}
    findings = [finding for one in judged.values() for finding in one.findings]
    statuses = tuple(one.status for one in judged.values() if one.status is not None)
    receipts = {one.receipt: None for one in judged.values() if one.receipt}
    verified = {name: one.verified for name, one in judged.items() if one.verified is not None}
    if any(finding.outcome is Outcome.FAILED for finding in findings):
        return Report(tuple(findings), statuses=statuses)
    asked = _asked(query, {name: one.claims for name, one in verified.items()})
    if holder_key is not None and any(one.holder_key != holder_key for one in verified.values()):
        reason = "a credential is bound to another key than the one that signed the challenge"
        asked = Finding(Step.BOUND, Outcome.FAILED, "", "verifier.other-key", reason)
    findings.append(asked)
    if len(verified) > 1:
        findings.append(_same_holder(verified))
    if asked.outcome is Outcome.FAILED:
        return Report(tuple(findings), statuses=statuses)
    try:
        pseudonym, slot = _own_claims(verified, purpose.relying_party)
    except InvalidToken as error:
        return Report((*findings, failed(Step.ASKED, error)), statuses=statuses)
    told: dict[str, JsonObject] = {}
    for one in query.credentials:
        if one.id in verified:
            told[one.id] = asked_of(one, verified[one.id].claims)
    proofs = [("issuer-key", raw) for raw in receipts]
    confirmed, facts = _transaction(transaction, judged)
    findings += confirmed
    if any(finding.outcome is Outcome.FAILED for finding in confirmed):
        return Report(tuple(findings), statuses=statuses)
    if purpose.needs_consent:
        shown = [judged[name].binding for name, one in verified.items() if one.claims.get("vct") in OF_ONE_PERSON]
        binding_claims = next((claims for claims in shown if claims is not None and CLAIM in claims), None)
        attributes = disclosed(query, told)
        consented = await check_consent(_states(judge), purpose, binding_claims, attributes, pseudonym)
        findings.append(consented.finding)
        if consented.finding.outcome is Outcome.FAILED:
            return Report(tuple(findings), statuses=statuses)
        proofs.append(("consent", consented.receipt))
        facts |= consented.facts
    level = _assurance_level(verified)
    return Report(tuple(findings), told, level, pseudonym, statuses, tuple(proofs), facts, slot)


def disclosed(query: Query, claims: Mapping[str, JsonObject]) -> tuple[str, ...]:
    """What an answer discloses, as registrations name it: type of credential and claim; sorted, no values.

    Args:
        query: What was asked.
        claims: By id of the credential query, what is told.
    """
    names = {
        f"{vct.split(':')[-2]}/{name}"
        for one in query.credentials
        for vct in one.types
        for name in claims.get(one.id, {})
    }
    return tuple(sorted(names))


def _transaction(transaction: str, judged: Mapping[str, _Judged]) -> tuple[list[Finding], JsonObject]:
    """What the holder confirmed, as findings and facts."""
    bindings = {name: one.binding for name, one in judged.items() if one.binding is not None}
    if not transaction:
        unasked = transaction_data.check_unasked(bindings)
        return ([] if unasked is None else [unasked]), {}
    found, facts = transaction_data.check(transaction, bindings)
    return [found], facts


def _states(judge: Judge) -> States:
    assert judge.states is not None, "a verifier that can't ask the ledger has no purposes that need consents"
    return judge.states


async def _judge(judge: Judge, name: str, text: str, purpose: Purpose, binding: Binding, now_s: int) -> _Judged:
    """One credential: the issuer's word, the issuer's key, the holder's key, the status."""
    try:
        verified = sd_jwt.verify(text, lambda header: judge.trust.key_of(header, now_s), now_s)
        registrar = judge.trust.registrar_of(verified.header, now_s)
        public_key = judge.trust.key_of(verified.header, now_s)
    except InvalidToken as error:
        return _Judged((failed(Step.ISSUED, error, name),))
    findings = [Finding(Step.ISSUED, Outcome.HELD, name)]
    found, receipt = await check_issuer_key(judge.issuers, public_key, name)
    findings.append(found)
    if found.outcome is Outcome.FAILED:
        return _Judged(tuple(findings))
    try:
        bound = sd_jwt.verify_binding(text, verified, binding, now_s)
        findings.append(Finding(Step.BOUND, Outcome.HELD, name))
    except InvalidToken as error:
        return _Judged((*findings, failed(Step.BOUND, error, name)))
    found, status = await _status(judge.lists, verified, registrar, purpose.status_age_s_max, name, now_s)
    findings.append(found)
    return _Judged(tuple(findings), verified, status, receipt, bound)


async def check_issuer_key(issuers: Issuers, public_key: bytes, name: str) -> tuple[Finding, bytes]:
    """See how an issuer's key stands on the ledger, and the receipt that proves it.

    Args:
        issuers: Read the ledger.
        public_key: Of a certificate that counts, 33 bytes.
        name: Of the credential, named in the finding; "" where there is one only.
    """
    try:
        standing = await issuers.standing(public_key)
    except (TransportError, LedgerError):
        reason = "the ledger can't be asked about the issuer's key; its registrar's certificate holds"
        return Finding(Step.ISSUER_KEY, Outcome.UNKNOWN, name, "verifier.ledger-unavailable", reason), b""
    if not standing.is_known:
        reason = "the ledger does not have the issuer's key; its registrar's certificate holds"
        return Finding(Step.ISSUER_KEY, Outcome.UNKNOWN, name, "verifier.issuer-unknown", reason), standing.receipt
    if not standing.counts:
        reason = "the ledger says that the issuer's key does not count"
        return Finding(Step.ISSUER_KEY, Outcome.FAILED, name, "verifier.issuer-ended", reason), b""
    return Finding(Step.ISSUER_KEY, Outcome.HELD, name), standing.receipt


async def _status(
    lists: StatusLists, verified: Verified, registrar: Trust, age_s_max: int | None, name: str, now_s: int
) -> tuple[Finding, StatusShown | None]:
    reference = verified.status
    if reference is None and is_short_lived(verified.claims):
        reason = "credentials of this type name no status list: they count for a day"
        return Finding(Step.STATUS, Outcome.NOT_ASKED, name, "", reason), None
    if reference is None:
        missing = InvalidToken("the credential names no status list", "identity.status-missing")
        return failed(Step.STATUS, missing, name), None
    try:
        token = await lists.find(reference.uri, registrar)
        value = status_list.check(token, reference)
    except InvalidToken as error:
        return failed(Step.STATUS, error, name), None
    except NotReached as error:
        reason = f"no status list is at hand: {error}"
        return Finding(Step.STATUS, Outcome.FAILED, name, "verifier.status-unreachable", reason), None
    age_s = max(0, now_s - token.issued_s)
    shown = StatusShown(name, value, token.issued_s, age_s)
    if value != Status.VALID:
        code = _STATUS_CODES.get(Status(value) if value in set(Status) else Status.INVALID)
        reason = "the credential is suspended" if code else "the credential is revoked"
        return Finding(Step.STATUS, Outcome.FAILED, name, code or "identity.credential-revoked", reason), shown
    if age_s_max is not None and age_s > age_s_max:
        reason = f"the newest status list is {age_s} s old; the purpose takes at most {age_s_max}"
        return Finding(Step.STATUS, Outcome.FAILED, name, "verifier.status-stale", reason), shown
    return Finding(Step.STATUS, Outcome.HELD, name), shown


def _asked(query: Query, claims: Mapping[str, JsonObject]) -> Finding:
    try:
        check_presented(query, claims)
    except NotAnswered as error:
        return Finding(
            Step.ASKED, Outcome.FAILED, error.credential, "verifier.not-answered", error.reason, error.claims
        )
    return Finding(Step.ASKED, Outcome.HELD)


def _same_holder(verified: Mapping[str, Verified]) -> Finding:
    """One-time copies have a key each: with one seed they are one person's, without nobody can tell."""
    seeds = {str(one.claims.get(PAIRWISE_SEED, "")) for one in verified.values()}
    are_of_people = all(one.claims.get("vct") in OF_ONE_PERSON for one in verified.values())
    if len({one.holder_key for one in verified.values()}) == 1 or (
        are_of_people and len(seeds) == 1 and "" not in seeds
    ):
        return Finding(Step.SAME_HOLDER, Outcome.HELD)
    reason = "the credentials are bound to different keys; compare what they say"
    return Finding(Step.SAME_HOLDER, Outcome.UNKNOWN, "", "verifier.different-keys", reason)


def _own_claims(verified: Mapping[str, Verified], relying_party: str) -> tuple[str, str]:
    """The pseudonym, and where the person's list begins, as the person's credentials have them.

    Companies alone have neither. A mandate counts together with its agent's own credential, for without it nobody's
    list says that somebody looked, and nobody can compare the names.

    Raises:
        InvalidToken: A credential has none of them, or they are not what they must be.
    """
    types = {one.claims.get("vct") for one in verified.values()}
    people = [one.claims for one in verified.values() if one.claims.get("vct") in OF_ONE_PERSON]
    if types == {LEGAL_PERSON}:
        return "", ""
    if not people or (MANDATE in types and NATURAL_PERSON not in types):
        raise InvalidToken("a mandate counts together with its agent's own credential", "verifier.not-answered")
    people.sort(key=lambda claims: claims.get("vct") != NATURAL_PERSON)
    seeds = {_text(claims, PAIRWISE_SEED) for claims in people}
    slots = [_text(claims, ACCESS_SLOT) for claims in people]  # of one person: a later credential may name a later list
    if len(seeds) != 1:
        raise InvalidToken("the credentials are of different people")
    return pairwise(seeds.pop(), relying_party), slots[0]


def _text(claims: JsonObject, name: str) -> str:
    value: Json = claims.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= SLOT_CHARACTERS_MAX:
        raise InvalidToken(f"the credential does not disclose {name}", "identity.claim-missing")
    return value


def _assurance_level(verified: Mapping[str, Verified]) -> str:
    """Of the person, else of the company."""
    levels = [(one.claims.get("vct") != NATURAL_PERSON, one.claims.get("assurance_level")) for one in verified.values()]
    found = [level for _, level in sorted(levels, key=lambda each: each[0]) if isinstance(level, str)]
    return found[0] if found else ""
