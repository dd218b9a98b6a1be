# SPDX-License-Identifier: Apache-2.0
"""A real network of four validators: an officer's passkey becomes a key on the ledger and signs an act there."""

import asyncio
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from card_rig import enter_pin, officers_machine, use_card
from office_rig import join, served_office
from playwright.sync_api import Browser, expect
from visiting import SCREENS, Size, Visit, screenshot, visiting

from chain import receipt
from chain.signing import Scheme, Signer
from cli.devnet.network import Devnet, bring_up, remove
from cli.exits import Exit
from membership.pb import membership_pb2 as pb
from service.sign_in.part import OFFICE_SITE, OfficeLedger, acts_part
from service.sign_in.people import first_link

pytestmark = pytest.mark.network
ROOT = Path(__file__).resolve().parents[2]
CERTIFIED_MS_MAX = 60_000
"""A second on an idle machine; the service itself asks for twenty."""
COMMAND_S_MAX = 180
"""Of a process of the program that asks the network; on an idle machine three."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    root = tmp_path_factory.mktemp("signed-act") / "net"
    made: list[Devnet] = []
    # in a thread of its own: while the browser is there, this one has a running event loop
    starting = threading.Thread(target=lambda: made.append(asyncio.run(bring_up(root, validators=4, base_port=None))))
    starting.start()
    starting.join()
    (found,) = made
    yield found
    found.stop(found.names)
    remove(root)


def registered(seen: Visit, invitation: str, organisation: str) -> bytes:
    """Join, register the passkey on the ledger, and take the receipt."""
    seen.add_authenticator()
    join(seen, invitation, "手机")
    seen.page.click("form[action='/passkeys/register'] button")
    seen.page.wait_for_url("**/acts/*")
    expect(seen.page.locator("main li").first).to_contain_text(organisation)
    expect(seen.page.locator(".notice.warn h2").first).to_have_text("治理密钥存放在本服务中")
    seen.keep("sign-in-act")
    assert seen.axe() == []
    seen.page.click("main form[data-ceremony] button")
    expect(seen.page.locator(".notice.good h2")).to_have_text("已记入账本", timeout=CERTIFIED_MS_MAX)
    seen.keep("sign-in-act-done")
    assert seen.axe() == []
    with seen.page.expect_download() as download:
        seen.page.click("a[download]")
    proof = download.value.path().read_bytes()
    seen.open("/passkeys")
    expect(seen.page.locator(".badge.good", has_text="已登记")).to_be_visible()
    seen.keep("sign-in-passkey-registered")
    assert seen.axe() == []
    return proof


def command_for_a_removed_officer(administrator: Visit, name: str) -> str:
    """Remove somebody, and read what the page says is left to do."""
    administrator.open("/people")
    row = administrator.page.locator("tr", has_text=name)
    row.locator("summary").click()
    row.locator("form[action$='/remove'] button").click()
    expect(administrator.page.locator(".notice.warn h2")).to_contain_text(name)
    administrator.keep("sign-in-people-removed")
    assert administrator.axe() == []
    return administrator.page.locator(".notice.warn code").inner_text()


def test_invited_officer_registers_a_passkey_and_the_signed_act_is_proven_offline(
    browser: Browser, network: Devnet, tmp_path: Path
) -> None:
    home = network.home
    genesis = home.genesis()
    organisation = genesis.founders[0].organisation
    governor = home.signer(organisation)
    acts = acts_part(OfficeLedger(genesis, home.endpoints(genesis), governor=governor), OFFICE_SITE)
    with served_office(tmp_path, lambda _store: [acts]) as office:
        origin = office.address.public_origin
        with visiting(browser, origin, language="en") as administrator:
            administrator.add_authenticator()
            join(administrator, first_link(office, "Li Wei", organisation), "Phone")
            administrator.open("/people")
            administrator.page.fill("#name", "Zhang Min")
            administrator.page.check("input[value=clerk]")
            administrator.page.click("main form[action='/people'] button[type=submit]")
            invitation = administrator.page.locator("#link").inner_text()
            with visiting(browser, origin, size="phone", language="zh-CN") as seen:
                proof = registered(seen, invitation, organisation)
            command = command_for_a_removed_officer(administrator, "Zhang Min")
    verified = receipt.verify(proof, home.genesis_path.read_bytes())
    (inclusion,) = verified.inclusions
    operation = inclusion.operation
    assert operation.type == "membership.AddKey"
    key = pb.AddKey.FromString(operation.body).key.key
    schemes = {signer.scheme: signer.public_key for signer in inclusion.header.signers}
    assert schemes[Scheme.WEBAUTHN_ES256] == key.public_key
    assert schemes[governor.signer.scheme] == governor.signer.public_key
    argv = command.removeprefix("zhixin ").replace("NAME", organisation).split()
    assert zhixin(home.root, *argv).returncode == Exit.DONE
    again = zhixin(home.root, *argv)
    assert again.returncode == Exit.REFUSED
    assert "membership.key-revoked" in again.stdout


def test_officer_registers_a_staff_card_and_its_act_is_proven_offline(
    browser: Browser, network: Devnet, tmp_path: Path
) -> None:
    home = network.home
    genesis = home.genesis()
    organisation = genesis.founders[3].organisation
    acts = acts_part(OfficeLedger(genesis, home.endpoints(genesis), governor=home.signer(organisation)), OFFICE_SITE)
    with (
        officers_machine(tmp_path) as machine,
        served_office(
            tmp_path / "office", lambda _store: [acts], port=machine.office_port, cards=machine.settings()
        ) as office,
        visiting(browser, office.address.public_origin, language="en") as seen,
    ):
        seen.open(machine.link.removeprefix(seen.origin))
        seen.open(first_link(office, "Li Wei", organisation).removeprefix(seen.origin))
        seen.page.locator("[data-invited]").wait_for()
        seen.page.fill("#card_name", "Staff card")
        enter_pin(use_card(seen, machine, "/join/card"), machine.pin)
        seen.page.wait_for_url("**/passkeys")
        seen.page.click("form[action='/passkeys/register'] button")
        seen.page.wait_for_url("**/acts/*")
        seen.keep("card-act")
        assert seen.axe() == []
        window = use_card(seen, machine, urlsplit(seen.page.url).path)
        expect(window.locator("main li").first).to_contain_text("key")
        window.locator("summary").last.click()
        screenshot(window, path=SCREENS / "card-window-act-desktop-en-light.png", full_page=True)
        enter_pin(window, machine.pin)
        expect(seen.page.locator(".notice.good h2")).to_have_text("It stands on the ledger", timeout=CERTIFIED_MS_MAX)
        with seen.page.expect_download() as download:
            seen.page.click("a[download]")
        proof = download.value.path().read_bytes()
    (inclusion,) = receipt.verify(proof, home.genesis_path.read_bytes()).inclusions
    key = pb.AddKey.FromString(inclusion.operation.body).key.key
    assert key.scheme == Scheme.P256
    assert Signer(Scheme.P256, key.public_key) in inclusion.header.signers


def signed_offline(request: Path, key: str, home: Path, digits: str) -> Path:
    """What the keeper of the governing key does, without reaching any network."""
    argv = ["office", "sign-registration", str(request), "--key", key, "--home", str(home), "--fingerprint", digits]
    subprocess.run(
        [sys.executable, "-m", "cli.offline", *argv], cwd=ROOT, timeout=COMMAND_S_MAX, check=True, capture_output=True
    )
    return request.with_suffix(".answer")


def ask_for_registration(seen: Visit, folder: Path, look: str) -> tuple[Path, str]:
    """Download the request of a registration, and read the digits of its page."""
    seen.open("/passkeys")
    seen.page.click("form[action='/passkeys/register'] button")
    seen.page.wait_for_url("**/acts/*")
    seen.keep(f"sign-in-keeper-{look}")
    assert seen.axe() == []
    assert not seen.is_wider_than_screen()
    with seen.page.expect_download() as download:
        seen.page.click("main a[download]")
    request = folder / download.value.suggested_filename
    download.value.save_as(request)
    digits = seen.page.locator("[data-digits] dd code").inner_text()
    assert re.fullmatch(r"[0-9a-f]{4}( [0-9a-f]{4}){3}", digits)
    return request, digits


@pytest.mark.parametrize(("language", "theme", "size"), [("en", "light", "desktop"), ("zh-CN", "dark", "phone")])
def test_officer_registers_a_passkey_whose_governing_key_signs_offline(
    browser: Browser, network: Devnet, tmp_path: Path, language: str, theme: str, size: Size
) -> None:
    home = network.home
    genesis = home.genesis()
    organisation = genesis.founders[1].organisation
    acts = acts_part(OfficeLedger(genesis, home.endpoints(genesis)), OFFICE_SITE)
    with served_office(tmp_path, lambda _store: [acts]) as office:
        origin = office.address.public_origin
        with visiting(browser, origin, language=language, theme=theme, size=size) as seen:
            seen.add_authenticator()
            join(seen, first_link(office, "Li Wei", organisation), "Phone")
            request, digits = ask_for_registration(seen, tmp_path, language)
            answer = signed_offline(request, organisation, home.root, digits)
            seen.page.set_input_files("#answer", answer)
            seen.page.click("main form[enctype] button")
            expect(seen.page.locator(".notice.good h2")).to_be_visible()
            seen.keep(f"sign-in-keeper-signed-{language}")
            assert seen.axe() == []
            seen.page.click("main form[data-ceremony] button")
            expect(seen.page.locator("main a[href$='/receipt']")).to_be_visible(timeout=CERTIFIED_MS_MAX)
            with seen.page.expect_download() as download:
                seen.page.click("main a[href$='/receipt']")
            proof = download.value.path().read_bytes()
    verified = receipt.verify(proof, home.genesis_path.read_bytes())
    (inclusion,) = verified.inclusions
    assert inclusion.operation.type == "membership.AddKey"
    assert home.signer(organisation).signer in inclusion.header.signers


def zhixin(home: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """A command on a home, with its answer as JSON."""
    run = [sys.executable, "-m", "cli", *argv, "--home", str(home), "--json"]
    return subprocess.run(run, cwd=ROOT, timeout=COMMAND_S_MAX, check=False, capture_output=True, text=True)


def test_service_key_is_added_for_submitting_alone_and_once(network: Devnet) -> None:
    root, organisation = network.home.root, network.home.genesis().founders[2].organisation
    assert zhixin(root, "keys", "new", "office", "--plain").returncode == Exit.DONE
    added = zhixin(root, "office", "add-service-key", "office", "--key", organisation)
    assert added.returncode == Exit.DONE, added.stderr
    keys = json.loads(zhixin(root, "org", "show", organisation).stdout)["keys"]
    (own,) = [key for key in keys if key["public_key"] == json.loads(added.stdout)["key"]]
    assert own["purposes"] == ["PURPOSE_SUBMIT"]
    again = zhixin(root, "office", "add-service-key", "office", "--key", organisation)
    assert again.returncode == Exit.REFUSED
    assert "membership.key-exists" in again.stdout
