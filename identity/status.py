# SPDX-License-Identifier: Apache-2.0
"""Revoked or suspended: the only state that an attestation can have, under `status/<issuer>/<id in hex>`.

    absent --suspended--> suspended --reinstated--> absent
    absent --revoked----> revoked, for good
    suspended --revoked-> revoked, for good

Only the issuer writes there, since its organisation id is part of the key. State does not know what was issued, so a
status can be set on an id that never was: it is harmless, for nothing in the log bears that id.
"""

from typing import Final

from chain.codec import encode
from chain.errors import Refused
from chain.module import Context
from chain.overlay import ReadState
from identity.issuing import check_id
from identity.pb import identity_pb2 as pb

STATUS_PREFIX: Final = "status/"

_REASONS = frozenset(pb.Reason.values()) - {pb.REASON_UNSPECIFIED}


def status_key(issuer: str, attestation_id: bytes) -> bytes:
    """State key of an attestation's status: its absence there, with its place in the log, proves that it is valid."""
    return f"{STATUS_PREFIX}{issuer}/{attestation_id.hex()}".encode()


def load_status(read: ReadState, issuer: str, attestation_id: bytes) -> pb.StatusRecord | None:
    """What is recorded of an attestation; None: neither revoked nor suspended."""
    raw = read(status_key(issuer, attestation_id))
    return None if raw is None else pb.StatusRecord.FromString(raw)


def check_reason(reason: pb.Reason.ValueType) -> None:
    """Check the reason of a change of status.

    Raises:
        Refused: It is not known.
    """
    if reason not in _REASONS:
        raise Refused("the reason is not known", "identity.unknown-reason")


def set_status(context: Context, issuer: str, message: pb.SetStatus) -> None:
    """Revoke, suspend or reinstate one of the issuer's attestations.

    Raises:
        Refused: A field is unknown, or the present status does not allow it.
    """
    check_id(message.id)
    check_reason(message.reason)
    record = load_status(context.read, issuer, message.id)
    if record is not None and record.status == pb.STATUS_REVOKED:
        raise Refused("the attestation is revoked, and that is final", "identity.revoked")
    match message.status:
        case pb.STATUS_REINSTATED:
            if record is None:
                raise Refused("the attestation is not suspended", "identity.not-suspended")
            context.delete(status_key(issuer, message.id))
            return
        case pb.STATUS_SUSPENDED:
            if record is not None:
                raise Refused("the attestation is suspended already", "identity.suspended")
        case pb.STATUS_REVOKED:
            pass
        case _:
            raise Refused("the status is not known", "identity.unknown-status")
    new = pb.StatusRecord(status=message.status, reason=message.reason, since_ms=context.block.time_ms)
    context.write(status_key(issuer, message.id), encode(new))
