# SPDX-License-Identifier: Apache-2.0
"""A relying party asks, a wallet answers, and the answer says each check, what was disclosed, and nothing else."""

import json

import pytest
import verifier_rig
from verifier_rig import BANK, CLINIC, EMERGENCY, LOGIN, MANDATES, PAGE, Citizen, Office, code_of, query, steps

from client.errors import TransportError
from identity.api.verifier import clients, upkeep
from identity.api.verifier.answers import check_answer
from identity.api.verifier.tables import Verification
from identity.credentials import LEGAL_PERSON, MANDATE
from identity.jose import InvalidToken, decode_jws, load_object

LI = Citizen(1)


@pytest.fixture
def office(sqlite_rig):
    return Office(sqlite_rig)


@pytest.mark.parametrize("mode", ["direct_post", "direct_post.jwt"])
async def test_wallet_that_presents_what_was_asked_gives_a_signed_answer_with_each_step(office, mode):
    async with office.serving() as bank:
        told, result = await bank.answered(LI, query("age_over_18", ("address", "region")), response_mode=mode)
    assert told == {}
    report = result["report"]
    assert result["state"] == "answered"
    assert steps(report) == {
        "issued": "held",
        "issuer-key": "unknown",
        "bound": "held",
        "status": "held",
        "asked": "held",
    }
    assert report["claims"] == {"person": {"age_over_18": True, "address": {"region": "广东省"}}}
    assert report["assurance_level"] == "high"
    assert report["statuses"] == [{"subject": "person", "value": 0, "issued_s": office.now_s, "age_s": 0}]
    assert {one["of"] for one in report["receipts"]} == {"issuer-key", "registration"}
    checked = check_answer(result["answer"], office.trust, None, audience=BANK)
    assert checked.claims == report


async def test_answer_waits_for_its_access_entry_and_tells_neither_slot_nor_seed(office):
    async with office.serving() as bank:
        office.recorder.error = TransportError("down", "ledger.down")
        made = await bank.asked()
        claims = await bank.request(made)
        key = bank.new_key()
        await bank.post(claims, {"person": bank.present(claims, office.credential(LI, key), key)})
        assert await bank.result(made["id"]) == {"id": made["id"], "state": "recording", "answer": None, "report": None}
        office.recorder.error = None
        office.rig.clock_ms += 11_000
        await upkeep.tick(office.verifier)
        result = await bank.result(made["id"])
    assert result["state"] == "answered"
    (access,) = office.recorder.entries.values()
    assert (access.relying_party, access.purpose, access.attributes) == (BANK, LOGIN, ("natural-person/age_over_18",))
    assert access.slot == LI.slot
    assert result["report"]["entry"]["state"] == "written"
    told = json.dumps(result)
    slot = office.recorder.slots[made["id"]]
    assert not any(secret in told for secret in (LI.slot, LI.seed, slot.hex(), "list-1", "idx"))


async def test_emergency_is_answered_while_the_ledger_is_down_and_its_entry_is_written_later(office):
    office.recorder.error = TransportError("down", "ledger.down")
    async with office.serving() as bank:
        _, result = await bank.answered(LI, purpose=EMERGENCY)
        assert result["report"]["entry"] == {"state": "queued"}
        assert not office.recorder.entries
        office.recorder.error = None
        office.rig.clock_ms += 11_000
        await upkeep.tick(office.verifier)
    (access,) = office.recorder.entries.values()
    assert access.is_emergency


async def test_emergencys_entry_is_written_also_after_its_program_was_ended(office):
    office.recorder.error = TransportError("down", "ledger.down")
    async with office.serving() as bank:
        await bank.answered(LI, purpose=EMERGENCY)
        clients.end(office.store, office.bank.id, 1)
        office.recorder.error = None
        office.rig.clock_ms += 2 * 3_600_000
        await upkeep.tick(office.verifier)
    assert len(office.recorder.entries) == 1


async def test_answer_whose_entry_cannot_be_written_for_an_hour_is_given_to_nobody(office):
    office.recorder.error = TransportError("down", "ledger.down")
    async with office.serving() as bank:
        made = await bank.asked()
        claims = await bank.request(made)
        key = bank.new_key()
        await bank.post(claims, {"person": bank.present(claims, office.credential(LI, key), key)})
        office.rig.clock_ms += 3_601_000
        office.recorder.error = None
        await upkeep.tick(office.verifier)
        assert (await bank.result(made["id"]))["state"] == "cancelled"
    assert not office.recorder.entries


async def test_without_a_recorder_nobody_is_asked(sqlite_rig):
    async with Office(sqlite_rig, recorder=None).serving() as bank:
        response = await bank.ask()
    assert (response.status_code, response.json()["code"]) == (503, "verifier.no-entries")


@pytest.mark.parametrize(
    "asked",
    [
        query("proofing"),
        query("age_over_18", "access_slot"),
        query("pairwise_seed"),
        query("legal_name", vct="urn:imi:cn-gd-fs-chancheng:credit-grade:1"),
    ],
)
async def test_request_beyond_the_purpose_is_refused_before_anybody_sees_it(office, asked):
    async with office.serving() as bank:
        response = await bank.ask(asked)
    assert (response.status_code, response.json()["code"]) == (403, "verifier.beyond-purpose")
    with office.store.read() as session:
        assert session.query(Verification).count() == 0


async def test_mandate_is_asked_for_with_its_agents_own_credential_alone(office):
    async with office.serving() as bank:
        alone = await bank.ask(query("powers", vct=MANDATE), MANDATES)
        assert (alone.status_code, alone.json()["code"]) == (422, "verifier.query")
        both = {
            "credentials": query("age_over_18")["credentials"]
            + query("principal", vct=MANDATE, name="m")["credentials"]
        }
        made = await bank.asked(both, MANDATES)
        claims = await bank.request(made)
        key = bank.new_key()
        own = [("age_over_18",), ("access_slot",), ("pairwise_seed",)]
        tokens = {
            "person": bank.present(claims, office.credential(LI, key), key, own),
            "m": bank.present(claims, office.mandate(key), key, [("principal",)]),
        }
        assert (await bank.post(claims, tokens)).status_code == 200
        report = (await bank.result(made["id"]))["report"]
    assert report["outcome"] == "held"
    assert steps(report)["same-holder"] == "held"
    assert report["claims"]["m"] == {"principal": "91110000600037341L"}


async def test_company_shows_its_credential_without_an_entry_since_nobody_is_told_of(office):
    async with office.serving() as bank:
        made = await bank.asked(query("legal_name", vct=LEGAL_PERSON))
        claims = await bank.request(made)
        key = bank.new_key()
        await bank.post(claims, {"person": bank.present(claims, office.company(key), key, [])})
        report = (await bank.result(made["id"]))["report"]
    assert report["claims"] == {"person": {"legal_name": "禅城食品有限公司"}}
    assert (report["pseudonym"], report["entry"]) == ("", {"state": "none"})
    assert not office.recorder.entries


def with_mandate(*sets):
    """A query for a person and a mandate, in choices."""
    credentials = (
        query("age_over_18")["credentials"]
        + query("principal", vct=MANDATE, name="m")["credentials"]
        + query("legal_name", vct=LEGAL_PERSON, name="company")["credentials"]
    )
    return {"credentials": credentials, "credential_sets": [*sets]}


@pytest.mark.parametrize(
    ("sets", "status"),
    [
        ([{"options": [["m"]]}, {"options": [["person"]], "required": False}], 422),
        ([{"options": [["person", "m"], ["m", "company"]]}], 422),
        ([{"options": [["company"]]}, {"options": [["m"]], "required": False}], 422),
        ([{"options": [["person", "m"], ["company"]]}], 201),
        ([{"options": [["person"]]}, {"options": [["m"]], "required": False}], 201),
    ],
)
async def test_choice_with_a_mandate_and_without_its_agent_is_refused_before_anybody_sees_it(office, sets, status):
    async with office.serving() as bank:
        assert (await bank.ask(with_mandate(*sets), MANDATES)).status_code == status


async def test_mandate_that_comes_without_its_agents_own_credential_is_refused(office):
    sets = {"options": [["company"]]}, {"options": [["person", "m"]], "required": False}
    async with office.serving() as bank:
        made = await bank.asked(with_mandate(*sets), MANDATES)
        claims = await bank.request(made)
        key = bank.new_key()
        tokens = {
            "company": bank.present(claims, office.company(key), key, []),
            "m": bank.present(claims, office.mandate(key), key, [("principal",)]),
        }
        await bank.post(claims, tokens)
        report = (await bank.result(made["id"]))["report"]
    assert (report["outcome"], report["claims"]) == ("refused", {})
    assert code_of(report, "asked") == "verifier.not-answered"


async def test_what_a_wallet_discloses_beyond_what_was_asked_is_not_passed_on(office):
    async with office.serving() as bank:
        made = await bank.asked()
        claims = await bank.request(made)
        key = bank.new_key()
        await bank.post(
            claims,
            {
                "person": bank.present(
                    claims,
                    office.credential(LI, key),
                    key,
                    [("family_name",), ("birthdate",), ("age_over_18",), ("access_slot",), ("pairwise_seed",)],
                )
            },
        )
        result = await bank.result(made["id"])
    assert result["report"]["claims"] == {"person": {"age_over_18": True}}
    assert "李" not in json.dumps(result, ensure_ascii=False)


async def test_everything_that_a_purpose_does_not_allow_is_named_by_claim(office):
    async with office.serving() as bank:
        asked = query("age_over_18", "proofing", ("nationalities", 0, None), "gender")
        response = await bank.ask(asked)
    assert [(one["where"], one["claim"]) for one in response.json()["errors"]] == [
        ("query.credentials/0/claims/1", "proofing"),
        ("query.credentials/0/claims/2", "nationalities/0/*"),
        ("query.credentials/0/claims/3", "gender"),
    ]


async def test_answer_names_the_claims_that_were_asked_for_and_not_shown(office):
    async with office.serving() as bank:
        made = await bank.asked(query("family_name", "age_over_18", "birthdate"))
        claims = await bank.request(made)
        key = bank.new_key()
        shown = [("age_over_18",), ("access_slot",), ("pairwise_seed",)]
        await bank.post(claims, {"person": bank.present(claims, office.credential(LI, key), key, shown)})
        report = (await bank.result(made["id"]))["report"]
    (step,) = [one for one in report["steps"] if one["outcome"] == "failed"]
    assert (step["step"], step["subject"], step["claims"]) == ("asked", "person", ["family_name", "birthdate"])
    assert "family_name, birthdate" in step["reason"]
    assert (report["claims"], report["pseudonym"]) == ({}, "")


async def test_answer_does_not_say_which_of_several_claims_has_another_value(office):
    """A refused answer leaves no entry in the person's list, so nobody learns a value by asking for two at once."""
    told = []
    for wrong in ("family_name", "given_name"):
        asked = query("family_name", "given_name", "age_over_18")
        wanted = {"family_name": "李", "given_name": LI.given_name} | {wrong: "无此人"}
        for one in asked["credentials"][0]["claims"][:2]:
            one["values"] = [wanted[one["path"][0]]]
        async with office.serving() as bank:
            _, result = await bank.answered(LI, asked)
        (step,) = [one for one in result["report"]["steps"] if one["outcome"] == "failed"]
        assert step["claims"] == ["family_name", "given_name"]
        assert "无此人" not in json.dumps(result, ensure_ascii=False)
        told.append(step)
    assert told[0] == told[1]


async def test_value_that_was_asked_for_is_wanted_exactly(office):
    asked = query("age_over_18")
    asked["credentials"][0]["claims"][0]["values"] = [True]
    async with office.serving() as bank:
        _, adult = await bank.answered(LI, asked)
        _, child = await bank.answered(Citizen(2, born=verifier_rig.date(2020, 1, 1)), asked)
    assert adult["state"] == "answered"
    assert (child["state"], verifier_rig.code_of(child["report"], "asked")) == ("refused", "verifier.not-answered")
    assert child["report"]["claims"] == {}
    assert child["report"]["pseudonym"] == ""


async def test_pseudonym_is_the_same_for_new_keys_and_another_for_each_relying_party(office):
    async with office.serving() as bank:
        clinic = bank.by(office.clinic_key)
        seen = [(await one.answered(LI))[1]["report"]["pseudonym"] for one in (bank, bank, clinic)]
        other = (await bank.answered(Citizen(2)))[1]["report"]["pseudonym"]
    assert seen[0] == seen[1]
    assert len({seen[0], seen[2], other}) == 3


async def test_same_device_result_needs_the_code_with_which_the_citizen_came_back(office):
    async with office.serving() as bank:
        made = await bank.asked(flow="same-device", return_url=f"{PAGE}/done?x=1")
        claims = await bank.request(made)
        key = bank.new_key()
        response = await bank.post(claims, {"person": bank.present(claims, office.credential(LI, key), key)})
        url = response.json()["redirect_uri"]
        assert url.startswith(f"{PAGE}/done?x=1&response_code=")
        refused = await bank.http.get(f"/v1/verifications/{made['id']}", headers=bank.headers)
        assert (refused.status_code, refused.json()["code"]) == (403, "verifier.response-code")
        code = url.partition("response_code=")[2]
        assert (await bank.result(made["id"], response_code=code))["state"] == "answered"


async def test_wallet_that_declines_is_told_to_the_relying_party_as_a_step(office):
    async with office.serving() as bank:
        made = await bank.asked()
        claims = await bank.request(made)
        response = await bank.http.post(
            claims["response_uri"], data={"error": "access_denied", "state": claims["state"]}
        )
        assert response.status_code == 200
        report = (await bank.result(made["id"]))["report"]
    assert verifier_rig.code_of(report, "wallet") == "wallet.access-denied"
    assert not office.recorder.entries


async def told(office):
    """A round of notices."""
    notices = upkeep.Notices(office.verifier)
    await notices.begin()
    await notices.told()


async def test_notice_is_signed_says_nothing_personal_and_is_tried_again(office, monkeypatch):
    monkeypatch.setattr(upkeep, "TICK_S", 3_600)  # the service's own round would send the same
    async with office.serving() as bank:
        office.refuse_notices = True
        _, result = await bank.answered(LI, notify_url=f"{PAGE}/hooks")
        await told(office)
        office.refuse_notices = False
        await told(office)
        assert len(office.sent) == 1
        office.rig.clock_ms += 6_000
        await told(office)
        await told(office)
    assert [url for url, _ in office.sent] == ["https://93.184.216.34:443/hooks"] * 2 or len(office.sent) == 2
    jws = decode_jws(office.sent[1][1].decode(), "zhixin-notice+jwt", "the notice")
    claims = load_object(jws.payload, "the notice")
    assert claims["verification"] == result["id"]
    assert set(claims) == {"iss", "aud", "iat", "jti", "verification", "state"}


async def test_raw_presentations_and_answers_stand_sealed_in_the_database(sqlite_rig):
    office = Office(sqlite_rig)
    async with office.serving() as bank:
        await bank.answered(LI, query("family_name", "birthdate"))
    with office.store.read() as session:
        row = session.query(Verification).one()
        kept = bytes(row.presented) + bytes(row.answer) + bytes(row.asked) + bytes(row.access)
    opened = office.verifier.kept.sealing.open(row.id, "presented", row.presented)
    assert opened.startswith('{"presented"')
    assert not [at for at in range(0, len(opened) - 16, 16) if opened[at : at + 16].encode() in kept]
    assert b"1990-05-17" not in kept


async def test_what_was_kept_long_enough_is_gone(office):
    async with office.serving() as bank:
        _, result = await bank.answered(LI)
        office.rig.clock_ms += 31 * verifier_rig.DAY_S * 1000
        office.verifier.kept.forget()
        gone = await bank.http.get(f"/v1/verifications/{result['id']}", headers=bank.headers)
    assert gone.json()["code"] == "verifier.unknown"


async def test_request_carries_who_asks_and_why_with_the_registrations_receipt(office):
    async with office.serving() as bank:
        claims = await bank.request(await bank.asked())
    (info,) = claims["verifier_info"]
    assert info["data"]["relying_party"] == BANK
    assert info["data"]["legal_basis"]
    asked = [one["path"] for one in claims["dcql_query"]["credentials"][0]["claims"]]
    assert asked == [["age_over_18"], ["access_slot"], ["pairwise_seed"]]
    assert claims["aud"] == "https://self-issued.me/v2"


async def test_repeated_creation_under_one_idempotency_key_makes_one_question(office):
    async with office.serving() as bank:
        headers = bank.headers | {"idempotency-key": "key-0123456789abcdef"}
        body = {"purpose": LOGIN, "query": query("age_over_18")}
        first, second = [await bank.http.post("/v1/verifications", json=body, headers=headers) for _ in range(2)]
    assert first.json() == second.json()
    assert second.headers["idempotency-replayed"] == "true"


async def test_altered_answer_or_one_for_somebody_else_is_no_evidence(office):
    async with office.serving() as bank:
        _, result = await bank.answered(LI)
    head, payload, signature = result["answer"].split(".")
    with pytest.raises(InvalidToken):
        check_answer(f"{head}.{payload[:-4]}AAAA.{signature}", office.trust, None)
    with pytest.raises(InvalidToken):
        check_answer(result["answer"], office.trust, None, audience=CLINIC)
    office.rig.clock_ms += 2_000 * verifier_rig.DAY_S * 1000
    assert check_answer(result["answer"], office.trust, None).claims["aud"] == BANK
