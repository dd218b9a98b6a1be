# SPDX-License-Identifier: Apache-2.0
"""Traders' and regulators' pages in a real browser: harvest to sale on a phone, drafts kept offline, recalls.

The ledger's own rules stand behind them, in memory, and verify each passkey's signature.
"""

import io
import re
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from office_rig import join
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select
from store_rig import Rig
from trade_rig import OFFICE, Made, trade_service
from visiting import (
    CHROMIUM_FLAGS,
    LAUNCH_MS_MAX,
    WAIT_MS_MAX,
    WHOLE_CHROMIUM,
    Size,
    Visit,
    serve,
    server_socket,
    visiting,
)

from chain.signing import Scheme, Signer
from service.settings import local_address
from service.sign_in.people import first_link, invite
from service.sign_in.roles import Role
from service.sign_in.sessions import Officer
from service.sign_in.tables import ACTIVE, Passkey, StaffMember
from tests.ports import free_base_port
from tests.trace_rig import TRADERS, kg, lot
from traceability.api.labels import label_png
from traceability.api.shopper.complaints import Complaints
from traceability.api.trader import offline
from traceability.recalls import load_recall

FARM, MARKET = TRADERS["farm"][0], TRADERS["market"][0]
LANGUAGES = ("zh-CN", "en")


class LiveRig(Rig):
    """A rig whose clock is the machine's: browsers have no other."""

    @property
    def clock_ms(self) -> int:  # type: ignore[override]  # a field there
        return time.time_ns() // 1_000_000

    @clock_ms.setter
    def clock_ms(self, value: int) -> None:
        del value


class Served:
    """The service as browsers find it."""

    def __init__(self, folder: Path) -> None:
        self.port = free_base_port(1)
        self.rig = LiveRig(folder, None)
        self.made: Made = trade_service(self.rig, local_address("trace", f"127.0.0.1:{self.port}"))
        self.boss: Officer | None = None

    @property
    def origin(self) -> str:
        return self.made.office.address.public_origin

    @contextmanager
    def somebody(
        self, browser: Browser, organisation: str, role: Role, *, size: Size = "phone", language: str = "zh-CN"
    ) -> Iterator[Visit]:
        """Somebody with a passkey that the ledger knows."""
        link = invite(self.made.office, self._boss(), "Zhang Min", organisation, role)
        with visiting(browser, self.origin, size=size, language=language) as seen:
            seen.add_authenticator()
            join(seen, link, "Key")
            key = self._newest_key()
            if role is Role.TRADER:
                self.made.ledger.give_key(key, organisation)
            else:
                self.made.ledger.appoint(key, organisation)
            yield seen

    def _boss(self) -> Officer:
        """An administrator without a browser: what they do in pages other tests hold."""
        if self.boss is None:
            first_link(self.made.office, "Li Wei", OFFICE)
            with self.made.store.write() as session:
                member = session.scalar(select(StaffMember))
                assert member is not None
                member.state = ACTIVE
            self.boss = Officer(member.id, member.person_id, "Li Wei", Role.ADMINISTRATOR, OFFICE, "0" * 32, "", 0, b"")
        return self.boss

    def _newest_key(self) -> Signer:
        with self.made.store.read() as session:
            public_key = session.scalar(select(Passkey.public_key).order_by(Passkey.created_ms.desc()))
        assert public_key is not None
        return Signer(Scheme.WEBAUTHN_ES256, public_key)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = Served(tmp_path_factory.mktemp("trade"))
    with serve(made.made.parts, "trace", made.port):
        yield made
    made.made.ledger.engine.dispose()
    made.rig.close()


def judged(seen: Visit, name: str) -> None:
    """A picture to look at, and what a machine finds wrong."""
    seen.keep(f"food-{name}")
    assert seen.axe() == []
    assert not seen.is_wider_than_screen(), name


def sign(page: Page) -> None:
    """Read an act and sign it, to the page of its record."""
    page.click("main form[data-ceremony] button")
    page.wait_for_url("**/trade/records/*")
    expect(page.locator("main .notice.good")).to_be_visible()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("size", ["phone", "desktop"])
def test_stranger_who_is_lost_comes_to_a_start_page_that_leads_on(
    served: Served, browser: Browser, size: Size, language: str
) -> None:
    with visiting(browser, served.origin, size=size, language=language) as seen:
        seen.expect("404")
        page = seen.open("/nowhere")
        page.click("main a.btn")
        expect(page.locator("main .tile")).to_have_count(3)
        judged(seen, "start")
        page.click('main a[href="/trade"]')
        page.wait_for_url(re.compile("/sign-in"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_goods_go_from_harvest_to_sale_on_phones_with_few_taps(
    served: Served, browser: Browser, tmp_path: Path, language: str
) -> None:
    name = f"2611-{'A' if language == 'en' else 'B'}"
    item = lot(name)
    with served.somebody(browser, FARM, Role.TRADER, language=language) as farm:
        page = farm.open("/trade")
        judged(farm, "trade-home-empty")
        page.click('a[href="/trade/record/harvest"]')
        page.fill("#quantity", "100")
        page.fill("#lot", name)
        judged(farm, "trade-harvest")
        page.click("main form button[type=submit]")
        page.wait_for_url("**/trade/sign/*")
        judged(farm, "trade-sign")
        sign(page)
        judged(farm, "trade-harvested")
        assert served.made.ledger.holding(item, "farm").quantity == kg(100)

        page = farm.open("/trade/record/ship")
        picture = tmp_path / "label.png"
        picture.write_bytes(label_png(f"{served.origin}/{item}"))
        page.set_input_files('[data-scan="code-0"] input', picture)
        expect(page.locator("#item-0")).to_have_value(item)
        expect(page.locator("#quantity-0")).to_have_value("100")
        page.fill("#quantity-0", "60")
        page.fill("#partner-code", MARKET)
        judged(farm, "trade-ship")
        page.click("main form button[type=submit]:not([hidden])")
        page.wait_for_url("**/trade/sign/*")
        sign(page)
        judged(farm.open("/trade") and farm, "trade-home")
    with served.somebody(browser, MARKET, Role.TRADER, language=language) as market:
        page = market.open("/trade")
        judged(market, "trade-market")
        page.click('a[href^="/trade/record/receive"]')
        page.fill("#quantity-0", "70")
        judged(market, "trade-receive")
        page.click("main form button[type=submit]")
        page.wait_for_url("**/trade/sign/*")
        sign(page)
        expect(page.locator("main .notice.warn")).to_be_visible()
        judged(market, "trade-discrepancy")
        page = market.open("/trade/record/sell")
        page.select_option("#item-0", item)
        page.fill("#quantity-0", "500")
        page.click("main form button[type=submit]")
        page.wait_for_url("**/trade/sign/*")
        page.click("main form[data-ceremony] button")
        page.wait_for_url("**/trade/records/*")
        expect(page.locator("main .notice.warn")).to_be_visible()
        judged(market, "trade-refused")
        page.click('main a[href="/trade/record/sell"]')
        page.select_option("#item-0", item)
        page.fill("#quantity-0", "10")
        page.click("main form button[type=submit]")
        page.wait_for_url("**/trade/sign/*")
        sign(page)
        market.open("/trade/records")
        judged(market, "trade-records")
        market.open("/trade/agents")
        judged(market, "trade-agents")


def back_online(seen: Visit) -> Page:
    """The start page once there is a connection again; one that takes its time is shown as it was kept, and left."""
    seen.context.set_offline(False)
    deadline = time.monotonic() + WAIT_MS_MAX / 1000
    while (page := seen.open("/trade")).locator("[data-draft-send]").count() == 0:
        assert time.monotonic() < deadline, "the service does not answer in time"
    return page


def test_draft_is_kept_without_a_connection_and_sent_and_signed_later(
    served: Served, browser: Browser, tmp_path: Path
) -> None:
    from PIL import Image  # noqa: PLC0415 - one test draws a picture

    photo = tmp_path / "field.jpg"
    made = io.BytesIO()
    Image.effect_noise((2400, 1800), 60).convert("RGB").save(made, "JPEG")
    photo.write_bytes(made.getvalue())
    with served.somebody(browser, FARM, Role.TRADER) as farm:
        farm.expect("ERR_INTERNET_DISCONNECTED|Failed to load resource|failed: ")
        page = farm.open("/trade/record/harvest")
        page.fill("#quantity", "7")
        page.fill("#lot", "OFF-1")
        page.set_input_files("#photo", photo)
        page.evaluate("navigator.serviceWorker.ready.then(() => true)")  # its script is asked for meanwhile
        farm.context.set_offline(True)
        page.click("main form button[type=submit]")
        expect(page.locator("[data-trade-said]")).to_contain_text("已保存在本设备")
        farm.keep("food-trade-kept")
        page = back_online(farm)
        expect(page.locator("[data-draft-list] li")).to_have_count(1)
        judged(farm, "trade-drafts")
        page.click("[data-draft-send]")
        expect(page.locator("[data-drafts]")).to_be_hidden()
        page.click('a[href^="/trade/sign/"]')
        sign(page)
        expect(page.locator(".trade-photo img")).to_be_visible()
        assert served.made.ledger.holding(lot("OFF-1"), "farm").quantity == kg(7)


def test_forms_open_without_a_connection_on_a_phone_that_was_there_before(served: Served, browser: Browser) -> None:
    with served.somebody(browser, FARM, Role.TRADER) as farm:
        farm.expect("ERR_INTERNET_DISCONNECTED|Failed to load resource|failed: ")
        page = farm.open("/trade/record/harvest")  # the phone learns whose it is
        page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        farm.context.set_offline(True)
        page = farm.open("/trade")
        expect(page.locator("h1")).to_have_text("离线记录")
        judged(farm, "trade-offline")
        page.click('a[href="/trade/offline/harvest"]')
        expect(page.locator("#actor")).to_have_value(FARM)
        page.fill("#quantity", "9")
        page.fill("#lot", "SW-1")
        judged(farm, "trade-offline-harvest")
        page.click("main form button[type=submit]")
        expect(page.locator("[data-trade-said]")).to_contain_text("已保存在本设备")
        page = back_online(farm)
        expect(page.locator("[data-draft-list] li")).to_have_count(1)
        page.click("[data-draft-send]")
        expect(page.locator("[data-drafts]")).to_be_hidden()
        page.click('a[href^="/trade/sign/"]')
        sign(page)
        assert served.made.ledger.holding(lot("SW-1"), "farm").quantity == kg(9)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[tuple[Served, ExitStack]]:
    """A service that this test may stop, and what stops it."""
    made = Served(tmp_path)
    with ExitStack() as stack:
        stack.enter_context(serve(made.made.parts, "trace", made.port))
        yield made, stack
    made.made.ledger.engine.dispose()
    made.rig.close()


@contextmanager
def hanging(port: int) -> Iterator[None]:
    """A server that takes connections and says nothing."""
    with server_socket(port) as (listener, _):
        listener.listen(64)
        yield


@contextmanager
def failing(port: int) -> Iterator[None]:
    """A server that answers 502, as a proxy does whose service is away."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(502)

        def log_message(self, *_arguments: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", port), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def test_forms_open_while_connections_hang_or_the_server_fails(own: tuple[Served, ExitStack], browser: Browser) -> None:
    served, stack = own
    with served.somebody(browser, FARM, Role.TRADER) as farm:
        farm.expect("ERR_|Failed to load resource|failed: |Failed to update a ServiceWorker")
        page = farm.open("/trade/record/harvest")  # the phone learns whose it is
        page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        stack.close()
        for instead in (hanging, failing):
            with instead(served.port):
                began_s = time.monotonic()
                page = farm.open("/trade")
                expect(page.locator("h1")).to_have_text("离线记录")
                page.click('a[href="/trade/offline/harvest"]')
                expect(page.locator("#actor")).to_have_value(FARM)
                assert time.monotonic() - began_s < WAIT_MS_MAX / 1000


def test_page_of_another_build_is_not_kept(served: Served, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = offline._worker()
    version = worker.version
    with served.somebody(browser, FARM, Role.TRADER) as farm:
        monkeypatch.setattr(worker, "version", "0" * 16)  # of pages; the worker goes with the files that there are
        page = farm.open("/trade/record/harvest")
        page.wait_for_timeout(1000)
        found = "navigator.serviceWorker.getRegistration('/trade').then(found => found?.active ?? null)"
        assert page.evaluate(found) is None
        monkeypatch.setattr(worker, "version", version)
        page.reload()
        page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        listed = "name => caches.open(name).then(one => one.keys()).then(all => all.map(each => each.url))"
        kept = page.evaluate(listed, f"zhixin-trade-{version}")
        assert f"{served.origin}/trade/offline/harvest" in kept


def test_more_lines_are_added_on_the_phone_and_each_is_recorded(served: Served, browser: Browser) -> None:
    ledger = served.made.ledger
    for name in ("M1", "M2"):
        ledger.harvested(10, lot(name))
    with served.somebody(browser, FARM, Role.TRADER) as farm:
        page = farm.open("/trade/record/ship")
        page.fill("#code-0", lot("M1"))
        page.fill("#quantity-0", "10")
        page.click("[data-add-line]")
        page.fill("#code-1", lot("M2"))
        page.fill("#quantity-1", "4")
        page.fill("#partner-code", MARKET)
        judged(farm, "trade-lines")
        page.click("main form button[type=submit]")
        page.wait_for_url("**/trade/sign/*")
        sign(page)
        assert ledger.transit(lot("M2"), "farm", "market").quantity == kg(4)


def test_batch_s_certificate_is_made_on_the_phone(served: Served, browser: Browser) -> None:
    served.made.ledger.harvested(10, lot("P1"))
    with served.somebody(browser, FARM, Role.TRADER) as farm:
        page = farm.open("/trade/papers")
        page.select_option("#choice", lot("P1"))
        page.fill("#promiser", "欧阳明月")
        page.fill("#contact", "0757-82340000")
        page.check("input[value=own-test]")
        judged(farm, "trade-papers")
        with page.expect_download() as download:
            page.click("main form button[type=submit]")
        assert Path(download.value.path()).read_bytes().startswith(b"%PDF-")


@pytest.mark.parametrize("language", LANGUAGES)
def test_regulator_finds_a_lot_drills_and_recalls_it(served: Served, browser: Browser, language: str) -> None:
    ledger, item = served.made.ledger, lot(f"R-{language}")
    ledger.harvested(100, item)
    ledger.delivered(item, 80)
    ledger.by("market", "sell", lines={item: kg(5)})
    ledger.by("farm", "sell", lines={item: kg(50)})
    assert ledger.by("farm", "ship", counterparty=MARKET, lines={item: kg(10)}) == ""
    assert ledger.by("market", "receive", counterparty=FARM, lines={item: kg(12)}) == ""
    Complaints(served.made.store).take(item, "spoiled", "440604", "菜叶发黄有异味", served.rig.clock_ms)
    with served.somebody(browser, OFFICE, Role.SUPERVISOR, size="desktop", language=language) as officer:
        page = officer.open("/regulator")
        expect(page.locator("figure.chart > svg")).to_have_count(2)
        judged(officer, "office-dashboard")
        page = officer.open("/regulator/search")
        page.fill("#q", f"R-{language}")
        page.click("main form button")
        page.wait_for_url(re.compile("/regulator/item"))
        judged(officer, "office-item")
        page.click('a[href^="/regulator/drills?item="]')
        page.click("main form button[type=submit]")
        page.wait_for_url(re.compile(r"/regulator/drills/[0-9a-f]{32}"))
        judged(officer, "office-drill")
        page.click('a[href^="/regulator/recalls?drill="]')
        page.check("input[name=kind][value='2']")
        page.select_option("#reason", "2")
        judged(officer, "office-recall")
        page.click("main form button.stop")
        page.wait_for_url(re.compile("/regulator/sign/"))
        judged(officer, "office-sign")
        page.click("main form[data-ceremony] button")
        expect(page.locator("#standing")).to_be_visible()
        assert load_recall(ledger.state.get, item) is not None
        judged(officer, "office-recalls")
        for path in ("discrepancies", "violations", "cold-chain", "complaints", "drills"):
            officer.open(f"/regulator/{path}")
            judged(officer, f"office-{path}")
    with served.somebody(browser, OFFICE, Role.AUDITOR, language=language) as auditor:
        for path in ("", "/violations", f"/item?item={item}"):
            auditor.open(f"/regulator{path}")
            judged(auditor, f"office-phone{path.partition('?')[0].replace('/', '-')}")
    with served.somebody(browser, MARKET, Role.TRADER, language=language) as market:
        page = market.open("/trade")
        expect(page.locator("main .notice.bad").first).to_be_visible()
        judged(market, "trade-notice")


@pytest.mark.parametrize("path", ["/trade", "/trade/record/sell"])
def test_pages_are_readable_in_the_dark(served: Served, browser: Browser, path: str) -> None:
    with served.somebody(browser, FARM, Role.TRADER) as farm:
        farm.page.emulate_media(color_scheme="dark")
        farm.theme = "dark"
        farm.open(path)
        judged(farm, f"dark{path.replace('/', '-')}")


def film(path: Path, link: str) -> Path:
    """A short film for the browser's fake camera: a label on a table, as raw frames (YUV4MPEG2)."""
    from PIL import Image  # noqa: PLC0415 - one test draws pictures

    label = Image.open(io.BytesIO(label_png(link))).convert("L").resize((300, 300), Image.Resampling.NEAREST)
    frame = Image.new("L", (640, 480), 180)
    frame.paste(label, (170, 90))
    raw = b"FRAME\n" + frame.tobytes() + bytes([128]) * (640 * 480 // 2)
    path.write_bytes(b"YUV4MPEG2 W640 H480 F10:1 Ip A1:1 C420jpeg\n" + raw * 10)
    return path


HELD = """
const Own = window.Worker;
window.Worker = class extends Own {
  postMessage(...given) {
    if (sessionStorage.isHeld === "yes") setTimeout(() => this.postMessage(...given), 50);
    else super.postMessage(...given);
  }
};
"""
"""While a test says so, no frame comes to the reader: else the camera's dialog is gone before anybody looks at it."""


def test_processor_reads_a_label_through_the_camera_and_makes_goods_of_it(
    served: Served, browser: Browser, tmp_path: Path
) -> None:
    ledger, item = served.made.ledger, lot("CAM-1")
    ledger.harvested(50, item, "coop")
    scene = film(tmp_path / "label.y4m", f"{served.origin}/{item}")
    fake = ("--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={scene}")
    with browser.browser_type.launch(
        executable_path=WHOLE_CHROMIUM, args=[*CHROMIUM_FLAGS, *fake], timeout=LAUNCH_MS_MAX
    ) as filming:
        for number, language in enumerate(LANGUAGES):
            with served.somebody(filming, TRADERS["coop"][0], Role.TRADER, language=language) as coop:
                coop.expect("status of 422")
                coop.page.add_init_script(HELD)
                page = coop.open("/trade/record/make")
                if number:  # nobody allows the camera: a photo is the way
                    page.click('[data-scan="code-0"]')
                    expect(page.locator("[data-trade-said]")).to_be_visible()
                    with page.expect_file_chooser():
                        page.click('[data-scan="code-0"]')
                    page.reload()
                coop.context.grant_permissions(["camera"], origin=served.origin)
                page.evaluate("sessionStorage.isHeld = 'yes'")
                page.click('[data-scan="code-0"]')
                if not number:
                    expect(page.locator("dialog video")).to_be_visible()
                    judged(coop, "trade-camera")
                page.evaluate("sessionStorage.isHeld = ''")
                expect(page.locator("#item-0")).to_have_value(item)
                expect(page.locator("dialog")).to_have_count(0)
                page.fill("#quantity-0", "20")
                page.fill("#out-quantity-0", "90")
                page.click("main form button[type=submit]")
                expect(page.locator("#out-quantity-0-error")).to_be_visible()
                judged(coop, "trade-make")
                page.fill("#out-quantity-0", "15")
                page.fill("#out-lot-0", f"CUT-{number}")
                page.click("main form button[type=submit]")
                page.wait_for_url("**/trade/sign/*")
                expect(page.locator(".trade-said")).to_contain_text("20")
                judged(coop, "trade-make-sign")
                sign(page)
                judged(coop, "trade-made")
    assert ledger.holding(item, "coop").quantity == kg(10)
