# SPDX-License-Identifier: Apache-2.0
"""What officers do with natural persons' registrations.

    absent --Enrol--> proposed --Confirm, by another officer--> active      --Withdraw--> withdrawn, for good
    active --suspended: any key of the registrar--> suspended --reinstated: an officer, in person--> active
    active, suspended --revoked: an officer who confirms--> revoked, for good
    active, suspended --Recover: two officers, in person--> active, with other keys

Changes of an active registration are proposed and confirmed like an enrolment. Nothing that gives control over a
registration is one officer's act: a rogue officer could otherwise bind a key of their own.
"""

from chain.codec import encode
from chain.errors import Refused
from chain.module import Context
from identity.commitments import check_record_id
from identity.mandates import load_mandate
from identity.officers import acting_officer, acting_pair, acting_registrar, registrar_digest
from identity.pb import identity_pb2 as pb
from identity.registrations import (
    LIVING,
    RECOVERED_MS,
    bind_keys,
    check_binds,
    check_change,
    check_confirming,
    check_in_person,
    load_person,
    own_person,
    propose,
    save_person,
)
from identity.status import check_reason
from identity.uniqueness import end_seat, take_seat


def enrol(context: Context, message: pb.Enrol) -> None:
    """Propose a registration. One write.

    Raises:
        Refused: No officer who enrols signs, the id was used before, or the fields are not whole and right.
    """
    officer = acting_officer(context, pb.DUTY_ENROL)
    check_record_id(message.id)
    if load_person(context.read, message.id) is not None or load_mandate(context.read, message.id) is not None:
        raise Refused("this id was used before; each record has its own", "identity.id-used")
    if not message.change.commitment or not message.change.proofing_method:
        raise Refused(
            "an enrolment names a commitment, an assurance level and a proofing method", "identity.empty-change"
        )
    record = pb.PersonRecord(
        registrar=officer.registrar, status=pb.PERSON_STATUS_PROPOSED, since_ms=context.block.time_ms
    )
    propose(context, record, officer, message.change)
    save_person(context, message.id, record)


def propose_change(context: Context, message: pb.ProposeChange) -> None:
    """Propose a change of a registration that counts. One write.

    Raises:
        Refused: No officer who enrols signs, the registration is not active, or the change cannot be made.
    """
    officer = acting_officer(context, pb.DUTY_ENROL)
    record = own_person(context, message.id, officer.registrar)
    _check_active(record)
    propose(context, record, officer, message.change)
    save_person(context, message.id, record)


def confirm(context: Context, message: pb.Confirm) -> None:
    """Confirm what another officer proposed. One write, one for each key, and for an enrolment one for the seat.

    Raises:
        Refused: No officer who confirms signs, it is the same officer, nothing or something else is proposed, it can
            no longer be made, or an enrolment has no uniqueness tag behind it.
    """
    officer = acting_officer(context, pb.DUTY_CONFIRM)
    record = own_person(context, message.id, officer.registrar)
    check_confirming(context, record.proposal, officer, message.digest)
    change = record.proposal.change
    check_change(context, record, change)
    if record.status == pb.PERSON_STATUS_PROPOSED:
        take_seat(context, officer.registrar)
        record.status, record.since_ms = pb.PERSON_STATUS_ACTIVE, context.block.time_ms
    else:
        _check_active(record)
    if change.commitment:
        record.commitment = change.commitment
    if change.proofing_method:
        record.assurance_level, record.proofing_method = change.assurance_level, change.proofing_method
    kept = [key for key in record.keys if key.commitment not in change.ends]
    del record.keys[:]
    record.keys.extend(kept)
    bind_keys(context, record, list(change.binds))
    record.ClearField("proposal")
    save_person(context, message.id, record)


def withdraw(context: Context, message: pb.Withdraw) -> None:
    """Drop what is proposed; an enrolment is over with it. One write.

    Raises:
        Refused: No officer of the registrar signs, or nothing is proposed.
    """
    officer = acting_officer(context)
    record = own_person(context, message.id, officer.registrar)
    if not record.HasField("proposal"):
        raise Refused("nothing is proposed here", "identity.nothing-proposed")
    if record.status == pb.PERSON_STATUS_PROPOSED:
        _end(context, message.id, record, pb.PERSON_STATUS_WITHDRAWN)
        return
    record.ClearField("proposal")
    save_person(context, message.id, record)


def set_person_status(context: Context, message: pb.SetPersonStatus) -> None:
    """Suspend, reinstate or revoke a registration or one of its keys. One write; revoking a registration, two.

    Suspending is easy: any key of the registrar signs, so that a phone line or a kiosk can do it at once. The way back
    is an officer's who sees the person. Revoking is an officer's who confirms.

    Raises:
        Refused: Whoever signs may not, the present status does not allow it, or a field is unknown.
    """
    check_reason(message.reason)
    match message.status:
        case pb.STATUS_SUSPENDED:
            registrar = registrar_digest(acting_registrar(context))
        case pb.STATUS_REINSTATED:
            registrar = acting_officer(context, pb.DUTY_ENROL).registrar
            check_in_person(message.proofing_method)
        case pb.STATUS_REVOKED:
            registrar = acting_officer(context, pb.DUTY_CONFIRM).registrar
        case _:
            raise Refused("the status is not known", "identity.unknown-status")
    record = own_person(context, message.id, registrar)
    if record.status not in LIVING:
        raise Refused("the registration is not confirmed yet; withdraw it instead", "identity.not-confirmed")
    if message.key:
        _set_key_status(record, message)
        save_person(context, message.id, record)
    elif message.status == pb.STATUS_REVOKED:
        end_seat(context, registrar)
        _end(context, message.id, record, pb.PERSON_STATUS_REVOKED)
    else:
        _set_registration_status(context, record, message.status)
        save_person(context, message.id, record)


def recover(context: Context, message: pb.Recover) -> None:
    """All keys of a person who has come in without them end, and new ones are bound. One write and one for each key.

    For 7 days of block time from here the registration's keys, also ones bound in that time, count as recovered. What
    was proposed before is dropped, since whoever lost control may not have wanted it.

    Raises:
        Refused: Not two officers sign, the person was not there, or the keys cannot be bound.
    """
    officer, _ = acting_pair(context)
    check_in_person(message.proofing_method)
    record = own_person(context, message.id, officer.registrar)
    if record.status not in LIVING:
        raise Refused("the registration is not confirmed yet; withdraw it instead", "identity.not-confirmed")
    binds = list(message.binds)
    if not binds:
        raise Refused("a recovery binds at least one key", "identity.empty-change")
    check_binds(context, binds, 0)
    del record.keys[:]
    bind_keys(context, record, binds)
    if record.status == pb.PERSON_STATUS_SUSPENDED:
        record.status, record.since_ms = pb.PERSON_STATUS_ACTIVE, context.block.time_ms
    record.recovered_until_ms = context.block.time_ms + RECOVERED_MS
    record.ClearField("proposal")
    save_person(context, message.id, record)


def _check_active(record: pb.PersonRecord) -> None:
    """Check that a registration counts.

    Raises:
        Refused: It is suspended or not confirmed.
    """
    if record.status == pb.PERSON_STATUS_SUSPENDED:
        raise Refused("the registration is suspended", "identity.person-suspended")
    if record.status != pb.PERSON_STATUS_ACTIVE:
        raise Refused("the registration is not confirmed yet", "identity.not-confirmed")


def _set_registration_status(context: Context, record: pb.PersonRecord, status: pb.Status.ValueType) -> None:
    """Suspend or reinstate a whole registration, in its record.

    Raises:
        Refused: It is suspended already, or not.
    """
    suspended = record.status == pb.PERSON_STATUS_SUSPENDED
    if status == pb.STATUS_SUSPENDED and suspended:
        raise Refused("the registration is suspended already", "identity.person-suspended")
    if status == pb.STATUS_REINSTATED and not suspended:
        raise Refused("the registration is not suspended", "identity.person-not-suspended")
    record.status = pb.PERSON_STATUS_ACTIVE if suspended else pb.PERSON_STATUS_SUSPENDED
    record.since_ms = context.block.time_ms


def _set_key_status(record: pb.PersonRecord, message: pb.SetPersonStatus) -> None:
    """Suspend, reinstate or revoke one control key, in its registration's record.

    Raises:
        Refused: It is not one of this registration's, or its present status does not allow it.
    """
    for index, key in enumerate(record.keys):
        if key.commitment != message.key:
            continue
        if message.status == pb.STATUS_REVOKED:
            del record.keys[index]
            return
        if key.suspended is (message.status == pb.STATUS_SUSPENDED):
            raise Refused("the key has this status already", "identity.key-unchanged")
        key.suspended = not key.suspended
        return
    raise Refused("this is no key of this registration, or one that was revoked", "identity.unknown-key")


def _end(context: Context, person: bytes, record: pb.PersonRecord, status: pb.PersonStatus.ValueType) -> None:
    """Leave nothing of a registration but that it was, so that its id is used once."""
    over = pb.PersonRecord(registrar=record.registrar, status=status, since_ms=context.block.time_ms)
    assert encode(over), "a record in state is never empty"
    save_person(context, person, over)
