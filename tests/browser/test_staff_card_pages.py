# SPDX-License-Identifier: Apache-2.0
"""A staff card in a real browser, through the real card program: enrolled, signed in with, and what goes wrong.

The card is emulated; page, program, its window and the service are what officers use.
"""

import re
from collections.abc import Iterator

import pytest
from card_rig import Machine, enter_pin, enter_wrong_pin, officers_machine, use_card
from office_rig import served_office
from playwright.sync_api import Browser, Page, expect
from visiting import AXE, SCREENS, Size, Visit, screenshot, visiting

from service.sign_in.office import Office
from service.sign_in.people import first_link

LOOKS = [("zh-CN", "dark", "phone"), ("en", "light", "desktop")]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with officers_machine(tmp_path_factory.mktemp("machine")) as made:
        yield made


@pytest.fixture(scope="module")
def office(machine: Machine) -> Iterator[Office]:
    folder = machine.folder / "office"
    with served_office(folder, port=machine.office_port, cards=machine.settings()) as served:
        yield served


def look_at(seen: Visit, name: str) -> None:
    """A page has to be in order, whatever it says."""
    seen.keep(f"card-{name}")
    assert seen.axe() == []
    assert not seen.is_wider_than_screen()


def look_at_window(seen: Visit, window: Page, name: str) -> None:
    """The card program's own window, likewise."""
    SCREENS.mkdir(parents=True, exist_ok=True)
    path = SCREENS / f"card-window-{name}-{seen.size}-{seen.language}-{seen.theme}.png"
    screenshot(window, path=path, full_page=True, animations="disabled")
    window.evaluate(AXE.read_text(encoding="utf-8"))
    found = window.evaluate("axe.run(document, {resultTypes: ['violations'], preload: false})")
    assert [fault["id"] for fault in found["violations"] if fault["impact"] in {"serious", "critical"}] == []
    assert not window.evaluate("document.documentElement.scrollWidth > window.innerWidth")


@pytest.mark.parametrize(("language", "theme", "size"), LOOKS)
def test_invited_person_enrols_a_card_with_its_code_and_signs_in_with_it(
    browser: Browser, office: Office, machine: Machine, language: str, theme: str, size: Size
) -> None:
    name, card = {"zh-CN": ("李伟", "工作卡"), "en": ("Li Wei", "Staff card")}[language]
    machine.put_in_new_card()
    origin = office.address.public_origin
    with visiting(browser, origin, size=size, language=language, theme=theme) as seen:
        seen.open(first_link(office, name, "civil-affairs", another=True).removeprefix(origin))
        seen.page.locator("[data-invited]").wait_for()
        seen.page.fill("#card_name", card)
        look_at(seen, "join")
        seen.expect(f"left the machine: {machine.agent}")
        seen.expect("401")
        seen.page.click("form[data-path='/join/card'] button[type=submit]")
        seen.page.locator("[data-pairing]").wait_for()
        look_at(seen, "pairing")
        seen.page.fill("input[name=pairing]", machine.code)
        window = use_card(seen, machine, "/join/card")
        look_at_window(seen, window, "enrol")
        seen.expect("403")
        enter_wrong_pin(window)
        look_at_window(seen, window, "wrong-pin")
        look_at(seen, "waiting")
        enter_pin(window, machine.pin)
        seen.page.wait_for_url("**/passkeys")
        expect(seen.page.locator("main h2").first).to_have_text(card)
        look_at(seen, "listed")
        seen.page.click("header form button")
        seen.page.wait_for_url("**/sign-in")
        look_at(seen, "sign-in")
        window = use_card(seen, machine, "/sign-in/card")
        expect(window.locator("dd.mono").first).to_have_text(origin)
        look_at_window(seen, window, "sign-in")
        enter_pin(window, machine.pin)
        seen.page.wait_for_url("**/passkeys")
        seen.open("/confirm?next=/sessions")
        look_at(seen, "confirm")
        enter_pin(use_card(seen, machine, "/confirm/card"), machine.pin)
        seen.page.wait_for_url("**/sessions")


def test_link_of_the_card_program_pairs_the_page_and_leaves_no_code_in_the_address(
    browser: Browser, office: Office, machine: Machine
) -> None:
    machine.put_in_new_card()
    origin = office.address.public_origin
    with visiting(browser, origin, language="en") as seen:
        seen.open(machine.link.removeprefix(origin))
        expect(seen.page).to_have_url(f"{origin}/sign-in")
        seen.expect("401")  # nobody has enrolled this card
        enter_pin(use_card(seen, machine, "/sign-in/card"), machine.pin)
        expect(seen.page.locator("form[data-card-agent] [data-outcome] h2")).to_have_text("The sign-in did not succeed")
        assert seen.axe() == []


def test_person_who_declines_in_the_window_is_told_so_on_the_page(
    browser: Browser, office: Office, machine: Machine
) -> None:
    origin = office.address.public_origin
    with visiting(browser, origin, language="en") as seen:
        seen.open(machine.link.removeprefix(origin))
        window = use_card(seen, machine, "/sign-in/card")
        with window.expect_event("close"):
            window.click("button[formaction]")
        expect(seen.page.locator("form[data-card-agent] [data-outcome]")).to_contain_text("Nothing was signed")


def test_page_says_what_to_do_where_no_card_program_runs(browser: Browser, office: Office, machine: Machine) -> None:
    origin = office.address.public_origin
    with visiting(browser, origin, language="en") as seen:
        seen.expect("left the machine|failed|net::ERR|ERR_CONNECTION")
        seen.context.route(re.compile(re.escape(machine.agent)), lambda route: route.abort("connectionrefused"))
        seen.open("/sign-in")
        seen.page.click("form[data-card-agent] button[type=submit]")
        expect(seen.page.locator("form[data-card-agent] [data-outcome]")).to_contain_text("zhixin card agent")


def test_script_of_a_foreign_page_gets_no_answer_from_the_card_program(
    browser: Browser, office: Office, machine: Machine
) -> None:
    """Served under another name of this machine, the same page is another origin."""
    origin = office.address.public_origin.replace("localhost", "127.0.0.1")
    with visiting(browser, origin, language="en") as seen:
        seen.expect(".*")  # the browser itself complains about what the page tries
        seen.open("/sign-in")
        ask = """async ([agent, code]) => {
            const headers = {"content-type": "application/json", "x-card-agent-code": code};
            const body = JSON.stringify({purpose: "sign-in", nonce: "00".repeat(32)});
            try { return (await fetch(agent + "/agent/requests", {method: "POST", headers, body})).status; }
            catch (error) { return error.name; }
        }"""
        assert seen.page.evaluate(ask, [machine.agent, machine.code]) == "TypeError"
