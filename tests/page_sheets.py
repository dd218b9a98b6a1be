# SPDX-License-Identifier: Apache-2.0
"""Visits pages of a service in this process in each language, theme and size, and lays their pictures out to look at.

Run by hand, by `make_desk_sheets.py` and `make_credit_sheets.py`: the suite's own tests look at the pages that a
journey passes. A page is at fault where it is wider than its screen, logs an error, is no page, or breaks a rule of
accessibility.
"""

import itertools
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

import httpx
from PIL import Image, ImageDraw
from playwright.async_api import Browser, Page, Route, async_playwright
from sign_in_rig import ORIGIN
from sign_in_rig import Browser as Client
from visiting import AXE, CHROMIUM, CHROMIUM_FLAGS, SIZES

Size = Literal["phone", "tablet", "desktop"]
Theme = Literal["light", "dark"]
Look = tuple[Size, str, Theme]
_ALL: Final[Sequence[Look]] = list(itertools.product(get_args(Size), ("zh-CN", "en"), get_args(Theme)))
LOOKS: Final[Mapping[str, Look]] = {"-".join(look): look for look in _ALL}
_DROPPED: Final = {"content-length", "content-encoding", "transfer-encoding", "set-cookie"}
"""Headers of an answer that was taken apart already."""
_SHEET_WIDTH, _SHEET_HEIGHT_MAX, _SHEET_COLUMNS = 360, 560, 6
_SETTLED_MS_MAX: Final = 60_000
"""Until a page's scripts have verified what it shows, on a machine that does other things, too."""


@dataclass(frozen=True)
class Shown:
    """A page, and who looks at it.

    Attributes:
        name: Of its picture.
        client: Their browser, signed in or not.
        path: Where it stands.
        sent: Sends the form whose answer is the page; None: the page is asked for.
        status: Of the answer.
    """

    name: str
    client: Client
    path: str
    sent: Callable[[], Awaitable[httpx.Response]] | None = None
    status: int = 200


def chosen(words: Sequence[str]) -> list[str]:
    """The looks that a command line names; all where it names none.

    Raises:
        SystemExit: One of them is not known.
    """
    unknown = sorted(set(words) - set(LOOKS))
    if unknown:
        sys.stderr.write(f"unknown: {', '.join(unknown)}; there are {', '.join(LOOKS)}\n")
        raise SystemExit(2)
    return list(words) or list(LOOKS)


async def make_sheets(folder: Path, looks: Sequence[str], shown: Sequence[Shown], now_ms: int) -> int:
    """Take a picture of each page in each look, and a sheet of all for each look, into a folder.

    Args:
        folder: For the pictures; the look's name and the page's become theirs.
        looks: Names of LOOKS.
        shown: The pages.
        now_ms: The service's time, which the browser takes for its own.

    Returns:
        0; 1 where something is wrong, which is written to the standard output.
    """
    wrong: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(CHROMIUM_FLAGS))
        for look in looks:
            for one in shown:
                wrong += [f"{look} {one.name}: {fault}" for fault in await _picture(browser, folder, look, one, now_ms)]
            _lay_out(folder / look)
        await browser.close()
    sys.stdout.write("".join(f"{line}\n" for line in wrong) or f"{len(shown)} pages, nothing wrong\n")
    return 1 if wrong else 0


async def _picture(browser: Browser, folder: Path, look: str, one: Shown, now_ms: int) -> list[str]:
    """Keep a page's picture; what is wrong with the page."""
    size, language, theme = LOOKS[look]
    width, height = SIZES[size]
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        locale=language,
        color_scheme=theme,
        reduced_motion="reduce",
        service_workers="block",  # their requests pass by the routes
    )
    page, said = await context.new_page(), list[str]()
    await page.clock.set_fixed_time(now_ms / 1_000)
    await page.add_init_script("Object.defineProperty(document, 'hidden', {value: true})")  # no page reloads itself
    page.on("console", lambda line: said.append(line.text) if line.type == "error" and one.status < 400 else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    await _serve(page, one, language)
    answered = await page.goto(f"{ORIGIN}{one.path}{'&' if '?' in one.path else '?'}lang={language}")
    assert answered is not None
    await page.wait_for_load_state("networkidle")
    await page.locator(".proof[data-state=checking]").wait_for(state="detached", timeout=_SETTLED_MS_MAX)
    found = await _faults_of(page, said) + ([] if answered.status == one.status else [f"status {answered.status}"])
    path = folder / look / f"{one.name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=path, full_page=True, animations="disabled")
    await context.close()
    return found


async def _serve(page: Page, one: Shown, language: str) -> None:
    """Answer a page's requests from the service in this process, under the session of whoever looks."""

    async def asked(route: Route) -> None:
        request = route.request
        if not request.url.startswith(ORIGIN):
            await route.abort()
            return
        path = request.url.removeprefix(ORIGIN)
        web = one.client.web
        headers = {name: value for name, value in request.headers.items() if name in {"accept", "accept-language"}}
        if one.sent is not None and path.startswith(one.path):
            await web.get(f"/sessions?lang={language}", headers=headers)  # the cookie that remembers the language
            found = await one.sent()
        else:
            found = await web.get(path, headers=headers)
        while found.status_code in {302, 303}:
            found = await web.get(found.headers["location"], headers=headers)
        kept = {name: value for name, value in found.headers.items() if name not in _DROPPED}
        await route.fulfill(status=found.status_code, headers=kept, body=found.content)

    await page.route("**/*", asked)


async def _faults_of(page: Page, said: Sequence[str]) -> list[str]:
    found = list(said)
    if await page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        found.append("wider than its screen")
    await page.evaluate(AXE.read_text(encoding="utf-8"))
    broken = await page.evaluate("axe.run(document, {resultTypes: ['violations'], preload: false})")
    return found + [
        f"{one['id']}: {node['html'][:120]}"
        for one in broken["violations"]
        if one["impact"] in {"serious", "critical"}
        for node in one["nodes"]
    ]


def _lay_out(folder: Path) -> None:
    """All pictures of a folder on one sheet beside it, each with its name."""
    pictures = sorted(folder.glob("*.png"))
    rows = -(-len(pictures) // _SHEET_COLUMNS)
    sheet = Image.new("RGB", (_SHEET_COLUMNS * (_SHEET_WIDTH + 8), rows * (_SHEET_HEIGHT_MAX + 24)), "white")
    pen = ImageDraw.Draw(sheet)
    for index, path in enumerate(pictures):
        left, top = index % _SHEET_COLUMNS * (_SHEET_WIDTH + 8), index // _SHEET_COLUMNS * (_SHEET_HEIGHT_MAX + 24)
        with Image.open(path) as whole:
            small = whole.convert("RGB").resize((_SHEET_WIDTH, round(whole.height * _SHEET_WIDTH / whole.width)))
        pen.text((left + 2, top + 4), path.stem, fill="black")
        sheet.paste(small.crop((0, 0, _SHEET_WIDTH, min(small.height, _SHEET_HEIGHT_MAX))), (left, top + 20))
    sheet.save(folder.with_suffix(".png"))
