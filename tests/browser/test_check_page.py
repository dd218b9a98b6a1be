# SPDX-License-Identifier: Apache-2.0
"""The page where anybody drops a receipt: as a file, as text, as photos of QR codes, with and without a connection."""

import io
import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import segno
import zxingcpp
from explored import Shown, settings
from PIL import Image, ImageFilter
from playwright.sync_api import Browser, FilePayload, Page, expect
from visiting import Visit, screenshot, serve, visiting

from chain.receipt_text import from_compact, to_compact
from cli.explorer.build import explorer_parts
from service.explorer import pages, receipt_codes
from service.explorer.receipt_codes import parts_of

KEPT = re.compile("also opens and checks without a connection")
OFFLINE_FAULTS = ("ERR_INTERNET_DISCONNECTED", "ERR_CONNECTION_REFUSED", "ERR_FAILED")
"""What the browser says of requests that fail because there is no connection."""


OUTCOME = """
const own = navigator.serviceWorker.register.bind(navigator.serviceWorker);
navigator.serviceWorker.register = async (...given) => {
  const { installing } = await own(...given);
  installing.addEventListener("statechange", () => {
    if (installing.state === "redundant") window.kept = false;
    if (installing.state === "activated") window.kept = true;
  });
  return own(...given);
};
"""
"""Says whether the page's first worker was installed."""


@pytest.fixture
def own(shown: Shown) -> Iterator[tuple[str, ExitStack]]:
    """An explorer that this test may stop: its origin, and what stops it."""
    with ExitStack() as stack:
        yield stack.enter_context(serve(explorer_parts(settings(shown.home, "index-own")))), stack


def photo(text: str, *, angle: float = 0, shade: int = 255, blur: float = 0, scale: int = 6) -> bytes:
    """A photograph of a code: turned, on grey paper, a little out of focus."""
    drawn = io.BytesIO()
    segno.make_qr(text, error="l", boost_error=False).save(drawn, kind="png", scale=scale, border=6)
    code = Image.open(drawn).convert("L").point(lambda value: 40 + value * (shade - 40) // 255)
    turned = code.rotate(angle, expand=True, fillcolor=shade, resample=Image.Resampling.BICUBIC)
    scene = Image.new("L", (turned.width + 300, turned.height + 200), 120)
    scene.paste(turned, (170, 90))
    taken = io.BytesIO()
    scene.filter(ImageFilter.GaussianBlur(blur)).save(taken, "JPEG", quality=85)
    return taken.getvalue()


def files(*contents: bytes) -> list[FilePayload]:
    return [
        {"name": f"{index}.jpg", "mimeType": "image/jpeg", "buffer": content} for index, content in enumerate(contents)
    ]


def expect_proved(page: Page) -> None:
    expect(page.locator("#verdict")).to_have_attribute("data-state", "proved")


def keep_page(seen: Visit) -> Page:
    """Open the page and wait until the browser has kept it."""
    page = seen.open("/check")
    expect(page.get_by_text(KEPT)).to_be_visible()
    return page


@pytest.mark.parametrize("form", ["binary", "json", "compact"])
def test_dropped_receipt_is_proved_with_the_network_off(browser: Browser, shown: Shown, form: str) -> None:
    raw = shown.receipt(shown.done, form)
    with visiting(browser, shown.origin, language="en") as seen:
        page = seen.open("/check")
        expect(page.get_by_text("also works without a connection")).to_be_visible()
        expect(page.get_by_text(KEPT)).to_be_visible()  # the browser asks for the page's worker meanwhile
        seen.context.set_offline(offline=True)
        page.set_input_files(
            "#receipt-file", {"name": "receipt", "mimeType": "application/octet-stream", "buffer": raw}
        )
        expect(page.locator("#verdict")).to_have_attribute("data-state", "proved")
        expect(page.locator("[data-content]")).to_contain_text("identity.Attest")
        seen.keep(f"explorer-check-{form}")


def test_forged_receipt_on_the_check_page_names_the_step_that_failed(browser: Browser, shown: Shown) -> None:
    forged = shown.receipt(shown.done, "json").replace(b'"leaf_index":', b'"leaf_index":1', 1)
    with visiting(browser, shown.origin, language="zh-CN", size="phone", theme="dark") as seen:
        page = seen.open("/check")
        page.fill("#receipt-text", forged.decode())
        page.get_by_role("button", name="核验").click()
        expect(page.locator("#verdict")).to_have_attribute("data-state", "failed")
        failed = page.locator("#verdict [data-step][data-state=failed]")
        expect(failed).to_have_count(1)
        expect(failed.locator("[data-reason]")).not_to_be_empty()
        expect(page.locator("[data-shows]")).to_be_hidden()
        seen.keep("explorer-check-forged")
        assert seen.axe() == []


@pytest.mark.parametrize("words", ["ZX1:", "nothing at all", "{}", "\u200b receipt", "ZX1:" + "A" * 5000])
def test_text_that_is_no_receipt_is_refused_in_words(browser: Browser, shown: Shown, words: str) -> None:
    with visiting(browser, shown.origin, language="en") as seen:
        page = seen.open("/check")
        page.fill("#receipt-text", words)
        page.get_by_role("button", name="Check", exact=True).click()
        expect(page.locator("[data-step=form]")).to_have_attribute("data-state", "failed")
        expect(page.locator("#verdict")).to_have_attribute("data-state", "failed")


def test_receipt_of_a_refused_transaction_is_genuine_and_says_that_nothing_took_effect(
    browser: Browser, shown: Shown
) -> None:
    with visiting(browser, shown.origin, language="en") as seen:
        page = seen.open("/check")
        page.fill("#receipt-text", to_compact(shown.receipt(shown.refused)))
        page.get_by_role("button", name="Check", exact=True).click()
        expect(page.locator("#verdict")).to_have_attribute("data-state", "proved")
        expect(page.get_by_text("it took no effect")).to_be_visible()


def test_page_that_was_kept_opens_and_proves_after_a_reload_with_the_network_switched_off(
    browser: Browser, shown: Shown
) -> None:
    with visiting(browser, shown.origin, language="en") as seen:
        for fault in OFFLINE_FAULTS:
            seen.expect(fault)
        page = keep_page(seen)
        raw = shown.receipt(shown.done)
        seen.context.set_offline(offline=True)
        page.reload()
        page.fill("#receipt-text", to_compact(raw))
        page.get_by_role("button", name="Check", exact=True).click()
        expect_proved(page)
        page.set_input_files("#receipt-photo", files(photo(to_compact(raw))))
        expect(page.get_by_text("Looking for a QR code")).to_have_count(0)
        expect_proved(page)
        seen.keep("explorer-check-offline")


def test_page_that_was_kept_opens_in_its_language_in_a_new_tab_after_the_server_is_gone(
    browser: Browser, shown: Shown, own: tuple[str, ExitStack]
) -> None:
    origin, stack = own
    raw = shown.receipt(shown.done)
    with visiting(browser, origin, language="zh-CN") as seen:
        for fault in OFFLINE_FAULTS:
            seen.expect(fault)
        page = seen.open("/check?lang=en&theme=dark")
        expect(page.get_by_text(KEPT)).to_be_visible()
        page.close()
        stack.close()  # nothing answers at that address any more
        page = seen.context.new_page()
        page.goto(f"{origin}/check")
        expect(page.get_by_role("heading", name="Check a receipt")).to_be_visible()
        assert page.locator("html").get_attribute("data-theme") == "dark"
        page.set_input_files(
            "#receipt-file", {"name": "receipt", "mimeType": "application/octet-stream", "buffer": raw}
        )
        expect_proved(page)
        with pytest.raises(Exception, match="ERR_CONNECTION_REFUSED"):
            page.goto(f"{origin}/transactions")  # its scope is the one page


def test_browser_keeps_exactly_the_files_of_the_page_and_no_other_page(browser: Browser, shown: Shown) -> None:
    with visiting(browser, shown.origin, language="en") as seen:
        page = keep_page(seen)
        page.set_input_files("#receipt-photo", files(photo(to_compact(shown.receipt(shown.done)))))
        expect_proved(page)
        seen.open("/transactions")
        seen.open("/check")
        listed = page.evaluate(
            """async () => {
                const names = await caches.keys();
                const requests = await (await caches.open(names[0])).keys();
                return [names, requests.map(request => new URL(request.url)).map(url => url.pathname + url.search)];
            }"""
        )
        names, kept = listed
        network = page.locator("[data-check]").get_attribute("data-network")
        static = pages.static_files()
        assert len(names) == 1
        wanted = {f"/static/{path}" for path in static.needed(pages.OFFLINE_ENTRIES)}
        assert sorted(kept) == sorted(wanted | {"/check", f"/v1/genesis?network={network}"})
        scopes = page.evaluate("navigator.serviceWorker.getRegistrations().then(all => all.map(one => one.scope))")
        assert scopes == [f"{shown.origin}/check"]


def test_new_build_replaces_what_the_old_one_kept(
    browser: Browser, shown: Shown, own: tuple[str, ExitStack], monkeypatch: pytest.MonkeyPatch
) -> None:
    origin, stack = own
    port = int(origin.rpartition(":")[2])
    with visiting(browser, origin, language="en") as seen:
        page = keep_page(seen)
        before = page.evaluate("caches.keys()")
        stack.close()
        monkeypatch.setattr(
            pages, "OFFLINE_ENTRIES", (*pages.OFFLINE_ENTRIES, "style-page.js")
        )  # as if the page loaded one more
        with serve(explorer_parts(settings(shown.home, "index-own")), port=port):
            page.reload()
            seen.until("before => caches.keys().then(now => now.length === 1 && now[0] !== before)", before[0])
            (now,) = page.evaluate("caches.keys()")
            listed = "name => caches.open(name).then(one => one.keys()).then(all => all.map(each => each.url))"
            kept = page.evaluate(listed, now)
            assert any(url.endswith("/style-page.js") for url in kept)


def test_file_that_is_altered_on_its_way_is_not_kept(browser: Browser, shown: Shown) -> None:
    with visiting(browser, shown.origin, language="en") as seen:
        seen.expect("integrity|digest")
        altered: list[str] = []

        def alter(route: object) -> None:
            altered.append(route.request.url)
            route.fulfill(body="self.onmessage = () => {}", content_type="text/javascript")

        seen.page.add_init_script(OUTCOME)
        seen.context.route(re.compile("qr-reader.js"), alter)
        page = seen.open("/check")
        expect(page.get_by_text("as long as it stays open")).to_be_visible()
        seen.until("window.kept === false")
        assert altered
        assert page.get_by_text(KEPT).count() == 0
        assert page.evaluate("navigator.serviceWorker.getRegistration().then(found => found?.active ?? null)") is None


@pytest.mark.parametrize(
    "taken",
    [{}, {"angle": 9, "shade": 200}, {"angle": 180, "blur": 1.2}, {"angle": -20, "shade": 170, "scale": 9}],
    ids=["flat", "turned on grey paper", "upside down and blurred", "turned, dark, large"],
)  # fmt: skip
def test_photo_of_a_qr_code_is_read_by_a_browser_without_a_reader_of_its_own(
    browser: Browser, shown: Shown, taken: dict[str, float]
) -> None:
    compact = to_compact(shown.receipt(shown.done))
    with visiting(browser, shown.origin, language="en") as seen:
        loaded: list[str] = []
        seen.page.on("request", lambda request: loaded.append(request.url))
        page = seen.open("/check")
        assert page.evaluate("typeof BarcodeDetector") == "undefined"
        expect(page.get_by_text(re.compile("^Ready"))).to_be_visible()
        page.set_input_files("#receipt-photo", files(photo(compact, **taken)))
        expect_proved(page)
        expect(page.locator("[data-content]")).to_contain_text("identity.Attest")


def test_reader_of_qr_codes_is_loaded_by_the_page_only_once_a_photo_was_chosen(browser: Browser, shown: Shown) -> None:
    with visiting(browser, shown.origin, language="en", service_workers="block") as seen:
        seen.expect("registration blocked by Playwright")
        loaded: list[str] = []
        seen.context.on("request", lambda request: loaded.append(request.url))
        page = seen.open("/check")
        expect(page.get_by_text("as long as it stays open")).to_be_visible()
        assert not [url for url in loaded if "qr-reader" in url]
        page.set_input_files("#receipt-photo", files(photo("ZX1:no receipt")))
        expect(page.locator("#verdict")).to_have_attribute("data-state", "failed")
        assert [url for url in loaded if "qr-reader" in url]


def test_receipt_in_several_codes_is_put_together_from_photos_in_any_order(
    browser: Browser, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipt_codes, "QR_VERSION_30_CHARACTERS", 200)
    monkeypatch.setattr(receipt_codes, "PART_CHARACTERS", 400)
    texts = parts_of(to_compact(shown.receipt(shown.done)))
    others = parts_of(to_compact(shown.receipt(shown.refused)))
    assert len(texts) > 2
    with visiting(browser, shown.origin, language="en", size="phone") as seen:
        page = seen.open("/check")
        expect(page.get_by_text(re.compile("^Ready"))).to_be_visible()
        page.set_input_files("#receipt-photo", files(photo(others[0])))
        expect(page.get_by_text(f"1 of {len(others)} codes read")).to_be_visible()
        page.set_input_files("#receipt-photo", files(photo(texts[-1])))
        expect(page.get_by_text(f"1 of {len(texts)} codes read")).to_be_visible()
        seen.keep("explorer-check-part")
        page.set_input_files("#receipt-photo", files(*map(photo, texts[:-1])))
        expect_proved(page)
        page.fill("#receipt-text", "\n".join(reversed(texts)))
        page.get_by_role("button", name="Check", exact=True).click()
        expect_proved(page)
        seen.expect("404")  # of a favicon: a picture names none
        page.goto(f"{shown.origin}/v1/transactions/{shown.done}/operations/0/receipt.svg")
        drawn = Image.open(io.BytesIO(screenshot(page.locator("svg").first)))
        heads, pieces = zip(
            *(found.text.split(":", 1) for found in zxingcpp.read_barcodes(drawn, zxingcpp.BarcodeFormat.QRCode)),
            strict=True,
        )
        count = len(heads)
        assert count > 2
        assert [head.split("/")[:3] for head in heads] == [["ZX1", str(part + 1), str(count)] for part in range(count)]
        assert len({head.split("/")[3] for head in heads}) == 1
        from_compact("".join(pieces))  # a receipt of this moment


def test_verdict_on_one_receipt_is_taken_back_before_another_is_looked_at(browser: Browser, shown: Shown) -> None:
    with visiting(browser, shown.origin, language="en") as seen:
        page = seen.open("/check")
        page.fill("#receipt-text", to_compact(shown.receipt(shown.done)))
        page.get_by_role("button", name="Check", exact=True).click()
        expect_proved(page)
        expect(page.locator("[data-shows]")).to_be_visible()
        page.set_input_files("#receipt-photo", files(b"no picture"))
        expect(page.get_by_text("No QR code was found")).to_be_visible()
        expect(page.locator("#verdict")).to_have_attribute("data-state", "waiting")
        expect(page.locator("#verdict [data-step][data-state=proved]")).to_have_count(0)
        expect(page.locator("[data-shows]")).to_be_hidden()


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xd8\xff\xe0 cut off", photo("ZX1:AAAA")[:900], b"<svg xmlns='http://www.w3.org/2000/svg'/>"],
    ids=["empty", "head only", "cut off", "svg"],
)  # fmt: skip
def test_picture_without_a_code_or_none_at_all_is_answered_in_words(
    browser: Browser, shown: Shown, content: bytes
) -> None:
    with visiting(browser, shown.origin, language="en") as seen:
        page = seen.open("/check")
        expect(page.get_by_text(re.compile("^Ready"))).to_be_visible()
        page.set_input_files("#receipt-photo", files(content))
        expect(page.get_by_text("No QR code was found")).to_be_visible()
        expect(page.locator("#verdict")).to_have_attribute("data-state", "waiting")


@pytest.mark.parametrize(
    "words", ["ZX1/2/1/AAAAAAAA:x", "ZX1/1/99/AAAAAAAA:x", "ZX1/1/2/aaaaaaaa:x", "ZX1/0/2/AAAAAAAA:x"]
)
def test_text_that_only_looks_like_a_part_is_refused_as_a_receipt(browser: Browser, shown: Shown, words: str) -> None:
    with visiting(browser, shown.origin, language="en") as seen:
        page = seen.open("/check")
        page.fill("#receipt-text", words)
        page.get_by_role("button", name="Check", exact=True).click()
        expect(page.locator("[data-step=form]")).to_have_attribute("data-state", "failed")


def test_browsers_own_reader_is_used_where_there_is_one(browser: Browser, shown: Shown) -> None:
    compact = to_compact(shown.receipt(shown.done))
    reader = f"""window.BarcodeDetector = class {{
        static getSupportedFormats() {{ return Promise.resolve(['qr_code']); }}
        detect() {{ return Promise.resolve([{{rawValue: {compact!r}}}]); }}
    }};"""
    with visiting(browser, shown.origin, language="en") as seen:
        seen.page.add_init_script(reader)  # Debian's Chromium has none: what it hands over is what is tested
        page = seen.open("/check")
        page.set_input_files("#receipt-photo", files(photo("another text")))
        expect_proved(page)
