# SPDX-License-Identifier: Apache-2.0
"""The explorer in a browser, in front of a real network of four validators that is started once for a run."""

import re

import httpx
import pytest
from explored import Shown, zhixin
from playwright.sync_api import Browser, expect
from visiting import Size, visiting

HIDING = """
Object.defineProperty(document, "hidden", { get: () => sessionStorage.away === "yes" });
const own = window.fetch;
window.fetch = (...given) => {
  sessionStorage.asked = 1 + Number(sessionStorage.asked ?? 0);
  return own(...given);
};
"""
"""Hides the page when a test says so, and counts what it asks, in the page itself: elsewhere it is heard of later."""


def test_network_page_says_how_it_does_and_stays_live(browser: Browser, shown: Shown) -> None:
    with visiting(browser, shown.origin, language="en") as seen:
        page = seen.open("/")
        expect(page.get_by_text("All 4 validators answer")).to_be_visible()
        expect(page.locator("#validators tbody tr")).to_have_count(4)
        expect(page.locator("#validators")).to_contain_text("what that node says of itself")
        height = page.locator(".figures dd b").first
        before = height.inner_text()
        expect(height).not_to_have_text(before)  # blocks come, and the page follows them
        expect(page.locator("[data-beats=latency] svg[role=img]")).to_be_visible()
        seen.keep("explorer-network")
        assert seen.axe() == []


def test_network_page_asks_nothing_while_it_is_hidden(browser: Browser, shown: Shown) -> None:
    with visiting(browser, shown.origin) as seen:
        seen.page.add_init_script(HIDING)
        seen.open("/")
        seen.until("sessionStorage.asked > 1")
        before = seen.page.evaluate("() => { sessionStorage.away = 'yes'; return sessionStorage.asked }")
        seen.page.wait_for_timeout(2500)
        assert seen.page.evaluate("sessionStorage.asked") == before


def test_pages_work_without_scripts_and_claim_no_proof(browser: Browser, shown: Shown) -> None:
    with visiting(browser, shown.origin, language="en", java_script_enabled=False) as seen:
        page = seen.open("/")
        expect(page.get_by_text("All 4 validators answer")).to_be_visible()
        expect(page.get_by_role("link", name="Refresh")).to_be_visible()
        seen.open(f"/transactions/{shown.done}/operations/0")
        expect(page.locator("#verdict [data-when=unscripted]")).to_contain_text("did not run the check")
        expect(page.locator("#verdict")).to_have_attribute("data-state", "waiting")
        seen.open("/check")
        expect(page.locator("#check-form")).to_be_hidden()  # it would send what must not leave the device


@pytest.mark.parametrize(
    ("size", "language", "theme"),
    [("desktop", "en", "dark"), ("phone", "zh-CN", "light")],
)
def test_each_page_fits_its_screen_and_axe_finds_nothing(
    browser: Browser, shown: Shown, size: Size, language: str, theme: str
) -> None:
    pages = {
        "blocks": "/blocks",
        "block": f"/blocks/{httpx.get(f'{shown.origin}/v1/transactions/{shown.done}', timeout=20).json()['height']}",
        "transactions": "/transactions",
        "transaction": f"/transactions/{shown.refused}",
        "record": f"/transactions/{shown.done}/operations/0",
        "organisations": "/organisations",
        "organisation": "/organisations/registrar",
        "check": "/check",
        "search": "/search?q=Nobody",
    }
    with visiting(browser, shown.origin, size=size, language=language, theme=theme) as seen:
        seen.expect("404")
        for name, path in pages.items():
            page = seen.open(path)
            if name == "record":
                expect(page.locator("#verdict")).to_have_attribute("data-state", "proved")
            seen.keep(f"explorer-{name}")
            assert not seen.is_wider_than_screen(), name
            assert seen.axe() == [], name


def test_record_is_proved_on_the_readers_own_device(browser: Browser, shown: Shown) -> None:
    with visiting(browser, shown.origin, language="en") as seen:
        page = seen.open("/transactions")
        page.locator("#transactions tbody a").nth(5).click()
        page.get_by_role("link", name="See the proof").click()
        expect(page.locator("#verdict")).to_have_attribute("data-state", "proved")
        assert page.locator("#verdict [data-step][data-state=proved]").count() == 7
        page.get_by_text("Technical details").click()
        expect(page.locator("[data-log]")).to_contain_text("quorum")
        expect(page.get_by_text("whether it has been revoked since is another question")).to_be_visible()


def test_receipt_that_the_server_forges_fails_in_vermilion_with_its_meaning(browser: Browser, shown: Shown) -> None:
    raw = bytearray(shown.receipt(shown.done))
    raw[40] ^= 1  # within the operation: another attestation than the one that was signed
    with visiting(browser, shown.origin, language="en") as seen:
        seen.context.route("**/receipt?form=binary", lambda route: route.fulfill(body=bytes(raw)))
        page = seen.open(f"/transactions/{shown.done}/operations/0")
        expect(page.locator("#verdict")).to_have_attribute("data-state", "failed")
        expect(page.get_by_text("do not rely on it")).to_be_visible()
        expect(page.locator("#verdict [data-state=failed] [data-reason]")).to_contain_text("altered")
        seen.keep("explorer-record-forged")
        assert seen.axe() == []


def test_genesis_of_another_network_from_the_server_is_noticed(browser: Browser, shown: Shown) -> None:
    other = (shown.home / "genesis.json").read_bytes().replace(b"zhixin-devnet", b"zhixin-devnot")
    with visiting(browser, shown.origin, language="en") as seen:
        seen.context.route("**/v1/genesis*", lambda route: route.fulfill(body=other))
        page = seen.open(f"/transactions/{shown.done}/operations/0")
        expect(page.locator("#verdict")).to_have_attribute("data-state", "failed")
        expect(page.locator("[data-step=network]")).to_have_attribute("data-state", "failed")


def test_pinned_fingerprint_of_another_network_refuses_every_receipt(browser: Browser, shown: Shown) -> None:
    with visiting(browser, shown.origin, language="en") as seen:
        page = seen.open("/check")
        page.get_by_role("button", name="I have compared it").click()
        expect(page.get_by_text("Remembered on this device")).to_be_visible()
        page.evaluate("localStorage.setItem('zhixin-network', '00'.repeat(32))")
        seen.open(f"/transactions/{shown.done}/operations/0")
        expect(page.locator("[data-step=network]")).to_have_attribute("data-state", "failed")
        expect(page.locator("[data-step=network]")).to_contain_text("Compare the fingerprints")


def test_id_that_is_not_there_is_answered_in_words(browser: Browser, shown: Shown) -> None:
    with visiting(browser, shown.origin, language="en") as seen:
        seen.expect("404")
        seen.expect("400")
        page = seen.open(f"/transactions/{'ab' * 32}")
        expect(page.get_by_text("That does not stand on the ledger")).to_be_visible()
        assert seen.axe() == []
        seen.open("/transactions/zz")
        expect(page.get_by_text("That is no id and no height")).to_be_visible()
        seen.open("/")
        page.fill("#q", "陈大文")
        page.get_by_role("button", name="Search").click()
        expect(page.get_by_text("People can't be searched for")).to_be_visible()


@pytest.mark.parametrize("language", ["zh-CN", "en"])
def test_search_for_a_block_to_come_leads_to_the_newest(browser: Browser, shown: Shown, language: str) -> None:
    with visiting(browser, shown.origin, size="phone", language=language) as seen:
        seen.expect("404")
        page = seen.open("/search?q=99999999")
        expect(page.locator("main .empty")).to_contain_text(
            "99\N{NARROW NO-BREAK SPACE}999\N{NARROW NO-BREAK SPACE}999"
        )
        seen.keep("explorer-search-later")
        assert not seen.is_wider_than_screen()
        page.locator("main .empty a").click()
        page.wait_for_url(re.compile(r"/blocks/\d+$"))


def test_search_leads_to_what_is_meant(browser: Browser, shown: Shown) -> None:
    with visiting(browser, shown.origin, language="en") as seen:
        page = seen.open("/")
        for words, place in (
            ("1", "/blocks/1"),
            (f" 0x{shown.done} ", f"/transactions/{shown.done}"),
            ("登记机构", "/organisations/registrar"),
        ):
            seen.open("/")
            page.fill("#q", words)
            page.get_by_role("button", name="Search").click()
            expect(page).to_have_url(re.compile(f"{place}$"))


def test_json_that_the_page_gives_is_what_the_command_reads(shown: Shown) -> None:
    file = shown.home / "taken.json"
    file.write_bytes(shown.receipt(shown.done, "json"))
    zhixin(shown.home, "receipt", "verify", str(file), "--genesis", str(shown.home / "genesis.json"))
