# SPDX-License-Identifier: Apache-2.0
"""The data space in a browser: what is known, a consent from its giving to its end, locks, requests, the export."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, quote

import pytest
from playwright.sync_api import Browser, Page, Request, Route, expect
from space_rig import SpaceOffice
from verifier_rig import BANK, LOGIN, query
from visiting import Size, Visit
from wallet_world import World, world

from chain import receipt
from identity import access
from identity.api.accesses.lists import own_claims
from identity.api.desk.looking_up import Reason, note_access
from identity.api.space import requests
from identity.api.verifier.findings import pairwise
from identity.consent_showing import ShownConsent, read_claim, refusal, subject_of
from identity.consents import load_consent
from identity.jose import decode_base64url, decode_jws, load_object
from identity.pb import access_pb2
from identity.pb import identity_pb2 as pb


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("space"), data_space=True) as made:
        yield made


def office(served: World) -> SpaceOffice:
    assert isinstance(served.issuer, SpaceOffice)
    return served.issuer


def look(visit: Visit, name: str, *themes: str) -> None:
    """Keep pictures, in the light unless told otherwise; nothing is wider than the screen, and axe finds nothing."""
    for theme in themes or ("light",):
        visit.page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]  # one of the two
        visit.theme = theme
        visit.keep(name)
        assert visit.axe() == [], (name, theme)
    assert not visit.is_wider_than_screen(), name


def take(visit: Visit, served: World) -> Page:
    offer = served.offer()
    page = visit.open("/#" + quote(offer.uri, safe=""))
    page.fill("#digits", offer.tx_code)
    page.locator("#offer-form button.btn").first.click()
    expect(page.locator("#done-title")).to_be_visible()
    return page


def opened(visit: Visit) -> Page:
    """My data, once the page has checked it."""
    page = visit.open("/my-data")
    expect(page.locator("#space[data-shown]")).to_be_visible()
    return page


def settled(page: Page) -> None:
    """Whatever was asked for is done, and shown."""
    expect(page.locator("#space[aria-busy]")).to_have_count(0)


def confirm(page: Page) -> None:
    page.locator("#sure-dialog .stop").click()
    settled(page)


def asked_with_consent(visit: Visit, served: World) -> ShownConsent:
    """The bank asks for what needs a consent, and the holder shows it; the consent as the verifier is shown it."""
    record = pb.RelyingPartyRecord()
    record.CopyFrom(served.record)
    record.terms.purposes[0].needs_consent = True
    served.register(record)
    asked = served.ask(query("birthdate", "family_name"), response_mode="direct_post")
    page = visit.open("/#" + quote(asked["wallet_link"], safe=""))
    expect(page.locator("[data-consent]")).to_be_visible()
    look(visit, "wallet-consent")

    def is_answer(request: Request) -> bool:
        return request.method == "POST" and "vp_token" in (request.post_data or "")

    with page.expect_request(is_answer) as sent:
        page.locator("#ask-form button.btn").first.click()
    expect(page.locator("#done-title")).to_be_visible()
    (token,) = parse_qs(sent.value.post_data or "")["vp_token"]
    (presentation,) = json.loads(token)["person"]
    binding = load_object(decode_jws(presentation.rsplit("~", 1)[1], "kb+jwt", "binding").payload, "binding")
    return read_claim(binding["consent"])


def refused(served: World, shown: ShownConsent, *attributes: str) -> str:
    """What a verifier would say of the consent now."""
    made, rules = office(served), office(served).space_ledger.rules
    with made.store.write() as session:
        seed = own_claims(session, made.store, made.person, 0)["pairwise_seed"]
    return refusal(
        shown,
        load_consent(rules.state.get, shown.commitment),
        organisation=BANK,
        purpose=LOGIN,
        attributes=attributes or ("natural-person/birthdate", "natural-person/family_name"),
        subject=subject_of(pairwise(seed, BANK)),
        time_ms=rules.time_ms,
    )


@pytest.mark.parametrize(("size", "language"), [("phone", "zh-CN"), ("desktop", "en")])
def test_holder_sees_what_is_kept_consents_withdraws_locks_asks_and_takes_it_along(
    browser: Browser, served: World, size: Size, language: str
) -> None:
    made, rules = office(served), office(served).space_ledger.rules
    with served.visit(browser, size, language) as visit:
        page = visit.open("/my-data")
        expect(page.locator("[data-none]")).to_be_visible()
        look(visit, "my-data-none")
        page = take(visit, served)
        page.locator('[data-view="done"] [data-home]').click()
        expect(page.locator("[data-my-data] a")).to_be_visible()
        shown = asked_with_consent(visit, served)
        assert refused(served, shown) == ""

        page = opened(visit)
        expect(page.locator("[data-person]")).to_contain_text("李小明")
        expect(page.locator("[data-ways] li")).to_have_count(2)
        expect(page.locator("[data-consents] li")).to_have_count(1)
        expect(page.locator("[data-consents]")).to_contain_text("第一银行" if language == "zh-CN" else "Bank One")
        look(visit, "my-data", "light", "dark")

        # narrowed: fewer claims count from the next block on, and the wider one no longer
        page.locator("[data-consents] .buttons button").nth(1).click()
        look(visit, "my-data-narrow")
        page.locator("#narrow-list input").first.uncheck()
        page.locator("#narrow-dialog .btn").first.click()
        expect(page.locator("[data-consents] li")).to_have_count(2)
        assert refused(served, shown) != ""
        height = rules.height
        page.locator("[data-consents] .buttons button").first.click()
        look(visit, "my-data-sure")
        confirm(page)
        expect(page.locator("[data-consents] button")).to_have_count(0)
        assert rules.height == height + 1

        page.locator("[data-ways] button").first.click()
        confirm(page)
        expect(page.locator("[data-ways] button")).to_have_count(1)
        assert sum(key.suspended for key in made.record().keys) == 1

        page.fill("#request-text", "地址应为祖庙街道 2 号")
        page.locator("#request-form button.btn").click()
        expect(page.locator("[data-requests] li")).to_have_count(1)
        settled(page)
        answer(made)
        page.locator("[data-again]").click()
        expect(page.locator("[data-requests]")).to_contain_text("已更正")
        look(visit, "my-data-later")

        check_export(page, served)
        page.locator("[data-lock-all]").click()
        confirm(page)
        expect(page.locator("[data-locked]")).to_be_visible()
        expect(page.locator("[data-whole]")).to_be_hidden()
        look(visit, "my-data-locked")
        visit.expect("400")
        page.reload()
        expect(page.locator("[data-failed]")).to_be_visible()
        expect(page.locator("[data-whole]")).to_be_hidden()
        assert made.record().status == pb.PERSON_STATUS_SUSPENDED


def answer(made: SpaceOffice) -> None:
    """An officer deals with the one request."""
    clerk = made.officer()
    with made.store.write() as session:
        (row,) = requests.listed(session, "org-r")
        note_access(made.desk, session, clerk, row.person_id, Reason.CORRECTION)
    requests.take(made.desk, clerk, row.id)
    requests.answer(made.desk, clerk, row.id, "done", "已更正")


def check_export(page: Page, served: World) -> None:
    """The file's proofs hold with nothing but genesis."""
    with page.expect_download() as saved:
        page.locator("[data-export]").click()
    settled(page)
    document: dict[str, Any] = json.loads(saved.value.path().read_bytes())
    genesis, told = served.ledger.genesis, document["registrar"]
    assert (document["format"], document["network"]) == ("zhixin-my-data/1", genesis.network.hex())
    proven = receipt.verify(decode_base64url(told["receipt"], "receipt"), genesis)
    assert f"identity/person/{told['person']['registration']}".encode() in {state.key for state in proven.states}
    report = decode_base64url(told["accesses"]["report"], "report")
    first = access.slot_of_claim(told["accesses"]["first_slot"])
    assert len(access.verify(report, first, genesis).accesses) == len(
        access_pb2.AccessReport.FromString(report).openings
    )
    assert told["desk"]["data"]["name"] == "李小明"


def test_what_a_registrar_alters_is_refused_on_the_device(browser: Browser, served: World) -> None:
    def forge(route: Route) -> None:
        reply = route.fetch()
        document = reply.json()
        if document.get("person"):
            document["person"]["data"]["name"] = "王小明"
        route.fulfill(response=reply, json=document)

    with served.visit(browser) as visit:
        page = take(visit, served)
        page.route("**/space/acts", forge)
        page = visit.open("/my-data")
        expect(page.locator("[data-failed-title]")).to_have_text("这份清单不能证明完整")
        expect(page.locator("[data-person]")).to_be_empty()
