# SPDX-License-Identifier: Apache-2.0
"""Uniqueness tags: one seat for each person, keys that rotate, and who may register."""

import pytest
from google.protobuf.message import Message

from identity.commitments import holder_commitment
from identity.pb import identity_pb2 as pb
from identity.uniqueness import load_seats, load_tag, load_tag_key, tag_key
from tests.identity_rig import IdentityRig, hidden, person_status, random_id, register_tag

SERVICE = "org-u:attest"
REGISTRAR = register_tag(1).registrar


@pytest.fixture
def rig() -> IdentityRig:
    return IdentityRig()


def retag(what: object, version: int = 2, **changes: object) -> pb.Retag:
    fields: dict[str, object] = {
        "previous_tag": hidden(f"tag {version - 1} {what}"),
        "key_version": version,
        "tag": hidden(f"tag {version} {what}"),
        "holder": hidden(f"new holder {what}"),
    }
    return pb.Retag(**{**fields, **changes})


def release(what: object, version: int = 1) -> pb.ReleaseTag:
    return pb.ReleaseTag(key_version=version, tag=hidden(f"tag {version} {what}"))


def test_tag_gives_its_registrar_a_seat_and_names_no_registration(rig: IdentityRig) -> None:
    message = register_tag(1)
    outcome = rig.run(rig.sign(SERVICE, message))
    assert len(outcome.writes) == 3
    assert load_seats(rig.state.get, REGISTRAR) == pb.SeatsRecord(free=1)
    assert load_tag(rig.state.get, 1, message.tag) == pb.TagRecord(registrar=REGISTRAR, holder=message.holder)
    assert load_tag_key(rig.state.get) == pb.TagKeyRecord(key_version=1, tags=1)


@pytest.mark.parametrize(
    ("circumstance", "message", "code"),
    [
        ("another person", register_tag(2), ""),
        ("the same person", register_tag(1), "identity.tag-taken"),
        ("the same person for another registrar", register_tag(1, "org-s"), "identity.tag-taken"),
        ("the version before", register_tag(2, version=0), "identity.wrong-tag-version"),
        ("the version after", register_tag(2, version=2), "identity.wrong-tag-version"),
        ("tag of 31 bytes", register_tag(2, tag=bytes(31)), "identity.invalid-tag"),
        ("registrar by name", register_tag(2, registrar=b"org-r"), "identity.invalid-tag"),
        ("holder of 31 bytes", register_tag(2, holder=bytes(31)), "identity.invalid-commitment"),
        ("previous tag without need", register_tag(2, previous_tag=bytes(32)), "identity.previous-tag"),
        ("release of what is not ended", release(1), "identity.no-ended-seat"),
        ("release of an unknown tag", release(2), "identity.unknown-tag"),
        ("release of a tag of 31 bytes", pb.ReleaseTag(key_version=1, tag=bytes(31)), "identity.invalid-tag"),
        ("retagging before a rotation", retag(1, 1), "identity.unknown-tag"),
        ("rotation", pb.RotateTagKey(key_version=2), ""),
        ("rotation to the present version", pb.RotateTagKey(key_version=1), "identity.wrong-tag-version"),
        ("rotation that leaves one out", pb.RotateTagKey(key_version=3), "identity.wrong-tag-version"),
    ],
)
def test_uniqueness_service_acts_or_is_refused(
    rig: IdentityRig, circumstance: str, message: Message, code: str
) -> None:
    rig.tag(1)
    before = dict(rig.state)
    assert rig.code(SERVICE, message) == code, circumstance
    assert (rig.state == before) is bool(code)


@pytest.mark.parametrize(
    "message", [register_tag(2), retag(1), release(1), pb.RotateTagKey(key_version=2)], ids=lambda m: m.DESCRIPTOR.name
)
@pytest.mark.parametrize("signers", ["org-u:submit", "org-u:govern", "org-r:attest", "eve@p256", "org-a:attest"])
def test_only_the_uniqueness_services_attest_key_acts(rig: IdentityRig, signers: str, message: Message) -> None:
    assert rig.code(signers, message) == "identity.not-uniqueness"


def test_registration_needs_a_tag_and_a_revoked_ones_tag_can_be_released_once(rig: IdentityRig) -> None:
    person, again = random_id(1), random_id(2)
    rig.tag("one")
    rig.proposed(person=person)
    assert rig.code("bob@webauthn", rig.confirm(person)) == ""
    rig.proposed(person=again)
    assert rig.code("bob@webauthn", rig.confirm(again)) == "identity.no-seat"
    assert rig.code(SERVICE, register_tag("one")) == "identity.tag-taken"
    assert rig.code("bob@webauthn", person_status(person, pb.STATUS_REVOKED)) == ""
    assert rig.code("bob@webauthn", rig.confirm(again)) == "identity.no-seat", "the service releases the tag first"
    assert rig.code(SERVICE, release("one")) == ""
    assert load_seats(rig.state.get, REGISTRAR) == pb.SeatsRecord()
    assert rig.code(SERVICE, register_tag("one")) == ""
    assert rig.code("bob@webauthn", rig.confirm(again)) == ""
    assert rig.code(SERVICE, release("one")) == "identity.no-ended-seat"


def test_key_rotates_while_no_person_can_be_registered_under_both_versions(rig: IdentityRig) -> None:
    for what in ("old", "gone"):
        rig.enrolled(person=random_id(what))
    old, gone = random_id("old").hex(), random_id("gone").hex()
    assert rig.code(SERVICE, pb.RotateTagKey(key_version=2)) == ""
    assert load_tag_key(rig.state.get) == pb.TagKeyRecord(key_version=2, previous_tags=2)

    def both(what: str) -> pb.RegisterTag:
        return register_tag(what, version=2, previous_tag=hidden(f"tag 1 {what}"))

    assert rig.code(SERVICE, register_tag("new", version=2)) == "identity.previous-tag"
    assert rig.code(SERVICE, both(old)) == "identity.tag-taken"
    assert rig.code(SERVICE, both("new")) == ""
    assert rig.code(SERVICE, pb.RotateTagKey(key_version=3)) == "identity.retagging-open"
    assert rig.code(SERVICE, retag("nobody")) == "identity.unknown-tag"
    assert rig.code(SERVICE, retag(old, tag=hidden("tag 2 new"))) == "identity.tag-taken"
    assert rig.code(SERVICE, retag(old, tag=bytes(31))) == "identity.invalid-tag"
    assert rig.code(SERVICE, retag(old, holder=b"")) == "identity.invalid-commitment"
    assert rig.code(SERVICE, retag(old, version=1)) == "identity.wrong-tag-version"
    assert rig.code(SERVICE, retag(old)) == ""
    assert tag_key(1, hidden(f"tag 1 {old}")) not in rig.state
    assert load_tag(rig.state.get, 2, hidden(f"tag 2 {old}")) == pb.TagRecord(
        registrar=REGISTRAR, holder=hidden(f"new holder {old}")
    )
    assert rig.code("bob@webauthn", person_status(random_id("gone"), pb.STATUS_REVOKED)) == ""
    assert rig.code(SERVICE, release(gone)) == "", "under the version before"
    assert load_tag_key(rig.state.get) == pb.TagKeyRecord(key_version=2, tags=2)
    assert rig.code(SERVICE, pb.RotateTagKey(key_version=3)) == ""


def test_holder_commitment_opens_with_its_salt_only() -> None:
    made = {holder_commitment(random_id(i), bytes([salt]) * 32) for i in (1, 2) for salt in (1, 2)}
    assert len(made) == 4
