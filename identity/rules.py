# SPDX-License-Identifier: Apache-2.0
"""Identity as a module of the ledger: registrars attest and keep registrations, officers act, sides give mandates.

Consensus-critical: pure functions of state, block facts and signers. No operation about natural persons has a text
field, and no id of theirs stands in two records, so that who reads a validator's disk learns of no person.
Source: docs/identity.md; docs/protocol.md, section 4.
"""

from typing import Final

from chain.module import Context, Domain, rule
from identity.access_rules import join_sealed, record_accesses, seal_access
from identity.consents import end_consent, give_consent
from identity.devices import register_device, set_device_status
from identity.issuing import check_attestation, issuer_of
from identity.legal_persons import (
    confirm_legal_person,
    propose_legal_person,
    set_legal_person_status,
    withdraw_legal_person,
)
from identity.mandates import accept_mandate, end_mandate, grant_mandate
from identity.officers import appoint_officer, dismiss_officer
from identity.pb import identity_pb2 as pb
from identity.persons import confirm, enrol, propose_change, recover, set_person_status, withdraw
from identity.relying_rules import (
    confirm_relying_party,
    propose_relying_party,
    set_relying_party_status,
    withdraw_relying_party,
)
from identity.status import STATUS_PREFIX, set_status
from identity.uniqueness import register_tag, release_tag, retag, rotate_tag_key

NAME: Final = "identity"


def _attest(context: Context, message: pb.Attest) -> None:
    """Issue an attestation. No write."""
    issuer_of(context)
    check_attestation(context, message)


def _set_status(context: Context, message: pb.SetStatus) -> None:
    """Revoke, suspend or reinstate an attestation. One write."""
    set_status(context, issuer_of(context), message)


_RULES: Final = (
    rule(pb.Attest, _attest),
    rule(pb.SetStatus, _set_status),
    rule(pb.AppointOfficer, appoint_officer),
    rule(pb.DismissOfficer, dismiss_officer),
    rule(pb.RotateTagKey, rotate_tag_key),
    rule(pb.RegisterTag, register_tag),
    rule(pb.Retag, retag),
    rule(pb.ReleaseTag, release_tag),
    rule(pb.Enrol, enrol),
    rule(pb.ProposeChange, propose_change),
    rule(pb.Confirm, confirm),
    rule(pb.Withdraw, withdraw),
    rule(pb.SetPersonStatus, set_person_status),
    rule(pb.Recover, recover),
    rule(pb.ProposeLegalPerson, propose_legal_person),
    rule(pb.ConfirmLegalPerson, confirm_legal_person),
    rule(pb.WithdrawLegalPerson, withdraw_legal_person),
    rule(pb.SetLegalPersonStatus, set_legal_person_status),
    rule(pb.GrantMandate, grant_mandate),
    rule(pb.AcceptMandate, accept_mandate),
    rule(pb.EndMandate, end_mandate),
    rule(pb.RecordAccesses, record_accesses),
    rule(pb.SealAccess, seal_access),
    rule(pb.JoinSealed, join_sealed),
    rule(pb.ProposeRelyingParty, propose_relying_party),
    rule(pb.ConfirmRelyingParty, confirm_relying_party),
    rule(pb.WithdrawRelyingParty, withdraw_relying_party),
    rule(pb.SetRelyingPartyStatus, set_relying_party_status),
    rule(pb.GiveConsent, give_consent),
    rule(pb.EndConsent, end_consent),
    rule(pb.RegisterDevice, register_device),
    rule(pb.SetDeviceStatus, set_device_status),
)


class Identity(Domain):
    """The module of identity's records. Attesting writes no state; status does, under a prefix that it alone writes."""

    def __init__(self) -> None:
        super().__init__(NAME, _RULES, (STATUS_PREFIX,))
