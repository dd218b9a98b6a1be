# SPDX-License-Identifier: Apache-2.0
"""Officers: who can be one, and which signatures carry an act."""

import pytest
from google.protobuf.message import Message

from chain.pb import ledger_pb2
from identity.officers import load_officer
from identity.pb import identity_pb2 as pb
from membership.pb import membership_pb2
from tests.identity_rig import (
    BOTH,
    CONFIRMS,
    ENROLS,
    USCC,
    IdentityRig,
    enrol,
    hidden,
    key_of,
    key_pb,
    mandate,
    new_key,
    number,
    person_status,
    random_id,
)
from tests.rig import START_MS, code_of

PERSON = random_id(1)


@pytest.fixture
def rig() -> IdentityRig:
    return IdentityRig()


def appoint(name: str = "spare@p256", person: str = "new", **changes: object) -> pb.AppointOfficer:
    fields: dict[str, object] = {"key": key_pb(name), "officer": number(person), "duties": BOTH}
    return pb.AppointOfficer(**{**fields, **changes})


@pytest.mark.parametrize(
    ("circumstance", "signers", "message", "code"),
    [
        ("staff card", "org-r:govern", appoint(), ""),
        ("passkey", "org-r:govern", appoint("spare@webauthn"), ""),
        ("Ed25519 key", "org-r:govern", appoint("spare"), "identity.not-officer-key"),
        ("key that only submits", "org-r:govern", appoint("desk@p256"), "identity.not-officer-key"),
        ("key that nobody registered", "org-r:govern", appoint("nobody@p256"), "identity.not-officer-key"),
        ("another organisation's key", "org-s:govern", appoint(), "identity.not-officer-key"),
        ("malformed key", "org-r:govern", appoint(key=ledger_pb2.Signer()), "membership.invalid-key"),
        ("number of 15 bytes", "org-r:govern", appoint(officer=bytes(15)), "identity.invalid-officer"),
        ("no duties", "org-r:govern", appoint(duties=[]), "identity.invalid-officer"),
        ("unknown duty", "org-r:govern", appoint(duties=[9]), "identity.invalid-officer"),
        ("duties out of order", "org-r:govern", appoint(duties=[2, 1]), "identity.invalid-officer"),
        ("key with other duties", "org-r:govern", appoint("ann@p256", "ann"), ""),
        ("key of another officer", "org-r:govern", appoint("ann@p256", "eve"), "identity.officer-key-used"),
        ("attest key signs", "org-r:attest", appoint(), "identity.not-governing"),
        ("officer signs", "eve@p256", appoint(), "identity.not-governing"),
        ("two organisations govern", ("org-r:govern", "org-s:govern"), appoint(), "identity.not-governing"),
        ("no registrar", "org-u:govern", appoint(), "identity.not-registrar"),
        ("dismissing", "org-r:govern", pb.DismissOfficer(key=key_pb("ann@p256")), ""),
        ("dismissing nobody", "org-r:govern", pb.DismissOfficer(key=key_pb("spare@p256")), "identity.unknown-officer"),
        ("dismissing another's", "org-s:govern", pb.DismissOfficer(key=key_pb("ann@p256")), "identity.unknown-officer"),
    ],
)
def test_officer_is_appointed_or_dismissed_by_govern_key_or_refused(
    rig: IdentityRig, circumstance: str, signers: str | tuple[str, ...], message: Message, code: str
) -> None:
    assert rig.code(signers, message) == code, circumstance


def test_one_key_pair_under_two_schemes_is_one_officer(rig: IdentityRig) -> None:
    """`spare@p256` and `spare@webauthn` are one public key."""
    assert key_of("spare@p256").public_key == key_of("spare@webauthn").public_key
    assert rig.code("org-r:govern", appoint("spare@p256", "zoe")) == ""
    assert rig.code("org-r:govern", appoint("spare@webauthn", "max")) == "identity.officer-key-used"
    assert rig.code("org-r:govern", appoint("spare@webauthn", "zoe")) == ""


def test_dismissed_key_acts_no_more_and_returns_to_the_same_officer_only(rig: IdentityRig) -> None:
    assert rig.code("org-r:govern", pb.DismissOfficer(key=key_pb("ann@p256"))) == ""
    assert rig.code("ann@p256", enrol(PERSON)) == "identity.no-officer"
    assert rig.code("org-r:govern", pb.DismissOfficer(key=key_pb("ann@p256"))) == "identity.unknown-officer"
    assert rig.code("org-r:govern", appoint("ann@p256", "eve")) == "identity.officer-key-used"
    assert rig.code("org-r:govern", appoint("ann@p256", "ann", duties=ENROLS)) == ""
    assert rig.code("ann@p256", enrol(PERSON)) == ""
    record = load_officer(rig.state.get, key_of("ann@p256"))
    assert record == pb.OfficerRecord(organisation="org-r", officer=number("ann"), duties=ENROLS)


def test_officer_whose_key_membership_revoked_acts_no_more(rig: IdentityRig) -> None:
    assert rig.code("org-r:govern", membership_pb2.RevokeKey(key=key_pb("ann@p256"))) == ""
    assert rig.code(("ann@p256", "org-r:submit"), enrol(PERSON)) == "identity.no-officer"


def officers_acts(rig: IdentityRig) -> list[tuple[Message, str]]:
    """Each act that takes one officer, and who may sign it; the state lets each of them pass."""
    active, waiting, changing = random_id("active"), random_id("waiting"), random_id("changing")
    rig.enrolled(new_key("old"), person=active)
    rig.enrolled(person=changing)
    rig.tag("waiting")
    rig.proposed(person=waiting)
    rig.code("ann@p256", pb.ProposeChange(id=changing, change=pb.Change(commitment=hidden(2))))
    suspended = random_id("suspended")
    rig.enrolled(person=suspended)
    rig.code("org-r:submit", person_status(suspended, pb.STATUS_SUSPENDED))
    company = pb.ProposeLegalPerson(uscc=USCC, name_zh="某公司", commitment=hidden("company"))
    ward = mandate("ward", rig.time_ms, kind=pb.MANDATE_KIND_WARD)
    assert rig.code("ann@p256", ward) == ""
    in_person = pb.PROOFING_METHOD_DOCUMENT_INSPECTED
    return [
        (enrol(PERSON), "enrol"),
        (pb.ProposeChange(id=active, change=pb.Change(commitment=hidden(3))), "enrol"),
        (rig.confirm(waiting), "confirm"),
        (rig.confirm(changing), "confirm"),
        (pb.Withdraw(id=waiting), "any"),
        (person_status(suspended, pb.STATUS_REINSTATED, method=in_person), "enrol"),
        (person_status(active, pb.STATUS_REVOKED), "confirm"),
        (person_status(active, pb.STATUS_REVOKED, hidden("key old")), "confirm"),
        (company, "enrol"),
        (mandate(1, rig.time_ms), "enrol"),
        (pb.AcceptMandate(id=ward.id, side=pb.SIDE_PRINCIPAL), "confirm"),
        (pb.EndMandate(id=ward.id), "any"),
    ]


@pytest.mark.parametrize(
    ("circumstance", "signers", "code"),
    [
        ("service's submit key", "org-r:submit", "identity.no-officer"),
        ("service's submit key on P-256", "desk@p256", "identity.no-officer"),
        ("service's attest key", "org-r:attest", "identity.no-officer"),
        ("govern key", "org-r:govern", "identity.no-officer"),
        ("all of the service's keys", ("org-r:submit", "org-r:attest", "desk@p256"), "identity.no-officer"),
        ("attest key of nobody's card", "spare@p256", "identity.no-officer"),
        ("two officers", ("ann@p256", "bob@webauthn"), "identity.one-officer"),
        ("officers of two registrars", ("eve@p256", "sue@p256"), "identity.one-officer"),
        ("service beside the officer", ("eve@p256", "org-r:submit"), ""),
        ("another organisation's service beside", ("eve@p256", "org-a:submit"), ""),
        ("both duties", "eve@p256", ""),
    ],
)
def test_compromised_desk_server_can_neither_approve_nor_issue_nor_reinstate(
    rig: IdentityRig, circumstance: str, signers: str | tuple[str, ...], code: str
) -> None:
    for act, _ in officers_acts(rig):
        (entry,) = rig.execute(rig.sign(signers, act)).entries
        assert code_of(entry) == code, f"{circumstance}: {act}"


def test_each_act_takes_its_duty(rig: IdentityRig) -> None:
    rig.code("org-r:govern", appoint("ann-2@webauthn", "ann", duties=ENROLS))
    rig.code("org-r:govern", appoint("spare@p256", "zoe", duties=CONFIRMS))
    for act, duty in officers_acts(rig):
        for key, has in (("ann-2@webauthn", "enrol"), ("spare@p256", "confirm")):
            (entry,) = rig.execute(rig.sign(key, act)).entries
            assert code_of(entry) == ("" if duty in (has, "any") else "identity.not-on-duty"), f"{key}: {act}"


def test_officer_with_two_keys_is_one_officer(rig: IdentityRig) -> None:
    rig.tag(1)
    rig.proposed(new_key(1))
    confirm = rig.confirm(PERSON)
    assert rig.code("ann-2@webauthn", confirm) == "identity.own-proposal"
    assert rig.code(("ann@p256", "ann-2@webauthn"), confirm) == "identity.own-proposal"
    assert rig.code("bob@webauthn", confirm) == ""
    recover = pb.Recover(id=PERSON, proofing_method=pb.PROOFING_METHOD_DOCUMENT_CHIP, binds=[new_key(2)])
    assert rig.code(("ann@p256", "ann-2@webauthn"), recover) == "identity.two-officers"


@pytest.mark.parametrize(
    "act",
    [membership_pb2.SuspendOrganisation(id="org-r"), membership_pb2.RevokeRole(organisation="org-r", role="registrar")],
)
def test_officer_of_a_suspended_or_former_registrar_is_refused(rig: IdentityRig, act: Message) -> None:
    if isinstance(act, membership_pb2.SuspendOrganisation):
        voted, code = membership_pb2.Act(suspend_organisation=act), "identity.issuer-suspended"
    else:
        assert isinstance(act, membership_pb2.RevokeRole)
        voted, code = membership_pb2.Act(revoke_role=act), "identity.not-registrar"
    person = rig.enrolled()
    propose = membership_pb2.Propose(epoch=1, expires_at_ms=START_MS + 60_000, acts=[voted])
    assert rig.code("org-a:govern", propose) == ""
    assert rig.code(("eve@p256", "org-a:submit"), enrol(random_id(2))) == code
    assert rig.code(("org-r:submit", "org-a:submit"), person_status(person, pb.STATUS_SUSPENDED)) == code
    assert rig.code(("org-r:govern", "org-a:submit"), appoint()) == code
