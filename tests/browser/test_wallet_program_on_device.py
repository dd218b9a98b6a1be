# SPDX-License-Identifier: Apache-2.0
"""The wallet on a device takes another program only as it is anchored and whole; else the old one goes on, in words."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page, expect
from visiting import Visit, serve, visiting
from wallet_world import OPERATOR, LivingLedger, anchor, wallet_parts

from chain.types import sha256
from identity.api.wallet import program as program_module
from identity.api.wallet.program import Program
from tests.ports import free_base_port

LATER_MS = 1_600
"""Longer than openings count as one."""
ASK = """() => new Promise(done => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = ({ data }) => done(data);
  navigator.serviceWorker.controller.postMessage({ question: "program", language: "zh-CN" }, [port2]);
})"""


@dataclass
class Served:
    """A citizen's service whose program a test changes."""

    origin: str
    ledger: LivingLedger
    program: Program

    def release(self, mark: str) -> None:
        """Offer another program: each page's title says which."""
        described = json.loads(self.program.manifest)
        pages = {}
        for texts in described["pages"].values():
            for language, digest in texts.items():
                text = re.sub(rb"<title>(\d+ )?", b"<title>" + mark.encode() + b" ", self.program.pages[digest])
                texts[language] = sha256(text).hex()
                pages[texts[language]] = text
        self.program.pages.update(pages)
        self.program.manifest = json.dumps(described)
        self.program.digest = sha256(self.program.manifest.encode())


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(program_module, "KEPT_S", 0.0)
    ledger = LivingLedger(("a", "b", "c", "d"))
    port, made = free_base_port(1), list[Program]()
    with serve(wallet_parts(ledger, f"http://localhost:{port}", made), "citizen", port) as origin:
        yield Served(origin, ledger, made[0])


def opened(visit: Visit, path: str = "/") -> Page:
    """A page whose worker has told it of its program; what was asked just before is asked anew."""
    page = visit.open(path)
    expect(page.locator("[data-program]")).not_to_be_empty()
    return page


def again(visit: Visit, path: str = "/") -> Page:
    """The same, later: the worker looks anew."""
    visit.page.wait_for_timeout(LATER_MS)
    return opened(visit, path)


def test_wallet_refuses_an_unanchored_or_changed_program_in_words_goes_on_and_takes_a_whole_anchored_one(
    browser: Browser, served: Served
) -> None:
    with visiting(browser, served.origin, size="phone", language="zh-CN") as visit:
        visit.expect("Failed to load resource|left the machine")
        page = opened(visit)
        expect(page.locator("[data-program]")).to_contain_text(OPERATOR)
        expect(page.locator("[data-program-refused]")).to_be_hidden()
        visit.keep("wallet-program-kept")

        served.release("2")  # offered, and on no ledger
        page = again(visit)
        expect(page.locator("[data-program-refused]")).to_contain_text("不是运营者登记在账本上的")
        expect(page).not_to_have_title(re.compile("^2 "))
        assert visit.axe() == []
        visit.keep("wallet-program-refused")

        anchor(served.ledger, served.program.digest, "somebody-else")
        anchor(served.ledger, served.program.digest)
        whole = served.program.pages.copy()
        changed = {digest: text.replace(b"</main>", b"</main >") for digest, text in whole.items()}
        served.program.pages = changed  # one byte more than what was anchored
        page = again(visit)
        expect(page.locator("[data-program-refused]")).to_contain_text("与账本上登记的摘要不符")
        expect(page).not_to_have_title(re.compile("^2 "))

        served.program.pages = whole
        page = again(visit)
        expect(page.locator("[data-program]")).to_contain_text("下次打开时启用")
        page.wait_for_timeout(LATER_MS)
        assert page.evaluate(ASK)["outcome"] == "taken", "a page that asks late is told so, too"
        page = opened(visit)
        expect(page).to_have_title(re.compile("^2 "))
        expect(page.locator("[data-program-refused]")).to_be_hidden()

        visit.context.set_offline(True)  # both pages and both languages stand on the device, and no other page does
        visit.open("/my-data?lang=en")
        expect(visit.page.locator("h1")).to_have_text("My data")
        visit.open("/elsewhere")
        assert visit.page.url == served.origin + "/"
        expect(visit.page.locator("html")).to_have_attribute("lang", "en")


def test_wallet_refuses_a_changed_worker_and_says_so_in_english(
    browser: Browser, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    with visiting(browser, served.origin, size="desktop", language="en") as visit:
        visit.expect("Failed to load resource|left the machine")
        opened(visit)
        monkeypatch.setattr(served.program, "_worker", served.program._worker + b"\n")
        page = again(visit)
        expect(page.locator("[data-program-refused]")).to_contain_text("is not the one whose digest is on the ledger")
        visit.keep("wallet-program-refused")
        assert visit.axe() == []
