# SPDX-License-Identifier: Apache-2.0
"""Questions that are answered at once: an offline code, a mandate, an attestation, signatures of a card.

Nobody's wallet is asked, so no entry is written: who scans a code has its content already, and records of mandates and
attestations name nobody. The answer is signed like any other.

Source: docs/identity.md (mandates, attestations); docs/credentials.md (codes).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chain.errors import LedgerError
from client.errors import TransportError
from identity import offline_qr, status_list
from identity.api.verifier.cards import CardTrust, Opening, check_signature
from identity.api.verifier.checking import Judge, check_issuer_key
from identity.api.verifier.findings import Finding, Report, StatusShown, Step, failed
from identity.api.verifier.ledger import Proven, States
from identity.api.verifier.outbound import NotReached
from identity.cards.objects import Slot
from identity.credential_check import Outcome
from identity.jose import InvalidToken, JsonObject
from identity.legal_persons import legal_person_key
from identity.mandates import counts, mandate_key
from identity.offline_qr import OfflineToken, Seen
from identity.pb import identity_pb2 as pb
from identity.status import status_key
from identity.status_list import Status

SIGNATURES_MAX: Final = 50
"""Documents of one batch: an afternoon's contracts; each takes about a millisecond."""

SCOPES: Final = {pb.Scope.Name(one).removeprefix("SCOPE_").lower().replace("_", "-"): one for one in pb.Scope.values()}
POWERS: Final = {pb.Power.Name(one).removeprefix("POWER_").lower().replace("_", "-"): one for one in pb.Power.values()}
"""What a mandate may be about, and what it lets its agent do, by the words of credentials."""


@dataclass(frozen=True, slots=True)
class MandateAsked:
    """May she act in this, up to this amount?

    Attributes:
        mandate: The record's id, 16 or 32 bytes.
        scope: A word of `SCOPES`.
        power: A word of `POWERS`.
        amount_fen: Of the act; 0: none is at stake.
        legal_person: The company's code that it must be for; "": any.
    """

    mandate: bytes
    scope: str
    power: str
    amount_fen: int
    legal_person: str


@dataclass(frozen=True, slots=True)
class SignatureAsked:
    """One signature.

    Attributes:
        digest: SHA-256 of the document, 32 bytes.
        certificate: DER.
        signature: r || s, or DER.
        opening: Shows the key in its holder's registration; None: nobody opened it.
    """

    digest: bytes
    certificate: bytes
    signature: bytes
    opening: Opening | None


async def check_code(judge: Judge, text: str, seen: Seen, status_age_s_max: int | None, now_s: int) -> Report:
    """Check an offline code: both signatures, how the ledger has the issuer's key, and the status.

    A code that names no status list counts only where the purpose sets no age for one.

    Args:
        judge: Whose codes count; it has their issuing certificates.
        text: As it was scanned.
        seen: Which codes were shown before to the same relying party.
        status_age_s_max: How old a status list may be; None: the answer says its age.
        now_s: Unix time in s.
    """
    try:
        token = offline_qr.verify(text, lambda key_id: judge.trust.key_of_id(key_id, now_s), now_s)
        seen.take(token, now_s)
    except InvalidToken as error:
        return Report((failed(Step.CODE, error),))
    issuer, receipt = await check_issuer_key(judge.issuers, judge.trust.key_of_id(token.key_id, now_s), "")
    if issuer.outcome is Outcome.FAILED:
        return Report((Finding(Step.CODE, Outcome.HELD), issuer))
    finding, status = await _code_status(judge, token, status_age_s_max, now_s)
    report_claims: JsonObject = dict(token.claims)
    level = token.claims.get("assurance_level")
    return Report(
        (Finding(Step.CODE, Outcome.HELD), issuer, finding),
        {"code": report_claims},
        level if isinstance(level, str) else "",
        statuses=() if status is None else (status,),
        receipts=(("issuer-key", receipt),) if receipt else (),
        facts={"shown_s": token.shown_s, "shown_until_s": token.shown_until_s, "expires_s": token.expires_s},
    )


async def _code_status(
    judge: Judge, token: OfflineToken, age_s_max: int | None, now_s: int
) -> tuple[Finding, StatusShown | None]:
    if token.status is None:
        outcome = Outcome.NOT_ASKED if age_s_max is None else Outcome.FAILED
        return Finding(Step.STATUS, outcome, "", "identity.status-missing", "the code names no list"), None
    try:
        listed = await judge.lists.find(token.status.uri, judge.trust.registrar_of_id(token.key_id, now_s))
        value = status_list.check(listed, token.status)
    except InvalidToken as error:
        return failed(Step.STATUS, error), None
    except NotReached as error:
        outcome = Outcome.UNKNOWN if age_s_max is None else Outcome.FAILED
        return Finding(Step.STATUS, outcome, "", "verifier.status-unreachable", f"no list is at hand: {error}"), None
    age_s = max(0, now_s - listed.issued_s)
    shown = StatusShown("", value, listed.issued_s, age_s)
    if value != Status.VALID:
        code = "identity.credential-suspended" if value == Status.SUSPENDED else "identity.credential-revoked"
        return Finding(Step.STATUS, Outcome.FAILED, "", code, "the list says that it does not count"), shown
    if age_s_max is not None and age_s > age_s_max:
        reason = f"the newest status list is {age_s} s old; the purpose takes at most {age_s_max}"
        return Finding(Step.STATUS, Outcome.FAILED, "", "verifier.status-stale", reason), shown
    return Finding(Step.STATUS, Outcome.HELD), shown


async def check_mandate(states: States, asked: MandateAsked) -> Report:
    """Whether a mandate lets its agent act, now, by its record and its company's.

    Raises:
        TransportError: Nobody answers for the ledger.
        LedgerError: What was answered is not proven.
    """
    where = mandate_key(asked.mandate)
    company = [legal_person_key(asked.legal_person)] if asked.legal_person else []
    proven = await states.read([where, *company])
    raw = proven.values[where]
    if raw is None:
        return Report((_record_failed("mandate.unknown", "there is no mandate of this id"),))
    record = pb.MandateRecord.FromString(raw)
    facts: JsonObject = {"height": proven.height, "time_ms": proven.time_ms}
    wrong: tuple[str, str] | None = None
    if record.legal_person and not asked.legal_person:
        wrong = "mandate.company-unnamed", "it is a company's: name the company's code"
    elif record.legal_person.decode("ascii") != asked.legal_person:
        wrong = "mandate.other-principal", "it is for another principal"
    elif not counts(proven.values.get, record, proven.time_ms):
        wrong = "mandate.not-counting", "it was ended, was not accepted by both sides, or is out of its time"
    elif not {SCOPES[asked.scope], pb.SCOPE_GENERAL} & set(record.scopes):
        wrong = "mandate.scope", "it is not about this matter"
    elif POWERS[asked.power] not in record.powers:
        wrong = "mandate.power", "it does not give this power"
    elif record.amount_fen_max and asked.amount_fen > record.amount_fen_max:
        wrong = "mandate.amount", "the amount is beyond its limit"
    receipts = tuple(("record", proven.receipts[key]) for key in (where, *company))
    finding = Finding(Step.RECORD, Outcome.HELD) if wrong is None else _record_failed(*wrong)
    return Report((finding,), receipts=receipts, facts=facts)


async def check_attestation(states: States, issuer: str, attestation: bytes, at_ms: int, height: int) -> Report:
    """How an attestation stood at a time.

    State under a block is true from that block's time until the next block's, so the answer is one of that moment only
    if `at_ms` lies between the two, both proven, or is the block's own time. A revocation is for good, and is proven
    for each time after it. All else is unknown: that something was *not* suspended for a while before a later block,
    and whatever may come after the newest one.

    Args:
        states: Reads the ledger.
        issuer: The issuing organisation's id.
        attestation: The attestation's id.
        at_ms: The time, Unix time in ms.
        height: The last finalized height at or before it, if nodes still hold that and the next; 0: the newest.

    Raises:
        TransportError: Nobody answers for the ledger.
        LedgerError: What was answered is not proven, or no node holds that height any more.
    """
    where = status_key(issuer, attestation)
    proven = await states.read([where], height=height)
    raw = proven.values[where]
    facts: JsonObject = {"height": proven.height, "time_ms": proven.time_ms, "at_ms": at_ms}
    receipts: tuple[tuple[str, bytes], ...] = (("record", proven.receipts[where]),)
    record = None if raw is None else pb.StatusRecord.FromString(raw)
    next_ms = None
    if proven.time_ms < at_ms:
        following = await _next_of(states, where, proven.height) if height else None
        if following is not None:
            next_ms = following.time_ms
            receipts = (*receipts, ("next-record", following.receipts[where]))
    is_exact = proven.time_ms == at_ms or (next_ms is not None and proven.time_ms < at_ms < next_ms)
    if record is not None and record.since_ms <= at_ms:
        word = pb.Status.Name(record.status).removeprefix("STATUS_").lower()
        if is_exact or at_ms <= proven.time_ms or record.status == pb.STATUS_REVOKED:
            facts |= {"status": word, "since_ms": record.since_ms}
            finding = _record_failed(f"attestation.{word}", f"it was {word} before that time")
            return Report((finding,), receipts=receipts, facts=facts)
    facts |= {"status": "none"}
    if record is None and is_exact:
        return Report((Finding(Step.RECORD, Outcome.HELD),), receipts=receipts, facts=facts)
    if at_ms > proven.time_ms:
        code, reason = "attestation.later-time", "what happened between the block and that time is not proven"
    else:
        code = "attestation.later-state"
        reason = "it was not revoked at that time; a suspension that ended since is not ruled out"
    finding = Finding(Step.RECORD, Outcome.UNKNOWN, "", code, reason)
    return Report((finding,), receipts=receipts, facts=facts)


async def _next_of(states: States, where: bytes, height: int) -> Proven | None:
    """The state under the next block, whose time ends that of the state before; None: there is none, or none now."""
    try:
        return await states.read([where], height=height + 1)
    except (TransportError, LedgerError):
        return None


async def check_signatures(
    cards: CardTrust, asked: Sequence[SignatureAsked], status_age_s_max: int | None, now_s: int
) -> Report:
    """Check signatures of slot 9C, each by itself; findings name them by their place, from 0."""
    findings: list[Finding] = []
    receipts: list[tuple[str, bytes]] = []
    statuses: list[StatusShown] = []
    for i, one in enumerate(asked):
        subject = str(i)
        steps, certificate, issued_s = await cards.check(one.certificate, Slot.SIGN, status_age_s_max, subject)
        findings += steps
        if issued_s is not None:
            is_ended = steps[-1].outcome is Outcome.FAILED
            statuses.append(StatusShown(subject, int(is_ended), issued_s, max(0, now_s - issued_s)))
        if certificate is None:
            continue
        findings.append(check_signature(certificate, one.digest, one.signature, subject))
        opened, receipt = await cards.check_opening(certificate, Slot.SIGN, one.opening, subject)
        findings.append(opened)
        if receipt:
            receipts.append(("record", receipt))
    return Report(tuple(findings), statuses=tuple(statuses), receipts=tuple(receipts))


def _record_failed(code: str, reason: str) -> Finding:
    return Finding(Step.RECORD, Outcome.FAILED, "", code, reason)
