# SPDX-License-Identifier: Apache-2.0
"""The sample bank and hospital, and the log-in page: answered by the real wallet page, and by a card."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import issuer_rig
import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect
from test_verifier_examples import example, zhixin_rp
from verifier_rig import BANK, LOGIN, HeldCard
from visiting import WAIT_MS_MAX, Size, Visit, read_code, screenshot, server_socket, visiting
from wallet_world import ATTRIBUTES, World, in_thread, paste, take, world

from identity import sd_jwt
from identity.pb import identity_pb2 as pb
from identity.sd_jwt import Binding

COUNTER, EMERGENCY = 201, 202
ELSEWHERE = r"left the machine: http://localhost:"
"""The pages of examples show the verifier's picture; the log-in ends at its relying party."""
SHOWN = ("family_name", "given_name", "birthdate", "access_slot", "pairwise_seed")
READER = """
window.addEventListener("message", async (event) => {
  if (event.data?.action !== "web-eid:authenticate") return;
  const found = await window.readCard(window.location.origin, event.data.challengeNonce);
  window.postMessage({ action: "web-eid:authenticate-success", ...found }, window.location.origin);
});
"""
"""Plays the browser's extension: it signs for the origin at which it finds itself, whatever the page says."""


@contextmanager
def running(app: FastAPI, listening: Any) -> Iterator[None]:
    """Serve somebody else's application."""
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(20)


@dataclass
class City:
    """A bank and a hospital beside the wallet, the issuer and the verifier."""

    world: World
    bank: Any
    bank_origin: str
    hospital: Any
    hospital_origin: str

    async def card(self) -> tuple[HeldCard, str]:
        """The person's card, and their credential that is bound to it."""
        held, issuer = self.world.verifier.card(), self.world.issuer
        async with httpx.AsyncClient(base_url=issuer.origin, timeout=WAIT_MS_MAX / 1000) as http:
            wallet = issuer_rig.Wallet(issuer, http)
            token, nonce = await wallet.token(self.world.offer()), await wallet.nonce()
            response = await wallet.ask(token, [wallet.proof(nonce, held.key, aud=issuer.origin)])
        return held, response.raise_for_status().json()["credentials"][0]["credential"]


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    with (
        world(tmp_path_factory.mktemp("relying")) as made,
        server_socket() as (bank_socket, bank_port),
        server_socket() as (hospital_socket, hospital_port),
    ):
        office, origins = made.verifier, [f"http://localhost:{port}" for port in (bank_port, hospital_port)]
        record = pb.RelyingPartyRecord()
        record.CopyFrom(made.record)
        for number, names in ((COUNTER, ("登记", "Registering a patient")), (EMERGENCY, ("急诊", "Emergency"))):
            purpose = record.terms.purposes.add()
            purpose.CopyFrom(made.record.terms.purposes[0])
            purpose.number, purpose.name_zh, purpose.name_en = number, *names
            purpose.attributes[:] = sorted([*ATTRIBUTES, "natural-person/address"])
            registered = office.purpose(BANK, number)
            office.directory.purposes[BANK, number] = replace(registered, status_age_s_max=None)
        known = office.directory.purposes
        known[BANK, LOGIN] = replace(
            known[BANK, LOGIN], about_zh="登录网上银行", about_en="Logging in to online banking"
        )
        made.register(record)
        _, key = office.client(BANK, origins=origins)
        with zhixin_rp.Verifier(office.origin, key=key, relying_party=BANK, root=office.own_anchor) as verifier:
            bank, hospital = example("bank"), example("hospital")
            account, counter = bank.Bank(verifier, origins[0]), hospital.Counter(verifier)
            with running(bank.make_app(account), bank_socket), running(hospital.make_app(counter), hospital_socket):
                yield City(made, account, origins[0], counter, origins[1])


@pytest.fixture
def phone(browser: Browser, city: City) -> Iterator[Page]:
    """Somebody's wallet with a credential."""
    with city.world.visit(browser) as visit:
        yield home(take(visit, city.world))


def home(page: Page) -> Page:
    page.locator('[data-view="done"] [data-home]').click()
    return page


def agree(page: Page, link: str) -> None:
    """The holder looks at what a link asks, and agrees."""
    paste(page, link)
    page.locator("#ask-form button.btn").first.click()
    expect(page.locator("#done-title")).to_have_text("已出示")
    home(page)


def link_on(page: Page) -> str:
    found = page.locator('a[href^="openid4vp:"]').get_attribute("href")
    assert found is not None
    return found


def look(visit: Visit, name: str) -> None:
    visit.keep(name)
    assert not visit.is_wider_than_screen(), name
    assert visit.axe() == [], name


def test_bank_opens_one_account_for_one_person_by_wallet_and_by_card_and_pays_what_the_wallet_showed(
    browser: Browser, city: City, phone: Page
) -> None:
    card, credential = in_thread(city.card())
    with visiting(browser, city.bank_origin, language="en") as visit:
        visit.expect(ELSEWHERE)
        page = visit.open("/")
        look(visit, "bank-home")
        page.get_by_text("With the wallet on my phone").click()
        picture = page.locator("img")
        expect(picture).to_have_js_property("complete", value=True)
        assert read_code(screenshot(picture)) == link_on(page), "phone and same device are asked the same"
        look(visit, "bank-scan")
        agree(phone, link_on(page))
        expect(page.locator("h1")).to_have_text("Your account is open")
        account = page.locator("b").inner_text()
        look(visit, "bank-opened")

        def read_card(origin: str, challenge: str) -> dict[str, Any]:
            paths = [(name,) for name in SHOWN]
            binding = Binding(origin, challenge)
            now_s = city.world.issuer.now_s
            shown = sd_jwt.present(credential, paths, key=card.key, binding=binding, now_s=now_s)
            return card.token(origin, challenge) | {"presented": {"person": shown}}

        page.expose_function("readCard", read_card)
        page.add_init_script(READER)
        visit.open("/")
        page.get_by_text("With my card").click()
        expect(page.locator("#said")).to_have_text(f"Your account is {account}. 您的账户是 {account}。")
        look(visit, "bank-card")
        page.get_by_text("Pay with my wallet").click()
        expect(page.locator("img")).to_be_visible()
        paste(phone, link_on(page))
        expect(phone.locator("#ask-form")).to_contain_text("128.00")
        phone.locator("#ask-form button.btn").first.click()
        expect(page.locator("main")).to_contain_text(f"128.00 CNY went to 禅城供水有限公司 from {account}.")
    assert len(city.bank.accounts) == 1
    assert len(city.bank.paid) == 1
    entries = city.world.verifier.recorder.entries.values()
    assert len({entry.slot for entry in entries}) == 1, "all answers stand in the same person's list"
    assert len(entries) == 3


def test_bank_says_in_both_languages_that_cards_do_not_work_where_the_verifier_checks_none(
    browser: Browser, city: City
) -> None:
    office = city.world.verifier
    cards = office.verifier.cards
    object.__setattr__(office.verifier, "cards", None)
    try:
        with visiting(browser, city.bank_origin, language="en") as visit:
            visit.expect("503")
            page = visit.open("/")
            page.get_by_text("With my card").click()
            said = page.locator("#said")
            expect(said.locator("[lang=en]")).to_contain_text("Cards do not work here")
            expect(said.locator("[lang=zh-CN]")).to_contain_text("此处不能使用卡片")
            look(visit, "bank-no-cards")
            page.route("**/card/challenge", lambda route: route.fulfill(status=200, body="<p>No JSON</p>"))
            page.get_by_text("With my card").click()
            expect(said).to_have_text("Not possible now. Try again later. 暂时无法办理，请稍后再试。")
    finally:
        object.__setattr__(office.verifier, "cards", cards)


def test_hospital_reads_a_code_from_the_phone_once_and_asks_the_wallet_for_the_rest(
    browser: Browser, city: City, phone: Page
) -> None:
    phone.locator(".wallet-card").click()
    phone.locator("[data-code=age]").click()
    expect(phone.locator("#code-title")).to_be_visible()
    code = read_code(screenshot(phone.locator("[data-picture]")))
    with visiting(browser, city.hospital_origin, language="en") as visit:
        visit.expect(ELSEWHERE)
        page = visit.open("/")
        look(visit, "hospital-home")
        for title in ("Patient", "Do not rely on this"):  # each code is taken once
            page.fill("input[name=code]", code)
            page.get_by_text("Check").click()
            expect(page.locator("main")).to_contain_text(title)
            page.get_by_text("Next patient").click()
        page.get_by_text("Ask the patient's wallet").click()
        expect(page.locator("img")).to_have_js_property("complete", value=True)
        link = read_code(screenshot(page.locator("img")))
        phone.locator('[data-view="code"] [data-to-card]').click()
        phone.locator('[data-view="card"] [data-home]').click()
        agree(phone, link)
        expect(page.locator("h1")).to_have_text("Patient")
        expect(page.locator("dl")).to_contain_text("小明")
        look(visit, "hospital-patient")


@pytest.mark.parametrize(
    ("size", "language", "theme"), [("phone", "zh-CN", "light"), ("desktop", "en", "dark")], ids=["phone", "desktop"]
)
def test_log_in_page_says_who_asks_and_goes_on_by_itself_once_the_wallet_agreed(
    browser: Browser, city: City, phone: Page, size: Size, language: str, theme: str
) -> None:
    office = city.world.verifier
    back = f"{city.bank_origin}/"
    client, _ = office.client(BANK, origins=[city.bank_origin], redirect_uris=[back], login_purpose=str(LOGIN))
    asked = {
        "client_id": client.id,
        "redirect_uri": back,
        "response_type": "code",
        "scope": "openid age",
        "state": "s-1",
        "nonce": "n-1",
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
    }
    with visiting(browser, office.origin, size=size, language=language, theme=theme) as visit:
        visit.expect(ELSEWHERE)
        page = visit.open("/oidc/authorize?" + urlencode(asked))
        expect(page.locator("h1")).to_contain_text("第一银行" if language == "zh-CN" else "Bank One")
        look(visit, "log-in")
        assert read_code(screenshot(page.locator("[role=img]"))) == link_on(page)
        agree(phone, link_on(page))
        page.wait_for_url(f"{back}?*")
        answer = parse_qs(urlsplit(page.url).query)
    assert (answer["state"], answer["iss"]) == (["s-1"], [office.origin])
    assert len(answer["code"][0]) > 20
