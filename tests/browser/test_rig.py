# SPDX-License-Identifier: Apache-2.0
"""The browser rig notices what it is there to notice."""

from collections.abc import Callable, Iterator

import pytest
from fastapi import APIRouter
from playwright.sync_api import Browser
from starlette.responses import HTMLResponse
from visiting import Visit, serve, visiting

from service.app import Part

Open = Callable[..., Visit]

PAGES = {
    "clean": "<h1>Clean</h1>",
    "inline-script": "<h1>Inline</h1><script>document.title = 'ran'</script>",
    "inline-style": "<h1 style='color: red'>Inline</h1>",
    "elsewhere": "<h1>Elsewhere</h1><img alt='' src='http://192.0.2.1/picture.png'>",
    "unlabelled": "<h1>Unlabelled</h1><input>",
}


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    router = APIRouter()

    @router.get("/{name}")
    async def show(name: str) -> HTMLResponse:
        head = "<meta charset=utf-8><title>Rig</title><link rel=icon href=/clean>"
        return HTMLResponse(f"<!doctype html><html lang=en>{head}<main>{PAGES[name]}</main>")

    with serve([Part("rig", routers=(router,))]) as served:
        yield served


def test_clean_page_passes(browser: Browser, origin: str) -> None:
    with visiting(browser, origin) as seen:
        seen.open("/clean")
        assert seen.axe() == []


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("inline-script", "Content Security Policy"),
        ("inline-style", "Content Security Policy"),
        ("elsewhere", r"left the machine: http://192\.0\.2\.1"),
    ],
)
def test_forbidden_thing_on_a_page_fails_its_test(browser: Browser, origin: str, name: str, complaint: str) -> None:
    def look() -> None:
        with visiting(browser, origin) as seen:
            assert seen.open(f"/{name}").title() == "Rig", "the inline script ran"

    with pytest.raises(AssertionError, match=complaint):
        look()


def test_axe_runs_under_the_policy_and_finds_what_is_wrong(browser: Browser, origin: str) -> None:
    with visiting(browser, origin) as seen:
        seen.open("/unlabelled")
        assert any(fault.startswith("label (critical)") for fault in seen.axe())


def test_virtual_authenticator_makes_a_passkey(visit: Open) -> None:
    seen = visit()
    seen.open("/_styles")
    seen.add_authenticator()
    kind = seen.page.evaluate(
        """async () => (await navigator.credentials.create({publicKey: {
             challenge: new Uint8Array(32), rp: {name: 'Zhixin'},
             user: {id: new Uint8Array(16), name: 'a', displayName: 'a'},
             pubKeyCredParams: [-7, -257].map(alg => ({type: 'public-key', alg})),
             authenticatorSelection: {userVerification: 'required'},
           }})).type"""
    )
    assert kind == "public-key"
