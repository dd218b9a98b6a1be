# SPDX-License-Identifier: Apache-2.0
"""Relying parties: organisations of the network that may ask for attributes, each for purposes with a legal basis.

    absent, revoked --ProposeRelyingParty, an officer--> proposed --ConfirmRelyingParty, another--> active
    active --the same two--> active on other terms
    active <--suspended, reinstated--> suspended;  active, suspended --ended--> revoked

They are public. What is proposed stands apart from what counts, so that a proof of a registration shows nothing that
nobody has confirmed. Under `identity/relying-party/…` and `identity/relying-proposal/…`.
"""

import re
from typing import Final

from chain.codec import encode
from chain.errors import Refused
from chain.module import Context
from chain.overlay import ReadState
from chain.p256 import PUBLIC_KEY_BYTES
from identity.officers import Officer, acting_officer
from identity.pb import identity_pb2 as pb
from identity.registrations import LIVING, PROPOSAL_LIFETIME_MS, check_confirming
from identity.status import check_reason
from membership.names import DISPLAY_NAME_BYTES_MAX, check_display_names, check_organisation_id
from membership.state import load_organisation

PURPOSES_MAX: Final = 16
ATTRIBUTES_MAX: Final = 32
ATTRIBUTE_BYTES_MAX: Final = 64
"""With these three a registration keeps well below the 64 KiB of a state value."""
PURPOSE_MAX: Final = 65_535
KEYS_MAX: Final = 8
"""Request-signing keys: one for each machine or branch, and those that overlap when one is replaced."""
PER_SECOND_MAX: Final = 1_000
STATUS_AGE_S_MAX: Final = 366 * 86_400
DAY_MS: Final = 86_400_000
LIFETIME_MS_MAX: Final = 3 * 366 * DAY_MS
"""Three years: then somebody looks again whether the purpose and its basis still stand."""

ATTRIBUTE: Final = re.compile(r"[a-z][a-z0-9-]*/[a-z][a-z0-9_]*", re.ASCII)
"""Type of credential and claim, such as "natural-person/birthdate"."""


def relying_party_key(organisation: str) -> bytes:
    """State key of a registration that was confirmed."""
    return b"identity/relying-party/" + organisation.encode()


def relying_proposal_key(organisation: str) -> bytes:
    """State key of what is proposed."""
    return b"identity/relying-proposal/" + organisation.encode()


def load_relying_party(read: ReadState, organisation: str) -> pb.RelyingPartyRecord | None:
    """A registration, also one that is suspended or ended; None: none was ever confirmed."""
    raw = read(relying_party_key(organisation))
    return None if raw is None else pb.RelyingPartyRecord.FromString(raw)


def load_relying_proposal(read: ReadState, organisation: str) -> pb.RelyingProposal | None:
    """What is proposed for an organisation, also if it has run out; or None."""
    raw = read(relying_proposal_key(organisation))
    return None if raw is None else pb.RelyingProposal.FromString(raw)


# ---------------------------------------------------------------- operations


def propose_relying_party(context: Context, message: pb.ProposeRelyingParty) -> None:
    """Propose a relying party, or other terms for one. One write.

    Raises:
        Refused: No officer who enrols signs, there is no such active organisation, another registrar keeps it, a term
            is not as it must be, or something else is proposed.
    """
    officer = acting_officer(context, pb.DUTY_ENROL)
    _check_organisation(context, message.organisation)
    record = load_relying_party(context.read, message.organisation)
    if record is not None and record.status in LIVING and record.registrar != officer.organisation:
        raise Refused("another registrar keeps this relying party", "identity.unknown-party")
    check_terms(message.terms)
    _check_valid(context, message.terms)
    before = load_relying_proposal(context.read, message.organisation)
    time_ms = context.block.time_ms
    if before is not None and time_ms < before.since_ms + PROPOSAL_LIFETIME_MS:
        raise Refused("something else is proposed; confirm or withdraw it first", "identity.proposal-open")
    proposal = pb.RelyingProposal(
        registrar=officer.organisation, terms=message.terms, officer=officer.number, since_ms=time_ms
    )
    context.write(relying_proposal_key(message.organisation), encode(proposal))


def confirm_relying_party(context: Context, message: pb.ConfirmRelyingParty) -> None:
    """Confirm what another officer proposed: from now on these terms count. Two writes.

    Raises:
        Refused: No other officer who confirms signs, nothing or something else is proposed, its validity is over, or
            the organisation is suspended.
    """
    officer = acting_officer(context, pb.DUTY_CONFIRM)
    _check_organisation(context, message.organisation)
    proposal = _own_proposal(context, message.organisation, officer)
    check_confirming(context, proposal, officer, message.digest)
    _check_valid(context, proposal.terms)
    before = load_relying_party(context.read, message.organisation)
    record = pb.RelyingPartyRecord() if before is None else before
    if record.status in LIVING:
        assert record.registrar == officer.organisation, "one proposal stands at a time, and only the keeper proposes"
    else:
        record.status, record.since_ms = pb.PERSON_STATUS_ACTIVE, context.block.time_ms
        record.ClearField("reason")
    record.registrar = officer.organisation
    record.version += 1
    record.terms.CopyFrom(proposal.terms)
    context.delete(relying_proposal_key(message.organisation))
    context.write(relying_party_key(message.organisation), encode(record))


def withdraw_relying_party(context: Context, message: pb.WithdrawRelyingParty) -> None:
    """Drop what is proposed. One deletion.

    Raises:
        Refused: No officer of the registrar that proposed it signs, or nothing is proposed.
    """
    officer = acting_officer(context)
    check_organisation(message.organisation)
    _own_proposal(context, message.organisation, officer)
    context.delete(relying_proposal_key(message.organisation))


def set_relying_party_status(context: Context, message: pb.SetRelyingPartyStatus) -> None:
    """Suspend, reinstate or end a registration; what is proposed ends with it. One write, or two.

    Raises:
        Refused: No officer signs who may, another registrar keeps it, or the present status does not allow it.
    """
    check_reason(message.reason)
    check_organisation(message.organisation)
    officer = acting_officer(context, pb.DUTY_ENROL if message.status == pb.STATUS_SUSPENDED else pb.DUTY_CONFIRM)
    record = load_relying_party(context.read, message.organisation)
    if record is None or record.status not in LIVING or record.registrar != officer.organisation:
        raise Refused("this registrar keeps no such relying party", "identity.unknown-party")
    is_suspended = record.status == pb.PERSON_STATUS_SUSPENDED
    match message.status:
        case pb.STATUS_SUSPENDED:
            if is_suspended:
                raise Refused("the relying party is suspended already", "identity.party-suspended")
            record.status, record.reason = pb.PERSON_STATUS_SUSPENDED, message.reason
        case pb.STATUS_REINSTATED:
            if not is_suspended:
                raise Refused("the relying party is not suspended", "identity.party-not-suspended")
            record.status = pb.PERSON_STATUS_ACTIVE
            record.ClearField("reason")
        case pb.STATUS_REVOKED:
            record.status, record.reason = pb.PERSON_STATUS_REVOKED, message.reason
            record.ClearField("terms")
            if load_relying_proposal(context.read, message.organisation) is not None:
                context.delete(relying_proposal_key(message.organisation))
        case _:
            raise Refused("the status is not known", "identity.unknown-status")
    record.since_ms = context.block.time_ms
    context.write(relying_party_key(message.organisation), encode(record))


# ---------------------------------------------------------------- checks


def check_organisation(organisation: str) -> None:
    """Check the form of an organisation's id.

    Raises:
        Refused: It has another form.
    """
    try:
        check_organisation_id(organisation)
    except Refused as refusal:
        raise Refused(refusal.reason, "identity.unknown-organisation") from None


def check_terms(terms: pb.RelyingTerms) -> None:
    """Check terms, but for whether their time has come.

    Raises:
        Refused: One is out of its bounds or out of order.
    """
    numbers = [purpose.number for purpose in terms.purposes]
    if not 1 <= len(numbers) <= PURPOSES_MAX or numbers != sorted(set(numbers)):
        raise Refused(f"a relying party has 1 to {PURPOSES_MAX} purposes, ascending", "identity.invalid-purpose")
    for purpose in terms.purposes:
        _check_purpose(purpose)
    keys = list(terms.keys)
    if len(keys) > KEYS_MAX or keys != sorted(set(keys)):
        raise Refused(f"at most {KEYS_MAX} keys, ascending, each once", "identity.invalid-request-key")
    if any(len(key) != PUBLIC_KEY_BYTES or key[0] not in {2, 3} for key in keys):
        raise Refused("requests are signed with P-256 keys, 33 bytes compressed", "identity.invalid-request-key")
    if not terms.valid_from_ms < terms.valid_to_ms:
        raise Refused("the validity ends before it begins", "identity.invalid-validity")
    if terms.valid_to_ms - terms.valid_from_ms > LIFETIME_MS_MAX:
        raise Refused(
            f"a relying party is registered for at most {LIFETIME_MS_MAX // DAY_MS} days", "identity.validity-too-long"
        )


def _check_purpose(purpose: pb.RelyingPurpose) -> None:
    """Check one purpose.

    Raises:
        Refused: A field is out of its bounds.
    """
    where = f"purpose {purpose.number}"
    if not 1 <= purpose.number <= PURPOSE_MAX:
        raise Refused(f"a purpose is numbered 1 to {PURPOSE_MAX}", "identity.invalid-purpose")
    try:
        check_display_names(purpose.name_zh, purpose.name_en)
        check_display_names(purpose.legal_basis, "")
    except Refused:
        raise Refused(
            f"{where} has a name and a legal basis, each of at most {DISPLAY_NAME_BYTES_MAX} bytes",
            "identity.invalid-purpose",
        ) from None
    attributes = list(purpose.attributes)
    if (
        not 1 <= len(attributes) <= ATTRIBUTES_MAX
        or attributes != sorted(set(attributes))
        or any(len(one) > ATTRIBUTE_BYTES_MAX or not ATTRIBUTE.fullmatch(one) for one in attributes)
    ):
        raise Refused(
            f"{where} has 1 to {ATTRIBUTES_MAX} attributes such as natural-person/birthdate, ascending",
            "identity.invalid-attribute",
        )
    if purpose.status_age_s_max > STATUS_AGE_S_MAX or not 1 <= purpose.per_second_max <= PER_SECOND_MAX:
        raise Refused(
            f"{where} has a quota of 1 to {PER_SECOND_MAX} a second, and no status older than {STATUS_AGE_S_MAX} s",
            "identity.invalid-purpose",
        )


def _check_organisation(context: Context, organisation: str) -> None:
    """Check that an organisation of the network is active.

    Raises:
        Refused: There is none of this id, or it is suspended.
    """
    check_organisation(organisation)
    found = load_organisation(context.read, organisation)
    if found is None or not found.is_active:
        raise Refused("a relying party is an active organisation of the network", "identity.unknown-organisation")


def _check_valid(context: Context, terms: pb.RelyingTerms) -> None:
    """Check that terms can still come to count.

    Raises:
        Refused: Their validity is over.
    """
    if terms.valid_to_ms <= context.block.time_ms:
        raise Refused("the validity is over", "identity.invalid-validity")


def _own_proposal(context: Context, organisation: str, officer: Officer) -> pb.RelyingProposal:
    """What this officer's registrar proposed.

    Raises:
        Refused: Nothing is proposed, or another registrar did.
    """
    proposal = load_relying_proposal(context.read, organisation)
    if proposal is None or proposal.registrar != officer.organisation:
        raise Refused("this registrar proposed nothing here", "identity.nothing-proposed")
    return proposal
