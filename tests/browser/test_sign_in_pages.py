# SPDX-License-Identifier: Apache-2.0
"""Sign-in in a real browser with a virtual authenticator: pages, links, passkeys, both languages and themes."""

import re
from collections.abc import Iterator

import pytest
from office_rig import join, served_office
from playwright.sync_api import Browser, Route, expect
from sqlalchemy import update
from visiting import Size, Visit, visiting

from service.sign_in.access import FRESH_MS
from service.sign_in.office import Office
from service.sign_in.people import first_link
from service.sign_in.tables import SignInSession

LOOKS = [("zh-CN", "light", "desktop"), ("zh-CN", "dark", "phone"), ("en", "light", "phone"), ("en", "dark", "desktop")]


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with served_office(tmp_path_factory.mktemp("office")) as served:
        yield served


def look_at(seen: Visit, name: str) -> None:
    """A page has to be in order, whatever it says."""
    seen.keep(f"sign-in-{name}")
    assert seen.axe() == []
    assert not seen.is_wider_than_screen()


@pytest.mark.parametrize(("language", "theme", "size"), LOOKS)
def test_first_administrator_joins_invites_and_signs_in_again(
    browser: Browser, office: Office, language: str, theme: str, size: Size
) -> None:
    names = {"zh-CN": ("李伟", "张敏", "手机"), "en": ("Li Wei", "Zhang Min", "Phone")}[language]
    origin = office.address.public_origin
    with visiting(browser, origin, size=size, language=language, theme=theme) as seen:
        seen.add_authenticator()
        link = first_link(office, names[0], "civil-affairs", another=True)
        seen.open(link.removeprefix(origin))
        seen.page.locator("[data-invited]").wait_for()
        expect(seen.page.locator("[data-fill=name]")).to_have_text(names[0])
        look_at(seen, "join")
        join(seen, link, names[2])
        look_at(seen, "passkeys")
        seen.open("/people")
        seen.page.fill("#name", names[1])
        seen.page.check("input[value=clerk]")
        look_at(seen, "people")
        seen.page.click("main form[action='/people'] button[type=submit]")
        invitation = seen.page.locator("#link").inner_text()
        look_at(seen, "invited")
        seen.open("/sessions")
        look_at(seen, "sessions")
        seen.page.click("header form button")
        seen.page.wait_for_url("**/sign-in")
        look_at(seen, "sign-in")
        seen.page.click("main button[type=submit]")
        seen.page.wait_for_url("**/passkeys")
        seen.open("/confirm?next=/sessions")
        look_at(seen, "confirm")
        seen.page.click("main button[type=submit]")
        seen.page.wait_for_url("**/sessions")
    with visiting(browser, origin, size=size, language=language, theme=theme) as seen:
        seen.add_authenticator()
        join(seen, invitation, names[2])
        seen.open("/passkeys")
        expect(seen.page.locator("main h2").first).to_have_text(names[2])


def test_link_that_is_not_good_any_more_is_explained(browser: Browser, office: Office) -> None:
    with visiting(browser, office.address.public_origin, language="en") as seen:
        seen.expect("410")
        seen.open("/join#" + "A" * 43)
        expect(seen.page.locator("[data-refused] h2")).to_have_text("This link is not valid")
        look_at(seen, "refused")


def test_sign_in_without_a_passkey_of_this_site_says_what_happened(browser: Browser, office: Office) -> None:
    with visiting(browser, office.address.public_origin, language="en") as seen:
        seen.add_authenticator()
        seen.open("/sign-in")
        seen.page.click("main button[type=submit]")
        expect(seen.page.locator("[data-outcome] h2")).to_have_text("It did not work")
        assert seen.axe() == []


def test_button_that_asks_for_a_passkey_can_be_pressed_once_its_script_is_there(
    browser: Browser, office: Office
) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    with visiting(browser, office.address.public_origin) as seen:
        seen.page.route(re.compile(r"/sign-in\.js$"), hold)
        seen.page.goto(seen.origin + "/sign-in", wait_until="commit")
        button = seen.page.locator("main form[data-ceremony] button")
        expect(button).to_be_disabled()
        while not held:
            seen.page.wait_for_timeout(50)
        held[0].continue_()
        expect(button).to_be_enabled()


def test_passkey_of_more_than_five_minutes_ago_is_asked_for_again_and_leads_back(
    browser: Browser, office: Office
) -> None:
    with visiting(browser, office.address.public_origin) as seen:
        seen.add_authenticator()
        join(seen, first_link(office, "Li Wei", "civil-affairs", another=True), "Phone")
        with office.store.write() as session:
            session.execute(update(SignInSession).values(verified_ms=office.now() - FRESH_MS - 1))
        seen.expect("403")
        seen.page.fill("#name", "Another")
        seen.page.click("form[data-path='/passkeys'] button")
        seen.page.wait_for_url("**/confirm?next=*")
        seen.page.click("form[data-path='/confirm'] button")
        seen.page.wait_for_url("**/passkeys")


@pytest.mark.parametrize(("language", "theme", "size"), [("en", "light", "desktop"), ("zh-CN", "dark", "phone")])
def test_administrator_changes_a_role_and_the_open_session_asks_for_the_passkey(
    browser: Browser, office: Office, language: str, theme: str, size: Size
) -> None:
    name, words = {"en": ("Chen Yu", "Supervisor"), "zh-CN": ("陈宇", "主管")}[language]
    origin = office.address.public_origin
    with visiting(browser, origin, size=size, language=language, theme=theme) as seen:
        seen.add_authenticator()
        join(seen, first_link(office, "Li Wei", "civil-affairs", another=True), "Phone")
        seen.open("/people")
        seen.page.fill("#name", name)
        seen.page.check("input[value=clerk]")
        seen.page.click("main form[action='/people'] button[type=submit]")
        invitation = seen.page.locator("#link").inner_text()
        with visiting(browser, origin, language=language) as other:
            other.add_authenticator()
            join(other, invitation, "Phone")
            seen.open("/people")
            row = seen.page.locator("tr", has_text=name)
            row.locator("summary").click()
            look_at(seen, "people-role")
            row.locator("select").select_option("supervisor")
            row.locator("form[action$='/role'] button").click()
            expect(seen.page.locator("tr", has_text=name)).to_contain_text(words)
            other.open("/passkeys")
            expect(other.page).to_have_url(f"{origin}/confirm?next=/passkeys")
            other.page.click("main button[type=submit]")
            other.page.wait_for_url("**/passkeys")
