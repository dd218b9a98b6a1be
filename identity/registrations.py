# SPDX-License-Identifier: Apache-2.0
"""A natural person's registration as it stands in state, and what it says of their keys.

The record is found by a random id of its own and holds salted commitments, enumerations and times only. Its control
keys are part of it, so that all of them can end at once; each is a commitment, and `identity/control/<commitment>`
remembers for good that it was bound, so that none comes back, here or elsewhere.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

from chain.codec import encode
from chain.errors import Refused
from chain.module import Context
from chain.overlay import ReadState
from chain.types import sha256
from identity.commitments import check_commitment, check_record_id
from identity.officers import Officer
from identity.pb import identity_pb2 as pb

AnyProposal: TypeAlias = pb.Proposal | pb.LegalPersonProposal | pb.RelyingProposal

KEYS_MAX: Final = 16
"""Control keys of one person: three on each card, cards that overlap when one is replaced, and some phones."""
RECOVERED_MS: Final = 7 * 24 * 3_600_000
"""How long keys count as recovered: long enough for a notice to reach whoever was robbed of their name."""
PROPOSAL_LIFETIME_MS: Final = 30 * 24 * 3_600_000
"""What nobody confirms within a month was not meant."""

LEVEL_MAX: Final = {
    pb.PROOFING_METHOD_DOCUMENT_CHIP: pb.ASSURANCE_LEVEL_HIGH,
    pb.PROOFING_METHOD_DOCUMENT_INSPECTED: pb.ASSURANCE_LEVEL_HIGH,
    pb.PROOFING_METHOD_VOUCHED: pb.ASSURANCE_LEVEL_SUBSTANTIAL,
    pb.PROOFING_METHOD_REMOTE_VIDEO: pb.ASSURANCE_LEVEL_SUBSTANTIAL,
    pb.PROOFING_METHOD_REMOTE_DATA: pb.ASSURANCE_LEVEL_LOW,
}
"""The highest assurance level that each way of proofing gives."""
IN_PERSON: Final = (
    pb.PROOFING_METHOD_DOCUMENT_CHIP,
    pb.PROOFING_METHOD_DOCUMENT_INSPECTED,
    pb.PROOFING_METHOD_VOUCHED,
)
LIVING: Final = (pb.PERSON_STATUS_ACTIVE, pb.PERSON_STATUS_SUSPENDED)

_PURPOSES = frozenset(pb.ControlPurpose.values()) - {pb.CONTROL_PURPOSE_UNSPECIFIED}


@dataclass(frozen=True, slots=True)
class Counting:
    """A control key that counts.

    Attributes:
        purpose: What it is bound for.
        is_recovered: It was bound by or soon after a recovery: rely on it with care until `recovered_until_ms`.
        recovered_until_ms: First time at which it no longer is; 0 if never recovered.
    """

    purpose: pb.ControlPurpose.ValueType
    is_recovered: bool
    recovered_until_ms: int


def person_key(person: bytes) -> bytes:
    """State key of a natural person's registration."""
    return b"identity/person/" + person.hex().encode()


def control_key(commitment: bytes) -> bytes:
    """State key that says that a control key was bound."""
    return b"identity/control/" + commitment.hex().encode()


def load_person(read: ReadState, person: bytes) -> pb.PersonRecord | None:
    """A registration by id, also one that is over; None if the id was never used."""
    raw = read(person_key(person))
    return None if raw is None else pb.PersonRecord.FromString(raw)


def save_person(context: Context, person: bytes, record: pb.PersonRecord) -> None:
    """Write a registration."""
    context.write(person_key(person), encode(record))


def counting_key(record: pb.PersonRecord | None, commitment: bytes, time_ms: int) -> Counting | None:
    """What a control key counts for at a time, or None: the registration or the key is suspended, ended or unknown.

    Args:
        record: What stands under the id that the holder shows.
        commitment: `control_commitment` of the key and salt that the holder shows.
        time_ms: Block time of the state.
    """
    if record is None or record.status != pb.PERSON_STATUS_ACTIVE:
        return None
    for key in record.keys:
        if key.commitment == commitment and not key.suspended:
            until_ms = record.recovered_until_ms
            return Counting(key.purpose, time_ms < until_ms, until_ms)
    return None


def proposal_digest(proposal: AnyProposal) -> bytes:
    """What a second officer confirms: SHA-256 of the proposal as it stands in state."""
    return sha256(encode(proposal))


# ---------------------------------------------------------------- checks


def own_person(context: Context, person: bytes, registrar: bytes) -> pb.PersonRecord:
    """A registration that this registrar keeps and that is not over.

    Raises:
        Refused: There is none of this id, another registrar keeps it, or it is over.
    """
    check_record_id(person)
    record = load_person(context.read, person)
    if record is None or record.registrar != registrar:
        raise Refused("this registrar keeps no registration of this id", "identity.unknown-person")
    if record.status in (pb.PERSON_STATUS_REVOKED, pb.PERSON_STATUS_WITHDRAWN):
        raise Refused("the registration is over for good", "identity.person-ended")
    return record


def check_in_person(method: pb.ProofingMethod.ValueType) -> None:
    """Check that the person was there.

    Raises:
        Refused: The proofing method is unknown or remote.
    """
    if method not in IN_PERSON:
        raise Refused("this act takes the person's presence; name how they were proofed", "identity.not-in-person")


def check_proofing(level: pb.AssuranceLevel.ValueType, method: pb.ProofingMethod.ValueType) -> None:
    """Check that a way of proofing carries an assurance level.

    Raises:
        Refused: Either is unknown, or the level is higher than the method gives.
    """
    if method not in LEVEL_MAX:
        raise Refused("the proofing method is not known", "identity.unknown-proofing")
    if level not in pb.AssuranceLevel.values() or level == pb.ASSURANCE_LEVEL_UNSPECIFIED:
        raise Refused("the assurance level is not known", "identity.unknown-assurance-level")
    if level > LEVEL_MAX[method]:
        raise Refused("this way of proofing does not give this assurance level", "identity.assurance-too-high")


def check_change(context: Context, record: pb.PersonRecord, change: pb.Change) -> None:
    """Check that a change can be made to a registration as it stands.

    Raises:
        Refused: It changes nothing, a field is out of its bounds, a key that ends is none of the person's, or one that
            is bound was bound before.
    """
    if change == pb.Change():
        raise Refused("the change changes nothing", "identity.empty-change")
    if change.commitment:
        check_commitment(change.commitment)
    if change.assurance_level or change.proofing_method:
        check_proofing(change.assurance_level, change.proofing_method)
    held = [key.commitment for key in record.keys]
    ends = list(change.ends)
    if len(set(ends)) != len(ends) or any(commitment not in held for commitment in ends):
        raise Refused("a key that ends is one of this registration's, each named once", "identity.unknown-key")
    check_binds(context, list(change.binds), len(held) - len(ends))


def check_binds(context: Context, binds: list[pb.NewKey], kept: int) -> None:
    """Check that keys can be bound beside those that stay.

    Raises:
        Refused: Unknown purpose, wrong form, bound before or twice here, or too many.
    """
    if kept + len(binds) > KEYS_MAX:
        raise Refused(f"a registration has at most {KEYS_MAX} control keys", "identity.too-many-keys")
    if len({new.commitment for new in binds}) != len(binds):
        raise Refused("a control key is bound once", "identity.key-used")
    for new in binds:
        if new.purpose not in _PURPOSES:
            raise Refused("a control key authenticates, signs or is a wallet's", "identity.unknown-purpose")
        check_commitment(new.commitment)
        if context.read(control_key(new.commitment)) is not None:
            raise Refused("this control key was bound before; it never is again", "identity.key-used")


def propose(context: Context, record: pb.PersonRecord, officer: Officer, change: pb.Change) -> None:
    """Put a change into a registration's record, for another officer to confirm.

    Raises:
        Refused: Another one waits there and has not run out, or it cannot be made.
    """
    time_ms = context.block.time_ms
    if record.HasField("proposal") and time_ms < record.proposal.since_ms + PROPOSAL_LIFETIME_MS:
        raise Refused("something else is proposed; confirm or withdraw it first", "identity.proposal-open")
    check_change(context, record, change)
    record.proposal.CopyFrom(pb.Proposal(change=change, officer=officer.number, since_ms=time_ms))


def check_confirming(context: Context, proposal: AnyProposal, officer: Officer, digest: bytes) -> None:
    """Check that this officer may confirm what is proposed, and saw it.

    Raises:
        Refused: Nothing is proposed or something else, it has run out, or this officer proposed it.
    """
    if not proposal.since_ms:
        raise Refused("nothing is proposed here", "identity.nothing-proposed")
    if digest != proposal_digest(proposal):
        raise Refused("what is proposed is not what this officer saw", "identity.proposal-changed")
    if context.block.time_ms >= proposal.since_ms + PROPOSAL_LIFETIME_MS:
        raise Refused("the proposal has run out; propose it anew", "identity.proposal-expired")
    if officer.number == proposal.officer:
        raise Refused("whoever proposes cannot confirm", "identity.own-proposal")


def bind_keys(context: Context, record: pb.PersonRecord, binds: list[pb.NewKey]) -> None:
    """Add keys to a registration's record and remember them for good. One write for each."""
    for new in binds:
        record.keys.append(pb.ControlKey(purpose=new.purpose, commitment=new.commitment))
        context.write(control_key(new.commitment), encode(pb.ControlRecord(since_ms=context.block.time_ms)))
