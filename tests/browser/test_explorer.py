# SPDX-License-Identifier: Apache-2.0
"""The explorer in a browser, in front of a real network of four validators that is started once."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect
from visiting import ROOT, Size, serve, visiting

from chain.receipt_text import to_compact
from cli.explorer.build import explorer_parts
from cli.scenes.residents import residents, write_table
from service.settings import IndexSettings, LedgerSettings, Settings

RESIDENTS = 30
COMMAND_S_MAX = 60


@dataclass(frozen=True)
class Shown:
    """An explorer of a network with some records.

    Attributes:
        done: Id of a transaction that took effect.
        refused: Id of one that did not.
    """

    origin: str
    home: Path
    done: str
    refused: str

    def receipt(self, identifier: str, form: str = "binary") -> bytes:
        """The receipt of a transaction's first operation."""
        answer = httpx.get(f"{self.origin}/v1/transactions/{identifier}/operations/0/receipt?form={form}", timeout=20)
        assert answer.status_code == 200
        return answer.content


def zhixin(home: Path, *words: str, codes: tuple[int, ...] = (0,)) -> None:
    """Run a command of ours beside the network."""
    argv = [sys.executable, "-m", "cli", *words]
    environment = {**os.environ, "ZHIXIN_HOME": str(home), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        argv, cwd=home, env=environment, capture_output=True, timeout=COMMAND_S_MAX, check=False, text=True
    )
    assert done.returncode in codes, done.stdout + done.stderr


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """Four validators as processes, thirty attestations, one revoked, and one revocation refused."""
    home = tmp_path_factory.mktemp("explored")
    zhixin(home, "devnet", "up", "--home", str(home), "--detach")
    try:
        table = home / "residents.csv"
        write_table(table, list(residents(RESIDENTS, seed=7)))
        zhixin(home, "attest", "import", str(table))
        receipt = str(min(home.glob("residents.receipts/*.receipt")))
        zhixin(home, "attest", "revoke", receipt, "--reason", "holder-request")
        zhixin(home, "attest", "revoke", receipt, "--reason", "holder-request", codes=(1, 2, 3, 4, 5, 6))
        ledger = LedgerSettings(genesis=str(home / "genesis.json"))
        settings = Settings(ledger=ledger, index=IndexSettings(folder=str(home / "index")))
        with serve(explorer_parts(settings)) as origin:
            yield Shown(origin, home, *wait_for_records(origin))
    finally:
        zhixin(home, "devnet", "down", "--home", str(home))


def wait_for_records(origin: str) -> tuple[str, str]:
    """Until the index holds everything and knows who signed; ids of one that took effect, and of the refused one."""
    deadline = time.monotonic() + COMMAND_S_MAX
    while time.monotonic() < deadline:
        rows = httpx.get(f"{origin}/v1/transactions?size=100", timeout=20).json()
        if len(rows) == RESIDENTS + 2 and all(row["organisations"] == ["registrar"] for row in rows):
            return rows[-1]["id"], next(row["id"] for row in rows if row["failure"])
        time.sleep(0.2)
    raise AssertionError("the index did not follow")


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
        with seen.page.expect_request("**/v1/network/live"):
            seen.open("/")
        asked: list[str] = []
        seen.page.evaluate("Object.defineProperty(document, 'hidden', {get: () => true})")
        seen.page.wait_for_timeout(300)
        seen.page.on("request", lambda request: asked.append(request.url))
        seen.page.wait_for_timeout(2500)
        assert asked == []


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
        seen.context.route("**/v1/genesis", lambda route: route.fulfill(body=other))
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


@pytest.mark.parametrize("form", ["binary", "json", "compact"])
def test_dropped_receipt_is_proved_with_the_network_off(browser: Browser, shown: Shown, form: str) -> None:
    raw = shown.receipt(shown.done, form)
    with visiting(browser, shown.origin, language="en") as seen:
        page = seen.open("/check")
        expect(page.get_by_text("also works without a connection")).to_be_visible()
        seen.context.set_offline(offline=True)
        page.set_input_files(
            "#receipt-file", {"name": "receipt", "mimeType": "application/octet-stream", "buffer": raw}
        )
        expect(page.locator("#verdict")).to_have_attribute("data-state", "proved")
        expect(page.locator("[data-content]")).to_contain_text("identity.Attest")
        seen.keep(f"explorer-check-{form}")


def test_forged_receipt_on_the_check_page_names_the_step_that_failed(browser: Browser, shown: Shown) -> None:
    forged = shown.receipt(shown.done, "json").replace(b'"leaf_index":', b'"leaf_index":1', 1)
    with visiting(browser, shown.origin, language="zh-CN", size="phone", theme="dark") as seen:
        page = seen.open("/check")
        page.fill("#receipt-text", forged.decode())
        page.get_by_role("button", name="核验").click()
        expect(page.locator("#verdict")).to_have_attribute("data-state", "failed")
        failed = page.locator("#verdict [data-step][data-state=failed]")
        expect(failed).to_have_count(1)
        expect(failed.locator("[data-reason]")).not_to_be_empty()
        expect(page.locator("[data-shows]")).to_be_hidden()
        seen.keep("explorer-check-forged")
        assert seen.axe() == []


@pytest.mark.parametrize("words", ["ZX1:", "nothing at all", "{}", "\u200b receipt", "ZX1:" + "A" * 5000])
def test_text_that_is_no_receipt_is_refused_in_words(browser: Browser, shown: Shown, words: str) -> None:
    with visiting(browser, shown.origin, language="en") as seen:
        page = seen.open("/check")
        page.fill("#receipt-text", words)
        page.get_by_role("button", name="Check", exact=True).click()
        expect(page.locator("[data-step=form]")).to_have_attribute("data-state", "failed")
        expect(page.locator("#verdict")).to_have_attribute("data-state", "failed")


def test_receipt_of_a_refused_transaction_is_genuine_and_says_that_nothing_took_effect(
    browser: Browser, shown: Shown
) -> None:
    with visiting(browser, shown.origin, language="en") as seen:
        page = seen.open("/check")
        page.fill("#receipt-text", to_compact(shown.receipt(shown.refused)))
        page.get_by_role("button", name="Check", exact=True).click()
        expect(page.locator("#verdict")).to_have_attribute("data-state", "proved")
        expect(page.get_by_text("it took no effect")).to_be_visible()


def test_photo_of_a_qr_code_is_read_where_the_browser_can(browser: Browser, shown: Shown) -> None:
    compact = to_compact(shown.receipt(shown.done))
    reader = f"""window.BarcodeDetector = class {{
        static getSupportedFormats() {{ return Promise.resolve(['qr_code']); }}
        detect() {{ return Promise.resolve([{{rawValue: {compact!r}}}]); }}
    }};"""
    with visiting(browser, shown.origin, language="en") as seen:
        seen.page.add_init_script(reader)  # Debian's Chromium has none: what it hands over is what is tested
        page = seen.open("/check")
        expect(page.locator("[data-photo]")).to_be_visible()
        picture = page.screenshot()
        page.set_input_files("#receipt-photo", {"name": "qr.png", "mimeType": "image/png", "buffer": picture})
        expect(page.locator("#verdict")).to_have_attribute("data-state", "proved")


def test_browser_without_a_reader_says_what_to_do_instead(browser: Browser, shown: Shown) -> None:
    with visiting(browser, shown.origin, language="en") as seen:
        page = seen.open("/check")
        expect(page.get_by_text("This browser can't read QR codes")).to_be_visible()
        expect(page.locator("[data-photo]")).to_be_hidden()


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


def test_search_leads_to_what_is_meant(browser: Browser, shown: Shown) -> None:
    with visiting(browser, shown.origin, language="en") as seen:
        page = seen.open("/")
        for words, place in (
            ("1", "/blocks/1"),
            (f" 0x{shown.done} ", f"/transactions/{shown.done}"),
            ("登记中心", "/organisations/registrar"),
        ):
            seen.open("/")
            page.fill("#q", words)
            page.get_by_role("button", name="Search").click()
            expect(page).to_have_url(re.compile(f"{place}$"))


def test_json_that_the_page_gives_is_what_the_command_reads(shown: Shown) -> None:
    file = shown.home / "taken.json"
    file.write_bytes(shown.receipt(shown.done, "json"))
    zhixin(shown.home, "receipt", "verify", str(file), "--genesis", str(shown.home / "genesis.json"))
