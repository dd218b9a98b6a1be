# SPDX-License-Identifier: Apache-2.0
"""Log-in by card, and signatures of cards over documents, with each way to cheat as a test of its own."""

import asyncio
from base64 import b64encode
from dataclasses import replace
from datetime import date

import pytest
from verifier_rig import BANK, LOGIN, PAGE, STALE, CardOffice, Citizen, Office, code_of, query, signer, steps

from chain.signing import Scheme, Signer
from chain.types import sha256
from identity import sd_jwt
from identity.api.verifier.cards import CardTrust
from identity.api.verifier.outbound import NotReached
from identity.cards.authority import CardAuthority
from identity.cards.emulator import EmulatedCard
from identity.cards.objects import Slot
from identity.cards.personalise import personalise
from identity.cards.piv import Piv
from identity.cards.verifying import load_chain
from identity.commitments import control_commitment
from identity.pb import identity_pb2 as pb
from identity.registrations import person_key
from identity.sd_jwt import Binding
from tests.cards.authority_rig import PLACES, new_authority
from tests.cards.making_rig import Notes, master

SALT, REGISTRATION = bytes(range(32)), bytes(range(16))


@pytest.fixture
def office(sqlite_rig):
    return CardOffice(sqlite_rig)


async def challenged(bank, **more):
    body = {"purpose": LOGIN, "origin": PAGE} | more
    response = await bank.http.post("/v1/card-logins", json=body, headers=bank.headers)
    assert response.status_code == 201, response.text
    return response.json()


async def answered(bank, made, body):
    path = f"/v1/card-logins/{made['id']}/answer"
    return await bank.http.post(path, json=body, headers=bank.headers)


async def report_of(bank, made, token, **more):
    response = await answered(bank, made, {"token": token, **more})
    assert response.status_code == 200, response.text
    return response.json()["report"]


async def test_card_alone_proves_that_it_is_there_and_tells_nothing_of_its_holder(office):
    card = office.card()
    async with office.serving() as bank:
        seen = []
        for caller in (bank, bank, bank.by(office.clinic_key)):
            made = await challenged(caller)
            seen.append(await report_of(caller, made, card.token(PAGE, made["challenge"])))
    assert steps(seen[0]) == {
        "certificate": "held",
        "certificate-status": "held",
        "card-key": "held",
        "ledger-key": "not-asked",
    }
    assert (seen[0]["pseudonym"], seen[0]["claims"], seen[0]["entry"]) == ("", {}, {"state": "none"})
    assert seen[0]["facts"]["emulated"] is True
    assert seen[0]["facts"]["card"] == seen[1]["facts"]["card"] != seen[2]["facts"]["card"]


async def test_card_with_a_credential_bound_to_it_tells_what_was_asked_and_leaves_an_entry(office):
    card = office.card()
    async with office.serving() as bank:
        made = await challenged(bank, query=query("age_over_18"))
        credential = office.credential(Citizen(5), card.key)
        shown = [("age_over_18",), ("access_slot",), ("pairwise_seed",)]
        binding = Binding(PAGE, made["challenge"])
        presented = sd_jwt.present(credential, shown, key=card.key, binding=binding, now_s=office.now_s)
        report = await report_of(bank, made, card.token(PAGE, made["challenge"]), presented={"person": presented})
        by_phone = (await bank.answered(Citizen(5)))[1]["report"]
    assert report["claims"] == {"person": {"age_over_18": True}}
    assert report["pseudonym"] == by_phone["pseudonym"], "a new card or a phone is the same person"
    assert [access.relying_party for access in office.recorder.entries.values()] == [BANK, BANK]


async def test_challenge_that_was_ended_elsewhere_is_answered_by_nobody_though_it_is_at_hand(office):
    card = office.card()
    async with office.serving() as bank:
        made = await challenged(bank)
        await bank.http.get(f"/v1/verifications/{made['id']}", headers=bank.headers)  # so that the store has it
        assert office.verifier.kept.cancel(made["id"])
        late = await answered(bank, made, {"token": card.token(PAGE, made["challenge"])})
    assert (late.status_code, late.json()["code"]) == (409, "verifier.over")


async def test_challenge_of_another_process_is_answered_from_the_store_and_another_programs_by_nobody(office):
    card = office.card()
    async with office.serving() as bank:
        made = await challenged(bank)
        assert (await bank.http.get(f"/v1/verifications/{made['id']}", headers=bank.headers)).json()["state"] == "open"
        office.verifier.kept._lately.clear()
        report = await report_of(bank, made, card.token(PAGE, made["challenge"]))
        foreign = await challenged(bank)
        asked = await answered(bank.by(office.clinic_key), foreign, {"token": card.token(PAGE, foreign["challenge"])})
    assert report["outcome"] == "held"
    assert asked.json()["code"] == "verifier.unknown"


async def test_personalised_card_logs_in(sqlite_rig):
    office = CardOffice(sqlite_rig)
    card = EmulatedCard()
    done = personalise(
        card, office.card_keys.authority, master(), Notes(), now_s=office.now_s, expires=date(2029, 1, 1)
    )
    piv = Piv(card)
    piv.select()
    piv.verify_pin(done.pin)
    async with office.serving() as bank:
        challenge = await challenged(bank)
        message = sha256(PAGE.encode()) + sha256(challenge["challenge"].encode())
        token = {
            "unverifiedCertificate": b64encode(piv.certificate(Slot.AUTHENTICATE)).decode(),
            "signature": b64encode(piv.sign(Slot.AUTHENTICATE, sha256(message))).decode(),
        }
        report = await report_of(bank, challenge, token)
    assert report["outcome"] == "held"


async def test_holder_who_opens_the_registration_has_the_keys_state_on_the_ledger_proven(office):
    card = office.card()
    purpose = pb.CONTROL_PURPOSE_AUTHENTICATE
    commitment = control_commitment(purpose, Signer(Scheme.P256, card.key.public_key), SALT)
    record = pb.PersonRecord(
        status=pb.PERSON_STATUS_ACTIVE, keys=[pb.ControlKey(purpose=purpose, commitment=commitment)]
    )
    opening = {"registration": REGISTRATION.hex(), "salt": SALT.hex()}
    async with office.serving() as bank:
        made = await challenged(bank)
        unknown = await report_of(bank, made, card.token(PAGE, made["challenge"]), opening=opening)
        office.states.values[person_key(REGISTRATION)] = record.SerializeToString()
        made = await challenged(bank)
        bound = await report_of(bank, made, card.token(PAGE, made["challenge"]), opening=opening)
        record.keys[0].suspended = True
        office.states.values[person_key(REGISTRATION)] = record.SerializeToString()
        made = await challenged(bank)
        suspended = await report_of(bank, made, card.token(PAGE, made["challenge"]), opening=opening)
    assert code_of(unknown, "ledger-key") == "card.not-bound"
    assert (steps(bound)["ledger-key"], [one["of"] for one in bound["receipts"]]) == (
        "held",
        ["card-key", "registration"],
    )
    assert code_of(suspended, "ledger-key") == "card.not-bound"


@pytest.mark.parametrize(
    ("origin", "challenge"),
    [("https://bank.example.evil.example", None), (PAGE, "another challenge"), ("https://BANK.example", None)],
    ids=["proxy in the middle with another origin", "signature replayed for another challenge", "other spelling"],
)
async def test_signature_over_another_origin_or_challenge_is_refused(office, origin, challenge):
    card = office.card()
    async with office.serving() as bank:
        made = await challenged(bank)
        report = await report_of(bank, made, card.token(origin, challenge or made["challenge"]))
    assert code_of(report, "card-key") == "card.signature"
    assert report["facts"] == {}


async def test_challenge_is_good_once_in_time_and_for_its_own_program(office):
    card = office.card()
    async with office.serving() as bank:
        made = await challenged(bank)
        token = card.token(PAGE, made["challenge"])
        assert (await answered(bank.by(office.clinic_key), made, {"token": token})).status_code == 404
        assert (await answered(bank, made, {"token": token})).status_code == 200
        assert (await answered(bank, made, {"token": token})).json()["code"] == "verifier.over"
        late = await challenged(bank)
        office.rig.clock_ms += 301_000
        response = await answered(bank, late, {"token": card.token(PAGE, late["challenge"])})
    assert response.json()["code"] == "verifier.over"


async def test_challenge_for_a_page_that_is_not_the_programs_own_is_not_made(office):
    async with office.serving() as bank:
        body = {"purpose": LOGIN, "origin": "https://evil.example"}
        response = await bank.http.post("/v1/card-logins", json=body, headers=bank.headers)
    assert response.json()["code"] == "verifier.address"


async def test_revoked_card_is_refused_and_a_list_that_is_too_old_too(office):
    card = office.card()
    async with office.serving() as bank:
        office.publish(card.serial)
        made = await challenged(bank)
        revoked = await report_of(bank, made, card.token(PAGE, made["challenge"]))
        office.publish()
        office.rig.clock_ms += 700_000
        made = await challenged(bank)
        stale = await report_of(bank, made, card.token(PAGE, made["challenge"]))
        made = await challenged(bank, purpose=STALE)
        aged = await report_of(bank, made, card.token(PAGE, made["challenge"]))
        office.crl = None
        office.rig.clock_ms += 4_000_000
        made = await challenged(bank, purpose=STALE)
        gone = await report_of(bank, made, card.token(PAGE, made["challenge"]))
    assert code_of(revoked, "certificate-status") == "card.ended"
    assert code_of(stale, "certificate-status") == "verifier.status-stale"
    assert (aged["outcome"], aged["statuses"][0]["age_s"]) == ("held", 700)
    assert code_of(gone, "certificate-status") == "verifier.status-unreachable"


async def test_card_lists_host_that_hangs_costs_one_look_its_timeout_and_the_list_ends_when_it_says(office):
    card, tries = office.card(), 0

    async def fetch(url):
        nonlocal tries
        tries += 1
        return await office.fetch_crl(url)

    trust = CardTrust([office.chain], fetch, office.states, lambda: office.now_s)
    assert (await trust.check(card.certificate, Slot.AUTHENTICATE, None))[2] is not None
    office.crl = None
    office.rig.clock_ms += 31_000
    for _ in range(5):
        assert (await trust.check(card.certificate, Slot.AUTHENTICATE, None))[2] is not None
    assert tries == 2
    office.rig.clock_ms += 4_000_000
    findings, _, issued_s = await trust.check(card.certificate, Slot.AUTHENTICATE, None)
    assert (findings[-1].code, issued_s) == ("verifier.status-unreachable", None)


async def test_older_card_list_that_somebody_replays_brings_no_stopped_card_back(office):
    card, older = office.card(), office.crl
    async with office.serving() as bank:

        async def log_in():
            made = await challenged(bank)
            return await report_of(bank, made, card.token(PAGE, made["challenge"]))

        assert (await log_in())["outcome"] == "held"
        office.rig.clock_ms += 60_000
        office.publish(card.serial)
        assert code_of(await log_in(), "certificate-status") == "card.ended"
        office.crl = older  # signed by the authority, within its hour, of before the call that stopped the card
        for _ in range(2):
            office.rig.clock_ms += 31_000
            assert code_of(await log_in(), "certificate-status") == "card.ended"


async def test_authority_whose_lists_host_hangs_holds_up_no_card_of_another_one(office):
    other = new_authority(now_s=office.now_s // 86_400 * 86_400)
    places = replace(PLACES, crl="http://other.example/cards.crl")
    authority = CardAuthority(other.issuing, other.issuing_signer, places, allows_emulated=True)
    card, own = office.card(), office.card_keys
    office.card_keys = replace(other, authority=authority)
    foreign = office.card()
    office.card_keys = own
    hangs, asked = asyncio.Event(), asyncio.Event()

    async def fetch(url):
        if url == places.crl:
            asked.set()
            await hangs.wait()
            raise NotReached("it does not answer")
        return await office.fetch_crl(url)

    chains = [office.chain, load_chain(other.chain_pem)]
    trust = CardTrust(chains, fetch, office.states, lambda: office.now_s)
    waiting = asyncio.create_task(trust.check(foreign.certificate, Slot.AUTHENTICATE, None))
    await asked.wait()
    async with asyncio.timeout(60):
        assert (await trust.check(card.certificate, Slot.AUTHENTICATE, None))[2] is not None
    hangs.set()
    assert (await waiting)[0][-1].code == "verifier.status-unreachable"


async def test_certificate_of_another_authority_slot_or_kind_is_refused(office):
    other = new_authority(now_s=office.now_s // 86_400 * 86_400)
    async with office.serving() as bank:
        signing = office.card(Slot.SIGN)
        own = office.card_keys
        office.card_keys = other
        foreign = office.card()
        office.card_keys = own
        for card in (signing, foreign):
            made = await challenged(bank)
            report = await report_of(bank, made, card.token(PAGE, made["challenge"]))
            assert code_of(report, "certificate") == "card.certificate"
        made = await challenged(bank)
        report = await report_of(bank, made, foreign.token(PAGE, made["challenge"], unverifiedCertificate="AAAA"))
    assert code_of(report, "certificate") == "card.certificate"


async def test_credential_bound_to_another_key_than_the_cards_is_refused(office):
    card, phone = office.card(), signer(77)
    async with office.serving() as bank:
        made = await challenged(bank, query=query("age_over_18"))
        shown = [("age_over_18",), ("access_slot",), ("pairwise_seed",)]
        binding = Binding(PAGE, made["challenge"])
        credential = office.credential(Citizen(6), phone)
        presented = sd_jwt.present(credential, shown, key=phone, binding=binding, now_s=office.now_s)
        report = await report_of(bank, made, card.token(PAGE, made["challenge"]), presented={"person": presented})
    assert code_of(report, "bound") == "verifier.other-key"
    assert not office.recorder.entries


async def test_batch_of_signatures_is_checked_each_by_itself(office):
    card, login = office.card(Slot.SIGN), office.card()
    digests = [sha256(bytes([i])) for i in range(3)]

    def signed(digest, by, over=None):
        return {
            "document_sha256": digest.hex(),
            "certificate": b64encode(by.certificate).decode(),
            "signature": b64encode(by.key.sign(over or digest)).decode(),
        }

    async with office.serving() as bank:

        async def check(*signatures):
            body = {"purpose": LOGIN, "signatures": list(signatures)}
            response = await bank.http.post("/v1/signatures/check", json=body, headers=bank.headers)
            assert response.status_code == 200, response.text
            return response.json()["report"]

        good = await check(*(signed(digest, card) for digest in digests))
        bad = await check(signed(digests[0], card), signed(digests[1], card, digests[2]), signed(digests[2], login))
        office.rig.clock_ms += 20_000
        later = await check(signed(digests[0], card))
    assert good["outcome"] == "held"
    assert [one["age_s"] for one in later["statuses"]] == [20], "how old the list is, is what it was issued ago"
    failed = {(one["subject"], one["step"]) for one in bad["steps"] if one["outcome"] == "failed"}
    assert failed == {("1", "card-key"), ("2", "certificate")}


async def test_verifier_that_knows_no_card_authority_says_so(sqlite_rig):
    async with Office(sqlite_rig).serving() as bank:
        body = {"purpose": LOGIN, "origin": PAGE}
        response = await bank.http.post("/v1/card-logins", json=body, headers=bank.headers)
    assert response.json()["code"] == "verifier.no-cards"
