# SPDX-License-Identifier: Apache-2.0
"""The kiosk's screen at 1080x1920, by touch alone, in both languages: with a card in a reader through a real pcscd, and
with a phone whose wallet, in a browser of its own, answers the codes on the screen.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from desk_cards_rig import OWN_PIN
from kiosk_rig import NAME, PHONE, KioskRig
from playwright.sync_api import Browser, Page, expect
from store_rig import Rig
from verifier_rig import BANK, LOGIN
from visiting import Visit, read_code, screenshot, serve, visiting
from wallet_world import ATTRIBUTES, World, paste, registration, take, world

from chain.types import sha256
from identity.api.accesses.lists import pairwise_seed
from identity.api.desk.cards_life import CardState
from identity.api.kiosk.pages import SITE
from identity.api.kiosk.part import kiosk_part
from identity.api.kiosk.phone import PhoneJudge, VerifierPhones
from identity.api.kiosk.reader import PcscSlot
from identity.cards.emulator import EmulatedCard
from service.shell import shell_part
from tests.cards.reader_rig import READER, shared_reader

TARGET_PX = 72
"""The least side of what is touched, as it is read from 80 cm."""


@dataclass
class Booth:
    """A kiosk that runs, and the world in which a phone is known.

    `one` and `other` each have a card, by id and chip; the phone is the other one's.
    """

    rig: KioskRig
    world: World
    one: tuple[str, EmulatedCard]
    other: tuple[str, EmulatedCard]
    origin: str = ""
    _in: ExitStack = field(default_factory=ExitStack)

    def insert(self, whose: tuple[str, EmulatedCard]) -> None:
        """Put a card into the reader."""
        self._in.enter_context(shared_reader().inserted(whose[1]))

    def is_stopped(self, whose: tuple[str, EmulatedCard]) -> bool:
        return self.rig.cards.card(whose[0]).state is CardState.SUSPENDED

    def remove(self) -> None:
        """Pull it out."""
        self._in.close()


@pytest.fixture(scope="module")
def booth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booth]:
    folder = tmp_path_factory.mktemp("kiosk-screen")
    store = Rig(folder, None)
    shared_reader()
    with world(folder / "world") as made:
        own_key = made.verifier.keys.current(made.verifier.now_s).public_key
        made.register(registration([own_key], attributes=sorted([*ATTRIBUTES, "natural-person/assurance_level"])))
        known: dict[str, bytes] = {}

        def seed(person_id: str) -> bytes:
            """The issuer's person is whoever stands at the kiosk; everybody else has a seed of their own."""
            return known.get(person_id) or sha256(person_id.encode())

        phones = VerifierPhones(made.verifier.origin, made.verifier.bank_key, LOGIN)
        judge = PhoneJudge(made.verifier.trust, None, BANK, seed)  # type: ignore[arg-type]  # its ledger is a stand-in
        rig = KioskRig(store, folder, slot=PcscSlot(READER), phones=phones, judge=judge, is_live=True)
        person_id, *one = rig.holder()
        with_phone, *other = rig.holder(other=True)
        booth = Booth(rig, made, (one[0], one[1]), (other[0], other[1]))
        known[with_phone] = pairwise_seed(made.issuer.store, made.issuer.person)
        _aside(lambda: rig.mandated(person_id))
        shell = replace(shell_part(SITE), start=None)  # it compiles the pages of all services that are imported here
        with serve([shell, kiosk_part(rig.started(), tick_ms=150)], "kiosk") as booth.origin:
            yield booth
            booth.remove()
    store.close()


def _aside(work: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Run something asynchronous although the browser's own loop counts as running in this thread."""
    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    thread.join()


def press(visit: Visit, digits: str) -> None:
    for digit in digits:
        visit.page.locator(f'[data-key="{digit}"]').click()


def look(visit: Visit, name: str, *, judged: bool = True) -> None:
    """What every screen must be: readable by machines, large enough to touch, within its frame; and kept to be seen."""
    visit.keep(f"kiosk-{name}", whole=False)
    assert not judged or visit.axe() == [], name
    small = visit.page.evaluate(
        """least => [...document.querySelectorAll('main button, main a, .kiosk-foot button')]
            .filter(one => one.offsetParent !== null && one.getBoundingClientRect().height < least)
            .map(one => one.outerHTML.slice(0, 80))""",
        TARGET_PX,
    )
    assert small == [], name
    assert not visit.is_wider_than_screen(), name


def choose(visit: Visit, what: str) -> None:
    visit.page.locator(f'form:has(input[value="{what}"]) button').click()


def state_chosen(visit: Visit, index: int = 0) -> None:
    visit.page.locator("label.choice").nth(index).click()
    visit.page.locator('form[action="/state"] button').click()


def sign(visit: Visit) -> None:
    visit.page.locator("#pin").fill(OWN_PIN)
    visit.page.locator('form[action="/sign"] button.btn:not([data-keys] *)').last.click()
    visit.page.locator('a[href="/print"]').wait_for()


def back(visit: Visit) -> None:
    visit.page.locator('form[action="/back"] button').click()


def answer(visit: Visit, wallet: Page, shown: str = "") -> None:
    """The phone scans what is on the screen, and its holder agrees to what the wallet says."""
    visit.page.locator(".kiosk-qr svg").wait_for()
    link = read_code(screenshot(visit.page))
    wallet.locator('[data-view="done"] [data-home]').click()
    paste(wallet, link)
    expect(wallet.locator("#ask-title")).to_have_text("Bank One")
    if shown:
        expect(wallet.locator("[data-confirmed]")).to_contain_text(shown)
    wallet.locator("#ask-form button.btn").first.click()
    expect(wallet.locator("#done-title")).to_be_visible()


def test_holder_does_five_things_by_touch_with_a_card_in_a_reader_and_nothing_is_left_on_the_screen(
    browser: Browser, booth: Booth
) -> None:
    with visiting(browser, booth.origin, size="kiosk", language="zh-CN", theme="light") as visit:
        page = visit.open("/")
        page.locator('a[href="/lost"]').wait_for()
        look(visit, "idle")
        booth.insert(booth.one)
        page.locator("#pin").wait_for()  # the page goes on by itself
        press(visit, "1")
        look(visit, "pin")
        page.locator("[data-back]").click()
        press(visit, OWN_PIN)
        page.locator('form[action="/pin"] button.btn:not([data-keys] *)').last.click()
        expect(page.locator("h1")).to_contain_text(NAME)
        look(visit, "menu")
        choose(visit, "certificate")
        page.locator('a[href="/print"]').wait_for()
        look(visit, "certificate", judged=False)
        back(visit)
        choose(visit, "address")
        page.locator('label:has(input[value="zumiao"])').click()
        page.locator("#plate").fill("440604001002")
        press(visit, "003")
        page.locator("#room").click()
        press(visit, "12")
        look(visit, "address")
        page.locator('form[action="/state"] button.btn:not([data-keys] *)').last.click()
        expect(page.locator(".kiosk-statement")).to_contain_text("440604001002003")
        look(visit, "confirm")
        sign(visit)
        look(visit, "receipt")
        printed = page.request.get(booth.origin + "/print")
        assert printed.body().startswith(b"%PDF")
        back(visit)
        choose(visit, "payment")
        state_chosen(visit)
        expect(page.locator(".kiosk-statement")).to_contain_text("400.00")
        sign(visit)
        back(visit)
        choose(visit, "company")
        page.locator("label.choice").first.click()
        look(visit, "company", judged=False)
        page.locator('form[action="/state"] button').click()
        sign(visit)
        back(visit)
        choose(visit, "stop")
        look(visit, "stop")
        state_chosen(visit)
        sign(visit)
        assert booth.is_stopped(booth.one)
        booth.remove()
        page.locator('a[href="/lost"]').wait_for()
        assert NAME not in page.content()
        assert visit.unexpected() == []


def test_phone_begins_a_visit_confirms_a_payment_and_stops_the_card_that_is_lost(
    browser: Browser, booth: Booth
) -> None:
    with (
        booth.world.visit(browser, "phone", "en", "dark") as phone,
        visiting(browser, booth.origin, size="kiosk", language="en", theme="dark") as visit,
    ):
        wallet = take(phone, booth.world)
        page = visit.open("/")
        page.locator('form[action="/scan"] button').click()
        page.locator(".kiosk-qr svg").wait_for()
        look(visit, "scan")
        answer(visit, wallet)
        expect(page.locator("h1")).to_contain_text(NAME)
        look(visit, "menu-by-phone")
        assert page.locator('form:has(input[value="address"]) button').is_disabled()
        choose(visit, "certificate")
        page.locator('a[href="/print"]').wait_for()
        back(visit)
        choose(visit, "payment")
        page.locator("label.choice").nth(1).click()
        look(visit, "payment", judged=False)
        page.locator('form[action="/state"] button').click()
        expect(page.locator(".kiosk-statement")).to_contain_text("12 500.00")
        look(visit, "confirm-by-phone")
        page.locator('form[action="/phone"] button').click()
        page.locator(".kiosk-qr svg").wait_for()
        look(visit, "phone")
        answer(visit, wallet, "12\u202f500.00 CNY")
        page.locator('a[href="/print"]').wait_for()
        look(visit, "receipt-by-phone", judged=False)
        back(visit)
        choose(visit, "stop")
        state_chosen(visit)
        look(visit, "confirm-stop-by-phone", judged=False)
        page.locator('form[action="/phone"] button').click()
        answer(visit, wallet, "You stop your card")
        page.locator('a[href="/print"]').wait_for()
        page.locator('form[action="/leave"] button').click()
        page.locator('a[href="/lost"]').wait_for()
        assert NAME not in page.content()
        assert booth.is_stopped(booth.other)
        booth.insert(booth.other)  # whoever found it learns that it is stopped
        page.locator("#pin").fill(OWN_PIN)
        page.locator('form[action="/pin"] button.btn:not([data-keys] *)').last.click()
        expect(page.locator(".notice")).to_contain_text("stopped")
        look(visit, "take", judged=False)
        booth.remove()
        page.locator('a[href="/lost"]').click()
        page.locator("#number").fill("H000000")
        press(visit, "02")
        page.locator("#phone").fill(PHONE)
        look(visit, "lost")
        page.locator("button.btn.stop").click()
        expect(page.locator(".notice")).to_contain_text("No card in use fits these")
        assert visit.unexpected() == []
        assert phone.unexpected() == []
