# SPDX-License-Identifier: Apache-2.0
"""Legal persons: public records, found by their unified social credit code under `identity/legal-person/<uscc>`.

Enrolled and changed like natural persons, one officer proposing and another confirming. A company that is dissolved
keeps its record: its code is never given again. The same registrar keeps a company's record for as long as it has one.
"""

from typing import Final

from chain.codec import encode
from chain.errors import Refused
from chain.module import Context
from chain.overlay import ReadState
from identity.commitments import check_commitment
from identity.officers import acting_officer
from identity.pb import identity_pb2 as pb
from identity.registrations import LIVING, PROPOSAL_LIFETIME_MS, check_confirming
from identity.status import check_reason
from identity.uscc import check_uscc
from membership.names import check_display_names

_KEY_PREFIX: Final = b"identity/legal-person/"


def legal_person_key(uscc: str) -> bytes:
    """State key of a legal person."""
    return _KEY_PREFIX + uscc.encode()


def load_legal_person(read: ReadState, uscc: str) -> pb.LegalPersonRecord | None:
    """A legal person by its code, also one that is dissolved; None if it was never enrolled."""
    raw = read(legal_person_key(uscc))
    return None if raw is None else pb.LegalPersonRecord.FromString(raw)


def is_active_legal_person(read: ReadState, uscc: str) -> bool:
    """Whether a legal person is enrolled, and neither suspended nor dissolved."""
    record = load_legal_person(read, uscc)
    return record is not None and record.status == pb.PERSON_STATUS_ACTIVE


def propose_legal_person(context: Context, message: pb.ProposeLegalPerson) -> None:
    """Propose a legal person, or other names and another commitment for one. One write.

    Raises:
        Refused: No officer who enrols signs, a field is not as it must be, another registrar keeps it, it is dissolved,
            or something else is proposed.
    """
    officer = acting_officer(context, pb.DUTY_ENROL)
    check_uscc(message.uscc)
    check_commitment(message.commitment)
    try:
        check_display_names(message.name_zh, message.name_en)
    except Refused as refusal:
        raise Refused(refusal.reason, "identity.invalid-name") from None
    time_ms = context.block.time_ms
    record = load_legal_person(context.read, message.uscc)
    if record is None:
        record = pb.LegalPersonRecord(
            registrar=officer.organisation, status=pb.PERSON_STATUS_PROPOSED, since_ms=time_ms
        )
    else:
        _check_own(record, officer.organisation)
    if record.HasField("proposal") and time_ms < record.proposal.since_ms + PROPOSAL_LIFETIME_MS:
        raise Refused("something else is proposed; confirm or withdraw it first", "identity.proposal-open")
    proposal = pb.LegalPersonProposal(content=message, officer=officer.number, since_ms=time_ms)
    record.proposal.CopyFrom(proposal)
    _save(context, message.uscc, record)


def confirm_legal_person(context: Context, message: pb.ConfirmLegalPerson) -> None:
    """Confirm what another officer proposed. One write.

    Raises:
        Refused: No officer who confirms signs, it is the same officer, or nothing or something else is proposed.
    """
    officer = acting_officer(context, pb.DUTY_CONFIRM)
    record = _own(context, message.uscc, officer.organisation)
    check_confirming(context, record.proposal, officer, message.digest)
    content = record.proposal.content
    record.name_zh, record.name_en, record.commitment = content.name_zh, content.name_en, content.commitment
    if record.status == pb.PERSON_STATUS_PROPOSED:
        record.status, record.since_ms = pb.PERSON_STATUS_ACTIVE, context.block.time_ms
    record.ClearField("proposal")
    _save(context, message.uscc, record)


def withdraw_legal_person(context: Context, message: pb.WithdrawLegalPerson) -> None:
    """Drop what is proposed; a legal person that was never confirmed has no record then. One write.

    Raises:
        Refused: No officer of the registrar signs, or nothing is proposed.
    """
    officer = acting_officer(context)
    record = _own(context, message.uscc, officer.organisation)
    if not record.HasField("proposal"):
        raise Refused("nothing is proposed here", "identity.nothing-proposed")
    if record.status == pb.PERSON_STATUS_PROPOSED:
        context.delete(legal_person_key(message.uscc))
        return
    record.ClearField("proposal")
    _save(context, message.uscc, record)


def set_legal_person_status(context: Context, message: pb.SetLegalPersonStatus) -> None:
    """Suspend, reinstate or dissolve. One write. Mandates of a company count while it is active only.

    Raises:
        Refused: No officer signs who may, or the present status does not allow it.
    """
    check_reason(message.reason)
    officer = acting_officer(context, pb.DUTY_ENROL if message.status == pb.STATUS_SUSPENDED else pb.DUTY_CONFIRM)
    record = _own(context, message.uscc, officer.organisation)
    if record.status not in LIVING:
        raise Refused("the legal person is not confirmed yet; withdraw it instead", "identity.not-confirmed")
    suspended = record.status == pb.PERSON_STATUS_SUSPENDED
    match message.status:
        case pb.STATUS_SUSPENDED:
            if suspended:
                raise Refused("the legal person is suspended already", "identity.person-suspended")
            record.status, record.reason = pb.PERSON_STATUS_SUSPENDED, message.reason
        case pb.STATUS_REINSTATED:
            if not suspended:
                raise Refused("the legal person is not suspended", "identity.person-not-suspended")
            record.status = pb.PERSON_STATUS_ACTIVE
            record.ClearField("reason")
        case pb.STATUS_REVOKED:
            record.status, record.reason = pb.PERSON_STATUS_REVOKED, message.reason
            record.ClearField("proposal")
        case _:
            raise Refused("the status is not known", "identity.unknown-status")
    record.since_ms = context.block.time_ms
    _save(context, message.uscc, record)


def _own(context: Context, uscc: str, registrar: str) -> pb.LegalPersonRecord:
    """A legal person that this registrar keeps and that is not dissolved.

    Raises:
        Refused: There is none, another registrar keeps it, or it is dissolved.
    """
    check_uscc(uscc)
    record = load_legal_person(context.read, uscc)
    if record is None:
        raise Refused("there is no legal person of this code", "identity.unknown-person")
    _check_own(record, registrar)
    return record


def _check_own(record: pb.LegalPersonRecord, registrar: str) -> None:
    """Check that a registrar keeps this record and can change it.

    Raises:
        Refused: Another does, or it is dissolved.
    """
    if record.registrar != registrar:
        raise Refused("another registrar keeps this legal person", "identity.unknown-person")
    if record.status == pb.PERSON_STATUS_REVOKED:
        raise Refused("the legal person is dissolved, and that is final", "identity.person-ended")


def _save(context: Context, uscc: str, record: pb.LegalPersonRecord) -> None:
    context.write(legal_person_key(uscc), encode(record))
