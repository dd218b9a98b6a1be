# SPDX-License-Identifier: Apache-2.0
"""Mandates: a natural person acts for a company, a minor, a ward or another person.

    absent --GrantMandate, an officer--> recorded --AcceptMandate, each side--> counts
    recorded, counts --EndMandate, either side or an officer--> ended, for good

The record names no natural person: its id is its own, and the parties stand in a salted commitment. Each side keeps a
secret instead: what hashes to its anchor accepts, what hashes to that ends (`identity.commitments.anchor_of`), whether
the side has accepted or not. So who relays an acceptance cannot end with what it reveals. Nobody can accept for a side
that has not spoken, and each side ends it alone, through whatever service they like. For a minor or a ward a second
officer accepts.

A mandate of a company names it and counts only while the company is active. That a natural person's registration was
revoked, rules cannot know here, since nothing joins the two: the registrar's officer ends their mandates then, and who
relies on a mandate checks the agent's own credential beside it. Under `identity/mandate/<id in hex>`.
"""

from collections.abc import Sequence
from typing import Final

from chain.codec import encode
from chain.errors import Refused
from chain.module import Context
from chain.overlay import ReadState
from chain.types import HASH_BYTES
from identity.commitments import anchor_of, check_commitment, check_record_id
from identity.legal_persons import is_active_legal_person
from identity.officers import acting_officer
from identity.pb import identity_pb2 as pb
from identity.registrations import person_key
from identity.uscc import USCC_CHARACTERS, check_uscc
from membership.parameters import load_parameter
from membership.pb import membership_pb2

AMOUNT_FEN_MAX: Final = 10**15
"""Ten trillion yuan: beyond any act, and far from where integers end in other languages."""
CHAIN_MAX: Final = 4
"""Mandates in a row, each given by the agent of the one before."""

_KINDS = frozenset(pb.MandateKind.values()) - {pb.MANDATE_KIND_UNSPECIFIED}
_OFFICER_ACCEPTS = (pb.MANDATE_KIND_MINOR, pb.MANDATE_KIND_WARD)
_SCOPES = tuple(sorted(pb.Scope.values()))[1:]
_POWERS = tuple(sorted(pb.Power.values()))[1:]


def mandate_key(mandate: bytes) -> bytes:
    """State key of a mandate."""
    return b"identity/mandate/" + mandate.hex().encode()


def load_mandate(read: ReadState, mandate: bytes) -> pb.MandateRecord | None:
    """A mandate by id, also one that is ended; None if the id was never used."""
    raw = read(mandate_key(mandate))
    return None if raw is None else pb.MandateRecord.FromString(raw)


def counts(read: ReadState, record: pb.MandateRecord | None, time_ms: int) -> bool:
    """Whether a mandate counts at a time: accepted by both sides, ended by neither, valid, its company active."""
    return (
        record is not None
        and not record.ended_at_ms
        and record.principal_accepted
        and record.agent_accepted
        and record.valid_from_ms <= time_ms < record.valid_to_ms
        and (not record.legal_person or is_active_legal_person(read, record.legal_person.decode("ascii")))
    )


def is_chain(read: ReadState, records: Sequence[pb.MandateRecord], time_ms: int) -> bool:
    """Whether mandates, each given by the agent of the one before, carry what the last one says.

    That the agent of each is the principal of the next, commitments open to whoever is shown them; here stands what the
    records say: all count, all but the last may be delegated, and none gives more than the one before it.

    Args:
        read: Looks state up.
        records: From the first principal's on; 1 to 4.
        time_ms: Block time of the state.
    """
    if not 1 <= len(records) <= CHAIN_MAX or not all(counts(read, record, time_ms) for record in records):
        return False
    for i in range(1, len(records)):
        outer, inner = records[i - 1], records[i]
        if (
            not outer.may_delegate
            or not (pb.SCOPE_GENERAL in outer.scopes or all(scope in outer.scopes for scope in inner.scopes))
            or not all(power in outer.powers for power in inner.powers)
            or inner.amount_fen_max > outer.amount_fen_max
        ):
            return False
    return True


# ---------------------------------------------------------------- operations


def grant_mandate(context: Context, message: pb.GrantMandate) -> None:
    """Record a mandate, for both sides to accept. One write.

    Raises:
        Refused: No officer who enrols signs, the id was used before, or a field is not as it must be.
    """
    officer = acting_officer(context, pb.DUTY_ENROL)
    check_record_id(message.id)
    if context.read(person_key(message.id)) is not None or load_mandate(context.read, message.id) is not None:
        raise Refused("this id was used before; each record has its own", "identity.id-used")
    check_commitment(message.commitment)
    _check_terms(context, message)
    _check_principal(context, message)
    anchors = (message.principal_anchor, message.agent_anchor)
    if any(len(anchor) != HASH_BYTES for anchor in anchors) or anchors[0] == anchors[1]:
        raise Refused("each side has an anchor of its own, of 32 bytes", "identity.invalid-anchor")
    record = pb.MandateRecord(
        registrar=officer.registrar,
        officer=officer.number,
        kind=message.kind,
        commitment=message.commitment,
        legal_person=message.legal_person,
        scopes=message.scopes,
        powers=message.powers,
        amount_fen_max=message.amount_fen_max,
        valid_from_ms=message.valid_from_ms,
        valid_to_ms=message.valid_to_ms,
        may_delegate=message.may_delegate,
        principal_anchor=message.principal_anchor,
        agent_anchor=message.agent_anchor,
    )
    _save(context, message.id, record)


def accept_mandate(context: Context, message: pb.AcceptMandate) -> None:
    """One side accepts. One write. Anyone known submits: what is revealed is the side's consent.

    Raises:
        Refused: The mandate is over or this side has accepted, the proof is wrong, or an officer who accepts for a
            minor or a ward may not.
    """
    record = _standing(context, message.id)
    if record.valid_to_ms <= context.block.time_ms:
        raise Refused("the mandate's validity is over", "identity.mandate-over")
    match message.side:
        case pb.SIDE_PRINCIPAL:
            accepted, anchor = record.principal_accepted, record.principal_anchor
        case pb.SIDE_AGENT:
            accepted, anchor = record.agent_accepted, record.agent_anchor
        case _:
            raise Refused("a mandate has a principal and an agent", "identity.unknown-side")
    if accepted:
        raise Refused("this side has accepted already", "identity.mandate-accepted")
    if message.side == pb.SIDE_PRINCIPAL and record.kind in _OFFICER_ACCEPTS:
        _check_ward(context, record, message.proof)
        record.principal_accepted = True
    else:
        if len(message.proof) != HASH_BYTES or anchor_of(message.proof) != anchor:
            raise Refused("what is revealed does not hash to the side's anchor", "identity.wrong-proof")
        if message.side == pb.SIDE_PRINCIPAL:
            record.principal_accepted = True
        else:
            record.agent_accepted = True
    _save(context, message.id, record)


def end_mandate(context: Context, message: pb.EndMandate) -> None:
    """A side or an officer ends the mandate for good. One write.

    A side reveals its secret, accepted or not: what an acceptance has shown to others ends nothing.

    Raises:
        Refused: It is over, the proof is neither side's, or, without one, no officer of its registrar signs.
    """
    record = _standing(context, message.id)
    if message.proof:
        anchors = (record.principal_anchor, record.agent_anchor)
        if len(message.proof) != HASH_BYTES or anchor_of(anchor_of(message.proof)) not in anchors:
            raise Refused("what is revealed is not the secret of a side", "identity.wrong-proof")
    elif acting_officer(context).registrar != record.registrar:
        raise Refused("another registrar recorded this mandate", "identity.unknown-mandate")
    over = pb.MandateRecord(registrar=record.registrar, officer=record.officer, ended_at_ms=context.block.time_ms)
    _save(context, message.id, over)


def _check_terms(context: Context, message: pb.GrantMandate) -> None:
    """Check scopes, powers, limit and validity.

    Raises:
        Refused: One is out of its bounds.
    """
    scopes, powers = tuple(message.scopes), tuple(message.powers)
    if (
        not scopes
        or not powers
        or scopes != tuple(scope for scope in _SCOPES if scope in scopes)
        or powers != tuple(power for power in _POWERS if power in powers)
    ):
        raise Refused(
            "scopes and powers are known ones in ascending order, at least one each", "identity.invalid-powers"
        )
    if message.amount_fen_max > AMOUNT_FEN_MAX:
        raise Refused(f"an amount is at most {AMOUNT_FEN_MAX} fen", "identity.invalid-limit")
    if not message.valid_from_ms < message.valid_to_ms or message.valid_to_ms <= context.block.time_ms:
        raise Refused("the validity ends before it begins, or is over", "identity.invalid-validity")
    lifetime_ms_max = load_parameter(context.read, membership_pb2.PARAMETER_ATTESTATION_LIFETIME_MS_MAX)
    if message.valid_to_ms - message.valid_from_ms > lifetime_ms_max:
        raise Refused(f"a mandate is valid for at most {lifetime_ms_max} ms", "identity.validity-too-long")


def _check_principal(context: Context, message: pb.GrantMandate) -> None:
    """Check for whom the agent acts: an active company if the kind says so, else nobody by name.

    Raises:
        Refused: The kind is unknown, or the company missing, wrong, not active, or out of place.
    """
    if message.kind not in _KINDS:
        raise Refused("the kind of mandate is not known", "identity.unknown-mandate-kind")
    if message.kind != pb.MANDATE_KIND_LEGAL_PERSON:
        if message.legal_person:
            raise Refused("only a legal person's mandate names its principal", "identity.principal-named")
        return
    if len(message.legal_person) != USCC_CHARACTERS or not message.legal_person.isascii():
        raise Refused("a legal person's mandate names its code", "identity.invalid-uscc")
    uscc = message.legal_person.decode("ascii")
    check_uscc(uscc)
    if not is_active_legal_person(context.read, uscc):
        raise Refused("the legal person is not enrolled, suspended or dissolved", "identity.principal-not-active")


def _check_ward(context: Context, record: pb.MandateRecord, proof: bytes) -> None:
    """Check that a second officer accepts for a minor or a ward.

    Raises:
        Refused: A proof is given, or the officer recorded the mandate or is of another registrar.
    """
    if proof:
        raise Refused("an officer accepts for a minor or a ward, without a proof", "identity.wrong-proof")
    officer = acting_officer(context, pb.DUTY_CONFIRM)
    if officer.registrar != record.registrar:
        raise Refused("another registrar recorded this mandate", "identity.unknown-mandate")
    if officer.number == record.officer:
        raise Refused("whoever recorded the mandate cannot accept it for the principal", "identity.own-proposal")


def _standing(context: Context, mandate: bytes) -> pb.MandateRecord:
    """A mandate that is not ended.

    Raises:
        Refused: There is none of this id, or it is ended.
    """
    check_record_id(mandate)
    record = load_mandate(context.read, mandate)
    if record is None:
        raise Refused("there is no mandate of this id", "identity.unknown-mandate")
    if record.ended_at_ms:
        raise Refused("the mandate is ended, and that is final", "identity.mandate-over")
    return record


def _save(context: Context, mandate: bytes, record: pb.MandateRecord) -> None:
    context.write(mandate_key(mandate), encode(record))
