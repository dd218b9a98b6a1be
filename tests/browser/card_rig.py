# SPDX-License-Identifier: Apache-2.0
"""An officer's machine for browser tests: `zhixin card agent` as a process, with an emulated card in a file."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, expect
from visiting import ROOT, Visit

from cli.staff_cards import staff_cards
from identity.cards.emulator import EmulatedCard
from identity.cards.personalise import personalise
from service.settings import StaffSettings
from service.sign_in.staff_cards import StaffCards
from tests.cards.authority_rig import Keys, new_authority
from tests.cards.making_rig import EXPIRES, Notes, master
from tests.ports import free_base_port

_SIGN = "form[action^='/window/'] button.main"


@dataclass
class Machine:
    """The machine, and the office that its agent serves.

    Attributes:
        file: Holds the card that is in the reader.
        office_port: Where the office has to be served: the agent was told that origin.
        agent: The agent's origin.
        code: What it showed when it was started.
        link: What pairs the office's page at once.
    """

    folder: Path
    authority: Keys
    file: Path
    office_port: int
    agent: str
    code: str
    link: str
    pin: str = ""

    def put_in_new_card(self) -> None:
        """Another person's card."""
        card = EmulatedCard()
        made = personalise(card, self.authority.authority, master(), Notes(), now_s=int(time.time()), expires=EXPIRES)
        self.file.write_bytes(card.save())
        self.pin = made.pin

    def settings(self) -> StaffCards:
        """Staff cards as the office's settings would have them."""
        chain = self.folder / "chain.pem"
        chain.write_bytes(self.authority.chain_pem)
        found = staff_cards(StaffSettings(card_chains=(str(chain),), card_agent=self.agent, emulated_cards=True))
        assert found is not None
        return found


@contextmanager
def officers_machine(folder: Path) -> Iterator[Machine]:
    """Start an agent, with a card in its reader."""
    file, office_port, port = folder / "card.json", free_base_port(1), free_base_port(1)
    made = Machine(folder, new_authority(), file, office_port, f"http://127.0.0.1:{port}", "", "")
    made.put_in_new_card()
    file.chmod(0o600)
    origin = f"http://localhost:{office_port}"
    argv = ["card", "agent", "--origin", origin, "--port", str(port), "--file", str(file), "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "cli", *argv],
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            said = json.loads(process.stdout.readline())
            made.code, (made.link,) = said["code"], said["links"]
            yield made
        finally:
            process.terminate()
            process.wait(30)


def use_card(seen: Visit, machine: Machine, form: str) -> Page:
    """Send a form that asks for the card; returns the agent's window."""
    seen.expect(f"left the machine: {machine.agent}")
    with seen.page.expect_popup() as opened:
        seen.page.click(f"form[data-path='{form}'] button[type=submit]")
    window = opened.value
    window.wait_for_selector("#pin")
    return window


def enter_pin(window: Page, pin: str) -> None:
    """Enter the right PIN in the agent's window, which closes once the card has signed."""
    window.fill("#pin", pin)
    with window.expect_event("close"):
        window.click(_SIGN)


def enter_wrong_pin(window: Page) -> None:
    """Enter another one: the window stays and says so."""
    window.fill("#pin", "000000")
    window.click(_SIGN)
    expect(window.locator(".notice.warn")).to_be_visible()
