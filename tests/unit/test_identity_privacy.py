# SPDX-License-Identifier: Apache-2.0
"""A reader of the whole chain, log and state, tries to join the records of one person."""

import itertools
from collections.abc import Iterable, Iterator

import pytest
from google.protobuf.message import Message

from chain.types import sha256
from identity.access import AccessList, make_batch, make_entry
from identity.access_rules import load_access
from identity.commitments import anchor_of, holder_commitment
from identity.consents import consent_commitment
from identity.mandates import load_mandate
from identity.officers import registrar_digest
from identity.pb import identity_pb2 as pb
from identity.uniqueness import load_tag
from tests.access_rig import look_up
from tests.identity_rig import (
    OFFICERS,
    IdentityRig,
    accepts,
    enrol,
    hidden,
    mandate,
    new_key,
    number,
    person_status,
    random_id,
    register_tag,
    secret,
)
from tests.rig import START_MS

PERSON, SALT = random_id("registration"), hidden("salt of the tag's holder")
PUBLIC = {registrar_digest("org-r"), *(number(person) for _, _, person, _ in OFFICERS)}
CONSENT = b"to whom and for what"
BYTES_MIN = 16
"""Shorter values are enumerations' and numbers' business."""


def values(messages: Iterable[Message | None]) -> Iterator[bytes]:
    """Every byte string in these messages, at any depth."""
    for message in messages:
        assert message is not None
        for field, value in message.ListFields():
            for one in value if field.is_repeated else [value]:
                if isinstance(one, Message):
                    yield from values([one])
                elif isinstance(one, bytes) and len(one) >= BYTES_MIN:
                    yield one


def joined(first: set[bytes], second: set[bytes]) -> bool:
    """Whether a value of one is a value of the other, or its hash in any of the forms that the chain knows."""

    def reach(known: set[bytes]) -> set[bytes]:
        once = known | {function(value) for value in known for function in (sha256, anchor_of)}
        return once | {function(value) for value in once for function in (sha256, anchor_of)}

    return bool(reach(first) & reach(second))


@pytest.fixture
def records() -> dict[str, set[bytes]]:
    """One person's life: what log and state hold of each of their records, without what is the registrar's."""
    rig = IdentityRig()
    tag = register_tag("person", holder=holder_commitment(PERSON, SALT))
    moved = pb.Retag(previous_tag=tag.tag, key_version=2, tag=hidden("tag 2"), holder=hidden("holder 2"))
    registration: list[Message] = [enrol(PERSON, new_key(1), new_key(2))]
    given, taken = mandate("given", rig.time_ms), mandate("taken", rig.time_ms)
    attestation = pb.Attest(
        id=random_id("attestation"),
        schema=pb.SCHEMA_RESIDENT,
        schema_version=1,
        commitment=hidden("claims"),
        assurance_level=pb.ASSURANCE_LEVEL_HIGH,
        valid_from_ms=START_MS,
        valid_to_ms=START_MS + 86_400_000,
    )
    revoked = pb.SetStatus(id=attestation.id, status=pb.STATUS_REVOKED, reason=pb.REASON_SUPERSEDED)
    accepting, ending = ({what: [] for what in ("given", "taken")} for _ in range(2))
    assert rig.code("org-u:attest", tag) == ""
    assert rig.code("ann@p256", registration[0]) == ""
    registration.append(rig.confirm(PERSON))
    assert rig.code("bob@webauthn", registration[-1]) == ""
    registration.append(person_status(PERSON, pb.STATUS_SUSPENDED, new_key(1).commitment))
    assert rig.code("org-r:submit", registration[-1]) == ""
    registration.append(pb.Recover(id=PERSON, proofing_method=pb.PROOFING_METHOD_VOUCHED, binds=[new_key(3)]))
    assert rig.code(("ann@p256", "bob@webauthn"), registration[-1]) == ""
    for message in (given, taken):
        assert rig.code("ann@p256", message) == ""
    for what in ("given", "taken"):
        for side, name in ((pb.SIDE_PRINCIPAL, "principal"), (pb.SIDE_AGENT, "agent")):
            accepting[what].append(
                pb.AcceptMandate(id=random_id(f"mandate {what}"), side=side, proof=accepts(name, what))
            )
            assert rig.code("org-r:submit", accepting[what][-1]) == ""
    live = load_mandate(rig.state.get, taken.id)
    ending["given"].append(pb.EndMandate(id=given.id, proof=secret("agent", "given")))
    assert rig.code("org-r:submit", ending["given"][0]) == ""
    assert rig.code("org-r:attest", attestation, revoked) == ""
    assert rig.code("org-u:attest", pb.RotateTagKey(key_version=2), moved) == ""
    seen: list[pb.AccessEntry] = []
    listed = AccessList(hidden("first slot"))
    for content in (look_up(1), look_up(2)):
        handed, salt = listed.hand_out(), hidden(f"salt of {len(seen)}")
        seen.append(make_entry(handed.slot, handed.link, content, salt))
        listed = listed.took(handed, content, salt)
        assert rig.code("org-r:submit", make_batch(seen[-1:])) == ""
    consents = [
        pb.GiveConsent(
            commitment=consent_commitment(CONSENT, hidden(f"salt of consent {i}")),
            person_anchor=anchor_of(hidden(f"person's secret {i}")),
            party_anchor=anchor_of(hidden(f"party's secret {i}")),
            valid_to_day=rig.time_ms // 86_400_000 + 9,
        )
        for i in range(2)
    ]
    assert rig.code("org-r:submit", *consents) == ""
    withdrawn = pb.EndConsent(commitment=consents[0].commitment, proof=hidden("person's secret 0"))
    assert rig.code("org-r:submit", withdrawn) == ""
    found = {
        "access 1": values([seen[0], load_access(rig.state.get, seen[0].slot)]),
        "access 2": values([seen[1], load_access(rig.state.get, seen[1].slot)]),
        "consent withdrawn": values([consents[0], withdrawn]),
        "consent to the same, for the same": values([consents[1]]),
        "tag": values([tag, moved, load_tag(rig.state.get, 2, moved.tag)]),
        "registration": values([*registration, rig.person(PERSON)]),
        "mandate given": values([given, *accepting["given"], *ending["given"]]),
        "mandate taken": values([taken, *accepting["taken"], live]),
        "attestation": values([attestation, revoked]),
    }
    return {name: set(each) - PUBLIC for name, each in found.items()}


def test_reader_of_log_and_state_joins_no_two_records_of_one_person(records: dict[str, set[bytes]]) -> None:
    assert min(len(each) for each in records.values()) >= 2
    for first, second in itertools.combinations(sorted(records), 2):
        assert not joined(records[first], records[second]), f"{first} and {second}"


def test_reader_who_is_given_the_salt_joins_tag_and_registration(records: dict[str, set[bytes]]) -> None:
    """What an auditor does; it shows that the test above looks at the right values."""
    assert holder_commitment(PERSON, SALT) in records["tag"]
    assert PERSON in records["registration"]
    planted = records["tag"] | {sha256(PERSON)}
    assert joined(planted, records["registration"]), "a plain hash of an id would be found"
