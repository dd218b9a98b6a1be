# SPDX-License-Identifier: Apache-2.0
"""A client library that is not ours (Authlib, in a small web application) logs people in; and how it is attacked."""

import json
import re
from base64 import b64encode, urlsafe_b64decode
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from authlib.integrations.httpx_client import AsyncOAuth2Client
from consent_rig import Chain, Consent, needs_consent
from fastapi import FastAPI, Request
from joserfc import jwt
from joserfc.jwk import KeySet
from sqlalchemy import func, select
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse
from verifier_rig import BANK, LOGIN, ORIGIN, Citizen, Office

from identity.api.verifier.part import SITE, verifier_part
from identity.api.verifier.sandbox import make_sandbox
from identity.api.verifier.tables import Verification, VerifierLogin
from service.app import create_app
from service.settings import Address, parse_settings
from service.shell import shell_part

APP = "https://app.example"
CALLBACK = f"{APP}/callback"
CHALLENGE = "7w_YNF9DSfIdPf_pRjSq646_kPr-2-o9NAl16JGghdM"


class LoginOffice(Office):
    """An office with an application that logs people in, and a sandbox."""

    def __init__(self, rig, **more):
        super().__init__(rig, **more)
        self.box = make_sandbox(lambda: self.now_s)
        object.__setattr__(self.verifier, "sandbox", self.box.realm)
        options = {"redirect_uris": [CALLBACK], "login_purpose": str(LOGIN), "origins": []}
        self.site, self.site_key = self.client(BANK, **options)
        self.trial, self.trial_key = self.client("anybody", is_sandbox=True, **options)
        self.other, self.other_key = self.client("clinic-two", **options)

    def app(self, **_more):
        part = verifier_part(self.verifier, self.states, sandbox=self.box)
        address = Address("verifier", "127.0.0.1:8807", ORIGIN)
        settings = parse_settings("[limits]\naddress_burst = 5000\n", {})
        return create_app([shell_part(SITE), part], settings, address, secret=bytes(32))


def application(office, transport, client, key, people):
    """A small web application: two routes, by Authlib."""
    app = FastAPI()
    app.state.pending = {}

    def library(**more):
        return AsyncOAuth2Client(
            client.id,
            key,
            scope="openid age",
            redirect_uri=CALLBACK,
            code_challenge_method="S256",
            transport=transport,
            **more,
        )

    @app.get("/log-in")
    async def log_in():
        async with library() as session, httpx.AsyncClient(transport=transport, base_url=ORIGIN) as http:
            found = (await http.get("/.well-known/openid-configuration")).json()
            verifier = "s" * 64
            url, state = session.create_authorization_url(
                found["authorization_endpoint"], code_verifier=verifier, nonce="n-1"
            )
            app.state.pending[state] = (verifier, found)
        return RedirectResponse(url, 303)

    @app.get("/callback")
    async def callback(request: Request):
        verifier, found = app.state.pending.pop(request.query_params["state"])
        assert request.query_params["iss"] == found["issuer"]
        async with library() as session, httpx.AsyncClient(transport=transport, base_url=ORIGIN) as http:
            token = await session.fetch_token(
                found["token_endpoint"], authorization_response=str(request.url), code_verifier=verifier
            )
            keys = KeySet.import_key_set((await http.get(found["jwks_uri"])).json())
            claims = jwt.decode(token["id_token"], keys, algorithms=["ES256"]).claims
            about = (await session.get(found["userinfo_endpoint"])).json()
        assert claims["aud"] == client.id
        assert claims["iss"] == found["issuer"] == ORIGIN
        assert claims["nonce"] == "n-1"
        assert claims["exp"] > office.now_s
        people.append(claims | {"userinfo": about})
        return {"sub": claims["sub"]}

    return app


@asynccontextmanager
async def browsing(office, client, key, people):
    """The verifier runs; a browser that also reaches the application."""
    async with office.serving() as bank:
        inner = httpx.ASGITransport(bank.http._transport.app, client=("198.51.100.7", 1))
        app = application(office, inner, client, key, people)
        mounts = {APP: httpx.ASGITransport(app), ORIGIN: inner}
        async with httpx.AsyncClient(mounts=mounts, follow_redirects=True) as browser:
            yield bank, browser


def link_of(page):
    """What the QR code and the link on a page hold."""
    return page.text.partition('href="openid4vp')[2].partition('"')[0].replace("&amp;", "&")


async def agree(bank, page, citizen, **extra):
    claims = await bank.request({"wallet_link": "openid4vp" + link_of(page)})
    key = bank.new_key()
    credential = bank.office.credential(citizen, key)
    response = await bank.post(claims, {"person": bank.present(claims, credential, key, extra=extra)})
    assert response.status_code == 200, response.text


@pytest.fixture
def office(sqlite_rig):
    return LoginOffice(sqlite_rig)


async def test_authlib_logs_the_same_person_in_twice_under_one_pairwise_name(office):
    people = []
    async with browsing(office, office.site, office.site_key, people) as (bank, browser):
        for _ in range(2):
            page = await browser.get(f"{APP}/log-in")
            assert page.status_code == 200, page.text
            assert "Bank One" in page.text or "第一银行" in page.text
            waiting = await browser.get(str(page.url) + "/state")
            assert waiting.status_code == 204
            await agree(bank, page, Citizen(7))
            told = await browser.get(str(page.url) + "/state")
            done = await browser.get(ORIGIN + told.headers["hx-redirect"])
            assert done.status_code == 200, done.text
    assert people[0]["sub"] == people[1]["sub"] == done.json()["sub"]
    assert people[0]["age_over_18"] is True
    assert people[0]["acr"].endswith(":high")
    assert people[0]["userinfo"]["sub"] == people[0]["sub"]
    assert len(office.recorder.entries) == 2


async def test_log_in_for_a_purpose_that_needs_a_consent_rests_on_it_until_it_is_withdrawn(office):
    chain, citizen, people = Chain(), Citizen(7), []
    needs_consent(office, chain, (BANK, LOGIN))
    consent = Consent(chain, citizen)
    chain.do(consent.giving)
    async with browsing(office, office.site, office.site_key, people) as (bank, browser):

        async def logged_in(**extra):
            page = await browser.get(f"{APP}/log-in")
            await agree(bank, page, citizen, **extra)
            told = await browser.get(str(page.url) + "/state")
            back = await browser.get(ORIGIN + told.headers["hx-redirect"], follow_redirects=False)
            return back.headers["location"]

        await browser.get(await logged_in(consent=consent.claim))
        chain.do(consent.ending)
        refused = [await logged_in(consent=consent.claim), await logged_in()]
    assert [person["age_over_18"] for person in people] == [True]
    for location in refused:
        said = parse_qs(urlsplit(location).query)
        assert location.startswith(CALLBACK)
        assert (said["error"], "code" in said) == (["access_denied"], False)
    assert len(office.recorder.entries) == 1


async def test_program_of_a_sandbox_is_logged_in_by_a_made_up_person_without_an_entry(office):
    people = []
    async with browsing(office, office.trial, office.trial_key, people) as (_, browser):
        page = await browser.get(f"{APP}/log-in")
        token = page.text.partition('name="csrf_token" value="')[2].partition('"')[0]
        headers = {"origin": ORIGIN, "sec-fetch-site": "same-origin"}
        answered = await browser.post(str(page.url) + "/sandbox", data={"csrf_token": token}, headers=headers)
        assert answered.status_code == 200, answered.text
        await browser.get(str(page.url) + "/continue")
    assert people[0]["age_over_18"] is True
    assert not office.recorder.entries


async def test_sandbox_answers_are_of_a_type_of_their_own_and_no_real_program_reaches_it(office):
    async with office.serving() as bank:
        trial = bank.by(office.trial_key)
        outcomes = {}
        for person in ("adult", "minor", "revoked"):
            made = await trial.asked()
            path = f"/v1/sandbox/verifications/{made['id']}/answer"
            response = await bank.http.post(path, json={"person": person}, headers=trial.headers)
            assert response.status_code == 200, response.text
            outcomes[person] = response.json()
        real = await bank.asked()
        refused = await bank.http.post(f"/v1/sandbox/verifications/{real['id']}/answer", json={}, headers=bank.headers)
    assert refused.json()["code"] == "verifier.purpose"
    assert {name: one["state"] for name, one in outcomes.items()} == {
        "adult": "answered",
        "minor": "answered",
        "revoked": "refused",
    }
    assert outcomes["minor"]["report"]["claims"] == {"person": {"age_over_18": False}}
    head = json.loads(urlsafe_b64decode(outcomes["adult"]["answer"].split(".")[0] + "=="))
    assert head["typ"] == "zhixin-sandbox-answer+jwt"


async def test_real_persons_credential_is_nothing_to_a_sandbox(office):
    async with office.serving() as bank:
        _, result = await bank.by(office.trial_key).answered(Citizen(1))
    assert result["state"] == "refused"


# ---------------------------------------------------------------- attacks


def authorization(office, **changes):
    query = {
        "client_id": office.site.id,
        "redirect_uri": CALLBACK,
        "response_type": "code",
        "scope": "openid age",
        "state": "s-1",
        "nonce": "n-1",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    } | changes
    return {name: value for name, value in query.items() if value is not None}


async def code_for(office, bank, browser, citizen=7, **changes):
    """A code, and the address that brought it."""
    page = await browser.get(f"{ORIGIN}/oidc/authorize", params=authorization(office, **changes))
    assert page.status_code == 200, page.text
    await agree(bank, page, Citizen(citizen))
    back = await browser.get(str(page.url) + "/continue", follow_redirects=False)
    return parse_qs(urlsplit(back.headers["location"]).query), str(page.url)


async def token(office, bank, code, client=None, key=None, **changes):
    client, key = client or office.site, key or office.site_key
    basic = b64encode(f"{client.id}:{key}".encode()).decode()
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": "v" * 43,
    } | changes
    return await bank.http.post("/oidc/token", data=form, headers={"authorization": f"Basic {basic}"})


@pytest.mark.parametrize(
    "uri",
    [
        f"{CALLBACK}/",
        f"{CALLBACK}?x=1",
        "https://evil.example/callback",
        "https://app.example@evil.example/callback",
        "https://APP.example/callback",
        CALLBACK[:-1],
        "",
    ],
)
async def test_redirect_address_is_compared_exactly_and_a_wrong_one_is_never_gone_to(office, uri):
    async with browsing(office, office.site, office.site_key, []) as (_, browser):
        response = await browser.get(
            f"{ORIGIN}/oidc/authorize", params=authorization(office, redirect_uri=uri), follow_redirects=False
        )
    assert response.status_code == 400
    assert "location" not in response.headers


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"scope": "profile"}, "invalid_scope"),
        ({"request_uri": "https://evil.example"}, "invalid_request"),
        ({"prompt": "none"}, "login_required"),
    ],
)
async def test_other_flows_are_refused_and_the_client_is_told(office, changes, error):
    async with browsing(office, office.site, office.site_key, []) as (_, browser):
        response = await browser.get(
            f"{ORIGIN}/oidc/authorize", params=authorization(office, **changes), follow_redirects=False
        )
    query = parse_qs(urlsplit(response.headers["location"]).query)
    assert (response.status_code, query["error"], query["state"]) == (303, [error], ["s-1"])


async def test_scope_beyond_the_purpose_is_refused_before_the_citizen_sees_it(office):
    limited = {vct: names - {"age_over_18"} for vct, names in office.purpose(BANK, LOGIN).attributes.items()}
    purpose = office.purpose(BANK, LOGIN)
    object.__setattr__(purpose, "attributes", limited)
    office.directory.purposes[BANK, LOGIN] = purpose
    async with browsing(office, office.site, office.site_key, []) as (_, browser):
        response = await browser.get(f"{ORIGIN}/oidc/authorize", params=authorization(office), follow_redirects=False)
    assert "error=invalid_scope" in response.headers["location"]


async def test_code_is_good_once_and_a_second_use_ends_what_it_had_brought(office):
    async with browsing(office, office.site, office.site_key, []) as (bank, browser):
        answer, _ = await code_for(office, bank, browser)
        first = await token(office, bank, answer["code"][0])
        assert first.status_code == 200, first.text
        bearer = {"authorization": f"Bearer {first.json()['access_token']}"}
        assert (await bank.http.get("/oidc/userinfo", headers=bearer)).status_code == 200
        again = await token(office, bank, answer["code"][0])
        assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
        assert (await bank.http.get("/oidc/userinfo", headers=bearer)).status_code == 401


@pytest.mark.parametrize(
    "changes",
    [
        {"code_verifier": "w" * 43},
        {"code_verifier": ""},
        {"redirect_uri": f"{CALLBACK}/"},
        {"redirect_uri": ""},
        {"code": "x" * 43},
        {"grant_type": "refresh_token"},
    ],
)
async def test_stolen_code_without_its_verifier_or_address_is_worth_nothing_also_afterwards(office, changes):
    async with browsing(office, office.site, office.site_key, []) as (bank, browser):
        answer, _ = await code_for(office, bank, browser)
        code = changes.get("code", answer["code"][0])
        form = {name: value for name, value in changes.items() if name != "code"}
        assert (await token(office, bank, code, **form)).status_code == 400
        is_used_up = set(changes) & {"redirect_uri"} or changes.get("code_verifier") == "w" * 43
        assert (await token(office, bank, answer["code"][0])).status_code == (400 if is_used_up else 200)


async def test_log_ins_that_a_stranger_begins_use_up_neither_the_programs_rate_nor_other_addresses(sqlite_rig):
    office = LoginOffice(sqlite_rig)
    bounded = replace(office.directory.purposes[BANK, LOGIN], per_second_max=2)
    office.directory.purposes[BANK, LOGIN] = bounded
    begin = {"client_id": office.site.id, "redirect_uri": CALLBACK, "response_type": "code", "scope": "openid"}
    begin |= {"code_challenge": CHALLENGE, "code_challenge_method": "S256", "state": "x"}
    async with office.serving() as bank:
        places = [(await bank.http.get("/oidc/authorize", params=begin)).headers["location"] for _ in range(6)]
        program = await bank.ask()
        transport = httpx.ASGITransport(bank.http._transport.app, client=("203.0.113.9", 40_000))
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as customer:
            other = await customer.get("/oidc/authorize", params=begin)
    assert [place.startswith("/oidc/log-ins/") for place in places] == [True] * 4 + [False] * 2
    assert "verifier.rate" in places[-1]
    assert program.status_code == 201
    assert other.headers["location"].startswith("/oidc/log-ins/")


async def test_log_ins_that_strangers_begin_and_nobody_answers_are_gone_after_a_day(office):
    begin = {"client_id": office.site.id, "redirect_uri": CALLBACK, "response_type": "code", "scope": "openid"}
    begin |= {"code_challenge": CHALLENGE, "code_challenge_method": "S256", "state": "x"}
    async with office.serving() as bank:
        for _ in range(20):
            assert (await bank.http.get("/oidc/authorize", params=begin)).status_code == 303
        _, answered = await bank.answered(Citizen(8))
        office.rig.clock_ms += 2 * 86_400_000
        await run_in_threadpool(office.verifier.kept.forget)
        with office.store.read() as session:
            left = list(session.scalars(select(Verification.id)))
            log_ins = session.scalar(select(func.count()).select_from(VerifierLogin))
    assert (left, log_ins) == ([answered["id"]], 0)


async def test_code_of_one_client_is_nothing_to_another(office):
    async with browsing(office, office.site, office.site_key, []) as (bank, browser):
        answer, _ = await code_for(office, bank, browser)
        other = await token(office, bank, answer["code"][0], office.other, office.other_key)
        assert other.json()["error"] == "invalid_grant"
        mixed = await token(office, bank, answer["code"][0], office.site, office.other_key)
        assert (mixed.status_code, mixed.json()["error"]) == (401, "invalid_client")
        assert (await token(office, bank, answer["code"][0])).status_code == 200


async def test_late_code_is_over(office):
    async with browsing(office, office.site, office.site_key, []) as (bank, browser):
        answer, _ = await code_for(office, bank, browser)
        office.rig.clock_ms += 61_000
        assert (await token(office, bank, answer["code"][0])).json()["error"] == "invalid_grant"


async def test_log_in_that_another_browser_began_cannot_be_continued(office):
    async with browsing(office, office.site, office.site_key, []) as (bank, browser):
        page = await browser.get(f"{ORIGIN}/oidc/authorize", params=authorization(office))
        await agree(bank, page, Citizen(9))
        async with httpx.AsyncClient(transport=bank.http._transport) as thief:
            for suffix in ("", "/state", "/continue"):
                response = await thief.get(str(page.url) + suffix)
                assert response.status_code == 400
                assert "code=" not in response.headers.get("location", "")


async def test_names_of_one_person_at_two_sites_are_different(office):
    async with browsing(office, office.site, office.site_key, []) as (bank, browser):
        seen = []
        for client, key in ((office.site, office.site_key), (office.other, office.other_key)):
            answer, _ = await code_for(office, bank, browser, client_id=client.id)
            response = await token(office, bank, answer["code"][0], client, key)
            payload = response.json()["id_token"].split(".")[1]
            seen.append(json.loads(urlsafe_b64decode(payload + "=="))["sub"])
    assert len(set(seen)) == 2


async def test_start_page_says_what_the_verifier_is_and_each_way_leads_somewhere(office):
    async with office.serving() as bank:
        for language, words in (("en", "by yourself there is nothing to do here"), ("zh-CN", "不必在此操作")):
            page = await bank.http.get(f"/?lang={language}")
            assert page.status_code == 200
            assert words in page.text
        ways = re.findall(r'class="tile" href="([^"]+)"', page.text)
        assert len(ways) == 3
        for way in ways:
            assert (await bank.http.get(way)).status_code == 200
        lost = await bank.http.get("/nowhere", headers={"accept": "text/html"})
        assert lost.status_code == 404
        assert 'href="/"' in lost.text
