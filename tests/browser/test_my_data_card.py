# SPDX-License-Identifier: Apache-2.0
"""The data space by the card alone, in a browser: the card's program beside the page, its window, each PIN."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page, expect
from space_rig import SpaceOffice
from staff_card_rig import new_card
from visiting import Visit, serve
from wallet_world import World, world

from cli.card_agent.agent import CardAgent
from cli.card_agent.part import agent_parts
from identity.cards.emulator import EmulatedCard
from identity.pb import identity_pb2 as pb
from tests.ports import free_base_port

CODE = "ABCD-EFGH-JKMN-PQRS-TUVW"


@dataclass
class Computer:
    """A computer with a reader: the services, and the card that is in the reader."""

    world: World
    card: EmulatedCard
    pin: str

    @property
    def office(self) -> SpaceOffice:
        assert isinstance(self.world.issuer, SpaceOffice)
        return self.world.issuer


@pytest.fixture
def computer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Computer]:
    port = free_base_port(1)
    with world(tmp_path_factory.mktemp("card"), data_space=True, card_agent=f"http://127.0.0.1:{port}") as made:
        card, pin = new_card()
        agent = CardAgent(lambda: card)
        with serve(agent_parts(agent, [made.wallet_origin], CODE), "card-agent", port):
            computer = Computer(made, card, pin)
            computer.office.give_card(card)
            yield computer


def enter(page: Page, computer: Computer, press: str, *, keep: Visit | None = None, name: str = "") -> None:
    """Press something of the page, and enter the PIN in the program's own window."""
    with page.context.expect_page() as opened:
        page.locator(press).first.click()
    window = opened.value
    expect(window.locator("#pin")).to_be_visible()
    if keep is not None:
        own = Visit(keep.origin, keep.context, window, keep.size, keep.language, keep.theme)
        own.keep(name)
        assert own.axe() == [], name
    window.fill("#pin", computer.pin)
    window.locator("form button.main, form button.btn").first.click()
    expect(page.locator("[data-card-waiting]")).to_be_hidden()
    expect(page.locator("#space[aria-busy]")).to_have_count(0)


def test_holder_without_a_wallet_sees_asks_and_locks_by_card_and_pin(browser: Browser, computer: Computer) -> None:
    with computer.world.visit(browser, "desktop", "zh-CN") as visit:
        visit.expect("40[01]")
        page = visit.open("/my-data?lang=en")
        expect(page.locator("#card-form")).to_contain_text("With your identity card")
        assert visit.axe() == []
        page = visit.open("/my-data?lang=zh-CN")
        expect(page.locator("#card-form")).to_be_visible()
        page.fill("#card-issuer", computer.office.origin)
        page.fill("#card-code", "WRONG")
        page.locator("#card-form button").click()
        expect(page.locator("[data-failed]")).to_be_visible()  # the program does not know this page
        visit.keep("my-data-card-unpaired")
        assert visit.axe() == []

        page.fill("#card-code", CODE)
        enter(page, computer, "#card-form button", keep=visit, name="my-data-card-window")
        expect(page.locator("[data-person]")).to_contain_text("李小明")
        expect(page.locator("[data-by-card]")).to_be_visible()
        expect(page.locator("[data-none]")).to_be_hidden()
        visit.keep("my-data-card")
        assert visit.axe() == []
        assert not visit.is_wider_than_screen()

        page.fill("#request-text", "地址应为祖庙街道 2 号")
        enter(page, computer, "#request-form button.btn", keep=visit, name="my-data-card-act")
        expect(page.locator("[data-done]")).to_be_visible()
        enter(page, computer, "[data-again]")
        expect(page.locator("[data-requests] li")).to_have_count(1)
        expect(page.locator("[data-done]")).to_be_hidden()

        page.locator("[data-lock-all]").click()
        enter(page, computer, "#sure-dialog .stop")
        expect(page.locator("[data-locked]")).to_be_visible()
        assert computer.office.record().status == pb.PERSON_STATUS_SUSPENDED
