# SPDX-License-Identifier: Apache-2.0
"""Payments that a holder's phone confirms: what the kiosk asks, and what the office takes for a confirmation."""

import json
from dataclasses import replace
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from identity import issuer_keys
from identity.api.kiosk.base import OfficeAway, PhoneState
from identity.api.kiosk.phone import PhoneJudge, VerifierPhones, confirmed_of, nonce_of, payment_of
from identity.api.kiosk.statements import Kind, Statement, make
from identity.api.verifier.answers import sign_answer
from identity.api.verifier.findings import pairwise
from identity.issuer_keys import IssuingKey, Trust
from identity.jose import MemorySigner, encode_base64url
from service.errors import ConfigError
from tests.rig import genesis, organisation

NOW_S = 1_763_780_000
DAY_S = 86_400
PARTY = "city-kiosks"
SEED = b"s" * 32
FIELDS = {"reference": "QS-1", "payee": "禅城区不动产登记中心", "purpose": "契税", "amount_fen": "1250000"}


def statement(**fields: str) -> Statement:
    device = b"\x02" + bytes(32)
    return make(Kind.PAYMENT, FIELDS | fields, language="zh-CN", device=device, place="x", now_ms=NOW_S * 1000)


def verifier(number: int) -> tuple[IssuingKey, Trust]:
    root = ec.derive_private_key(number, ec.SECP256R1())
    own = MemorySigner(ec.derive_private_key(number + 1, ec.SECP256R1()))
    anchor = issuer_keys.make_registrar("V", root, serial=1, begins_s=NOW_S - DAY_S, ends_s=NOW_S + 7_000 * DAY_S)
    ends_s = NOW_S + 500 * DAY_S
    leaf = issuer_keys.certify(anchor, root, own.public_key, serial=2, begins_s=NOW_S - DAY_S, ends_s=ends_s)
    key = issuer_keys.issuing_key(leaf, own, signs_from_s=NOW_S - DAY_S, signs_until_s=NOW_S + 100 * DAY_S)
    return key, Trust([anchor])


KEY, TRUST = verifier(501)


def judge() -> PhoneJudge:
    network = genesis([organisation("org-a")], [("v0", "org-a")])
    return PhoneJudge(TRUST, network, PARTY, lambda person: SEED if person == "me" else b"o" * 32)


def claims(stated: Statement, **changes: Any) -> dict[str, Any]:
    said = {
        "iat": NOW_S,
        "aud": PARTY,
        "nonce": nonce_of(stated.message),
        "outcome": "held",
        "pseudonym": pairwise(encode_base64url(SEED), PARTY),
        "facts": {"transaction": payment_of(stated)},
        "receipts": [],
    }
    return said | changes


def answer(said: dict[str, Any], key: IssuingKey = KEY, *, is_sandbox: bool = False) -> str:
    return sign_answer(said, key, is_sandbox=is_sandbox)


def test_answer_of_the_holders_phone_to_this_very_statement_confirms_it() -> None:
    stated = statement()
    assert judge().confirms("me", stated, answer(claims(stated)))


@pytest.mark.parametrize(
    ("attack", "changes"),
    [
        ("another statement's answer", {"nonce": "n" * 43}),
        ("a refused one", {"outcome": "refused"}),
        ("nothing confirmed", {"facts": {}}),
        ("another amount", {"facts": {"transaction": payment_of(statement(amount_fen="1"))}}),
        ("another payee", {"facts": {"transaction": payment_of(statement(payee="somebody else"))}}),
        ("another person's phone", {"pseudonym": pairwise(encode_base64url(b"o" * 32), PARTY)}),
        ("nobody's", {"pseudonym": ""}),
        ("for another relying party", {"aud": "bank-one"}),
    ],
)
def test_answer_that_is_not_to_this_statement_of_this_holder_confirms_nothing(
    attack: str, changes: dict[str, Any]
) -> None:
    stated = statement()
    assert not judge().confirms("me", stated, answer(claims(stated, **changes))), attack


def test_answer_that_showed_another_act_than_the_statements_confirms_nothing() -> None:
    device = b"\x02" + bytes(32)
    fields = {"way": "card", "id": "c" * 32, "reference": "K-0A1B2C3D"}
    stop = make(Kind.STOP, fields, language="en", device=device, place="x", now_ms=NOW_S * 1000)
    shown = confirmed_of(stop)
    assert shown == {"act": "stop-card", "subject": "K-0A1B2C3D"}
    judged = judge()
    assert judged.confirms(
        "me", stop, answer(claims(statement(), nonce=nonce_of(stop.message), facts={"transaction": shown}))
    )
    others = [shown | {"act": "stop-phone"}, shown | {"subject": "K-FFFFFFFF"}, payment_of(statement())]
    for facts in ({}, *({"transaction": one} for one in others)):
        said = claims(statement(), nonce=nonce_of(stop.message), facts=facts)
        assert not judged.confirms("me", stop, answer(said)), facts


async def test_kiosk_asks_the_verifier_for_an_act_in_the_wallets_words() -> None:
    asked: list[Any] = []

    def made(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        return httpx.Response(201, json={"id": "q1", "wallet_link": "openid4vp://x"})

    phones = VerifierPhones("https://verifier.example.org", "k", 7, transport=httpx.MockTransport(made))
    await phones.ask(b"m", {"act": "stop-card", "subject": "K-1"})
    assert asked[0]["act"] == {"act": "stop-card", "subject": "K-1"}
    assert "payment" not in asked[0]


def test_answer_of_a_stranger_of_made_up_people_or_no_answer_at_all_confirms_nothing() -> None:
    stated = statement()
    stranger, _ = verifier(701)
    for given in (
        answer(claims(stated), stranger),
        answer(claims(stated), is_sandbox=True),
        answer(claims(stated))[:-4] + "AAAA",
        "",
        "x.y.z",
    ):
        assert not judge().confirms("me", stated, given)
    assert not judge().confirms("somebody else", stated, answer(claims(stated)))
    assert not judge().confirms("me", replace(stated, time_ms=1), answer(claims(stated)))


async def test_kiosk_asks_the_verifier_with_the_statements_digest_and_follows_what_becomes_of_it() -> None:
    stated = statement()
    asked: list[httpx.Request] = []
    state = {"state": "open"}

    def answers(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if request.method == "POST":
            return httpx.Response(201, json={"id": "abc", "wallet_link": "openid4vp://x"})
        return httpx.Response(200, json={"id": "abc", **state})

    phones = VerifierPhones("https://verifier.example", "zxv_key", 7, transport=httpx.MockTransport(answers))
    question = await phones.ask(stated.message, payment_of(stated))
    body = json.loads(asked[0].content)
    assert (question.link, body["nonce"], body["purpose"]) == ("openid4vp://x", nonce_of(stated.message), 7)
    assert body["payment"] == {
        "amount": "12500.00",
        "currency": "CNY",
        "payee": FIELDS["payee"],
        "reference": "QS-1",
    }
    assert asked[0].headers["authorization"] == "Bearer zxv_key"
    for said, expected in (
        ({"state": "open"}, (PhoneState.OPEN, "")),
        ({"state": "recording"}, (PhoneState.OPEN, "")),
        ({"state": "expired"}, (PhoneState.DECLINED, "")),
        ({"state": "refused", "answer": "t"}, (PhoneState.DECLINED, "")),
        ({"state": "answered", "answer": "token"}, (PhoneState.CONFIRMED, "token")),
    ):
        state.clear()
        state.update(said)
        assert await phones.outcome(question.id) == expected


@pytest.mark.parametrize("given", [httpx.Response(503, json={}), httpx.Response(201, json=[]), httpx.Response(201)])
async def test_verifier_that_answers_with_something_else_is_away(given: httpx.Response) -> None:
    phones = VerifierPhones("https://verifier.example", "k", 1, transport=httpx.MockTransport(lambda _request: given))
    with pytest.raises(OfficeAway):
        await phones.ask(statement().message, None)


@pytest.mark.parametrize("origin", ["http://verifier.example", "ftp://x", "verifier", "https://x/path"])
def test_verifier_without_encryption_is_refused_at_the_start(origin: str) -> None:
    with pytest.raises(ConfigError, match=r"kiosk\.verifier"):
        VerifierPhones(origin, "k", 1)
