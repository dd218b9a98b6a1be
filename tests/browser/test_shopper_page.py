# SPDX-License-Identifier: Apache-2.0
"""The journey page in a shopper's hands: scanned, checked on the phone, taken offline; and what tries to deceive it."""

import io
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import zxingcpp
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect
from visiting import serve, visiting

from service.settings import local_address
from service.shell import shell_part
from tests.shopper_rig import LOT, SERIAL, FoodLedger
from traceability.api.context import TRACE_SITE
from traceability.api.resolving import resolver_part
from traceability.api.shopper.part import shopper_part
from traceability.api.trace_records import describe
from traceability.resolver import PageLinks

KEPT_FAULTS = ("ERR_INTERNET_DISCONNECTED", "ERR_FAILED")
VERIFIED_MS_MAX = 1_500
GENEROUS = 6
"""Other tests take the machine for moments."""


class Served:
    """A ledger with the pages about it."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = int(found.getsockname()[1])
        self.food = FoodLedger(folder)
        self.address = local_address("trace", f"127.0.0.1:{self.port}")
        context = self.food.context(self.address)

        def known(item: str) -> str | None:
            with context.reading() as connection:
                return describe(connection, item)

        self.parts = [
            shell_part(TRACE_SITE),
            resolver_part(PageLinks(context.origin, known), context.origin, "Food"),
            shopper_part(context, self.food),
        ]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = Served(tmp_path_factory.mktemp("food"))
    made.food.journey()
    with serve(made.parts, "trace", made.port):
        yield made
    made.food.close()


@pytest.fixture
def origin(served: Served) -> str:
    served.food.settle()
    return served.address.public_origin


def expect_state(page: Page, state: str) -> None:
    expect(page.locator("#verdict")).to_have_attribute("data-state", state)


def step(page: Page, name: str) -> str:
    return str(page.locator(f"#verdict [data-step={name}]").get_attribute("data-state"))


def answer_with(page: Page, change: Callable[[dict[str, Any]], None], pattern: str = "**/v1/journeys/**") -> None:
    """Let what the server sends as the proof be changed on its way."""

    def altered(route: Route) -> None:
        bundle = route.fetch().json()
        change(bundle)
        route.fulfill(body=json.dumps(bundle), content_type="application/json")

    page.route(pattern, altered)


@pytest.mark.parametrize(("language", "theme"), [("zh-CN", "light"), ("en", "dark")])
def test_label_decoded_from_its_picture_opens_the_page_which_the_phone_verifies(
    browser: Browser, origin: str, language: str, theme: str
) -> None:
    drawn = httpx.get(f"{origin}/food-labels/{SERIAL}?form=png").content
    with Image.open(io.BytesIO(drawn)) as picture:
        link = zxingcpp.read_barcode(picture.convert("L")).text
    assert link == f"{origin}/{SERIAL}"
    with visiting(browser, origin, size="phone", language=language, theme=theme) as seen:
        page = seen.open(link.removeprefix(origin))
        expect_state(page, "proved")
        assert page.url.endswith(f"/food/{SERIAL}")
        expect(page.locator("[data-step=events] [data-figure]")).to_have_text("8/8")
        assert not seen.is_wider_than_screen()
        seen.keep("shopper-journey")
        assert seen.axe() == []
    with visiting(browser, origin, size="desktop", language=language, theme=theme) as seen:
        expect_state(seen.open(f"/food/{LOT}"), "proved")
        seen.keep("shopper-batch")
