# SPDX-License-Identifier: Apache-2.0
"""A credit grade goes into a wallet by OpenID4VCI, and from there, alone, to whoever asks through a verifier."""

import html
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from credit_service_rig import CreditDesk, HolderAt, credit_desk
from cryptography.hazmat.primitives.asymmetric import ec
from sign_in_rig import ADDRESS
from sqlalchemy import select
from store_rig import Rig
from test_credit_interface import System
from verifier_rig import BANK, LOGIN, Citizen, Office, code_of, query, steps

from identity import sd_jwt
from identity.api.accesses.lists import own_claims
from identity.api.desk.states import PersonState
from identity.api.desk.tables import DeskPerson
from identity.api.issuer.offers import GRANT, create_offer
from identity.api.wallet.part import _types
from identity.credential_check import check
from identity.credentials import CREDIT_GRADE, NATURAL_PERSON, legal_person
from identity.issuer_keys import KeySet, Trust
from identity.jose import MemorySigner, jwk_of, sign_jws
from service.store import new_id
from tests.rig import START_MS

ANN = "440601199001011234"
DAY_MS = 86_400_000
ASKED = query("grade_at_least", "as_of", vct=CREDIT_GRADE, name="grade")
CONFIGURATION = "credit-grade-1"


@dataclass
class City:
    """A credit service and a verifier that trusts its registrar; Ann, whom the desk registered, with a grade of B."""

    desk: CreditDesk
    office: Office
    ann: str
    person: str
    holder: HolderAt

    async def offer(self, grade: str = "B") -> tuple[str, str]:
        """The address in the code that the page shows, and the digits beside it."""
        answer = await self.holder.post("/me/show/wallet", grade=grade)
        assert answer.status_code == 200, answer.text
        link = html.unescape(re.search(r'value="(openid-credential-offer:[^"]+)"', answer.text)[1])  # type: ignore[index]  # it is there
        digits = re.search(r"\b(\d{3}) (\d{3})\b", answer.text)
        assert digits is not None
        return parse_qs(urlsplit(link).query)["credential_offer_uri"][0], digits[1] + digits[2]

    def own(self) -> dict[str, str]:
        with self.desk.store.write() as session:
            return own_claims(session, self.desk.store, self.person, self.office.rig.clock_ms)

    def set_state(self, state: PersonState) -> None:
        with self.desk.store.write() as session:
            row = session.scalar(select(DeskPerson).where(DeskPerson.person_id == self.person))
            assert row is not None
            row.state = state

    async def shown(self, tokens: dict[str, tuple[str, MemorySigner]], asked: dict[str, Any]) -> dict[str, Any]:
        """What a bank learns of what is shown for its query."""
        async with self.office.serving() as bank:
            made = await bank.asked(asked)
            claims = await bank.request(made)
            presented = {}
            for one in claims["dcql_query"]["credentials"]:
                token, key = tokens[one["id"]]
                names = [tuple(each["path"]) for each in one["claims"] if each["path"][0] not in ALWAYS]
                presented[one["id"]] = bank.present(claims, token, key, names)
            assert (await bank.post(claims, presented)).status_code == 200
            return (await bank.result(made["id"]))["report"]


ALWAYS = {"grade_at_least", "as_of", "assurance_level"}


@pytest.fixture
async def city(sqlite_rig: Rig) -> AsyncIterator[City]:
    sqlite_rig.clock_ms = START_MS + DAY_MS * 1_100
    office = Office(sqlite_rig)
    allowed = {CREDIT_GRADE: frozenset({"grade_at_least", "as_of"}), NATURAL_PERSON: frozenset({"family_name"})}
    office.directory.purposes[BANK, LOGIN] = replace(office.purpose(BANK, LOGIN), attributes=allowed)
    async with credit_desk(sqlite_rig, issuing=KeySet([office.key])) as desk:
        with desk.store.write() as session:
            person = desk.store.people.add(session)
            row = DeskPerson(person_id=person, organisation="org-r", state="active", created_ms=1, changed_ms=1)
            desk.store.people.seal(session, row, DeskPerson.number, ANN)
        ann = await desk.service.open_log(ANN)
        source = System(desk, "org-x")
        await source.record(source.event(await source.handle()))
        yield City(desk, office, ann, person, await desk.holder(ann))


class Wallet:
    """Somebody's phone: no cookie, an origin of its own."""

    def __init__(self, city: City) -> None:
        self.city = city
        transport = httpx.ASGITransport(city.desk.app, client=("198.51.100.9", 40_000))
        headers = {"origin": "https://wallet.example.org"}
        self.web = httpx.AsyncClient(transport=transport, base_url=ADDRESS.public_origin, headers=headers)
        self.keys: list[MemorySigner] = []

    async def get(self, path: str) -> dict[str, Any]:
        answer = await self.web.get(path)
        assert answer.status_code == 200, answer.text
        assert answer.headers["access-control-allow-origin"] == "*"
        found: dict[str, Any] = answer.json()
        return found

    async def token(self, address: str, digits: str) -> httpx.Response:
        offer = await self.get(address)
        assert offer["credential_configuration_ids"] == [CONFIGURATION]
        code = offer["grants"][GRANT]["pre-authorized_code"]
        return await self.web.post(
            "/oid4vci/token", data={"grant_type": GRANT, "pre-authorized_code": code, "tx_code": digits}
        )

    async def ask(self, token: str, copies: int = 1, configuration: str = CONFIGURATION) -> httpx.Response:
        nonce = (await self.web.post("/oid4vci/nonce")).json()["c_nonce"]
        self.keys = [MemorySigner(ec.generate_private_key(ec.SECP256R1())) for _ in range(copies)]
        proofs = [
            sign_jws(
                {"typ": "openid4vci-proof+jwt", "jwk": jwk_of(key.public_key)},
                {"aud": ADDRESS.public_origin, "iat": self.city.office.now_s, "nonce": nonce},
                key,
            )
            for key in self.keys
        ]
        body = {"credential_configuration_id": configuration, "proofs": {"jwt": proofs}}
        return await self.web.post("/oid4vci/credential", json=body, headers={"authorization": f"Bearer {token}"})

    async def fetch(self, copies: int = 1) -> list[str]:
        token = (await self.token(*await self.city.offer())).json()["access_token"]
        answer = await self.ask(token, copies)
        assert answer.status_code == 200, answer.text
        return [one["credential"] for one in answer.json()["credentials"]]


async def test_grade_is_fetched_by_the_wallet_and_shown_alone_to_a_relying_party(city: City) -> None:
    wallet, now_s = Wallet(city), city.office.now_s
    described = await wallet.get("/.well-known/openid-credential-issuer")
    assert described["credential_configurations_supported"][CONFIGURATION]["vct"] == CREDIT_GRADE
    assert described["batch_credential_issuance"] == {"batch_size": 5}
    assert (await wallet.get("/.well-known/oauth-authorization-server"))["token_endpoint"]
    (key,) = (await wallet.get("/.well-known/jwt-vc-issuer"))["jwks"]["keys"]
    assert key["kid"] == city.office.key.kid
    copies = await wallet.fetch(5)
    whole = [sd_jwt.verify(one, city.office.key.public_key, now_s, vct=CREDIT_GRADE).claims for one in copies]
    for claims, holder in zip(whole, wallet.keys, strict=True):
        assert set(claims) == {
            "iss", "vct", "iat", "exp", "cnf", "grade_at_least", "as_of", "access_slot", "pairwise_seed"
        }  # fmt: skip
        assert claims["cnf"] == {"jwk": jwk_of(holder.public_key)}
    assert {(one["iat"] % 3_600, one["exp"] - one["iat"], one["grade_at_least"]) for one in whole} == {(0, 86_400, "B")}
    report = await city.shown({"grade": (copies[0], wallet.keys[0])}, ASKED)
    assert report["outcome"] == "held"
    expected = {"issued": "held", "issuer-key": "unknown", "bound": "held", "status": "not-asked", "asked": "held"}
    assert expected.items() <= steps(report).items()
    assert report["claims"] == {"grade": {"grade_at_least": "B", "as_of": whole[0]["as_of"]}}
    assert len(report["pseudonym"]) == 43
    (entry,) = city.office.recorder.entries.values()
    assert entry.slot == city.own()["access_slot"]
    assert entry.attributes == ("credit-grade/as_of", "credit-grade/grade_at_least")
    second = await city.shown({"grade": (copies[1], wallet.keys[1])}, ASKED)
    assert second["pseudonym"] == report["pseudonym"]


async def test_grade_beside_a_credential_of_somebody_else_is_refused_and_beside_ones_own_is_of_the_same_holder(
    city: City,
) -> None:
    wallet, office = Wallet(city), city.office
    (grade,) = await wallet.fetch()
    asked = {"credentials": [*ASKED["credentials"], *query("family_name")["credentials"]]}
    key = MemorySigner(ec.generate_private_key(ec.SECP256R1()))
    mine = office.credential(Citizen(1), key, **city.own())
    report = await city.shown({"grade": (grade, wallet.keys[0]), "person": (mine, key)}, asked)
    assert (report["outcome"], steps(report)["same-holder"]) == ("held", "held")
    friend = office.credential(Citizen(2), key)
    report = await city.shown({"grade": (grade, wallet.keys[0]), "person": (friend, key)}, asked)
    assert (report["outcome"], report["claims"], report["pseudonym"]) == ("refused", {}, "")


async def test_grade_that_is_a_day_old_or_was_made_to_last_counts_for_nobody(city: City) -> None:
    wallet = Wallet(city)
    (grade,) = await wallet.fetch()
    said = sd_jwt.verify(grade, city.office.key.public_key, city.office.now_s).claims
    lasting = sd_jwt.issue(
        {name: value for name, value in said.items() if name != "cnf"} | {"exp": city.office.now_s + 3 * 86_400},
        [("access_slot",), ("pairwise_seed",)],
        city.office.issuing,
        holder_key=wallet.keys[0].public_key,
        header=city.office.key.header,
    )
    trust, now_s = Trust([city.office.anchor]), city.office.now_s
    assert check(grade, trust, now_s).counts, "also where nobody is online"
    assert not check(lasting, trust, now_s).counts
    report = await city.shown({"grade": (lasting, wallet.keys[0])}, ASKED)
    assert code_of(report, "status") == "identity.status-missing"
    city.office.rig.clock_ms += DAY_MS + 60_001
    report = await city.shown({"grade": (grade, wallet.keys[0])}, ASKED)
    assert steps(report)["issued"] == "failed"
    assert city.office.recorder.entries == {}


async def test_offer_gives_what_holds_when_it_is_fetched_once_and_to_its_holder_alone(city: City) -> None:
    wallet = Wallet(city)
    before = await city.offer()
    address, digits = await city.offer()
    assert (await wallet.web.get(before[0])).status_code == 404
    wrong = f"{(int(digits) + 1) % 10**6:06d}"
    assert (await wallet.token(address, wrong)).json()["error"] == "invalid_grant"
    token = (await wallet.token(address, digits)).json()["access_token"]
    assert (await wallet.ask(token, 6)).json()["error"] == "invalid_credential_request"
    assert (await wallet.ask(token, 1, "natural-person-1")).json()["error"] == "unknown_credential_configuration"
    city.desk.service.ledger.is_reachable = False
    assert (await wallet.ask(token)).status_code == 503
    city.desk.service.ledger.is_reachable = True
    source = System(city.desk, "org-x")
    bad = source.event(await source.handle(), "bad", **{"class": 101, "severity": "serious"})
    await source.record(bad)
    assert (await wallet.ask(token)).json() == {
        "error": "credential_request_denied", "error_description": "the grade is no longer so good"
    }  # fmt: skip
    assert (await city.holder.post("/me/show/wallet", grade="B")).status_code == 409


async def test_registration_that_does_not_count_takes_no_grade_along(city: City) -> None:
    wallet = Wallet(city)
    page = await city.holder.get("/me/show/wallet")
    assert "B or better" in page.text
    assert "A or better" not in page.text
    token = (await wallet.token(*await city.offer())).json()["access_token"]
    city.set_state(PersonState.SUSPENDED)
    assert (await wallet.ask(token)).json()["error"] == "credential_request_denied"
    assert "目前没有可领取的等级" in (await city.holder.get("/me/show/wallet", "zh-CN")).text
    city.set_state(PersonState.ACTIVE)
    assert (await wallet.ask(token)).status_code == 200
    assert (await wallet.ask(token)).json()["error"] == "invalid_token"


async def test_issuers_that_share_a_store_give_nothing_for_each_others_offers(city: City) -> None:
    wallet, store = Wallet(city), city.desk.store
    company = legal_person(legal_name="某", uscc="91110000600037341L", legal_representative="李", assurance_level="low")
    with store.write() as session:
        made = create_offer(
            session, store, person_id=city.person, claims=company, subjects=[b"identity/legal-person/x"],
            issuer="https://issuer.example.org", now_ms=city.office.rig.clock_ms, actor=new_id(),
        )  # fmt: skip
    (address,) = parse_qs(urlsplit(made.uri).query)["credential_offer_uri"]
    code = (await wallet.get(urlsplit(address).path))["grants"][GRANT]["pre-authorized_code"]
    answer = await wallet.web.post(
        "/oid4vci/token", data={"grant_type": GRANT, "pre-authorized_code": code, "tx_code": made.tx_code}
    )
    assert (await wallet.ask(answer.json()["access_token"])).json()["error"] == "invalid_token"


@pytest.mark.parametrize(("language", "name"), [("zh-CN", "信用等级不低于"), ("en", "Credit grade at least")])
def test_wallet_has_words_for_a_grade(language: Any, name: str) -> None:
    assert name in _types(language)
