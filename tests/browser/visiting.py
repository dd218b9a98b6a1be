# SPDX-License-Identifier: Apache-2.0
"""A browser's visit to a service: what it may not do is watched, what it sees can be kept and judged."""

import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import uvicorn
import zxingcpp
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Request
from playwright.sync_api import Error as PlaywrightError

from service.app import Part, create_app
from service.idempotency import Replays
from service.settings import LimitSettings, Settings, local_address

ROOT = Path(__file__).resolve().parents[2]
SCREENS = ROOT / ".artefacts" / "screens"
AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"

CHROMIUM = "/usr/bin/chromium-headless-shell"
"""Debian's Chromium without the windows around its pages, which take half of the processor's time and nobody sees."""
WHOLE_CHROMIUM = "/usr/bin/chromium"
"""With its windows: what asks for a camera is answered by them."""
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--font-render-hinting=none",
)

Size = Literal["phone", "tablet", "desktop", "kiosk"]
SIZES: dict[Size, tuple[int, int]] = {
    "phone": (390, 844),
    "tablet": (820, 1180),
    "desktop": (1440, 900),
    "kiosk": (1080, 1920),
}
SCREENSHOTS_MAX = 5
WAIT_MS_MAX = 30_000
"""A page takes a tenth of a second; a machine with many tests at once takes its time."""
PACE_MS = 22.0
"""What `PACED` takes on the machine on which the aims were set, alone."""
PACED = """() => {
  const began = performance.now();
  let sum = 1;
  for (let i = 0; i < 2e7; i += 1) sum = Math.imul(sum ^ i, 16777619);
  return sum === 0 ? 0 : performance.now() - began;
}"""
LAUNCH_MS_MAX = 120_000
"""A browser starts in a second on an idle machine; on one with twenty neighbours in a minute."""
START_S_MAX = 90.0
"""A service that does not listen by then never will."""


def screenshot(of: Page | Locator, **options: Any) -> bytes:
    """A picture; taken again where the browser was between two pages and had none to take."""
    for _ in range(SCREENSHOTS_MAX - 1):
        try:
            return of.screenshot(**options)
        except PlaywrightError as error:
            if "Unable to capture screenshot" not in error.message:
                raise
        (of if isinstance(of, Page) else of.page).wait_for_timeout(200)
    return of.screenshot(**options)


@contextmanager
def serve(
    parts: Sequence[Part], service: str = "explorer", port: int = 0, replays: Replays | None = None
) -> Iterator[str]:
    """Serve parts on a port of this machine (0: a free one) in a thread; yields the origin.

    Passkeys need the name localhost.
    """
    server = uvicorn.Server(uvicorn.Config(lambda: None, log_level="error", lifespan="on", ws="none"))
    with server_socket(port) as (listener, bound):
        generous = LimitSettings(address_per_second=10_000, address_burst=10_000)
        address = local_address(service, f"127.0.0.1:{bound}")
        server.config.app = create_app(parts, replace(Settings(), limits=generous), address, replays=replays)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + START_S_MAX
        while not server.started:
            assert thread.is_alive(), "the service ended"
            assert time.monotonic() < deadline, "the service did not start in time"
            time.sleep(0.01)
        try:
            yield f"http://localhost:{bound}"
        finally:
            server.should_exit = True
            thread.join(START_S_MAX)
            assert not thread.is_alive(), "the service did not stop"


@contextmanager
def server_socket(port: int = 0) -> Iterator[tuple[Any, int]]:
    """A listening socket on a port, 0: one that is free."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        yield listener, listener.getsockname()[1]


@dataclass
class Visit:
    """One page of a fresh browser profile.

    Whatever must not happen is collected in `faults`: errors in the console or in scripts, requests to another host,
    requests that fail. `expect` names what a test provokes on purpose.
    """

    origin: str
    context: BrowserContext
    page: Page
    size: Size
    language: str
    theme: str
    faults: list[str] = field(default_factory=list)
    _expected: list[re.Pattern[str]] = field(default_factory=list)

    def open(self, path: str) -> Page:
        """Go to a path and wait until its scripts have been started; what they fetch then is waited for by the test."""
        self.page.goto(self.origin + path)
        return self.page

    def press(self, *keys: str) -> None:
        """Press keys on the page as it is now, once its scripts have been started: before, nobody hears them."""
        self.page.wait_for_load_state()
        for key in keys:
            self.page.keyboard.press(key)

    def until(self, holds: str, given: object = None) -> None:
        """Wait until JavaScript says that something holds: asked from outside, for our pages evaluate no text."""
        deadline = time.monotonic() + WAIT_MS_MAX / 1000
        while not self.page.evaluate(holds, given):
            assert time.monotonic() < deadline, holds
            self.page.wait_for_timeout(50)

    def expect(self, pattern: str) -> None:
        """A fault that this test provokes."""
        self._expected.append(re.compile(pattern))

    def unexpected(self) -> list[str]:
        """Faults that the test did not provoke."""
        return [fault for fault in self.faults if not any(pattern.search(fault) for pattern in self._expected)]

    def keep(self, name: str, *, whole: bool = True) -> Path:
        """Keep a picture of the page for people to look at."""
        path = SCREENS / f"{name}-{self.size}-{self.language}-{self.theme}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        screenshot(self.page, path=path, full_page=whole, animations="disabled")
        return path

    def axe(self, *, within: str | None = None) -> list[str]:
        """What axe-core finds serious or critical, one line each; injected beside the page's policy, which stays on."""
        if self.page.evaluate("typeof axe") == "undefined":
            self.page.evaluate(AXE.read_text(encoding="utf-8"))
        # Without a second look at the style sheets, which only the rules on sound and on locked orientation take.
        options = "{resultTypes: ['violations'], preload: false}"
        found = self.page.evaluate(f"within => axe.run(within ?? document, {options})", within)
        return [
            f"{fault['id']} ({fault['impact']}): {node['html'][:160]} {node.get('failureSummary', '')[:300]}"
            for fault in found["violations"]
            if fault["impact"] in {"serious", "critical"}
            for node in fault["nodes"]
        ]

    def add_authenticator(self) -> str:
        """Give the browser a passkey device that verifies its user; returns its id."""
        session = self.context.new_cdp_session(self.page)
        session.send("WebAuthn.enable", {"enableUI": False})
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        made = session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        return str(made["authenticatorId"])

    def is_wider_than_screen(self) -> bool:
        """Whether the page itself must be scrolled sideways."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))


def pace(browser: Browser) -> float:
    """How many times slower a page's code runs here just now than where the aims were set; 1 where it is faster.

    Whatever is measured is held to its aim times this: a slow machine, or one with much else to do, fails no test.
    """
    context = browser.new_context()
    try:
        page = context.new_page()
        return max(1.0, *(float(page.evaluate(PACED)) / PACE_MS for _ in range(3)))
    finally:
        context.close()


def read_code(picture: bytes | Path) -> str:
    """What a camera reads from a picture of one QR code; other kinds are sometimes seen where there are none."""
    with Image.open(BytesIO(picture) if isinstance(picture, bytes) else picture) as opened:
        (found,) = zxingcpp.read_barcodes(opened, zxingcpp.BarcodeFormat.QRCode)
    return str(found.text)


def watch(visit: Visit) -> None:
    """Collect a visit's faults from here on."""
    host = urlsplit(visit.origin).netloc

    def heard(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            visit.faults.append(f"console: {message.text}")

    def asked(request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in {"data", "blob"} and parts.netloc != host:
            visit.faults.append(f"left the machine: {request.url}")

    def failed(request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the page was left before it had all it asked for
            visit.faults.append(f"failed: {request.url} {request.failure}")

    visit.page.on("console", heard)
    visit.page.on("pageerror", lambda error: visit.faults.append(f"script: {error}"))
    visit.context.on("request", asked)
    visit.page.on("requestfailed", failed)


@contextmanager
def visiting(
    browser: Browser,
    origin: str,
    *,
    size: Size = "desktop",
    language: str = "zh-CN",
    theme: str = "light",
    **options: Any,
) -> Iterator[Visit]:
    """Open a fresh profile that asks for a language and a colour scheme; fails at its end if a fault was seen."""
    width, height = SIZES[size]
    settings: dict[str, Any] = {
        "viewport": {"width": width, "height": height},
        "locale": language,
        "color_scheme": theme,
        "reduced_motion": "reduce",
        "timezone_id": "Asia/Shanghai",
    }
    context = browser.new_context(**(settings | options))
    context.set_default_timeout(WAIT_MS_MAX)
    try:
        visit = Visit(origin, context, context.new_page(), size, language, theme)
        watch(visit)
        yield visit
        faults = visit.unexpected()
        assert not faults, "\n".join(faults)
    finally:
        context.close()
