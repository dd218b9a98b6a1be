# SPDX-License-Identifier: Apache-2.0
"""Natural persons' registrations: enrolled, changed, suspended, recovered, ended, and each refusal."""

import hashlib

import pytest

from chain.signing import Scheme, Signer
from identity.commitments import control_commitment
from identity.pb import identity_pb2 as pb
from identity.registrations import (
    KEYS_MAX,
    PROPOSAL_LIFETIME_MS,
    RECOVERED_MS,
    Counting,
    control_key,
    counting_key,
    load_person,
    person_key,
)
from identity.uniqueness import load_seats
from tests.identity_rig import (
    ENROLS,
    IdentityRig,
    change,
    enrol,
    hidden,
    key_pb,
    mandate,
    new_key,
    number,
    person_status,
    random_id,
    register_tag,
)
from tests.rig import BLOCK_MS

PERSON = random_id(1)
CHIP = pb.PROOFING_METHOD_DOCUMENT_CHIP
REGISTRAR = register_tag(1).registrar


@pytest.fixture
def rig() -> IdentityRig:
    return IdentityRig()


def counting(rig: IdentityRig, what: object, person: bytes = PERSON, ahead_ms: int = 0) -> Counting | None:
    record = load_person(rig.state.get, person)
    return counting_key(record, new_key(what).commitment, rig.time_ms - BLOCK_MS + ahead_ms)


def recover(*keys: pb.NewKey, method: int = CHIP) -> pb.Recover:
    return pb.Recover(id=PERSON, proofing_method=pb.ProofingMethod.ValueType(method), binds=keys)


# ---------------------------------------------------------------- enrolling and changing


def test_enrolment_counts_once_another_officer_confirms_it(rig: IdentityRig) -> None:
    rig.tag(1)
    rig.proposed(new_key(1))
    assert rig.person(PERSON).status == pb.PERSON_STATUS_PROPOSED
    assert counting(rig, 1) is None
    outcome = rig.run(rig.sign("bob@webauthn", rig.confirm(PERSON)))
    assert len(outcome.writes) == 3, "the record, the key, the seat"
    assert rig.person(PERSON) == pb.PersonRecord(
        registrar=REGISTRAR,
        status=pb.PERSON_STATUS_ACTIVE,
        since_ms=rig.time_ms - BLOCK_MS,
        commitment=hidden("person's data"),
        assurance_level=pb.ASSURANCE_LEVEL_HIGH,
        proofing_method=CHIP,
        keys=[pb.ControlKey(purpose=pb.CONTROL_PURPOSE_SIGN, commitment=new_key(1).commitment)],
    )
    assert counting(rig, 1) == Counting(pb.CONTROL_PURPOSE_SIGN, is_recovered=False, recovered_until_ms=0)


@pytest.mark.parametrize(
    ("circumstance", "message", "code"),
    [
        ("id of 15 bytes", enrol(bytes(15)), "identity.invalid-id"),
        ("id of a withdrawn enrolment", enrol(random_id("withdrawn")), "identity.id-used"),
        ("id of a mandate", enrol(random_id("mandate 1")), "identity.id-used"),
        ("id of a registration", enrol(random_id("active")), "identity.id-used"),
        ("nothing", pb.Enrol(id=PERSON), "identity.empty-change"),
        ("no commitment", enrol(PERSON, commitment=b""), "identity.empty-change"),
        ("no proofing", enrol(PERSON, assurance_level=0, proofing_method=0), "identity.empty-change"),
        ("commitment of 31 bytes", enrol(PERSON, commitment=bytes(31)), "identity.invalid-commitment"),
        ("unknown proofing", enrol(PERSON, proofing_method=99), "identity.unknown-proofing"),
        ("no level", enrol(PERSON, assurance_level=0), "identity.unknown-assurance-level"),
        ("unknown level", enrol(PERSON, assurance_level=4), "identity.unknown-assurance-level"),
        ("high level by video", enrol(PERSON, proofing_method=4), "identity.assurance-too-high"),
        ("substantial level by video", enrol(PERSON, proofing_method=4, assurance_level=2), ""),
        (
            "substantial level by register",
            enrol(PERSON, proofing_method=5, assurance_level=2),
            "identity.assurance-too-high",
        ),
        ("low level by register", enrol(PERSON, proofing_method=5, assurance_level=1), ""),
        ("key of no purpose", enrol(PERSON, new_key(1, 0)), "identity.unknown-purpose"),
        ("key of an unknown purpose", enrol(PERSON, new_key(1, 9)), "identity.unknown-purpose"),
        (
            "key of 31 bytes",
            enrol(PERSON, pb.NewKey(purpose=pb.CONTROL_PURPOSE_SIGN, commitment=bytes(31))),
            "identity.invalid-commitment",
        ),
        ("key twice", enrol(PERSON, new_key(1), new_key(1, 1)), "identity.key-used"),
        ("another person's key", enrol(PERSON, new_key("active")), "identity.key-used"),
        ("too many keys", enrol(PERSON, *[new_key(i) for i in range(KEYS_MAX + 1)]), "identity.too-many-keys"),
        ("as many keys as there can be", enrol(PERSON, *[new_key(i) for i in range(KEYS_MAX)]), ""),
        ("key that ends", enrol(PERSON, ends=[new_key("active").commitment]), "identity.unknown-key"),
    ],
)
def test_enrolment_is_taken_or_refused(rig: IdentityRig, circumstance: str, message: pb.Enrol, code: str) -> None:
    rig.enrolled(new_key("active"), person=random_id("active"))
    rig.proposed(person=random_id("withdrawn"))
    assert rig.code("ann@p256", pb.Withdraw(id=random_id("withdrawn"))) == ""
    assert rig.code("ann@p256", mandate(1, rig.time_ms)) == ""
    before = dict(rig.state)
    assert rig.code("ann@p256", message) == code, circumstance
    assert (rig.state == before) is bool(code)


def test_confirmation_is_refused_unless_another_officer_saw_it_in_time(rig: IdentityRig) -> None:
    assert rig.code("bob@webauthn", pb.Confirm(id=PERSON, digest=bytes(32))) == "identity.unknown-person"
    assert rig.code("eve@p256", enrol(PERSON, new_key(1))) == ""
    confirm = rig.confirm(PERSON)
    assert rig.code("eve@p256", confirm) == "identity.own-proposal"
    assert rig.code("sue@p256", confirm) == "identity.unknown-person", "another registrar's officer"
    assert rig.code("bob@webauthn", pb.Confirm(id=PERSON, digest=bytes(32))) == "identity.proposal-changed"
    assert rig.code("bob@webauthn", confirm) == "identity.no-seat"
    rig.tag(1, "org-s")
    assert rig.code("bob@webauthn", confirm) == "identity.no-seat", "the tag is for another registrar"
    rig.tag(2)
    waited = rig.height
    rig.height += PROPOSAL_LIFETIME_MS // BLOCK_MS
    assert rig.code("bob@webauthn", confirm) == "identity.proposal-expired"
    rig.height = waited
    assert rig.code("bob@webauthn", confirm) == ""
    assert rig.code("bob@webauthn", confirm) == "identity.nothing-proposed"


def test_key_that_another_enrolment_bound_in_between_is_refused_at_confirmation(rig: IdentityRig) -> None:
    other = random_id(2)
    rig.tag(1)
    rig.proposed(new_key(1))
    rig.enrolled(new_key(1), person=other)
    assert rig.code("bob@webauthn", rig.confirm(PERSON)) == "identity.key-used"


def test_rotation_ends_the_old_key_with_the_confirmation_of_the_new_one(rig: IdentityRig) -> None:
    rig.enrolled(new_key(1), new_key(2))
    rotation = pb.Change(binds=[new_key(3)], ends=[new_key(1).commitment])
    assert rig.code("ann@p256", pb.ProposeChange(id=PERSON, change=rotation)) == ""
    assert counting(rig, 1), "nothing changes before"
    assert not counting(rig, 3)
    assert rig.code("bob@webauthn", rig.confirm(PERSON)) == ""
    assert [bool(counting(rig, what)) for what in (1, 2, 3)] == [False, True, True]
    back = pb.ProposeChange(id=PERSON, change=pb.Change(binds=[new_key(1)]))
    assert rig.code("ann@p256", back) == "identity.key-used", "a revoked key never counts again"
    assert rig.person(PERSON).commitment == hidden("person's data"), "what a change does not name stays"


@pytest.mark.parametrize(
    ("circumstance", "proposed", "code"),
    [
        ("nothing", pb.Change(), "identity.empty-change"),
        ("a level alone", pb.Change(assurance_level=pb.ASSURANCE_LEVEL_LOW), "identity.unknown-proofing"),
        ("other data", pb.Change(commitment=hidden(9)), ""),
        ("other proofing", pb.Change(assurance_level=pb.ASSURANCE_LEVEL_LOW, proofing_method=CHIP), ""),
        ("the end of a key twice", pb.Change(ends=[new_key(1).commitment] * 2), "identity.unknown-key"),
        ("the end of a strange key", pb.Change(ends=[new_key(7).commitment]), "identity.unknown-key"),
        ("as many keys as fit", pb.Change(binds=[new_key(i) for i in range(10, 9 + KEYS_MAX)]), ""),
        ("one key too many", pb.Change(binds=[new_key(i) for i in range(10, 10 + KEYS_MAX)]), "identity.too-many-keys"),
    ],
)
def test_change_is_taken_or_refused(rig: IdentityRig, circumstance: str, proposed: pb.Change, code: str) -> None:
    rig.enrolled(new_key(1))
    assert rig.code("ann@p256", pb.ProposeChange(id=PERSON, change=proposed)) == code, circumstance
    if not code:
        assert rig.code("bob@webauthn", rig.confirm(PERSON)) == ""
        assert rig.person(PERSON).commitment == (proposed.commitment or hidden("person's data"))


def test_one_change_is_proposed_at_a_time_until_it_is_withdrawn_or_runs_out(rig: IdentityRig) -> None:
    rig.enrolled()
    propose = pb.ProposeChange(id=PERSON, change=pb.Change(commitment=hidden(2)))
    assert rig.code("ann@p256", pb.Withdraw(id=PERSON)) == "identity.nothing-proposed"
    assert rig.code("ann@p256", propose) == ""
    assert rig.code("eve@p256", propose) == "identity.proposal-open"
    assert rig.code("bob@webauthn", pb.Withdraw(id=PERSON)) == ""
    assert rig.code("eve@p256", propose) == ""
    rig.height += PROPOSAL_LIFETIME_MS // BLOCK_MS
    assert rig.code("ann@p256", propose) == ""


def test_withdrawn_enrolment_leaves_a_bare_record_so_that_its_id_is_used_once(rig: IdentityRig) -> None:
    rig.proposed(new_key(1))
    assert rig.code("ann@p256", pb.Withdraw(id=PERSON)) == ""
    assert rig.person(PERSON) == pb.PersonRecord(
        registrar=REGISTRAR, status=pb.PERSON_STATUS_WITHDRAWN, since_ms=rig.time_ms - BLOCK_MS
    )
    assert control_key(new_key(1).commitment) not in rig.state, "the key was never bound"
    assert rig.code("ann@p256", pb.Withdraw(id=PERSON)) == "identity.person-ended"
    assert rig.code("bob@webauthn", pb.Confirm(id=PERSON)) == "identity.person-ended"


# ---------------------------------------------------------------- suspended, reinstated, revoked

SUSPENDED, REINSTATED, REVOKED = pb.STATUS_SUSPENDED, pb.STATUS_REINSTATED, pb.STATUS_REVOKED
KEY = new_key(1).commitment


@pytest.mark.parametrize(
    ("circumstance", "history", "message", "code"),
    [
        ("suspending", [], person_status(PERSON, SUSPENDED), ""),
        ("suspending twice", [SUSPENDED], person_status(PERSON, SUSPENDED), "identity.person-suspended"),
        ("reinstating", [SUSPENDED], person_status(PERSON, REINSTATED, method=CHIP), ""),
        ("reinstating the active", [], person_status(PERSON, REINSTATED, method=CHIP), "identity.person-not-suspended"),
        ("reinstating unseen", [SUSPENDED], person_status(PERSON, REINSTATED), "identity.not-in-person"),
        ("reinstating by video", [SUSPENDED], person_status(PERSON, REINSTATED, method=4), "identity.not-in-person"),
        ("revoking", [], person_status(PERSON, REVOKED), ""),
        ("revoking the suspended", [SUSPENDED], person_status(PERSON, REVOKED), ""),
        ("suspending the revoked", [REVOKED], person_status(PERSON, SUSPENDED), "identity.person-ended"),
        ("reinstating the revoked", [REVOKED], person_status(PERSON, REINSTATED, method=CHIP), "identity.person-ended"),
        ("no status", [], person_status(PERSON, 0), "identity.unknown-status"),
        ("no reason", [], person_status(PERSON, SUSPENDED, reason=0), "identity.unknown-reason"),
        ("id of 17 bytes", [], person_status(bytes(17), SUSPENDED), "identity.invalid-id"),
        ("a stranger", [], person_status(random_id(9), SUSPENDED), "identity.unknown-person"),
        ("a key", [], person_status(PERSON, SUSPENDED, KEY), ""),
        ("a strange key", [], person_status(PERSON, SUSPENDED, bytes(32)), "identity.unknown-key"),
        ("reinstating a key in use", [], person_status(PERSON, REINSTATED, KEY, CHIP), "identity.key-unchanged"),
        ("revoking a key", [], person_status(PERSON, REVOKED, KEY), ""),
    ],
)
def test_status_of_a_registration_is_changed_or_refused(
    rig: IdentityRig, circumstance: str, history: list[int], message: pb.SetPersonStatus, code: str
) -> None:
    rig.enrolled(new_key(1))
    for status in history:
        assert rig.code("eve@p256", person_status(PERSON, status)) == ""
    before = dict(rig.state)
    assert rig.code("eve@p256", message) == code, circumstance
    assert (rig.state == before) is bool(code)


def test_service_suspends_at_once_and_only_an_officer_who_sees_the_person_reinstates(rig: IdentityRig) -> None:
    rig.enrolled(new_key(1))
    outcome = rig.run(rig.sign("desk@p256", person_status(PERSON, SUSPENDED)))
    assert [key for key, _ in outcome.writes] == [person_key(PERSON)]
    assert counting(rig, 1) is None
    assert rig.code("desk@p256", person_status(PERSON, REINSTATED, method=CHIP)) == "identity.no-officer"
    assert rig.code("ann@p256", person_status(PERSON, REINSTATED, method=CHIP)) == ""
    assert counting(rig, 1)


@pytest.mark.parametrize(
    ("circumstance", "signers", "code"),
    [
        ("organisation without the role", "org-a:submit", "identity.not-registrar"),
        ("another registrar", "org-s:submit", "identity.unknown-person"),
        ("two registrars", ("org-r:submit", "org-s:submit"), "identity.ambiguous-issuer"),
        ("registrar beside another organisation", ("org-r:submit", "org-a:submit"), ""),
    ],
)
def test_suspension_is_the_registrars(
    rig: IdentityRig, circumstance: str, signers: str | tuple[str, ...], code: str
) -> None:
    rig.enrolled()
    assert rig.code(signers, person_status(PERSON, SUSPENDED)) == code, circumstance


def test_suspended_registration_takes_no_change(rig: IdentityRig) -> None:
    rig.enrolled()
    propose = pb.ProposeChange(id=PERSON, change=pb.Change(binds=[new_key(2)]))
    assert rig.code("ann@p256", propose) == ""
    assert rig.code("org-r:submit", person_status(PERSON, SUSPENDED)) == ""
    assert rig.code("bob@webauthn", rig.confirm(PERSON)) == "identity.person-suspended"
    assert rig.code("bob@webauthn", pb.Withdraw(id=PERSON)) == ""
    assert rig.code("ann@p256", propose) == "identity.person-suspended"


@pytest.mark.parametrize("status", [SUSPENDED, REVOKED])
def test_registration_that_is_not_confirmed_has_no_status_to_change(rig: IdentityRig, status: int) -> None:
    rig.proposed()
    assert rig.code("eve@p256", person_status(PERSON, status)) == "identity.not-confirmed"
    assert rig.code("eve@p256", pb.ProposeChange(id=PERSON, change=change())) == "identity.not-confirmed"
    assert rig.code(("ann@p256", "bob@webauthn"), recover(new_key(1))) == "identity.not-confirmed"


def test_suspended_key_does_not_count_while_the_others_do(rig: IdentityRig) -> None:
    rig.enrolled(new_key(1), new_key(2))
    assert rig.code("org-r:submit", person_status(PERSON, SUSPENDED, KEY)) == ""
    assert [bool(counting(rig, what)) for what in (1, 2)] == [False, True]
    assert rig.code("org-r:submit", person_status(PERSON, SUSPENDED, KEY)) == "identity.key-unchanged"
    assert rig.code("ann@p256", person_status(PERSON, REINSTATED, KEY, CHIP)) == ""
    assert counting(rig, 1)
    assert rig.code("bob@webauthn", person_status(PERSON, REVOKED, KEY)) == ""
    assert counting(rig, 1) is None
    assert rig.code("ann@p256", person_status(PERSON, REINSTATED, KEY, CHIP)) == "identity.unknown-key"


def test_revoked_registration_leaves_a_bare_record_and_its_seat_behind(rig: IdentityRig) -> None:
    rig.enrolled(new_key(1))
    assert load_seats(rig.state.get, REGISTRAR) == pb.SeatsRecord(live=1)
    assert rig.code("bob@webauthn", person_status(PERSON, REVOKED)) == ""
    assert load_seats(rig.state.get, REGISTRAR) == pb.SeatsRecord(ended=1)
    assert rig.person(PERSON) == pb.PersonRecord(
        registrar=REGISTRAR, status=pb.PERSON_STATUS_REVOKED, since_ms=rig.time_ms - BLOCK_MS
    )
    assert counting(rig, 1) is None


# ---------------------------------------------------------------- recovery


def test_recovery_ends_all_old_keys_at_once_and_marks_new_ones_for_seven_days(rig: IdentityRig) -> None:
    rig.enrolled(new_key(1), new_key(2))
    propose = pb.ProposeChange(id=PERSON, change=pb.Change(binds=[new_key("thief's")]))
    assert rig.code("ann@p256", propose) == ""
    assert rig.code("org-r:submit", person_status(PERSON, SUSPENDED)) == ""
    stale = rig.confirm(PERSON)
    assert rig.code(("ann@p256", "bob@webauthn"), recover(new_key(3))) == ""
    recovered_ms = rig.time_ms - BLOCK_MS
    assert [counting(rig, what) for what in (1, 2)] == [None, None]
    until_ms = recovered_ms + RECOVERED_MS
    assert counting(rig, 3) == Counting(pb.CONTROL_PURPOSE_SIGN, is_recovered=True, recovered_until_ms=until_ms)
    assert rig.code("bob@webauthn", stale) == "identity.nothing-proposed", "what was proposed before is dropped"
    assert rig.code("ann@p256", pb.ProposeChange(id=PERSON, change=pb.Change(binds=[new_key(4)]))) == ""
    assert rig.code("bob@webauthn", rig.confirm(PERSON)) == ""
    key = counting(rig, 4)
    assert key
    assert key.is_recovered, "a key that is bound soon after counts as recovered too"
    record = rig.person(PERSON)
    for time_ms, expected in ((until_ms - 1, True), (until_ms, False)):
        found = counting_key(record, new_key(3).commitment, time_ms)
        assert found
        assert found.is_recovered is expected


@pytest.mark.parametrize(
    ("circumstance", "signers", "message", "code"),
    [
        ("one officer", "eve@p256", recover(new_key(3)), "identity.two-officers"),
        ("no officer", "org-r:submit", recover(new_key(3)), "identity.no-officer"),
        ("officers of two registrars", ("ann@p256", "sue@p256"), recover(new_key(3)), "identity.two-officers"),
        ("three officers", ("ann@p256", "bob@webauthn", "eve@p256"), recover(new_key(3)), "identity.two-officers"),
        ("officers of another registrar", ("sue@p256", "tom@p256"), recover(new_key(3)), "identity.unknown-person"),
        ("an officer who does both", ("bob@webauthn", "eve@p256"), recover(new_key(3)), ""),
        ("a service beside them", ("ann@p256", "bob@webauthn", "org-r:submit"), recover(new_key(3)), ""),
        ("nobody seen", ("ann@p256", "bob@webauthn"), recover(new_key(3), method=0), "identity.not-in-person"),
        ("by video", ("ann@p256", "bob@webauthn"), recover(new_key(3), method=4), "identity.not-in-person"),
        ("no keys", ("ann@p256", "bob@webauthn"), recover(), "identity.empty-change"),
        ("an old key", ("ann@p256", "bob@webauthn"), recover(new_key(1)), "identity.key-used"),
        ("as many keys as fit", ("ann@p256", "eve@p256"), recover(*[new_key(i) for i in range(9, 25)]), ""),
        ("too many", ("ann@p256", "eve@p256"), recover(*[new_key(i) for i in range(9, 26)]), "identity.too-many-keys"),
    ],
)
def test_recovery_is_done_or_refused(
    rig: IdentityRig, circumstance: str, signers: str | tuple[str, ...], message: pb.Recover, code: str
) -> None:
    rig.enrolled(new_key(1))
    assert rig.code(signers, message) == code, circumstance
    assert bool(counting(rig, 1)) is bool(code)


def test_recovery_by_two_officers_who_both_only_enrol_is_refused(rig: IdentityRig) -> None:

    appoint = pb.AppointOfficer(key=key_pb("spare@p256"), officer=number("zoe"), duties=ENROLS)
    assert rig.code("org-r:govern", appoint) == ""
    rig.enrolled(new_key(1))
    assert rig.code(("ann@p256", "spare@p256"), recover(new_key(3))) == "identity.not-on-duty"


def test_control_commitment_depends_on_purpose_scheme_key_and_salt() -> None:
    key, other = Signer(Scheme.P256, b"\x02" + bytes(32)), Signer(Scheme.WEBAUTHN_ES256, b"\x02" + bytes(32))
    made = [
        control_commitment(pb.CONTROL_PURPOSE_SIGN, key, bytes(32)),
        control_commitment(pb.CONTROL_PURPOSE_WALLET, key, bytes(32)),
        control_commitment(pb.CONTROL_PURPOSE_SIGN, other, bytes(32)),
        control_commitment(pb.CONTROL_PURPOSE_SIGN, Signer(Scheme.P256, b"\x03" + bytes(32)), bytes(32)),
        control_commitment(pb.CONTROL_PURPOSE_SIGN, key, b"\x01" * 32),
    ]
    assert len(set(made)) == len(made)
    written_out = b"zhixin/identity/control-key\x00" + b"\x02\x02" + bytes(32) + b"\x02" + bytes(32)
    assert made[0] == hashlib.sha256(written_out).digest()
