# SPDX-License-Identifier: Apache-2.0
"""A real browser for the tests in this folder: Debian's Chromium, one for all of them that follow one another."""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from explored import Shown, explored
from playwright.sync_api import Browser, expect, sync_playwright
from visiting import CHROMIUM, CHROMIUM_FLAGS, LAUNCH_MS_MAX, WAIT_MS_MAX, Visit, serve, visiting

from service.shell import shell_part
from service.style_page import SITE

_running = ExitStack()
"""The browser while it runs."""
_browsers: list[Browser] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """End the browser after the last test of this folder in a row.

    Not later: while it is there, Playwright's event loop counts as running in this thread, and asynchronous tests of
    other folders could not run theirs.
    """
    outcome = yield
    if nextitem is None or nextitem.path.parent != item.path.parent:
        _browsers.clear()
        _running.close()
    return outcome


@pytest.fixture(scope="module")
def browser() -> Browser:
    """Chromium, started once for all modules of this folder that follow one another."""
    if not _browsers:
        assert Path(CHROMIUM).exists(), f"{CHROMIUM} is missing: run make setup-debian"
        with ExitStack() as starting:  # a start that fails leaves nothing running, and the next test tries again
            expect.set_options(timeout=WAIT_MS_MAX)  # its own five seconds are too few with many tests at once
            playwright = starting.enter_context(sync_playwright())
            started = playwright.chromium.launch(
                executable_path=CHROMIUM, args=list(CHROMIUM_FLAGS), timeout=LAUNCH_MS_MAX
            )
            starting.callback(started.close)
            _running.callback(starting.pop_all().close)
        _browsers.append(started)
    return _browsers[0]


@pytest.fixture(scope="session")
def shell_origin() -> Iterator[str]:
    """A service that consists of the page shell alone, with the style page."""
    with serve([shell_part(SITE)]) as origin:
        yield origin


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """The explorer of a network with records; ends with its module, since four validators never rest."""
    with explored(tmp_path_factory.mktemp("explored")) as made:
        yield made


@pytest.fixture
def visit(browser: Browser, shell_origin: str) -> Iterator[Callable[..., Visit]]:
    """Opens a visit to the shell's service; options as for `visiting`."""
    with ExitStack() as open_visits:

        def open_visit(origin: str = shell_origin, **options: Any) -> Visit:
            return open_visits.enter_context(visiting(browser, origin, **options))

        yield open_visit
