# SPDX-License-Identifier: Apache-2.0
"""A consent as a verifier is shown it: it opens what stands on the ledger, for this asker, purpose and person alone."""

import pytest

from identity.commitments import anchor_of
from identity.consent_showing import ShownConsent, make_claim, read_claim, refusal, subject_of
from identity.consents import consent_commitment, encode_consent
from identity.jose import InvalidToken
from identity.pb import access_pb2, identity_pb2

DAY_MS = 86_400_000
TODAY = 20_000
SALT, SECRET = bytes(range(32)), bytes(range(32, 64))
SUBJECT = subject_of("a pseudonym")


def content(**changes: object) -> access_pb2.ConsentContent:
    fields: dict[str, object] = {
        "organisation": "bank-one",
        "purpose": 7,
        "version": 1,
        "attributes": ["natural-person/birthdate", "natural-person/family_name"],
        "given_at_ms": TODAY * DAY_MS,
        "valid_to_day": TODAY + 30,
        "subject": SUBJECT,
    }
    return access_pb2.ConsentContent(**{**fields, **changes})  # type: ignore[arg-type]  # fields by name


def record(**changes: object) -> identity_pb2.ConsentRecord:
    fields: dict[str, object] = {
        "since_ms": TODAY * DAY_MS,
        "valid_to_day": TODAY + 30,
        "person_anchor": bytes(32),
        "party_anchor": anchor_of(SECRET),
    }
    return identity_pb2.ConsentRecord(**{**fields, **changes})  # type: ignore[arg-type]  # fields by name


def shown() -> ShownConsent:
    return read_claim(make_claim(content(), SALT, SECRET))


def refused(one: identity_pb2.ConsentRecord | None, **changes: object) -> str:
    asked: dict[str, object] = {
        "organisation": "bank-one",
        "purpose": 7,
        "attributes": ["natural-person/birthdate"],
        "subject": SUBJECT,
        "time_ms": TODAY * DAY_MS + 1,
    }
    return refusal(shown(), one, **{**asked, **changes})  # type: ignore[arg-type]  # fields by name


def test_consent_that_counts_opens_what_the_ledger_has_and_allows_no_less_than_it_says() -> None:
    assert shown().commitment == consent_commitment(encode_consent(content()), SALT)
    assert refused(record()) == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"organisation": "bank-two"},
        {"purpose": 8},
        {"attributes": ["natural-person/birthdate", "natural-person/given_name"]},
        {"subject": subject_of("somebody else's")},
        {"time_ms": (TODAY + 30) * DAY_MS},
    ],
)
def test_consent_to_another_for_another_purpose_to_less_of_another_person_or_over_is_refused(
    changes: dict[str, object],
) -> None:
    assert refused(record(), **changes) != ""


def test_consent_that_was_withdrawn_never_given_or_whose_secret_is_not_the_partys_is_refused() -> None:
    assert refused(None) != ""
    assert refused(record(ended_at_ms=TODAY * DAY_MS)) != ""
    assert refused(record(party_anchor=bytes(32))) != ""


@pytest.mark.parametrize(
    "claim",
    [
        None,
        [],
        {},
        {"content": "", "salt": "", "party_secret": ""},
        make_claim(content(), SALT, SECRET) | {"more": ""},
        make_claim(content(), SALT, SECRET) | {"salt": 7},
        make_claim(content(), SALT, SECRET) | {"salt": "AAAA"},
        make_claim(content(), SALT, SECRET) | {"content": "AAAA"},
        make_claim(content(), SALT, SECRET) | {"content": "not base64url!"},
    ],
)
def test_claim_of_another_form_is_refused_by_its_code(claim: object) -> None:
    with pytest.raises(InvalidToken):
        read_claim(claim)  # type: ignore[arg-type]  # whatever somebody sends
