# SPDX-License-Identifier: Apache-2.0
"""`zhixin demo desk`, and what it tells visitors to do step by step, until a wallet holds what their officers made."""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from desk_network import in_thread
from office_rig import join
from playwright.sync_api import Browser, expect
from test_desk import settled
from visiting import ROOT, Visit, read_code, visiting

from cli.devnet.network import bring_up, remove
from cli.scenes.residents import Resident, residents

pytestmark = pytest.mark.network

START_S_MAX = 120.0
COMMAND_S_MAX = 120
PERSON = next(residents(1, 41))


@dataclass(frozen=True)
class Beside:
    """Offices beside a network.

    Attributes:
        said: What the command printed, with `--json`.
    """

    root: Path
    said: dict[str, object]

    def at(self, service: str) -> str:
        services = self.said["services"]
        assert isinstance(services, dict)
        return str(services[service])


def zhixin(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """A command in another terminal."""
    argv = [sys.executable, "-m", "cli", *arguments]
    environment = os.environ | {"ZHIXIN_LANG": "en"}
    return subprocess.run(
        argv, cwd=ROOT, capture_output=True, text=True, timeout=COMMAND_S_MAX, check=True, env=environment
    )


@contextmanager
def offices(root: Path) -> Iterator[Beside]:
    """The command, until it is interrupted."""
    said, log = root / "said.json", root / "said.log"
    argv = [sys.executable, "-m", "cli", "demo", "desk", "--home", str(root), "--json"]
    with said.open("wb") as out, log.open("wb") as errors:
        process = subprocess.Popen(argv, cwd=ROOT, stdout=out, stderr=errors)
        try:
            deadline = time.monotonic() + START_S_MAX
            while not said.read_bytes().endswith(b"\n"):
                assert process.poll() is None, log.read_text(encoding="utf-8")
                assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
                time.sleep(0.2)
            yield Beside(root, json.loads(said.read_text(encoding="utf-8")))
        finally:
            process.terminate()
            assert process.wait(START_S_MAX) == 0, log.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    root = tmp_path_factory.mktemp("offices") / "net"
    network = in_thread(lambda: bring_up(root, validators=4, base_port=None))
    try:
        with offices(root) as made:
            yield made
    finally:
        network.stop(network.names)
        remove(root)


def invited(boss: Visit, name: str, role: str) -> str:
    """The link that the administrator hands over."""
    page = boss.open("/people")
    page.fill("#name", name)
    page.fill("#organisation", "registrar")
    page.check(f"input[name=role][value={role}]")
    page.locator("form[action='/people'] button").last.click()
    return page.locator("#link").inner_text()


def hired(boss: Visit, officer: Visit, name: str, role: str) -> None:
    """Accept an invitation and have the passkey made a key of the organisation."""
    officer.add_authenticator()
    join(officer, invited(boss, name, role), "Key")
    officer.page.click("form[action='/passkeys/register'] button")
    officer.page.wait_for_url("**/acts/*")
    officer.page.click("main form[data-ceremony] button")
    officer.page.locator("main .notice.good a, main a[download]").first.wait_for()


def appointed(beside: Beside) -> None:
    """List the keys; run what the list says comes next."""
    officers = ("registrar", "officers", "--home", str(beside.root), "--settings", str(beside.said["settings"]))
    listed = zhixin(*officers)
    commands = [line.partition("registrar appoint ")[2] for line in listed.stderr.splitlines() if "appoint" in line]
    assert len(commands) == 2, listed.stderr
    for command in commands:
        zhixin("registrar", "appoint", *shlex.split(command))
    deadline = time.monotonic() + COMMAND_S_MAX
    while "appoint" in (again := zhixin(*officers).stderr):  # another node may answer, a block behind
        assert time.monotonic() < deadline, again


def signed(visit: Visit, case: str, step: str) -> None:
    """Take a step that is signed."""
    if not visit.page.url.endswith(case):
        visit.open(case)
    visit.page.click(f"form[action='{case}/{step}'] button")
    visit.page.click("main form[data-ceremony] button")
    visit.page.locator("main form[data-ceremony]").wait_for(state="detached")
    settled(visit)


def enrolled(clerk: Visit, one: Resident) -> str:
    """Draft somebody's registration; the case's path."""
    page = clerk.open("/enrol")
    page.fill("#number", one.id_number)
    page.fill("#name", one.name)
    page.fill("#phone", "13900001234")
    page.fill("#address", "佛山市禅城区同济西路 9 号")
    page.check("input[name=method][value=document-inspected]")
    page.keyboard.press("Control+Enter")
    page.wait_for_url("**/cases/*")
    return page.url.removeprefix(clerk.origin)


def taken(browser: Browser, beside: Beside, link: str, digits: str, name: str, *, language: str = "en") -> None:
    """Take a credential into an empty wallet, as the command or the desk's page says."""
    with visiting(browser, beside.at("citizen"), size="phone", language=language) as phone:
        phone.expect("left the machine: http://localhost:")
        page = phone.open(link.removeprefix(phone.origin))
        expect(page.locator("#offer-title")).to_be_visible()
        page.fill("#digits", digits)
        page.locator("#offer-form button.btn").first.click()
        expect(page.locator("#done-title")).to_be_visible()
        page = phone.open("/")
        expect(page.locator("[data-empty]")).to_be_hidden()
        page.locator("main a, main button").filter(has_text=name).first.wait_for()
        phone.keep(f"demo-wallet-{digits[:1]}")


@pytest.mark.timeout(600)
def test_visitor_who_does_what_the_command_says_has_a_clerk_an_approver_and_a_credential(
    browser: Browser, beside: Beside
) -> None:
    desk = beside.at("desk")
    with (
        visiting(browser, desk, language="zh-CN") as boss,
        visiting(browser, desk, language="en") as clerk,
        visiting(browser, desk, language="zh-CN") as approver,
    ):
        boss.add_authenticator()
        join(boss, str(beside.said["link"]), "Key")
        hired(boss, clerk, "Zhang Min", "clerk")
        hired(boss, approver, "陈华", "approver")
        appointed(beside)
        case = enrolled(clerk, PERSON)
        signed(clerk, case, "propose")
        signed(approver, case, "approve")
        approver.keep("demo-approved")
        clerk.open("/look-up")
        clerk.page.fill("#wanted", PERSON.id_number)
        clerk.page.check("input[value=at-counter]")
        clerk.page.keyboard.press("Control+Enter")
        clerk.page.locator("main table a").click()
        clerk.page.wait_for_url("**/persons/*")
        clerk.page.locator("form[action$='/credential'] button").press("Enter")
        clerk.page.locator("dl.figures dd").first.wait_for()
        code = read_code(clerk.keep("demo-offer"))
        digits = clerk.page.locator("dl.figures dd").first.inner_text().replace(" ", "")[:6]
    taken(browser, beside, f"{beside.at('citizen')}/#{code}", digits, PERSON.name[0])


@pytest.mark.parametrize("language", ["zh-CN", "en"])
def test_credential_of_a_played_resident_comes_into_an_empty_wallet(
    browser: Browser, beside: Beside, language: str
) -> None:
    made = json.loads(zhixin("demo", "credential", "--home", str(beside.root), "--json").stdout)
    taken(browser, beside, made["link"], made["digits"], made["name"][0], language=language)
