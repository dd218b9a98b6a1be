# SPDX-License-Identifier: Apache-2.0
"""A real network and two browsers with a passkey each: from the look-up over the enrolment to the certified record."""

import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from statistics import median
from typing import TypeVar

import pytest
from desk_network import REGISTRAR, Network, ServedDesk, running_network, served_desk
from issuer_process import ServedIssuer, served_issuer
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, expect
from sqlalchemy import select
from visiting import Visit, read_code

from chain import receipt
from cli.scenes.residents import Resident, residents
from identity import status_list
from identity.api.desk.tables import DeskPerson
from identity.api.issuer.lists import TICK_S
from identity.sd_jwt import StatusReference
from identity.status_list import Status
from membership.pb import membership_pb2
from service.sign_in.roles import Role
from tests.ports import free_base_port

pytestmark = pytest.mark.network

PEOPLE = list(residents(6, 23))
T = TypeVar("T")
CEREMONY = "main form[data-ceremony] button"
SETTLED_MS_MAX = 120_000
"""A ledger that does not answer at once does so within some rounds of the service."""
TABS_MAX = 120
"""Between two places of a page: the desk's largest has some sixty that take the focus."""
TICK_SLACK_S = 10.0
"""A tick takes some tenths of a second; on a machine with much else to do longer."""
LISTED_S_MAX = 2 * TICK_S + 60.0
"""Until a list says what the ledger says: two ticks, and what those take that are late."""
APPROVAL_S_MAX = 5.0
"""Of one approval beside what the ledger itself takes; the median is printed, and measured alone in docs/desk.md."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with running_network(tmp_path_factory.mktemp("desk") / "net") as made:
        yield made


@pytest.fixture(scope="module")
def issuer_port() -> int:
    return free_base_port(1)


@pytest.fixture(scope="module")
def desk(network: Network, issuer_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedDesk]:
    folder = tmp_path_factory.mktemp("desk-store")
    with served_desk(network, folder, issuer=f"http://localhost:{issuer_port}") as made:
        yield made


@pytest.fixture(scope="module")
def issuer(desk: ServedDesk, issuer_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedIssuer]:
    with served_issuer(desk, tmp_path_factory.mktemp("issuer"), issuer_port) as made:
        yield made


def face() -> bytes:
    """Somebody who does not exist."""
    image = Image.new("RGB", (480, 640), (225, 230, 228))
    pen = ImageDraw.Draw(image)
    pen.ellipse((150, 130, 330, 370), fill=(212, 180, 150))
    pen.ellipse((80, 400, 400, 800), fill=(60, 90, 85))
    made = BytesIO()
    image.save(made, "JPEG")
    return made.getvalue()


def look(seen: Visit, name: str) -> None:
    """Keep a picture, and hold the page against the rules of accessibility."""
    seen.keep(f"desk-{name}")
    assert seen.axe() == []
    assert not seen.is_wider_than_screen()


def until(find: Callable[[], T], holds: Callable[[T], bool]) -> T:
    """Ask until an answer holds."""
    deadline = time.monotonic() + LISTED_S_MAX
    while not holds(found := find()):
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
    return found


def is_anchored(issuer: ServedIssuer, status: StatusReference, text: str) -> bool:
    """Whether the newest anchor on the ledger is of this very list."""
    anchored = issuer.anchored(status)
    return anchored is not None and anchored.digest == hashlib.sha256(text.encode()).digest()


def reach(seen: Visit, selector: str) -> None:
    """Press Tab until the focus is there, as somebody without a mouse does; what cannot be reached so fails."""
    expect(seen.page.locator(selector).first).to_be_enabled()  # some buttons wait for their script
    seen.page.wait_for_load_state()
    for _ in range(TABS_MAX):
        if seen.page.evaluate("wanted => document.activeElement?.matches(wanted)", selector):
            return
        seen.press("Tab")
    raise AssertionError(f"{selector} is not reached by keyboard")


def enrol(seen: Visit, one: Resident) -> str:
    """Enrol somebody by keyboard alone; returns the case's path once it is proposed."""
    seen.open("/look-up")
    seen.page.locator("#wanted:focus").wait_for()  # the page gives the focus some time after its load event
    seen.press("Escape", "g", "e")
    seen.page.wait_for_url("**/enrol")
    reach(seen, "#number")
    seen.page.keyboard.type(one.id_number)
    reach(seen, "#name")
    seen.page.keyboard.insert_text(one.name)
    reach(seen, "#phone")
    seen.page.keyboard.type("13900001234")
    reach(seen, "#address")
    seen.page.keyboard.insert_text("佛山市禅城区同济西路 9 号")
    reach(seen, "input[name=method]")
    while not seen.page.evaluate("document.activeElement.matches('[value=document-inspected]:checked')"):
        seen.press("ArrowDown")
    seen.press("Control+Enter")
    seen.page.wait_for_url("**/cases/*")
    return seen.page.url.removeprefix(seen.origin)


def sign(seen: Visit, case: str, step: str) -> None:
    """Take a step that is signed; the passkey is asked on the case's own page."""
    if not seen.page.url.endswith(case):
        seen.open(case)
    reach(seen, f"form[action='{case}/{step}'] button")
    seen.press("Enter")
    seen.page.locator("#sign").wait_for()
    reach(seen, CEREMONY)
    seen.press("Enter")
    seen.page.locator("main form[data-ceremony]").wait_for(state="detached")
    settled(seen)


def press_to_sign(seen: Visit) -> None:
    """Press the button that asks for the passkey, by Enter, once its script lets it be pressed."""
    button = seen.page.locator(CEREMONY)
    expect(button).to_be_enabled()
    button.press("Enter")


def settled(seen: Visit) -> None:
    """Wait until it is known what became of an act; until then the page looks again by itself."""
    expect(seen.page.locator("main h1")).to_be_visible()
    expect(seen.page.locator("[data-again]")).to_have_count(0, timeout=SETTLED_MS_MAX)


def offered(seen: Visit) -> tuple[str, str]:
    """What a wallet's camera reads from the page of an offer, and the digits that are said aloud."""
    digits = seen.page.locator("dl.figures dd").first.inner_text().replace(" ", "")[:6]
    return read_code(seen.keep("desk-offer")), digits


def revoke(seen: Visit, one: Resident) -> None:
    """An approver ends somebody's registration."""
    seen.open("/look-up")
    seen.page.fill("#wanted", one.name)
    seen.page.check("input[value=at-counter]")
    seen.press("Control+Enter")
    seen.page.locator("main table a").click()
    seen.page.wait_for_url("**/persons/*")
    seen.page.locator("details:has(form[action$='/status/revoke']) > summary").click()
    seen.page.locator("form[action$='/status/revoke'] button").click()
    seen.page.wait_for_url("**/cases/*")
    seen.page.locator("form[action$='/sign'] button").click()
    seen.page.locator("main form[data-ceremony] button").click()
    expect(seen.page.locator(".badge").first).to_contain_text("Done", timeout=SETTLED_MS_MAX)


def test_person_enrolled_and_approved_is_provable_fetches_a_credential_and_loses_it_with_the_registration(
    browser: Browser, desk: ServedDesk, network: Network, issuer: ServedIssuer
) -> None:
    one = PEOPLE[0]
    with (
        desk.officer(browser, Role.CLERK, "Zhang Min", language="zh-CN") as clerk,
        desk.officer(browser, Role.APPROVER, "Chen Hua", size="tablet", language="en") as approver,
    ):
        clerk.open("/")
        look(clerk, "look-up")
        clerk.page.fill("#wanted", one.id_number)
        clerk.page.check("input[value=at-counter]")
        clerk.press("Control+Enter")
        expect(clerk.page.locator("#found")).to_have_text("找到 0 人")
        look(clerk, "nobody")

        clerk.expect("422")  # the form's answer to what is wrong
        clerk.open("/enrol")
        clerk.page.fill("#number", one.id_number[:17] + ("0" if one.id_number[17] != "0" else "1"))
        clerk.page.fill("#name", one.name)
        clerk.page.check("input[value=document-inspected]")
        clerk.press("Control+Enter")
        expect(clerk.page.locator("#number-error")).to_contain_text("校验码")
        look(clerk, "enrol-wrong")
        clerk.page.fill("#number", one.id_number)
        clerk.page.fill("#phone", "13900001234")
        clerk.page.fill("#address", "佛山市禅城区同济西路 9 号")
        look(clerk, "enrol")
        clerk.press("Control+Enter")
        expect(clerk.page.locator("main h1")).to_have_text("登记")
        case = clerk.page.url.removeprefix(clerk.origin).partition("/edit")[0]
        clerk.page.locator("details.unfold summary").first.click()
        clerk.page.set_input_files("#picture-photo", {"name": "face.jpg", "mimeType": "image/jpeg", "buffer": face()})
        clerk.page.click(f"form[action='/pictures/{case.rpartition('/')[2]}/photo'] button")
        expect(clerk.page.locator("figure img")).to_be_visible()
        look(clerk, "ready")
        clerk.page.locator(f"form[action='{case}/propose'] button").press("Enter")
        expect(clerk.page.locator("#sign")).to_be_visible()
        look(clerk, "sign")
        press_to_sign(clerk)
        expect(clerk.page.locator(".badge").first).to_contain_text("待审批")
        look(clerk, "proposed")
        assert clerk.page.locator(f"form[action='{case}/approve']").count() == 0

        approver.open("/cases")
        look(approver, "cases")
        approver.page.click("main table a")
        approver.page.wait_for_url(f"**{case}")
        expect(approver.page.locator("main")).to_contain_text(one.id_number)
        look(approver, "approve")
        approver.page.locator(f"form[action='{case}/approve'] button").press("Enter")
        expect(approver.page.locator("#sign")).to_be_visible()
        press_to_sign(approver)
        expect(approver.page.locator(".badge").first).to_contain_text("Done", timeout=SETTLED_MS_MAX)
        look(approver, "done")
        with approver.page.expect_download() as download:
            approver.page.locator("a[download]").last.click()
        proof = download.value.path().read_bytes()

        clerk.open("/look-up")
        clerk.page.fill("#wanted", one.name)
        clerk.page.check("input[value=at-counter]")
        clerk.press("Control+Enter")
        clerk.page.locator("main table a").click()
        clerk.page.wait_for_url("**/persons/*")
        look(clerk, "person")
        clerk.page.locator("form[action$='/credential'] button").press("Enter")
        expect(clerk.page.locator("main h1")).to_have_text("电子凭证")
        look(clerk, "offer")
        credentials = issuer.fetch(*offered(clerk), count=3)
        names = {f"{found.claims['family_name']}{found.claims['given_name']}" for found in credentials}
        assert names == {one.name}
        assert len({credential.holder_key for credential in credentials}) == 3, "each copy is for a key of its own"
        status = credentials[0].status
        assert status is not None
        _, token = until(lambda: issuer.listed(status), lambda found: is_anchored(issuer, status, found[0]))
        assert status_list.check(token, status) == Status.VALID

        revoke(approver, one)
        revoked_s = time.time()
        is_seen = lambda found: status_list.check(found[1], status) == Status.INVALID  # noqa: E731 - one expression
        _, after = until(lambda: issuer.listed(status), is_seen)
        assert time.time() - revoked_s < 2 * TICK_S, "by the next tick, and not only by the one after"
        assert after.issued_s - token.issued_s >= TICK_S - TICK_SLACK_S, "by a tick, however late the one before began"
    verified = receipt.verify(proof, network.devnet.home.genesis_path.read_bytes())
    (inclusion,) = verified.inclusions
    assert inclusion.operation.type == "identity.Confirm"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_person_is_enrolled_and_approved_by_keyboard_alone_on_a_tablet(
    browser: Browser, desk: ServedDesk, theme: str
) -> None:
    one = PEOPLE[1 if theme == "light" else 2]
    with (
        desk.officer(browser, Role.CLERK, f"He Yong {theme}", size="tablet", language="en") as clerk,
        desk.officer(browser, Role.APPROVER, f"Xu Jing {theme}", size="tablet", language="en") as approver,
    ):
        clerk.theme = theme
        clerk.open(f"/look-up?theme={theme}")
        case = enrol(clerk, one)
        look(clerk, "keyboard-ready")
        sign(clerk, case, "propose")
        expect(clerk.page.locator(".badge").first).to_contain_text("To be approved")
        clerk.press("g", "c")
        clerk.page.wait_for_url("**/cases")
        approver.open("/look-up")
        approver.page.locator("#wanted:focus").wait_for()
        approver.press("Escape", "g", "c")
        approver.page.wait_for_url("**/cases")
        reach(approver, f"main table a[href='{case}']")
        approver.press("Enter")
        approver.page.wait_for_url(f"**{case}")
        sign(approver, case, "approve")
        expect(approver.page.locator(".badge").first).to_contain_text("Done", timeout=SETTLED_MS_MAX)


def test_approval_becomes_a_certified_record_while_its_officer_waits(browser: Browser, desk: ServedDesk) -> None:
    spans, certified = [], []
    with (
        desk.officer(browser, Role.CLERK, "Lin Na", language="en") as clerk,
        desk.officer(browser, Role.APPROVER, "Guo Wei", language="en") as approver,
    ):
        for one in PEOPLE[3:]:
            case = enrol(clerk, one)
            sign(clerk, case, "propose")
            approver.open(case)
            approver.page.locator(f"form[action='{case}/approve'] button").click()
            approver.page.locator("#sign").wait_for()
            began = time.monotonic()
            approver.page.locator("main form[data-ceremony] button").click()
            expect(approver.page.locator(".badge").first).to_contain_text("Done", timeout=SETTLED_MS_MAX)
            spans.append(time.monotonic() - began)
            began = time.monotonic()
            desk.network.submit([desk.network.signer(REGISTRAR)], something())
            certified.append(time.monotonic() - began)
    print(f"approval to certified record, browser included: p50 {median(spans):.2f} s of {len(spans)}")
    assert min(spans) < APPROVAL_S_MAX + max(certified)


def something() -> membership_pb2.Anchor:
    """What the ledger takes at once."""
    kind, stream = membership_pb2.ANCHOR_KIND_AUDIT, secrets.token_bytes(16)
    return membership_pb2.Anchor(kind=kind, stream=stream, digest=secrets.token_bytes(32), size=1)


def has_people(desk: ServedDesk) -> bool:
    with desk.store.read() as session:
        return session.scalar(select(DeskPerson.id)) is not None


def test_nothing_of_anybody_is_in_a_validators_database_or_log(
    browser: Browser, desk: ServedDesk, network: Network
) -> None:
    """Runs after the others of this file: what they left behind is looked through; somebody at least is enrolled."""
    if not has_people(desk):  # another process has the tests before
        with desk.officer(browser, Role.CLERK, "Gao Jie", language="en") as clerk:
            sign(clerk, enrol(clerk, PEOPLE[0]), "propose")
    assert has_people(desk)
    words = ["13900001234", "佛山市禅城区同济西路 9 号"]
    words += [text for one in PEOPLE for text in (one.name, one.id_number, f"resident|{one.id_number}")]
    traces = [word.encode() for word in words]
    for maker in (hashlib.sha256, hashlib.sha1, hashlib.md5):
        digests = [maker(word.encode()).digest() for word in words]
        traces += [*digests, *(digest.hex().encode() for digest in digests)]
    traces.append(face()[200:232])
    network.devnet.stop(network.devnet.names)
    files = [path for path in network.devnet.root.rglob("*") if path.is_file()]
    assert any(path.suffix in {".ldb", ".log"} for path in files)
    written = {path: path.read_bytes() for path in files}
    assert sum(len(content) for content in written.values()) > 100_000
    found = [f"{path.name}: {trace!r}" for path, content in written.items() for trace in traces if trace in content]
    assert found == []
