# SPDX-License-Identifier: Apache-2.0
"""Benefits and burdens: what a grade opens, and that nothing is closed without a law and a human.

A service may grant a benefit. Refusing one, or laying a burden on somebody, takes a human's own key (a passkey or a
staff card) and, for a burden, a class that stands on the statutory list. Another key of the same organisation reviews;
that two keys are two humans is the organisation's affair. Under `credit/decision/<id in hex>`.

    refused, burden --Review n--> the same (upheld: n + 1 may follow), granted or no burden (lifted: for good)
"""

from typing import Final

from chain.codec import encode
from chain.errors import Refused
from chain.module import Context
from chain.overlay import ReadState
from chain.signing import Scheme
from chain.types import sha256
from credit.catalogue import class_number, present_class
from credit.logs import check_hash
from credit.pb import credit_pb2 as pb
from membership.authority import resolve_key
from membership.pb import membership_pb2

BENEFIT_MAX: Final = 65_535
_HUMAN: Final = (Scheme.P256, Scheme.WEBAUTHN_ES256)
"""Schemes of passkeys and cards; services sign with Ed25519."""
_LIFTED: Final = {
    pb.OUTCOME_BENEFIT_REFUSED: pb.OUTCOME_BENEFIT_GRANTED,
    pb.OUTCOME_BURDEN: pb.OUTCOME_UNSPECIFIED,
}
"""What can be reviewed, and what it is once a review lifts it."""


def decision_key(decision: bytes) -> bytes:
    """State key of a decision."""
    return b"credit/decision/" + decision.hex().encode()


def load_decision(read: ReadState, decision: bytes) -> pb.DecisionRecord | None:
    """A decision by id, or None."""
    raw = read(decision_key(decision))
    return None if raw is None else pb.DecisionRecord.FromString(raw)


def decide(context: Context, message: pb.Decide) -> None:
    """Record a decision. One write.

    Raises:
        Refused: The outcome needs a human or a class on the statutory list and has none, or a field is wrong.
    """
    check_hash(message.id)
    check_hash(message.commitment)
    if load_decision(context.read, message.id) is not None:
        raise Refused("this id was used before; each decision has its own", "credit.id-used")
    organisation, officer = _who_decides(context)
    number = class_number(message)
    match message.outcome:
        case pb.OUTCOME_BENEFIT_GRANTED:
            _check_benefit(message)
        case pb.OUTCOME_BENEFIT_REFUSED:
            _check_benefit(message)
            _check_human(officer)
        case pb.OUTCOME_BURDEN:
            _check_human(officer)
            catalogued = present_class(context.read, number)
            if message.benefit or catalogued is None or pb.EFFECT_BURDEN not in catalogued.effects:
                raise Refused("a burden names a class on the statutory list", "credit.not-on-list")
        case _:
            raise Refused("the outcome is not known", "credit.unknown-outcome")
    record = pb.DecisionRecord(
        organisation=organisation,
        officer=officer,
        outcome=message.outcome,
        benefit=message.benefit,
        commitment=message.commitment,
    )
    setattr(record, "class", number)
    context.write(decision_key(message.id), encode(record))


def review(context: Context, message: pb.Review) -> None:
    """Another human looks at a refused benefit or a burden again; what was upheld may be looked at again. One write.

    Raises:
        Refused: There is nothing to review, a review lifted it, whoever decided signs, or it is not the next review.
    """
    check_hash(message.id)
    record = load_decision(context.read, message.id)
    if record is None or not record.officer:
        raise Refused("there is no decision of a human with this id", "credit.unknown-decision")
    organisation, officer = _who_decides(context)
    _check_human(officer)
    if organisation != record.organisation:
        raise Refused("another organisation decided this", "credit.unknown-decision")
    if officer == record.officer:
        raise Refused("whoever decided does not review", "credit.own-decision")
    if record.outcome not in _LIFTED:
        raise Refused("nothing is refused or laid on by this decision any more", "credit.reviewed")
    if message.outcome not in (record.outcome, _LIFTED[record.outcome]):
        raise Refused("a review upholds the decision or lifts it", "credit.unknown-outcome")
    if message.number != record.reviews + 1:
        raise Refused(f"this decision's next review is number {record.reviews + 1}", "credit.wrong-review")
    record.outcome, record.reviews = message.outcome, message.number
    context.write(decision_key(message.id), encode(record))


def _who_decides(context: Context) -> tuple[str, bytes]:
    """The one active organisation that signs with keys that attest, and its human's key; b"" if only a service signs.

    Raises:
        Refused: Not exactly one signs, it is suspended, or several humans sign.
    """
    organisations, humans = set[str](), list[bytes]()
    for signer in context.signers:
        member = resolve_key(context.read, signer.scheme, signer.public_key, context.block.time_ms)
        if member is None or membership_pb2.PURPOSE_ATTEST not in member.key.purposes:
            continue
        if not member.organisation.is_active:
            raise Refused("the deciding organisation is suspended", "credit.suspended")
        organisations.add(member.organisation.id)
        if signer.scheme in _HUMAN:
            humans.append(sha256(signer.public_key)[:16])  # one key pair signs as a card and as a passkey: one human
    if len(organisations) != 1:
        raise Refused("one organisation decides, with a key that attests", "credit.no-decider")
    if len(frozenset(humans)) > 1:
        raise Refused("one human decides", "credit.no-decider")
    return min(organisations), humans[0] if humans else b""


def _check_human(officer: bytes) -> None:
    """Check that a human's key signs.

    Raises:
        Refused: Only services sign.
    """
    if not officer:
        raise Refused("this takes the signature of a human, by passkey or staff card", "credit.no-human")


def _check_benefit(message: pb.Decide) -> None:
    """Check that a benefit is named, and no class.

    Raises:
        Refused: It is not.
    """
    if not 1 <= message.benefit <= BENEFIT_MAX or class_number(message):
        raise Refused(f"a benefit has a number from 1 to {BENEFIT_MAX}, and no class", "credit.invalid-benefit")
