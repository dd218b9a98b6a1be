# SPDX-License-Identifier: Apache-2.0
"""Evidence against a validator: recorded once per validator and epoch, and the validator leaves the set.

Suspensions keep the limits on leaves. Where they do not allow one now, the evidence is recorded all the same, and any
later report of it that they allow takes the validator out. Source: docs/protocol.md, sections 3 and 5.
"""

from dataclasses import replace

from chain.certificate import SignatureScheme, verify_evidence
from chain.codec import encode
from chain.errors import InvalidMessage, InvalidSignature, Refused
from chain.module import Context
from chain.types import BlsKey, Epoch
from membership.pb import membership_pb2 as pb
from membership.state import Seat, evidence_key, load_seat, save_seat
from membership.validators import check_limits, remove_validator


def report_evidence(context: Context, message: pb.ReportEvidence, scheme: SignatureScheme) -> None:
    """Record evidence and suspend the validator from the next epoch on.

    Anyone known may report. Verifying costs two pairings, so the operation stands alone in its transaction.

    Raises:
        Refused: It proves nothing, is about no validator of that epoch, or is recorded already.
    """
    if context.operation_count != 1:
        raise Refused("evidence stands alone in its transaction", "membership.not-alone")
    try:
        bls_key, epoch = verify_evidence(message.evidence, context.block.network, scheme)
    except (InvalidMessage, InvalidSignature) as error:
        raise Refused(f"this is no evidence: {error.reason}", "membership.invalid-evidence") from None
    seat = load_seat(context.read, bls_key)
    if seat is None or not _served(seat, epoch, context.block.validators.epoch):
        raise Refused("the key did not validate in that epoch", "membership.unknown-validator")
    is_recorded = context.read(evidence_key(bls_key, epoch)) is not None
    if is_recorded and not (seat.until_epoch == 0 and _can_leave(context, bls_key)):
        raise Refused("evidence against this validator in this epoch is recorded", "membership.evidence-known")
    if not is_recorded:
        record = pb.EvidenceRecord(height=context.block.height)
        context.write(evidence_key(bls_key, epoch), encode(record))
        save_seat(context, bls_key, replace(seat, status=pb.VALIDATOR_STATUS_SUSPENDED))
    if seat.until_epoch == 0 and _can_leave(context, bls_key):
        remove_validator(context, bls_key)


def _served(seat: Seat, epoch: Epoch, current: Epoch) -> bool:
    """Whether a validator served an epoch that has begun."""
    return seat.since_epoch <= epoch <= current and (seat.until_epoch == 0 or epoch <= seat.until_epoch)


def _can_leave(context: Context, bls_key: BlsKey) -> bool:
    """Whether the limits allow this validator to leave now."""
    trial = context.trial()
    remove_validator(trial, bls_key)
    try:
        check_limits(trial)
    except Refused:
        return False
    return True
