# SPDX-License-Identifier: Apache-2.0
"""Purposes that need a consent, by the ledger's own rules: answered while it stands, refused once a block ended it."""

from dataclasses import replace

import pytest
from consent_rig import AGE, BIRTH, Chain, Consent, needs_consent
from verifier_rig import BANK, CLINIC, LOGIN, MANDATES, CardOffice, Citizen, code_of, query, steps

from chain import receipt
from client.errors import TransportError
from identity.consents import consent_key
from identity.jose import decode_base64url
from identity.pb import identity_pb2 as pb
from tests.access_rig import DAY_MS


@pytest.fixture
def chain():
    return Chain()


@pytest.fixture
def office(sqlite_rig, chain):
    made = CardOffice(sqlite_rig)
    needs_consent(made, chain, (BANK, LOGIN), (BANK, MANDATES), (CLINIC, LOGIN))
    return made


async def posted(bank, citizen, claim, *names, purpose=LOGIN):
    """The wallet's answer, with a consent in its key binding, and what the relying party asked."""
    made = await bank.asked(query(*(names or ("age_over_18",))), purpose)
    claims = await bank.request(made)
    key = bank.new_key()
    extra = {} if claim is None else {"consent": claim}
    token = bank.present(claims, bank.office.credential(citizen, key), key, extra=extra)
    return made, await bank.post(claims, {"person": token})


async def report_of(bank, citizen, claim, *names, purpose=LOGIN):
    made, response = await posted(bank, citizen, claim, *names, purpose=purpose)
    assert response.status_code == 200, response.text
    return (await bank.result(made["id"]))["report"]


async def test_answer_rests_on_the_consent_with_its_receipt_until_the_block_in_which_it_is_withdrawn(office, chain):
    citizen = Citizen(1)
    consent = Consent(chain, citizen)
    chain.do(consent.giving)
    async with office.serving() as bank:
        held = await report_of(bank, citizen, consent.claim)
        chain.do(consent.ending)
        over = await report_of(bank, citizen, consent.claim)
    assert (held["outcome"], steps(held)["consent"], held["entry"]["state"]) == ("held", "held", "written")
    assert held["facts"] == {"consent": consent.claim}
    (proof,) = (one["receipt"] for one in held["receipts"] if one["of"] == "consent")
    checked = receipt.verify(decode_base64url(proof, "a receipt"), chain.ledger.genesis)
    assert [state.key for state in checked.states] == [consent_key(consent.commitment)]
    assert (over["outcome"], code_of(over, "consent")) == ("refused", "verifier.consent-refused")
    assert (over["claims"], over["pseudonym"], over["facts"], over["entry"]["state"]) == ({}, "", {}, "none")
    assert len(office.recorder.entries) == 1


async def test_consent_that_was_narrowed_allows_what_is_left_of_it_from_the_same_block(office, chain):
    citizen = Citizen(1)
    wide, narrow = Consent(chain, citizen), Consent(chain, citizen, attributes=[AGE])
    chain.do(wide.giving)
    async with office.serving() as bank:
        assert (await report_of(bank, citizen, wide.claim, "birthdate"))["outcome"] == "held"
        chain.do(wide.ending, narrow.giving)
        for claim, name, outcome in (
            (wide.claim, "birthdate", "refused"),
            (wide.claim, "age_over_18", "refused"),
            (narrow.claim, "birthdate", "refused"),
            (narrow.claim, "age_over_18", "held"),
        ):
            assert (await report_of(bank, citizen, claim, name))["outcome"] == outcome


async def test_consent_of_another_person_to_another_party_or_purpose_altered_or_missing_is_refused(office, chain):
    citizen, other = Citizen(1), Citizen(2)
    given = [
        Consent(chain, other),
        Consent(chain, citizen, organisation=CLINIC),
        Consent(chain, citizen, purpose=MANDATES),
        Consent(chain, citizen, attributes=[BIRTH]),
    ]
    chain.do(*(one.giving for one in given))
    unknown = Consent(chain, citizen)
    broken = given[0].claim | {"salt": "AAAA"}
    async with office.serving() as bank:
        for claim in (*(one.claim for one in given), unknown.claim):
            assert code_of(await report_of(bank, citizen, claim), "consent") == "verifier.consent-refused"
        assert code_of(await report_of(bank, citizen, None), "consent") == "verifier.consent-missing"
        for claim in (broken, "yes", {"content": "AAAA"}, []):
            assert code_of(await report_of(bank, citizen, claim), "consent") == "identity.consent-shown"
    assert office.recorder.entries == {}


async def test_consent_to_older_terms_is_refused_and_says_so_until_it_is_given_to_the_present_ones(office, chain):
    citizen = Citizen(1)
    old, new = Consent(chain, citizen), Consent(chain, citizen, version=2)
    chain.do(old.giving, new.giving)
    async with office.serving() as bank:
        assert (await report_of(bank, citizen, old.claim))["outcome"] == "held"
        early = await report_of(bank, citizen, new.claim)
        office.directory.purposes[BANK, LOGIN] = replace(office.directory.purposes[BANK, LOGIN], version=2)
        late = await report_of(bank, citizen, old.claim)
        assert (await report_of(bank, citizen, new.claim))["outcome"] == "held"
    for report, said in ((early, "version 2"), (late, "version 1")):
        assert (report["outcome"], code_of(report, "consent")) == ("refused", "verifier.consent-terms")
        (step,) = (one for one in report["steps"] if one["step"] == "consent")
        assert f"the consent is to {said}" in step["reason"]
        assert (report["claims"], report["pseudonym"]) == ({}, "")


async def test_consent_ends_with_its_day_and_its_other_side_can_end_it_too(office, chain):
    citizen = Citizen(1)
    consent = Consent(chain, citizen, valid_to_day=chain.rules.today + 1)
    chain.do(consent.giving)
    async with office.serving() as bank:
        assert (await report_of(bank, citizen, consent.claim))["outcome"] == "held"
        chain.late_ms = DAY_MS
        assert (await report_of(bank, citizen, consent.claim))["outcome"] == "refused"
        chain.late_ms = 0
        chain.do(pb.EndConsent(commitment=consent.commitment, proof=consent.party))
        assert (await report_of(bank, citizen, consent.claim))["outcome"] == "refused"


async def test_while_the_ledger_is_out_of_reach_no_consent_counts_and_nothing_is_used_up(office, chain):
    citizen = Citizen(1)
    consent = Consent(chain, citizen)
    chain.do(consent.giving)
    async with office.serving() as bank:
        chain.error = TransportError("nobody answers", "client.unavailable")
        made, response = await posted(bank, citizen, consent.claim)
        assert response.status_code == 503
        assert (await bank.result(made["id"]))["state"] == "open"


async def test_card_alone_and_checks_without_credentials_are_refused_for_a_purpose_that_needs_a_consent(office):
    async with office.serving() as bank:
        asked = (
            ("/v1/card-logins", {"origin": "https://bank.example"}),
            ("/v1/offline-codes/check", {"code": "ZX1:AAAA"}),
            ("/v1/mandates/check", {"mandate": "00" * 16, "scope": "tax", "power": "sign"}),
        )
        for path, body in asked:
            response = await bank.http.post(path, json={"purpose": LOGIN} | body, headers=bank.headers)
            assert (response.status_code, response.json()["code"]) == (403, "verifier.purpose")
            assert "consent" in response.json()["reason"]
