# SPDX-License-Identifier: Apache-2.0
"""What a holder confirms with what they show: what is asked is what the key signs, or nothing counts."""

import json

import pytest
from verifier_rig import Citizen, Office, query

from identity.api.verifier.transaction_data import Act, InvalidTransaction, Payment, encode, hash_of
from identity.jose import decode_base64url, encode_base64url

PAYMENT = {"amount": "128.00", "currency": "CNY", "payee": "禅城供水有限公司", "reference": "2026-11"}

ACT = {
    "act": "company",
    "subject": "禅城陶瓷有限公司",
    "number": "91440604MA4W12345X",
    "matter": "租用一座窑",
    "amount": "50000.00",
    "currency": "CNY",
}


@pytest.fixture
def office(sqlite_rig):
    return Office(sqlite_rig)


def confirmed(*encoded: str, algorithm: object = "sha-256") -> dict[str, object]:
    return {"transaction_data_hashes": [hash_of(one) for one in encoded], "transaction_data_hashes_alg": algorithm}


def altered(encoded: str, **changes: str) -> str:
    said = json.loads(decode_base64url(encoded, "it")) | changes
    return encode_base64url(json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode())


async def answered(bank, extra, payment=PAYMENT, **more):
    """What the relying party is told where the wallet's key binding says `extra` of the request's transaction."""
    made = await bank.asked(query("age_over_18"), **({"payment": payment} if payment else {}), **more)
    claims = await bank.request(made)
    (encoded,) = claims.get("transaction_data", [""])
    key = bank.new_key()
    token = bank.present(claims, bank.office.credential(Citizen(1), key), key, extra=extra(encoded))
    response = await bank.post(claims, {"person": token})
    assert response.status_code == 200, response.text
    return encoded, (await bank.result(made["id"]))["report"]


def step(report):
    (found,) = (one for one in report["steps"] if one["step"] == "transaction")
    return found["outcome"], found.get("code", "")


async def test_payment_confirmed_by_the_holders_key_is_told_with_its_hash(office):
    async with office.serving() as bank:
        encoded, report = await answered(bank, confirmed)
    said = json.loads(decode_base64url(encoded, "it"))
    assert said == {
        "type": "urn:zhixin:payment-confirmation:1",
        "credential_ids": ["person"],
        "transaction_data_hashes_alg": ["sha-256"],
        **PAYMENT,
    }
    assert (report["outcome"], step(report)) == ("held", ("held", ""))
    assert report["facts"]["transaction"] == {"type": said["type"], **PAYMENT, "hash": hash_of(encoded)}


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        (lambda encoded: confirmed(altered(encoded, amount="1.00")), "verifier.transaction-other"),
        (lambda encoded: confirmed(altered(encoded, payee="Mallory")), "verifier.transaction-other"),
        (lambda encoded: confirmed("b3RoZXIgZGF0YQ"), "verifier.transaction-other"),
        (lambda encoded: confirmed(encoded, encoded), "verifier.transaction-other"),
        (lambda encoded: confirmed(), "verifier.transaction-other"),
        (lambda encoded: None, "verifier.transaction-missing"),
        (lambda encoded: confirmed(encoded, algorithm="sha-512"), "verifier.transaction-algorithm"),
        (lambda encoded: {"transaction_data_hashes": [hash_of(encoded)]}, "verifier.transaction-algorithm"),
        (lambda encoded: confirmed(encoded, algorithm=["sha-256"]), "verifier.transaction-algorithm"),
    ],
    ids=["altered-amount", "altered-payee", "other-data", "twice", "none", "missing", "sha-512", "unnamed", "a-list"],
)
async def test_answer_that_confirms_something_else_than_what_was_asked_discloses_nothing(office, extra, code):
    async with office.serving() as bank:
        _, report = await answered(bank, extra)
    assert (report["outcome"], step(report)) == ("refused", ("failed", code))
    assert (report["claims"], report["pseudonym"], report["facts"]) == ({}, "", {})
    assert office.recorder.entries == {}


async def test_confirmation_that_nobody_asked_for_is_refused(office):
    async with office.serving() as bank:
        _, report = await answered(bank, lambda _: confirmed(encode(Payment(**PAYMENT), ["person"])), payment=None)
        assert (report["outcome"], step(report)) == ("refused", ("failed", "verifier.transaction-other"))
        _, plain = await answered(bank, lambda _: None, payment=None)
    assert plain["outcome"] == "held"
    assert all(one["step"] != "transaction" for one in plain["steps"])


@pytest.mark.parametrize(
    "change",
    [
        {"amount": "128"},
        {"amount": "0.00"},
        {"amount": "-1.00"},
        {"amount": "1e3"},
        {"amount": "01.00"},
        {"currency": "cny"},
        {"payee": ""},
        {"payee": " Water"},
        {"payee": "Water\u202e moc"},
        {"payee": "Wa\u200bter"},
        {"payee": "x" * 101},
        {"reference": "two\nlines"},
    ],
)
async def test_payment_that_a_wallet_could_not_show_as_it_is_is_refused_before_anybody_sees_it(office, change):
    with pytest.raises(InvalidTransaction):
        encode(Payment(**PAYMENT | change), ["person"])
    async with office.serving() as bank:
        response = await bank.ask(query("age_over_18"), payment=PAYMENT | change)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"


async def test_payment_with_further_members_is_refused(office):
    async with office.serving() as bank:
        response = await bank.ask(query("age_over_18"), payment=PAYMENT | {"fee": "5.00"})
    assert response.status_code == 422


@pytest.mark.parametrize("act", [ACT, {"act": "stop-card", "subject": "K-0A1B2C3D"}])
async def test_act_confirmed_by_the_holders_key_is_told_with_its_hash(office, act):
    async with office.serving() as bank:
        encoded, report = await answered(bank, confirmed, payment=None, act=act)
    assert (report["outcome"], step(report)) == ("held", ("held", ""))
    kind = "urn:zhixin:act-confirmation:1"
    assert report["facts"]["transaction"] == {"type": kind, **act, "hash": hash_of(encoded)}


async def test_act_for_another_company_or_up_to_more_discloses_nothing(office):
    for change in ({"subject": "Mallory"}, {"amount": "5000000.00"}, {"act": "stop-card"}):
        async with office.serving() as bank:
            _, report = await answered(
                bank, lambda encoded, said=change: confirmed(altered(encoded, **said)), payment=None, act=ACT
            )
        assert (report["outcome"], report["claims"]) == ("refused", {})


@pytest.mark.parametrize(
    "change",
    [
        {"act": "sell-the-house"},
        {"subject": ""},
        {"subject": "Kilns\u202esnliK"},
        {"number": "9144"},
        {"matter": ""},
        {"amount": "5"},
        {"currency": ""},
        {"act": "stop-card"},
    ],
)
async def test_act_that_a_wallet_could_not_show_as_it_is_is_refused_before_anybody_sees_it(office, change):
    with pytest.raises(InvalidTransaction):
        encode(Act(**ACT | change), ["person"])
    async with office.serving() as bank:
        response = await bank.ask(query("age_over_18"), act=ACT | change)
    assert response.status_code == 422


async def test_payment_and_act_at_once_are_refused(office):
    async with office.serving() as bank:
        response = await bank.ask(query("age_over_18"), act=ACT, payment=PAYMENT)
    assert response.status_code == 422
    assert response.json()["errors"] == [{"where": "act", "what": "one thing is confirmed at a time"}]
