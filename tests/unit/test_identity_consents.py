# SPDX-License-Identifier: Apache-2.0
"""Rules of consents: given under a commitment, ended by either side's secret, for good; and what they cover."""

import pytest

from chain.codec import encode
from chain.errors import InvalidMessage
from identity.commitments import anchor_of
from identity.consents import (
    CONSENT_DAYS_MAX,
    consent_commitment,
    counts,
    covers,
    decode_consent,
    encode_consent,
    load_consent,
)
from identity.pb import access_pb2
from identity.pb import identity_pb2 as pb
from tests.access_rig import DAY_MS, VERIFIER, WRITER, AccessRig
from tests.identity_rig import hidden
from tests.rig import BLOCK_MS

PERSON, PARTY = hidden("the person's secret"), hidden("the relying party's secret")


@pytest.fixture
def rig() -> AccessRig:
    return AccessRig()


def give(rig: AccessRig, days: int = 30, **changes: bytes) -> pb.GiveConsent:
    fields: dict[str, bytes] = {
        "commitment": hidden("consent"),
        "person_anchor": anchor_of(PERSON),
        "party_anchor": anchor_of(PARTY),
    }
    return pb.GiveConsent(valid_to_day=rig.today + days, **{**fields, **changes})


def end(proof: bytes = PERSON, commitment: bytes = hidden("consent")) -> pb.EndConsent:
    return pb.EndConsent(commitment=commitment, proof=proof)


def record(rig: AccessRig) -> pb.ConsentRecord | None:
    return load_consent(rig.state.get, hidden("consent"))


def test_consent_counts_from_its_block_until_its_day(rig: AccessRig) -> None:
    assert not counts(record(rig), rig.time_ms)
    message, since_ms = give(rig), rig.time_ms
    assert rig.code(VERIFIER, message) == ""
    assert counts(record(rig), since_ms)
    assert counts(record(rig), message.valid_to_day * DAY_MS - 1)
    assert not counts(record(rig), message.valid_to_day * DAY_MS)


@pytest.mark.parametrize("proof", [PERSON, PARTY])
def test_either_side_ends_a_consent_through_any_known_submitter(rig: AccessRig, proof: bytes) -> None:
    assert rig.code(VERIFIER, give(rig)) == ""
    since_ms, ended_ms = rig.time_ms - BLOCK_MS, rig.time_ms
    assert rig.code("org-a:submit", end(proof)) == ""
    assert record(rig) == pb.ConsentRecord(since_ms=since_ms, ended_at_ms=ended_ms), "nothing else is left"
    assert not counts(record(rig), ended_ms)


@pytest.mark.parametrize(
    ("circumstance", "message", "code"),
    [
        ("neither side's secret", end(hidden("other")), "identity.wrong-proof"),
        ("the anchor itself", end(anchor_of(PERSON)), "identity.wrong-proof"),
        ("nothing", end(b""), "identity.wrong-proof"),
        ("another consent", end(PERSON, hidden("other")), "identity.unknown-consent"),
        ("no consent", end(PERSON, b""), "identity.invalid-commitment"),
    ],
)
def test_consent_is_not_ended_by(rig: AccessRig, circumstance: str, message: pb.EndConsent, code: str) -> None:
    assert rig.code(VERIFIER, give(rig)) == ""
    assert rig.code(WRITER, message) == code, circumstance
    assert counts(record(rig), rig.time_ms)


def test_ended_consent_is_never_given_again(rig: AccessRig) -> None:
    assert rig.code(VERIFIER, give(rig)) == ""
    assert rig.code(VERIFIER, give(rig)) == "identity.consent-used"
    assert rig.code(VERIFIER, end()) == ""
    assert rig.code(VERIFIER, end(PARTY)) == "identity.consent-over"
    assert rig.code(VERIFIER, give(rig)) == "identity.consent-used"


def test_consent_is_narrowed_in_one_transaction_or_not_at_all(rig: AccessRig) -> None:
    assert rig.code(VERIFIER, give(rig)) == ""
    narrower = give(rig, commitment=hidden("narrower"), person_anchor=hidden("p"), party_anchor=hidden("q"))
    assert rig.code(VERIFIER, end(), give(rig, commitment=b"")) == "identity.invalid-commitment"
    assert counts(record(rig), rig.time_ms)
    assert rig.code(VERIFIER, end(), narrower) == ""
    assert not counts(record(rig), rig.time_ms)
    assert counts(load_consent(rig.state.get, hidden("narrower")), rig.time_ms)


@pytest.mark.parametrize(
    ("circumstance", "changes", "code"),
    [
        ("short commitment", {"commitment": bytes(31)}, "identity.invalid-commitment"),
        ("short anchor", {"person_anchor": bytes(31)}, "identity.invalid-anchor"),
        ("no anchor", {"party_anchor": b""}, "identity.invalid-anchor"),
        ("one anchor for both", {"party_anchor": anchor_of(PERSON)}, "identity.invalid-anchor"),
    ],
)
def test_consent_of_another_form_is_refused(
    rig: AccessRig, circumstance: str, changes: dict[str, bytes], code: str
) -> None:
    assert rig.code(VERIFIER, give(rig, **changes)) == code, circumstance


@pytest.mark.parametrize(
    ("days", "code"),
    [
        (-1, "identity.invalid-validity"),
        (0, "identity.invalid-validity"),
        (1, ""),
        (CONSENT_DAYS_MAX, ""),
        (CONSENT_DAYS_MAX + 1, "identity.invalid-validity"),
    ],
)
def test_consent_counts_for_a_year_at_most(rig: AccessRig, days: int, code: str) -> None:
    assert rig.code(VERIFIER, give(rig, days)) == code


@pytest.mark.parametrize(
    ("signers", "code"),
    [
        ("org-a:submit", "identity.not-writer"),
        ("org-v:attest", "identity.not-writer"),
        ((WRITER, VERIFIER), "identity.ambiguous-writer"),
        (WRITER, ""),
    ],
)
def test_one_registrar_or_verifier_records_a_consent(rig: AccessRig, signers: str | tuple[str, ...], code: str) -> None:
    assert rig.code(signers, give(rig)) == code


# ---------------------------------------------------------------- what a consent says


def content(**changes: object) -> access_pb2.ConsentContent:
    fields: dict[str, object] = {
        "organisation": "bank",
        "purpose": 7,
        "version": 1,
        "attributes": ["natural-person/birthdate", "natural-person/family_name"],
        "given_at_ms": 1,
        "valid_to_day": 20_000,
        "subject": bytes(32),
    }
    return access_pb2.ConsentContent(**{**fields, **changes})


def test_consent_opens_to_what_was_consented_to() -> None:
    raw = encode_consent(content())
    assert decode_consent(raw) == content()
    assert consent_commitment(raw, hidden("salt")) != consent_commitment(raw, hidden("other salt"))
    assert consent_commitment(raw, hidden("salt")) != consent_commitment(
        encode_consent(content(purpose=8)), hidden("salt")
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"organisation": ""},
        {"organisation": "x" * 65},
        {"purpose": 0},
        {"purpose": 65_536},
        {"version": 0},
        {"attributes": []},
        {"attributes": ["b", "a"]},
        {"attributes": ["a", "a"]},
        {"attributes": [""]},
        {"attributes": ["x" * 65]},
        {"attributes": [f"a{i:03}" for i in range(65)]},
        {"given_at_ms": 0},
        {"valid_to_day": 0},
        {"subject": bytes(31)},
    ],
)
def test_consent_out_of_its_bounds_is_neither_written_nor_read(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidMessage):
        encode_consent(content(**changes))
    with pytest.raises(InvalidMessage):
        decode_consent(encode(content(**changes)))


@pytest.mark.parametrize(
    ("organisation", "purpose", "attributes", "expected"),
    [
        ("bank", 7, ["natural-person/birthdate"], True),
        ("bank", 7, ["natural-person/birthdate", "natural-person/family_name"], True),
        ("bank", 7, ["natural-person/address"], False),
        ("bank", 8, ["natural-person/birthdate"], False),
        ("other", 7, ["natural-person/birthdate"], False),
    ],
)
def test_consent_covers_what_it_says_and_no_more(
    organisation: str, purpose: int, attributes: list[str], expected: bool
) -> None:
    assert covers(content(), organisation, purpose, attributes) is expected
