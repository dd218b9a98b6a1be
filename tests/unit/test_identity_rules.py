# SPDX-License-Identifier: Apache-2.0
"""Attestations and their status: what registrars may do, and each refusal."""

from dataclasses import replace

import pytest
from google.protobuf.descriptor import FieldDescriptor

from chain.errors import InvalidGenesis
from identity.pb import identity_pb2 as pb
from identity.status import load_status, status_key
from membership.pb import membership_pb2
from tests.rig import START_MS, Rig, code_of, four, genesis, organisation, signer_pb

ID = bytes(range(16))
DAY_MS = 86_400_000


def attest(**changes: object) -> pb.Attest:
    fields: dict[str, object] = {
        "id": ID,
        "schema": pb.SCHEMA_RESIDENT,
        "schema_version": 1,
        "commitment": bytes(32),
        "assurance_level": pb.ASSURANCE_LEVEL_HIGH,
        "valid_from_ms": START_MS,
        "valid_to_ms": START_MS + DAY_MS,
    }
    return pb.Attest(**{**fields, **changes})


def status(value: int, reason: int = pb.REASON_HOLDER_REQUEST, attestation: bytes = ID) -> pb.SetStatus:
    return pb.SetStatus(id=attestation, status=pb.Status.ValueType(value), reason=pb.Reason.ValueType(reason))


REVOKE = status(pb.STATUS_REVOKED)
SUSPEND = status(pb.STATUS_SUSPENDED)
REINSTATE = status(pb.STATUS_REINSTATED)


@pytest.fixture
def rig() -> Rig:
    return Rig(four())


@pytest.mark.parametrize("length", [16, 32])
def test_attest_by_registrar_succeeds_and_writes_no_state(rig: Rig, length: int) -> None:
    outcome = rig.run(rig.sign("org-r:attest", attest(id=bytes(length))))
    assert [code_of(entry) for entry in outcome.entries] == [""]
    assert outcome.writes == ()


@pytest.mark.parametrize(
    ("circumstance", "changes", "code"),
    [
        ("id of 15 bytes", {"id": bytes(15)}, "identity.invalid-id"),
        ("id of 33 bytes", {"id": bytes(33)}, "identity.invalid-id"),
        ("no id", {"id": b""}, "identity.invalid-id"),
        ("no schema", {"schema": 0}, "identity.unknown-schema"),
        ("schema beyond those known", {"schema": 99}, "identity.unknown-schema"),
        ("schema version zero", {"schema_version": 0}, "identity.unknown-schema"),
        ("schema version too large", {"schema_version": 65_536}, "identity.unknown-schema"),
        ("commitment of 31 bytes", {"commitment": bytes(31)}, "identity.invalid-commitment"),
        ("commitment of 33 bytes", {"commitment": bytes(33)}, "identity.invalid-commitment"),
        ("no assurance level", {"assurance_level": 0}, "identity.unknown-assurance-level"),
        ("assurance level beyond those known", {"assurance_level": 4}, "identity.unknown-assurance-level"),
        ("validity that ends as it begins", {"valid_to_ms": START_MS}, "identity.invalid-validity"),
        ("validity that is over", {"valid_from_ms": 1, "valid_to_ms": START_MS + 1000}, "identity.invalid-validity"),
        ("validity of a century", {"valid_to_ms": START_MS + 36_600 * DAY_MS}, "identity.validity-too-long"),
    ],
)
def test_attest_with_field_out_of_bounds_is_refused(
    rig: Rig, circumstance: str, changes: dict[str, object], code: str
) -> None:
    assert rig.code("org-r:attest", attest(**changes)) == code, circumstance


@pytest.mark.parametrize(
    ("circumstance", "signers", "code"),
    [
        ("key that only submits", "org-r:submit", "identity.no-attest-key"),
        ("key that only governs", "org-r:govern", "identity.no-attest-key"),
        ("attesting key of no registrar", "org-a:attest", "identity.not-registrar"),
        ("attesting keys of two organisations", ("org-r:attest", "org-a:attest"), "identity.ambiguous-issuer"),
        ("attesting key beside a service's", ("org-r:attest", "org-a:submit"), ""),
        ("attesting key beside an unknown one", ("org-r:attest", "nobody"), ""),
    ],
)
@pytest.mark.parametrize("message", [attest(), REVOKE], ids=["Attest", "SetStatus"])
def test_issuer_is_the_one_registrar_whose_attest_key_signs(
    rig: Rig, circumstance: str, signers: str | tuple[str, ...], code: str, message: pb.Attest | pb.SetStatus
) -> None:
    assert rig.code(signers, message) == code, circumstance


def test_attest_of_suspended_registrar_submitted_by_another_is_refused(rig: Rig) -> None:
    suspend = membership_pb2.Act(suspend_organisation=membership_pb2.SuspendOrganisation(id="org-r"))
    proposal = rig.sign(
        "org-a:govern", membership_pb2.Propose(epoch=1, expires_at_ms=rig.time_ms + DAY_MS, acts=[suspend])
    )
    assert rig.codes(proposal) == [""]
    for name in ("org-b:govern", "org-c:govern"):
        assert rig.code(name, membership_pb2.Approve(proposal_id=proposal.id, epoch=1)) == ""
    assert rig.code(("org-r:attest", "org-a:submit"), attest()) == "identity.issuer-suspended"
    assert rig.run(rig.sign("org-r:attest", attest())).entries == (), "alone, its keys are not even known"


def test_attest_with_revoked_key_is_refused(rig: Rig) -> None:
    assert rig.code("org-r:govern", membership_pb2.RevokeKey(key=signer_pb("org-r:attest"))) == ""
    assert rig.code(("org-r:attest", "org-r:submit"), attest()) == "identity.no-attest-key"


@pytest.mark.parametrize(
    ("circumstance", "history", "message", "code"),
    [
        ("revoking what is valid", [], REVOKE, ""),
        ("suspending what is valid", [], SUSPEND, ""),
        ("reinstating what is valid", [], REINSTATE, "identity.not-suspended"),
        ("revoking what is suspended", [SUSPEND], REVOKE, ""),
        ("suspending what is suspended", [SUSPEND], SUSPEND, "identity.suspended"),
        ("reinstating what is suspended", [SUSPEND], REINSTATE, ""),
        ("revoking what is revoked", [REVOKE], REVOKE, "identity.revoked"),
        ("suspending what is revoked", [REVOKE], SUSPEND, "identity.revoked"),
        ("reinstating what is revoked", [REVOKE], REINSTATE, "identity.revoked"),
        ("reinstating twice", [SUSPEND, REINSTATE], REINSTATE, "identity.not-suspended"),
        ("suspending again", [SUSPEND, REINSTATE], SUSPEND, ""),
        ("no status", [], status(0), "identity.unknown-status"),
        ("status beyond those known", [], status(4), "identity.unknown-status"),
        ("no reason", [], status(pb.STATUS_REVOKED, 0), "identity.unknown-reason"),
        ("reason beyond those known", [], status(pb.STATUS_REVOKED, 99), "identity.unknown-reason"),
        ("id of 17 bytes", [], status(pb.STATUS_REVOKED, 1, bytes(17)), "identity.invalid-id"),
    ],
)
def test_status_change_is_allowed_or_refused(
    rig: Rig, circumstance: str, history: list[pb.SetStatus], message: pb.SetStatus, code: str
) -> None:
    for earlier in history:
        assert rig.code("org-r:attest", earlier) == ""
    before = dict(rig.state)
    assert rig.code("org-r:attest", message) == code, circumstance
    assert (rig.state == before) is bool(code), "a refusal leaves no trace, a success does"


def test_status_of_suspended_attestation_stands_under_its_issuer_with_time_and_reason(rig: Rig) -> None:
    time_ms = rig.time_ms
    assert rig.code("org-r:attest", status(pb.STATUS_SUSPENDED, pb.REASON_UNDER_INVESTIGATION)) == ""
    assert status_key("org-r", ID) == b"status/org-r/000102030405060708090a0b0c0d0e0f"
    record = load_status(rig.state.get, "org-r", ID)
    assert record == pb.StatusRecord(status=pb.STATUS_SUSPENDED, reason=pb.REASON_UNDER_INVESTIGATION, since_ms=time_ms)
    assert rig.code("org-r:attest", REINSTATE) == ""
    assert load_status(rig.state.get, "org-r", ID) is None
    assert status_key("org-r", ID) not in rig.state


def test_status_of_one_registrar_does_not_touch_anothers_attestation_of_the_same_id() -> None:
    rig = Rig(
        genesis(
            [organisation("org-a", roles=("registrar",)), organisation("org-r", roles=("registrar",))],
            [("v0", "org-a")],
        )
    )
    assert rig.code("org-r:attest", REVOKE) == ""
    assert rig.code("org-a:attest", REINSTATE) == "identity.not-suspended"
    assert load_status(rig.state.get, "org-a", ID) is None


def test_operations_have_no_text_fields() -> None:
    """Of companies, which are public, and of officers' keys, which are the organisation's, something may be said."""
    public = {"ProposeLegalPerson", "ConfirmLegalPerson", "WithdrawLegalPerson", "SetLegalPersonStatus"}
    public |= {"LegalPersonProposal", "LegalPersonRecord", "OfficerRecord"}
    public |= {"ProposeRelyingParty", "ConfirmRelyingParty", "WithdrawRelyingParty", "SetRelyingPartyStatus"}
    public |= {"RelyingPurpose", "RelyingTerms", "RelyingProposal", "RelyingPartyRecord"}
    public |= {"RegisterDevice", "DeviceRecord"}
    about_people = [m for name, m in pb.DESCRIPTOR.message_types_by_name.items() if name not in public]
    known = {"Attest", "SetStatus", "Enrol", "PersonRecord", "GrantMandate", "TagRecord", "AccessRecord", "GiveConsent"}
    assert known <= {m.name for m in about_people}
    texts = [f.full_name for m in about_people for f in m.fields if f.type == FieldDescriptor.TYPE_STRING]
    assert texts == []
    inner = {f.message_type.name for m in about_people for f in m.fields if f.type == FieldDescriptor.TYPE_MESSAGE}
    assert inner == {"Signer", "Change", "NewKey", "ControlKey", "Proposal", "AccessEntry"}


def test_genesis_section_for_identity_is_refused() -> None:
    made = four()
    with pytest.raises(InvalidGenesis, match=r"sections\.identity"):
        Rig(replace(made, sections={**made.sections, "identity": {"anything": 1}}))
