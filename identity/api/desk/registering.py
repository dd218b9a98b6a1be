# SPDX-License-Identifier: Apache-2.0
"""What goes on the ledger for a natural person, and what that is in words.

No operation says whose it is: random ids, salted commitments, enumerations. Words name the case and never the person,
so that nothing of a person stands in what is an officer's.
"""

from collections.abc import Mapping, Sequence

from google.protobuf.message import Message

from chain.codec import encode
from chain.transaction import Operation
from identity.api.desk.base import DeskContext
from identity.api.desk.details import Details
from identity.api.desk.persons import Secrets
from identity.api.desk.problems import NOT_AS_PROPOSED
from identity.api.desk.states import CaseKind
from identity.pb import identity_pb2 as pb
from identity.registrations import load_person, person_key, proposal_digest
from service.language import LANGUAGES, Language, translate
from service.problems import Problem

Words = Mapping[Language, Sequence[str]]

STATUS: Mapping[CaseKind, pb.Status.ValueType] = {
    CaseKind.SUSPEND: pb.STATUS_SUSPENDED,
    CaseKind.REINSTATE: pb.STATUS_REINSTATED,
    CaseKind.REVOKE: pb.STATUS_REVOKED,
    CaseKind.DECEASED: pb.STATUS_REVOKED,
}
_ACT_KEYS = {
    CaseKind.SUSPEND: "desk.act-suspend",
    CaseKind.REINSTATE: "desk.act-reinstate",
    CaseKind.REVOKE: "desk.act-revoke",
    CaseKind.DECEASED: "desk.act-deceased",
}


def operation(message: Message) -> Operation:
    """One of identity's messages as an operation."""
    return Operation.make(f"identity.{message.DESCRIPTOR.name}", encode(message))


def change_of(details: Details, secrets: Secrets) -> pb.Change:
    """What is proposed to become of a registration."""
    return pb.Change(
        commitment=details.commitment(bytes.fromhex(secrets.proposed_salt)),
        assurance_level=details.level,
        proofing_method=details.proofing,
    )


def enrolment(details: Details, secrets: Secrets, reference: str) -> tuple[list[Operation], Words]:
    """Propose a registration."""
    change = change_of(details, secrets)
    enrol = pb.Enrol(id=secrets.registration_id, change=change)
    return [operation(enrol)], _proposing("desk.act-enrol", reference, change)


def enrolment_anew(
    details: Details, before: Secrets, secrets: Secrets, reference: str
) -> tuple[list[Operation], Words]:
    """Withdraw a proposed registration and propose a corrected one under another id, in one transaction."""
    change = change_of(details, secrets)
    withdraw = pb.Withdraw(id=before.registration_id)
    enrol = pb.Enrol(id=secrets.registration_id, change=change)
    return [operation(withdraw), operation(enrol)], _proposing("desk.act-enrol-anew", reference, change)


def change(details: Details, secrets: Secrets, reference: str, *, anew: bool) -> tuple[list[Operation], Words]:
    """Propose a change of a registration that counts.

    Args:
        details: As they are to be.
        secrets: With the salt of the proposal.
        reference: The case.
        anew: Something else is proposed there, which is withdrawn first.
    """
    asked = change_of(details, secrets)
    before = [operation(pb.Withdraw(id=secrets.registration_id))] if anew else []
    propose = pb.ProposeChange(id=secrets.registration_id, change=asked)
    return [*before, operation(propose)], _proposing("desk.act-change", reference, asked)


def withdrawal(secrets: Secrets, reference: str) -> tuple[list[Operation], Words]:
    """Drop what is proposed."""
    words = {language: [translate(language, "desk.act-withdraw", case=reference)] for language in LANGUAGES}
    return [operation(pb.Withdraw(id=secrets.registration_id))], words


def status_change(
    kind: CaseKind, secrets: Secrets, reason: pb.Reason.ValueType, method: pb.ProofingMethod.ValueType, reference: str
) -> tuple[list[Operation], Words]:
    """Suspend, reinstate or revoke a registration.

    Args:
        kind: Which.
        secrets: The person's.
        reason: As the ledger names it.
        method: How the person was proofed, to reinstate; else unspecified.
        reference: The case.
    """
    message = pb.SetPersonStatus(id=secrets.registration_id, status=STATUS[kind], reason=reason, proofing_method=method)
    words = {language: [translate(language, _ACT_KEYS[kind], case=reference)] for language in LANGUAGES}
    return [operation(message)], words


async def confirmation(
    desk: DeskContext, details: Details, secrets: Secrets, reference: str
) -> tuple[list[Operation], Words]:
    """Confirm what another officer proposed, once the ledger shows that it commits to what the approver is shown.

    Raises:
        Problem: What is proposed there is something else.
        TransportError: The ledger does not answer.
    """
    state = await desk.ledger.read([person_key(secrets.registration_id)])
    record = load_person(state.values.get, secrets.registration_id)
    if record is None or record.proposal.change != change_of(details, secrets):
        raise Problem(NOT_AS_PROPOSED)
    digest = proposal_digest(record.proposal)
    words = {
        language: [
            translate(language, "desk.act-confirm", case=reference),
            translate(language, "desk.act-confirm-same"),
            translate(language, "desk.act-digest", digest=_spaced(digest)),
        ]
        for language in LANGUAGES
    }
    return [operation(pb.Confirm(id=secrets.registration_id, digest=digest))], words


def _proposing(key: str, reference: str, asked: pb.Change) -> Words:
    return {
        language: [
            translate(language, key, case=reference),
            translate(language, "desk.act-nothing-personal"),
            translate(language, "desk.act-digest", digest=_spaced(asked.commitment)),
        ]
        for language in LANGUAGES
    }


def _spaced(digest: bytes) -> str:
    """The first bytes of a digest in groups, to be compared by eye."""
    text = digest.hex()[:16]
    return " ".join(text[place : place + 4] for place in range(0, len(text), 4))
